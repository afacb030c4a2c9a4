"""Novelty: the kernel's closed forms, both readings of the running mean by hand, the ring, neighbours against a full sort, moments against numpy."""

import math
from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from outrange.core.errors import BadInput
from outrange.exploration.config import EpisodicConfig
from outrange.exploration.novelty.kernel import KernelBonus, RunningMean, kernel_bonus
from outrange.exploration.novelty.lifelong import Moments, combine
from outrange.exploration.novelty.memory import EpisodicMemory

PAPER = EpisodicConfig()
ROOT10 = math.sqrt(10)


# the kernel


def test_the_defaults_are_the_papers_table():
    assert (
        PAPER.neighbours,
        PAPER.kernel_epsilon,
        PAPER.cluster_distance,
        PAPER.pseudo_count,
        PAPER.max_similarity,
    ) == (10, 1e-4, 0.008, 1e-3, 8.0)


def test_ten_coinciding_neighbours_give_one_over_the_root_of_ten_and_c():
    bonus = kernel_bonus(np.zeros(10), PAPER)
    assert bonus == pytest.approx(1 / (ROOT10 + 0.001), rel=1e-12)
    assert bonus != pytest.approx(1 / math.sqrt(10 + 0.001), rel=1e-5)  # c under the root


def test_ten_neighbours_at_infinity_give_one_over_c():
    assert kernel_bonus(np.full(10, np.inf), PAPER) == pytest.approx(1000, rel=1e-12)  # 31.6 with c under the root
    assert kernel_bonus(np.full(10, np.inf), EpisodicConfig(pseudo_count=0.1)) == pytest.approx(10, rel=1e-12)


def test_a_state_at_the_mean_distance_gives_about_thirty():
    assert (
        kernel_bonus(np.ones(10), PAPER)
        == pytest.approx(1 / (math.sqrt(10 * 1e-4 / (0.992 + 1e-4)) + 0.001), rel=1e-12)
        == pytest.approx(30.5, abs=0.1)
    )
    assert kernel_bonus(np.ones(10), EpisodicConfig(kernel_epsilon=0.01)) == pytest.approx(3.14, abs=0.02)  # the maze's


def test_distances_up_to_xi_count_as_none():
    assert kernel_bonus(np.full(10, 0.008), PAPER) == kernel_bonus(np.zeros(10), PAPER)
    assert kernel_bonus(np.full(10, 0.009), PAPER) == pytest.approx(
        1 / (math.sqrt(10 * 1e-4 / (0.001 + 1e-4)) + 0.001), rel=1e-9
    )


@given(arrays(np.float64, (4, 10), elements=st.floats(0, allow_nan=False)))
@settings(deadline=None)
def test_the_cut_off_never_fires_with_the_papers_constants(normalised):
    bonus = kernel_bonus(normalised, PAPER)
    assert (bonus >= 1 / (ROOT10 + 0.001) - 1e-12).all() and (bonus >= 0.316).all() and (bonus <= 1000 + 1e-9).all()


def test_the_cut_off_fires_from_sixty_four_neighbours_on():
    assert kernel_bonus(np.zeros(63), PAPER) == pytest.approx(1 / (math.sqrt(63) + 0.001))
    assert kernel_bonus(np.zeros(64), PAPER) == 0  # 8.001: with c under the root it would be at 8.00006, also above
    assert kernel_bonus(np.zeros(100), PAPER) == 0
    assert kernel_bonus(np.full(100, np.inf), PAPER) == pytest.approx(1000)


def test_the_cut_off_compares_with_c_outside_the_root():
    just = EpisodicConfig(neighbours=64, max_similarity=8.0005)  # 8 + 0.001 is above it, the root of 64.001 below
    assert kernel_bonus(np.zeros(64), just) == 0


# algorithm 1 as a whole


