"""Deep sea (Osband et al. 2020, bsuite): N x N cells, one row down every step, left or right; only N times right finds
the treasure.

A step right costs 0.01 / N, the treasure in the last column gives 1, so the best return is 0.99 and a uniform policy
finds it in 2^-N of its episodes. An episode is N steps and ends truly. Which action means right is drawn for every
cell. ``place`` is row * N + column; an episode's last step leaves the grid: -1, and nothing is shown. Codes: 0 empty, 1
agent.

Which meaning an action has is the task, so it must not differ between the environments that are learnt in and those
that are evaluated in: it comes from an option of its own, not from the seed. Nothing else is drawn.
"""

import numpy as np

from outrange.core.checks import whole
from outrange.exploration.envs.draws import branch, kernel
from outrange.exploration.envs.inputs import flag
from outrange.exploration.envs.native import Native


class DeepSea(Native):
    """The batch of seas.

    Args:
        size: N.
        mapped: whether the meaning of actions is drawn for every cell; else action 1 is right.
        mapping: number of the drawing.
    """

    name, actions = "outrange/DeepSea-v0", 2
    codes, glyphs = 2, ".@"
    palette = np.array([(10, 20, 60), (255, 255, 255)], np.uint8)

    def __init__(self, count: int, seed: int, *, size: int = 10, mapped: bool = True, mapping: int = 0) -> None:
        self.size, self.mapped, self.mapping = (
            whole("size", size, 2, 1000),
            flag("mapped", mapped),
            whole("mapping", mapping, 0, 1 << 53),
        )
        self.shape = (self.size, self.size)
        self.action_names = ("first", "second") if self.mapped else ("left", "right")
        super().__init__(count, seed, {"size": self.size, "mapped": self.mapped, "mapping": self.mapping})
        #: (N, N) which action means right
        self.right = np.ones(self.shape, np.int64)
        if self.mapped:
            _draw(np.uint64(self.mapping), self.right)

    def _move(self, actions, observation, reward, terminated, truncated, place) -> None:
        _move(actions, self.right, self._arrays["clock"], self._arrays["cell"], reward, terminated)
        self._show(observation, place)

    def _begin(self, mask, observation, place) -> None:
        self._arrays["episode"][mask] += 1
        self._arrays["clock"][mask] = 0
        self._arrays["cell"][mask] = 0
        self._show(observation, place)

    def _show(self, observation, place) -> None:
        _show(self._arrays["cell"], observation, place)

    def _paint(self, observation) -> None:
        self._show(observation, np.empty(self.count, np.int64))

    def places(self) -> np.ndarray:
        """Cells that can be reached at all."""
        return np.full(self.count, self.size * (self.size + 1) // 2, np.int64)


@kernel
def _draw(mapping, right):
    flat = right.ravel()
    for j in range(flat.size):
        flat[j] = np.int64(branch(branch(mapping, 0), j) >> np.uint64(63))  # the highest bit


@kernel
def _show(cell, observation, place):
    size = observation.shape[1]
    for i in range(len(cell)):
        observation[i, :, :] = 0
        place[i] = -1
        if cell[i] < size * size:
            observation[i, cell[i] // size, cell[i] % size] = 1
            place[i] = cell[i]


@kernel
def _move(actions, right, clock, cell, reward, terminated):
    size = right.shape[0]
    for i in range(len(actions)):
        row, column = cell[i] // size, cell[i] % size
        if actions[i] == right[row, column]:
            # the treasure lies right of the last column
            reward[i] = (1.0 if column == size - 1 else 0.0) - 0.01 / size
            column = min(column + 1, size - 1)
        else:
            column = max(column - 1, 0)
        cell[i] = (row + 1) * size + column  # beyond the grid after the last row
        clock[i] += 1
        terminated[i] = row + 1 == size
