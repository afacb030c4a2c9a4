"""outrange/core/memory.py"""

import pytest

from outrange.core import memory


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine with 1,000 kB available and no container."""
    (tmp_path / "meminfo").write_text("MemTotal:       2000 kB\nMemFree:         500 kB\nMemAvailable:   1000 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    return tmp_path


def test_without_a_container_what_the_system_has_is_free(system):
    assert memory.free() == 1_024_000


def test_a_container_may_take_what_its_limit_leaves(system):
    (system / "memory.max").write_text("900000\n")
    (system / "memory.current").write_text("300000\n")
    assert memory.free() == 600_000


def test_a_container_cannot_give_more_than_the_system_has(system):
    (system / "memory.max").write_text("9000000\n")
    (system / "memory.current").write_text("0\n")
    assert memory.free() == 1_024_000


def test_a_container_without_a_limit_counts_for_nothing(system):
    (system / "memory.max").write_text("max\n")
    (system / "memory.current").write_text("300000\n")
    assert memory.free() == 1_024_000


def test_without_meminfo_all_memory_counts(system):
    (system / "meminfo").unlink()
    assert memory.free() > 1 << 20


def test_this_machine_has_memory():
    assert 1 << 20 < memory.free() < 1 << 50
