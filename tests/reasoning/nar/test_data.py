"""The generalist's data: what ``prepare`` makes of traces, feeds that depend on (seed, algorithm, step) alone, chunks laid end to end, and their state."""

import gc
import json
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest

from outrange.core.errors import BadInput
from outrange.reasoning import clrs
from outrange.reasoning.nar.chunks import ChunkedFeed
from outrange.reasoning.nar.evaluation_sets import evaluation_set
from outrange.reasoning.nar.feed import Background, Feed
from outrange.reasoning.nar.parallel import shard
from outrange.reasoning.nar.samples import Samples, prepare, random_positions
from outrange.reasoning.nar.score import predecessors
from outrange.reasoning.nar.spec import task_spec

SMALL = {"naive_string_matcher": {"length_needle": 2}, "kmp_matcher": {"length_needle": 2}}


def arrays_of(samples):
    parts = {"inputs": samples.inputs, "hints": samples.hints, "outputs": samples.outputs}
    named = {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
    rest = ("lengths", "batch_lengths", "batch_indices") if isinstance(samples, Samples) else ("is_first", "is_last")
    return named | {name: getattr(samples, name) for name in rest}


def assert_same(a, b):
    a_arrays, b_arrays = arrays_of(a), arrays_of(b)
    assert list(a_arrays) == list(b_arrays)
    for name in a_arrays:
        assert a_arrays[name].dtype == b_arrays[name].dtype and np.array_equal(a_arrays[name], b_arrays[name]), name


def differ(a, b):
    return a.size != b.size or any(not np.array_equal(x, y) for x, y in zip(a.inputs.values(), b.inputs.values()))


# ── prepare ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def one_hot(rows):
    """Rows that are one-hot, or hidden: absolute values sum to 1."""
    return np.isin(rows, (-1, 0, 1)).all() and (np.abs(rows).sum(-1) == 1).all()


@pytest.mark.parametrize("name", clrs.ALGORITHMS)
def test_every_algorithm_has_the_promised_shapes_dtypes_and_values_and_says_what_its_traces_say(name):
    for n in range(5, 17):
        batch = clrs.batch(clrs.sample(name, length=n, count=3, seed=n))
        samples = prepare(batch, random_pos=None)
        B, N, T = 3, samples.size, int(batch.lengths.max())
        assert samples.spec == task_spec(clrs.spec(name)) and (samples.algorithm, samples.steps, len(samples)) == (
            name,
            T,
            B,
        )
        assert samples.lengths.dtype == np.int64 and samples.lengths.tolist() == batch.lengths.tolist()
        alive = np.arange(T)[:, None] < samples.lengths
        found = []
        for stage, arrays in (("input", samples.inputs), ("hint", samples.hints), ("output", samples.outputs)):
            for probe_name, array in arrays.items():
                probe = samples.spec[probe_name]
                assert probe.stage == stage
                found.append(probe_name)
                lead = (T, B) if stage == "hint" else (B,)
                axes = {"node": (N,), "edge": (N, N), "graph": ()}[probe.location]
                last = {
                    "categorical": (probe.classes,),
                    "permutation_pointer": (N,),
                    "mask_one": () if probe.location == "node" else (N,),
                }.get(probe.type, ())
                assert array.shape == lead + axes + last, probe_name
                assert array.dtype == (np.int64 if probe.type == "pointer" else np.float32), probe_name
                values = array[alive] if stage == "hint" else array
                assert stage != "hint" or not array[~alive].any()
                if probe.type == "pointer":
                    assert values.min() >= 0 and values.max() < N
                elif probe.type == "mask":
                    assert np.isin(values, (-1, 0, 1)).all()
                elif probe.type != "scalar":
                    assert one_hot(values), probe_name
                original = {"input": batch.inputs, "hint": batch.hints, "output": batch.outputs}[stage].get(probe_name)
                if probe.type == "permutation_pointer":
                    assert (array.sum(1) == 1).all() and not array[:, range(N), range(N)].any()
                    assert np.array_equal(predecessors(array, samples.outputs[f"{probe_name}_mask"]), original)
                elif original is not None:
                    assert np.array_equal(array, original.astype(array.dtype)), probe_name
        assert found == [p for s in ("input", "hint", "output") for p in samples.spec if samples.spec[p].stage == s]
        if "pred" in samples.inputs:
            assert (batch.hints["pred_h"] == samples.inputs["pred"])[alive].all()


def test_three_keys_sorted_by_hand():
    samples = prepare(
        clrs.batch([clrs.trace("insertion_sort", {"key": [0.3, 0.1, 0.2]})]), random_pos=None
    )  # 1, 2, 0 from least to greatest
    assert samples.outputs["pred"].tolist() == [[[0, 0, 1], [1, 0, 0], [0, 1, 0]]]
    assert samples.outputs["pred_mask"].tolist() == [[0, 1, 0]]
    assert samples.inputs["pos"].tolist() == [[0, np.float32(1 / 3), np.float32(2 / 3)]]


def test_hidden_cells_of_a_categorical_stay_hidden():
    samples = prepare(clrs.batch(clrs.sample("lcs_length", length=6, count=2, seed=0)), random_pos=None)
    b = samples.outputs["b"]
    assert (b == -1).any() and np.array_equal(
        samples.outputs["b"], clrs.batch(clrs.sample("lcs_length", length=6, count=2, seed=0)).outputs["b"]
    )


def test_random_positions_are_sorted_draws_within_each_string():
    pos = np.array([[0, 0.5, 0, 0.25, 0.5, 0.75], [0, 0.2, 0.4, 0.6, 0.8, 0.9]])
    ours = random_positions(pos, np.random.default_rng(5))
    draws = np.random.default_rng(5).random((2, 6))
    assert ours.tolist() == [sorted(draws[0, :2]) + sorted(draws[0, 2:]), sorted(draws[1])]


def test_random_positions_replace_only_pos():
    batch = clrs.batch(clrs.sample("kmp_matcher", length=12, count=4, seed=0))
    plain, random = prepare(batch, random_pos=None), prepare(batch, random_pos=np.random.default_rng(0))
    assert np.array_equal(
        random.inputs["pos"], random_positions(batch.inputs["pos"], np.random.default_rng(0)).astype(np.float32)
    )
    assert not np.array_equal(plain.inputs["pos"], random.inputs["pos"])
    random.inputs["pos"] = plain.inputs["pos"]
    assert_same(plain, random)


def test_preparing_leaves_the_batch_as_it_was():
    batch = clrs.batch(clrs.sample("minimum", length=6, count=2, seed=0))
    before = {name: array.copy() for name, array in (batch.inputs | batch.hints | batch.outputs).items()}
    prepare(batch, random_pos=np.random.default_rng(0))
    after = batch.inputs | batch.hints | batch.outputs
    assert list(before) == list(after) and all(np.array_equal(before[name], after[name]) for name in before)


def test_a_changing_chain_cannot_become_an_input():
    with pytest.raises(BadInput, match="quickselect hint pred_h: changes from step to step"):
        prepare(
            clrs.batch(clrs.sample("quickselect", length=8, count=2, seed=0)), random_pos=None, pred_as_input="always"
        )


@pytest.mark.parametrize("pointers", [[1, 2, 0], [0, 1, 0], [0, 0, 0], [1, 1, 1, 0], [0, 2, 3, 2]])
def test_pointers_that_are_no_chain_cannot_become_a_permutation(pointers):
    batch = clrs.batch(clrs.sample("insertion_sort", length=len(pointers), count=2, seed=0))
    batch.outputs["pred"][1] = pointers
    with pytest.raises(BadInput, match=rf"pred: \[{pointers[0]}, {pointers[1]}, .* is not a chain of predecessors"):
        prepare(batch, random_pos=None)
    assert prepare(batch, random_pos=None, permutations=False).outputs["pred"][1].tolist() == pointers


# ── an algorithm of one's own ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

OWN = clrs.Spec(
    "sorting",
    inputs="key node scalar",
    outputs="order node should_be_permutation, least node mask_one",
    hints="pred_h node pointer, i node mask_one",
)
OwnHints = clrs.hints(OWN)


def own_sort(key, order, least):
    """A selection sort; pred_h is the constant chain of places."""
    n = len(key)
    chain, taken, last = np.zeros(n, np.int32), np.zeros(n, np.int8), -1
    for v in range(1, n):
        chain[v] = v - 1
    for i in range(n):
        best = -1
        for v in range(n):
            if taken[v] == 0 and (best == -1 or key[v] < key[best]):
                best = v
        taken[best] = 1
        order[best] = best if last < 0 else last
        if last < 0:
            least[0] = best
        last = best
        yield OwnHints(pred_h=chain, i=i)


@pytest.fixture
def own():
    clrs.register("own_sort_of_nar", OWN, own_sort, lambda rng, length, high=1.0: {"key": rng.uniform(0, high, length)})
    yield "own_sort_of_nar"
    clrs.unregister("own_sort_of_nar")


def test_an_algorithm_of_ones_own_is_fed_chunked_and_evaluated(own):
    feed = Feed(own, 4, seed=1, lengths=[5, 6], options={"high": 2.0}, pred_as_input="always")
    samples = feed[3]
    assert samples.size == 6 and list(samples.spec) == ["pos", "key", "order", "order_mask", "least", "pred", "i"]
    assert samples.inputs["pred"].tolist() == [[0, 0, 1, 2, 3, 4]] * 4
    assert np.array_equal(samples.outputs["least"], samples.outputs["order_mask"]) and feed[0].inputs["key"].max() > 1
    assert ChunkedFeed(own, 4, seed=1, lengths=[5], chunk_length=7)[2].hints["pred_h"].shape == (7, 4, 5)
    assert [len(batch) for batch in evaluation_set(own, "val")] == [32, 32]
    assert evaluation_set(own, "test", size=7, count=3)[0].size == 7


# ── feeds ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["bfs", "insertion_sort", "kmp_matcher", "optimal_bst"])
def test_a_step_is_the_same_however_it_is_reached(name):
    one_by_one = [Feed(name, 4, seed=7)[k] for k in range(4)]
    feed = Feed(name, 4, seed=7)
    for k, samples in zip((3, 0, 2, 1), (feed[k] for k in (3, 0, 2, 1))):
        assert_same(samples, one_by_one[k])
    with Background(Feed(name, 4, seed=7), start=1) as background:
        for k, samples in (next(background) for _ in range(3)):
            assert_same(samples, one_by_one[k])


def test_a_feed_is_the_dataset_with_lengths_taking_turns():
    feed = Feed("dijkstra", 3, seed=11, lengths=[6, 5], options={"p": 0.4})
    data = clrs.dataset("dijkstra", 5, seed=11, options={"dijkstra": {"p": 0.4}})
    expected = prepare(clrs.batch(data[3:6]), random_pos=None)
    ours = feed[3]  # the second turn of length 5
    expected.inputs["pos"] = ours.inputs["pos"]
    assert_same(ours, expected)
    assert [feed[k].size for k in range(4)] == [6, 5, 6, 5]


def test_lengths_and_options_are_the_generalists_by_default():
    assert [Feed("bfs", 1)[k].size for k in range(6)] == [4, 7, 11, 13, 16, 4]
    assert Feed("kmp_matcher", 1)[0].size == 20
    needles = {int(samples.inputs["string"].sum(1)[b]) for samples in [Feed("kmp_matcher", 64)[0]] for b in range(64)}
    assert len(needles) == 8 or len({20 - n for n in needles}) == 8
    assert Feed("bridges").options == clrs.generalist("bridges")[1] and Feed("bridges", options={}).options == {}


def test_every_sample_is_fresh():
    feed = Feed("minimum", 8, seed=0, lengths=[6, 5])
    keys = np.concatenate([feed[k].inputs["key"][:, :5] for k in range(6)])
    assert len(np.unique(keys, axis=0)) == 48
    pos = np.concatenate([feed[k].inputs["pos"][:, :5] for k in range(6)])
    assert len(np.unique(pos, axis=0)) == 48


def test_seeds_and_algorithms_give_other_samples():
    assert differ(Feed("bfs", 4, seed=0)[0], Feed("bfs", 4, seed=1)[0])
    insertion, bubble = Feed("insertion_sort", 4)[0], Feed("bubble_sort", 4)[0]
    assert not np.array_equal(insertion.inputs["key"], bubble.inputs["key"]) and not np.array_equal(
        insertion.inputs["pos"], bubble.inputs["pos"]
    )


def test_plain_positions_can_be_had():
    assert Feed("bfs", 2, lengths=[4], random_pos=False)[0].inputs["pos"].tolist() == [[0, 0.25, 0.5, 0.75]] * 2


def test_a_batch_of_many_blocks_is_collected_in_order():
    feed = Feed("floyd_warshall", 40, seed=0, lengths=[16])
    assert len(list(feed.data.cell_blocks(0, 0, 40))) > 1
    whole_batch, data = feed[0], clrs.dataset("floyd_warshall", 16, options={"floyd_warshall": feed.options})
    assert (
        np.array_equal(whole_batch.hints["Pi_h"][:, 39], data[39].hints["Pi_h"])
        and whole_batch.hints["Pi_h"].dtype == np.int64
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"batch_size": 0},
        {"lengths": []},
        {"lengths": [4, 4]},
        {"seed": -1},
        {"options": {"q": 1}},
        {"pred_as_input": 2},
    ],
)
def test_a_feed_refuses_what_it_cannot_feed(bad):
    with pytest.raises(BadInput):
        Feed("bfs", **bad)


