"""What the commands share: subcommands from functions, progress, results as a table or as JSON."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import tyro

from outrange.core.errors import BadInput, brief

Json = Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(name="json", help="print the result as JSON")]
Load = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(
        metavar="FILE", help="a Python file that registers algorithms or processors of your own; may be repeated"
    ),
]
Flag = tyro.conf.FlagCreatePairsOff


def run_group(name: str, commands: dict[str, Callable[..., Any]], arguments: Sequence[str]) -> int:
    """Parse ``outrange name …`` into one of the commands and run it. The parser exits with 2 on what it cannot read."""
    return (
        tyro.extras.subcommand_cli_from_dict(
            commands, prog=f"outrange {name}", args=list(arguments), config=(tyro.conf.OmitArgPrefixes,)
        )
        or 0
    )


def run_command(name: str, command: Callable[..., Any], arguments: Sequence[str]) -> int:
    """The same for a group that is one command."""
    return tyro.cli(command, prog=f"outrange {name}", args=list(arguments)) or 0


def print_json(result: Any) -> None:
    print(json.dumps(result, indent=1))


Options = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(metavar="NAME=VALUE", help="an option of the algorithm's sampler, e.g. p=0.3; may be repeated"),
]


def options(pairs: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` pairs as a dict; values are JSON."""
    result = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if name in ("length", "seed", "count", "truncate_decimals"):
            raise BadInput(
                f"option: {brief(pair)} is no option of a sampler; write --{name.replace('truncate_', '')} instead"
            )
        try:
            result[name] = json.loads(value)
        except (ValueError, RecursionError):
            raise BadInput(
                f"option: {brief(pair)} cannot be read; write NAME=VALUE with a number, null or a list, e.g. p=0.3"
            ) from None
    return result


def json_object(field: str, text: str) -> dict[str, Any]:
    """An argument that is a JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not all(isinstance(v, dict) for v in value.values()):
        raise BadInput(f'{field}: {brief(text)} is not a JSON object of objects, e.g. \'{{"bfs": {{"p": 0.3}}}}\'')
    return value


_typed: list[str] = []


def remember(group: str, arguments: Sequence[str]) -> None:
    """Keep what was typed, for the card of a dataset."""
    _typed[:] = [group, *arguments]


def typed(group: str) -> list[str]:
    """What was typed after ``outrange``."""
    return list(_typed) or [group]


def command_line(arguments: Sequence[str]) -> str:
    """The command as one would type it, for a dataset's card."""
    return shlex.join(["outrange", *arguments])


@contextmanager
def progress(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr with rate and time left; silent when stderr is no terminal. Yields ``update(done, total)``."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=None, rate="")

        def update(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:,.0f} {unit}/s" if speed else "")

        yield update


def trained(result: Mapping[str, Any], found: str, path: Path, then: str) -> int:
    """The last lines of a training, and its exit code: 1 if it was stopped before its end.

    Args:
        result: what the trainer returned.
        found: what came of it.
        path: of the run.
        then: the command that one wants next.
    """
    state = f"stopped at step {result['steps']}" if result["stopped"] else f"trained {result['steps']} steps"
    if not result["new_steps"]:
        state = f"already trained: {state.removeprefix('trained ')}"
    print(f"{state} in {result['seconds']:.0f} s{found}")
    print(f"next: outrange run resume {path}" if result["stopped"] else f"next: {then}")
    return int(result["stopped"])
