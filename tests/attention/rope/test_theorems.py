"""The statements about rotary positions: closed forms, numbers worked out by hand, what was measured before, what is refused."""

import math

import pytest
import torch

from outrange.attention.rope.angles import channel_frequencies, exact_phase, one_minus_cos
from outrange.attention.rope.theorems import (
    DTYPES,
    angle_error,
    any_choice,
    constant_attention,
    encoding,
    first_exact_return,
    first_wrong_position,
    gaussian_attention,
    largest_gap,
    maximal_attention,
    near_returns,
    nope_head,
    norm_needed,
    positional_head,
    repeated_draw,
    robust_length,
    slow_channel,
)
from outrange.core.errors import BadInput

SLOWEST = 1e4 ** (-62 / 64)  # of d = 64, theta = 10,000


# Proposition 3.1


@pytest.mark.parametrize("distance", [0, 1, 7, 500, 3000])
def test_the_key_made_for_a_distance_is_largest_there(distance):
    one = maximal_attention(distance=distance)
    assert (one["argmax"], one["ties"]) == (distance, 1)
    assert one["peak"] == pytest.approx(1, abs=1e-12)
    assert one["runner_up"] == pytest.approx(0.951, abs=0.04)  # the neighbour; 0.951 for one Gaussian q


def test_one_channel_by_hand_gives_the_cosine_of_the_distance_from_the_chosen_one():
    one = maximal_attention(2, 1e4, distance=5, length=20)
    assert one["runner_up"] == pytest.approx(math.cos(6), abs=1e-12)  # nearer to a turn than the neighbours, cos(1)


def test_without_rotation_no_distance_is_largest():
    one = maximal_attention(share=0.0)
    assert one["ties"] == 4096
    assert one["runner_up"] == one["peak"] == pytest.approx(1)


def test_slow_frequencies_alone_leave_a_margin_that_float32_cannot_see():
    fine, coarse = (maximal_attention(slowest=4, dtype=dtype) for dtype in ("float64", "float32"))
    assert fine["argmax"] == 500 and fine["ties"] == 1
    assert 1e-9 < 1 - fine["runner_up"] < 1e-7
    assert coarse["ties"] > 1


def test_angles_held_in_bfloat16_lose_the_chosen_distance():
    assert maximal_attention(dtype="bfloat16")["argmax"] == 500
    assert maximal_attention(dtype="bfloat16", angle_dtype="bfloat16")["argmax"] != 500


# Proposition 3.2 and the curves beside it


def test_gaussian_logits_have_mean_zero_and_the_same_spread_everywhere():
    one = gaussian_attention()
    assert one["worst_errors"] < 4 and one["worst_mean"] < 4 * 8 / math.sqrt(20_000) * 1.03
    assert 0.98 < one["std_low"] <= one["std_high"] < 1.02


def test_constant_vectors_decay_as_measured_before():
    found = list(constant_attention().values())[:-1]
    assert found == pytest.approx([1, 0.966, 0.748, 0.605, 0.435, 0.354, 0.263, 0.003], abs=6e-4)


def test_constant_vectors_with_one_and_two_channels_by_hand():
    assert constant_attention(2, 1e4, (0, 1, 3), 8)["at_3"] == pytest.approx(math.cos(3))
    assert constant_attention(4, 1e4, (2,), 8)["at_2"] == pytest.approx((math.cos(2) + math.cos(0.02)) / 2)


def test_a_repeated_draw_does_not_decay_where_constant_vectors_do():
    one = repeated_draw(draws=40)
    assert one["constant"] < 0.5 < 0.8 < one["median"] < 1.25


# Lemmas A.1 and A.2


def test_the_near_returns_of_one_radian():
    found = near_returns(1.0, 1000, 6)
    assert [one.distance for one in found] == [710, 333, 377, 666, 44, 754]
    assert found[0].one_minus_cos == pytest.approx(1.8e-9, rel=0.02)
    assert found[4].phase == pytest.approx(44 - 14 * math.pi)
    assert exact_phase(355, 1.0) == pytest.approx(-math.pi, abs=1e-4) or exact_phase(355, 1.0) == pytest.approx(
        math.pi, abs=1e-4
    )


