"""The thirty algorithms, one textbook chapter a file. ``ALGORITHMS`` maps each name to its generator.

How to read one:

- Its parameters are the input probes (without ``pos`` and ``adj``), then the outputs, both in the order of
  ``specs.py``.
- A ``yield`` records one hint step: on the left of each ``=`` stands the published name of the hint, on the right the
  algorithm's own variable. The arrays it names are the live state, copied at that moment.
- Outputs are arrays to write into. An output that is one value (a ``mask_one`` or a graph's) is an array of one entry,
  with a name that ends in ``_out``.
- Inputs are read-only.

What the published package records at which moment: docs/papers/clrs.md.
"""

from outrange.reasoning.clrs.algorithms import (
    biconnectivity,
    depth_first,
    divide_and_conquer,
    dynamic_programming,
    geometry,
    graphs,
    greedy,
    searching,
    sorting,
    strings,
    topological,
)
from outrange.reasoning.clrs.specs import CLRS30

_CHAPTERS = (
    sorting,
    searching,
    divide_and_conquer,
    greedy,
    dynamic_programming,
    depth_first,
    topological,
    biconnectivity,
    graphs,
    strings,
    geometry,
)

ALGORITHMS = {name: next(getattr(chapter, name) for chapter in _CHAPTERS if hasattr(chapter, name)) for name in CLRS30}
