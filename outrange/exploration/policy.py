"""A trained agent to act with from Python: ``load`` a run, then ask for actions. No environment is made.

    policy = exploration.load("runs/explore-ngu")
    state = policy.initial_state(count=1)
    action, state = policy.act(observation, state)             # observation (1, *policy.spec.shape), action (1,)
    action, state = policy.act(observation, state, reward=reward, first=started)

The bonus is an input of the network, so novelty is computed here as it was in training: the state holds a memory of the
running episodes.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from outrange.core.checks import whole, within
from outrange.core.config import from_json
from outrange.core.errors import BadInput
from outrange.core.run import Run
from outrange.core.seeding import SeedTree
from outrange.exploration import agents
from outrange.exploration.acting.behaviour import EpsilonGreedy
from outrange.exploration.agents.contract import Agent
from outrange.exploration.config import TrainConfig
from outrange.exploration.learning.modules import unprefixed
from outrange.exploration.novelty import Novelty, State
from outrange.exploration.spec import Spec


@dataclass(kw_only=True, eq=False)
class PolicyState:
    """Where B environments are, for a policy. ``Policy.act`` moves it on in place: keep one for each batch of
    environments."""

    recurrent: np.ndarray
    """(B, S) float32 of the network"""
    mixture: np.ndarray
    """(B,) int16 whose policy it is"""
    epsilon: np.ndarray
    """(B,) the share of random actions"""
    novelty: Novelty
    """the memories of the running episodes"""
    rng: np.random.Generator
    """draws of random actions"""
    last_action: np.ndarray
    """(B,) int16, -1 before the first"""
    last_bonus: np.ndarray = field(init=False)
    """(B,) float32 bonus of the last step"""
    pending_bonus: np.ndarray = field(init=False)
    """(B,) float32 bonus of the last observation, which is paid on departure"""
    begun: bool = False
    """whether anything was observed yet"""

    def __post_init__(self) -> None:
        self.last_bonus = np.zeros(len(self.mixture), np.float32)
        self.pending_bonus = np.zeros(len(self.mixture), np.float32)


class Policy:
    """A trained agent that acts in batches of B environments.

    Args:
        config: of its run.
        agent: its networks.
        novelty_state: what holds of its novelty for any number of environments.
    """

    def __init__(self, config: TrainConfig, agent: Agent, novelty_state: State) -> None:
        self.config, self.agent, self.novelty_state = config, agent, novelty_state

    @property
    def spec(self) -> Spec:
        """What the environments look like that it was trained in."""
        return self.agent.spec

    @property
    def mixtures(self) -> int:
        """How many policies it has; 0 exploits, the last explores most."""
        return len(self.agent.family)

    def novelty(self, count: int) -> Novelty:
        """A judge of novelty for ``count`` environments, with the running means of the training."""
        novelty = self.agent.novelty(count)
        novelty.load_state_dict(self.novelty_state)
        return novelty

    def initial_state(self, count: int = 1, *, mixture: int = 0, epsilon: float = 0.0, seed: int = 0) -> PolicyState:
        """The state before the first observation of ``count`` environments.

        Args:
            count: B.
            mixture: whose policy; 0 exploits, the last explores most.
            epsilon: share of random actions.
            seed: of those.

        Raises:
            BadInput: there is no such mixture, or a number is not allowed.
        """
        whole("count", count, 1)
        check_mixture(self.config, mixture)
        within("epsilon", epsilon, 0, 1, "between 0 and 1")
        return PolicyState(
            recurrent=np.zeros((count, self.agent.state_size), np.float32),
            mixture=np.full(count, mixture, np.int16),
            epsilon=np.full(count, float(epsilon)),
            novelty=self.novelty(count),
            rng=SeedTree(seed).child("policy").numpy(),
            last_action=np.full(count, -1, np.int16),
        )

    def act(
        self,
        observation: np.ndarray,
        state: PolicyState,
        *,
        reward: np.ndarray | float = 0.0,
        first: np.ndarray | bool | None = None,
    ) -> tuple[np.ndarray, PolicyState]:
        """The next action of B environments.

        Args:
            observation: (B, *spec.shape), of ``spec.dtype``.
            state: of ``initial_state`` or the last ``act``; it is moved on in place.
            reward: (B,) what the last action brought, which the network is shown; not looked at where an episode
                begins.
            first: (B,) bool, where the observation begins an episode; if not given, everywhere at the first call and
                nowhere after.

        Returns:
            the actions, (B,) int64, numbered as ``spec.action_names``; and the state.

        Raises:
            BadInput: the observation has another shape or type.
        """
        count = len(state.mixture)
        observation = self._checked(observation, count)
        reward = _one_per_environment("reward", reward, count)
        if not np.isfinite(reward).all():
            raise BadInput(f"reward: {reward.tolist()} is not allowed; it must be finite")
        # an episode begins at the first call everywhere, whatever is said
        begins = not state.begun if first is None else first
        first = _one_per_environment("first", begins, count).astype(bool) | (not state.begun)
        self._judge(observation, first, state)
        row = {
            "observation": observation,
            "last_action": np.where(first, -1, state.last_action).astype(np.int16),
            "last_reward": np.where(first, 0, reward).astype(np.float32),
            "last_bonus": np.where(first, 0, state.last_bonus).astype(np.float32),
            "mixture": state.mixture,
            "first": first,
        }
        behaviour = EpsilonGreedy(self.agent, state.epsilon, np.zeros(count, bool), state.rng)
        action = behaviour.act(row, state.recurrent)
        state.recurrent, state.last_action, state.begun = action.state, action.executed.astype(np.int16), True
        return action.executed.astype(np.int64), state

    def _judge(self, observation: np.ndarray, first: np.ndarray, state: PolicyState) -> None:
        """What the last step earned, by the novelty of the observation it led to, or of the one it left."""
        on_departure = self.config.bonus.timing == "departure"
        # where an episode begins nothing was earned: what ended it was never shown
        arrival_bonus = state.novelty.reward(observation, ~first)
        state.last_bonus = state.pending_bonus if on_departure else arrival_bonus
        state.pending_bonus = arrival_bonus
        if first.any():
            first_bonus = state.novelty.begin(observation, first, on_departure)
            state.pending_bonus = np.where(first, first_bonus, arrival_bonus).astype(np.float32)

    def _checked(self, observation: np.ndarray, count: int) -> np.ndarray:
        observation = np.ascontiguousarray(observation)
        expected = (count, *self.spec.shape)
        if observation.shape != expected or observation.dtype.name != self.spec.dtype:
            allowed = f"{self.spec.dtype} {expected}"
            raise BadInput(f"observation: {observation.dtype} {observation.shape} is not allowed; it must be {allowed}")
        return observation


def _one_per_environment(name: str, value: Any, count: int) -> np.ndarray:
    """A value for each of B environments, (B,); a scalar counts for all of them."""
    array = np.asarray(value)
    if array.shape not in ((), (count,)):
        raise BadInput(f"{name}: an array of shape {array.shape} is not allowed; it must be a scalar or ({count},)")
    return np.broadcast_to(array, (count,))


def load(path: Path | str, *, device: str | None = None, step: int | None = None) -> Policy:
    """The policy of a run, without its environments.

    Args:
        path: the run's directory.
        device: cpu, cuda, or auto for a GPU if there is one; that of the training if not given, or the processor where
            it had a GPU and there is none here.
        step: of the checkpoint; the newest if not given.

    Raises:
        BadInput: there is no checkpoint yet, it is of version 0.6, or there is no such device.
    """
    path = Path(path)
    config = Run.configuration(path, TrainConfig)
    checkpoint = Run.open(path).load(step, only=("policy",))
    if checkpoint is None:
        raise BadInput(f"run: {str(path)!r} has no checkpoint yet; wait for the first, or stop the training once")
    refuse_former(path, checkpoint.state)
    spec = from_json(Spec, checkpoint.state["spec"], "spec")
    config = replace(config, device=_device(config, device))
    agent = agents.make(config, spec, SeedTree(config.seed))
    policy = checkpoint.tensors["policy"]
    agent.load_state_dict({"policy": policy})
    novelty_state = {name: value.numpy() for name, value in unprefixed("novelty.", policy).items()}
    return Policy(config, agent, novelty_state)


def check_mixture(config: TrainConfig, mixture: int) -> None:
    """Refuse a mixture that a run does not have.

    Raises:
        BadInput: it has none of this number.
    """
    if not 0 <= mixture < config.bonus.mixtures:
        count = f"the run has {config.bonus.mixtures}, counted from 0"
        raise BadInput(f"mixture: {mixture} is not allowed; {count}")


def refuse_former(path: Path, state: dict[str, Any]) -> None:
    """Refuse a checkpoint of version 0.6, whose parts are arranged in another way.

    Raises:
        BadInput: it is one.
    """
    if "spec" not in state:
        advice = "train it anew, or use version 0.6"
        raise BadInput(f"run: {str(path)!r} holds a checkpoint of version 0.6, which cannot be read; {advice}")


def _device(config: TrainConfig, device: str | None) -> Any:
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise BadInput("device: 'cuda' is not allowed; there is no GPU here; take 'cpu'")
    if device not in (None, "auto", "cpu", "cuda"):
        raise BadInput(f"device: {device!r} is not allowed; it must be auto, cpu or cuda")
    chosen = device or config.device
    return chosen if available else "cpu"
