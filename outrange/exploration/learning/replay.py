"""Prioritized sequence replay (R2D2: Kapturowski et al. 2019, section 2.3; Never Give Up, arXiv 2002.06038, sections
2.1 and 2.2, appendix A and table 6).

Rows are stored once. Each of B streams (environments in lock step) is a ring of rows; a sequence is the rows start ...
start + trace of a stream, start a multiple of ``period``, the last row only to bootstrap from. With period < trace
neighbours overlap and share their rows. The recurrent state is kept for a sequence's first row alone. A sequence is
drawn with probability p^exponent / sum p^exponent.

Life of a slot (the place of a sequence): its first row is written - what the slot held before is gone, its priority is
0; its last row is written - it is ready and enters with the largest priority seen so far; its first row is overwritten,
one lap later. What is drawn therefore never mixes laps.

``crossing`` False, as published: a sequence lies in one episode. A new episode begins at the next multiple of
``period``, behind rows of padding; a sequence that would run into them, or into the next episode, is short, and returns
padding in their place. True: sequences run on across ends of episodes, and the learner begins anew where ``first``
(where episodes are short, most of what the published way stores is padding).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import DTypeLike

from outrange.core import memory
from outrange.core.checks import whole
from outrange.core.compiled import kernel
from outrange.core.errors import BadInput, brief
from outrange.exploration.learning.sumtree import LARGEST, SumTree

#: What a row holds beside its observation, in the order in which it lies in memory.
FIELDS = {
    "last_reward": np.float32,
    "last_bonus": np.float32,
    "reward": np.float32,
    "bonus": np.float32,
    "mu": np.float32,
    "last_action": np.int16,
    "action": np.int16,
    "mixture": np.int16,
    "terminated": np.bool_,
    "first": np.bool_,
    "filler": np.bool_,
}
#: What ``append`` takes.
COLUMNS = ("observation", *FIELDS)

_DTYPES = ("bool", "uint8", "int16", "int32", "int64", "float32", "float64")  # those that torch and safetensors hold
_SHARE = 0.9  # of the free memory; the rest is for networks, batches and everybody else


@dataclass(frozen=True, kw_only=True, eq=False)
class Sequences:
    """Sequences that were drawn, K of them, T = trace + 1 rows each; time comes first, every array is the receiver's
    own."""

    observation: np.ndarray
    """(T, K, *shape) x_t"""
    last_action: np.ndarray
    """(T, K) int16; it and the next two are inputs of the network beside x_t"""
    last_reward: np.ndarray
    """(T, K) float32"""
    last_bonus: np.ndarray
    """(T, K) float32"""
    action: np.ndarray
    """(T, K) int16 a_t"""
    reward: np.ndarray
    """(T, K) float32 r^e_t that a_t brought"""
    bonus: np.ndarray
    """(T, K) float32 r^i_t that a_t brought"""
    mu: np.ndarray
    """(T, K) float32: with what probability a_t was taken"""
    mixture: np.ndarray
    """(T, K) int16 index j of the reward mixture"""
    terminated: np.ndarray
    """(T, K) bool: a_t ended the episode"""
    first: np.ndarray
    """(T, K) bool: x_t begins an episode"""
    filler: np.ndarray
    """(T, K) bool: no action was taken here"""
    own: Mapping[str, np.ndarray] = field(default_factory=dict)
    """the agent's own columns, (T, K) each (``Agent.replay_fields``)"""
    state: np.ndarray
    """(K, S) float32 before the first row"""
    slots: np.ndarray
    """(K,) int64: which sequences these are, for ``Replay.update``; every sequence ever stored has its own number"""
    probability: np.ndarray
    """(K,) float64 with which each was drawn"""

    @property
    def executed_action(self) -> np.ndarray:
        """(T, K) int16: what the environment was given for a_t, which is a_t itself unless the agent keeps a column of
        this name."""
        return self.own.get("executed_action", self.action)


