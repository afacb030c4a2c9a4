"""Transformers need glasses! Information over-squashing in language tasks (arXiv 2406.04267): its claims, run.

Collapse: the last token's representations of two inputs that differ by one repetition come together as the inputs
grow. Over-squashing: the output depends less and less on most of the input. The theorems run as they are stated
(attention/glasses/checks.py). What the paper observed in Gemini 1.5 and Gemma 7B runs here on a small model, so a
different picture there is a fact about small models; at scale gpu the same functions take Gemma 7B itself. The
paper's curves were not read first hand, so none of their numbers is quoted.

Torch is loaded when a claim runs, not when this file is read.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from outrange.papers.claims import SCALES, Claim, Key, Measured, Measurements, NotRun, Paper, Verdict, medians, series

SMALL, LARGE = "smollm2-135m", "google/gemma-7b"
HINT_TASKS = ("last digit", "last digit, with a hint", "last digit, interleaved")
COUNTING_TASKS = ("count ones", "sum ones")
COLLAPSE_FAMILIES = ("count ones", "copy ones", "digits")

# The theorems, and toy models of one layer


def statements(seed: int) -> Measured:
    """How many of the paper's statements hold, of how many."""
    from outrange.attention.glasses.checks import checks

    results = checks(seed)
    return {"hold": float(sum(check.holds for check in results)), "of": float(len(results))}


def figure8(seed: int, lengths: tuple[int, ...]) -> Measured:
    """The distance between what one attention makes of n and of n + 1 tokens, mean of five draws."""
    from outrange.attention.glasses import theorems

    distances = theorems.figure8(lengths, seed=seed).mean["APE"]
    return {("distance", length): float(distance) for length, distance in zip(lengths, distances, strict=True)}


def figure9(seed: int, lengths: tuple[int, ...]) -> Measured:
    """The distance between two softmaxes over n logits that differ in their first 200, mean of five draws."""
    from outrange.attention.glasses import theorems

    distances = theorems.figure9(lengths, seed=seed).mean["softmax"]
    return {("distance", length): float(distance) for length, distance in zip(lengths, distances, strict=True)}


def encodings(seed: int, lengths: tuple[int, int]) -> Measured:
    """Figure 10: the share of the distance at the shorter length that is left at the longer one, by positional
    encoding; medians of sixteen draws."""
    from outrange.attention.glasses.checks import remaining_share
    from outrange.attention.glasses.theorems import SCHEMES

    return {("remaining", scheme): remaining_share(scheme, seed, lengths) for scheme in SCHEMES}


# What was observed in trained models


def _collapse_curves(
    model: str, lengths: Sequence[int], families: Sequence[str], dtypes: Sequence[str] = ("float32",), seed: int = 0
) -> dict[tuple[str, str], Any]:
    """``collapse.Curve`` by family of inputs and by number type."""
    from outrange.attention.glasses.collapse import collapse_curves
    from outrange.attention.glasses.families import COMMA_GROUP, FAMILIES
    from outrange.lm import opening

    opened = opening.open_model(model)
    # Curves are means over neighbouring n, so that the place in a group of three does not show.
    pairs = [FAMILIES[name] for name in families]
    arguments: Any = (pairs, lengths, dtypes, seed)
    curves = collapse_curves(opened.model, opened.tokenizer, *arguments, neighbours=COMMA_GROUP)
    return {(curve.family, curve.dtype): curve for curve in curves}


def figure5(seed: int, model: str, lengths: tuple[int, ...]) -> Measured:
    """Relative distance of n and n + 1 at the shortest and the longest length in float32, and what bfloat16 leaves of
    the longest: signal over blur."""
    curves = _collapse_curves(model, lengths, COLLAPSE_FAMILIES, ("float32", "bfloat16"), seed)
    measured: dict[Key, float] = {}
    for family in COLLAPSE_FAMILIES:
        relative = curves[family, "float32"].relative_distance
        measured["shortest", family] = float(relative[0])
        measured["longest", family] = float(relative[-1])
    for family in COLLAPSE_FAMILIES:
        measured["signal_over_blur", family] = float(curves[family, "bfloat16"].signal_over_blur[-1])
    return measured


