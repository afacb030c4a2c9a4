"""Scoring an answer: the CLRS score, shape and parse scores of TransNAR (arXiv 2406.09308, section 4), and the exact
match of CLRS-Text.

The paper leaves open what is marked *ours* here:

    parse   1 if the answer has only characters that answers are made of
    shape   1 if it also has the right number of outputs, rows and elements; spaces and commas separate alike, round and
            square brackets bind alike (ours)
    clrs    the share of output elements equal to the true ones, as numbers; 0 if parse or shape is 0; the elements of
            all outputs are pooled (ours)
    exact   1 if the text is the true answer's, trace included, but for white space around it

With a trace in front only what follows its last ``|`` counts for shape and clrs (ours).
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from outrange.core.errors import BadInput, brief
from outrange.reasoning.text.parse import answer_text, parse
from outrange.reasoning.text.render import Item


@dataclass(frozen=True, slots=True)
class Score:
    """Four numbers in [0, 1]; what each measures stands at the top of this file."""

    clrs: float
    exact: float
    shape: float
    parse: float


def score(item: Item, completion: str) -> Score:
    """Score what a model wrote against an item's answer. Total on any string, in linear time.

    Args:
        item: a question with its true answer.
        completion: what the model wrote after the question; only what stands before its first blank line counts.
    """
    if not isinstance(item, Item):
        raise BadInput(f"item: {brief(item)} is not an Item; make one with text.render or take one from text.dataset")
    answer, truth = parse(completion), parse(item.answer)
    shape = answer.well_formed and _structure(answer.outputs) == _structure(truth.outputs)
    clrs = 0.0
    if shape:
        pairs = list(zip(_elements(answer.outputs), _elements(truth.outputs), strict=True))
        clrs = sum(a == b for a, b in pairs) / len(pairs) if pairs else 1.0
    # The shape need not fit for this one, and the trace counts.
    exact = answer_text(completion) == answer_text(item.answer)
    return Score(clrs, float(exact), float(shape), float(answer.legal))


def _structure(value: Any) -> Any:
    """The nesting of lists without their numbers: a list's length, or the structures of what it holds."""
    if not isinstance(value, list):
        return None
    # A list of numbers is told by its length alone, which keeps comparing them fast.
    inner = [_structure(element) for element in value]
    return len(value) if all(structure is None for structure in inner) else inner


def _elements(value: Any) -> Iterator[int | float]:
    """The numbers of nested lists, in order."""
    if isinstance(value, list):
        for element in value:
            yield from _elements(element)
    else:
        yield value


def score_file(path: Path) -> dict[str, dict[str, float]]:
    """Score a file of JSON lines with question, answer and completion (``-``: standard input).

    Returns:
        the number of answers and their mean scores, by algorithm and over all answers (``"all"``).

    Raises:
        BadInput: naming the line that cannot be read.
    """
    sums: dict[str, list[float]] = {}  # by algorithm: answers, then the sums of clrs, exact, shape and parse
    with sys.stdin if str(path) == "-" else _open_text(path) as lines:
        for k, line in enumerate(lines):
            if not line.strip():
                continue
            row = _row(line, k + 1)
            scores = score(Item(row["question"], row["answer"]), row["completion"])
            name = row["question"].split(":", 1)[0]
            total = sums.setdefault(name, [0.0] * 5)
            for column, value in enumerate((1.0, scores.clrs, scores.exact, scores.shape, scores.parse)):
                total[column] += value
    if not sums:
        raise BadInput(f"file: {str(path)!r} holds no lines; give JSON lines with question, answer and completion")
    # Means over answers, not over algorithms.
    overall = [sum(column) for column in zip(*sums.values(), strict=True)]
    return {name: _means(total) for name, total in sorted(sums.items())} | {"all": _means(overall)}


def _means(total: Sequence[float]) -> dict[str, float]:
    answers, *score_sums = total
    means = {name: value / answers for name, value in zip(("clrs", "exact", "shape", "parse"), score_sums, strict=True)}
    return {"answers": answers} | means


def _open_text(path: Path) -> TextIO:
    try:
        return open(path, encoding="utf-8", errors="replace")
    except OSError as error:
        raise BadInput(f"file: {str(path)!r} cannot be read: {error.strerror}") from error


def _row(line: str, line_number: int) -> dict[str, str]:
    """A line as an object with the three strings."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):  # the latter from brackets nested without end
        row = None
    fields = ("question", "answer", "completion")
    if not isinstance(row, dict) or not all(isinstance(row.get(field), str) for field in fields):
        raise BadInput(
            f"file: line {line_number} is {brief(line)}; "
            "each line must be a JSON object with the strings question, answer and completion"
        )
    return row
