"""The algorithms that are known by name: the thirty, and those a user registers.

Traces, text, export and checks ask here.
"""

import inspect
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
    def recorder(self) -> Recorder:
        """Runs it over blocks of inputs; made, and with it the code compiled, when first asked for."""
        return Recorder(self.name, self.spec, self.generator)


_registered: dict[str, Algorithm] = {
    name: Algorithm(name, CLRS30[name], GENERATORS[name], SAMPLERS[name]) for name in CLRS30
}


def names() -> tuple[str, ...]:
    """All known algorithms: the thirty and the registered ones, sorted."""
    return tuple(sorted(_registered))


def get_algorithm(name: str, field: str = "algorithm") -> Algorithm:
    """The algorithm of that name.

    Args:
        name: one of ``names()``.
        field: what the error calls the value.

    Raises:
        BadInput: there is none; the message names the nearest.
    """
    if not isinstance(name, str) or name not in _registered:
        raise unknown(field, name, names(), f"one of the {len(_registered)} algorithms")
    return _registered[name]


def spec(name: str) -> Spec:
    """The spec of an algorithm: an ordered mapping from probe names to ``Probe(stage, location, type, classes)``."""
    return get_algorithm(name).spec


def register(
    name: str, spec: Spec | Mapping[str, Probe], algorithm: Callable, sampler: Callable, *, replace: bool = False
) -> None:
    """Make an algorithm of your own known by name: everything then works as for the thirty.

    Args:
        name: an identifier, e.g. ``"counting_sort"``.
        spec: a ``Spec``.
        algorithm: a generator function. Its parameters are the spec's inputs (without ``pos`` and ``adj``) and then its
            outputs, in that order. Each ``yield hints(...)`` records one step; outputs are arrays to write into. It is
            compiled by Numba.
        sampler: ``sampler(rng, length, **options) -> dict`` from input names to arrays, where ``rng`` is a
            ``numpy.random.Generator``. Its keyword parameters are the options of ``clrs.sample``.
        replace: allow a registered name to be taken again. The thirty cannot be replaced.

    Raises:
        BadInput: a name already taken, or a function whose parameters do not fit the spec.
    """
    if not isinstance(name, str) or not name.isidentifier() or len(name) > 100:
        raise BadInput(
            f"register name: {brief(name)} is not an identifier of up to 100 letters, digits and underscores, "
            "e.g. 'counting_sort'"
        )
    # The name goes into files, folders and questions; the thirty are what published numbers are of.
    if name in CLRS30:
        raise BadInput(f"register name: {name!r} is already taken; the thirty cannot be replaced")
    if name in _registered and not replace:
        raise BadInput(f"register name: {name!r} is already taken; pass replace=True to take it again")
    if not isinstance(spec, Mapping):
        raise BadInput(
            f"register spec: {brief(spec)} is not allowed; a clrs.Spec, or a mapping from names to clrs.Probe"
        )
    if not isinstance(spec, Spec):
        spec = Spec.from_probes(spec)
    _check_parameters(name, spec, algorithm)
    _registered[name] = Algorithm(name, spec, algorithm, UserSampler(name, sampler))


def unregister(name: str) -> None:
    """Forget a registered algorithm. The thirty cannot be forgotten.

    Raises:
        BadInput: there is none of that name.
    """
    if name in CLRS30 or name not in _registered:
        registered = [own_name for own_name in _registered if own_name not in CLRS30]
        raise unknown("unregister name", name, registered, "a registered algorithm")
    del _registered[name]


def _check_parameters(name: str, spec: Spec, generator: Callable) -> None:
    """A generator takes the inputs by their own names, then one array for each output, whatever it calls it."""
    code = getattr(generator, "__code__", None)
    if code is None or not code.co_flags & inspect.CO_GENERATOR:
        raise BadInput(
            f"register algorithm: {brief(generator)} is not a generator function; "
            "write a function that yields its hints"
        )
    # From the code itself: a signature may be hidden behind decorators.
    parameters = list(code.co_varnames[: code.co_argcount])
    inputs, outputs = list(spec.arguments), list(spec.outputs)
    if len(parameters) != len(inputs) + len(outputs):
        raise BadInput(
            f"register algorithm: {name} takes {len(parameters)} parameters ({', '.join(parameters)}); "
            f"its spec needs {len(inputs) + len(outputs)}: "
            f"the inputs {', '.join(inputs)}, then the outputs {', '.join(outputs)}"
        )
    if parameters[: len(inputs)] != inputs:
        raise BadInput(
            f"register algorithm: {name} takes {', '.join(parameters)}; its first parameters must be the inputs "
            f"in the spec's order: {', '.join(inputs)}"
        )
