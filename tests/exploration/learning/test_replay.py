"""outrange/exploration/learning/replay.py against a plain list of rows for each stream."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outrange.core.errors import BadInput
from outrange.exploration.learning.replay import COLUMNS, FIELDS, Replay

SHAPE, S = (2, 1), 2


class Plain:
    """The replay as one would tell it: every row ever written, a dictionary of priorities by (stream, start)."""

    def __init__(self, streams, rows, trace, period, crossing):
        self.streams, self.rows, self.trace, self.period, self.crossing = streams, rows, trace, period, crossing
        self.clear()

    def clear(self):
        self.written = [[] for _ in range(self.streams)]
        self.states, self.priority, self.largest = {}, {}, 1.0

    def append(self, columns, where, state):
        for b in np.flatnonzero(where):
            row = {name: column[b].copy() for name, column in columns.items()}
            while not self.crossing and row["first"] and len(self.written[b]) % self.period:
                self.write(b, self.padding(columns), None)
            self.write(b, row, state[b].copy())

    def padding(self, columns):
        return {name: np.zeros_like(column[0]) for name, column in columns.items()} | {
            "mu": np.float32(1),
            "first": np.True_,
            "filler": np.True_,
        }

    def write(self, b, row, state):
        now = len(self.written[b])
        self.written[b].append(row)
        if now % self.period == 0:
            assert state is not None
            self.states[b, now] = state
        start = now - self.trace
        if start >= 0 and start % self.period == 0:
            steps = self.sequence(b, start, padding=row)[:-1]
            self.priority[b, start] = 0.0 if all(step["filler"] for step in steps) else self.largest

    def sequence(self, b, start, padding=None):
        rows = self.written[b][start : start + self.trace + 1]
        ends = [t for t in range(1, len(rows)) if rows[t]["first"]]
        if ends and not self.crossing:
            padding = self.padding({name: np.asarray(value)[None] for name, value in rows[0].items()})
            rows = rows[: ends[0]] + [padding] * (len(rows) - ends[0])
        return rows

    def alive(self, b, start):
        return start >= len(self.written[b]) - self.rows

    def drop(self, where, lengths):
        for b in np.flatnonzero(where):
            for row in self.written[b][len(self.written[b]) - min(lengths[b], len(self.written[b])) :]:
                row["filler"] = np.True_

    def held(self):
        """By place in the ring, stream by stream, the sequences that can be drawn."""
        able = [(b, start) for (b, start), priority in self.priority.items() if priority > 0 and self.alive(b, start)]
        return sorted(able, key=lambda one: (one[0], one[1] % self.rows))

    def update(self, b, start, priority):
        if self.alive(b, start):
            self.priority[b, start] = priority
            self.largest = max(self.largest, priority)


def replay_of(streams=2, rows=12, trace=4, period=2, crossing=True, exponent=1.0, **others):
    given = {"shape": SHAPE, "dtype": np.int32, "state_size": S} | others
    return Replay(streams=streams, rows=rows, trace=trace, period=period, crossing=crossing, exponent=exponent, **given)


class Rows:
    """Rows no two of which are alike."""

    def __init__(self, streams):
        self.streams, self.count = streams, 0

    def next(self, rng=None, **given):
        self.count += 1
        number = self.count * 100 + np.arange(self.streams)
        columns = {name: (number % 30_000).astype(kind) for name, kind in FIELDS.items()}
        for name in ("terminated", "first", "filler"):
            columns[name] = (
                np.zeros(self.streams, bool)
                if rng is None
                else rng.random(self.streams) < {"terminated": 0.1, "first": 0.2, "filler": 0.1}[name]
            )
        columns["observation"] = np.stack([number, -number], 1).reshape(self.streams, *SHAPE).astype(np.int32)
        columns |= {name: np.asarray(value) for name, value in given.items()}
        return columns, np.stack([number, number + 0.5], 1).astype(np.float32)


def filled(replay, count, rows=None, **given):
    rows = rows or Rows(replay.streams)
    for _ in range(count):
        columns, state = rows.next(**given)
        replay.append(columns, np.ones(replay.streams, bool), state)
    return rows


def same(drawn, expected):
    """Every sequence drawn equals the plain rows."""
    for k, rows in enumerate(expected):
        for name in COLUMNS:
            np.testing.assert_array_equal(
                getattr(drawn, name)[:, k], np.stack([row[name] for row in rows]), err_msg=name
            )


def equal(a, b):
    return all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in (*COLUMNS, "state", "slots", "probability")
    )


forms = st.builds(
    lambda streams, trace, shorter, spare, crossing: (streams, trace, max(1, trace - shorter), spare, crossing),
    st.integers(1, 3), st.integers(1, 7), st.integers(0, 6), st.integers(0, 3), st.booleans(),
)  # fmt: skip
deeds = st.lists(
    st.sampled_from(["append", "append", "append", "sample", "sample", "update", "update", "drop", "save", "clear"]),
    min_size=5,
    max_size=40,
)


@settings(derandomize=True, deadline=None, max_examples=120)
@given(form=forms, deeds=deeds, seed=st.integers(0, 10**6))
def test_whatever_happens_the_replay_equals_a_plain_list_of_rows(form, deeds, seed):
    streams, trace, period, spare, crossing = form
    rows = period * (-(-(trace + 2 * period) // period) + spare)
    replay, plain = replay_of(streams, rows, trace, period, crossing), Plain(streams, rows, trace, period, crossing)
    source, rng = Rows(streams), np.random.default_rng(seed)
    known, number_of, broke = (
        {},
        {},
        np.zeros(streams, bool),
    )  # known: by slots' number (stream, start, which life of the replay)
    life = 0
    for deed in deeds:
        if deed == "append":
            for _ in range(rng.integers(1, 2 * rows)):
                columns, state = source.next(rng)
                where = rng.random(streams) < 0.8
                columns["first"] |= broke
                broke &= ~where
                replay.append(columns, where, state)
                plain.append(columns, where, state)
        elif deed == "sample" and plain.held():
            weights = [plain.priority[one] for one in plain.held()]
            total = sum(weights)
            copied = np.random.default_rng(seed + len(known))
            drawn = replay.sample(5, np.random.default_rng(seed + len(known)))
            at = [int(np.argmax(np.cumsum(weights) > prefix)) for prefix in copied.random(5) * total]
            keys = [plain.held()[one] for one in at]
            same(drawn, [plain.sequence(*key) for key in keys])
            assert drawn.state.tolist() == [plain.states[key].tolist() for key in keys]
            assert drawn.probability.tolist() == [weights[one] / total for one in at]
            for number, key in zip(drawn.slots.tolist(), keys):
                assert known.setdefault(number, (*key, life)) == (*key, life)
                assert number_of.setdefault((*key, life), number) == number
        elif deed == "update" and known:
            numbers = rng.choice(list(known), rng.integers(1, 6))  # many are stale
            priorities = rng.integers(0, 6, len(numbers)).astype(float)
            replay.update(numbers, priorities)
            for number, priority in zip(numbers.tolist(), priorities):
                b, start, then = known[number]
                if then == life:
                    plain.update(b, start, priority)
        elif deed == "drop":
            where, lengths = rng.random(streams) < 0.5, rng.integers(0, rows + 3, streams)
            replay.drop(where, lengths)
            plain.drop(where, lengths)
            broke |= where
        elif deed == "save":
            saved = replay.state_dict()
            replay = replay_of(streams, rows, trace, period, crossing)
            replay.load_state_dict(saved)
        elif deed == "clear":
            replay.clear()
            plain.clear()
            life += 1
        assert replay.ready == len(plain.held())
        assert replay.filled == sum(min(len(written), rows) for written in plain.written)


@pytest.mark.parametrize("crossing", [True, False])
@pytest.mark.parametrize(("trace", "period"), [(5, 5), (5, 2), (6, 4), (1, 1)])
def test_over_many_laps_every_sequence_drawn_is_whole_and_of_one_lap(trace, period, crossing):
    rows = period * (trace // period + 4)
    replay, source, rng = replay_of(3, rows, trace, period, crossing), Rows(3), np.random.default_rng(1)
    for _ in range(12 * rows):
        columns, state = source.next(first=rng.random(3) < 0.1)
        replay.append(columns, rng.random(3) < 0.7, state)
        if not replay.ready:
            continue
        drawn = replay.sample(8, rng)
        for k in range(8):
            real = drawn.observation[drawn.mu[:, k] != 1, k, 0, 0] if not crossing else drawn.observation[:, k, 0, 0]
            assert (np.diff(real) > 0).all()  # numbers only ever grow
            assert (real % 100 == real[0] % 100).all()  # one stream
            assert (drawn.observation[:, k, 1, 0] == -drawn.observation[:, k, 0, 0]).all()
            assert drawn.state[k].tolist() == [real[0], real[0] + 0.5]  # of the first row


def test_a_sequence_is_ready_when_its_last_row_is_written_and_gone_when_its_first_is_overwritten():
    replay = replay_of(streams=1, rows=8, trace=4, period=2)
    counts = []
    rows = Rows(1)
    for _ in range(12):
        filled(replay, 1, rows)
        counts.append(replay.ready)
    #        rows 1  2  3  4  5  6  7  8  9 (the first is overwritten and another ready) ...
    assert counts == [0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2]


def test_two_overlapping_sequences_share_their_rows_and_each_has_its_own_state():
    replay = replay_of(streams=1, rows=8, trace=4, period=2)
    filled(replay, 7)
    drawn = replay.sample(64, np.random.default_rng(0))
    begins = drawn.observation[0, :, 0, 0]
    assert set(begins.tolist()) == {100, 300}
    assert (drawn.state[:, 0] == begins).all()
    a, b = (int(np.argmax(begins == start)) for start in (100, 300))
    assert np.array_equal(drawn.observation[2:, a], drawn.observation[:3, b])


def test_published_sequences_end_with_their_episode_and_the_next_begins_behind_padding():
    replay = replay_of(streams=1, rows=16, trace=4, period=2, crossing=False)
    rows = Rows(1)
    filled(replay, 1, rows, first=[True])
    filled(replay, 4, rows)  # an episode of 5 rows: 100 ... 500
    filled(replay, 1, rows, first=[True])  # 600, in row 6 behind one row of padding
    assert replay.filled == 7 and replay.ready == 2  # rows 0 ... 4 and 2 ... 6
    filled(replay, 4, rows)
    drawn = replay.sample(200, np.random.default_rng(0))
    seen = {tuple(drawn.observation[:, k, 0, 0].tolist()): k for k in range(200)}
    assert set(seen) == {
        (100, 200, 300, 400, 500),
        (300, 400, 500, 0, 0),
        (500, 0, 0, 0, 0),
        (600, 700, 800, 900, 1000),
    }
    short = seen[300, 400, 500, 0, 0]
    assert drawn.filler[:, short].tolist() == [False, False, False, True, True]
    assert drawn.first[:, short].tolist() == [False, False, False, True, True]
    assert drawn.mu[3:, short].tolist() == [1, 1]  # it is divided by
    assert not drawn.terminated[3:, short].any()


def test_with_crossing_nothing_is_padded_and_the_next_episode_follows_at_once():
    replay = replay_of(streams=1, rows=16, trace=4, period=4, crossing=True)
    rows = filled(replay, 2)
    filled(replay, 1, rows, first=[True])
    filled(replay, 2, rows)
    drawn = replay.sample(1, np.random.default_rng(0))
    assert drawn.observation[:, 0, 0, 0].tolist() == [100, 200, 300, 400, 500]
    assert drawn.first[:, 0].tolist() == [False, False, True, False, False]
    assert not drawn.filler.any()


def test_padding_of_one_stream_leaves_the_others_alone_in_the_same_call():
    replay = replay_of(streams=3, rows=12, trace=3, period=3, crossing=False)
    rows = filled(replay, 1)
    filled(replay, 1, rows, first=[False, True, False])
    assert replay._position.tolist() == [2, 4, 2]
    filled(replay, 2, rows)
    drawn = replay.sample(100, np.random.default_rng(0))
    assert {tuple(drawn.observation[:, k, 0, 0].tolist()) for k in range(100)} == {
        (100, 200, 300, 400), (101, 0, 0, 0), (102, 202, 302, 402),
    }  # fmt: skip


def test_a_broken_episode_loses_its_rows_and_a_sequence_without_a_step_left_never_enters():
    replay = replay_of(streams=2, rows=16, trace=4, period=4)
    rows = filled(replay, 3)
    replay.drop(np.array([True, False]), np.array([3, 3]))
    filled(replay, 2, rows, filler=[True, False])
    assert replay.ready == 1
    drawn = replay.sample(3, np.random.default_rng(0))
    assert (drawn.observation[0, :, 0, 0] == 101).all() and not drawn.filler.any()


def test_sequences_that_are_ready_lose_only_the_steps_of_a_broken_episode():
    replay = replay_of(streams=1, rows=16, trace=4, period=4)
    filled(replay, 6)
    replay.drop(np.array([True]), np.array([3]))
    drawn = replay.sample(1, np.random.default_rng(0))
    assert drawn.filler[:, 0].tolist() == [False, False, False, True, True]
    replay.drop(np.array([True]), np.array([1000]))  # longer than what is held
    assert replay.sample(1, np.random.default_rng(0)).filler.all() and replay.ready == 1


def test_new_sequences_enter_with_the_largest_priority_seen():
    replay = replay_of(streams=1, rows=20, trace=2, period=2)
    rows = filled(replay, 3)
    first = replay.sample(1, np.random.default_rng(0))
    replay.update(first.slots, np.array([7.0]))
    replay.update(first.slots, np.array([3.0]))
    filled(replay, 2, rows)
    drawn = replay.sample(50, np.random.default_rng(0))
    assert set(zip(drawn.observation[0, :, 0, 0].tolist(), drawn.probability.tolist())) == {(100, 0.3), (300, 0.7)}


def test_sequences_are_drawn_in_proportion_to_powers_of_their_priorities():
    replay = replay_of(streams=4, rows=40, trace=4, period=2, exponent=0.9)
    filled(replay, 41)
    rng = np.random.default_rng(0)
    places = np.unique(replay.sample(5000, rng).slots)
    assert len(places) == replay.ready
    priorities = rng.random(len(places)) * 10.0 ** rng.integers(-2, 2, len(places))
    replay.update(places, priorities)
    expected = priorities**0.9 / (priorities**0.9).sum()
    drawn = replay.sample(40_000, rng)
    at = np.searchsorted(places, drawn.slots)
    np.testing.assert_allclose(drawn.probability, expected[at], rtol=1e-12)
    counts = np.bincount(at, minlength=len(places))
    chi = ((counts - 40_000 * expected) ** 2 / (40_000 * expected)).sum()
    assert abs(chi - (len(places) - 1)) < 5 * math.sqrt(2 * (len(places) - 1))


@pytest.mark.parametrize("exponent", [0, 0.9, 10])
def test_priorities_of_any_size_neither_vanish_nor_overflow_and_zero_stays_zero(exponent):
    replay = replay_of(streams=1, rows=20, trace=2, period=2, exponent=exponent)
    filled(replay, 9)
    slots = np.unique(replay.sample(100, np.random.default_rng(0)).slots)
    assert len(slots) == 4
    replay.update(slots, np.array([0.0, 1e-99, 1e99, 0.0]))
    assert replay.ready == 2
    assert np.isfinite(replay.sample(9, np.random.default_rng(0)).probability).all()
    replay.update(slots, np.array([0.0, 1e-99, 0.0, 0.0]))
    assert (replay.sample(9, np.random.default_rng(0)).slots == slots[1]).all()


def test_a_priority_of_zero_is_not_drawn_again_and_an_empty_replay_says_so():
    replay = replay_of(streams=1, rows=8, trace=4, period=2)
    with pytest.raises(BadInput, match="no sequence is ready"):
        replay.sample(1, np.random.default_rng(0))
    filled(replay, 5)
    replay.update(replay.sample(1, np.random.default_rng(0)).slots, np.zeros(1))
    assert replay.ready == 0
    with pytest.raises(BadInput, match="no sequence is ready"):
        replay.sample(1, np.random.default_rng(0))


def test_a_priority_for_a_sequence_overwritten_meanwhile_is_passed_over():
    replay = replay_of(streams=1, rows=8, trace=4, period=2)
    rows = filled(replay, 5)
    stale = replay.sample(1, np.random.default_rng(0)).slots
    filled(replay, 4, rows)  # row 8 begins the slot's next sequence, which is in progress
    before = replay.ready
    replay.update(stale, np.array([99.0]))
    assert replay.ready == before
    filled(replay, 4, rows)  # and now it is ready
    replay.update(stale, np.array([0.0]))
    assert replay.ready == 2
    drawn = replay.sample(20, np.random.default_rng(0))
    assert (drawn.probability == 0.5).all()  # 99 was not taken for the largest either
    assert stale[0] not in drawn.slots


def test_not_even_an_invented_number_makes_a_sequence_in_progress_drawable():
    replay = replay_of(streams=2, rows=12, trace=4, period=2)
    filled(replay, 4)
    numbers = np.arange(-50, 500)
    replay.update(numbers, np.ones(len(numbers)))
    assert replay.ready == 0


def test_numbers_from_before_a_clear_stay_stale():
    replay = replay_of(streams=1, rows=8, trace=4, period=2)
    rows = filled(replay, 5)
    stale = replay.sample(1, np.random.default_rng(0)).slots
    replay.clear()
    assert replay.ready == 0 and replay.filled == 0
    replay.update(stale, np.array([5.0]))
    assert replay.ready == 0
    filled(replay, 5, rows)
    replay.update(stale, np.array([0.0]))
    assert replay.ready == 1
    assert replay.sample(1, np.random.default_rng(0)).observation[0, 0, 0, 0] == 600


@pytest.mark.parametrize("count", [0, 3, 11, 40])
@pytest.mark.parametrize("crossing", [True, False])
def test_restored_in_the_middle_it_goes_on_exactly(crossing, count):
    def run(replay, source, rng, steps):
        seen = []
        for _ in range(steps):
            columns, state = source.next(rng)
            replay.append(columns, rng.random(2) < 0.8, state)
            if replay.ready:
                drawn = replay.sample(3, rng)
                replay.update(drawn.slots, rng.random(3) * 3)
                seen.append(drawn)
        return seen

    replay, source, rng = replay_of(crossing=crossing, exponent=0.9), Rows(2), np.random.default_rng(4)
    run(replay, source, rng, count)
    saved, bits, number = replay.state_dict(), rng.bit_generator.state, source.count
    there = run(replay, source, rng, 30)
    other = replay_of(crossing=crossing, exponent=0.9)
    filled(other, 7)  # whatever was in it
    other.load_state_dict(saved)
    rng.bit_generator.state, source.count = bits, number
    here = run(other, source, rng, 30)
    assert len(here) == len(there) > 10
    assert all(equal(a, b) for a, b in zip(here, there))
    assert all(np.array_equal(replay.state_dict()[name], array) for name, array in other.state_dict().items())


def test_what_is_saved_is_only_what_is_filled_and_torch_takes_it():
    torch = pytest.importorskip("torch")
    replay = replay_of(streams=2, rows=1200, trace=4, period=2)
    filled(replay, 5)
    saved = replay.state_dict()
    assert saved["observation"].shape == (10, *SHAPE) and saved["recurrent"].shape == (6, S)
    for array in saved.values():
        assert np.array_equal(torch.from_numpy(array).numpy(), array)
    saved["observation"][:] = 0
    assert replay.sample(1, np.random.default_rng(0)).observation.all()  # it was a copy


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"period": 4}, "form"),
        ({"exponent": 0.5}, "exponent"),
        ({"shape": (2,)}, "shape"),
        ({"crossing": False}, "form"),
        ({"dtype": np.int64}, "observation was saved as int32"),
    ],
)
def test_a_state_of_another_form_is_refused_and_changes_nothing(change, words):
    saved = replay_of().state_dict()
    other = replay_of(**change)
    columns, state = Rows(2).next()
    columns["observation"] = np.ones((2, *other.shape), other.dtype)
    other.append(columns, np.ones(2, bool), state)
    with pytest.raises(BadInput, match=words):
        other.load_state_dict(saved)
    assert other.filled == 2


@pytest.mark.parametrize("damage", ["missing", "more", "weight", "position", "largest", "short"])
def test_a_damaged_state_is_refused_and_changes_nothing(damage):
    replay = replay_of()
    filled(replay, 6)
    saved = replay.state_dict()
    if damage == "missing":
        del saved["mu"]
    elif damage == "more":
        saved["other"] = np.zeros(1)
    elif damage == "short":
        saved["reward"] = saved["reward"][:-1]
    else:
        saved[damage][0] = -1
    before = replay.state_dict()
    with pytest.raises(BadInput):
        replay.load_state_dict(saved)
    assert all(np.array_equal(array, before[name]) for name, array in replay.state_dict().items())


def test_frames_are_stored_once_and_the_size_is_known_beforehand():
    replay = Replay(
        streams=3, rows=400, trace=80, period=40, shape=(84, 84), dtype=np.uint8, state_size=128, crossing=True
    )
    held = (replay._observation, replay._records, replay._state, replay._generation, replay._tree._nodes)
    assert replay.bytes == sum(array.nbytes for array in held)
    assert replay._observation.nbytes == 3 * 400 * 84 * 84
    assert replay.bytes < 1.01 * 3 * 400 * 84 * 84
    assert replay.describe() == (
        "The replay holds 1,200 frames (3 streams of 400 rows), which are 24 sequences of 80 steps, one every 40, and takes 8.5 MB when full."
    )


@pytest.mark.parametrize(("trace", "period"), [(4, 2), (4, 4), (7, 3), (1, 1)])
def test_the_sequences_it_says_to_hold_are_those_it_holds(trace, period):
    replay = replay_of(streams=3, rows=10 * period, trace=trace, period=period)
    rows, least = filled(replay, 20 * period), math.inf
    for _ in range(3 * period):
        filled(replay, 1, rows)
        least = min(least, replay.ready)
    assert f"which are {least} sequences" in replay.describe()


def test_a_replay_larger_than_the_memory_that_is_free_is_refused_with_what_would_fit(monkeypatch):
    monkeypatch.setattr("outrange.core.memory.free", lambda: 1_000_000_000)
    given = {
        "streams": 8,
        "trace": 80,
        "period": 40,
        "shape": (84, 84),
        "dtype": np.uint8,
        "state_size": 128,
        "crossing": True,
    }
    with pytest.raises(
        BadInput, match=r"800,000 frames\) take 5\.7 GB, and 1\.0 GB of memory are free.*up to 15,840 rows of each fit"
    ) as refused:
        Replay(rows=100_000, **given)
    assert "\n" not in str(refused.value)
    fits = 15_840
    assert Replay(rows=fits, **given).bytes <= 900_000_000
    with pytest.raises(BadInput, match="take"):
        Replay(rows=fits + 40, **given)
    monkeypatch.setattr("outrange.core.memory.free", lambda: 1_000_000)
    with pytest.raises(BadInput, match="not even the smallest"):
        Replay(rows=fits, **given)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"streams": 0}, "streams: 0"),
        ({"trace": 0}, "trace: 0"),
        ({"period": 0}, "period: 0"),
        ({"period": 5}, "period: 5 .* from 1 to trace, which is 4"),
        ({"rows": 13}, "rows: 13 .* multiple of period, which is 2, and at least 8"),
        ({"rows": 6}, "rows: 6 .* at least 8"),
        ({"rows": 12.0}, "rows: 12.0"),
        ({"shape": (2, 0)}, "shape: 0"),
        ({"dtype": "S3"}, "dtype: .* allowed: bool"),
        ({"dtype": object}, "dtype: object"),
        ({"state_size": -1}, "state_size: -1"),
        ({"exponent": -0.1}, "exponent: -0.1"),
        ({"exponent": math.nan}, "exponent: nan"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused(change, words):
    with pytest.raises(BadInput, match=words):
        replay_of(**change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mu": None}, "columns: \\['mu'\\] missing"),
        ({"other": np.zeros(2)}, "columns: \\['other'\\]"),
        ({"reward": np.zeros(3)}, "reward: shape \\(3,\\)"),
        ({"reward": np.zeros(1)}, "reward: shape \\(1,\\)"),
        ({"action": np.zeros(2)}, "action: float64 is not allowed; it must go into int16"),
        ({"observation": np.zeros((2, 2, 1))}, "observation: float64 \\(2, 2, 1\\)"),
        ({"observation": np.zeros((2, 3), np.int32)}, "observation: int32 \\(2, 3\\)"),
    ],
)
def test_a_row_of_another_form_is_refused_and_nothing_is_appended(change, words):
    replay = replay_of()
    columns, state = Rows(2).next()
    columns = {name: column for name, column in (columns | change).items() if column is not None}
    with pytest.raises(BadInput, match=words):
        replay.append(columns, np.ones(2, bool), state)
    assert replay.filled == 0


def test_states_and_masks_of_another_form_are_refused():
    replay = replay_of()
    columns, state = Rows(2).next()
    with pytest.raises(BadInput, match="state: shape"):
        replay.append(columns, np.ones(2, bool), state[:, :1])
    with pytest.raises(BadInput, match="mask: shape"):
        replay.append(columns, np.ones(3, bool), state)
    with pytest.raises(BadInput, match="lengths"):
        replay.drop(np.ones(2, bool), np.array([1, -1]))
    filled(replay, 6)
    with pytest.raises(BadInput, match="batch: 0"):
        replay.sample(0, np.random.default_rng(0))
    assert replay.filled == 12


@pytest.mark.parametrize("priority", [-1.0, math.nan, math.inf, 1e101])
def test_a_priority_that_is_none_is_refused_and_changes_nothing(priority):
    replay = replay_of()
    filled(replay, 6)
    drawn = replay.sample(2, np.random.default_rng(0))
    with pytest.raises(BadInput, match="priorities: "):
        replay.update(drawn.slots, np.array([0.0, priority]))
    assert replay.ready == 2
    with pytest.raises(BadInput, match="a number for each"):
        replay.update(drawn.slots, np.ones(3))


def test_a_column_may_be_of_a_wider_type_of_its_kind():
    replay = replay_of()
    for _ in range(5):
        columns, state = Rows(2).next(
            action=np.array([3, 4]), reward=np.array([0.5, 0.25]), mixture=np.array([1, 2], np.uint8)
        )
        replay.append(columns, np.ones(2, bool), state)
    drawn = replay.sample(1, np.random.default_rng(0))
    assert drawn.action.dtype == np.int16 and drawn.action[0, 0] in (3, 4)
    assert drawn.reward[0, 0] in (0.5, 0.25)


@pytest.mark.parametrize("shape", [(), (5,), (3, 4, 5)])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int32", "int64", "float32", "float64"])
def test_observations_of_any_shape_and_kind_come_back_time_first_and_contiguous(shape, dtype):
    replay = replay_of(shape=shape, dtype=dtype, state_size=0)
    rng, source, given = np.random.default_rng(0), Rows(2), []
    for _ in range(5):
        given.append((rng.random((2, *shape)) * 2).astype(dtype))
        columns, _ = source.next()
        replay.append(columns | {"observation": given[-1]}, np.ones(2, bool), np.zeros((2, 0), np.float32))
    drawn = replay.sample(7, rng)
    assert drawn.observation.dtype == dtype and drawn.observation.shape == (5, 7, *shape)
    assert drawn.state.shape == (7, 0)
    for k, place in enumerate(drawn.slots % 12 // 6):
        assert np.array_equal(drawn.observation[:, k], np.stack(given)[:, place])
    assert all(
        getattr(drawn, name).flags.c_contiguous and getattr(drawn, name).flags.writeable
        for name in (*COLUMNS, "state", "slots", "probability")
    )


def test_what_was_drawn_is_not_changed_by_what_is_appended_later():
    replay = replay_of(streams=1, rows=8, trace=4, period=2)
    rows = filled(replay, 5)
    drawn = replay.sample(1, np.random.default_rng(0))
    filled(replay, 20, rows)
    assert drawn.observation[:, 0, 0, 0].tolist() == [100, 200, 300, 400, 500]
    assert drawn.state[0, 0] == 100
