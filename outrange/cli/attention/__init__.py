"""``outrange attention``: how a language model uses position, and where it loses its input.

The commands only read arguments and print results; what they print is computed by ``outrange.attention``. They stand by
paper: ``rope`` (arXiv 2410.06205), ``glasses`` (arXiv 2406.04267); ``theorems`` serves both.
"""

from outrange.cli.attention.glasses import ask, compare, probe
from outrange.cli.attention.rope import ablate, bench, convert, layout, scan
from outrange.cli.attention.theorems import theorems

COMMANDS = {
    "scan": scan,
    "probe": probe,
    "compare": compare,
    "ask": ask,
    "layout": layout,
    "ablate": ablate,
    "theorems": theorems,
    "convert": convert,
    "bench": bench,
}
"""every command of the group by name; ``--help`` and docs/cli.md follow this table"""
