"""``outrange attention scan``, ``layout``, ``ablate``, ``convert`` and ``bench``: how a language model uses its rotary
frequencies (arXiv 2410.06205)."""

import textwrap
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from outrange.cli import app
from outrange.cli.attention.inputs import Dtype, Model, read_text, report_status
from outrange.core.errors import BadInput
from outrange.lm.opening import model_notes


def layout(model: Model = "smollm2-135m", json: app.Json = False) -> int:
    """Print a model's rotary layout: which channels turn together, how fast, in which layers. A configuration without
    weights is enough.
    """
    from outrange.attention.rope.layout import read_layout
    from outrange.attention.rope.scan import described
    from outrange.lm.opening import open_config

    found = read_layout(open_config(model, report_status))
    groups = [described(indices, one) for indices, one in found.groups()]
    if json:
        app.print_json({"model": model, "family": found.family, "layouts": groups})
        return 0
    print(f"{model}: {found.family}, {len(found.layers)} layers that attend")
    for group in groups:
        turning = [g for g in group["frequencies"] if g > 0]
        print(f"\nlayers {_ranges(group['layers'])}: {group['scheme']}")
        print(
            f"  head {group['head_dim']} channels, {len(turning)} of {group['head_dim'] // 2} pairs turn"
            + (f", pairs {group['pairing']}" if turning else "")
        )
        if turning:
            base = f"theta {group['theta']:g}, " if group["theta"] else ""
            print(
                f"  {base}from {turning[0]:.4g} to {turning[-1]:.4g} rad a token: a turn takes {_tokens(turning[0])} to {_tokens(turning[-1])} tokens"
            )
        if group["note"]:
            print(f"  note: {group['note']}")
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
    """Which rotary frequencies every layer and head uses, which heads are positional, what happens without some
    frequencies: a table, and a page to mail.

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
    from outrange.attention.rope.scan import SHAKESPEARE
    from outrange.attention.rope.scan import scan as look
    from outrange.core.atomic import make_way, writable, write_text
    from outrange.lm import opening
    from outrange.report.scan import page

    _at_least(tokens, 16, zero=True)
    texts = [text] if not against_text else [text, against_text]
    named = [(model, one) for one in texts]
    if against_model:
        if against_text:
            raise BadInput("against-text: is not allowed with --against-model; compare two models or two texts")
        named = [(model, text), (against_model, text)]
    contents = {one: read_text(one or SHAKESPEARE) for one in texts}
    make_way("out", out)
    sides, opened = [], None
    for name, one in named:
        if opened is None or opened.name != name:
            opened = None  # the first need not fit beside the second
            opened = opening.open_model(name, dtype, report_status)
        title = "ten quotations of Shakespeare" if one is None else one.name
        with app.progress(f"{name}, {title}", "windows") as update:
            tell = (
                (lambda what, done, total: None)
                if json
                else (lambda what, done, total, update=update: update(done, total))
            )
            sides.append(
                look(
                    opened,
                    contents[one],
                    title,
                    window=window,
                    limit=tokens or None,
                    experiments=experiments,
                    tell=tell,
                )
            )
    title = " and ".join(dict.fromkeys(side["model"] for side in sides))
    story = {
        "title": title,
        "subtitle": "how it uses rotary position frequencies",
        "notes": scan_notes([side["model"] for side in sides]),
        "command": app.command_line(),
        "sides": sides,
    }
    with writable("out", out):
        write_text(out, page(story))
    if json:
        app.print_json(
            {
                "page": str(out.resolve()),
                "sides": [{key: value for key, value in side.items() if key != "patterns"} for side in sides],
            }
        )
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
    import torch

    from outrange.attention.rope.ablate import Ablation, ablated, head, perplexity
    from outrange.attention.rope.heads import SCORES, HeadScores
    from outrange.attention.rope.layout import read_layout
    from outrange.attention.rope.scan import SHAKESPEARE, windows
    from outrange.lm import opening

    _at_least(tokens, 16)
    opened = opening.open_model(model, dtype, report_status)
    found = read_layout(opened.model)
    if not found.rotates:
        raise BadInput(
            f"model: {model!r} turns nothing by position, so there are no frequencies to take away; `outrange attention layout` says what it has"
        )
    ids = windows(
        opening.encode_text(opened.tokenizer, read_text(text or SHAKESPEARE), tokens), tokens, opened.tokenizer
    )[:1]
    count = opened.model.config.get_text_config(decoder=True).num_attention_heads
    chosen = [head(one, found, count) for one in heads] or None
    tries = [Ablation(kind=kind, pairs=one, heads=chosen) for one in pairs]
    for one in tries:
        for each in found.layers.values():
            one.chosen(each)
    rows: list[dict[str, Any]] = []
    with app.progress("passes", "passes") as update:
        for k, one in enumerate([None, *tries]):
            scores = HeadScores()
            with (
                ablated(
                    opened.model,
                    found,
                    one or Ablation(kind="remove", pairs="all", heads=()),
                    scores if chosen else None,
                ),
                torch.no_grad(),
            ):
                row: dict[str, Any] = {"pairs": one.pairs if one else "", "perplexity": perplexity(opened.model, ids)}
            row |= {
                f"L{layer}H{h}": {name: float(scores.layers[layer][name][h]) for name in SCORES}
                for layer, h in chosen or ()
            }
            rows.append(row)
            update(k + 1, len(tries) + 1)
    if json:
        app.print_json({"model": model, "kind": kind, "tokens": ids[0].shape[1], "results": rows})
        return 0
    print(
        f"{model}, {ids[0].shape[1]} tokens of {text.name if text else 'Shakespeare'}; {'stop turning' if kind == 'still' else 'add nothing'}:"
    )
    for row in rows:
        shown = "  ".join(
            f"{name} " + " ".join(f"{score} {value:.3f}" for score, value in row[name].items())
            for name in row
            if name.startswith("L")
        )
        print(f"  {row['pairs'] or 'none':<14} perplexity {row['perplexity']:10.2f}  {shown}")
    return 0


def convert(
    model: Model,
    out: Annotated[Path, tyro.conf.Positional],
    p: float = 0.75,
    kind: Literal["p-rope", "reversed", "partial", "nope", "rope"] = "p-rope",
) -> int:
    """Write a model with another rotary scheme and the same weights, as a Hugging Face folder. It was not trained so:
    see what it costs with `ablate`.

    Args:
        out: a new folder.
        p: share of the frequencies that go on turning.
        kind: p-rope keeps the fastest; reversed the slowest; partial squeezes a whole spectrum into p of the pairs.
    """
    from outrange.core.atomic import writable
    from outrange.lm import opening
    from outrange.lm.fetch import beside
    from outrange.lm.rotary import convert as change

    if out.exists():
        raise BadInput(f"out: {str(out)!r} is there already; give a new folder")
    opened = opening.open_model(model, "float32", report_status)
    changed: Any = change(opened.model, p, kind)
    with writable("out", out), beside(out) as partial:
        changed.save_pretrained(partial)
        if opened.tokenizer is not None:
            opened.tokenizer.save_pretrained(partial)
    print(f"{out}: {changed.config.rope_parameters}")
    if kind in ("reversed", "partial"):
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
    from outrange.attention.rope.bench import bench as measure

    found = {length: measure(model, length, rounds) for length in tokens}
    if json:
        app.print_json({"model": model, "tokens": found})
        return 0
    for length, ways in found.items():
        print(f"{model}, {length:,} tokens")
        for way, one in ways.items():
            print(
                f"  {way:<16} {one['seconds']:8.2f} s  x {one['ratio']:.2f}   peak {one['peak_mb']:,.0f} MB  x {one['peak_mb'] / ways['plain']['peak_mb']:.2f}"
            )
    return 0


def _at_least(tokens: int, least: int, zero: bool = False) -> None:
    if tokens < least and not (zero and tokens == 0):
        raise BadInput(
            f"tokens: {tokens} is not allowed; it must be at least {least}{', or 0 for all' if zero else ''}"
        )


def _ranges(numbers: list[int]) -> str:
    """0-4, 6, 8-9"""
    parts: list[list[int]] = []
    for n in numbers:
        if parts and n == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], n]
        else:
            parts.append([n])
    return ", ".join("-".join(map(str, part)) for part in parts)


def _tokens(frequency: float) -> str:
    return f"{6.283185307179586 / frequency:,.0f}"


def scan_notes(models: list[str]) -> list[str]:
    """What a reader of a scan should know."""
    return [
        "Means over keys take all earlier tokens but the first, also those that a sliding window hides.",
        *model_notes(models),
    ]


def _print_side(side: dict[str, Any]) -> None:
    from outrange.report.scan import reading

    print(f"\n{side['model']} · {side['text']} · {side['tokens']:,} tokens")
    for group in side["layouts"]:
        print(
            f"  layers {_ranges(group['layers'])}: {group['scheme']}"
            + (f", theta {group['theta']:g}" if group["theta"] else "")
        )
    for name in ("previous", "diagonal", "first"):
        best = sorted(side["heads"], key=lambda h: -h[name])[:4]
        print(f"  {name:<9} " + "  ".join(f"L{h['layer']}H{h['head']} {h[name]:.3f}" for h in best))
    for curve in side.get("ablations") or ():
        print(
            f"  {curve['name']}: "
            + "  ".join(f"{x}: {value:.1f}" for x, value in zip(curve["x"], curve["perplexity"], strict=True))
        )
    print(textwrap.fill(reading(side), 110, initial_indent="  ", subsequent_indent="  "))
