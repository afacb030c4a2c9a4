"""Configurations: frozen keyword-only dataclasses, to JSON and back without loss.

Whatever is wrong is one sentence that names the setting by its whole path.

Fields may be int, float, str, bool, Literal, tuples of these, nested configurations, and any of them ``| None``.

A class reads what an earlier version wrote through up to three attributes of its own (``ClassVar``), none of which
``to_json`` writes:

    RENAMED = {"batch": "batch_size", "bonus.rate": "novelty.learning_rate"}     former name -> name of today; dotted where it lies in another configuration
    REMOVED = {"gate": "the processor decides it; take model.processor"}         former name -> what to do instead: such a configuration is refused
    upgrade(data) -> data                                                        a static method, called first, for values that changed their meaning
"""

import codecs
import copy
import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from outrange.core.errors import BadInput, brief, unknown

T = TypeVar("T")
_DEPTH = 64  # deeper JSON is an attack or an accident
#: Types of plain values, and what each allows in words.
_PLAIN = {
    int: "a whole number of at most 64 bits",
    float: "a finite number",
    str: "text",
    bool: "true or false",
    NoneType: "null",
}


def to_json(config: Any) -> dict[str, Any]:
    """A configuration as JSON holds it; checks the type of every value on the way."""
    return _fields(type(config), _plain(config), "config", build=False)


def from_json(cls: type[T], data: Mapping[str, Any], field: str = "config") -> T:
    """The configuration that JSON describes.

    Args:
        cls: the configuration's class.
        data: an object of JSON. What it leaves out takes its default; names of earlier versions are read as the
            module's head says.
        field: what messages call the configuration.

    Raises:
        BadInput: a key is unknown (the message names the nearest), a value is of another type, or the class refuses it.
    """
    return cls(**_fields(cls, data, field, build=True))


def changed(config: T, changes: Mapping[str, Any], field: str = "config") -> T:
    """A configuration with other values, by their dotted names: ``{"learner.gamma": 0.97}``.

    Args:
        config: stays as it is.
        changes: values as Python or JSON has them: tuples and lists alike.
        field: what messages about a name call it.

    Raises:
        BadInput: there is no such setting, or it does not take that value.
    """
    data = to_json(config)
    for dotted_name, value in changes.items():
        *path, last = dotted_name.split(".")
        section = _section(data, path)
        if section is None or last not in section or isinstance(section[last], dict):
            raise unknown(field, dotted_name, _dotted_names(data), "a setting")
        section[last] = list(value) if isinstance(value, tuple) else value
    return from_json(type(config), data)


def load(cls: type[T], path: Path) -> T:
    """Read a configuration from a JSON file of at most 1 MB."""
    return from_json(cls, read_object(path))


def digest(config: Any) -> str:
    """SHA-256 of a configuration, or of what ``to_json`` made of it, whatever the order of its keys."""
    data = config if isinstance(config, Mapping) else to_json(config)
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """The first dotted key in which two JSON configurations differ, with the value of each: ``model.hidden 128, now
    64``. Empty if they are equal.
    """
    for key in [*a, *(k for k in b if k not in a)]:
        left, right = a.get(key), b.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            deeper = differing(left, right)
            if deeper:
                return f"{key}.{deeper}"
        # Python counts True as 1; JSON does not
        elif key not in a or key not in b or left != right or isinstance(left, bool) != isinstance(right, bool):
            values = (json.dumps(side[key])[:60] if key in side else "absent" for side in (a, b))
            return f"{key} {', now '.join(values)}"
    return ""