def precision(model: str, lengths: tuple[int, ...], dtypes: tuple[str, ...]) -> Measured:
    """Signal over blur of n and n + 1 ones to copy in each number type, median over lengths. The first type is the
    exact one the others are compared with."""
    curves = _collapse_curves(model, lengths, ("copy ones",), dtypes)
    return {
        ("signal_over_blur", dtype): statistics.median(curves["copy ones", dtype].signal_over_blur.tolist())
        for dtype in dtypes[1:]
    }


def commas(model: str, lengths: tuple[int, ...]) -> Measured:
    """How many times as far apart two inputs are with commas as without, median over lengths.

    n and n + 1 differ in their place in a group of three, which commas show; n and n + 3 end at the same place of a
    group, and differ in their count only.
    """
    from outrange.attention.glasses.collapse import times_as_large
    from outrange.attention.glasses.verdict import COMMA_PAIRS

    curves = _collapse_curves(model, lengths, [family for pair in COMMA_PAIRS for family in pair])
    measured: dict[Key, float] = {}
    for measure, (without, with_commas) in zip(("place", "count"), COMMA_PAIRS, strict=True):
        ratios = times_as_large(
            curves[with_commas, "float32"].relative_distance, curves[without, "float32"].relative_distance
        )
        measured[measure] = statistics.median(ratios.tolist())
    return measured


def shifts(seed: int, model: str, lengths: tuple[int, ...], tasks: tuple[str, ...]) -> Measured:
    """How far what decides the answer (the zero of copying, or one more of what is counted) moves the log-odds of the
    right answer.

    These prompts draw nothing. Seeds 0, 1, 2, … take question, form and sequence in the paper's order and in two
    others, and again from the first.
    """
    from outrange.attention.glasses.margins import measure_margins
    from outrange.attention.glasses.tasks import ORDERS
    from outrange.lm import opening

    opened = opening.open_model(model)
    rows = measure_margins(opened.model, opened.tokenizer, lengths, tasks, orders=(ORDERS[seed % len(ORDERS)],))
    return {(row.task, length): float(row.shift[k]) for row in rows for k, length in enumerate(lengths)}


def sensitivity(seed: int, model: str, tokens: int, directions: int) -> Measured:
    """Mean sensitivity of the output to the first and the last tenth of a text, over that to the middle; and the same
    of the paper's upper bound."""
    from outrange.attention.glasses import squashing
    from outrange.attention.texts import SHAKESPEARE
    from outrange.lm import opening

    opened = opening.open_model(model)
    token_ids = opening.encode_text(opened.tokenizer, SHAKESPEARE.read_text(encoding="utf-8"), tokens)
    estimate = squashing.estimate_sensitivity(opened.model, token_ids, directions, seed=seed).u_shape()
    bound = squashing.Sensitivity(
        token_ids=tuple(token_ids),
        norms=squashing.attention_bound(opened.model, token_ids),
        standard_error=None,
        layer=0,
        method="bound",
    ).u_shape()
    return {
        "first_tenth": estimate["first"],
        "last_tenth": estimate["last"],
        "bound_first_tenth": bound["first"],
        "bound_last_tenth": bound["last"],
    }


