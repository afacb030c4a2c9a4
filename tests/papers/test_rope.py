"""The claims of the RoPE paper: their judges on made-up measurements, their structure, and the statements run."""

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from outrange.papers import paper, reproduce, rope
from outrange.papers.claims import SCALES
from outrange.report.scan_story import HeadAblation, HeadSummary, PairNorms

PAPER = paper("rope")
STATEMENTS = ("any-distance", "no-decay", "nope-cannot", "rope-can", "slow-not-robust", "three-encodings")


def test_importing_the_claims_loads_no_torch():
    code = "import sys; from outrange.papers import paper; paper('rope'); print('torch' in sys.modules, 'transformers' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False False\n"
    )


def test_claims_have_names_that_fit_the_list_and_run_at_every_scale():
    names = [c.name for c in PAPER.claims]
    assert len(set(names)) == len(names)
    for claim in PAPER.claims:
        assert re.fullmatch("[a-z-]{1,23}", claim.name)
        assert set(claim.scales) == set(SCALES)
        assert claim.statement and claim.place and claim.published


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_statements_are_shown_with_two_seeds(name):
    assert reproduce(PAPER, PAPER.claim(name), "laptop", 2).verdict == "shown"


def test_a_single_wrong_distance_contradicts():
    assert PAPER.claim("any-distance").judge({"right": [1.0, 0.8], "runner_up": [0.9, 0.9]})[0] == "contradicted"


def test_a_spread_that_shrinks_contradicts_no_decay():
    fine = {"mean_in_standard_errors": [2.0], "least_deviation": [0.99], "largest_deviation": [1.01]}
    assert PAPER.claim("no-decay").judge(fine)[0] == "shown"
    assert PAPER.claim("no-decay").judge(fine | {"least_deviation": [0.5]})[0] == "contradicted"
    assert PAPER.claim("no-decay").judge(fine | {"mean_in_standard_errors": [4.5]})[0] == "contradicted"


def test_unequal_weights_on_equal_tokens_contradict():
    assert PAPER.claim("nope-cannot").judge({"difference": [0.1], "largest_weight": [0.4]})[0] == "contradicted"


def test_a_weight_that_does_not_grow_to_one_contradicts():
    rows = {
        (name, norm): [value]
        for name in ("diagonal", "previous")
        for norm, value in ((10, 0.2), (100, 0.9), (1000, 0.9999))
    }
    assert PAPER.claim("rope-can").judge(rows)[0] == "shown"
    assert PAPER.claim("rope-can").judge(rows | {("previous", 1000): [0.95]})[0] == "contradicted"
    assert PAPER.claim("rope-can").judge(rows | {("diagonal", 100): [0.1]})[0] == "contradicted"


def test_a_channel_that_outlives_its_prediction_contradicts():
    rows = {("fails_at", 1e4): [100.0], ("predicted", 1e4): [100.0]}
    assert PAPER.claim("slow-not-robust").judge(rows)[0] == "shown"
    assert PAPER.claim("slow-not-robust").judge(rows | {("fails_at", 1e4): [float("inf")]})[0] == "contradicted"


def test_table_one_needs_all_three_rows():
    rows = {
        (what, n): [v]
        for n, p, f in (("NoPE", 0.1, 0), ("RoPE", 1.0, 1), ("0.75-p-RoPE", 1.0, 0))
        for what, v in (("previous", p), ("fails", float(f)))
    }
    assert PAPER.claim("three-encodings").judge(rows)[0] == "shown"
    for name in rows:
        assert PAPER.claim("three-encodings").judge(rows | {name: [1 - rows[name][0]]})[0] == "contradicted", name


def preferred(q, k, v, layers=1.0):
    quarters = {
        (f"{name}_quarter", m + 1): [share]
        for name, shares in (("q", q), ("k", k), ("v", v))
        for m, share in enumerate(shares)
    }
    return quarters | {("slow_layers", name): [layers] for name in "qkv"}


def test_low_frequencies_are_preferred_only_if_values_have_none_and_layers_agree():
    slow, even, fast = (0.18, 0.22, 0.29, 0.31), (0.25,) * 4, (0.4, 0.3, 0.2, 0.1)
    assert PAPER.claim("low-preferred").judge(preferred(slow, slow, even))[0] == "shown"
    assert PAPER.claim("low-preferred").judge(preferred(slow, slow, slow))[0] == "partly"
    assert PAPER.claim("low-preferred").judge(preferred(slow, slow, even, layers=0.5))[0] == "partly"
    assert PAPER.claim("low-preferred").judge(preferred(fast, slow, even))[0] == "not at this scale"


