"""``outrange text``: questions and answers in the terminal, as datasets, and scored."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from outrange.cli import app
from outrange.cli.export import run_export


def show(
    algorithm: app.Algorithm,
    length: int = 4,
    seed: int = 0,
    count: int = 1,
    hints: app.Flag[bool] = False,
    truncate_decimals: int | None = 3,
    option: app.Options = (),
    json: app.Json = False,
    load: app.Load = (),
) -> int:
    """Print questions with their answers.

    Args:
        algorithm: one of `outrange clrs list`.
        length: the sampler's length.
        seed: of the sample.
        count: how many.
        hints: ask for the trace of the algorithm before its output.
        truncate_decimals: cut float inputs to this many decimals; None keeps them whole.
    """
    from outrange.reasoning import clrs, text
    from outrange.reasoning.clrs.load import load_modules

    load_modules(load)
    options = app.options(option)
    traces = clrs.sample(algorithm, length, count, seed, truncate_decimals=truncate_decimals, **options)
    items = [text.render(trace, hints) for trace in traces]
    if json:
        app.print_json([{"question": item.question, "answer": item.answer, **item.metadata} for item in items])
    else:
        print("".join(item.text for item in items), end="")
    return 0


def export(
    target: Annotated[Path, tyro.conf.Positional],
    preset: str | None = None,
    algorithms: tuple[str, ...] = (),
    lengths: tuple[int, ...] = (),
    count: int | None = None,
    seed: int = 0,
    hints: app.Flag[bool] = False,
    truncate_decimals: int | None = None,
    options: str = "{}",
    format: Literal["parquet", "jsonl"] = "parquet",
    shard_rows: int = 10_000,
    workers: int = 1,
    json: app.Json = False,
    load: app.Load = (),
) -> int:
    """Write questions and answers as a dataset: sharded, with a card, resumable by the same command after any
    interruption.

    Args:
        target: a new or empty directory, or one to resume.
        preset: clrs-text-train or clrs-text-eval (or a clrs30 split), instead of lengths.
        algorithms: names; with a preset, some of its algorithms.
        lengths: the sampler's lengths, the same for all algorithms.
        count: samples per algorithm and length; with a preset, instead of the published number.
        seed: sample k of an algorithm and length depends on it and k alone.
        hints: ask for the trace of the algorithm before its output.
        truncate_decimals: cut float inputs to this many decimals; 3 if not given, and as published with a preset.
        options: sampler options as JSON by algorithm, e.g. '{"bfs": {"p": 0.3}}'.
        format: Parquet or JSON lines.
        shard_rows: rows of a file; a preset has one file per algorithm, length and seed.
        workers: processes.
    """
    from outrange.reasoning.clrs.export import Selection
    from outrange.reasoning.text.export import export_text

    if truncate_decimals is None and preset is None:
        truncate_decimals = 3
    selection = Selection(
        preset=preset,
        algorithms=algorithms,
        lengths=lengths,
        count=count,
        seed=seed,
        truncate_decimals=truncate_decimals,
        options=app.json_object("options", options),
        load=tuple(load),
    )
    write = partial(export_text, target, selection, hints=hints, format=format, shard_rows=shard_rows, workers=workers)
    return run_export(write, target, json)


def score(file: Annotated[Path, tyro.conf.Positional], json: app.Json = False) -> int:
    """Score completions: a file of JSON lines, each with question, answer and completion; scores by algorithm and on
    average.

    Args:
        file: JSON lines; `-` reads standard input.
    """
    from outrange.reasoning.text.score import score_file

    scores = score_file(file)
    if json:
        app.print_json(scores)
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("algorithm")
    for column in ("answers", "clrs", "exact", "shape", "parse"):
        table.add_column(column, justify="right")
    for name, row in scores.items():
        table.add_row(name, f"{row['answers']:.0f}", *(f"{row[k]:.3f}" for k in ("clrs", "exact", "shape", "parse")))
    Console().print(table)
    return 0


COMMANDS = {"show": show, "export": export, "score": score}
