"""The actor: the rows that reach the replay from scripted environments, probabilities, the ladder, what breaks, what is counted."""

import copy
import math

import numpy as np
import pytest

from outrange.core.run import Failed
from outrange.core.seeding import SeedTree
from outrange.exploration.acting.actor import Broken
from outrange.exploration.presets import preset
from tests.exploration.helpers.scripted import ACTIONS, Directed, Scripted, Written, actor_of, tiny

SCRIPTS = [["..T", "C", "...C", "T"], [".C", ".....T"]]
REWARDS = [[[1, 2, 3], [4], [5, 6, 7, 8], [9]], [[0.5, -1], [0, 0, 0, 0, 0, 2.5]]]


def actor_for(scripts=SCRIPTS, rewards=REWARDS, habit="same", config=None, exact=True, **settings):
    envs = Scripted(scripts, rewards if scripts is SCRIPTS else None, habit, exact)
    config = config or tiny(**{"env__count": envs.count} | settings)
    return actor_of(config, envs, Directed(config), Written(envs.count), SeedTree(5))


def walked(actor, rows):
    """The actor after every stream has at least so many rows."""
    while min(map(len, actor.replay.rows)) < rows:
        actor.advance()
    return actor


def story(b, count, departure=False, mixture=0):
    """The first rows of stream b, told from the scripts: best action (b + episode + clock) % 3, novelty of an observation clock + 0.5, of a first one 0.25."""
    rows, episode = [], 0
    while len(rows) < count:
        letters, earned = SCRIPTS[b][episode % len(SCRIPTS[b])], REWARDS[b][episode % len(SCRIPTS[b])]
        last = (-1, 0.0, 0.0)
        for t, letter in enumerate(letters):
            action = (b + episode + t) % ACTIONS
            bonus = (0.25 if t == 0 else t + 0.5) if departure else 0.0 if letter == "T" else t + 1.5
            rows.append({
                "observation": [b, episode, t], "last_action": last[0], "last_reward": last[1], "last_bonus": last[2], "mixture": mixture, "first": t == 0,
                "action": action, "reward": earned[t], "bonus": bonus, "mu": 1.0, "terminated": letter == "T", "filler": False, "rows before": t,
            })  # fmt: skip
            last = (action, earned[t], bonus)
        if letters[-1] == "C":
            rows.append({
                "observation": [b, episode, len(letters)], "last_action": last[0], "last_reward": last[1], "last_bonus": last[2], "mixture": mixture,
                "first": False, "terminated": False, "filler": True, "rows before": len(letters),
            })  # fmt: skip
        episode += 1
    return rows[:count]


@pytest.mark.parametrize("at", ["arrival", "departure"])
@pytest.mark.parametrize("habit", ["same", "next"])
def test_the_rows_that_reach_the_replay_are_those_of_the_script_whatever_the_habit_of_autoreset(habit, at):
    actor = walked(actor_for(habit=habit, bonus__timing=at), 25)
    for b in range(2):
        for found, wanted in zip(actor.replay.rows[b], story(b, 25, at == "departure"), strict=False):
            told = {name: value.tolist() for name, value in found.items()}
            if not wanted["first"]:  # before a first row the state is not looked at
                assert told["state"] == [wanted["rows before"]] * actor.agent.state_size, (b, wanted)
            assert {name: told[name] for name in wanted if name != "rows before"} == {
                n: v for n, v in wanted.items() if n != "rows before"
            }, (b, wanted)


@pytest.mark.parametrize("habit", ["same", "next"])
def test_a_row_is_what_the_network_was_shown_when_it_chose(habit):
    actor = walked(actor_for(habit=habit), 20)
    for b in range(2):
        shown = [{name: value[b].tolist() for name, value in row.items()} for row in actor.agent.seen]
        for row in actor.replay.rows[b]:
            if not row["filler"]:
                assert {name: row[name].tolist() for name in shown[0]} in shown


def test_only_transitions_are_counted_and_a_dummy_step_is_none():
    same, after = actor_for(habit="same"), actor_for(habit="next")
    assert [same.advance() for _ in range(8)] == [2] * 8
    # stream 0: ..T C ...C T with a dummy after each end, stream 1: .C .....T likewise
    assert [after.advance() for _ in range(12)] == [2, 2, 1, 1, 2, 1, 2, 2, 2, 1, 1, 2]
    assert sum(not row["filler"] for rows in after.replay.rows for row in rows) == 19


