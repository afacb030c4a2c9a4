"""Random Disco Maze (arXiv 2002.06038, section 4.1 and appendix A): a fresh perfect maze every episode whose walls
change colour every step.

The agent sees the whole maze as cell codes: 0 corridor, 1 agent, from 2 on the colours of walls. A step into a wall
ends the episode. There is no reward. What to measure is the share of free cells that an episode visits: ``place`` is y
* W + x, -1 once it has walked into a wall, and ``places`` counts free cells.

Ours where the paper is silent: mazes come from a depth-first walk with uniform choices (rooms at odd coordinates, 199
free cells at 21 x 21); the start is a free cell, each as likely as another; a cap truncates.
"""

import numpy as np

from outrange.core.checks import whole
from outrange.core.errors import BadInput
from outrange.exploration.envs.draws import below, branch, kernel, mix32, part
from outrange.exploration.envs.native import MOVES, Native

_COLOURS = (
    (214, 39, 40),
    (31, 119, 180),
    (255, 187, 40),
    (148, 103, 189),
    (23, 190, 207),
    (227, 119, 194),
    (255, 127, 14),
    (127, 127, 127),
)
_MAZE, _START, _PAINT = 0, 1, 2  # branches of an episode's draws


class RandomDiscoMaze(Native):
    """The batch of mazes.

    Args:
        size: side of the square, odd, at least 5.
        cap: steps after which an episode is truncated.
        colours: how many colours a wall may have, 1 to 8.
    """

    name, actions, action_names = "outrange/RandomDiscoMaze-v0", 4, MOVES
    wall_codes = range(2, 2 + len(_COLOURS))

    def __init__(self, count: int, seed: int, *, size: int = 21, cap: int = 500, colours: int = 5) -> None:
        self.size, self.cap = whole("size", size, 5, 201, odd=True), whole("cap", cap, 1, 1 << 31)
        self.colours = whole("colours", colours, 1, len(_COLOURS))
        self.shape, self.codes = (self.size, self.size), 2 + self.colours
        self.palette = np.array([(0, 0, 0), (44, 200, 44), *_COLOURS[: self.colours]], np.uint8)
        self.glyphs = " @" + "0123456789"[: self.colours]
        options = {"size": self.size, "cap": self.cap, "colours": self.colours}
        super().__init__(count, seed, options, {"walls": np.ones((count, self.size, self.size), np.uint8)})

    def _move(self, actions, observation, reward, terminated, truncated, place) -> None:
        arrays = self._arrays
        _move(
            self._key,
            actions,
            arrays["walls"],
            arrays["episode"],
            arrays["clock"],
            arrays["cell"],
            self.cap,
            self.colours,
            observation,
            terminated,
            truncated,
            place,
        )

    def _begin(self, mask, observation, place) -> None:
        arrays = self._arrays
        _begin(
            self._key,
            mask,
            arrays["walls"],
            arrays["episode"],
            arrays["clock"],
            arrays["cell"],
            self.colours,
            observation,
            place,
        )

    def _paint(self, observation) -> None:
        arrays = self._arrays
        _paint_all(
            self._key, arrays["walls"], arrays["episode"], arrays["clock"], arrays["cell"], self.colours, observation
        )

    def _check_state(self, state) -> None:
        super()._check_state(state)
        inside = state["walls"][:, 1:-1, 1:-1]
        if (state["walls"] > 1).any() or state["walls"].sum() - inside.sum() != self.count * 4 * (self.size - 1):
            raise BadInput(f"{self.name}: state.walls: it must be 0 or 1 everywhere, and 1 at the border")

    def places(self) -> np.ndarray:
        return (self._arrays["walls"] == 0).sum((1, 2), dtype=np.int64)

    def legal(self) -> np.ndarray:
        """(B, 4) bool, which moves do not walk into a wall: for reference policies; agents do not see it."""
        walls = self._arrays["walls"].reshape(self.count, -1)
        return np.stack(
            [walls[np.arange(self.count), self._arrays["cell"] + step] == 0 for step in (-self.size, self.size, -1, 1)],
            1,
        )


