"""The papers, each a file of claims that run. A new paper is one new file in this folder that defines ``PAPER``; it
is imported when it is asked for."""

import importlib
import pkgutil

from outrange.core.errors import unknown
from outrange.papers.claims import Claim, Measurements, NotRun, Paper, Result, reproduce

_SHARED = ("claims", "results")  # what all papers use; every other file of this folder is a paper
PAPERS = tuple(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__) if module.name not in _SHARED)
"""Short names of the papers, sorted: the file ``clrs_text.py`` is the paper ``clrs-text``."""


def paper(name: str) -> Paper:
    """A paper by its short name.

    Raises:
        BadInput: there is none of that name.
    """
    if name not in PAPERS:
        raise unknown("paper", name, PAPERS, "a paper")
    return importlib.import_module(f"outrange.papers.{name.replace('-', '_')}").PAPER


__all__ = ["PAPERS", "Claim", "Measurements", "NotRun", "Paper", "Result", "paper", "reproduce"]
