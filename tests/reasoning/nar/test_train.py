"""Training: exact resumption, stopping, refusals, several processes."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from outrange.core.checkpoint import read_weights, write_weights
from outrange.core.config import from_json, to_json
from outrange.core.errors import BadInput
from outrange.core.run import NonFinite, Run
from outrange.reasoning.clrs.load import load_modules
from outrange.reasoning.nar.config import TrainConfig, preset
from outrange.reasoning.nar.reasoner import Reasoner, load
from outrange.reasoning.nar.training import Trainer, resume, train
from outrange.reasoning.nar.weights import export, shipped

SINGLE = preset(
    "smoke", ("insertion_sort",), steps=12, checkpoint_every=6, evaluate_every=4, evaluate_samples=8, log_every=1
)
CHUNKED = preset(
    "smoke",
    ("bfs", "heapsort", "quickselect"),
    steps=18,
    checkpoint_every=7,
    evaluate_every=2,
    evaluate_samples=8,
    log_every=1,
    chunk_length=5,
)


def run_in_fresh_process(config, path, stop_after=None):
    """Train in a new interpreter; with ``stop_after`` it ends, as after SIGTERM, when that step is done."""
    code = """
import json, os, signal, sys
from pathlib import Path
from outrange.core.config import from_json
from outrange.reasoning.nar.config import TrainConfig
from outrange.reasoning.nar.training import train
stop = int(sys.argv[3])
def report_metrics(values):
    if values["step"] == stop:
        os.kill(os.getpid(), signal.SIGTERM)
