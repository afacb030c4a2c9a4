"""Copying, counting and summing (arXiv 2406.04267, section 4 and figures 2 to 4): prompts, and how an answer is read.

    build_prompt   task, n -> a prompt with its right answer; the quoted question forms are the paper's, hints and
                   worked examples are ours
    build_prompts  every task in every style at every length
    counterpart    the same prompt with another right answer: what a margin is measured against (``margins``)
    score          what a model wrote -> the number it gave, right or not, how far off

What is drawn in a prompt depends on (seed, n, item) alone.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from outrange.core.checks import whole
from outrange.core.errors import BadInput, unknown

Style = Literal["none", "zero-shot", "few-shot"]
STYLES: tuple[Style, ...] = ("none", "zero-shot", "few-shot")
ORDERS = (1, 2, 3)
"""order of question q, answer form f and sequence s: 1 q f s, 2 f q s, 3 s q f (the plain one)"""
COPY_PREFIX = "The answer to your question is: "
MATHS_PREFIX = "The final answer to your maths question is: "
HINT = (
    " Look closely before you answer: the sequence is not all ones, "
    "and the digit that is asked for need not be the one that fills it."
)
COUNTED_WORD = "car"
_FILLER_WORDS = ("tree", "lamp", "river", "stone", "bird", "cloud", "chair", "song")
_ANSWER_FORMS = {
    "copy": "Please answer exactly as 'The answer to your question is: <ANSWER>'.",
    "maths": (
        "Please give the answer on the final line exactly as 'The final answer to your maths question is: xxxx', "
        "where 'xxxx' is your answer."
    ),
}
_MAX_DIGITS = 19  # of an answer that is read as a number; a model may repeat a digit for ever


@dataclass(frozen=True, kw_only=True)
class Task:
    """A question about a sequence.

    Attributes:
        name: of ``TASKS``.
        question: without the sequence, which stands apart from it.
        build_sequence: (n, random generator) -> the sequence and the right answer.
        kind: "copy" or "maths", which decides how the answer is asked for.
        hint: put behind the question.
        increment: what turns a sequence into one with a right answer one higher, if put behind it; of counting and
            summing.
    """

    name: str
    question: str
    build_sequence: Callable[[int, np.random.Generator], tuple[str, int]]
    kind: Literal["copy", "maths"]
    hint: str = ""
    increment: str = "1"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A question with its right answer.

    Attributes:
        task: its name.
        n: ones (words, summands) in the sequence.
        text: ends before the answer.
        sequence: stands once in the text.
        answer: the right one.
        answer_prefix: the words with which an answer begins.
        style, order, item: as ``build_prompt`` took them.
    """

    task: str
    n: int
    text: str
    sequence: str
    answer: int
    answer_prefix: str
    style: Style = "none"
    order: int = 1
    item: int = 0

    @property
    def asks_for_reasoning(self) -> bool:
        """Whether a chain of thought is to stand before the answer."""
        return self.style != "none"


@dataclass(frozen=True)
class Score:
    """The number that an answer gives, if any; whether it is right; how far off it is, if it is a number that was
    counted.
    """

    value: int | None
    correct: bool
    error: float | None


def _zero_last(n: int, rng: np.random.Generator) -> tuple[str, int]:
    return "1" * n + "0", 0


def _zero_first(n: int, rng: np.random.Generator) -> tuple[str, int]:
    return "0" + "1" * n, 0


