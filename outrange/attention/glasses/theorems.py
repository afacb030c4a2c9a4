"""The statements of "Transformers need glasses!" (arXiv 2406.04267) as numbers that a machine can compute.

    Lemmas B.1, B.2 (4.1), figure 9  last_weight, softmax_distance: softmax of longer and longer bounded logits
    Proposition B.4                  alternating_distance: without the assumption it tends to 2 (e - 1) / (e + 1)
    figure 8                         attention_distance: what one attention gives the last of n and of n + 1 tokens
    Theorem B.3 (4.2), figure 10     toy_distance: last tokens of [v, a] and [v, a, a] come together
    Theorem B.5 (5.1)                jacobian_bound, path_counts: over-squashing
    Lemmas B.6, B.7                  eigenvalue_magnitudes: of a row-stochastic triangular matrix the largest is 1
    Proposition B.8 (5.2)            deep_bound: in depth only the first token is left of the bound
    Proposition B.9 (6.1)            ratio_distance: without positions and causal mask only ratios of tokens matter
    Corollary B.10 (6.2)             merging_length: a length at which two counts are one vector in a type

A distance called total variation is the L1 distance without the factor 1/2, as the paper has it. The toy model is ours:
one head, Gaussian maps of variance 1/d, an RMS norm before attention, before the MLP and at the end, residuals; the
paper's normalisation and slope are not known to us. ``checks`` draws verdicts from these numbers, each beside a control
without a hypothesis. Nothing is proved here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from outrange.core.errors import BadInput, unknown

SCHEMES = ("NoPE", "RoPE", "p-RoPE", "APE", "ALiBi")
ALIBI_SLOPE, ROPE_THETA, P_ROPE_SHARE, TOY_WIDTH = 1 / 16, 1e4, 0.75, 64


# softmax


def softmax_distance(length: int, seed: int = 0, head: int = 200, noise: float = 0.1) -> float:
    """Figure 9: L1 distance of the softmax of uniform [0, 1] logits to that of the same with uniform [0, noise] added
    to the first ``head`` of them."""
    # every length draws its own logits, as the figure's curves do
    rng = np.random.default_rng([seed, length])
    logits = rng.random(length)
    changed = logits.copy()
    changed[:head] += noise * rng.random(min(head, length))
    return float(np.abs(_softmax(logits) - _softmax(changed)).sum())


def last_weight(length: int, seed: int = 0, bounded: bool = True) -> tuple[float, float]:
    """Lemma B.1: the weight of the ``length``-th logit, and its weight once one more logit stands behind it.

    Args:
        length: of uniform [-1, 1] logits.
        seed: of the logits.
        bounded: if not, the last two logits are log(length) higher, so that they grow with the length.
    """
    logits = np.random.default_rng([seed, length]).uniform(-1, 1, length + 1)
    logits[-2:] += 0 if bounded else math.log(length)
    return float(_softmax(logits[:length])[-1]), float(_softmax(logits)[length - 1])


def alternating_distance(length: int, head: int | None = None) -> float:
    """Proposition B.4: L1 distance of the softmax of 1, 0, 1, 0, … and of 0, 1, 0, 1, …

    2 (e - 1) / (e + 1) = 0.924 at every even length. With ``head`` they differ in that many first logits only.
    """
    positions = np.arange(length)
    logits = (positions % 2).astype(float)
    flipped = np.where(positions < (length if head is None else head), 1 - logits, logits)
    return float(np.abs(_softmax(flipped) - _softmax(logits)).sum())


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())  # the maximum drops out, and nothing overflows
    return weights / weights.sum()


# a small decoder


@dataclass(frozen=True, kw_only=True)
class ToyDecoder:
    """A decoder of one head with random weights: attention, then an MLP, each behind an RMS norm and added to the
    stream.

    Attributes:
        width: channels d.
        layers: how many.
        scheme: of ``SCHEMES``: none, rotary, rotary of the fastest frequencies, sinusoids added to what queries and
            keys read (not to the stream, in which the last tokens of two lengths would then differ for ever), or a
            slope on distances.
        causal: whether a token attends to earlier ones only.
        seed: of the weights.
    """

    width: int = TOY_WIDTH
    layers: int = 1
    scheme: str = "NoPE"
    causal: bool = True
    seed: int = 0

    def __call__(self, inputs: Tensor) -> Tensor:
        """The last token's representation behind the final norm.

        Args:
            inputs: (n, d) float64.

        Returns:
            (d,). The last layer is computed for the last token alone.
        """
        if self.scheme not in SCHEMES:
            raise unknown("scheme", self.scheme, SCHEMES, "a scheme")
        n, d = inputs.shape
        generator = torch.Generator().manual_seed(self.seed)
        positions = torch.arange(n, dtype=torch.float64)
        stream = inputs
        for layer in range(self.layers):
            w_q, w_k, w_v, w_up, w_down = (
                torch.randn(d, d, generator=generator, dtype=torch.float64) / math.sqrt(d) for _ in range(5)
            )
            # the last layer's output is read at the last token only, so only its row is computed
            rows = slice(n - 1, n) if layer == self.layers - 1 else slice(None)

            # queries and keys with their positions, as the scheme has it
            normed = rms_norm(stream)
            positioned = normed + sinusoids(n, d) if self.scheme == "APE" else normed
            q, k = positioned[rows] @ w_q, positioned @ w_k
            if self.scheme in ("RoPE", "p-RoPE"):
                turning_share = P_ROPE_SHARE if self.scheme == "p-RoPE" else 1.0
                q, k = rotate(q, positions[rows], turning_share), rotate(k, positions, turning_share)
            logits = q @ k.T / math.sqrt(d)
            if self.scheme == "ALiBi":
                logits = logits - ALIBI_SLOPE * (positions[rows, None] - positions[None, :]).abs()
            if self.causal:
                logits = logits.masked_fill(positions[None, :] > positions[rows, None], -torch.inf)

            # both sublayers add to the stream that their norms read
            stream = stream[rows] + torch.softmax(logits, -1) @ (normed @ w_v)
            stream = stream + torch.tanh(rms_norm(stream) @ w_up) @ w_down
        return rms_norm(stream)[0]


def rms_norm(x: Tensor) -> Tensor:
    """Each row over its root mean square."""
    return x / x.square().mean(-1, keepdim=True).add(1e-12).sqrt()


def sinusoids(count: int, width: int) -> Tensor:
    """Sines and cosines of positions 0 … count - 1, (count, width) float64."""
    frequencies = ROPE_THETA ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(count, dtype=torch.float64)[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


def rotate(x: Tensor, positions: Tensor, turning_share: float) -> Tensor:
    """Rows (n, d) rotated by their positions (n,); only the fastest ``turning_share`` of the frequencies turn."""
    # channels (m, m + d / 2) are one plane; frequencies fall with m, so those that do not turn stand at the end
    half = x.shape[1] // 2
    frequencies = ROPE_THETA ** (-torch.arange(half, dtype=torch.float64) / half)
    frequencies[math.ceil(turning_share * half) :] = 0
    angles = positions[:, None] * frequencies
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x[:, :half], x[:, half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], 1)


def toy_distance(model: ToyDecoder, length: int, seed: int = 0, repeat: bool = True) -> float:
    """Theorem B.3: L1 distance of the last tokens of [v, a] and [v, a, a], v of ``length`` - 1 Gaussian tokens.

    Without ``repeat`` of [v, a] and [v, a, b], b another Gaussian token.
    """
    generator = torch.Generator().manual_seed(10_007 * seed + 1)
    a, b = torch.randn(2, model.width, generator=generator, dtype=torch.float64)
    v = torch.randn(length - 1, model.width, generator=generator, dtype=torch.float64)
    shorter = torch.cat([v, a[None]])
    longer = torch.cat([shorter, (a if repeat else b)[None]])
    return float((model(shorter) - model(longer)).abs().sum())


def attention_distance(length: int, seed: int = 0) -> float:
    """Figure 8: L1 distance of what one attention gives the last of n and of n + 1 tokens, the last one repeated.

    Nothing but softmax(q k^T / sqrt(d)) v. Queries, keys and values are Gaussian of variance 1/d, drawn token by token
    (our reading), sinusoids added to queries and keys.
    """
    generator = torch.Generator().manual_seed(10_007 * seed + 2)
    d = TOY_WIDTH
    query, last_key, last_value = torch.randn(3, d, generator=generator, dtype=torch.float64) / math.sqrt(d)
    body_keys, body_values = torch.randn(2, length - 1, d, generator=generator, dtype=torch.float64) / math.sqrt(d)
    outputs = []
    for repeats in (1, 2):
        # n and n + 1 tokens: the same body, its last token once or twice; the query stands at the last position
        positions = sinusoids(length - 1 + repeats, d)
        keys = torch.cat([body_keys, last_key.expand(repeats, -1)])
        values = torch.cat([body_values, last_value.expand(repeats, -1)])
        logits = (keys + positions) @ (query + positions[-1]) / math.sqrt(d)
        outputs.append(torch.softmax(logits, 0) @ values)
    return float((outputs[0] - outputs[1]).abs().sum())


@dataclass(frozen=True, kw_only=True)
class FigureCurves:
    """Mean, smallest and largest value over seeds, by scheme, along lengths."""

    lengths: tuple[int, ...]
    mean: dict[str, list[float]]
    low: dict[str, list[float]]
    high: dict[str, list[float]]


def figure8(lengths: Sequence[int] = (8, 32, 128, 512, 2048), seeds: int = 5, seed: int = 0) -> FigureCurves:
    """One attention layer with sinusoids: the distance falls. Means over ``seeds`` draws; another ``seed`` takes
    others.
    """
    return _over_draws(lengths, seeds, seed, {"APE": attention_distance})


def figure9(
    lengths: Sequence[int] = (200, 400, 1000, 4000, 16000, 64000), seeds: int = 5, seed: int = 0
) -> FigureCurves:
    """Total variation of two softmaxes that differ in their first 200 logits."""
    return _over_draws(lengths, seeds, seed, {"softmax": softmax_distance})


def figure10(
    lengths: Sequence[int] = (8, 32, 128, 512, 2048),
    seeds: int = 5,
    seed: int = 0,
    schemes: Sequence[str] = SCHEMES,
    layers: int = 1,
) -> FigureCurves:
    """One decoder layer, hidden 64, under each scheme.

    The paper reports all to collapse at similar lengths; see the check's fine print for what ours do.
    """

    def distance_under(scheme: str) -> Callable[[int, int], float]:
        return lambda length, draw: toy_distance(ToyDecoder(scheme=scheme, layers=layers, seed=draw), length, draw)

    return _over_draws(lengths, seeds, seed, {scheme: distance_under(scheme) for scheme in schemes})


def _over_draws(
    lengths: Sequence[int], seeds: int, seed: int, measures: Mapping[str, Callable[[int, int], float]]
) -> FigureCurves:
    """Every measure at every length, for draws ``seed`` * seeds … (``seed`` + 1) * seeds - 1."""
    if seeds < 1 or not lengths or min(lengths) < 2:
        raise BadInput(
            f"lengths, seeds: {list(lengths)} and {seeds} are not allowed; lengths must be at least 2, seeds at least 1"
        )
    # seeds of a figure take disjoint draws, so that their spread is one of independent means
    draws = range(seed * seeds, (seed + 1) * seeds)
    values = {
        name: np.array([[measure(n, draw) for draw in draws] for n in lengths]) for name, measure in measures.items()
    }
    return FigureCurves(
        lengths=tuple(lengths),
        mean={name: by_length.mean(1).tolist() for name, by_length in values.items()},
        low={name: by_length.min(1).tolist() for name, by_length in values.items()},
        high={name: by_length.max(1).tolist() for name, by_length in values.items()},
    )


# over-squashing


def jacobian_bound(
    attention: np.ndarray, beta1: float = 1.0, beta2: float = 1.0, beta3: float = 1.0, sigma: float = 1.0
) -> np.ndarray:
    """Theorem B.5: what |d y_n / d v_i| cannot exceed, C [prod_l (Lambda^(l) / beta1 + I)]_{n,i}.

    C = (sigma / beta2 + 1)^L / beta3.

    Args:
        attention: (L, n, n), rows sum to 1; treated as independent of the values.
        beta1, beta2, beta3: what the norms before attention, before the MLP and at the end divide by.
        sigma: Lipschitz constant of the MLP.

    Returns:
        (n,).
    """
    num_layers, n, _ = attention.shape
    row = np.eye(n)[-1]
    for layer_attention in attention[::-1]:  # from the last layer down, so that a row times a matrix is enough
        row = row @ (layer_attention / beta1 + np.eye(n))
    return row * (sigma / beta2 + 1) ** num_layers / beta3


def path_counts(token_count: int, num_layers: int) -> list[int]:
    """How many non-decreasing paths lead from each token to the last: C(n - i + L - 1, L - 1), exactly."""
    return [math.comb(gap + num_layers - 1, num_layers - 1) for gap in range(token_count - 1, -1, -1)]


def eigenvalue_magnitudes(attention: np.ndarray) -> np.ndarray:
    """Lemma B.6: absolute eigenvalues, the largest first."""
    return np.sort(np.abs(np.linalg.eigvals(attention)))[::-1]


def deep_bound(attention: np.ndarray, depth: int) -> np.ndarray:
    """Proposition B.8: the last row of [(Lambda + I) / 2]^depth; (n,)."""
    return np.linalg.matrix_power((attention + np.eye(len(attention))) / 2, depth)[-1]


def uniform_attention(count: int) -> np.ndarray:
    """Causal attention to all earlier tokens alike, (n, n)."""
    return np.tril(np.ones((count, count))) / np.arange(1, count + 1)[:, None]


# counting


def ratio_distance(first: str, second: str, causal: bool, seed: int = 0, layers: int = 3) -> float:
    """Proposition B.9: largest difference of the last tokens' representations of two strings of 0 and 1.

    Without positions, with or without the causal mask.
    """
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(2, TOY_WIDTH, generator=generator, dtype=torch.float64)
    model = ToyDecoder(layers=layers, causal=causal, seed=seed)
    y_first, y_second = (model(embedding[[int(digit) for digit in text]]) for text in (first, second))
    return float((y_first - y_second).abs().max())


def merging_length(dtype: torch.dtype, longest: int = 1 << 14, seed: int = 0, scheme: str = "NoPE") -> int | None:
    """Corollary B.10: the first power of two n at which n and n + 1 ones behind a zero are one vector once rounded to a
    type.

    Args:
        dtype: what the last representation is rounded to.
        longest: where the search ends; None is returned if there is no such n up to it.
        seed: of embeddings and weights.
        scheme: of ``SCHEMES``.
    """
    width = 16
    zero, one = torch.randn(2, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    model = ToyDecoder(width=width, scheme=scheme, seed=seed)
    n = 2  # doubled, because the passes of every n up to the first would take the square of it
    while n <= longest:
        y_n, y_next = (model(torch.cat([zero[None], one.expand(count, -1)])) for count in (n, n + 1))
        if torch.equal(y_n.to(dtype), y_next.to(dtype)):
            return n
        n *= 2
    return None
