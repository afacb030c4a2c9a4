"""R2D2 with Retrace: recurrent Q learning from prioritized sequences with stored state (Kapturowski et al. 2019; arXiv
2002.06038, section 2 and appendix E).

Read ``learn``: both networks are unrolled from the state that was stored when acting; the online network says what the
target policy does, the target network what that is worth; the target is h(G). An agent with other rewards or heads
overrides ``policy_values`` and ``rewards``. Deviations, all set by the configuration: sequences may cross the ends of
episodes (the state is reset inside), no burn-in unless asked for, priorities are eta max + (1 - eta) mean with eta 0.9,
no importance weights (as published).
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from outrange.core.seeding import SeedTree
from outrange.exploration.config import TrainConfig
from outrange.exploration.learning import returns
from outrange.exploration.learning.encoders import encoder
from outrange.exploration.learning.family import Family
from outrange.exploration.learning.head import Batch, Head, row_inputs
from outrange.exploration.learning.modules import device_of, merged, seeded
from outrange.exploration.learning.networks import QNetwork
from outrange.exploration.learning.replay import Sequences
from outrange.exploration.novelty import NoNovelty, Novelty, Weights
from outrange.exploration.spec import Spec


class R2D2:
    """The Q network, its target copy, and how they learn.

    Args:
        config: of the run.
        spec: of the environments.
        seeds: of the run.
        family: the mixtures that are learned; those without a bonus if not given.
    """

    warms_up = False
    replay_fields: Mapping[str, type[np.generic]] = {}

    def __init__(self, config: TrainConfig, spec: Spec, seeds: SeedTree, family: Family | None = None) -> None:
        self.config, self.spec, self.device = config, spec, device_of(config.device)
        self.family = family or Family.without_bonus(config.bonus.mixtures, config.learner.gamma)
        self.mixture_terms = self.family.on(self.device)
        self.heads = self.make_heads(seeds)
        self.rng = seeds.child("learner").numpy()
        self.updates = 0

    def make_heads(self, seeds: SeedTree) -> dict[str, Head]:
        """The heads of this agent, by name."""
        return {"q": Head(seeded(seeds.child("q"), self.make_network), self.config.learner)}

    def make_network(self) -> QNetwork:
        """A Q network with first weights."""
        shape = self.config.network
        return QNetwork(
            encoder(self.spec, shape.encoder, shape.encoder_size, "network.encoder"),
            self.spec.actions,
            len(self.family),
            shape.hidden_size,
            shape.head_size,
        ).to(self.device)

    @property
    def state_size(self) -> int:
        return sum(head.state_size for head in self.heads.values())

    @torch.inference_mode()
    def values(self, row: dict[str, np.ndarray], state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Q of one row of B environments, (B, A), and the state after it, (B, state_size).

        Args:
            row: observation, last_action, last_reward, last_bonus, mixture, first; (B, …) each.
            state: before the row.
        """
        # each head has its own part of the recurrent state
        inputs = row_inputs(row, self.device)
        outputs, states = {}, []
        for (name, head), part in zip(self.heads.items(), self._split(torch.from_numpy(state)), strict=True):
            outputs[name], after = head.act(inputs, part)
            states.append(after)
        q = self.policy_values(outputs, inputs[4][0])
        return q.cpu().numpy(), torch.cat(states, 1).cpu().numpy()

    def learn(self, sequences: Sequences) -> tuple[np.ndarray, dict[str, float]]:
        """One update from a batch of sequences: their new priorities (K,) and metrics."""
        config = self.config.learner
        mixture = self.mixtures_to_learn(torch.from_numpy(sequences.mixture).to(self.device))
        batch = Batch.of(sequences, mixture, config.burn_in, self.device)
        # values: both networks of every head along the sequences
        states = self._split(batch.state)
        pairs = zip(self.heads.items(), states, strict=True)
        values = {name: head.values(batch, state) for (name, head), state in pairs}
        # policy: nearly greedy in what the online networks say
        with torch.no_grad():
            online = {name: each.online.detach() for name, each in values.items()}
            policy = returns.greedy(self.policy_values(online, batch.mixture), config.target_policy_epsilon)
            discount = self.mixture_terms.discount(batch.mixture, batch.terminated)
            rewards = self.rewards(batch)
        # reward, target, loss and optimizer, for each head
        errors, metrics = {}, {}
        for name, head in self.heads.items():
            td_target = head.td_target(policy, values[name], batch, rewards[name], discount)
            loss_name = f"the loss of {name.upper()} in update {self.updates}"
            errors[name], numbers = head.update(values[name], td_target, batch, loss_name)
            metrics |= numbers if len(self.heads) == 1 else {f"{name}_{key}": value for key, value in numbers.items()}
        self.updates += 1
        if self.updates % config.target_update_period == 0:
            for head in self.heads.values():
                head.copy_to_target()
        priority = returns.sequence_priority(
            self.priority_error(errors), batch.counted, self.config.replay.priority_eta
        )
        return priority.cpu().numpy().astype(np.float64), metrics

    def policy_values(self, outputs: Mapping[str, Tensor], mixture: Tensor) -> Tensor:
        """The values (…, A) that actions are chosen by, from what each head says; ``mixture`` is (…)."""
        return outputs["q"]

    def rewards(self, batch: Batch) -> dict[str, Tensor]:
        """What each head is rewarded with, (T + 1, B)."""
        mixed = self.mixture_terms.reward(batch.mixture, batch.reward, batch.bonus)
        return {"q": self.config.learner.reward_scale * mixed}

    def priority_error(self, errors: Mapping[str, Tensor]) -> Tensor:
        """The errors (T, B) that decide how often a sequence is drawn."""
        return errors["q"]

    def mixtures_to_learn(self, collected: Tensor) -> Tensor:
        """The mixture (T + 1, B) each sequence is learned from under: its own, or for a share of them another
        (cross-mixture replay)."""
        share, count = self.config.learner.cross_mixture_share, len(self.family)
        if not share or count == 1:
            return collected
        sequences = collected.shape[1]
        # a shift of 1 to N - 1 is another mixture; the draws of all sequences are made in any case
        shift = np.where(self.rng.random(sequences) < share, self.rng.integers(1, count, size=sequences), 0)
        return (collected + torch.from_numpy(shift).to(collected)) % count

    def warm_up(self, sequences: Sequences) -> dict[str, float]:
        """Uniformly random actions teach it nothing."""
        return {}

    def set_progress(self, share: float) -> None:
        """Set the learning rate for a share of the run that is done: whole at first, then falling in proportion to the
        steps."""
        config = self.config.learner
        falling = max(min(share, 1.0) - config.rate_hold_share, 0.0) / max(1 - config.rate_hold_share, 1e-9)
        for head in self.heads.values():
            head.optimizer.learning_rate = config.learning_rate * (1 - (1 - config.final_rate_share) * falling)

    def novelty(self, count: int) -> Novelty:
        """There is no bonus."""
        return NoNovelty(count)

    def novelty_weights(self) -> Weights:
        return {}

    def acting_modules(self) -> dict[str, nn.Module]:
        return {name: head.online for name, head in self.heads.items()}

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        return merged(*(head.state_dict(name) for name, head in self.heads.items()))

    def load_state_dict(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        for name, head in self.heads.items():
            head.load_state_dict(groups, name)

    def _split(self, state: Tensor) -> tuple[Tensor, ...]:
        """The part of the recurrent state (B, state_size) that is each head's."""
        return state.to(self.device).split([head.state_size for head in self.heads.values()], dim=1)
