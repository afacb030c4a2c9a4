"""Training: the real command line, exact resumption in a fresh process, determinism, the warm-up, whether what is learned is right, and evaluation."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from outrange.cli import main
from outrange.core import checkpoint, metrics
from outrange.core.config import changed
from outrange.core.run import Run
from outrange.exploration import evaluation, training
from outrange.exploration.acting import remote
from outrange.exploration.config import TrainConfig
from outrange.exploration.envs.contract import Step
from outrange.exploration.evaluation import evaluate, record, stage
from outrange.exploration.learning import returns
from outrange.exploration.learning.modules import copied
from outrange.exploration.presets import preset
from outrange.exploration.training import Trainer, train
from tests.exploration.helpers.scripted import Scripted, tiny

SETTINGS = {
    "replay.trace_length": 8, "replay.period": 4, "replay.capacity": 480, "replay.min_sequences": 4, "learner.batch_size": 4, "learner.target_update_period": 5, "acting.greedy_actors": 1,
    "network.encoder_size": 12, "network.hidden_size": 12, "network.head_size": 12, "bonus.embedding_refresh_period": 7, "bonus.memory_capacity": 12, "bonus.neighbours": 4,
}  # fmt: skip
AGENTS = {
    "ngu": {
        "agent": "ngu",
        "bonus.warmup_updates": 4,
        "bonus.mixtures": 2,
        "acting.mixture_assignment": "uniform",
        "learner.cross_mixture_share": 0.3,
    },
    "ngu-episodic": {
        "bonus.timing": "departure",
        "bonus.episodes_per_memory": 3,
        "bonus.distance_mean_scope": "episode",
        "bonus.warmup_updates": 2,
        "replay.cross_episodes": False,
    },
    "r2d2": {"learner.target": "n-step", "learner.burn_in": 3, "learner.final_rate_share": 0.1},
}
STOPS = {"ngu": (40, 48, 228), "ngu-episodic": (264,), "r2d2": (244,)}  # the warm-up of ngu ends with step 48
STEPS = 360


def command(agent, out, steps=STEPS, **changes):
    settings = SETTINGS | AGENTS[agent] | {name.replace("__", "."): value for name, value in changes.items()}
    chosen = [
        "explore",
        "train",
        "--agent",
        agent,
        "--preset",
        "smoke",
        "--env.count",
        "4",
        "--steps",
        str(steps),
        "--log-every",
        "100",
        "--out",
        str(out),
    ]
    return [*chosen, *(part for name, value in settings.items() for part in flag(name, value))]


def flag(name, value):
    """A setting as it is typed."""
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--{name.replace('.', '.no-')}"]
    return [f"--{name.replace('_', '-')}", str(value)]


def kept(path):
    """What the newest checkpoint of a run holds, and its metrics to the byte."""
    found = checkpoint.load(path / "checkpoints")
    return found.tensors, found.state, (path / "metrics.jsonl").read_bytes()


def differences(one, other):
    """Names of what differs between two runs."""
    (tensors, state, log), (theirs, their_state, their_log) = kept(one), kept(other)
    assert tensors.keys() == theirs.keys() and all(tensors[part].keys() == theirs[part].keys() for part in tensors)
    unequal = [
        f"{part}.{name}"
        for part in tensors
        for name, value in tensors[part].items()
        if not _same(value, theirs[part][name])
    ]
    return (
        unequal
        + [f"state.{name}" for name in state if state[name] != their_state.get(name)]
        + ["metrics"] * (log != their_log)
    )


def _same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()


def stopped_at(config, path, step):
    """Train in this process until a signal at a step."""

    def tell(told):
        if told["step"] >= step:
            os.kill(os.getpid(), signal.SIGTERM)

    result = train(config, path, tell)
    assert result["stopped"] and result["steps"] == step
    return result


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Runs that were never stopped."""
    place = tmp_path_factory.mktemp("whole")
    for agent in AGENTS:
        assert main(command(agent, place / agent)) == 0
    return place


@pytest.fixture(scope="module")
def resumed(whole, tmp_path_factory):
    """The same runs, stopped on the way and gone on with in a fresh process, by `outrange run resume`."""
    place = tmp_path_factory.mktemp("resumed")
    paths = []
    for agent, steps in STOPS.items():
        for step in steps:
            path = place / f"{agent}-{step}"
            stopped_at(Run.configuration(whole / agent, TrainConfig), path, step)
            paths.append(str(path))
    code = "import sys; from outrange.cli import main; sys.exit(max(main(['run', 'resume', path]) for path in sys.argv[1:]))"
    result = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(f"trained {STEPS} steps") == len(paths)
    return place


