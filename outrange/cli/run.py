"""``outrange run``: the runs there are, what each came to, going on with one, and whether it is whole."""

from pathlib import Path
from typing import Annotated, Any

import tyro

from outrange.cli import app, train
from outrange.cli.progress import training
from outrange.core.errors import BadInput, unknown

RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="a run's directory")]


def _list(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")] = Path("runs"),
    json: app.Json = False,
) -> int:
    """List the runs in a folder: kind, newest checkpoint, last metrics.

    Args:
        folder: where to look, with all that is below.
    """
    from outrange.core import runs

    rows = []
    for path in runs.find(folder):
        try:
            rows.append(runs.summary(path))
        except BadInput as error:  # one broken run must not hide the others
            rows.append(
                {
                    "run": str(path),
                    "kind": None,
                    "created": None,
                    "step": None,
                    "checkpoints": [],
                    "metrics": {},
                    "problems": [str(error)],
                }
            )
    if json:
        app.print_json([{**row, "metrics": _valid(row["metrics"])} for row in rows])
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
        first = {
            name: row["metrics"][name] for name in ("loss", "val") if name in row["metrics"]
        }  # there may be dozens
        numbers = " · ".join(
            _shown({**first, **{name: value for name, value in row["metrics"].items() if name != "step"}})[:5]
        )
        table.add_row(
            row["run"],
            row["kind"] or "?",
            "–" if row["step"] is None else str(row["step"]),
            " · ".join([numbers, *row["problems"]]).strip(" ·"),
        )
    Console(highlight=False, markup=False).print(table)
    return 0


def show(run: RunPath, json: app.Json = False) -> int:
    """Show one run: its configuration, environment, checkpoints and last metrics."""
    from outrange.core import config, runs
    from outrange.core.run import Run

    found = Run.open(run)
    place = run / "environment.json"
    about = runs.summary(run) | {
        "config": found.config,
        "environment": config.read_object(place, "run") if place.is_file() else {},
    }
    if json:
        app.print_json({**about, "metrics": _valid(about["metrics"])})
        return 0
    steps = ", ".join(map(str, about["checkpoints"])) or "none"
    print(f"{run} · {found.kind} · begun {found.created} · checkpoints: {steps}")
    for title, lines in {
        "config": [f"{key} = {value}" for key, value in _flat(about["config"])],
        "environment": [
            f"{key} = {value}" for key, value in _flat(about["environment"]) if not key.startswith("earlier")
        ],
        "last metrics": _shown(about["metrics"]),
        "problems": about["problems"],
    }.items():
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
        app.print_json(
            {
                "run": str(run),
                "whole": not problems,
                "problems": [{"path": str(path), "problem": said} for path, said in problems],
            }
        )
    else:
        for path, said in problems:
            print(f"{path}: {said}")
        if not problems:
            count = len(checkpoint.steps(run / "checkpoints"))
            print(f"{run}: whole; {count} checkpoint{'' if count == 1 else 's'} read and hashed")
    return 1 if problems else 0


def _flat(values: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    rows = []
    for key, value in values.items():
        rows += _flat(value, f"{before}{key}.") if isinstance(value, dict) else [(before + key, value)]
    return rows


def _shown(metrics: dict[str, Any]) -> list[str]:
    return [f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in metrics.items()]


def _valid(metrics: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN; its text stands for it, as in the log."""
    return {
        name: str(value) if isinstance(value, float) and value - value != 0 else value
        for name, value in metrics.items()
    }


COMMANDS = {"list": _list, "show": show, "resume": resume, "verify": verify}
