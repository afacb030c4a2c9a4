"""The statements of "Round and Round We Go!" (arXiv 2410.06205) about rotary positions, as numbers that a machine
gets and checks that can fail.

    distance           Propositions 3.1, 3.2, figure 2, appendix B.4   does a logit decay with distance?
    returns            Lemmas A.1, A.2                                 where a single rotation comes back to
    positional_heads   Proposition 5.2, Theorem 5.3                    which heads can attend by position
    slow_channels      Theorem 6.1                                     slow frequencies as carriers of content
    encodings          Table 1                                         what NoPE, RoPE and p-RoPE can hold
    angle_errors       ours                                            angles in types of finite precision

Nothing is proved here: a check tries a statement at stated sizes, where finite lengths and finite precision may break
it. Lengths, norms, draws, bounds and what a type restricts are our hypotheses; single heads and single layers
throughout. ``outrange.attention.rope.angles`` has the arithmetic, and says what is rounded when.
"""

from collections.abc import Callable, Mapping, Sequence

from outrange.attention.check import Check
from outrange.attention.rope.angles import DTYPES, torch_dtype
from outrange.attention.rope.theorems.angle_errors import (
    angle_error,
    check_angles,
    first_wrong_position,
    table_error,
)
from outrange.attention.rope.theorems.distance import (
    check_decay,
    check_gaussian_attention,
    check_maximal_attention,
    constant_attention,
    gaussian_attention,
    maximal_attention,
    repeated_draw,
)
from outrange.attention.rope.theorems.encodings import check_encodings, encoding
from outrange.attention.rope.theorems.positional_heads import (
    check_nope_head,
    check_one_frequency,
    check_positional_head,
    nope_head,
    norm_needed,
    positional_head,
)
from outrange.attention.rope.theorems.returns import (
    NearReturn,
    check_dense_angles,
    check_no_exact_return,
    first_exact_return,
    largest_gap,
    near_returns,
)
from outrange.attention.rope.theorems.slow_channels import (
    any_choice,
    check_any_choice,
    check_slow_channel,
    robust_length,
    slow_channel,
)

__all__ = [
    "CHECKS",
    "DTYPES",
    "NearReturn",
    "angle_error",
    "any_choice",
    "checks",
    "constant_attention",
    "encoding",
    "first_exact_return",
    "first_wrong_position",
    "gaussian_attention",
    "largest_gap",
    "maximal_attention",
    "near_returns",
    "nope_head",
    "norm_needed",
    "positional_head",
    "repeated_draw",
    "robust_length",
    "slow_channel",
    "table_error",
]

CHECKS: Mapping[str, Callable[[str, int], Check]] = {
    "maximal attention": check_maximal_attention,
    "Gaussian attention": check_gaussian_attention,
    "decay": check_decay,
    "no exact return": check_no_exact_return,
    "NoPE head": check_nope_head,
    "positional head": check_positional_head,
    "one frequency": check_one_frequency,
    "slow channel": check_slow_channel,
    "any choice": check_any_choice,
    "dense angles": check_dense_angles,
    "encodings": check_encodings,
    "angles": check_angles,
}
"""every statement by name: (type, seed) -> its check"""


def checks(dtypes: Sequence[str] = DTYPES, seed: int = 0) -> list[Check]:
    """Every statement in every type, statement by statement. Takes some ten seconds of one core and 150 MB.

    Args:
        dtypes: some of ``DTYPES``.
        seed: of what is drawn.
    """
    for dtype in dtypes:
        torch_dtype(dtype, "dtypes")
    return [check(dtype, seed) for check in CHECKS.values() for dtype in dtypes]
