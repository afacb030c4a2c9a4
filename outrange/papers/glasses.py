"""Transformers need glasses! Information over-squashing in language tasks (arXiv 2406.04267): its claims, run.

The statements run as they stand (attention/limits.py). What the paper observed in Gemini 1.5 and Gemma 7B runs here on a small model, so a different picture
there is a fact about small models; at scale gpu the same functions take Gemma 7B itself. The paper's curves were not
read first hand, so none of their numbers is quoted.

Torch is loaded when a claim runs, not when this file is read.
"""

import statistics
from typing import Any

from outrange.papers.claims import Claim, Measurements, Paper

SMALL, LARGE = "smollm2-135m", "google/gemma-7b"


def statements(seed: int) -> dict[str, float]:
    """How many of the statements hold, of how many."""
    from outrange.attention.limit_checks import checks

    found = checks(seed)
    return {"hold": float(sum(one.holds for one in found)), "of": float(len(found))}


def encodings(seed: int, lengths: tuple[int, int]) -> dict[str, float]:
    """Figure 10: what is left, at the longer length, of the distance at the shorter one, by scheme."""
    from outrange.attention.limits import figure10

    found = figure10(lengths, seeds=5).mean
    return {scheme: values[1] / values[0] for scheme, values in found.items()}


def _curves(
    model: str, lengths: tuple[int, ...], families: tuple[str, ...], dtypes: tuple[str, ...] = ("float32",), seed: int = 0
) -> dict[tuple[str, str], Any]:
    from outrange.attention import models
    from outrange.attention.collapse import FAMILIES, collapse

    opened = models.open_model(model)
    found = collapse(opened.model, opened.tokenizer, [FAMILIES[name] for name in families], lengths, dtypes, seed)  # type: ignore[arg-type]
    return {(curve.family, curve.dtype): curve for curve in found}


def figure5(seed: int, model: str, lengths: tuple[int, ...]) -> dict[str, float]:
    """Relative distance of n and n + 1 at the longest over that at the shortest length, and signal over noise in bfloat16 at the longest."""
    names = ("count ones", "copy ones", "digits")
    found = _curves(model, lengths, names, ("float32", "bfloat16"), seed)
    left = {f"{name} left": found[name, "float32"].relative[-1] / found[name, "float32"].relative[0] for name in names}
    return left | {f"{name} signal/noise": float(found[name, "bfloat16"].signal_over_noise[-1]) for name in names}


def commas(seed: int, model: str, lengths: tuple[int, ...]) -> dict[str, float]:
    """How many times as far commas part two inputs, median over lengths: n and n + 1, and n and n + 3, which end at the same place of a group."""
    from outrange.attention.probe import COMMAS

    found = _curves(model, lengths, tuple(name for pair in COMMAS for name in pair))
    ratios = [found[given, "float32"].relative / found[without, "float32"].relative for without, given in COMMAS]
    return {name: statistics.median(values.tolist()) for name, values in zip(("n and n + 1", "n and n + 3"), ratios, strict=True)}


def copying(seed: int, model: str, lengths: tuple[int, ...]) -> dict[str, float]:
    """How far a zero at the beginning, and at the end, moves the log-odds of answering 0; at the end also with a hint and interleaved; median over lengths."""
    from outrange.attention import models
    from outrange.attention.tasks import margins

    opened = models.open_model(model)
    return {one.task: statistics.median(one.shift.tolist()) for one in margins(opened.model, opened.tokenizer, lengths)}


def counting(seed: int, model: str, lengths: tuple[int, ...]) -> dict[str, float]:
    """How far one more moves the log-odds of the right count and the right sum, at the shortest and the longest sequence."""
    from outrange.attention import models
    from outrange.attention.tasks import margins

    opened = models.open_model(model)
    found = {one.task: one for one in margins(opened.model, opened.tokenizer, lengths, ("count ones", "sum ones"))}
    return {f"{name}, n = {lengths[k]}": float(one.shift[k]) for name, one in found.items() for k in (0, -1)}


def reach(seed: int, model: str, tokens: int, directions: int) -> dict[str, float]:
    """Mean sensitivity of the first and the last tenth of a text over that of the middle, and the same of the paper's bound."""
    from outrange.attention import models, squashing
    from outrange.attention.probe import TEXT

    opened = models.open_model(model)
    ids = models.tokens(opened.tokenizer, TEXT.read_text(encoding="utf-8"), tokens)
    shape = squashing.estimate(opened.model, ids, directions, seed=seed).u_shape()
    bound = squashing.Sensitivity(tokens=tuple(ids), norms=squashing.bound(opened.model, ids), error=None, layer=0, method="bound").u_shape()
    return {"first tenth": shape["first"], "last tenth": shape["last"], "bound, first tenth": bound["first"], "bound, last tenth": bound["last"]}


def variants(seed: int, text: str, preset: str, lengths: tuple[int, ...], out: str) -> dict[str, float]:
    """How many times as far as RoPE's each variant of one small model, trained alike, holds n and n + 1 ones apart, and what is left at the longest n."""
    from pathlib import Path

    from outrange.attention.models import open_model
    from outrange.attention.variants import compare, trained
    from outrange.lm.config import preset as named
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
    all_fell = all(v < 0.5 for v in fell.values())
    return ("shown" if all_fell else "partly"), ", ".join(f"{name} keeps {v:.1%}" for name, v in fell.items())


