"""Writes docs/cli.md from the commands' own help; with --check it only says whether the file is fresh.

Which commands there are is read from the groups' own tables, so that none can be forgotten.
"""

import contextlib
import io
import os
import sys
from pathlib import Path
from unittest import mock

from outrange import cli

PAGE = Path(__file__).with_name("cli.md")
SCREEN = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}  # how wide help is printed, and in no colour
INTRODUCTION = """# The command line

Made by `make docs` from the commands' own help. Exit codes: 0 done, 1 failed, 2 bad input (one sentence on stderr).
"""


def commands() -> list[tuple[str, ...]]:
    """Every command as it is typed: ``outrange`` itself, then each group's own."""
    names: list[tuple[str, ...]] = [()]
    for group in cli.GROUPS:
        names += [(group, name) if name else (group,) for name in cli.commands(group)]
    return names


def help_of(command: tuple[str, ...]) -> str:
    """What a command prints when asked for help, without spaces at the ends of lines."""
    screen = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # which can show the lines of a box
    with contextlib.redirect_stdout(screen), contextlib.suppress(SystemExit):
        cli.main([*command, "--help"])
    screen.seek(0)
    return "\n".join(line.rstrip() for line in screen.read().strip().splitlines())


def page() -> str:
    """The help of every command."""
    with mock.patch.dict(os.environ, SCREEN):
        sections = [
            f"## {' '.join(('outrange', *command))}\n\n```\n{help_of(command)}\n```\n" for command in commands()
        ]
    return "\n".join([INTRODUCTION, *sections])


def main() -> int:
    """Write the page, or check it."""
    fresh = page()
    if "--check" in sys.argv:
        return 0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == fresh else 1
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
