"""Collapse curves: what is read is what separate passes give, distances by hand, families token by token, precision,
and a model in which all must collapse.
"""

import copy

import numpy as np
import pytest
import torch

from outrange.attention.glasses.collapse import (
    LastToken,
    cast_model,
    collapse_curves,
    curve_of_pairs,
    distances,
    onset_length,
    read_last_tokens,
    round_to_int8,
)
from outrange.attention.glasses.families import COPY_PROMPT, FAMILIES, Family, repetition_family, with_commas
from outrange.attention.glasses.symbols import Symbols
from outrange.attention.tap import tapped
from outrange.core.errors import BadInput
from tests.attention.families import model
from tests.attention.letters import letters

SHORT = [FAMILIES[name] for name in ("ones",)]


def family(name="own", step=1):
    return Family(
        name=name,
        description="",
        step=step,
        build_pair=lambda symbols, n, seed: (
            [0] + [symbols.digit_ids[1]] * n,
            [0] + [symbols.digit_ids[1]] * (n + step),
        ),
    )


# what is read


@pytest.mark.parametrize("name", ["llama", "gemma2", "mistral", "gpt_neox"])
def test_a_sequence_read_on_the_way_through_a_longer_one_has_the_state_of_a_pass_of_its_own(name):
    watched, passes = model(name), []
    sequences = [(1, 5, 5), (1, 5, 5, 5, 5), (1, 7), (1, 5), (1, 5, 5, 5, 5)]
    watched.register_forward_pre_hook(lambda module, args: passes.append(args[0].tolist()))
    states = read_last_tokens(watched, sequences)
    assert sorted(passes) == [[[1, 5, 5, 5, 5]], [[1, 7]]] and set(states) == set(sequences)
    for sequence, state in states.items():
        with torch.no_grad():
            out = watched(torch.tensor([sequence]), output_hidden_states=True)
        torch.testing.assert_close(
            torch.from_numpy(state.layers).float(),
            torch.stack([h[0, -1] for h in out.hidden_states[1:]]),
            atol=2e-5,
            rtol=0,
        )
        torch.testing.assert_close(
            torch.from_numpy(state.log_probabilities), torch.log_softmax(out.logits[0, -1], -1), atol=2e-5, rtol=0
        )


def test_how_much_was_read_is_told():
    counts = []
    read_last_tokens(
        model("llama"), [(1, 5), (1, 5, 5), (1, 6)], report_progress=lambda done, total: counts.append((done, total))
    )
    assert counts == [(3, 5), (5, 5)]


def test_a_sequence_beyond_the_context_is_refused():
    with pytest.raises(BadInput, match=r"lengths: a sequence of 301 tokens .* holds 256"):
        collapse_curves(model("llama"), letters(), [family()], lengths=(8, 299))


# numbers


def test_distances_are_of_sums_squares_and_the_largest_entry():
    l1, l2, linf = distances(np.array([[1.0, 2, 3], [0, 0, 0]]), np.array([[1.0, 5, -1], [0, 0, 0]]))
    assert l1.tolist() == [7, 0] and l2.tolist() == [5, 0] and linf.tolist() == [4, 0]


@pytest.mark.parametrize(
    ("holds", "first"),
    [
        ([True, True, True], 8),
        ([False, True, True], 16),
        ([True, False, True], 32),
        ([True, True, False], None),
        ([False, False, False], None),
    ],
)
def test_the_first_length_is_that_from_which_on_it_always_holds(holds, first):
    assert onset_length((8, 16, 32), holds) == first


def test_eight_bits_are_255_levels_a_row_that_keep_its_largest_entry():
    weight = torch.randn(5, 400, generator=torch.Generator().manual_seed(0))
    weight[3] = 0
    rounded = round_to_int8(weight)
    scale = weight.abs().amax(1, keepdim=True) / 127
    assert ((rounded - weight).abs() <= scale / 2 + 1e-6).all() and torch.allclose(
        rounded.abs().amax(1), weight.abs().amax(1)
    )
    assert all(len(row.unique()) <= 255 for row in rounded) and (rounded[3] == 0).all()