def test_the_bonus_of_two_streams_by_hand():
    # mean of (1, 3, 2, 6) is 3; normalised 1/3, 1 and 2/3, 2
    bonus = KernelBonus(EpisodicConfig(neighbours=2, kernel_epsilon=0.01), 2).bonus(np.array([[1.0, 3.0], [2.0, 6.0]]))
    for got, pair in zip(bonus, ((1 / 3, 1), (2 / 3, 2))):
        assert got == pytest.approx(1 / (math.sqrt(sum(0.01 / (d - 0.008 + 0.01) for d in pair)) + 0.001), rel=1e-12)


def test_distances_are_normalised_by_the_mean_that_already_has_them():
    judge = KernelBonus(EpisodicConfig(neighbours=1, distance_mean="cumulative"), 1)
    assert judge.bonus(np.array([[4.0]])).item() == pytest.approx(kernel_bonus(np.array([1.0]), judge.config))
    assert judge.bonus(np.array([[8.0]])).item() == pytest.approx(kernel_bonus(np.array([8 / 6]), judge.config))


def test_an_empty_memory_gives_nothing_or_what_ten_neighbours_at_one_give():
    empty = np.full((3, 10), np.inf)
    zero, unit = KernelBonus(PAPER, 3), KernelBonus(EpisodicConfig(missing_neighbours="unit"), 3)
    assert zero.bonus(empty).tolist() == [0, 0, 0]
    assert unit.bonus(empty) == pytest.approx(np.full(3, kernel_bonus(np.ones(10), PAPER)), rel=1e-12)
    assert zero.mean.value.tolist() == unit.mean.value.tolist() == [0, 0, 0]


def test_a_memory_with_fewer_points_than_neighbours():
    few = np.array([[2.0, 6.0, np.inf], [1.0, 1.0, 4.0]])
    zero, unit = (
        KernelBonus(EpisodicConfig(neighbours=3), 2),
        KernelBonus(EpisodicConfig(neighbours=3, missing_neighbours="unit"), 2),
    )
    assert zero.bonus(few) == pytest.approx(
        [0, float(kernel_bonus(np.array([0.5, 0.5, 2.0]), zero.config))]
    )  # the first leaves the mean of 2 alone
    mean = (2 + 6 + 1 + 1 + 4) / 5
    assert unit.bonus(few) == pytest.approx(
        kernel_bonus(np.array([[2 / mean, 6 / mean, 1], few[1] / mean]), unit.config)
    )


def test_a_stream_out_of_the_mask_gets_nothing_and_leaves_the_mean_alone():
    judge = KernelBonus(EpisodicConfig(neighbours=2), 2)
    bonus = judge.bonus(np.array([[1.0, 3.0], [50.0, 90.0]]), np.array([True, False]))
    assert (
        bonus[1] == 0
        and bonus[0] == pytest.approx(kernel_bonus(np.array([0.5, 1.5]), judge.config))
        and judge.mean.value.tolist() == [2.0, 2.0]
    )


def test_a_mean_of_zero_divides_nothing():
    judge = KernelBonus(PAPER, 2)
    assert judge.bonus(np.zeros((2, 10))) == pytest.approx(np.full(2, 1 / (ROOT10 + 0.001)))
    kth = KernelBonus(
        EpisodicConfig(neighbours=2, missing_neighbours="unit", distance_mean_of="kth"), 1
    )  # no k-th neighbour yet, so no mean: what is apart stands at 1
    assert kth.bonus(np.array([[5.0, np.inf]])).item() == pytest.approx(kernel_bonus(np.ones(2), kth.config))
    assert kth.bonus(np.array([[0.0, np.inf]])).item() == pytest.approx(kernel_bonus(np.array([0.0, 1.0]), kth.config))


def test_a_bonus_does_not_depend_on_the_unit_of_length():
    distances = np.random.default_rng(0).exponential(size=(5, 3, 10)).cumsum(-1)
    one, other = KernelBonus(PAPER, 3), KernelBonus(PAPER, 3)
    for step in distances:
        assert one.bonus(step) == pytest.approx(other.bonus(step * 1e-12), rel=1e-9)