print(json.dumps(train(from_json(TrainConfig, json.loads(sys.argv[1])), Path(sys.argv[2]), report_metrics)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(to_json(config)), str(path), str(stop_after or -1)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def newest(path):
    with torch.no_grad():
        found = Run.open(path).load()
    return found


def same(a, b):
    assert a.step == b.step and a.state == b.state and a.tensors.keys() == b.tensors.keys()
    for part, tensors in a.tensors.items():
        assert tensors.keys() == b.tensors[part].keys()
        for name, tensor in tensors.items():
            assert torch.equal(tensor, b.tensors[part][name]), f"{part}/{name}"


@pytest.mark.parametrize(("config", "stop"), [(SINGLE, 5), (CHUNKED, 8)], ids=["single", "chunked multi-task"])
def test_stopped_and_gone_on_in_a_fresh_process_is_the_same_tensor_for_tensor_and_byte_for_byte(tmp_path, config, stop):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert not run_in_fresh_process(config, whole)["stopped"]
    first = run_in_fresh_process(config, parts, stop_after=stop)
    assert first["stopped"] and first["steps"] == stop
    second = run_in_fresh_process(config, parts)
    assert second["steps"] == config.steps
    same(newest(whole), newest(parts))
    assert (whole / "metrics.jsonl").read_bytes() == (parts / "metrics.jsonl").read_bytes()


def test_two_runs_of_one_configuration_are_bit_identical(tmp_path):
    for name in "ab":
        train(SINGLE, tmp_path / name)
    same(newest(tmp_path / "a"), newest(tmp_path / "b"))
    train(replace(SINGLE, seed=1), tmp_path / "c")
    other = newest(tmp_path / "c").tensors["model"]
    assert any(not torch.equal(t, other[n]) for n, t in newest(tmp_path / "a").tensors["model"].items())


def test_a_killed_training_goes_on_from_its_last_checkpoint_to_the_same_end(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(SINGLE, whole)

    class Killed(BaseException):
        pass

    def report_metrics(values):
        if values["step"] == 8:
            raise Killed

    with pytest.raises(Killed):
        train(SINGLE, killed, report_metrics)
    assert newest(killed).step == 6
    assert json.loads((killed / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 8
    resume(killed)
    same(newest(whole), newest(killed))
    assert (whole / "metrics.jsonl").read_bytes() == (killed / "metrics.jsonl").read_bytes()


def test_the_loss_falls_and_the_score_rises(tmp_path):
    train(preset("smoke", ("bfs",), steps=150, log_every=1), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert np.mean([line["loss"] for line in lines[-10:]]) < 0.5 * np.mean([line["loss"] for line in lines[:10]])
    scores = [line["val"] for line in lines if "val" in line]
    assert scores[-1] > 0.85


def test_another_configuration_is_refused_naming_what_differs(tmp_path):
    train(replace(SINGLE, steps=1), tmp_path / "run")
    with pytest.raises(BadInput, match=r"learning_rate 0\.001, now 0\.01"):
        train(replace(SINGLE, steps=1, learning_rate=0.01), tmp_path / "run")


def test_a_loss_that_is_not_finite_is_stopped_before_the_update_naming_algorithm_and_probe():
    trainer = Trainer(SINGLE)
    batch = trainer.feeds[0][0]
    batch.outputs["pred"][0, 0, 0] = np.nan
    before = trainer.weights()
    with pytest.raises(NonFinite, match=r"insertion_sort/pred is nan at step 0; nothing was updated"):
        trainer.advance(batch)
    assert all(torch.equal(value, before[name]) for name, value in trainer.weights().items())
    assert all(not moment.any() for moment in trainer.optimizer.state_dict().values())


def test_a_checkpoint_with_a_flipped_byte_is_passed_over_for_the_one_before(tmp_path, caplog):
    train(SINGLE, tmp_path / "run")
    damaged = tmp_path / "run/checkpoints/step_12/model.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-5] ^= 1
    damaged.write_bytes(content)
    reasoner, about = load(tmp_path / "run")
    assert newest(tmp_path / "run").step == 6
    assert "model.safetensors" in caplog.text and about["step"] <= 6
    assert isinstance(reasoner, Reasoner)
    resume(tmp_path / "run")
    assert newest(tmp_path / "run").step == 12


def test_an_algorithm_that_the_reasoner_does_not_know_is_refused_saying_which_it_knows(tmp_path):
    train(replace(SINGLE, steps=1), tmp_path / "run")
    reasoner = Reasoner.load(str(tmp_path / "run"))
    with pytest.raises(BadInput, match=r"'dfs' is not one that this reasoner knows; it knows insertion_sort"):
        reasoner.task("dfs")


def test_exported_weights_load_by_their_folder_and_score_as_the_run_s_best(tmp_path):
    train(SINGLE, tmp_path / "run")
    export(tmp_path / "run", tmp_path / "weights", {"how": "a test"}, half=False)
    from_run, about = load(tmp_path / "run")
    exported, told = load(tmp_path / "weights")
    assert told["how"] == "a test" and told["step"] == about["step"]
    assert all(torch.equal(value, exported.state_dict()[name]) for name, value in from_run.state_dict().items())


def test_a_training_starts_from_the_weights_that_it_is_given_where_both_know_an_algorithm(tmp_path):
    train(SINGLE, tmp_path / "run")
    given = Reasoner.load(str(tmp_path / "run")).state_dict()
    more = replace(SINGLE, algorithms=("insertion_sort", "bfs"), initial_weights=str(tmp_path / "run"))
    started, fresh = Trainer(more).weights(), Trainer(replace(more, initial_weights="")).weights()
    assert all(torch.equal(started[name], value) for name, value in given.items())
    assert all(torch.equal(value, fresh[name]) for name, value in started.items() if name.startswith("tasks.bfs"))


def test_weights_of_another_shape_are_no_start(tmp_path):
    train(replace(SINGLE, steps=1), tmp_path / "run")
    with pytest.raises(BadInput, match=r"initial_weights: .* has \S+ of shape"):
        Trainer(replace(SINGLE, model=replace(SINGLE.model, hidden_dim=16), initial_weights=str(tmp_path / "run")))
    train(replace(SINGLE, steps=1, model=replace(SINGLE.model, processor="triplet_mpnn")), tmp_path / "ungated")
    with pytest.raises(BadInput, match=r"initial_weights: .* has no processor.gate_node"):
        Trainer(replace(SINGLE, initial_weights=str(tmp_path / "ungated")))


def test_a_run_goes_on_when_the_weights_that_it_started_from_are_gone(tmp_path):
    train(SINGLE, tmp_path / "run")
    config = replace(SINGLE, initial_weights=str(tmp_path / "run"), steps=8)

    def stop_at_five(values):
        if values["step"] == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    assert train(config, tmp_path / "second", stop_at_five)["stopped"]
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    assert resume(tmp_path / "second")["steps"] == 8


#: Names of settings in config.json up to version 0.6, and of today.
FORMER_NAMES = {
    "batch": "batch_size",
    "chunk": "chunk_length",
    "clip": "max_grad_norm",
    "evaluate_count": "evaluate_samples",
    "layer": "kernels",
    "start": "initial_weights",
}
FORMER_MODEL_NAMES = {"hidden": "hidden_dim", "hints": "hint_mode", "feedback": "hint_feedback"}


def with_former_names(config):
    data = to_json(config)
    for former, name in FORMER_NAMES.items():
        data[former] = data.pop(name)
    for former, name in FORMER_MODEL_NAMES.items():
        data["model"][former] = data["model"].pop(name)
    return data


def test_a_run_of_an_earlier_version_goes_on_from_its_checkpoint_and_is_loaded_and_exported(tmp_path):
    whole, run = tmp_path / "whole", tmp_path / "run"
    train(CHUNKED, whole)
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"kind": "nar", "schema": 1, "created": "2026-01-01T00:00:00+00:00"}))
    (run / "config.json").write_text(json.dumps(with_former_names(CHUNKED)))

    def stop_at_eight(values):
        if values["step"] == 8:
            os.kill(os.getpid(), signal.SIGTERM)

    assert resume(run, stop_at_eight)["stopped"]
    assert load(run)[1]["config"] == to_json(CHUNKED)
    assert resume(run)["steps"] == CHUNKED.steps
    same(newest(whole), newest(run))
    assert (whole / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()
    export(run, tmp_path / "weights", {}, half=False)
    assert read_weights(tmp_path / "weights")[1]["config"].keys() >= {"batch", "evaluate_count"}, "as it was written"
    assert load(tmp_path / "weights")[1]["config"] == to_json(CHUNKED)


def test_the_weights_that_ship_are_read_under_todays_names():
    for folder in shipped().values():
        config = from_json(TrainConfig, read_weights(folder)[1]["config"])
        assert config.algorithms and config.model.hidden_dim == 128


OWN = """
import numpy as np
from outrange.reasoning import clrs

SPEC = clrs.Spec("own", inputs="x node scalar", outputs="loss node mask", hints="step node mask, val node mask_one")
Hints = clrs.hints(SPEC)

def marking(x, loss):
    for i in range(x.size):
        loss[i] = x[i] > 0.5
        yield Hints(step=loss, val=i)

def sampler(rng, length, p=0.5):
    return {"x": rng.random(length) * (rng.random() < p) + 0.0 * np.arange(length)}

clrs.register("marking", SPEC, marking, sampler, replace=True)
"""


def test_an_algorithm_of_one_s_own_trains_whatever_its_probes_and_its_sampler_s_options_are_called(tmp_path):
    file = tmp_path / "own_marking.py"
    file.write_text(OWN)
    load_modules([str(file)])
    train(preset("smoke", ("marking",), load=(str(file),), steps=10), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert {"loss", "loss/loss", "loss/step", "loss/val", "val"} <= lines[-1].keys()
    assert lines[-1]["loss"] == pytest.approx(
        lines[-1]["loss/loss"] + lines[-1]["loss/step"] + lines[-1]["loss/val"], rel=1e-5
    )


def test_reading_weights_runs_no_file_that_they_name(tmp_path):
    train(replace(SINGLE, steps=1), tmp_path / "run")
    export(tmp_path / "run", tmp_path / "weights", {})
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    about = read_weights(tmp_path / "weights")[1]
    assert about["config"]["load"] == []
    about["config"]["load"] = [str(evil)]
    write_weights(tmp_path / "other", read_weights(tmp_path / "weights")[0], about)
    load(tmp_path / "other")
    assert not (tmp_path / "ran").exists()


def test_a_gpu_that_is_not_there_is_refused_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(BadInput, match=r"device: 'cuda' needs 1 GPUs here, there are 0"):
        train(replace(SINGLE, device="cuda"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_reading_a_configuration_loads_neither_torch_nor_the_compiler():
    code = (
        "import sys; from outrange.core.config import from_json, to_json; from outrange.reasoning.nar import TrainConfig, preset; "
        "assert from_json(TrainConfig, to_json(preset('paper', ('all',)))).batch_size == 32; "
        "loaded = {'torch', 'numba'} & sys.modules.keys(); assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(algorithms=()), "algorithms"),
        (dict(algorithms=("bfs", "bfs")), "listed twice"),
        (dict(algorithms=("bsf",)), "did you mean 'bfs'"),
        (dict(batch_size=0), "batch_size"),
        (dict(teacher_forcing=2.0), "teacher_forcing"),
        (dict(learning_rate=0.0), "learning_rate"),
        (dict(chunk_length=1), "chunk_length"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_in_one_sentence(changes, said):
    with pytest.raises(BadInput, match=said):
        replace(TrainConfig(algorithms=("bfs",)), **changes)


@pytest.mark.parametrize(
    "config",
    [replace(SINGLE, teacher_forcing=0.5, steps=4), replace(CHUNKED, steps=6)],
    ids=["single", "chunked multi-task"],
)
def test_two_processes_make_the_steps_that_one_makes(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(to_json(config)))
    train(config, tmp_path / "one")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "outrange",
        "nar",
        "train",
    ]
    done = subprocess.run(
        [*command, "--config", str(tmp_path / "config.json"), "--out", str(tmp_path / "two")],
        capture_output=True, text=True, timeout=240, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ones, twos = (
        [json.loads(line) for line in (tmp_path / n / "metrics.jsonl").read_text().splitlines()] for n in ("one", "two")
    )
    assert [line["step"] for line in ones] == [line["step"] for line in twos]
    for one, two in zip(ones, twos, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=2e-3)
    assert ones[0]["gradient_norm"] == pytest.approx(twos[0]["gradient_norm"], rel=1e-4)
    a, b = newest(tmp_path / "one").tensors["model"], newest(tmp_path / "two").tensors["model"]
    assert (
        max((a[n] - b[n]).abs().max().item() for n in a) < 5e-3
    )  # where a gradient is only rounding, Adam still moves by its rate


def test_a_second_process_on_a_run_is_refused_and_sigterm_saves(tmp_path):
    config = preset("smoke", ("bfs",), steps=100_000, evaluate_every=0, checkpoint_every=100_000)
    code = "import sys; from pathlib import Path; from tests_config import config; from outrange.reasoning.nar.training import train; train(config, Path(sys.argv[1]))"
    (tmp_path / "tests_config.py").write_text(
        f"from outrange.core.config import from_json\nfrom outrange.reasoning.nar.config import TrainConfig\nconfig = from_json(TrainConfig, {to_json(config)!r})\n"
    )
    first = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run")], cwd=tmp_path, stderr=subprocess.PIPE)
    try:
        metrics = tmp_path / "run/metrics.jsonl"
        until = time.monotonic() + 120
        while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < until:
            time.sleep(0.1)
        with pytest.raises(BadInput, match="another process"):
            train(config, tmp_path / "run")
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0
    finally:
        first.kill()
        first.communicate()
    assert newest(tmp_path / "run").step > 0
