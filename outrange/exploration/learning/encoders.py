"""Encoders of an observation, by name (Never Give Up, arXiv 2002.06038, section 5 and figures H.1 to H.3).

They take observations as the environment gives them (bytes, or codes of cells) with any leading axes, and turn them
into numbers themselves, so that a replay holds bytes only.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from outrange.core.compiled import kernel
from outrange.core.errors import BadInput, unknown
from outrange.exploration.spec import Spec

#: Colours of the codes of a grid, as a crop shows them: corridor, agent, then walls or things, all of one brightness,
#: so that one layer can tell a wall.
PALETTE = [
    [0, 0, 0],
    [0, 1, 0],
    [1, 0, 0],
    [0, 0, 1],
    [0.5, 0.5, 0],
    [0.5, 0, 0.5],
    [0, 0.5, 0.5],
    [0.6, 0.2, 0.2],
    [0.2, 0.2, 0.6],
    [0.4, 0.3, 0.3],
]


class Crop(nn.Module):
    """What surrounds the agent in a grid of codes, 9 x 9 cells in colour, through one layer. Our deviation: the paper's
    network sees the whole frame."""

    def __init__(self, shape: tuple[int, ...], codes: int, width: int, side: int = 9) -> None:
        super().__init__()
        self.rows, self.columns = shape
        self.reach = side // 2
        colours = torch.tensor(PALETTE[:codes])
        # a maze has walls of its own; elsewhere the grid's edge looks like one
        beyond = torch.full((1, 3), 0.0 if codes > 3 else 1 / 3)
        self.register_buffer("palette", torch.cat([colours, beyond]), persistent=False)
        self.outside = codes
        # where the cells around one cell lie in a padded, flattened grid
        steps = torch.arange(-self.reach, self.reach + 1)
        around = steps[:, None] * (self.columns + 2 * self.reach) + steps[None, :]
        self.register_buffer("around", around.flatten(), persistent=False)
        self.layer = nn.Linear(3 * side * side, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self._compiled(x) if x.device.type == "cpu" else self._plain(x))

    def _compiled(self, x: Tensor) -> Tensor:
        """``_plain`` on a processor, in one pass over the grids."""
        colours = np.empty((len(x), 2 * self.reach + 1, 2 * self.reach + 1, 3), np.float32)
        _look_around(x.numpy(), self.palette.numpy(), colours)  # type: ignore[operator]
        return torch.from_numpy(colours).flatten(1)

    def _plain(self, x: Tensor) -> Tensor:
        """The colours around the agent, (N, 3 x side x side)."""
        agent = (x == 1).flatten(1).to(torch.uint8).argmax(1)  # the first cell of code 1
        padded = nn.functional.pad(x, (self.reach,) * 4, value=self.outside).flatten(1)
        row, column = agent // self.columns + self.reach, agent % self.columns + self.reach
        centre = row * (self.columns + 2 * self.reach) + column
        cells = padded.gather(1, centre[:, None] + self.around)  # type: ignore[operator]
        return nn.functional.embedding(cells.int(), self.palette).flatten(1)  # type: ignore[arg-type]


@kernel
def _look_around(grids, palette, colours):
    """colours (N, side, side, 3) of the cells around the first cell of code 1 of each grid (N, rows, columns), the
    first cell where there is none."""
    rows, columns = grids.shape[1:]
    side = colours.shape[1]
    reach, outside = side // 2, len(palette) - 1
    for n in range(len(grids)):
        flat = grids[n].ravel()
        agent = 0
        for j in range(flat.size):
            if flat[j] == 1:
                agent = j
                break
        row, column = agent // columns - reach, agent % columns - reach
        for i in range(side):
            for j in range(side):
                y, x = row + i, column + j
                code = grids[n, y, x] if 0 <= y < rows and 0 <= x < columns else outside
                for k in range(3):
                    colours[n, i, j, k] = palette[code, k]


class Cells(nn.Module):
    """A grid of codes, each a channel, through two 3 x 3 convolutions, 16 and 32 filters: stride 1 as published for the
    maze, or 2, four times cheaper."""

    def __init__(self, shape: tuple[int, ...], codes: int, width: int, stride: int) -> None:
        super().__init__()
        self.codes = codes
        self.convolutions = nn.Sequential(
            nn.Conv2d(codes, 16, 3, stride, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride, 1), nn.ReLU(), nn.Flatten()
        )
        self.layer = nn.Linear(_flat(self.convolutions, (codes, *shape)), width)

    def forward(self, x: Tensor) -> Tensor:
        # one channel for each code
        channels = (x.unsqueeze(1) == torch.arange(self.codes, device=x.device, dtype=x.dtype).view(-1, 1, 1)).float()
        return self.layer(self.convolutions(channels))


class Pixels(nn.Module):
    """Images of bytes (H, W) or (H, W, channels) through the three convolutions of DQN: 32 at 8 x 8 / 4, 64 at 4 x 4 /
    2, 64 at 3 x 3 / 1."""

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.grey = len(shape) == 2
        channels = 1 if self.grey else shape[2]
        layers = [
            nn.Conv2d(channels, 32, 8, 4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, 2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, 1),
            nn.ReLU(),
            nn.Flatten(),
        ]
        self.convolutions = nn.Sequential(*layers)
        self.layer = nn.Linear(_flat(self.convolutions, (channels, *shape[:2])), width)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(1) if self.grey else x.movedim(-1, 1)  # channels first
        return self.layer(self.convolutions(x.float() / 255))


class Objects(nn.Module):
    """MiniGrid's partial view (7, 7, 4): kind, colour and state of a cell are vectors that are summed; two 3 x 3
    convolutions, so that a door is a door wherever it stands; beside them the agent's direction."""

    KINDS, COLOURS, STATES, DIRECTIONS = 11, 6, 3, 4

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, 8) for n in (self.KINDS, self.COLOURS, self.STATES))
        self.convolutions = nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten())
        self.layer = nn.Linear(_flat(self.convolutions, (8, *shape[:2])) + self.DIRECTIONS, width)

    def forward(self, x: Tensor) -> Tensor:
        tops = (self.KINDS, self.COLOURS, self.STATES)
        kind, colour, state = (
            table(x[..., k].int().clamp_max(top - 1))
            for k, (table, top) in enumerate(zip(self.tables, tops, strict=True))
        )
        features = self.convolutions((kind + colour + state).permute(0, 3, 1, 2))
        # the fourth number of every cell is the agent's direction
        return self.layer(torch.cat([features, one_hot(x[:, 0, 0, 3], self.DIRECTIONS)], 1))


