"""A probe: from what length on a language model loses its input, in which precision, and what helps (arXiv 2406.04267, sections 4 to 6, on any model).

Runs collapse, the margins of copying, counting and summing, and over-squashing at a chosen budget, and draws a verdict from the numbers by the rules that stand
here. What the verdict says of commas rests on the control: pairs n and n + 3, which end at the same place of a group.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from outrange.attention.glasses import squashing
from outrange.attention.glasses.collapse import FAMILIES, GROUP, RESOLUTION, Curve, Dtype, collapse, first_from, times
from outrange.attention.glasses.symbols import Symbols
from outrange.attention.glasses.tasks import COPYING, TASKS, TYPES, Margins, build, encoded, margins, other
from outrange.core.errors import BadInput
from outrange.lm import opening

TEXT = Path(__file__).parents[1] / "texts" / "shakespeare.txt"
LEAST_SHIFT = 0.25
"""log-odds: a zero, or one more, that moves the answer by less counts as gone (odds change by less than 28 %)"""
LOUDER = 1.5
"""times: a remedy that parts two inputs by less than this more counts as no help"""
COMMAS = (("copy ones", "copy with commas"), ("same phase", "same phase with commas"))
"""pairs without and with commas: n against n + 1, and the control, n against n + 3"""
ASKED = (*COPYING, "count ones", "sum ones")
"""tasks whose margins are measured"""
Told = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much is measured.

    Attributes:
        lengths: of repetitions.
        dtypes: types of the collapse curves.
        margins: numbers of ones in the copying tasks.
        tokens: of the text whose sensitivities are measured.
        directions: random ones of the estimate; 0: exactly.
    """

    lengths: tuple[int, ...]
    dtypes: tuple[Dtype, ...]
    margins: tuple[int, ...]
    tokens: int
    directions: int


BUDGETS = {
    "quick": Budget(
        lengths=(8, 32, 128, 256), dtypes=("float32", "bfloat16"), margins=(5, 20, 100), tokens=128, directions=16
    ),
    "full": Budget(
        lengths=(8, 16, 32, 64, 128, 256, 512, 1024),
        dtypes=("float32", "bfloat16", "float16", "int8"),
        margins=(5, 10, 20, 50, 100, 200),
        tokens=512,
        directions=64,
    ),
}


