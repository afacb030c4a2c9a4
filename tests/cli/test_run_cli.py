"""``outrange run`` as a user meets it: what it prints, its JSON, its exit codes, and no torch until it is needed."""

import json
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest

from outrange.cli import main, train
from outrange.core.run import NonFinite, Run


@dataclass(frozen=True, kw_only=True)
class Toy:
    steps: int = 4
    rate: float = 0.1


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Run.create(Path("runs/toy-1"), "toy", Toy()) as run:
        run.metrics.write(step=1, loss=0.25)
        run.metrics.write(step=2, loss=float("nan"))
        run.save(2, {}, {"step": 2})
    return Path("runs/toy-1")


@pytest.fixture
def resumed(monkeypatch):
    """A kind of run that can be gone on with; what was asked of it."""
    asked = []
    module = types.ModuleType("toy_trainer")

    def resume(path, report_metrics):
        asked.append(path)
        report_metrics({"step": 4, "steps": 4, "loss": 0.5})
        return {"steps": 4, "new_steps": 2, "seconds": 7.0, "stopped": False}

    module.resume = resume
    monkeypatch.setitem(sys.modules, "toy_trainer", module)
    monkeypatch.setitem(train.KINDS, "toy", ToyKind())
    return asked


class ToyKind(train.Kind):
    module = "toy_trainer"
    next = "outrange toy eval {run}"

    def describe(self, values):
        return f"loss {values['loss']}"

    def outcome(self, result):
        return ""


def said(capsys, *arguments, code=0):
    assert main(["run", *map(str, arguments)]) == code
    return capsys.readouterr()


def test_runs_are_listed_with_kind_step_and_last_metrics(path, capsys):
    out = said(capsys, "list").out
    assert "runs/toy-1" in out and "toy" in out and "loss nan" in out
    rows = json.loads(said(capsys, "list", "runs", "--json").out, parse_constant=pytest.fail)
    assert [(r["run"], r["kind"], r["step"], r["metrics"]) for r in rows] == [
        ("runs/toy-1", "toy", 2, {"step": 2, "loss": "nan"})
    ]


def test_a_broken_run_does_not_hide_the_others(path, capsys):
    Path("runs/broken").mkdir()
    Path("runs/broken/run.json").write_text("{")
    out = said(capsys, "list").out
    assert "runs/toy-1" in out and "runs/broken" in out
    assert json.loads(said(capsys, "list", "--json").out)[0]["problems"][0].startswith(
        "run: 'runs/broken/run.json' is not JSON"
    )


def test_a_folder_without_runs_says_so_and_one_that_is_not_there_is_bad_input(path, capsys):
    Path("none").mkdir()
    assert said(capsys, "list", "none").out == "no runs in none\n"
    assert said(capsys, "list", "absent", code=2).err.startswith("error: folder: 'absent' is not a directory")


def test_one_run_is_shown(path, capsys):
    out = said(capsys, "show", path).out
    assert "rate = 0.1" in out and "checkpoints: 2" in out and "loss nan" in out and "versions.torch = " in out
    shown = json.loads(said(capsys, "show", path, "--json").out, parse_constant=pytest.fail)
    assert shown["config"] == {"steps": 4, "rate": 0.1} and shown["checkpoints"] == [2] and shown["environment"]["cpu"]


def test_a_whole_run_is_verified(path, capsys):
    assert said(capsys, "verify", path).out == "runs/toy-1: whole; 1 checkpoint read and hashed\n"
    assert json.loads(said(capsys, "verify", path, "--json").out) == {
        "run": "runs/toy-1",
        "whole": True,
        "problems": [],
    }


def test_damage_is_named_and_the_exit_code_is_one(path, capsys):
    (path / "checkpoints/step_2/state.json").write_text('{"step": 3}\n')
    with open(path / "metrics.jsonl", "a") as file:
        file.write('{"step": 3')
    lines = said(capsys, "verify", path, code=1).out.splitlines()
    assert lines[0] == "runs/toy-1/checkpoints/step_2: state.json is not what was written: its SHA-256 is another"
    assert lines[1].startswith("runs/toy-1/metrics.jsonl: ") and "torn" in lines[1] and len(lines) == 2
    result = json.loads(said(capsys, "verify", path, "--json", code=1).out)
    assert not result["whole"] and len(result["problems"]) == 2


def test_a_run_is_resumed_by_the_trainer_of_its_kind(path, resumed, capsys):
    assert said(capsys, "resume", path).out == "trained 4 steps in 7 s\nnext: outrange toy eval runs/toy-1\n"
    result = {"run": "runs/toy-1", "steps": 4, "new_steps": 2, "seconds": 7.0, "stopped": False}
    assert json.loads(said(capsys, "resume", path, "--json").out) == result
    assert resumed == [path, path]


def test_a_resumed_run_that_is_stopped_again_has_exit_code_one_as_its_training_has(path, resumed, capsys, monkeypatch):
    stopped = {"steps": 3, "new_steps": 1, "seconds": 7.0, "stopped": True}
    monkeypatch.setattr(sys.modules["toy_trainer"], "resume", lambda path, report_metrics: stopped)
    out = said(capsys, "resume", path, code=1).out
    assert out == "stopped at step 3 in 7 s\nnext: outrange run resume runs/toy-1\n"
    assert json.loads(said(capsys, "resume", path, "--json", code=1).out) == {"run": "runs/toy-1", **stopped}


def test_a_kind_that_cannot_be_resumed_is_bad_input(path, capsys, monkeypatch):
    assert (
        said(capsys, "resume", path, code=2).err
        == "error: run: 'toy' is not a kind of run that this version can resume; allowed: explore, lm, nar\n"
    )
    monkeypatch.setitem(train.KINDS, "toy", ToyKind())
    monkeypatch.setattr(ToyKind, "module", "outrange.absent")
    assert (
        said(capsys, "resume", path, code=2).err
        == "error: run: a run of kind 'toy' needs 'outrange.absent', which is not installed\n"
    )


def test_a_loss_that_is_not_finite_ends_with_one_sentence_and_exit_code_one(path, resumed, capsys, monkeypatch):
    def resume(path, report_metrics):
        raise NonFinite("loss of bfs/pi_h is nan at step 12; nothing was updated")

    monkeypatch.setattr(sys.modules["toy_trainer"], "resume", resume)
    assert (
        said(capsys, "resume", path, code=1).err == "error: loss of bfs/pi_h is nan at step 12; nothing was updated\n"
    )


def test_any_other_failure_is_not_hidden(path, resumed, monkeypatch):
    monkeypatch.setattr(sys.modules["toy_trainer"], "resume", lambda path, report_metrics: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["run", "resume", str(path)])


@pytest.mark.parametrize("command", ["show", "resume", "verify"])
def test_what_is_no_run_is_bad_input(tmp_path, capsys, command):
    assert said(capsys, command, tmp_path, code=2).err.startswith(f"error: run: {str(tmp_path)!r} holds no run")
    assert said(capsys, command, tmp_path / "absent", code=2).err.startswith("error: run: ")


def test_torch_is_not_loaded_to_look_at_runs(path):
    code = """
import sys
from outrange.cli import main
for command in ("--help", "resume --help", "list", "show runs/toy-1", "verify runs/toy-1"):
    try:
        code = main(["run", *command.split()])
    except SystemExit as stop:
        code = stop.code
    assert (code or 0, "torch" in sys.modules) == (0, False), command
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_real_command_line_verifies_a_run(path):
    done = subprocess.run(
        [sys.executable, "-m", "outrange", "run", "verify", path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "runs/toy-1: whole; 1 checkpoint read and hashed\n", "")
