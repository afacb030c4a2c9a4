"""CLRS-30 as exact execution traces (arXiv 2205.15659, 2406.04229): thirty algorithms, their samplers, and your own.

What is public:

- ``sample``, ``sample_blocks`` and ``dataset`` draw inputs and run an algorithm; ``trace`` runs it on yours; ``batch``
  stacks traces for a model.
- ``ALGORITHMS``, ``names`` and ``spec`` say what there is; ``Probe``, ``Spec``, ``Trace``, ``Batch`` and ``Dataset``
  are its types.
- ``split``, ``generalist``, ``text_lengths`` and ``PRESETS`` are the published splits.
- ``register`` adds an algorithm (``unregister`` forgets it), written with ``hints`` and ``compiled``;
  ``check_algorithm`` checks it.

>>> from outrange.reasoning import clrs
>>> clrs.sample("bfs", length=16, count=32, seed=1)[0].hints["pi_h"].shape
(4, 16)
"""

from outrange.reasoning.clrs.algorithms.common import compiled, hints
from outrange.reasoning.clrs.batch import Batch, batch
from outrange.reasoning.clrs.registry import ALGORITHMS, names, register, spec, unregister
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
    "unregister",
]


def __getattr__(name: str):
    if name == "check_algorithm":  # it stands above both clrs and text, so it is fetched when asked for
        from outrange.reasoning.check import check_algorithm

        return check_algorithm
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
