"""The contract that every algorithm keeps, the thirty as well as a user's own, as a function that checks it."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from outrange.core.errors import BadInput
from outrange.reasoning import text
from outrange.reasoning.clrs.record import Recorder
from outrange.reasoning.clrs.registry import Algorithm, algorithm
from outrange.reasoning.clrs.sample import sample, trace
from outrange.reasoning.clrs.samplers import Sequential, UserSampler
from outrange.reasoning.clrs.specs import Probe
from outrange.reasoning.clrs.trace import Block, Trace
from outrange.reasoning.clrs.validate import arguments


class BrokenContract(BadInput):
    """An algorithm does not do what its spec says; the message says which promise is broken, and where."""


def check_algorithm(name: str, lengths: Sequence[int] = (4, 7, 11), count: int = 4, seed: int = 0) -> list[str]:
    """Check an algorithm against its contract; returns the promises that were checked, or raises ``BrokenContract`` at the first that is broken.

    The promises: the spec is obeyed; runs repeat exactly and leave their inputs alone; compiled and plain Python agree; questions read back to the same trace;
    the true answer scores 1; an answer with one number changed is not exact.

    Args:
        name: a known algorithm.
        lengths, count, seed: what to sample; lengths below the sampler's minimum are raised to it.
    """
    known = algorithm(name)
    promises: list[tuple[str, Callable[[Algorithm, Trace], None]]] = [
        ("the spec is obeyed: every value is of its probe's type, in its range", _obeys_spec),
        ("it yields its hints under their own names, in the spec's order", _names_hints),
        ("it repeats exactly and leaves its inputs alone", _repeats),
        ("compiled and plain Python agree", _agrees_with_plain),
        ("the text of a question reads back to the same question and answer", _text_round_trips),
        ("the true answer scores 1 on every score", _gold_scores_one),
        ("an answer with one number changed is not exact", _mutations_are_not_exact),
    ]
    for length in dict.fromkeys(max(n, known.sampler.minimum) for n in lengths):
        _runs_as_plain_python(known, length, seed)
        for k, t in enumerate(sample(name, length, count, seed, truncate_decimals=3)):
            for promise, check in promises:
                try:
                    check(known, t)
                except BrokenContract as broken:
                    raise BrokenContract(
                        f"{name}: broken promise '{promise}': {broken} (length {length}, seed {seed}, sample {k})"
                    ) from broken
    return [promise for promise, _ in promises]


def _runs_as_plain_python(known: Algorithm, length: int, seed: int) -> None:
    """Before anything compiled runs, which would not notice an index out of range."""
    if not isinstance(known.sampler, UserSampler):
        return
    n, options = known.sampler.check(known.name, length, {})
    drawn, size, _ = arguments(known.name, known.spec, known.sampler.sample(Sequential(seed), 0, n, 1000.0, *options))
    try:
        Recorder(known.name, known.spec, known.generator, plain=True)(drawn, 1, size)
    except (IndexError, ValueError, TypeError) as error:
        raise BrokenContract(
            f"{known.name}: fails as plain Python at length {length}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        ) from error


def _obeys_spec(known: Algorithm, t: Trace) -> None:
    if t.length < 1:
        raise BrokenContract("no step was recorded; yield at least once")
    for name, probe in known.spec.items():
        if name not in ("pos", "adj"):
            _in_range(name, probe, t.recorded(name), t.size)


def _in_range(name: str, probe: Probe, values: np.ndarray, size: int) -> None:
    low, high = {"scalar": (-np.inf, np.inf), "mask": (-1, 1), "categorical": (-1, probe.classes - 1)}.get(
        probe.type, (0, size - 1)
    )
    if not np.isfinite(values).all() or (values < low).any() or (values > high).any():
        bad = values[~np.isfinite(values) | (values < low) | (values > high)].flat[0]
        raise BrokenContract(f"{probe.stage} {name!r} holds {bad}, a {probe.type} ranges from {low} to {high}")
    if probe.type == "should_be_permutation":
        heads = np.flatnonzero(values == np.arange(size))
        followers = np.delete(values, heads)
        if len(heads) != 1 or len(set(followers.tolist())) != size - 1:
            raise BrokenContract(f"output {name!r} is {values.tolist()}, which is not one chain of predecessors")


def _names_hints(known: Algorithm, t: Trace) -> None:
    arguments = [t.recorded(name) for name in known.spec.arguments]
    outputs = [np.zeros(p.recorded_shape(t.size) or (1,), p.recorded_dtype) for p in known.spec.outputs.values()]
    first = next(iter(known.generator(*arguments, *outputs)), None)
    fields = getattr(first, "_fields", None)
    if fields is not None and fields != tuple(known.spec.hints):
        raise BrokenContract(f"it yields ({', '.join(fields)}), its spec has ({', '.join(known.spec.hints)})")


def _run(known: Algorithm, t: Trace, recorder: Recorder) -> Trace:
    arguments = tuple(np.array(t.recorded(name))[None] for name in known.spec.arguments)
    before = [a.copy() for a in arguments]
    result = Block(known.name, known.spec, t.size, arguments, *recorder(arguments, 1, t.size)).traces()[0]
    for name, old, new in zip(known.spec.arguments, before, arguments, strict=True):
        if not np.array_equal(old, new):
            raise BrokenContract(f"it writes to its input {name!r}; copy it first")
    return result


def _same(known: Algorithm, a: Trace, b: Trace, what: str) -> None:
    if a.length != b.length:
        raise BrokenContract(f"{a.length} steps, {what} {b.length}")
    for name in (*known.spec.hints, *known.spec.outputs):
        if not np.array_equal(a.recorded(name), b.recorded(name)):
            raise BrokenContract(f"{known.spec[name].stage} {name!r} differs from {what}'s")


def _repeats(known: Algorithm, t: Trace) -> None:
    _same(known, t, _run(known, t, known.record), "a second run")


def _agrees_with_plain(known: Algorithm, t: Trace) -> None:
    _same(known, t, _run(known, t, Recorder(known.name, known.spec, known.generator, plain=True)), "plain Python")


def _text_round_trips(known: Algorithm, t: Trace) -> None:
    for hints in (False, True):
        item = text.render(t, hints)
        name, inputs = text.inputs(item.question)
        again = text.render(trace(name, inputs), hints)
        if (again.question, again.answer) != (item.question, item.answer):
            raise BrokenContract(
                f"the question {item.question!r} is answered {item.answer!r}, read back {again.answer!r}"
            )


def _gold_scores_one(known: Algorithm, t: Trace) -> None:
    for hints in (False, True):
        item = text.render(t, hints)
        if text.score(item, item.answer) != text.Score(1.0, 1.0, 1.0, 1.0):
            raise BrokenContract(f"the true answer {item.answer!r} scores {text.score(item, item.answer)}")


def _mutations_are_not_exact(known: Algorithm, t: Trace) -> None:
    for hints in (False, True):
        item = text.render(t, hints)
        numbers = list(re.finditer(r"-?[0-9][0-9.e+-]*", item.answer))
        for match in numbers[:: max(1, len(numbers) // 8)]:
            changed = item.answer[: match.start()] + ("1" if match.group() != "1" else "0") + item.answer[match.end() :]
            if text.score(item, changed).exact:
                raise BrokenContract(f"{changed!r} passes for {item.answer!r}")
