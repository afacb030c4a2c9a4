"""The life-long factor: the error of random network distillation, normalised (Never Give Up, arXiv 2002.06038, section
3.4 and the equation of r^i).

    error    = |predictor(x) - target(x)|^2                                             RND
    alpha    = 1 + (error - mean) / deviation, of all errors so far                     Moments
    r^i      = episodic bonus x min(max(alpha, 1), L)                                   combine

As a bonus of its own it is alpha, cut to 0..L.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from outrange.core.checks import require
from outrange.core.errors import BadInput
from outrange.core.seeding import SeedTree
from outrange.exploration.config import TrainConfig
from outrange.exploration.learning.encoders import Encoder, encoder
from outrange.exploration.learning.modules import copied, device_of, prefixed, seeded, unprefixed
from outrange.exploration.learning.optimizer import Optimizer
from outrange.exploration.learning.transitions import Transitions
from outrange.exploration.novelty import State, Weights
from outrange.exploration.novelty.kernel import fill
from outrange.exploration.spec import Spec


class RND(nn.Module):
    """Random network distillation: a fixed random network and one that learns to predict it."""

    def __init__(self, make: Callable[[], Encoder]) -> None:
        super().__init__()
        self.target, self.predictor = make(), make()
        self.target.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """The squared error of the prediction, a number each observation."""
        return (self.predictor(x) - self.target(x)).square().sum(-1)


class Moments:
    """Running mean and standard deviation of all values so far (Welford's method, a batch at a time)."""

    def __init__(self) -> None:
        self._count, self._mean, self._squares = np.zeros(1, np.int64), np.zeros(1), np.zeros(1)

    @property
    def count(self) -> int:
        """How many values were taken in."""
        return int(self._count[0])

    @property
    def mean(self) -> float:
        """Their mean; 0 before the first."""
        return float(self._mean[0])

    @property
    def std(self) -> float:
        """Their standard deviation, divided by the count; 0 before the second."""
        return math.sqrt(self._squares[0] / max(self._count[0], 1))

    def update(self, values: np.ndarray, mask: np.ndarray | None = None) -> None:
        """Take in values (B,), those in the mask (B,) bool.

        Raises:
            BadInput: a value that counts is not finite; nothing was taken in.
        """
        counted = np.asarray(values, np.float64) if mask is None else np.asarray(values, np.float64)[mask]
        if not counted.size:
            return
        if not np.isfinite(counted).all():
            raise BadInput("error of the random network distillation: a value is not finite; its network is broken")
        # two sets of values become one: their squared deviations add up, and the gap between their means adds the rest
        mean, before, total = counted.mean(), self.count, self.count + counted.size
        gap = mean - self.mean
        self._squares += ((counted - mean) ** 2).sum() + gap * gap * before * counted.size / total
        self._mean += gap * counted.size / total
        self._count += counted.size

    def factor(self, error: np.ndarray) -> np.ndarray:
        """alpha = 1 + (error - mean) / deviation, of the shape of ``error``, float64, not yet clipped; 1 where all
        errors so far are equal but for rounding."""
        error = np.asarray(error, np.float64)
        if self.std <= np.finfo(np.float32).eps * abs(self.mean):  # errors come in float32
            return np.ones_like(error)
        return 1 + (error - self.mean) / self.std

    def state_dict(self) -> State:
        """All that ``load_state_dict`` needs."""
        return {"count": self._count.copy(), "mean": self._mean.copy(), "squares": self._squares.copy()}

    def load_state_dict(self, state: State) -> None:
        """Go on from ``state_dict``."""
        fill("moments", {"count": self._count, "mean": self._mean, "squares": self._squares}, state)


def combine(episodic: np.ndarray, alpha: np.ndarray, max_factor: float = 5.0) -> np.ndarray:
    """r^i = episodic bonus times alpha, clipped to 1..L: the life-long factor only amplifies. ``max_factor`` is L; 1
    switches the factor off."""
    require(1 <= max_factor < math.inf, "L", max_factor, "at least 1")
    return episodic * np.clip(alpha, 1.0, max_factor)


class LifelongNovelty:
    """The half that an actor has. The networks are the learner's own, always the newest; the moments of their errors
    are gathered here.

    ``reward`` is alpha, cut to 0..L; ``factor`` is alpha itself.
    """

    def __init__(self, count: int, rnd: RND, device: torch.device, max_factor: float) -> None:
        self.count, self.rnd, self.device, self.max_factor = count, rnd, device, max_factor
        self.moments = Moments()

    def begin(self, observation: np.ndarray, started: np.ndarray, rewarded: bool) -> np.ndarray:
        return self.reward(observation, started) if rewarded else np.zeros(self.count, np.float32)

    def reward(self, observation: np.ndarray, valid: np.ndarray) -> np.ndarray:
        if not valid.any():
            return np.zeros(self.count, np.float32)
        factor = np.clip(self.factor(observation, valid), 0, self.max_factor)
        return np.where(valid, factor, 0).astype(np.float32)

    @torch.inference_mode()
    def factor(self, observation: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """alpha of observations (B, *shape), (B,) float64; the errors of those that are ``valid`` (B,) are taken in
        first."""
        error = self.rnd(torch.from_numpy(observation).to(self.device)).cpu().numpy()
        self.moments.update(error, valid)
        return self.moments.factor(error)

    def refresh(self, weights: Weights) -> None:
        """The networks are the learner's own."""

    def restart(self) -> None:
        """Nothing is remembered of episodes."""

    def embed(self, observation: np.ndarray) -> np.ndarray:
        return np.zeros((len(observation), 0), np.float32)

    def metrics(self) -> dict[str, float]:
        return {}

    def state_dict(self, streams: bool = True) -> State:
        return prefixed("moments.", self.moments.state_dict())

    def load_state_dict(self, state: State) -> None:
        self.moments.load_state_dict(unprefixed("moments.", state))


class Lifelong:
    """The learner's half: the two networks."""

    warms_up = False

    def __init__(self, config: TrainConfig, spec: Spec, seeds: SeedTree) -> None:
        bonus, self.device = config.bonus, device_of(config.device)
        self.max_factor = bonus.max_factor

        def network() -> RND:
            return RND(lambda: encoder(spec, bonus.encoder, bonus.rnd_size, "bonus.encoder")).to(self.device)

        self.rnd = seeded(seeds.child("rnd"), network)
        self.optimizer = Optimizer(
            self.rnd, bonus.rnd_learning_rate, bonus.adam_epsilon, max_grad_norm=config.learner.max_grad_norm
        )

    def novelty(self, count: int) -> LifelongNovelty:
        return LifelongNovelty(count, self.rnd, self.device, self.max_factor)

    def learn(self, transitions: Transitions) -> dict[str, float]:
        # trained on the observations that steps lead to
        error = self.rnd(transitions.observations[transitions.after]).mean()
        loss, _ = self.optimizer.update(error, "the loss of RND")
        return {"rnd_loss": loss}

    def weights(self) -> Weights:
        return {}

    def modules(self) -> dict[str, nn.Module]:
        return {"rnd": self.rnd}

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        return {
            "policy": prefixed("rnd.", copied(self.rnd)),
            "learner": prefixed("rnd_optimizer.", self.optimizer.state_dict()),
        }

    def load_state_dict(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.rnd.load_state_dict(unprefixed("rnd.", groups["policy"]))
        if "learner" in groups:
            self.optimizer.load_state_dict(unprefixed("rnd_optimizer.", groups["learner"]))
