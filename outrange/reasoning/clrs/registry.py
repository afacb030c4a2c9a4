"""The algorithms that are known by name: the thirty, and those a user registers. Everything downstream (traces, text, export, checks) asks here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from outrange.core.errors import BadInput, brief, unknown
from outrange.reasoning.clrs.algorithms import ALGORITHMS as GENERATORS
from outrange.reasoning.clrs.record import Recorder
from outrange.reasoning.clrs.samplers import SAMPLERS, Sampler, UserSampler
from outrange.reasoning.clrs.specs import CLRS30, Probe, Spec

#: The names of the thirty, sorted.
ALGORITHMS: tuple[str, ...] = tuple(sorted(CLRS30))


@dataclass(frozen=True)
class Algorithm:
    """A name with its spec, its generator and its sampler."""

    name: str
    spec: Spec
    generator: Callable
    sampler: Sampler | UserSampler

    @cached_property
    def record(self) -> Recorder:
        return Recorder(self.name, self.spec, self.generator)


_known: dict[str, Algorithm] = {
    name: Algorithm(name, CLRS30[name], GENERATORS[name], SAMPLERS[name]) for name in CLRS30
}


def names() -> tuple[str, ...]:
    """All known algorithms: the thirty and the registered ones, sorted."""
    return tuple(sorted(_known))


def algorithm(name: str, field: str = "algorithm") -> Algorithm:
    """The algorithm of that name; the error for an unknown one names the nearest."""
    if not isinstance(name, str) or name not in _known:
        raise unknown(field, name, names(), f"one of the {len(_known)} algorithms")
    return _known[name]


def spec(name: str) -> Spec:
    """The spec of an algorithm: an ordered mapping from probe names to ``Probe(stage, location, type, classes)``."""
    return algorithm(name).spec


def register(
    name: str, spec: Spec | Mapping[str, Probe], algorithm: Callable, sampler: Callable, *, replace: bool = False
) -> None:
    """Make an algorithm of your own known by name; traces, text, scoring, export and ``check_algorithm`` then work as for the thirty.

    Args:
        name: an identifier, e.g. ``"counting_sort"``.
        spec: a ``Spec``.
        algorithm: a generator function. Its parameters are the spec's inputs (without ``pos`` and ``adj``) and then its outputs, in that order. Each
            ``yield hints(...)`` records one step; outputs are arrays to write into. It is compiled by Numba.
        sampler: ``sampler(rng, length, **options) -> dict`` from input names to arrays, where ``rng`` is a ``numpy.random.Generator``. Its keyword
            parameters are the options of ``clrs.sample``.
        replace: allow a registered name to be taken again. The thirty cannot be replaced.

    Raises:
        BadInput: a name already taken, or a function whose parameters do not fit the spec.
    """
    if not isinstance(name, str) or not name.isidentifier() or len(name) > 100:
        raise BadInput(
            f"register name: {brief(name)} is not an identifier of up to 100 letters, digits and underscores, e.g. 'counting_sort'"
        )
    if name in CLRS30 or (name in _known and not replace):
        raise BadInput(
            f"register name: {name!r} is already taken; "
            + ("the thirty cannot be replaced" if name in CLRS30 else "pass replace=True to take it again")
        )
    if not isinstance(spec, Mapping):
        raise BadInput(
            f"register spec: {brief(spec)} is not allowed; a clrs.Spec, or a mapping from names to clrs.Probe"
        )
    if not isinstance(spec, Spec):
        spec = Spec.of(spec)
    wanted = [*spec.arguments, *spec.outputs]
    given = _parameters(algorithm, "register algorithm")
    if len(given) != len(wanted):
        raise BadInput(
            f"register algorithm: {name} takes {len(given)} parameters ({', '.join(given)}); its spec needs {len(wanted)}: "
            f"the inputs {', '.join(spec.arguments)}, then the outputs {', '.join(spec.outputs)}"
        )
    if given[: len(spec.arguments)] != list(spec.arguments):
        raise BadInput(
            f"register algorithm: {name} takes {', '.join(given)}; its first parameters must be the inputs in the spec's order: {', '.join(spec.arguments)}"
        )
    _known[name] = Algorithm(name, spec, algorithm, UserSampler(name, sampler))


def _parameters(function: Callable, field: str) -> list[str]:
    code = getattr(function, "__code__", None)
    if code is None or not code.co_flags & 0x20:
        raise BadInput(
            f"{field}: {brief(function)} is not a generator function; write a function that yields its hints"
        )
    return list(code.co_varnames[: code.co_argcount])
