"""The claims about collapse and over-squashing: their judges on made-up measurements, and those that need no pretrained model, run."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
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


def test_figures_of_the_toy_run_and_fall_only_if_they_do_in_every_seed():
    assert reproduce(PAPER, PAPER.claim("softmax"), "laptop", 2).verdict == "shown"
    found = reproduce(PAPER, PAPER.claim("attention"), "laptop", 2)
    assert found.verdict == "shown" and list(found.values) == [f"n = {n}" for n in (8, 32, 128, 512, 2048)]
    assert len(set(found.values["n = 8"])) == 2
    assert g._falls({"n = 1": [1.0, 1.0], "n = 9": [0.05, 0.11]}) == (
        "contradicted",
        "11.0% of the distance at n = 1 is left at n = 9",
    )


def test_what_draws_nothing_runs_once_and_has_no_spread():
    calls = []
    claim = replace(
        PAPER.claim("commas"), run=lambda seed, **given: calls.append(seed) or {"n and n + 1": 5.0, "n and n + 3": 0.6}
    )
    found = reproduce(PAPER, claim, "laptop", 3)
    assert calls == [0] and found.seeds == 1 and "±" not in found.ours() and found.command.endswith("--seeds 1")


def test_collapse_needs_ones_to_fall_below_the_resolution_and_digits_not_to_fall():
    ends = {"count ones": (0.05, 0.003), "copy ones": (0.05, 0.002), "digits": (0.1, 0.09)}
    values = {f"{name}, n = {n}": [v] for name, two in ends.items() for n, v in zip((8, 256), two, strict=True)} | {
        f"{name}, signal/blur": [2.0] for name in ends
    }
    assert g._figure5(values)[0] == "shown"
    assert (
        g._figure5(values | {"copy ones, n = 256": [0.005]})[0]
        == g._figure5(values | {"count ones, n = 256": [0.005]})[0]
        == "partly"
    )
    assert g._figure5(values | {"digits, n = 256": [0.005]})[0] == "contradicted"
    assert (
        g._figure5(values | {"digits, n = 8": [0.01], "digits, n = 256": [0.0035]})[0] == "partly"
    )  # digits come as near
    risen = {f"{name}, n = 256": [v] for name, v in (("count ones", 0.055), ("copy ones", 0.055), ("digits", 0.12))}
    assert g._figure5(values | risen)[0] == "contradicted"


def test_coarser_types_must_leave_less_of_the_difference():
    values = {"float32": [9e3, 9e3], "float16": [20.0, 22.0], "bfloat16": [3.0, 3.0], "int8": [5.0, 5.0]}
    assert g._precision(values)[0] == "shown" and "bfloat16 3" in g._precision(values)[1]
    assert g._precision(values | {"bfloat16": [30.0]})[0] == g._precision(values | {"int8": [1e5]})[0] == "partly"
    assert g._precision({name: [1.0] for name in values})[0] == "contradicted"
    assert g._precision({"float32": [10.0], "float16": [9.0], "bfloat16": [8.9], "int8": [9.9]})[0] == "contradicted"
    assert (
        g._precision({name: v for name, v in values.items() if name != "float32"})[0] == "shown"
    )  # held against float32 itself


@pytest.mark.parametrize(
    ("one", "three", "verdict"), [(5.0, 0.6, "partly"), (5.0, 2.0, "shown"), (1.1, 2.0, "contradicted")]
)
def test_commas_are_shown_to_help_only_under_the_control(one, three, verdict):
    found, why = g._commas({"n and n + 1": [one], "n and n + 3": [three]})
    assert found == verdict and ("the place" in why) == (one >= 1.5) and ("the count" in why) == (three >= 1.5)
    assert "mark nothing" in g._commas({"n and n + 1": [1.1], "n and n + 3": [0.6]})[1]


def shifts(**tasks):
    return {
        f"{task.replace('_', ' ')}, n = {n}": [v]
        for task, values in tasks.items()
        for n, v in zip((5, 20, 100), values, strict=True)
    }


def test_copying_hints_and_the_shape_of_a_u():
    values = shifts(first_digit=(4.0, 3.0, 2.0), last_digit=(0.6, 0.2, 0.1))
    assert g._copying(values)[0] == "shown" and "3.00 at the beginning, 0.20 at the end" in g._copying(values)[1]
    assert g._copying(values | shifts(last_digit=(0.1, 2.0, 2.0)))[0] == "contradicted"
    assert g._copying(shifts(first_digit=(0.02,) * 3, last_digit=(0.005,) * 3))[0] == "not at this scale"
    hints = dict(zip(g.HINTS, ((0.2,) * 3, (0.4,) * 3, (2.0,) * 3), strict=True))
    assert g._remedies(shifts(**hints))[0] == "shown"
    assert g._remedies(shifts(**hints | {g.HINTS[1]: (0.28,) * 3}))[0] == "partly"
    assert (
        g._remedies(shifts(**dict(zip(g.HINTS, ((-0.01,) * 3, (-0.05,) * 3, (0.1,) * 3), strict=True))))[0]
        == "contradicted"
    )
    shape = {"first tenth": [1.4], "last tenth": [9.0], "bound, first tenth": [3.0], "bound, last tenth": [0.5]}
    assert g._shape(shape)[0] == "shown" and g._shape(shape | {"first tenth": [0.9]})[0] == "partly"


def test_counting_must_begin_to_be_lost():
    values = shifts(count_ones=(1.0, 0.5, 0.1), sum_ones=(0.1, 0.1, 0.0))
    assert (
        g._counting(values)[0] == "shown"
        and g._counting(values | shifts(sum_ones=(0.1, 0.1, 0.9)))[0] == "contradicted"
    )
    found, why = g._counting(values | shifts(count_ones=(-0.1, 0.5, 0.1)))
    assert found == "not at this scale" and "does not count" in why
    assert (
        g._counting(shifts(count_ones=(-3.0, -1.0, 0.1), sum_ones=(-2.0, -0.1, 0.0)))[0] == "not at this scale"
    )  # moved the wrong way


def test_schemes_must_fall_and_do_so_alike():
    def kept(*values):
        return {name: [v] for name, v in zip(("NoPE", "RoPE", "p-RoPE", "APE", "ALiBi"), values, strict=True)}

    assert g._encodings(kept(0.1, 0.2, 0.9, 0.2, 0.3))[0] == "shown"
    assert g._encodings(kept(1e-4, 0.4, 0.4, 0.4, 0.4))[0] == "partly"  # not alike
    assert (
        g._encodings(kept(0.1, 0.2, 0.2, 0.2, 0.9))[0] == "partly"
        and g._encodings(kept(0.6, 0.7, 0.1, 0.8, 0.9))[0] == "contradicted"
    )


def test_variants_help_only_if_they_do_in_every_seed():
    values = {
        "RoPE, kept": [0.1, 0.2],
        "NoPE, kept": [0.01, 0.02],
        "NoPE, times RoPE's": [0.5, 0.6],
        "RoPE, window 16, kept": [0.0, 0.0],
    }
    assert g._variants(values)[0] == "shown" and "none" in g._variants(values)[1]
    assert g._variants(values | {"NoPE, times RoPE's": [1.6, 1.4]})[0] == "shown"
    found, why = g._variants(values | {"NoPE, times RoPE's": [1.6, 2.0]})
    assert found == "partly" and "NoPE" in why.split("every seed:")[1]
    assert g._variants(values | {"NoPE, kept": [0.9, 0.9]})[0] == "partly"
    assert g._variants({name: [0.9, 0.9] for name in values})[0] == "contradicted"
    assert g._variants({name: [0.0 if "window" in name else 0.9] for name in values})[0] == "contradicted"


# what the claims run, on a small model


@pytest.fixture
def tiny(monkeypatch):
    from outrange.lm import opening
    from tests.attention.families import model
    from tests.attention.letters import letters

    tokenizer = letters()
    monkeypatch.setattr(
        opening,
        "open_model",
        lambda name: opening.OpenedModel("tiny", model("llama", max_position_embeddings=1024), tokenizer),
    )
    return opening.open_model("tiny")


def test_curves_of_claims_are_means_over_the_places_in_a_group(tiny):
    from outrange.attention.glasses.collapse import FAMILIES, collapse, times

    def curves(name, dtypes=("float32",)):
        return collapse(tiny.model, tiny.tokenizer, [FAMILIES[name]], (4, 9), dtypes, around=3)

    found = g.figure5(0, "tiny", (4, 9))
    exact, rounded = curves("copy ones", ("float32", "bfloat16"))
    assert found["copy ones, n = 4"] == pytest.approx(exact.relative[0], rel=1e-2) and found[
        "copy ones, n = 9"
    ] == pytest.approx(exact.relative[1], rel=1e-2)
    assert found["copy ones, signal/blur"] == pytest.approx(rounded.signal_over_blur[1], rel=0.5) and len(found) == 9
    parted = g.commas(0, "tiny", (4, 9))
    for measure, (without, given) in zip(
        parted, (("copy ones", "copy with commas"), ("same phase", "same phase with commas")), strict=True
    ):
        assert parted[measure] == pytest.approx(
            np.median(times(curves(given)[0].relative, curves(without)[0].relative)), rel=1e-2
        )
    types = g.precision(0, "tiny", (4, 9), ("float64", "float32", "float16", "bfloat16"))
    assert (
        list(types) == ["float32", "float16", "bfloat16"]
        and types["float32"] > 100 * types["float16"] > 100 * types["bfloat16"]
    )


def test_shifts_of_claims_take_another_order_of_the_prompt_with_every_seed(tiny):
    from outrange.attention.glasses.tasks import margins

    for seed, order in ((0, 1), (2, 3), (3, 1)):
        (known,) = margins(tiny.model, tiny.tokenizer, (3, 6), ("last digit",), orders=(order,))
        assert g.shifts(seed, "tiny", (3, 6), ("last digit",)) == pytest.approx(
            {f"last digit, n = {n}": known.shift[k] for k, n in enumerate((3, 6))}, abs=1e-6
        )