def variants(seed: int, text: str, preset: str, lengths: tuple[int, ...], out: str) -> Measured | NotRun:
    """Small models that differ in one thing, trained alike: what each keeps of the distance of n and n + 1 ones, and
    how far it is from RoPE's."""
    from pathlib import Path

    from outrange.attention.glasses.variants import VARIANTS, compare_models, train_variants
    from outrange.lm import config, opening
    from outrange.lm.text import fetch_bible

    if not Path(text).exists():
        fetch_bible(Path(text))
    # The text is fetched once; runs that are trained already are opened as they are.
    runs = train_variants(config.preset(preset, (str(Path(text).resolve()),)), Path(out), seed=seed)
    if len(runs) < len(VARIANTS):
        return NotRun(f"a training below {out} was stopped; the same command goes on", stopped=True)
    models = [opening.open_model(str(path)) for path in runs.values()]
    rows = dict(zip(runs, compare_models(models, lengths), strict=True))
    measured: dict[Key, float] = {}
    for name, row in rows.items():
        # Behind a window two long runs of one token are the same input, whatever is trained: such a variant is judged
        # apart.
        measured["remaining_in_window" if VARIANTS[name].get("window") else "remaining", name] = row.remaining_share
    # RoPE is what the others are compared with, length by length.
    for name, row in rows.items():
        if name != "RoPE":
            measured["times_rope", name] = row.times_as_far(rows["RoPE"])
    return measured


# Verdicts


def judge_statements(values: Measurements) -> Verdict:
    """Shown: all of them hold with every seed."""
    all_hold = all(hold == of for hold, of in zip(values["hold"], values["of"], strict=True))
    why = f"{min(values['hold']):.0f} of {values['of'][0]:.0f} hold"
    return ("shown" if all_hold else "contradicted"), why


def judge_falls(values: Measurements) -> Verdict:
    """Shown: under a tenth of the distance at the shortest length is left at the longest, with every seed."""
    distances = series(values, "distance")
    shortest, longest = min(distances), max(distances)
    left = max(last / first for first, last in zip(distances[shortest], distances[longest], strict=True))
    why = f"{left:.1%} of the distance at n = {shortest} is left at n = {longest}"
    return ("shown" if left < 0.1 else "contradicted"), why


def judge_encodings(values: Measurements) -> Verdict:
    """Shown: the four encodings of the claim keep under half, and the most is under four times the least. Partly: one
    of them keeps under half."""
    remaining = medians(series(values, "remaining"))
    claimed = [remaining[name] for name in ("NoPE", "RoPE", "APE", "ALiBi")]
    fallen = [share < 0.5 for share in claimed]
    # "At similar lengths": none keeps four times as much as another.
    similar = max(claimed) < 4 * min(claimed)
    why = ", ".join(f"{name} keeps {share:.1%}" for name, share in remaining.items())
    return ("shown" if all(fallen) and similar else "partly" if any(fallen) else "contradicted"), why


def judge_figure5(values: Measurements) -> Verdict:
    """Shown: ones keep under a quarter of their distance and end below what bfloat16 resolves; random digits do
    neither."""
    from outrange.attention.glasses.collapse import RESOLUTION

    first, last = medians(series(values, "shortest")), medians(series(values, "longest"))
    remaining = {family: last[family] / first[family] for family in COLLAPSE_FAMILIES}
    ones, digits = max(remaining["count ones"], remaining["copy ones"]), remaining["digits"]
    resolution = RESOLUTION["bfloat16"]
    # Two numbers of relative distance below the resolution are one number in bfloat16.
    unresolved = max(last["count ones"], last["copy ones"]) < resolution < last["digits"]
    signals = medians(series(values, "signal_over_blur"))
    signal = ", ".join(f"{family} {signals[family]:.2g}" for family in COLLAPSE_FAMILIES)
    why = (
        f"ones keep up to {ones:.0%} of their distance, random digits {digits:.0%};"
        f" at the longest {last['count ones']:.2g} counting and {last['copy ones']:.2g} copying,"
        f" where bfloat16 resolves {resolution:.2g}; signal over its blur there: {signal}"
    )
    if ones < 0.25 < digits and unresolved:
        return "shown", why
    return ("partly" if ones < min(digits, 0.5) else "contradicted"), why