def test_a_step_below_zero_is_refused():
    with pytest.raises(BadInput, match="step: -1"):
        Feed("bfs")[-1]


# ── shards ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_shards_are_a_partition_of_the_batch(world):
    batch = Feed("bfs", 8, seed=3)[4]
    shards = [shard(batch, rank, world) for rank in range(world)]
    assert sorted(np.concatenate([s.batch_indices for s in shards])) == list(range(8))
    for s in shards:
        assert s.steps == batch.steps and np.array_equal(s.batch_lengths, batch.lengths)
        for name, array in arrays_of(s).items():
            if name != "batch_lengths":
                full = arrays_of(batch)[name]
                assert np.array_equal(
                    array, full[:, s.batch_indices] if name.startswith("hints") else full[s.batch_indices]
                ), name


def test_shards_have_about_equal_work():
    lengths = np.array([1, 5, 3, 5, 2, 4])
    batch = clrs.batch(clrs.sample("bfs", length=8, count=6, seed=0))
    samples = prepare(batch, random_pos=None)
    samples = replace(samples, lengths=lengths)
    assert [shard(samples, rank, 2).batch_indices.tolist() for rank in (0, 1)] == [[1, 5, 4], [3, 2, 0]]


def test_more_shards_than_samples_are_refused():
    batch = Feed("bfs", 2)[0]
    with pytest.raises(BadInput, match="shard world: 3"):
        shard(batch, 0, 3)
    with pytest.raises(BadInput, match="shard rank: 2"):
        shard(batch, 2, 2)


