"""R2D2 with Retrace: recurrent Q learning from prioritized sequences with stored state (Kapturowski et al. 2019; arXiv 2002.06038, section 2 and appendix E).

Read ``learn``: both networks are unrolled from the state that was stored when acting; the online network says what the target policy does, the target network
what that is worth; the target is h(G). Deviations, all set by the configuration: sequences may cross the ends of episodes (the state is reset inside), no
burn-in unless asked for, priorities are eta max + (1 - eta) mean with eta 0.9, no importance weights (as published).
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from outrange.core.seeding import SeedTree
from outrange.exploration.config import TrainConfig
from outrange.exploration.envs.contract import Envs
from outrange.exploration.learning import family, returns
from outrange.exploration.learning.networks import Encoder, QNetwork
from outrange.exploration.learning.optimizer import Optimizer
from outrange.exploration.learning.replay import Sequences


def encoder(envs: Envs, name: str, width: int, setting: str) -> Encoder:
    """An encoder for what these environments show; ``setting`` is what to change where it does not fit."""
    return Encoder(name, envs.shape, envs.codes, envs.dtype == np.uint8, width, setting)


def seeded(seeds: SeedTree, make: Any) -> Any:
    """What ``make`` builds, its first weights drawn from a branch of the seeds and from nothing else."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.integer(63))
        return make()


