"""R2D2's update against loops over rows written from the fact sheet, what the target network is for, and what happens to numbers that are not finite."""

import copy
import math

import numpy as np
import pytest
import torch

from outrange.core.run import NonFinite
from outrange.core.seeding import SeedTree
from outrange.exploration.agents.ngu import family_of
from outrange.exploration.agents.r2d2 import R2D2
from outrange.exploration.config import TrainConfig
from outrange.exploration.learning.lstm import unroll
from outrange.exploration.learning.modules import unprefixed
from outrange.exploration.learning.optimizer import Optimizer
from outrange.exploration.learning.replay import Sequences
from outrange.exploration.spec import Spec
from tests.exploration.helpers.scripted import ACTIONS, Scripted, tiny

pytestmark = pytest.mark.usefixtures("own_draws")
EPSILON = 1e-3  # of h


def q_agent(config, seed=0):
    """The learner of Q alone, without what trains the bonus; its family is that of the configuration's agent."""
    family = None if config.agent == "r2d2" else family_of(config)
    return R2D2(config, Spec.of(Scripted([["T"]])), SeedTree(seed), family)


def agent_for(config, shaken=True):
    """An agent whose target network says other things than the online one."""
    agent = q_agent(config, 1)
    if shaken:
        with torch.no_grad():
            for p in (*agent.heads["q"].online.parameters(), *agent.heads["q"].target.parameters()):
                p.add_(torch.randn_like(p) * (1.0 if p.ndim > 1 else 0.1))
    return agent


def saved(agent):
    """Every tensor that a checkpoint holds of an agent, by its name."""
    groups = agent.state_dict()
    return groups["policy"] | groups["learner"]


def q_weights(agent):
    return unprefixed("q.", saved(agent))


def target_weights(agent):
    return unprefixed("q_target.", saved(agent))


def batch(trace, count, mixtures, state_size, seed=0, crossing=True):
    """Sequences of whole episodes of 1 to 5 steps that end by themselves or are cut, the first of them begun before; without ``crossing`` padding after the first."""
    rng = np.random.default_rng(seed)
    kept = {name: np.zeros((trace + 1, count), dtype) for name, dtype in (
        ("last_action", np.int16), ("last_reward", np.float32), ("last_bonus", np.float32), ("action", np.int16), ("reward", np.float32), ("bonus", np.float32),
        ("mu", np.float32), ("mixture", np.int16), ("terminated", bool), ("first", bool), ("filler", bool),
    )}  # fmt: skip
    observation = rng.integers(256, size=(trace + 1, count, 3)).astype(np.uint8)
    kept["mu"][:] = 1
    for k in range(count):
        t, begun = 0, bool(k % 2)  # every other sequence starts with an episode
        while t <= trace:
            mixture, length, cut = rng.integers(mixtures), rng.integers(1, 6), rng.random() < 0.5
            last = (rng.integers(ACTIONS), rng.normal(), abs(rng.normal())) if begun else (-1, 0, 0)
            for step in range(length + cut):
                if t > trace:
                    break
                row = {
                    "last_action": last[0],
                    "last_reward": last[1],
                    "last_bonus": last[2],
                    "mixture": mixture,
                    "first": step == 0 and not begun,
                }
                if step < length:
                    last = rng.integers(ACTIONS), rng.normal(), abs(rng.normal())
                    row |= {
                        "action": last[0],
                        "reward": last[1],
                        "bonus": last[2],
                        "mu": rng.uniform(0.05, 1),
                        "terminated": step == length - 1 and not cut,
                    }
                else:
                    row["filler"] = True  # the observation in which it was cut
                for name, value in row.items():
                    kept[name][t, k] = value
                t += 1
            begun = False
            if not crossing:
                for name, array in kept.items():
                    array[t:, k] = name in ("first", "filler", "mu")
                observation[t:, k] = 0
                break
    state = rng.normal(size=(count, state_size)).astype(np.float32)
    return Sequences(observation=observation, **kept, state=state, slots=np.arange(count), probability=np.ones(count))


def slow(network):
    """A copy whose recurrence is the plain one, through which the state carries its gradient from row to row."""
    copied = copy.deepcopy(network)
    lstm = copied.lstm
    lstm.forward = lambda x, state, first: unroll(
        torch.nn.functional.linear(x, lstm.input_weight, lstm.bias), lstm.hidden_weight, state, first
    )
    return copied


