"""Batches, and the published splits and grids."""

import numpy as np
import pytest

from outrange.core.errors import BadInput
from outrange.reasoning import clrs
from outrange.reasoning.clrs.splits import PRESETS, SPLITS, TEXT_LONGEST, preset


def test_a_batch_pads_hints_with_zeros_behind_each_trace():
    traces = clrs.sample("bfs", 9, 6, seed=2)
    b = clrs.batch(traces)
    assert b.lengths.tolist() == [t.length for t in traces]
    assert b.hints["pi_h"].shape == (max(b.lengths), 6, 9)
    assert b.inputs["A"].shape == (6, 9, 9)
    for k, t in enumerate(traces):
        assert np.array_equal(b.hints["reach_h"][: t.length, k], t.hints["reach_h"])
        assert not b.hints["reach_h"][t.length :, k].any()
        assert np.array_equal(b.outputs["pi"][k], t.outputs["pi"])
    assert clrs.batch(traces, steps=20).hints["pi_h"].shape[0] == 20


def test_batches_of_unlike_traces_or_too_few_steps_are_refused():
    with pytest.raises(BadInput, match="empty"):
        clrs.batch([])
    with pytest.raises(BadInput, match="all must be alike"):
        clrs.batch([*clrs.sample("bfs", 4), *clrs.sample("bfs", 5)])
    with pytest.raises(BadInput, match="batch steps: 1"):
        clrs.batch(clrs.sample("minimum", 4), steps=1)


def test_the_splits_have_the_published_sizes_and_seeds():
    train = clrs.split("bfs", "train")
    assert (len(train), train[0].size) == (1000, 16)
    assert np.array_equal(train[0].inputs["A"], clrs.sample("bfs", 16, seed=1)[0].inputs["A"])
    assert len(clrs.split("dfs", "val")) == 32
    assert len(clrs.split("find_maximum_subarray_kadane", "test")) == 32 * 32
    kmp = clrs.split("kmp_matcher", "test")
    assert (len(kmp), kmp[0].size) == (32 * 64, 64)
    assert np.array_equal(kmp[-1].inputs["key"], clrs.sample("kmp_matcher", 64, 2048, seed=3)[-1].inputs["key"])
    with pytest.raises(BadInput, match="did you mean 'test'"):
        clrs.split("bfs", "tset")


def test_the_generalist_distribution_is_the_published_one():
    assert clrs.generalist("bfs") == ((4, 7, 11, 13, 16), {"p": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)})
    assert clrs.generalist("bridges")[1]["p"][0] == 0.05
    assert clrs.generalist("kmp_matcher") == ((20,), {"length_needle": -8})
    assert clrs.generalist("heapsort") == ((4, 7, 11, 13, 16), {})
    for name in clrs.ALGORITHMS:
        lengths, options = clrs.generalist(name)
        assert len(clrs.dataset(name, lengths, count=10, options={name: options})[:]) == 10


def test_the_text_grids_are_the_published_ones():
    assert clrs.text_lengths("bfs", "train") == (4, 5, 10, 11, 12, 15, 19, 23, 28, 31)
    assert clrs.text_lengths("dijkstra", "train")[-1] == 28
    assert clrs.text_lengths("bridges", "train") == (4, 5)
    assert clrs.text_lengths("bridges", "eval") == (4, 5, 6, 7)
    assert clrs.text_lengths("minimum", "eval")[-1] == 64
    assert set(TEXT_LONGEST) == set(clrs.ALGORITHMS)


def test_presets_have_the_published_cells():
    train, evaluation = preset("clrs-text-train"), preset("clrs-text-eval")
    assert {c.count for c in train} == {10_000}
    assert {c.seed for c in train} == {0}
    assert {c.truncate_decimals for c in train} == {3}
    assert {c.seed for c in evaluation} == {3, 14, 35, 81, 94}
    assert {c.count for c in evaluation} == {125}
    assert len([c for c in evaluation if c.algorithm == "bridges"]) == 4 * 5
    assert PRESETS == (*(f"clrs30-{s}" for s in SPLITS), "clrs-text-train", "clrs-text-eval")
    with pytest.raises(BadInput, match="did you mean 'clrs-text-eval'"):
        preset("clrs-text-evl")
