"""The probe: what it measures on a small model, and that its verdict follows from the numbers."""

import json

import numpy as np
import pytest

from outrange.attention.glasses.collapse import RESOLUTION, Curve, collapse_curves
from outrange.attention.glasses.families import FAMILIES
from outrange.attention.glasses.margins import Margins
from outrange.attention.glasses.probe import BUDGETS, MARGIN_TASKS, Budget, probe_model
from outrange.attention.glasses.squashing import Sensitivity
from outrange.attention.glasses.story import probe_story
from outrange.attention.glasses.tasks import COPY_TASKS
from outrange.attention.glasses.verdict import draw_verdict, judge_remedies
from outrange.core.errors import BadInput
from outrange.lm.opening import OpenedModel
from outrange.report.probe import page
from tests.attention.families import model
from tests.attention.letters import letters

TINY = Budget(lengths=(3, 9), dtypes=("float32", "bfloat16"), margin_lengths=(2, 4), tokens=12, directions=4)


def opened(**changes):
    return OpenedModel("tiny", model("llama", max_position_embeddings=512, **changes), letters())


def curve(family, dtype="float32", relative=(0.1, 0.1, 0.1), noise=0.01):
    values = np.array(relative)
    return Curve(
        family=family,
        dtype=dtype,
        step=FAMILIES[family].step,
        lengths=(9, 33, 129),
        token_counts=(9, 33, 129),
        l1=values[:, None],
        l2=values[:, None],
        linf=values[:, None],
        relative_distance=values,
        head_distances=np.zeros((3, 3)),
        noise=np.full(3, 2 * noise),
        blur=np.full(3, noise),
        signal_over_noise=values / noise / 2,
        signal_over_blur=values / noise if dtype != "float32" else np.full(3, np.inf),
        same_vector=values < 0.002,
        total_variation=values,
        same_next_token=values < 0.05,
    )


def curves(**changed):
    """All families at .1, those named with an underscore otherwise."""
    distances = {name.replace("_", " "): values for name, values in changed.items()}
    return [
        curve(name, dtype, distances.get(name, (0.1, 0.1, 0.1)))
        for dtype in ("float32", "bfloat16")
        for name in FAMILIES
    ]


def shifts(**changed):
    by_task = {name.replace("_", " "): values for name, values in changed.items()}
    return [margin(name, (5, 20, 100), by_task.get(name, (2.0, 2, 2))) for name in COPY_TASKS]


def margin(task, lengths, shift):
    values = np.array(shift)
    return Margins(
        task=task,
        lengths=lengths,
        shift=values,
        log_odds=np.zeros(len(values)),
        lowest_shift=values - 0.1,
        highest_shift=values + 0.1,
    )


SENSITIVITY = Sensitivity(
    token_ids=tuple(range(8)),
    norms=np.array([2.0, 0.001, 0.001, 1, 1, 1, 1, 5]),
    standard_error=None,
    layer=0,
    method="exact",
)


def finding(start, end, curves, margins=None):
    """The one question that begins and ends so."""
    findings = draw_verdict(curves, margins or shifts(), SENSITIVITY)
    (match,) = [
        candidate for candidate in findings if candidate.question.startswith(start) and end in candidate.question
    ]
    return match


def answer(start, end, curves, margins=None):
    return finding(start, end, curves, margins).answer


def test_a_probe_of_a_small_model_fills_its_page():
    statuses = []
    result = probe_model(opened(), TINY, "some words that are read here", report_status=statuses.append)
    assert statuses == ["float32", "bfloat16", "margins", "sensitivity"]
    assert {(curve.family, curve.dtype) for curve in result.curves} == {
        (name, dtype) for name in FAMILIES for dtype in TINY.dtypes
    }
    assert len(result.text.sensitivity.norms) == len(result.text.tokens) == 12
    assert [margins.task for margins in result.margins] == list(MARGIN_TASKS)
    assert any("chat template" in note for note in result.notes)
    json.dumps(result.to_dict(), allow_nan=False)
    assert all(margins.lowest_shift[0] < margins.highest_shift[0] for margins in result.margins)  # over three orders
    (exact,) = collapse_curves(
        opened().model, letters(), [FAMILIES["copy ones"]], TINY.lengths, ("float32",), neighbours=3
    )
    copying = next(curve for curve in result.curves if (curve.family, curve.dtype) == ("copy ones", "float32"))
    np.testing.assert_allclose(copying.relative_distance, exact.relative_distance, rtol=1e-3)
    story = probe_story(result, "outrange attention probe tiny")
    assert story.title == "tiny" and story.notes == result.notes and story.sensitivity.norms[0] == 1
    text = page(story)
    assert text.startswith("<!DOCTYPE html>") and "outrange attention probe tiny" in text


def test_progress_counts_the_steps_of_each_stage():
    counts = []
    probe_model(
        opened(),
        TINY,
        "some words that are read here",
        report_status=lambda status: counts.append([]),
        report_progress=lambda done, total: counts[-1].append((done, total)),
    )
    assert len(counts) == 4 and all(done == total for *_, (done, total) in counts)


