"""The statements of "Transformers need glasses!" (arXiv 2406.04267) as numbers that a machine gets and checks that can fail.

    variation            Lemmas B.1, B.2 (4.1), figure 9    softmax of longer and longer bounded logits: one entry's weight, the effect of a differing head
    alternating          Proposition B.4                    where the assumption fails, the distance tends to 2 (e - 1) / (e + 1)
    attended             figure 8                           what one attention alone gives the last of n and of n + 1 tokens
    toy                  Theorem B.3 (4.2), figure 10       last tokens of [v, a] and [v, a, a] come together
    bound, path_count    Theorem B.5 (5.1)                  over-squashing: the matrix product, and the count of paths
    spectrum             Lemmas B.6, B.7                    of a row-stochastic triangular matrix the largest eigenvalue is 1 and simple
    limit                Proposition B.8 (5.2)              the bound in depth: only the first token is left
    ratio                Proposition B.9 (6.1)              without positions and without a causal mask only ratios of tokens are seen
    merged               Corollary B.10 (6.2)               a length at which two counts are one vector in a type

A distance called total variation is the L1 distance without the factor 1/2, as the paper has it. The toy model is ours: one head, Gaussian maps of variance
1/d, an RMS norm before attention, before the MLP and at the end, residuals; the paper's normalisation and slope are not known to us. ``limit_checks`` draws
verdicts from these, each beside a control without a hypothesis. Nothing is proved here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from outrange.core.errors import BadInput, unknown

SCHEMES = ("NoPE", "RoPE", "p-RoPE", "APE", "ALiBi")
SLOPE, THETA, SHARE, WIDTH = 1 / 16, 1e4, 0.75, 64


# softmax


def variation(length: int, seed: int = 0, head: int = 200, noise: float = 0.1) -> float:
    """Figure 9: L1 distance of the softmax of uniform [0, 1] logits to that of the same with uniform [0, noise] added to the first ``head``."""
    draw = np.random.default_rng([seed, length])
    logits = draw.random(length)
    other = logits.copy()
    other[:head] += noise * draw.random(min(head, length))
    return float(np.abs(_softmax(logits) - _softmax(other)).sum())


def last_weight(length: int, seed: int = 0, bounded: bool = True) -> tuple[float, float]:
    """Lemma B.1: the last entry's weight among bounded logits, and once one more logit stands behind it; if not ``bounded``, both are log(length) higher."""
    logits = np.random.default_rng([seed, length]).uniform(-1, 1, length + 1)
    logits[-2:] += 0 if bounded else math.log(length)
    return float(_softmax(logits[:length])[-1]), float(_softmax(logits)[length - 1])


def alternating(length: int, head: int | None = None) -> float:
    """Proposition B.4: distance of the softmax of 1, 0, 1, 0, … and 0, 1, 0, 1, …; 2 (e - 1) / (e + 1) = 0.924 at every even length. With ``head`` they differ
    in that many first logits only, and agree behind."""
    logits = (np.arange(length) % 2).astype(float)
    other = np.where(np.arange(length) < (length if head is None else head), 1 - logits, logits)
    return float(np.abs(_softmax(other) - _softmax(logits)).sum())


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


# a small decoder


@dataclass(frozen=True, kw_only=True)
class Toy:
    """A decoder of one head: attention, then an MLP, each behind an RMS norm and added to the stream.

    Attributes:
        scheme: of ``SCHEMES``: none, rotary, rotary of the fastest frequencies, sinusoids added to what queries and keys read (not to the stream, in which the
            last tokens of two lengths would then differ for ever), or a slope on distances.
        causal: whether a token sees earlier ones only.
    """

    width: int = WIDTH
    layers: int = 1
    scheme: str = "NoPE"
    causal: bool = True
    seed: int = 0

    def __call__(self, tokens: Tensor) -> Tensor:
        """The last token's representation (width,) behind the final norm, of inputs (n, width). The last layer is worked out for the last token alone."""
        if self.scheme not in SCHEMES:
            raise unknown("scheme", self.scheme, SCHEMES, "a scheme")
        n, d = tokens.shape
        generator = torch.Generator().manual_seed(self.seed)
        place = torch.arange(n, dtype=torch.float64)
        x = tokens
        for layer in range(self.layers):
            q, k, v, up, down = (
                torch.randn(d, d, generator=generator, dtype=torch.float64) / math.sqrt(d) for _ in range(5)
            )
            z, rows = rms(x), slice(n - 1, n) if layer == self.layers - 1 else slice(None)
            placed = z + sinusoids(n, d) if self.scheme == "APE" else z
            query, key = placed[rows] @ q, placed @ k
            if self.scheme in ("RoPE", "p-RoPE"):
                share = SHARE if self.scheme == "p-RoPE" else 1.0
                query, key = turned(query, place[rows], share), turned(key, place, share)
            logits = query @ key.T / math.sqrt(d)
            if self.scheme == "ALiBi":
                logits = logits - SLOPE * (place[rows, None] - place[None, :]).abs()
            if self.causal:
                logits = logits.masked_fill(place[None, :] > place[rows, None], -torch.inf)
            x = x[rows] + torch.softmax(logits, -1) @ (z @ v)
            x = x + torch.tanh(rms(x) @ up) @ down
        return rms(x)[0]


