"""The families of mixtures that one network learns (arXiv 2002.06038, appendix A) and the ladder of actors' random actions (Ape-X, as R2D2 uses it).

Mixture i of N is trained on r^e + beta_i r^i with discount gamma_i. Mixture 0 has beta 0 and the longest horizon; the last explores most and looks least far.

    beta_0 = 0,  beta_{N-1} = beta,  else beta_i = beta sigmoid(10 (2i - (N-2)) / (N-2))
    gamma_i = 1 - exp(((N-1-i) ln(1 - maximum) + i ln(1 - minimum)) / (N-1))
    epsilon_i = base^(1 + alpha i / (A-1))

A family of one is the exploring policy alone, the last of its family: beta (the paper says so) and the smallest discount (it does not say; the paper gives the
short horizon to what explores). An agent without a bonus is betas(1, 0) with maximum = minimum. The paper prints j mod (N-1) for the mixture of actor j, by
which the last mixture would never act; j mod N is meant.
"""

import math
from typing import Literal

import numpy as np

from outrange.core.errors import BadInput, brief, unknown

HOW = ("fixed", "uniform")


def betas(count: int, beta: float) -> np.ndarray:
    """beta_i of all mixtures, (count,) float64, rising; (beta,) for a count of 1 and (0, beta) for 2."""
    _at_least_one("mixtures", count)
    if not 0 <= beta < math.inf:
        raise BadInput(f"beta: {brief(beta)} is not allowed; it must be 0 or above")
    between = count - 2
    inner = [beta / (1 + math.exp(-10 * (2 * i - between) / between)) for i in range(1, count - 1)]
    return np.array([beta] if count == 1 else [0.0, *inner, beta], dtype=np.float64)


def gammas(count: int, maximum: float, minimum: float) -> np.ndarray:
    """gamma_i of all mixtures, (count,) float64, from ``maximum`` down to ``minimum``; (minimum,) for a count of 1."""
    _at_least_one("mixtures", count)
    for name, gamma in (("maximum", maximum), ("minimum", minimum)):
        if not 0 <= gamma < 1:
            raise BadInput(f"gamma {name}: {brief(gamma)} is not allowed; it must lie in 0..1, 1 left out")
    if minimum > maximum:
        raise BadInput(
            f"gamma minimum: {brief(minimum)} is not allowed; it must not be above the maximum, {brief(maximum)}"
        )
    if count == 1:
        return np.array([minimum], dtype=np.float64)
    far, near = math.log1p(-maximum), math.log1p(-minimum)
    inner = [-math.expm1(((count - 1 - i) * far + i * near) / (count - 1)) for i in range(1, count - 1)]
    return np.array([maximum, *inner, minimum], dtype=np.float64)  # the ends exactly, without a logarithm's rounding


def epsilons(count: int, base: float = 0.4, alpha: float = 7.0) -> np.ndarray:
    """epsilon_i of all actors, (count,) float64, from ``base`` falling to base^(1 + alpha); (base,) for a count of 1."""
    _at_least_one("actors", count)
    if not 0 <= base <= 1:
        raise BadInput(f"epsilon base: {brief(base)} is not allowed; it must lie in 0..1")
    if not 0 <= alpha < math.inf:
        raise BadInput(f"epsilon alpha: {brief(alpha)} is not allowed; it must be 0 or above")
    return np.array([base ** (1 + alpha * i / max(count - 1, 1)) for i in range(count)], dtype=np.float64)


def assign(
    count_mixtures: int,
    streams: int,
    how: Literal["fixed", "uniform"] = "fixed",
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """The mixture of each actor, (streams,) int64.

    Args:
        count_mixtures: N.
        streams: how many actors.
        how: ``fixed``: actor j keeps mixture j mod N for good; ``uniform``: drawn anew, for those whose episode begins (as the Agent57 paper tells it).
        rng: draws; needed by ``uniform``, untouched by ``fixed``.
    """
    _at_least_one("mixtures", count_mixtures)
    _at_least_one("streams", streams)
    if how not in HOW:
        raise unknown("assign", how, HOW, "a way to give actors their mixtures")
    if how == "fixed":
        return np.arange(streams, dtype=np.int64) % count_mixtures
    if rng is None:
        raise BadInput("assign: 'uniform' is not allowed without a random generator; give rng")
    return rng.integers(count_mixtures, size=streams, dtype=np.int64)


def _at_least_one(field: str, count: int) -> None:
    if count < 1:
        raise BadInput(f"{field}: {brief(count)} is not allowed; it must be at least 1")
