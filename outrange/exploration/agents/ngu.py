"""Never Give Up (arXiv 2002.06038, section 3): R2D2 that learns a family of mixtures r^e + beta_j r^i, r^i = episodic novelty x life-long factor.

Read ``novelty``: the controllable state f(x), learned by predicting the action between two observations, is looked up among the states of this episode; RND's
error, normalised, multiplies what comes of it by 1 to L. Deviations: one copy of the embedding serves all actors and is refreshed every so many steps rather
than once an episode; the memory holds f as the last layer gives it, while the action is told from its ReLU; a step that ends the episode earns no bonus where
novelty is counted on arrival (``bonus.at``); before learning, the embedding may be
warmed up on uniformly random actions, without which a nearly deterministic policy teaches it nothing.
"""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from outrange.core.seeding import SeedTree
from outrange.exploration.agents.r2d2 import R2D2, encoder, held, seeded
from outrange.exploration.config import TrainConfig
from outrange.exploration.envs.contract import Envs
from outrange.exploration.learning.networks import RND, InverseDynamics
from outrange.exploration.learning.optimizer import Optimizer
from outrange.exploration.learning.replay import Sequences
from outrange.exploration.novelty.episodic import EpisodicMemory, KernelBonus, Moments, combine


class NGU(R2D2):
    """R2D2 with a bonus; ``config.bonus.kind`` says which."""

    def __init__(self, config: TrainConfig, envs: Envs, seeds: SeedTree) -> None:
        super().__init__(config, envs, seeds)
        bonus = self.bonus = config.bonus
        self.count, self.episodes = envs.count, np.zeros(envs.count, np.int64)
        if bonus.embeds:

            def embedding() -> InverseDynamics:
                return InverseDynamics(encoder(envs, bonus.encoder, bonus.dimension, "bonus.encoder"), envs.actions).to(
                    self.device
                )

            self.embedding = seeded(seeds.child("embedding"), embedding)
            self.acting = copy.deepcopy(self.embedding)
            self.embedding_optimizer = Optimizer(
                self.embedding, bonus.rate, bonus.adam_epsilon, bonus.decay, config.learner.clip
            )
            self.memory = EpisodicMemory(self.count, bonus.capacity, bonus.dimension)
            self.kernel = KernelBonus(bonus, self.count)
        if bonus.distils:
            self.rnd = seeded(
                seeds.child("rnd"),
                lambda: RND(lambda: encoder(envs, bonus.encoder, bonus.rnd_width, "bonus.encoder")).to(self.device),
            )
            self.rnd_optimizer = Optimizer(self.rnd, bonus.rnd_rate, bonus.adam_epsilon, clip=config.learner.clip)
            self.moments = Moments()

    def novelty(self, observation: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """The bonus of arriving at observations (B, *shape), (B,) float32; 0 where not ``counts``. The observation is remembered after it was judged."""
        bonus = self.bonus
        if bonus.kind == "none" or not counts.any():
            return np.zeros(self.count, np.float32)
        factor = self._factor(observation, counts) if bonus.distils else np.ones(self.count)
        if bonus.kind == "rnd":
            return np.where(counts, np.clip(factor, 0, bonus.ceiling), 0).astype(np.float32)
        point = self.embed(observation)
        episodic = self.kernel.bonus(self.memory.nearest(point, bonus.k), counts)
        self.memory.add(point, counts)
        return np.where(counts, combine(episodic, factor, bonus.ceiling), 0).astype(np.float32)

    def begin(self, observation: np.ndarray, started: np.ndarray, judge: bool = True) -> np.ndarray:
        """Episodes begin where ``started``: forget the last one, remember the first observation; its bonus (B,) float32, 0 if not ``judge``."""
        if self.bonus.embeds:
            wiped = started & (self.episodes % self.bonus.wipe_every == 0)
            self.memory.clear(wiped)
            self.kernel.reset(wiped)
        self.episodes += started
        if judge and self.bonus.at == "departure":
            return self.novelty(observation, started)
        if (
            self.bonus.embeds and started.any()
        ):  # on arrival no step earns the first observation's bonus: it is remembered only
            rows = np.flatnonzero(started)
            point = np.zeros((self.count, self.bonus.dimension), np.float32)
            point[rows] = self.embed(observation[rows])
            self.memory.add(point, started)
        return np.zeros(self.count, np.float32)

    @torch.inference_mode()
    def embed(self, observation: np.ndarray) -> np.ndarray:
        """The controllable state of observations (N, *shape), (N, p) float32, by the actors' copy."""
        return self.acting.encoder(torch.from_numpy(observation).to(self.device)).cpu().numpy()

    @torch.inference_mode()
    def _factor(self, observation: np.ndarray, counts: np.ndarray) -> np.ndarray:
        error = self.rnd(torch.from_numpy(observation).to(self.device)).cpu().numpy()
        self.moments.update(error, counts)
        return self.moments.factor(error)

    def learn(self, sequences: Sequences) -> tuple[np.ndarray, dict[str, float]]:
        """One update of everything: Q on the sequences, embedding and RND on their last steps."""
        priority, told = super().learn(sequences)
        if self.bonus.learns or self.bonus.distils:
            told |= self.learn_novelty(sequences, self.bonus.frames)
        return priority, told

    def learn_novelty(self, sequences: Sequences, frames: int) -> dict[str, float]:
        """One update of embedding and RND on the last ``frames`` steps of each sequence that lead somewhere: x_t, a_t, x_{t+1} of one episode."""
        acted = ~sequences.filler[:-1] & ~sequences.terminated[:-1]
        inside = np.logical_or.accumulate(
            ~(sequences.filler & sequences.first)[-2::-1], 0
        )  # from the end, past padding
        acted &= (inside.cumsum(0) <= frames)[::-1]
        told: dict[str, float] = {}
        if not acted.any():
            return told
        shown = np.zeros(
            sequences.filler.shape, bool
        )  # a step's end is most often the next one's beginning: each row is encoded once
        shown[:-1] |= acted
        shown[1:] |= acted
        number = shown.cumsum().reshape(shown.shape) - 1
        observations = torch.from_numpy(sequences.observation[shown]).to(self.device)
        before, after = (torch.from_numpy(part[acted]).to(self.device) for part in (number[:-1], number[1:]))
        if self.bonus.learns:
            action = torch.from_numpy(sequences.action[:-1][acted]).long().to(self.device)
            logits = self.embedding(observations, before, after)
            loss = nn.functional.cross_entropy(logits, action)
            told["embedding_loss"], _ = self.embedding_optimizer.step(loss, "the loss of the embedding")
            told["embedding_accuracy"] = float((logits.detach().argmax(1) == action).float().mean())
        if self.bonus.distils:
            told["rnd_loss"], _ = self.rnd_optimizer.step(self.rnd(observations[after]).mean(), "the loss of RND")
        return told

    def refresh(self) -> None:
        """Give the actors the embedding as it is now."""
        if self.bonus.embeds:
            self.acting.load_state_dict(self.embedding.state_dict())

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        parts = super().tensors()
        if self.bonus.embeds:
            parts |= {"embedding": held(self.embedding), "embedding-optimizer": self.embedding_optimizer.tensors()}
        if self.bonus.distils:
            parts |= {"rnd": held(self.rnd), "rnd-optimizer": self.rnd_optimizer.tensors()}
        return parts

    def adopt(self, tensors: dict[str, dict[str, Tensor]]) -> None:
        super().adopt(tensors)
        if self.bonus.embeds:
            self.embedding.load_state_dict(tensors["embedding"])
            self.refresh()
        if self.bonus.distils:
            self.rnd.load_state_dict(tensors["rnd"])

    def restore(self, tensors: dict[str, dict[str, Tensor]], updates: int) -> None:
        super().restore(tensors, updates)
        if self.bonus.embeds:
            self.embedding_optimizer.restore(tensors["embedding-optimizer"])
        if self.bonus.distils:
            self.rnd_optimizer.restore(tensors["rnd-optimizer"])

    def arrays(self) -> dict[str, np.ndarray]:
        """What acting has gathered: the actors' copy of the embedding, memories of the running episodes, running means."""
        arrays = {"episodes": self.episodes.copy()}
        if self.bonus.embeds:
            arrays |= {f"acting.{name}": value.numpy() for name, value in held(self.acting).items()}
            arrays |= {f"memory.{name}": value for name, value in self.memory.state().items()}
            arrays |= {f"kernel.{name}": value for name, value in self.kernel.state().items()}
        if self.bonus.distils:
            arrays |= {f"moments.{name}": value for name, value in self.moments.state().items()}
        return arrays

    def take_up(self, arrays: dict[str, np.ndarray], memories: bool = True) -> None:
        """Go on from what ``arrays`` gave; without ``memories`` from what does not depend on the number of environments only."""
        if self.bonus.embeds:
            self.acting.load_state_dict(
                {name: torch.from_numpy(value) for name, value in below(arrays, "acting.").items()}
            )
            if memories or self.bonus.mean_scope == "global":
                self.kernel.restore(below(arrays, "kernel."))
            if memories:
                self.memory.restore(below(arrays, "memory."))
        if self.bonus.distils:
            self.moments.restore(below(arrays, "moments."))
        if memories:
            self.episodes[...] = arrays["episodes"]


def below(arrays: dict[str, np.ndarray], start: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin so, without that beginning."""
    return {name.removeprefix(start): value for name, value in arrays.items() if name.startswith(start)}