def rms(x: Tensor) -> Tensor:
    """Each row over its root mean square."""
    return x / x.square().mean(-1, keepdim=True).add(1e-12).sqrt()


def sinusoids(count: int, width: int) -> Tensor:
    """Sines and cosines of position, (count, width) float64."""
    angles = torch.arange(count, dtype=torch.float64)[:, None] * THETA ** (
        -torch.arange(0, width, 2, dtype=torch.float64) / width
    )
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


def turned(x: Tensor, place: Tensor, share: float) -> Tensor:
    """Rotated by position; only the fastest ``share`` of the frequencies turn."""
    half = x.shape[1] // 2
    frequencies = THETA ** (-torch.arange(half, dtype=torch.float64) / half)
    frequencies[math.ceil(share * half) :] = 0
    cos, sin = ((place[:, None] * frequencies).cos().to(x.dtype), (place[:, None] * frequencies).sin().to(x.dtype))
    a, b = x[:, :half], x[:, half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], 1)


def gap(model: Toy, length: int, seed: int = 0, repeat: bool = True) -> float:
    """Theorem B.3: L1 distance of the last tokens of [v, a] and [v, a, a], v of ``length`` - 1 Gaussian tokens; without ``repeat`` of [v, a] and [v, a, b]."""
    ends = _ends(model, length, seed, repeat)
    return float((ends[0] - ends[1]).abs().sum())


def _ends(model: Toy, length: int, seed: int, repeat: bool = True) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(10_007 * seed + 1)
    last, other = torch.randn(2, model.width, generator=generator, dtype=torch.float64)
    body = torch.randn(length - 1, model.width, generator=generator, dtype=torch.float64)
    first = torch.cat([body, last[None]])
    second = torch.cat([first, (last if repeat else other)[None]])
    return model(first), model(second)


def attended(length: int, seed: int = 0) -> float:
    """Figure 8: L1 distance of what one attention gives the last of n and of n + 1 tokens, the last repeated; nothing but softmax(q k^T / sqrt(d)) v.

    Queries, keys and values are Gaussian of variance 1/d, drawn token by token (our reading), sinusoids added to queries and keys.
    """
    generator = torch.Generator().manual_seed(10_007 * seed + 2)
    query, *last = torch.randn(3, WIDTH, generator=generator, dtype=torch.float64) / math.sqrt(WIDTH)
    body = torch.randn(2, length - 1, WIDTH, generator=generator, dtype=torch.float64) / math.sqrt(WIDTH)
    ends = []
    for count in (1, 2):
        place = sinusoids(length - 1 + count, WIDTH)
        keys, values = (torch.cat([one, end.expand(count, -1)]) for one, end in zip(body, last, strict=True))
        ends.append(torch.softmax((keys + place) @ (query + place[-1]) / math.sqrt(WIDTH), 0) @ values)
    return float((ends[0] - ends[1]).abs().sum())


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Mean, smallest and largest over seeds, by scheme, along lengths."""

    lengths: tuple[int, ...]
    mean: dict[str, list[float]]
    low: dict[str, list[float]]
    high: dict[str, list[float]]


def figure8(lengths: Sequence[int] = (8, 32, 128, 512, 2048), seeds: int = 5, seed: int = 0) -> Curves:
    """One attention layer with sinusoids: the distance falls. The ``seed``-th ``seeds`` draws."""
    return _curves(lengths, seeds, seed, {"APE": attended})


def figure9(lengths: Sequence[int] = (200, 400, 1000, 4000, 16000, 64000), seeds: int = 5, seed: int = 0) -> Curves:
    """Total variation of two softmaxes that differ in their first 200 logits."""
    return _curves(lengths, seeds, seed, {"softmax": variation})


def figure10(
    lengths: Sequence[int] = (8, 32, 128, 512, 2048),
    seeds: int = 5,
    seed: int = 0,
    schemes: Sequence[str] = SCHEMES,
    layers: int = 1,
) -> Curves:
    """One decoder layer, hidden 64, under each scheme. The paper reports all to collapse at similar lengths; see the check's fine print for what ours do."""

    def under(scheme: str) -> Callable[[int, int], float]:
        return lambda length, draw: gap(Toy(scheme=scheme, layers=layers, seed=draw), length, draw)

    return _curves(lengths, seeds, seed, {scheme: under(scheme) for scheme in schemes})


