"""A probe: from what length on a language model loses its input, in which precision, and what helps (arXiv 2406.04267,
sections 4 to 6, on any model).

Runs collapse, the margins of copying, counting and summing, and over-squashing at a chosen budget; ``verdict`` draws
its conclusions from the numbers.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from outrange.attention.glasses.collapse import RESOLUTION, Curve, Dtype, collapse_curves
from outrange.attention.glasses.families import COMMA_GROUP, FAMILIES
from outrange.attention.glasses.margins import Margins, encode_prompt, measure_margins
from outrange.attention.glasses.squashing import (
    Sensitivity,
    attention_bound,
    estimate_sensitivity,
    exact_sensitivity,
    path_shares,
)
from outrange.attention.glasses.symbols import Symbols
from outrange.attention.glasses.tasks import COPY_TASKS, ORDERS, build_prompt, counterpart
from outrange.attention.glasses.verdict import Finding, Remedy, draw_verdict, judge_remedies
from outrange.attention.texts import SHAKESPEARE
from outrange.core.errors import BadInput
from outrange.lm.opening import OpenedModel, context_length, decode_tokens, encode_text, model_notes

MARGIN_TASKS = (*COPY_TASKS, "count ones", "sum ones")
"""tasks whose margins are measured"""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much is measured.

    Attributes:
        lengths: of repetitions.
        dtypes: types of the collapse curves.
        margin_lengths: numbers of ones in the tasks.
        tokens: of the text whose sensitivities are measured.
        directions: random ones of the estimate; 0: exactly.
    """

    lengths: tuple[int, ...]
    dtypes: tuple[Dtype, ...]
    margin_lengths: tuple[int, ...]
    tokens: int
    directions: int


BUDGETS = {
    "quick": Budget(
        lengths=(8, 32, 128, 256),
        dtypes=("float32", "bfloat16"),
        margin_lengths=(5, 20, 100),
        tokens=128,
        directions=16,
    ),
    "full": Budget(
        lengths=(8, 16, 32, 64, 128, 256, 512, 1024),
        dtypes=("float32", "bfloat16", "float16", "int8"),
        margin_lengths=(5, 10, 20, 50, 100, 200),
        tokens=512,
        directions=64,
    ),
}


@dataclass(frozen=True, kw_only=True)
class TextSensitivity:
    """Which tokens of a text reach the last one's representation, beside what the paper says they can.

    Attributes:
        tokens: as one reads them.
        sensitivity: the norms.
        bound: (n,) the paper's bound from the model's attention; its shape alone speaks.
        path_shares: (n,) count of paths from each token, over those from the first.
        directions: of the estimate; 0: exact.
    """

    tokens: tuple[str, ...]
    sensitivity: Sensitivity
    bound: np.ndarray
    path_shares: np.ndarray
    directions: int

    @property
    def method(self) -> str:
        """How the norms were computed, in words."""
        method = self.sensitivity.method
        return f"{method}, {self.directions} directions" if self.directions else method

    @property
    def relative_bound(self) -> np.ndarray:
        """The bound over the first token's; over the largest where a sliding window keeps the first token out."""
        return self.bound / (self.bound[0] or self.bound.max())


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a probe found.

    Attributes:
        model: its name.
        curves: of every family in every type.
        margins: of every task; none where no prompt fits into the model's context.
        text: sensitivities of a text's tokens.
        verdict: questions and answers.
        remedies: each against the same without it.
        notes: sentences that a reader must know.
    """

    model: str
    curves: tuple[Curve, ...]
    margins: tuple[Margins, ...]
    text: TextSensitivity
    verdict: tuple[Finding, ...]
    remedies: tuple[Remedy, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data that JSON can hold; numbers that are not finite are None."""
        result = plain_data(asdict(self))
        # a reader of the JSON has no table of families and types at hand
        for curve in result["curves"]:
            curve["description"] = FAMILIES[curve["family"]].description if curve["family"] in FAMILIES else ""
            curve["resolution"] = RESOLUTION.get(curve["dtype"])
        sensitivity = self.text.sensitivity
        result["text"] |= {"share_below_1_percent": sensitivity.share_below(0.01), "u_shape": sensitivity.u_shape()}
        return result