@pytest.mark.parametrize(("agent", "step"), [(agent, step) for agent, steps in STOPS.items() for step in steps])
def test_a_run_stopped_and_gone_on_with_in_a_fresh_process_equals_one_that_was_never_stopped(
    agent, step, whole, resumed
):
    assert differences(whole / agent, resumed / f"{agent}-{step}") == []


def test_those_runs_were_stopped_in_the_middle_of_what_matters(whole):
    config = Run.configuration(whole / "ngu", TrainConfig)
    trainer = Trainer(config)
    at = {}
    while trainer.step < 228:
        trainer.advance()
        at[trainer.step] = trainer.warming_up, trainer.replay.filled, trainer.warm_up_updates
    assert at[40][0] and at[40][2] == 2 and at[48] == (False, 0, 4) and at[52][1] == 4
    assert (
        trainer.actor.episodes.length.any()
        and trainer.actor.novelty.episodic.memory.counts.max() > 1
        and trainer.agent.updates > 10
        and trainer.steps_not_learned > 0
    )


@pytest.mark.parametrize("agent", AGENTS)
def test_the_command_line_trains_and_leaves_a_run_that_says_what_it_was(agent, whole):
    about, lines = (
        json.loads((whole / agent / "config.json").read_text()),
        metrics.read(whole / agent / "metrics.jsonl"),
    )
    assert (
        about["agent"] == agent
        and about["steps"] == STEPS
        and about["env"]["options"] == ["size=7", "cap=40"]
        and about["env"]["count"] == 4
    )
    assert [line["step"] for line in lines] == [100, 200, 300, 360]
    assert lines[-1]["updates"] > 30 and all(np.isfinite(value) for line in lines for value in line.values())
    assert {"loss", "gradient_norm", "return", "length", "coverage"} <= set(lines[-1])
    assert ("embedding_loss" in lines[-1], "rnd_loss" in lines[-1]) == {
        "ngu": (True, True),
        "ngu-episodic": (True, False),
        "r2d2": (False, False),
    }[agent]
    assert any(line.get("bonus", 0) > 0 for line in lines) == (agent != "r2d2")


def test_the_same_seed_gives_the_same_run_whatever_was_drawn_before_and_another_seed_another(whole, tmp_path):
    torch.manual_seed(123)
    torch.rand(7)
    assert main(command("ngu", tmp_path / "again")) == 0
    assert differences(whole / "ngu", tmp_path / "again") == []
    assert main([*command("ngu", tmp_path / "other", steps=200), "--seed", "1"]) == 0
    assert (tmp_path / "other/metrics.jsonl").read_bytes()[:300] != (whole / "ngu/metrics.jsonl").read_bytes()[:300]


def test_the_same_command_again_changes_nothing(whole, capsys):
    before = kept(whole / "r2d2")[2]
    assert main(command("r2d2", whole / "r2d2")) == 0
    assert "already trained" in capsys.readouterr().out and kept(whole / "r2d2")[2] == before


