"""Asking many prompts of a backend (arXiv 2406.04267, figures 2 to 4): answers with their scores, or margins of
copying.

What was answered is kept whatever happens after: every answer is written to a file as it comes, and a backend that
fails ends the list early, with what came before and a sentence on what failed.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from outrange.attention.glasses.backends import Backend, OddsBackend
from outrange.attention.glasses.chat_client import NoAnswer
from outrange.attention.glasses.tasks import COPY_TASKS, Prompt, Style, counterpart, score
from outrange.core.atomic import make_way, writable
from outrange.core.checks import whole
from outrange.core.errors import unknown

ANSWER_TOKENS, REASONING_TOKENS = 16, 512
"""of an answer at once, and of one behind a chain of thought"""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One prompt and its answer.

    Attributes:
        task, style, order, n, item: of the prompt.
        expected: the right answer.
        completion: what was answered, in words.
        value: the number in it, if any.
        correct: whether that is the right one.
        error: how far off it is; of counts and sums.
    """

    task: str
    style: Style
    order: int
    n: int
    item: int
    expected: int
    completion: str
    value: int | None
    correct: bool
    error: float | None


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Of a few answers: how many there are, the share (0 to 1) that is right, and how far off numbers are on
    average.
    """

    count: int
    correct_share: float
    mean_error: float | None


@dataclass(frozen=True)
class Answers:
    """All that was answered.

    Attributes:
        answers: in the order of the prompts.
        failure: why there are no more, if a backend failed; else empty.
    """

    answers: tuple[Answer, ...]
    failure: str = ""

    def accuracy(self, task: str, style: Style, n: int) -> Accuracy | None:
        """Of the answers to one kind of prompt; None if there are none."""
        # of one kind are ``items`` answers, which differ in what was drawn
        kind = [answer for answer in self.answers if (answer.task, answer.style, answer.n) == (task, style, n)]
        if not kind:
            return None
        # an answer without a number, or one of copying, is no distance off
        errors = [answer.error for answer in kind if answer.error is not None]
        return Accuracy(
            count=len(kind),
            correct_share=sum(answer.correct for answer in kind) / len(kind),
            mean_error=sum(errors) / len(errors) if errors else None,
        )


@dataclass(frozen=True, kw_only=True)
class Shift:
    """How far the zero of a copying prompt moves the log-odds of answering 0.

    Attributes:
        task, n: of the prompt.
        log_odds: log P(0) - log P(1).
        shift: ``log_odds`` less those where a 1 stands in the zero's place.
    """

    task: str
    n: int
    log_odds: float
    shift: float


@dataclass(frozen=True)
class Shifts:
    """All margins that were measured, and why there are no more, if a backend failed."""

    shifts: tuple[Shift, ...]
    failure: str = ""

    def shift(self, task: str, n: int) -> float | None:
        """Of one prompt, the last if there are several; None if it was not measured."""
        shifts = {(shift.task, shift.n): shift.shift for shift in self.shifts}
        return shifts.get((task, n))


def ask(
    backend: Backend,
    prompts: Sequence[Prompt],
    *,
    max_tokens: int | None = None,
    out: Path | None = None,
    report_progress: Callable[[int, int], None] = lambda done, total: None,
    report_answer: Callable[[Answer], None] = lambda answer: None,
) -> Answers:
    """Asks every prompt.

    Args:
        backend: who answers, as ``open_backend`` gives it.
        prompts: as ``build_prompts`` gives them.
        max_tokens: of an answer; by default 16, with a chain of thought 512.
        out: a file to write, one line of JSON an answer; what stood there before goes with the first answer.
        report_progress: called with how many prompts are answered, and how many there are.
        report_answer: called with every answer as it comes.

    Raises:
        BadInput: naming what is not allowed.
    """
    if max_tokens is not None:  # 0 would ask for answers without a word
        whole("max_tokens", max_tokens, 1)
    lines = _JsonLines(out)
    answers: list[Answer] = []
    for prompt in prompts:
        try:
            limit = max_tokens or (REASONING_TOKENS if prompt.asks_for_reasoning else ANSWER_TOKENS)
            completion = backend.answer(prompt, limit)
        except NoAnswer as error:  # a failing backend would fail again: what came before is the result
            return Answers(tuple(answers), str(error))
        scored = score(prompt, completion)
        answer = Answer(
            task=prompt.task,
            style=prompt.style,
            order=prompt.order,
            n=prompt.n,
            item=prompt.item,
            expected=prompt.answer,
            completion=completion,
            value=scored.value,
            correct=scored.correct,
            error=scored.error,
        )
        # on disk before anybody hears of it, so that an interruption loses nothing that was reported
        answers.append(answer)
        lines.write(answer)
        report_answer(answer)
        report_progress(len(answers), len(prompts))
    return Answers(tuple(answers))


def ask_margins(
    backend: OddsBackend,
    prompts: Sequence[Prompt],
    *,
    out: Path | None = None,
    report_progress: Callable[[int, int], None] = lambda done, total: None,
    report_shift: Callable[[Shift], None] = lambda shift: None,
) -> Shifts:
    """The margins of copying by any backend.

    Args:
        backend, out, report_progress: as for ``ask``.
        prompts: of ``COPY_TASKS``, as ``build_prompts`` gives them.
        report_shift: called with every margin as it comes.

    Raises:
        BadInput: a prompt is not one of copying, whose answer is a single token.
    """
    check_copying([prompt.task for prompt in prompts])
    lines = _JsonLines(out)
    shifts: list[Shift] = []
    for prompt in prompts:
        try:
            log_odds = backend.log_odds(prompt)
            # what the zero adds: the same prompt with a 1 in its place is the baseline
            shift = log_odds - backend.log_odds(counterpart(prompt))
        except NoAnswer as error:
            return Shifts(tuple(shifts), str(error))
        measured = Shift(task=prompt.task, n=prompt.n, log_odds=log_odds, shift=shift)
        shifts.append(measured)
        lines.write(measured)
        report_shift(measured)
        report_progress(len(shifts), len(prompts))
    return Shifts(tuple(shifts))


def check_copying(tasks: Sequence[str]) -> None:
    """Refuses tasks whose answer is not one of two digits.

    Raises:
        BadInput: naming the first of them.
    """
    for task in tasks:
        if task not in COPY_TASKS:
            raise unknown("tasks", task, COPY_TASKS, "a task of copying")


class _JsonLines:
    """A file that gets one line of JSON a record. It is begun with the first record, so that a run without any changes
    nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._mode = path, "w"
        if path is not None:  # a folder that cannot be written is refused before the first prompt
            make_way("out", path)

    def write(self, record: Any) -> None:
        if self._path is None:
            return
        with writable("out", self._path), open(self._path, self._mode, encoding="utf-8") as file:
            file.write(json.dumps(asdict(record)) + "\n")
        self._mode = "a"  # opened anew for every record, so that each is on disk before the next is asked for
