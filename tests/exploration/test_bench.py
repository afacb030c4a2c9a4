"""The bench of a run: parts are counted once, and its shares make a whole."""

import pytest

from outrange.core.config import changed
from outrange.core.errors import BadInput
from outrange.exploration.bench import Clock, bench
from outrange.exploration.presets import preset


def test_a_part_inside_another_counts_for_the_outer_one_alone(monkeypatch):
    from outrange.exploration import bench as module

    now = iter([0.0, 5.0, 7.0, 8.0])
    monkeypatch.setattr(module.time, "process_time", lambda: next(now))
    clock = Clock()
    with clock.part("outer"), clock.part("inner"):
        pass
    with clock.part("inner"):
        pass
    assert clock.spent == {"outer": 5.0, "inner": 1.0}


def test_shares_of_a_short_bench_make_a_whole_and_the_rate_is_the_median_of_rounds():
    told = []
    found = bench(preset("smoke"), steps=400, rounds=3, report_progress=lambda done, of: told.append((done, of)))
    assert sum(found["shares"].values()) == pytest.approx(1) and set(found["shares"]) >= {
        "learning",
        "acting",
        "bonus",
        "environments",
        "replay",
    }
    assert all(-0.02 <= share < 1 for share in found["shares"].values())
    assert found["steps_per_cpu_second"] == sorted(found["rounds"])[1] and found["milliseconds_per_update"] > 0
    assert told[-1][0] >= told[-1][1] == 1200


@pytest.mark.parametrize(
    ("numbers", "said"),
    [({"steps": 0}, "steps: 0 is not allowed; it must be at least 1"), ({"rounds": -1}, "rounds: -1 is not")],
)
def test_no_steps_or_rounds_are_refused(numbers, said):
    with pytest.raises(BadInput, match=said):
        bench(preset("smoke"), **numbers)


def test_acting_alone_is_measured_where_hardly_an_update_falls_into_a_round():
    found = bench(changed(preset("smoke"), {"learner.replay_ratio": 1e-9}), steps=400, rounds=2)
    assert (
        "learning" not in found["shares"]
        and found["steps_per_cpu_second"] > 0
        and sum(found["shares"].values()) == pytest.approx(1)
    )
