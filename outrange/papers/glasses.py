"""Transformers need glasses! Information over-squashing in language tasks (arXiv 2406.04267): its claims, run.

The statements run as they stand (attention/limits.py). What the paper observed in Gemini 1.5 and Gemma 7B runs here on a small model, so a different picture
there is a fact about small models; at scale gpu the same functions take Gemma 7B itself. The paper's curves were not
read first hand, so none of their numbers is quoted.

Torch is loaded when a claim runs, not when this file is read.
"""

import math
import statistics
from typing import Any

from outrange.papers.claims import Claim, Measurements, Paper

SMALL, LARGE = "smollm2-135m", "google/gemma-7b"
HINTS, COUNTING = ("last digit", "last digit, with a hint", "last digit, interleaved"), ("count ones", "sum ones")


def statements(seed: int) -> dict[str, float]:
    """How many of the statements hold, of how many."""
    from outrange.attention.glasses.checks import checks

    found = checks(seed)
    return {"hold": float(sum(one.holds for one in found)), "of": float(len(found))}


def figure8(seed: int, lengths: tuple[int, ...]) -> dict[str, float]:
    """The distance of n and n + 1 behind one attention, mean of five draws."""
    from outrange.attention.glasses.theorems import figure8 as draw

    return {f"n = {n}": value for n, value in zip(lengths, draw(lengths, seed=seed).mean["APE"], strict=True)}


def figure9(seed: int, lengths: tuple[int, ...]) -> dict[str, float]:
    """The distance of two softmaxes that differ in their first 200 logits, mean of five draws."""
    from outrange.attention.glasses.theorems import figure9 as draw

    return {f"n = {n}": value for n, value in zip(lengths, draw(lengths, seed=seed).mean["softmax"], strict=True)}


def encodings(seed: int, lengths: tuple[int, int]) -> dict[str, float]:
    """Figure 10: what is left, at the longer length, of the distance at the shorter one, by scheme; medians of sixteen draws."""
    from outrange.attention.glasses.checks import fallen
    from outrange.attention.glasses.theorems import SCHEMES

    return {scheme: fallen(scheme, seed, lengths) for scheme in SCHEMES}


def _curves(
    model: str,
    lengths: tuple[int, ...],
    families: tuple[str, ...],
    dtypes: tuple[str, ...] = ("float32",),
    seed: int = 0,
) -> dict[tuple[str, str], Any]:
    from outrange.attention.glasses.collapse import FAMILIES, GROUP, collapse
    from outrange.lm import opening

    opened = opening.open_model(model)
    pairs = [FAMILIES[name] for name in families]
    found = collapse(opened.model, opened.tokenizer, pairs, lengths, dtypes, seed, around=GROUP)  # type: ignore[arg-type]
    return {(curve.family, curve.dtype): curve for curve in found}


def figure5(seed: int, model: str, lengths: tuple[int, ...]) -> dict[str, float]:
    """Relative distance of n and n + 1 at the shortest and the longest length, in float32, and what bfloat16 leaves of it: signal over blur at the longest."""
    names = ("count ones", "copy ones", "digits")
    found = _curves(model, lengths, names, ("float32", "bfloat16"), seed)
    distances = {
        f"{name}, n = {lengths[k]}": float(found[name, "float32"].relative[k]) for name in names for k in (0, -1)
    }
    return distances | {f"{name}, signal/blur": float(found[name, "bfloat16"].signal_over_blur[-1]) for name in names}


def precision(seed: int, model: str, lengths: tuple[int, ...], dtypes: tuple[str, ...]) -> dict[str, float]:
    """Signal over blur of n and n + 1 ones to copy in every type, median over lengths; the first of the types is what the others are held against."""
    found = _curves(model, lengths, ("copy ones",), dtypes)
    return {dtype: statistics.median(found["copy ones", dtype].signal_over_blur.tolist()) for dtype in dtypes[1:]}


def commas(seed: int, model: str, lengths: tuple[int, ...]) -> dict[str, float]:
    """How many times as far commas part two inputs, median over lengths: n and n + 1, and n and n + 3, which end at the same place of a group."""
    from outrange.attention.glasses.collapse import times
    from outrange.attention.glasses.probe import COMMAS

    found = _curves(model, lengths, tuple(name for pair in COMMAS for name in pair))
    ratios = [times(found[given, "float32"].relative, found[without, "float32"].relative) for without, given in COMMAS]
    return {
        name: statistics.median(values.tolist())
        for name, values in zip(("n and n + 1", "n and n + 3"), ratios, strict=True)
    }


