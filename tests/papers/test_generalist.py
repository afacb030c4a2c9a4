"""The claims of the generalist's paper: their judges on made-up measurements, their structure, and their functions on trainings of two updates."""

import json
import re
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from outrange.core.errors import BadInput
from outrange.papers import PAPERS, NotRun, generalist, paper, reproduce
from outrange.papers.claims import SCALES, VERDICTS
from outrange.reasoning.nar.published import OVERALL, PUBLISHED

PAPER = paper("generalist")
TINY = {
    "updates": 2,
    "batch_size": 2,
    "lengths": (4,),
    "model.hidden_dim": 8,
    "evaluate_every": 0,
    "size": 5,
    "count": 3,
}


def rows(shift, names=generalist.TEN, updates=generalist.UPDATES):
    """Scores that lie ``shift`` of the published standard deviations from the published means, of one seed."""
    scores = {("score", n): [PUBLISHED[n].triplet_gmpnn + shift * PUBLISHED[n].std] for n in names}
    return scores | {"updates": [float(updates)]}


def pairs(*differences, updates=300):
    return {"difference": list(differences), "updates": [float(updates)] * len(differences)}


def test_importing_the_claims_loads_no_torch():
    code = "import sys; from outrange.papers import paper; paper('generalist'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_command_line_lists_the_paper_with_every_claim():
    done = subprocess.run(
        [sys.executable, "-m", "outrange", "papers", "--json"], capture_output=True, text=True, check=True
    )
    listed = {p["name"]: [c["name"] for c in p["claims"]] for p in json.loads(done.stdout)}
    assert list(listed) == list(PAPERS)
    assert listed["generalist"] == [c.name for c in PAPER.claims]


def test_claims_have_names_of_their_own_that_fit_the_list_and_known_scales():
    names = [c.name for c in PAPER.claims]
    assert len(set(names)) == len(names)
    for claim in PAPER.claims:
        assert re.fullmatch("[a-z-]{1,23}", claim.name)
        assert claim.scales and set(claim.scales) <= set(SCALES)
        assert "laptop" in claim.scales or claim.missing
        assert claim.statement and claim.place and claim.published


def test_improvements_quote_no_published_number():
    for claim in generalist.IMPROVEMENTS:
        assert not re.search("[0-9]", claim.published)


def test_parameters_are_exactly_the_published_codes():
    measured = generalist.parameters()
    assert measured == {("parameters", "bfs"): 523_963, ("parameters", "insertion_sort"): 524_477}
    judge = PAPER.claim("parameters").judge
    assert judge({key: [count] for key, count in measured.items()})[0] == "shown"
    assert judge({("parameters", "bfs"): [523_964.0]}) == ("contradicted", "bfs has 523,964")


def test_eight_rows_at_two_deviations_below_the_published_means_show_the_table():
    assert PAPER.claim("single-task").judge(rows(-1.9))[0] == "shown"
    verdict, why = PAPER.claim("single-task").judge(rows(-1.9) | rows(-2.5, ("bfs", "minimum")))
    assert verdict == "shown" and "bfs by 0.02, minimum by 0.28 points" in why


def test_five_of_ten_rows_or_one_of_two_show_the_table_partly():
    assert PAPER.claim("single-task").judge(rows(-1.9) | rows(-3, generalist.TEN[:3]))[0] == "partly"
    assert PAPER.claim("single-task").judge(rows(-1.9) | rows(-3, generalist.TEN[:5]))[0] == "partly"
    assert PAPER.claim("single-task").judge(rows(-1.9) | rows(-3, generalist.TEN[:6]))[0] == "contradicted"
    assert (
        PAPER.claim("single-task").judge(rows(0, ("bfs", "segments_intersect"), 600) | rows(-3, ("bfs",), 600))[0]
        == "partly"
    )


def test_missing_most_rows_contradicts_the_table_only_after_full_trainings():
    assert PAPER.claim("single-task").judge(rows(-3))[0] == "contradicted"
    assert PAPER.claim("single-task").judge(rows(-3, updates=600))[0] == "not at this scale"


