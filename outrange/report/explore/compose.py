"""From a story to its page, and what is left out of a page that would be too large."""

from collections.abc import Mapping
from typing import Any

from outrange.report.explore.charts import SECTIONS, drawn_charts
from outrange.report.explore.episode import packed_episode, packed_map, picture_sheet, shortened
from outrange.report.explore.sentences import reading
from outrange.report.explore.series import POINTS, band_caption
from outrange.report.explore.story import Story
from outrange.report.explore.tables import evaluation_table, facts, flat_settings, log_numbers
from outrange.report.page import excess_bytes, limit_reason, render, round_numbers, script_json

SIZE_LIMIT = 2_000_000
"""bytes of a page; a larger one shows fewer pictures of its episode, then fewer maps"""
FRAMES = 600
"""pictures of an episode, at most"""


def page(story: Story) -> str:
    """The page of a story, as HTML."""
    limits: list[str] = []
    if any(len(run.metrics) > POINTS for run in story.runs):
        limits.append(f"Logs have more than {POINTS} lines: neighbours are averaged in the curves.")
    packed: dict[str, Any] = {
        "title": story.title,
        "subtitle": story.subtitle,
        "command": story.command,
        "notes": list(story.notes),
        "limits": limits,
        "reading": reading(story),
        "facts": facts(story),
        "charts": drawn_charts(story),
        "bands": band_caption(story.runs),
        "maps": [packed_map(visited) for visited in story.maps],
        "episode": packed_episode(story.episode) if story.episode is not None else None,
        "evaluation": evaluation_table(story.evaluation, story.glossary),
        "numbers": log_numbers(story),
        "settings": flat_settings(story.config),
        "environment": flat_settings(story.environment),
    }
    return _fitted(round_numbers(packed, 4, keep_whole=True), story)


def _fitted(packed: dict[str, Any], story: Story) -> str:
    """The page with as many pictures of the episode, then maps, as fit."""
    packed, html = _with_pictures(packed, story)
    map_count = len(packed["maps"])  # before any is left out
    while excess_bytes(html, SIZE_LIMIT) > 0 and packed["maps"]:
        packed["maps"] = packed["maps"][: len(packed["maps"]) // 2]
        note = f"{len(packed['maps'])} of {map_count} maps are shown: with more {limit_reason(SIZE_LIMIT)}."
        html = _rendered(packed | {"limits": [*packed["limits"], note]})
    return html


def _with_pictures(packed: dict[str, Any], story: Story) -> tuple[dict[str, Any], str]:
    """The data and the page with as many pictures as fit: all, half of them, a quarter, …, or none."""
    if story.episode is None or story.episode.pictures is None:
        return packed, _rendered(packed)
    pictures = shortened(story.episode).pictures
    assert pictures is not None
    # pictures are most of a page: all of them, then half, a quarter, … until it fits
    most = count = min(FRAMES, len(pictures))
    while count >= 2:
        fewer = [f"The episode is shown by {count} of its {len(pictures)} pictures."] if count < len(pictures) else []
        episode = packed["episode"] | {"sheet": picture_sheet(pictures, count)}
        candidate = packed | {"episode": episode, "limits": [*packed["limits"], *fewer]}
        html = _rendered(candidate)
        if excess_bytes(html, SIZE_LIMIT) <= 0:
            return candidate, html
        count = count // 2 if count > 2 else 1
    note = f"The episode is shown without its {most} pictures: with them {limit_reason(SIZE_LIMIT)}."
    packed = packed | {"limits": [*packed["limits"], note]}
    return packed, _rendered(packed)


def _rendered(packed: Mapping[str, Any]) -> str:
    # a section that has nothing in it is left out, with its heading
    charted = {chart["section"] for chart in packed["charts"]}
    sections = [key for key in SECTIONS if key in charted]
    sections += [part for part in ("episode", "maps", "evaluation") if packed[part]]
    if packed["settings"] or packed["environment"]:
        sections.append("settings")
    if packed["notes"] or packed["limits"] or packed["command"]:
        sections.append("notes")
    return render(
        "explore.html.j2",
        title=packed["title"],
        subtitle=packed["subtitle"],
        sections=sections,
        headings=SECTIONS,
        data=script_json(packed),
    )
