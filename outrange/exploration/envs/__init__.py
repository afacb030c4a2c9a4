"""Environments: B in lock step, whatever runs them (contract.py), by name.

    outrange/…-v0      our own, compiled; a state brings them back exactly (disco.py, coin.py, doors.py, deepsea.py)
    MiniGrid-…-v0      Python (gym.py); with engine envpool in C++ (pool.py), whose MultiRoom levels, as of 1.2.5,
    mostly cannot be solved ALE/…-v5           Atari: envpool if it is installed and shows in which room of the game one
    is, else ale-py (atari.py, pool.py, ale.py) any other id       Gymnasium, in Python (gym.py)

Importing this registers our ids with Gymnasium. The packages minigrid, ale-py and envpool are needed for their
environments only.
"""

from collections.abc import Callable
from typing import Any

from outrange.core.checks import whole
from outrange.core.errors import BadInput, unknown
from outrange.exploration.envs.contract import Envs, Step
from outrange.exploration.envs.inputs import checked_options, installed
from outrange.exploration.envs.registered import NATIVE, native, register

ENGINES = ("native", "gymnasium", "envpool", "ale")
__all__ = ["ENGINES", "NATIVE", "Envs", "Step", "make"]
register()


def make(name: str, count: int, seed: int, engine: str = "auto", **options: Any) -> Envs:
    """B environments of a name.

    Args:
        name: see above.
        count: B.
        seed: a whole number from 0 to 2^64 - 1; environment i depends on it and on i alone.
        engine: auto, native, gymnasium, envpool or ale.
        options: of the environment: see the class that is made.

    Raises:
        BadInput: a name, engine or option that does not exist, a space that is not supported, or a package that is not
            installed (it says which).
    """
    count = whole("count", count, 1, 1 << 20)
    if engine not in ("auto", *ENGINES):
        raise unknown("engine", engine, ("auto", *ENGINES), "an engine")
    if not isinstance(name, str) or not name:
        raise BadInput(f"env: {name!r} is not allowed; it must be the name of an environment")
    if engine == "auto":
        engine = _engine(name)
    if engine == "native":
        if name not in NATIVE:
            raise unknown("env", name, NATIVE, "one of our own environments")
        return native(name, count, seed, options)
    if engine == "gymnasium":
        from outrange.exploration.envs.gym import Gymnasium

        return Gymnasium(name, count, seed, **options)
    return _foreign(engine, name)(name, count, seed, options)


def _engine(name: str) -> str:
    if name.startswith("outrange/"):
        return "native"
    if name.startswith("ALE/"):
        from outrange.exploration.envs.atari import ROOMS

        return "envpool" if name in ROOMS and installed("envpool") else "ale"
    return "gymnasium"


def _foreign(engine: str, name: str) -> Callable[[str, int, int, dict[str, Any]], Envs]:
    from outrange.exploration.envs.ale import Ale
    from outrange.exploration.envs.atari import AtariSettings
    from outrange.exploration.envs.pool import PoolAtari, PoolMiniGrid

    if name.startswith("ALE/"):
        kind = PoolAtari if engine == "envpool" else Ale
        return lambda name, count, seed, options: kind(
            name, count, seed, AtariSettings(**checked_options(f"env: {name}", AtariSettings, options))
        )
    if name.startswith("MiniGrid-") and engine == "envpool":
        return lambda name, count, seed, options: PoolMiniGrid(
            name, count, seed, **checked_options(f"env: {name}", PoolMiniGrid.__init__, options)
        )
    raise BadInput(
        f"engine: {engine!r} does not run {name!r}; envpool runs MiniGrid-… and ALE/…, ale runs ALE/…, "
        f"gymnasium any id that it knows"
    )
