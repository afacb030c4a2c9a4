"""Chunked training (arXiv 2209.11142, appendix on chunking): stretches of fixed length, so that a step costs about the
same for short and long algorithms.

    ChunkedFeed     L steps of B lanes, in each of which samples lie end to end; its state can be saved
    windows         a chunk's stretches of samples, each to be rolled out as a sample of its own

A stretch starts with the true hints and a zero hidden state, whether or not its sample begins there, and outputs count
only where the sample ends in it.

Deviations from the published code. At the start of a chunk that goes on with a sample, that feeds the hints predicted
in the untrained model's first step; ours are the true ones. It takes one processor step more a sample; we keep the
unchunked model's max(1, length - 1). It deals out whole batches; our lanes take the next sample of one common sequence
when they are done with theirs. The hints that come first in the next chunk are not predicted from the last step of this
one: one transition in L is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from outrange.core.checks import whole
from outrange.core.errors import BadInput, brief
from outrange.reasoning.nar.feed import Feed
from outrange.reasoning.nar.samples import Arrays, Samples
from outrange.reasoning.nar.spec import TaskProbe

CHUNK_LENGTH = 16  # steps, as published


@dataclass(frozen=True, eq=False)
class Chunk:
    """L steps of B lanes, in each of which samples lie end to end; dtypes are those of ``Samples``.

    Attributes:
        stream: which length's turn it is; a lane goes on in the next chunk of the same stream.
        inputs, hints, outputs: (L, B, …); inputs and outputs are repeated at every step of their sample.
        is_first, is_last: (L, B) bool, the first and the last step of a sample.
        state: what ``ChunkedFeed.load_state_dict`` needs to go on after this chunk; JSON.
    """

    algorithm: str
    size: int
    spec: dict[str, TaskProbe]
    stream: int
    inputs: Arrays
    hints: Arrays
    outputs: Arrays
    is_first: np.ndarray
    is_last: np.ndarray
    state: dict[str, Any]

    def __len__(self) -> int:
        return self.is_first.shape[1]


class _Stream:
    """The lanes of one length.

    A lane that is done takes the next sample of the common sequence; where each stands is all the state.
    """

    def __init__(self, feed: Feed, turn: int) -> None:
        self.feed, self.turn = feed, turn
        B = feed.batch_size
        # each lane's sample, the step it is at, and the next sample to take
        self.items, self.offsets, self.next = list(range(B)), [0] * B, B
        self.rounds: dict[int, Samples] = {}  # those that lanes are in: samples are drawn B at a time

    def round(self, r: int) -> Samples:
        if r not in self.rounds:
            self.rounds[r] = self.feed.draw(self.turn, r, "chunked positions", self.turn, r)
        return self.rounds[r]

    def advance(self, L: int) -> np.ndarray:
        """Move every lane L steps on; returns (3, L, B): round, place within it and step of what is passed."""
        B = self.feed.batch_size
        passed = np.empty((3, L, B), np.int64)
        for lane in range(B):
            t = 0
            while t < L:
                r, place = divmod(self.items[lane], B)
                step = self.offsets[lane]
                n = min(int(self.round(r).lengths[place]) - step, L - t)
                passed[0, t : t + n, lane], passed[1, t : t + n, lane] = r, place
                passed[2, t : t + n, lane] = np.arange(step, step + n)
                t += n
                self.offsets[lane] += n
                if self.offsets[lane] == self.round(r).lengths[place]:
                    self.items[lane], self.offsets[lane], self.next = self.next, 0, self.next + 1
        return passed

    def forget(self) -> None:
        """Drop the rounds that no lane is in any more."""
        in_use = {item // self.feed.batch_size for item in self.items}
        self.rounds = {r: samples for r, samples in self.rounds.items() if r in in_use}

    def gather(self, passed: np.ndarray) -> tuple[Arrays, Arrays, Arrays, np.ndarray]:
        """Inputs, hints and outputs (L, B, …), and lengths (L, B), of the steps that ``advance`` passed."""
        inputs, hints, outputs = {}, {}, {}
        lengths = np.empty(passed.shape[1:], np.int64)
        for r in np.unique(passed[0]).tolist():  # each round's samples are arrays of their own
            cells = passed[0] == r
            _, place, step = passed[:, cells]
            samples = self.round(r)
            lengths[cells] = samples.lengths[place]
            for target, arrays in ((inputs, samples.inputs), (outputs, samples.outputs), (hints, samples.hints)):
                for name, array in arrays.items():
                    values = array[step, place] if target is hints else array[place]
                    if name not in target:
                        target[name] = np.empty((*cells.shape, *values.shape[1:]), values.dtype)
                    target[name][cells] = values
        return inputs, hints, outputs, lengths


class ChunkedFeed(Feed):
    """Training chunks of one algorithm; ``feed[k]`` is that of step k and depends on (seed, algorithm, k) alone.

    Each length is a stream with lanes of its own, and streams take turns: lanes go on where the stream's last chunk
    ended. Going through k in order costs what is drawn; any other order works, but draws again what lies between.
    ``state_dict`` and ``load_state_dict`` save that after a restart.

    Args:
        chunk_length: L, the steps of a chunk.
        others: as for ``Feed``.
    """

    def __init__(
        self,
        algorithm: str,
        batch_size: int = 32,
        seed: int = 0,
        *args: Any,
        chunk_length: int = CHUNK_LENGTH,
        **kwargs: Any,
    ) -> None:
        super().__init__(algorithm, batch_size, seed, *args, **kwargs)
        self.chunk_length = whole("chunk_length", chunk_length, 1, 2**20)
        self._start()

    def _start(self) -> None:
        self.step = 0
        self._streams = [_Stream(self, turn) for turn in range(len(self.lengths))]

    def _advance(self) -> tuple[_Stream, np.ndarray]:
        stream = self._streams[self.step % len(self._streams)]
        self.step += 1
        return stream, stream.advance(self.chunk_length)

    def __getitem__(self, k: int) -> Chunk:  # pyright: ignore[reportIncompatibleMethodOverride]
        if whole("step", k, 0, 2**62) < self.step:
            self._start()  # what lies before is drawn again
        while self.step < k:
            self._advance()[0].forget()
        stream, passed = self._advance()
        inputs, hints, outputs, lengths = stream.gather(passed)
        size = next(iter(stream.rounds.values())).size
        stream.forget()
        is_first, is_last = passed[2] == 0, passed[2] == lengths - 1
        return Chunk(
            self.algorithm, size, self.spec, stream.turn, inputs, hints, outputs, is_first, is_last, self.state_dict()
        )

    def state_dict(self) -> dict[str, Any]:
        """Where every lane stands before step ``step``, as JSON."""
        streams = [{"items": list(s.items), "offsets": list(s.offsets), "next": s.next} for s in self._streams]
        return {
            "algorithm": self.algorithm,
            "seed": self.seed,
            "lengths": list(self.lengths),
            "chunk": self.chunk_length,
            "step": self.step,
            "streams": streams,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict()`` was taken, or after the chunk whose ``state`` this is.

        Raises:
            BadInput: the state is of a feed that was made with other arguments.
        """
        own = self.state_dict()
        for name in ("algorithm", "seed", "lengths", "chunk"):
            if state.get(name) != own[name]:
                raise BadInput(
                    f"state {name}: {brief(state.get(name))} is not this feed's, {brief(own[name])}; make the feed with the same arguments"
                )
        lanes = {len(s[part]) for s in state["streams"] for part in ("items", "offsets")}
        if lanes != {self.batch_size}:
            raise BadInput(
                f"state streams: {brief(sorted(lanes))} lanes, this feed has {self.batch_size}; make the feed with the same batch_size"
            )
        self._start()
        self.step = state["step"]
        for stream, saved in zip(self._streams, state["streams"], strict=True):
            stream.items, stream.offsets, stream.next = list(saved["items"]), list(saved["offsets"]), saved["next"]