class Vector(nn.Module):
    """A vector of numbers, or anything small, flattened, through two layers."""

    def __init__(self, shape: tuple[int, ...], width: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.first = nn.Linear(int(torch.Size(shape).numel()), 2 * width)
        self.layer = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.relu(self.first(x.flatten(1).float() * self.scale)))


#: name -> (what it needs of an observation, how to make it from shape, codes, byte or not, width)
ENCODERS: dict[str, tuple[str, Callable[[tuple[int, ...], int, bool, int], nn.Module]]] = {
    "crop": ("grid", lambda shape, codes, byte, width: Crop(shape, codes, width)),
    "cells": ("grid", lambda shape, codes, byte, width: Cells(shape, codes, width, 2)),
    "cells-paper": ("grid", lambda shape, codes, byte, width: Cells(shape, codes, width, 1)),
    "pixels": ("image", lambda shape, codes, byte, width: Pixels(shape, width)),
    "objects": ("minigrid", lambda shape, codes, byte, width: Objects(shape, width)),
    "vector": ("any", lambda shape, codes, byte, width: Vector(shape, width, 1 / 255 if byte and not codes else 1.0)),
}


class Encoder(nn.Module):
    """An encoder by name; output (…, width), no activation after the last layer."""

    def __init__(
        self, name: str, shape: tuple[int, ...], codes: int, byte: bool, width: int, setting: str = "encoder"
    ) -> None:
        super().__init__()
        if name not in ENCODERS:
            raise unknown(setting, name, ENCODERS, "an encoder")
        needs, make = ENCODERS[name]
        fits = {
            "grid": len(shape) == 2 and 0 < codes <= len(PALETTE) and min(shape) >= 7,
            "image": byte and not codes and len(shape) in (2, 3) and min(shape[:2]) >= 36,
            "minigrid": byte and len(shape) == 3 and shape[2] == 4 and min(shape[:2]) >= 5,
            "any": True,
        }
        if not fits[needs]:
            needed = {
                "grid": "a grid of cell codes, at least 7 x 7",
                "image": "an image of bytes, at least 36 x 36",
                "minigrid": "MiniGrid's view (7, 7, 4), at least 5 x 5",
            }[needs]
            fitting = "pixels" if fits["image"] else "vector"
            observation = f"{shape}{f' with {codes} codes' if codes else ''}"
            raise BadInput(
                f"{setting}: {name!r} needs {needed}, and the environment shows {observation}; "
                f"what fits is --network.encoder {fitting} --bonus.encoder {fitting}"
            )
        self.axes, self.width = len(shape), width
        self.body = make(tuple(shape), codes, byte, width)

    def forward(self, x: Tensor) -> Tensor:
        leading = x.shape[: x.ndim - self.axes]
        return self.body(x.reshape(-1, *x.shape[x.ndim - self.axes :])).view(*leading, self.width)


def encoder(spec: Spec, name: str, width: int, setting: str) -> Encoder:
    """An encoder for what environments show.

    Args:
        spec: of the environments.
        name: of the encoder, a key of ``ENCODERS``.
        width: how many features it gives.
        setting: the field of the configuration that named it, for the message where it does not fit.
    """
    return Encoder(name, spec.shape, spec.codes, spec.of_bytes, width, setting)


def one_hot(index: Tensor, count: int) -> Tensor:
    """One-hot along a new last axis; all zero for an index outside."""
    return (index.unsqueeze(-1) == torch.arange(count, device=index.device, dtype=index.dtype)).float()


def _flat(module: nn.Module, shape: tuple[int, ...]) -> int:
    with torch.no_grad():
        return module(torch.zeros(1, *shape)).shape[1]
