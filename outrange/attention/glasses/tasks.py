"""Copying, counting and summing (arXiv 2406.04267, section 4 and figures 2 to 4): prompts, how an answer is read, and margins.

    build     task, n -> a prompt with its right answer; the quoted question forms are the paper's, hints and worked examples are ours
    score     what a model wrote -> the number it gave, right or not, how far off
    margins   copying: log-odds of the right digit against the other one as the next token behind the answer's forced beginning, less those of all ones;
              counting and summing: log-odds of answering k against k + 1, k the right answer, less those behind a sequence with one more

Small models answer 1 whatever is asked, so accuracy says 0 everywhere; the margin shows what a single zero, or one more, still does to the answer. Items
depend on (seed, n, item) alone. Where a tokenizer merges digits a margin's sequence is made of single digits' tokens (``symbols``).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from outrange.attention.glasses.symbols import Symbols
from outrange.core.errors import BadInput, unknown
from outrange.lm.opening import context_length, encode_text

Style = Literal["none", "zero-shot", "few-shot"]
STYLES: tuple[Style, ...] = ("none", "zero-shot", "few-shot")
TYPES = (1, 2, 3)
"""order of question q, answer form f and sequence s: 1 q f s, 2 f q s, 3 s q f (the plain one)"""
ANSWER, FINAL = "The answer to your question is: ", "The final answer to your maths question is: "
HINT = " Look closely before you answer: the sequence is not all ones, and the digit that is asked for need not be the one that fills it."
WORD = "car"
_OTHERS = ("tree", "lamp", "river", "stone", "bird", "cloud", "chair", "song")
_FORM = {"copy": "Please answer exactly as 'The answer to your question is: <ANSWER>'."}
_FORM["maths"] = (
    "Please give the answer on the final line exactly as 'The final answer to your maths question is: xxxx', where 'xxxx' is your answer."
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A question about a sequence.

    Attributes:
        question: with ``{seq}`` nowhere: the sequence stands apart.
        sequence: from n and a generator to the sequence and the right answer.
        kind: copy or maths, which says how the answer is asked for.
        hint: added behind the question.
        more: added to a sequence it is one with a right answer one higher; of counting and summing.
    """

    name: str
    question: str
    sequence: Callable[[int, np.random.Generator], tuple[str, int]]
    kind: Literal["copy", "maths"]
    hint: str = ""
    more: str = "1"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """``text`` ends before the answer, whose forced beginning is ``prefix``; ``sequence`` stands once in the text; ``answer`` is right; behind a chain of
    thought if it ``thinks``."""

    task: str
    n: int
    text: str
    sequence: str
    answer: int
    prefix: str
    thinks: bool = False


@dataclass(frozen=True)
class Scored:
    """The number that was given, if any; whether it is right; how far off, if it is a number."""

    value: int | None
    correct: bool
    error: float | None


@dataclass(frozen=True, kw_only=True)
class Margins:
    """How far what decides the answer - the zero, or one more - moves its log-odds, (lengths,), and the odds themselves: means over orders of a prompt.

    ``low`` and ``high`` are the smallest and the largest shift over the orders.
    """

    task: str
    lengths: tuple[int, ...]
    shift: np.ndarray
    odds: np.ndarray
    low: np.ndarray
    high: np.ndarray
    notes: tuple[str, ...] = ()


def _last(n: int, draw: np.random.Generator) -> tuple[str, int]:
    return "1" * n + "0", 0


def _first(n: int, draw: np.random.Generator) -> tuple[str, int]:
    return "0" + "1" * n, 0


