"""Agents that explore: environments, novelty, recurrent Q learning; training, evaluation and a policy to act with.

>>> from outrange import exploration
>>> exploration.preset("smoke", seed=1).agent
'ngu'

Nothing here imports torch or Numba before it is used. (Modules are called ``training`` and ``evaluation``, so that ``exploration.train`` and
``exploration.evaluate`` are always the functions.)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outrange.exploration.config import TrainConfig
    from outrange.exploration.evaluation import Recording, evaluate, record
    from outrange.exploration.presets import AGENTS, PRESETS, preset
    from outrange.exploration.training import resume, train

#: public name -> the module it stands in
_MODULES = {
    "AGENTS": "presets",
    "PRESETS": "presets",
    "Recording": "evaluation",
    "TrainConfig": "config",
    "evaluate": "evaluation",
    "preset": "presets",
    "record": "evaluation",
    "resume": "training",
    "train": "training",
}

__all__ = ["AGENTS", "PRESETS", "Recording", "TrainConfig", "evaluate", "preset", "record", "resume", "train"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"outrange.exploration.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
