"""Reading text back: what a model wrote as an answer (``parse``), and a question as an algorithm's inputs (``inputs``).

Structure is brackets; spaces and commas both separate, so ``[1, 2]`` reads as ``[1 2]`` does (it is not *exact*, see
score.py). Reading takes linear time and never fails on a string: what is not well formed comes back with
``well_formed`` False.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from outrange.core.errors import BadInput, brief
from outrange.reasoning.clrs.registry import get_algorithm

MAX_DEPTH = 2  # of brackets: a matrix
MAX_NUMBER_LENGTH = 40  # characters; longer numbers are no answer to anything here

_WHITE_SPACE = " \t\r\n"  # what may stand around an answer
_ILLEGAL = re.compile(r"[^0-9.\-\[\](),| e+]")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?(e[+-]?[0-9]+)?")
_TOKEN = re.compile(r"[\[\](),| ]|[^\[\](),| ]+")


@dataclass(frozen=True, slots=True)
class Parsed:
    """What an answer says: its outputs (numbers, lists, lists of lists), the trace before the last ``|`` if there is
    one, and two verdicts.

    ``legal``: only characters that answers are made of. ``well_formed``: also balanced brackets and readable numbers,
    so ``outputs`` is complete.
    """

    outputs: list[Any]
    trace: str | None
    legal: bool
    well_formed: bool


def answer_text(completion: str) -> str:
    """The answer in a completion: up to the first blank line, without surrounding white space."""
    return completion.strip(_WHITE_SPACE).replace("\r\n", "\n").split("\n\n", 1)[0].rstrip(_WHITE_SPACE)


def parse(completion: str) -> Parsed:
    """Read an answer, with or without a trace in front. Total on any string, in linear time."""
    if not isinstance(completion, str):
        raise BadInput(f"completion: {brief(completion)} is not a string; give the text a model wrote")
    answer = answer_text(completion)
    # A trace has bars of its own only in front of the last one.
    trace, bar, outputs_text = answer.rpartition("|")
    outputs, is_nested = _nested(outputs_text)
    legal = bool(answer) and not _ILLEGAL.search(answer) and _has_exponents_only(answer)
    return Parsed(outputs, trace.strip() if bar else None, legal, legal and is_nested and bool(outputs))


def _has_exponents_only(answer: str) -> bool:
    """Whether every ``e`` and ``+`` belongs to a number such as 1e-05."""
    if "e" not in answer and "+" not in answer:
        return True
    words = re.split(r"[\[\](),| ]+", answer)
    return all(_NUMBER.fullmatch(word) for word in words if "e" in word or "+" in word)


def _nested(text: str) -> tuple[list[Any], bool]:
    """The parts of an answer as nested lists, and whether it was well formed; reading stops where it is not."""
    parts: list[Any] = []
    open_lists, closing_brackets = [parts], []
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token in "[(":
            if len(open_lists) > MAX_DEPTH:
                return parts, False
            inner: list[Any] = []
            open_lists[-1].append(inner)
            open_lists.append(inner)
            closing_brackets.append("]" if token == "[" else ")")
        elif token in "])":
            if not closing_brackets or closing_brackets.pop() != token:
                return parts, False
            open_lists.pop()
        elif token not in ", ":  # what is neither bracket nor separator must be a number
            if len(token) > MAX_NUMBER_LENGTH or not _NUMBER.fullmatch(token):
                return parts, False
            open_lists[-1].append(number(token))
    return parts, not closing_brackets


def number(token: str) -> int | float:
    """A number token as int, or as float if it has a point or an exponent."""
    return float(token) if "." in token or "e" in token else int(token)


_INPUT_NAME = re.compile(r"(?:^|, )([A-Za-z_]\w*): ")


def inputs(question: str) -> tuple[str, dict[str, np.ndarray]]:
    """Read a question back.

    Args:
        question: as ``render`` writes it.

    Returns:
        (name, inputs): the algorithm's name and its inputs, ready for ``clrs.trace``.

    Raises:
        BadInput: naming what cannot be read.
    """
    lines = question.split("\n") if isinstance(question, str) else []
    if len(lines) < 3 or not lines[0].endswith(":"):
        raise BadInput(f"question: {brief(question)} is not one; it has the lines 'algorithm:', inputs, and 'outputs:'")
    algorithm = get_algorithm(lines[0][:-1], "question")
    before, *names_and_texts = _INPUT_NAME.split(lines[1])
    if before:
        raise BadInput(f"question: inputs begin with {brief(before)}; they are written 'name: value, name: value'")
    values = {}
    for name, text in zip(names_and_texts[::2], names_and_texts[1::2], strict=True):
        if name == "initial_trace":  # a step of the trace, not an input; the inputs end here
            break
        if name not in algorithm.spec.arguments:
            raise BadInput(
                f"question: {brief(name)} is not an input of {algorithm.name}; "
                f"it takes {', '.join(algorithm.spec.arguments)}"
            )
        if name in values:
            raise BadInput(f"question: {name} is listed twice; each input once")
        parts, is_nested = _nested(text)
        if not is_nested or len(parts) != 1 or "(" in text:
            raise BadInput(f"question: {name} reads {brief(text)}; it must be one number, list or list of lists")
        try:
            values[name] = np.asarray(parts[0])
        except ValueError as error:
            raise BadInput(f"question: {name} has rows of different lengths") from error
    return algorithm.name, values