def shifts(seed: int, model: str, lengths: tuple[int, ...], tasks: tuple[str, ...]) -> dict[str, float]:
    """How far what decides the answer - the zero of copying, or one more of what is counted - moves the log-odds of the right one.

    Nothing is drawn in these prompts; seeds 0, 1, 2, … take question, form and sequence in the paper's order and in two others, and again.
    """
    from outrange.attention.glasses.tasks import TYPES, margins
    from outrange.lm import opening

    opened = opening.open_model(model)
    found = margins(opened.model, opened.tokenizer, lengths, tasks, orders=(TYPES[seed % len(TYPES)],))
    return {f"{one.task}, n = {n}": float(one.shift[k]) for one in found for k, n in enumerate(lengths)}


def reach(seed: int, model: str, tokens: int, directions: int) -> dict[str, float]:
    """Mean sensitivity of the first and the last tenth of a text over that of the middle, and the same of the paper's bound."""
    from outrange.attention.glasses import squashing
    from outrange.attention.glasses.probe import TEXT
    from outrange.lm import opening

    opened = opening.open_model(model)
    ids = opening.encode_text(opened.tokenizer, TEXT.read_text(encoding="utf-8"), tokens)
    shape = squashing.estimate(opened.model, ids, directions, seed=seed).u_shape()
    bound = squashing.Sensitivity(
        tokens=tuple(ids), norms=squashing.bound(opened.model, ids), error=None, layer=0, method="bound"
    ).u_shape()
    return {
        "first tenth": shape["first"],
        "last tenth": shape["last"],
        "bound, first tenth": bound["first"],
        "bound, last tenth": bound["last"],
    }


def variants(seed: int, text: str, preset: str, lengths: tuple[int, ...], out: str) -> dict[str, float]:
    """How many times as far as RoPE's each variant of one small model, trained alike, holds n and n + 1 ones apart, and what is left at the longest n."""
    from pathlib import Path

    from outrange.attention.glasses.variants import compare, trained
    from outrange.lm.config import preset as named
    from outrange.lm.opening import open_model
    from outrange.lm.text import fetch

    if not Path(text).exists():
        fetch(Path(text))
    runs = trained(named(preset, (str(Path(text).resolve()),)), Path(out), seed=seed)
    rows = dict(zip(runs, compare([open_model(str(path)) for path in runs.values()], lengths), strict=True))
    louder = {f"{name}, times RoPE's": row.louder(rows["RoPE"]) for name, row in rows.items() if name != "RoPE"}
    return {f"{name}, kept": row.kept for name, row in rows.items()} | louder


def _all_hold(values: Measurements) -> tuple[str, str]:
    good = min(h / o for h, o in zip(values["hold"], values["of"], strict=True))
    return ("shown" if good == 1 else "contradicted"), f"{min(values['hold']):.0f} of {values['of'][0]:.0f} hold"


def _encodings(values: Measurements) -> tuple[str, str]:
    fell = {name: statistics.median(found) for name, found in values.items()}
    claimed = [fell[name] for name in ("NoPE", "RoPE", "APE", "ALiBi")]
    under, similar = [v < 0.5 for v in claimed], max(claimed) < 4 * min(claimed)
    return ("shown" if all(under) and similar else "partly" if any(under) else "contradicted"), ", ".join(
        f"{name} keeps {v:.1%}" for name, v in fell.items()
    )


def _falls(values: Measurements) -> tuple[str, str]:
    """To under a tenth, in every seed."""
    names = list(values)
    left = [last / first for first, last in zip(values[names[0]], values[names[-1]], strict=True)]
    return (
        "shown" if max(left) < 0.1 else "contradicted"
    ), f"{max(left):.1%} of the distance at {names[0]} is left at {names[-1]}"


def _figure5(values: Measurements) -> tuple[str, str]:
    from outrange.attention.glasses.collapse import RESOLUTION

    families = ("count ones", "copy ones", "digits")
    found = {
        name: [statistics.median(v) for measure, v in values.items() if measure.startswith(f"{name}, n = ")]
        for name in families
    }
    left = {name: ends[-1] / ends[0] for name, ends in found.items()}
    ones, digits = max(left["count ones"], left["copy ones"]), left["digits"]
    below = max(found["count ones"][-1], found["copy ones"][-1]) < RESOLUTION["bfloat16"] < found["digits"][-1]
    clear = ", ".join(f"{name} {statistics.median(values[f'{name}, signal/blur']):.2g}" for name in families)
    why = (
        f"ones keep up to {ones:.0%} of their distance, random digits {digits:.0%}; at the longest {found['count ones'][-1]:.2g} counting and "
        + (
            f"{found['copy ones'][-1]:.2g} copying, where bfloat16 resolves {RESOLUTION['bfloat16']:.2g}; signal over its blur there: {clear}"
        )
    )
    return ("shown" if ones < 0.25 < digits and below else "partly" if ones < min(digits, 0.5) else "contradicted"), why


