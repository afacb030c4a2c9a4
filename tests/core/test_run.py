"""A run is a directory: made once, gone on with only by the same settings and by one process, repeated to the byte when it is resumed."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from outrange.core import atomic, checkpoint, config, metrics, runs
from outrange.core.errors import BadInput
from outrange.core.run import NonFinite, Run, Stopping, check_finite, default
from outrange.core.seeding import SeedTree, restore_torch, torch_state


@dataclass(frozen=True, kw_only=True)
class Toy:
    steps: int = 12
    rate: float = 0.05
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class LaterToy:
    steps: int = 12
    rate: float = 0.05
    seed: int = 0
    momentum: float = 0.0


def train(path, until, settings=Toy(), every=3):  # noqa: B008
    """A small training that reads its noise from one generator, which is part of its state."""
    with Run.create(path, "toy", settings) as run:
        noise = SeedTree(settings.seed).child("noise").torch()
        weight = torch.ones(3, dtype=torch.float64)
        step = 0
        if found := run.load():
            weight, step = found.tensors["model"]["weight"].clone(), found.state["step"]
            restore_torch(noise, found.tensors["random"]["noise"])
        while step < until:
            gradient = weight + torch.randn(3, generator=noise, dtype=torch.float64)
            weight = weight - settings.rate * gradient
            step += 1
            run.metrics.write(step=step, loss=weight.square().sum())
            run.timing.write(step=step, pid=os.getpid())
            if step % every == 0:
                run.save(step, {"model": {"weight": weight}, "random": {"noise": torch_state(noise)}}, {"step": step})
        return weight


@dataclass(frozen=True, kw_only=True)
class RenamedToy:
    RENAMED: ClassVar = {"rate": "learning_rate"}

    steps: int = 12
    learning_rate: float = 0.05
    seed: int = 0


def test_a_run_of_an_earlier_version_is_gone_on_with_under_todays_names(tmp_path):
    """Its digest stays that of the configuration as it was written, so that its checkpoints are still its own."""
    train(tmp_path / "r", 6)
    written, digest = (tmp_path / "r/config.json").read_bytes(), Run.open(tmp_path / "r").digest
    with Run.create(tmp_path / "r", "toy", RenamedToy()) as run:
        assert run.digest == digest
        found = run.load()
        assert found and found.step == 6
        run.save(9, found.tensors, {"step": 9})
    assert (tmp_path / "r/config.json").read_bytes() == written
    assert Run.configuration(tmp_path / "r", RenamedToy) == RenamedToy()
    again = Run.open(tmp_path / "r").load()
    assert again and again.step == 9 and not again.skipped
    with pytest.raises(BadInput, match=r"another configuration \(learning_rate 0.05, now 0.1\)"):
        Run.create(tmp_path / "r", "toy", RenamedToy(learning_rate=0.1))


def test_a_reader_that_needs_one_group_reads_no_other(tmp_path):
    train(tmp_path / "r", 3)
    found = Run.open(tmp_path / "r").load(only=("model",))
    assert found and found.tensors.keys() == {"model"}


def test_a_run_holds_what_it_is_its_configuration_and_where_it_ran(tmp_path):
    train(tmp_path / "r", 3)
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == [
        "checkpoints",
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "run.json",
        "timing.jsonl",
    ]
    about = json.loads((tmp_path / "r/run.json").read_text())
    assert (about["kind"], about["schema"]) == ("toy", 1) and about["created"].endswith("+00:00")
    assert json.loads((tmp_path / "r/config.json").read_text()) == {"steps": 12, "rate": 0.05, "seed": 0}
    where = json.loads((tmp_path / "r/environment.json").read_text())
    assert (
        where["versions"]["torch"] == torch.__version__
        and where["threads"] == torch.get_num_threads()
        and where["cpu"]
        and where["command"]
    )
    assert Run.configuration(tmp_path / "r", Toy) == Toy()
    assert Run.open(tmp_path / "r").kind == "toy"


@pytest.mark.parametrize("cuts", [(6,), (1,), (3,), (4,), (8,), (2, 4, 5, 9, 10)])
def test_a_resumed_run_equals_one_that_was_never_stopped_to_the_byte(tmp_path, cuts):
    whole = train(tmp_path / "whole", 12)
    for cut in cuts:
        train(tmp_path / "cut", cut)  # beyond the last checkpoint: those steps are taken again
    assert torch.equal(train(tmp_path / "cut", 12), whole)
    assert (tmp_path / "cut/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()
    one, other = (checkpoint.load(tmp_path / name / "checkpoints").tensors for name in ("cut", "whole"))
    assert all(torch.equal(one[file][name], value) for file, inner in other.items() for name, value in inner.items())
    assert [line["step"] for line in metrics.read(tmp_path / "cut/timing.jsonl")] == list(range(1, 13))


def test_a_resume_in_a_fresh_process_equals_too(tmp_path):
    train(tmp_path / "whole", 12)
    train(tmp_path / "cut", 5)
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_run; from pathlib import Path; test_run.train(Path({str(tmp_path / 'cut')!r}), 12)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "cut/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()
    assert len(set(line["pid"] for line in metrics.read(tmp_path / "cut/timing.jsonl"))) == 2


def test_a_damaged_newest_checkpoint_is_passed_over_said_and_made_up_for(tmp_path, caplog):
    whole = train(tmp_path / "whole", 12)
    train(tmp_path / "r", 9)
    (tmp_path / "r/checkpoints/step_9/state.json").unlink()
    assert torch.equal(train(tmp_path / "r", 12), whole)
    assert "step 9 was passed over: state.json is missing" in caplog.text
    assert (tmp_path / "r/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()
    assert runs.verify(tmp_path / "r") == []


def test_metrics_without_a_checkpoint_are_said_before_they_go(tmp_path, caplog):
    for begun in (False, True):
        caplog.clear()
        with Run.create(tmp_path / "run", "toy", Toy()) as run:
            assert run.load() is None
            assert ("has metrics and no checkpoint; it begins anew" in caplog.text) == begun
            run.metrics.write(step=3, loss=1.0)


def test_going_on_with_another_number_of_threads_is_said_and_with_the_same_is_not(tmp_path, caplog):
    train(tmp_path / "r", 3)
    train(tmp_path / "r", 3)
    assert caplog.text == ""
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        train(tmp_path / "r", 3)
    finally:
        torch.set_num_threads(threads)
    assert (
        f"checkpoint 3 was written with threads {threads}, now {threads + 1}; what follows may differ in the last digits"
        in caplog.text
    )


def test_other_settings_or_another_kind_are_refused_and_change_nothing(tmp_path):
    train(tmp_path / "r", 3)
    before = {p: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file()}
    with pytest.raises(
        BadInput,
        match=r"holds a run with another configuration \(rate 0.05, now 0.1\); give a new directory, or the same settings",
    ):
        Run.create(tmp_path / "r", "toy", replace(Toy(), rate=0.1))
    with pytest.raises(BadInput, match="holds a run of kind 'toy', not 'nar'"):
        Run.create(tmp_path / "r", "nar", Toy())
    assert {p: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file()} == before


def test_settings_that_later_versions_add_do_not_lock_out_earlier_runs(tmp_path):
    train(tmp_path / "r", 3)
    with Run.create(tmp_path / "r", "toy", LaterToy()) as run:
        assert run.load().step == 3
    with pytest.raises(BadInput, match=r"momentum 0.0, now 0.5"):
        Run.create(tmp_path / "r", "toy", LaterToy(momentum=0.5))


def test_a_directory_that_holds_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "config.json").write_text("mine")
    with pytest.raises(BadInput, match="is not empty and holds no run; give a new or an empty directory"):
        Run.create(tmp_path, "toy", Toy())
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"] and (tmp_path / "config.json").read_text() == "mine"
    with pytest.raises(BadInput, match="is not a directory"):
        Run.create(tmp_path / "config.json", "toy", Toy())
    with pytest.raises(BadInput, match="cannot be written"):
        Run.create(tmp_path / "config.json" / "x", "toy", Toy())
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(BadInput, match="^run: "):
            Run.open(path)


def test_a_configuration_that_is_wrong_leaves_no_directory(tmp_path):
    with pytest.raises(BadInput, match="^config.rate: nan"):
        Run.create(tmp_path / "r", "toy", Toy(rate=float("nan")))
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "has schema 2; this version reads 1"),
        ({"kind": 3}, "names no kind"),
        ({"schema": None}, "has schema None"),
    ],
)
def test_a_run_file_that_is_not_understood_is_refused(tmp_path, change, said):
    train(tmp_path / "r", 0)
    about = json.loads((tmp_path / "r/run.json").read_text()) | change
    (tmp_path / "r/run.json").write_text(json.dumps(about))
    with pytest.raises(BadInput, match=said):
        Run.open(tmp_path / "r")


def test_a_second_process_is_refused_while_the_first_writes_and_welcome_after(tmp_path):
    code = "import sys; from pathlib import Path; from outrange.core.run import Run; from outrange.core.errors import BadInput\ntry: Run.open(Path(sys.argv[1])).__enter__(); print('in')\nexcept BadInput as e: print(e)"
    command = [sys.executable, "-c", code, str(tmp_path / "r")]
    with Run.create(tmp_path / "r", "toy", Toy()):
        refused = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "is being written by another process; wait for it or give another directory" in refused
        with pytest.raises(BadInput, match="by another process"):
            Run.create(tmp_path / "r", "toy", Toy())
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "in\n"


def test_a_run_is_written_to_only_inside_with(tmp_path):
    run = Run.create(tmp_path / "r", "toy", Toy())
    for use in (lambda: run.metrics, lambda: run.timing, lambda: run.save(1, {}, {})):
        with pytest.raises(RuntimeError, match="inside `with run:` only"):
            use()
    assert run.load() is None


def test_reading_a_run_changes_nothing_in_it(tmp_path):
    train(tmp_path / "r", 5)
    before = {p: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file()}
    assert Run.open(tmp_path / "r").load().step == 3
    runs.summary(tmp_path / "r")
    runs.verify(tmp_path / "r")
    assert {p: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file()} == before


def test_a_step_may_be_asked_for_and_one_that_is_not_there_is_refused(tmp_path):
    train(tmp_path / "r", 9)
    assert Run.open(tmp_path / "r").load(6).step == 6
    with pytest.raises(BadInput, match="step: 3 is not among the checkpoints of .* there are 6, 9"):
        Run.open(tmp_path / "r").load(3)


def test_a_configuration_edited_by_hand_does_not_take_the_checkpoints_of_another(tmp_path):
    train(tmp_path / "r", 3)
    (tmp_path / "r/config.json").write_text(json.dumps(config.to_json(Toy(rate=0.1))))
    with pytest.raises(BadInput, match="holds a checkpoint written by another configuration"):
        train(tmp_path / "r", 6, Toy(rate=0.1))
    assert "another configuration" in runs.verify(tmp_path / "r")[0][1]
    (tmp_path / "r/config.json").write_text("{")
    (tmp_path / "r/checkpoints/step_3/state.json").unlink()
    assert [path for path, _ in runs.verify(tmp_path / "r")] == [tmp_path / "r", tmp_path / "r/checkpoints/step_3"]


class full_disk:  # noqa: N801
    """While it is entered, every write to the checkpoints fails."""

    def __init__(self, number=errno.ENOSPC):
        self.number = number

    def __call__(self, what, path):
        if what == "before write" and "checkpoints" in path.parts:
            raise OSError(self.number, "")

    def __enter__(self):
        atomic.watchers.append(self)

    def __exit__(self, *_):
        atomic.watchers.remove(self)


def test_a_full_disk_is_said_the_training_goes_on_and_the_last_checkpoint_stays(tmp_path, caplog):
    with Run.create(tmp_path / "r", "toy", Toy()) as run:
        assert run.save(1, {}, {}) is not None
        with full_disk():
            assert run.save(2, {}, {}) is None
            with pytest.raises(BadInput, match="no space is left"):
                run.save(2, {}, {}, must=True)
        assert "no space is left on its disk; step 2 was not saved, the run goes on" in caplog.text
        assert checkpoint.steps(run.checkpoints) == [1]
        assert run.save(3, {}, {}) is not None
    assert checkpoint.steps(tmp_path / "r/checkpoints") == [1, 3]


def test_a_run_that_ends_without_its_last_checkpoint_ends_with_an_error(tmp_path):
    with (
        pytest.raises(BadInput, match="no space is left on its disk"),
        Run.create(tmp_path / "r", "toy", Toy()) as run,
        full_disk(),
    ):
        run.save(2, {}, {})


def test_what_ended_a_run_first_is_what_is_told(tmp_path):
    def work():
        with Run.create(tmp_path / "r", "toy", Toy()) as run, full_disk():
            run.save(2, {}, {})
            raise KeyError

    with pytest.raises(KeyError):
        work()


def test_a_directory_removed_under_a_run_is_said_in_one_sentence(tmp_path, caplog):
    def work():
        with Run.create(tmp_path / "r", "toy", Toy()) as run:
            shutil.rmtree(tmp_path / "r")
            run.metrics.write(step=1)
            assert run.save(1, {}, {}) is None

    with pytest.raises(BadInput, match="cannot be written: its folder does not exist") as refused:
        work()
    assert "\n" not in str(refused.value)


def test_a_death_anywhere_in_making_a_run_leaves_what_can_be_made_again(tmp_path):
    for k in range(100):
        count = iter(range(1000))

        def die(what, path, k=k, count=count):
            if next(count) == k:
                os._exit(9)

        child = os.fork()
        if child == 0:
            atomic.watchers.append(die)
            Run.create(tmp_path / str(k), "toy", Toy())
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert Run.create(tmp_path / str(k), "toy", Toy()).config == config.to_json(Toy())
        if ended == 0:
            break
    assert k > 20 and ended == 0


def test_where_a_run_went_on_elsewhere_both_places_are_kept(tmp_path, monkeypatch):
    Run.create(tmp_path / "r", "toy", Toy())
    monkeypatch.setattr(sys, "argv", ["outrange", "run", "resume", "a b"])
    Run.create(tmp_path / "r", "toy", Toy())
    with Run.create(tmp_path / "r", "toy", Toy()):
        held = json.loads((tmp_path / "r/environment.json").read_text())
    assert held["command"] == "outrange run resume 'a b'" and len(held["earlier"]) == 1


def test_runs_are_found_and_summed_up(tmp_path):
    train(tmp_path / "b", 6)
    train(tmp_path / "deep/er/a", 1)
    (tmp_path / "other").mkdir()
    assert runs.find(tmp_path) == [tmp_path / "b", tmp_path / "deep/er/a"]
    assert runs.find(tmp_path / "b") == [tmp_path / "b"]
    about = runs.summary(tmp_path / "b")
    assert (about["kind"], about["step"], about["checkpoints"], about["metrics"]["step"]) == ("toy", 6, [3, 6], 6)
    assert runs.summary(tmp_path / "deep/er/a")["step"] is None
    with pytest.raises(BadInput, match="folder: "):
        runs.find(tmp_path / "absent")


def test_a_number_that_is_not_finite_is_named_and_a_finite_one_passes():
    check_finite(0.5, "loss")
    with pytest.raises(NonFinite, match=r"^loss of bfs/pi_h is nan at step 12; nothing was updated; "):
        check_finite(float("nan"), "loss of bfs/pi_h", step=12)
    with pytest.raises(NonFinite, match=r"^loss is -inf; nothing was updated; "):
        check_finite(torch.tensor(-torch.inf), "loss")


def test_a_name_becomes_a_path_below_runs():
    assert default("nar", "bfs+dfs laptop/0") == Path("runs/nar-bfs+dfs-laptop-0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_first_signal_asks_and_handlers_come_back(number, capfd):
    before = signal.getsignal(number)
    with Stopping() as stopping:
        assert not stopping.requested
        os.kill(os.getpid(), number)
        assert stopping.requested
    assert signal.getsignal(number) is before
    assert capfd.readouterr().err == "stopping after this step; once more to stop at once\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(number):
    child = os.fork()
    if child == 0:
        with Stopping():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), number)
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -number


def test_outside_the_main_thread_signals_are_left_alone():
    found = []

    def inside():
        with Stopping() as stopping:
            found.append(stopping.requested)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [False]


def test_the_configuration_of_another_kind_of_run_is_refused_in_one_sentence(tmp_path):
    class Other(Toy):
        KIND = "other"

    with Run.create(tmp_path / "r", "toy", Toy()):
        pass
    with pytest.raises(BadInput, match=r"holds a run of kind 'toy'; this is for runs of `outrange other train`"):
        Run.configuration(tmp_path / "r", Other)
