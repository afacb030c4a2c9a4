"""The bonus: when it is earned, what is remembered, how long; what trains on what; when the actors' copy changes. Against numbers computed by hand."""

import copy
import math

import numpy as np
import pytest
import torch

from outrange.core.seeding import SeedTree
from outrange.exploration.learning.modules import copied
from outrange.exploration.learning.replay import Sequences
from tests.exploration.helpers.scripted import ACTIONS, Scripted, Written, actor_of, made, tiny

pytestmark = pytest.mark.usefixtures("own_draws")
EPSILON, XI, C = 1e-4, 0.008, 1e-3


def bonus_of(*distances):
    """1 / (root of the sum of kernels + c), of distances already divided by the mean."""
    return 1 / (math.sqrt(sum(EPSILON / (max(d - XI, 0) + EPSILON) for d in distances)) + C)


def acting(scripts, points, habit="same", **settings):
    """An actor whose controllable state is a number looked up by the steps into the episode; the mean distance is each episode's own."""
    config = tiny(
        **{
            "agent": "ngu-episodic",
            "bonus__embedding_size": 1,
            "bonus__distance_mean_scope": "episode",
            "env__count": len(scripts),
        }
        | settings
    )
    envs = Scripted(scripts, habit=habit)
    agent = made(config, envs, SeedTree(2))
    novelty = agent.novelty(envs.count)
    novelty.embed = lambda observation: np.array([[points[int(row[2])]] for row in observation], np.float32)
    return actor_of(config, envs, agent, Written(envs.count), SeedTree(3), novelty)


def earned(actor, steps, b=0, name="bonus"):
    for _ in range(steps):
        actor.advance()
    return [float(row[name]) for row in actor.replay.rows[b] if not row["filler"]]


# points 0 3 3 1 6: distances to the nearest of those before: 9, 0, 1, 9; their running mean: 9, 4.5, 10 / 3, 19 / 4
POINTS = [0, 3, 3, 1, 6]
BY_HAND = [bonus_of(1), bonus_of(0), bonus_of(3 / 10), bonus_of(36 / 19)]


@pytest.mark.parametrize("habit", ["same", "next"])
def test_on_arrival_a_step_earns_the_novelty_of_where_it_leads_and_nothing_where_the_episode_ends(habit):
    found = earned(acting([["....T"]], [*POINTS, 99], habit), 5)
    assert found == pytest.approx([*BY_HAND, 0], rel=1e-5)
    assert found[1] == pytest.approx(1 / 1.001, rel=1e-5)  # a state that is known, and c is outside the root
    actor = acting([["...C"]], POINTS, habit)
    assert earned(actor, 4) == pytest.approx(BY_HAND, rel=1e-5)  # a cut is no end: what was reached counts
    assert actor.replay.rows[0][-1]["last_bonus"] == pytest.approx(BY_HAND[-1], rel=1e-5)


@pytest.mark.parametrize("habit", ["same", "next"])
@pytest.mark.parametrize("end", ["T", "C"])
def test_on_departure_a_step_earns_the_novelty_of_what_it_leaves_as_the_paper_has_it(habit, end):
    actor = acting([[f"....{end}"]], [*POINTS, 99], habit, bonus__timing="departure")
    assert earned(actor, 5) == pytest.approx([0, *BY_HAND], rel=1e-5)  # the first observation meets an empty memory
    again = earned(actor, 5 if habit == "same" else 6)
    assert again[5:] == pytest.approx([0, *BY_HAND], rel=1e-5)


def test_the_network_is_shown_the_bonus_of_the_step_before():
    for at in ("arrival", "departure"):
        actor = acting([["....T"]], POINTS + [9], bonus__timing=at)
        found = earned(actor, 5)
        assert earned(actor, 0, name="last_bonus") == [0, *found[:-1]]


def test_the_memory_and_an_episodes_own_mean_begin_anew_with_every_episode():
    found = earned(acting([["...C", "..T"]], POINTS), 7)
    assert found == pytest.approx([*BY_HAND, *BY_HAND[:2], 0], rel=1e-5)


def test_streams_have_their_own_memories_and_one_begins_anew_while_another_goes_on():
    actor = acting([["...C"], [".C"]], POINTS)
    assert earned(actor, 4) == pytest.approx(BY_HAND, rel=1e-5)
    assert earned(actor, 0, b=1) == pytest.approx([*BY_HAND[:2], *BY_HAND[:2]], rel=1e-5)