# ── in the background ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Numbers:
    """A feed of its step numbers that breaks at one of them, and remembers what it was asked for."""

    def __init__(self, breaks_at=None):
        self.breaks_at, self.asked = breaks_at, []

    def __getitem__(self, k):
        self.asked.append(k)
        if k == self.breaks_at:
            raise OSError(f"step {k} cannot be drawn")
        return k * 10


def feeding():
    return [thread for thread in threading.enumerate() if thread.name == "outrange-feed"]


def test_the_background_yields_steps_in_order_from_its_start():
    with Background(Numbers(), start=3, ahead=4) as background:
        assert [next(background) for _ in range(5)] == [(3, 30), (4, 40), (5, 50), (6, 60), (7, 70)]


def test_the_background_draws_no_further_ahead_than_told():
    numbers = Numbers()
    with Background(numbers, ahead=2) as background:
        for _ in range(50):
            k, _ = next(background)
            assert len(numbers.asked) <= k + 3


def test_what_the_feed_raises_reaches_the_consumer_after_the_steps_before():
    background = Background(Numbers(breaks_at=2))
    assert [next(background)[0] for _ in range(2)] == [0, 1]
    with pytest.raises(OSError, match="step 2 cannot be drawn"):
        next(background)
    assert list(background) == [] and not feeding()


