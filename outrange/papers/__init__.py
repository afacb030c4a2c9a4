"""The papers, each a file of claims that run. ``PAPERS`` names the file; a paper is imported when it is asked for."""

import importlib

from outrange.core.errors import unknown
from outrange.papers.claims import Claim, Paper, Result, reproduce

PAPERS = {
    "clrs-text": "outrange.papers.clrs_text",
    "generalist": "outrange.papers.generalist",
    "rope": "outrange.papers.rope",
    "glasses": "outrange.papers.glasses",
    "ngu": "outrange.papers.ngu",
}


def paper(name: str) -> Paper:
    """A paper by its short name."""
    if name not in PAPERS:
        raise unknown("paper", name, PAPERS, "a paper")
    return importlib.import_module(PAPERS[name]).PAPER


__all__ = ["PAPERS", "Claim", "Paper", "Result", "paper", "reproduce"]
