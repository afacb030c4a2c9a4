"""The contract that every algorithm keeps, the thirty as well as a user's own, as a function that checks it."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from outrange.core.errors import BadInput
from outrange.reasoning import text
from outrange.reasoning.clrs.record import Recorder
from outrange.reasoning.clrs.registry import Algorithm, get_algorithm
from outrange.reasoning.clrs.samplers import SequentialSource, UserSampler
from outrange.reasoning.clrs.sampling import sample
from outrange.reasoning.clrs.sampling import trace as run_algorithm
from outrange.reasoning.clrs.specs import Probe
from outrange.reasoning.clrs.traces import Block, Trace
from outrange.reasoning.clrs.validate import check_inputs


class BrokenContract(BadInput):
    """An algorithm does not do what its spec says; the message says which promise is broken, and where."""


def check_algorithm(name: str, lengths: Sequence[int] = (4, 7, 11), count: int = 4, seed: int = 0) -> list[str]:
    """Check an algorithm against its contract.

    The promises: the spec is obeyed; runs repeat exactly and leave their inputs alone; compiled and plain Python agree;
    questions read back to the same trace; the true answer scores 1; an answer with one number changed is not exact.

    Args:
        name: a known algorithm.
        lengths: of the samples; lengths below the sampler's minimum are raised to it.
        count: samples of each length.
        seed: of the samples.

    Returns:
        the promises that were checked.

    Raises:
        BrokenContract: at the first promise that is broken.
    """
    algorithm = get_algorithm(name)
    promises: list[tuple[str, Callable[[Algorithm, Trace], None]]] = [
        ("the spec is obeyed: every value is of its probe's type, in its range", _obeys_spec),
        ("it yields its hints under their own names, in the spec's order", _names_hints),
        ("it repeats exactly and leaves its inputs alone", _repeats),
        ("compiled and plain Python agree", _agrees_with_plain),
        ("the text of a question reads back to the same question and answer", _text_round_trips),
        ("the true answer scores 1 on every score", _true_answer_scores_one),
        ("an answer with one number changed is not exact", _changed_answers_are_not_exact),
    ]
    for length in dict.fromkeys(max(length, algorithm.sampler.minimum) for length in lengths):
        _runs_as_plain_python(algorithm, length, seed)  # first of all, see there
        for k, trace in enumerate(sample(name, length, count, seed, truncate_decimals=3)):
            for promise, check in promises:
                try:
                    check(algorithm, trace)
                except BrokenContract as broken:
                    raise BrokenContract(
                        f"{name}: broken promise '{promise}': {broken} (length {length}, seed {seed}, sample {k})"
                    ) from broken
    return [promise for promise, _ in promises]


def _runs_as_plain_python(algorithm: Algorithm, length: int, seed: int) -> None:
    """Before anything compiled runs, which would not notice an index out of range."""
    name, spec, sampler = algorithm.name, algorithm.spec, algorithm.sampler
    if not isinstance(sampler, UserSampler):
        return
    checked_length, options = sampler.check(name, length, {})
    three_decimals = 1000.0
    inputs = sampler.sample(SequentialSource(seed), 0, checked_length, three_decimals, *options)
    arrays, size, _ = check_inputs(name, spec, inputs)
    try:
        Recorder(name, spec, algorithm.generator, plain=True).record(arrays, 1, size)
    except (IndexError, ValueError, TypeError) as error:
        message = " ".join(str(error).split())[:200]
        raise BrokenContract(
            f"{name}: fails as plain Python at length {length}: {type(error).__name__}: {message}"
        ) from error


def _obeys_spec(algorithm: Algorithm, trace: Trace) -> None:
    if trace.length < 1:
        raise BrokenContract("no step was recorded; yield at least once")
    for name, probe in algorithm.spec.items():
        if name not in ("pos", "adj"):
            _is_in_range(name, probe, trace.recorded(name), trace.size)


def _is_in_range(name: str, probe: Probe, values: np.ndarray, size: int) -> None:
    """Every value is one of its type; a permutation is one chain, whose first node points to itself."""
    ranges = {"scalar": (-np.inf, np.inf), "mask": (-1, 1), "categorical": (-1, probe.classes - 1)}
    low, high = ranges.get(probe.type, (0, size - 1))  # the others are nodes
    # -1 is a hidden cell, where the type has one.
    outside = ~np.isfinite(values) | (values < low) | (values > high)
    if outside.any():
        value = values[outside].flat[0]
        raise BrokenContract(f"{probe.stage} {name!r} holds {value}, a {probe.type} ranges from {low} to {high}")
    if probe.type == "should_be_permutation":
        # n - 1 different predecessors and one head: every node is followed by at most one other.
        heads = np.flatnonzero(values == np.arange(size))
        predecessors = np.delete(values, heads)
        if len(heads) != 1 or len(set(predecessors.tolist())) != size - 1:
            raise BrokenContract(f"output {name!r} is {values.tolist()}, which is not one chain of predecessors")


def _names_hints(algorithm: Algorithm, trace: Trace) -> None:
    arguments = [trace.recorded(name) for name in algorithm.spec.arguments]
    outputs = [
        np.zeros(probe.recorded_shape(trace.size) or (1,), probe.recorded_dtype)
        for probe in algorithm.spec.outputs.values()
    ]
    # The generator itself yields named tuples; compiled, only the order of the values would count.
    first_state = next(iter(algorithm.generator(*arguments, *outputs)), None)
    fields, hints = getattr(first_state, "_fields", None), tuple(algorithm.spec.hints)
    if fields is not None and fields != hints:
        raise BrokenContract(f"it yields ({', '.join(fields)}), its spec has ({', '.join(hints)})")


def _run_again(algorithm: Algorithm, trace: Trace, recorder: Recorder) -> Trace:
    """A second run on the same inputs, which it must not write to."""
    arguments = tuple(np.array(trace.recorded(name))[None] for name in algorithm.spec.arguments)
    originals = [array.copy() for array in arguments]
    recorded = recorder.record(arguments, 1, trace.size)
    for name, original, array in zip(algorithm.spec.arguments, originals, arguments, strict=True):
        if not np.array_equal(original, array):
            raise BrokenContract(f"it writes to its input {name!r}; copy it first")
    return Block(algorithm.name, algorithm.spec, trace.size, arguments, *recorded).traces()[0]


def _are_equal(trace: Trace, other_run: Trace, other_name: str) -> None:
    """Two runs have the same steps, hints and outputs; ``other_name`` is what messages call the second."""
    if trace.length != other_run.length:
        raise BrokenContract(f"{trace.length} steps, {other_name} {other_run.length}")
    for name in (*trace.spec.hints, *trace.spec.outputs):
        if not np.array_equal(trace.recorded(name), other_run.recorded(name)):
            raise BrokenContract(f"{trace.spec[name].stage} {name!r} differs from {other_name}'s")


def _repeats(algorithm: Algorithm, trace: Trace) -> None:
    _are_equal(trace, _run_again(algorithm, trace, algorithm.recorder), "a second run")


def _agrees_with_plain(algorithm: Algorithm, trace: Trace) -> None:
    plain_recorder = Recorder(algorithm.name, algorithm.spec, algorithm.generator, plain=True)
    _are_equal(trace, _run_again(algorithm, trace, plain_recorder), "plain Python")


def _text_round_trips(algorithm: Algorithm, trace: Trace) -> None:
    for hints in (False, True):
        item = text.render(trace, hints)
        name, inputs = text.inputs(item.question)
        rendered_again = text.render(run_algorithm(name, inputs), hints)
        if (rendered_again.question, rendered_again.answer) != (item.question, item.answer):
            raise BrokenContract(
                f"the question {item.question!r} is answered {item.answer!r}, read back {rendered_again.answer!r}"
            )


def _true_answer_scores_one(algorithm: Algorithm, trace: Trace) -> None:
    for hints in (False, True):
        item = text.render(trace, hints)
        score = text.score(item, item.answer)
        if score != text.Score(1.0, 1.0, 1.0, 1.0):
            raise BrokenContract(f"the true answer {item.answer!r} scores {score}")


def _changed_answers_are_not_exact(algorithm: Algorithm, trace: Trace) -> None:
    for hints in (False, True):
        item = text.render(trace, hints)
        numbers = list(re.finditer(r"-?[0-9][0-9.e+-]*", item.answer))
        for match in numbers[:: max(1, len(numbers) // 8)]:  # eight or so, spread over the answer
            digit = "1" if match.group() != "1" else "0"
            changed_answer = item.answer[: match.start()] + digit + item.answer[match.end() :]
            if text.score(item, changed_answer).exact:
                raise BrokenContract(f"{changed_answer!r} passes for {item.answer!r}")
