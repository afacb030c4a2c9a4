"""Where the agent goes: maps of visits, and one episode with its pictures, places and controllable states."""

import base64
import io
import math
from dataclasses import replace
from typing import Any

import numpy as np

from outrange.report.explore.story import Episode, Map
from outrange.report.palette import to_palette

STEPS_SHOWN = 20_000
"""steps of an episode that are shown, from its start"""
_POINTS_SHOWN = 2000
_SHEET_WIDTH = 4096  # pixels; browsers draw images of this width everywhere


def packed_map(visited: Map) -> dict[str, Any]:
    """A map as the page's script reads it."""
    visits, first = visited.visits, visited.first
    is_free = ~np.isnan(visits)
    return {
        "name": visited.name,
        "width": visits.shape[1],
        "height": visits.shape[0],
        "visits": _flat(visits),
        "first": None if first is None else _flat(first),
        "seen": int((is_free & (visits > 0)).sum()),
        "walls": bool((~is_free).any()),
        "free": int(is_free.sum()),
    }


def _flat(values: np.ndarray) -> list[float | None]:
    """(H, W) row by row, None for NaN."""
    return [None if math.isnan(value) else value for value in values.ravel().tolist()]


def packed_episode(episode: Episode) -> dict[str, Any]:
    """An episode as the page's script reads it, without its pictures (``picture_sheet``)."""
    episode = shortened(episode)
    packed: dict[str, Any] = {
        "name": episode.name,
        "steps": len(episode.bonus),
        "bonus": episode.bonus.tolist(),
        "reward": episode.reward.tolist() if episode.reward.any() else None,
        "terminated": episode.terminated,
        "places": episode.place_count,
        "grid": episode.grid,
        "place": None,
        "new": None,
        "action": None,
        "action_names": [],
        "points": None,
        "sheet": None,
    }
    if has_places(episode):
        assert episode.place is not None
        packed["place"] = episode.place.astype(np.int64).tolist()
        packed["new"] = np.flatnonzero(first_visits(episode.place)).tolist()
    if episode.action is not None and episode.action_names:
        packed["action"] = episode.action.astype(np.int64).tolist()
        packed["action_names"] = list(episode.action_names)
    # two axes need a spread in some direction: three points at least
    if episode.points is not None and episode.points.shape[1] >= 1 and len(episode.points) >= 3:
        packed["points"] = _principal_plane(episode.points)
    return packed


def shortened(episode: Episode) -> Episode:
    """The first ``STEPS_SHOWN`` steps of an episode."""
    if len(episode.bonus) <= STEPS_SHOWN:
        return episode
    lengths = {"bonus": 0, "reward": 0, "action": 0, "points": 0, "place": 1, "pictures": 1}  # beyond the steps
    arrays = {name: getattr(episode, name) for name in lengths}
    cut = {name: array[: STEPS_SHOWN + lengths[name]] for name, array in arrays.items() if array is not None}
    return replace(episode, **cut)


def has_places(episode: Episode) -> bool:
    """Whether it is known at any time where the agent is."""
    return episode.place is not None and bool((episode.place >= 0).any())


def first_visits(place: np.ndarray) -> np.ndarray:
    """(N + 1,) bool: whether a place is visited for the first time; False where it is unknown (-1)."""
    is_first = np.zeros(len(place), bool)
    is_first[np.unique(place, return_index=True)[1]] = True
    return is_first & (place >= 0)


def picture_sheet(pictures: np.ndarray, count: int) -> dict[str, Any]:
    """Some of an episode's pictures, evenly spread and with the last, as one PNG.

    Args:
        pictures: (N + 1, H, W, 3) uint8.
        count: how many of them, at most.

    Returns:
        The sheet as a data address, with the size of a picture, pictures a row, and the step of each.
    """
    from PIL import Image

    count = min(count, len(pictures))
    steps = np.unique(np.linspace(0, len(pictures) - 1, count).round().astype(int))
    frames, palette = to_palette(pictures[steps])
    frame_count, height, width = frames.shape
    # about square, and never wider than browsers can draw
    columns = max(1, min(frame_count, _SHEET_WIDTH // width, math.ceil(math.sqrt(frame_count * height / width))))
    rows = -(-frame_count // columns)
    padded = np.zeros((rows * columns, height, width), np.uint8)
    padded[:frame_count] = frames
    # (rows, columns, H, W) -> (rows, H, columns, W): frames that follow each other lie side by side, so PNG is small
    grid = padded.reshape(rows, columns, height, width).transpose(0, 2, 1, 3)
    image = Image.fromarray(grid.reshape(rows * height, columns * width))
    image.putpalette(palette.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    data = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return {"width": width, "height": height, "columns": columns, "steps": steps.tolist(), "data": data}


def _principal_plane(points: np.ndarray) -> dict[str, Any]:
    """Points (N, p) on their first two principal axes, and the share of the variance on each."""
    centred = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    _, singular_values, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2]
    # an axis is known up to its sign only: its largest part is made positive, so that a page can be made twice
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.sign(axes[np.arange(len(axes)), largest])[:, None]
    count = min(len(points), _POINTS_SHOWN)
    chosen = np.unique(np.linspace(0, len(points) - 1, count).round().astype(int))
    plane = np.zeros((len(chosen), 2))
    plane[:, : len(axes)] = centred[chosen] @ axes.T
    variances = singular_values**2
    total = float(variances.sum())
    shares = [float(variance) / total if total else 0.0 for variance in variances[:2]]
    return {
        "x": plane[:, 0].tolist(),
        "y": plane[:, 1].tolist(),
        "steps": (chosen + 1).tolist(),
        "shares": [*shares, 0.0][:2],  # points of one number have one axis
        "dimension": points.shape[1],
    }
