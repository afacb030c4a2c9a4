"""The claims of Never Give Up: their judges on made-up measurements, their structure, and what runs in seconds."""

import re
import subprocess
import sys

from outrange.papers import ngu, paper, reproduce
from outrange.papers.claims import SCALES

PAPER = paper("ngu")


def test_importing_the_claims_loads_no_torch():
    code = "import sys; from outrange.papers import paper; paper('ngu'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_claims_have_names_that_fit_the_list_and_say_what_is_missing_where_they_cannot_run():
    names = [c.name for c in PAPER.claims]
    assert len(set(names)) == len(names)
    for claim in PAPER.claims:
        assert re.fullmatch("[a-z-]{1,23}", claim.name) and set(claim.scales) <= set(SCALES)
        assert claim.statement and claim.place and claim.published and (claim.scales or claim.missing)


def test_the_constants_are_the_papers_and_its_cut_off_cannot_fire():
    result = reproduce(PAPER, PAPER.claim("formulas"), "laptop", 2)
    assert result.verdict == "shown" and "never fires" in result.why
    values = {name: list(values) for name, values in result.values.items()}
    assert PAPER.claim("formulas").judge(values | {"inverse_error": [1e-3]})[0] == "contradicted"
    assert PAPER.claim("formulas").judge(values | {"cut_off": [2.0]})[0] == "contradicted"
    for name, wrong in {
        "least_bonus": 0.0,
        "largest_bonus": float("inf"),
        ("beta", 0): 0.01,
        ("beta", 31): 0.29,
        ("gamma", 0): 0.99,
        "least_step_of_beta": 0.0,
    }.items():
        assert PAPER.claim("formulas").judge(values | {name: [wrong]})[0] == "contradicted", name


def test_coverage_is_shown_by_eight_times_the_others_and_no_overlap():
    rows = {
        ("coverage", "ngu-episodic"): [0.77, 0.76, 0.78],
        ("coverage", "ngu-projection"): [0.05, 0.06, 0.05],
        ("coverage", "rnd"): [0.04, 0.05, 0.04],
    }
    assert PAPER.claim("controllable-state").judge(rows)[0] == "shown"
    assert PAPER.claim("controllable-state").judge(rows | {("coverage", "rnd"): [0.3, 0.3, 0.3]})[0] == "partly"
    assert (
        PAPER.claim("controllable-state").judge(rows | {("coverage", "rnd"): [0.04, 0.8, 0.04]})[0] == "partly"
    )  # one seed overlaps
    assert PAPER.claim("controllable-state").judge(rows | {("coverage", "rnd"): [0.9, 0.9, 0.9]})[0] == "contradicted"


def test_success_needs_two_seeds_and_none_without_a_bonus():
    assert (
        PAPER.claim("exploit").judge({("success", "ngu"): [0.6, 0.7, 0.0], ("success", "r2d2"): [0.0, 0.0, 0.0]})[0]
        == "shown"
    )
    assert (
        PAPER.claim("exploit").judge({("success", "ngu"): [0.6, 0.2, 0.0], ("success", "r2d2"): [0.0, 0.0, 0.0]})[0]
        == "partly"
    )
    assert (
        PAPER.claim("exploit").judge({("success", "ngu"): [0.6, 0.7, 0.9], ("success", "r2d2"): [0.6, 0.0, 0.0]})[0]
        != "shown"
    )
    assert (
        PAPER.claim("exploit").judge({("success", "ngu"): [0.0, 0.0, 0.0], ("success", "r2d2"): [0.0, 0.0, 0.0]})[0]
        == "not at this scale"
    )