def test_the_memory_can_be_kept_over_several_episodes():
    actor = acting([[".C"]], POINTS, bonus__episodes_per_memory=2, bonus__timing="departure")
    found = earned(actor, 8)
    # an episode leaves 0 and 3 and ends at 3; kept, it is followed by 0 again, which is known, and 3, which is known
    assert found[:2] == pytest.approx([0, bonus_of(1)], rel=1e-5) and found[2:4] == pytest.approx(
        [1 / 1.001] * 2, rel=1e-5
    )
    assert found[4:] == pytest.approx(found[:4], rel=1e-5)  # the third episode begins with nothing


def test_the_first_observation_is_remembered_before_the_first_arrival_is_judged_and_nothing_is_its_own_neighbour():
    actor = acting([["....T"]], [5] * 6)
    assert actor.novelty.memory.counts.tolist() == [1]
    assert earned(actor, 1) == pytest.approx([1 / 1.001], rel=1e-5)  # the only neighbour is the first observation
    assert actor.novelty.memory.counts.tolist() == [2]
    assert earned(acting([["....T"]], [5, 7, 5, 5, 5, 5]), 1) == pytest.approx(
        [bonus_of(1)], rel=1e-5
    )  # itself would have given 1 / 1.001


@pytest.mark.parametrize("habit", ["same", "next"])
def test_the_memory_holds_each_observation_of_the_running_episode_once(habit):
    actor = acting([["...C", "..T", ".....T"]], range(10), habit)
    for _ in range(9 if habit == "same" else 11):
        actor.advance()
    state = actor.novelty.memory.state_dict()
    assert state["points"][:, 0].tolist() == [0, 1, 2]


def test_with_fewer_than_k_neighbours_nothing_is_earned_or_the_missing_stand_at_distance_one():
    assert earned(acting([["...C"]], POINTS, bonus__neighbours=3), 2) == [0, 0]
    found = earned(acting([["...C"]], POINTS, bonus__neighbours=3, bonus__missing_neighbours="unit"), 2)
    # one neighbour at 9 of mean 9; then neighbours 0 and 9, mean 6
    assert found == pytest.approx([bonus_of(1, 1, 1), bonus_of(0, 1.5, 1)], rel=1e-5)


def test_a_memory_that_is_full_forgets_the_oldest():
    # capacity 2: at 2, 0 is still there; it is overwritten by it, so the next 0 finds the 1
    found = earned(acting([["...C"]], [0, 1, 2, 0, 0], bonus__memory_capacity=2), 4)
    assert found == pytest.approx([bonus_of(1), bonus_of(1), bonus_of(1), bonus_of(0)], rel=1e-5)


def test_a_step_of_the_warm_up_earns_nothing_and_is_not_remembered():
    actor = acting([["......T"]], range(9))
    for _ in range(4):
        actor.advance(uniform=True)
    assert (
        earned(actor, 0) == [0] * 4
        and actor.novelty.memory.counts.tolist() == [1]
        and not actor.novelty.kernel.mean.value.any()
    )


# the life-long factor


def with_errors(agent, errors, **settings):
    """The novelty of four streams whose RND errors are given."""
    novelty = made(tiny(agent=agent, env__count=4, **settings), Scripted([["T"]] * 4), SeedTree(0)).novelty(4)
    lifelong, given = getattr(novelty, "lifelong", novelty), iter(errors)
    lifelong.rnd = lambda observation: torch.tensor(next(given), dtype=torch.float32)
    return novelty


ERRORS = [[1, 2, 3, 6], [9, 1, 0, 2], [2, 2, 2, 2]]
SHOWN, EVERY = np.zeros((4, 3), np.uint8), np.ones(4, bool)


def factors():
    """alpha of each step: mean and deviation of all errors so far, these included."""
    for k in range(len(ERRORS)):
        known = np.array(ERRORS[: k + 1], float).ravel()
        yield 1 + (np.array(ERRORS[k]) - known.mean()) / known.std()


