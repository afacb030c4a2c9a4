"""``outrange run``: list runs, show one, go on with one, and check that nothing of it is damaged."""

import math
from pathlib import Path
from typing import Annotated, Any

import tyro

from outrange.cli import app, train
from outrange.cli.progress import training
from outrange.core.errors import BadInput, unknown

RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="a run's directory")]


def list_runs(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")] = Path("runs"),
    json: app.Json = False,
) -> int:
    """List the runs in a folder: kind, newest checkpoint, last metrics.

    Args:
        folder: where to look, with all folders below it.
    """
    from outrange.core import runs

    rows = []
    for path in runs.find(folder):
        try:
            rows.append(runs.summary(path))
        except BadInput as error:  # one broken run must not hide the others
            empty = {"kind": None, "created": None, "step": None, "checkpoints": [], "metrics": {}}
            rows.append({"run": str(path), **empty, "problems": [str(error)]})
    if json:
        app.print_json([{**row, "metrics": _json_metrics(row["metrics"])} for row in rows])
        return 0
    from rich.console import Console
    from rich.table import Table

    if not rows:
        print(f"no runs in {folder}")
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("run", "kind", "step", "last metrics"):
        table.add_column(column, overflow="fold")
    for row in rows:
        step = "–" if row["step"] is None else str(row["step"])
        remarks = [*_first_metrics(row["metrics"]), *row["problems"]]
        table.add_row(row["run"], row["kind"] or "?", step, " · ".join(remarks))
    Console(highlight=False, markup=False).print(table)
    return 0


def _first_metrics(metrics: dict[str, Any], count: int = 5) -> list[str]:
    """Some of a run's last metrics, of which there may be dozens: loss and validation score before the others."""
    ordered = sorted(metrics, key=lambda name: ("loss", "val").index(name) if name in ("loss", "val") else 2)
    return _metric_lines({name: metrics[name] for name in ordered if name != "step"})[:count]


def show(run: RunPath, json: app.Json = False) -> int:
    """Show one run: its configuration, environment, checkpoints and last metrics."""
    from outrange.core import config, runs
    from outrange.core.run import Run

    opened = Run.open(run)
    environment_path = run / "environment.json"
    environment = config.read_object(environment_path, "run") if environment_path.is_file() else {}
    about = runs.summary(run) | {"config": opened.config, "environment": environment}
    if json:
        app.print_json({**about, "metrics": _json_metrics(about["metrics"])})
        return 0
    steps = ", ".join(map(str, about["checkpoints"])) or "none"
    print(f"{run} · {opened.kind} · begun {opened.created} · checkpoints: {steps}")
    now = {key: value for key, value in environment.items() if key != "earlier"}
    sections = {
        "config": [f"{key} = {value}" for key, value in _dotted(about["config"])],
        "environment": [f"{key} = {value}" for key, value in _dotted(now)],
        "last metrics": _metric_lines(about["metrics"]),
        "problems": about["problems"],
    }
    for title, lines in sections.items():
        if lines:
            print(f"\n{title}", *lines, sep="\n  ")
    return 0


def resume(run: RunPath, json: app.Json = False) -> int:
    """Go on with a run from its newest whole checkpoint; exit code 1 if it is stopped before its end."""
    from outrange.core.run import Run

    name = Run.open(run).kind
    if name not in train.KINDS:
        raise unknown("run", name, train.KINDS, "a kind of run that this version can resume")
    kind = train.KINDS[name]
    with training(kind.describe) as report:
        result = kind.resume(run, report)
    return train.finished(kind, result, run, json)


def verify(run: RunPath, json: app.Json = False) -> int:
    """Read and hash everything that a run holds; exit code 1 if anything is damaged."""
    from outrange.core import checkpoint, runs

    problems = runs.verify(run)
    if json:
        rows = [{"path": str(path), "problem": sentence} for path, sentence in problems]
        app.print_json({"run": str(run), "whole": not problems, "problems": rows})
        return 1 if problems else 0
    for path, sentence in problems:
        print(f"{path}: {sentence}")
    if not problems:
        count = len(checkpoint.steps(run / "checkpoints"))
        print(f"{run}: whole; {count} checkpoint{'' if count == 1 else 's'} read and hashed")
    return 1 if problems else 0


def _dotted(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested settings as pairs of dotted name and value."""
    pairs = []
    for key, value in values.items():
        pairs += _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return pairs


def _metric_lines(metrics: dict[str, Any]) -> list[str]:
    return [f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in metrics.items()]


def _json_metrics(metrics: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN and no infinity; their text stands for them, as in the log."""
    finite = {}
    for name, value in metrics.items():
        finite[name] = str(value) if isinstance(value, float) and not math.isfinite(value) else value
    return finite


COMMANDS = {"list": list_runs, "show": show, "resume": resume, "verify": verify}
