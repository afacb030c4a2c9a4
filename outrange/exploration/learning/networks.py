"""The recurrent Q network with one input for the mixture (Never Give Up, arXiv 2002.06038, section 5 and figure H.1);
sizes come from the configuration."""

import torch
from torch import Tensor, nn

from outrange.exploration.learning.encoders import Encoder, one_hot
from outrange.exploration.learning.lstm import LSTM, State


class QNetwork(nn.Module):
    """Q(x_t, ., mixture | history): encoder; beside it the one-hot mixture and last action and the last rewards; LSTM;
    dueling heads.

    The mixture enters as a one-hot of its index, not as its beta or gamma. Last rewards enter as they are.

    Args:
        encoder: of observations.
        actions: how many actions Q is of.
        mixtures: how many there are; with one, it is no input.
        hidden_size: of the LSTM.
        head_size: hidden units of each dueling head.
        executed_actions: how many actions the environment takes, one of which was the last; as many as ``actions`` if
            not given.
    """

    def __init__(
        self,
        encoder: Encoder,
        actions: int,
        mixtures: int,
        hidden_size: int,
        head_size: int,
        executed_actions: int | None = None,
    ) -> None:
        super().__init__()
        self.actions, self.mixtures, self.hidden_size = actions, mixtures, hidden_size
        self.executed_actions = actions if executed_actions is None else executed_actions
        self.encoder = encoder
        inputs = encoder.width + self.executed_actions + 2 + (mixtures if mixtures > 1 else 0)
        self.lstm = LSTM(inputs, hidden_size)
        self.value = nn.Sequential(nn.Linear(hidden_size, head_size), nn.ReLU(), nn.Linear(head_size, 1))
        self.advantage = nn.Sequential(nn.Linear(hidden_size, head_size), nn.ReLU(), nn.Linear(head_size, actions))

    def forward(
        self,
        observation: Tensor,
        last_action: Tensor,
        last_reward: Tensor,
        last_bonus: Tensor,
        mixture: Tensor,
        first: Tensor,
        state: State,
    ) -> tuple[Tensor, State]:
        """Values of all actions along T rows.

        Args:
            observation: (T, B, *shape).
            last_action: (T, B), the executed one, -1 where there was none.
            last_reward: (T, B) what the last action brought; 0 where there was none.
            last_bonus: (T, B) the same of the bonus.
            mixture: (T, B) index.
            first: (T, B) rows that begin an episode.
            state: before the first row, (B, H) twice.

        Returns:
            Q (T, B, actions), and the state after the last row.
        """
        parts = [
            torch.relu(self.encoder(observation)),
            one_hot(last_action, self.executed_actions),
            last_reward.unsqueeze(-1),
            last_bonus.unsqueeze(-1),
        ]
        if self.mixtures > 1:
            parts.append(one_hot(mixture, self.mixtures))
        h, state = self.lstm(torch.cat(parts, -1), state, first)
        # dueling: the advantages of all actions have mean 0
        advantage = self.advantage(h)
        return self.value(h) + advantage - advantage.mean(-1, keepdim=True), state

    @property
    def state_size(self) -> int:
        """How many numbers the recurrent state of one stream has: h and c."""
        return 2 * self.hidden_size

    def split(self, state: Tensor) -> State:
        """h and c, (B, H) each, of a state (B, state_size) that lies side by side."""
        h, c = state.chunk(2, dim=1)
        return h.contiguous(), c.contiguous()

    def join(self, state: State) -> Tensor:
        """h and c side by side, (B, state_size)."""
        return torch.cat(state, 1)
