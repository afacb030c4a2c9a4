"""Rotary position schemes, one row each: everything the package knows about a scheme (arXiv 2410.06205, sections 5,
6, table 2).

A head of dimension d has d/2 channel pairs m = 0 … d/2 - 1. Under plain RoPE with base theta, pair m turns by
theta^(-2m/d) radians a token. A scheme says which pairs turn, and how fast, by giving the exponent e of theta^(-e)
for every pair:

    nope        no pair turns
    rope        all pairs turn
    p-rope      the floor(p d / 2) fastest turn as in RoPE, the others not at all; p = 1 is rope, p = 0 is nope
    reversed    the slowest floor(p d / 2) turn as in RoPE, the others not at all
    partial     classic partial rotary: floor(p d / 2) pairs turn with a whole spectrum of their own, theta^(-2m / (p d)),
                down to about 1/theta

To add a scheme, add its name to ``RotaryKind`` and its row to ``SCHEMES``: configurations, command lines, models
built and converted (``lm.rotary``), and layouts read from models (``attention.rope.layout``) follow. The rows of
the paper's comparison (``lm.published``) are a choice of these. Nothing here needs torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

RotaryKind = Literal["nope", "rope", "p-rope", "reversed", "partial"]
ROTARY_KINDS: tuple[RotaryKind, ...] = get_args(RotaryKind)

PairPlacement = Literal["whole head", "first channels", "scattered"]
"""where the channels of turning pairs lie: (m, m + d/2) over the whole head; all within the first 2K for K pairs;
neither
"""

Exponents = list[float | None]
"""of each pair the exponent e of its frequency theta^(-e); None: the pair does not turn"""


@dataclass(frozen=True, kw_only=True)
class Mispairing:
    """A placement of the pairs that is unusual for a scheme's frequencies, and what to call it."""

    placement: PairPlacement
    title: str
    note: str


@dataclass(frozen=True, kw_only=True)
class RotaryScheme:
    """One scheme. In titles, ``{p}`` is the share of the pairs that turn and ``{theta}`` the base, such as 10k."""

    meaning: str
    """one clause for a help text"""
    rope_type: str
    """transformers' name; one that begins with "outrange_" is registered by ``lm.rotary``"""
    exponents: Callable[[int, int], Exponents]
    """(floor(p d / 2), head dimension d) -> the exponent of each of the d/2 pairs"""
    partial_rotary_factor: Callable[[float], float] | None
    """p -> the setting that transformers stores beside the type; None: it stores none"""
    title: str
    """how a layout read from a model is called"""
    table_name: str
    """how a row of a comparison is called in files and commands"""
    table_label: str
    """how the paper's table 2 prints it"""
    note: str = ""
    """what a reader of a layout should notice"""
    mispairing: Mispairing | None = None