def test_curves_hold_what_two_passes_give():
    watched, tokenizer = model("llama"), letters()
    (curve,) = collapse_curves(watched, tokenizer, [family()], lengths=(3, 6), dtypes=("float32",))
    one_id = tokenizer.convert_tokens_to_ids("1")
    with torch.no_grad():
        outs = [watched(torch.tensor([[0] + [one_id] * n]), output_hidden_states=True) for n in (6, 7)]
    ends = [torch.stack([h[0, -1] for h in out.hidden_states[1:]]) for out in outs]
    gap = (ends[0] - ends[1]).abs()
    np.testing.assert_allclose(curve.linf[1], gap.amax(1), atol=1e-5)
    np.testing.assert_allclose(curve.l1[1], gap.sum(1), rtol=1e-4)
    assert curve.linf.shape == (2, 4) and curve.lengths == (3, 6) and curve.token_counts == (4, 7)
    np.testing.assert_allclose(curve.relative_distance[1], gap[-1].max() / ends[0][-1].abs().max(), rtol=1e-4)
    slices = (gap[-1] / ends[0][-1].abs().max()).view(4, 16).amax(1)
    np.testing.assert_allclose(curve.head_distances[1], [slices.min(), slices.mean(), slices.max()], rtol=1e-3)
    chances = [torch.softmax(out.logits[0, -1], -1) for out in outs]
    np.testing.assert_allclose(curve.total_variation[1], (chances[0] - chances[1]).abs().sum() / 2, atol=1e-6)
    assert curve.same_next_token[1] == (chances[0].argmax() == chances[1].argmax())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8"])
def test_noise_is_how_far_a_type_moves_one_input_and_signal_over_noise_is_its_share(dtype):
    watched, tokenizer = model("llama"), letters()
    before = copy.deepcopy(watched.state_dict())
    exact, rounded = collapse_curves(watched, tokenizer, SHORT, lengths=(2, 9), dtypes=("float32", dtype))
    assert (exact.noise == 0).all() and np.isinf(exact.signal_over_noise).all() and not exact.same_vector.any()
    assert (
        (rounded.noise > 0).all()
        and (rounded.blur > 0).all()
        and (exact.blur == 0).all()
        and np.isinf(exact.signal_over_blur).all()
    )
    assert (rounded.blur <= 2 * rounded.noise * (1 + 1e-9)).all()  # a difference cannot move further than both its ends
    np.testing.assert_allclose(rounded.signal_over_noise * rounded.noise, exact.relative_distance, rtol=1e-6)
    np.testing.assert_allclose(rounded.signal_over_blur * rounded.blur, exact.relative_distance, rtol=1e-6)
    one_id = tokenizer.convert_tokens_to_ids("1")
    with torch.no_grad(), cast_model(watched, dtype) as cast:
        ends = [
            [
                m(torch.tensor([[0] + [one_id] * n]), output_hidden_states=True).hidden_states[-1][0, -1].float()
                for n in (9, 10)
            ]
            for m in (watched, cast)
        ]
    moved = np.mean([float((a - b).abs().max()) for a, b in zip(*ends, strict=True)]) / float(ends[0][0].abs().max())
    assert rounded.noise[1] == pytest.approx(moved, rel=0.3)  # a pass of another length rounds otherwise
    (a, b), (rounded_a, rounded_b) = ends
    changed = float(((rounded_a - rounded_b) - (a - b)).abs().max()) / float(a.abs().max())
    assert rounded.blur[1] == pytest.approx(changed, rel=0.5)
    assert all(torch.equal(value, before[name]) for name, value in watched.state_dict().items())


def test_what_moves_both_alike_is_noise_and_no_blur_and_what_moves_one_is_both():
    def states(first, second):
        return {
            (k,): LastToken(np.array([values], dtype=float), np.log(np.array([0.5, 0.5], np.float32)))
            for k, values in ((1, first), (2, second))
        }

    exact = states([4.0, 1.0], [4.0, 2.0])
    for moved, noise, blur in (
        (states([4.0, 1.5], [4.0, 2.5]), 0.125, 0),
        (states([4.0, 1.0], [4.0, 2.5]), 0.0625, 0.125),
    ):
        curve = curve_of_pairs(family(), "bfloat16", (1,), [[([1], [2])]], exact, moved, 1)
        assert (curve.noise[0], curve.blur[0]) == (noise, blur)
        assert curve.signal_over_noise[0] == 0.25 / noise and curve.signal_over_blur[0] == (
            0.25 / blur if blur else np.inf
        )


