"""Agents that explore: environments, novelty, recurrent Q learning; training, evaluation and a policy to act with.

>>> from outrange import exploration
>>> exploration.preset("smoke", seed=1).agent
'ngu-episodic'

    envs/                environments, B in lock step                 contract.py says what they are to an agent
    agents/              what learns; the table of agents
    novelty/             intrinsic rewards
    acting/              what acts: behaviours, mixtures, episodes; here or in a process of its own
    learning/            replay, networks, returns, families of mixtures
    config, presets · training · evaluation · policy · bench

Nothing here imports torch or Numba before it is used. (Modules are called ``training``, ``evaluation`` and ``policy``,
so that ``exploration.train``, ``exploration.evaluate`` and ``exploration.load`` are always the functions.)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outrange.exploration.agents import AGENTS
    from outrange.exploration.config import TrainConfig
    from outrange.exploration.evaluation import Recording, evaluate, record
    from outrange.exploration.policy import Policy, load
    from outrange.exploration.presets import PRESETS, preset
    from outrange.exploration.training import resume, train

#: public name -> the module it stands in
_MODULES = {
    "AGENTS": "agents",
    "PRESETS": "presets",
    "Policy": "policy",
    "Recording": "evaluation",
    "TrainConfig": "config",
    "evaluate": "evaluation",
    "load": "policy",
    "preset": "presets",
    "record": "evaluation",
    "resume": "training",
    "train": "training",
}

__all__ = [
    "AGENTS",
    "PRESETS",
    "Policy",
    "Recording",
    "TrainConfig",
    "evaluate",
    "load",
    "preset",
    "record",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"outrange.exploration.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