def test_closing_ends_the_thread_and_the_iteration():
    background = Background(Numbers())
    next(background)
    background.close()
    background.close()
    assert list(background) == [] and not feeding()


def test_dropping_the_background_ends_the_thread():
    background = Background(Numbers())
    next(background)
    dropped = weakref.ref(background)
    del background
    gc.collect()
    assert dropped() is None and not feeding()


def test_closing_frees_one_who_waits():
    class Slow(Numbers):
        def __getitem__(self, k):
            entered.set()
            leave.wait(10)
            return k

    entered, leave, got = threading.Event(), threading.Event(), []
    background = Background(Slow())
    waiting = threading.Thread(target=lambda: got.append(list(background)))
    entered.wait(10)
    waiting.start()
    closing = threading.Thread(target=background.close)
    closing.start()
    leave.set()
    closing.join(10), waiting.join(10)
    assert not waiting.is_alive() and len(got[0]) <= 1 and not feeding()


# ── evaluation ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_test_set_is_the_published_split_with_plain_positions():
    batches = evaluation_set("segments_intersect", "test")
    traces = clrs.split("segments_intersect", "test")
    assert len(batches) == 64 and batches.sample_count == 2048
    for b in (0, 63):
        assert_same(batches[b], prepare(clrs.batch(traces[32 * b : 32 * b + 32]), random_pos=None))
    assert evaluation_set("dijkstra", "test")[0].size == 64


