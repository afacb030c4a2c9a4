"""The samples on which a reasoner is scored: the validation and test sets of CLRS-30, and sets of any other size (arXiv
2209.11142, section 3).

Deviation: validation takes one batch of random positions a batch of 32, from generators of our own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from outrange.core.checks import whole
from outrange.core.errors import unknown
from outrange.reasoning import clrs
from outrange.reasoning.clrs.registry import get_algorithm
from outrange.reasoning.clrs.splits import MULTIPLIERS
from outrange.reasoning.clrs.traces import Trace
from outrange.reasoning.nar.samples import Samples, position_generator, prepare

EVALUATION_BATCH_SIZE = 32
EVALUATION_SEEDS = {"val": 2, "test": 3}  # the published splits' own


class EvaluationSet(Sequence[Samples]):
    """Batches of 32, in order; prepared when asked for, so that only the traces, which are compact, stay in memory."""

    def __init__(self, traces: Sequence[Trace], position_seed: int | None, spec_options: Mapping[str, Any]) -> None:
        """``position_seed``: of random positions; None keeps the plain ones."""
        self._traces, self._position_seed, self._spec_options = traces, position_seed, spec_options

    def __len__(self) -> int:
        return -(-len(self._traces) // EVALUATION_BATCH_SIZE)

    @property
    def sample_count(self) -> int:
        """How many samples there are in all batches."""
        return len(self._traces)

    def __getitem__(self, b):  # pyright: ignore[reportIncompatibleMethodOverride]
        if isinstance(b, slice):
            return [self[i] for i in range(*b.indices(len(self)))]
        b = range(len(self))[b]
        # copies of the traces: else their blocks would keep every one-hot ever asked for
        members = self._traces[b * EVALUATION_BATCH_SIZE : (b + 1) * EVALUATION_BATCH_SIZE]
        traces = [trace.copy() for trace in members]
        rng = None
        if self._position_seed is not None:
            rng = position_generator(self._position_seed, f"{traces[0].name}/evaluation", b)
        return prepare(clrs.batch(traces), random_pos=rng, **self._spec_options)


def evaluation_set(
    algorithm: str,
    split: str = "val",
    *,
    size: int | None = None,
    count: int | None = None,
    seed: int | None = None,
    random_pos: bool | None = None,
    pred_as_input: bool | str = True,
    permutations: bool = True,
) -> EvaluationSet:
    """The samples on which an algorithm is evaluated, in batches of 32.

    val: 64 samples times the published multiplier, of the longest training length (16; 20 for the string matchers), by
    the generalist's sampler options, with random positions. test: the published CLRS-30 split (n = 64, plain positions,
    the sampler's default options).

    Args:
        algorithm: one of ``clrs.names()``.
        split: "val" or "test".
        size: another sampler length; then test draws as many samples from ``seed``, too.
        count: another number of samples, of the same sequence.
        seed: of the sampler; by default 2 for val and 3 for test, as in the published splits.
        random_pos: whether positions are random; by default in val, not in test.
        pred_as_input, permutations: as in ``spec.task_spec``.
    """
    get_algorithm(algorithm)
    if split not in EVALUATION_SEEDS:
        raise unknown("split", split, EVALUATION_SEEDS, "a split to evaluate on")
    multiplier = MULTIPLIERS.get(algorithm, 1)
    sampler_seed = EVALUATION_SEEDS[split] if seed is None else seed
    if split == "val":
        lengths, options = clrs.generalist(algorithm)
        usual_length, usual_count = max(lengths), 64 * multiplier
    else:
        usual_length, usual_count, options = 64, 32 * multiplier, {}
    traces = clrs.sample(
        algorithm,
        usual_length if size is None else size,
        usual_count if count is None else whole("count", count, 1),
        sampler_seed,
        **options,
    )
    has_random_positions = split == "val" if random_pos is None else random_pos
    return EvaluationSet(
        traces,
        sampler_seed if has_random_positions else None,
        dict(pred_as_input=pred_as_input, permutations=permutations),
    )