def windows(chunk: Chunk) -> Samples:
    """The stretches of a chunk as samples.

    Of the stretches of one step, only whole samples stay: others have nothing to predict but the outputs, from the true
    last hints, which no rollout is given.
    """
    # a stretch begins where a sample does, and at the chunk's first step
    L = len(chunk.is_first)
    is_start = chunk.is_first.copy()
    is_start[0] = True
    lane, start = np.nonzero(is_start.T)  # by lane, then by time
    next_start = np.append(np.where(lane[1:] == lane[:-1], start[1:], L), L)
    lengths = next_start - start
    reaches_end = chunk.is_last[next_start - 1, lane]

    is_useful = (lengths > 1) | (reaches_end & chunk.is_first[start, lane])
    is_useful |= not is_useful.any()  # a batch is never empty
    lane, start, lengths, reaches_end = lane[is_useful], start[is_useful], lengths[is_useful], reaches_end[is_useful]

    # hints (T, stretches): past a stretch's end stand zeros
    times = start + np.arange(lengths.max())[:, None]
    inside = np.arange(lengths.max())[:, None] < lengths
    times = np.where(inside, times, start)
    hints = {}
    for name, array in chunk.hints.items():
        hints[name] = array[times, lane]
        hints[name][~inside] = 0
    inputs = {name: array[start, lane] for name, array in chunk.inputs.items()}
    outputs = {name: array[start, lane] for name, array in chunk.outputs.items()}
    lengths = lengths.astype(np.int64)
    return Samples.whole_batch(chunk.algorithm, chunk.size, chunk.spec, inputs, hints, outputs, lengths, reaches_end)