def judge_precision(values: Measurements) -> Verdict:
    """Shown: every type coarser than float32 leaves clearly less signal, and bfloat16 clearly less than float16."""
    from outrange.attention.glasses.verdict import LEAST_GAIN

    signal = medians(series(values, "signal_over_blur"))
    # float32 may itself be the exact type the others are compared with; it then has no blur to measure.
    exact = signal.get("float32", math.inf) / LEAST_GAIN
    coarse = [value for dtype, value in signal.items() if dtype != "float32"]
    ordered = signal["float16"] > LEAST_GAIN * signal["bfloat16"]
    why = "signal over blur, median over lengths: " + ", ".join(f"{name} {value:.2g}" for name, value in signal.items())
    if exact > max(coarse) and ordered:
        return "shown", why
    return ("partly" if exact > min(coarse) else "contradicted"), why


def judge_commas(values: Measurements) -> Verdict:
    """Shown: commas part both pairs clearly. Partly: n and n + 1 only, which the place in a group of three tells
    apart without counting."""
    from outrange.attention.glasses.verdict import LEAST_GAIN

    place, count = statistics.median(values["place"]), statistics.median(values["count"])
    marked = [name for name, ratio in (("the place in a group", place), ("the count", count)) if ratio >= LEAST_GAIN]
    why = (
        f"n and n + 1 {place:.2g} times as far apart, n and n + 3 {count:.2g} times:"
        f" commas mark {' and '.join(marked) or 'nothing'}"
    )
    return ("shown" if len(marked) == 2 else "partly" if place >= LEAST_GAIN else "contradicted"), why


def judge_variants(values: Measurements) -> Verdict:
    """Shown: every variant without a window keeps under half, and none is clearly farther than RoPE with every seed."""
    from outrange.attention.glasses.verdict import LEAST_GAIN

    remaining = medians(series(values, "remaining"))
    in_window = medians(series(values, "remaining_in_window"))
    fallen = [share < 0.5 for share in remaining.values()]
    # A remedy that helps must do so with every seed: remaining shares vary between seeds as much as between variants.
    helped = [name for name, ratios in series(values, "times_rope").items() if min(ratios) >= LEAST_GAIN]
    shares = ", ".join(f"{name} keeps {share:.1%}" for name, share in (remaining | in_window).items())
    why = f"{shares}; at least half as far again as RoPE in every seed: {', '.join(helped) or 'none'}"
    return ("shown" if all(fallen) and not helped else "partly" if any(fallen) else "contradicted"), why


def _median_shift(values: Measurements, task: str) -> float:
    """The median over lengths of a task's shift, each the median over seeds."""
    return statistics.median(medians(series(values, task)).values())


def judge_copying(values: Measurements) -> Verdict:
    """Shown: the zero at the beginning moves the answer more than twice as far as the zero at the end."""
    from outrange.attention.glasses.verdict import LEAST_SHIFT

    first, last = _median_shift(values, "first digit"), _median_shift(values, "last digit")
    why = f"log-odds moved by {first:.2f} at the beginning, {last:.2f} at the end; median over lengths"
    # A model that copies neither digit says nothing about which is easier.
    if max(abs(first), abs(last)) < LEAST_SHIFT:
        return "not at this scale", f"{why}: this model copies neither"
    return ("shown" if first > 2 * max(last, 0.0) else "contradicted"), why


def judge_hints(values: Measurements) -> Verdict:
    """Shown: both the hint and interleaving let the last digit move the answer clearly farther. Partly: one of them
    does."""
    from outrange.attention.glasses.verdict import LEAST_GAIN, LEAST_SHIFT

    # A remedy must move the answer at least half as far again, and by an amount that counts at all.
    alone, hint, interleaved = (_median_shift(values, task) for task in HINT_TASKS)
    needed = max(LEAST_GAIN * max(alone, 0.0), LEAST_SHIFT)
    helped = sum(shift >= needed for shift in (hint, interleaved))
    why = f"{alone:.2f} alone, {hint:.2f} with a hint, {interleaved:.2f} interleaved; median over lengths"
    return ("shown" if helped == 2 else "partly" if helped else "contradicted"), why


