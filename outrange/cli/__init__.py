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
    "demo": "a first look in one command: samples, a page to open, a network that learns",
    "papers": "the papers, and the claims of each that run here",
    "reproduce": "run a paper's claims: our number beside theirs",
    "clrs": "CLRS-30 execution traces: list, show, check, export, bench",
    "nar": "the neural algorithmic reasoner: train, eval, curve, export, bench",
    "text": "CLRS-Text questions and answers: show, export, score",
    "lm": "small language models: train, eval, compare rotary schemes, fetch a pretrained one",
    "attention": "how a language model uses position, and where it loses its input: scan, probe, compare, ask, layout, ablate, theorems, convert",
    "explore": "agents that explore: train, eval, watch",
    "run": "runs: list, show, resume, verify",
}


def _help() -> str:
    width = max(map(len, GROUPS))
    lines = [f"  {name:<{width}}  {what}" for name, what in GROUPS.items()]
    usage = "usage: outrange [-h] [--version] COMMAND …\n\nA workbench for systems that must work beyond what they were trained on.\n\ncommands:\n"
    return usage + "\n".join(lines) + "\n\nEach has --help. Exit codes: 0 done, 1 failed, 2 bad input."


def commands(group: str) -> "Commands":
    """The commands of a group, by name; a group that is one command has it under the empty name."""
    return importlib.import_module(f"outrange.cli.{group}").COMMANDS


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given or given[0] in ("-h", "--help"):
        print(_help())
        return 0 if given else 2
    if given[0] == "--version":
        from outrange import __version__

        print(f"outrange {__version__}")
        return 0
    from outrange.core.errors import BadInput, unknown

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows a question mark
    try:
        if given[0] not in GROUPS:
            raise unknown("command", given[0], GROUPS, "a command")
        from outrange.cli import app

        return app.run_group(given[0], commands(given[0]), given[1:])
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