class Replay:
    """The replay of B = ``streams`` environments.

    Args:
        streams: how many rings there are.
        rows: of each ring; a multiple of ``period``, at least ``trace + 2 * period``.
        trace: steps of a sequence; it has one row more, to bootstrap from.
        period: rows from the start of a sequence to the start of the next, 1 to ``trace``.
        shape: of an observation.
        dtype: of an observation.
        state_size: numbers of a recurrent state; 0 for none.
        crossing: whether sequences may span the end of an episode.
        exponent: of priorities, 0 (all the same) to 10.
        fields: further columns of an agent's own, name to numpy type; padding has zeros there.

    Raises:
        BadInput: something is not allowed, or the replay would not fit into the memory that is free. (Memory is taken
            only as rows come; without this check a training would be killed hours after its start.)
    """

    def __init__(
        self,
        *,
        streams: int,
        rows: int,
        trace: int,
        period: int,
        shape: tuple[int, ...],
        dtype: DTypeLike,
        state_size: int,
        crossing: bool,
        exponent: float = 0.9,
        fields: Mapping[str, type[np.generic]] | None = None,
    ) -> None:
        self.streams = whole("streams", streams, 1)
        self.trace = whole("trace", trace, 1)
        self.period = whole("period", period, 1)
        self.state_size = whole("state_size", state_size, 0)
        if period > trace:
            allowed = f"from 1 to trace, which is {trace}, or rows between sequences would never be drawn"
            raise BadInput(f"period: {period} is not allowed; it must be {allowed}")
        self.rows = whole("rows", rows, 1)
        fewest = period * -(-(trace + 2 * period) // period)
        if rows % period or rows < fewest:
            allowed = f"a multiple of period, which is {period}, and at least {fewest}"
            raise BadInput(f"rows: {rows} is not allowed; it must be {allowed}")
        self.shape = tuple(whole("shape", size, 1) for size in shape)
        self.dtype = np.dtype(dtype)
        if self.dtype.name not in _DTYPES:
            raise BadInput(f"dtype: {self.dtype.name} is not allowed for observations; allowed: {', '.join(_DTYPES)}")
        self.crossing = bool(crossing)
        if isinstance(exponent, bool) or not isinstance(exponent, int | float) or not 0 <= exponent <= 10:
            raise BadInput(f"exponent: {brief(exponent)} is not allowed; it must be from 0 to 10")
        self.exponent = float(exponent)
        self._own_names = tuple(fields or ())
        if clash := [name for name in self._own_names if name in COLUMNS]:
            raise BadInput(f"fields: {brief(clash)} is not allowed; a replay has columns of these names already")
        self._types = {**FIELDS, **(fields or {})}
        self._names = frozenset(("observation", *self._types))
        # aligned: without further fields a row takes 32 bytes, so that one line of cache holds two
        self._record = np.dtype(list(self._types.items()), align=True)
        self._padding = np.zeros(1, self._record)
        self._padding["mu"] = 1  # pi / mu is taken before it is masked
        self._padding["first"] = self._padding["filler"] = True
        self._per_stream = rows // period
        self._count = self._per_stream * streams
        self._refuse_too_large()
        self._generation = np.zeros(
            self._count, np.int64
        )  # which of the sequences of a slot is in it now; never goes back
        self._steps = np.arange(trace + 1)[:, None]
        self._row = np.zeros(streams, self._record)  # what is appended, before it goes where it belongs
        self._fields = {name: self._row[name] for name in self._types}
        self._mask = np.zeros(streams, np.bool_)
        # what one append fills in: rows written, slots and streams of sequences that begin, changes of the tree
        self._places = np.zeros(streams, np.int64)
        self._begun = np.zeros((2, streams), np.int64)
        self._changed = np.zeros(2 * streams, np.int64)
        self._values = np.zeros(2 * streams)
        self.clear()

    @property
    def bytes(self) -> int:
        """What the replay takes when it is full."""
        return self._bytes(self.rows)

    def _bytes(self, rows: int) -> int:
        slots = self.streams * (rows // self.period)
        row = math.prod(self.shape) * self.dtype.itemsize + self._record.itemsize
        return self.streams * rows * row + slots * (4 * self.state_size + 8) + SumTree.bytes_of(slots)

    def _refuse_too_large(self) -> None:
        free = memory.free()
        if self.bytes <= free * _SHARE:
            return
        low, high = 0, self._per_stream  # in periods: low fits, high does not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._bytes(middle * self.period) <= free * _SHARE else (low, middle)
        fitting = low * self.period
        if fitting >= self.trace + 2 * self.period:
            advice = f"up to {fitting:,} rows of each fit"
        else:
            advice = "not even the smallest replay of such observations fits"
        frames = f"{self.rows:,} in each of {self.streams} streams ({self.streams * self.rows:,} frames)"
        raise BadInput(
            f"rows: {frames} take {_size(self.bytes)}, "
            f"and {_size(free)} of memory are free, a tenth of which is left to the rest of the run; {advice}"
        )

    def describe(self) -> str:
        """One sentence: what fits in, and what it takes."""
        in_progress = -(-self.trace // self.period)  # of each stream, not whole yet
        sequences = self.streams * (self._per_stream - in_progress)
        return (
            f"The replay holds {self.streams * self.rows:,} frames "
            f"({self.streams} streams of {self.rows:,} rows), which are {sequences:,} sequences of "
            f"{self.trace} steps, one every {self.period}, and takes {_size(self.bytes)} when full."
        )

    @property
    def ready(self) -> int:
        """How many sequences may be drawn: whole, with a step to learn from, with a priority above zero."""
        return self._tree.positive

    @property
    def filled(self) -> int:
        """How many rows there are, fillers among them."""
        return int(np.minimum(self._position, self.rows).sum())

    def clear(self) -> None:
        """Empty it; memory is given back, numbers of sequences drawn before stay stale."""
        self._observation = np.zeros((self.streams * self.rows, *self.shape), self.dtype)
        self._records = np.zeros(self.streams * self.rows, self._record)
        self._state = np.zeros((self._count, self.state_size), np.float32)
        self._tree = SumTree(self._count)
        self._position = np.zeros(
            self.streams, np.int64
        )  # rows ever written to a stream; the ring's row is this modulo rows
        self._enter_with(1.0)

    def append(self, columns: Mapping[str, np.ndarray], mask: np.ndarray, state: np.ndarray) -> None:
        """Append one row to each stream in ``mask``.

        Without ``crossing`` a row that is ``first`` is put at the next multiple of ``period``, behind padding.

        Args:
            columns: the names in ``COLUMNS``; observation (B, *shape) in the replay's dtype, the others (B,).
            mask: (B,) bool.
            state: (B, S) recurrent states before the rows' observations.

        Raises:
            BadInput: a column is missing, unknown, or of another shape or kind; nothing was appended then.
        """
        if columns.keys() != self._names:
            wrong = brief(sorted(columns.keys() ^ self._names))
            raise BadInput(f"columns: {wrong} missing or unknown; give {', '.join(('observation', *self._types))}")
        for name, target in self._fields.items():
            _copy(name, columns[name], target)
        _copy("mask", mask, self._mask)
        observation = columns["observation"]
        if observation.shape != (self.streams, *self.shape) or observation.dtype != self.dtype:
            expected = f"{self.dtype.name} {(self.streams, *self.shape)}"
            actual = f"{observation.dtype} {observation.shape}"
            raise BadInput(f"observation: {actual} is not allowed; it must be {expected}")
        if np.shape(state) != (self.streams, self.state_size):
            raise BadInput(
                f"state: shape {np.shape(state)} is not allowed; it must be {(self.streams, self.state_size)}"
            )
        rows, begun, changes = _append(
            self._mask,
            self._row,
            self._records,
            self._padding,
            self._position,
            self._generation,
            self.rows,
            self.trace,
            self.period,
            self.crossing,
            self._weight,
            self._places,
            self._begun,
            self._changed,
            self._values,
        )
        self._observation[self._places[:rows]] = observation if rows == self.streams else observation[self._mask]
        if begun:  # a sequence keeps the recurrent state of its first row
            slots, streams = self._begun[:, :begun]
            self._state[slots] = state[streams]
        if changes:
            self._tree.put(self._changed[:changes], self._values[:changes])

    def drop(self, mask: np.ndarray, lengths: np.ndarray) -> None:
        """Make the last ``lengths`` (B,) rows of the streams in ``mask`` (B,) fillers: an episode that broke is dropped
        whole.

        Sequences that are ready keep their priority but lose those steps; one that becomes ready later without a step
        left never enters.
        """
        _copy("mask", mask, self._mask)
        if np.shape(lengths) != (self.streams,) or np.min(lengths) < 0:
            raise BadInput(
                f"lengths: {brief(lengths)} are not allowed; give {self.streams} whole numbers, none negative"
            )
        filler = self._records["filler"].reshape(self.streams, self.rows)
        for stream in np.flatnonzero(self._mask):
            end = int(self._position[stream])
            begin = end - min(int(lengths[stream]), end, self.rows)
            filler[stream, np.arange(begin, end) % self.rows] = True

    def sample(self, batch: int, rng: np.random.Generator) -> Sequences:
        """Draw ``batch`` sequences, with replacement.

        Raises:
            BadInput: none is ready.
        """
        if not self.ready:
            raise BadInput("sample: no sequence is ready; append more rows first, and look at `ready`")
        places = self._tree.find(rng.random(whole("batch", batch, 1)) * self._tree.total)
        streams, slots = np.divmod(places, self._per_stream)
        # (T, K) rows of the sequences, which may run over the end of their rings
        rows = (slots * self.period + self._steps) % self.rows + streams * self.rows
        observation, records = self._observation.take(rows, 0), self._records.take(rows)
        if not self.crossing:  # what lies beyond the end of the episode becomes padding
            beyond = np.logical_or.accumulate(records["first"][1:], 0)
            if beyond[-1].any():
                observation[1:][beyond] = 0
                records[1:][beyond] = self._padding[0]
        return Sequences(
            observation=observation,
            **{name: np.ascontiguousarray(records[name]) for name in FIELDS},
            own={name: np.ascontiguousarray(records[name]) for name in self._own_names},
            state=self._state[places],
            slots=self._generation[places] * self._count + places,
            probability=self._tree.value(places) / self._tree.total,
        )

    def update(self, slots: np.ndarray, priorities: np.ndarray) -> None:
        """Give sequences new priorities. One that has been overwritten since it was drawn is passed over; where one is
        named twice the last priority stays.

        Args:
            slots: (K,) as drawn.
            priorities: (K,), zero or above, of the sequence's TD errors as R2D2 mixes them; a sequence of priority 0 is
                not drawn again.

        Raises:
            BadInput: a priority is negative, not finite or above 1e100, or these are no slots; nothing is changed then.
        """
        slots, priorities = np.array(slots), np.array(priorities, np.float64)
        if slots.ndim != 1 or slots.shape != priorities.shape or slots.dtype.kind not in "iu":
            actual = f"{slots.dtype} {slots.shape} beside priorities {priorities.shape}"
            raise BadInput(f"slots: {actual} are not allowed; give what was drawn and a number for each")
        wrong = ~((priorities >= 0) & (priorities <= LARGEST))
        if wrong.any():
            raise BadInput(
                f"priorities: {priorities[wrong][0]} is not allowed; a priority must be finite, from 0 to {LARGEST:g}"
            )
        generations, places = np.divmod(slots.astype(np.int64), self._count)
        # a slot that has begun another sequence since has another generation
        current = (self._generation[places] == generations) & self._complete(places)
        places, priorities = places[current], priorities[current]
        # new sequences enter with the largest priority ever seen
        if places.size:
            self._enter_with(max(self._largest, float(priorities.max())))
            self._tree.put(places, self._weights(priorities))

    def _enter_with(self, largest: float) -> None:
        """What sequences enter with from now on."""
        self._largest, self._weight = largest, float(self._weights(np.array(largest)))

    def _weights(self, priorities: np.ndarray) -> np.ndarray:
        """p^exponent, bounded so that what is above zero stays above zero and sums stay finite; 0 where p is 0 whatever
        the exponent."""
        with np.errstate(over="ignore", under="ignore"):
            return np.where(priorities > 0, np.clip(priorities**self.exponent, 1 / LARGEST, LARGEST), 0.0)

    def _complete(self, places: np.ndarray) -> np.ndarray:
        """Which slots hold a sequence up to its last row."""
        # by how many rows were written since the slot's first, which is there until it is one lap old
        streams, slots = np.divmod(places, self._per_stream)
        last = self._position[streams] - 1
        age = (last - slots * self.period) % self.rows  # rows written since the slot's first
        return (age >= self.trace) & (age <= last)

    def state_dict(self) -> dict[str, np.ndarray]:
        """All of it as arrays that torch takes, of what is filled only: a copy, so it takes as much memory again for as
        long as it is held."""
        rows, slots = self._filled_rows(np.minimum(self._position, self.rows))
        return {
            **self._form(),
            "position": self._position.copy(),
            "generation": self._generation.copy(),
            "weight": self._tree.values,  # priority^exponent
            "largest": np.array([self._largest]),
            "recurrent": self._state[slots],
            "observation": self._observation[rows],
            **{name: self._records[name][rows] for name in self._types},
        }

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Become what ``state_dict`` gave; the same rows and draws then give the same sequences.

        Raises:
            BadInput: it is the state of a replay of another form, or none; nothing is changed then.
        """
        form = self._form()
        names = {*form, *self._names, "position", "generation", "weight", "largest", "recurrent"}
        if state.keys() != names:
            raise BadInput(f"replay: {brief(sorted(state.keys() ^ names))} missing or unknown in what was saved")
        for name, own in form.items():
            if not np.array_equal(state[name], own):
                forms = f"{name} {_listed(state[name])}, and this replay {_listed(own)}"
                raise BadInput(f"replay: what was saved has {forms}; make it with the same arguments")
        _expect(state, "position", (self.streams,), np.int64)
        _expect(state, "generation", (self._count,), np.int64)
        _expect(state, "weight", (self._count,), np.float64)
        _expect(state, "largest", (1,), np.float64)
        if state["position"].min() < 0 or not 1 <= state["largest"][0] <= LARGEST:
            raise BadInput(
                "replay: what was saved counts rows below none or a largest priority that cannot be; it is damaged"
            )
        rows, slots = self._filled_rows(np.minimum(state["position"], self.rows))
        _expect(state, "recurrent", (len(slots), self.state_size), np.float32)
        _expect(state, "observation", (len(rows), *self.shape), self.dtype)
        for name, kind in self._types.items():
            _expect(state, name, (len(rows),), kind)
        # all that can be wrong was looked at: from here on this replay changes
        tree = SumTree(self._count)
        tree.update(np.arange(self._count), state["weight"])
        self.clear()
        self._tree = tree
        self._enter_with(float(state["largest"][0]))
        self._position[:], self._generation[:] = state["position"], state["generation"]
        self._state[slots] = state["recurrent"]
        self._observation[rows] = state["observation"]
        for name in self._types:
            self._records[name][rows] = state[name]

    def _filled_rows(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows, and the slots whose first row is among them, when each stream has ``counts`` (B,) rows."""
        rows = np.concatenate([stream * self.rows + np.arange(count) for stream, count in enumerate(counts)])
        return rows, rows[rows % self.period == 0] // self.period

    def _form(self) -> dict[str, np.ndarray]:
        numbers = [self.streams, self.rows, self.trace, self.period, self.state_size, self.crossing]
        return {
            "form": np.array(numbers, np.int64),  # streams, rows, trace, period, state_size, crossing
            "shape": np.array(self.shape, np.int64),
            "exponent": np.array([self.exponent]),
        }


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _listed(array: np.ndarray) -> str:
    return brief(np.asarray(array).tolist())


def _copy(name: str, column: np.ndarray, target: np.ndarray) -> None:
    if np.shape(column) != target.shape:
        raise BadInput(
            f"{name}: shape {np.shape(column)} is not allowed; it must be {target.shape}, a number for each stream"
        )
    try:
        np.copyto(target, column)
    except TypeError:
        raise BadInput(f"{name}: {np.asarray(column).dtype} is not allowed; it must go into {target.dtype}") from None


def _expect(state: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    array = np.asarray(state[name])
    if array.shape != shape or array.dtype != dtype:
        raise BadInput(
            f"replay: {name} was saved as {array.dtype} {array.shape}, and it must be {np.dtype(dtype).name} {shape}"
        )


@kernel(nogil=True)
def _append(
    mask,
    row,
    records,
    padding,
    position,
    generation,
    rows,
    trace,
    period,
    crossing,
    weight,
    places,
    begun,
    changed,
    values,
):
    """Where new rows go (``places``), padding, the sequences that begin (``begun``: slots, streams), and changes of the
    tree (``changed``, ``values``).

    In period rows of a stream one sequence begins and one ends, and no stream gets more at once: 2B changes are the
    most.
    """
    new = starts = changes = 0
    for stream in range(mask.size):
        if not mask[stream]:
            continue
        end = position[stream] + 1
        if row[stream]["first"] and not crossing:
            end += -position[stream] % period  # padding up to the next beginning of a sequence
        for now in range(position[stream], end):
            place = stream * rows + now % rows
            if now == end - 1:
                records[place] = row[stream]
                places[new] = place
                new += 1
            else:
                records[place] = padding[0]
            if now % period == 0:  # a sequence begins, and what its slot held before is gone
                slot = place // period
                generation[slot] += 1
                begun[0, starts], begun[1, starts] = slot, stream
                starts += 1
                changed[changes], values[changes] = slot, 0.0
                changes += 1
            if now >= trace and (now - trace) % period == 0:  # a sequence is whole, if it has a step to learn from
                usable = False
                for t in range(now - trace, now):  # the last row is only to bootstrap from
                    record = records[stream * rows + t % rows]
                    if record["first"] and t > now - trace and not crossing:
                        break
                    if not record["filler"]:
                        usable = True
                        break
                if usable:
                    slot = stream * (rows // period) + (now - trace) % rows // period
                    changed[changes], values[changes] = slot, weight
                    changes += 1
        position[stream] = end
    return new, starts, changes
