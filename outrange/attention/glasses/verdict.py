"""The rules by which a probe's numbers become a verdict: questions with answers, and remedies that help or do not.

Every answer follows from the numbers alone. What the verdict says of commas rests on the control: pairs n and n + 3,
which end at the same place of a group of three digits. A ``Finding`` and a ``Remedy`` hold their numbers beside their
sentences, under a key, so that a program need not read the sentences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from outrange.attention.glasses.collapse import RESOLUTION, Curve, onset_length, times_as_large
from outrange.attention.glasses.margins import Margins
from outrange.attention.glasses.squashing import Sensitivity
from outrange.attention.glasses.tasks import TASKS

LEAST_SHIFT = 0.25
"""log-odds: a zero, or one more, that moves the answer by less counts as no effect (odds change by less than 28 %)"""
LEAST_GAIN = 1.5
"""a remedy that does not make what is measured this many times as large counts as no help"""
COMMA_PAIRS = (("copy ones", "copy with commas"), ("same phase", "same phase with commas"))
"""families without and with commas: n against n + 1, and the control, n against n + 3"""
CurvesByName = Mapping[tuple[str, str], Curve]
"""(family, type) -> its curve"""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One question of a verdict.

    Attributes:
        key: such as "copy ones/same_vector"; unique within a verdict.
        question, answer, detail: sentences; the detail says how the answer is known.
        values: the numbers that the answer rests on. Of a length "from which on": the length, or None where there is
            none.
    """

    key: str
    question: str
    answer: str
    detail: str
    values: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """A remedy beside the same without it.

    Attributes:
        name: of the remedy.
        measure: what is measured.
        without, with_remedy: medians over lengths.
        helps: whether the second is at least ``LEAST_GAIN`` times the first (and, of margins, at least
            ``LEAST_SHIFT``).
    """

    name: str
    measure: str
    without: float
    with_remedy: float
    helps: bool


def draw_verdict(curves: Sequence[Curve], margins: Sequence[Margins], sensitivity: Sensitivity) -> list[Finding]:
    """Questions and answers, drawn from the numbers alone.

    Args:
        curves: of all families, in float32 and in at least one other type.
        margins: of any tasks.
        sensitivity: of a text.
    """
    by_name = {(curve.family, curve.dtype): curve for curve in curves}
    rounded_dtypes = _rounded_dtypes(curves)
    findings = []
    # the two families of figure 5: counting and copying
    for family in ("count ones", "copy ones"):
        rounded = [by_name[family, dtype] for dtype in rounded_dtypes]
        findings += _collapse_findings(family, by_name[family, "float32"], rounded)
    findings.append(_digits_finding(by_name["digits", "float32"]))
    findings += [_margin_finding(task_margins) for task_margins in margins]
    findings.append(_sensitivity_finding(sensitivity))
    findings.append(_commas_finding(by_name))
    return findings


def judge_remedies(curves: Sequence[Curve], margins: Sequence[Margins]) -> list[Remedy]:
    """Each remedy against the same without it; medians over lengths."""
    by_name = {(curve.family, curve.dtype): curve for curve in curves}
    rows = []
    names = ("commas, n against n + 1", "commas, n against n + 3: the control")
    for name, (without, with_commas) in zip(names, COMMA_PAIRS, strict=True):
        plain, grouped = by_name[without, "float32"], by_name[with_commas, "float32"]
        rows.append(
            _remedy(name, "relative distance", plain.relative_distance, grouped.relative_distance, plain.lengths)
        )

    # what rounding leaves of a difference: 1 - blur / signal, nothing where blur is as large as the signal
    for dtype in _rounded_dtypes(curves):
        curve = by_name["copy ones", dtype]
        signal_over_blur = curve.signal_over_blur
        blur_share = np.divide(1, signal_over_blur, out=np.ones_like(signal_over_blur), where=signal_over_blur > 0)
        kept_share = np.clip(1 - blur_share, 0, 1)
        measure = "share of the difference that rounding leaves, copying ones"
        rows.append(
            _remedy(f"float32 instead of {dtype}", measure, kept_share, np.ones_like(kept_share), curve.lengths)
        )

    # "last digit, with a hint" is a remedy of "last digit"
    by_task = {task_margins.task: task_margins for task_margins in margins}
    for task, task_margins in by_task.items():
        base = by_task.get(task.split(",")[0])
        if base is not None and base is not task_margins:
            # a shift that grows from nothing to next to nothing is no help: hence the least shift
            measure = "log-odds moved by the zero, mean of three prompts"
            rows.append(_remedy(task, measure, base.shift, task_margins.shift, task_margins.lengths, LEAST_SHIFT))
    return rows


