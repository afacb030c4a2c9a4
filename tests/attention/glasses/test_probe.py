"""The probe: what it measures on a small model, and that its verdict follows from the numbers."""

import json

import numpy as np
import pytest

from outrange.attention.glasses.collapse import FAMILIES, RESOLUTION, Curve, collapse
from outrange.attention.glasses.probe import ASKED, BUDGETS, Budget, probe, remedies, verdict
from outrange.attention.glasses.tasks import COPYING, Margins
from outrange.core.errors import BadInput
from outrange.lm.opening import OpenedModel
from outrange.report.probe import page
from tests.attention.families import model
from tests.attention.letters import letters

TINY = Budget(lengths=(3, 9), dtypes=("float32", "bfloat16"), margins=(2, 4), tokens=12, directions=4)


def opened(**changes):
    return OpenedModel("tiny", model("llama", max_position_embeddings=512, **changes), letters())


def curve(family, dtype="float32", relative=(0.1, 0.1, 0.1), noise=0.01):
    values = np.array(relative)
    return Curve(
        family=family, dtype=dtype, step=FAMILIES[family].step, lengths=(9, 33, 129), tokens=(9, 33, 129), l1=values[:, None], l2=values[:, None],
        linf=values[:, None], relative=values, heads=np.zeros((3, 3)), noise=np.full(3, 2 * noise), blur=np.full(3, noise), signal_over_noise=values / noise / 2,
        signal_over_blur=values / noise if dtype != "float32" else np.full(3, np.inf), same=values < 0.002, variation=values, same_answer=values < 0.05,
    )  # fmt: skip


def curves(**changed):
    """All families at .1, those named with an underscore otherwise."""
    found = {name.replace("_", " "): values for name, values in changed.items()}
    return [
        curve(name, dtype, found.get(name, (0.1, 0.1, 0.1))) for dtype in ("float32", "bfloat16") for name in FAMILIES
    ]


def shifts(**changed):
    found = {name.replace("_", " "): values for name, values in changed.items()}
    return [margin(name, (5, 20, 100), found.get(name, (2.0, 2, 2))) for name in COPYING]


def margin(task, lengths, shift):
    values = np.array(shift)
    return Margins(
        task=task, lengths=lengths, shift=values, odds=np.zeros(len(values)), low=values - 0.1, high=values + 0.1
    )


REACH = {"u_shape": {"first": 2.0, "middle": 1, "last": 5.0}, "under": 0.25, "norms": [1.0] * 8}


def answers(curves, margins=None):
    return {row["question"]: row["answer"] for row in verdict(curves, margins or shifts(), REACH)}


def answer(start, end, *given):
    (found,) = [a for q, a in answers(*given).items() if q.startswith(start) and end in q]
    return found


def test_a_probe_of_a_small_model_fills_its_page():
    told = []
    found = probe(opened(), TINY, "some words that are read here", tell=lambda what, done, total: told.append(what))
    assert set(dict.fromkeys(told)) == {"float32", "bfloat16", "margins", "sensitivity"}
    assert {(c["family"], c["dtype"]) for c in found["curves"]} == {
        (name, dtype) for name in FAMILIES for dtype in TINY.dtypes
    }
    assert (
        len(found["squashing"]["norms"]) == len(found["squashing"]["tokens"]) == 12
        and found["squashing"]["norms"][0] == 1
    )
    assert [m["task"] for m in found["margins"]] == list(ASKED) and any(
        "chat template" in note for note in found["notes"]
    )
    json.dumps(found, allow_nan=False)
    assert {m["low"][0] < m["high"][0] for m in found["margins"]} == {True}  # over three orders
    (exact,) = collapse(opened().model, letters(), [FAMILIES["copy ones"]], TINY.lengths, ("float32",), around=3)
    shown = next(c for c in found["curves"] if (c["family"], c["dtype"]) == ("copy ones", "float32"))
    np.testing.assert_allclose(shown["relative"], exact.relative, rtol=1e-3)
    text = page(found | {"title": "tiny", "subtitle": "", "command": "outrange attention probe tiny"})
    assert text.startswith("<!DOCTYPE html>") and "outrange attention probe tiny" in text


def test_the_same_seed_gives_the_same_probe_and_no_directions_the_exact_sensitivities():
    first, second = (probe(opened(), TINY, "some words that are read here", seed=3) for _ in range(2))
    assert first == second
    exactly = probe(
        opened(),
        Budget(lengths=(3,), dtypes=("float32", "bfloat16"), margins=(2,), tokens=12, directions=0),
        "some words that are read here",
    )
    assert exactly["squashing"]["method"] == "exact" and exactly["squashing"]["error"] is None
    np.testing.assert_allclose(first["squashing"]["norms"], exactly["squashing"]["norms"], rtol=1.0)


def test_a_short_context_cuts_the_lengths_and_says_so():
    found = probe(
        OpenedModel("tiny", model("llama", max_position_embeddings=300), letters()),
        Budget(lengths=(8, 64, 512), dtypes=("float32",), margins=(), tokens=8, directions=2),
        "words",
    )
    assert found["curves"][0]["lengths"] == (8, 64) and any("lengths end at 64" in note for note in found["notes"])
    with pytest.raises(BadInput, match="context of 60 tokens"):
        probe(OpenedModel("tiny", model("llama", max_position_embeddings=60), letters()), TINY)


def test_budgets_grow():
    quick, full = BUDGETS["quick"], BUDGETS["full"]
    assert (
        set(quick.lengths) < set(full.lengths) and quick.tokens < full.tokens and set(quick.dtypes) < set(full.dtypes)
    )


