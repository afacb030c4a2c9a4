"""The memory of an episode: the controllable states it came to (Never Give Up, arXiv 2002.06038, algorithm 1, step 1).

B environments run in lock step ("streams"): numpy arrays in and out, streams first. An observation is looked up before
it is added, so that it is not its own neighbour.
"""

import numpy as np

from outrange.core.checks import whole
from outrange.core.compiled import kernel
from outrange.core.errors import BadInput
from outrange.exploration.novelty import State
from outrange.exploration.novelty.kernel import fill

_FIRST_ROWS = 256  # how many rows of a stream there is space for from the start


class EpisodicMemory:
    """The points of each stream's episode: a ring of ``capacity`` rows that overwrites the oldest.

    There is space for the longest episode so far, at most twice of it, and never for more than ``capacity``: 64 streams
    of 500 x 32 take 4 MB, of 30,000 x 32 they take 246. (Asking for zeros at once and leaving it to the system to take
    only what is written does not do: it takes 2 MB of each stream at a time.)
    """

    def __init__(self, streams: int, capacity: int, size: int) -> None:
        self.streams = whole("memory.streams", streams, 1)
        self.capacity = whole("memory.capacity", capacity, 1)
        self.size = whole("memory.size", size, 1)
        self._points = np.zeros((streams, min(capacity, _FIRST_ROWS), size), np.float32)
        self._counts, self._next = np.zeros(streams, np.int64), np.zeros(streams, np.int64)
        self._query = np.empty((streams, size), np.float32)

    @property
    def counts(self) -> np.ndarray:
        """(B,) int64: how many points each stream has."""
        return self._counts.copy()

    def clear(self, mask: np.ndarray) -> None:
        """Forget all points of the streams (B,) bool, as where an episode begins."""
        self._counts[mask] = self._next[mask] = 0

    def add(self, embedding: np.ndarray, mask: np.ndarray | None = None) -> None:
        """Write embeddings (B, size) to the streams in the mask (B,) bool, each over its stream's oldest point once the
        ring is full.

        Raises:
            BadInput: the shape is another, or an embedding that counts is not finite.
        """
        self._check(embedding)
        rows = np.arange(self.streams) if mask is None else np.flatnonzero(mask)
        points = np.asarray(embedding, np.float32)[rows]
        finite = np.isfinite(points).all(1)
        if not finite.all():
            raise BadInput(f"embedding: that of stream {rows[~finite][0]} is not finite; its network is broken")
        places = self._next[rows]
        self._reserve(int(places.max(initial=-1)) + 1)
        self._points[rows, places] = points
        self._next[rows] = (places + 1) % self.capacity
        self._counts[rows] = np.minimum(self._counts[rows] + 1, self.capacity)

    def nearest(self, embedding: np.ndarray, k: int) -> np.ndarray:
        """Squared Euclidean distances from embeddings (B, size) to the k nearest points of their streams.

        Returns (B, k) float32, ascending, inf where there are fewer and all inf for an embedding that is not finite.
        Ask before adding: a point that was added is its own neighbour at distance 0. Every point is looked at.
        """
        self._check(embedding)
        whole("k", k, 1)
        self._query[...] = embedding  # one type and layout for the compiled code, whatever came
        distances = np.full((self.streams, k), np.inf, np.float32)
        _nearest(self._points, self._counts, self._query, distances)
        return distances

    def state_dict(self) -> State:
        """All that ``load_state_dict`` needs: of the rings only what is filled, the streams' points one after
        another."""
        points = np.concatenate([ring[:count] for ring, count in zip(self._points, self._counts, strict=True)])
        return {"count": self._counts.copy(), "next": self._next.copy(), "points": points}

    def load_state_dict(self, state: State) -> None:
        """Go on from ``state_dict``.

        Raises:
            BadInput: it is of a memory of another shape.
        """
        counts, following, points = state["count"], state["next"], state["points"]
        fits = counts.shape == (self.streams,) and counts.max() <= self.capacity
        fits = fits and points.shape == (counts.sum(), self.size) and following.max() < self.capacity
        # a ring that is not full is filled from its first row on
        if not fits or bool(((counts < self.capacity) & (following != counts)).any()):
            shape = f"{self.streams} streams of {self.capacity:,} points of {self.size} numbers"
            saved = f"{points.shape[0]:,} points of {counts.size} streams"
            raise BadInput(f"memory: what was saved, {saved}, is not of a memory of {shape}")
        fill("memory", {"count": self._counts, "next": self._next}, state)
        self._reserve(int(counts.max()))
        for ring, part in zip(self._points, np.split(points, np.cumsum(counts)[:-1]), strict=True):
            ring[: len(part)] = part

    def _reserve(self, rows: int) -> None:
        """Make space for so many rows in every stream."""
        space = self._points.shape[1]
        if rows > space:
            grown = np.zeros((self.streams, min(self.capacity, max(rows, 2 * space)), self.size), np.float32)
            grown[:, :space] = self._points
            self._points = grown

    def _check(self, embedding: np.ndarray) -> None:
        expected = (self.streams, self.size)
        if np.shape(embedding) != expected:
            allowed = f"{expected}, streams and numbers of a point"
            raise BadInput(f"embedding: shape {np.shape(embedding)} is not allowed; it must be {allowed}")


# sums may be regrouped; infinity and not-a-number keep their meaning
@kernel(nogil=True, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")
def _nearest(points: np.ndarray, counts: np.ndarray, query: np.ndarray, distances: np.ndarray) -> None:
    """Squared distances from ``query`` (B, D) to the first ``counts`` rows of ``points`` (B, C, D).

    ``distances`` (B, k) comes as inf and leaves as the k smallest. Differences are squared and summed, no product is
    expanded: never below 0, and 0 for equal points.
    """
    last = distances.shape[1] - 1
    for stream in range(points.shape[0]):
        for row in range(counts[stream]):
            distance = np.float32(0.0)
            for i in range(points.shape[2]):
                gap = points[stream, row, i] - query[stream, i]
                distance += gap * gap
            if distance < distances[stream, last]:
                # insertion into the k smallest, which stay sorted
                place = last
                while place > 0 and distances[stream, place - 1] > distance:
                    distances[stream, place] = distances[stream, place - 1]
                    place -= 1
                distances[stream, place] = distance