def test_what_is_judged_is_where_a_step_arrived_unless_it_ended_the_episode_by_itself():
    for habit in ("same", "next"):
        actor = actor_for([["..T", ".C"]], habit=habit)
        for _ in range(5 if habit == "same" else 7):
            actor.advance()
        assert actor.novelty.judged == [[0, 0, 1], [0, 0, 2], [0, 1, 1], [0, 1, 2]]
        assert actor.novelty.begun == [[0, 0, 0], [0, 1, 0], [0, 2, 0]]


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_mu_is_the_probability_of_the_action_whether_it_was_drawn_or_chosen(epsilon):
    actor = actor_for([["....T", ".C", "..C"]] * 50, acting__epsilon_base=epsilon, acting__epsilon_alpha=0.0)
    for _ in range(80):
        actor.advance()
    rows = [row for stream in actor.replay.rows for row in stream if not row["filler"]]
    best = np.array([row["observation"].sum() % ACTIONS for row in rows])
    action, mu = np.array([row["action"] for row in rows]), np.array([row["mu"] for row in rows])
    greedy, other = 1 - epsilon * (ACTIONS - 1) / ACTIONS, epsilon / ACTIONS
    assert mu[action == best] == pytest.approx(np.float32(greedy)) and mu[action != best] == pytest.approx(
        np.float32(other)
    )
    error = 4 * math.sqrt(0.25 / len(rows))
    for shift in range(ACTIONS):  # every action as often as mu says
        assert (action == (best + shift) % ACTIONS).mean() == pytest.approx(
            other if shift else greedy, abs=error if 0 < epsilon else 0
        )


def test_uniform_steps_draw_every_action_alike_earn_nothing_are_not_judged_and_say_so():
    actor = actor_for([["....T", ".C", "..C"]] * 40, acting__epsilon_base=0.0)
    for _ in range(60):
        actor.advance(uniform=True)
    rows = [row for stream in actor.replay.rows for row in stream if not row["filler"]]
    assert {float(row["mu"]) for row in rows} == {float(np.float32(1 / 3))} and not any(
        row["bonus"] or row["last_bonus"] for row in rows
    )
    assert np.bincount([row["action"] for row in rows]) / len(rows) == pytest.approx([1 / 3] * 3, abs=0.04)
    assert not actor.novelty.judged and "episodes" not in actor.episodes.report()


def test_one_ladder_of_epsilon_runs_over_all_actors_and_the_first_of_each_mixture_are_greedy():
    actor = actor_for(
        [["T"]] * 10,
        bonus__mixtures=2,
        agent="ngu-episodic",
        acting__epsilon_base=0.4,
        acting__greedy_actors=2,
        acting__greedy_epsilon=0.01,
    )
    assert actor.mixtures.mixture.tolist() == [0, 1] * 5
    ladder = [0.4 ** (1 + 7 * i / 9) for i in range(10)]
    for mixture in range(2):
        assert actor.behaviour.epsilon[mixture::2] == pytest.approx([0.01, 0.01, *ladder[mixture::2][2:]])
        assert actor.behaviour.greedy[mixture::2].tolist() == [True, True, False, False, False]
    assert actor_for([["T"]] * 4, acting__epsilon_base=0.4).behaviour.epsilon == pytest.approx(
        [0.4 ** (1 + 7 * i / 3) for i in range(4)]
    )


def test_greedy_actors_do_what_is_best_while_others_draw():
    actor = actor_for([["......T"]] * 6, acting__epsilon_base=1.0, acting__epsilon_alpha=0.0, acting__greedy_actors=2)
    for _ in range(40):
        actor.advance()
    wrong = [
        sum(int(row["action"]) != int(row["observation"].sum()) % ACTIONS for row in rows) for rows in actor.replay.rows
    ]
    assert wrong[:2] == [0, 0] and min(wrong[2:]) > 10