def probe(
    opened: opening.OpenedModel,
    budget: Budget,
    text: str = "",
    seed: int = 0,
    tell: Told = lambda what, done, total: None,
) -> dict[str, Any]:
    """What the page of a probe shows (report/probe.py lists its keys), but title, subtitle and command.

    Args:
        opened: the model, in float32.
        budget: how much is measured.
        text: whose tokens' sensitivities are measured; empty: quotations of Shakespeare.
        seed: of random digits and directions.
        tell: told what is done, how much of it, of how much.

    Raises:
        BadInput: naming what the model cannot do.
    """
    limit = opening.context_length(opened.model)
    symbols = Symbols.of(opened.tokenizer)
    lengths = tuple(n for n in budget.lengths if (n + 2 * GROUP) * 4 // 3 + 64 <= limit)
    if not lengths:
        raise BadInput(
            f"model: its context of {limit:,} tokens is shorter than the shortest of this budget; take another model"
        )
    curves = collapse(
        opened.model, opened.tokenizer, lengths=lengths, dtypes=budget.dtypes, seed=seed, around=GROUP, tell=tell
    )
    fitting = [n for n in budget.margins if _longest(symbols, n) <= limit]
    found = (
        margins(opened.model, opened.tokenizer, fitting, ASKED, lambda done, total: tell("margins", done, total), TYPES)
        if fitting
        else []
    )
    ids = opening.encode_text(opened.tokenizer, text or TEXT.read_text(encoding="utf-8"), min(budget.tokens, limit))
    reach = _reach(opened, ids, budget.directions, seed, tell)
    notes = [symbols.note] if symbols.note else []
    if len(lengths) < len(budget.lengths):
        notes.append(f"lengths end at {lengths[-1]}: the model's context holds {limit:,} tokens")
    return {
        "model": opened.name,
        "verdict": verdict(curves, found, reach),
        "curves": [_told(curve) for curve in curves],
        "margins": [
            {
                "task": one.task,
                "lengths": list(one.lengths),
                "shift": list(one.shift),
                "low": list(one.low),
                "high": list(one.high),
            }
            for one in found
        ],
        "squashing": reach,
        "remedies": remedies(curves, found),
        "notes": list(dict.fromkeys(notes + [note for one in found for note in one.notes])),
    }


def _longest(symbols: Symbols, n: int) -> int:
    """Tokens of the longest prompt with n ones, the answer with it."""
    return max(
        len(encoded(symbols, other(build(name, n, order=order)))[0]) + len(str(n)) for name in ASKED for order in TYPES
    )


def _reach(opened: opening.OpenedModel, ids: list[int], directions: int, seed: int, tell: Told) -> dict[str, Any]:
    """Sensitivities, the bound and path counts of a text, relative to its first token."""

    def progress(done: int, total: int) -> None:
        tell("sensitivity", done, total)

    model = opened.model
    measured = (
        squashing.estimate(model, ids, directions=directions, seed=seed, progress=progress)
        if directions
        else squashing.exact(model, ids, progress=progress)
    )
    bound, layers = squashing.bound(model, ids), int(model.config.get_text_config(decoder=True).num_hidden_layers)
    first, most = measured.scale, bound[0] or bound.max()  # a sliding window may keep the first token out
    return {
        "tokens": opening.decode_tokens(opened.tokenizer, ids),
        "norms": [float(v) for v in measured.norms / first],
        "error": None if measured.error is None else [float(v) for v in measured.error / first],
        "bound": [float(v) for v in bound / most],
        "paths": [float(v) for v in squashing.paths(len(ids), layers)],
        "layer": measured.layer,
        "method": measured.method if not directions else f"{measured.method}, {directions} directions",
        "under": measured.under(0.01),
        "u_shape": measured.u_shape(),
    }


def _told(curve: Curve) -> dict[str, Any]:
    named = ("family", "dtype", "step", "lengths", "tokens")
    arrays = (
        "relative",
        "heads",
        "noise",
        "blur",
        "signal_over_noise",
        "signal_over_blur",
        "variation",
        "same",
        "same_answer",
    )
    return (
        {name: getattr(curve, name) for name in named}
        | {"meaning": FAMILIES[curve.family].meaning if curve.family in FAMILIES else ""}
        | {name: _finite(getattr(curve, name).tolist()) for name in arrays}
        | {"layers": curve.linf.tolist(), "resolution": RESOLUTION.get(curve.dtype)}
    )


def _finite(values: list[Any]) -> list[Any]:
    """JSON knows no infinity: nothing stands for it."""
    return [None if isinstance(value, float) and not math.isfinite(value) else value for value in values]


def verdict(curves: Sequence[Curve], found: Sequence[Margins], reach: Mapping[str, Any]) -> list[dict[str, str]]:
    """Questions and answers, drawn from the numbers alone."""
    of = {(curve.family, curve.dtype): curve for curve in curves}
    types = [dtype for dtype in dict.fromkeys(curve.dtype for curve in curves) if dtype != "float32"]
    rows = []
    for family in ("count ones", "copy ones"):
        rows += _apart(family, of[family, "float32"], [of[family, dtype] for dtype in types])
    digits = of["digits", "float32"]
    fell = digits.relative[-1] < digits.relative[0] / 4
    rows.append(
        _row(
            "do random digits, the control, come together as well?",
            "yes" if fell else "no",
            _ends(digits, "relative distance", digits.relative),
        )
    )
    for one in found:
        gone, what = np.abs(one.shift) < LEAST_SHIFT, _decides(one.task)
        answer = (
            f"it never does, n = {one.lengths[0]} to {one.lengths[-1]}"
            if gone.all()
            else _from(first_from(one.lengths, gone), one.lengths)
        )
        ends = [f"{one.shift[k]:.2f} ({one.low[k]:.2f} … {one.high[k]:.2f}) at n = {one.lengths[k]}" for k in (0, -1)]
        detail = f"{what} moves the log-odds by {', '.join(ends)}; mean and range over three orders of the prompt"
        rows.append(_row(f"{one.task}: from which n on does {what} not move the answer?", answer, detail))
    shape = reach["u_shape"]
    rows.append(
        _row(
            "which share of tokens reaches the end with less than 1 % of the first one's sensitivity?",
            f"{reach['under']:.0%}",
            f"of {len(reach['norms'])} tokens; first tenth {shape['first']:.3g}, middle 1, last tenth {shape['last']:.3g}",
        )
    )
    part, count = (float(np.median(_ratio(of, given, without))) for without, given in COMMAS)
    helps = "counts, too" if count >= LOUDER else "the place in a group only" if part >= LOUDER else "no"
    detail = f"median over lengths: commas part n and n + 1 {part:.2g} times as far, n and n + 3 (the same place of a group) {count:.2g} times"
    rows.append(_row("do commas at every third digit help?", helps, detail))
    return rows


def _apart(family: str, exact: Curve, rounded: Sequence[Curve]) -> list[dict[str, str]]:
    """What becomes of one more repetition in every type: under the type's resolution, under what rounding does, gone, and without effect on the answer."""
    every, changed = (
        (exact, *rounded),
        "; ".join(_ends(c, f"{c.dtype}: signal over blur", c.signal_over_blur, _over_noise(c)) for c in rounded),
    )
    asked = (
        ("are n and n + 1 closer than a type resolves?", {c.dtype: exact.relative < RESOLUTION[c.dtype] for c in rounded if c.dtype in RESOLUTION},
         _ends(exact, "relative distance", exact.relative)),
        ("does rounding change their difference by as much as it is?", {c.dtype: c.signal_over_blur <= 1 for c in rounded}, changed),
        ("are they one vector, which no later step can tell apart?", {c.dtype: c.same for c in every}, "the last vectors as each type computes them"),
        ("have they one most likely next token?", {c.dtype: c.same_answer for c in every},
         "; ".join(_ends(c, f"{c.dtype}: total variation of the next token", c.variation) for c in every)),
    )  # fmt: skip
    return [_row(f"{family}: from which n on {what}", _each({t: _from(first_from(exact.lengths, h), exact.lengths) for t, h in holds.items()}), known)
            for what, holds, known in asked if holds]  # fmt: skip


def _each(answers: Mapping[str, str]) -> str:
    """One answer where all types agree, else each type's."""
    return (
        next(iter(answers.values()))
        if len(set(answers.values())) == 1
        else "; ".join(f"{dtype} {answer}" for dtype, answer in answers.items())
    )


def _decides(task: str) -> str:
    return "the zero" if TASKS[task].kind == "copy" else "one more"


def _ratio(of: Mapping[tuple[str, str], Curve], given: str, without: str) -> np.ndarray:
    return times(of[given, "float32"].relative, of[without, "float32"].relative)


def remedies(curves: Sequence[Curve], found: Sequence[Margins]) -> list[dict[str, str]]:
    """Each remedy against the same without it; medians over lengths."""
    of = {(curve.family, curve.dtype): curve for curve in curves}
    rows = []
    for (without, given), name in zip(
        COMMAS, ("commas, n against n + 1", "commas, n against n + 3: the control"), strict=True
    ):
        a, b = of[without, "float32"], of[given, "float32"]
        rows.append(_remedy(name, "relative distance", a.relative, b.relative, a.lengths))
    for dtype in dict.fromkeys(curve.dtype for curve in curves if curve.dtype != "float32"):
        clear = of["copy ones", dtype].signal_over_blur
        left = np.clip(1 - np.divide(1, clear, out=np.ones_like(clear), where=clear > 0), 0, 1)
        said = "share of the difference that rounding leaves, copying ones"
        rows.append(
            _remedy(f"float32 instead of {dtype}", said, left, np.ones_like(left), of["copy ones", dtype].lengths)
        )
    tasks = {one.task: one for one in found}
    for name, one in tasks.items():
        base = tasks.get(name.split(",")[0])
        if base is not None and base is not one:
            rows.append(
                _remedy(
                    name,
                    "log-odds moved by the zero, mean of three prompts",
                    base.shift,
                    one.shift,
                    one.lengths,
                    LEAST_SHIFT,
                )
            )
    return rows


def _remedy(
    remedy: str, measure: str, without: np.ndarray, given: np.ndarray, lengths: Sequence[int], least: float = 0.0
) -> dict[str, str]:
    """Helps: the median is at least half as large again, above 0 and no less than ``least``."""
    before, after = float(np.median(without)), float(np.median(given))
    better = after > 0 and after >= LOUDER * max(before, 0.0) and after >= least
    said = f"{measure}, median over n = {', '.join(map(str, lengths))}"
    return {
        "remedy": remedy,
        "measure": said,
        "without": _shown(before),
        "with": _shown(after),
        "verdict": "helps" if better else "does not help",
    }


def _row(question: str, answer: str, detail: str) -> dict[str, str]:
    return {"question": question, "answer": answer, "detail": detail}


def _from(n: int | None, lengths: Sequence[int]) -> str:
    return f"not up to {lengths[-1]}" if n is None else f"{'already at ' if n == lengths[0] else ''}n = {n}"


def _ends(curve: Curve, what: str, values: np.ndarray, more: str = "") -> str:
    return (
        f"{what} {_shown(values[0])} at n = {curve.lengths[0]}, {_shown(values[-1])} at n = {curve.lengths[-1]}{more}"
    )


def _over_noise(curve: Curve) -> str:
    return f" (over what rounding does to one input alone {_shown(curve.signal_over_noise[-1])})"


def _shown(value: float) -> str:
    return f"{value:.2g}"