def turning_pairs(p: float, head_dim: int) -> int:
    """How many of the d/2 pairs turn at a share p: floor(p d / 2)."""
    return int(p * head_dim // 2)


def _nope_exponents(turning: int, head_dim: int) -> Exponents:
    return [None] * (head_dim // 2)


def _rope_exponents(turning: int, head_dim: int) -> Exponents:
    return [2 * m / head_dim for m in range(head_dim // 2)]


def _p_rope_exponents(turning: int, head_dim: int) -> Exponents:
    return [2 * m / head_dim if m < turning else None for m in range(head_dim // 2)]


def _reversed_exponents(turning: int, head_dim: int) -> Exponents:
    still = head_dim // 2 - turning
    return [2 * m / head_dim if m >= still else None for m in range(head_dim // 2)]


def _partial_exponents(turning: int, head_dim: int) -> Exponents:
    # the spectrum of a head of only 2K channels, on K of the pairs
    return [2 * m / (2 * turning) if m < turning else None for m in range(head_dim // 2)]


SCHEMES: dict[RotaryKind, RotaryScheme] = {
    # Order matters to ``recognise``: where two rows give the same frequencies, the earlier is the plainer name.
    "nope": RotaryScheme(
        meaning="no frequency turns",
        rope_type="proportional",
        exponents=_nope_exponents,
        partial_rotary_factor=lambda p: 0.0,
        title="NoPE",
        table_name="nope",
        table_label="NoPE",
    ),
    "rope": RotaryScheme(
        meaning="all frequencies turn",
        rope_type="default",
        exponents=_rope_exponents,
        partial_rotary_factor=None,
        title="RoPE",
        table_name="rope-{theta}",
        table_label="RoPE θ={theta}",
    ),
    "p-rope": RotaryScheme(
        meaning="the fastest p of the frequencies turn",
        rope_type="proportional",
        exponents=_p_rope_exponents,
        partial_rotary_factor=lambda p: p,
        title="{p}-p-RoPE",
        table_name="{p}-p-rope",
        table_label="{p}-RoPE",
        mispairing=Mispairing(
            placement="first channels",
            title="p-RoPE's frequencies with partial rotary's pairing",
            note="pairs lie inside the first channels, frequencies are those of p-RoPE: one of the two is a mistake",
        ),
    ),
    "reversed": RotaryScheme(
        meaning="the slowest p of the frequencies turn",
        rope_type="outrange_reversed",
        exponents=_reversed_exponents,
        partial_rotary_factor=lambda p: p,
        title="reversed {p}-p-RoPE",
        table_name="{p}-reversed",
        table_label="{p}-RoPE reversed",
        note="the fastest frequencies are the ones that do not turn",
    ),
    "partial": RotaryScheme(
        meaning="a whole spectrum of frequencies on p of the pairs",
        rope_type="outrange_partial",
        exponents=_partial_exponents,
        partial_rotary_factor=lambda p: p,
        title="partial rotary, {p} of the head",
        table_name="{p}-partial",
        table_label="{p}-RoPE partial",
        mispairing=Mispairing(
            placement="whole head",
            title="partial rotary, {p} of the head",
            note="pairs span the whole head: classic partial rotary up to an order of channels",
        ),
    ),
}


def titled(template: str, p: float, theta: float) -> str:
    """A title with its share and base filled in."""
    base = f"{theta / 1000:g}k" if theta >= 1000 else f"{theta:g}"
    return template.format(p=f"{p:g}", theta=base)


def recognise(
    frequencies: Sequence[float], theta: float, head_dim: int, placement: PairPlacement
) -> tuple[str, str] | None:
    """The title and note of the scheme that gives these frequencies, or None if no row does.

    Args:
        frequencies: radians a token of the pairs that turn, fastest first; within 0.1 % of a scheme's.
        theta: base of the frequencies.
        head_dim: channels of a head, also those that do not turn.
        placement: where the channels of the turning pairs lie.
    """
    turning = len(frequencies)
    fitting = [scheme for scheme in SCHEMES.values() if _fits(scheme.exponents(turning, head_dim), frequencies, theta)]
    if not fitting:
        return None
    # A single pair of several turns by 1 under p-RoPE and partial rotary alike; the older scheme is meant.
    ambiguous = turning == 1 < head_dim // 2 and SCHEMES["partial"] in fitting
    scheme = SCHEMES["partial"] if ambiguous else fitting[0]
    title, note = scheme.title, scheme.note
    if scheme.mispairing and scheme.mispairing.placement == placement:
        title, note = scheme.mispairing.title, scheme.mispairing.note
    return titled(title, 2 * turning / head_dim, theta), note


def _fits(exponents: Exponents, frequencies: Sequence[float], theta: float) -> bool:
    expected = [theta**-exponent for exponent in exponents if exponent is not None]
    if len(expected) != len(frequencies):
        return False
    return all(abs(g / e - 1) < 1e-3 for g, e in zip(frequencies, expected, strict=True))
