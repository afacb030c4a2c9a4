"""``outrange attention``: how a language model uses position."""

import sys
import textwrap
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from outrange.cli import app
from outrange.core.errors import BadInput, unknown

Model = Annotated[str, tyro.conf.Positional]
Dtype = Literal["float32", "bfloat16", "float16"]
LARGEST = 1 << 26  # bytes of a text
LAST_SEED = (1 << 32) - 1


def layout(model: Model = "smollm2-135m", json: app.Json = False) -> int:
    """Print a model's rotary layout: which channels turn together, how fast, in which layers. A configuration without weights is enough.

    Args:
        model: "smollm2-135m", a Hugging Face folder, a .gguf file, or owner/name on the hub.
    """
    from outrange.attention.rope.layout import read_layout
    from outrange.attention.rope.scan import described
    from outrange.lm.opening import open_config

    found = read_layout(open_config(model, _said))
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
    """Which rotary frequencies every layer and head uses, which heads are positional, what happens without some frequencies: a table, and a page to mail.

    Args:
        model: "smollm2-135m", a Hugging Face folder, a .gguf file, or owner/name on the hub.
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
    contents = {one: _read(one or SHAKESPEARE) for one in texts}
    make_way("out", out)
    sides, opened = [], None
    for name, one in named:
        if opened is None or opened.name != name:
            opened = None  # the first need not fit beside the second
            opened = opening.open_model(name, dtype, _said)
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
        "command": app.command_line(app.typed("attention")),
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
        model: "smollm2-135m", a Hugging Face folder, a .gguf file, or owner/name on the hub.
        pairs: which frequencies, one try each: lowest:8, highest:25%, quarter:1, 22-25, all; counted from the fastest, 0.
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
    opened = opening.open_model(model, dtype, _said)
    found = read_layout(opened.model)
    if not found.rotates:
        raise BadInput(
            f"model: {model!r} turns nothing by position, so there are no frequencies to take away; `outrange attention layout` says what it has"
        )
    ids = windows(opening.encode_text(opened.tokenizer, _read(text or SHAKESPEARE), tokens), tokens, opened.tokenizer)[
        :1
    ]
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


def probe(
    model: Model = "smollm2-135m",
    budget: Literal["quick", "full"] = "quick",
    text: Path | None = None,
    seed: int = 0,
    out: Path = Path("out/probe.html"),
    json: app.Json = False,
) -> int:
    """From what length on a model loses its input, in which precision, which tokens reach the answer, whether a remedy helps: a verdict, and a page to mail.

    Args:
        model: "smollm2-135m", a Hugging Face folder, a .gguf file, or owner/name on the hub; read in float32.
        budget: quick takes three minutes for the built-in model on two cores; full reads longer inputs in more types.
        text: whose tokens' sensitivities are measured; none: ten quotations of Shakespeare.
        seed: of random digits and directions.
        out: the page.
    """
    from outrange.attention.glasses.probe import BUDGETS
    from outrange.attention.glasses.probe import probe as look
    from outrange.core.atomic import make_way, writable, write_text
    from outrange.lm import opening
    from outrange.report.probe import page

    _drawn(seed)
    content = _read(text) if text else ""
    make_way("out", out)
    opened = opening.open_model(model, "float32", _said)
    with app.progress("probing", "steps") as update:
        found = look(opened, BUDGETS[budget], content, seed, lambda what, done, total: update(done, total))
    story = {
        "title": model,
        "subtitle": "from what length on it loses its input",
        "command": app.command_line(app.typed("attention")),
        **found,
        "notes": found["notes"] + notes_of([model]),
    }
    with writable("out", out):
        write_text(out, page(story))
    if json:
        app.print_json({"page": str(out.resolve()), "budget": budget} | found)
        return 0
    print(f"\n{model}")
    for row in found["verdict"]:
        print(f"  {row['question']}\n      {row['answer']} · {row['detail']}")
    print("\nremedies")
    for row in found["remedies"]:
        print(f"  {row['remedy']:<36} {row['without']:>9} → {row['with']:<11} {row['verdict']:<14} {row['measure']}")
    for note in story["notes"]:
        print(textwrap.fill(note, 110, initial_indent="  note: ", subsequent_indent="  "))
    print(f"\nopen: {out.resolve()}")
    return 0


def compare(
    models: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL …")],
    family: str = "copy ones",
    lengths: tuple[int, ...] = (8, 16, 32, 64, 100),
    seed: int = 0,
    json: app.Json = False,
) -> int:
    """Which of several models keeps n and n + 1 repetitions apart: relative distances, what is left of them, signal over blur in bfloat16.

    Args:
        models: "smollm2-135m", Hugging Face folders, .gguf files, runs of `outrange lm train`, or owner/name on the hub. The first is what others are held to.
        family: of pairs: ones, count ones, copy ones, copy with commas, digits, same phase, same phase with commas.
        lengths: of repetitions, ascending.
        seed: of random digits.
    """
    from outrange.attention.glasses.collapse import FAMILIES
    from outrange.attention.glasses.variants import compare as side_by_side
    from outrange.lm import opening

    _drawn(seed)
    if not models:
        raise BadInput(
            "models: none given; name one or more, as in: outrange attention compare smollm2-135m runs/lm-one"
        )
    if family not in FAMILIES:
        raise unknown("family", family, FAMILIES, "a family of pairs")
    rows = [
        row
        for name in models
        for row in side_by_side([opening.open_model(name, "float32", _said)], lengths, family, seed)
    ]
    if json:
        told = (
            {
                "model": row.name,
                "lengths": list(row.lengths),
                "relative": row.relative.tolist(),
                "clear": row.clear.tolist(),
            }
            for row in rows
        )
        app.print_json(
            [one | {"kept": row.kept, "louder": row.louder(rows[0])} for one, row in zip(told, rows, strict=True)]
        )
        return 0
    width = max(map(len, (*models, "model")))
    print(f"{family}: {FAMILIES[family].meaning}\n")
    print(
        f"{'model':<{width}}"
        + "".join(f"{f'n = {n}':>11}" for n in rows[0].lengths)
        + f"{'kept':>8}{'times the first':>17}{'signal/blur':>13}"
    )
    for row in rows:
        cells = "".join(f"{value:>11.2g}" for value in row.relative)
        print(f"{row.name:<{width}}{cells}{row.kept:>8.1%}{row.louder(rows[0]):>17.2g}{row.clear[-1]:>13.2g}")
    return 0


def ask(
    model: Model = "smollm2-135m",
    server: str = "",
    tasks: tuple[str, ...] = (),
    lengths: tuple[int, ...] = (2, 5, 10, 20, 50),
    styles: tuple[Literal["none", "zero-shot", "few-shot"], ...] = ("none",),
    order: int = 1,
    items: int = 1,
    seed: int = 0,
    margins: bool = False,
    out: Path = Path("out/answers.jsonl"),
    json: app.Json = False,
) -> int:
    """Copying, counting and summing by generation: how often a model is right, how far off it is. Answers are written as they come.

    With --margins instead how far the zero of a copying task moves the log-odds of answering 0, which shows what a wrong answer hides; a server must give
    log-probabilities (logprobs and top_logprobs of the chat interface).

    Args:
        model: "smollm2-135m", a Hugging Face folder, a .gguf file, owner/name on the hub; or with --server its name there.
        server: an OpenAI-compatible one, e.g. http://localhost:8000/v1; the environment variable OPENAI_API_KEY holds its key, if it wants one.
        tasks: first digit, last digit, count ones and sum ones if not given; also "last digit, with a hint", "last digit, interleaved",
            count ones among zeros, count words.
        lengths: of the sequences.
        styles: of prompting: none, zero-shot or few-shot chains of thought.
        order: 1: question, form of the answer, sequence; 2: form, question, sequence; 3: sequence, question, form.
        items: prompts of each kind.
        seed: of what is drawn.
        margins: of the tasks of copying; both if no tasks are named.
        out: one line of JSON an answer.
    """
    import json as plain
    from dataclasses import asdict

    from outrange.attention.glasses.backends import Local, Moved, Result, Server, moved
    from outrange.attention.glasses.backends import ask as question
    from outrange.attention.glasses.tasks import COPYING, build
    from outrange.core.atomic import make_way, writable

    tasks = tasks or (
        ("first digit", "last digit") if margins else ("first digit", "last digit", "count ones", "sum ones")
    )
    if not lengths:
        raise BadInput("lengths: none given; name one or more, as in: --lengths 2 5 10")
    for task in tasks:
        build(
            task, min(lengths), order=order, seed=seed
        )  # what is wrong is said before a model is loaded, or a file begun
    if margins and (wrong := [task for task in tasks if task not in COPYING]):
        raise unknown("tasks", wrong[0], COPYING, "a task of copying")
    if margins and (styles != ("none",) or items != 1 or seed != 0):
        raise BadInput("margins: is not allowed with --styles, --items or --seed; a margin is of one plain prompt")
    if items < 1:
        raise BadInput(f"items: {items} is not allowed; it must be at least 1")
    if server:
        backend: Local | Server = Server(server, model)
    else:
        from outrange.lm import opening

        opened = opening.open_model(model, "float32", _said)
        backend = Local(opened.model, opened.tokenizer)
    make_way("out", out)
    with writable("out", out):
        total = len(tasks) * len(lengths) * (1 if margins else len(styles) * items)
        with app.progress("asking", "prompts") as update:
            count = 0

            def tell(result: Result | Moved) -> None:
                nonlocal count
                with open(
                    out, "a" if count else "w", encoding="utf-8"
                ) as file:  # what stood there before goes with the first answer, not before
                    file.write(plain.dumps(asdict(result)) + "\n")
                update(count := count + 1, total)

            if margins:
                shifts, failed = moved(backend, tasks, lengths, order=order, tell=tell)
                return _print_shifts(model, server, tasks, lengths, [asdict(one) for one in shifts], failed, out, json)
            found = question(backend, tasks, lengths, styles=styles, order=order, items=items, seed=seed, tell=tell)
    if json:
        app.print_json(
            {
                "model": model,
                "server": server,
                "failed": found.failed,
                "results": [asdict(one) for one in found.results],
            }
        )
    else:
        print(f"{'task':<26}{'style':<12}" + "".join(f"{f'n = {n}':>18}" for n in lengths))
        for task in tasks:
            for style in styles:
                cells = []
                for n in lengths:
                    mine = [one for one in found.results if (one.task, one.style, one.n) == (task, style, n)]
                    off = [one.error for one in mine if one.error is not None]
                    right = f"{sum(one.correct for one in mine) / len(mine):.0%}" if mine else "–"
                    cells.append(f"{right}{f', off {sum(off) / len(off):.3g}' if off else ''}")
                print(f"{task:<26}{style:<12}" + "".join(f"{cell:>18}" for cell in cells))
        print(f"\n{len(found.results)} answers: {out.resolve()}" if found.results else "\nno answers")
    if found.failed:
        print(f"error: {found.failed}", file=sys.stderr)
    return int(bool(found.failed))


def _print_shifts(
    model: str,
    server: str,
    tasks: tuple[str, ...],
    lengths: tuple[int, ...],
    rows: list,
    failed: str,
    out: Path,
    json: bool,
) -> int:
    if json:
        app.print_json({"model": model, "server": server, "failed": failed, "results": rows})
    else:
        print("log-odds that the zero adds to the answer 0, which is right")
        print(f"{'task':<26}" + "".join(f"{f'n = {n}':>10}" for n in lengths))
        for task in tasks:
            mine = {row["n"]: f"{row['shift']:.2f}" for row in rows if row["task"] == task}
            print(f"{task:<26}" + "".join(f"{mine.get(n, '–'):>10}" for n in lengths))
        print(f"\n{len(rows)} margins: {out.resolve()}" if rows else "\nno margins")
    if failed:
        print(f"error: {failed}", file=sys.stderr)
    return int(bool(failed))


def theorems(
    paper: Literal["rope", "glasses"] = "rope",
    dtypes: tuple[str, ...] = (),
    seed: int = 0,
    json: app.Json = False,
) -> int:
    """Every statement of a paper as a check: claim, bound, what was measured.

    Args:
        paper: rope: on rotary positions; glasses: on collapse and over-squashing, in float64 but for the statement about types.
        dtypes: the types to check rope's statements in; float64, float32, bfloat16 and float16 if not given.
        seed: of what is drawn.
    """
    from dataclasses import asdict

    _drawn(seed)
    if paper == "glasses":
        from outrange.attention.glasses.checks import checks as limits

        if dtypes:
            raise BadInput(
                f"dtypes: {' '.join(dtypes)} is not allowed with --paper glasses, whose statements are tried in float64; leave it out"
            )
        found = limits(seed)
    else:
        from outrange.attention.rope.theorems import DTYPES, checks

        found = checks(dtypes or DTYPES, seed)
    if json:
        app.print_json([asdict(one) for one in found])
    else:
        name = ""
        for one in found:
            if one.name != name:
                name = one.name
                print(f"\n{one.name} ({one.place})\n  {one.statement}\n  given: {one.hypotheses}")
            print(
                f"  {'holds ' if one.holds else 'FAILS '} bound {one.bound}; measured {one.measured}"
                + (f"\n         {one.fine_print}" if one.fine_print else "")
            )
    return 0 if all(one.holds for one in found) else 1


def convert(
    model: Model,
    out: Annotated[Path, tyro.conf.Positional],
    p: float = 0.75,
    kind: Literal["p-rope", "reversed", "partial", "nope", "rope"] = "p-rope",
) -> int:
    """Write a model with another rotary scheme and the same weights, as a Hugging Face folder. It was not trained so: see what it costs with `ablate`.

    Args:
        model: "smollm2-135m", a Hugging Face folder, a .gguf file, or owner/name on the hub.
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
    opened = opening.open_model(model, "float32", _said)
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
        model: "smollm2-135m", a Hugging Face folder, a .gguf file, or owner/name on the hub.
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