def unrolled(network, s, burn_in=0):
    """Q of every row, one row at a time, the state begun anew by hand."""
    h, c = (torch.from_numpy(part) for part in np.split(s.state, 2, 1))
    values = []
    for t in range(len(s.first)):
        fresh = torch.from_numpy(s.first[t])[:, None]
        h, c = torch.where(fresh, 0.0, h), torch.where(fresh, 0.0, c)
        row = [
            torch.from_numpy(getattr(s, name)[t : t + 1])
            for name in ("observation", "last_action", "last_reward", "last_bonus", "mixture")
        ]
        q, (h, c) = network(*row, torch.zeros(1, len(h), dtype=torch.bool), (h, c))
        if t < burn_in:
            q, h, c = q.detach(), h.detach(), c.detach()
        values.append(q[0])
    return torch.stack(values)


def h_of(x):
    return math.copysign(math.sqrt(abs(x) + 1) - 1, x) + EPSILON * x


def back(z):
    return np.sign(z) * (((np.sqrt(1 + 4 * EPSILON * (np.abs(z) + 1 + EPSILON)) - 1) / (2 * EPSILON)) ** 2 - 1)


def wanted(agent, config, s):
    """Errors Q - target (T, B) with a gradient, the rows that count, and all the targets: section 2.3 of the sheet as loops."""
    learner = config.learner
    q = unrolled(agent.heads["q"].online, s, learner.burn_in)
    says = q.detach().double().numpy()
    worth = unrolled(agent.heads["q"].target, s).detach().double().numpy()
    if learner.transform == "rescale":
        worth = back(worth)
    steps, count = len(s.first) - 1, s.first.shape[1]
    goals, counted = np.zeros((steps, count)), np.zeros((steps, count), bool)
    for k in range(count):

        def reward(s_, k=k):
            return learner.reward_scale * (
                float(s.reward[s_, k]) + agent.family.beta[s.mixture[s_, k]] * float(s.bonus[s_, k])
            )

        def gamma(s_, k=k):
            return agent.family.gamma[s.mixture[s_, k]]

        def policy(s_, k=k):
            probabilities = np.full(ACTIONS, learner.target_policy_epsilon / ACTIONS)
            probabilities[says[s_, k].argmax()] += 1 - learner.target_policy_epsilon
            return probabilities

        for t in range(steps):
            if s.filler[t, k]:
                continue
            counted[t, k] = t >= learner.burn_in
            at, weight = t, 1.0
            if learner.target == "retrace":
                total = worth[t, k, s.action[t, k]]
                while True:
                    ends = s.terminated[at, k] and not (
                        config.bonus.non_episodic_returns and agent.family.beta[s.mixture[at, k]]
                    )
                    after = 0.0 if ends else gamma(at) * policy(at + 1) @ worth[at + 1, k]
                    total += weight * (reward(at) + after - worth[at, k, s.action[at, k]])
                    if s.terminated[at, k] or at + 1 == steps or s.filler[at + 1, k]:
                        break
                    assert not s.first[at + 1, k]
                    weight *= (
                        gamma(at)
                        * learner.retrace_lambda
                        * min(1.0, policy(at + 1)[s.action[at + 1, k]] / float(s.mu[at + 1, k]))
                    )
                    at += 1
            else:
                total = 0.0
                for _ in range(learner.n_steps):
                    total += weight * reward(at)
                    if s.terminated[at, k]:
                        weight = 0.0
                        break
                    weight *= gamma(at)
                    at += 1
                    if at == steps or s.filler[at, k]:
                        break
                total += weight * worth[at, k, says[at, k].argmax()]
            goals[t, k] = h_of(total) if learner.transform == "rescale" else total
    chosen = q[:-1].gather(-1, torch.from_numpy(s.action[:-1].astype(np.int64))[..., None])[..., 0]
    return torch.where(torch.from_numpy(counted), chosen - torch.from_numpy(goals).float(), 0.0), counted, goals