def test_fixed_mixtures_stay_and_drawn_ones_change_where_episodes_begin_only():
    actor = walked(actor_for(bonus__mixtures=2, agent="ngu-episodic"), 20)
    assert [set(actor.replay.column(b, "mixture")) for b in range(2)] == [{0}, {1}]
    scripts = [["." * (k % 5) + "C", ".T"] for k in range(30)]  # so that some go on where others begin
    actor = actor_for(scripts, bonus__mixtures=3, agent="ngu-episodic", acting__mixture_assignment="uniform")
    for _ in range(40):
        actor.advance()
    drawn = []
    for rows in actor.replay.rows:
        mixture = None
        for row in rows:
            if row["first"]:
                mixture = int(row["mixture"])
                drawn.append(mixture)
            assert row["mixture"] == mixture  # of a filler too: it belongs to the episode that was cut
    assert np.bincount(drawn) / len(drawn) == pytest.approx([1 / 3] * 3, abs=0.08)


@pytest.mark.parametrize("habit", ["same", "next"])
def test_an_episode_that_breaks_is_dropped_whole_and_counted_and_the_others_go_on(habit):
    actor = actor_for([["..T", "..B", "...T"], ["....T"]], habit=habit, max_broken_episodes=5)
    for _ in range(12):
        actor.advance()
    fate = {}
    for row in actor.replay.rows[0]:
        fate.setdefault(int(row["observation"][1]), []).append(bool(row["filler"]))
    assert fate[0] == [False] * 3 and fate[1] == [True] * 2 and fate[2] == [False] * 4
    assert not any(row["filler"] for row in actor.replay.rows[1]) and actor.broken == 1
    begun = next(row for row in actor.replay.rows[0] if row["observation"][1] == 2)
    assert begun["first"] and begun["last_action"] == -1 and begun["last_reward"] == begun["last_bonus"] == 0
    told = actor.episodes.report()
    assert told["episodes"] == 4 and told["length"] == pytest.approx(
        (3 + 4 + 2 * 5) / 4
    )  # the broken one is in no mean
    assert actor.report()["broken"] == 1


def test_an_episode_that_breaks_before_its_first_step_drops_nothing():
    actor = actor_for([["..T", "B", ".T"]])
    for _ in range(6):
        actor.advance()
    assert (
        not any(row["filler"] for row in actor.replay.rows[0]) and len(actor.replay.rows[0]) == 5 and actor.broken == 1
    )


def test_breaking_more_often_than_allowed_ends_the_run_with_a_sentence():
    actor = actor_for([[".B"], ["....T"]], max_broken_episodes=2)
    for _ in range(4):
        actor.advance()
    assert actor.broken == 2
    actor.advance()
    with pytest.raises(Broken, match=r"^env 'scripted': 3 episodes broke .*allows 2$") as caught:
        actor.advance()
    assert isinstance(caught.value, Failed)


def test_what_episodes_came_to_is_told_by_mixture_and_of_the_greedy_and_then_forgotten():
    scripts = [["..T", "C"], ["T"], ["...C"], [".T"]]
    actor = actor_for(
        scripts, bonus__mixtures=2, agent="ngu-episodic", acting__greedy_actors=1, acting__epsilon_base=0.0
    )
    actor.envs.rewards = [[[1, 2, 3], [-4]], [[0]], [[0, 0, 0, 0.5]], [[1, 1]]]
    for _ in range(4):
        actor.advance()
    # mixture 0: actor 0 (greedy) ..T C, actor 2 ...C; mixture 1: actor 1 (greedy) T four times, actor 3 .T twice. Bonus: clock + 0.5 on arrival, 0 where it ended
    told = actor.episodes.report()
    episodes = {
        0: [(6, 3, 1.5 + 2.5, 3 + 1), (-4, 1, 1.5, 2)], 2: [(0.5, 4, 1.5 + 2.5 + 3.5 + 4.5, 5)], 1: [(0, 1, 0, 2)] * 4, 3: [(2, 2, 1.5, 3)] * 2,
    }  # return, length, bonus, places; 8 places in all  # fmt: skip

    def expected(*actors):
        rows = np.array([row for each in actors for row in episodes[each]], float)
        mean = rows.mean(0)
        return {
            "episodes": len(rows),
            "return": mean[0],
            "length": mean[1],
            "bonus": mean[2],
            "coverage": mean[3] / 8,
            "places": mean[3],
            "success": (rows[:, 0] > 0).mean(),
        }

    groups = {
        "": (0, 1, 2, 3),
        "greedy_": (0, 1),
        "mixture0_": (0, 2),
        "mixture1_": (1, 3),
        "mixture0_greedy_": (0,),
        "mixture1_greedy_": (1,),
    }
    for name, actors in groups.items():
        for column, value in expected(*actors).items():
            assert told.pop(f"{name}{column}") == pytest.approx(value), (name, column)
    assert set(told) == {"ever_places"} and told["ever_places"] == 5
    assert set(actor.episodes.report()) == {"ever_places"}


