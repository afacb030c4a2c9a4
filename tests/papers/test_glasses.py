"""The claims about collapse and over-squashing: their judges on made-up measurements, and those that need no pretrained model, run."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from outrange.papers import NotRun, glasses, paper, reproduce
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
    result = reproduce(PAPER, PAPER.claim("encodings"), "laptop", 1)
    assert result.verdict == "partly" and "ALiBi" in result.why  # with a slope nothing collapses


def test_figures_of_the_toy_run_and_fall_only_if_they_do_in_every_seed():
    assert reproduce(PAPER, PAPER.claim("softmax"), "laptop", 2).verdict == "shown"
    result = reproduce(PAPER, PAPER.claim("attention"), "laptop", 2)
    assert result.verdict == "shown" and list(result.values) == [("distance", n) for n in (8, 32, 128, 512, 2048)]
    assert len(set(result.values["distance", 8])) == 2
    assert PAPER.claim("attention").judge({("distance", 1): [1.0, 1.0], ("distance", 9): [0.05, 0.11]}) == (
        "contradicted",
        "11.0% of the distance at n = 1 is left at n = 9",
    )


def test_what_draws_nothing_runs_once_and_has_no_spread():
    calls = []

    def run(**settings):
        calls.append(settings)
        return {"place": 5.0, "count": 0.6}

    claim = replace(PAPER.claim("commas"), run=run)
    result = reproduce(PAPER, claim, "laptop", 3)
    assert calls == [claim.scales["laptop"]] and result.seeds == 1
    assert "±" not in result.summary() and result.command.endswith("--seeds 1")


def test_collapse_needs_ones_to_fall_below_the_resolution_and_digits_not_to_fall():
    ends = {"count ones": (0.05, 0.003), "copy ones": (0.05, 0.002), "digits": (0.1, 0.09)}
    values = {
        (measure, name): [distance]
        for name, (shortest, longest) in ends.items()
        for measure, distance in (("shortest", shortest), ("longest", longest), ("signal_over_blur", 2.0))
    }
    assert PAPER.claim("collapse").judge(values)[0] == "shown"
    assert (
        PAPER.claim("collapse").judge(values | {("longest", "copy ones"): [0.005]})[0]
        == PAPER.claim("collapse").judge(values | {("longest", "count ones"): [0.005]})[0]
        == "partly"
    )
    assert PAPER.claim("collapse").judge(values | {("longest", "digits"): [0.005]})[0] == "contradicted"
    assert (
        PAPER.claim("collapse").judge(values | {("shortest", "digits"): [0.01], ("longest", "digits"): [0.0035]})[0]
        == "partly"
    )  # digits come as near
    risen = {("longest", name): [v] for name, v in (("count ones", 0.055), ("copy ones", 0.055), ("digits", 0.12))}
    assert PAPER.claim("collapse").judge(values | risen)[0] == "contradicted"


def test_coarser_types_must_leave_less_of_the_difference():
    def judge(signal):
        return PAPER.claim("precision").judge({("signal_over_blur", name): values for name, values in signal.items()})

    signal = {"float32": [9e3, 9e3], "float16": [20.0, 22.0], "bfloat16": [3.0, 3.0], "int8": [5.0, 5.0]}
    assert judge(signal)[0] == "shown" and "bfloat16 3" in judge(signal)[1]
    assert judge(signal | {"bfloat16": [30.0]})[0] == judge(signal | {"int8": [1e5]})[0] == "partly"
    assert judge({name: [1.0] for name in signal})[0] == "contradicted"
    assert judge({"float32": [10.0], "float16": [9.0], "bfloat16": [8.9], "int8": [9.9]})[0] == "contradicted"
    compared_with_float32 = {name: values for name, values in signal.items() if name != "float32"}
    assert judge(compared_with_float32)[0] == "shown"


@pytest.mark.parametrize(
    ("place", "count", "expected"), [(5.0, 0.6, "partly"), (5.0, 2.0, "shown"), (1.1, 2.0, "contradicted")]
)
def test_commas_are_shown_to_help_only_under_the_control(place, count, expected):
    verdict, why = PAPER.claim("commas").judge({"place": [place], "count": [count]})
    assert verdict == expected and ("the place" in why) == (place >= 1.5) and ("the count" in why) == (count >= 1.5)
    assert "mark nothing" in PAPER.claim("commas").judge({"place": [1.1], "count": [0.6]})[1]


def shifts(**tasks):
    return {
        (task.replace("_", " "), n): [v]
        for task, values in tasks.items()
        for n, v in zip((5, 20, 100), values, strict=True)
    }


def test_copying_hints_and_the_shape_of_a_u():
    values = shifts(first_digit=(4.0, 3.0, 2.0), last_digit=(0.6, 0.2, 0.1))
    assert (
        PAPER.claim("copying").judge(values)[0] == "shown"
        and "3.00 at the beginning, 0.20 at the end" in PAPER.claim("copying").judge(values)[1]
    )
    assert PAPER.claim("copying").judge(values | shifts(last_digit=(0.1, 2.0, 2.0)))[0] == "contradicted"
    assert (
        PAPER.claim("copying").judge(shifts(first_digit=(0.02,) * 3, last_digit=(0.005,) * 3))[0] == "not at this scale"
    )
    hints = dict(zip(glasses.HINT_TASKS, ((0.2,) * 3, (0.4,) * 3, (2.0,) * 3), strict=True))
    assert PAPER.claim("hints").judge(shifts(**hints))[0] == "shown"
    assert PAPER.claim("hints").judge(shifts(**hints | {glasses.HINT_TASKS[1]: (0.28,) * 3}))[0] == "partly"
    assert (
        PAPER.claim("hints").judge(
            shifts(**dict(zip(glasses.HINT_TASKS, ((-0.01,) * 3, (-0.05,) * 3, (0.1,) * 3), strict=True)))
        )[0]
        == "contradicted"
    )
    shape = {"first_tenth": [1.4], "last_tenth": [9.0], "bound_first_tenth": [3.0], "bound_last_tenth": [0.5]}
    assert (
        PAPER.claim("u-shape").judge(shape)[0] == "shown"
        and PAPER.claim("u-shape").judge(shape | {"first_tenth": [0.9]})[0] == "partly"
    )


def test_counting_must_begin_to_be_lost():
    values = shifts(count_ones=(1.0, 0.5, 0.1), sum_ones=(0.1, 0.1, 0.0))
    assert (
        PAPER.claim("counting").judge(values)[0] == "shown"
        and PAPER.claim("counting").judge(values | shifts(sum_ones=(0.1, 0.1, 0.9)))[0] == "contradicted"
    )
    verdict, why = PAPER.claim("counting").judge(values | shifts(count_ones=(-0.1, 0.5, 0.1)))
    assert verdict == "not at this scale" and "does not count" in why
    assert (
        PAPER.claim("counting").judge(shifts(count_ones=(-3.0, -1.0, 0.1), sum_ones=(-2.0, -0.1, 0.0)))[0]
        == "not at this scale"
    )  # moved the wrong way


def test_schemes_must_fall_and_do_so_alike():
    def remaining(*values):
        return {
            ("remaining", name): [v] for name, v in zip(("NoPE", "RoPE", "p-RoPE", "APE", "ALiBi"), values, strict=True)
        }

    assert PAPER.claim("encodings").judge(remaining(0.1, 0.2, 0.9, 0.2, 0.3))[0] == "shown"
    assert PAPER.claim("encodings").judge(remaining(1e-4, 0.4, 0.4, 0.4, 0.4))[0] == "partly"  # not alike
    assert (
        PAPER.claim("encodings").judge(remaining(0.1, 0.2, 0.2, 0.2, 0.9))[0] == "partly"
        and PAPER.claim("encodings").judge(remaining(0.6, 0.7, 0.1, 0.8, 0.9))[0] == "contradicted"
    )


def test_variants_help_only_if_they_do_in_every_seed():
    values = {
        ("remaining", "RoPE"): [0.1, 0.2],
        ("remaining", "NoPE"): [0.01, 0.02],
        ("times_rope", "NoPE"): [0.5, 0.6],
        ("remaining_in_window", "RoPE, window 16"): [0.0, 0.0],
    }
    assert PAPER.claim("variants").judge(values)[0] == "shown" and "none" in PAPER.claim("variants").judge(values)[1]
    assert PAPER.claim("variants").judge(values | {("times_rope", "NoPE"): [1.6, 1.4]})[0] == "shown"
    verdict, why = PAPER.claim("variants").judge(values | {("times_rope", "NoPE"): [1.6, 2.0]})
    assert verdict == "partly" and "NoPE" in why.split("every seed:")[1]
    assert PAPER.claim("variants").judge(values | {("remaining", "NoPE"): [0.9, 0.9]})[0] == "partly"
    assert PAPER.claim("variants").judge({name: [0.9, 0.9] for name in values})[0] == "contradicted"
    assert (
        PAPER.claim("variants").judge({key: [0.0 if key[0] == "remaining_in_window" else 0.9] for key in values})[0]
        == "contradicted"
    )


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
    from outrange.attention.glasses.collapse import collapse_curves, times_as_large
    from outrange.attention.glasses.families import FAMILIES

    def curves(name, dtypes=("float32",)):
        return collapse_curves(tiny.model, tiny.tokenizer, [FAMILIES[name]], (4, 9), dtypes, neighbours=3)

    measured = glasses.figure5(0, "tiny", (4, 9))
    exact, rounded = curves("copy ones", ("float32", "bfloat16"))
    assert measured["shortest", "copy ones"] == pytest.approx(exact.relative_distance[0], rel=1e-2) and measured[
        "longest", "copy ones"
    ] == pytest.approx(exact.relative_distance[1], rel=1e-2)
    assert (
        measured["signal_over_blur", "copy ones"] == pytest.approx(rounded.signal_over_blur[1], rel=0.5)
        and len(measured) == 9
    )
    apart = glasses.commas("tiny", (4, 9))
    for measure, (without, with_commas) in zip(
        apart, (("copy ones", "copy with commas"), ("same phase", "same phase with commas")), strict=True
    ):
        assert apart[measure] == pytest.approx(
            np.median(times_as_large(curves(with_commas)[0].relative_distance, curves(without)[0].relative_distance)),
            rel=1e-2,
        )
    types = glasses.precision("tiny", (4, 9), ("float64", "float32", "float16", "bfloat16"))
    exact, half, brain = types.values()
    assert (
        list(types) == [("signal_over_blur", name) for name in ("float32", "float16", "bfloat16")]
        and exact > 100 * half > 100 * brain
    )


def test_shifts_of_claims_take_another_order_of_the_prompt_with_every_seed(tiny):
    from outrange.attention.glasses.margins import measure_margins

    for seed, order in ((0, 1), (2, 3), (3, 1)):
        (margins,) = measure_margins(tiny.model, tiny.tokenizer, (3, 6), ("last digit",), orders=(order,))
        assert glasses.shifts(seed, "tiny", (3, 6), ("last digit",)) == pytest.approx(
            {("last digit", n): margins.shift[k] for k, n in enumerate((3, 6))}, abs=1e-6
        )


def test_a_stopped_training_of_a_variant_stops_the_claim(tmp_path, monkeypatch):
    from outrange.attention.glasses import variants

    (tmp_path / "text").mkdir()
    ends = iter([{"stopped": False}, {"stopped": True}])  # the second of five; a third would raise
    monkeypatch.setattr(variants, "prepare_corpus", lambda config: None)
    monkeypatch.setattr(variants, "train", lambda *_, **__: next(ends))
    measured = glasses.variants(0, str(tmp_path / "text"), "laptop", (4, 9), str(tmp_path / "runs"))
    assert isinstance(measured, NotRun) and measured.stopped and str(tmp_path / "runs") in measured.why
