"""How new a state is: the episodic bonus (arXiv 2002.06038, algorithm 1) and the life-long factor on it (section 2, equation of r^i).

    d_m^2   <- running mean of the squared distances to the k nearest of M         RunningMean
    d_n      = d^2 / d_m^2,  then max(d_n - xi, 0);  K = epsilon / (d_n + epsilon)
    s        = sqrt(sum K) + c;  bonus = 0 if s > s_m else 1 / s                    kernel_bonus
    alpha    = 1 + (error - mean) / deviation                                       Moments
    r^i      = bonus min(max(alpha, 1), L)                                          combine

B environments run in lock step ("streams"): numpy arrays in and out, streams first. A state is asked for before it is added, so that it is not its own
neighbour. With the paper's constants s is at most sqrt(10) + c = 3.16, so its cut-off s_m = 8 cannot fire; it can from k = 64 on.

Where the paper disagrees with itself or is silent, there is a setting: kernel epsilon 1e-4 (table; text 1e-3); d_m^2 from all k distances (algorithm) or the
k-th (text); over all that ever was or within the episode; a plain or a moving mean; what a memory with fewer than k points gives.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from outrange.core.compiled import compiled
from outrange.core.errors import BadInput, brief, unknown

How = Literal["cumulative", "momentum"]
Scope = Literal["global", "episode"]
Of = Literal["all", "kth"]
HOW, SCOPES, OF, MISSING = ("cumulative", "momentum"), ("global", "episode"), ("all", "kth"), ("zero", "unit")
State = dict[str, np.ndarray]
_ROOM = 256  # rows of a stream that there is room for from the start


@dataclass(frozen=True, kw_only=True)
class EpisodicConfig:
    """The constants of algorithm 1; the defaults are the paper's table."""

    k: int = 10
    """neighbours"""
    epsilon: float = 1e-4
    """of the kernel; 0.01 in the paper's maze"""
    xi: float = 0.008
    """normalised distances up to here count as none"""
    c: float = 1e-3
    """added to the root, not under it"""
    maximum: float = 8.0
    """s_m: a similarity above it gives no bonus"""
    missing: Literal["zero", "unit"] = "zero"
    """a memory with fewer than k points: no bonus, or each missing neighbour stands at normalised distance 1"""
    mean: How = "cumulative"
    """of all so far, or moving by mean_rate"""
    mean_rate: float = 0.01
    """of a step of all streams; used by momentum"""
    mean_scope: Scope = "global"
    """one mean for all streams and episodes, or one for each stream from the beginning of its episode"""
    mean_of: Of = "all"
    """all k distances, or that of the k-th neighbour"""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise BadInput(f"bonus.k: {brief(self.k)} is not allowed; it must be at least 1")
        for name in ("epsilon", "c", "maximum"):
            if not 0 < getattr(self, name) < math.inf:
                raise BadInput(f"bonus.{name}: {brief(getattr(self, name))} is not allowed; it must be above 0")
        if not 0 <= self.xi < math.inf:
            raise BadInput(f"bonus.xi: {brief(self.xi)} is not allowed; it must be 0 or above")
        if self.missing not in MISSING:
            raise unknown("bonus.missing", self.missing, MISSING, "a way to count missing neighbours")
        _check_mean("bonus.mean", self.mean, self.mean_rate, self.mean_scope, self.mean_of)


def kernel_bonus(normalised: np.ndarray, config: EpisodicConfig) -> np.ndarray:
    """Steps 4 to 7 of algorithm 1: normalised squared distances (..., k), inf allowed, to bonuses (...) float64."""
    beyond = np.maximum(np.asarray(normalised, np.float64) - config.xi, 0.0)
    similarity = np.sqrt((config.epsilon / (beyond + config.epsilon)).sum(-1)) + config.c
    return np.where(similarity > config.maximum, 0.0, 1.0 / similarity)


