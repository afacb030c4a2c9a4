"""What coverage of a maze is worth: five policies that learn nothing, to be printed beside every curve.

    uniform        any move: walks into a wall at once
    to and fro     between two cells: touches no wall and sees nothing
    legal          any move that is not into a wall
    onward         the same, straight back only in a dead end: needs no more memory than the last move, which the networks are given
    wall follower  keeps a hand on the wall: sees everything, in at most two moves for each passage

At 21 x 21 and a cap of 500 they see about 0.8, 1, 18, 77 and 100 % of the free cells. They are told which moves are legal; an agent is not.
"""

from collections.abc import Callable

import numpy as np

from outrange.core.errors import unknown
from outrange.core.seeding import SeedTree
from outrange.exploration.envs.disco import RandomDiscoMaze
from outrange.exploration.envs.inputs import whole

#: (legal moves (B, 4), last moves (B,) or -1, generator) -> moves (B,); up, down, left, right
Policy = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
_BACK = np.array([1, 0, 3, 2, -1])  # of a move; none of none
_HAND = np.array(
    [[3, 0, 2, 1], [2, 1, 3, 0], [0, 2, 1, 3], [1, 3, 0, 2]]
)  # from a heading: right of it, on, left of it, back


def _any(allowed: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """One of the moves allowed, each as likely as another."""
    return (allowed * (1 + random.random(allowed.shape))).argmax(1)


def uniform(legal: np.ndarray, last: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return random.integers(4, size=len(legal))


def to_and_fro(legal: np.ndarray, last: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.where(last >= 0, _BACK[last], _any(legal, random))


def any_legal(legal: np.ndarray, last: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return _any(legal, random)


def onward(legal: np.ndarray, last: np.ndarray, random: np.random.Generator) -> np.ndarray:
    ahead = legal & (np.arange(4) != _BACK[last][:, None])
    return _any(np.where(ahead.any(1, keepdims=True), ahead, legal), random)


def wall_follower(legal: np.ndarray, last: np.ndarray, random: np.random.Generator) -> np.ndarray:
    order = _HAND[np.maximum(last, 0)]
    return np.take_along_axis(order, np.take_along_axis(legal, order, 1).argmax(1)[:, None], 1)[:, 0]


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
    """Share of the free cells visited and length, (episodes,) each, of the first episodes in every environment of a batch: short ones are not favoured."""
    if policy not in POLICIES:
        raise unknown("policy", policy, POLICIES, "a policy without learning")
    batch = min(batch, whole("episodes", episodes, 1, 1 << 30))
    envs, random = RandomDiscoMaze(batch, seed, size=size, cap=cap), SeedTree(seed).child("reference", policy).numpy()
    rows, quota = np.arange(batch), -(-episodes // batch)
    seen, last, length, done = (
        np.zeros((batch, size * size), bool),
        np.full(batch, -1),
        np.zeros(batch, np.int64),
        np.zeros(batch, np.int64),
    )
    shares, lengths = np.zeros((quota, batch)), np.zeros((quota, batch), np.int64)
    seen[rows, envs.reset()[1]] = True
    while (done < quota).any():
        cells = envs.places()
        last = POLICIES[policy](envs.legal(), last, random)
        step = envs.step(last)
        length += 1
        inside = step.place >= 0
        seen[rows[inside], step.place[inside]] = True
        over = rows[step.started]
        kept = over[done[over] < quota]
        shares[done[kept], kept], lengths[done[kept], kept] = seen[kept].sum(1) / cells[kept], length[kept]
        done[over] += 1
        seen[over], last[over], length[over] = False, -1, 0
        seen[over, step.start_place[over]] = True
    return shares.ravel()[:episodes], lengths.ravel()[:episodes]
