"""The claims about collapse and over-squashing: their judges on made-up measurements, and those that need no pretrained model, run."""

import re
import subprocess
import sys

import pytest

from outrange.papers import glasses as g
from outrange.papers import paper, reproduce
from outrange.papers.claims import SCALES

PAPER = paper("glasses")


def test_importing_the_claims_loads_no_torch():
    code = "import sys; from outrange.papers import paper; paper('glasses'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_claims_say_where_they_stand_and_what_is_missing_where_they_cannot_run():
    assert len({c.name for c in PAPER.claims}) == len(PAPER.claims)
    for claim in PAPER.claims:
        assert re.fullmatch("[a-z0-9-]{1,23}", claim.name) and set(claim.scales) <= set(SCALES)
        assert claim.statement and claim.place and claim.published and (claim.scales or claim.missing)


def test_statements_and_encodings_run():
    assert reproduce(PAPER, PAPER.claim("statements"), "laptop", 2).verdict == "shown"
    found = reproduce(PAPER, PAPER.claim("encodings"), "laptop", 1)
    assert found.verdict == "partly" and "ALiBi" in found.why  # with a slope nothing collapses


def test_collapse_needs_ones_to_fall_below_rounding_and_digits_not_to_fall():
    values = {
        f"{n} {m}": [v]
        for n, left, noise in (("count ones", 0.1, 0.9), ("copy ones", 0.04, 0.4), ("digits", 0.9, 8))
        for m, v in (("left", left), ("signal/noise", noise))
    }
    assert g._figure5(values)[0] == "shown"
    assert g._figure5(values | {"copy ones signal/noise": [2.0]})[0] == g._figure5(values | {"count ones signal/noise": [1.8]})[0] == "partly"
    assert g._figure5(values | {"digits left": [0.05]})[0] == "contradicted"


@pytest.mark.parametrize(("one", "three", "verdict"), [(5.0, 0.6, "partly"), (5.0, 2.0, "shown"), (1.1, 2.0, "contradicted")])
def test_commas_are_shown_to_help_only_under_the_control(one, three, verdict):
    found, why = g._commas({"n and n + 1": [one], "n and n + 3": [three]})
    assert found == verdict and ("only" in why) == (three < 1.5)


def test_copying_hints_and_the_shape_of_a_u():
    values = {"first digit": [3.0], "last digit": [0.2], "last digit, with a hint": [0.4], "last digit, interleaved": [2.0]}
    assert g._copying(values)[0] == "shown" and g._copying(values | {"last digit": [2.0]})[0] == "contradicted"
    assert g._remedies(values)[0] == "shown" and g._remedies(values | {"last digit, with a hint": [0.28]})[0] == "partly"
    assert g._remedies(values | {"last digit": [-0.01], "last digit, with a hint": [-0.05], "last digit, interleaved": [0.1]})[0] == "contradicted"
    shape = {"first tenth": [1.4], "last tenth": [9.0], "bound, first tenth": [3.0], "bound, last tenth": [0.5]}
    assert g._shape(shape)[0] == "shown" and g._shape(shape | {"first tenth": [0.9]})[0] == "partly"


def test_counting_must_begin_to_be_lost():
    values = {"count ones, n = 5": [1.0], "sum ones, n = 5": [0.1], "count ones, n = 100": [0.1], "sum ones, n = 100": [0.0]}
    assert g._counting(values)[0] == "shown" and g._counting(values | {"sum ones, n = 100": [0.9]})[0] == "contradicted"
    found, why = g._counting(values | {"count ones, n = 5": [-0.1]})
    assert found == "not at this scale" and "does not count" in why


def test_variants_help_only_if_they_do_in_every_seed():
    values = {"RoPE, kept": [0.1, 0.2], "NoPE, kept": [0.01, 0.02], "NoPE, times RoPE's": [0.5, 0.6], "RoPE, window 16, kept": [0.0, 0.0]}
    assert g._variants(values)[0] == "shown" and "none" in g._variants(values)[1]
    assert g._variants(values | {"NoPE, times RoPE's": [1.6, 1.4]})[0] == "shown"
    found, why = g._variants(values | {"NoPE, times RoPE's": [1.6, 2.0]})
    assert found == "partly" and "NoPE" in why.split("every seed:")[1]
    assert g._variants(values | {"NoPE, kept": [0.9, 0.9]})[0] == "partly"
    assert g._variants({name: [0.9, 0.9] for name in values})[0] == "contradicted"