def judge_counting(values: Measurements) -> Verdict:
    """Shown: one more of what is counted moves the answer the right way at the shortest length and no longer does at
    the longest."""
    from outrange.attention.glasses.verdict import LEAST_SHIFT

    shift = {task: list(medians(series(values, task)).values()) for task in COUNTING_TASKS}  # shortest length first
    best_short, best_long = (max(along[k] for along in shift.values()) for k in (0, -1))
    by_task = "; ".join(f"{', '.join(f'{value:.2f}' for value in along)} ({task})" for task, along in shift.items())
    why = f"log-odds of the right answer moved by {by_task}"
    if best_short < LEAST_SHIFT:
        return "not at this scale", f"{why}: this model does not count to begin with"
    return ("shown" if best_long < LEAST_SHIFT else "contradicted"), why


def judge_sensitivity(values: Measurements) -> Verdict:
    """Shown: the output depends more on both ends than on the middle. Partly: on one end."""
    first, last = statistics.median(values["first_tenth"]), statistics.median(values["last_tenth"])
    bound_first = statistics.median(values["bound_first_tenth"])
    bound_last = statistics.median(values["bound_last_tenth"])
    # Sensitivities are in units of the middle's, so 1 is no preference.
    ends_above = (first > 1) + (last > 1)
    why = (
        f"first tenth {first:.2f}, last tenth {last:.2f} times the middle;"
        f" the bound's {bound_first:.2g} and {bound_last:.2g}"
    )
    return ("shown" if ends_above == 2 else "partly" if ends_above else "contradicted"), why


def _at_every_scale(**settings: Any) -> Mapping[str, Mapping[str, Any]]:
    return dict.fromkeys(SCALES, settings)


def _of_models(**settings: Any) -> Mapping[str, Mapping[str, Any]]:
    return {"laptop": {"model": SMALL} | settings, "gpu": {"model": LARGE} | settings}


LENGTHS = (8, 32, 128, 256)  # numbers of repetitions
ONES = (5, 10, 20, 50, 100)  # numbers of ones to copy
VARIANT_SETTINGS = {
    "text": "runs/text-web",
    "preset": "laptop",
    "lengths": (8, 16, 32, 64, 100),
    "out": "runs/glasses-variants",
}
OF_N = {"distance": "n = {}"}
SHIFTS = {task: f"{task}, n = {{}}" for task in ("first digit", *HINT_TASKS, *COUNTING_TASKS)}

