"""tyro's parser, whose refusals become one sentence.

It prints them as a box of several lines; the sentence is read from that box.
"""

import ast
import io
import re
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from typing import Any

import tyro

from outrange.core.errors import BadInput, brief, unknown


def parse(target: Callable[..., Any], program: str, arguments: Sequence[str], **options: Any) -> Any:
    """``tyro.cli``, with a ``BadInput`` where it would print a box and exit with 2.

    Asked for help, it prints it and exits with 0.

    Args:
        target: a class or a function, as ``tyro.cli`` takes it.
        program: the name of the program in help and errors.
        arguments: what was typed after it.
        options: others of ``tyro.cli``.
    """
    box = io.StringIO()
    try:
        with redirect_stderr(box):
            return tyro.cli(target, prog=program, args=list(arguments), **options)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise refusal(box.getvalue(), program) from None


def refusal(box: str, program: str) -> BadInput:
    """One sentence from what tyro prints: title, message, then after a rule what is near."""
    message, *more = _sections(box) or [f"the arguments of {program} cannot be read"]
    if match := re.match(r"Unrecognized options: (\S+?)(?:,|$)", message):
        near = re.search(r"(?<!\S)--[\w.-]+", " ".join(more).partition("Perhaps you meant:")[2])
        advice = f"did you mean {near[0]}?" if near else f"`{program} --help` lists what is"
        what = "a flag" if match[1].startswith("-") else "an argument"
        return BadInput(f"{match[1]}: is not {what} of `{program}`; {advice}")
    if match := re.match(r"invalid choice (.+) for argument '(\S+)'\. Expected one of (\(.*\))", message):
        value, flag, choices = ast.literal_eval(match[1]), match[2], ast.literal_eval(match[3])
        return unknown(flag, value, choices, "allowed")
    if match := re.match(r"Missing from .+?: (\S+)", message):
        return BadInput(f"{match[1]}: is missing; `{program} --help` says what it is")
    if match := re.match(r"Missing value for argument '(\S+)'", message):
        return BadInput(f"{match[1]}: its value is missing")
    if match := re.match(r"Error parsing (\S+): invalid literal for int\(\) with base 10: (.+)", message):
        return BadInput(f"{match[1]}: {brief(ast.literal_eval(match[2]))} is not allowed; it must be a whole number")
    if match := re.match(r"Error parsing (\S+): could not convert string to float: (.+)", message):
        return BadInput(f"{match[1]}: {brief(ast.literal_eval(match[2]))} is not allowed; it must be a number")
    return BadInput(f"{message.rstrip('.')}; `{program} --help` says what is allowed")


def _sections(box: str) -> list[str]:
    """The text between the rules of a box, each part on one line, without its title."""
    sections: list[list[str]] = [[]]
    for line in box.splitlines():
        text = line.strip("│ ")
        # A box's upper edge holds the title; where the terminal has no such characters, the title is underlined. Before
        # it there may be warnings.
        if line.startswith(("╭", "╰")) or (text and not text.strip("─-")):
            sections.append([])
        else:
            sections[-1].append(text)
    return [" ".join(filter(None, lines)) for lines in sections[1:] if any(lines)]