def test_rnd_alone_is_its_factor_cut_to_0_and_L():
    novelty = with_errors("rnd", ERRORS, bonus__max_factor=2.0)
    wanted = list(factors())
    assert min(map(min, wanted)) < 0 and max(map(max, wanted)) > 2
    for alpha in wanted:
        found = novelty.reward(SHOWN, EVERY)
        assert found == pytest.approx(np.clip(alpha, 0, 2), rel=1e-5) and found.dtype == np.float32


def test_the_factor_amplifies_the_episodic_bonus_one_to_L_times_and_never_weakens_it():
    novelty = with_errors("ngu", ERRORS, bonus__max_factor=2.0, bonus__embedding_size=1, bonus__neighbours=1)
    points = iter([[0, 0, 0, 0], [1, 1, 1, 1], [5, 5, 5, 5]])
    novelty.episodic.embed = lambda observation: np.array(next(points), np.float32)[:, None]
    episodic = [0, bonus_of(1), bonus_of(16 / 8.5)]  # the mean over all streams and steps
    for alpha, bonus in zip(factors(), episodic):
        assert novelty.reward(SHOWN, EVERY) == pytest.approx(bonus * np.clip(alpha, 1, 2), rel=1e-5)


def test_errors_of_streams_that_do_not_count_are_neither_paid_nor_averaged():
    counts = np.array([True, True, True, False])
    found = with_errors("rnd", [[1, 2, 3, 1000]]).reward(SHOWN, counts)
    known = np.array([1, 2, 3])
    assert found == pytest.approx([*np.clip(1 + (known - known.mean()) / known.std(), 0, 5), 0], rel=1e-5)
    nan = with_errors("rnd", [[1, 2, 3, math.nan]]).reward(SHOWN, counts)
    assert nan.tolist() == found.tolist()


def test_an_agent_without_a_bonus_earns_none():
    novelty = made(tiny(env__count=4), Scripted([["T"]] * 4), SeedTree(0)).novelty(4)
    assert novelty.reward(SHOWN, EVERY).tolist() == [0] * 4 == novelty.begin(SHOWN, EVERY, True).tolist()


# what trains on what


def sequences(trace=6, count=5, seed=0):
    """Rows whose observations say where they are from: (stream, row, drawn)."""
    rng = np.random.default_rng(seed)
    shape = (trace + 1, count)
    observation = np.stack(
        [
            np.broadcast_to(np.arange(count), shape),
            np.broadcast_to(np.arange(trace + 1)[:, None], shape),
            rng.integers(256, size=shape),
        ],
        -1,
    )
    terminated, filler, first = (np.zeros(shape, bool) for _ in range(3))
    for k in range(count):
        for t in range(trace + 1):
            first[t, k] = t > 0 and (terminated[t - 1, k] or filler[t - 1, k])
            filler[t, k] = (
                t > 0 and not first[t, k] and rng.random() < 0.2
            )  # the observation in which an episode was cut
            terminated[t, k] = not filler[t, k] and rng.random() < 0.2
    zero = np.zeros(shape, np.float32)
    return Sequences(
        observation=observation.astype(np.uint8), last_action=np.full(shape, -1, np.int16), last_reward=zero, last_bonus=zero,
        action=rng.integers(ACTIONS, size=shape).astype(np.int16), reward=zero, bonus=zero, mu=np.full(shape, 0.5, np.float32), mixture=np.zeros(shape, np.int16),
        terminated=terminated, first=first, filler=filler, state=np.zeros((count, 6), np.float32), slots=np.arange(count), probability=np.ones(count),
    )  # fmt: skip


def learner(agent="ngu", **settings):
    return made(tiny(agent=agent, env__count=1, replay__trace_length=6, **settings), Scripted([["T"]]), SeedTree(0))


def embedding_of(agent):
    return agent.acting_modules()["embedding"]


def rnd_of(agent):
    return agent.acting_modules()["rnd"]