def test_distances_of_another_shape_are_refused():
    with pytest.raises(BadInput, match=r"distances: shape \(10, 3\).*\(3, 10\)"):
        KernelBonus(PAPER, 3).bonus(np.zeros((10, 3)))


# the running mean

FIRST, SECOND = np.array([[1.0, 3.0]]), np.array([[2.0, 6.0]])


@pytest.mark.parametrize(
    ("how", "of", "expected"),
    [
        ("cumulative", "all", (2.0, 3.0)),
        ("cumulative", "kth", (3.0, 4.5)),
        ("momentum", "all", (2.0, 2.5)),
        ("momentum", "kth", (3.0, 3.75)),
    ],
)
def test_both_readings_of_the_running_mean_by_hand(how, of, expected):
    mean = RunningMean(1, how, rate=0.25, neighbours=of)
    assert (mean.update(FIRST)[0], mean.update(SECOND)[0]) == pytest.approx(expected, rel=1e-12)


def test_a_mean_of_the_episode_is_each_streams_own_and_begins_anew():
    mean, shared = RunningMean(2, scope="episode"), RunningMean(2)
    both = np.array([[1.0, 3.0], [2.0, 6.0]])
    assert mean.update(both).tolist() == [2.0, 4.0] and shared.update(both).tolist() == [3.0, 3.0]
    for m in (mean, shared):
        m.reset(np.array([False, True]))
    assert mean.value.tolist() == [2.0, 0.0] and shared.value.tolist() == [3.0, 3.0]
    assert mean.update(np.array([[4.0, 4.0], [10.0, 10.0]])).tolist() == [3.0, 10.0]


def test_the_bonus_of_a_new_episode_begins_with_a_new_mean():
    judge = KernelBonus(EpisodicConfig(neighbours=2, distance_mean_scope="episode"), 2)
    judge.bonus(np.array([[1.0, 3.0], [2.0, 6.0]]))
    judge.reset(np.array([False, True]))
    assert judge.bonus(np.array([[2.0, 2.0], [7.0, 7.0]])) == pytest.approx(
        np.full(2, kernel_bonus(np.ones(2), judge.config))
    )


@given(arrays(np.float64, (6, 3, 4), elements=st.sampled_from([0.0, 0.5, 1.0, 7.0, 1e6, np.inf])), arrays(bool, (6, 3)))
@settings(deadline=None)
def test_the_cumulative_mean_is_numpys_of_all_that_was_there(distances, masks):
    distances = np.sort(distances, -1)
    everything, kth = RunningMean(3), RunningMean(3, neighbours="kth", scope="episode")
    for step, mask in zip(distances, masks):
        everything.update(step, mask)
        kth.update(step, mask)
    seen = distances[masks]
    finite = seen[np.isfinite(seen)]
    assert everything.value == pytest.approx(np.full(3, finite.mean() if finite.size else 0.0), rel=1e-9)
    for b in range(3):
        last = distances[masks[:, b], b, -1]
        assert kth.value[b] == pytest.approx(
            last[np.isfinite(last)].mean() if np.isfinite(last).any() else 0.0, rel=1e-9
        )


def test_a_moving_mean_forgets_by_its_rate_a_step_and_not_where_nothing_came():
    mean, expected = RunningMean(4, "momentum", rate=0.1), None
    rng = np.random.default_rng(0)
    for _ in range(50):
        step = rng.exponential(size=(4, 3))
        expected = step.mean() if expected is None else expected + 0.1 * (step.mean() - expected)
        mean.update(step)
        mean.update(np.full((4, 3), np.inf))
    assert mean.value == pytest.approx(np.full(4, expected), rel=1e-12)


# memory


def filled(points, capacity=4):
    memory = EpisodicMemory(1, capacity, 1)
    for point in points:
        memory.add(np.array([[point]]))
    return memory