def test_against_float64_float32_has_a_noise_of_its_own_far_below_that_of_coarser_types():
    watched = model("llama")
    fine, single, half = collapse_curves(
        watched, letters(), SHORT, lengths=(3, 9), dtypes=("float64", "float32", "float16")
    )
    assert (fine.blur == 0).all() and (single.blur > 0).all() and (single.blur * 100 < half.blur).all()
    np.testing.assert_allclose(fine.relative_distance, single.relative_distance, rtol=1e-4)
    assert next(watched.parameters()).dtype == torch.float32


def test_around_takes_the_mean_over_neighbouring_lengths_of_sizes_and_asks_all_of_them_for_what_is_the_same():
    watched, tokenizer = model("llama"), letters()
    single = collapse_curves(watched, tokenizer, [family()], lengths=(4, 5, 6), dtypes=("float32", "bfloat16"))
    averaged = collapse_curves(
        watched, tokenizer, [family()], lengths=(4,), dtypes=("float32", "bfloat16"), neighbours=3
    )
    for mean, neighbours in zip(averaged, single, strict=True):
        for name in ("relative_distance", "linf", "head_distances", "total_variation", "noise", "blur"):
            np.testing.assert_allclose(
                getattr(mean, name)[0], getattr(neighbours, name).mean(0), rtol=1e-3, atol=1e-6, err_msg=name
            )
        assert (
            mean.lengths == (4,)
            and mean.token_counts == (5,)
            and mean.same_next_token[0] == neighbours.same_next_token.all()
        )
    np.testing.assert_allclose(
        averaged[1].signal_over_blur, single[0].relative_distance.mean() / single[1].blur.mean(), rtol=1e-3
    )


def test_where_nothing_passes_between_positions_two_counts_are_one_vector_and_give_one_answer():
    watched = model("llama")
    with tapped(watched, blind=True):
        (curve,) = collapse_curves(watched, letters(), SHORT, lengths=(1, 5), dtypes=("float32",))
    assert (
        (curve.linf == 0).all()
        and curve.same_vector.all()
        and curve.same_next_token.all()
        and (curve.total_variation == 0).all()
    )


def test_two_vectors_are_the_same_where_the_type_itself_computes_one_and_all_of_their_difference_is_blur():
    def states(second):
        return {
            (k,): LastToken(np.array([values]), np.zeros(2, np.float32)) for k, values in ((1, [1.0, 2.0]), (2, second))
        }

    exact, merged = states([1.5, 2.0]), states([1.0, 2.0])
    own, rounded = (
        curve_of_pairs(family(), "bfloat16", (1,), [[([1], [2])]], exact, computed, 1) for computed in (exact, merged)
    )
    assert (
        not own.same_vector[0]
        and rounded.same_vector[0]
        and rounded.relative_distance[0] == 0
        and rounded.signal_over_blur[0] == 1
    )


# families


def plain(tokenizer, ids):
    return "".join(tokenizer.convert_ids_to_tokens(ids)).replace("<s>", "^")


@pytest.mark.parametrize(
    ("name", "n", "first", "second"),
    [
        ("ones", 3, "^111", "^1111"),
        ("copy ones", 2, f"^{COPY_PROMPT}11", f"^{COPY_PROMPT}111"),
        ("copy with commas", 3, f"^{COPY_PROMPT}111", f"^{COPY_PROMPT}111,1"),
        ("copy with commas", 7, f"^{COPY_PROMPT}111,111,1", f"^{COPY_PROMPT}111,111,11"),
        ("same phase", 3, f"^{COPY_PROMPT}111", f"^{COPY_PROMPT}111111"),
        ("same phase with commas", 6, f"^{COPY_PROMPT}111,111", f"^{COPY_PROMPT}111,111,111"),
    ],
)
def test_families_are_what_they_say(name, n, first, second):
    tokenizer = letters()
    pair = FAMILIES[name].build_pair(Symbols.from_tokenizer(tokenizer), n, 0)
    assert tuple(plain(tokenizer, ids) for ids in pair) == (first, second)


def test_the_digits_of_the_control_are_random_end_in_one_and_two_ones_and_depend_on_seed_and_length_alone():
    symbols, tokenizer = Symbols.from_tokenizer(letters()), letters()
    first, second = FAMILIES["digits"].build_pair(symbols, 40, 3)
    assert second == [*first, symbols.digit_ids[1]] and plain(tokenizer, second).endswith("11")
    assert len(set(plain(tokenizer, first)[-40:])) > 5
    assert (
        FAMILIES["digits"].build_pair(symbols, 40, 3)
        == (first, second)
        != FAMILIES["digits"].build_pair(symbols, 40, 4)
    )