def test_a_slow_frequency_is_nearest_to_its_start_at_its_neighbours():
    found = near_returns(1e-4, 512, 3)
    assert [one.distance for one in found] == [1, 2, 3]
    assert found[0].one_minus_cos == pytest.approx(5e-9)


def test_near_returns_over_many_chunks_are_those_of_the_continued_fraction_of_pi():
    assert [one.distance for one in near_returns(1.0, 3_000_000, 1)] == [2_292_816]  # pi is nearly 1146408 / 364913


def test_fewer_distances_than_asked_for_are_all_given():
    assert sorted(one.distance for one in near_returns(0.5, 4, 10)) == [1, 2, 3]


def test_the_exact_phase_agrees_with_the_fraction_it_stands_for():
    assert exact_phase(0, 1.0) == 0.0
    assert exact_phase(7, 0.25) == 1.75
    assert exact_phase(10**12, 1.0) == pytest.approx(math.atan2(math.sin(10**12), math.cos(10**12)), abs=1e-12)
    assert one_minus_cos(exact_phase(710, 1.0)) == pytest.approx(1.817e-9, rel=1e-3)


def test_the_first_cosine_that_is_one_is_at_44_in_half_precision_and_at_710_in_single():
    for dtype, distance in (("bfloat16", 44), ("float16", 44), ("float32", 710), ("float64", math.inf)):
        assert first_exact_return(1.0, 10_000, dtype) == {"observed": distance, "predicted": distance}
    assert float(torch.tensor(710.0).cos()) == 1.0


def test_gaps_of_short_rotations_by_hand():
    assert largest_gap(1.0, 1) == pytest.approx(2 * math.pi)
    assert largest_gap(1.0, 2) == pytest.approx(2 * math.pi - 1)
    assert largest_gap(math.pi / 2, 4) == pytest.approx(math.pi / 2)
    assert largest_gap(math.pi / 2, 1000) == pytest.approx(math.pi / 2)  # a rational turn never fills the circle
    assert largest_gap(0.0, 1000) == pytest.approx(2 * math.pi)


def test_the_largest_gap_shrinks_for_an_irrational_turn_but_not_in_low_precision():
    assert [largest_gap(1.0, n) < bound for n, bound in ((100, 0.14), (1000, 0.009), (100_000, 0.0005))] == [True] * 3
    assert largest_gap(1.0, 100_000, "bfloat16") > 0.01
    assert largest_gap(1.0, 100_000, "float16") == math.inf


# Proposition 5.2


def test_a_nope_head_cannot_tell_equal_tokens_apart():
    one = nope_head()
    assert one["difference"] < 1e-15 and one["formula"] < 1e-15
    assert 0.4 < one["largest"] < 0.5


def test_a_rotary_head_can():
    one = nope_head(share=1.0)
    assert one["difference"] > 0.1 and one["largest"] > 0.5


# Theorem 5.3


@pytest.mark.parametrize(
    ("norm", "diagonal", "previous", "tolerance"),
    [(10, 0.25, 0.21, 0.005), (100, 0.967, 0.937, 6e-4), (1e4, 1, 1, 1e-12)],
)
def test_positional_heads_of_all_frequencies_weigh_their_target_as_measured_before(norm, diagonal, previous, tolerance):
    assert positional_head(norm, 0)["worst"] == pytest.approx(diagonal, abs=tolerance)
    assert positional_head(norm, 1)["worst"] == pytest.approx(previous, abs=tolerance)


def test_one_frequency_alone_is_not_sharp_over_512_tokens():
    assert positional_head(1e4, frequency=1.0)["worst"] == pytest.approx(0.38, abs=0.005)
    assert positional_head(1e4, frequency=1e-4)["worst"] == pytest.approx(0.008, abs=5e-4)


