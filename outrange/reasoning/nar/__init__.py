"""A generalist neural algorithmic learner (arXiv 2209.11142): one graph network that imitates the CLRS-30 algorithms,
step by step.

>>> from outrange.reasoning.nar import preset
>>> preset("smoke", ("bfs",)).model.hidden_dim
32

Importing this package, or reading a configuration, loads no torch. Modules are called by other words than what they
hold (``training``, ``evaluation``), so that ``nar.train`` and ``nar.evaluate`` are always the functions.
"""

from typing import TYPE_CHECKING

from outrange.core.lazy import lazy_names

if TYPE_CHECKING:
    from outrange.reasoning.nar.config import PRESETS, ModelConfig, TrainConfig, preset
    from outrange.reasoning.nar.evaluation import ScoreBoard, curve, evaluate, execute, predict
    from outrange.reasoning.nar.evaluation_sets import EvaluationSet, evaluation_set
    from outrange.reasoning.nar.processor import processors, register_processor
    from outrange.reasoning.nar.reasoner import Reasoner, load, spec_options
    from outrange.reasoning.nar.samples import Samples, prepare
    from outrange.reasoning.nar.spec import TaskProbe, task_spec
    from outrange.reasoning.nar.training import resume, train
    from outrange.reasoning.nar.weights import export, shipped

__all__ = [
    "PRESETS",
    "EvaluationSet",
    "ModelConfig",
    "Reasoner",
    "Samples",
    "ScoreBoard",
    "TaskProbe",
    "TrainConfig",
    "curve",
    "evaluate",
    "evaluation_set",
    "execute",
    "export",
    "load",
    "predict",
    "prepare",
    "preset",
    "processors",
    "register_processor",
    "resume",
    "shipped",
    "spec_options",
    "task_spec",
    "train",
]

__getattr__ = lazy_names(
    __name__,
    {
        "config": ("PRESETS", "ModelConfig", "TrainConfig", "preset"),
        "evaluation": ("ScoreBoard", "curve", "evaluate", "execute", "predict"),
        "evaluation_sets": ("EvaluationSet", "evaluation_set"),
        "processor": ("processors", "register_processor"),
        "reasoner": ("Reasoner", "load", "spec_options"),
        "samples": ("Samples", "prepare"),
        "spec": ("TaskProbe", "task_spec"),
        "training": ("resume", "train"),
        "weights": ("export", "shipped"),
    },
)