def _curves(
    lengths: Sequence[int], seeds: int, seed: int, measures: Mapping[str, Callable[[int, int], float]]
) -> Curves:
    if seeds < 1 or not lengths or min(lengths) < 2:
        raise BadInput(
            f"lengths, seeds: {list(lengths)} and {seeds} are not allowed; lengths must be at least 2, seeds at least 1"
        )
    draws = range(seed * seeds, (seed + 1) * seeds)
    found = {
        name: np.array([[measure(n, draw) for draw in draws] for n in lengths]) for name, measure in measures.items()
    }
    parts = {"mean": np.mean, "low": np.min, "high": np.max}
    return Curves(
        lengths=tuple(lengths),
        **{part: {name: of(values, 1).tolist() for name, values in found.items()} for part, of in parts.items()},
    )


# over-squashing


def bound(
    attention: np.ndarray, beta1: float = 1.0, beta2: float = 1.0, beta3: float = 1.0, sigma: float = 1.0
) -> np.ndarray:
    """Theorem B.5: what |d y_n / d v_i| cannot exceed, (n,): C [prod_l (Lambda^(l) / beta1 + I)]_{n,i}, C = (sigma / beta2 + 1)^L / beta3.

    Args:
        attention: (L, n, n), rows sum to 1; treated as independent of the values.
        beta1, beta2, beta3: what the norms before attention, before the MLP and at the end divide by.
        sigma: Lipschitz constant of the MLP.
    """
    layers, n, _ = attention.shape
    row = np.eye(n)[-1]
    for one in attention[::-1]:
        row = row @ (one / beta1 + np.eye(n))
    return row * (sigma / beta2 + 1) ** layers / beta3


def path_count(count: int, layers: int) -> list[int]:
    """How many non-decreasing paths lead from each of ``count`` tokens to the last: C(n - i + L - 1, L - 1), exactly."""
    return [math.comb(far + layers - 1, layers - 1) for far in range(count - 1, -1, -1)]


def spectrum(attention: np.ndarray) -> np.ndarray:
    """Lemma B.6: absolute eigenvalues, the largest first."""
    return np.sort(np.abs(np.linalg.eigvals(attention)))[::-1]


def limit(attention: np.ndarray, depth: int) -> np.ndarray:
    """Proposition B.8: the last row of [(Lambda + I) / 2]^depth; (n,)."""
    return np.linalg.matrix_power((attention + np.eye(len(attention))) / 2, depth)[-1]


def uniform(count: int) -> np.ndarray:
    """Causal attention to all earlier tokens alike, (n, n)."""
    return np.tril(np.ones((count, count))) / np.arange(1, count + 1)[:, None]


# counting


def ratio(first: str, second: str, causal: bool, seed: int = 0, layers: int = 3) -> float:
    """Proposition B.9: largest difference of the last tokens' representations of two strings of 0 and 1, without positions, with or without the causal mask."""
    table = torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    model = Toy(layers=layers, causal=causal, seed=seed)
    a, b = (model(table[[int(c) for c in text]]) for text in (first, second))
    return float((a - b).abs().max())


def merged(dtype: torch.dtype, longest: int = 1 << 14, seed: int = 0, scheme: str = "NoPE") -> int | None:
    """Corollary B.10: the first power of two n at which n and n + 1 ones behind a zero are the same vector once rounded to a type; none up to ``longest``."""
    table = torch.randn(2, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    model, n = Toy(width=16, scheme=scheme, seed=seed), 2
    while n <= longest:
        ends = [model(torch.cat([table[:1], table[1:].expand(count, -1)])) for count in (n, n + 1)]
        if torch.equal(ends[0].to(dtype), ends[1].to(dtype)):
            return n
        n *= 2
    return None
