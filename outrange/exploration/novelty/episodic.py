"""The episodic bonus: how new an observation is among those of the running episode (Never Give Up, arXiv 2002.06038,
sections 3.2 and 3.3).

The controllable state f(x) is learned by predicting the action between two observations (``InverseDynamics``); it is
looked up among the states of the episode (memory.py), and the distances to the nearest become the bonus (kernel.py).
Deviations: one copy of the embedding serves all environments of an actor, and is refreshed every so many steps rather
than once an episode; the memory holds f as the last layer gives it, while the action is predicted from its ReLU.
"""

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from outrange.core.seeding import SeedTree
from outrange.exploration.config import BonusConfig, TrainConfig
from outrange.exploration.learning.encoders import Encoder, encoder
from outrange.exploration.learning.modules import copied, device_of, prefixed, seeded, unprefixed
from outrange.exploration.learning.optimizer import Optimizer
from outrange.exploration.learning.transitions import Transitions
from outrange.exploration.novelty import State, Weights
from outrange.exploration.novelty.kernel import KernelBonus
from outrange.exploration.novelty.memory import EpisodicMemory
from outrange.exploration.spec import Spec


class InverseDynamics(nn.Module):
    """The controllable state f(x) in R^p, and p(a | f(x_t), f(x_{t+1})), by which it is learned (section 3.2)."""

    def __init__(self, encoder: Encoder, actions: int, hidden_size: int = 128) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(nn.Linear(2 * encoder.width, hidden_size), nn.ReLU(), nn.Linear(hidden_size, actions))

    def forward(self, observations: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Logits of the action between two observations, (N, actions); ``before`` and ``after`` (N,) number them, so
        that each is encoded once."""
        points = torch.relu(self.encoder(observations))
        return self.head(torch.cat([points[before], points[after]], -1))


class EpisodicNovelty:
    """The half that an actor has: a copy of the embedding, memories of the running episodes, the mean distance."""

    def __init__(self, config: BonusConfig, count: int, embedding: nn.Module, device: torch.device) -> None:
        self.config, self.count, self.device = config, count, device
        self.embedding = copy.deepcopy(embedding).requires_grad_(False)
        self.memory = EpisodicMemory(count, config.memory_capacity, config.embedding_size)
        self.kernel = KernelBonus(config, count)
        self.episodes = np.zeros(count, np.int64)

    def begin(self, observation: np.ndarray, started: np.ndarray, rewarded: bool) -> np.ndarray:
        self.forget(started)
        if rewarded:
            return self.reward(observation, started)
        if started.any():
            rows = np.flatnonzero(started)
            points = np.zeros((self.count, self.config.embedding_size), np.float32)
            points[rows] = self.embed(observation[rows])
            self.memory.add(points, started)
        return np.zeros(self.count, np.float32)

    def forget(self, started: np.ndarray) -> None:
        """Episodes begin where ``started``: empty the memories whose episodes are over."""
        emptied = started & (self.episodes % self.config.episodes_per_memory == 0)
        self.memory.clear(emptied)
        self.kernel.reset(emptied)
        self.episodes += started

    def reward(self, observation: np.ndarray, valid: np.ndarray) -> np.ndarray:
        return np.where(valid, self.bonus(observation, valid), 0).astype(np.float32)

    def bonus(self, observation: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """The episodic bonus of observations (B, *shape), (B,) float64; each is remembered after it was judged."""
        if not valid.any():
            return np.zeros(self.count)
        points = self.embed(observation)
        bonus = self.kernel.bonus(self.memory.nearest(points, self.config.neighbours), valid)
        self.memory.add(points, valid)
        return bonus

    @torch.inference_mode()
    def embed(self, observation: np.ndarray) -> np.ndarray:
        return self.embedding(torch.from_numpy(observation).to(self.device)).cpu().numpy()

    def refresh(self, weights: Weights) -> None:
        self.embedding.load_state_dict(weights["embedding"])

    def restart(self) -> None:
        self.episodes[...] = 0

    def metrics(self) -> dict[str, float]:
        return {"distance": float(self.kernel.mean.value.mean())}

    def state_dict(self, streams: bool = True) -> State:
        embedding = {name: value.numpy() for name, value in copied(self.embedding).items()}
        state = prefixed("embedding.", embedding)
        if streams or self.config.distance_mean_scope == "global":
            state |= prefixed("kernel.", self.kernel.state_dict())
        if streams:
            state |= prefixed("memory.", self.memory.state_dict()) | {"episodes": self.episodes.copy()}
        return state

    def load_state_dict(self, state: State) -> None:
        embedding = unprefixed("embedding.", state)
        self.embedding.load_state_dict({name: torch.from_numpy(value) for name, value in embedding.items()})
        if kernel := unprefixed("kernel.", state):
            self.kernel.load_state_dict(kernel)
        if memory := unprefixed("memory.", state):
            self.memory.load_state_dict(memory)
            self.episodes[...] = state["episodes"]


class Episodic:
    """The learner's half: the embedding, trained to tell the action between two observations."""

    warms_up = True

    def __init__(self, config: TrainConfig, spec: Spec, seeds: SeedTree) -> None:
        bonus = self.config = config.bonus
        self.device = device_of(config.device)

        def network() -> InverseDynamics:
            # the executed action is predicted, of which there may be fewer than Q has
            points = encoder(spec, bonus.encoder, bonus.embedding_size, "bonus.encoder")
            return InverseDynamics(points, spec.actions).to(self.device)

        self.embedding = seeded(seeds.child("embedding"), network)
        self.optimizer = Optimizer(
            self.embedding,
            bonus.embedding_learning_rate,
            bonus.adam_epsilon,
            bonus.embedding_weight_decay,
            config.learner.max_grad_norm,
        )

    def novelty(self, count: int) -> EpisodicNovelty:
        return EpisodicNovelty(self.config, count, self.embedding.encoder, self.device)

    def learn(self, transitions: Transitions) -> dict[str, float]:
        logits = self.embedding(transitions.observations, transitions.before, transitions.after)
        entropy = nn.functional.cross_entropy(logits, transitions.action)
        loss, _ = self.optimizer.update(entropy, "the loss of the embedding")
        accuracy = float((logits.detach().argmax(1) == transitions.action).float().mean())
        return {"embedding_loss": loss, "embedding_accuracy": accuracy}

    def weights(self) -> Weights:
        return {"embedding": self.embedding.encoder.state_dict()}

    def modules(self) -> dict[str, nn.Module]:
        return {"embedding": self.embedding}

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        # acting has a copy of its own, so the newest embedding is the learner's
        embedding = prefixed("embedding.", copied(self.embedding))
        return {"policy": {}, "learner": embedding | prefixed("embedding_optimizer.", self.optimizer.state_dict())}

    def load_state_dict(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        if "learner" in groups:
            self.embedding.load_state_dict(unprefixed("embedding.", groups["learner"]))
            self.optimizer.load_state_dict(unprefixed("embedding_optimizer.", groups["learner"]))


class Projection(Episodic):
    """The same with a random embedding that is never trained, to compare with."""

    warms_up = False

    def learn(self, transitions: Transitions) -> dict[str, float]:
        return {}