def test_a_claim_trains_keeps_its_runs_and_scores_them_again_without_training(tmp_path, monkeypatch):
    monkeypatch.setattr(ngu, "RUNS", str(tmp_path))
    small = {
        "env.options": ["size=7", "cap=20"],
        "env.count": 4,
        "acting.greedy_actors": 1,
        "bonus.warmup_updates": 3,
        "bonus.memory_capacity": 50,
    }
    network = {"network.encoder_size": 8, "network.hidden_size": 8, "network.head_size": 8}
    replay = {
        "replay.capacity": 480,
        "replay.trace_length": 8,
        "replay.period": 8,
        "replay.min_sequences": 4,
        "log_every": 200,
    }
    measured = ngu.maze(0, steps=400, agents=("ngu-episodic", "rnd"), episodes=8, **small, **network, **replay)
    assert (
        set(measured)
        == {("coverage", "ngu-episodic"), ("length", "ngu-episodic"), ("coverage", "rnd"), ("length", "rnd")}
        and 0 < measured[("coverage", "ngu-episodic")] <= 1
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ngu-episodic-RandomDiscoMaze-v0-400-steps-0",
        "rnd-RandomDiscoMaze-v0-400-steps-0",
    ]
    before = (tmp_path / "ngu-episodic-RandomDiscoMaze-v0-400-steps-0/metrics.jsonl").read_bytes()
    assert ngu.maze(0, steps=400, agents=("ngu-episodic", "rnd"), episodes=8, **small, **network, **replay) == measured
    assert (tmp_path / "ngu-episodic-RandomDiscoMaze-v0-400-steps-0/metrics.jsonl").read_bytes() == before


def test_one_seed_never_shows_nor_refutes_a_comparison():
    assert PAPER.claim("rooms").judge({("cells", "ngu"): [22.0], ("cells", "r2d2"): [2.0]}) == (
        "partly",
        "median 22, 11.0 times the next; one seed",
    )
    assert PAPER.claim("rooms").judge({("cells", "ngu"): [1.0], ("cells", "r2d2"): [2.0]})[0] == "not at this scale"
    assert (
        PAPER.claim("life-long").judge({("steps_to_half", "ngu"): [3.0], ("steps_to_half", "ngu-episodic"): [5.0]})[0]
        == "partly"
    )
    assert PAPER.claim("montezuma").judge({("rooms", "ngu"): [1.0], ("rooms", "r2d2"): [2.0]})[0] == "not at this scale"
    assert PAPER.claim("whole-frame").judge({("coverage", "ngu-episodic"): [0.6]})[0] == "partly"


def test_a_comparison_is_shown_or_refuted_by_seeds_that_do_not_overlap():
    assert PAPER.claim("rooms").judge({("cells", "ngu"): [20.0, 21.0], ("cells", "r2d2"): [2.0, 3.0]})[0] == "shown"
    assert (
        PAPER.claim("rooms").judge({("cells", "ngu"): [4.0, 5.0], ("cells", "r2d2"): [2.0, 3.0]})[0] == "partly"
    )  # not 2.5 times
    assert (
        PAPER.claim("montezuma").judge({("rooms", "ngu"): [1.0, 1.0, 1.0], ("rooms", "r2d2"): [1.0, 1.0, 1.0]})[0]
        == "not at this scale"
    )
    assert PAPER.claim("montezuma").judge({("rooms", "ngu"): [2.0, 3.0], ("rooms", "r2d2"): [1.0, 1.0]})[0] == "shown"


def test_the_life_long_factor_is_judged_by_when_learning_succeeds():
    def verdict(ours, theirs):
        return PAPER.claim("life-long").judge(
            {("steps_to_half", "ngu"): ours, ("steps_to_half", "ngu-episodic"): theirs}
        )[0]

    assert verdict([3.0, 4.0, 3.5], [5.0, 6.0, 4.5]) == "shown"
    assert verdict([3.0, 5.0, 3.5], [5.0, 6.0, 4.5]) == "partly"
    assert verdict([5.0, 6.0, 4.5], [3.0, 5.0, 3.5]) == "not at this scale"
    assert verdict([5.0, 6.0, 4.5], [3.0, 4.0, 3.5]) == "contradicted"


def test_the_whole_frame_is_judged_by_its_median():
    assert [
        PAPER.claim("whole-frame").judge({("coverage", "ngu-episodic"): values})[0]
        for values in ([0.5, 0.3, 0.45], [0.5, 0.2, 0.3], [0.05, 0.02])
    ] == [
        "shown",
        "partly",
        "not at this scale",
    ]


def test_other_settings_under_a_taken_name_get_a_run_of_their_own(tmp_path, monkeypatch):
    from outrange.core.config import changed
    from outrange.exploration.presets import preset

    monkeypatch.setattr(ngu, "RUNS", str(tmp_path))
    config = preset("smoke", "ngu", steps=0)
    first = ngu.trained(config)
    assert ngu.trained(config) == first
    other = ngu.trained(changed(config, {"learner.gamma": 0.96}))
    assert (
        other != first
        and other.name.startswith(first.name + "-")
        and ngu.trained(changed(config, {"learner.gamma": 0.96})) == other
    )
