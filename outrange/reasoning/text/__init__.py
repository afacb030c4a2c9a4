"""CLRS-Text (arXiv 2406.04229): traces as questions and answers, read back and scored.

``render`` writes a trace as an ``Item``, ``score`` judges a completion, ``inputs`` reads a question and ``parse`` an
answer back, and ``dataset`` draws items without end.

>>> from outrange.reasoning import clrs, text
>>> item = text.render(clrs.sample("bfs", length=4, seed=0)[0])
>>> text.score(item, item.answer).exact
1.0
"""

from outrange.reasoning.text.dataset import TextDataset, dataset
from outrange.reasoning.text.parse import Parsed, inputs, parse
from outrange.reasoning.text.render import Item, render
from outrange.reasoning.text.score import Score, score

__all__ = ["Item", "Parsed", "Score", "TextDataset", "dataset", "inputs", "parse", "render", "score"]
