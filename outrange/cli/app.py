"""What the commands share: how they are parsed, what was typed, results as a table or as JSON."""

import functools
import json
import shlex
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated, Any

import tyro

from outrange.cli.parser import parse
from outrange.cli.progress import progress as progress
from outrange.core.errors import BadInput, brief, unknown

Json = Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(name="json", help="print the result as JSON")]
Load = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(
        metavar="FILE", help="a Python file that registers algorithms or processors of your own; may be repeated"
    ),
]
Algorithm = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ALGORITHM")]
Flag = tyro.conf.FlagCreatePairsOff

_typed: ContextVar[tuple[str, ...]] = ContextVar("typed", default=())


class Configured:
    """A command that reads its arguments itself, since its flags depend on some of them: those of a preset's
    configuration.
    """

    def __init__(self, description: str, run: Callable[[str, Sequence[str]], int]) -> None:
        """
        Args:
            description: the first part of its help.
            run: called with the program's name, as the help shows it, and the arguments; returns the exit code.
        """
        self.__doc__ = description
        self.run = run


Command = Callable[..., Any] | Configured
Commands = Mapping[str, Command]


def run_group(group: str, commands: Commands, arguments: Sequence[str]) -> int:
    """Parse ``outrange GROUP …`` into one of the group's commands and run it; returns its exit code.

    Args:
        group: its name.
        commands: by name; a group that is one command has it under the empty name.
        arguments: what was typed after the group's name.

    Raises:
        BadInput: there is no such command, or its arguments cannot be read.
    """
    _typed.set((group, *arguments))
    if "" in commands:
        return _run(commands[""], f"outrange {group}", arguments)
    name, *rest = arguments or [""]
    if name in ("", "-h", "--help"):
        print(group_help(group, commands))
        return 0 if name else 2
    if name not in commands:
        raise unknown("command", name, commands, f"a command of `outrange {group}`")
    return _run(commands[name], f"outrange {group} {name}", rest)


def _run(command: Command, program: str, arguments: Sequence[str]) -> int:
    if isinstance(command, Configured):
        return command.run(program, arguments)

    # Parsing only binds the arguments, so that an error while parsing is told from one while running.
    @functools.wraps(command)
    def bound(*positional: Any, **named: Any) -> Callable[[], Any]:
        return functools.partial(command, *positional, **named)

    return parse(bound, program, arguments, config=(tyro.conf.OmitArgPrefixes,))() or 0


def group_help(group: str, commands: Commands) -> str:
    """The commands of a group, each with the first paragraph of its docstring."""
    width = max(map(len, commands))
    columns = get_terminal_size().columns
    lines = [f"usage: outrange {group} [-h] COMMAND …", "", "commands:"]
    for name, command in commands.items():
        paragraph = " ".join((command.__doc__ or "").strip().partition("\n\n")[0].split())
        first, follow = f"  {name:<{width}}  ", " " * (width + 4)
        lines.append(textwrap.fill(paragraph, columns, initial_indent=first, subsequent_indent=follow))
    return "\n".join([*lines, "", "Each has --help."])


def typed() -> list[str]:
    """What was typed after ``outrange``, for the pages and cards that say which command wrote them."""
    return list(_typed.get())


def command_line(arguments: Sequence[str] | None = None) -> str:
    """The command as one would type it; the one that is running unless others' arguments are given."""
    return shlex.join(["outrange", *(typed() if arguments is None else arguments)])


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
            raise BadInput(f"option: {brief(pair)} is no option of a sampler; write --{name.replace('_', '-')} instead")
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
