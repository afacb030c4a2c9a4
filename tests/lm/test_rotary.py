"""Rotary schemes: closed forms, transformers' own to the bit, conversion and back."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from outrange.core.errors import BadInput
from outrange.lm.config import Rotary
from outrange.lm.rotary import convert, converted, frequencies, parameters
from outrange.lm.schemes import ROTARY_KINDS, SCHEMES, recognise


def llama(rotary=None, length=64):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        rope_parameters = parameters(rotary or Rotary())
        sizes = dict(
            vocab_size=64,
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
        )
        return LlamaForCausalLM(
            LlamaConfig(**sizes, max_position_embeddings=length, rope_parameters=rope_parameters)
        ).eval()


IDS = torch.randint(0, 64, (1, 32), generator=torch.Generator().manual_seed(3))


def test_frequencies_are_the_papers():
    assert frequencies(Rotary(theta=16.0), 4).tolist() == [1.0, 0.25]
    assert frequencies(Rotary(kind="nope"), 4).tolist() == [0.0, 0.0]
    assert frequencies(Rotary(kind="p-rope", theta=16.0, p=0.5), 8).tolist() == pytest.approx([1.0, 0.5, 0.0, 0.0])
    assert frequencies(Rotary(kind="reversed", theta=16.0, p=0.5), 8).tolist() == pytest.approx([0.0, 0.0, 0.25, 0.125])
    assert frequencies(Rotary(kind="partial", theta=16.0, p=0.5), 8).tolist() == pytest.approx([1.0, 0.25, 0.0, 0.0])


@pytest.mark.parametrize(
    ("kind", "placement", "title"),
    [
        ("nope", "whole head", "NoPE"),
        ("rope", "whole head", "RoPE"),
        ("p-rope", "whole head", "0.75-p-RoPE"),
        ("p-rope", "first channels", "p-RoPE's frequencies with partial rotary's pairing"),
        ("reversed", "whole head", "reversed 0.75-p-RoPE"),
        ("partial", "first channels", "partial rotary, 0.75 of the head"),
    ],
)
def test_a_scheme_is_recognised_from_its_own_frequencies(kind, placement, title):
    assert SCHEMES.keys() == set(ROTARY_KINDS)
    turning = [f for f in frequencies(Rotary(kind=kind, p=0.75), 64).tolist() if f]
    assert recognise(turning, 10_000.0, 64, placement)[0] == title
    assert recognise([2 * f for f in turning] or [2.0], 10_000.0, 64, placement) is None


def test_the_slowest_kept_frequency_of_the_papers_example():
    kept = frequencies(Rotary(kind="p-rope", theta=10_000.0, p=0.75), 256)
    assert int((kept > 0).sum()) == 96
    assert float(kept[95]) == pytest.approx(1.07e-3, rel=0.01)


def test_the_number_kept_is_rounded_down():
    assert int((frequencies(Rotary(kind="p-rope", p=0.7), 16) > 0).sum()) == 5  # 0.7 * 8 = 5.6


@pytest.mark.parametrize("p", [0.0, 0.1, 0.25, 0.75, 1.0])
@pytest.mark.parametrize("head_dim", [16, 64, 128, 256])
def test_p_rope_equals_transformers_proportional_to_the_bit_up_to_32k(p, head_dim):
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rotary = Rotary(kind="p-rope", p=p, theta=500_000.0)
    theirs, _ = ROPE_INIT_FUNCTIONS["proportional"](
        LlamaConfig(hidden_size=head_dim, num_attention_heads=1, rope_parameters=parameters(rotary))
    )
    ours = frequencies(rotary, head_dim)
    assert torch.equal(ours, theirs)
    positions = torch.tensor([0, 1, 1023, 32_767]).float()[:, None]
    assert torch.equal((positions * ours).cos(), (positions * theirs).cos())


@pytest.mark.parametrize("kind", ROTARY_KINDS)
def test_a_converted_model_equals_one_built_so_and_loads_as_it_was_saved(kind, tmp_path):
    plain = llama()
    with torch.no_grad():
        before = plain(IDS).logits
        with converted(plain, 0.5, kind):
            logits = plain(IDS).logits
            built = llama(Rotary(kind=kind, p=0.5))
            built.load_state_dict(plain.state_dict())
            assert torch.equal(built(IDS).logits, logits)
            plain.save_pretrained(tmp_path)
            assert torch.equal(LlamaForCausalLM.from_pretrained(tmp_path).eval()(IDS).logits, logits)
        assert torch.equal(plain(IDS).logits, before)


def test_p_of_one_is_rope_and_p_of_nothing_is_nope_to_the_bit_at_position_32k():
    at = torch.arange(32_736, 32_768)[None]
    rope, nope = llama(length=32_768), llama(Rotary(kind="nope"), length=32_768)
    with torch.no_grad():
        before = rope(IDS, position_ids=at).logits
        with converted(rope, 1.0):
            assert torch.equal(rope(IDS, position_ids=at).logits, before)
        with converted(rope, 0.0):
            assert torch.equal(rope(IDS, position_ids=at).logits, nope(IDS, position_ids=at).logits)
            assert torch.equal(
                rope(IDS, position_ids=at).logits, rope(IDS).logits
            )  # where a token stands makes no difference


def test_conversion_can_be_undone():
    model = llama()
    with torch.no_grad():
        before = model(IDS).logits
        assert not torch.equal(convert(model, 0.25)(IDS).logits, before)
        assert torch.equal(convert(model, 1.0)(IDS).logits, before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "rop"}, "did you mean 'rope'"),
        ({"p": 1.5}, "rotary.p"),
        ({"theta": 1.0}, "rotary.theta"),
        ({"p": float("nan")}, "rotary.p"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(BadInput, match=message):
        Rotary(**settings)


def test_an_odd_head_is_refused():
    with pytest.raises(BadInput, match="must be even"):
        frequencies(Rotary(), 7)


def test_scaled_and_partial_models_are_not_converted():
    from transformers import GPT2Config, GPT2LMHeadModel, StableLmConfig, StableLmForCausalLM

    sizes = dict(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    scaled = {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 2.0}
    with torch.random.fork_rng(devices=[]):
        with pytest.raises(BadInput, match="rope_type 'linear'"):
            convert(LlamaForCausalLM(LlamaConfig(**sizes, rope_parameters=scaled)))
        with pytest.raises(BadInput, match="partial rotary of 0.25"):
            convert(StableLmForCausalLM(StableLmConfig(**sizes)))
        with pytest.raises(BadInput, match="no rotary embedding"):
            convert(
                GPT2LMHeadModel(
                    GPT2Config(
                        vocab_size=64, n_positions=64, n_embd=64, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=2
                    )
                )
            )
