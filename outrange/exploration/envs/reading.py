"""What an agent here can read of Gymnasium's spaces, and whether an observation keeps to its space.

Actions: ``Discrete`` from 0. Observations: ``Box`` of uint8, float32 or float64 (read as float32), and MiniGrid's
dictionaries (observations.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from outrange.core.errors import BadInput, brief
from outrange.exploration.envs.observations import with_direction


class Outside(Exception):
    """An environment gave what its space does not hold; the message says what."""


@dataclass(frozen=True)
class Reading:
    """How an observation is read: a fresh array of ``shape`` and ``dtype``, or ``Outside``."""

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[Any], np.ndarray]
    minigrid: bool


def action_count(name: str, space: gymnasium.Space) -> int:
    """How many actions there are."""
    if not isinstance(space, spaces.Discrete) or space.start != 0:
        raise BadInput(
            f"env: {name} has the actions {brief(space)}, which are not supported; they must be Discrete from 0"
        )
    return int(space.n)


def reading(name: str, space: gymnasium.Space) -> Reading:
    """How the observations of a space are read."""
    if isinstance(space, spaces.Dict) and {"image", "direction"} <= space.keys():
        image, direction = space["image"], space["direction"]
        if (
            isinstance(image, spaces.Box)
            and image.dtype == np.uint8
            and len(image.shape) == 3
            and isinstance(direction, spaces.Discrete)
        ):
            directions = range(int(direction.start), int(direction.start + direction.n))
            return Reading(
                (*image.shape[:2], image.shape[2] + 1),
                np.dtype(np.uint8),
                lambda observation: _minigrid(observation, image, directions),
                image.shape[2] == 3,
            )
    if isinstance(space, spaces.Box) and space.dtype in (np.uint8, np.float32, np.float64) and space.shape:
        dtype = np.dtype(np.uint8 if space.dtype == np.uint8 else np.float32)
        return Reading(space.shape, dtype, lambda observation: _box(observation, space).astype(dtype), False)
    raise BadInput(
        f"env: {name} shows {brief(space)}, which cannot be read; supported are a Box of uint8, float32 or "
        f"float64, and MiniGrid's dictionary"
    )


def _box(observation: Any, space: spaces.Box) -> np.ndarray:
    array = np.asarray(observation)
    if array.shape != space.shape:
        raise Outside(f"an observation of shape {array.shape} instead of {space.shape}")
    # whole numbers may stand for floats, but nothing else for bytes
    if array.dtype.kind not in ("u" if space.dtype == np.uint8 else "fiu"):
        raise Outside(f"an observation of {array.dtype} instead of {space.dtype}")
    if not np.isfinite(array).all():
        raise Outside("an observation that is not finite")
    if (array < space.low).any() or (array > space.high).any():
        raise Outside(f"an observation beyond the bounds of {brief(space)}")
    if array.dtype.kind == "f" and (np.abs(array) > np.finfo(np.float32).max).any():
        raise Outside("an observation that is infinite as float32")
    return array


def _minigrid(observation: Any, image: spaces.Box, directions: range) -> np.ndarray:
    if not isinstance(observation, dict) or not {"image", "direction"} <= observation.keys():
        raise Outside("an observation without image and direction")
    if int(observation["direction"]) not in directions:
        raise Outside(f"a direction of {brief(observation['direction'])}")
    return with_direction(_box(observation["image"], image), np.asarray(observation["direction"]))