def adapted(agent, config, loss):
    """A copy of the online network after one step of PyTorch's Adam on a loss of that copy."""
    learner = config.learner
    adam = torch.optim.Adam(agent.heads["q"].online.parameters(), lr=learner.learning_rate, eps=learner.adam_epsilon)
    loss.backward()
    norm = float(torch.nn.utils.clip_grad_norm_(agent.heads["q"].online.parameters(), learner.max_grad_norm))
    adam.step()
    return norm


VARIANTS = {
    "the paper's": {},
    "greedy, untransformed": {"learner__target_policy_epsilon": 0.0, "learner__transform": "identity"},
    "burnt in": {"learner__burn_in": 3, "learner__target_policy_epsilon": 0.2},
    "n-step": {"learner__target": "n-step", "learner__n_steps": 3},
    "n-step beyond the sequence, burnt in": {
        "learner__target": "n-step",
        "learner__n_steps": 50,
        "learner__burn_in": 2,
        "learner__transform": "identity",
    },
    "one step": {"learner__target": "n-step", "learner__n_steps": 1},
    "no trace": {"learner__retrace_lambda": 0.0},
    "cut gradients": {"learner__max_grad_norm": 0.01, "learner__transform": "identity"},
    "a mean over steps": {"learner__reduction": "mean"},
    "priorities of means": {"replay__priority_eta": 0.25},
    "without a bonus": {"agent": "r2d2"},
    "scaled": {"learner__reward_scale": 5.0},
}


@pytest.mark.parametrize("crossing", [True, False], ids=["crossing", "padded"])
@pytest.mark.parametrize("name", VARIANTS)
def test_an_update_is_that_of_loops_over_rows_in_targets_priorities_loss_and_weights(name, crossing):
    family = {
        "agent": "ngu-episodic",
        "bonus__mixtures": 3,
        "env__count": 3,
        "bonus__beta": 0.7,
        "learner__gamma": 0.97,
        "learner__gamma_explore": 0.6,
    }
    config = tiny(**family | {"replay__trace_length": 10, "learner__retrace_lambda": 0.9} | VARIANTS[name])
    agent, own = agent_for(config), agent_for(config, shaken=False)
    own.heads["q"].online, own.heads["q"].target = slow(agent.heads["q"].online), slow(agent.heads["q"].target)
    s = batch(10, 7, 3, agent.state_size, crossing=crossing)
    if crossing:  # the batch holds what is to be tried
        assert (
            s.terminated[:-1].any()
            and s.filler[1:-1].any()
            and s.first[1:-1].any()
            and len(np.unique(s.mixture)) == 3
            and s.filler[-1].any()
        )
    error, counted, goals = wanted(own, config, s)
    says = unrolled(own.heads["q"].online, s, config.learner.burn_in).detach().numpy()
    per = 1 / (error.shape[1] * (len(error) if config.learner.reduction == "mean" else 1))
    norm = adapted(own, config, error.square().sum() * per)
    priorities, told = agent.learn(s)
    size, eta = error.detach().abs().double().numpy(), config.replay.priority_eta
    for k, priority in enumerate(priorities):
        held = size[counted[:, k], k]
        assert priority == pytest.approx(
            eta * held.max() + (1 - eta) * held.mean() if held.size else 0.0, rel=1e-3, abs=1e-5
        ), (k, goals[:, k])
    assert priorities.dtype == np.float64 and priorities.shape == (7,)
    assert told["loss"] == pytest.approx(
        (size[counted] ** 2).sum() / counted.sum() / config.learner.reward_scale**2, rel=1e-3
    )
    done = np.take_along_axis(says[:-1], s.action[:-1, :, None].astype(np.int64), -1)[..., 0]
    assert told["q"] == pytest.approx(done[counted].mean() / config.learner.reward_scale, rel=1e-3, abs=1e-5)
    assert told["gradient_norm"] == pytest.approx(norm, rel=1e-3) and (norm > 0.05)
    assert told["counted"] == pytest.approx(counted.mean())
    for (weight, ours), theirs in zip(agent.heads["q"].online.named_parameters(), own.heads["q"].online.parameters()):
        torch.testing.assert_close(
            ours,
            theirs,
            rtol=1e-4,
            atol=config.learner.learning_rate * 2e-3,
            msg=lambda said, weight=weight: f"{weight}: {said}",
        )