def test_commas_stand_between_groups_and_none_at_the_end():
    symbols = Symbols.from_tokenizer(letters())
    one_id, comma_id = symbols.digit_ids[1], symbols.comma_id
    assert (
        with_commas(symbols, [one_id] * 6, 3) == [one_id, one_id, one_id, comma_id, one_id, one_id, one_id]
        and with_commas(symbols, [one_id] * 2, 0) == [one_id] * 2
    )


@pytest.mark.parametrize("n", [6, 7, 8])
def test_pairs_of_the_same_phase_end_alike_in_a_group_at_every_length(n):
    tokenizer = letters()
    first, second = (
        plain(tokenizer, ids)
        for ids in repetition_family("groups", "", step=3, group=3).build_pair(Symbols.from_tokenizer(tokenizer), n, 0)
    )
    assert len(first.rsplit(",", 1)[1]) == len(second.rsplit(",", 1)[1]) and second.count(",") == first.count(",") + 1


# symbols


def test_where_a_tokenizer_merges_ones_a_sequence_is_still_n_tokens_and_that_is_said():
    merging, apart = letters(merges=[("1", "1"), ("11", "1")]), letters()
    assert len(merging("1" * 12, add_special_tokens=False)["input_ids"]) < 12
    symbols = Symbols.from_tokenizer(merging)
    assert "merges" in symbols.note and not Symbols.from_tokenizer(apart).note
    assert len(symbols.number_ids("1111")) == 4 and len(set(symbols.number_ids("1111"))) == 1
    (curve,) = collapse_curves(model("llama"), merging, SHORT, lengths=(5,), dtypes=("float32",))
    assert curve.token_counts == (6,)


def test_a_model_without_a_first_token_begins_with_the_sequence():
    symbols = Symbols.from_tokenizer(letters(bos=False))
    assert symbols.prompt_ids("") == [] and symbols.number_ids("10") == [symbols.digit_ids[1], symbols.digit_ids[0]]


def test_what_cannot_be_measured_is_refused_in_a_sentence():
    watched, tokenizer = model("llama"), letters()
    for arguments, message in (
        ({"dtypes": ("float8",)}, "dtypes: 'float8'"),
        ({"lengths": ()}, "lengths:"),
        ({"lengths": (0, 4)}, "lengths:"),
        ({"lengths": (8, 4)}, "ascending"),
        ({"neighbours": 0}, "neighbours: 0"),
    ):
        with pytest.raises(BadInput, match=message):
            collapse_curves(watched, tokenizer, SHORT, **arguments)
    with pytest.raises(BadInput, match="model: bfloat16 is not allowed"):
        collapse_curves(copy.deepcopy(watched).bfloat16(), tokenizer, SHORT)
    with pytest.raises(BadInput, match=r"tokenizer\.json"):
        collapse_curves(watched, None, SHORT)
    with pytest.raises(BadInput, match="no single token for '7'"):
        Symbols.from_tokenizer(letters(symbols="012345689,"))
    with pytest.raises(BadInput, match="sequence: 'x'"):
        Symbols.from_tokenizer(tokenizer).number_ids("1x")


# a pretrained model: the fact sheet's own measurements


def test_a_pretrained_model_s_distances_are_those_measured_before(smollm2):
    expected = {
        "ones": (1.6e-2, 1.2e-2),
        "count ones": (5.9e-2, 2.9e-2),
        "copy ones": (5.2e-2, 1.9e-2),
        "copy with commas": (2.2e-1, 1.9e-1),
    }
    curves = collapse_curves(
        smollm2.model, smollm2.tokenizer, [FAMILIES[name] for name in expected], lengths=(8, 32), dtypes=("float32",)
    )
    for curve in curves:
        np.testing.assert_allclose(curve.relative_distance, expected[curve.family], rtol=0.05, err_msg=curve.family)
    phase = collapse_curves(
        smollm2.model,
        smollm2.tokenizer,
        [FAMILIES["same phase"], FAMILIES["same phase with commas"]],
        lengths=(9, 33),
        dtypes=("float32",),
    )
    for curve, values in zip(phase, ((4.7e-2, 3.3e-2), (2.7e-2, 2.2e-2)), strict=True):
        np.testing.assert_allclose(curve.relative_distance, values, rtol=0.05, err_msg=curve.family)