def probe_model(
    opened: OpenedModel,
    budget: Budget | str = "quick",
    text: str = "",
    seed: int = 0,
    report_status: Callable[[str], None] = lambda status: None,
    report_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Probe:
    """Probes a model.

    Args:
        opened: the model, in float32, with its tokenizer.
        budget: how much is measured: "quick", "full" or a budget of one's own.
        text: whose tokens' sensitivities are measured; empty: quotations of Shakespeare.
        seed: of random digits and directions.
        report_status: called with the name of what is measured next: a type, "margins", "sensitivity".
        report_progress: called with how much of that is done, and how much there is.

    Raises:
        BadInput: naming what the model cannot do.
    """
    budget = BUDGETS[budget] if isinstance(budget, str) else budget
    limit = context_length(opened.model)
    symbols = Symbols.from_tokenizer(opened.tokenizer)

    # a comma after every third digit makes a third more tokens; 64 are enough for the prompt before them
    lengths = tuple(n for n in budget.lengths if (n + 2 * COMMA_GROUP) * 4 // 3 + 64 <= limit)
    if not lengths:
        raise BadInput(
            f"model: its context of {limit:,} tokens is shorter than the shortest of this budget; take another model"
        )
    # a mean over three neighbouring n holds every place within a group of three digits once
    curves = collapse_curves(
        opened.model,
        opened.tokenizer,
        lengths=lengths,
        dtypes=budget.dtypes,
        seed=seed,
        neighbours=COMMA_GROUP,
        report_status=report_status,
        report_progress=report_progress,
    )

    report_status("margins")
    # a prompt that is too long is left out rather than refused: the other parts can still be measured
    margin_lengths = [n for n in budget.margin_lengths if _longest_prompt(symbols, n) <= limit]
    margins = (
        measure_margins(opened.model, opened.tokenizer, margin_lengths, MARGIN_TASKS, ORDERS, report_progress)
        if margin_lengths
        else []
    )

    report_status("sensitivity")
    # a text of words: sequences of one token would show nothing of what content does
    text = text or SHAKESPEARE.read_text(encoding="utf-8")
    token_ids = encode_text(opened.tokenizer, text, min(budget.tokens, limit))
    text_sensitivity = _text_sensitivity(opened, token_ids, budget.directions, seed, report_progress)

    # every task's margins bring the same note: it is kept once
    notes = [symbols.note] if symbols.note else []
    if len(lengths) < len(budget.lengths):
        notes.append(f"lengths end at {lengths[-1]}: the model's context holds {limit:,} tokens")
    notes += [note for task_margins in margins for note in task_margins.notes]
    notes += model_notes([opened.name])
    return Probe(
        model=opened.name,
        curves=tuple(curves),
        margins=tuple(margins),
        text=text_sensitivity,
        verdict=tuple(draw_verdict(curves, margins, text_sensitivity.sensitivity)),
        remedies=tuple(judge_remedies(curves, margins)),
        notes=tuple(dict.fromkeys(notes)),
    )


def _longest_prompt(symbols: Symbols, n: int) -> int:
    """Tokens of the longest prompt with n ones, the answer with it."""
    token_counts = []
    for task in MARGIN_TASKS:
        for order in ORDERS:
            # the counterpart is at least as long: of counting it holds one more
            token_ids, _ = encode_prompt(symbols, counterpart(build_prompt(task, n, order=order)))
            token_counts.append(len(token_ids) + len(str(n)))
    return max(token_counts)


def _text_sensitivity(
    opened: OpenedModel,
    token_ids: list[int],
    directions: int,
    seed: int,
    report_progress: Callable[[int, int], None],
) -> TextSensitivity:
    """Sensitivities, the bound and path counts of a text."""
    model = opened.model
    # exact norms cost one backward pass for each channel, an estimate one for each direction
    if directions:
        sensitivity = estimate_sensitivity(
            model, token_ids, directions=directions, seed=seed, report_progress=report_progress
        )
    else:
        sensitivity = exact_sensitivity(model, token_ids, report_progress=report_progress)
    num_layers = int(model.config.get_text_config(decoder=True).num_hidden_layers)
    return TextSensitivity(
        tokens=tuple(decode_tokens(opened.tokenizer, token_ids)),
        sensitivity=sensitivity,
        bound=attention_bound(model, token_ids),
        path_shares=path_shares(len(token_ids), num_layers),
        directions=directions,
    )


def plain_data(value: Any) -> Any:
    """Arrays as lists, tuples as lists, and None for numbers that are not finite, which JSON has no word for."""
    if isinstance(value, np.ndarray):
        return plain_data(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: plain_data(item) for name, item in value.items()}
    # a string is a sequence too, and stays whole
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain_data(item) for item in value]
    return value