def test_the_target_is_the_target_networks_worth_of_what_the_online_network_would_do():
    config = tiny(
        learner__target_policy_epsilon=0.0,
        learner__transform="identity",
        replay__trace_length=6,
        learner__gamma=0.9,
        learner__gamma_explore=0.9,
        learner__retrace_lambda=0.0,
    )
    agent = agent_for(config)
    s = batch(6, 8, 1, agent.state_size)
    says, worth = unrolled(agent.heads["q"].online, s).detach(), unrolled(agent.heads["q"].target, s).detach()
    best, theirs = says.argmax(-1), worth.argmax(-1)
    assert 0.2 < float((best == theirs).float().mean()) < 0.8  # they disagree, or this would show nothing
    used = worth.gather(-1, best[..., None])[1:, :, 0]
    goal = torch.from_numpy(s.reward[:-1]) + 0.9 * ~torch.from_numpy(s.terminated[:-1]) * used
    chosen = says[:-1].gather(-1, torch.from_numpy(s.action[:-1].astype(np.int64))[..., None])[..., 0]
    size = torch.where(torch.from_numpy(s.filler[:-1]), 0.0, (chosen - goal).abs())
    mean = size.sum(0) / torch.from_numpy(~s.filler[:-1]).sum(0)
    assert agent.learn(s)[0] == pytest.approx((0.9 * size.amax(0) + 0.1 * mean).numpy(), rel=1e-4)


def test_rows_that_only_warm_up_the_state_have_no_error_and_send_no_gradient_into_the_network():
    config = tiny(learner__burn_in=3, replay__trace_length=6)
    s = batch(6, 5, 1, 6)
    s.first[:], s.filler[:], s.terminated[:] = False, False, False

    def updated(sequences):
        agent = agent_for(config, shaken=False)
        priorities, _ = agent.learn(sequences)
        return priorities, q_weights(agent)

    priorities, weights = updated(s)
    louder = copy.deepcopy(s)
    louder.reward[:2] += 100  # the trace reaches back over these, not from them
    louder.action[:2] = (louder.action[:2] + 1) % ACTIONS
    louder.mu[:3] = 0.01
    again, same = updated(louder)
    assert again.tolist() == priorities.tolist() and all(torch.equal(weights[name], same[name]) for name in weights)
    other = copy.deepcopy(s)
    other.reward[3] += 1
    assert not np.isclose(updated(other)[0], priorities).any()
    other = copy.deepcopy(s)
    other.observation[0] += 90  # but what they show moves the state
    assert not np.isclose(updated(other)[0], priorities, rtol=1e-9).any()


def test_a_sequence_without_a_step_to_learn_from_has_priority_0_and_changes_nothing():
    config = tiny(replay__trace_length=4)
    s = batch(4, 3, 1, 6)
    s.filler[:, 1] = True
    agents = [agent_for(config, shaken=False) for _ in range(2)]
    priorities = agents[0].learn(s)[0]
    assert priorities[1] == 0 and (priorities[[0, 2]] > 0).all()
    louder = copy.deepcopy(s)
    louder.reward[:, 1], louder.observation[:, 1] = 1000, 9
    agents[1].learn(louder)
    assert all(
        torch.equal(a, b)
        for a, b in zip(agents[0].heads["q"].online.parameters(), agents[1].heads["q"].online.parameters())
    )


def test_the_target_network_is_copied_after_every_so_many_updates_and_at_no_other_time():
    config = tiny(learner__target_update_period=3, replay__trace_length=4)
    agent = agent_for(config, shaken=False)
    copies = []
    for k in range(7):
        before = target_weights(agent)
        agent.learn(batch(4, 3, 1, agent.state_size, seed=k))
        online, target = q_weights(agent), target_weights(agent)
        copies.append(all(torch.equal(online[name], target[name]) for name in online))
        assert copies[-1] or all(torch.equal(before[name], target[name]) for name in before)
    assert copies == [False, False, True, False, False, True, False] and agent.updates == 7
    assert not any(p.requires_grad for p in agent.heads["q"].target.parameters())