def test_the_same_seed_gives_the_same_probe_and_no_directions_the_exact_sensitivities():
    first, second = (probe_model(opened(), TINY, "some words that are read here", seed=3) for _ in range(2))
    assert first.to_dict() == second.to_dict()
    exactly = probe_model(
        opened(),
        Budget(lengths=(3,), dtypes=("float32", "bfloat16"), margin_lengths=(2,), tokens=12, directions=0),
        "some words that are read here",
    )
    assert exactly.text.method == "exact" and exactly.text.sensitivity.standard_error is None
    estimated, exact = probe_story(first).sensitivity.norms, probe_story(exactly).sensitivity.norms
    np.testing.assert_allclose(estimated, exact, rtol=1.0)


def test_a_short_context_cuts_the_lengths_and_says_so():
    result = probe_model(
        OpenedModel("tiny", model("llama", max_position_embeddings=300), letters()),
        Budget(lengths=(8, 64, 512), dtypes=("float32",), margin_lengths=(), tokens=8, directions=2),
        "words",
    )
    assert result.curves[0].lengths == (8, 64) and any("lengths end at 64" in note for note in result.notes)
    with pytest.raises(BadInput, match="context of 60 tokens"):
        probe_model(OpenedModel("tiny", model("llama", max_position_embeddings=60), letters()), TINY)


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
    row = finding("count ones: from which n on does one more", "", curves(), counted)
    assert row.answer == "n = 20" and "one more moves the log-odds by 0.50 (0.40 … 0.60) at n = 5" in row.detail
    assert row.key == "count ones/no_effect" and row.values == {"onset": 20, "first": 0.5, "last": 0.1}


def test_a_verdict_s_numbers_stand_beside_its_sentences_under_keys():
    findings = draw_verdict(curves(copy_ones=(0.1, 0.02, 0.005)), shifts(), SENSITIVITY)
    values = {row.key: row.values for row in findings}
    assert len(values) == len(findings)
    assert values["copy ones/blurred"] == {"bfloat16": 129} and values["count ones/blurred"] == {"bfloat16": None}
    assert values["sensitivity/below_1_percent"] == {"share": 0.25, "first_tenth": 2.0, "last_tenth": 5.0}
    assert values["commas/gain"] == {"place": 5.0, "count": 1.0}


@pytest.mark.parametrize(
    ("with_commas", "control", "expected"),
    [
        ((0.3, 0.3, 0.3), (0.05, 0.3, 0.05), "the place in a group only"),
        ((0.3, 0.3, 0.3), (0.2, 0.2, 0.05), "counts, too"),
        ((0.1, 0.1, 0.3), (0.1, 0.1, 0.1), "no"),
    ],
)
def test_commas_help_with_counts_only_if_the_control_says_so(with_commas, control, expected):
    assert answer("do commas", "", curves(copy_with_commas=with_commas, same_phase_with_commas=control)) == expected


def test_remedies_are_judged_by_medians_of_ratios():
    helps = {
        remedy.name: remedy.helps
        for remedy in judge_remedies(
            curves(copy_with_commas=(0.3, 0.3, 0.01), same_phase_with_commas=(0.1, 0.1, 0.9)),
            shifts(last_digit=(1, 1, 1)),
        )
    }
    assert helps["commas, n against n + 1"] and not helps["commas, n against n + 3: the control"]
    assert helps["last digit, with a hint"] and helps["last digit, interleaved"]
    assert not helps["float32 instead of bfloat16"]


def test_two_that_are_one_vector_with_and_without_a_remedy_are_not_helped():
    zero = (0.0, 0.0, 0.0)
    nothing = curves(copy_ones=zero, copy_with_commas=zero, same_phase=zero, same_phase_with_commas=zero)
    assert {remedy.helps for remedy in judge_remedies(nothing, []) if "commas" in remedy.name} == {False}
    assert answer("do commas", "", nothing) == "no"


def test_a_finer_type_helps_only_where_the_coarser_one_changes_the_difference_by_a_third_of_it_or_more():
    def float32_remedy(relative):
        rows = judge_remedies(curves(copy_ones=relative), [])
        return next(remedy for remedy in rows if remedy.name.startswith("float32"))

    assert float32_remedy((0.1, 0.029, 0.005)).helps and not float32_remedy((0.1, 0.031, 0.005)).helps
    halved = float32_remedy((0.1, 0.02, 0.005))
    assert (f"{halved.without:.2g}", f"{halved.with_remedy:.2g}") == ("0.5", "1")
    # one vector in the type: nothing is left
    assert float32_remedy((0.0, 0.0, 0.0)).without == float32_remedy((0.01, 0.01, 0.01)).without == 0


def test_where_a_type_computes_one_vector_its_rounding_changes_the_difference_by_as_much_as_it_is():
    assert answer("copy ones", "by as much as it is", curves(copy_ones=(0.1, 0.01, 0.01))) == "n = 33"
