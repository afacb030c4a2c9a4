"""Usage and exact logit statistics against the sums written out over the whole N x N map."""

import pytest
import torch

from outrange.attention.rope.layout import read_layout
from outrange.attention.rope.usage import MEASURES, Usage, quarter_shares
from outrange.attention.tap import AttentionInputs, tapped
from tests.attention.families import ids, model


def whole(seen, pairs):
    """Every pair's part of every logit, (H, P, N, N), and the norms of its channels; the definitions, written out."""
    pairs = torch.tensor(pairs)
    query = seen.query[0].double()[..., pairs]
    key = seen.key[0].double()[..., pairs].repeat_interleave(seen.group_size, 0)
    return (
        seen.scaling * torch.einsum("hipc,hjpc->hpij", query, key),
        query.norm(dim=-1).mean(1),
        seen.key[0].double()[..., pairs].norm(dim=-1).mean(1),
    )


def by_hand(parts):
    """The four measures of a map of parts (H, P, N, N)."""
    found = {name: [] for name in MEASURES}
    for i in range(2, parts.shape[-1]):
        row = parts[:, :, i, 1 : i + 1]
        mean = row.mean(-1)
        found["spread"].append(row.var(-1, unbiased=False))
        found["diagonal"].append(parts[:, :, i, i] - mean)
        found["previous"].append(parts[:, :, i, i - 1] - mean)
        found["first"].append(parts[:, :, i, 0] - mean)
    return {
        name: torch.stack(values).mean(0).sqrt() if name == "spread" else torch.stack(values).mean(0)
        for name, values in found.items()
    }


@pytest.mark.parametrize("name", ["llama", "glm", "gemma4", "llama4", "gpt_neox", "qwen3", "smollm3"])
def test_streamed_statistics_equal_those_of_the_whole_map(name, monkeypatch):
    monkeypatch.setattr("outrange.attention.rope.usage._BLOCK_ROWS", 7)  # blocks that do not divide the length
    watched, kept = model(name), {}
    found = read_layout(watched)
    usage = Usage(found)
    with torch.no_grad(), tapped(watched, lambda one: (usage(one), kept.setdefault(one.layer, one))):
        watched(ids(20))
    for index, one in usage.layers.items():
        parts, query, key = whole(kept[index], found.layers[index].pairs)
        torch.testing.assert_close(one.q, query)
        torch.testing.assert_close(one.k, key)
        for measure, wanted in by_hand(parts).items():
            torch.testing.assert_close(getattr(one, measure), wanted, atol=1e-9, rtol=1e-6)


@pytest.mark.parametrize("name", ["llama", "glm", "gpt_neox"])
def test_the_parts_of_all_pairs_add_up_to_the_logit(name):
    watched = model(name)
    found = read_layout(watched)

    def watch(one):
        parts, *_ = whole(one, found.layers[one.layer].pairs)
        torch.testing.assert_close(parts.sum(1), one.logits(slice(None), mask=False)[0].double(), atol=1e-4, rtol=1e-4)

    with torch.no_grad(), tapped(watched, watch):
        watched(ids())


def test_texts_and_batches_add_up():
    watched = model("llama")
    found = read_layout(watched)
    together, apart = Usage(found), Usage(found)
    tokens = ids(20, batch=3)
    with torch.no_grad():
        with tapped(watched, together):
            watched(tokens)
        with tapped(watched, apart):
            for one in tokens:
                watched(one[None])
    for index, one in together.layers.items():
        assert one.tokens == 60
        assert one.rows == 54
        torch.testing.assert_close(one.q, apart.layers[index].q, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(one.spread, apart.layers[index].spread, atol=1e-6, rtol=1e-5)


def test_a_query_made_for_one_frequency_shows_at_that_frequency():
    """d = 4, two pairs: q = k = the second pair's plane only, so everything is seen there and nothing at the first."""
    vectors = torch.zeros(1, 1, 6, 4, dtype=torch.float64)
    vectors[..., 1] = 2.0
    from tests.attention.families import config

    found = read_layout(config("llama", hidden_size=64, head_dim=4))
    seen = AttentionInputs(
        layer=0, query=vectors, key=vectors, value=vectors, mask=None, scaling=0.5, softcap=None, sinks=None
    )
    usage = Usage(found)
    usage(seen)
    one = usage.layers[0]
    assert one.q.tolist() == [[0.0, 2.0]]
    assert one.spread.tolist() == [[0.0, 0.0]]  # all keys are alike
    assert one.diagonal.tolist() == [[0.0, 0.0]]


def test_shares_of_quarters_add_up_to_one_and_follow_the_norms():
    assert quarter_shares(torch.tensor([[1.0, 1.0, 2.0, 4.0]])) == [0.125, 0.125, 0.25, 0.5]


def test_the_pretrained_models_shares_are_those_measured_before(smollm2):
    """Ten quotations, not the one text that the shares were first measured on: within 0.01."""
    from outrange.attention.texts import SHAKESPEARE
    from outrange.lm import opening

    tokens = torch.tensor([opening.encode_text(smollm2.tokenizer, SHAKESPEARE.read_text(), 160)])
    usage = Usage(read_layout(smollm2.model))
    with torch.no_grad(), tapped(smollm2.model, usage):
        smollm2.model(tokens, use_cache=False, logits_to_keep=1)
    wanted = {"q": (0.185, 0.216, 0.291, 0.308), "k": (0.194, 0.220, 0.277, 0.308), "v": (0.25, 0.25, 0.25, 0.25)}
    for name, shares in wanted.items():
        assert quarter_shares(torch.stack([getattr(one, name) for one in usage.layers.values()])) == pytest.approx(
            shares, abs=0.01
        )
    strongest = [int(one.q.mean(0).argmax()) for one in usage.layers.values()]
    assert sum(22 <= m <= 26 for m in strongest) >= 25
