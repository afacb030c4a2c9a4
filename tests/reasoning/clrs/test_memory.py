"""Traces keep their own memory, and making many does not leak."""

import gc
import resource

import numpy as np

from outrange.reasoning import clrs


def test_traces_that_are_kept_do_not_change_when_others_are_made():
    traces = clrs.sample("dfs", 16, 40, seed=1)
    before = {name: array.copy() for name, array in traces[3].hints.items()} | {
        n: a.copy() for n, a in traces[3].inputs.items()
    }
    for seed in range(2, 12):
        for t in clrs.sample("dfs", 16, 40, seed=seed):
            _ = t.hints, t.inputs
    after = traces[3].hints | traces[3].inputs
    assert all(np.array_equal(after[name], before[name]) for name in before)


def test_making_many_traces_takes_no_more_memory_than_making_some():
    def make(count):
        for block in clrs.sample_blocks("articulation_points", 24, count, seed=0):
            for t in block.traces():
                _ = t.inputs, t.hints, t.outputs

    make(500)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    make(5000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB; the arrays made are 3 GB