@pytest.mark.parametrize("frames", [1, 2, 4, 6])
def test_embedding_and_rnd_train_on_the_last_steps_of_a_sequence_and_on_no_pair_across_an_end(frames):
    agent, s, given = learner(), sequences(), []
    assert s.terminated[:-1].any() and s.filler[:-1].any()
    embedding_of(agent).register_forward_pre_hook(lambda module, values: given.extend(values))
    rnd_of(agent).register_forward_pre_hook(lambda module, values: given.extend(values))
    told = agent.learn_novelty(s, frames)
    pairs = sorted(
        [b, t] for b in range(5) for t in range(6 - frames, 6) if not s.filler[t, b] and not s.terminated[t, b]
    )
    observations, first, second, judged = (part.tolist() for part in given)
    assert len({tuple(row) for row in observations}) == len(observations)  # each is encoded once
    before, after = ([observations[k] for k in part] for part in (first, second))
    assert sorted(row[:2] for row in before) == pairs
    assert [[b, t + 1] for b, t, _ in before] == [row[:2] for row in after] and judged == after
    assert not any(s.first[t, b] for b, t, _ in after)
    assert set(told) == {"embedding_loss", "embedding_accuracy", "rnd_loss"}


def test_the_embedding_learns_by_cross_entropy_of_the_action_and_rnd_by_its_squared_error():
    agent, s = learner(), sequences()
    at = [(t, b) for t in range(4, 6) for b in range(5) if not s.filler[t, b] and not s.terminated[t, b]]
    before, after = (torch.from_numpy(np.stack([s.observation[t + d, b] for t, b in at])) for d in (0, 1))
    action = torch.tensor([int(s.action[t, b]) for t, b in at])
    count = torch.arange(len(at))
    chances = torch.softmax(embedding_of(agent)(torch.cat([before, after]), count, count + len(at)), 1)
    wanted = {
        "embedding_loss": -chances[torch.arange(len(at)), action].log().mean(), "embedding_accuracy": (chances.argmax(1) == action).float().mean(),
        "rnd_loss": rnd_of(agent)(after).mean(),
    }  # fmt: skip
    assert agent.learn_novelty(s, 2) == pytest.approx(
        {name: float(value.detach()) for name, value in wanted.items()}, rel=1e-5
    )


def test_training_makes_the_action_readable_and_the_frames_familiar_and_leaves_rnds_target_alone():
    agent = learner(bonus__embedding_learning_rate=1e-2, bonus__rnd_learning_rate=1e-2, bonus__embedding_size=8)
    target = copy.deepcopy(rnd_of(agent).target.state_dict())
    s = sequences(count=12)
    s.observation[..., 2] = 0
    s.observation[1:, :, 2] = 80 * s.action[:-1] + 40  # what an action was can be seen after it
    told = [agent.learn_novelty(s, 6) for _ in range(150)]
    assert (
        told[-1]["embedding_accuracy"] > 0.95 > told[0]["embedding_accuracy"]
        and told[-1]["rnd_loss"] < 0.1 * told[0]["rnd_loss"]
    )
    assert all(torch.equal(value, target[name]) for name, value in rnd_of(agent).target.state_dict().items())


def test_sequences_without_a_pair_train_nothing():
    agent, s = learner(), sequences()
    s.terminated[4:] = True
    assert agent.learn_novelty(s, 2) == {}


@pytest.mark.parametrize(
    ("name", "moves"),
    [
        ("ngu", {"q", "embedding", "rnd"}),
        ("ngu-episodic", {"q", "embedding"}),
        ("rnd", {"q", "rnd"}),
        ("ngu-projection", {"q"}),
        ("r2d2", {"q"}),
    ],
)
def test_each_agent_trains_its_parts_and_a_projection_none_of_its_embedding(name, moves):
    agent = learner(name)
    before = {part: copied(module) for part, module in agent.acting_modules().items()}
    for k in range(3):
        agent.learn(sequences(seed=k))
    after = {part: copied(module) for part, module in agent.acting_modules().items()}
    moved = {part for part in before if any(not torch.equal(v, after[part][n]) for n, v in before[part].items())}
    assert moved == moves
    assert {"embedding" in before, "rnd" in before} == {
        name in ("ngu", "ngu-episodic", "ngu-projection"),
        name in ("ngu", "rnd"),
    }


def test_the_embedding_is_decayed_and_rnd_is_not_and_their_rates_are_their_own():
    rates = {"bonus__embedding_learning_rate": 3e-3, "bonus__rnd_learning_rate": 4e-3}
    agent = made(tiny(agent="ngu", bonus__embedding_weight_decay=0.5, **rates), Scripted([["T"]]), SeedTree(0))
    trained = (agent.bonus.episodic, agent.bonus.lifelong, agent.heads["q"])
    ours = [part.optimizer.optimizer.param_groups[0] for part in trained]
    assert [(group["lr"], group["weight_decay"]) for group in ours] == [(3e-3, 0.5), (4e-3, 0), (1e-2, 0)]


