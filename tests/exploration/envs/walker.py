"""Whether a MiniGrid level of rooms and doors can be solved at all: an agent that puts its views together into a map and goes wherever it has not been."""

from collections import deque

import numpy as np

LEFT, RIGHT, FORWARD, TOGGLE = 0, 1, 2, 5
_EMPTY, _WALL, _DOOR, _GOAL = 1, 2, 4, 8
_AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))  # by direction: right, down, left, up


def _moved(cell, direction, steps=1):
    return cell[0] + steps * _AHEAD[direction][0], cell[1] + steps * _AHEAD[direction][1]


class Walker:
    """A map of cells (kind and state), and in which cells and directions it has stood."""

    def __init__(self):
        self.kind, self.state, self.stood = {}, {}, set()

    def look(self, view, direction, cell):
        """Take in a view (7, 7, 3 or more): column, row; the agent at (3, 6) looks up."""
        for column, row in np.argwhere(view[..., 0]):
            seen = _moved(_moved(cell, direction, 6 - row), (direction + 1) % 4, column - 3)
            self.kind[seen], self.state[seen] = int(view[column, row, 0]), int(view[column, row, 2])
        if self.kind.get(cell) not in (_DOOR, _GOAL):
            self.kind[cell] = _EMPTY
        self.stood.add((cell, direction))

    def act(self, cell, direction):
        """The next action on the shortest way to the goal, or else to where it has not stood; None if there is no such place."""
        goal_cells = [seen for seen, kind in self.kind.items() if kind == _GOAL]
        way_to_goal = self._way((cell, direction), lambda at: at[0] in goal_cells)
        return self._way((cell, direction), lambda at: at not in self.stood) if way_to_goal is None else way_to_goal

    def _way(self, start, wanted):
        came_from, queue = {start: None}, deque([start])
        while queue:
            at = queue.popleft()
            if wanted(at):
                break
            cell, direction = at
            for action, after in (
                (LEFT, (cell, (direction - 1) % 4)),
                (RIGHT, (cell, (direction + 1) % 4)),
                (FORWARD, (_moved(cell, direction), direction)),
            ):
                if after not in came_from and (action != FORWARD or self.kind.get(after[0]) in (_EMPTY, _DOOR, _GOAL)):
                    came_from[after] = at, action
                    queue.append(after)
        else:
            return None
        while came_from[at][0] != start:
            at = came_from[at][0]
        action = came_from[at][1]
        return TOGGLE if action == FORWARD and self.kind[at[0]] == _DOOR and self.state[at[0]] != 0 else action


def solved(envs, longest=3000):
    """Of each environment whether its first episode can be solved; episodes must be long enough to walk everywhere."""
    observation, place = envs.reset()
    walkers, solved_levels = [Walker() for _ in range(envs.count)], [None] * envs.count
    for _ in range(longest):
        actions = np.zeros(envs.count, np.int64)
        for k, walker in enumerate(walkers):
            if solved_levels[k] is None:
                cell, direction = (int(place[k]) % 32, int(place[k]) // 32), int(observation[k, 0, 0, 3])
                walker.look(observation[k], direction, cell)
                action = walker.act(cell, direction)
                if action is None:
                    solved_levels[k] = False
                else:
                    actions[k] = action
        if None not in solved_levels:
            break
        step = envs.step(actions)
        for k in range(envs.count):
            if solved_levels[k] is None and (step.terminated[k] or step.truncated[k]):
                solved_levels[k] = bool(step.terminated[k] and step.reward[k] > 0)
        observation, place = step.observation, step.place
    return solved_levels