def test_places_come_up_as_they_are_visited_however_high_their_numbers():
    actor = actor_for([["....T"]])
    actor.envs.step, step = lambda actions: _elsewhere(step(actions)), actor.envs.step
    for _ in range(5):
        actor.advance()
    told = actor.episodes.report()
    assert told["places"] == 3 and told["ever_places"] == 3  # the start, 5000 twice, 70; outside is none


def _elsewhere(step):
    places = {1: 5000, 2: -1, 3: 5000, 4: 70, 5: -1}
    step.place[:] = [places[int(each)] for each in step.place]
    return step


@pytest.mark.parametrize("exact", [True])
@pytest.mark.parametrize("at", ["arrival", "departure"])
def test_an_actor_brought_back_in_the_middle_of_episodes_goes_on_with_the_same_rows(at, exact):
    given = {
        "bonus__mixtures": 3,
        "agent": "ngu-episodic",
        "acting__mixture_assignment": "uniform",
        "acting__epsilon_base": 0.5,
        "bonus__timing": at,
    }
    scripts = [["..T", ".C", "......T"], [".C", "..B", "...T"]]
    actor, other = actor_for(scripts, exact=exact, **given), actor_for(scripts, exact=exact, **given)
    for _ in range(10):
        actor.advance()
    groups, counters = copy.deepcopy(actor.state_dict())
    marks = [len(rows) for rows in actor.replay.rows]
    other.load_state_dict(copy.deepcopy(groups), counters)
    for _ in range(12):
        assert actor.advance() == other.advance()
    for b in range(2):
        ours, theirs = actor.replay.rows[b][marks[b] :], other.replay.rows[b]
        assert len(ours) == len(theirs) > 8
        for one, two in zip(ours, theirs):
            assert {name: value.tolist() for name, value in one.items()} == {
                name: value.tolist() for name, value in two.items()
            }
    assert actor.episodes.report() == other.episodes.report() and actor.state_dict()[1] == other.state_dict()[1]


def test_after_a_restart_nothing_is_remembered_of_the_episodes_before():
    actor = actor_for([["......T"], ["...T"]])
    for _ in range(2):
        actor.advance()
    begun = [len(rows) for rows in actor.replay.rows]
    actor.restart()
    for _ in range(7):
        actor.advance()
    for b in range(2):
        first = actor.replay.rows[b][begun[b]]
        assert (
            first["first"]
            and first["last_action"] == -1
            and first["last_reward"] == first["last_bonus"] == 0
            and first["observation"].tolist() == [b, 1, 0]
        )
    told = actor.episodes.report()
    assert told["episodes"] == 2 and told["length"] == 5.5  # 7 and 4: of those begun after


def test_the_embedding_is_refreshed_when_steps_are_due_and_not_while_warming_up():
    actor = actor_for(bonus__embedding_refresh_period=3)
    due = []
    for _ in range(8):
        actor.advance()
        due.append(actor.agent.weights_read)
    assert due == [0, 0, 1, 1, 1, 2, 2, 2]
    for _ in range(6):
        actor.advance(uniform=True)
    assert actor.agent.weights_read == 2


def test_the_ladder_of_the_papers_preset_falls_from_its_top_to_its_bottom():
    paper = preset("atari-paper")
    epsilon = actor_for(
        [["T"]] * paper.env.count,
        bonus__mixtures=paper.bonus.mixtures,
        agent="rnd",
        acting__epsilon_base=paper.acting.epsilon_base,
    ).behaviour.epsilon
    assert epsilon.max() == pytest.approx(0.4) and epsilon.min() == pytest.approx(0.4**8)
