"""``outrange attention scan``, ``layout``, ``ablate``, ``convert`` and ``bench``: how a language model uses its rotary
frequencies (arXiv 2410.06205)."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from outrange.cli import app
from outrange.cli.attention.inputs import Dtype, Model, read_text, report_status
from outrange.core.checks import require, whole
from outrange.core.errors import BadInput
from outrange.lm.schemes import SCHEMES, RotaryKind

if TYPE_CHECKING:
    from outrange.report.scan_story import LayoutGroup, ScanSide

LEAST_TOKENS = 16
SCHEME_HELP = "the scheme: " + "; ".join(f"{kind}: {scheme.meaning}" for kind, scheme in SCHEMES.items())


def layout(model: Model = "smollm2-135m", json: app.Json = False) -> int:
    """Print a model's rotary layout: which channels turn together, how fast, in which layers. A configuration without
    weights is enough.
    """
    from outrange.attention import rope
    from outrange.lm.opening import open_config

    result = rope.read_layout(open_config(model, report_status))
    groups = rope.describe_layout(result)
    if json:
        layouts = [asdict(group) for group in groups]
        app.print_json({"model": model, "family": result.family, "layouts": layouts})
        return 0
    print(f"{model}: {result.family}, {len(result.layers)} layers that attend")
    for group in groups:
        _print_group(group)
    return 0


def scan(
    model: Model = "smollm2-135m",
    text: Path | None = None,
    against_model: str = "",
    against_text: Path | None = None,
    window: int | None = None,
    tokens: int = 0,
    experiments: bool = True,
    dtype: Dtype = "float32",
    out: Path = Path("out/scan.html"),
    json: app.Json = False,
) -> int:
    """Which rotary frequencies every layer and head uses, which heads are positional, and what happens without some
    frequencies.

    Prints a table and writes an HTML page.

    Args:
        text: a file to read; none: ten quotations of Shakespeare.
        against_model: a second model, to stand beside the first.
        against_text: a second text, to stand beside the first.
        window: tokens at a time; 512, or as many as the model takes, if not given.
        tokens: of a text at most; 0: all.
        experiments: take frequencies away as well.
        dtype: what the weights are loaded as.
        out: the page.
    """
    from outrange.attention import rope
    from outrange.attention.texts import SHAKESPEARE, SHAKESPEARE_NAME
    from outrange.core.atomic import make_way, writable, write_text
    from outrange.lm.opening import open_model
    from outrange.report.scan import page

    # what is wrong is refused before a model is opened
    enough = tokens >= LEAST_TOKENS or tokens == 0
    require(enough, "tokens", tokens, f"at least {LEAST_TOKENS}, or 0 for all")
    if against_model and against_text:
        raise BadInput("against-text: is not allowed with --against-model; compare two models or two texts")
    models = [model, against_model] if against_model else [model]
    paths = [text, against_text] if against_text else [text]
    contents = {path: read_text(path or SHAKESPEARE) for path in paths}
    make_way("out", out)

    sides, opened = [], None
    for name, path in [(name, path) for name in models for path in paths]:
        if opened is None or opened.name != name:
            opened = None  # the first need not fit beside the second
            opened = open_model(name, dtype, report_status)
        text_name = SHAKESPEARE_NAME if path is None else path.name
        with app.progress(f"{name}, {text_name}", "passes") as update:
            side = rope.scan_model(
                opened,
                contents[path],
                text_name,
                window=window,
                limit=tokens or None,
                experiments=experiments,
                report_progress=(lambda done, total: None) if json else update,
            )
        sides.append(side)
    story = rope.scan_story(sides, command=app.command_line())
    with writable("out", out):
        write_text(out, page(story))
    if json:
        results = [asdict(side) for side in sides]
        for result in results:
            del result["patterns"]
        app.print_json({"page": str(out.resolve()), "sides": results})
        return 0
    for side in sides:
        _print_side(side)
    print(f"\nopen: {out.resolve()}")
    return 0


def ablate(
    model: Model = "smollm2-135m",
    pairs: tuple[str, ...] = ("lowest:25%", "highest:25%"),
    kind: Literal["still", "remove"] = "still",
    heads: tuple[str, ...] = (),
    text: Path | None = None,
    tokens: int = 512,
    dtype: Dtype = "float32",
    json: app.Json = False,
) -> int:
    """Perplexity, and the scores of heads, without some frequencies.

    Args:
        pairs: which frequencies, one try each: lowest:8, highest:25%, quarter:1, 22-25, all; counted from the fastest,
            0.
        kind: still: they stop turning, as in p-RoPE; remove: they add nothing to logits.
        heads: for "remove", heads such as L16H0, whose scores are shown as well; none: everywhere.
        text: a file to read; none: ten quotations of Shakespeare.
        tokens: of the text, in one window.
        dtype: what the weights are loaded as.
    """
    from outrange.attention import rope
    from outrange.attention.texts import SHAKESPEARE
    from outrange.lm.opening import open_model

    whole("tokens", tokens, LEAST_TOKENS)
    opened = open_model(model, dtype, report_status)
    content = read_text(text or SHAKESPEARE)
    with app.progress("ablations", "passes") as update:
        comparison = rope.compare_ablations(opened, content, pairs, kind, heads, tokens, report_progress=update)
    if json:
        rows = []
        for result in comparison.results:
            scores = {f"L{layer}H{head}": values for (layer, head), values in result.head_scores.items()}
            rows.append({"pairs": result.pairs, "perplexity": result.perplexity} | scores)
        app.print_json({"model": model, "kind": kind, "tokens": comparison.tokens, "results": rows})
        return 0

    text_name = text.name if text else "Shakespeare"
    effect = "stop turning" if kind == "still" else "add nothing"
    print(f"{model}, {comparison.tokens} tokens of {text_name}; {effect}:")
    for result in comparison.results:
        columns = []
        for (layer, head), values in result.head_scores.items():
            columns.append(f"L{layer}H{head} " + " ".join(f"{name} {value:.3f}" for name, value in values.items()))
        print(f"  {result.pairs or 'none':<14} perplexity {result.perplexity:10.2f}  {'  '.join(columns)}")
    return 0


def convert(
    model: Model,
    out: Annotated[Path, tyro.conf.Positional],
    p: float = 0.75,
    kind: Annotated[RotaryKind, tyro.conf.arg(help=SCHEME_HELP)] = "p-rope",
) -> int:
    """Write a model with another rotary scheme and the same weights, as a Hugging Face folder. It was not trained so:
    see what it costs with `ablate`.

    Args:
        out: a new folder.
        p: share of the frequencies that turn.
    """
    from outrange.lm.conversion import check_new_folder, save_converted
    from outrange.lm.opening import open_model
    from outrange.lm.rotary import OWN_ROPE_TYPES

    check_new_folder(out)
    rope_parameters = save_converted(open_model(model, "float32", report_status), out, p, kind)
    print(f"{out}: {rope_parameters}")
    if rope_parameters.get("rope_type") in OWN_ROPE_TYPES:
        print("its rope type is one of this package: `import outrange.lm.rotary` before from_pretrained opens it")
    return 0


def bench(
    model: Model = "smollm2-135m", tokens: tuple[int, ...] = (512, 2048), rounds: int = 3, json: app.Json = False
) -> int:
    """What looking costs beside a plain pass over the same tokens: time and peak memory.

    Args:
        tokens: lengths to try, each in one window.
        rounds: passes of each kind.
    """
    from outrange.attention import rope

    costs = {length: rope.measure_cost(model, length, rounds) for length in tokens}
    if json:
        by_length = {length: {way: asdict(cost) for way, cost in ways.items()} for length, ways in costs.items()}
        app.print_json({"model": model, "tokens": by_length})
        return 0
    for length, ways in costs.items():
        print(f"{model}, {length:,} tokens")
        for way, cost in ways.items():
            memory_ratio = cost.peak_mb / ways["plain"].peak_mb
            print(
                f"  {way:<16} {cost.seconds:8.2f} s  x {cost.ratio:.2f}   "
                f"peak {cost.peak_mb:,.0f} MB  x {memory_ratio:.2f}"
            )
    return 0


def _print_group(group: "LayoutGroup") -> None:
    turning = [frequency for frequency in group.frequencies if frequency > 0]
    print(f"\nlayers {_ranges(group.layers)}: {group.scheme}")
    pairing = f", pairs {group.pairing}" if turning else ""
    print(f"  head {group.head_dim} channels, {len(turning)} of {group.head_dim // 2} pairs turn{pairing}")
    if turning:
        base = f"theta {group.theta:g}, " if group.theta else ""
        print(
            f"  {base}from {turning[0]:.4g} to {turning[-1]:.4g} rad a token: "
            f"a turn takes {_period(turning[0])} to {_period(turning[-1])} tokens"
        )
    if group.note:
        print(f"  note: {group.note}")


def _print_side(side: "ScanSide") -> None:
    from outrange.report.scan_reading import read_side

    print(f"\n{side.model} · {side.text} · {side.tokens:,} tokens")
    for group in side.layouts:
        base = f", theta {group.theta:g}" if group.theta else ""
        print(f"  layers {_ranges(group.layers)}: {group.scheme}{base}")
    for score in ("previous", "diagonal", "first"):
        highest = sorted(side.heads, key=lambda head: -getattr(head, score))[:4]
        columns = [f"L{head.layer}H{head.head} {getattr(head, score):.3f}" for head in highest]
        print(f"  {score:<9} {'  '.join(columns)}")
    for curve in side.ablations:
        points = zip(curve.x, curve.perplexity, strict=True)
        print(f"  {curve.name}: " + "  ".join(f"{count}: {perplexity:.1f}" for count, perplexity in points))
    print(textwrap.fill(read_side(side), 110, initial_indent="  ", subsequent_indent="  "))


def _ranges(numbers: Sequence[int]) -> str:
    """Whole numbers in rising order as ranges: 0-4, 6, 8-9."""
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], number
        else:
            ranges.append((number, number))
    return ", ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in ranges)


def _period(frequency: float) -> str:
    """How many tokens a whole turn takes."""
    return f"{2 * math.pi / frequency:,.0f}"