@pytest.mark.parametrize(
    ("name", "size", "total"), [("bfs", 16, 64), ("binary_search", 16, 4096), ("kmp_matcher", 20, 4096)]
)
def test_the_validation_set_is_twice_the_published_size_with_random_positions(name, size, total):
    batches = evaluation_set(name)
    assert (batches.sample_count, batches[0].size) == (total, size)
    _, options = clrs.generalist(name)
    plain = prepare(clrs.batch(clrs.sample(name, size, 32, 2, **options)), random_pos=None)
    first = batches[0]
    assert (
        differ(first, plain) and (np.diff(first.inputs["pos"][first.inputs["pos"][:, 1] > 0], axis=1) != 1 / 16).any()
    )
    first.inputs["pos"] = plain.inputs["pos"]
    assert_same(first, plain)


def test_evaluation_batches_are_the_same_in_any_order_and_not_alike():
    batches = evaluation_set("minimum", count=70)
    forward = list(batches)
    assert [len(samples) for samples in forward] == [32, 32, 6]
    assert_same(batches[-1], forward[2])
    assert_same(evaluation_set("minimum", count=64)[1], forward[1])
    assert not np.array_equal(forward[0].inputs["pos"], forward[1].inputs["pos"])
    with pytest.raises(IndexError):
        batches[3]


def test_other_sizes_and_seeds_are_drawn_by_the_published_sampler():
    batch = evaluation_set("bfs", "test", size=9, count=5, seed=8)[0]
    assert_same(batch, prepare(clrs.batch(clrs.sample("bfs", 9, 5, 8)), random_pos=None))
    assert differ(evaluation_set("bfs", count=5, seed=1)[0], evaluation_set("bfs", count=5)[0])


