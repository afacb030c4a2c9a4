"""The page of a probe: from what length on a language model loses its input (arXiv 2406.04267, figures 5 and 2 and
section 5).

``ProbeStory`` is what the page shows; ``outrange.attention.glasses.story`` fills it in. Names of tokens come from a
model's
tokenizer: they reach the page as JSON inside a script element that is never run, and become text nodes, never markup.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from outrange.report.page import render, script_json

COUNT_FAMILIES = ("ones", "count ones", "digits", "copy ones", "copy with commas")
"""families of pairs n and n + 1, in the order of their curves"""
COMMA_FAMILIES = {
    "copy ones": "n and n + 1",
    "copy with commas": "n and n + 1, commas",
    "same phase": "n and n + 3",
    "same phase with commas": "n and n + 3, commas",
}
"""families of the section on commas, and the names of their curves there"""
HEADINGS = {
    "collapse": (
        "Collapse",
        "How far apart the last token's representations of two inputs are that differ by one repetition; relative to "
        "their largest entry.",
    ),
    "commas": (
        "Do commas help?",
        "Commas at every third digit keep n and n + 1 apart, but those two also stand at different places of a group: "
        "the control compares n with n + 3.",
    ),
    "margins": (
        "What is left for an answer",
        "How much a single 0 among n ones moves the odds of answering 0, which is right; and how much one more moves "
        "those of the right count or sum.",
    ),
    "squashing": (
        "Which tokens still reach the end",
        "Sensitivity of the last token's representation to every input token, beside the paper's bound and the count "
        "of paths.",
    ),
    "remedies": (
        "Remedies",
        "Each against the same without it; a remedy helps if it makes what is measured at least half as large again.",
    ),
}
"""sections in their order: heading, and a sentence on what they show"""
_FEWEST_PATHS = 1e-9  # smaller shares would flatten every other curve of a logarithmic axis


@dataclass(frozen=True, kw_only=True)
class VerdictRow:
    """A question, its answer, and how that is known."""

    question: str
    answer: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class CollapseCurve:
    """How far apart a family's pairs are in a type, along lengths.

    Attributes:
        family, dtype: names of the pairs and of the type.
        lengths: n.
        relative_distance, signal_over_noise, signal_over_blur, total_variation: one number a length; may be infinite.
        layer_distances: (lengths, layers) largest entry of the difference after each layer.
        resolution: unit roundoff of the type, if it has one.
    """

    family: str
    dtype: str
    lengths: Sequence[int]
    relative_distance: Sequence[float]
    signal_over_noise: Sequence[float]
    signal_over_blur: Sequence[float]
    total_variation: Sequence[float]
    layer_distances: Sequence[Sequence[float]]
    resolution: float | None


@dataclass(frozen=True, kw_only=True)
class MarginCurve:
    """Log-odds that a zero, or one more of what is counted, adds to the right answer; mean, smallest and largest, along
    lengths.
    """

    task: str
    lengths: Sequence[int]
    shift: Sequence[float]
    lowest_shift: Sequence[float]
    highest_shift: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class SensitivityCurve:
    """How strongly the last representation depends on each token of a text.

    Attributes:
        tokens: as one reads them.
        norms: relative to the first token's.
        standard_error: of the norms, where they are an estimate.
        bound: from the model's attention, relative to its value at the first token.
        path_shares: count of paths, relative to the first token's.
        method: how the norms were computed.
    """

    tokens: Sequence[str]
    norms: Sequence[float]
    standard_error: Sequence[float] | None
    bound: Sequence[float]
    path_shares: Sequence[float]
    method: str


@dataclass(frozen=True, kw_only=True)
class RemedyRow:
    """A remedy, what is measured, the number without it and with it, and whether it helps; all in words."""

    remedy: str
    measure: str
    without: str
    with_remedy: str
    verdict: str


@dataclass(frozen=True, kw_only=True)
class ProbeStory:
    """What the page of a probe shows. A part that is empty has no section.

    Attributes:
        title, subtitle: of the page.
        command: that makes the page again; empty: not shown.
        notes: sentences at the end of the page.
        verdict: questions and answers.
        curves: of collapse.
        margins: of tasks.
        least_shift: log-odds under which a shift counts as none.
        sensitivity: of a text; None where it was not measured.
        remedies: each against the same without it.
    """

    title: str
    subtitle: str
    command: str
    notes: Sequence[str]
    verdict: Sequence[VerdictRow]
    curves: Sequence[CollapseCurve]
    margins: Sequence[MarginCurve]
    least_shift: float
    sensitivity: SensitivityCurve | None
    remedies: Sequence[RemedyRow]


def page(story: ProbeStory) -> str:
    """The page's HTML."""
    # a part that was not measured gives no chart, and a section without a chart is left out
    charts = [
        *_collapse_charts(story.curves),
        *_comma_charts(story.curves),
        *_margin_charts(story.margins, story.least_shift),
        *_sensitivity_charts(story.sensitivity),
    ]
    sections = {chart["section"] for chart in charts} | ({"remedies"} if story.remedies else set())
    data = {
        "charts": charts,
        "verdict": [asdict(row) for row in story.verdict],
        "remedies": [asdict(row) for row in story.remedies],
        "notes": list(story.notes),
        "command": story.command,
    }
    return render(
        "probe.html.j2",
        title=story.title,
        subtitle=story.subtitle,
        headings=HEADINGS,
        sections=[key for key in HEADINGS if key in sections],
        data=script_json(data),
    )


