"""kill -9 before and after every step that touches the disk, and at random moments: the newest or the previous checkpoint is there, never neither."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from outrange.core import atomic, checkpoint, metrics
from outrange.core.metrics import MetricsLog

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def no_flush(monkeypatch):
    """A kill loses nothing that the system has taken, so that waiting for the disk only takes time here; test_checkpoint.py looks at the order of flushes."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def save(folder: Path, step: int) -> None:
    model = {"weight": torch.full((8, 8), float(step)), "bias": torch.full((3,), float(-step))}
    checkpoint.save(
        folder, step, {"model": model, "optimizer": {"step": torch.tensor(step)}}, {"step": step}, digest="d"
    )


def check(folder: Path, allowed: set[int]) -> int:
    """The step that loads, which holds what that step wrote."""
    found = checkpoint.load(folder, digest="d")
    assert found.step in allowed
    assert found.skipped == [] and checkpoint.verify(folder) == []  # what has its name is whole
    assert found.state == {"step": found.step} and found.tensors["optimizer"]["step"] == found.step
    assert torch.equal(found.tensors["model"]["weight"], torch.full((8, 8), float(found.step)))
    return found.step


def forked(work) -> int:
    """Run in a child; returns its process id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    finally:
        os._exit(0)


def killed_at(k: int, work) -> bool:
    """Run in a child that kills itself at its k-th step; whether it came that far."""

    def inside():
        count = iter(range(10_000))
        atomic.watchers.append(lambda what, path: os.kill(os.getpid(), signal.SIGKILL) if next(count) == k else None)
        work()

    return os.waitstatus_to_exitcode(os.waitpid(forked(inside), 0)[1]) == -signal.SIGKILL


def points(work) -> list[str]:
    seen: list[str] = []
    watcher = lambda what, path: seen.append(f"{what} {path.name}")  # noqa: E731
    atomic.watchers.append(watcher)
    try:
        work()
    finally:
        atomic.watchers.remove(watcher)
    return seen


def test_a_kill_at_any_step_of_a_save_leaves_the_newest_or_the_previous_checkpoint(tmp_path):
    base = tmp_path / "base"
    for step in (1, 2):
        save(base, step)
    shutil.copytree(base, tmp_path / "count")
    seen = points(lambda: save(tmp_path / "count", 3))
    assert len(seen) >= 50 and any("remove" in point for point in seen)  # retention is among them
    found = []
    for k, point in enumerate(seen):
        folder = tmp_path / str(k)
        shutil.copytree(base, folder)
        assert killed_at(k, lambda folder=folder: save(folder, 3)), point
        found.append(check(folder, {2, 3}))
        save(folder, 4)
        assert check(folder, {4}) == 4
        assert {path.name for path in folder.iterdir()} <= {"step_2", "step_3", "step_4"}, point
        shutil.rmtree(folder)
    assert found == sorted(found) and set(found) == {2, 3}  # it is there from one step on
    assert "after rename step_3" in seen[found.index(3)]


def test_a_kill_at_any_step_of_the_first_save_leaves_it_whole_or_not_at_all(tmp_path):
    seen = points(lambda: save(tmp_path / "count", 1))
    for k, point in enumerate(seen):
        folder = tmp_path / str(k)
        assert killed_at(k, lambda folder=folder: save(folder, 1)), point
        assert checkpoint.steps(folder) == [] or check(folder, {1})
        save(folder, 1)
        assert check(folder, {1}) and [path.name for path in folder.iterdir()] == ["step_1"]


def test_a_kill_while_a_damaged_step_and_the_litter_of_another_death_are_replaced_leaves_the_one_before(tmp_path):
    base = tmp_path / "base"
    for step in (1, 2):
        save(base, step)
    shutil.copytree(base / "step_1", base / ".step_2.tmp-1")
    (base / "step_2/state.json").write_bytes(b"")
    shutil.copytree(base, tmp_path / "count")
    for k in range(len(points(lambda: save(tmp_path / "count", 2)))):
        folder = tmp_path / str(k)
        shutil.copytree(base, folder)
        assert killed_at(k, lambda folder=folder: save(folder, 2))
        assert checkpoint.load(folder).step in (1, 2)
        save(folder, 2)
        assert check(folder, {2}) and {path.name for path in folder.iterdir()} == {"step_1", "step_2"}
        shutil.rmtree(folder)


def test_a_kill_at_fifty_random_moments_loses_no_checkpoint_that_was_done(tmp_path):
    folder, draw, done = tmp_path / "checkpoints", random.Random(0), 0
    began = time.perf_counter()
    save(folder, 0)
    one = time.perf_counter() - began
    for _ in range(50):
        reading, writing = os.pipe()

        def work(writing=writing, first=done + 1):
            for step in range(first, first + 10_000):
                save(folder, step)
                os.write(writing, step.to_bytes(4, "little"))  # said only once it is done

        child = forked(work)
        os.close(writing)
        with open(reading, "rb", buffering=0) as told:
            first = told.read(4)
            time.sleep(draw.uniform(0, 3 * one))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            last = int.from_bytes((first + told.readall())[-4:], "little")
        assert last > done
        done = check(folder, {last, last + 1})


def test_a_kill_at_any_step_of_writing_or_going_back_leaves_whole_lines(tmp_path):
    def work(path):
        log = MetricsLog(path)
        for step in range(3, 6):
            log.write(step=step, loss=step / 7)
        log.sync()
        log.rewind(3)
        log.write(step=4, loss=4 / 7)
        log.close()

    base = tmp_path / "base"
    log = MetricsLog(base)
    for step in range(3):
        log.write(step=step, loss=step / 7)
    log.close()
    shutil.copy(base, tmp_path / "count")
    seen = points(lambda: work(tmp_path / "count"))
    whole = (tmp_path / "count").read_bytes()
    for k, point in enumerate(seen):
        path = tmp_path / str(k)
        shutil.copy(base, path)
        assert killed_at(k, lambda path=path: work(path)), point
        problems: list[str] = []
        lines = metrics.read(path, problems)
        assert [line["step"] for line in lines] == list(range(len(lines))) and len(lines) >= 3 and problems == []
        metrics.rewind(path, 2)
        assert path.read_bytes() == base.read_bytes()
        work(path)
        assert path.read_bytes() == whole