def test_a_head_of_two_tokens_by_hand():
    one = positional_head(3.0, 0, frequency=math.pi / 2, length=2)
    assert one["worst"] == pytest.approx(1 / (1 + math.exp(-3)))
    assert one["mean"] == pytest.approx((1 + 1 / (1 + math.exp(-3))) / 2)
    assert positional_head(3.0, 1, frequency=math.pi / 2, length=2)["worst"] == pytest.approx(1 / (1 + math.exp(-3)))


def test_any_distance_can_be_the_target_and_only_the_last_rows_are_looked_at():
    assert positional_head(1e3, 37, length=2048, rows=16) == pytest.approx({"worst": 1, "mean": 1, "right": 1})


def test_without_rotation_attention_is_uniform():
    one = positional_head(1e4, 0, share=0.0, length=100, rows=1)
    assert one["worst"] == pytest.approx(0.01)
    assert one["right"] == 0


def test_the_norm_needed_is_what_gives_the_weight():
    for one in ([1.0], channel_frequencies(64, 1e4).tolist()):
        norm = norm_needed(one, 300, 0.9)
        assert positional_head(norm, frequency=1.0 if len(one) == 1 else None, length=300, rows=1)[
            "worst"
        ] == pytest.approx(0.9, abs=1e-6)


def test_the_norm_needed_by_hand_and_its_extremes():
    assert norm_needed([0.5], 2, 0.9) == pytest.approx(math.log(9) / (1 - math.cos(0.5)))
    assert norm_needed([0.0], 10) == math.inf
    assert norm_needed([1.0], 711) > 1e4 * norm_needed([1.0], 710)  # 710 tokens reach distance 709 only
    assert norm_needed([1e-4], 512) > 1e8


def test_float16_logits_overflow_where_the_norm_passes_its_largest_number():
    assert positional_head(6e4, dtype="float16")["worst"] == 1
    assert math.isnan(positional_head(1e5, dtype="float16")["worst"])


# Theorem 6.1


def test_a_slow_channel_crosses_where_the_arccosine_says():
    for ratio in (0.9, 0.5, 0.0, -0.5):
        one = slow_channel(SLOWEST, ratio, 25_000)
        assert one["crossing"] == one["predicted"] == math.ceil(math.acos(ratio) / SLOWEST)
        assert one["crossing"] <= math.pi / SLOWEST


def test_there_is_no_crossing_within_a_shorter_context_nor_without_rotation():
    assert slow_channel(SLOWEST, 0.5, int(math.acos(0.5) / SLOWEST))["crossing"] == math.inf
    assert slow_channel(0.0, 0.5, 100_000)["crossing"] == math.inf  # p-RoPE's channel
    assert (
        slow_channel(0.0, 0.999, 100_000, "bfloat16") == {"crossing": math.inf, "predicted": math.inf}
        or float(torch.tensor(0.999).bfloat16()) == 1
    )


def test_a_quarter_turn_a_token_crosses_at_once():
    assert slow_channel(math.pi / 2, 0.5, 4) == {"crossing": 1, "predicted": 1}


def test_no_choice_is_safe_past_half_a_turn_and_the_best_is_safe_before():
    g = 0.01
    enough = math.ceil(math.pi / g) + 1
    for dtype in DTYPES:
        past = any_choice(g, enough, 60, dtype)
        assert past["losing"] == 1 and past["best"] <= 0.5
    before = any_choice(g, int(math.pi / g) - 1, 60)
    assert before["losing"] <= 0.5 and before["best"] > 0.5
    assert any_choice(0.0, enough, 60)["best"] > 0.999


def test_robust_lengths_are_those_measured_before():
    gemma, llama = robust_length(1e4, 256, 1.0), robust_length(5e5, 128, 1.0)
    assert (gemma["quarter_turn"], gemma["full_turn"], llama["quarter_turn"]) == (14_617, 58_469, 639_798)
    assert 128_000 / (2 * math.pi * 1e4) == pytest.approx(2.04, abs=0.005)  # with g rounded to 1 / theta
    assert gemma["tokens"] == 14_617  # the whole margin: up to the change of sign