class RunningMean:
    """d_m^2, the running mean of squared distances to the nearest neighbours.

    A step of all streams is one update, before its distances are normalised. Distances that are not there (inf) do not count; with ``of="kth"`` nor does a
    stream that holds fewer than k. A moving mean begins at its first value.
    """

    def __init__(
        self, streams: int, how: How = "cumulative", rate: float = 0.01, scope: Scope = "global", of: Of = "all"
    ) -> None:
        _check_mean("mean", how, rate, scope, of)
        self.streams, self.how, self.rate, self.scope, self.of = streams, how, rate, scope, of
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
        used = np.asarray(distances, np.float64)[:, -1:] if self.of == "kth" else np.asarray(distances, np.float64)
        counts = np.isfinite(used) if mask is None else np.isfinite(used) & mask[:, None]
        total, number = np.where(counts, used, 0.0).sum(1), counts.sum(1)
        if self.scope == "global":
            total, number = total.sum(keepdims=True), number.sum(keepdims=True)
        new = number > 0
        self._count += number
        share = (
            number / np.maximum(self._count, 1)
            if self.how == "cumulative"
            else np.where(self._count == number, 1.0, self.rate)
        )
        self._mean[new] += (share * (total / np.maximum(number, 1) - self._mean))[new]
        return self.value

    def state(self) -> State:
        """All that ``restore`` needs."""
        return {"mean": self._mean.copy(), "count": self._count.copy()}

    def restore(self, state: State) -> None:
        """Go on from what ``state`` gave."""
        _fill("mean", {"mean": self._mean, "count": self._count}, state)


