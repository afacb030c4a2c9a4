"""Pairs of token sequences that differ by one repetition (arXiv 2406.04267, figure 5), and the controls beside them.

Two families are controls of ours. ``digits`` (random digits, as in figure 5b) shows what no repetition looks like. The
``same phase`` pairs compare n with n + 3 repetitions, so that commas at every third digit cannot tell the two apart by
the place within a group of three.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from outrange.attention.glasses.symbols import Symbols

COMMA_GROUP = 3
"""digits between two commas"""
COUNT_PROMPT = "How many ones are in the following sequences? "
COPY_PROMPT = "Can you copy the following number? "
TokenPair = tuple[list[int], list[int]]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A pair of token sequences for every length.

    Attributes:
        name: by which curves refer to it.
        description: in a sentence.
        build_pair: (symbols of a tokenizer, n, seed) -> the two sequences of token ids.
        step: how many more repetitions the second sequence has.
    """

    name: str
    description: str
    build_pair: Callable[[Symbols, int, int], TokenPair]
    step: int = 1


def repetition_family(name: str, description: str, prompt: str = "", step: int = 1, group: int = 0) -> Family:
    """n ones against n + step ones behind a prompt, a comma behind every ``group`` of them; 0: no commas."""

    def build_pair(symbols: Symbols, n: int, seed: int) -> TokenPair:
        prompt_ids, one = symbols.prompt_ids(prompt), symbols.digit_ids[1]
        # grouped from the left, so that the longer sequence begins as the shorter one does
        shorter = prompt_ids + with_commas(symbols, [one] * n, group)
        longer = prompt_ids + with_commas(symbols, [one] * (n + step), group)
        return shorter, longer

    return Family(name=name, description=description, build_pair=build_pair, step=step)


def with_commas(symbols: Symbols, token_ids: list[int], group: int) -> list[int]:
    """The ids with a comma after every ``group`` of them but the last; unchanged if ``group`` is 0."""
    if not group:
        return list(token_ids)
    grouped: list[int] = []
    for index, token_id in enumerate(token_ids):
        if index and index % group == 0:  # a full group stands before, and more follows
            grouped.append(symbols.comma_id)
        grouped.append(token_id)
    return grouped


def _random_digits(symbols: Symbols, n: int, seed: int) -> TokenPair:
    # every n draws its own digits: curves are means over neighbouring n, and so over draws
    digits = np.random.default_rng([seed, n]).integers(0, 10, n - 1)
    one = symbols.digit_ids[1]
    # both end in a one, so that only the repetition of the last token differs from the other families
    shorter = symbols.prompt_ids(COUNT_PROMPT) + [symbols.digit_ids[digit] for digit in digits] + [one]
    return shorter, [*shorter, one]


_ALL = (
    repetition_family("ones", "n against n + 1 ones, without a prompt"),
    repetition_family(
        "count ones", "a question how many ones there are, then n against n + 1 ones (figure 5a)", COUNT_PROMPT
    ),
    Family(
        name="digits",
        description="control: the same question, n - 1 random digits, then one against two ones (figure 5b)",
        build_pair=_random_digits,
    ),
    repetition_family("copy ones", "a request to copy, then n against n + 1 ones (figure 5c)", COPY_PROMPT),
    repetition_family(
        "copy with commas", "the same with a comma at every third digit (figure 5d)", COPY_PROMPT, group=COMMA_GROUP
    ),
    repetition_family(
        "same phase",
        "control: a request to copy, then n against n + 3 ones, without commas",
        COPY_PROMPT,
        step=COMMA_GROUP,
    ),
    repetition_family(
        "same phase with commas",
        "control: n against n + 3 ones with commas, so that both end at the same place of a group",
        COPY_PROMPT,
        step=COMMA_GROUP,
        group=COMMA_GROUP,
    ),
)
FAMILIES = {family.name: family for family in _ALL}
"""the families by name"""
