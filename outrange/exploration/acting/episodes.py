"""What episodes come to: return, length, bonus, and the share of their places that was visited; running ones, and sums
over those that ended.

``METRICS`` is the one list of an episode's numbers: a row here is logged, evaluated, and averaged by mixture.
"""

from collections.abc import Callable

import numpy as np

from outrange.core.errors import BadInput
from outrange.exploration.envs import Envs, Step

_FIRST_PLACES = 64  # how many places there is space for from the start
_MOST_PLACES = 1 << 20

#: name -> the number of episode k, once its last step was taken in
METRICS: dict[str, Callable[["Episodes", int], float]] = {
    "return": lambda episodes, k: episodes.returns[k],
    "length": lambda episodes, k: episodes.length[k],
    "bonus": lambda episodes, k: episodes.bonuses[k],
    "coverage": lambda episodes, k: episodes.visited[k] / episodes.places[k] if episodes.places[k] else 0.0,
    "places": lambda episodes, k: episodes.visited[k],
    "success": lambda episodes, k: episodes.returns[k] > 0,
}


class Episodes:
    """The running episodes of B environments, and what those that ended came to.

    Args:
        envs: the environments.
        mixtures: how many mixtures there are.
        greedy: (B,) bool, the actors whose episodes are counted apart as well.
    """

    #: what is saved
    ARRAYS = ("returns", "bonuses", "length", "visited", "places", "seen", "ever_seen", "sums")

    def __init__(self, envs: Envs, mixtures: int, greedy: np.ndarray) -> None:
        count = envs.count
        self.envs, self.mixtures, self.greedy = envs, mixtures, greedy
        self.returns, self.bonuses = np.zeros(count), np.zeros(count)
        self.length, self.visited = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.places = np.zeros(count, np.int64)  # how many the running episode has, 0 where that is not known
        self.seen = np.zeros((count, _FIRST_PLACES), bool)
        self.ever_seen = np.zeros(_FIRST_PLACES, bool)  # places that any episode came to
        # by mixture, and whether the actor is a greedy one: how many episodes ended, and the sums of their metrics
        self.sums = np.zeros((mixtures, 2, 1 + len(METRICS)))
        self.finished: list[dict[str, float]] | None = None
        """a list that each episode that ends is added to, if anyone wants them one by one"""

    def begin(self, started: np.ndarray, place: np.ndarray) -> None:
        """Episodes begin where ``started`` (B,), at places (B,)."""
        self.returns[started] = self.bonuses[started] = 0
        self.length[started] = self.visited[started] = 0
        self.places[started] = self.envs.places()[started]
        self.seen[started] = False
        self._visit(place, started)

    def add(self, step: Step, bonus: np.ndarray, mixture: np.ndarray, count_ended: bool = True) -> None:
        """Take in a step and its bonus (B,); episodes that end with it are counted under their mixture (B,), unless not
        ``count_ended``."""
        valid = step.valid
        self.returns += np.where(valid, step.reward, 0)
        self.bonuses += np.where(valid, bonus, 0)
        self.length += valid
        self._visit(step.place, valid)
        if not count_ended:
            return
        for k in np.flatnonzero(valid & (step.terminated | step.truncated)).tolist():
            values = [metric(self, k) for metric in METRICS.values()]
            self.sums[mixture[k], int(self.greedy[k])] += (1, *values)
            if self.finished is not None:
                numbers = dict(zip(METRICS, map(float, values), strict=True))
                self.finished.append(numbers | {"mixture": int(mixture[k]), "actor": int(k)})

    def forget(self, broken: np.ndarray) -> None:
        """Episodes that broke, (B,) bool, count for nothing."""
        self.returns[broken] = self.bonuses[broken] = 0
        self.length[broken] = 0

    def report(self) -> dict[str, float]:
        """Means over the episodes that ended since the last report: of all, of the greedy actors, and by mixture; then
        the sums begin anew."""
        metrics: dict[str, float] = {"ever_places": float(self.ever_seen.sum())} if self.ever_seen.any() else {}
        groups = {"": self.sums.sum((0, 1)), "greedy_": self.sums[:, 1].sum(0)}
        if self.mixtures > 1:
            groups |= {f"mixture{j}_": self.sums[j].sum(0) for j in range(self.mixtures)}
            groups |= {f"mixture{j}_greedy_": self.sums[j, 1] for j in range(self.mixtures)}
        # a group in which nothing ended says nothing
        for prefix, total in groups.items():
            if total[0]:
                metrics[f"{prefix}episodes"] = float(total[0])
                means = zip(METRICS, total[1:] / total[0], strict=True)
                metrics |= {f"{prefix}{name}": float(mean) for name, mean in means}
        self.sums[...] = 0
        return metrics

    def _visit(self, place: np.ndarray, mask: np.ndarray) -> None:
        """The environments in ``mask`` are at places (B,), -1 where that is unknown."""
        rows = np.flatnonzero(mask & (place >= 0))
        if not rows.size:
            return
        places = place[rows]
        if (highest := int(places.max())) >= self.seen.shape[1]:
            if highest >= _MOST_PLACES:
                allowed = f"places of an environment are numbered below {_MOST_PLACES:,}"
                raise BadInput(f"place: {highest} is not allowed; {allowed}")
            # twice as many as are needed now, so that growing stays rare
            more = 2 * highest + 1 - self.seen.shape[1]
            self.seen, self.ever_seen = np.pad(self.seen, ((0, 0), (0, more))), np.pad(self.ever_seen, (0, more))
        # a place counts once an episode
        self.visited[rows] += ~self.seen[rows, places]
        self.seen[rows, places] = self.ever_seen[places] = True

    def state_dict(self) -> dict[str, np.ndarray]:
        """All that ``load_state_dict`` needs."""
        return {name: getattr(self, name) for name in self.ARRAYS}

    def load_state_dict(self, state: dict[str, np.ndarray], running: bool = True) -> None:
        """Go on from ``state_dict``; without ``running`` only from what ended, where new episodes begin."""
        if running:
            for name in self.ARRAYS:
                setattr(self, name, state[name])
            return
        self.sums, self.ever_seen = state["sums"], state["ever_seen"]
        self.seen = np.zeros((self.envs.count, len(self.ever_seen)), bool)