def test_the_headline_needs_all_thirty_and_twenty_points():
    assert PAPER.claim("headline").judge(rows(0, PUBLISHED))[0] == "shown"
    assert PAPER.claim("headline").judge(rows(0, generalist.TEN))[0] == "partly"
    lower = {key: [v[0] - 10] for key, v in rows(0, PUBLISHED).items()} | {"updates": [1e4]}
    assert PAPER.claim("headline").judge(lower)[0] == "partly"
    nothing = {("score", n): [0.0] for n in PUBLISHED}
    assert PAPER.claim("headline").judge(nothing | {"updates": [1e4]})[0] == "contradicted"
    assert PAPER.claim("headline").judge(nothing | {"updates": [1e3]})[0] == "not at this scale"


def test_the_headline_of_the_published_rows_is_the_published_mean_and_counts():
    why = PAPER.claim("headline").judge(rows(0, PUBLISHED))[1]
    assert f"{OVERALL:.2f}" in why and "24 / 17 / 11" in why and "50.84" in why


def test_an_improvement_is_shown_by_five_pairs_that_are_all_better():
    assert PAPER.claim("gate").judge(pairs(2, 3, 9, 1, 4)) == (
        "shown",
        "+3.8 points, from +1.0 to +9.0 in 5 pairs of trainings of 300 updates; all better, which chance does once in 32",
    )


def test_three_pairs_that_are_all_better_show_an_improvement_partly():
    assert PAPER.claim("gate").judge(pairs(2, 3, 9))[0] == "partly"
    assert PAPER.claim("gate").judge(pairs(2, 3, 0.5))[0] == "not at this scale"


def test_one_or_two_pairs_of_trainings_say_nothing():
    verdict, why = PAPER.claim("gate").judge(pairs(50))
    assert verdict == "not at this scale" and why.endswith(
        "in 1 pair of trainings of 300 updates; fewer than three pairs tell nothing"
    )
    assert PAPER.claim("gate").judge(pairs(50, 50))[0] == "not at this scale"


def test_a_loss_contradicts_an_improvement_only_in_five_full_pairs():
    assert PAPER.claim("gate").judge(pairs(-9, -9, -3, -9, -4, updates=generalist.UPDATES))[0] == "contradicted"
    assert PAPER.claim("gate").judge(pairs(-9, -9, -3, -9, -4))[0] == "not at this scale"
    assert PAPER.claim("gate").judge(pairs(-9, -9, -3, updates=generalist.UPDATES))[0] == "not at this scale"
    assert PAPER.claim("gate").judge(pairs(-9, -9, 1, -9, -4, updates=generalist.UPDATES))[0] == "not at this scale"


def test_one_model_for_all_must_be_near_most_of_the_thirty_specialists():
    def measured(names, shift, updates):
        scores = {("score", n): [PUBLISHED[n].triplet_gmpnn + shift] for n in names}
        return scores | {"mean": [70.0], "near_a_specialist": [0.0], "updates": [updates]}

    names = list(PUBLISHED)
    verdict, why = PAPER.claim("one-for-all").judge(measured(names, -4, 500.0))
    assert verdict == "shown" and why.startswith("30 of 30 within 5 points")
    assert (
        PAPER.claim("one-for-all").judge(measured(names, -6, 500.0) | {("score", n): [100.0] for n in names[:16]})[0]
        == "shown"
    )
    assert (
        PAPER.claim("one-for-all").judge(measured(names, -6, 500.0) | {("score", n): [100.0] for n in names[:15]})[0]
        == "not at this scale"
    )
    assert PAPER.claim("one-for-all").judge(measured(names[:4], 0, 500.0))[0] == "partly"
    assert PAPER.claim("one-for-all").judge(measured(names, -6, 10_000.0))[0] == "contradicted"


def test_without_shipped_weights_one_for_all_says_so_in_a_sentence(monkeypatch):
    from outrange.reasoning.nar import weights

    assert generalist.one_for_all(0, 1, source="no_such_weights") == NotRun(
        "no weights named 'no_such_weights' come with this version; `outrange nar train all --preset paper` trains such a model"
    )
    monkeypatch.setattr(weights, "shipped", dict)
    result = reproduce(PAPER, PAPER.claim("one-for-all"), "laptop", 1)
    assert result.verdict == "not run" and "no weights named 'generalist'" in result.why
    assert not result.stopped and not result.values


