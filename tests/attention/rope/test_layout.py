"""Layouts are read from what a model does: families, schemes, and the mistakes people make between p-RoPE and partial rotary."""

import copy

import pytest
import torch

from outrange.attention.rope.layout import read_layout
from outrange.attention.tap import attention_modules, tapped
from outrange.core.errors import BadInput
from outrange.lm.config import Rotary
from outrange.lm.rotary import convert, frequencies, parameters
from tests.attention.families import FAMILIES, built, config, ids, model


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_read_from_its_configuration_alone(name):
    _, settings, scheme, pairing = FAMILIES[name]
    found = read_layout(config(name))
    schemes = [scheme] * settings["num_hidden_layers"] if isinstance(scheme, str) else scheme
    assert [found.layers[index].scheme for index in sorted(found.layers)] == schemes
    assert found.layers[0].pairing == pairing


@pytest.mark.parametrize("name", FAMILIES)
def test_the_layout_predicts_what_the_model_does_to_queries_far_away(name):
    watched, seen = model(name), {}
    found = read_layout(watched)
    tokens, at = torch.full((1, 2), 5), torch.tensor([[0, 201]])
    with torch.no_grad(), tapped(watched, lambda one: seen.setdefault(one.layer, one.query[0, 0].double()), blind=True):
        watched(tokens, position_ids=at, attention_mask=torch.ones_like(tokens), use_cache=False)
    for index, query in seen.items():
        turned = found.layers[index].rotation(201) @ query[0]
        torch.testing.assert_close(turned, query[1], atol=1e-3 * float(query.abs().max()), rtol=0)


@pytest.mark.parametrize(
    ("rotary", "scheme"),
    [
        (Rotary(kind="rope"), "RoPE"),
        (Rotary(kind="p-rope", p=0.75), "0.75-p-RoPE"),
        (Rotary(kind="p-rope", p=0.25), "0.25-p-RoPE"),
        (Rotary(kind="p-rope", p=1.0), "RoPE"),
        (Rotary(kind="nope"), "NoPE"),
        (Rotary(kind="reversed", p=0.75), "reversed 0.75-p-RoPE"),
        (Rotary(kind="partial", p=0.75), "partial rotary, 0.75 of the head"),
        (Rotary(kind="rope", theta=500_000.0), "RoPE"),
    ],
)
def test_every_scheme_of_the_paper_is_named(rotary, scheme):
    found = read_layout(config("llama", hidden_size=128, rope_parameters=parameters(rotary)))
    assert {one.scheme for one in found.layers.values()} == {scheme}
    one = found.layers[0]
    wanted = sorted(frequencies(rotary, 32).tolist(), reverse=True)
    assert one.frequencies == pytest.approx(wanted, rel=1e-4, abs=1e-9)
    assert sorted(c for pair in one.pairs for c in pair) == list(range(32))


def test_a_model_changed_after_loading_shows_as_changed():
    changed = model("llama")
    assert read_layout(changed).layers[0].scheme == "RoPE"
    convert(changed, 0.5)
    assert read_layout(changed).layers[0].scheme == "0.5-p-RoPE"


def test_the_right_frequencies_with_the_wrong_pairing_are_called_a_mistake(monkeypatch):
    """The bug that users report: p-RoPE's values, paired inside the first channels as partial rotary pairs them."""
    import transformers.models.llama.modeling_llama as llama

    def mistaken(q, k, cos, sin, unsqueeze_dim=1):
        width = 8  # a quarter of 32 channels: 4 pairs
        c, s = cos[..., : width // 2].repeat(1, 1, 2)[:, None], sin[..., : width // 2].repeat(1, 1, 2)[:, None]

        def turned(x):
            part, rest = x[..., :width], x[..., width:]
            return torch.cat((part * c + llama.rotate_half(part) * s, rest), -1)

        return turned(q), turned(k)

    monkeypatch.setattr(llama, "apply_rotary_pos_emb", mistaken)
    one = read_layout(
        config("llama", hidden_size=128, rope_parameters=parameters(Rotary(kind="p-rope", p=0.25)))
    ).layers[0]
    assert one.scheme == "p-RoPE's frequencies with partial rotary's pairing"
    assert "mistake" in one.note


def test_a_factor_that_llama_ignores_is_seen_to_be_ignored():
    settings = config(
        "llama", rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.5}
    )
    assert read_layout(settings).layers[0].scheme == "RoPE"