@pytest.mark.parametrize("trouble", [math.inf, -math.inf, math.nan])
def test_a_reward_that_is_not_finite_stops_the_update_and_leaves_weights_moments_and_counters_as_they_were(trouble):
    agent = agent_for(tiny(replay__trace_length=4, learner__target_update_period=1))
    agent.learn(batch(4, 3, 1, agent.state_size))
    before = saved(agent)
    s = batch(4, 3, 1, agent.state_size, seed=1)
    s.reward[np.flatnonzero(~s.filler[:-1, 0])[0], 0] = trouble
    with pytest.raises(NonFinite, match="loss of Q in update 1 is .*nothing was updated"):
        agent.learn(s)
    after = saved(agent)
    assert all(torch.equal(before[name], after[name]) for name in before) and agent.updates == 1


def test_a_gradient_that_is_not_finite_is_found_though_the_loss_is():
    agent = agent_for(tiny(replay__trace_length=4))
    agent.heads["q"].online.value[2].bias.register_hook(lambda gradient: gradient * math.inf)
    before = saved(agent)
    with pytest.raises(NonFinite, match="gradient"):
        agent.learn(batch(4, 3, 1, agent.state_size))
    after = saved(agent)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_fills_up_is_never_in_the_loss_however_wild_its_numbers():
    config = tiny(replay__trace_length=6)
    agent, same = agent_for(config, shaken=False), agent_for(config, shaken=False)
    s = batch(6, 6, 1, agent.state_size)
    wild = copy.deepcopy(s)
    wild.reward[s.filler], wild.bonus[s.filler], wild.action[s.filler], wild.mu[s.filler] = 1e6, 1e6, 2, 0.5
    assert s.filler[:-1].any() and agent.learn(s)[0].tolist() == same.learn(wild)[0].tolist()
    assert all(
        torch.equal(a, b) for a, b in zip(agent.heads["q"].online.parameters(), same.heads["q"].online.parameters())
    )


def test_acting_sees_the_values_of_the_online_network_and_keeps_h_and_c_side_by_side():
    agent = agent_for(tiny(agent="ngu-episodic", bonus__mixtures=2, env__count=2))
    rng = np.random.default_rng(0)
    row = {
        "observation": rng.integers(256, size=(4, 3)).astype(np.uint8), "last_action": np.array([-1, 0, 1, 2], np.int16),
        "last_reward": rng.normal(size=4).astype(np.float32), "last_bonus": rng.normal(size=4).astype(np.float32),
        "mixture": np.array([0, 1, 0, 1], np.int16), "first": np.array([True, False, False, True]),
    }  # fmt: skip
    state = rng.normal(size=(4, agent.state_size)).astype(np.float32)
    q, after = agent.values(row, state)
    inputs = [torch.from_numpy(row[name])[None] for name in row]
    theirs, (h, c) = agent.heads["q"].online(
        *inputs, (torch.from_numpy(state[:, :3].copy()), torch.from_numpy(state[:, 3:].copy()))
    )
    assert q.shape == (4, ACTIONS) and q == pytest.approx(theirs[0].detach().numpy(), abs=1e-6)
    assert after == pytest.approx(torch.cat([h, c], 1).detach().numpy(), abs=1e-6) and after.dtype == np.float32
    s = batch(4, 4, 1, agent.state_size)  # what acting keeps is what learning begins from
    s.state[:], s.first[0] = after, False
    begun = unrolled(agent.heads["q"].online, s)[0].detach().numpy()
    row = {name: getattr(s, name)[0] for name in row}
    assert agent.values(row, after)[0] == pytest.approx(begun, abs=1e-6)


def test_foreign_sequences_are_learned_from_under_the_drawn_mixture_with_its_reward_and_discount():
    config = tiny(
        agent="ngu-episodic",
        bonus__mixtures=2,
        env__count=2,
        learner__cross_mixture_share=1.0,
        replay__trace_length=6,
        bonus__beta=5.0,
        learner__gamma_explore=0.3,
    )
    agent = agent_for(config)
    s = batch(6, 30, 1, agent.state_size)
    under = []
    for mixture in range(2):
        s.mixture[:] = mixture
        error, counted, _ = wanted(agent, config, s)
        size = error.detach().abs().numpy()
        under.append(0.9 * size.max(0) + 0.1 * size.sum(0) / counted.sum(0))
    s.mixture[:] = 0
    found = agent.learn(s)[0]
    as_own, as_other = np.isclose(found, under[0], rtol=1e-3), np.isclose(found, under[1], rtol=1e-3)
    assert (as_own ^ as_other).all() and as_other.sum() >= 8  # the whole of a sequence under one of the two


