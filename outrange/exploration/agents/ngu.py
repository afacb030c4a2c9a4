"""Never Give Up (arXiv 2002.06038, section 3): R2D2 that learns a family of mixtures r^e + beta_j r^i.

What r^i is stands in novelty/: the table of agents says which one an agent has. Deviations: a step that ends the
episode earns no bonus where novelty is counted on arrival (``bonus.timing``); before learning, the embedding may be
warmed up on uniformly random actions, without which a nearly deterministic policy teaches it nothing.
"""

from collections.abc import Callable, Mapping

import numpy as np
from torch import Tensor, nn

from outrange.core.seeding import SeedTree
from outrange.exploration.agents.r2d2 import R2D2
from outrange.exploration.config import TrainConfig
from outrange.exploration.learning.family import Family
from outrange.exploration.learning.modules import merged
from outrange.exploration.learning.replay import Sequences
from outrange.exploration.learning.transitions import last_transitions
from outrange.exploration.novelty import Novelty, NoveltyLearner, Weights
from outrange.exploration.spec import Spec


class NGU(R2D2):
    """R2D2 with a bonus and a family of mixtures.

    Args:
        config, spec, seeds: as of ``R2D2``.
        make_bonus: makes the trained half of the bonus, from the same.
    """

    def __init__(
        self,
        config: TrainConfig,
        spec: Spec,
        seeds: SeedTree,
        make_bonus: Callable[[TrainConfig, Spec, SeedTree], NoveltyLearner],
    ) -> None:
        super().__init__(config, spec, seeds, family_of(config))
        self.bonus = make_bonus(config, spec, seeds)
        self.warms_up = self.bonus.warms_up

    def learn(self, sequences: Sequences) -> tuple[np.ndarray, dict[str, float]]:
        """One update of everything: Q on the sequences, the bonus on their last steps."""
        priority, metrics = super().learn(sequences)
        return priority, metrics | self.learn_novelty(sequences, self.config.bonus.training_steps)

    def learn_novelty(self, sequences: Sequences, steps: int) -> dict[str, float]:
        """One update of the bonus from the last ``steps`` steps of each sequence; nothing if none of them leads
        anywhere."""
        transitions = last_transitions(sequences, steps, self.device)
        return {} if transitions is None else self.bonus.learn(transitions)

    def warm_up(self, sequences: Sequences) -> dict[str, float]:
        """One update of the bonus from all steps of the sequences."""
        return self.learn_novelty(sequences, self.config.replay.trace_length)

    def novelty(self, count: int) -> Novelty:
        return self.bonus.novelty(count)

    def novelty_weights(self) -> Weights:
        return self.bonus.weights()

    def acting_modules(self) -> dict[str, nn.Module]:
        return super().acting_modules() | self.bonus.modules()

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        return merged(super().state_dict(), self.bonus.state_dict())

    def load_state_dict(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        super().load_state_dict(groups)
        self.bonus.load_state_dict(groups)


def family_of(config: TrainConfig) -> Family:
    """The family of mixtures that a configuration describes (appendix A)."""
    bonus, learner = config.bonus, config.learner
    return Family.never_give_up(
        bonus.mixtures, bonus.beta, learner.gamma, learner.gamma_explore, bonus.non_episodic_returns
    )