def test_scaled_frequencies_are_read_from_the_model():
    scaled = {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    one = read_layout(config("llama", rope_parameters=scaled)).layers[0]
    assert one.scheme == "RoPE, scaled (llama3)"
    plain = frequencies(Rotary(theta=500_000.0), 16)
    assert one.frequencies[0] == pytest.approx(float(plain[0]), rel=1e-5)
    assert one.frequencies[-1] == pytest.approx(float(plain[-1]) / 8, rel=1e-3)


def test_frequencies_that_change_with_length_are_said():
    scaled = {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 4.0}
    one = read_layout(config("llama", rope_parameters=scaled)).layers[0]
    assert one.scheme == "RoPE"  # within the trained length


def test_layers_that_are_alike_stand_together():
    assert [indices for indices, _ in read_layout(config("smollm3")).groups()] == [[0, 1, 2], [3]]


@pytest.mark.parametrize("kind", ["GPT2Config", "OPTConfig"])
def test_learned_positions_are_called_what_they_are(kind):
    import transformers

    settings = dict(
        vocab_size=96, hidden_size=64, ffn_dim=96, num_hidden_layers=2, num_attention_heads=4, word_embed_proj_dim=64
    )
    if kind == "GPT2Config":
        settings = dict(vocab_size=96, n_positions=256, n_embd=64, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2)
    found = read_layout(getattr(transformers, kind)(**settings))
    assert not found.rotates
    assert {one.scheme for one in found.layers.values()} == {"positions are added, not rotated"}


def test_a_family_that_cannot_be_watched_is_refused_in_one_sentence():
    from transformers import BloomConfig

    with pytest.raises(BadInput, match="cannot be watched"):
        read_layout(BloomConfig(vocab_size=96, hidden_size=64, n_layer=2, n_head=4))


def test_reading_a_layout_leaves_the_random_state_and_the_model_alone():
    watched, tokens = built(config("llama")), ids()
    before = torch.get_rng_state()
    with torch.no_grad():
        logits = watched(tokens).logits
        read_layout(watched)
        assert torch.equal(watched(tokens).logits, logits)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("theta", "head_dim", "length"), [(2.8e9, 128, 1 << 20), (500_000.0, 32, 32), (1e7, 32, 32)])
def test_rope_with_very_slow_pairs_is_still_rope(theta, head_dim, length):
    settings = config(
        "llama",
        hidden_size=4 * head_dim,
        max_position_embeddings=length,
        rope_parameters=parameters(Rotary(theta=theta)),
    )
    assert {one.scheme for one in read_layout(settings).layers.values()} == {"RoPE"}


def test_frequencies_of_modules_apart_are_not_mixed_up():
    """A second holder of frequencies, as of a part that sees pictures, changes nothing."""
    watched = model("llama")
    watched.vision = torch.nn.Module()
    watched.vision.register_buffer("inv_freq", torch.full((8,), 0.5), persistent=False)
    assert read_layout(watched).layers[0].frequencies == pytest.approx(
        read_layout(watched.config).layers[0].frequencies
    )


def test_a_model_that_sees_as_well_is_watched_where_it_reads():
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    sizes = dict(
        hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        both = Gemma3ForConditionalGeneration(
            Gemma3Config(text_config=config("gemma3").to_dict(), vision_config=sizes, mm_tokens_per_image=4)
        ).eval()
    assert {type(module).__name__ for module in attention_modules(both).values()} == {"Gemma3Attention"}
    assert len(read_layout(both).layers) == 6


def test_attention_outside_the_decoder_with_the_same_indices_is_passed_over():
    """As of the part of Gemma 4 that sees, which stands before the decoder."""
    watched = model("llama")
    eyes = copy.deepcopy(watched.model.layers[0].self_attn)
    watched._modules = {"eyes": eyes, **watched._modules}
    assert attention_modules(watched)[0] is watched.model.layers[0].self_attn