@pytest.mark.parametrize("target", ["retrace", "n-step"])
def test_where_returns_continue_a_mixture_with_a_bonus_bootstraps_from_the_next_episode_and_mixture_0_does_not(target):
    changes = {
        "learner__target": target,
        "learner__n_steps": 1,
        "learner__retrace_lambda": 0.9,
        "learner__transform": "identity",
        "bonus__beta": 0.7,
    }
    config = tiny(
        agent="ngu-episodic",
        bonus__mixtures=2,
        env__count=2,
        replay__trace_length=8,
        bonus__non_episodic_returns=True,
        **changes,
    )
    episodic = tiny(agent="ngu-episodic", bonus__mixtures=2, env__count=2, replay__trace_length=8, **changes)
    for mixture in range(2):
        agent = agent_for(config)
        ending = copy.deepcopy(agent)
        ending.mixture_terms = q_agent(episodic).mixture_terms
        s = batch(8, 12, 1, agent.state_size)
        s.mixture[:] = mixture
        assert (s.terminated[:-2] & s.first[1:-1]).any()
        worth = unrolled(agent.heads["q"].target, s).detach().double().numpy()
        says = unrolled(agent.heads["q"].online, s).detach().double().numpy()
        found, without = agent.learn(s)[0], ending.learn(s)[0]
        assert np.array_equal(found, without) == (mixture == 0)
        if target == "n-step":  # one step: r + gamma V of the row after, whether that is the next episode's or not
            error = np.zeros(s.action[:-1].shape)
            for t, k in np.argwhere(~s.filler[:-1]):
                best = worth[t + 1, k, says[t + 1, k].argmax()]
                on = 0.0 if s.terminated[t, k] and mixture == 0 else agent.family.gamma[mixture]
                error[t, k] = says[t, k, s.action[t, k]] - (
                    s.reward[t, k] + agent.family.beta[mixture] * s.bonus[t, k] + on * best
                )
            size, counted = np.abs(error), ~s.filler[:-1]
            assert found == pytest.approx(0.9 * size.max(0) + 0.1 * size.sum(0) / counted.sum(0), rel=1e-3)


@pytest.mark.parametrize("mixtures", [1, 2, 32])
def test_betas_and_discounts_are_the_papers_family(mixtures):
    config = tiny(agent="ngu", bonus__mixtures=mixtures, env__count=32, replay__capacity=320)
    agent = q_agent(config)
    n = mixtures
    for i in range(n):
        beta = 0.3 if i == n - 1 else 0.0 if i == 0 else 0.3 / (1 + math.exp(-10 * (2 * i - (n - 2)) / (n - 2)))
        gamma = 0.99 if n == 1 else 1 - math.exp(((n - 1 - i) * math.log(1 - 0.997) + i * math.log(1 - 0.99)) / (n - 1))
        assert agent.family.beta[i] == pytest.approx(beta) and agent.family.gamma[i] == pytest.approx(gamma)


def test_an_agent_without_a_bonus_ignores_it_and_discounts_as_the_exploiting_one():
    agent = q_agent(tiny(agent="r2d2", bonus__mixtures=2, env__count=2))
    assert agent.family.beta.tolist() == [0, 0] and agent.family.gamma.tolist() == [0.997] * 2


def test_first_weights_come_from_the_seed_alone():
    agents = [q_agent(tiny(), seed) for seed in (3, 3, 4)]
    torch.manual_seed(99)
    agents.append(q_agent(tiny(), 3))
    weights, target = [q_weights(agent) for agent in agents], target_weights(agents[0])
    for name, value in weights[0].items():
        assert (
            torch.equal(value, weights[1][name])
            and torch.equal(value, weights[3][name])
            and torch.equal(value, target[name])
        )
    assert not torch.equal(weights[0]["lstm.hidden_weight"], weights[2]["lstm.hidden_weight"])


