"""Bounds of numbers: what is inside comes back, what is not is refused in one sentence."""

import math

import numpy as np
import pytest

from outrange.core.checks import finite, require, whole, within
from outrange.core.errors import BadInput


def refusal(check, *arguments, **options) -> str:
    with pytest.raises(BadInput) as refused:
        check(*arguments, **options)
    return str(refused.value)


@pytest.mark.parametrize("value", [3, np.int16(3), np.uint64(3)])
def test_a_whole_number_comes_back_as_an_int_whatever_type_of_integer_it_was(value):
    number = whole("count", value, 1, 3)
    assert number == 3 and type(number) is int


@pytest.mark.parametrize("value", [True, np.True_, 2.0, "2", None, [2], math.nan])
def test_what_is_not_a_whole_number_is_none(value):
    assert (
        refusal(whole, "count", value, 1) == f"count: {value!r} is not allowed; it must be a whole number, at least 1"
    )


def test_a_whole_number_out_of_bounds_is_told_its_bounds():
    assert refusal(whole, "count", 0, 1) == "count: 0 is not allowed; it must be at least 1"
    assert refusal(whole, "seed", -1, 0, 4096) == "seed: -1 is not allowed; it must be a whole number from 0 to 4,096"
    assert refusal(whole, "seed", 10**30, 0, 4096).startswith("seed: 1000000000000000000000000000000 is not allowed")
    assert whole("seed", 10**30, 0) == 10**30


def test_an_even_number_is_refused_where_an_odd_one_is_needed():
    assert whole("size", 21, 5, 201, odd=True) == 21
    assert refusal(whole, "size", 20, 5, 201, odd=True) == (
        "size: 20 is not allowed; it must be an odd number from 5 to 201"
    )
    assert refusal(whole, "size", 20, 5, odd=True) == "size: 20 is not allowed; it must be an odd number, at least 5"


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.5), np.float64(1)])
def test_bounds_themselves_are_allowed(value):
    within("gamma", value, 0, 1, "between 0 and 1")


@pytest.mark.parametrize("value", [-1e-9, 1.0000001, math.nan, math.inf, "0.5", None, True])
def test_a_number_outside_its_bounds_is_refused_in_the_words_given(value):
    words = refusal(within, "gamma", value, 0, 1, "between 0 and 1")
    assert words == f"gamma: {value!r} is not allowed; it must be between 0 and 1"


def test_infinity_is_refused_even_without_an_upper_bound():
    within("clip", 1e300, 0, math.inf, "0 or above")
    assert refusal(within, "clip", math.inf, 0, math.inf, "0 or above") == (
        "clip: inf is not allowed; it must be 0 or above"
    )


def test_a_finite_number_lies_above_its_bound_which_itself_is_not_allowed():
    number = finite("rate", np.float32(0.5), above=0)
    assert number == 0.5 and type(number) is float
    assert finite("shift", -3) == -3.0
    assert refusal(finite, "rate", 0, above=0) == "rate: 0 is not allowed; it must be a finite number above 0"
    for value in (math.nan, math.inf, -math.inf, True, "1", None):
        assert refusal(finite, "shift", value) == f"shift: {value!r} is not allowed; it must be a finite number"


def test_a_requirement_of_ones_own_is_refused_in_the_same_words_and_long_values_are_cut():
    require(True, "pair", (1, 2), "in order")
    assert refusal(require, False, "pair", (2, 1), "in order") == "pair: (2, 1) is not allowed; it must be in order"
    assert len(refusal(require, False, "pair", "x" * 10_000, "in order")) < 120


def test_a_number_above_its_upper_bound_is_told_that_bound():
    assert refusal(within, "size", 1e7, 0, 1e6, "not negative").endswith("it must be at most 1,000,000.0")
    assert refusal(within, "size", -1, 0, 1e6, "not negative").endswith("it must be not negative")
    assert refusal(within, "share", 2, 0, 1, "between 0 and 1").endswith("it must be between 0 and 1")
