"""Maps of where an agent goes: visits of every cell of a grid in one episode of each environment, for the page
(outrange/report/explore)."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from outrange.exploration.envs.contract import Step
from outrange.report.explore import Map


class Walker(Protocol):
    """What acts in B environments, as ``acting.actor.Actor`` does."""

    place: np.ndarray
    """(B,) where it is before the next step"""
    last: tuple[Step, np.ndarray, np.ndarray] | None
    """the step that was taken last, its actions and bonuses"""

    def advance(self) -> object:
        """Take a step in every environment."""
        ...


@dataclass(frozen=True, kw_only=True)
class Visits:
    """One episode of each of B environments, on grids of H x W cells."""

    visits: np.ndarray
    """(B, H, W): how often each cell was visited"""
    first: np.ndarray
    """(B, H, W): after which step it was first visited; NaN where it was not"""
    steps: np.ndarray
    """(B,) int64 steps of the episode"""
    broken: np.ndarray
    """(B,) bool: the environment broke, so the episode counts for nothing"""


def record_visits(actor: Walker, height: int, width: int, max_steps: int) -> Visits:
    """Let the actor play one episode in each environment and count where it goes.

    Args:
        actor: at the beginning of an episode everywhere.
        height, width: of the grid in which place ``y width + x`` is the cell x, y. Places beyond it are not counted.
        max_steps: steps after which an episode is left, whether it has ended or not.
    """
    count, cells = len(actor.place), height * width
    visits, first = np.zeros((count, cells)), np.full((count, cells), np.nan)
    steps, broken = np.zeros(count, np.int64), np.zeros(count, bool)
    running = np.ones(count, bool)

    def add_visits(place: np.ndarray, where: np.ndarray) -> None:
        rows = np.flatnonzero(where & (place >= 0) & (place < cells))
        at = rows, place[rows]
        visits[at] += 1
        first[at] = np.fmin(first[at], steps[rows])  # fmin: a number wins over NaN

    add_visits(np.asarray(actor.place), running)
    while running.any():
        actor.advance()
        assert actor.last is not None
        step = actor.last[0]
        moved = running & step.valid
        steps += moved
        add_visits(step.place, moved)
        broken |= running & step.broken
        ended = step.valid & (step.terminated | step.truncated)
        running &= ~ended & ~step.broken & (steps < max_steps)
    shape = (count, height, width)
    return Visits(visits=visits.reshape(shape), first=first.reshape(shape), steps=steps, broken=broken)


def maps_of(recorded: Visits, walls: np.ndarray | None) -> list[Map]:
    """A map for every episode that did not break.

    Args:
        recorded: what ``record_visits`` counted.
        walls: (B, H, W) bool; None where it is not known which cells are walls. Then only what was visited is known of
            the grid, and the map is cut to that and one cell around it.
    """
    maps = []
    for index in np.flatnonzero(~recorded.broken):
        visits, first = recorded.visits[index], recorded.first[index]
        if walls is not None:
            visits = np.where(walls[index], np.nan, visits)
        elif visits.any():
            window = _visited_window(visits)
            visits, first = visits[window], first[window]
        else:
            continue
        name = f"episode {index + 1}: {recorded.steps[index]:,} steps"
        maps.append(Map(name=name, visits=visits, first=first))
    return maps


def _visited_window(visits: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of all visited cells, and one more on each side."""
    rows, columns = np.nonzero(visits)
    return slice(max(0, rows.min() - 1), rows.max() + 2), slice(max(0, columns.min() - 1), columns.max() + 2)