def comma_gain(curves: CurvesByName, without: str, with_commas: str) -> float:
    """How many times as far apart a family with commas is as the same without; float32, median over lengths."""
    grouped, plain = curves[with_commas, "float32"], curves[without, "float32"]
    return float(np.median(times_as_large(grouped.relative_distance, plain.relative_distance)))


def _collapse_findings(family: str, exact: Curve, rounded: Sequence[Curve]) -> list[Finding]:
    """What becomes of one more repetition in every type: under the type's resolution, under what rounding does, gone,
    and without effect on the answer."""
    # float32 has no resolution or blur of its own here, but may give one vector or one answer like any other type
    all_curves = (exact, *rounded)
    blurs = "; ".join(
        _at_ends(curve, f"{curve.dtype}: signal over blur", curve.signal_over_blur)
        + f" (over what rounding does to one input alone {format_number(curve.signal_over_noise[-1])})"
        for curve in rounded
    )
    variations = "; ".join(
        _at_ends(curve, f"{curve.dtype}: total variation of the next token", curve.total_variation)
        for curve in all_curves
    )
    # each: key, question, where it holds in which type, and how that is known
    questions = (
        (
            "below_resolution",
            "are n and n + 1 closer than a type resolves?",
            {
                curve.dtype: exact.relative_distance < RESOLUTION[curve.dtype]
                for curve in rounded
                if curve.dtype in RESOLUTION
            },
            _at_ends(exact, "relative distance", exact.relative_distance),
        ),
        (
            "blurred",
            "does rounding change their difference by as much as it is?",
            {curve.dtype: curve.signal_over_blur <= 1 for curve in rounded},
            blurs,
        ),
        (
            "same_vector",
            "are they one vector, which no later step can tell apart?",
            {curve.dtype: curve.same_vector for curve in all_curves},
            "the last vectors as each type computes them",
        ),
        (
            "same_next_token",
            "have they one most likely next token?",
            {curve.dtype: curve.same_next_token for curve in all_curves},
            variations,
        ),
    )
    findings = []
    for key, question, holds_by_dtype, detail in questions:
        if not holds_by_dtype:
            continue
        # "from which n on": a question is answered by the first length after which it never fails again
        onsets = {dtype: onset_length(exact.lengths, holds) for dtype, holds in holds_by_dtype.items()}
        answers = {dtype: _from_onset(onset, exact.lengths) for dtype, onset in onsets.items()}
        findings.append(
            Finding(
                key=f"{family}/{key}",
                question=f"{family}: from which n on {question}",
                answer=_one_or_each(answers),
                detail=detail,
                values=onsets,
            )
        )
    return findings


def _digits_finding(digits: Curve) -> Finding:
    first, last = digits.relative_distance[0], digits.relative_distance[-1]
    return Finding(
        key="digits/collapse",
        question="do random digits, the control, come together as well?",
        answer="yes" if last < first / 4 else "no",  # ones fall further than that
        detail=_at_ends(digits, "relative distance", digits.relative_distance),
        values={"first": float(first), "last": float(last)},
    )


