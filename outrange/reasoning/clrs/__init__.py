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

Names are fetched when they are used, so that the table of the thirty (``specs``) can be read without Numba.
"""

from typing import TYPE_CHECKING

from outrange.core.lazy import lazy_names

if TYPE_CHECKING:
    from outrange.reasoning.check import check_algorithm
    from outrange.reasoning.clrs.algorithms.common import compiled, hints
    from outrange.reasoning.clrs.batches import Batch, batch
    from outrange.reasoning.clrs.registry import ALGORITHMS, names, register, spec, unregister
    from outrange.reasoning.clrs.sampling import Dataset, dataset, sample, sample_blocks, trace
    from outrange.reasoning.clrs.specs import Probe, Spec
    from outrange.reasoning.clrs.splits import PRESETS, generalist, split, text_lengths
    from outrange.reasoning.clrs.traces import Trace

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


_fetch = lazy_names(
    __name__,
    {
        "algorithms.common": ("compiled", "hints"),
        "batches": ("Batch", "batch"),
        "registry": ("ALGORITHMS", "names", "register", "spec", "unregister"),
        "sampling": ("Dataset", "dataset", "sample", "sample_blocks", "trace"),
        "specs": ("Probe", "Spec"),
        "splits": ("PRESETS", "generalist", "split", "text_lengths"),
        "traces": ("Trace",),
    },
)


def __getattr__(name: str):
    if name == "check_algorithm":  # it stands above both clrs and text
        from outrange.reasoning.check import check_algorithm

        return check_algorithm
    return _fetch(name)