def test_a_robust_length_is_one_less_than_the_crossing():
    for margin in (0.1, 0.5, 1.0):
        assert robust_length(1e4, 64, margin)["tokens"] == slow_channel(SLOWEST, 1 - margin, 20_000)["crossing"] - 1


def test_robust_lengths_of_other_channels_and_of_p_rope():
    assert robust_length(1e4, 4, 0.5, channel=0) == {
        "frequency": 1.0,
        "tokens": 1,
        "quarter_turn": 1,
        "half_turn": 3,
        "full_turn": 6,
    }
    assert robust_length(1e4, 64, 0.5, share=0.75)["tokens"] == math.inf
    assert robust_length(1e4, 64, 0.5, channel=23, share=0.75)["full_turn"] == math.floor(
        2 * math.pi * 1e4 ** (46 / 64)
    )


# Table 1


def test_only_p_rope_holds_both():
    nope, p_rope, rope = (encoding(share) for share in (0.0, 0.75, 1.0))
    assert max(nope["diagonal"], nope["previous"]) < 0.5 and nope["crossing"] == math.inf
    assert min(rope["diagonal"], rope["previous"]) > 0.99 and rope["crossing"] == 7853
    assert min(p_rope["diagonal"], p_rope["previous"]) > 0.99 and p_rope["crossing"] == math.inf


# What is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: channel_frequencies(63), "head_dim: 63 is not allowed; it must be an even whole number of at least 2"),
        (lambda: channel_frequencies(64, 1.0), "theta: 1.0 is not allowed; it must be a finite number above 1"),
        (lambda: channel_frequencies(64, 1e4, 1.5), "share: 1.5 is not allowed; it must be from 0 to 1"),
        (
            lambda: maximal_attention(distance=4096),
            "distance: 4096 is not allowed; it must be from 0 to 4095, below the length",
        ),
        (lambda: maximal_attention(slowest=33), "slowest: 33 is not allowed; it must be from 0 to 32"),
        (
            lambda: maximal_attention(dtype="float"),
            "dtype: 'float' is not a type that the statements are checked in; did you mean 'float",
        ),
        (lambda: maximal_attention(angle_dtype="int8"), "angle_dtype: 'int8' is not a type"),
        (lambda: maximal_attention(seed=-1), "seed: -1 is not allowed; it must be a whole number from 0"),
        (lambda: gaussian_attention(pairs=1), "pairs: 1 is not allowed; it must be from 2 to 200,000"),
        (lambda: constant_attention(distances=()), "distances: () is not allowed; it must be whole numbers from 0"),
        (lambda: near_returns(0.0, 100), "frequency: 0.0 is not allowed; it must be above 0 and at most pi"),
        (lambda: near_returns(1.0, 1), "length: 1 is not allowed; it must be from 2"),
        (lambda: positional_head(-1.0), "norm: -1.0 is not allowed; it must be a finite number above 0"),
        (lambda: positional_head(float("nan")), "norm: nan is not allowed"),
        (lambda: positional_head(length=1 << 20), "rows: 512 is not allowed; it must be from 1 to 16 at this length"),
        (lambda: norm_needed([1.0], 10, 1.0), "weight: 1.0 is not allowed; it must be above 1 / length and below 1"),
        (lambda: slow_channel(1.0, 1.0), "ratio: 1.0 is not allowed; it must be above -1 and below 1"),
        (lambda: robust_length(1e4, 64, 0.0), "margin: 0.0 is not allowed; it must be above 0 and at most 1"),
        (lambda: robust_length(1e4, 64, 0.5, 32), "channel: 32 is not allowed; it must be from -32 to 31"),
        (
            lambda: first_wrong_position([], "float16"),
            "frequencies: [] is not allowed; it must be numbers from 0 to pi",
        ),
        (lambda: angle_error(-1, 1.0, "float16"), "position: -1 is not allowed; it must be a whole number from 0"),
    ],
)
def test_what_is_not_allowed_is_refused_in_one_sentence(call, message):
    with pytest.raises(BadInput) as refused:
        call()
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)
