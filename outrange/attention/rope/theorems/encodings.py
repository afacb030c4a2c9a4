"""What NoPE, RoPE and p-RoPE can hold: table 1 of arXiv 2410.06205, which puts Theorems 5.3 and 6.1 and Proposition
5.2 together.
"""

import math

from outrange.attention.check import Check
from outrange.attention.rope.angles import channel_frequencies
from outrange.attention.rope.theorems.positional_heads import positional_head
from outrange.attention.rope.theorems.setting import place_text
from outrange.attention.rope.theorems.slow_channels import slow_channel


def encoding(
    share: float,
    *,
    head_dim: int = 64,
    theta: float = 1e4,
    norm: float = 1e4,
    length: int = 512,
    context: int = 1 << 15,
    dtype: str = "float64",
) -> dict[str, float]:
    """A row of Table 1 for p = ``share``: NoPE is 0, RoPE 1.

    Returns:
        diagonal, previous: the worst weight that a positional head of this norm gives its target over ``length`` tokens
            (Theorem 5.3, Proposition 5.2).
        crossing: in the slowest channel, where a distractor of half the target's logit wins within ``context``;
            infinity if
            nowhere (Theorem 6.1).
    """
    slowest = float(channel_frequencies(head_dim, theta, share)[-1])
    diagonal, previous = (
        positional_head(norm, offset, head_dim=head_dim, theta=theta, share=share, length=length, dtype=dtype)["worst"]
        for offset in (0, 1)
    )
    return {
        "diagonal": diagonal,
        "previous": previous,
        "crossing": slow_channel(slowest, 0.5, context, dtype)["crossing"],
    }


def check_encodings(dtype: str, seed: int) -> Check:
    """Table 1, each encoding against both demands."""
    rows = {name: encoding(share, dtype=dtype) for name, share in (("NoPE", 0.0), ("RoPE", 1.0), ("0.75-RoPE", 0.75))}
    weight = {name: min(row["diagonal"], row["previous"]) for name, row in rows.items()}
    robust = [name for name, row in rows.items() if row["crossing"] == math.inf]
    positional = weight["NoPE"] <= 0.5 and min(weight["RoPE"], weight["0.75-RoPE"]) >= 0.99
    return Check(
        name=f"what the encodings hold, {dtype}",
        place="Table 1",
        statement="NoPE: semantic yes, positional no. RoPE: positional yes, robust semantic no. p-RoPE: both.",
        hypotheses="Ours: d = 64, theta = 10,000; the heads of Theorem 5.3, |psi|^2 = 10,000, 512 tokens; the "
        "slowest channel alone, B/A = 0.5, 32,768 tokens.",
        bound="positional: weight at least 0.99, or at most 1/2 where not; semantic: no crossing, or one where not",
        measured="; ".join(
            f"{name} weight {weight[name]:.4f}, crossing {place_text(rows[name]['crossing'])}" for name in rows
        ),
        holds=positional and robust == ["NoPE", "0.75-RoPE"],
        fine_print="A channel that does not turn has cosine 1 and sine 0 in every type, so its logit is the same "
        "at any distance, to the last bit.",
    )