def test_the_actors_copy_changes_when_it_is_due_and_at_no_other_time():
    config = tiny(agent="ngu-episodic", bonus__embedding_refresh_period=3, replay__trace_length=6)
    envs = Scripted([["....T"]])
    agent = made(config, envs, SeedTree(0))
    actor = actor_of(config, envs, agent, Written(1), SeedTree(1))
    x = np.random.default_rng(0).integers(256, size=(5, 3)).astype(np.uint8)
    said = [actor.novelty.embed(x)]
    assert said[0] == pytest.approx(embedding_of(agent).encoder(torch.from_numpy(x)).detach().numpy())
    for k in range(7):
        agent.learn(sequences(seed=k))
        actor.advance()
        said.append(actor.novelty.embed(x))
    assert [bool((now != then).any()) for now, then in zip(said[1:], said)] == [
        False,
        False,
        True,
        False,
        False,
        True,
        False,
    ]
    assert not np.isclose(said[-1], embedding_of(agent).encoder(torch.from_numpy(x)).detach().numpy()).all()


def test_what_is_looked_up_is_the_embedding_itself_in_all_its_dimensions():
    novelty = learner("ngu-episodic", bonus__embedding_size=5).novelty(4)
    x = np.random.default_rng(0).integers(256, size=(4, 3)).astype(np.uint8)
    points = novelty.embed(x)
    assert points.shape == (4, 5) and points.dtype == np.float32 and novelty.memory.size == 5


def test_an_episodes_own_mean_is_not_carried_into_the_next():
    assert acting([["...C"]], POINTS).novelty.kernel.mean.scope == "episode"
    found = earned(acting([["C"], ["C"]], POINTS, bonus__distance_mean_scope="global"), 3)
    assert found == pytest.approx([bonus_of(1)] * 3, rel=1e-5)  # 9 of a mean of nines


def test_settings_of_the_bonus_reach_the_kernel():
    settings = {
        "kernel_epsilon": 0.02,
        "cluster_distance": 0.1,
        "pseudo_count": 0.3,
        "max_similarity": 2.0,
        "neighbours": 4,
        "missing_neighbours": "unit",
        "distance_mean": "momentum",
        "distance_mean_rate": 0.3,
        "distance_mean_of": "kth",
    }
    config = tiny(agent="ngu-episodic", **{f"bonus__{name}": value for name, value in settings.items()})
    novelty = made(config, Scripted([["T"]]), SeedTree(0)).novelty(1)
    kernel = novelty.kernel
    assert {name: getattr(kernel.config, name) for name in settings} == settings and novelty.memory.capacity == 20
    assert (kernel.mean.average, kernel.mean.rate, kernel.mean.neighbours) == ("momentum", 0.3, "kth")


def test_a_sequence_that_ends_in_padding_teaches_with_its_own_last_steps():
    agent, s, given = learner("ngu-episodic"), sequences(count=1), []
    s.terminated[:], s.first[:], s.filler[:] = False, False, False
    s.terminated[3] = s.first[0] = True
    s.first[4:] = s.filler[4:] = True  # an episode of four steps, as the replay gives it when sequences do not cross
    embedding_of(agent).register_forward_pre_hook(lambda module, values: given.extend(values))
    agent.learn_novelty(s, 3)
    observations, before = given[0].tolist(), given[1].tolist()
    assert [observations[k][1] for k in before] == [1, 2]  # of the last three steps the last leads nowhere


def test_a_warm_up_moves_no_running_mean_where_first_observations_are_judged():
    config = tiny(agent="ngu", bonus__timing="departure", bonus__missing_neighbours="unit")
    envs, written = Scripted([["....T"]]), Written(1)
    actor = actor_of(config, envs, made(config, envs, SeedTree(0)), written, SeedTree(1))
    moments = actor.novelty.lifelong.moments
    known = moments.count
    for _ in range(12):
        actor.advance(uniform=True)
    assert not any(written.column(0, "bonus")) and not any(written.column(0, "last_bonus")) and moments.count == known


def test_building_an_agent_of_any_kind_draws_nothing_from_torchs_global_generator():
    before = torch.get_rng_state()
    learner("ngu")
    assert torch.equal(before, torch.get_rng_state())
