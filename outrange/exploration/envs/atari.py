"""Atari as Never Give Up plays it (arXiv 2002.06038, table 8): the settings of both C++ engines, and where an agent is.

One grey 84 x 84 frame, the brighter of the last two of four; all 18 actions; up to 30 no-ops at the start; no sticky
actions; an episode is cut after 108,000 frames (30 minutes) and does not end with a life; rewards are as the game gives
them. Both engines' own defaults differ (fire at reset, fewer actions, clipped rewards, four frames), so every setting
is given.

Where the agent is comes from the console's memory: in Montezuma's Revenge the room, byte 0x83, and the level, 0xB9
(appendix I of the paper; 24 rooms a level), in Pitfall! the screen, 0x81. The memory begins at 0x80. In other games it
is unknown.
"""

from dataclasses import dataclass

import numpy as np

from outrange.core.checks import finite, whole
from outrange.core.errors import BadInput, brief

ACTIONS: tuple[str, ...] = (
    "noop", "fire", "up", "right", "left", "down", "upright", "upleft", "downright", "downleft",
    "upfire", "rightfire", "leftfire", "downfire", "uprightfire", "upleftfire", "downrightfire", "downleftfire",
)  # fmt: skip
#: by name, (index in memory, factor) pairs whose sum is the place
ROOMS = {"ALE/MontezumaRevenge-v5": ((0x83 - 0x80, 1), (0xB9 - 0x80, 24)), "ALE/Pitfall-v5": ((0x81 - 0x80, 1),)}


@dataclass(frozen=True, kw_only=True)
class AtariSettings:
    """Table 8. ``threads`` is the engine's own; ``frames`` cuts an episode."""

    frames: int = 108_000
    skip: int = 4
    stack: int = 1
    noops: int = 30
    sticky: float = 0.0
    size: int = 84
    threads: int = 1

    def __post_init__(self) -> None:
        for field, low in (("frames", 1), ("skip", 1), ("stack", 1), ("noops", 0), ("size", 1), ("threads", 1)):
            whole(f"env: option {field}", getattr(self, field), low, 1 << 30)
        if not 0 <= finite("env: option sticky", self.sticky) < 1:
            raise BadInput(f"env: option sticky: {brief(self.sticky)} is not allowed; it must be a probability below 1")

    def shape(self) -> tuple[int, ...]:
        """(height, width, frames stacked)."""
        return (self.size, self.size, self.stack)


def images(frames: np.ndarray) -> np.ndarray:
    """Engines give (B, stack, H, W) in memory of their own; ours is (B, H, W, stack)."""
    return np.array(frames.transpose(0, 2, 3, 1), order="C")


def rooms(name: str, memory: np.ndarray | None, count: int) -> np.ndarray:
    """(B,) int64 places from (B, 128) uint8 memory, -1 where unknown."""
    if memory is None or name not in ROOMS:
        return np.full(count, -1, np.int64)
    return sum(
        (memory[:, index].astype(np.int64) * factor for index, factor in ROOMS[name]), start=np.zeros(count, np.int64)
    )


def picture(observation: np.ndarray) -> np.ndarray:
    """The newest frame (H, W, stack) as (H, W, 3)."""
    return np.repeat(observation[..., -1:], 3, axis=-1)
