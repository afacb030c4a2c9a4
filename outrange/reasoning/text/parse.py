"""Reading text back: what a model wrote as an answer (``parse``), and a question as an algorithm's inputs (``inputs``).

Structure is brackets; spaces and commas both separate, so ``[1, 2]`` reads as ``[1 2]`` does (it is not *exact*, see score.py). Reading takes linear time and
never fails on a string: what is not well formed comes back with ``well_formed`` False.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from outrange.core.errors import BadInput, brief
from outrange.reasoning.clrs.registry import algorithm

DEEPEST = 2  # a matrix
LONGEST = 40  # characters of a number; longer ones are no answer to anything here

_WHITE = " \t\r\n"  # what may stand around an answer
_ILLEGAL = re.compile(r"[^0-9.\-\[\](),| e+]")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?(e[+-]?[0-9]+)?")
_TOKEN = re.compile(r"[\[\](),| ]|[^\[\](),| ]+")


@dataclass(frozen=True, slots=True)
class Parsed:
    """What an answer says: its outputs (numbers, lists, lists of lists), the trace before the last ``|`` if there is one, and two verdicts.

    ``legal``: only characters that answers are made of. ``well_formed``: also balanced brackets and readable numbers, so ``outputs`` is complete.
    """

    outputs: list[Any]
    trace: str | None
    legal: bool
    well_formed: bool


def answer_text(completion: str) -> str:
    """The answer in a completion: up to the first blank line, without surrounding white space."""
    return completion.strip(_WHITE).replace("\r\n", "\n").split("\n\n", 1)[0].rstrip(_WHITE)


def parse(completion: str) -> Parsed:
    """Read an answer, with or without a trace in front. Total on any string, in linear time."""
    if not isinstance(completion, str):
        raise BadInput(f"completion: {brief(completion)} is not a string; give the text a model wrote")
    answer = answer_text(completion)
    trace, bar, last = answer.rpartition("|")
    outputs, well_formed = _nested(last)
    legal = bool(answer) and not _ILLEGAL.search(answer) and _exponents_only(answer)
    return Parsed(outputs, trace.strip() if bar else None, legal, legal and well_formed and bool(outputs))


def _exponents_only(answer: str) -> bool:
    """Whether every ``e`` and ``+`` belongs to a number such as 1e-05."""
    if "e" not in answer and "+" not in answer:
        return True
    return all(_NUMBER.fullmatch(word) for word in re.split(r"[\[\](),| ]+", answer) if "e" in word or "+" in word)


def _nested(text: str) -> tuple[list[Any], bool]:
    """The parts of an answer as nested lists, and whether it was well formed; reading stops where it is not."""
    parts: list[Any] = []
    stack, closing = [parts], []
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token in "[(":
            if len(stack) > DEEPEST:
                return parts, False
            inner: list[Any] = []
            stack[-1].append(inner)
            stack.append(inner)
            closing.append("]" if token == "[" else ")")
        elif token in "])":
            if not closing or closing.pop() != token:
                return parts, False
            stack.pop()
        elif token not in ", ":
            if len(token) > LONGEST or not _NUMBER.fullmatch(token):
                return parts, False
            stack[-1].append(number(token))
    return parts, not closing


def number(token: str) -> int | float:
    """A number token as int, or as float if it has a point or an exponent."""
    return float(token) if "." in token or "e" in token else int(token)


_INPUT = re.compile(r"(?:^|, )([A-Za-z_]\w*): ")


def inputs(question: str) -> tuple[str, dict[str, np.ndarray]]:
    """Read a question back: the algorithm's name and its inputs, ready for ``clrs.trace``."""
    lines = question.split("\n") if isinstance(question, str) else []
    if len(lines) < 3 or not lines[0].endswith(":"):
        raise BadInput(f"question: {brief(question)} is not one; it has the lines 'algorithm:', inputs, and 'outputs:'")
    known = algorithm(lines[0][:-1], "question")
    pieces = _INPUT.split(lines[1])
    if pieces[0]:
        raise BadInput(f"question: inputs begin with {brief(pieces[0])}; they are written 'name: value, name: value'")
    values = {}
    for name, written in zip(pieces[1::2], pieces[2::2], strict=True):
        if name == "initial_trace":
            break
        if name not in known.spec.arguments:
            raise BadInput(
                f"question: {brief(name)} is not an input of {known.name}; it takes {', '.join(known.spec.arguments)}"
            )
        if name in values:
            raise BadInput(f"question: {name} is given twice; each input once")
        parts, well_formed = _nested(written)
        if not well_formed or len(parts) != 1 or "(" in written:
            raise BadInput(f"question: {name} reads {brief(written)}; it must be one number, list or list of lists")
        try:
            values[name] = np.asarray(parts[0])
        except ValueError as error:
            raise BadInput(f"question: {name} has rows of different lengths") from error
    return known.name, values
