"""The coin room: every rule by hand."""

import numpy as np
import pytest

from outrange.core.errors import BadInput
from outrange.exploration.envs import make
from outrange.exploration.envs.coin import RandomCoin

UP, DOWN, LEFT, RIGHT = range(4)


def by_hand(cell: int, coin: int, clock: int = 0, **options) -> RandomCoin:
    envs = RandomCoin(1, 1, size=4, **options)
    envs.reset()
    state = envs.state_dict()
    state["cell"][0], state["coin"][0], state["clock"][0] = cell, coin, clock
    envs.load_state_dict(state)
    return envs


@pytest.mark.parametrize(("move", "to"), [(UP, 1), (DOWN, 9), (LEFT, 4), (RIGHT, 6)])
def test_a_move_goes_one_cell(move, to):
    step = by_hand(5, 15).step(np.array([move]))
    assert step.place.tolist() == [to] and step.reward.tolist() == [0] and not step.started.any()
    assert step.observation[0].ravel().tolist() == [1 if j == to else 2 if j == 15 else 0 for j in range(16)]


@pytest.mark.parametrize(
    ("cell", "moves"), [(0, (UP, LEFT)), (3, (UP, RIGHT)), (12, (DOWN, LEFT)), (14, (DOWN,)), (11, (RIGHT,))]
)
def test_a_bump_into_the_border_does_nothing(cell, moves):
    for move in moves:
        step = by_hand(cell, 5).step(np.array([move]))
        assert step.place.tolist() == [cell] and not step.started.any() and step.reward[0] == 0


def test_the_coin_gives_one_and_ends_the_episode():
    step = by_hand(5, 6).step(np.array([RIGHT]))
    assert step.reward.tolist() == [1] and step.terminated.all() and step.started.all() and step.place.tolist() == [6]
    assert step.final[0].ravel().tolist() == [1 if j == 6 else 0 for j in range(16)]
    assert (
        sorted(step.observation[0].ravel().tolist()) == [0] * 14 + [1, 2]
        and step.observation[0].ravel()[step.start_place[0]] == 1
    )


def test_a_coin_that_does_not_end_the_episode_moves_to_another_cell():
    seen = set()
    for clock in range(100):
        envs = by_hand(5, 6, clock, terminates=False)
        step = envs.step(np.array([RIGHT]))
        assert step.reward.tolist() == [1] and not step.started.any() and step.final[0].ravel()[6] == 1
        seen.add(int((step.final[0].ravel() == 2).nonzero()[0][0]))
    assert seen == set(range(16)) - {6}


def test_the_cap_truncates_and_the_coin_at_the_cap_terminates():
    assert by_hand(5, 15, clock=199).step(np.array([UP])).truncated.tolist() == [True]
    step = by_hand(5, 6, clock=199).step(np.array([RIGHT]))
    assert step.terminated.tolist() == [True] and step.truncated.tolist() == [False]
    assert not by_hand(5, 15, clock=198).step(np.array([UP])).started.any()


def test_agent_and_coin_are_on_distinct_cells_each_pair_as_likely_as_another():
    envs, counts = RandomCoin(500, 2, size=3), np.zeros((9, 9))
    for _ in range(40):
        observation, place = envs.reset()
        np.add.at(counts, (place, envs.state_dict()["coin"]), 1)
        assert (observation.reshape(500, -1)[np.arange(500), place] == 1).all()
    assert (np.diag(counts) == 0).all()
    pairs = counts[~np.eye(9, dtype=bool)]
    assert ((pairs - pairs.mean()) ** 2 / pairs.mean()).sum() < 72 + 5 * np.sqrt(2 * 72)


def test_the_default_is_the_published_room():
    envs = make("outrange/RandomCoin-v0", 1, 0)
    assert (
        envs.shape == (15, 15)
        and envs.options["cap"] == 200
        and envs.codes == 3
        and envs.reset()
        and envs.places().tolist() == [225]
    )


def test_terminates_is_true_or_false():
    with pytest.raises(BadInput, match="terminates: 1 is not allowed"):
        make("outrange/RandomCoin-v0", 1, 0, terminates=1)
