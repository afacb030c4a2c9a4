"""One self-contained HTML page about a scan: how a language model uses its rotary frequencies (arXiv 2410.06205,
sections 4 and 5, figures 3 to 7).

``ScanStory`` is what the page shows; ``outrange.attention.rope.scan`` fills it in. Names and sentences come from
users and
tokenizers: they reach the page as JSON inside a script element that is never run, and become text nodes, never markup.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from outrange.report.page import excess_bytes, limit_reason, render, round_numbers, script_json
from outrange.report.scan_reading import compare_sides, read_side
from outrange.report.scan_story import ScanStory, triangle_size

LIMIT = 5_000_000
"""bytes of a page; a larger one loses the last tokens of its attention patterns, then a digit of its numbers, then the
patterns"""
DIGITS = (4, 3)
"""significant digits of numbers; the second where the first would leave no space for patterns"""
FEWEST_TOKENS = 8
"""of a pattern that is worth showing"""
OPTIONAL_SECTIONS = ("channels", "ablations", "head_ablations", "patterns")
SECTIONS = ("heads", *OPTIONAL_SECTIONS)
_SENTENCE_BYTES = 200  # what the sentence about a cut takes itself


def page(story: ScanStory) -> str:
    """The page of a scan, at most ``LIMIT`` bytes if leaving out attention patterns can make it so."""
    data = _plain(story)
    for side in data["sides"]:  # what was not measured is null to the page's script
        side |= {section: side[section] or None for section in OPTIONAL_SECTIONS}
    data["reading"] = [read_side(side) for side in story.sides] + compare_sides(story.sides)
    patterns = [side["patterns"] for side in data["sides"] if side["patterns"]]
    longest = max((len(pattern["tokens"]) for pattern in patterns), default=0)

    # Fewer tokens of the patterns before fewer digits of everything; and no patterns at last.
    limits: list[str] = []
    for digits in DIGITS:
        rounded = round_numbers({**data, "limits": limits}, digits)
        html = _render(rounded)
        excess = excess_bytes(html, LIMIT)
        if excess <= 0:
            return html
        for tokens in range(longest - 1, FEWEST_TOKENS - 1, -1):
            saved = sum(_pattern_bytes(pattern, longest) - _pattern_bytes(pattern, tokens) for pattern in patterns)
            if saved > excess + _SENTENCE_BYTES:
                limits.append(
                    f"Attention patterns show the first {tokens} of {longest} tokens: "
                    f"with all of them {limit_reason(LIMIT)}."
                )
                return _render(_cut_patterns({**rounded, "limits": limits}, tokens))
        limits = [f"Numbers have {DIGITS[1]} digits: with {DIGITS[0]} {limit_reason(LIMIT)}."]
    if patterns:
        limits.append(f"Attention patterns are left out: with them {limit_reason(LIMIT)}.")
    return _render(_cut_patterns(round_numbers({**data, "limits": limits}, DIGITS[-1]), 0))


def _plain(value: Any) -> Any:
    """Dataclasses as mappings, at any depth of sequences; a part that is empty is None. Arrays of numbers are not
    copied.
    """
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list | tuple) and value and is_dataclass(value[0]):
        return [_plain(item) for item in value]
    return value


def _pattern_bytes(pattern: Mapping[str, Any], tokens: int) -> int:
    """Bytes of base64 that are left of a pattern cut to so many tokens."""
    cells = triangle_size(min(tokens, len(pattern["tokens"])))
    return 4 * math.ceil(pattern["layers"] * pattern["heads"] * cells / 3)


def _cut_patterns(data: dict[str, Any], tokens: int) -> dict[str, Any]:
    """The data with patterns of so many tokens; of none, without patterns."""
    sides = []
    for side in data["sides"]:
        pattern = side["patterns"] if tokens else None
        if pattern and tokens < len(pattern["tokens"]):
            # the rows of a triangle lie one after another, so a smaller triangle is its beginning
            packed, size = base64.b64decode(pattern["data"]), triangle_size(len(pattern["tokens"]))
            kept_size = triangle_size(tokens)
            packed = b"".join(packed[begin : begin + kept_size] for begin in range(0, len(packed), size))
            encoded = base64.b64encode(packed).decode()
            pattern = {**pattern, "tokens": pattern["tokens"][:tokens], "data": encoded}
        sides.append({**side, "patterns": pattern})
    return {**data, "sides": sides}


def _sections(sides: Sequence[Mapping[str, Any]]) -> list[str]:
    """The sections that at least one side has something for."""
    return [section for section in SECTIONS if any(side[section] for side in sides)]


def _render(data: Mapping[str, Any]) -> str:
    return render(
        "scan.html.j2",
        title=data["title"],
        subtitle=data["subtitle"],
        sections=_sections(data["sides"]),
        scan=data,
        data=script_json(data),
    )