def test_the_ring_overwrites_its_oldest_points():
    memory = filled([0, 1, 2], capacity=3)
    zero = np.zeros((1, 1))
    assert memory.nearest(zero, 4).tolist() == [[0, 1, 4, np.inf]]
    memory.add(zero + 3)
    assert memory.nearest(zero, 4).tolist() == [[1, 4, 9, np.inf]]
    memory.add(zero + 4)
    assert memory.nearest(zero, 2).tolist() == [[4, 9]] and memory.counts.tolist() == [3]


def test_a_state_is_not_its_own_neighbour_when_it_is_asked_for_before_it_is_added():
    memory, state = filled([5.0, 9.0]), np.array([[6.0]])
    assert memory.nearest(state, 2).tolist() == [[1, 9]]
    memory.add(state)
    assert memory.nearest(state, 2).tolist() == [[0, 1]]


def test_streams_have_their_own_points_and_their_own_ends():
    memory = EpisodicMemory(3, 4, 2)
    memory.add(np.array([[0, 0], [3, 4], [6, 8]]), np.array([True, True, False]))
    assert memory.nearest(np.zeros((3, 2)), 1)[:, 0].tolist() == [0, 25, np.inf]
    memory.clear(np.array([False, True, False]))
    assert memory.counts.tolist() == [1, 0, 0] and memory.nearest(np.zeros((3, 2)), 1)[:, 0].tolist() == [
        0,
        np.inf,
        np.inf,
    ]
    memory.add(np.ones((3, 2)))
    assert memory.nearest(np.zeros((3, 2)), 2).tolist() == [[0, 2], [2, np.inf], [2, np.inf]]


@given(
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(1, 40),
    st.integers(1, 12),
    st.integers(0, 25),
    st.integers(0, 10_000),
)
@settings(deadline=None, max_examples=40)
def test_neighbours_equal_those_of_a_full_sort(streams, capacity, dimension, k, steps, seed):
    rng = np.random.default_rng(seed)
    memory, reference = EpisodicMemory(streams, capacity, dimension), [deque(maxlen=capacity) for _ in range(streams)]
    for _ in range(steps):
        points, mask, ended = (
            rng.integers(-9, 10, (streams, dimension)).astype(np.float32),
            rng.random(streams) < 0.8,
            rng.random(streams) < 0.1,
        )
        memory.add(points, mask)
        memory.clear(ended)
        for b in range(streams):
            if mask[b]:
                reference[b].append(points[b])
            if ended[b]:
                reference[b].clear()
    query = rng.integers(-9, 10, (streams, dimension)).astype(np.float32)
    found = memory.nearest(query, k)
    assert found.dtype == np.float32 and found.shape == (streams, k)
    for b in range(streams):
        all_of_them = sorted(float(((p - query[b]) ** 2).sum()) for p in reference[b])
        assert found[b].tolist() == (all_of_them + [math.inf] * k)[:k]  # whole numbers: exact
    assert memory.counts.tolist() == [len(r) for r in reference]


def test_neighbours_less_than_one_apart_come_in_order():
    points = np.random.default_rng(0).random((20, 3, 32)).astype(np.float32) / 4
    memory = EpisodicMemory(3, 30, 32)
    for point in points[1:]:
        memory.add(point)
    expected = np.sort(((points[1:].astype(np.float64) - points[0]) ** 2).sum(-1), axis=0)[:10].T
    np.testing.assert_allclose(memory.nearest(points[0], 10), expected, rtol=1e-6)


def test_distances_keep_their_digits_far_from_the_origin():
    memory = EpisodicMemory(1, 4, 32)
    memory.add(np.full((1, 32), 1000.0))
    query = np.full((1, 32), 1000.0, np.float32)
    assert memory.nearest(query, 1).item() == 0  # |a|^2 + |b|^2 - 2ab would not be
    query[0, 0] += 2**-10
    assert memory.nearest(query, 1).item() == 2.0**-20