def test_going_on_with_a_changed_setting_is_refused_in_a_sentence(whole, capsys):
    for change, said in (
        (["--learner.learning_rate", "0.5"], "learner.learning_rate 0.0007, now 0.5"),
        (["--seed", "9"], "seed 0, now 9"),
    ):
        assert main([*command("r2d2", whole / "r2d2"), *change]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("error: run: ") and "another configuration" in error and said in error


def test_a_process_asked_to_stop_saves_and_ends_with_exit_code_1(tmp_path):
    place = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "outrange", *command("ngu", place, steps=10**8)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stderr:
            if line.startswith("step 200/"):
                break
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1 and "stopping after this step" in err
    assert f"next: outrange run resume {place}" in out
    step = int(re.search(r"stopped at step (\d+)", out)[1])
    assert [path.name for path in (place / "checkpoints").iterdir()] == [f"step_{step}"] and step >= 200
    assert kept(place)[1]["step"] == step


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--learner.gama", "0.9"], "did you mean --learner.gamma"), (["--learner.gamma", "2"], "learner.gamma: 2"), (["--learner.gamma"], "is missing"),
        (["--option", "size=8"], "size: 8 is not allowed"), (["--option", "sise=7"], "did you mean 'size'"), (["--env", "outrange/RandomDiscMaze-v0"], "did you mean"),
        (["--network.encoder", "pixels"], "encoder: 'pixels' needs an image"), (["--replay.capacity", "20"], "replay.capacity: "), (["--steps", "-1"], "steps: -1"),
        (["--device", "cuda"], "device: 'cuda'"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_one_sentence_and_exit_code_2_and_leaves_no_directory(
    arguments, said, tmp_path, capsys
):
    if arguments[-1] == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert main([*command("r2d2", tmp_path / "run"), *arguments]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and said in error and not (tmp_path / "run").exists()


def test_a_configuration_is_whole_and_takes_no_agent_or_preset_beside_it(whole, tmp_path, capsys):
    given = ["explore", "train", "--config", str(whole / "r2d2/config.json"), "--out", str(tmp_path / "run")]
    for beside in (["--agent", "ngu"], ["--preset", "smoke"]):
        assert main([*given, *beside]) == 2
        assert "leave out --agent and --preset" in capsys.readouterr().err
    assert main([*given, "--steps", "0"]) == 0
    assert json.loads((tmp_path / "run/config.json").read_text()) == json.loads(
        (whole / "r2d2/config.json").read_text()
    ) | {"steps": 0}


def test_an_actor_in_a_process_of_its_own_in_lock_step_gives_the_numbers_of_one_process(whole, tmp_path):
    config = changed(
        Run.configuration(whole / "ngu", TrainConfig), {"acting.separate_process": True, "acting.steps_ahead": 0}
    )
    assert train(config, tmp_path / "run")["steps"] == STEPS
    assert differences(whole / "ngu", tmp_path / "run") == []


# the trainer


def scripted_trainer(monkeypatch, scripts=(("...T", ".....C"),) * 2, exact=True, **settings):
    monkeypatch.setattr(
        training,
        "environments",
        lambda config, seeds, count=None: Scripted([list(each) for each in scripts], exact=exact),
    )
    return Trainer(tiny(env__count=len(scripts), **settings))


def acting_tensors(trainer):
    """Copies of the tensors of every network, by network and name."""
    return {name: copied(module) for name, module in trainer.agent.acting_modules().items()}


def test_updates_are_as_many_as_the_ratio_says_and_begin_when_there_are_enough_sequences(monkeypatch):
    trainer = scripted_trainer(monkeypatch, replay__min_sequences=4, learner__replay_ratio=0.8, learner__batch_size=3)
    counted = []
    while len(counted) < 60:
        trainer.advance()
        counted.append((trainer.replay.ready, trainer.agent.updates))
    begun = next(k for k, (ready, _) in enumerate(counted) if ready >= 4)
    assert begun > 2 and not any(updates for _, updates in counted[:begun])
    for k, (_, updates) in enumerate(counted[begun:], start=1):
        assert updates == int(0.8 * 2 * k / (3 * 4) + 1e-9)  # ratio x steps / (batch x trace), two steps at a time


def test_priorities_of_what_was_learned_from_go_back_to_the_replay(monkeypatch):
    trainer = scripted_trainer(monkeypatch, learner__replay_ratio=4)
    given, learned, update, learn = [], [], trainer.replay.update, trainer.agent.learn
    monkeypatch.setattr(
        trainer.replay,
        "update",
        lambda slots, priorities: (given.append((slots.tolist(), priorities.tolist())), update(slots, priorities)),
    )
    monkeypatch.setattr(
        trainer.agent, "learn", lambda s: (learned.append((s.slots.tolist(), learn(s))), learned[-1][1])[1]
    )
    for _ in range(40):
        trainer.advance()
    assert given == [(slots, found[0].tolist()) for slots, found in learned] and len(given) > 5


def test_the_warm_up_is_uniform_earns_nothing_teaches_the_embedding_alone_and_its_rows_are_gone_after(monkeypatch):
    trainer = scripted_trainer(
        monkeypatch, agent="ngu-episodic", bonus__warmup_updates=5, bonus__missing_neighbours="unit"
    )
    before, rows, append = acting_tensors(trainer), [], trainer.replay.append
    monkeypatch.setattr(
        trainer.replay,
        "append",
        lambda columns, mask, state: (
            rows.append({n: c.copy() for n, c in columns.items()}),
            append(columns, mask, state),
        ),
    )
    while trainer.warming_up:
        assert trainer.agent.updates == 0
        trainer.advance()
    after = acting_tensors(trainer)
    assert trainer.warm_up_updates == 5 and trainer.step == trainer.warm_up_steps > 0
    assert all(torch.equal(value, after["q"][name]) for name, value in before["q"].items())
    assert any(not torch.equal(value, after["embedding"][name]) for name, value in before["embedding"].items())
    assert not any(row["bonus"].any() or row["last_bonus"].any() for row in rows) and {
        float(m) for row in rows for m in row["mu"][~row["filler"]]
    } == {float(np.float32(1 / 3))}
    assert (
        trainer.replay.filled == trainer.replay.ready == 0
        and trainer.actor.novelty.memory.counts.tolist() == [1, 1]
        and not trainer.actor.novelty.kernel.mean.value.any()
    )
    x = np.arange(12, dtype=np.uint8).reshape(4, 3)
    assert trainer.actor.novelty.embed(x) == pytest.approx(
        trainer.agent.acting_modules()["embedding"].encoder(torch.from_numpy(x)).detach().numpy()
    )  # the actors have what was learned
    rows.clear()
    trainer.advance()
    assert rows[0]["first"].all() and rows[0]["bonus"].all() and (rows[0]["mu"] == 1).all()
    assert "episodes" not in trainer.report()


def test_the_warm_up_ends_sooner_when_actions_are_told_apart_over_20_updates(monkeypatch):
    trainer = scripted_trainer(monkeypatch, agent="ngu-episodic", bonus__warmup_updates=100, bonus__warmup_accuracy=0.5)
    told = iter([0.4] * 5 + [0.6] * 100)
    monkeypatch.setattr(trainer.agent, "warm_up", lambda sequences: {"embedding_accuracy": next(told)})
    while trainer.warming_up:
        trainer.advance()
    assert trainer.warm_up_updates == 20  # 5 x 0.4 + 15 x 0.6 = 20 x 0.55


def test_the_numbers_of_a_report_are_means_since_the_last_one(monkeypatch):
    trainer = scripted_trainer(monkeypatch, learner__replay_ratio=4)
    losses, learn = [], trainer.agent.learn
    monkeypatch.setattr(trainer.agent, "learn", lambda s: (losses.append(learn(s)), losses[-1])[1])
    for _ in range(2):
        losses.clear()
        for _ in range(20):
            trainer.advance()
        told = trainer.report()
        assert (
            told["loss"] == pytest.approx(np.mean([each[1]["loss"] for each in losses]))
            and told["updates"] == trainer.agent.updates
        )
        assert told["replay"] == trainer.replay.filled


def test_a_projection_is_not_trained_by_a_warm_up_either(monkeypatch):
    trainer = scripted_trainer(monkeypatch, agent="ngu-projection", bonus__warmup_updates=3)
    before = acting_tensors(trainer)["embedding"]
    for _ in range(30):
        trainer.advance()
    assert all(torch.equal(value, before[name]) for name, value in acting_tensors(trainer)["embedding"].items())


def begun_anew(monkeypatch, scripts, steps, **settings):
    """A trainer in the middle of episodes of an engine that cannot say where it is, and one that went on from what the first saved."""
    trainer, other = (scripted_trainer(monkeypatch, scripts, exact=False, **settings) for _ in range(2))
    for _ in range(steps):
        trainer.advance()
    other.load_state_dict(*trainer.state_dict())
    return trainer, other


@pytest.mark.parametrize("crossing", [True, False])
def test_after_a_resume_that_begins_new_episodes_no_step_is_bootstrapped_from_another_episodes_beginning(
    monkeypatch, crossing
):
    trainer, other = begun_anew(
        monkeypatch,
        [["......T"], ["...C"], ["..C", ".....T"]],
        9,
        replay__cross_episodes=crossing,
        replay__min_sequences=50,
    )
    for _ in range(9):
        other.advance()
    held = other.replay.state_dict()
    ends = np.cumsum(held["position"])
    for begin, end in zip([0, *ends], ends):
        first, over, filler = (held[name][begin:end] for name in ("first", "terminated", "filler"))
        assert first[1:].any() and all(over[t] or filler[t] for t in np.flatnonzero(first[1:]))
    assert other.actor.broken == 0 and not held["filler"].all()


def test_after_a_resume_new_episodes_are_others_than_those_of_the_beginning(monkeypatch):
    trainer, other = begun_anew(monkeypatch, [["..T"] * 9], 14)
    seen = int(trainer.actor.row["observation"][0, 1])
    assert (
        seen == 4 and int(other.actor.row["observation"][0, 1]) > seen
    )  # or every resume trains on the first episodes once more


# whether what is learned is right


class Chain:
    """Three states in a row: left, right, or quit for 0.3, which ends the episode; right from the last state brings 1 and ends it."""

    name, engine, actions, action_names, codes, exact = "chain", "none", 3, ("left", "right", "quit"), 0, False
    shape, dtype = (3,), np.dtype(np.float32)
    #: with a discount of 0.9
    BEST = np.array([[0.729, 0.81, 0.3], [0.729, 0.9, 0.3], [0.81, 1.0, 0.3]])

    def __init__(self, count):
        self.count, self.at = count, np.zeros(count, np.int64)

    def reset(self):
        self.at = np.zeros(self.count, np.int64)
        return np.eye(3, dtype=np.float32)[self.at], self.at.copy()

    def step(self, actions):
        last = np.clip(self.at + (actions == 1) - (actions == 0), 0, 2)
        won, quit = (self.at == 2) & (actions == 1), actions == 2
        ended, none = won | quit, np.zeros(self.count, bool)
        self.at = np.where(ended, 0, last)
        return Step(
            observation=np.eye(3, dtype=np.float32)[self.at], final=np.eye(3, dtype=np.float32)[last], reward=(won + 0.3 * quit).astype(np.float32),
            terminated=ended, truncated=none, started=ended, valid=~none, broken=none, place=last, start_place=self.at.copy(),
        )  # fmt: skip

    def places(self):
        return np.full(self.count, 3)

    def close(self):
        pass


def furthest_from_the_best(monkeypatch, **settings):
    """The largest error of Q after learning from uniformly random actions, in all states and after many histories, and whether its choice is always right."""
    monkeypatch.setattr(training, "environments", lambda config, seeds, count=None: Chain(16))
    given = {
        "learner__gamma": 0.9,
        "learner__target_policy_epsilon": 0.0,
        "learner__batch_size": 16,
        "learner__replay_ratio": 10,
        "learner__learning_rate": 1e-2,
        "learner__target_update_period": 10,
    }
    shape = {
        "replay__trace_length": 10,
        "replay__period": 10,
        "replay__capacity": 16 * 400,
        "network__encoder_size": 16,
        "network__hidden_size": 16,
        "network__head_size": 16,
    }
    trainer = Trainer(
        tiny(env__count=16, acting__epsilon_base=1.0, acting__epsilon_alpha=0.0, **given | shape | settings)
    )
    for _ in range(200):
        trainer.advance()
    error, right = 0.0, True
    for _ in range(20):
        row, state = trainer.actor.row, trainer.actor.state
        q, best = trainer.agent.values(row, state)[0], Chain.BEST[row["observation"].argmax(1)]
        q = trainer.agent.heads["q"].transform.back(torch.from_numpy(q)).numpy()
        error, right = max(error, float(np.abs(q - best).max())), right and bool((q.argmax(1) == 1).all())
        trainer.actor.advance()
    return error, right


@pytest.mark.parametrize(
    "settings",
    [{"learner__transform": "identity"}, {"learner__target": "n-step", "learner__n_steps": 1}],
    ids=["retrace", "n-step, rescaled"],
)
def test_the_values_of_a_chain_are_learned_to_their_closed_form(monkeypatch, settings):
    error, right = furthest_from_the_best(monkeypatch, **settings)
    assert error < 0.12 and right


def test_a_target_that_forgets_what_follows_fails_the_same_check(monkeypatch):
    real = returns.retrace
    monkeypatch.setattr(
        returns,
        "retrace",
        lambda value, expected, reward, discount, trace: real(
            value, expected, reward, torch.zeros_like(discount), trace
        ),
    )
    error, right = furthest_from_the_best(monkeypatch, learner__transform="identity")
    assert error > 0.5 and not right


# what has been learned, looked at


def test_an_evaluation_repeats_itself_changes_nothing_and_takes_as_many_episodes_from_each_environment(whole, tmp_path):
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    one, again, other = (evaluate(whole / "ngu", episodes=6, seed=seed, mixture=1) for seed in (0, 0, 1))
    assert one == again != other and one["episodes"] == 6 and 0 < one["coverage"] <= 1 and one["mixture"] == 1
    assert 1 <= one["length"] <= 40 and one["coverage"] * 17 == pytest.approx(
        one["places"]
    )  # 17 free cells in a maze of 7 x 7
    assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before


def test_an_evaluation_does_not_prefer_environments_whose_episodes_are_short(monkeypatch, tmp_path):
    for module in (training, evaluation):
        monkeypatch.setattr(
            module,
            "environments",
            lambda config, seeds, count=None: Scripted([["T"], ["....C"]], rewards=[[[0.0]], [[1.0]]]),
        )
    train(tiny(env__count=2, steps=20), tmp_path / "run")
    told = evaluate(tmp_path / "run", episodes=2)
    assert (told["episodes"], told["length"], told["return"], told["success"]) == (
        2,
        3,
        0.5,
        0.5,
    )  # 1 and 5 steps, one episode each
    assert (
        told["length_error"] == pytest.approx(2.0) and told["places"] == 4 and told["coverage"] == 0.5
    )  # 2 and 6 of 8 places


def test_an_evaluation_acts_with_the_mixture_and_epsilon_it_was_told(whole):
    for mixture in range(2):
        acting = stage(whole / "ngu", 3, mixture=mixture)
        agent, shown, values = acting.policy.agent, [], acting.policy.agent.values
        agent.values = lambda row, state, values=values, shown=shown: (
            shown.append(row["mixture"].copy()),
            values(row, state),
        )[1]
        for _ in range(60):
            acting.actor.advance()
        assert {int(m) for row in shown for m in row} == {mixture}  # though the run draws a mixture for each episode
        assert not acting.actor.behaviour.epsilon.any()
        acting.envs.close()
    acting = stage(whole / "ngu", 3, epsilon=0.25)
    assert acting.actor.behaviour.epsilon.tolist() == [0.25] * 3
    acting.envs.close()


def test_eval_prints_every_mixture_and_refuses_what_is_none(whole, capsys):
    assert main(["explore", "eval", str(whole / "ngu"), "--episodes", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["mixture"] for row in told] == [0, 1] and {"return", "coverage", "length_error"} <= set(told[0])
    assert main(["explore", "eval", str(whole / "ngu"), "--mixture", "2"]) == 2
    assert "mixture: 2 is not allowed; the run has 2" in capsys.readouterr().err
    assert main(["explore", "eval", str(whole), "--episodes", "2"]) == 2 and "holds no run" in capsys.readouterr().err


def test_a_recording_has_a_picture_before_each_step_and_after_the_last(whole):
    seen = record(whole / "ngu", mixture=1)
    steps = len(seen.action)
    assert (
        len(seen.pictures) == len(seen.place) == steps + 1
        and len(seen.reward) == len(seen.bonus) == len(seen.points) == steps >= 1
    )
    assert seen.points.shape == (steps, 8) and seen.places == 17 and 0 < seen.coverage <= 1
    if seen.terminated:
        assert seen.bonus[-1] == 0 and seen.place[-1] == -1


def test_a_run_without_a_checkpoint_cannot_be_evaluated_yet(whole, tmp_path):
    Run.create(tmp_path / "run", "explore", Run.configuration(whole / "ngu", TrainConfig))
    assert main(["explore", "eval", str(tmp_path / "run")]) == 2


def test_no_steps_are_no_run_to_speak_of_and_take_no_time(tmp_path):
    begun = time.monotonic()
    assert (
        train(tiny(env__name="outrange/TwoDoors-v0", steps=0), Path(tmp_path / "run"))["steps"] == 0
        and time.monotonic() - begun < 60
    )


def test_the_warm_up_is_among_the_steps_of_a_run_as_its_setting_says():
    settings = {
        "steps": 400,
        "env.count": 4,
        "acting.greedy_actors": 1,
        "replay.trace_length": 8,
        "replay.period": 4,
        "replay.capacity": 480,
        "replay.min_sequences": 4,
        "bonus.warmup_updates": 10,
    }
    trainer = Trainer(changed(preset("smoke"), settings))
    while trainer.step < trainer.config.steps:  # as the training does
        trainer.advance()
    assert 0 < trainer.warm_up_steps < 400 <= trainer.step < 404


def test_after_a_training_small_numbers_are_what_they_were(tmp_path):
    settings = {
        "steps": 40,
        "env.count": 4,
        "acting.greedy_actors": 1,
        "replay.trace_length": 8,
        "replay.period": 4,
        "replay.capacity": 480,
        "bonus.warmup_updates": 0,
    }
    train(changed(preset("smoke"), settings), tmp_path / "run")
    assert float(torch.tensor(1e-39) * 0.5) > 0


def test_an_actor_process_that_hangs_is_ended_with_the_training(monkeypatch):
    monkeypatch.setattr(remote, "PATIENCE", 0.5)
    trainer = Trainer(changed(preset("smoke"), {"acting.separate_process": True, "replay.capacity": 2000}))
    child = trainer.actor._process
    os.kill(child.pid, signal.SIGSTOP)
    trainer.close()
    assert not child.is_alive()
