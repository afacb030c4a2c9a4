"""Watching attention: in every family the outputs stay the same to the bit, and rebuilt weights are the model's own."""

import pytest
import torch

from outrange.attention.tap import attention_modules, tapped
from outrange.core.errors import BadInput
from tests.attention.families import FAMILIES, ids, model


@pytest.mark.parametrize("name", FAMILIES)
def test_outputs_are_the_same_to_the_bit_with_and_without_a_watcher(name):
    watched, tokens, seen = model(name), ids(), []
    with torch.no_grad():
        before = watched(tokens).logits
        with tapped(watched, lambda one: seen.append(one.layer)):
            during = watched(tokens).logits
        after = watched(tokens).logits
    assert torch.equal(before, during)
    assert torch.equal(before, after)
    assert seen == list(range(watched.config.num_hidden_layers))


@pytest.mark.parametrize("name", FAMILIES)
def test_rebuilt_weights_are_the_models_own_eager_ones(name):
    watched, tokens, maps = model(name, "eager"), ids(batch=2), []
    with torch.no_grad(), tapped(watched, lambda one: maps.append(one.weights(slice(None)))):
        own = watched(tokens, output_attentions=True).attentions
    assert len(maps) == len(own)
    for ours, theirs in zip(maps, own, strict=True):
        torch.testing.assert_close(ours, theirs[..., : ours.shape[-1]], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["llama", "gemma3", "mistral", "gpt_oss"])
def test_rows_of_weights_are_the_same_in_blocks_as_at_once_and_under_fused_attention(name):
    found = []

    def watch(one):
        whole = one.weights(slice(None))
        for begin in (0, 7, 23):
            block = one.weights(slice(begin, begin + 7))
            found.append(float((whole[:, :, begin : begin + 7, : block.shape[-1]] - block).abs().max()))

    watched = model(name)
    with torch.no_grad(), tapped(watched, watch):
        watched(ids())
    assert max(found) < 1e-6


def test_a_watcher_that_fails_leaves_the_model_untapped():
    watched, tokens = model("llama"), ids()

    def fail(one):
        raise ZeroDivisionError

    with torch.no_grad():
        before = watched(tokens).logits
        with pytest.raises(ZeroDivisionError), tapped(watched, fail):
            watched(tokens)
        assert torch.equal(watched(tokens).logits, before)


def test_another_model_is_left_alone_while_one_is_tapped():
    one, other, seen = model("llama"), model("llama"), []
    with torch.no_grad(), tapped(one, seen.append):
        other(ids())
    assert not seen


def test_blind_attention_passes_nothing_between_positions():
    watched = model("llama")
    one, other = ids(), ids()
    other[0, 0] = (one[0, 0] + 1) % 90
    with torch.no_grad(), tapped(watched, blind=True):
        assert torch.equal(watched(one).logits[0, 1:], watched(other).logits[0, 1:])
    with torch.no_grad():
        assert not torch.equal(watched(one).logits[0, 1:], watched(other).logits[0, 1:])


def test_a_model_outside_the_interface_is_refused_by_name():
    from transformers import BloomConfig

    from tests.attention.families import built

    with pytest.raises(BadInput, match="BloomForCausalLM cannot be watched"):
        attention_modules(built(BloomConfig(vocab_size=96, hidden_size=64, n_layer=2, n_head=4), "eager"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("name", ["llama", "gemma3", "mistral"])
def test_on_a_gpu_rebuilt_weights_are_those_of_the_processor(name):
    found = []
    for place in ("cpu", "cuda"):
        watched, maps = model(name).to(place), []
        with torch.no_grad(), tapped(watched, lambda one, maps=maps: maps.append(one.weights(slice(None)).cpu())):
            watched(ids().to(place))
        found.append(maps)
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
