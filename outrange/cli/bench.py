"""``outrange clrs bench``: prints what ``outrange.reasoning.bench`` measures."""

from pathlib import Path

from outrange.cli import app


def run_bench(
    names: tuple[str, ...], against: bool, python: Path | None, lengths: tuple[int, ...], as_json: bool
) -> int:
    from outrange.reasoning import clrs
    from outrange.reasoning.bench import KINDS, as_dict, bench, reference_environment

    if against and python is None:
        python = reference_environment(Path(".venv-reference"))
    with app.progress("measuring", "cells") as update:
        rows = bench(names or clrs.ALGORITHMS, lengths, python, report_progress=update)
    if as_json:
        app.print_json(as_dict(rows))
        return 0
    for kind in KINDS:
        for n in sorted({row.length for row in rows if row.kind == kind}):
            _print(kind, n, [row for row in rows if row.kind == kind and row.length == n])
    return 0


def _print(kind: str, length: int, rows: list) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{kind}, length {length}: CPU µs a sample",
        box=None,
        pad_edge=False,
        header_style="bold",
        title_style="bold",
        title_justify="left",
    )
    table.add_column("algorithm")
    for column in ("dm-clrs 2.0.3", "outrange", "of it drawing", "ratio"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row.algorithm,
            f"{row.reference:,.0f}" if row.reference else "–",
            f"{row.ours:,.1f}",
            f"{row.inputs:,.1f}",
            f"{row.ratio:,.0f}" if row.ratio else "–",
        )
    ours, theirs = sum(r.ours for r in rows), sum(r.reference or 0 for r in rows)
    inputs = sum(r.inputs for r in rows)
    table.add_row(
        "[bold]one of each[/]",
        f"{theirs:,.0f}" if theirs else "–",
        f"{ours:,.0f}",
        f"{inputs:,.0f}",
        f"[bold]{theirs / ours:,.0f}[/]" if theirs else "–",
    )
    Console(width=110).print(table)
    print()
