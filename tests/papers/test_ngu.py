"""The claims of Never Give Up: their judges on made-up measurements, their structure, and what runs in seconds."""

import re
import subprocess
import sys

from outrange.papers import ngu as n
from outrange.papers import paper, reproduce
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
    held = {name: list(values) for name, values in result.values.items()}
    assert n._exact(held | {"error of h and back": [1e-3]})[0] == "contradicted"
    assert n._exact(held | {"cut-off": [2.0]})[0] == "contradicted"


def test_coverage_is_shown_by_eight_times_the_others_and_no_overlap():
    rows = {"ngu coverage": [0.77, 0.76, 0.78], "ngu-projection coverage": [0.05, 0.06, 0.05], "rnd coverage": [0.04, 0.05, 0.04]}
    assert n._coverage(rows)[0] == "shown"
    assert n._coverage(rows | {"rnd coverage": [0.3, 0.3, 0.3]})[0] == "partly"
    assert n._coverage(rows | {"rnd coverage": [0.04, 0.8, 0.04]})[0] == "partly"  # one seed overlaps
    assert n._coverage(rows | {"rnd coverage": [0.9, 0.9, 0.9]})[0] == "contradicted"


def test_success_needs_two_seeds_and_none_without_a_bonus():
    assert n._success({"ngu success": [0.6, 0.7, 0.0], "r2d2 success": [0.0, 0.0, 0.0]})[0] == "shown"
    assert n._success({"ngu success": [0.6, 0.2, 0.0], "r2d2 success": [0.0, 0.0, 0.0]})[0] == "partly"
    assert n._success({"ngu success": [0.6, 0.7, 0.9], "r2d2 success": [0.6, 0.0, 0.0]})[0] != "shown"
    assert n._success({"ngu success": [0.0, 0.0, 0.0], "r2d2 success": [0.0, 0.0, 0.0]})[0] == "not at this scale"


def test_a_claim_trains_keeps_its_runs_and_scores_them_again_without_training(tmp_path, monkeypatch):
    monkeypatch.setattr(n, "RUNS", str(tmp_path))
    small = {"env.options": ["size=7", "cap=20"], "env.count": 4, "acting.greedy": 1, "bonus.warmup": 3, "bonus.capacity": 50}
    network = {"network.width": 8, "network.hidden": 8, "network.head": 8}
    replay = {"replay.rows": 480, "replay.trace": 8, "replay.period": 8, "replay.start": 4, "log_every": 200}
    found = n.maze(0, steps=400, agents=("ngu", "rnd"), episodes=8, **small, **network, **replay)
    assert set(found) == {"ngu coverage", "ngu length", "rnd coverage", "rnd length"} and 0 < found["ngu coverage"] <= 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ngu-RandomDiscoMaze-v0-400-steps-0", "rnd-RandomDiscoMaze-v0-400-steps-0"]
    before = (tmp_path / "ngu-RandomDiscoMaze-v0-400-steps-0/metrics.jsonl").read_bytes()
    assert n.maze(0, steps=400, agents=("ngu", "rnd"), episodes=8, **small, **network, **replay) == found
    assert (tmp_path / "ngu-RandomDiscoMaze-v0-400-steps-0/metrics.jsonl").read_bytes() == before
