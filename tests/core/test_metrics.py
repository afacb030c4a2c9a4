"""The metrics log: whole lines or none, a torn end is found and said, and going back leaves the bytes of what stays."""

import errno
import json
import math
import os

import numpy as np
import pytest
import torch

from outrange.core import atomic, metrics
from outrange.core.errors import BadInput
from outrange.core.metrics import MetricsLog


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def written(path, steps):
    log = MetricsLog(path)
    for step in steps:
        log.write(step=step, loss=1 / (step + 1))
    log.close()
    return path.read_bytes()


def test_lines_come_back_with_their_values_and_types(path):
    log = MetricsLog(path)
    log.write(step=1, **{"val/bfs": 0.1}, n=np.int64(3), loss=torch.tensor(0.5), name="bfs\n", ok=True)
    log.close()
    assert metrics.read(path) == [{"step": 1, "val/bfs": 0.1, "n": 3, "loss": 0.5, "name": "bfs\n", "ok": True}]


def test_numbers_that_json_lacks_are_written_as_text_and_read_as_numbers(path):
    log = MetricsLog(path)
    log.write(step=1, a=float("nan"), b=np.float32("inf"), c=-math.inf)
    log.close()
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == {"step": 1, "a": "nan", "b": "inf", "c": "-inf"}
    line = metrics.read(path)[0]
    assert math.isnan(line["a"]) and line["b"] == math.inf and line["c"] == -math.inf


@pytest.mark.parametrize("value", [None, [1], {}, np.zeros(2), torch.zeros(2), object()])
def test_a_value_that_is_no_scalar_is_refused_by_name_and_nothing_is_written(path, value):
    log = MetricsLog(path)
    with pytest.raises(BadInput, match=r"^metrics.loss: "):
        log.write(step=1, loss=value)
    with pytest.raises(BadInput, match=r"^metrics.step: 1.5"):
        log.write(step=1.5)  # type: ignore[arg-type]
    log.close()
    assert path.read_bytes() == b""


def test_a_log_is_only_ever_appended_to(path):
    first = written(path, [1, 2])
    assert written(path, [3]).startswith(first)
    assert [line["step"] for line in metrics.read(path)] == [1, 2, 3]


def test_a_line_is_one_call_to_the_system(path, monkeypatch):
    calls, write = [], os.write
    monkeypatch.setattr(os, "write", lambda handle, data: calls.append(bytes(data)) or write(handle, data))
    whole = written(path, [1, 2])
    assert b"".join(calls) == whole and len(calls) == 2


def test_short_writes_are_completed(path, monkeypatch, tmp_path):
    whole, write = written(tmp_path / "other", range(5)), os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, bytes(data[:3])))
    assert written(path, range(5)) == whole


@pytest.mark.parametrize("cut", [1, 5, 17])
def test_a_torn_last_line_is_left_out_and_said(path, cut):
    whole = written(path, [1, 2])
    path.write_bytes(whole[:-cut])
    problems = []
    assert [line["step"] for line in metrics.read(path, problems)] == [1]
    assert len(problems) == 1 and "line 2 of" in problems[0] and "torn" in problems[0]
    with pytest.warns(UserWarning, match="torn"):
        metrics.read(path)


def test_a_log_is_cut_after_its_last_whole_line_before_more_is_written(path, tmp_path):
    whole = written(path, [1, 2])
    path.write_bytes(whole[:-4])
    assert written(path, [2]) == whole
    path.write_bytes(b"x" * 200_000)
    assert written(path, [2]) == written(tmp_path / "other", [2])


def test_a_damaged_line_within_hides_no_other(path):
    lines = written(path, [1, 2, 3]).splitlines(keepends=True)
    for damage in (b"\x00\xff\n", b'{"loss": 1}\n', b"[" * 100_000 + b"\n", b"[1]\n"):
        path.write_bytes(lines[0] + damage + lines[2])
        problems = []
        assert [line["step"] for line in metrics.read(path, problems)] == [1, 3]
        assert problems == [f"metrics: line 2 of {str(path)!r} is not a line of metrics; it was left out"]


def test_going_back_drops_later_lines_and_keeps_the_bytes_of_the_others(path, tmp_path):
    whole = written(tmp_path / "other", range(10))
    written(path, range(7))
    log = MetricsLog(path)
    log.rewind(4)
    for step in range(5, 10):
        log.write(step=step, loss=1 / (step + 1))
    log.close()
    assert path.read_bytes() == whole


def test_going_back_to_the_present_touches_nothing(path):
    written(path, range(5))
    before = path.stat()
    metrics.rewind(path, 4)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    metrics.rewind(path, -1)
    assert path.read_bytes() == b""


def test_going_back_is_all_or_nothing_at_every_step(path):
    whole = written(path, range(5))
    seen = []
    atomic.watchers.append(lambda what, where: seen.append(what))
    try:
        metrics.rewind(path, 2)
    finally:
        atomic.watchers.clear()
    kept = path.read_bytes()
    for k in range(len(seen)):
        path.write_bytes(whole)
        count = iter(range(1000))

        def fail(what, where, k=k, count=count):
            if next(count) == k:
                raise OSError(errno.EIO, "")

        atomic.watchers.append(fail)
        try:
            with pytest.raises(BadInput, match="its disk failed"):
                metrics.rewind(path, 2)
        finally:
            atomic.watchers.clear()
        assert path.read_bytes() in (whole, kept)
        assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_lines_wait_while_the_disk_is_full_and_none_is_lost_or_torn(path, monkeypatch, caplog, tmp_path):
    whole, write, room = written(tmp_path / "other", range(6)), os.write, [0]

    def full(handle, data):
        taken = min(room[0], len(data))
        room[0] -= taken
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, bytes(data[:taken]))

    log = MetricsLog(path)
    monkeypatch.setattr(os, "write", full)
    for step in range(6):
        room[0] = {0: 10_000, 4: 20}.get(step, 7 if step < 5 else 10_000)
        log.write(step=step, loss=1 / (step + 1))
        assert path.read_bytes() == (whole if step == 5 else whole.splitlines(keepends=True)[0])
    log.close()
    assert len(caplog.records) == 1 and "no space is left on its disk" in caplog.text


def test_a_log_that_cannot_be_completed_says_so_when_it_is_closed_or_synced(path, monkeypatch):
    log = MetricsLog(path)
    monkeypatch.setattr(os, "write", lambda handle, data: (_ for _ in ()).throw(OSError(errno.EDQUOT, "")))
    log.write(step=1)
    with pytest.raises(BadInput, match="its disk quota is used up"):
        log.sync()
    with pytest.raises(BadInput, match="its disk quota is used up"):
        log.close()


def test_a_log_that_is_not_there_is_refused(path):
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        metrics.read(path)
    assert not path.exists()