def test_other_layouts_and_types_of_embeddings_are_taken():
    memory, points = EpisodicMemory(2, 4, 3), np.arange(6.0).reshape(3, 2).T
    points.flags.writeable = False
    memory.add(points)
    assert memory.nearest(points, 1).tolist() == [[0], [0]] == memory.nearest(points.astype(np.float16), 1).tolist()


def test_memory_is_taken_only_as_it_fills():
    memory = EpisodicMemory(64, 30_000, 32)
    room = []
    for _ in range(1100):
        memory.add(np.ones((64, 32)))
        room.append(sum(a.nbytes for a in vars(memory).values() if isinstance(a, np.ndarray)))
    assert room[0] < 3e6 and room[499] < 5e6 and room[-1] < 18e6  # of 246 MB in all
    assert memory.state_dict()["points"].shape == (64 * 1100, 32)
    small = EpisodicMemory(1, 300, 1)  # room grows to the capacity, which is no power of two
    for i in range(301):
        small.add(np.full((1, 1), float(i)))
    assert small.nearest(np.zeros((1, 1)), 300).tolist() == [[float(i * i) for i in range(1, 301)]]


def test_an_embedding_that_is_not_finite_or_of_another_shape_is_refused():
    memory = EpisodicMemory(3, 4, 2)
    bad = np.array([[0, 0], [0, np.nan], [0, 0]])
    with pytest.raises(BadInput, match="stream 1 is not finite"):
        memory.add(bad)
    memory.add(bad, np.array([True, False, True]))
    assert memory.counts.tolist() == [1, 0, 1]
    for wrong in (
        lambda: memory.add(np.zeros((2, 3))),
        lambda: memory.nearest(np.zeros((2, 3)), 1),
        lambda: memory.nearest(np.zeros((3, 2)), 0),
    ):
        with pytest.raises(BadInput, match="is not allowed"):
            wrong()
    with pytest.raises(BadInput, match="memory.capacity: 0"):
        EpisodicMemory(1, 0, 1)


# the life-long factor


@given(st.lists(st.tuples(arrays(np.float64, 5, elements=st.floats(-1e6, 1e6)), arrays(bool, 5)), max_size=8))
@settings(deadline=None)
def test_moments_are_numpys_of_all_that_counts(batches):
    moments = Moments()
    for values, mask in batches:
        moments.update(values, mask)
    everything = np.concatenate([np.zeros(0), *[values[mask] for values, mask in batches]])
    assert moments.count == len(everything)
    if len(everything):
        assert moments.mean == pytest.approx(everything.mean(), rel=1e-9, abs=1e-6) and moments.std == pytest.approx(
            everything.std(), rel=1e-6, abs=1e-6
        )


def test_a_small_spread_on_a_large_mean_keeps_its_digits():
    moments, rng = Moments(), np.random.default_rng(0)
    values = 1e4 + rng.normal(size=(300, 7))
    for batch in values:
        moments.update(batch)
    assert moments.std == pytest.approx(values.std(), rel=1e-9)


def test_the_factor_is_one_plus_the_normalised_error():
    moments = Moments()
    moments.update(np.array([1.0, 3.0]))  # mean 2, deviation 1
    assert moments.factor(np.array([2.0, 3.0, 4.5, 0.0])).tolist() == [1.0, 2.0, 3.5, -1.0]


def test_the_factor_is_one_where_there_is_no_spread():
    moments = Moments()
    assert moments.factor(np.array([7.0])).tolist() == [1.0]
    for _ in range(100):
        moments.update(np.full(3, 0.1))
        moments.update(np.full(3, 9.0), np.zeros(3, bool))
    assert moments.factor(np.array([0.1, 5.0])).tolist() == [1.0, 1.0]


def test_the_factor_only_amplifies_from_one_to_five():
    assert combine(np.full(5, 2.0), np.array([-7.0, 0.5, 1.0, 3.0, 99.0])).tolist() == [2.0, 2.0, 2.0, 6.0, 10.0]
    assert combine(np.full(2, 2.0), np.array([-7.0, 99.0]), max_factor=1.0).tolist() == [2.0, 2.0]
    with pytest.raises(BadInput, match="L: 0.5"):
        combine(np.ones(1), np.ones(1), max_factor=0.5)


