"""Memory is used again only when nobody holds it, and making traces does not leak."""

import gc
import resource

import numpy as np

from outrange.reasoning import clrs
from outrange.reasoning.clrs.memory import IDLE, SMALL, Pool


def test_a_piece_that_is_held_is_never_handed_out_again():
    pool = Pool()
    first = pool.empty((SMALL,), np.dtype(np.int8))
    first[:] = 7
    view = first[10:20]
    del first
    second = pool.empty((SMALL,), np.dtype(np.int8))
    second[:] = 9
    assert (view == 7).all()
    address = second.ctypes.data
    del second
    assert pool.empty((SMALL // 8,), np.dtype(np.float64)).ctypes.data == address


def test_memory_of_sizes_no_longer_wanted_is_given_up_for_those_that_are():
    pool = Pool()
    held = [pool.empty((IDLE // 8,), np.dtype(np.int8)) for _ in range(8)]
    kept = held[3]
    kept[:] = 5
    del held
    other = pool.empty((IDLE // 2 - 1,), np.dtype(np.int8))
    address = other.ctypes.data
    del other
    assert pool.empty((IDLE // 2 - 1,), np.dtype(np.int8)).ctypes.data == address
    assert (kept == 5).all()


def test_traces_that_are_kept_do_not_change_when_others_are_made():
    kept = clrs.sample("dfs", 16, 40, seed=1)
    before = {name: array.copy() for name, array in kept[3].hints.items()} | {
        n: a.copy() for n, a in kept[3].inputs.items()
    }
    for seed in range(2, 12):
        for t in clrs.sample("dfs", 16, 40, seed=seed):
            _ = t.hints, t.inputs
    after = kept[3].hints | kept[3].inputs
    assert all(np.array_equal(after[name], before[name]) for name in before)


def test_making_many_traces_takes_no_more_memory_than_making_some():
    def many(count):
        for block in clrs.sample_blocks("articulation_points", 24, count, seed=0):
            for t in block.traces():
                _ = t.inputs, t.hints, t.outputs

    many(500)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    many(5000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB; the arrays made are 3 GB
