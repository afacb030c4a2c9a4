"""The page of a probe: what it draws, that words of a model cannot become markup, and what it says if a part is missing."""

import json
import re

import pytest

from outrange.core.errors import BadInput
from outrange.report.probe import KEYS, PAIRED, PHASE, page


def curve(family, dtype="float32"):
    numbers = [0.1, 0.01]
    return {
        "family": family, "meaning": "", "dtype": dtype, "step": 1, "lengths": [8, 32], "relative": numbers, "signal_over_noise": numbers, "signal_over_blur": [3.0, None],
        "variation": numbers, "resolution": None if dtype == "int8" else 2**-8, "layers": [[0.1, 0.2], [0.01, 0.02]],
    }  # fmt: skip


def story(**changed):
    squashing = {
        "tokens": ["</script><b>", "a", "b"],
        "norms": [1.0, 0.5, 2.0],
        "error": [0.1, 0.1, 0.1],
        "bound": [1.0, 0.1, 0.1],
        "paths": [1.0, 0.5, 1e-30],
        "layer": 0,
        "method": "estimate",
    }
    whole = {
        "title": "a <model>", "subtitle": "s", "command": "outrange attention probe", "notes": ["a note"], "verdict": [{"question": "q?", "answer": "yes", "detail": "d"}],
        "curves": [curve(name, dtype) for dtype in ("float32", "bfloat16", "int8") for name in dict.fromkeys(PAIRED + PHASE)],
        "margins": [{"task": "first digit", "lengths": [5, 20], "shift": [3.0, -1.0], "low": [2.0, -2.0], "high": [4.0, 0.0]}], "squashing": squashing,
        "remedies": [{"remedy": "r", "measure": "m", "without": "1", "with": "2", "verdict": "helps"}],
    }  # fmt: skip
    return whole | changed


def data(text):
    return json.loads(re.search(r'<script type="application/json" id="story">(.*?)</script>', text, re.DOTALL)[1])


def test_every_part_has_its_section_and_its_curves():
    text = page(story())
    charts = data(text)["charts"]
    assert [c["section"] for c in charts] == ["collapse"] * 5 + ["commas"] * 2 + ["margins", "squashing"]
    for key in ("verdict", "collapse", "commas", "margins", "squashing", "remedies", "notes"):
        assert f'id="{key}"' in text
    assert [mark["name"] for mark in charts[0]["marks"]] == [
        "resolution of bfloat16"
    ]  # int8 rounds weights: it has none
    (ratio,) = [c for c in charts if c["title"] == "Signal over blur in int8"]
    assert ratio["lines"][0]["y"] == [3.0, None]


def test_a_part_that_was_not_measured_leaves_no_section():
    text = page(story(margins=[], remedies=[], squashing=None, curves=[curve("ones")]))
    assert (
        not any(f'id="{key}"' in text for key in ("margins", "squashing", "remedies", "commas"))
        and 'id="collapse"' in text
    )


def test_paths_too_few_to_see_are_left_out_and_errors_are_two_on_each_side():
    (chart,) = [c for c in data(page(story()))["charts"] if c["section"] == "squashing"]
    measured, _, paths = chart["lines"]
    assert (
        paths["y"][-1] is None
        and measured["high"] == pytest.approx([1.2, 0.7, 2.2])
        and chart["names"]["1"] == "</script><b>"
    )


def test_words_of_a_model_become_text_and_never_markup():
    text = page(story())
    assert "</script><b>" not in text and "a &lt;model&gt;" in text and "default-src 'none'" in text
    assert not re.search(r'(src|href)="', text)


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_part_is_named(key):
    with pytest.raises(BadInput, match=rf"probe\.{key}: is missing"):
        page({name: value for name, value in story().items() if name != key})


def test_copying_and_counting_are_charts_of_their_own():
    given = [
        {"task": task, "lengths": [5, 20], "shift": [3.0, -1.0], "low": [2.0, -2.0], "high": [4.0, 0.0]}
        for task in ("first digit", "last digit", "count ones", "sum ones")
    ]
    charts = [chart for chart in data(page(story(margins=given)))["charts"] if chart["section"] == "margins"]
    assert [[line["name"] for line in chart["lines"]] for chart in charts] == [
        ["first digit", "last digit"],
        ["count ones", "sum ones"],
    ]
