"""The command line.

This file only finds the command's group; each group has a file of its own and is imported when it is used.
"""

import importlib
import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from outrange.cli.app import Commands

GROUPS = {
    "demo": "a first look in one command: samples, networks that learn, pages to open",
    "papers": "the papers, and the claims of each that run here",
    "reproduce": "run a paper's claims: our number beside the published one",
    "clrs": "execution traces of the thirty CLRS algorithms",
    "text": "the same traces as questions and answers of CLRS-Text",
    "nar": "the neural algorithmic reasoner",
    "lm": "small language models and their rotary position schemes",
    "attention": "how a language model uses positions, and from what length on it loses its input",
    "explore": "agents that explore",
    "run": "the runs of all of them",
}


HELP = """usage: outrange [-h] [--version] COMMAND …

A workbench for systems that must work beyond what they were trained on.

commands:
{commands}

Each has --help. Exit codes: 0 done, 1 failed or stopped, 2 bad input."""


def _help() -> str:
    width = max(map(len, GROUPS))
    lines = [f"  {name:<{width}}  {description}" for name, description in GROUPS.items()]
    return HELP.format(commands="\n".join(lines))


def commands(group: str) -> "Commands":
    """The commands of a group, by name; a group that is one command has it under the empty name."""
    return importlib.import_module(f"outrange.cli.{group}").COMMANDS


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from outrange import __version__

        print(f"outrange {__version__}")
        return 0
    from outrange.core.errors import BadInput, unknown

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows a question mark
    try:
        if arguments[0] not in GROUPS:
            raise unknown("command", arguments[0], GROUPS, "a command")
        from outrange.cli import app

        return app.run_group(arguments[0], commands(arguments[0]), arguments[1:])
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except MemoryError:
        print("error: out of memory; nothing is half-written; use smaller lengths, or fewer workers", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing is half-written", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        from outrange.core.run import Failed  # here, since most commands have nothing to do with runs

        if not isinstance(error, Failed):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1


def entry() -> None:
    """The console script."""
    sys.exit(main())
