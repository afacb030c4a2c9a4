"""A head: one Q network, its target copy and its optimizer; how its values along sequences become targets, errors and
an update.

An agent has one head for each reward that it learns apart: R2D2 and Never Give Up have one, of r^e + beta r^i (arXiv
2002.06038); Agent57 has two. The target of the network is h(G), G the transformed Retrace or n-step return
(returns.py).
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from outrange.exploration.config import LearnerConfig
from outrange.exploration.learning import returns
from outrange.exploration.learning.modules import copied, prefixed, unprefixed
from outrange.exploration.learning.networks import QNetwork
from outrange.exploration.learning.optimizer import Optimizer
from outrange.exploration.learning.replay import Sequences

#: what a Q network is shown in a row, in its own order
INPUTS = ("observation", "last_action", "last_reward", "last_bonus", "mixture", "first")


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """B sequences of T + 1 rows as tensors, time first; the last row is only to bootstrap from."""

    inputs: tuple[Tensor, ...]
    """(T + 1, B, …) as named in ``INPUTS``"""
    state: Tensor
    """(B, state_size) recurrent state before the first row"""
    mixture: Tensor
    """(T + 1, B) int64, the mixture that is learned from"""
    action: Tensor
    """(T + 1, B) int64"""
    reward: Tensor
    """(T + 1, B)"""
    bonus: Tensor
    """(T + 1, B)"""
    mu: Tensor
    """(T, B) with what probability the action was chosen"""
    terminated: Tensor
    """(T + 1, B) bool"""
    counted: Tensor
    """(T, B) bool, the steps that are learned from: an action was taken, and the state is warm"""
    continues: Tensor
    """(T, B) bool, whether a row goes on from the row before"""

    @classmethod
    def of(cls, sequences: Sequences, mixture: Tensor, burn_in: int, device: torch.device) -> "Batch":
        """Sequences on a device, learned from under mixtures (T + 1, B)."""

        def tensor(name: str) -> Tensor:
            return torch.from_numpy(getattr(sequences, name)).to(device)

        first, filler = tensor("first"), tensor("filler")
        counted = ~filler[:-1]
        counted[:burn_in] = False
        columns = {name: tensor(name) for name in INPUTS if name not in ("mixture", "first")}
        columns |= {"mixture": mixture, "first": first}
        return cls(
            inputs=tuple(columns[name] for name in INPUTS),
            state=torch.from_numpy(sequences.state).to(device),
            mixture=mixture.long(),
            action=tensor("action").long(),
            reward=tensor("reward"),
            bonus=tensor("bonus"),
            mu=tensor("mu")[:-1],
            terminated=tensor("terminated"),
            counted=counted,
            continues=~(first | filler)[:-1],
        )


@dataclass(frozen=True, eq=False)
class Values:
    """What the two networks of a head say along sequences."""

    online: Tensor
    """(T + 1, B, A) outputs of the online network, with their graph"""
    target: Tensor
    """(T + 1, B, A) values of the target network, the transform undone"""


class Head:
    """One Q network that is learned.

    Args:
        network: its first weights; the target copy begins as the same.
        config: how it is learned.
    """

    def __init__(self, network: QNetwork, config: LearnerConfig) -> None:
        self.config = config
        self.online = network
        self.target = copy.deepcopy(network).requires_grad_(False)
        self.optimizer = Optimizer(
            network, config.learning_rate, config.adam_epsilon, max_grad_norm=config.max_grad_norm
        )
        self.transform = returns.Transform(name=config.transform, epsilon=config.transform_epsilon)

    @property
    def state_size(self) -> int:
        """How many numbers of the agent's recurrent state are this head's."""
        return self.online.state_size

    def act(self, inputs: list[Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs of one row, (B, A), and the state after it; inputs are (1, B, …)."""
        outputs, after = self.online(*inputs, self.online.split(state))
        return outputs[0], self.online.join(after)

    def values(self, batch: Batch, state: Tensor) -> Values:
        """Both networks unrolled from the state that was stored when acting, (B, state_size)."""
        online = self._unroll(self.online, batch, state, self.config.burn_in)
        with torch.no_grad():
            target = self.transform.back(self._unroll(self.target, batch, state, 0))
        return Values(online, target)

    @torch.no_grad()
    def td_target(self, policy: Tensor, values: Values, batch: Batch, reward: Tensor, discount: Tensor) -> Tensor:
        """What Q(x_t, a_t) is trained towards, (T, B): h of Retrace's or the n-step return.

        Args:
            policy: (T + 1, B, A) probabilities of the target policy.
            values: of this head.
            batch: the sequences.
            reward: (T + 1, B), this head's own.
            discount: (T + 1, B), 0 where nothing follows.
        """
        config, target_q = self.config, values.target
        reward, discount = reward[:-1], discount[:-1]
        if config.target == "n-step":
            # double Q learning: the online network's action, the target network's value
            best_action = policy.argmax(-1, keepdim=True)
            bootstrap = target_q.gather(-1, best_action).squeeze(-1)[1:]
            total = returns.n_step(reward, discount, bootstrap, config.n_steps, batch.continues)
            return self.transform.of(total)
        # Retrace: what is expected of the next row, and how far it is trusted
        expected = (policy * target_q).sum(-1)[1:]
        policy_taken = returns.taken(policy, batch.action)[:-1]
        trace = returns.traces(policy_taken, batch.mu, config.retrace_lambda, batch.continues) * batch.continues
        value_taken = returns.taken(target_q, batch.action)[:-1]
        return self.transform.of(returns.retrace(value_taken, expected, reward, discount, trace))

    def update(self, values: Values, td_target: Tensor, batch: Batch, name: str) -> tuple[Tensor, dict[str, float]]:
        """One step of the optimizer.

        Args:
            values: of this head.
            td_target: (T, B).
            batch: the sequences.
            name: what messages call the loss.

        Returns:
            the errors Q(x_t, a_t) - target, (T, B), 0 in steps that do not count; metrics, in the rewards' own units.
        """
        action = batch.action[:-1].unsqueeze(-1)
        q_taken = values.online[:-1].gather(-1, action).squeeze(-1)
        error = torch.where(batch.counted, q_taken - td_target, 0.0)
        steps, sequences = error.shape
        divisor = steps if self.config.reduction == "mean" else 1
        # summed over a sequence as published, or averaged; averaged over the batch
        squared_error = error.square().sum() / (sequences * divisor)
        loss, norm = self.optimizer.update(squared_error, name)
        # logged over the steps that count, in the rewards' own units, whatever the reduction and the scale
        number, scale = max(float(batch.counted.sum()), 1.0), self.config.reward_scale
        metrics = {
            "loss": loss * divisor * sequences / number / scale**2,
            "gradient_norm": norm,
            "q": float(torch.where(batch.counted, q_taken.detach(), 0.0).sum()) / number / scale,
            "counted": number / batch.counted.numel(),
        }
        return error.detach(), metrics

    def copy_to_target(self) -> None:
        """Make the target network what the online one is now."""
        self.target.load_state_dict(self.online.state_dict())

    @staticmethod
    def _unroll(network: QNetwork, batch: Batch, state: Tensor, burn_in: int) -> Tensor:
        """Outputs along all rows, (T + 1, B, A); the first ``burn_in`` only move the state."""
        split = network.split(state)
        if not burn_in:
            return network(*batch.inputs, split)[0]
        # no gradient flows into the rows that only warm the state up
        with torch.no_grad():
            before, split = network(*(part[:burn_in] for part in batch.inputs), split)
        return torch.cat([before, network(*(part[burn_in:] for part in batch.inputs), split)[0]])

    def state_dict(self, name: str) -> dict[str, dict[str, Tensor]]:
        """Tensors by group, under the head's name."""
        learner = prefixed(f"{name}_target.", copied(self.target))
        learner |= prefixed(f"{name}_optimizer.", self.optimizer.state_dict())
        return {"policy": prefixed(f"{name}.", copied(self.online)), "learner": learner}

    def load_state_dict(self, groups: Mapping[str, Mapping[str, Tensor]], name: str) -> None:
        """Go on from ``state_dict``; the group ``policy`` alone is enough to act."""
        self.online.load_state_dict(unprefixed(f"{name}.", groups["policy"]))
        if "learner" in groups:
            self.target.load_state_dict(unprefixed(f"{name}_target.", groups["learner"]))
            self.optimizer.load_state_dict(unprefixed(f"{name}_optimizer.", groups["learner"]))


def row_inputs(row: Mapping[str, np.ndarray], device: torch.device) -> list[Tensor]:
    """One row of B environments as a network takes it, (1, B, …) each."""
    return [torch.from_numpy(row[name]).unsqueeze(0).to(device) for name in INPUTS]
