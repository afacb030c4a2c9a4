"""The page of a probe: what it draws, and that words of a model cannot become markup."""

import json
import re
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from outrange.report.probe import (
    COMMA_FAMILIES,
    COUNT_FAMILIES,
    CollapseCurve,
    MarginCurve,
    ProbeStory,
    RemedyRow,
    SensitivityCurve,
    VerdictRow,
    page,
)


def curve(family, dtype="float32"):
    numbers = (0.1, 0.01)
    return CollapseCurve(
        family=family,
        dtype=dtype,
        lengths=(8, 32),
        relative_distance=numbers,
        signal_over_noise=numbers,
        signal_over_blur=(3.0, float("inf")),
        total_variation=numbers,
        layer_distances=((0.1, 0.2), (0.01, 0.02)),
        resolution=None if dtype == "int8" else 2**-8,
    )


def margin(task):
    return MarginCurve(
        task=task, lengths=(5, 20), shift=(3.0, -1.0), lowest_shift=(2.0, -2.0), highest_shift=(4.0, 0.0)
    )


STORY = ProbeStory(
    title="a <model>",
    subtitle="s",
    command="outrange attention probe",
    notes=("a note",),
    verdict=(VerdictRow(question="q?", answer="yes", detail="d"),),
    curves=tuple(
        curve(family, dtype)
        for dtype in ("float32", "bfloat16", "int8")
        for family in dict.fromkeys((*COUNT_FAMILIES, *COMMA_FAMILIES))
    ),
    margins=(margin("first digit"),),
    least_shift=0.25,
    sensitivity=SensitivityCurve(
        tokens=("</script><b>", "a", "b"),
        norms=(1.0, 0.5, 2.0),
        standard_error=(0.1, 0.1, 0.1),
        bound=(1.0, 0.1, 0.1),
        path_shares=(1.0, 0.5, 1e-30),
        method="estimate",
    ),
    remedies=(RemedyRow(remedy="r", measure="m", without="1", with_remedy="2", verdict="helps"),),
)


def data(text):
    return json.loads(re.search(r'<script type="application/json" id="story">(.*?)</script>', text, re.DOTALL)[1])


def charts_of(story, section):
    return [chart for chart in data(page(story))["charts"] if chart["section"] == section]


def test_every_part_has_its_section_and_its_curves():
    text = page(STORY)
    charts = data(text)["charts"]
    assert [c["section"] for c in charts] == ["collapse"] * 5 + ["commas"] * 2 + ["margins", "squashing"]
    for key in ("verdict", "collapse", "commas", "margins", "squashing", "remedies", "notes"):
        assert f'id="{key}"' in text
    # int8 rounds weights: it has no resolution
    assert [mark["name"] for mark in charts[0]["marks"]] == ["resolution of bfloat16"]
    (ratio,) = [c for c in charts if c["title"] == "Signal over blur in int8"]
    assert ratio["lines"][0]["y"] == [3.0, None]


def test_every_part_of_a_story_reaches_the_page():
    shown = data(page(STORY))
    assert shown["verdict"] == [{"question": "q?", "answer": "yes", "detail": "d"}]
    assert shown["remedies"] == [
        {"remedy": "r", "measure": "m", "without": "1", "with_remedy": "2", "verdict": "helps"}
    ]
    assert shown["notes"] == ["a note"] and shown["command"] == "outrange attention probe"


def test_a_part_that_was_not_measured_leaves_no_section():
    text = page(replace(STORY, margins=(), remedies=(), sensitivity=None, curves=(curve("ones"),)))
    assert not any(f'id="{key}"' in text for key in ("margins", "squashing", "remedies", "commas"))
    assert 'id="collapse"' in text


def test_paths_too_few_to_see_are_left_out_and_errors_are_two_on_each_side():
    (chart,) = charts_of(STORY, "squashing")
    measured, _, paths = chart["lines"]
    assert paths["y"][-1] is None and measured["high"] == pytest.approx([1.2, 0.7, 2.2])
    assert chart["names"]["1"] == "</script><b>"


def test_words_of_a_model_become_text_and_never_markup():
    text = page(STORY)
    assert "</script><b>" not in text and "a &lt;model&gt;" in text and "default-src 'none'" in text
    assert not re.search(r'(src|href)="', text)


@pytest.mark.parametrize("key", [field.name for field in fields(ProbeStory)])
def test_a_missing_part_is_named_and_a_story_does_not_change(key):
    parts = {field.name: getattr(STORY, field.name) for field in fields(ProbeStory)}
    del parts[key]
    with pytest.raises(TypeError, match=f"'{key}'"):
        ProbeStory(**parts)
    with pytest.raises(FrozenInstanceError):
        setattr(STORY, key, None)


def test_copying_and_counting_are_charts_of_their_own():
    tasks = ("first digit", "last digit", "count ones", "sum ones")
    charts = charts_of(replace(STORY, margins=tuple(map(margin, tasks))), "margins")
    assert [[line["name"] for line in chart["lines"]] for chart in charts] == [
        ["first digit", "last digit"],
        ["count ones", "sum ones"],
    ]


def test_the_least_shift_that_counts_is_the_story_s():
    (chart,) = charts_of(replace(STORY, margins=(margin("sum ones"),), least_shift=0.4), "margins")
    assert "less than 0.4 counts as none" in chart["help"]
