"""Random coin (arXiv 2003.13350, section on separate networks): an empty room, an agent and a coin somewhere in it.

Four moves, a bump into the border does nothing; the coin gives 1 and ends the episode, which makes exploring and
earning conflict: who takes the coin sees no more of the room. With ``terminates=False`` the coin moves elsewhere
instead, and the conflict is gone. Codes: 0 floor, 1 agent, 2 coin.
"""

import numpy as np

from outrange.core.checks import whole
from outrange.exploration.envs.draws import below, branch, kernel, part
from outrange.exploration.envs.inputs import flag
from outrange.exploration.envs.native import MOVES, Native


class RandomCoin(Native):
    """The batch of rooms.

    Args:
        size: side of the square room.
        cap: steps after which an episode is truncated.
        terminates: whether the coin ends the episode; else it moves to another cell.
    """

    name, actions, action_names = "outrange/RandomCoin-v0", 4, MOVES
    codes, glyphs = 3, ".@$"
    palette = np.array([(0, 0, 0), (44, 200, 44), (255, 187, 40)], np.uint8)

    def __init__(self, count: int, seed: int, *, size: int = 15, cap: int = 200, terminates: bool = True) -> None:
        self.size, self.cap, self.terminates = (
            whole("size", size, 2, 1000),
            whole("cap", cap, 1, 1 << 31),
            flag("terminates", terminates),
        )
        self.shape = (self.size, self.size)
        options = {"size": self.size, "cap": self.cap, "terminates": self.terminates}
        super().__init__(count, seed, options, {"coin": np.zeros(count, np.int64)})

    def _move(self, actions, observation, reward, terminated, truncated, place) -> None:
        arrays = self._arrays
        counters = (arrays["episode"], arrays["clock"], arrays["cell"], arrays["coin"])
        _move(
            self._key, actions, *counters, self.cap, self.terminates, observation, reward, terminated, truncated, place
        )

    def _begin(self, mask, observation, place) -> None:
        arrays = self._arrays
        _begin(self._key, mask, arrays["episode"], arrays["clock"], arrays["cell"], arrays["coin"], observation, place)

    def _paint(self, observation) -> None:
        _paint_all(self._arrays["cell"], self._arrays["coin"], observation)

    def places(self) -> np.ndarray:
        return np.full(self.count, self.size**2, np.int64)


@part
def _paint(cell, coin, observation):
    flat_observation = observation.ravel()
    flat_observation[:] = 0
    flat_observation[coin] = 2
    flat_observation[cell] = 1


@part
def _another_cell(bits, cell, cells):
    """A cell other than a given one, each as likely as another."""
    draw = below(bits, cells - 1)
    return draw + (draw >= cell)  # cells from the given one on move up by one


@kernel
def _begin(seed, mask, episode, clock, cell, coin, observation, place):
    cells = observation.shape[1] * observation.shape[2]
    for i in range(len(mask)):
        if mask[i]:
            episode[i] += 1
            clock[i] = 0
            key = branch(branch(seed, i), episode[i])
            cell[i] = below(branch(branch(key, 0), 0), cells)
            coin[i] = _another_cell(branch(branch(key, 0), 1), cell[i], cells)
            _paint(cell[i], coin[i], observation[i])
            place[i] = cell[i]


@kernel
def _move(
    seed, actions, episode, clock, cell, coin, cap, terminates, observation, reward, terminated, truncated, place
):
    height, width = observation.shape[1], observation.shape[2]
    for i in range(len(actions)):
        action = actions[i]
        # up, down, left, right; the border holds the agent back
        y, x = cell[i] // width, cell[i] % width
        y = min(max(y + (action == 1) - (action == 0), 0), height - 1)
        x = min(max(x + (action == 3) - (action == 2), 0), width - 1)
        cell[i] = place[i] = y * width + x
        clock[i] += 1
        if cell[i] == coin[i]:
            reward[i] = 1
            terminated[i] = terminates
            if not terminates:  # draws of an episode are numbered by its clock, so they are new at each step
                coin[i] = _another_cell(
                    branch(branch(branch(branch(seed, i), episode[i]), clock[i]), 0), cell[i], height * width
                )
        truncated[i] = clock[i] >= cap and not terminated[i]
        _paint(cell[i], coin[i], observation[i])


@kernel
def _paint_all(cell, coin, observation):
    for i in range(len(cell)):
        _paint(cell[i], coin[i], observation[i])