def _figure5(values: Measurements) -> tuple[str, str]:
    ones, digits = max(statistics.median(values[f"{n} left"]) for n in ("count ones", "copy ones")), statistics.median(values["digits left"])
    noise = {n: statistics.median(values[f"{n} signal/noise"]) for n in ("count ones", "copy ones", "digits")}
    shown = ones < 0.25 < digits
    below = max(noise["count ones"], noise["copy ones"]) < 1
    said = ", ".join(f"{name} {value:.2g}" for name, value in noise.items())
    why = f"ones keep {ones:.0%} of their distance, random digits {digits:.0%}; signal over noise in bfloat16: {said}"
    return ("shown" if shown and below else "partly" if ones < digits else "contradicted"), why


def _commas(values: Measurements) -> tuple[str, str]:
    part, count = (statistics.median(values[name]) for name in ("n and n + 1", "n and n + 3"))
    why = f"n and n + 1 {part:.2g} times as far apart, n and n + 3 {count:.2g} times: commas mark the place in a group" + (
        " only" if count < 1.5 else " and the count"
    )
    return ("shown" if part >= 1.5 and count >= 1.5 else "partly" if part >= 1.5 else "contradicted"), why


def _variants(values: Measurements) -> tuple[str, str]:
    kept = {name.removesuffix(", kept"): statistics.median(found) for name, found in values.items() if name.endswith(", kept")}
    times = {name.removesuffix(", times RoPE's"): found for name, found in values.items() if name.endswith("times RoPE's")}
    helped = [name for name, found in times.items() if min(found) >= 1.5]  # in every seed
    fell = [v < 0.5 for v in kept.values()]
    said = ", ".join(f"{name} keeps {v:.1%}" for name, v in kept.items())
    verdict = "shown" if all(fell) and not helped else "partly" if any(fell) else "contradicted"
    return verdict, f"{said}; at least half as far again as RoPE in every seed: {', '.join(helped) or 'none'}"


def _copying(values: Measurements) -> tuple[str, str]:
    first, last = statistics.median(values["first digit"]), statistics.median(values["last digit"])
    return ("shown" if first > 2 * abs(last) else "contradicted"), f"log-odds moved by {first:.2f} at the beginning, {last:.2f} at the end"


def _remedies(values: Measurements) -> tuple[str, str]:
    last, hint, mixed = (statistics.median(values[name]) for name in ("last digit", "last digit, with a hint", "last digit, interleaved"))
    from outrange.attention.probe import LEAST_SHIFT, LOUDER

    helped = sum(value >= LOUDER * max(last, 0.0) and value >= LEAST_SHIFT for value in (hint, mixed))
    return ("shown" if helped == 2 else "partly" if helped else "contradicted"), f"{last:.2f} alone, {hint:.2f} with a hint, {mixed:.2f} interleaved"


def _counting(values: Measurements) -> tuple[str, str]:
    from outrange.attention.probe import LEAST_SHIFT

    moved = {name: statistics.median(found) for name, found in values.items()}
    short, long = ([value for name, value in moved.items() if name.endswith(end)] for end in _ends(values))
    why = "log-odds of the right answer moved by " + ", ".join(f"{value:.2f} ({name})" for name, value in moved.items())
    if max(map(abs, short)) < LEAST_SHIFT:
        return "not at this scale", f"{why}: this model does not count to begin with"
    return ("shown" if max(map(abs, long)) < LEAST_SHIFT else "contradicted"), why


def _ends(values: Measurements) -> tuple[str, str]:
    """How the names of the shortest and of the longest length's measures end."""
    ns = sorted({int(name.rsplit(" ", 1)[1]) for name in values})
    return f"n = {ns[0]}", f"n = {ns[-1]}"


def _shape(values: Measurements) -> tuple[str, str]:
    first, last = statistics.median(values["first tenth"]), statistics.median(values["last tenth"])
    good = (first > 1) + (last > 1)
    said = [statistics.median(values[f"bound, {part} tenth"]) for part in ("first", "last")]
    why = f"first tenth {first:.2f}, last tenth {last:.2f} times the middle; the bound's {said[0]:.2g} and {said[1]:.2g}"
    return ("shown" if good == 2 else "partly" if good else "contradicted"), why


def _at(**settings: Any) -> dict[str, dict[str, Any]]:
    return {"laptop": {"model": SMALL} | settings, "gpu": {"model": LARGE} | settings}


_LENGTHS = (9, 33, 129, 255)

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
            _at(lengths=(8, 32, 128, 256)),
        ),
        Claim("commas", "figure 5 d", "A comma at every third digit keeps them apart.", "stays apart, Gemma 7B", commas, _commas, _at(lengths=_LENGTHS)),
        Claim(
            "variants",
            "section 4 and 6",
            "Collapse is a matter of softmax attention, whatever the rotary scheme or window.",
            "theorem 4.2; no trained variants there",
            variants,
            _variants,
            {
                scale: {"text": "runs/text-web", "preset": "laptop", "lengths": (8, 16, 32, 64, 100), "out": "runs/glasses-variants"}
                for scale in ("laptop", "gpu")
            },
        ),
        Claim(
            "copying",
            "figure 2 a",
            "The first digit is easier to copy than the last.",
            "last fails from about 300 on, Gemini 1.5",
            copying,
            _copying,
            _at(lengths=(5, 10, 20, 50, 100)),
        ),
        Claim("hints", "figure 2 b, c", "A hint, and interleaving, help.", "help a lot, Gemini 1.5", copying, _remedies, _at(lengths=(5, 10, 20, 50, 100))),
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
            counting,
            _counting,
            _at(lengths=(5, 20, 100)),
        ),
    ),
)