PAPER = Paper(
    "glasses",
    "Transformers need glasses! Information over-squashing in language tasks",
    "2406.04267",
    (
        Claim(
            name="statements",
            place="Lemma 4.1, Theorems 4.2 and 5.1, Propositions 5.2 and 6.1, Corollary 6.2, appendix B",
            statement="every theorem holds under its assumptions, and the same check fails in a control without them",
            published="proved",
            run=statements,
            judge=judge_statements,
            scales=_at_every_scale(),
        ),
        Claim(
            name="softmax",
            place="figure 9",
            statement="two softmaxes whose logits differ in a beginning of fixed size come together as more"
            " equal logits follow",
            published="falls",
            run=figure9,
            judge=judge_falls,
            scales=_at_every_scale(lengths=(200, 400, 1000, 4000, 16_000, 64_000)),
            labels=OF_N,
        ),
        Claim(
            name="attention",
            place="figure 8",
            statement="what one attention layer gives the last of n and of n + 1 tokens comes together as n grows",
            published="falls",
            run=figure8,
            judge=judge_falls,
            scales=_at_every_scale(lengths=(8, 32, 128, 512, 2048)),
            labels=OF_N,
        ),
        Claim(
            name="encodings",
            place="figure 10",
            statement="one transformer layer collapses at similar lengths under four positional encodings:"
            " NoPE, RoPE, APE and ALiBi",
            published="curves without numbers",
            run=encodings,
            judge=judge_encodings,
            scales=_at_every_scale(lengths=(16, 2048)),
            labels={"remaining": "{}"},
        ),
        Claim(
            name="collapse",
            place="figure 5 a, b, c",
            statement="a trained model's representations of n and n + 1 ones become so near that bfloat16"
            " cannot tell them apart;"
            " those of random digits do not",
            published="about 50 tokens, Gemma 7B",
            run=figure5,
            judge=judge_figure5,
            scales=_of_models(lengths=LENGTHS),
            labels={
                "shortest": f"{{}}, n = {LENGTHS[0]}",
                "longest": f"{{}}, n = {LENGTHS[-1]}",
                "signal_over_blur": "{}, signal/blur",
            },
        ),
        Claim(
            name="precision",
            place="beside figure 5",
            statement="the lower the numerical precision, the sooner representations cannot be told apart",
            published="said of quantisation",
            run=precision,
            judge=judge_precision,
            scales={
                "laptop": {
                    "model": SMALL,
                    "lengths": LENGTHS,
                    "dtypes": ("float64", "float32", "float16", "bfloat16", "int8"),
                },
                # Gemma 7B in float64 would not fit on the GPU.
                "gpu": {"model": LARGE, "lengths": LENGTHS, "dtypes": ("float32", "float16", "bfloat16", "int8")},
            },
            labels={"signal_over_blur": "{}"},
        ),
        Claim(
            name="commas",
            place="figure 5 d",
            statement="a comma at every third digit keeps representations of n and n + 1 apart",
            published="stays apart, Gemma 7B",
            run=commas,
            judge=judge_commas,
            scales=_of_models(lengths=LENGTHS),
            labels={"place": "n and n + 1", "count": "n and n + 3"},
        ),
        Claim(
            name="variants",
            place="section 4 and 6",
            statement="collapse comes from softmax attention itself: models trained with other positional"
            " encodings or windows collapse too",
            published="theorem 4.2; no trained variants there",
            run=variants,
            judge=judge_variants,
            scales={"laptop": VARIANT_SETTINGS, "gpu": VARIANT_SETTINGS},
            labels={
                "remaining": "{}, remaining share",
                "remaining_in_window": "{}, remaining share",
                "times_rope": "{}, times RoPE's",
            },
        ),
        Claim(
            name="copying",
            place="figure 2 a",
            statement="a language model copies the first digit of a long sequence more easily than the last",
            published="last fails from about 300 on, Gemini 1.5",
            run=shifts,
            judge=judge_copying,
            scales=_of_models(lengths=ONES, tasks=("first digit", "last digit")),
            labels=SHIFTS,
        ),
        Claim(
            name="hints",
            place="figure 2 b, c",
            statement="copying the last digit gets easier with a hint in the prompt, and with zeros"
            " interleaved among the ones",
            published="help a lot, Gemini 1.5",
            run=shifts,
            judge=judge_hints,
            scales=_of_models(lengths=ONES, tasks=HINT_TASKS),
            labels=SHIFTS,
        ),
        Claim(
            name="u-shape",
            place="section 5",
            statement="the output depends most on the start of a text, from which many paths lead to it, and"
            " on its end, by what is learned:"
            " sensitivity along the text has the shape of a U",
            published="described",
            run=sensitivity,
            judge=judge_sensitivity,
            scales=_of_models(tokens=256, directions=16),
            labels={
                "bound_first_tenth": "bound, first tenth",
                "bound_last_tenth": "bound, last tenth",
            },
        ),
        Claim(
            name="counting",
            place="figures 3, 4, 6, 7",
            statement="counting and summing get worse the longer the sequence",
            published="curves, Gemini 1.5 and Gemma 7B",
            run=shifts,
            judge=judge_counting,
            scales=_of_models(lengths=(5, 20, 100), tasks=COUNTING_TASKS),
            labels=SHIFTS,
        ),
    ),
)
