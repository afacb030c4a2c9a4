"""Never Give Up's bonus: the episodic one times the life-long factor, r^i = bonus x min(max(alpha, 1), L) (arXiv
2002.06038, section 3.1)."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from outrange.core.seeding import SeedTree
from outrange.exploration.config import TrainConfig
from outrange.exploration.learning.modules import merged
from outrange.exploration.learning.transitions import Transitions
from outrange.exploration.novelty import State, Weights
from outrange.exploration.novelty.episodic import Episodic, EpisodicNovelty
from outrange.exploration.novelty.lifelong import Lifelong, LifelongNovelty, combine
from outrange.exploration.spec import Spec


class ProductNovelty:
    """The half that an actor has."""

    def __init__(self, episodic: EpisodicNovelty, lifelong: LifelongNovelty) -> None:
        self.episodic, self.lifelong = episodic, lifelong

    def begin(self, observation: np.ndarray, started: np.ndarray, rewarded: bool) -> np.ndarray:
        if not rewarded:
            return self.episodic.begin(observation, started, rewarded)
        self.episodic.forget(started)
        return self.reward(observation, started)

    def reward(self, observation: np.ndarray, valid: np.ndarray) -> np.ndarray:
        if not valid.any():
            return np.zeros(len(valid), np.float32)
        factor = self.lifelong.factor(observation, valid)
        bonus = combine(self.episodic.bonus(observation, valid), factor, self.lifelong.max_factor)
        return np.where(valid, bonus, 0).astype(np.float32)

    def refresh(self, weights: Weights) -> None:
        self.episodic.refresh(weights)

    def restart(self) -> None:
        self.episodic.restart()

    def embed(self, observation: np.ndarray) -> np.ndarray:
        return self.episodic.embed(observation)

    def metrics(self) -> dict[str, float]:
        return self.episodic.metrics()

    def state_dict(self, streams: bool = True) -> State:
        return self.episodic.state_dict(streams) | self.lifelong.state_dict(streams)

    def load_state_dict(self, state: State) -> None:
        self.episodic.load_state_dict(state)
        self.lifelong.load_state_dict(state)


class EpisodicTimesLifelong:
    """The learner's half: both of the learners."""

    warms_up = True

    def __init__(self, config: TrainConfig, spec: Spec, seeds: SeedTree) -> None:
        self.episodic, self.lifelong = Episodic(config, spec, seeds), Lifelong(config, spec, seeds)

    def novelty(self, count: int) -> ProductNovelty:
        return ProductNovelty(self.episodic.novelty(count), self.lifelong.novelty(count))

    def learn(self, transitions: Transitions) -> dict[str, float]:
        return self.episodic.learn(transitions) | self.lifelong.learn(transitions)

    def weights(self) -> Weights:
        return self.episodic.weights()

    def modules(self) -> dict[str, nn.Module]:
        return self.episodic.modules() | self.lifelong.modules()

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        return merged(self.episodic.state_dict(), self.lifelong.state_dict())

    def load_state_dict(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.episodic.load_state_dict(groups)
        self.lifelong.load_state_dict(groups)
