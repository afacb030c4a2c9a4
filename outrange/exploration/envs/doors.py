"""Two doors: a corridor with a small reward behind the door nearby and a large one behind the door far off; which is
better depends on the discount.

Both doors end the episode. Going straight, the near door brings small * gamma^(near - 1) and the far one large *
gamma^(far - 1), so they are worth the same at

    gamma = (small / large)^(1 / (far - near)),

with the numbers here 0.99494: a discount of 0.99 goes for the near door (0.776 against 0.624), one of 0.997 for the far
one (0.868 against 0.793). It stands for what Agent57 says of its discounts (arXiv 2003.13350): one game wants a long
horizon, another a short one. Nothing is drawn at random.
"""

import numpy as np

from outrange.core.checks import finite, whole
from outrange.core.errors import BadInput
from outrange.exploration.envs.draws import kernel
from outrange.exploration.envs.native import Native

FLOOR, AGENT, WALL, NEAR, FAR = range(5)
ROW = 3  #: of the corridor


def break_even(small: float = 0.8, large: float = 1.0, near: int = 4, far: int = 48) -> float:
    """The discount at which both doors are worth the same; above it the far one is better."""
    return (small / large) ** (1 / (far - near))


class TwoDoors(Native):
    """The batch of corridors in rock: codes (7, near + far + 1), the near door at the left end of the middle row, the
    far one at the right end.

    Args:
        near, far: steps from the start to either door.
        small, large: rewards behind them.
        cap: steps after which an episode is truncated; at least far.
    """

    name, actions, action_names = "outrange/TwoDoors-v0", 2, ("left", "right")
    codes, glyphs = 5, ".@#nF"
    wall_codes = range(WALL, WALL + 1)
    palette = np.array([(0, 0, 0), (44, 200, 44), (110, 110, 110), (255, 187, 40), (214, 39, 40)], np.uint8)

    def __init__(
        self,
        count: int,
        seed: int,
        *,
        near: int = 4,
        far: int = 48,
        small: float = 0.8,
        large: float = 1.0,
        cap: int = 400,
    ) -> None:
        self.near, self.far = whole("near", near, 1, 1 << 20), whole("far", far, 1, 1 << 20)
        self.small, self.large, self.cap = (
            finite("small", small, 0.0),
            finite("large", large, 0.0),
            whole("cap", cap, 1, 1 << 31),
        )
        if not self.near < self.far <= self.cap:
            raise BadInput(f"far: {far} is not allowed; it must lie above near ({near}) and within cap ({cap})")
        self.shape = (2 * ROW + 1, self.near + self.far + 1)  # encoders of grids want seven rows
        options = {"near": self.near, "far": self.far, "small": self.small, "large": self.large, "cap": self.cap}
        super().__init__(count, seed, options)
        self._corridor = np.full(self.shape, WALL, np.uint8)
        self._corridor[ROW] = [NEAR, *[FLOOR] * (self.near + self.far - 1), FAR]

    def _move(self, actions, observation, reward, terminated, truncated, place) -> None:
        arrays = self._arrays
        _move(
            actions,
            arrays["clock"],
            arrays["cell"],
            self.near + self.far,
            self.small,
            self.large,
            self.cap,
            reward,
            terminated,
            truncated,
        )
        self._show(observation, place)

    def _begin(self, mask, observation, place) -> None:
        arrays = self._arrays
        arrays["episode"][mask] += 1
        arrays["clock"][mask] = 0
        arrays["cell"][mask] = self.near
        self._show(observation, place, mask)

    def _show(self, observation, place, mask: np.ndarray | slice = slice(None)) -> None:
        rows, cells = np.arange(self.count)[mask], self._arrays["cell"][mask]
        observation[rows] = self._corridor
        observation[rows, ROW, cells] = AGENT
        place[rows] = ROW * self.shape[1] + cells

    def _paint(self, observation) -> None:
        self._show(observation, np.empty(self.count, np.int64))

    def places(self) -> np.ndarray:
        return np.full(self.count, self.shape[1], np.int64)


@kernel
def _move(actions, clock, cell, end, small, large, cap, reward, terminated, truncated):
    for i in range(len(actions)):
        cell[i] += 2 * actions[i] - 1  # 0 goes left, 1 right
        clock[i] += 1
        terminated[i] = cell[i] == 0 or cell[i] == end
        truncated[i] = clock[i] >= cap and not terminated[i]
        if terminated[i]:
            reward[i] = small if cell[i] == 0 else large