def _zero_last_interleaved(n: int, rng: np.random.Generator) -> tuple[str, int]:
    return "01" * (n // 2) + "1" * (n % 2) + "0", 0


def _ones(n: int, rng: np.random.Generator) -> tuple[str, int]:
    return "1" * n, n


def _ones_among_zeros(n: int, rng: np.random.Generator) -> tuple[str, int]:
    ones = rng.random(n) < 0.7  # the paper draws ones with probability 0.7
    return "".join("01"[int(is_one)] for is_one in ones), int(ones.sum())


def _sum_of_ones(n: int, rng: np.random.Generator) -> tuple[str, int]:
    return "+".join("1" * n), n


def _words(n: int, rng: np.random.Generator) -> tuple[str, int]:
    # as many fillers as words that count, shuffled
    words = [COUNTED_WORD] * n + [str(rng.choice(_FILLER_WORDS)) for _ in range(n)]
    return " ".join(str(word) for word in rng.permutation(words)), n


_LAST, _FIRST = "What is the last digit in this sequence?", "What is the first digit in this sequence?"
_COUNT = "Please count the number of ones in the following sequence."
# first the paper's, each followed by its remedies; then counting and summing
_ALL = (
    Task(name="first digit", question=_FIRST, build_sequence=_zero_first, kind="copy"),
    Task(name="last digit", question=_LAST, build_sequence=_zero_last, kind="copy"),
    Task(name="last digit, with a hint", question=_LAST, build_sequence=_zero_last, kind="copy", hint=HINT),
    Task(name="last digit, interleaved", question=_LAST, build_sequence=_zero_last_interleaved, kind="copy"),
    Task(name="count ones", question=_COUNT, build_sequence=_ones, kind="maths"),
    Task(name="count ones among zeros", question=_COUNT, build_sequence=_ones_among_zeros, kind="maths"),
    Task(
        name="count words",
        question=f"Please count the number of times '{COUNTED_WORD}' appears in the following sentence.",
        build_sequence=_words,
        kind="maths",
        increment=f" {COUNTED_WORD}",
    ),
    Task(
        name="sum ones",
        question="Please perform the following sum.",
        build_sequence=_sum_of_ones,
        kind="maths",
        increment="+1",
    ),
)
TASKS = {task.name: task for task in _ALL}
"""the tasks by name"""
COPY_TASKS = tuple(name for name, task in TASKS.items() if task.kind == "copy")
DEFAULT_TASKS = ("first digit", "last digit", "count ones", "sum ones")
DEFAULT_MARGIN_TASKS = ("first digit", "last digit")


def build_prompt(task: str, n: int, *, style: Style = "none", order: int = 1, seed: int = 0, item: int = 0) -> Prompt:
    """A prompt.

    Args:
        task: of ``TASKS``.
        n: ones (words, summands) in the sequence, at least 1.
        style: none: the answer at once; zero-shot: asked to think step by step; few-shot: behind two worked examples.
        order: of question, answer form and sequence, of ``ORDERS``.
        seed, item: of what is drawn.

    Raises:
        BadInput: naming what is not allowed.
    """
    if task not in TASKS:
        raise unknown("task", task, TASKS, "a task")
    if style not in STYLES:
        raise unknown("style", style, STYLES, "a style")
    if order not in ORDERS:
        raise BadInput(f"order: {order!r} is not allowed; 1, 2 and 3 are")
    whole("n", n, 1)
    whole("seed", seed, 0)
    whole("item", item, 0)
    definition = TASKS[task]
    sequence, answer = definition.build_sequence(n, np.random.default_rng([seed, n, item]))

    # the paper's three orders of question, answer form and sequence
    question, form = definition.question + definition.hint, _ANSWER_FORMS[definition.kind]
    # the request to think stands before the form, which then asks for a final line
    if style == "zero-shot":
        form = f"Let's think step by step. {form}"
    parts = {
        1: (question, form, f"Here is the sequence: {sequence}"),
        2: (form, question, f"Here is the sequence: {sequence}"),
        3: (f"Consider the following sequence: {sequence}.", question, form),
    }
    text = " ".join(parts[order])
    if style == "few-shot":
        # twelve and six ones: neither a length that is usually asked for
        text = "\n\n".join([*(_worked_example(definition, length) for length in (12, 6)), text])
    return Prompt(
        task=task,
        n=n,
        text=text,
        sequence=sequence,
        answer=answer,
        answer_prefix=COPY_PREFIX if definition.kind == "copy" else MATHS_PREFIX,
        style=style,
        order=order,
        item=item,
    )


def build_prompts(
    tasks: Sequence[str],
    lengths: Sequence[int],
    *,
    styles: Sequence[Style] = ("none",),
    order: int = 1,
    items: int = 1,
    seed: int = 0,
) -> list[Prompt]:
    """Every task in every style at every length, ``items`` prompts of each; arguments as for ``build_prompt``.

    Raises:
        BadInput: naming what is not allowed.
    """
    whole("items", items, 1)
    if not lengths:
        raise BadInput("lengths: none is given; name one or more, such as 2 5 10")
    return [
        build_prompt(task, n, style=style, order=order, seed=seed, item=item)
        for task in tasks
        for style in styles
        for n in lengths
        for item in range(items)
    ]


def _worked_example(task: Task, n: int) -> str:
    """An example with its solution: copying says what stands there, counting adds up in groups of five."""
    sequence, answer = task.build_sequence(n, np.random.default_rng([1, n]))
    question = f"{task.question} Here is the sequence: {sequence}\n"
    if task.kind == "copy":
        return f"{question}{COPY_PREFIX}{answer}"
    # a count of 12 is shown as 5 + 5 + 2
    groups = [5] * (answer // 5) + ([answer % 5] if answer % 5 else [])
    sums = " + ".join(map(str, groups)) or "0"
    return f"{question}In groups of at most five I find {sums} = {answer}.\n{MATHS_PREFIX}{answer}"


def counterpart(prompt: Prompt) -> Prompt:
    """The prompt with another right answer: of copying with a 1 for the digit that is asked for, of counting and
    summing with one more."""
    task, sequence = TASKS[prompt.task], prompt.sequence
    if task.kind == "copy":  # the zero that is asked for becomes a one
        changed = "1" + sequence[1:] if prompt.task.startswith("first") else sequence[:-1] + "1"
        answer = 1
    else:
        changed, answer = sequence + task.increment, prompt.answer + 1
    # worked examples may hold the same sequence: the last occurrence is the one that is asked about
    text = changed.join(prompt.text.rsplit(sequence, 1))
    return replace(prompt, text=text, sequence=changed, answer=answer)


def score(prompt: Prompt, completion: str) -> Score:
    """Reads an answer: the number behind the last asked-for phrase, else the last number anywhere. Total on any
    string.
    """
    # a chain of thought holds numbers of its own, so the phrase that was asked for goes first
    phrase = prompt.answer_prefix.strip()
    if phrase in completion:
        numbers = re.findall(r"-?\d[\d,]*", completion.rsplit(phrase, 1)[1])[:1]
    else:
        numbers = re.findall(r"-?\d[\d,]*", completion)[-1:]
    # thousands may be set off by commas; a sign may stand before
    digits = re.sub(r"[^\d-]", "", numbers[0])[:_MAX_DIGITS] if numbers else ""
    value = int(digits) if digits.strip("-") else None
    # a copied digit is right or wrong; only a count or a sum can be nearly right
    if value is None or TASKS[prompt.task].kind == "copy":
        error = None
    else:
        error = float(abs(value - prompt.answer))
    return Score(value, value == prompt.answer, error)