def _mixed(n: int, draw: np.random.Generator) -> tuple[str, int]:
    return "01" * (n // 2) + "1" * (n % 2) + "0", 0


def _ones(n: int, draw: np.random.Generator) -> tuple[str, int]:
    return "1" * n, n


def _bernoulli(n: int, draw: np.random.Generator) -> tuple[str, int]:
    drawn = draw.random(n) < 0.7
    return "".join("01"[int(one)] for one in drawn), int(drawn.sum())


def _sum(n: int, draw: np.random.Generator) -> tuple[str, int]:
    return "+".join("1" * n), n


def _words(n: int, draw: np.random.Generator) -> tuple[str, int]:
    words = [WORD] * n + [str(draw.choice(_OTHERS)) for _ in range(n)]
    return " ".join(str(one) for one in draw.permutation(words)), n


_LAST, _FIRST = "What is the last digit in this sequence?", "What is the first digit in this sequence?"
_COUNT = "Please count the number of ones in the following sequence."
TASKS = {
    task.name: task
    for task in (
        Task(name="first digit", question=_FIRST, sequence=_first, kind="copy"),
        Task(name="last digit", question=_LAST, sequence=_last, kind="copy"),
        Task(name="last digit, with a hint", question=_LAST, sequence=_last, kind="copy", hint=HINT),
        Task(name="last digit, interleaved", question=_LAST, sequence=_mixed, kind="copy"),
        Task(name="count ones", question=_COUNT, sequence=_ones, kind="maths"),
        Task(name="count ones among zeros", question=_COUNT, sequence=_bernoulli, kind="maths"),
        Task(
            name="count words",
            question=f"Please count the number of times '{WORD}' appears in the following sentence.",
            sequence=_words,
            kind="maths",
            more=f" {WORD}",
        ),
        Task(name="sum ones", question="Please perform the following sum.", sequence=_sum, kind="maths", more="+1"),
    )
}
COPYING = tuple(name for name, task in TASKS.items() if task.kind == "copy")


def build(task: str, n: int, *, style: Style = "none", order: int = 1, seed: int = 0, item: int = 0) -> Prompt:
    """A prompt.

    Args:
        task: of ``TASKS``.
        n: ones (words, summands) in the sequence, at least 1.
        style: none: the answer at once; zero-shot: asked to think step by step; few-shot: behind two worked examples.
        order: of ``TYPES``.
        seed, item: of what is drawn.

    Raises:
        BadInput: naming what is not allowed.
    """
    if task not in TASKS:
        raise unknown("task", task, TASKS, "a task")
    if style not in STYLES:
        raise unknown("style", style, STYLES, "a style")
    if order not in TYPES:
        raise BadInput(f"order: {order!r} is not allowed; 1, 2 and 3 are")
    for name, value, least in (("n", n, 1), ("seed", seed, 0), ("item", item, 0)):
        if value < least:
            raise BadInput(f"{name}: {value} is not allowed; it must be at least {least}")
    of = TASKS[task]
    sequence, answer = of.sequence(n, np.random.default_rng([seed, n, item]))
    question, form = of.question + of.hint, _FORM[of.kind]
    if style == "zero-shot":
        form = f"Let's think step by step. {form}"
    parts = {
        1: (question, form, f"Here is the sequence: {sequence}"),
        2: (form, question, f"Here is the sequence: {sequence}"),
    }
    parts[3] = (f"Consider the following sequence: {sequence}.", question, form)
    text = " ".join(parts[order])
    if style == "few-shot":
        text = "\n\n".join([*(_worked(of, k) for k in (12, 6)), text])
    return Prompt(
        task=task,
        n=n,
        text=text,
        sequence=sequence,
        answer=answer,
        prefix=ANSWER if of.kind == "copy" else FINAL,
        thinks=style != "none",
    )


def _worked(task: Task, n: int) -> str:
    """An example with its solution: copying says what stands there, counting adds up in groups of five."""
    sequence, answer = task.sequence(n, np.random.default_rng([1, n]))
    if task.kind == "copy":
        return f"{task.question} Here is the sequence: {sequence}\n{ANSWER}{answer}"
    groups = [5] * (answer // 5) + ([answer % 5] if answer % 5 else [])
    sums = " + ".join(map(str, groups)) or "0"
    return f"{task.question} Here is the sequence: {sequence}\nIn groups of at most five I find {sums} = {answer}.\n{FINAL}{answer}"


def score(prompt: Prompt, completion: str) -> Scored:
    """What was answered: the number behind the last asked-for phrase, else the last number anywhere; total on any string."""
    phrase = prompt.prefix.strip()
    behind = completion.rsplit(phrase, 1)[1] if phrase in completion else None
    found = re.findall(r"-?\d[\d,]*", behind) if behind is not None else re.findall(r"-?\d[\d,]*", completion)[-1:]
    digits = re.sub(r"[^\d-]", "", found[0])[:19] if found else ""
    value = int(digits) if digits.strip("-") else None
    error = None if value is None or TASKS[prompt.task].kind == "copy" else float(abs(value - prompt.answer))
    return Scored(value, value == prompt.answer, error)


def chat(tokenizer: Any, text: str, prefix: str) -> tuple[str, str]:
    """The text as a model's chat template frames it, with the answer begun; and a note where there is no template."""
    if getattr(tokenizer, "chat_template", None):
        framed = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
        )
        return framed + prefix, ""
    return f"{text}\n{prefix}", "the tokenizer has no chat template; prompts stand as plain text"


def encoded(symbols: Symbols, prompt: Prompt) -> tuple[list[int], str]:
    """The ids of a prompt with the answer begun, and a note."""
    framed, note = chat(symbols.tokenizer, prompt.text, prompt.prefix)
    templated = not note

    def ids(text: str) -> list[int]:
        return list(symbols.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) if text else []

    if symbols.note and prompt.sequence.isdigit():  # merged digits: the sequence is put in, digit by digit
        before, after = framed.rsplit(prompt.sequence, 1) if framed.count(prompt.sequence) else (framed, "")
        found = ids(before) + symbols.number(prompt.sequence) + ids(after)
    elif templated:
        found = ids(framed)
    else:
        return encode_text(symbols.tokenizer, framed), note
    return (found if templated else symbols.prompt("") + found), note


def margins(
    model: Any,
    tokenizer: Any,
    lengths: Sequence[int],
    names: Sequence[str] = COPYING,
    progress: Callable[[int, int], None] | None = None,
    orders: Sequence[int] = (1,),
) -> list[Margins]:
    """How far what decides the answer moves it.

    Of copying: log-odds of 0 against 1 as the answer, less those where a 1 stands in the zero's place. Of counting and summing: log-odds of answering k against
    k + 1 to a sequence whose right answer is k, less those behind the same with one more; positive where the sequence moves the answer the right way.

    Args:
        model: a transformers decoder.
        tokenizer: its tokenizer.
        lengths: numbers of ones.
        names: of ``TASKS``.
        progress: told how many prompts are done.
        orders: of question, form and sequence, of ``TYPES``.

    Raises:
        BadInput: there is no such task or order, or a prompt is longer than the model's context.
    """
    for name in names:
        if name not in TASKS:
            raise unknown("tasks", name, TASKS, "a task")
    symbols, done = Symbols.of(tokenizer), 0
    found = []
    for name in names:
        odds, notes = np.zeros((len(orders), len(lengths), 2)), set[str]()
        for one, order in enumerate(orders):
            for k, n in enumerate(lengths):
                asked = build(name, n, order=order)
                for side, prompt in enumerate((asked, other(asked))):
                    ids, note = encoded(symbols, prompt)
                    notes |= {note} - {""}
                    odds[one, k, side] = answer_odds(
                        model, ids, [symbols.number(answer) for answer in options(asked)], n
                    )
                    done += 1
                    if progress:
                        progress(done, odds.size * len(names))
        shift = odds[..., 0] - odds[..., 1]
        found.append(
            Margins(
                task=name,
                lengths=tuple(lengths),
                shift=shift.mean(0),
                odds=odds[..., 0].mean(0),
                low=shift.min(0),
                high=shift.max(0),
                notes=tuple(sorted(notes)),
            )
        )
    return found


def other(prompt: Prompt) -> Prompt:
    """The prompt that a margin is held against: of copying with a 1 for the digit that is asked for, of counting and summing with one more."""
    copying, asked = TASKS[prompt.task].kind == "copy", prompt.sequence
    if copying:
        sequence = "1" + asked[1:] if prompt.task.startswith("first") else asked[:-1] + "1"
    else:
        sequence = asked + TASKS[prompt.task].more
    text = sequence.join(prompt.text.rsplit(prompt.sequence, 1))
    return replace(prompt, text=text, sequence=sequence, answer=1 if copying else prompt.answer + 1)


def options(prompt: Prompt) -> tuple[str, str]:
    """The two answers whose odds a margin is about, the right one first."""
    return ("0", "1") if TASKS[prompt.task].kind == "copy" else (str(prompt.answer), str(prompt.answer + 1))


def answer_odds(model: Any, ids: list[int], answers: list[list[int]], n: int) -> float:
    """log P(first answer | ids) - log P(second | ids); answers of one token share a pass."""
    limit = context_length(model)
    if (total := len(ids) + max(map(len, answers)) - 1) > limit:
        raise BadInput(
            f"lengths: a prompt of {total:,} tokens is not allowed; the model's context holds {limit:,}; take fewer ones than {n}"
        )

    def after(more: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            out = (
                model(torch.tensor([ids + more], device=model.device), use_cache=False, logits_to_keep=len(more) + 1)
                .logits[0]
                .float()
            )
        return torch.log_softmax(out, -1)

    passes: dict[tuple[int, ...], torch.Tensor] = {}
    said = []
    for answer in answers:
        begun = tuple(answer[:-1])
        passes[begun] = passes[begun] if begun in passes else after(list(begun))
        said.append(float(passes[begun][torch.arange(len(answer)), answer].sum()))
    return said[0] - said[1]
