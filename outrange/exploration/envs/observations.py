"""Observations of foreign environments as one array, and any observation as a picture.

MiniGrid shows an agent the 7 x 7 cells ahead, three numbers each (object, colour, state), and its direction beside
them. Ours is (7, 7, 4) uint8: the three numbers and a plane that holds the direction everywhere. A cell's number,
``place``, is y * 32 + x in every engine, as no engine but Python's tells the width.
"""

import numpy as np

MINIGRID_WIDTH = 32
#: what MiniGrid's seven actions do; some levels have the first three only
MINIGRID_ACTIONS: tuple[str, ...] = ("left", "right", "forward", "pickup", "drop", "toggle", "done")
_COLOURS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (112, 39, 195), (255, 255, 0), (100, 100, 100)], np.uint8)
_UNSEEN, _EMPTY = 0, 1


def with_direction(image: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Images (..., H, W, 3) and directions (...) as (..., H, W, 4) uint8."""
    # a plane of the same number everywhere, so that a convolution sees the direction at each cell
    plane = np.broadcast_to(np.asarray(direction, np.uint8)[..., None, None, None], (*image.shape[:-1], 1))
    return np.concatenate([image.astype(np.uint8, copy=False), plane], axis=-1)


def minigrid_place(position: np.ndarray, width: int = MINIGRID_WIDTH) -> np.ndarray:
    """Positions (..., 2), x before y, as numbers of cells."""
    position = np.asarray(position, np.int64)
    return position[..., 1] * max(width, MINIGRID_WIDTH) + position[..., 0]


def rgb(observation: np.ndarray, minigrid: bool = False) -> np.ndarray:
    """One observation as (H, W, 3) uint8: images as they are, MiniGrid cells in the colour of their object, anything
    else as a row of greys, least to most."""
    if minigrid:
        object_type, colour = observation[..., 0], observation[..., 1]
        picture = _COLOURS[np.minimum(colour, len(_COLOURS) - 1)]
        picture[object_type == _UNSEEN] = 20  # nearly black: apart from empty cells
        picture[object_type == _EMPTY] = 0
        return picture
    is_image = observation.ndim == 2 or (observation.ndim == 3 and observation.shape[-1] in (1, 3))
    if observation.dtype == np.uint8 and is_image:
        image = observation if observation.ndim == 3 else observation[..., None]
        return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))
    # anything else is a row of greys, from its smallest number to its largest
    values = observation.astype(np.float64).reshape(1, -1)
    spread = np.ptp(values) if values.size else 0.0
    grey = np.zeros_like(values) if spread == 0 else 255 * (values - values.min()) / spread
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)