def _line(name: str, x: Sequence[float], y: Sequence[float | None], **band: Any) -> dict[str, Any]:
    """A line of a chart; numbers that are not finite leave a gap. ``band``: ``low`` and ``high`` beside it."""
    # four digits are more than a pixel shows, and keep the page small
    numbers = [None if value is None or not math.isfinite(value) else float(f"{value:.4g}") for value in y]
    return {"name": name, "x": list(x), "y": numbers} | band


def _chart(section: str, title: str, unit: str, lines: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A chart as the page's script draws it; by default both axes are logarithmic and x is n."""
    defaults = {
        "marks": [],
        "xlabel": "n, repetitions",
        "logx": True,
        "logy": True,
        "help": "",
        "whole": False,
        "names": None,
    }
    return {"section": section, "title": title, "unit": unit, "lines": lines} | defaults | changes


def _select(curves: Sequence[CollapseCurve], dtype: str, families: Sequence[str]) -> list[CollapseCurve]:
    """The curves of a type, in the order of the families."""
    by_family = {curve.family: curve for curve in curves if curve.dtype == dtype}
    return [by_family[family] for family in families if family in by_family]


def _collapse_charts(curves: Sequence[CollapseCurve]) -> list[dict[str, Any]]:
    # float32 is what other types are compared with: without it there is nothing to draw
    exact = _select(curves, "float32", COUNT_FAMILIES)
    if not exact:
        return []
    rounded_dtypes = [dtype for dtype in dict.fromkeys(curve.dtype for curve in curves) if dtype != "float32"]
    charts = [_distance_chart(curves, exact)]
    charts += [_blur_chart(dtype, _select(curves, dtype, COUNT_FAMILIES)) for dtype in rounded_dtypes]
    charts += [_layer_chart(curve) for curve in exact if curve.family == "copy ones"]
    charts.append(
        _chart(
            "collapse",
            "What it does to the next token",
            "total variation of the two distributions, float32",
            [_line(curve.family, curve.lengths, curve.total_variation) for curve in exact],
            help="0: the two inputs get one answer. 1: the answers share nothing.",
        )
    )
    return charts


def _distance_chart(curves: Sequence[CollapseCurve], exact: Sequence[CollapseCurve]) -> dict[str, Any]:
    # float32 draws the curves: its own resolution lies far below them
    resolutions = {curve.dtype: curve.resolution for curve in curves if curve.dtype != "float32" and curve.resolution}
    return _chart(
        "collapse",
        "Distance in float32",
        "largest entry of the difference, relative",
        [_line(curve.family, curve.lengths, curve.relative_distance) for curve in exact],
        marks=[{"name": f"resolution of {dtype}", "value": value} for dtype, value in resolutions.items()],
        help="Below a type's resolution a distance no longer changes a number of its own size. Random digits are the "
        "control: nothing repeats there.",
    )


def _blur_chart(dtype: str, curves: Sequence[CollapseCurve]) -> dict[str, Any]:
    # said in words, since a second set of curves in the same picture would hide the first
    over_noise = [
        f"{curve.family} {curve.signal_over_noise[-1]:.2g}"
        for curve in curves
        if math.isfinite(curve.signal_over_noise[-1])  # without noise there is nothing to be over
    ]
    return _chart(
        "collapse",
        f"Signal over blur in {dtype}",
        "float32 distance over what rounding does to it",
        [_line(curve.family, curve.lengths, curve.signal_over_blur) for curve in curves],
        marks=[{"name": "as large as rounding's change", "value": 1.0}],
        help="Where this is under 1, rounding changes the difference of the two by more than the difference is. "
        f"Over what rounding does to one input alone, at the longest: {', '.join(over_noise)}. "
        "Both of a pair are moved much alike.",
    )


def _layer_chart(curve: CollapseCurve) -> dict[str, Any]:
    # counted from 1: the embedding is not among them
    layers = list(range(1, len(curve.layer_distances[0]) + 1))
    by_length = list(zip(curve.lengths, curve.layer_distances, strict=True))
    return _chart(
        "collapse",
        "Layer by layer, copying ones",
        "largest entry of the difference, float32",
        [_line(f"n = {n}", layers, distances) for n, distances in by_length[-5:]],  # more lines cannot be told apart
        xlabel="after layer, the last behind the final norm",
        logx=False,
        help="How the difference of n and n + 1 grows through the layers; the residual stream grows with it.",
    )


def _comma_charts(curves: Sequence[CollapseCurve]) -> list[dict[str, Any]]:
    # without its control the comparison would mislead, so the section needs all four
    selected = _select(curves, "float32", tuple(COMMA_FAMILIES))
    if len(selected) < len(COMMA_FAMILIES):
        return []
    help_text = (
        "If commas kept counts apart, n + 3 with commas would lie above n + 3 without, as n + 1 with commas lies above "
        "n + 1 without."
    )
    distances = [_line(COMMA_FAMILIES[curve.family], curve.lengths, curve.relative_distance) for curve in selected]
    variations = [_line(COMMA_FAMILIES[curve.family], curve.lengths, curve.total_variation) for curve in selected]
    return [
        _chart("commas", "Distance in float32", "relative", distances, help=help_text),
        _chart("commas", "What it does to the next token", "total variation, float32", variations, help=help_text),
    ]


def _margin_charts(margins: Sequence[MarginCurve], least_shift: float) -> list[dict[str, Any]]:
    """Copying and counting apart: their shifts differ in size."""
    # a task is one of copying if it asks for a digit
    copying = [curve for curve in margins if "digit" in curve.task]
    counting = [curve for curve in margins if "digit" not in curve.task]
    charts = (
        (
            "Copying: shift by the zero",
            copying,
            "Many paths lead to the end from the start and few from the end: the paper's reason for a first digit to "
            "keep its pull longer than a last one.",
        ),
        (
            "Counting and summing: shift by one more",
            counting,
            f"At 0 the answer does not depend on how many there are. Mind the scale: less than {least_shift:g} counts "
            "as none.",
        ),
    )
    unit = (
        "log-odds of the right answer, less those behind the other sequence; mean over three orders of the prompt, the "
        "band their range"
    )
    return [
        _chart(
            "margins",
            title,
            unit,
            [
                _line(curve.task, curve.lengths, curve.shift, low=curve.lowest_shift, high=curve.highest_shift)
                for curve in curves
            ],
            xlabel="n, ones",
            logy=False,  # shifts may be negative
            help=help_text,
            whole=True,
        )
        for title, curves, help_text in charts
        if curves
    ]


def _sensitivity_charts(sensitivity: SensitivityCurve | None) -> list[dict[str, Any]]:
    if sensitivity is None:
        return []
    # tokens are numbered as a reader counts them; their words appear under the pointer
    places = list(range(1, len(sensitivity.norms) + 1))
    measured = _line("measured", places, sensitivity.norms)
    help_text = (
        "Each relative to its own value at the first token: shapes compare, sizes do not. A U has its start from the "
        "many paths that lead from there, its end from what the model learned to look at."
    )
    if sensitivity.standard_error:
        with_errors = list(zip(sensitivity.norms, sensitivity.standard_error, strict=True))
        # a logarithmic axis has no place for what is 0 or less
        measured["low"] = [max(norm - 2 * error, 1e-9) for norm, error in with_errors]
        measured["high"] = [norm + 2 * error for norm, error in with_errors]
        help_text += " The band is two standard errors of the estimate to each side."
    lines = [measured, _line("bound from the model's attention, shape only", places, sensitivity.bound)]
    if sensitivity.path_shares:  # they fall by orders of magnitude towards the end
        shares = [share if share > _FEWEST_PATHS else None for share in sensitivity.path_shares]
        lines.append(_line("count of paths, shape only", places, shares))
    return [
        _chart(
            "squashing",
            "Sensitivity by input token",
            f"relative, {sensitivity.method}",
            lines,
            xlabel="token, in order",
            logx=False,
            help=help_text,
            whole=True,
            names={str(place): token for place, token in zip(places, sensitivity.tokens, strict=True)},
        )
    ]