class R2D2:
    """The Q network, its target copy, how they act and how they learn. Environments are batched, (B,); sequences have time first, (T + 1, B)."""

    def __init__(self, config: TrainConfig, envs: Envs, seeds: SeedTree) -> None:
        self.config, self.device = config, _device(config.device)
        self.mixtures, shape, learner = config.bonus.mixtures, config.network, config.learner
        if config.bonus.kind == "none":
            self.beta, self.gamma = np.zeros(self.mixtures), np.full(self.mixtures, learner.gamma)
        else:
            self.beta = family.betas(self.mixtures, config.bonus.beta)
            self.gamma = family.gammas(self.mixtures, learner.gamma, learner.gamma_explore)
        self._beta, self._gamma = (
            torch.tensor(a, dtype=torch.float32, device=self.device) for a in (self.beta, self.gamma)
        )

        def network() -> QNetwork:
            return QNetwork(
                encoder(envs, shape.encoder, shape.width, "network.encoder"),
                envs.actions,
                self.mixtures,
                shape.hidden,
                shape.head,
            ).to(self.device)

        self.online = seeded(seeds.child("q"), network)
        self.target = copy.deepcopy(self.online)
        self.target.requires_grad_(False)
        self.optimizer = Optimizer(self.online, learner.rate, learner.adam_epsilon, clip=learner.clip)
        self.transform = returns.Transform(name=learner.transform, epsilon=learner.transform_epsilon)
        self.rng = seeds.child("learner").numpy()
        self.updates = 0

    @property
    def state_size(self) -> int:
        """Numbers in a recurrent state: h and c."""
        return 2 * self.config.network.hidden

    @torch.inference_mode()
    def values(self, row: dict[str, np.ndarray], state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Q of one row of B environments, (B, A), and the state after it, (B, 2H).

        Args:
            row: observation, last_action, last_reward, last_bonus, mixture, first; (B, …) each.
            state: before the row.
        """
        names = ("observation", "last_action", "last_reward", "last_bonus", "mixture", "first")
        inputs = [torch.from_numpy(row[name]).unsqueeze(0).to(self.device) for name in names]
        q, (h, c) = self.online(*inputs, self._split(torch.from_numpy(state)))
        return q[0].cpu().numpy(), torch.cat([h, c], 1).cpu().numpy()

    def learn(self, sequences: Sequences) -> tuple[np.ndarray, dict[str, float]]:
        """One update from a batch of sequences; returns their new priorities (batch,) and what to log."""
        learner = self.config.learner
        data = {name: torch.from_numpy(getattr(sequences, name)).to(self.device) for name in COLUMNS}
        action, first, filler = data["action"].long(), data["first"], data["filler"]
        mixture = self._mixtures(data["mixture"])
        inputs = (data["observation"], data["last_action"], data["last_reward"], data["last_bonus"], mixture, first)
        state = self._split(torch.from_numpy(sequences.state))
        acted = ~filler[:-1]
        counted = acted.clone()
        counted[: learner.burn_in] = False

        q = self._unroll(self.online, inputs, state, learner.burn_in)
        with torch.no_grad():
            worth = self.transform.back(self._unroll(self.target, inputs, state, 0))
            policy = returns.greedy(q.detach(), learner.target_epsilon)
            reward = learner.scale * (data["reward"] + self._beta[mixture.long()] * data["bonus"])
            ended = data["terminated"]
            if self.config.bonus.continuing:  # the row after an end is the next episode's first
                ended = ended & (self._beta[mixture.long()] == 0)
            discount = self._gamma[mixture.long()] * ~ended
            goal = self._goal(policy, worth, action, reward[:-1], discount[:-1], data["mu"], first, filler)
        said = q[:-1].gather(-1, action[:-1].unsqueeze(-1)).squeeze(-1)
        error = torch.where(counted, said - goal, 0.0)
        steps = len(error) if learner.over == "mean" else 1
        loss, norm = self.optimizer.step(
            error.square().sum() / (error.shape[1] * steps), f"the loss of Q in update {self.updates}"
        )
        self.updates += 1
        if self.updates % learner.copy_every == 0:
            self.target.load_state_dict(self.online.state_dict())
        priority = returns.sequence_priority(error.detach(), counted, self.config.replay.eta)
        number, scale = max(float(counted.sum()), 1.0), learner.scale
        told = {
            "loss": loss * steps * error.shape[1] / number / scale**2, "gradient_norm": norm,
            "q": float(torch.where(counted, said.detach(), 0.0).sum()) / number / scale, "counted": number / counted.numel(),
        }  # fmt: skip
        return priority.cpu().numpy().astype(np.float64), told

    def slow(self, progress: float) -> None:
        """Set the learning rate for a share of the run that is done."""
        learner = self.config.learner
        fallen = max(min(progress, 1.0) - learner.rate_hold, 0.0) / max(1 - learner.rate_hold, 1e-9)
        self.optimizer.rate = learner.rate * (1 - (1 - learner.rate_end) * fallen)

    def _goal(
        self,
        policy: Tensor,
        worth: Tensor,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        mu: Tensor,
        first: Tensor,
        filler: Tensor,
    ) -> Tensor:
        """What Q(x_t, a_t) is trained towards, (T, B): h of Retrace's or the n-step return. ``policy`` and ``worth`` are (T + 1, B, A)."""
        learner = self.config.learner
        goes_on = ~(first | filler)[:-1]
        if learner.target == "n-step":
            best = worth.gather(-1, policy.argmax(-1, keepdim=True)).squeeze(-1)[1:]
            return self.transform.of(returns.n_step(reward, discount, best, learner.n, goes_on))
        expected = (policy * worth).sum(-1)[1:]
        trace = returns.traces(returns.taken(policy, action)[:-1], mu[:-1], learner.lam, goes_on) * goes_on
        return self.transform.of(returns.retrace(returns.taken(worth, action)[:-1], expected, reward, discount, trace))

    def _unroll(
        self, network: QNetwork, inputs: tuple[Tensor, ...], state: tuple[Tensor, Tensor], burn_in: int
    ) -> Tensor:
        """Q along all rows, (T + 1, B, A); the first ``burn_in`` only move the state."""
        if not burn_in:
            return network(*inputs, state)[0]
        with torch.no_grad():
            before, state = network(*(part[:burn_in] for part in inputs), state)
        return torch.cat([before, network(*(part[burn_in:] for part in inputs), state)[0]])

    def _mixtures(self, collected: Tensor) -> Tensor:
        """The mixture each sequence is learned from under: its own, or for a share of them another (CMR)."""
        share = self.config.learner.foreign
        if not share or self.mixtures == 1:
            return collected
        batch = collected.shape[1]
        others = np.where(self.rng.random(batch) < share, self.rng.integers(1, self.mixtures, size=batch), 0)
        return (collected + torch.from_numpy(others).to(collected)) % self.mixtures

    def _split(self, state: Tensor) -> tuple[Tensor, Tensor]:
        h, c = state.to(self.device).chunk(2, dim=1)
        return h.contiguous(), c.contiguous()

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint holds of tensors."""
        return {"q": held(self.online), "q-target": held(self.target), "q-optimizer": self.optimizer.tensors()}

    def adopt(self, tensors: dict[str, dict[str, Tensor]]) -> None:
        """Take over what was learned, to act with it."""
        self.online.load_state_dict(tensors["q"])

    def restore(self, tensors: dict[str, dict[str, Tensor]], updates: int) -> None:
        """Go on from a checkpoint."""
        self.adopt(tensors)
        self.target.load_state_dict(tensors["q-target"])
        self.optimizer.restore(tensors["q-optimizer"])
        self.updates = updates


#: columns of a batch that are turned into tensors
COLUMNS = (
    "observation",
    "last_action",
    "last_reward",
    "last_bonus",
    "action",
    "reward",
    "bonus",
    "mu",
    "mixture",
    "terminated",
    "first",
    "filler",
)


def held(module: torch.nn.Module) -> dict[str, Tensor]:
    """The tensors of a module, copied."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in module.state_dict().items()}


def _device(name: str) -> torch.device:
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")
