"""Families of mixtures: the numbers of the paper's formulas, families of one and two, ladders, who gets which."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outrange.core.errors import BadInput
from outrange.exploration.acting.behaviour import epsilons
from outrange.exploration.acting.mixtures import Uniform, round_robin
from outrange.exploration.learning.family import betas, gammas


def test_the_betas_of_thirty_two_mixtures_are_the_papers():
    b = betas(32, 0.3)
    assert b.shape == (32,) and b[0] == 0 and b[31] == 0.3
    assert (
        b[1] == pytest.approx(0.3 / (1 + math.exp(28 / 3)), rel=1e-12) == pytest.approx(2.7e-5, rel=0.03)
    )  # 0.3 sigmoid(-9.33)
    assert b[15] == pytest.approx(0.15, rel=1e-12)
    assert b[29] == pytest.approx(0.29997, abs=1e-5) and b[30] == pytest.approx(0.3 / (1 + math.exp(-10)), rel=1e-12)


def test_the_gammas_of_thirty_two_mixtures_are_the_papers():
    g = gammas(32, 0.997, 0.99)
    assert g.shape == (32,) and g[0] == 0.997 and g[31] == 0.99
    ratios = (1 - g[1:]) / (1 - g[:-1])
    assert ratios == pytest.approx(np.full(31, (0.01 / 0.003) ** (1 / 31)), rel=1e-9)  # evenly spaced in ln(1 - gamma)


def test_families_of_one_and_two():
    assert betas(1, 0.3).tolist() == [0.3] and gammas(1, 0.997, 0.99).tolist() == [0.99]
    assert betas(2, 0.3).tolist() == [0.0, 0.3] and gammas(2, 0.997, 0.99).tolist() == [0.997, 0.99]
    assert betas(3, 0.3).tolist() == pytest.approx(
        [0.0, 0.3 / (1 + math.exp(-10)), 0.3]
    )  # as printed, the middle one is no compromise
    assert all(a.dtype == np.float64 for a in (betas(1, 0), betas(2, 0), gammas(1, 0, 0), epsilons(1)))


@given(st.integers(2, 70), st.floats(0, 10), st.floats(0, 0.9999), st.floats(0, 0.9999))
@settings(deadline=None)
def test_betas_rise_and_gammas_fall_between_their_ends(count, beta, one, other):
    b, g = betas(count, beta), gammas(count, max(one, other), min(one, other))
    assert b[0] == 0 and b[-1] == beta and (np.diff(b) >= 0).all()
    assert g[0] == max(one, other) and g[-1] == min(one, other) and (np.diff(g) <= 1e-15).all()


def test_the_ladder_of_actors_is_that_of_ape_x():
    e = epsilons(256)
    assert e[0] == pytest.approx(0.4) and e[-1] == pytest.approx(0.4**8) == pytest.approx(0.00066, abs=1e-5)
    assert e[51] == pytest.approx(0.4 ** (1 + 7 * 51 / 255))
    assert epsilons(1).tolist() == [0.4] and epsilons(3, base=0.05, alpha=1.5).tolist() == pytest.approx(
        [0.05, 0.05**1.75, 0.05**2.5]
    )
    assert epsilons(4, base=0.0).tolist() == [0.0] * 4


def test_actors_keep_their_mixture_or_draw_it():
    assert round_robin(3, 8).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert set(round_robin(32, 256).tolist()) == set(range(32))  # also the last
    drawn = Uniform(3, 3000, np.random.default_rng(0)).mixture
    assert np.bincount(drawn, minlength=3) / 3000 == pytest.approx([1 / 3] * 3, abs=0.03)
    assert drawn.tolist() == Uniform(3, 3000, np.random.default_rng(0)).mixture.tolist()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: betas(0, 0.3),
        lambda: betas(2, -0.1),
        lambda: betas(2, math.nan),
        lambda: gammas(0, 0.9, 0.9),
        lambda: gammas(2, 1.0, 0.9),
        lambda: gammas(2, 0.9, 0.99),
        lambda: gammas(2, 0.9, -0.1),
        lambda: epsilons(0),
        lambda: epsilons(2, base=1.1),
        lambda: epsilons(2, alpha=-1),
        lambda: round_robin(0, 4),
        lambda: round_robin(4, 0),
        lambda: Uniform(0, 4, np.random.default_rng(0)),
        lambda: Uniform(4, 0, np.random.default_rng(0)),
    ],
)
def test_what_is_not_allowed_is_said(wrong):
    with pytest.raises(BadInput, match=r"is not (allowed|a way)"):
        wrong()
