"""The episodic bonus from distances: Never Give Up (arXiv 2002.06038), algorithm 1, steps 2 to 7.

    d_m^2   <- running mean of the squared distances to the k nearest of the memory     RunningMean
    d_n      = d^2 / d_m^2,  then max(d_n - xi, 0);  K = epsilon / (d_n + epsilon)
    s        = sqrt(sum K) + c;  bonus = 0 if s > s_m else 1 / s                        kernel_bonus

B environments run in lock step ("streams"): numpy arrays in and out, streams first. With the paper's constants s is at
most sqrt(10) + c = 3.16, so its cut-off s_m = 8 cannot fire; it can from k = 64 on.

Where the paper disagrees with itself or is silent, there is a setting: kernel epsilon 1e-4 (table; text 1e-3); d_m^2
from all k distances (algorithm) or the k-th (text); over all that ever was or within the episode; a plain or a moving
mean; what a memory with fewer than k points gives.
"""

from collections.abc import Mapping
from typing import get_args

import numpy as np

from outrange.core.checks import within
from outrange.core.errors import BadInput, unknown
from outrange.exploration.config import Average, AverageOf, AverageScope, EpisodicConfig
from outrange.exploration.novelty import State


def kernel_bonus(normalised: np.ndarray, config: EpisodicConfig) -> np.ndarray:
    """Steps 4 to 7 of algorithm 1: normalised squared distances (..., k), inf allowed, to bonuses (...) float64."""
    beyond = np.maximum(np.asarray(normalised, np.float64) - config.cluster_distance, 0.0)
    kernel = config.kernel_epsilon / (beyond + config.kernel_epsilon)
    similarity = np.sqrt(kernel.sum(-1)) + config.pseudo_count
    return np.where(similarity > config.max_similarity, 0.0, 1.0 / similarity)


class RunningMean:
    """d_m^2, the running mean of squared distances to the nearest neighbours.

    A step of all streams is one update, before its distances are normalised. Distances that are not there (inf) do not
    count; with ``neighbours="kth"`` nor does a stream that has fewer than k. A moving mean begins at its first value.
    """

    def __init__(
        self,
        streams: int,
        average: Average = "cumulative",
        rate: float = 0.01,
        scope: AverageScope = "global",
        neighbours: AverageOf = "all",
    ) -> None:
        for field, value, choices in (
            ("distance_mean", average, Average),
            ("distance_mean_scope", scope, AverageScope),
            ("distance_mean_of", neighbours, AverageOf),
        ):
            if value not in get_args(choices):
                raise unknown(field, value, get_args(choices), "allowed")
        within("distance_mean_rate", rate, np.nextafter(0.0, 1.0), 1, "above 0 and at most 1")
        self.streams, self.average, self.rate = streams, average, rate
        self.scope, self.neighbours = scope, neighbours
        size = 1 if scope == "global" else streams
        self._mean, self._count = np.zeros(size), np.zeros(size, np.int64)

    @property
    def value(self) -> np.ndarray:
        """(B,) float64; 0 where nothing was measured yet."""
        return np.broadcast_to(self._mean, (self.streams,)).copy()

    def reset(self, mask: np.ndarray) -> None:
        """An episode begins in the streams (B,) bool; nothing happens to a global mean."""
        if self.scope == "episode":
            self._mean[mask], self._count[mask] = 0.0, 0

    def update(self, distances: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Take in squared distances (B, k), ascending, of the streams in the mask (B,); returns ``value``."""
        used = np.asarray(distances, np.float64)
        if self.neighbours == "kth":
            used = used[:, -1:]
        counts = np.isfinite(used) if mask is None else np.isfinite(used) & mask[:, None]
        total, number = np.where(counts, used, 0.0).sum(1), counts.sum(1)
        if self.scope == "global":
            total, number = total.sum(keepdims=True), number.sum(keepdims=True)
        measured = number > 0
        self._count += number
        # the weight of this step's mean: its share of all distances so far, or the moving mean's rate (1 at first)
        if self.average == "cumulative":
            share = number / np.maximum(self._count, 1)
        else:
            share = np.where(self._count == number, 1.0, self.rate)
        self._mean[measured] += (share * (total / np.maximum(number, 1) - self._mean))[measured]
        return self.value

    def state_dict(self) -> State:
        """All that ``load_state_dict`` needs."""
        return {"mean": self._mean.copy(), "count": self._count.copy()}

    def load_state_dict(self, state: State) -> None:
        """Go on from ``state_dict``."""
        fill("distance_mean", {"mean": self._mean, "count": self._count}, state)


class KernelBonus:
    """Algorithm 1, steps 2 to 7, for all streams."""

    def __init__(self, config: EpisodicConfig, streams: int) -> None:
        self.config = config
        self.mean = RunningMean(
            streams,
            config.distance_mean,
            config.distance_mean_rate,
            config.distance_mean_scope,
            config.distance_mean_of,
        )

    def reset(self, mask: np.ndarray) -> None:
        """An episode begins in the streams (B,) bool."""
        self.mean.reset(mask)

    def bonus(self, distances: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """The episodic bonus, (B,) float64; moves the running mean.

        As long as there is no mean above 0, distances above 0 count as 1 when normalised, like missing neighbours:
        nothing says what is far.

        Args:
            distances: squared distances to the k nearest points of memory, (B, k), ascending, inf where there are
                fewer.
            mask: (B,) bool, the streams that have an observation to judge; the others get 0 and leave the mean alone.

        Raises:
            BadInput: the shape is another.
        """
        distances = np.asarray(distances, np.float64)
        expected = (self.mean.streams, self.config.neighbours)
        if distances.shape != expected:
            allowed = f"{expected}, streams and neighbours"
            raise BadInput(f"distances: shape {distances.shape} is not allowed; it must be {allowed}")
        present = np.isfinite(distances)
        judged = np.ones(len(distances), bool) if mask is None else np.asarray(mask, bool)
        if self.config.missing_neighbours == "zero":
            judged = judged & present.all(1)
        scale = self.mean.update(distances, judged)[:, None]
        has_scale = scale > np.finfo(np.float32).tiny  # distances come in float32: below this, a mean is 0
        normalised = np.where(has_scale, distances, distances > 0) / np.where(has_scale, scale, 1.0)
        return np.where(judged, kernel_bonus(np.where(present, normalised, 1.0), self.config), 0.0)

    def state_dict(self) -> State:
        """All that ``load_state_dict`` needs."""
        return self.mean.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Go on from ``state_dict``."""
        self.mean.load_state_dict(state)


def fill(field: str, arrays: State, state: Mapping[str, np.ndarray]) -> None:
    """Write what was saved into arrays of the same shapes, by name.

    Raises:
        BadInput: a shape is another.
    """
    for name, array in arrays.items():
        if state[name].shape != array.shape:
            shapes = f"what was saved has shape {state[name].shape}; these settings need {array.shape}"
            raise BadInput(f"{field}.{name}: {shapes}")
        array[...] = state[name]
