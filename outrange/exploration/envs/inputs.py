"""Checks of what environments are given beside numbers (core/checks.py): each is refused in one sentence."""

import importlib
import importlib.util
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from outrange.core.errors import BadInput, brief, unknown


def flag(field: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool | np.bool_):
        raise BadInput(f"{field}: {brief(value)} is not allowed; it must be true or false")
    return bool(value)


def checked_actions(actions: np.ndarray, count: int, allowed: int) -> np.ndarray:
    """The actions of B environments as (B,) int64."""
    array = np.asarray(actions)
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise BadInput(
            f"actions: {array.dtype} of shape {array.shape} is not allowed; it must be whole numbers of shape "
            f"({count},), one for each environment"
        )
    if array.min() < 0 or array.max() >= allowed:
        raise BadInput(f"actions: {brief(array.tolist())} is not allowed; each must be from 0 to {allowed - 1}")
    return array.astype(np.int64, copy=False)


def same_arrays(field: str, arrays: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """That a state has the names, shapes and kinds of ours."""
    if arrays.keys() != expected.keys():
        raise BadInput(
            f"{field}: its arrays {brief(sorted(arrays))} are not those of this environment, {brief(sorted(expected))}"
        )
    for name, model in expected.items():
        array = arrays[name]
        if array.shape != model.shape or array.dtype != model.dtype:
            raise BadInput(
                f"{field}.{name}: {array.dtype} of shape {array.shape} is not allowed; it must be {model.dtype} "
                f"of shape {model.shape}, "
                "as of the same number of environments with the same options"
            )


def checked_options(field: str, function: Callable, options: dict[str, Any]) -> dict[str, Any]:
    """That the options are keyword arguments of a function."""
    # what may be set is what the class takes by keyword alone
    names = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for name in options:
        if name not in names:
            raise unknown(f"{field}: option", name, names, "an option of it")
    return options


def installed(package: str) -> bool:
    """Whether a package could be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def needed(field: str, package: str, install: str) -> Any:
    """Import an optional package, or say what to install."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise BadInput(
            f"{field}: it needs the package {install}, which cannot be imported ({brief(str(error))}); install "
            f"it: pip install {install}"
        ) from None
