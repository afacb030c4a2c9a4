"""Errors are sentences: the field, the value, what is allowed, and where it helps what to do.

``BadInput`` is a ``ValueError``, so library users catch what they expect; the command line turns it into one line and
exit code 2.
"""

import difflib
from collections.abc import Iterable


class BadInput(ValueError):
    """Something the user gave is not allowed; the message is one complete sentence."""


def brief(value: object, width: int = 60) -> str:
    """``repr`` of a value, cut so that a message stays one line whatever it quotes."""
    if isinstance(value, str):
        value = value[: width + 1]  # a 10 MB string is not worth quoting whole before it is cut
    text = " ".join(repr(value).split())
    return text if len(text) <= width else text[: width - 1] + "…"


def unknown(field: str, value: object, allowed: Iterable[str], what: str) -> BadInput:
    """The error for a name that is not in a closed list; names the nearest one."""
    allowed = list(allowed)
    # a long value would take the comparison seconds, and resemble nothing anyway
    near = difflib.get_close_matches(str(value)[:200].lower(), allowed, n=1, cutoff=0.5)
    if near:
        advice = f"did you mean {near[0]!r}?"
    elif len(allowed) <= 12:
        advice = f"allowed: {', '.join(sorted(allowed))}" if allowed else "there is none"
    else:
        advice = f"there are {len(allowed)}, e.g. {', '.join(sorted(allowed)[:3])}"
    return BadInput(f"{field}: {brief(value)} is not {what}; {advice}")
