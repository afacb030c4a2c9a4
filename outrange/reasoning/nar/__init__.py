"""A generalist neural algorithmic learner (arXiv 2209.11142): one graph network that imitates the CLRS-30 algorithms, step by step.

Names are fetched when they are used: importing this package loads no torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from outrange.reasoning.nar.config import ModelConfig, TrainConfig, preset
    from outrange.reasoning.nar.data import Samples, evaluation, prepare
    from outrange.reasoning.nar.evaluate import curve, evaluate
    from outrange.reasoning.nar.model import Reasoner
    from outrange.reasoning.nar.processor import processors, register_processor
    from outrange.reasoning.nar.spec import Probe, task_spec
    from outrange.reasoning.nar.train import resume, train

_HOMES = {
    "config": ("ModelConfig", "TrainConfig", "preset"),
    "data": ("Samples", "evaluation", "prepare"),
    "evaluate": ("curve", "evaluate"),
    "model": ("Reasoner",),
    "processor": ("processors", "register_processor"),
    "spec": ("Probe", "task_spec"),
    "train": ("resume", "train"),
}

__all__ = [
    "ModelConfig",
    "Probe",
    "Reasoner",
    "Samples",
    "TrainConfig",
    "curve",
    "evaluate",
    "evaluation",
    "prepare",
    "preset",
    "processors",
    "register_processor",
    "resume",
    "task_spec",
    "train",
]


def __getattr__(name: str):
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"outrange.reasoning.nar.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