def _said(what: str) -> None:
    print(what, file=sys.stderr)


def _drawn(seed: int) -> None:
    if not 0 <= seed <= LAST_SEED:
        raise BadInput(f"seed: {seed} is not allowed; it must be 0 … {LAST_SEED:,}")


def _read(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            raw = file.read(LARGEST + 1)
        if len(raw) > LARGEST:
            raise BadInput(f"text: {str(path)!r} is larger than {LARGEST:,} bytes; give a part of it")
        text = raw.decode("utf-8")
        if not text.strip():
            raise BadInput(f"text: {str(path)!r} holds no words; give another file, or leave it out")
        return text
    except OSError as error:
        raise BadInput(f"text: {str(path)!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"text: {str(path)!r} is not UTF-8 at byte {error.start}") from None


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


def notes_of(models: list[str]) -> list[str]:
    """What a reader should know of some models."""
    if "smollm2-135m" not in models:
        return []
    return [
        "smollm2-135m: SmolLM2-135M-Instruct from four-bit weights (Q4_1), so numbers differ a little from the original checkpoint's."
    ]


def scan_notes(models: list[str]) -> list[str]:
    """What a reader of a scan should know."""
    return [
        "Means over keys take all earlier tokens but the first, also those that a sliding window hides.",
        *notes_of(models),
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


def run(arguments: list[str]) -> int:
    app.remember("attention", arguments)
    return app.run_group(
        "attention",
        {
            "scan": scan,
            "probe": probe,
            "compare": compare,
            "ask": ask,
            "layout": layout,
            "ablate": ablate,
            "theorems": theorems,
            "convert": convert,
            "bench": bench,
        },
        arguments,
    )
