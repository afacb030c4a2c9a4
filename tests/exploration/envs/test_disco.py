"""The maze: every rule by hand, perfect mazes, draws that are what they should be."""

import numpy as np
import pytest

from outrange.core.errors import BadInput
from outrange.exploration.envs import make
from outrange.exploration.envs.disco import RandomDiscoMaze

UP, DOWN, LEFT, RIGHT = range(4)
ROOM = """
#####
#..##
##.##
##..#
#####
"""


def by_hand(text: str = ROOM, cell: int = 6, count: int = 2, clock: int = 0, **options) -> RandomDiscoMaze:
    """Environments in a maze of ours, the agent on a cell."""
    rows = text.split()
    envs = RandomDiscoMaze(count, 1, size=len(rows), **options)
    envs.reset()
    state = envs.state_dict()
    state["walls"][:] = [[letter == "#" for letter in row] for row in rows]
    state["cell"][:], state["clock"][:] = cell, clock
    envs.load_state_dict(state)
    return envs


def mazes(size: int, episodes: int, seed: int = 0) -> np.ndarray:
    envs, mazes = RandomDiscoMaze(64, seed, size=size), []
    for _ in range(-(-episodes // 64)):
        envs.reset()
        mazes.append(envs.state_dict()["walls"])
    return np.concatenate(mazes)[:episodes]


@pytest.mark.parametrize(("size", "free"), [(5, 7), (7, 17), (21, 199), (31, 449)])
def test_every_maze_is_perfect(size, free):
    passable = mazes(size, 200) == 0
    assert (passable.sum((1, 2)) == free).all()
    assert passable[:, 1::2, 1::2].all() and not passable[:, ::2, ::2].any()
    assert not (passable[:, [0, -1]].any() or passable[:, :, [0, -1]].any())
    edges = (passable[:, 1:] & passable[:, :-1]).sum((1, 2)) + (passable[:, :, 1:] & passable[:, :, :-1]).sum((1, 2))
    assert (edges == free - 1).all()  # with this many edges it is a tree if it is connected
    reached, before = np.zeros_like(passable), -1
    reached[:, 1, 1] = True
    while reached.sum() != before:
        before = reached.sum()
        for axis in (1, 2):
            for shift in (1, -1):  # the border is all walls, so what is rolled over it is dropped
                reached |= np.roll(reached, shift, axis) & passable
    assert (reached == passable).all()


def test_the_four_smallest_mazes_are_equally_likely():
    counts = np.unique(mazes(5, 4096).reshape(4096, -1), axis=0, return_counts=True)[1]
    assert len(counts) == 4 and abs(counts - 1024).max() < 5 * np.sqrt(4096 * 0.25 * 0.75)


def test_mazes_do_not_repeat_and_long_passages_are_those_of_a_depth_first_walk():
    seen = mazes(21, 640)
    assert len(np.unique(seen.reshape(640, -1), axis=0)) == 640
    passable = np.pad((seen == 0).astype(int), ((0, 0), (1, 1), (1, 1)))
    ways = passable[:, :-2, 1:-1] + passable[:, 2:, 1:-1] + passable[:, 1:-1, :-2] + passable[:, 1:-1, 2:]
    assert ((ways == 1) & (seen == 0)).sum((1, 2)).mean() == pytest.approx(11, abs=1.5)  # dead ends among 100 rooms


def test_the_start_is_a_free_cell_each_as_likely_as_another():
    envs = RandomDiscoMaze(64, 3, size=5)
    counts = np.zeros(25)
    for _ in range(200):
        observation, place = envs.reset()
        assert (envs.state_dict()["walls"].reshape(64, -1)[np.arange(64), place] == 0).all()
        assert (observation.reshape(64, -1)[np.arange(64), place] == 1).all() and (
            (observation == 1).sum((1, 2)) == 1
        ).all()
        counts += np.bincount(place, minlength=25)
    assert abs(counts.reshape(5, 5)[1::2, 1::2] - 12800 / 7).max() < 5 * np.sqrt(
        12800 / 7
    )  # each room is one of seven free cells


@pytest.mark.parametrize(
    ("cell", "move", "to"), [(6, RIGHT, 7), (7, LEFT, 6), (7, DOWN, 12), (12, UP, 7), (12, DOWN, 17), (17, RIGHT, 18)]
)
def test_a_step_along_a_corridor_moves_the_agent(cell, move, to):
    step = by_hand(cell=cell).step(np.array([move, move]))
    assert step.place.tolist() == [to, to] and not step.started.any() and step.final is step.observation
    assert (step.observation.reshape(2, -1)[:, to] == 1).all() and (step.observation.reshape(2, -1)[:, cell] == 0).all()
    assert step.reward.tolist() == [0, 0] and step.valid.all() and not step.broken.any()


@pytest.mark.parametrize(
    ("cell", "move"), [(6, UP), (6, LEFT), (6, DOWN), (7, RIGHT), (18, DOWN), (18, RIGHT), (18, UP)]
)
def test_a_step_into_a_wall_ends_the_episode_where_the_agent_stood(cell, move):
    envs = by_hand(cell=cell)
    step = envs.step(np.array([move, move]))
    assert step.terminated.all() and not step.truncated.any() and step.started.all() and step.valid.all()
    assert (
        step.place.tolist() == [-1, -1]
        and (step.final.reshape(2, -1)[:, cell] == 1).all()
        and (step.final == 1).sum() == 2
    )
    assert (step.observation.reshape(2, -1)[[0, 1], step.start_place] == 1).all()
    assert (envs.state_dict()["episode"] == 1).all() and (envs.state_dict()["clock"] == 0).all()


def test_only_the_environment_that_ended_begins_anew():
    envs = by_hand()
    step = envs.step(np.array([RIGHT, UP]))
    assert step.started.tolist() == [False, True] and step.place.tolist() == [7, -1]
    assert (step.observation[0] == step.final[0]).all() and (step.observation[1] != step.final[1]).any()


def test_the_cap_truncates_and_a_wall_at_the_cap_terminates():
    envs = by_hand(cap=3)
    for move in (RIGHT, LEFT):
        assert not envs.step(np.array([move, move])).started.any()
    step = envs.step(np.array([RIGHT, UP]))
    assert (
        step.truncated.tolist() == [True, False]
        and step.terminated.tolist() == [False, True]
        and step.place.tolist() == [7, -1]
    )


def test_walls_change_colour_every_step_corridors_do_not():
    envs = by_hand(count=64)
    before, wall = (
        envs.step(np.full(64, RIGHT)).observation,
        np.array([[letter == "#" for letter in row] for row in ROOM.split()]),
    )
    counts, pairs, neighbours = np.zeros(7), np.zeros((7, 7)), np.zeros((7, 7))
    for t in range(300):
        observation = envs.step(np.full(64, (LEFT, RIGHT)[t % 2])).observation
        assert ((observation >= 2) == wall).all() and observation.max() < 7
        counts += np.bincount(observation.ravel(), minlength=7)
        np.add.at(pairs, (before[:, wall].ravel(), observation[:, wall].ravel()), 1)
        np.add.at(neighbours, (observation[:, 0, :-1].ravel(), observation[:, 0, 1:].ravel()), 1)
        before = observation
    for table in (counts[2:], pairs[2:, 2:], neighbours[2:, 2:]):
        expected = table.sum() / table.size
        assert ((table - expected) ** 2 / expected).sum() < table.size + 5 * np.sqrt(2 * table.size)  # chi-squared


def test_legal_moves_are_those_that_do_not_end_the_episode():
    for move in range(4):
        envs = RandomDiscoMaze(256, 5, size=9)
        envs.reset()
        legal = envs.legal()
        assert (envs.step(np.full(256, move)).terminated != legal[:, move]).all()


def test_an_environment_does_not_depend_on_how_many_there_are():
    few, many = RandomDiscoMaze(2, 9), RandomDiscoMaze(11, 9)
    random = np.random.default_rng(0)
    assert (few.reset()[0] == many.reset()[0][:2]).all()
    for _ in range(50):
        actions = random.integers(4, size=11)
        a, b = few.step(actions[:2]), many.step(actions)
        for name in ("observation", "final", "terminated", "place", "start_place"):
            assert (getattr(a, name) == getattr(b, name)[:2]).all()


def test_seeds_make_different_mazes_and_the_same_seed_the_same():
    first, again, second = (RandomDiscoMaze(3, seed).reset()[0] for seed in (1, 1, 2))
    assert (first == again).all() and all((a != b).mean() > 0.3 for a, b in zip(first, second))


def test_a_state_brings_another_object_back_in_the_middle_of_an_episode():
    envs, second = RandomDiscoMaze(16, 4, size=11, cap=40), RandomDiscoMaze(16, 99, size=11, cap=40)
    envs.reset()
    for _ in range(7):
        envs.step((envs.legal() * np.arange(1, 5)).argmax(1))
    second.load_state_dict(envs.state_dict())
    assert (envs.picture(3) == second.picture(3)).all()
    random = np.random.default_rng(1)
    for _ in range(100):
        actions = random.integers(4, size=16)
        a, b = envs.step(actions), second.step(actions)
        assert (a.observation == b.observation).all() and (a.final == b.final).all() and (a.place == b.place).all()


def test_states_of_other_options_or_sizes_are_refused():
    state = RandomDiscoMaze(2, 0, size=11).state_dict()
    with pytest.raises(BadInput, match="it was made with cap 500, and here it is 40"):
        RandomDiscoMaze(2, 0, size=11, cap=40).load_state_dict(state)
    with pytest.raises(BadInput, match="same number of environments"):
        RandomDiscoMaze(3, 0, size=11).load_state_dict(state)
    for name, value, message in (
        ("cell", 121, "state.cell: .* from 0 to 120"),
        ("cell", -1, "state.cell"),
        ("walls", 2, "state.walls"),
        ("walls", 0, "at the border"),
    ):
        bad = RandomDiscoMaze(2, 0, size=11)
        bad.reset()
        changed = bad.state_dict()
        changed[name].flat[0] = value
        with pytest.raises(BadInput, match=message):
            bad.load_state_dict(changed)
    with pytest.raises(BadInput, match="are not those of this environment"):
        RandomDiscoMaze(2, 0, size=11).load_state_dict({"key": state["key"]})


def test_places_and_pictures():
    envs = make("outrange/RandomDiscoMaze-v0", 3, 0)
    with pytest.raises(BadInput, match="picture before reset"):
        envs.picture()
    envs.reset()
    assert envs.places().tolist() == [199] * 3
    picture = envs.picture(1)
    assert picture.shape == (21, 21, 3) and picture.dtype == np.uint8 and (picture == (44, 200, 44)).all(-1).sum() == 1
    assert ((picture == 0).all(-1)).sum() == 198
    with pytest.raises(BadInput, match="index"):
        envs.picture(3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 20}, "size: 20 is not allowed; it must be an odd number from 5 to 201"),
        ({"size": 3}, "size: 3"),
        ({"size": True}, "size: True"),
        ({"cap": 0}, "cap: 0"),
        ({"colours": 9}, "colours: 9"),
        ({"colour": 4}, "option: 'colour' is not an option of it; did you mean 'colours'"),
    ],
)
def test_options_out_of_range_are_said(options, message):
    with pytest.raises(BadInput, match=message):
        make("outrange/RandomDiscoMaze-v0", 1, 0, **options)


@pytest.mark.parametrize(
    "actions", [np.array([0, 4]), np.array([-1, 0]), np.array([0]), np.array([0.0, 1.0]), np.array([[0, 1]])]
)
def test_actions_that_do_not_exist_are_said(actions):
    envs = make("outrange/RandomDiscoMaze-v0", 2, 0)
    with pytest.raises(BadInput, match="step before reset"):
        envs.step(np.zeros(2, int))
    envs.reset()
    with pytest.raises(BadInput, match="actions: "):
        envs.step(actions)
