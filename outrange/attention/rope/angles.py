"""The arithmetic of rotary angles and logits in a chosen floating-point type, as a machine computes it.

The statements of "Round and Round We Go!" (arXiv 2410.06205) are about real numbers. A model computes the angle
(position times frequency), its cosine and sine, the rotated query and key, their product and the softmax in some
type, and each step rounds. The functions here do the same steps in the type asked for, so that every statement of
``outrange.attention.rope.theorems`` can be tried as a machine would compute it. Our hypotheses, which follow what
today's libraries do:

    angles           in float32 (float64 for float64), unless ``angle_dtype`` says otherwise
    cosine, sine     rounded to the type; the rotation itself is done in the type
    logit            products summed in float32 (float64 for float64), then rounded once to the type
    softmax          in float32 (float64 for float64), then rounded to the type

A head of dimension d has M = d/2 channels, m = 0 … M - 1 (the paper's k is m + 1), with frequencies g_m =
theta^(-2m/d) radians a token. The logit of a query and a key n tokens before it is q^T R^-n k; the scale 1/sqrt(d) is
left out. ``exact_phase`` rounds nothing on the way: a stored frequency is a fraction, and pi is taken to 80 digits.
"""

import math
from fractions import Fraction

import torch
from torch import Tensor

from outrange.core.checks import require
from outrange.core.errors import unknown

DTYPES = ("float64", "float32", "bfloat16", "float16")
CHUNK = 1 << 20
"""numbers that a search computes at a time"""

_TORCH = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_TWO_PI = 2 * Fraction("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")


# ---------- types and draws ----------


def torch_dtype(name: str, field: str = "dtype") -> torch.dtype:
    """The torch type of a name in ``DTYPES``."""
    if name not in _TORCH:
        raise unknown(field, name, DTYPES, "a type that the statements are checked in")
    return _TORCH[name]


def spacing(dtype: str) -> float:
    """The distance from 1 to the next larger number of a type: 2^-52, 2^-23, 2^-7, 2^-10. Below 1 numbers lie half as
    far apart.
    """
    return torch.finfo(torch_dtype(dtype)).eps


def gaussian(seed: int, *shape: int) -> Tensor:
    """Independent N(0, 1) numbers, float64, from a generator of their own."""
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def generator(seed: int) -> torch.Generator:
    """A fresh generator; nothing here touches the global one."""
    require(isinstance(seed, int) and 0 <= seed < 1 << 63, "seed", seed, "a whole number from 0 to 2^63 - 1")
    return torch.Generator().manual_seed(seed)


# ---------- angles ----------


def channel_frequencies(head_dim: int = 64, theta: float = 1e4, share: float = 1.0) -> Tensor:
    """Radians a token of the channels of a head, (head_dim / 2,) float64, fastest first.

    Args:
        head_dim: channels of a head, even.
        theta: base of the frequencies, above 1.
        share: p of p-RoPE: 1 is RoPE, 0 is NoPE.
    """
    even = isinstance(head_dim, int) and head_dim >= 2 and head_dim % 2 == 0
    require(even, "head_dim", head_dim, "an even whole number of at least 2")
    require(1 < theta < math.inf, "theta", theta, "a finite number above 1")
    require(0 <= share <= 1, "share", share, "from 0 to 1")
    g = theta ** (-2 * torch.arange(head_dim // 2, dtype=torch.float64) / head_dim)
    g[int(share * head_dim // 2) :] = 0
    return g


def exact_phase(position: int, frequency: float) -> float:
    """The angle ``position * frequency`` in radians, taken into [-pi, pi]; only the result is rounded, to float64."""
    angle = position * Fraction(frequency)
    return float(angle - round(angle / _TWO_PI) * _TWO_PI)


def wrap(angles: Tensor) -> Tensor:
    """Angles in radians, taken into [-pi, pi), in their own type."""
    return torch.remainder(angles + math.pi, 2 * math.pi) - math.pi


def one_minus_cos(phase: float) -> float:
    """1 - cos(phase), without the cancellation that loses small phases."""
    return 2.0 * math.sin(phase / 2.0) ** 2


def cos_sin(
    positions: Tensor, frequencies: Tensor, dtype: str, angle_dtype: str | None = None
) -> tuple[Tensor, Tensor]:
    """Cosine and sine, (P, M) each and of type ``dtype``, of positions (P,) times frequencies (M,).

    The angles are computed in ``angle_dtype``: float32, or float64 for float64, if it is None.
    """
    wide = torch_dtype(angle_dtype or _wide(dtype), "angle_dtype")
    angles = positions.to(wide)[:, None] * frequencies.to(wide)
    return angles.cos().to(torch_dtype(dtype)), angles.sin().to(torch_dtype(dtype))


# ---------- rotations and logits ----------


def rotate(
    chunks: Tensor, positions: Tensor, frequencies: Tensor, dtype: str, angle_dtype: str | None = None
) -> Tensor:
    """R^p x: channel pairs (..., P, M, 2) or (M, 2), turned by position (P,) times frequency (M,), in ``dtype``.

    Which two channels of a head form pair m (neighbours, or m and m + d/2) changes no logit as long as query and key
    agree.
    """
    return turn(chunks, cos_sin(positions, frequencies, dtype, angle_dtype))


def turn(chunks: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """``rotate`` with cosines and sines (P, M) at hand; the type is theirs."""
    cos, sin = table
    x, y = chunks.to(cos.dtype).unbind(-1)
    return torch.stack((x * cos - y * sin, x * sin + y * cos), -1)


def logits(queries: Tensor, keys: Tensor, dtype: str) -> Tensor:
    """Products (Q, K), as float64, of rotated queries (Q, M, 2) and keys (K, M, 2); not scaled by 1/sqrt(d)."""
    wide = torch_dtype(_wide(dtype))
    return (queries.flatten(1).to(wide) @ keys.flatten(1).to(wide).T).to(torch_dtype(dtype)).double()


def paired_logits(queries: Tensor, keys: Tensor, dtype: str) -> Tensor:
    """Products (...,), as float64, of each rotated query (..., M, 2) with its own key of the same shape."""
    wide = torch_dtype(_wide(dtype))
    return (queries.to(wide) * keys.to(wide)).sum((-2, -1)).to(torch_dtype(dtype)).double()


def softmax(rows: Tensor, dtype: str) -> Tensor:
    """Attention weights of logits (Q, K), rounded to ``dtype``, as float64. A row with an infinite logit, as float16
    makes them, is nan.
    """
    return rows.to(torch_dtype(_wide(dtype))).softmax(-1).to(torch_dtype(dtype)).double()


def logit_curve(query: Tensor, key: Tensor, table: tuple[Tensor, Tensor], dtype: str) -> Tensor:
    """Logits by distance 0 … P - 1, (P,): the query (M, 2) at the last position of the table (P, M), the key at every
    one.

    The query stands at the end so that positions are as large as the length, as in a model that reads a long text.
    """
    cos, sin = table
    return logits(turn(query, (cos[-1:], sin[-1:])), turn(key, table), dtype)[0].flip(0)


def _wide(dtype: str) -> str:
    """The type in which a library computes what it then rounds to ``dtype``."""
    return "float64" if dtype == "float64" else "float32"
