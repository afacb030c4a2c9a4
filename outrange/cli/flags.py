"""A configuration class as flags.

Every field's type, bounds, default and help are read from the class that declares it, so they are written once.

``mirror`` makes, from an instance, a plain dataclass that tyro can parse: the same fields with the instance's values as
defaults and the fields' own docstrings as help, but none of the class's checks. The checks run when the parsed values
become a configuration again, and their sentence then names the flag.
"""

import ast
import dataclasses
import functools
import inspect
import re
import textwrap
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Annotated, Any, get_type_hints

import tyro

from outrange.core.errors import BadInput


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flag:
    """What the command line says of a field beyond its class, or all of a flag that is no field.

    Attributes:
        type: instead of the field's own, e.g. a ``Literal`` of the names in a table.
        default: of a flag that is no field.
        help: instead of the field's own docstring.
        metavar: what stands for the value in the help.
        aliases: other spellings, e.g. ``--env`` for ``--env.name``.
        markers: of ``tyro.conf``, e.g. that it is given without its name.
    """

    type: Any = None
    default: Any = None
    help: str | None = None
    metavar: str | None = None
    aliases: tuple[str, ...] = ()
    markers: tuple[Any, ...] = ()

    def annotation(self, field_type: Any, field_help: str | None, optional: bool) -> Any:
        """The type of the flag as tyro reads it.

        Args:
            field_type: used unless there is a ``type``.
            field_help: used unless there is a ``help``.
            optional: whether there may be no value, which the help then says itself.
        """
        flag_type = self.type or field_type
        options = tyro.conf.arg(
            help=self.help or field_help,
            metavar=self.metavar,
            aliases=self.aliases or None,
            help_behavior_hint="" if optional else None,
        )
        return Annotated[(flag_type | None if optional else flag_type, options, *self.markers)]


def field_docs(cls: type) -> dict[str, str]:
    """The docstrings below the fields of a dataclass, those of its bases included, by field name."""
    docs = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        definition = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        if not isinstance(definition, ast.ClassDef):
            continue
        for statement, following in pairwise(definition.body):
            match statement, following:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as text)):
                    docs[name] = " ".join(text.split())
    return docs


def mirror(
    instance: Any,
    flags: Mapping[str, Flag] | None = None,
    extra: Mapping[str, Flag] | None = None,
    hidden: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
    prefix: str = "",
) -> type:
    """A dataclass to parse in place of a configuration's.

    Args:
        instance: its values are the defaults.
        flags: what differs from the class, by dotted field name.
        extra: flags that are no fields; they come first.
        hidden: dotted names of fields, or of whole nested configurations, that get no flag.
        defaults: values instead of the instance's, by dotted field name.
        prefix: of the dotted names, in nested configurations.
    """
    flags, defaults = flags or {}, defaults or {}
    field_types, docs = get_type_hints(type(instance)), field_docs(type(instance))
    fields: list[Any] = []
    for name, flag in (extra or {}).items():
        fields.append(
            (name, flag.annotation(flag.type, None, flag.default is None), dataclasses.field(default=flag.default))
        )
    for field in dataclasses.fields(instance):
        path, value = prefix + field.name, getattr(instance, field.name)
        if not field.init or path in hidden:
            continue
        if dataclasses.is_dataclass(value):
            inner = mirror(value, flags, None, hidden, defaults, f"{path}.")
            fields.append((field.name, inner, dataclasses.field(default_factory=inner)))
        else:
            flag, default = flags.get(path, Flag()), defaults.get(path, value)
            undecided = path in defaults and default is None
            annotation = flag.annotation(field_types[field.name], docs.get(field.name), undecided)
            fields.append((field.name, annotation, dataclasses.field(default=default)))
    made = dataclasses.make_dataclass(type(instance).__name__, fields, frozen=True, kw_only=True)
    made.__doc__ = type(instance).__doc__
    return made


def paths(instance: Any, prefix: str = "") -> Iterator[str]:
    """The dotted names of a configuration's fields, those of nested configurations included."""
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        if dataclasses.is_dataclass(value):
            yield from paths(value, f"{prefix}{field.name}.")
        elif field.init:
            yield prefix + field.name


def spelled(path: str) -> str:
    """A dotted field name as it is typed: ``learner.burn_in`` is ``--learner.burn-in``."""
    return "--" + path.replace("_", "-")


@contextmanager
def naming(names: Collection[str]) -> Iterator[None]:
    """Errors about a configuration's field, by its dotted name, become errors about the flag as it is typed."""
    try:
        yield
    except BadInput as error:
        sentence = re.fullmatch(r"(?:config\.)?([a-z_.0-9]+)((?:\[\d+\])?: .*)", str(error), re.DOTALL)
        path = _full_name(sentence[1], names) if sentence else None
        if sentence is None or path is None:
            raise
        raise BadInput(spelled(path) + sentence[2]) from None


def _full_name(name: str, names: Collection[str]) -> str | None:
    """The dotted name that an error speaks of; a nested configuration may not know where it stands, as ``rotary.p`` in
    ``model``.
    """
    if name in names:
        return name
    longer = [path for path in names if "." in name and path.endswith(f".{name}")]
    return longer[0] if len(longer) == 1 else None


def value_at(config: Any, path: str) -> Any:
    """The value of a field by its dotted name."""
    return functools.reduce(getattr, path.split("."), config)


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any], without: Collection[str], prefix: str = "") -> Any:
    """A configuration as nested dictionaries, with the values of another where both have a field.

    Args:
        below: all fields.
        above: some of them, and perhaps others, which are left out.
        without: dotted names of fields that keep the value below.
        prefix: of the dotted names.
    """
    result = {}
    for name, value in below.items():
        if isinstance(value, Mapping):
            result[name] = overlaid(value, above.get(name, {}), without, f"{prefix}{name}.")
        else:
            result[name] = value if prefix + name in without else above.get(name, value)
    return result