# what the verdict rests on


def test_a_length_is_named_from_which_on_a_distance_is_under_the_types_resolution():
    fine = RESOLUTION["bfloat16"]
    assert answer("copy ones", "resolves", curves(copy_ones=(0.1, fine / 2, fine / 3))) == "n = 33"
    assert answer("copy ones", "resolves", curves(copy_ones=(0.1, fine / 2, fine * 2))) == "not up to 129"


def test_rounding_changes_a_difference_by_as_much_as_it_is_where_signal_over_blur_is_one_or_less():
    assert answer("count ones", "by as much as it is", curves(count_ones=(0.1, 0.02, 0.005))) == "n = 129"
    assert answer("count ones", "by as much as it is", curves(count_ones=(0.1, 0.02, 0.02))) == "not up to 129"


def test_lengths_are_named_from_which_on_two_are_one_vector_and_from_which_on_they_have_one_answer():
    assert answer("copy ones", "one vector", curves(copy_ones=(0.1, 0.001, 0.001))) == "n = 33"
    assert answer("copy ones", "one vector", curves()) == "not up to 129"
    assert answer("copy ones", "most likely next token", curves(copy_ones=(0.01, 0.01, 0.01))) == "already at n = 9"
    assert answer("copy ones", "most likely next token", curves(copy_ones=(0.1, 0.1, 0.01))) == "n = 129"


def test_types_that_differ_have_an_answer_each():
    both = [*curves(copy_ones=(0.1, 0.02, 0.005)), *(curve(name, "float16", noise=1e-4) for name in FAMILIES)]
    assert answer("copy ones", "by as much as it is", both) == "bfloat16 n = 129; float16 not up to 129"


def test_the_control_of_random_digits_is_judged_by_its_ends():
    assert (
        answer("do random", "", curves(digits=(0.1, 0.3, 0.08))) == "no"
        and answer("do random", "", curves(digits=(0.1, 0.3, 0.01))) == "yes"
    )


def test_a_margin_is_gone_once_the_zero_moves_the_odds_by_little():
    assert answer("last digit:", "", curves(), shifts(last_digit=(1.0, 0.2, -0.2))) == "n = 20"
    assert answer("last digit:", "", curves(), shifts(last_digit=(0.1, 0.2, -0.2))) == "it never does, n = 5 to 100"
    assert answer("first digit", "", curves(), shifts()) == "not up to 100"
    counted = [margin("count ones", (5, 20), (0.5, 0.1))]
    row = next(
        row
        for row in verdict(curves(), counted, REACH)
        if row["question"].startswith("count ones: from which n on does one more")
    )
    assert row["answer"] == "n = 20" and "one more moves the log-odds by 0.50 (0.40 … 0.60) at n = 5" in row["detail"]


@pytest.mark.parametrize(
    ("one", "three", "said"),
    [
        ((0.3, 0.3, 0.3), (0.05, 0.3, 0.05), "the place in a group only"),
        ((0.3, 0.3, 0.3), (0.2, 0.2, 0.05), "counts, too"),
        ((0.1, 0.1, 0.3), (0.1, 0.1, 0.1), "no"),
    ],
)
def test_commas_help_with_counts_only_if_the_control_says_so(one, three, said):
    assert answer("do commas", "", curves(copy_with_commas=one, same_phase_with_commas=three)) == said


def test_remedies_are_judged_by_medians_of_ratios():
    rows = {
        row["remedy"]: row["verdict"]
        for row in remedies(
            curves(copy_with_commas=(0.3, 0.3, 0.01), same_phase_with_commas=(0.1, 0.1, 0.9)),
            shifts(last_digit=(1, 1, 1)),
        )
    }
    assert (
        rows["commas, n against n + 1"] == "helps" and rows["commas, n against n + 3: the control"] == "does not help"
    )
    assert (
        rows["last digit, with a hint"] == rows["last digit, interleaved"] == "helps"
        and rows["float32 instead of bfloat16"] == "does not help"
    )


def test_two_that_are_one_vector_with_and_without_a_remedy_are_not_helped():
    zero = (0.0, 0.0, 0.0)
    nothing = curves(copy_ones=zero, copy_with_commas=zero, same_phase=zero, same_phase_with_commas=zero)
    assert {row["verdict"] for row in remedies(nothing, []) if "commas" in row["remedy"]} == {"does not help"}
    assert answer("do commas", "", nothing) == "no"


def test_a_finer_type_helps_only_where_the_coarser_one_changes_the_difference_by_a_third_of_it_or_more():
    def verdict_of(relative):
        return next(row for row in remedies(curves(copy_ones=relative), []) if row["remedy"].startswith("float32"))

    assert (
        verdict_of((0.1, 0.029, 0.005))["verdict"] == "helps"
        and verdict_of((0.1, 0.031, 0.005))["verdict"] == "does not help"
    )
    assert verdict_of((0.1, 0.02, 0.005)) | {"without": "0.5", "with": "1"} == verdict_of((0.1, 0.02, 0.005))
    assert (
        verdict_of((0.0, 0.0, 0.0))["without"] == verdict_of((0.01, 0.01, 0.01))["without"] == "0"
    )  # one vector in the type: nothing is left


def test_where_a_type_computes_one_vector_its_rounding_changes_the_difference_by_as_much_as_it_is():
    assert answer("copy ones", "by as much as it is", curves(copy_ones=(0.1, 0.01, 0.01))) == "n = 33"