def test_an_unknown_split_is_refused():
    with pytest.raises(BadInput, match="split: 'train' is not a split to evaluate on"):
        evaluation_set("bfs", "train")


# ── chunks ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["bfs", "quickselect", "lcs_length", "segments_intersect"])
def test_the_lanes_of_a_stream_are_its_samples_end_to_end(name):
    B, L, n = 3, 5, 8
    feed = ChunkedFeed(name, B, seed=2, lengths=[n], chunk_length=L)
    chunks = [feed[k] for k in range(12)]
    lanes = {key: np.concatenate([arrays_of(chunk)[key] for chunk in chunks]) for key in arrays_of(chunks[0])}
    data = clrs.dataset(name, n, seed=2, options={name: feed.options})
    samples = prepare(clrs.batch(data[:200]), random_pos=None)
    taken = []
    for lane in range(B):
        starts = np.flatnonzero(lanes["is_first"][:, lane])
        assert starts[0] == 0
        for start, stop in zip(starts, [*starts[1:], 12 * L]):
            span = slice(start, stop)
            alike = [
                np.all(
                    [
                        (lanes[f"inputs/{p}"][start, lane] == a[i]).all()
                        for p, a in samples.inputs.items()
                        if p not in ("pos", "pred")
                    ]
                )
                for i in range(200)
            ]
            candidates = [i for i in np.flatnonzero(alike) if i not in taken]
            item = candidates[0]
            taken.append(item)
            steps, length = stop - start, int(samples.lengths[item])
            assert steps == length or (stop == 12 * L and steps < length)
            assert lanes["is_last"][span, lane].tolist() == [t == length - 1 for t in range(steps)]
            for p, array in samples.hints.items():
                assert np.array_equal(lanes[f"hints/{p}"][span, lane], array[:steps, item]), p
            for p, array in samples.outputs.items():
                assert (lanes[f"outputs/{p}"][span, lane] == array[item]).all(), p
            for p in samples.inputs:
                assert (lanes[f"inputs/{p}"][span, lane] == lanes[f"inputs/{p}"][start, lane]).all(), p
    unfinished = feed.state_dict()["streams"][0]
    assert sorted({*taken, *unfinished["items"]}) == list(range(unfinished["next"]))  # none twice, none left out


def test_a_chunk_has_time_in_front_and_the_dtypes_of_samples():
    chunk = ChunkedFeed("floyd_warshall", 2, lengths=[5])[0]
    assert (chunk.size, len(chunk), chunk.stream) == (5, 2, 0) and chunk.spec == task_spec(clrs.spec("floyd_warshall"))
    assert {name: (array.shape, array.dtype.name) for name, array in arrays_of(chunk).items()} == {
        "inputs/pos": ((16, 2, 5), "float32"),
        "inputs/A": ((16, 2, 5, 5), "float32"),
        "inputs/adj": ((16, 2, 5, 5), "float32"),
        "hints/Pi_h": ((16, 2, 5, 5), "int64"),
        "hints/D": ((16, 2, 5, 5), "float32"),
        "hints/msk": ((16, 2, 5, 5), "float32"),
        "hints/k": ((16, 2, 5), "float32"),
        "outputs/Pi": ((16, 2, 5, 5), "int64"),
        "is_first": ((16, 2), "bool"),
        "is_last": ((16, 2), "bool"),
    }


