"""Head scores and ablations: closed forms, the whole map, and the pretrained model's named heads."""

import math

import pytest
import torch

from outrange.attention.rope.ablate import Ablation, ablated, choose_pairs, parse_head, perplexity, turn_back
from outrange.attention.rope.heads import HeadScores, head_kind
from outrange.attention.rope.layout import read_layout
from outrange.attention.tap import AttentionInputs, tapped
from outrange.core.errors import BadInput
from outrange.lm.rotary import converted
from tests.attention.families import FAMILIES, ids, model


def seen_of(weights):
    """A ``Seen`` of one head whose attention weights are given, (N, N)."""
    length = len(weights)
    return AttentionInputs(
        layer=0, query=torch.eye(length)[None, None], key=weights.clamp_min(1e-30).log().T[None, None].contiguous(), value=torch.zeros(1, 1, length, 1),
        mask=None, scaling=1.0, softcap=None, sinks=None,
    )  # fmt: skip


def test_scores_leave_out_the_rows_that_have_no_choice():
    weights = torch.tensor([[1.0, 0, 0, 0], [0.9, 0.1, 0, 0], [0.2, 0.5, 0.3, 0], [0.1, 0.2, 0.6, 0.1]])
    scores = HeadScores()
    scores(seen_of(weights))
    one = {name: float(value[0]) for name, value in scores.layers[0].items()}
    assert one["diagonal"] == pytest.approx((0.1 + 0.3 + 0.1) / 3, abs=1e-6)
    assert one["previous"] == pytest.approx(
        (0.5 + 0.6) / 2, abs=1e-6
    )  # row 1 is left out: what is before it is the first token
    assert one["first"] == pytest.approx((0.9 + 0.2 + 0.1) / 3, abs=1e-6)


@pytest.mark.parametrize("name", ["llama", "gemma2", "mistral", "gpt_oss", "gpt_neox"])
def test_scores_in_blocks_equal_those_of_the_whole_map(name, monkeypatch):
    monkeypatch.setattr("outrange.attention.rope.heads._BLOCK_WEIGHTS", 500)
    watched, scores, maps = model(name), HeadScores(), {}
    with (
        torch.no_grad(),
        tapped(watched, lambda one: (scores(one), maps.setdefault(one.layer, one.weights(slice(None))[0].double()))),
    ):
        watched(ids(22))
    for index, one in scores.layers.items():
        own = maps[index].diagonal(dim1=-2, dim2=-1)
        torch.testing.assert_close(one["diagonal"], own[:, 1:].mean(1), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(
            one["previous"], maps[index].diagonal(-1, dim1=-2, dim2=-1)[:, 1:].mean(1), atol=1e-6, rtol=1e-5
        )
        torch.testing.assert_close(one["first"], maps[index][:, 1:, 0].mean(1), atol=1e-6, rtol=1e-5)


def test_a_head_is_called_what_it_attends_to():
    assert head_kind({"diagonal": 0.5, "previous": 0.4, "first": 0.1}) == "diagonal"
    assert head_kind({"diagonal": 0.1, "previous": 0.4, "first": 0.5}) == "previous token"
    assert head_kind({"diagonal": 0.1, "previous": 0.1, "first": 0.8}) == "first token"
    assert head_kind({"diagonal": 0.1, "previous": 0.1, "first": 0.5}) == ""


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("lowest:2", [6, 7]), ("highest:3", [0, 1, 2]), ("highest:25%", [0, 1]), ("quarter:4", [6, 7]), ("2-4,7", [2, 3, 4, 7]),
        ("all", list(range(8))), ("lowest:0", []), ("3", [3]),
    ],
)  # fmt: skip
def test_frequencies_are_chosen_from_the_fastest(text, chosen):
    assert choose_pairs(text, 8) == chosen


@pytest.mark.parametrize(
    "text", ["", "lowest", "lowest:9", "quarter:5", "8", "4-2", "highest:101%", "x", "-1", "1-", "quarter:1%"]
)
def test_frequencies_that_are_not_there_are_refused(text):
    with pytest.raises(BadInput, match="pairs: "):
        choose_pairs(text, 8)


@pytest.mark.parametrize("text", ["L9H0", "L0H4", "16", "L1", "H1", "L-1H0"])
def test_heads_that_are_not_there_are_refused(text):
    with pytest.raises(BadInput, match="head: .* write L16H0"):
        parse_head(text, read_layout(model("llama")), 4)