def test_an_error_that_is_not_finite_is_refused_before_it_counts():
    moments = Moments()
    with pytest.raises(BadInput, match="not finite"):
        moments.update(np.array([1.0, np.inf]))
    moments.update(np.array([1.0, np.nan]), np.array([True, False]))
    assert (moments.count, moments.mean) == (1, 1.0)


# saving and going on


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "distance_mean": "momentum",
            "distance_mean_scope": "episode",
            "distance_mean_of": "kth",
            "missing_neighbours": "unit",
        },
    ],
)
def test_what_was_saved_goes_on_as_if_never_stopped(options):
    rng, config = np.random.default_rng(0), EpisodicConfig(neighbours=3, **options)

    def fresh():
        return EpisodicMemory(3, 5, 2), KernelBonus(config, 3), Moments()

    def step(parts, points, errors, mask, started):
        memory, judge, moments = parts
        memory.clear(started)
        judge.reset(started)
        moments.update(errors, mask)
        bonus = judge.bonus(memory.nearest(points, 3), mask)
        memory.add(points, mask)
        return combine(bonus, moments.factor(errors)).tolist()

    inputs = [
        (rng.normal(size=(3, 2)), rng.exponential(size=3), rng.random(3) < 0.8, rng.random(3) < 0.05) for _ in range(40)
    ]
    whole = fresh()
    expected = [step(whole, *i) for i in inputs]
    parts = fresh()
    got = []
    for n, i in enumerate(inputs):
        if n in (0, 2, 7, 23):  # empty, partly filled, full
            states = [{name: array.copy() for name, array in p.state_dict().items()} for p in parts]
            got_from = [p.state_dict() for p in parts]
            parts = fresh()
            for part, state in zip(parts, states):
                part.load_state_dict(state)
            assert all(np.array_equal(a[name], p.state_dict()[name]) for a, p in zip(got_from, parts) for name in a)
        got.append(step(parts, *i))
    assert got == expected


def test_a_state_does_not_change_with_what_it_came_from():
    memory, judge, moments = filled([1, 2]), KernelBonus(EpisodicConfig(neighbours=1), 1), Moments()
    states = [memory.state_dict(), judge.state_dict(), moments.state_dict()]
    copies = [{name: array.copy() for name, array in s.items()} for s in states]
    memory.add(np.ones((1, 1)))
    judge.bonus(np.ones((1, 1)))
    moments.update(np.ones(1))
    assert all(np.array_equal(s[name], c[name]) for s, c in zip(states, copies) for name in s)


def test_a_state_of_another_shape_is_refused():
    state = filled([1, 2, 3]).state_dict()
    for other in (EpisodicMemory(2, 4, 1), EpisodicMemory(1, 2, 1), EpisodicMemory(1, 4, 2), EpisodicMemory(1, 3, 1)):
        if other.capacity == 3:
            with pytest.raises(BadInput, match="memory"):
                other.load_state_dict(state)  # full there, and its next row would lie outside
            continue
        with pytest.raises(BadInput, match="memory: what was saved, 3 points of 1 streams"):
            other.load_state_dict(state)
    with pytest.raises(BadInput, match="mean"):
        RunningMean(2, scope="episode").load_state_dict(RunningMean(2).state_dict())


# settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"neighbours": 0},
        {"kernel_epsilon": 0.0},
        {"cluster_distance": -1.0},
        {"pseudo_count": 0.0},
        {"max_similarity": math.nan},
        {"missing_neighbours": "none"},
        {"distance_mean": "median"},
        {"distance_mean_rate": 0.0},
        {"distance_mean_rate": 1.5},
        {"distance_mean_scope": "globl"},
        {"distance_mean_of": "first"},
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(wrong):
    with pytest.raises(BadInput, match=f"bonus.{next(iter(wrong))}"):
        EpisodicConfig(**wrong)