class KernelBonus:
    """Algorithm 1, steps 2 to 7, for all streams."""

    def __init__(self, config: EpisodicConfig, streams: int) -> None:
        self.config = config
        self.mean = RunningMean(streams, config.mean, config.mean_rate, config.mean_scope, config.mean_of)

    def reset(self, mask: np.ndarray) -> None:
        """An episode begins in the streams (B,) bool."""
        self.mean.reset(mask)

    def bonus(self, distances: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """The episodic bonus, (B,) float64; moves the running mean.

        As long as there is no mean above 0, distances above 0 count as 1 when normalised, like missing neighbours: nothing says what is far.

        Args:
            distances: squared distances to the k nearest points of memory, (B, k), ascending, inf where fewer are held.
            mask: (B,) bool, the streams that have a state to judge; the others get 0 and leave the mean alone.

        Raises:
            BadInput: the shape is another.
        """
        distances = np.asarray(distances, np.float64)
        if distances.shape != (self.mean.streams, self.config.k):
            raise BadInput(
                f"distances: shape {distances.shape} is not allowed; it must be {(self.mean.streams, self.config.k)}, streams and neighbours"
            )
        held = np.isfinite(distances)
        judged = np.ones(len(distances), bool) if mask is None else np.asarray(mask, bool)
        if self.config.missing == "zero":
            judged = judged & held.all(1)
        scale = self.mean.update(distances, judged)[:, None]
        known = scale > np.finfo(np.float32).tiny  # distances come in float32: below, a mean is 0
        normalised = np.where(known, distances, distances > 0) / np.where(known, scale, 1.0)
        return np.where(judged, kernel_bonus(np.where(held, normalised, 1.0), self.config), 0.0)

    def state(self) -> State:
        """All that ``restore`` needs."""
        return self.mean.state()

    def restore(self, state: State) -> None:
        """Go on from what ``state`` gave."""
        self.mean.restore(state)


class EpisodicMemory:
    """The points of each stream's episode: a ring of ``capacity`` rows that overwrites the oldest.

    There is room for the longest episode so far, at most twice of it, and never for more than ``capacity``: 64 streams of 500 x 32 take 4 MB, of 30,000 x 32
    they take 246. (Asking for zeros at once and leaving it to the system to take only what is written does not do: it takes 2 MB of each stream at a time.)
    """

    def __init__(self, streams: int, capacity: int, dimension: int) -> None:
        for name, value in (("streams", streams), ("capacity", capacity), ("dimension", dimension)):
            if value < 1:
                raise BadInput(f"memory.{name}: {brief(value)} is not allowed; it must be at least 1")
        self.streams, self.capacity, self.dimension = streams, capacity, dimension
        self._points = np.zeros((streams, min(capacity, _ROOM), dimension), np.float32)
        self._held, self._next = np.zeros(streams, np.int64), np.zeros(streams, np.int64)
        self._query = np.empty((streams, dimension), np.float32)

    @property
    def held(self) -> np.ndarray:
        """(B,) int64: how many points each stream holds."""
        return self._held.copy()

    def clear(self, mask: np.ndarray) -> None:
        """Forget all points of the streams (B,) bool, as where an episode begins."""
        self._held[mask] = self._next[mask] = 0

    def add(self, embedding: np.ndarray, mask: np.ndarray | None = None) -> None:
        """Write embeddings (B, dimension) to the streams in the mask (B,) bool, each over its stream's oldest point once the ring is full.

        Raises:
            BadInput: the shape is another, or an embedding that counts is not finite.
        """
        self._check(embedding)
        rows = np.arange(self.streams) if mask is None else np.flatnonzero(mask)
        points = np.asarray(embedding, np.float32)[rows]
        finite = np.isfinite(points).all(1)
        if not finite.all():
            raise BadInput(f"embedding: that of stream {rows[~finite][0]} is not finite; its network is broken")
        at = self._next[rows]
        self._room(int(at.max(initial=-1)) + 1)
        self._points[rows, at] = points
        self._next[rows] = (at + 1) % self.capacity
        self._held[rows] = np.minimum(self._held[rows] + 1, self.capacity)

    def nearest(self, embedding: np.ndarray, k: int) -> np.ndarray:
        """Squared Euclidean distances from embeddings (B, dimension) to the k nearest points of their streams.

        Returns (B, k) float32, ascending, inf where fewer are held and all inf for an embedding that is not finite.
        Ask before adding: a point that was added is its own neighbour at distance 0. Every held point is looked at.
        """
        self._check(embedding)
        if k < 1:
            raise BadInput(f"k: {brief(k)} is not allowed; it must be at least 1")
        self._query[...] = embedding  # one type and layout for the compiled code, whatever came
        found = np.full((self.streams, k), np.inf, np.float32)
        _nearest(self._points, self._held, self._query, found)
        return found

    def state(self) -> State:
        """All that ``restore`` needs: of the rings only what is filled, the streams' points one after another."""
        points = np.concatenate([ring[:held] for ring, held in zip(self._points, self._held, strict=True)])
        return {"held": self._held.copy(), "next": self._next.copy(), "points": points}

    def restore(self, state: State) -> None:
        """Go on from what ``state`` gave.

        Raises:
            BadInput: it is of a memory of another shape.
        """
        held, points = state["held"], state["points"]
        fits = (
            held.shape == (self.streams,)
            and held.max() <= self.capacity
            and points.shape == (held.sum(), self.dimension)
        )
        if (
            not fits
            or state["next"].max() >= self.capacity
            or bool(((held < self.capacity) & (state["next"] != held)).any())
        ):
            shape = f"{self.streams} streams of {self.capacity:,} points of {self.dimension} numbers"
            raise BadInput(
                f"memory: what was saved, {points.shape[0]:,} points of {held.size} streams, is not of a memory of {shape}"
            )
        _fill("memory", {"held": self._held, "next": self._next}, state)
        self._room(int(held.max()))
        for ring, part in zip(self._points, np.split(points, np.cumsum(held)[:-1]), strict=True):
            ring[: len(part)] = part

    def _room(self, rows: int) -> None:
        """Make room for so many rows in every stream."""
        room = self._points.shape[1]
        if rows > room:
            grown = np.zeros((self.streams, min(self.capacity, max(rows, 2 * room)), self.dimension), np.float32)
            grown[:, :room] = self._points
            self._points = grown

    def _check(self, embedding: np.ndarray) -> None:
        if np.shape(embedding) != (self.streams, self.dimension):
            allowed = (self.streams, self.dimension)
            raise BadInput(
                f"embedding: shape {np.shape(embedding)} is not allowed; it must be {allowed}, streams and numbers of a point"
            )


class Moments:
    """Running mean and standard deviation of all values so far (Welford's method, a batch at a time), for the errors of random network distillation."""

    def __init__(self) -> None:
        self._count, self._mean, self._squares = np.zeros(1, np.int64), np.zeros(1), np.zeros(1)

    @property
    def count(self) -> int:
        """How many values were taken in."""
        return int(self._count[0])

    @property
    def mean(self) -> float:
        """Their mean; 0 before the first."""
        return float(self._mean[0])

    @property
    def std(self) -> float:
        """Their standard deviation, divided by the count; 0 before the second."""
        return math.sqrt(self._squares[0] / max(self._count[0], 1))

    def update(self, values: np.ndarray, mask: np.ndarray | None = None) -> None:
        """Take in values (B,), those in the mask (B,) bool.

        Raises:
            BadInput: a value that counts is not finite; nothing was taken in.
        """
        taken = np.asarray(values, np.float64) if mask is None else np.asarray(values, np.float64)[mask]
        if not taken.size:
            return
        if not np.isfinite(taken).all():
            raise BadInput("error of the random network distillation: a value is not finite; its network is broken")
        mean, before, total = taken.mean(), self.count, self.count + taken.size
        gap = mean - self.mean
        self._squares += ((taken - mean) ** 2).sum() + gap * gap * before * taken.size / total
        self._mean += gap * taken.size / total
        self._count += taken.size

    def factor(self, error: np.ndarray) -> np.ndarray:
        """alpha = 1 + (error - mean) / deviation, of the shape of ``error``, float64, not yet clipped; 1 where all errors so far are equal but for rounding."""
        error = np.asarray(error, np.float64)
        if self.std <= np.finfo(np.float32).eps * abs(self.mean):  # errors come in float32
            return np.ones_like(error)
        return 1 + (error - self.mean) / self.std

    def state(self) -> State:
        """All that ``restore`` needs."""
        return {"count": self._count.copy(), "mean": self._mean.copy(), "squares": self._squares.copy()}

    def restore(self, state: State) -> None:
        """Go on from what ``state`` gave."""
        _fill("moments", {"count": self._count, "mean": self._mean, "squares": self._squares}, state)


def combine(episodic: np.ndarray, alpha: np.ndarray, maximum: float = 5.0) -> np.ndarray:
    """r^i = episodic bonus times alpha, clipped to 1..L: the life-long factor only amplifies. ``maximum`` is L; 1 switches the factor off."""
    if not 1 <= maximum < math.inf:
        raise BadInput(f"L: {brief(maximum)} is not allowed; it must be at least 1")
    return episodic * np.clip(alpha, 1.0, maximum)


def _check_mean(field: str, how: str, rate: float, scope: str, of: str) -> None:
    for name, value, allowed, what in (
        (field, how, HOW, "a kind of running mean"),
        (f"{field}_scope", scope, SCOPES, "a scope of a running mean"),
        (f"{field}_of", of, OF, "a choice of distances"),
    ):
        if value not in allowed:
            raise unknown(name, value, allowed, what)
    if not 0 < rate <= 1:
        raise BadInput(f"{field}_rate: {brief(rate)} is not allowed; it must be above 0 and at most 1")


def _fill(field: str, arrays: State, state: State) -> None:
    for name, array in arrays.items():
        if state[name].shape != array.shape:
            raise BadInput(
                f"{field}.{name}: what was saved has shape {state[name].shape}; these settings need {array.shape}"
            )
        array[...] = state[name]


def _kernel(function: Callable) -> Callable:
    """Sums may be regrouped; infinity and not-a-number keep their meaning. Kernels here call nothing from elsewhere."""
    return compiled(function, nogil=True, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")


@_kernel
def _nearest(points: np.ndarray, held: np.ndarray, query: np.ndarray, found: np.ndarray) -> None:
    """Squared distances from ``query`` (B, D) to the first ``held`` rows of ``points`` (B, C, D); ``found`` (B, k) comes as inf and leaves as the k smallest.

    Differences are squared and summed, no product is expanded: never below 0, and 0 for equal points.
    """
    last = found.shape[1] - 1
    for stream in range(points.shape[0]):
        for row in range(held[stream]):
            distance = np.float32(0.0)
            for i in range(points.shape[2]):
                gap = points[stream, row, i] - query[stream, i]
                distance += gap * gap
            if distance < found[stream, last]:
                at = last
                while at > 0 and found[stream, at - 1] > distance:
                    found[stream, at] = found[stream, at - 1]
                    at -= 1
                found[stream, at] = distance