@pytest.mark.parametrize("name", FAMILIES)
def test_taking_nothing_away_changes_nothing(name):
    watched, tokens = model(name), ids()
    found = read_layout(watched)
    with torch.no_grad():
        before = watched(tokens).logits
        for one in (
            Ablation(pairs="lowest:0"),
            Ablation(kind="remove", pairs="lowest:0"),
            Ablation(kind="remove", pairs="all", heads=[]),
        ):
            with ablated(watched, found, one):
                torch.testing.assert_close(watched(tokens).logits, before, atol=0, rtol=0)
        with ablated(watched, found, Ablation(kind="remove", pairs="all")):
            assert float((watched(tokens).logits - before).abs().max()) > 1e-4


@pytest.mark.parametrize(
    ("pairs", "p", "kind"),
    [
        ("lowest:25%", 0.75, "p-rope"),
        ("lowest:75%", 0.25, "p-rope"),
        ("all", 0.0, "p-rope"),
        ("highest:25%", 0.75, "reversed"),
    ],
)
@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3"])
def test_frequencies_that_stop_turning_are_p_rope(name, pairs, p, kind):
    watched, tokens = model(name), ids()
    found = read_layout(watched)
    with torch.no_grad():
        with ablated(watched, found, Ablation(pairs=pairs)):
            ours = watched(tokens).logits
        with converted(watched, p, kind):
            theirs = watched(tokens).logits
        plain = watched(tokens).logits
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)
    assert float((plain - theirs).abs().max()) > 1e-3


def test_turning_back_undoes_the_layouts_rotation():
    one = read_layout(model("glm")).layers[0]
    vector = torch.randn(1, 2, 1, one.head_dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    turned = torch.cat([(one.rotation(n) @ vector[..., None])[..., 0] for n in range(5)], 2)
    back = turn_back(turned, torch.tensor(one.pairs), torch.tensor(one.frequencies, dtype=torch.float64))
    torch.testing.assert_close(back, vector.expand_as(back))


def test_one_heads_frequencies_are_taken_from_that_head_alone():
    watched, tokens = model("llama"), ids()
    found, before, after = read_layout(watched), HeadScores(), HeadScores()
    with torch.no_grad():
        with tapped(watched, before):
            watched(tokens)
        with ablated(watched, found, Ablation(kind="remove", pairs="all", heads=[(0, 2)]), after):
            watched(tokens)
    moved = (before.layers[0]["diagonal"] - after.layers[0]["diagonal"]).abs()
    assert moved[2] > 1e-3
    assert moved[[0, 1, 3]].max() == 0
    uniform = sum(1 / (i + 1) for i in range(1, 24)) / 23  # without logits all keys are alike
    assert float(after.layers[0]["diagonal"][2]) == pytest.approx(uniform, rel=1e-5)


def test_stopping_in_single_heads_is_refused_with_the_reason():
    with pytest.raises(BadInput, match="several heads may share"):
        Ablation(kind="still", heads=[(0, 0)])


def test_perplexity_of_a_model_that_knows_nothing_is_its_vocabulary():
    watched = model("llama")
    with torch.no_grad():
        watched.lm_head.weight.zero_()
    assert perplexity(watched, [ids(10), ids(20)]) == pytest.approx(96, rel=1e-5)


def test_the_pretrained_models_named_heads_and_their_frequencies(smollm2):
    """L16H0 looks one token back by its fastest quarter alone; within 0.06 of what was measured on another text."""
    from outrange.attention.texts import SHAKESPEARE
    from outrange.lm import opening

    found = read_layout(smollm2.model)
    tokens = torch.tensor([opening.encode_text(smollm2.tokenizer, SHAKESPEARE.read_text(), 200)])

    def scores(pairs):
        watch = HeadScores()
        with (
            torch.no_grad(),
            ablated(smollm2.model, found, Ablation(kind="remove", pairs=pairs, heads=[(16, 0), (11, 6)]), watch),
        ):
            smollm2.model.model(tokens, use_cache=False)
        return watch.layers

    plain = scores("lowest:0")
    for layer, number, score, wanted in (
        (16, 0, "previous", 0.797),
        (11, 1, "previous", 0.631),
        (2, 1, "previous", 0.563),
        (11, 6, "diagonal", 0.713),
        (12, 5, "diagonal", 0.502),
        (18, 8, "first", 1.0),
    ):
        assert float(plain[layer][score][number]) == pytest.approx(wanted, abs=0.06)
    fast, slow = scores("quarter:1"), scores("quarter:4")
    assert float(fast[16]["previous"][0]) < 0.01
    assert float(slow[16]["previous"][0]) == pytest.approx(0.868, abs=0.06)
    assert float(fast[11]["diagonal"][6]) == pytest.approx(0.133, abs=0.06)
    assert not math.isnan(perplexity(smollm2.model, [tokens[:, :32]]))