def _precision(values: Measurements) -> tuple[str, str]:
    clear = {name: statistics.median(found) for name, found in values.items()}
    from outrange.attention.glasses.probe import LOUDER

    fine = clear.get("float32", math.inf) / LOUDER
    coarse = [value for name, value in clear.items() if name != "float32"]
    ordered = clear["float16"] > LOUDER * clear["bfloat16"]
    why = "signal over blur, median over lengths: " + ", ".join(f"{name} {value:.2g}" for name, value in clear.items())
    return ("shown" if fine > max(coarse) and ordered else "partly" if fine > min(coarse) else "contradicted"), why


def _commas(values: Measurements) -> tuple[str, str]:
    part, count = (statistics.median(values[name]) for name in ("n and n + 1", "n and n + 3"))
    from outrange.attention.glasses.probe import LOUDER

    marked = [what for what, value in (("the place in a group", part), ("the count", count)) if value >= LOUDER]
    why = f"n and n + 1 {part:.2g} times as far apart, n and n + 3 {count:.2g} times: commas mark {' and '.join(marked) or 'nothing'}"
    return ("shown" if min(part, count) >= LOUDER else "partly" if part >= LOUDER else "contradicted"), why


def _variants(values: Measurements) -> tuple[str, str]:
    kept = {
        name.removesuffix(", kept"): statistics.median(found)
        for name, found in values.items()
        if name.endswith(", kept")
    }
    times = {
        name.removesuffix(", times RoPE's"): found for name, found in values.items() if name.endswith("times RoPE's")
    }
    from outrange.attention.glasses.probe import LOUDER

    helped = [name for name, found in times.items() if min(found) >= LOUDER]  # in every seed
    fell = [
        v < 0.5 for name, v in kept.items() if "window" not in name
    ]  # behind a window two long runs are one input, whatever is trained
    said = ", ".join(f"{name} keeps {v:.1%}" for name, v in kept.items())
    verdict = "shown" if all(fell) and not helped else "partly" if any(fell) else "contradicted"
    return verdict, f"{said}; at least half as far again as RoPE in every seed: {', '.join(helped) or 'none'}"


def _shifts(values: Measurements, task: str) -> list[float]:
    """A task's shifts, shortest sequence first, each the median over seeds."""
    return [statistics.median(found) for name, found in values.items() if name.startswith(f"{task}, n = ")]


def _copying(values: Measurements) -> tuple[str, str]:
    from outrange.attention.glasses.probe import LEAST_SHIFT

    first, last = (statistics.median(_shifts(values, f"{place} digit")) for place in ("first", "last"))
    why = f"log-odds moved by {first:.2f} at the beginning, {last:.2f} at the end; median over lengths"
    if max(abs(first), abs(last)) < LEAST_SHIFT:
        return "not at this scale", f"{why}: this model copies neither"
    return ("shown" if first > 2 * max(last, 0.0) else "contradicted"), why


def _remedies(values: Measurements) -> tuple[str, str]:
    from outrange.attention.glasses.probe import LEAST_SHIFT, LOUDER

    last, hint, mixed = (statistics.median(_shifts(values, task)) for task in HINTS)
    helped = sum(value >= LOUDER * max(last, 0.0) and value >= LEAST_SHIFT for value in (hint, mixed))
    why = f"{last:.2f} alone, {hint:.2f} with a hint, {mixed:.2f} interleaved; median over lengths"
    return ("shown" if helped == 2 else "partly" if helped else "contradicted"), why


def _counting(values: Measurements) -> tuple[str, str]:
    from outrange.attention.glasses.probe import LEAST_SHIFT

    found = {task: _shifts(values, task) for task in COUNTING}
    short, long = (max(shifts[k] for shifts in found.values()) for k in (0, -1))  # the right way
    why = "log-odds of the right answer moved by " + "; ".join(
        f"{', '.join(f'{v:.2f}' for v in shifts)} ({task})" for task, shifts in found.items()
    )
    if short < LEAST_SHIFT:
        return "not at this scale", f"{why}: this model does not count to begin with"
    return ("shown" if long < LEAST_SHIFT else "contradicted"), why


