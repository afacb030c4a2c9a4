"""The families of mixtures that one network learns (arXiv 2002.06038, appendix A).

Mixture i of N is trained on r^e + beta_i r^i with discount gamma_i. Mixture 0 has beta 0 and the longest horizon; the
last explores most and looks least far.

    beta_0 = 0,  beta_{N-1} = beta,  else beta_i = beta sigmoid(10 (2i - (N-2)) / (N-2))
    gamma_i = 1 - exp(((N-1-i) ln(1 - maximum) + i ln(1 - minimum)) / (N-1))

A family of one is the exploring policy alone, the last of its family: beta (the paper says so) and the smallest
discount (it does not say; the paper gives the short horizon to what explores).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from outrange.core.checks import require, whole
from outrange.core.errors import BadInput, brief


def betas(count: int, beta: float) -> np.ndarray:
    """beta_i of all mixtures, (count,) float64, rising; (beta,) for a count of 1 and (0, beta) for 2."""
    whole("mixtures", count, 1)
    require(0 <= beta < math.inf, "beta", beta, "0 or above")
    # a sigmoid from near 0 to near beta; only the ends are exact
    span = count - 2
    inner = [beta / (1 + math.exp(-10 * (2 * i - span) / span)) for i in range(1, count - 1)]
    return np.array([beta] if count == 1 else [0.0, *inner, beta], dtype=np.float64)


def gammas(count: int, maximum: float, minimum: float) -> np.ndarray:
    """gamma_i of all mixtures, (count,) float64, from ``maximum`` down to ``minimum``; (minimum,) for a count of 1."""
    whole("mixtures", count, 1)
    for name, gamma in (("maximum", maximum), ("minimum", minimum)):
        require(0 <= gamma < 1, f"gamma {name}", gamma, "in 0..1, 1 left out")
    if minimum > maximum:
        allowed = f"it must not be above the maximum, {brief(maximum)}"
        raise BadInput(f"gamma minimum: {brief(minimum)} is not allowed; {allowed}")
    if count == 1:
        return np.array([minimum], dtype=np.float64)
    # evenly spaced in the logarithm of the horizon's inverse, 1 - gamma
    far, near = math.log1p(-maximum), math.log1p(-minimum)
    inner = [-math.expm1(((count - 1 - i) * far + i * near) / (count - 1)) for i in range(1, count - 1)]
    return np.array([maximum, *inner, minimum], dtype=np.float64)  # the ends exactly, without a logarithm's rounding


@dataclass(frozen=True, eq=False)
class Family:
    """N mixtures of reward and bonus, each with its own discount.

    Args:
        beta: (N,) the weight of the bonus in the reward.
        gamma: (N,) the discount.
        non_episodic: (N,) bool, the mixtures whose returns go on into the next episode.
    """

    beta: np.ndarray
    gamma: np.ndarray
    non_episodic: np.ndarray

    @classmethod
    def without_bonus(cls, count: int, gamma: float) -> "Family":
        """Mixtures that are all the same: the reward alone."""
        return cls(np.zeros(count), np.full(count, gamma), np.zeros(count, bool))

    @classmethod
    def never_give_up(
        cls, count: int, beta: float, gamma: float, gamma_explore: float, non_episodic_returns: bool = False
    ) -> "Family":
        """The family of appendix A.

        Args:
            count: N.
            beta: the largest weight of the bonus.
            gamma: the discount of mixture 0.
            gamma_explore: the discount of the last mixture.
            non_episodic_returns: whether returns of mixtures with a bonus go on into the next episode.
        """
        beta_of_mixture = betas(count, beta)
        non_episodic = (beta_of_mixture != 0) & non_episodic_returns
        return cls(beta_of_mixture, gammas(count, gamma, gamma_explore), non_episodic)

    def __len__(self) -> int:
        return len(self.beta)

    def on(self, device: torch.device) -> "TensorFamily":
        """The same in tensors."""
        return TensorFamily(
            torch.tensor(self.beta, dtype=torch.float32, device=device),
            torch.tensor(self.gamma, dtype=torch.float32, device=device),
            torch.tensor(self.non_episodic, device=device),
        )


class TensorFamily:
    """A family on a device: what the rows of sequences (T, B) are rewarded and discounted with."""

    def __init__(self, beta: Tensor, gamma: Tensor, non_episodic: Tensor) -> None:
        self.beta, self.gamma = beta, gamma
        self.non_episodic = non_episodic if bool(non_episodic.any()) else None

    def reward(self, mixture: Tensor, reward: Tensor, bonus: Tensor) -> Tensor:
        """r^e + beta_j r^i."""
        return reward + self.beta[mixture] * bonus

    def discount(self, mixture: Tensor, terminated: Tensor) -> Tensor:
        """gamma_j, or 0 where the action ended the episode and the mixture's returns end with it."""
        if self.non_episodic is not None:  # the row after an end is the next episode's first
            terminated = terminated & ~self.non_episodic[mixture]
        return self.gamma[mixture] * ~terminated