@part
def _paint(key, walls, cell, colours, observation):
    """The colour of a wall is a draw of its own, numbered by the cell. 32 bits are enough for a colour, and eight or
    sixteen of them are made at once."""
    low, high, n = np.uint32(key), np.uint32(key >> np.uint64(32)), np.uint32(colours)
    flat_walls, flat_observation = walls.ravel(), observation.ravel()
    for j in range(flat_walls.size):
        colour = np.uint32(np.uint32(np.uint32(mix32(low, high, j) >> np.uint32(16)) * n) >> np.uint32(16))
        flat_observation[j] = np.uint8(flat_walls[j] * np.uint8(np.uint32(2) + colour))
    flat_observation[cell] = 1


@part
def _carve(key, walls, unseen, rooms, free):
    """A perfect maze: from a room go to a room not yet seen, each as likely as another; back where there is none.

    Scratch: ``unseen`` (n + 2, n + 2) for the n x n rooms and a border, ``rooms`` a stack of (room, its cell), ``free``
    the cells carved, in order. Returns how many cells are free. The choice is written without branches, which a
    processor could not predict.
    """
    size = walls.shape[0]
    n = size // 2
    stride = n + 2
    unseen[:] = 0
    unseen[1:-1, 1:-1] = 1
    walls[:] = 1
    flat_walls, flat_unseen = walls.ravel(), unseen.ravel()
    # the first room; rooms are counted with their border in ``unseen``, cells in the maze
    first = below(branch(key, 0), n * n)
    room, cell = (first // n + 1) * stride + first % n + 1, (2 * (first // n) + 1) * size + 2 * (first % n) + 1
    flat_unseen[room], flat_walls[cell], free[0] = 0, 0, cell
    rooms[0, 0], rooms[0, 1] = room, cell
    depth, carved = 1, 1
    while depth:
        room, cell = rooms[depth - 1, 0], rooms[depth - 1, 1]
        # 1 for each neighbour not yet seen; back to the room before where there is none
        up, down, left, right = (
            flat_unseen[room - stride],
            flat_unseen[room + stride],
            flat_unseen[room - 1],
            flat_unseen[room + 1],
        )
        choices = up + down + left + right
        if choices == 0:
            depth -= 1
            continue
        # one of those neighbours: 0 up, 1 down, 2 left, 3 right
        pick = below(branch(key, carved), choices)
        direction = int(pick >= up) + int(pick >= up + down) + int(pick >= up + down + left)
        sign = 1 if direction & 1 else -1
        step, jump = (sign * size, sign * stride) if direction < 2 else (sign, sign)
        # open the wall between the rooms, and the room behind it
        flat_walls[cell + step] = flat_walls[cell + 2 * step] = 0
        free[carved], free[carved + 1] = cell + step, cell + 2 * step
        flat_unseen[room + jump] = 0
        rooms[depth, 0], rooms[depth, 1] = room + jump, cell + 2 * step
        depth += 1
        carved += 2
    return carved


@kernel
def _begin(seed, mask, walls, episode, clock, cell, colours, observation, place):
    n = walls.shape[1] // 2
    unseen, rooms, free = (
        np.empty((n + 2, n + 2), np.int64),
        np.empty((n * n, 2), np.int64),
        np.empty(2 * n * n, np.int64),
    )
    for i in range(len(mask)):
        if mask[i]:
            episode[i] += 1
            clock[i] = 0
            key = branch(branch(seed, i), episode[i])
            carved = _carve(branch(key, _MAZE), walls[i], unseen, rooms, free)
            cell[i] = free[below(branch(key, _START), carved)]
            _paint(branch(key, _PAINT), walls[i], cell[i], colours, observation[i])
            place[i] = cell[i]


@kernel
def _move(seed, actions, walls, episode, clock, cell, cap, colours, observation, terminated, truncated, place):
    size = walls.shape[1]
    for i in range(len(actions)):
        action = actions[i]
        step = -size if action == 0 else size if action == 1 else -1 if action == 2 else 1
        clock[i] += 1
        ahead = cell[i] + step  # a border of walls keeps it inside
        terminated[i] = walls[i, ahead // size, ahead % size] != 0
        truncated[i] = clock[i] >= cap and not terminated[i]
        if not terminated[i]:
            cell[i] = ahead
        place[i] = -1 if terminated[i] else cell[i]
        _paint(
            branch(branch(branch(seed, i), episode[i]), _PAINT + clock[i]), walls[i], cell[i], colours, observation[i]
        )


@kernel
def _paint_all(seed, walls, episode, clock, cell, colours, observation):
    for i in range(len(cell)):
        _paint(
            branch(branch(branch(seed, i), episode[i]), _PAINT + clock[i]), walls[i], cell[i], colours, observation[i]
        )
