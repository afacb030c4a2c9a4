"""Margins (arXiv 2406.04267, section 4): how far what decides an answer moves the odds of that answer.

    copying               log-odds of the right digit against the other one as the next token behind the answer's forced
                          beginning, less those of all ones
    counting and summing  log-odds of answering k against k + 1, k the right answer, less those behind a sequence with
                          one more

Small models answer 1 whatever is asked, so accuracy is 0 everywhere; the margin shows what a single zero, or one more,
still does to the answer. Where a tokenizer merges digits a margin's sequence is made of single digits' tokens
(``symbols``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from outrange.attention.glasses.symbols import Symbols
from outrange.attention.glasses.tasks import COPY_TASKS, TASKS, Prompt, build_prompt, counterpart
from outrange.core.errors import BadInput, unknown
from outrange.lm.opening import context_length, encode_text


@dataclass(frozen=True, kw_only=True)
class Margins:
    """How far what decides the answer - the zero, or one more - moves its log-odds, along lengths.

    Attributes:
        task: its name.
        lengths: numbers of ones.
        shift: (lengths,) mean over orders of a prompt.
        log_odds: (lengths,) of the right answer, mean over orders.
        lowest_shift, highest_shift: (lengths,) over orders.
        notes: sentences that a reader must know.
    """

    task: str
    lengths: tuple[int, ...]
    shift: np.ndarray
    log_odds: np.ndarray
    lowest_shift: np.ndarray
    highest_shift: np.ndarray
    notes: tuple[str, ...] = ()


def measure_margins(
    model: Any,
    tokenizer: Any,
    lengths: Sequence[int],
    tasks: Sequence[str] = COPY_TASKS,
    orders: Sequence[int] = (1,),
    report_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Margins]:
    """The margins of tasks on a model; positive where the sequence moves the answer the right way.

    Args:
        model: a transformers decoder.
        tokenizer: its tokenizer.
        lengths: numbers of ones.
        tasks: of ``TASKS``.
        orders: of question, form and sequence, of ``ORDERS``.
        report_progress: called with how many prompts are done, and how many there are.

    Raises:
        BadInput: there is no such task or order, or a prompt is longer than the model's context.
    """
    for task in tasks:
        if task not in TASKS:
            raise unknown("tasks", task, TASKS, "a task")
    symbols = Symbols.from_tokenizer(tokenizer)
    # every prompt in every order, and its counterpart
    total, done = len(tasks) * len(orders) * len(lengths) * 2, 0
    margins = []
    for task in tasks:
        # the last axis: the prompt itself, and its counterpart
        log_odds, notes = np.zeros((len(orders), len(lengths), 2)), set[str]()
        for order_index, order in enumerate(orders):
            for length_index, n in enumerate(lengths):
                prompt = build_prompt(task, n, order=order)
                # both prompts are asked for the same two answers: right for the first, wrong for its counterpart
                answers = [symbols.number_ids(answer) for answer in answer_options(prompt)]
                for side, asked in enumerate((prompt, counterpart(prompt))):
                    token_ids, note = encode_prompt(symbols, asked)
                    log_odds[order_index, length_index, side] = answer_log_odds(model, token_ids, answers, n)
                    notes |= {note} - {""}
                    done += 1
                    report_progress(done, total)
        # positive where the sequence moves the answer the right way
        shift = log_odds[..., 0] - log_odds[..., 1]
        margins.append(
            Margins(
                task=task,
                lengths=tuple(lengths),
                shift=shift.mean(0),
                log_odds=log_odds[..., 0].mean(0),
                lowest_shift=shift.min(0),
                highest_shift=shift.max(0),
                notes=tuple(sorted(notes)),
            )
        )
    return margins


def answer_options(prompt: Prompt) -> tuple[str, str]:
    """The two answers whose odds a margin is about, the right one first."""
    if TASKS[prompt.task].kind == "copy":
        return "0", "1"
    return str(prompt.answer), str(prompt.answer + 1)


def answer_log_odds(model: Any, token_ids: list[int], answers: Sequence[list[int]], n: int) -> float:
    """log P(first answer | prompt) - log P(second answer | prompt).

    Args:
        model: a transformers decoder.
        token_ids: of the prompt.
        answers: the token ids of two answers; those that differ in their last token alone share a pass.
        n: the prompt's length, for the error's sentence.

    Raises:
        BadInput: prompt and answer are longer than the model's context.
    """
    limit = context_length(model)
    if (total := len(token_ids) + max(map(len, answers)) - 1) > limit:
        raise BadInput(
            f"lengths: a prompt of {total:,} tokens is not allowed; the model's context holds {limit:,}; "
            f"take fewer ones than {n}"
        )

    def next_log_probabilities(answer_start: tuple[int, ...]) -> torch.Tensor:
        """(1 + tokens of the start, vocabulary): of every next token from the prompt's end on."""
        sequence = torch.tensor([token_ids + list(answer_start)], device=model.device)
        with torch.inference_mode():
            logits = model(sequence, use_cache=False, logits_to_keep=len(answer_start) + 1).logits[0].float()
        return torch.log_softmax(logits, -1)

    passes: dict[tuple[int, ...], torch.Tensor] = {}
    log_probabilities = []
    for answer in answers:
        # every token of an answer is predicted behind those before it; its last one needs no reading
        start = tuple(answer[:-1])
        if start not in passes:
            passes[start] = next_log_probabilities(start)
        log_probabilities.append(float(passes[start][torch.arange(len(answer)), answer].sum()))
    return log_probabilities[0] - log_probabilities[1]


def encode_prompt(symbols: Symbols, prompt: Prompt) -> tuple[list[int], str]:
    """The token ids of a prompt as the model's chat template frames it, with the answer begun.

    Returns:
        the ids, and a note where the tokenizer has no chat template.
    """
    framed, note = apply_chat_template(symbols.tokenizer, prompt.text, prompt.answer_prefix)
    has_template = not note

    def encode(text: str) -> list[int]:
        return list(symbols.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) if text else []

    if symbols.note and prompt.sequence.isdigit():  # merged digits: the sequence is put in, digit by digit
        before, after = framed.rsplit(prompt.sequence, 1) if prompt.sequence in framed else (framed, "")
        token_ids = encode(before) + symbols.number_ids(prompt.sequence) + encode(after)
    elif has_template:
        token_ids = encode(framed)
    else:
        return encode_text(symbols.tokenizer, framed), note
    # a template writes the beginning-of-sequence token itself
    return (token_ids if has_template else symbols.prompt_ids("") + token_ids), note


def apply_chat_template(tokenizer: Any, text: str, answer_prefix: str) -> tuple[str, str]:
    """The text as a model's chat template frames it, with the answer begun; and a note where there is no template."""
    if getattr(tokenizer, "chat_template", None):
        framed = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
        )
        return framed + answer_prefix, ""
    return f"{text}\n{answer_prefix}", "the tokenizer has no chat template; prompts stand as plain text"
