"""CLRS-30 as exact execution traces (arXiv 2205.15659, 2406.04229): thirty algorithms, their samplers, and a way to add your own.

>>> from outrange.reasoning import clrs
>>> clrs.sample("bfs", length=16, count=32, seed=1)[0].hints["pi_h"].shape
(4, 16)
"""

from outrange.reasoning.clrs.algorithms.common import hints
from outrange.reasoning.clrs.batch import Batch, batch
from outrange.reasoning.clrs.caching import compiled
from outrange.reasoning.clrs.registry import ALGORITHMS, names, register, spec
from outrange.reasoning.clrs.sample import Dataset, dataset, sample, sample_blocks, trace
from outrange.reasoning.clrs.specs import Probe, Spec
from outrange.reasoning.clrs.splits import PRESETS, generalist, split, text_lengths
from outrange.reasoning.clrs.trace import Trace

__all__ = [
    "ALGORITHMS",
    "PRESETS",
    "Batch",
    "Dataset",
    "Probe",
    "Spec",
    "Trace",
    "batch",
    "check_algorithm",
    "compiled",
    "dataset",
    "generalist",
    "hints",
    "names",
    "register",
    "sample",
    "sample_blocks",
    "spec",
    "split",
    "text_lengths",
    "trace",
]


def __getattr__(name: str):
    if name == "check_algorithm":  # it stands above both clrs and text, so it is fetched when asked for
        from outrange.reasoning.check import check_algorithm

        return check_algorithm
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