def test_positional_heads_elsewhere_are_partly_what_the_paper_says():
    rows = {
        "positional_heads": [10.0],
        "in_end_layers": [0.8],
        "fast_share_positional": [0.2],
        "fast_share_others": [0.1],
    }
    assert PAPER.claim("positional-where").judge(rows)[0] == "shown"
    assert PAPER.claim("positional-where").judge(rows | {"in_end_layers": [0.2]})[0] == "partly"
    assert PAPER.claim("positional-where").judge(rows | {"fast_share_positional": [0.1]})[0] == "not at this scale"


def test_heads_that_keep_their_score_without_fast_frequencies_are_not_what_the_paper_says():
    assert (
        PAPER.claim("fast-carries").judge({"without_fastest": [0.1], "without_slowest": [1.0], "heads": [6.0]})[0]
        == "shown"
    )
    assert (
        PAPER.claim("fast-carries").judge({"without_fastest": [0.9], "without_slowest": [1.0], "heads": [6.0]})[0]
        == "partly"
    )


def test_conversion_is_shown_if_slow_rotation_costs_little_and_fast_much():
    rows = {
        ("perplexity", "RoPE"): [20.0],
        ("perplexity", "0.75-p-RoPE"): [20.5],
        ("perplexity", "0.75 reversed"): [200.0],
    }
    assert PAPER.claim("converted").judge(rows)[0] == "shown"
    assert PAPER.claim("converted").judge(rows | {("perplexity", "0.75-p-RoPE"): [30.0]})[0] == "partly"


def looked(monkeypatch, **side):
    monkeypatch.setattr(rope, "scanned", lambda *_, **__: SimpleNamespace(**side))


def made_head(layer, previous, top):
    return HeadSummary(
        layer=layer,
        head=0,
        diagonal=0.0,
        previous=previous,
        first=0.0,
        top_quarter=top,
        kind="previous token" if previous > 0.3 else "",
    )


def test_where_positional_heads_stand_is_counted_from_both_ends(monkeypatch):
    looked(
        monkeypatch,
        heads=[
            made_head(0, 0.9, 0.4),
            made_head(5, 0.8, 0.3),
            made_head(9, 0.7, 0.2),
            made_head(4, 0.1, 0.1),
            made_head(10, 0.0, 0.1),
        ],
    )
    measured = rope.where_positional("", 0)
    assert measured["positional_heads"] == 3
    assert measured["in_end_layers"] == pytest.approx(2 / 3)
    assert measured["fast_share_positional"] == pytest.approx(0.3)
    assert measured["fast_share_others"] == pytest.approx(0.1)
    assert measured["correlation"] > 0.8


def test_quarters_are_averaged_over_layers_and_the_strongest_is_looked_for_in_the_slower_half(monkeypatch):
    layer = [[1.0, 1, 1, 5], [1.0, 1, 1, 5]]
    looked(monkeypatch, usage=PairNorms(q=[layer, [[5.0, 1, 1, 1]]], k=[layer, layer], v=[[[1.0] * 4]] * 2))
    measured = rope.frequency_shares("", 0)
    assert [measured["q_quarter", k] for k in (1, 4)] == pytest.approx([0.375, 0.375])
    assert (measured["slow_layers", "q"], measured["slow_layers", "k"]) == (0.5, 1.0)


def test_what_is_left_of_scores_is_relative_and_a_model_without_such_heads_says_nothing(monkeypatch):
    ablation = HeadAblation(layer=0, head=0, score="previous", untouched=0.5, quarters=[0.1, 0.4, 0.5, 0.6])
    looked(monkeypatch, head_ablations=[ablation])
    measured = rope.what_carries("", 0)
    assert measured == {
        "without_fastest": pytest.approx(0.2),
        "without_slowest": pytest.approx(1.2),
        "heads": 1.0,
    }
    looked(monkeypatch, head_ablations=[])
    assert (
        PAPER.claim("fast-carries").judge({name: [value] for name, value in rope.what_carries("", 0).items()})[0]
        == "not at this scale"
    )
