"""Tiny models with random weights of the families that the microscope must read alike, and what their layouts are."""

import warnings

import torch

COMMON = dict(
    vocab_size=96, hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
    pad_token_id=0, bos_token_id=1, eos_token_id=2,
)  # fmt: skip
NO_GROUPS = {name: value for name, value in COMMON.items() if name != "num_key_value_heads"}
SIX = COMMON | {"num_hidden_layers": 6}
GEMMA4 = SIX | dict(
    head_dim=16,
    global_head_dim=32,
    sliding_window=8,
    hidden_size_per_layer_input=8,
    vocab_size_per_layer_input=96,
    num_kv_shared_layers=0,
)

#: name -> (configuration's class, its settings, scheme by layer or one for all, pairing of the first)
FAMILIES = {
    "llama": ("LlamaConfig", COMMON, "RoPE", "(m, m + 8) over the whole head"),
    "gemma": ("GemmaConfig", COMMON | {"head_dim": 16}, "RoPE", "(m, m + 8) over the whole head"),
    "gemma2": (
        "Gemma2Config",
        COMMON | {"head_dim": 16, "sliding_window": 8},
        "RoPE",
        "(m, m + 8) over the whole head",
    ),
    "gemma3": (
        "Gemma3TextConfig",
        SIX | {"head_dim": 16, "sliding_window": 8},
        "RoPE",
        "(m, m + 8) over the whole head",
    ),
    "gemma4": ("Gemma4TextConfig", GEMMA4, ["RoPE"] * 5 + ["0.25-p-RoPE"], "(m, m + 8) over the whole head"),
    "qwen2": ("Qwen2Config", COMMON, "RoPE", "(m, m + 8) over the whole head"),
    "qwen3": ("Qwen3Config", COMMON | {"head_dim": 16}, "RoPE", "(m, m + 8) over the whole head"),
    "mistral": ("MistralConfig", COMMON | {"sliding_window": 8}, "RoPE", "(m, m + 8) over the whole head"),
    "phi": ("PhiConfig", COMMON, "partial rotary, 0.5 of the head", "(m, m + 4) in channels 0-7"),
    "phi3": ("Phi3Config", COMMON, "RoPE", "(m, m + 8) over the whole head"),
    "gpt_neox": ("GPTNeoXConfig", NO_GROUPS, "partial rotary, 0.25 of the head", "(m, m + 2) in channels 0-3"),
    "stablelm": ("StableLmConfig", COMMON, "partial rotary, 0.25 of the head", "(m, m + 2) in channels 0-3"),
    "smollm3": ("SmolLM3Config", COMMON, ["RoPE"] * 3 + ["NoPE"], "(m, m + 8) over the whole head"),
    "llama4": (
        "Llama4TextConfig",
        COMMON | {"head_dim": 16, "intermediate_size_mlp": 96, "num_local_experts": 2},
        ["RoPE"] * 3 + ["NoPE"],
        "(2m, 2m + 1) in the whole head",
    ),
    "olmo": ("OlmoConfig", COMMON, "RoPE", "(m, m + 8) over the whole head"),
    "olmo2": ("Olmo2Config", COMMON, "RoPE", "(m, m + 8) over the whole head"),
    "glm": ("GlmConfig", COMMON | {"head_dim": 16}, "partial rotary, 0.5 of the head", "(2m, 2m + 1) in channels 0-7"),
    "cohere": ("CohereConfig", COMMON, "RoPE", "(2m, 2m + 1) in the whole head"),
    "gpt_oss": (
        "GptOssConfig",
        COMMON | {"head_dim": 16, "num_local_experts": 4, "sliding_window": 8},
        "RoPE, scaled (yarn)",
        "(m, m + 8) over the whole head",
    ),
}


def config(name, **changes):
    """A family's tiny configuration."""
    import transformers

    kind, settings, *_ = FAMILIES[name]
    return getattr(transformers, kind)(**(settings | changes))


def model(name, attention=None, spread=0.15, **changes):
    """A family's tiny model, with weights large enough that attention is far from even."""
    return built(config(name, **changes), attention, spread)


def built(settings, attention=None, spread=0.15):
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        made = AutoModelForCausalLM.from_config(settings, attn_implementation=attention).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))
    return made


def ids(length=24, batch=1, seed=0):
    return torch.randint(3, 90, (batch, length), generator=torch.Generator().manual_seed(seed))