def _margin_finding(margins: Margins) -> Finding:
    """From which length on what decides an answer no longer moves it."""
    # a shift the wrong way counts by its size: the answer is still moved
    no_effect = np.abs(margins.shift) < LEAST_SHIFT
    cause = "the zero" if TASKS[margins.task].kind == "copy" else "one more"
    onset = onset_length(margins.lengths, no_effect)  # None where the longest sequence still moves the answer
    if no_effect.all():  # a model that never had the ability has not lost it at the first length
        answer = f"it never does, n = {margins.lengths[0]} to {margins.lengths[-1]}"
    else:
        answer = _from_onset(onset, margins.lengths)
    ends = ", ".join(
        f"{margins.shift[k]:.2f} ({margins.lowest_shift[k]:.2f} … {margins.highest_shift[k]:.2f}) "
        f"at n = {margins.lengths[k]}"
        for k in (0, -1)
    )
    return Finding(
        key=f"{margins.task}/no_effect",
        question=f"{margins.task}: from which n on does {cause} not move the answer?",
        answer=answer,
        detail=f"{cause} moves the log-odds by {ends}; mean and range over three orders of the prompt",
        values={"onset": onset, "first": float(margins.shift[0]), "last": float(margins.shift[-1])},
    )


def _sensitivity_finding(sensitivity: Sensitivity) -> Finding:
    share, shape = sensitivity.share_below(0.01), sensitivity.u_shape()
    return Finding(
        key="sensitivity/below_1_percent",
        question="which share of tokens reaches the end with less than 1 % of the first one's sensitivity?",
        answer=f"{share:.0%}",
        detail=f"of {len(sensitivity.norms)} tokens; first tenth {shape['first']:.3g}, middle 1, "
        f"last tenth {shape['last']:.3g}",
        values={"share": share, "first_tenth": shape["first"], "last_tenth": shape["last"]},
    )


def _commas_finding(curves: CurvesByName) -> Finding:
    """Commas part n and n + 1 by the place in a group; only if the control moves as well do they mark the count."""
    # n and n + 1 end at different places of a group of three; n and n + 3 at the same
    place_gain, count_gain = (comma_gain(curves, *pair) for pair in COMMA_PAIRS)
    if count_gain >= LEAST_GAIN:  # whatever the place in a group does
        answer = "counts, too"
    elif place_gain >= LEAST_GAIN:
        answer = "the place in a group only"
    else:
        answer = "no"
    return Finding(
        key="commas/gain",
        question="do commas at every third digit help?",
        answer=answer,
        detail=f"median over lengths: commas part n and n + 1 {place_gain:.2g} times as far, n and n + 3 (the same "
        f"place of a group) {count_gain:.2g} times",
        values={"place": place_gain, "count": count_gain},
    )


def _remedy(
    name: str,
    measure: str,
    without: np.ndarray,
    with_remedy: np.ndarray,
    lengths: Sequence[int],
    least: float = 0.0,
) -> Remedy:
    """A remedy helps if its median is ``LEAST_GAIN`` times as large, above 0 and no less than ``least``."""
    # a negative median without the remedy would make any positive one infinitely better: it counts as 0
    before, after = float(np.median(without)), float(np.median(with_remedy))
    helps = after > 0 and after >= LEAST_GAIN * max(before, 0.0) and after >= least
    return Remedy(
        name=name,
        measure=f"{measure}, median over n = {', '.join(map(str, lengths))}",
        without=before,
        with_remedy=after,
        helps=helps,
    )


def _rounded_dtypes(curves: Sequence[Curve]) -> list[str]:
    """The types but float32, in their order."""
    return [dtype for dtype in dict.fromkeys(curve.dtype for curve in curves) if dtype != "float32"]


def _one_or_each(answers: Mapping[str, str]) -> str:
    """One answer where all types agree, else each type's."""
    if len(set(answers.values())) == 1:
        return next(iter(answers.values()))
    return "; ".join(f"{dtype} {answer}" for dtype, answer in answers.items())


def _from_onset(onset: int | None, lengths: Sequence[int]) -> str:
    if onset is None:
        return f"not up to {lengths[-1]}"
    return f"already at n = {onset}" if onset == lengths[0] else f"n = {onset}"


def _at_ends(curve: Curve, what: str, values: np.ndarray) -> str:
    first, last = format_number(values[0]), format_number(values[-1])
    return f"{what} {first} at n = {curve.lengths[0]}, {last} at n = {curve.lengths[-1]}"


def format_number(value: float) -> str:
    """Two significant digits."""
    return f"{value:.2g}"
