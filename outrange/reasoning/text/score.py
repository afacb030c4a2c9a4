"""Scoring an answer: the CLRS score, shape and parse scores of TransNAR (arXiv 2406.09308, section 4), and the exact match of CLRS-Text.

The paper leaves open what is marked *ours* here:

    parse   1 if the answer has only characters that answers are made of
    shape   1 if it also has the right number of outputs, rows and elements; spaces and commas separate, and round and square brackets bind, alike (ours)
    clrs    the share of output elements equal to the true ones, as numbers; 0 if parse or shape is 0; all outputs' elements are pooled (ours)
    exact   1 if the text is the true answer's, trace included, but for white space around it

With a trace in front only what follows its last ``|`` counts for shape and clrs (ours).
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outrange.core.errors import BadInput, brief
from outrange.reasoning.text.parse import answer_text, parse
from outrange.reasoning.text.render import Item


@dataclass(frozen=True, slots=True)
class Score:
    """Four numbers in [0, 1]; see the top of this file."""

    clrs: float
    exact: float
    shape: float
    parse: float


def score(item: Item, completion: str) -> Score:
    """Score what a model wrote against an item's answer. Total on any string, in linear time."""
    if not isinstance(item, Item):
        raise BadInput(f"item: {brief(item)} is not an Item; make one with text.render or take one from text.dataset")
    given, true = parse(completion), parse(item.answer)
    shape = given.well_formed and _structure(given.outputs) == _structure(true.outputs)
    clrs = 0.0
    if shape:
        ours, theirs = list(_leaves(given.outputs)), list(_leaves(true.outputs))
        clrs = sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(theirs) if theirs else 1.0
    exact = answer_text(completion) == answer_text(item.answer)
    return Score(clrs, float(exact), float(shape), float(given.legal))


def _structure(value: Any) -> Any:
    """The nesting of lists without their numbers."""
    if not isinstance(value, list):
        return None
    inner = [_structure(v) for v in value]
    return len(value) if all(v is None for v in inner) else inner


def _leaves(value: Any):
    if isinstance(value, list):
        for v in value:
            yield from _leaves(v)
    else:
        yield value


def score_file(path: Path) -> dict[str, dict[str, float]]:
    """Mean scores by algorithm and over all answers (``"all"``) of a file of JSON lines with question, answer and completion (``-``: standard input)."""
    sums: dict[str, list[float]] = {}
    with sys.stdin if str(path) == "-" else _opened(path) as lines:
        for k, line in enumerate(lines):
            if not line.strip():
                continue
            row = _row(line, k + 1)
            s = score(Item(row["question"], row["answer"]), row["completion"])
            total = sums.setdefault(row["question"].split(":", 1)[0], [0.0] * 5)
            for i, value in enumerate((1.0, s.clrs, s.exact, s.shape, s.parse)):
                total[i] += value
    if not sums:
        raise BadInput(f"file: {str(path)!r} holds no lines; give JSON lines with question, answer and completion")
    everything = [sum(column) for column in zip(*sums.values(), strict=True)]

    def means(total: Sequence[float]) -> dict[str, float]:
        answers, *rest = total
        shares = zip(("clrs", "exact", "shape", "parse"), rest, strict=True)
        return {"answers": answers} | {key: value / answers for key, value in shares}

    return {name: means(total) for name, total in sorted(sums.items())} | {"all": means(everything)}


def _opened(path: Path):
    try:
        return open(path, encoding="utf-8", errors="replace")
    except OSError as error:
        raise BadInput(f"file: {str(path)!r} cannot be read: {error.strerror}") from error


def _row(line: str, number: int) -> dict[str, str]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or not all(isinstance(row.get(k), str) for k in ("question", "answer", "completion")):
        raise BadInput(
            f"file: line {number} is {brief(line)}; each line must be a JSON object with the strings question, answer and completion"
        )
    return row