def _shape(values: Measurements) -> tuple[str, str]:
    first, last = statistics.median(values["first tenth"]), statistics.median(values["last tenth"])
    good = (first > 1) + (last > 1)
    said = [statistics.median(values[f"bound, {part} tenth"]) for part in ("first", "last")]
    why = (
        f"first tenth {first:.2f}, last tenth {last:.2f} times the middle; the bound's {said[0]:.2g} and {said[1]:.2g}"
    )
    return ("shown" if good == 2 else "partly" if good else "contradicted"), why


def _at(**settings: Any) -> dict[str, dict[str, Any]]:
    return {"laptop": {"model": SMALL} | settings, "gpu": {"model": LARGE} | settings}


_LENGTHS, _ONES = (8, 32, 128, 256), (5, 10, 20, 50, 100)

PAPER = Paper(
    "glasses",
    "Transformers need glasses! Information over-squashing in language tasks",
    "2406.04267",
    (
        Claim(
            "statements",
            "Lemma 4.1, Theorems 4.2 and 5.1, Propositions 5.2 and 6.1, Corollary 6.2, appendix B",
            "Every statement, with its hypotheses, and a control without them.",
            "proved",
            statements,
            _all_hold,
            {"laptop": {}, "gpu": {}, "paper": {}},
        ),
        Claim(
            "softmax",
            "figure 9",
            "Two softmaxes that differ in a head of fixed size come together as they grow.",
            "falls",
            figure9,
            _falls,
            {scale: {"lengths": (200, 400, 1000, 4000, 16_000, 64_000)} for scale in ("laptop", "gpu", "paper")},
        ),
        Claim(
            "attention",
            "figure 8",
            "What one attention gives the last of n and of n + 1 tokens converges.",
            "falls",
            figure8,
            _falls,
            {scale: {"lengths": (8, 32, 128, 512, 2048)} for scale in ("laptop", "gpu", "paper")},
        ),
        Claim(
            "encodings",
            "figure 10",
            "One layer collapses at similar lengths under NoPE, RoPE, APE and ALiBi.",
            "curves without numbers",
            encodings,
            _encodings,
            {scale: {"lengths": (16, 2048)} for scale in ("laptop", "gpu", "paper")},
        ),
        Claim(
            "collapse",
            "figure 5 a, b, c",
            "Representations of n and n + 1 ones come as near as bfloat16 resolves; those of random digits do not.",
            "about 50 tokens, Gemma 7B",
            figure5,
            _figure5,
            _at(lengths=_LENGTHS),
        ),
        Claim(
            "precision",
            "beside figure 5",
            "Lower precision makes it come sooner.",
            "said of quantisation",
            precision,
            _precision,
            {
                "laptop": {
                    "model": SMALL,
                    "lengths": _LENGTHS,
                    "dtypes": ("float64", "float32", "float16", "bfloat16", "int8"),
                },
                "gpu": {
                    "model": LARGE,
                    "lengths": _LENGTHS,
                    "dtypes": ("float32", "float16", "bfloat16", "int8"),
                },  # in float64 it would not fit
            },
            drawn=False,
        ),
        Claim(
            "commas",
            "figure 5 d",
            "A comma at every third digit keeps them apart.",
            "stays apart, Gemma 7B",
            commas,
            _commas,
            _at(lengths=_LENGTHS),
            drawn=False,
        ),
        Claim(
            "variants",
            "section 4 and 6",
            "Collapse is a matter of softmax attention, whatever the rotary scheme or window.",
            "theorem 4.2; no trained variants there",
            variants,
            _variants,
            {
                scale: {
                    "text": "runs/text-web",
                    "preset": "laptop",
                    "lengths": (8, 16, 32, 64, 100),
                    "out": "runs/glasses-variants",
                }
                for scale in ("laptop", "gpu")
            },
        ),
        Claim(
            "copying",
            "figure 2 a",
            "The first digit is easier to copy than the last.",
            "last fails from about 300 on, Gemini 1.5",
            shifts,
            _copying,
            _at(lengths=_ONES, tasks=("first digit", "last digit")),
        ),
        Claim(
            "hints",
            "figure 2 b, c",
            "A hint, and interleaving, help.",
            "help a lot, Gemini 1.5",
            shifts,
            _remedies,
            _at(lengths=_ONES, tasks=HINTS),
        ),
        Claim(
            "u-shape",
            "section 5",
            "The start reaches the end by many paths, the end by what is learned: sensitivity has the shape of a U.",
            "described",
            reach,
            _shape,
            _at(tokens=256, directions=16),
        ),
        Claim(
            "counting",
            "figures 3, 4, 6, 7",
            "Counting and summing err more the longer the sequence.",
            "curves, Gemini 1.5 and Gemma 7B",
            shifts,
            _counting,
            _at(lengths=(5, 20, 100), tasks=COUNTING),
        ),
    ),
)
