"""Pictures with a palette, as GIF and PNG store them best: one byte a pixel into a table of colours."""

import numpy as np

_PICTURES_FOR_PALETTE = 16


def to_palette(pictures: np.ndarray, color_count: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Pictures as indices into one palette.

    They are the same pictures where they have at most ``color_count`` colours, which grids and old games do; else every
    pixel has the nearest of that many colours, chosen by median cut from sixteen of the pictures.

    Args:
        pictures: (N, H, W, 3) uint8.
        color_count: colours of the palette, at most 256.

    Returns:
        (N, H, W) uint8 indices, and the palette (K, 3) uint8.
    """
    colors = np.zeros(0, np.uint32)
    for picture in pictures:
        colors = np.union1d(colors, _as_numbers(picture))
        if len(colors) > color_count:
            return _nearest(pictures, color_count)
    palette = np.stack([colors >> 16, colors >> 8 & 255, colors & 255], axis=-1).astype(np.uint8)
    # union1d sorts, so the place of a colour in the palette is found by bisection
    indices = [np.searchsorted(colors, _as_numbers(picture)).astype(np.uint8) for picture in pictures]
    return np.stack(indices), palette


def _as_numbers(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) bytes as (H, W) numbers, one for each colour."""
    wide = picture.astype(np.uint32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _nearest(pictures: np.ndarray, color_count: int) -> tuple[np.ndarray, np.ndarray]:
    """The same for pictures of more colours than the palette has."""
    from PIL import Image

    # the palette is made from a few pictures, spread evenly and laid below each other as one
    count = min(len(pictures), _PICTURES_FOR_PALETTE)
    sample = pictures[np.linspace(0, len(pictures) - 1, count).astype(int)]
    base = Image.fromarray(sample.reshape(-1, *sample.shape[2:])).quantize(
        color_count, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    # without dithering: its noise would move from frame to frame
    indices = [Image.fromarray(picture).quantize(palette=base, dither=Image.Dither.NONE) for picture in pictures]
    palette = np.array(base.getpalette(), np.uint8).reshape(-1, 3)
    return np.stack([np.asarray(image) for image in indices]), palette[:color_count]
