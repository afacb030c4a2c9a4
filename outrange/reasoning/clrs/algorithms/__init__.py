"""The thirty algorithms, one chapter a file. ``ALGORITHMS`` maps each name to its generator.

How to read one: the parameters are the input probes (without ``pos`` and ``adj``), then the outputs, both in the order of ``specs.py``. A ``yield``
records one hint step; the arrays it names are the live state, copied at that moment. Outputs are arrays to write into, an output that is a
``mask_one`` an array with one index. Inputs are read-only. Trace definitions: docs/papers/clrs.md.
"""

from outrange.reasoning.clrs.algorithms import (
    depth_first,
    divide_and_conquer,
    dynamic_programming,
    geometry,
    graphs,
    greedy,
    searching,
    sorting,
    strings,
)
from outrange.reasoning.clrs.specs import CLRS30

_CHAPTERS = (
    sorting,
    searching,
    divide_and_conquer,
    greedy,
    dynamic_programming,
    depth_first,
    graphs,
    strings,
    geometry,
)

ALGORITHMS = {name: next(getattr(chapter, name) for chapter in _CHAPTERS if hasattr(chapter, name)) for name in CLRS30}
