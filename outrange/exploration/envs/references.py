"""How to judge coverage of a maze: five policies that learn nothing, to be printed beside every curve.

    uniform        any move: walks into a wall at once
    to and fro     between two cells: touches no wall and sees nothing
    legal          any move that is not into a wall
    onward         the same, straight back only in a dead end: needs no more memory than the last move, which the
    networks see, too wall follower  keeps a hand on the wall: sees everything, in at most two moves for each passage

At 21 x 21 and a cap of 500 they see about 0.8, 1, 18, 77 and 100 % of the free cells. All but the uniform one know
which moves are legal; an agent does not.
"""

from collections.abc import Callable

import numpy as np

from outrange.core.checks import whole
from outrange.core.errors import unknown
from outrange.core.seeding import SeedTree
from outrange.exploration.envs.disco import RandomDiscoMaze

#: (legal moves (B, 4), last moves (B,) or -1, generator) -> moves (B,); up, down, left, right
Policy = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
_BACK = np.array([1, 0, 3, 2, -1])
"""the move that takes back a move; -1 for none takes back none"""
_RIGHT_HAND = np.array([[3, 0, 2, 1], [2, 1, 3, 0], [0, 2, 1, 3], [1, 3, 0, 2]])
"""for each last move, the moves in the order right of it, straight on, left of it, back"""


def _any(allowed: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """One of the moves allowed, each as likely as another."""
    return (allowed * (1 + random.random(allowed.shape))).argmax(1)  # 1 + draw: every allowed move beats a 0


def uniform(legal: np.ndarray, last: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return random.integers(4, size=len(legal))


def to_and_fro(legal: np.ndarray, last: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.where(last >= 0, _BACK[last], _any(legal, random))


def any_legal(legal: np.ndarray, last: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return _any(legal, random)


def onward(legal: np.ndarray, last: np.ndarray, random: np.random.Generator) -> np.ndarray:
    # straight back only where nothing else is legal
    ahead = legal & (np.arange(4) != _BACK[last][:, None])
    return _any(np.where(ahead.any(1, keepdims=True), ahead, legal), random)


def wall_follower(legal: np.ndarray, last: np.ndarray, random: np.random.Generator) -> np.ndarray:
    order = _RIGHT_HAND[np.maximum(last, 0)]
    first_legal = np.take_along_axis(legal, order, 1).argmax(1)  # argmax: the first True
    return np.take_along_axis(order, first_legal[:, None], 1)[:, 0]


POLICIES: dict[str, Policy] = {
    "uniform": uniform,
    "to and fro": to_and_fro,
    "legal": any_legal,
    "onward": onward,
    "wall follower": wall_follower,
}


def coverage(
    policy: str, episodes: int, seed: int, *, size: int = 21, cap: int = 500, batch: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """What share of a maze's free cells a policy visits, and how long its episodes are.

    Args:
        policy: a key of ``POLICIES``.
        episodes: how many: the first ones of every environment of a batch, the same number of each, so that short ones
            are not favoured.
        seed: of mazes and moves.
        size, cap: of the maze, see ``RandomDiscoMaze``.
        batch: environments side by side, at most.

    Returns:
        Shares and lengths, (episodes,) each.
    """
    if policy not in POLICIES:
        raise unknown("policy", policy, POLICIES, "a policy without learning")
    batch = min(batch, whole("episodes", episodes, 1, 1 << 30))
    envs = RandomDiscoMaze(batch, seed, size=size, cap=cap)
    random = SeedTree(seed).child("reference", policy).numpy()
    rows, episodes_per_env = np.arange(batch), -(-episodes // batch)
    visited, last_move = np.zeros((batch, size * size), bool), np.full(batch, -1)
    length, ended = np.zeros(batch, np.int64), np.zeros(batch, np.int64)
    shares = np.zeros((episodes_per_env, batch))
    lengths = np.zeros((episodes_per_env, batch), np.int64)

    visited[rows, envs.reset()[1]] = True
    while (ended < episodes_per_env).any():
        free_cells = envs.places()  # of this episode's mazes: the step may begin others
        last_move = POLICIES[policy](envs.legal(), last_move, random)
        step = envs.step(last_move)
        length += 1
        inside = step.place >= 0
        visited[rows[inside], step.place[inside]] = True

        # episodes that ended: counted if their environment still owes some, then begun anew
        over = rows[step.started]
        counted = over[ended[over] < episodes_per_env]
        shares[ended[counted], counted] = visited[counted].sum(axis=1) / free_cells[counted]
        lengths[ended[counted], counted] = length[counted]
        ended[over] += 1
        visited[over], last_move[over], length[over] = False, -1, 0
        visited[over, step.start_place[over]] = True
    return shares.ravel()[:episodes], lengths.ravel()[:episodes]
