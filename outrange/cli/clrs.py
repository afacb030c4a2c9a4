"""``outrange clrs``: execution traces in the terminal, as pages, as datasets."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from outrange.cli import app
from outrange.cli.export import run_export
from outrange.core.errors import BadInput


def list_algorithms(json: app.Json = False, load: app.Load = ()) -> int:
    """List the algorithms with their inputs, outputs and hints."""
    from outrange.reasoning import clrs
    from outrange.reasoning.clrs.load import load_modules

    load_modules(load)
    rows = [{"name": name, **clrs.spec(name).description} for name in clrs.names()]
    if json:
        app.print_json(rows)
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("algorithm", "category", "inputs", "outputs", "hints"):
        table.add_column(column, overflow="fold")
    for name in clrs.names():
        spec = clrs.spec(name)
        table.add_row(name, spec.category, ", ".join(spec.arguments), ", ".join(spec.outputs), ", ".join(spec.hints))
    Console().print(table)
    return 0


def show(
    algorithm: app.Algorithm,
    length: int = 8,
    seed: int = 0,
    steps: int | None = None,
    html: Path | None = None,
    truncate_decimals: int | None = 3,
    option: app.Options = (),
    json: app.Json = False,
    load: app.Load = (),
) -> int:
    """Show one trace, step by step: in the terminal, or as a page.

    Args:
        algorithm: one of `outrange clrs list`.
        length: the sampler's length.
        seed: of the sample.
        steps: how many steps to print; by default as many as fit a screen or two.
        html: write a self-contained page to this file instead.
        truncate_decimals: cut float inputs to this many decimals; None keeps them whole.
    """
    from outrange.reasoning import clrs
    from outrange.reasoning.clrs.load import load_modules

    load_modules(load)
    if json and html is not None:
        raise BadInput("json: cannot be combined with html; give one of them")
    trace = clrs.sample(algorithm, length, 1, seed, truncate_decimals=truncate_decimals, **app.options(option))[0]
    if json:
        arrays = {}
        for stage in ("inputs", "hints", "outputs"):
            arrays[stage] = {name: array.tolist() for name, array in getattr(trace, stage).items()}
        app.print_json({"algorithm": trace.name, "length": trace.length, **arrays})
        return 0
    if html is None:
        from rich.console import Console

        from outrange.reasoning.clrs.show import terminal

        terminal(trace, Console(), steps)
        return 0
    from outrange.core.atomic import writable, write_text
    from outrange.reasoning.clrs.picture import page

    with writable("html", html):
        write_text(html, page(trace, app.command_line()))
    print(html.resolve())
    return 0


def check(
    algorithms: Annotated[tuple[str, ...], tyro.conf.Positional] = (), json: app.Json = False, load: app.Load = ()
) -> int:
    """Check algorithms against the contract every one must keep; by default all.

    Args:
        algorithms: names; none means all known ones.
    """
    from outrange.reasoning import clrs
    from outrange.reasoning.check import BrokenContract, check_algorithm
    from outrange.reasoning.clrs.load import load_modules

    load_modules(load)
    results = {}
    with app.progress("checking", "algorithms") as report_progress:
        names = algorithms or clrs.names()
        for done, name in enumerate(names, 1):
            try:
                results[name] = {"kept": check_algorithm(name), "broken": None}
            except BrokenContract as broken:
                results[name] = {"kept": [], "broken": str(broken)}
            report_progress(done, len(names))
    if json:
        app.print_json(results)
    else:
        for name, result in results.items():
            promises = f"keeps its contract, {len(result['kept'])} promises"
            print(f"{name}: {result['broken'] or promises}")
    return 1 if any(result["broken"] for result in results.values()) else 0


def export(
    target: Annotated[Path, tyro.conf.Positional],
    preset: str | None = None,
    algorithms: tuple[str, ...] = (),
    lengths: tuple[int, ...] = (),
    count: int | None = None,
    seed: int = 0,
    truncate_decimals: int | None = None,
    options: str = "{}",
    format: Literal["parquet", "jsonl"] = "parquet",
    shard_rows: int = 10_000,
    workers: int = 1,
    json: app.Json = False,
    load: app.Load = (),
) -> int:
    """Write traces as a dataset: sharded, with a card, resumable by the same command after any interruption.

    Args:
        target: a new or empty directory, or one to resume.
        preset: clrs30-train, clrs30-val, clrs30-test, clrs-text-train or clrs-text-eval, instead of lengths.
        algorithms: names; with a preset, some of its algorithms.
        lengths: the sampler's lengths, the same for all algorithms.
        count: samples per algorithm and length; with a preset, instead of the published number.
        seed: sample k of an algorithm and length depends on it and k alone.
        truncate_decimals: cut float inputs to this many decimals.
        options: sampler options as JSON by algorithm, e.g. '{"bfs": {"p": 0.3}}'.
        format: Parquet or JSON lines.
        shard_rows: rows of a file; a preset has one file per algorithm, length and seed.
        workers: processes.
    """
    from outrange.reasoning.clrs.export import Selection, export_traces

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
    write = partial(export_traces, target, selection, format=format, shard_rows=shard_rows, workers=workers)
    return run_export(write, target, json)


def bench(
    algorithms: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
    against_reference: app.Flag[bool] = False,
    reference_python: Path | None = None,
    lengths: tuple[int, ...] = (16, 64),
    json: app.Json = False,
) -> int:
    """Measure CPU time per trace, and per trace with its text; against the published package on the same work in the
    same run if asked.

    Args:
        algorithms: names; none means the thirty.
        against_reference: also run dm-clrs 2.0.3, in an environment of its own that is built on first use (2.9 GB).
        reference_python: a Python that has dm-clrs 2.0.3 already, instead of building that environment.
        lengths: the sampler's lengths.
    """
    from outrange.cli.bench import run_bench

    return run_bench(algorithms, against_reference or reference_python is not None, reference_python, lengths, json)


COMMANDS = {"list": list_algorithms, "show": show, "check": check, "export": export, "bench": bench}
