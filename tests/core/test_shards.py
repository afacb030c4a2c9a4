"""Exports survive every kind of death: kill -9 at any moment, a full disk, an unwritable place, a second process."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from outrange.core.atomic import replaced, write_text
from outrange.core.errors import BadInput
from outrange.core.shards import export


@dataclass(frozen=True)
class Numbers:
    """A shard of consecutive numbers."""

    path: str
    rows: int
    start: int
    fail: bool = False

    def write(self, target: Path) -> None:
        with open(target, "w") as file:
            for k in range(self.start, self.start + self.rows):
                file.write(f"{k}\n")
                if self.fail and k > self.start:
                    raise OSError(28, "No space left on device")


def tasks(count=6, rows=50):
    return [Numbers(f"data/{k:03d}.txt", rows, k * rows) for k in range(count)]


def everything(target):
    return "".join(path.read_text() for path in sorted(target.glob("data/*.txt")))


def card(manifest):
    return f"{manifest['rows']} rows"


def test_all_shards_a_manifest_and_a_card_are_written(tmp_path):
    seen = []
    manifest = export(
        tmp_path / "x", {"n": 1}, tasks(), card, report_progress=lambda done, total: seen.append((done, total))
    )
    assert everything(tmp_path / "x") == "".join(f"{k}\n" for k in range(300))
    assert json.loads((tmp_path / "x/manifest.json").read_text()) == manifest
    assert (tmp_path / "x/README.md").read_text() == "300 rows"
    assert seen[0] == (0, 300)
    assert seen[-1] == (300, 300)
    assert len(manifest["sha256"]) == 64


def test_several_processes_write_the_same_bytes_as_one(tmp_path):
    one, two = (export(tmp_path / str(w), {}, tasks(), card, workers=w) for w in (1, 3))
    assert one == two


def test_what_is_there_is_kept_and_only_the_rest_is_written(tmp_path):
    export(tmp_path / "x", {}, tasks(), card)
    (tmp_path / "x/data/003.txt").unlink()
    kept = (tmp_path / "x/data/002.txt").stat().st_mtime_ns
    seen = []
    export(tmp_path / "x", {}, tasks(), card, report_progress=lambda done, total: seen.append(done))
    assert seen == [250, 300]
    assert (tmp_path / "x/data/002.txt").stat().st_mtime_ns == kept


def test_a_directory_that_holds_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(BadInput, match="is not empty and holds no export"):
        export(tmp_path, {}, tasks(), card)
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]
    export(tmp_path / "x", {"seed": 1}, tasks(), card)
    with pytest.raises(BadInput, match=r"holds another export \(seed 1, now 2\)"):
        export(tmp_path / "x", {"seed": 2}, tasks(), card)


def test_a_refused_directory_keeps_every_file_as_it_was(tmp_path):
    (tmp_path / ".lock").write_text("mine")
    with pytest.raises(BadInput):
        export(tmp_path, {}, tasks(), card)
    assert (tmp_path / ".lock").read_text() == "mine"
    export(tmp_path / "x", {}, tasks(), card)
    assert sorted(p.name for p in (tmp_path / "x").iterdir()) == ["README.md", "data", "manifest.json", "plan.json"]


def test_a_disk_that_fills_leaves_no_half_written_shard_and_the_export_resumes(tmp_path):
    broken = tasks()
    broken[2] = Numbers("data/002.txt", 50, 100, fail=True)
    with pytest.raises(BadInput, match="no space is left on its disk"):
        export(tmp_path / "x", {}, broken, card)
    assert sorted(p.name for p in (tmp_path / "x/data").iterdir()) == ["000.txt", "001.txt"]
    assert not (tmp_path / "x/manifest.json").exists()
    export(tmp_path / "x", {}, tasks(), card)
    assert everything(tmp_path / "x") == "".join(f"{k}\n" for k in range(300))


def test_a_target_below_a_file_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written") as refused:
        export(tmp_path / "file" / "x", {}, tasks(), card)
    assert "\n" not in str(refused.value)


def test_a_small_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def half():
        with replaced(path) as partial:
            partial.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def command(target, workers):
    arguments = [
        "text",
        "export",
        str(target),
        "--algorithms",
        "minimum",
        "bfs",
        "--lengths",
        "4",
        "6",
        "--count",
        "1500",
        "--shard-rows",
        "100",
        "--workers",
        str(workers),
    ]
    return [sys.executable, "-m", "outrange", *arguments]


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_again_and_again_an_export_ends_with_the_same_bytes(tmp_path, workers):
    whole = tmp_path / "whole"
    subprocess.run(command(whole, 1), check=True, capture_output=True)
    expected = json.loads((whole / "manifest.json").read_text())
    target, kills, draw = tmp_path / "killed", 0, random.Random(workers)
    for attempt in range(40):
        process = subprocess.Popen(
            command(target, workers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        shards = len(list(target.glob("data/*/*.parquet")))
        if attempt < 6:  # until some more shards are there, and then a moment of its own
            while process.poll() is None and len(list(target.glob("data/*/*.parquet"))) < min(shards + 5, 58):
                time.sleep(0.002)
            time.sleep(draw.random() * 0.03)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
        process.wait()
        assert all(path.stat().st_size > 0 for path in target.glob("data/*/*.parquet"))
        if process.returncode == 0:
            break
    assert kills >= 3
    found = json.loads((target / "manifest.json").read_text())
    assert found["files"] == expected["files"]
    assert found["sha256"] == expected["sha256"]
    assert not list(target.rglob(".*.partial"))


def test_a_second_process_on_the_same_target_is_refused(tmp_path):
    target = tmp_path / "x"
    first = subprocess.Popen(
        [*command(target, 1)[:-1], "1", "--shard-rows", "50"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (target / "plan.json").exists() and first.poll() is None:
        time.sleep(0.002)
    first.send_signal(signal.SIGSTOP)
    try:
        second = subprocess.run(
            [*command(target, 1)[:-1], "1", "--shard-rows", "50"], capture_output=True, text=True, check=False
        )
        assert first.poll() is None
        assert second.returncode == 2
        assert "is being written by another process" in second.stderr
    finally:
        first.kill()
        first.wait()
