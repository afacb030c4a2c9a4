"""What a page on exploring agents shows, as its producer (outrange/exploration/story.py) fills it in.

Shapes of one episode: N steps, so N + 1 observations; p numbers in a controllable state (Never Give Up, arXiv
2002.06038, section 2).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from outrange.core.errors import BadInput, brief

Line = Mapping[str, Any]
"""one line of a log: its "step", and other numbers by name"""


@dataclass(frozen=True, kw_only=True)
class RunLog:
    """The logs of one run.

    Raises:
        BadInput: there is no line yet, or a line has no whole number as its step.
    """

    name: str
    metrics: Sequence[Line]
    """lines of metrics.jsonl: at least one, in any order"""
    timing: Sequence[Line] = ()
    """lines of timing.jsonl"""
    group: str = ""
    """runs of one group differ in their seed alone and are drawn as their median; groups are compared with each
    other"""

    def __post_init__(self) -> None:
        if not self.metrics:
            raise BadInput(f"run {brief(self.name)}: metrics are empty; a run needs at least one line")
        for part, lines in (("metrics", self.metrics), ("timing", self.timing)):
            for number, line in enumerate(lines):
                step = line.get("step")
                if isinstance(step, bool) or not isinstance(step, int):
                    where = f"run {brief(self.name)}: {part}[{number}].step"
                    raise BadInput(f"{where}: {brief(step)} is not allowed; it must be a whole number")

    @property
    def last_step(self) -> int:
        """The step of the newest line of metrics."""
        return max(line["step"] for line in self.metrics)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a policy that learns nothing reaches: a dotted line in a chart.

    Raises:
        BadInput: the value is not finite.
    """

    name: str
    metric: str
    """the key of the chart it belongs to: coverage, return, …"""
    value: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise BadInput(f"reference {brief(self.name)}: {self.value} is not allowed; it must be a finite number")


@dataclass(frozen=True, kw_only=True)
class Map:
    """Where one episode, or several, went.

    Raises:
        BadInput: the arrays have other shapes.
    """

    name: str
    visits: np.ndarray
    """(H, W): how often each cell was visited; NaN where there is a wall"""
    first: np.ndarray | None = None
    """(H, W): after which step a cell was first visited; NaN where it was not"""

    def __post_init__(self) -> None:
        _check_shape("map.visits", self.visits, (None, None))
        if self.first is not None:
            _check_shape("map.first", self.first, self.visits.shape)


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One episode of N steps.

    Raises:
        BadInput: arrays of different lengths, or numbers that are not finite.
    """

    name: str = ""
    bonus: np.ndarray
    """(N,) bonus rⁱ of each step"""
    reward: np.ndarray
    """(N,) reward rᵉ of each step"""
    pictures: np.ndarray | None = None
    """(N + 1, H, W, 3) uint8"""
    place: np.ndarray | None = None
    """(N + 1,) whole numbers: where the agent is, -1 where unknown"""
    place_count: int = 0
    """how many places there are; 0 if unknown"""
    grid: tuple[int, int] | None = None
    """(H, W) of the grid in which place y W + x is the cell x, y; None where places are no cells"""
    action: np.ndarray | None = None
    """(N,) whole numbers"""
    action_names: Sequence[str] = ()
    points: np.ndarray | None = None
    """(N, p) controllable state of each step"""
    terminated: bool | None = None
    """whether the environment ended the episode, rather than a limit of steps"""

    def __post_init__(self) -> None:
        steps = len(self.bonus)
        shapes: dict[str, tuple[int | None, ...]] = {
            "bonus": (steps,),
            "reward": (steps,),
            "place": (steps + 1,),
            "action": (steps,),
            "points": (steps, None),
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array is not None:
                _check_shape(f"episode.{name}", array, shape)
                if not np.isfinite(array).all():
                    raise BadInput(f"episode.{name}: it must hold finite numbers only")
        if self.pictures is not None:
            _check_shape("episode.pictures", self.pictures, (steps + 1, None, None, 3))
            if self.pictures.dtype != np.uint8:
                raise BadInput(f"episode.pictures: {self.pictures.dtype} is not allowed; pictures are bytes (uint8)")


@dataclass(frozen=True)
class Meaning:
    """What a number of the logs is, for the table of all numbers."""

    unit: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Story:
    """All that a page shows; only the runs are needed.

    Raises:
        BadInput: there are no runs.
    """

    runs: Sequence[RunLog]
    title: str = ""
    subtitle: str = ""
    command: str = ""
    """the command line that made the page"""
    notes: Sequence[str] = ()
    """sentences at the end of the page"""
    glossary: Mapping[str, Meaning] = field(default_factory=dict)
    """what the numbers of the logs mean, by name; * in a name stands for the number of a mixture"""
    references: Sequence[Reference] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    """settings of the first run, nested"""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """versions and machine of the first run, nested"""
    maps: Sequence[Map] = ()
    episode: Episode | None = None
    evaluation: Sequence[Mapping[str, Any]] = ()
    """a row for each run and mixture: names, and means over episodes ("return") beside their standard errors
    ("return_error")"""

    def __post_init__(self) -> None:
        if not self.runs:
            raise BadInput("story.runs: is empty; a page needs at least one run")


def _check_shape(field_name: str, array: np.ndarray, shape: tuple[int | None, ...]) -> None:
    """None in ``shape`` stands for any length."""
    fits = array.ndim == len(shape) and all(want in (None, size) for want, size in zip(shape, array.shape))
    if not fits:
        expected = " x ".join("any" if size is None else str(size) for size in shape)
        raise BadInput(f"{field_name}: an array of shape {array.shape} is not allowed; it must be {expected}")