def test_chunks_of_a_sample_longer_than_a_chunk_go_on_where_the_last_ended():
    feed = ChunkedFeed("bubble_sort", 2, lengths=[6], chunk_length=4)  # 16 steps a sample
    chunks = [feed[k] for k in range(8)]
    assert [chunk.is_first[0].all() for chunk in chunks] == [k % 4 == 0 for k in range(8)]
    assert [chunk.is_last[3].all() for chunk in chunks] == [k % 4 == 3 for k in range(8)]
    assert sum(chunk.is_first.sum() for chunk in chunks) == 4
    assert (chunks[0].inputs["pos"][0] == chunks[3].inputs["pos"]).all() and (
        chunks[0].inputs["pos"][0] != chunks[4].inputs["pos"][0]
    ).any()


def test_streams_of_one_size_each_take_turns():
    feed = ChunkedFeed("bfs", 2)
    chunks = [feed[k] for k in range(10)]
    assert [chunk.stream for chunk in chunks] == [0, 1, 2, 3, 4] * 2 and [chunk.size for chunk in chunks] == [
        4,
        7,
        11,
        13,
        16,
    ] * 2


def test_a_chunk_is_the_same_however_it_is_reached():
    forward = ChunkedFeed("quickselect", 3, seed=5, lengths=[4, 7])
    chunks = [forward[k] for k in range(9)]
    for k in (8, 3, 4, 0):
        assert_same(forward[k], chunks[k])
        assert_same(ChunkedFeed("quickselect", 3, seed=5, lengths=[4, 7])[k], chunks[k])
    with Background(ChunkedFeed("quickselect", 3, seed=5, lengths=[4, 7]), start=2) as background:
        for k, chunk in (next(background) for _ in range(6)):
            assert_same(chunk, chunks[k])


@pytest.mark.parametrize("name", ["bfs", "mst_kruskal"])
def test_a_restored_feed_goes_on_tensor_for_tensor(name):
    feed = ChunkedFeed(name, 3, seed=5, lengths=[4, 7])
    chunks = [feed[k] for k in range(12)]
    for state in (chunks[6].state, json.loads(json.dumps(chunks[6].state))):
        fresh = ChunkedFeed(name, 3, seed=5, lengths=[4, 7])
        fresh.load_state_dict(state)
        assert fresh.state_dict() == chunks[6].state
        for k in range(7, 12):
            assert_same(fresh[k], chunks[k])
        assert fresh.state_dict() == feed.state_dict()


def test_restoring_draws_nothing_but_what_lanes_are_in(monkeypatch):
    feed = ChunkedFeed("bfs", 2, lengths=[6])
    feed[30]
    fresh, drawn = ChunkedFeed("bfs", 2, lengths=[6]), []
    fresh.load_state_dict(feed.state_dict())
    monkeypatch.setattr(fresh, "draw", lambda turn, r, *key: drawn.append(r) or Feed.draw(fresh, turn, r, *key))
    assert_same(fresh[31], feed[31])
    assert min(drawn) >= min(feed[30].state["streams"][0]["items"]) // 2


def test_a_stream_draws_each_sample_once_and_keeps_only_those_that_lanes_are_in(monkeypatch):
    feed, drawn = ChunkedFeed("bfs", 4, lengths=[6]), []
    monkeypatch.setattr(feed, "draw", lambda turn, r, *key: drawn.append(r) or Feed.draw(feed, turn, r, *key))
    for k in range(40):
        feed[k]
    assert drawn == list(range(len(drawn))) and len(drawn) > 100
    assert set(feed._streams[0].rounds) <= {item // 4 for item in feed.state_dict()["streams"][0]["items"]}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (dict(seed=1), "state seed: 0 is not this feed's, 1"),
        (dict(lengths=[5]), r"state lengths: \[4\] is not this feed's, \[5\]"),
        (dict(chunk_length=8), "state chunk: 16 is not this feed's, 8"),
        (dict(batch_size=3), "this feed has 3"),
    ],
)
def test_a_state_of_another_feed_is_refused(other, said):
    state = ChunkedFeed("bfs", 2, lengths=[4]).state_dict()
    with pytest.raises(BadInput, match=said):
        ChunkedFeed("bfs", **({"batch_size": 2, "lengths": [4]} | other)).load_state_dict(state)
