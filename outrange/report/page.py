"""What every page shares: one template loader, JSON that may stand inside a script element, text that a file can hold,
and the size of a page.

A page is one HTML file that needs no network. Its data stands in it as JSON inside a script element that is never
executed, and the page's own script turns it into text nodes, never into markup: names and sentences come from users,
models and environments, and may hold anything.
"""

import functools
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def render(template_name: str, **values: Any) -> str:
    """The HTML of a page.

    Args:
        template_name: a file in outrange/report/templates, such as "explore.html.j2".
        values: what the template reads. Text is escaped unless it is ``Markup``, as ``script_json`` returns it.
    """
    html = _environment().get_template(template_name).render(**values)
    return clean_text(html)


@functools.cache
def _environment() -> Environment:
    # StrictUndefined: a template that reads a value which nobody passed is an error, not an empty place
    return Environment(loader=PackageLoader("outrange.report"), autoescape=True, undefined=StrictUndefined)


def script_json(value: Any) -> Markup:
    """JSON that can stand inside a script element: no character in it can end the element or the line.

    Args:
        value: lists, tuples, mappings, text, numbers, None. Numbers that are not finite become the text "nan", "inf" or
            "-inf".
    """
    text = json.dumps(finite_json(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # <, > and & could open or close markup; the other two are line ends to JavaScript but not to JSON
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(clean_text(text))  # noqa: S704 - escaped above


def finite_json(value: Any) -> Any:
    """The same value with "nan", "inf" or "-inf" for numbers that are not finite, because JSON has no word for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, Mapping):
        return {str(key): finite_json(item) for key, item in value.items()}
    return [finite_json(item) for item in value] if isinstance(value, list | tuple) else value


def clean_text(text: str) -> str:
    """The text with U+FFFD for every lone surrogate: half a character, as tokens of bytes leave behind, which no UTF-8
    file can hold."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def round_numbers(value: Any, digits: int = 4, keep_whole: bool = False) -> Any:
    """Data with shorter numbers, so that a page stays small.

    Args:
        value: lists, tuples, mappings, text, numbers, None.
        digits: significant digits of floats. Ints are counts and indices, and stay as they are.
        keep_whole: whether floats without a fractional part keep all their digits (steps of a curve).

    Returns:
        The same structure. Whole floats are ints, which are shorter in JSON; floats that are not finite are None.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        if not (keep_whole and value.is_integer()):
            value = float(f"{value:.{digits}g}")
        # above 2^53 a float no longer names every whole number, so it stays one
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    if isinstance(value, Mapping):
        return {key: round_numbers(item, digits, keep_whole) for key, item in value.items()}
    return [round_numbers(item, digits, keep_whole) for item in value] if isinstance(value, list | tuple) else value


def excess_bytes(html: str, limit: int) -> int:
    """By how many bytes a page is larger than ``limit``; 0 or less where it fits."""
    return len(html.encode()) - limit


def limit_reason(limit: int) -> str:
    """Why something was left out of a page that would have been too large, as the end of a sentence."""
    return f"this page would pass {limit / 1e6:g} MB"
