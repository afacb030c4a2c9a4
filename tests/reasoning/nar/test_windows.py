"""Chunks taken apart into the stretches of samples that they are made of, by hand, and trained on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from outrange.reasoning import clrs
from outrange.reasoning.nar.chunks import Chunk, ChunkedFeed, windows
from outrange.reasoning.nar.config import ModelConfig
from outrange.reasoning.nar.loss import losses
from outrange.reasoning.nar.reasoner import Reasoner
from outrange.reasoning.nar.samples import Samples, prepare
from outrange.reasoning.nar.spec import TaskProbe

SPEC = {
    "id": TaskProbe("input", "node", "scalar"),
    "step": TaskProbe("hint", "node", "scalar"),
    "to": TaskProbe("hint", "node", "pointer"),
    "y": TaskProbe("output", "node", "scalar"),
}


def chunk_of(*lanes, lengths):
    """A chunk from lanes of (sample, step) pairs; ``lengths`` says where samples end. Two nodes; numbers tell sample and step."""
    who, step = np.array(lanes).transpose(2, 1, 0)
    L, B = who.shape
    last = np.array([lengths[s] for s in who.ravel()]).reshape(L, B) - 1

    def both(array, dtype):
        return np.stack((array, array), -1).astype(dtype)

    hints = {"step": both(100 * who + step, np.float32), "to": both((who + step) % 2, np.int64)}
    return Chunk(
        "toy",
        2,
        SPEC,
        0,
        {"id": both(who, np.float32)},
        hints,
        {"y": both(-who, np.float32)},
        step == 0,
        step == last,
        {},
    )


def told(samples):
    """{sample: (first step, length, ended)}, after checking that all arrays say the same."""
    assert isinstance(samples, Samples) and samples.spec == SPEC and samples.size == 2 and samples.algorithm == "toy"
    result = {}
    for b, length in enumerate(samples.lengths.tolist()):
        who = int(samples.inputs["id"][b, 0])
        steps = samples.hints["step"][:length, b, 0] - 100 * who
        assert (steps == steps[0] + np.arange(length)).all() and (
            samples.hints["to"][:length, b, 0] == (who + steps) % 2
        ).all()
        assert all((array[length:, b] == 0).all() for array in samples.hints.values())
        assert (samples.outputs["y"][b] == -who).all() and (
            samples.hints["step"][:, b, 0] == samples.hints["step"][:, b, 1]
        ).all()
        assert (who, int(steps[0])) not in result
        result[who, int(steps[0])] = length, bool(samples.reaches_end[b])
    assert samples.lengths.dtype == np.int64 and len(samples.reaches_end) == len(samples) == len(result)
    assert all(array.shape[:2] == (samples.lengths.max(), len(samples)) for array in samples.hints.values())
    return result


def test_a_chunk_in_the_middle_of_one_sample_is_one_stretch_whose_outputs_do_not_count():
    chunk = chunk_of([(1, 4), (1, 5), (1, 6)], lengths={1: 9})
    assert told(windows(chunk)) == {(1, 4): (3, False)}


def test_samples_are_taken_apart_where_they_begin():
    """Ends of one, whole ones, the beginning of one; a lone last step, whose hints are the answer, is left out."""
    first = [(1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1)]
    second = [(4, 5), (5, 0), (6, 0), (6, 1), (7, 0), (7, 1), (7, 2)]
    chunk = chunk_of(first, second, lengths={1: 4, 2: 3, 3: 8, 4: 6, 5: 1, 6: 2, 7: 3})
    wanted = {
        (1, 2): (2, True),
        (2, 0): (3, True),
        (3, 0): (2, False),
        (5, 0): (1, True),
        (6, 0): (2, True),
        (7, 0): (3, True),
    }
    assert told(windows(chunk)) == wanted


def test_one_step_that_begins_a_sample_at_the_end_of_a_chunk_is_left_out():
    chunk = chunk_of([(1, 0), (1, 1), (1, 2)], [(2, 3), (2, 4), (3, 0)], lengths={1: 3, 2: 5, 3: 4})
    assert told(windows(chunk)) == {(1, 0): (3, True), (2, 3): (2, True)}


def test_a_chunk_of_nothing_but_left_overs_is_still_a_batch():
    assert told(windows(chunk_of([(1, 3)], lengths={1: 4}))) == {(1, 3): (1, True)}


def test_one_step_that_begins_a_sample_of_one_step_at_the_end_of_a_chunk_is_kept():
    chunk = chunk_of([(2, 3), (2, 4), (3, 0)], lengths={2: 5, 3: 1})
    assert told(windows(chunk)) == {(2, 3): (2, True), (3, 0): (1, True)}


def test_a_sample_that_follows_itself_is_told_apart():
    """Two lanes, and one lane, may hold samples of the same input."""
    chunk = chunk_of([(1, 0), (1, 1), (1, 0), (1, 1)], lengths={1: 2})
    samples = windows(chunk)
    assert (
        samples.lengths.tolist() == [2, 2]
        and samples.reaches_end.all()
        and samples.hints["step"][:, :, 0].T.tolist() == [[100, 101]] * 2
    )


def test_padding_is_zero_and_the_chunk_stays_as_it_was():
    chunk = chunk_of(
        [(1, 0), (1, 1), (1, 2), (1, 3)], [(2, 8), (3, 0), (3, 1), (4, 0)], lengths={1: 9, 2: 9, 3: 2, 4: 7}
    )
    before = {name: array.copy() for name, array in (chunk.hints | chunk.inputs | chunk.outputs).items()}
    samples = windows(chunk)
    assert samples.steps == 4 and told(samples) == {(1, 0): (4, False), (3, 0): (2, True)}
    assert samples.hints["to"].dtype == np.int64 and samples.hints["step"].dtype == np.float32
    for name, array in (chunk.hints | chunk.inputs | chunk.outputs).items():
        assert np.array_equal(array, before[name]), name


def test_a_stretch_begins_with_its_own_first_hints_and_ends_with_its_last():
    samples = windows(chunk_of([(1, 4), (1, 5), (1, 6)], lengths={1: 7}))
    assert samples.hints["step"][:, 0, 0].tolist() == [104, 105, 106] and samples.reaches_end.tolist() == [True]


# ── trained on ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def some(algorithm, count, size=4, seed=0):
    return prepare(
        clrs.batch(clrs.sample(algorithm, length=size, count=count, seed=seed)), random_pos=np.random.default_rng(seed)
    )


def end_to_end(samples, *lanes):
    """A chunk whose lanes hold these whole samples one after another; all lanes must come out equally long."""
    cells = [[(b, t) for b in lane for t in range(samples.lengths[b])] for lane in lanes]
    who, step = np.array(cells).transpose(2, 1, 0)
    arrays = ({name: array[who] for name, array in part.items()} for part in (samples.inputs, samples.outputs))
    inputs, outputs = arrays
    hints = {name: array[step, who] for name, array in samples.hints.items()}
    return Chunk(
        samples.algorithm,
        samples.size,
        samples.spec,
        0,
        inputs,
        hints,
        outputs,
        step == 0,
        step == samples.lengths[who] - 1,
        {},
    )


def reasoner(samples, hidden=8):
    return Reasoner(
        {samples.algorithm: samples.spec}, ModelConfig(hidden_dim=hidden, triplet_features=4), kernels="torch"
    ).double()


def losses_and_slopes(model, samples):
    found = losses(samples, *model(samples))
    return found, torch.autograd.grad(
        sum(found.values()), list(model.parameters()), allow_unused=True, materialize_grads=True
    )


def cut(samples, lengths):
    lengths = np.array(lengths)
    hints = {name: array.copy() for name, array in samples.hints.items()}
    for array in hints.values():
        array[np.arange(samples.steps)[:, None] >= lengths] = 0
    return replace(samples, hints=hints, lengths=lengths, batch_lengths=lengths)


@pytest.mark.parametrize("algorithm", ["dfs", "insertion_sort", "floyd_warshall"])
def test_a_chunk_of_whole_samples_has_the_loss_and_the_gradient_of_those_samples(algorithm):
    samples = some(algorithm, 5)
    T = samples.steps
    samples = cut(samples, [T, 1, T - 2, 1, T])
    chunk = end_to_end(samples, (0,), (1, 2, 3), (4,))
    wanted, slopes = losses_and_slopes(model := reasoner(samples), samples)
    found, others = losses_and_slopes(model, windows(chunk))
    assert windows(chunk).reaches_end.all() and found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-10), name
    for slope, other in zip(slopes, others):
        torch.testing.assert_close(other, slope, rtol=1e-8, atol=1e-11)


def part_of(chunk, start, stop):
    arrays = (
        {name: array[start:stop] for name, array in part.items()} for part in (chunk.inputs, chunk.hints, chunk.outputs)
    )
    inputs, hints, outputs = arrays
    return replace(
        chunk,
        inputs=inputs,
        hints=hints,
        outputs=outputs,
        is_first=chunk.is_first[start:stop],
        is_last=chunk.is_last[start:stop],
    )


def test_a_stretch_is_rolled_out_like_a_sample_that_begins_where_it_begins():
    samples = some("dfs", 2)
    assert samples.lengths.tolist() == [12, 12]
    model, chunk = reasoner(samples), end_to_end(samples, (0,), (1,))
    first, second = (windows(part_of(chunk, *ends)) for ends in ((0, 5), (5, 12)))
    assert not first.reaches_end.any() and second.reaches_end.all()
    beginning = losses(first, *model(first))
    plain = cut(samples, [5, 5])
    for name, value in losses(plain, *model(plain)).items():
        assert beginning[name].item() == pytest.approx(value.item() if samples.spec[name].stage == "hint" else 0), name
    late = replace(
        samples,
        hints={n: a[5:] for n, a in samples.hints.items()},
        lengths=np.array([7, 7]),
        batch_lengths=np.array([7, 7]),
    )
    for name, value in losses(late, *model(late)).items():
        assert losses(second, *model(second))[name].item() == pytest.approx(value.item(), rel=1e-12), name


@pytest.mark.parametrize("algorithm", ["bfs", "dijkstra", "insertion_sort"])
def test_windows_of_a_feed_cover_every_step_once_and_every_end(algorithm):
    feed = ChunkedFeed(algorithm, 3, 1, lengths=(4, 5), chunk_length=6)
    for k in range(6):
        chunk = feed[k]
        samples = windows(chunk)
        starts = chunk.is_first.copy()
        starts[0] = True
        begun = (starts[-1] & ~chunk.is_last[-1]).sum()  # one step of a sample that has just begun
        over = (chunk.is_last[0] & ~chunk.is_first[0]).sum()  # one step of a sample that ends
        assert samples.reaches_end.sum() == chunk.is_last.sum() - over and samples.steps <= 6
        assert (
            samples.lengths.sum() == chunk.is_first.size - begun - over and len(samples) == starts.sum() - begun - over
        )
        loss = losses(samples, *reasoner(samples)(samples))
        assert all(value.isfinite() for value in loss.values())


def test_a_lane_that_goes_on_gives_the_whole_trace_again():
    """Steps of consecutive chunks, joined, are traces from beginning to end."""
    feed = ChunkedFeed("bfs", 1, 3, lengths=(5,), chunk_length=4)
    joined, traces = [], []
    for k in range(8):
        chunk = feed[k]
        for t in range(4):
            if chunk.is_first[t, 0]:
                joined = []
            joined.append(chunk.hints["pi_h"][t, 0])
            if chunk.is_last[t, 0] and joined:
                traces.append(np.array(joined))
                assert (chunk.outputs["pi"][t, 0] == traces[-1][-1]).all()  # bfs ends with its last hint
    assert len(traces) > 3