def test_shipped_weights_are_scored_on_what_they_know(tmp_path, monkeypatch):
    from outrange.reasoning.nar import weights
    from outrange.reasoning.nar.config import smoke
    from outrange.reasoning.nar.training import train

    config = smoke(("bfs", "minimum"))
    train(
        replace(config, steps=4, batch_size=2, lengths=(4,), model=replace(config.model, hidden_dim=8)),
        tmp_path / "run",
    )
    weights.export(tmp_path / "run", tmp_path / "tiny", {})
    monkeypatch.setattr(weights, "shipped", lambda: {"tiny": tmp_path / "tiny"})
    measured = generalist.one_for_all(0, 2, source="tiny")
    assert list(measured) == [("score", "bfs"), ("score", "minimum"), "near_a_specialist", "mean", "updates"]
    assert (
        measured["updates"] == 2 and measured["mean"] == (measured["score", "bfs"] + measured["score", "minimum"]) / 2
    )


@pytest.mark.parametrize("claim", generalist.IMPROVEMENTS, ids=lambda c: c.name)
def test_the_two_trainings_of_an_improvement_differ_in_it_alone(claim, monkeypatch):
    configs = []
    monkeypatch.setattr(
        generalist,
        "fit_and_score",
        lambda config, folder, size, count: configs.append(config) or dict.fromkeys(config.algorithms, 50.0),
    )
    for scale in claim.scales:
        configs.clear()
        measured = claim.run(3, **claim.scales[scale])
        full, reduced = (
            {**asdict(c), **{f"model.{k}": v for k, v in asdict(c.model).items()}, "model": None} for c in configs
        )
        without = claim.run.keywords["without"]
        assert {name for name in full if full[name] != reduced[name]} == set(without)
        assert {name: reduced[name] for name in without} == without
        assert full["seed"] == 3 and full["steps"] == measured["updates"] * len(full["algorithms"])
        assert measured["difference"] == 0


def test_a_claim_runs_from_training_to_verdict():
    claim = replace(PAPER.claim("permutations"), scales={"laptop": TINY})
    result = reproduce(PAPER, claim, "laptop", 1)
    assert result.verdict in VERDICTS
    assert result.values["difference"] == [result.values["with"][0] - result.values["without"][0]]
    assert all(0 <= result.values[name][0] <= 100 for name in ("with", "without"))


def test_two_trainings_that_differ_in_nothing_score_the_same():
    measured = generalist.ablation(0, algorithms=("bfs", "minimum"), without={}, **TINY)
    assert measured["difference"] == 0 and measured["updates"] == 2


def test_kept_runs_are_scored_again_not_trained_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = dict(updates={"segments_intersect": 3}, runs="kept", evaluate_samples=2, batch_size=2)
    first = generalist.single_task(1, **settings)
    before = (tmp_path / "kept/segments_intersect-1/metrics.jsonl").read_bytes()
    assert generalist.single_task(1, **settings) == first
    assert (tmp_path / "kept/segments_intersect-1/metrics.jsonl").read_bytes() == before
    assert set(first) == {("score", "segments_intersect"), "updates"}
    with pytest.raises(BadInput, match="holds a run with another configuration"):
        generalist.single_task(1, **(settings | {"batch_size": 3}))


@pytest.mark.parametrize("claim", ["single-task", "headline"])
def test_full_trainings_are_those_of_the_paper_preset_but_for_validation(claim, monkeypatch):
    from outrange.reasoning.nar.config import preset

    configs = []
    monkeypatch.setattr(
        generalist,
        "fit_and_score",
        lambda config, folder, size, count: (
            configs.append((config, folder, size, count)) or {config.algorithms[0]: 50.0}
        ),
    )
    full_table = PAPER.claim(claim)
    assert full_table.run(2, **full_table.scales["paper"])["updates"] == 10_000
    assert len(configs) == {"single-task": 10, "headline": 30}[claim]
    for config, folder, size, count in configs:
        assert config == preset("paper", config.algorithms, seed=2, evaluate_every=100, evaluate_samples=128)
        assert (folder, size, count) == ("runs/paper", None, None)


def test_a_stopped_training_stops_the_claim(tmp_path, monkeypatch):
    from outrange.reasoning.nar import training

    monkeypatch.setattr(training, "train", lambda config, path: {"stopped": True})
    result = generalist.single_task(0, updates={"bfs": 1}, runs=str(tmp_path))
    assert isinstance(result, NotRun) and result.stopped and "bfs-0 was stopped" in result.why
    for claim in ("single-task", "permutations"):
        result = reproduce(PAPER, PAPER.claim(claim), "laptop", 2)
        assert result.verdict == "not run" and result.stopped and not result.values