def assignments(field: str, pairs: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` pairs as a dict; values are JSON, or text where they are not.

    Raises:
        BadInput: one has no ``=``.
    """
    result = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise BadInput(f"{field}: {brief(pair)} is not allowed; write NAME=VALUE")
        try:
            result[name] = json.loads(value)
        except (ValueError, RecursionError):
            result[name] = value
    return result


def read_object(path: Path, field: str = "config", limit: int = 1 << 20) -> dict[str, Any]:
    """The object that a JSON file holds: UTF-8 without byte-order mark, no key twice, no NaN, at most ``limit`` bytes."""
    name = repr(str(path))
    if not path.is_file():
        raise BadInput(f"{field}: {name} is not a file")
    try:
        with open(path, "rb") as file:
            raw = file.read(limit + 1)
    except OSError as error:
        raise BadInput(f"{field}: {name} cannot be read: {error.strerror}") from None
    # one byte more than allowed was asked for
    if len(raw) > limit:
        raise BadInput(f"{field}: {name} is larger than {limit:,} bytes")
    if raw.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise BadInput(f"{field}: {name} begins with a byte-order mark; save it as UTF-8 without one")
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=lambda pairs: _no_key_twice(pairs, f"{field}: {name}"),
            parse_constant=_no_constant,
        )
    except BadInput:
        raise
    except UnicodeDecodeError as error:
        raise BadInput(f"{field}: {name} is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise BadInput(
            f"{field}: {name} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise BadInput(f"{field}: {name} is nested more than {_DEPTH} deep") from None
    except ValueError as error:  # a number of thousands of digits, or NaN
        raise BadInput(f"{field}: {name} holds a number that is not allowed: {str(error).split(';')[0]}") from None
    if not _is_shallow(value):
        raise BadInput(f"{field}: {name} is nested more than {_DEPTH} deep")
    if not isinstance(value, dict):
        raise BadInput(f"{field}: {name} does not hold an object, but {brief(value, 40)}")
    return value


def _section(data: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any] | None:
    """The object at a path of keys; None where there is none."""
    section: Any = data
    for key in path:
        section = section.get(key) if isinstance(section, Mapping) else None
    return section if isinstance(section, dict) else None


def _dotted_names(data: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The dotted names of all values in nested objects."""
    names = []
    for key, value in data.items():
        names += _dotted_names(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [prefix + key]
    return names


def _with_names_of_today(cls: type, data: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """What an earlier version wrote, by ``upgrade``, ``REMOVED`` and ``RENAMED`` of its class."""
    renamed, removed = getattr(cls, "RENAMED", {}), getattr(cls, "REMOVED", {})
    upgrade = getattr(cls, "upgrade", None)
    if not (renamed or removed or upgrade):
        return data
    values: dict[str, Any] = copy.deepcopy(dict(data))
    if upgrade:
        values = upgrade(values)
    for former, advice in removed.items():
        *path, last = former.split(".")
        if last in (_section(values, path) or ()):
            raise BadInput(f"{field}.{former}: there is no such setting any more; {advice}")
    # all are taken out before any is put back, so that a name may pass from one setting to another
    moved = []
    for former, name in renamed.items():
        *path, last = former.split(".")
        source = _section(values, path)
        if source is not None and last in source:
            moved.append((former, name, source.pop(last)))
    for former, name, value in moved:
        *path, last = name.split(".")
        target: Any = values
        for key in path:
            target = target.setdefault(key, {}) if isinstance(target, dict) else None
        if not isinstance(target, dict):
            raise BadInput(f"{field}.{'.'.join(path)}: is not an object, and {former!r} belongs into it as {last!r}")
        if last in target:
            raise BadInput(f"{field}.{name}: is there twice, also under its former name {former!r}; keep one")
        target[last] = value
    # a section from which everything has moved elsewhere is gone itself
    fields = {f.name for f in dataclasses.fields(cls)}
    moved_from = {former.split(".")[0] for former in renamed if "." in former} - fields
    return {key: value for key, value in values.items() if not (key in moved_from and value == {})}


def _no_key_twice(pairs: list[tuple[str, Any]], place: str) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise BadInput(f"{place} has the key {brief(twice)} twice; keep one")
    return result


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _is_shallow(value: Any) -> bool:
    """Whether a value of JSON is nested no deeper than allowed; level by level, without recursion."""
    level = [value]
    for _ in range(_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return True
    return False


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    return [_plain(inner) for inner in value] if isinstance(value, tuple) else value


def _fields(cls: type, data: Any, field: str, build: bool) -> dict[str, Any]:
    """The fields of a configuration, checked: as arguments of its class (``build``), or as JSON."""
    if not isinstance(data, Mapping):
        raise _type_error(cls, data, field)
    if build:
        data = _with_names_of_today(cls, data, field)
    hints = get_type_hints(cls)
    settings = {f.name: f for f in dataclasses.fields(cls) if f.init}
    for key in data:
        if key not in settings:
            place = f"{field}.{key}" if str(key).isidentifier() and len(key) < 60 else field
            raise unknown(place, key, settings, f"a setting of {field}")
    # what is left out is left to the class's default; what has none must be there
    values = {}
    for name, f in settings.items():
        if name in data:
            values[name] = _read(hints[name], data[name], f"{field}.{name}", build)
        elif f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise BadInput(f"{field}.{name}: is missing; it must be {_in_words(hints[name])}")
    return values


def _read(hint: Any, value: Any, field: str, build: bool) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        values = _fields(hint, value, field, build)
        return hint(**values) if build else values
    if origin in (Union, UnionType):
        return _read_union(hint, value, field, build)
    if origin is Literal:
        if any(value == choice and type(value) is type(choice) for choice in inner):
            return value
        if isinstance(value, str) and all(isinstance(choice, str) for choice in inner):
            raise unknown(field, value, inner, "allowed")
        raise _type_error(hint, value, field)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _type_error(hint, value, field)
        # tuple[int, ...] is a list of any length, tuple[int, float] one of two
        hints: Sequence[Any] = inner[:1] * len(value) if inner[1:] == (...,) else inner
        if len(hints) != len(value):
            raise _type_error(hint, value, field)
        items = [_read(hints[k], item, f"{field}[{k}]", build) for k, item in enumerate(value)]
        return tuple(items) if build else items
    if hint not in _PLAIN:
        raise TypeError(f"{field}: a configuration cannot hold {hint!r}")
    # JSON writes 1.0 as 1 in many programs
    if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64:
        value = float(value)
    # exactly the type: True is no number, and a number is no text
    fits = type(value) is hint
    if fits and hint is float:
        fits = math.isfinite(value)
    elif fits and hint is int:
        fits = -(1 << 63) <= value < 1 << 64
    elif isinstance(value, str):
        fits = fits and re.search("[\ud800-\udfff]", value) is None  # no UTF-8 has these
    if not fits:
        raise _type_error(hint, value, field)
    return value


def _read_union(hint: Any, value: Any, field: str, build: bool) -> Any:
    choices = [choice for choice in get_args(hint) if choice is not NoneType]
    if value is None and len(choices) < len(get_args(hint)):
        return None
    if len(choices) == 1:
        return _read(choices[0], value, field, build)
    for choice in choices:
        try:
            return _read(choice, value, field, build)
        except BadInput:
            continue
    raise _type_error(hint, value, field)


def _type_error(hint: Any, value: Any, field: str) -> BadInput:
    return BadInput(f"{field}: {brief(value)} is not allowed; it must be {_in_words(hint)}")


def _in_words(hint: Any) -> str:
    """What a type allows, in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(_in_words(choice) for choice in inner)
    if origin is Literal:
        return f"one of {', '.join(map(repr, inner))}"
    if origin is tuple:
        return (
            f"a list, each item {_in_words(inner[0])}"
            if inner[1:] == (...,)
            else f"a list of {len(inner)}: {', '.join(map(_in_words, inner))}"
        )
    return _PLAIN.get(hint, "an object")
