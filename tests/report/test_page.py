"""What every page shares: templates, JSON in a script element, text that a file can hold, sizes."""

import json
import math

import jinja2
import pytest

from outrange.report import page


def test_json_cannot_end_the_script_element_and_reads_back():
    value = {"name": "</script><!-- & \u2028\u2029", "numbers": [1, 2.5, None, True], "pair": (1, 2)}
    text = page.script_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {**value, "pair": [1, 2]}


def test_numbers_that_are_not_finite_become_words():
    assert json.loads(page.script_json([math.nan, math.inf, [-math.inf]])) == ["nan", "inf", ["-inf"]]


def test_half_a_character_becomes_the_replacement_character_wherever_it_stands():
    assert page.clean_text("a\ud800b") == "a\ufffdb"
    assert page.script_json({"\udfff": "\ud800"}) == '{"\ufffd":"\ufffd"}'
    assert page.script_json("\U0001f600") == '"\U0001f600"'  # a whole character stays


def test_a_template_that_reads_a_value_which_nobody_passed_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="title"):
        page.render("stepper.html.j2", subtitle="", notes=[], story="{}")


def test_text_in_a_template_is_escaped():
    html = page.render("stepper.html.j2", title="<b>\ud800", subtitle="", notes=[], story=page.script_json({}))
    assert "&lt;b&gt;\ufffd" in html and "<b>" not in html


@pytest.mark.parametrize(
    ("value", "digits", "keep_whole", "short"),
    [
        (0.123456, 4, False, 0.1235),
        (123456.0, 4, False, 123500),
        (123456.0, 4, True, 123456),
        (123456.7, 4, True, 123500),
        (2.0, 3, False, 2),
        (123456, 3, False, 123456),  # a count
        (1e300, 4, True, 1e300),
        (math.nan, 4, False, None),
        (True, 4, False, True),
        ({"a": (1.0, [0.33333])}, 2, False, {"a": [1, [0.33]]}),
    ],
)
def test_numbers_are_shortened(value, digits, keep_whole, short):
    rounded = page.round_numbers(value, digits, keep_whole)
    assert rounded == short and type(rounded) is type(short)


def test_the_size_of_a_page_counts_bytes():
    assert page.excess_bytes("é", 1) == 1
    assert page.excess_bytes("é", 2) == 0
    assert page.limit_reason(2_000_000) == "this page would pass 2 MB"