def test_an_agent_brought_back_learns_on_as_if_it_had_never_stopped():
    config = tiny(replay__trace_length=5, learner__target_update_period=3)
    agent, other = agent_for(config), agent_for(config)
    for k in range(4):
        agent.learn(batch(5, 3, 1, agent.state_size, seed=k))
    other.load_state_dict(agent.state_dict())
    other.updates = agent.updates
    for k in range(4, 7):
        found = [each.learn(batch(5, 3, 1, agent.state_size, seed=k))[0].tolist() for each in (agent, other)]
        assert found[0] == found[1]
    theirs = saved(other)
    for name, value in saved(agent).items():
        assert torch.equal(value, theirs[name]), name


def test_adam_is_pytorchs_with_the_papers_epsilon_and_cuts_the_norm_to_40():
    own, theirs = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    theirs.load_state_dict(own.state_dict())
    ours, adam = (
        Optimizer(own, 1e-2, weight_decay=0.1),
        torch.optim.Adam(theirs.parameters(), lr=1e-2, betas=(0.9, 0.999), eps=1e-4, weight_decay=0.1),
    )
    for k in range(5):
        x = torch.randn(4, 3) * 10**k
        value, norm = ours.update(own(x).square().sum(), "a loss")
        adam.zero_grad()
        loss = theirs(x).square().sum()
        loss.backward()
        assert value == pytest.approx(float(loss.detach())) and norm == pytest.approx(
            float(torch.nn.utils.clip_grad_norm_(theirs.parameters(), 40.0)), rel=1e-5
        )
        adam.step()
        for a, b in zip(own.parameters(), theirs.parameters()):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert float(ours.state_dict()["step"]) == 5
    assert set(ours.state_dict()) == {
        "step",
        *(f"{name}.{kind}" for name in ("weight", "bias") for kind in ("exp_avg", "exp_avg_sq")),
    }


def test_the_defaults_of_the_learner_are_the_sheets():
    learner = TrainConfig().learner
    assert (
        learner.retrace_lambda,
        learner.transform_epsilon,
        learner.target_policy_epsilon,
        learner.adam_epsilon,
        learner.max_grad_norm,
    ) == (
        0.95,
        1e-3,
        0.01,
        1e-4,
        40.0,
    )


@pytest.mark.parametrize("mixtures", [2, 8])
def test_the_share_of_foreign_sequences_is_the_share_that_was_collected_under_another_mixture(mixtures):
    agent = q_agent(
        tiny(agent="ngu-episodic", bonus__mixtures=mixtures, env__count=mixtures, learner__cross_mixture_share=0.5)
    )
    collected = torch.arange(20_000, dtype=torch.int16).remainder(mixtures).repeat(2, 1)
    trained = agent.mixtures_to_learn(collected)
    assert (
        torch.equal(trained[0], trained[1])
        and set(trained.unique().tolist()) == set(range(mixtures))
        and trained.dtype == torch.int16
    )
    assert float((trained != collected)[0].float().mean()) == pytest.approx(0.5, abs=0.02)


def test_building_an_agent_draws_nothing_from_torchs_global_generator():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    q_agent(tiny())
    assert torch.equal(before, torch.get_rng_state())


def test_the_learning_rate_falls_in_proportion_to_the_steps_and_stays_as_it_is_by_default():
    falling = q_agent(tiny(learner__learning_rate=1e-2, learner__final_rate_share=0.1))
    rates = []
    for progress in (0.0, 0.5, 1.0, 1.5):
        falling.set_progress(progress)
        rates.append(falling.heads["q"].optimizer.learning_rate)
    assert rates == pytest.approx([1e-2, 5.5e-3, 1e-3, 1e-3])
    late = q_agent(tiny(learner__learning_rate=1e-2, learner__final_rate_share=0.1, learner__rate_hold_share=0.6))
    rates = []
    for progress in (0.0, 0.6, 0.8, 1.0, 1.5):
        late.set_progress(progress)
        rates.append(late.heads["q"].optimizer.learning_rate)
    assert rates == pytest.approx([1e-2, 1e-2, 5.5e-3, 1e-3, 1e-3])
    never = q_agent(tiny(learner__learning_rate=1e-2, learner__final_rate_share=0.1, learner__rate_hold_share=1.0))
    never.set_progress(1.0)
    assert never.heads["q"].optimizer.learning_rate == 1e-2
    steady = q_agent(tiny(learner__learning_rate=1e-2))
    steady.set_progress(1.0)
    assert steady.heads["q"].optimizer.learning_rate == 1e-2
