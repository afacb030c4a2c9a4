"""Which rotary frequencies a model uses (arXiv 2410.06205, section 4 and figures 3, 4, 13), in one pass over any
amount of text, with memory that stays flat.

A head's logit is a sum over channel pairs m, each turning at a frequency g_m of its own:

    logit(i, j) = scaling sum_m c_m(i, j),   c_m(i, j) = <q_i^(m), k_j^(m)>,   |c_m| <= |q_i^(m)| |k_j^(m)|

The paper looks at the bound: the mean over tokens of |q^(m)| and |k^(m)|, with values as the control, which do not
turn. Beside it stand exact statistics of c_m itself, over every query i and all keys j <= i, which need sums over
keys only and no map of N x N:

    spread      root mean square over queries of the standard deviation over keys of c_m
    diagonal    mean of c_m(i, i) minus its mean over keys: what it does for attending to oneself
    previous    the same of c_m(i, i - 1);   first: of c_m(i, 0)

The spread is how much a pair tells keys apart. The first token is left out of "over keys", since models park
attention on it. Means over keys take all earlier tokens, also those that a layer's window hides.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from outrange.attention.rope.layout import Layout
from outrange.attention.tap import AttentionInputs

_BLOCK_ROWS = 256  # tokens at a time; what is carried between blocks is a few numbers a pair
MEASURES = ("spread", "diagonal", "previous", "first")


@dataclass
class LayerUsage:
    """Statistics of one layer over all tokens so far: H query heads, K key heads, P channel pairs; float64."""

    q: Tensor
    """(H, P) mean 2-norm of every pair of queries"""
    k: Tensor
    """(K, P) of keys"""
    v: Tensor
    """(K, P) of values: the control"""
    spread: Tensor
    """(H, P), like the following: logit units"""
    diagonal: Tensor
    previous: Tensor
    first: Tensor
    tokens: int = 0
    rows: int = 0
    """queries with at least two keys besides the first token"""


@dataclass
class Usage:
    """A watcher for ``tapped``: pass it to a tapped model's passes over texts, then read ``layers``."""

    layout: Layout
    _sums: dict[int, LayerUsage] = field(default_factory=dict)

    def __call__(self, inputs: AttentionInputs) -> None:
        pairs = torch.tensor(self.layout.layers[inputs.layer].pairs, device=inputs.query.device)
        for query, key, value in zip(inputs.query, inputs.key, inputs.value, strict=True):
            sums = self._sums.get(inputs.layer)
            if sums is None:
                sums = _zero_usage(query.shape[0], key.shape[0], len(pairs), query.device)
                self._sums[inputs.layer] = sums
            _add_text(sums, query, key, value, pairs, inputs.scaling)

    @property
    def layers(self) -> dict[int, LayerUsage]:
        """Means over everything so far, by layer."""
        return {layer: _means(sums) for layer, sums in sorted(self._sums.items())}


def _zero_usage(query_heads: int, kv_heads: int, pair_count: int, device: torch.device) -> LayerUsage:
    def zeros(heads: int) -> Tensor:
        return torch.zeros(heads, pair_count, dtype=torch.float64, device=device)

    return LayerUsage(
        q=zeros(query_heads),
        k=zeros(kv_heads),
        v=zeros(kv_heads),
        spread=zeros(query_heads),
        diagonal=zeros(query_heads),
        previous=zeros(query_heads),
        first=zeros(query_heads),
    )


def _means(sums: LayerUsage) -> LayerUsage:
    """Sums over tokens and rows as means; the sum of variances as a standard deviation."""
    tokens, rows = max(sums.tokens, 1), max(sums.rows, 1)
    return LayerUsage(
        q=sums.q.cpu() / tokens,
        k=sums.k.cpu() / tokens,
        v=sums.v.cpu() / tokens,
        spread=(sums.spread.cpu() / rows).clamp_min(0).sqrt(),
        diagonal=sums.diagonal.cpu() / rows,
        previous=sums.previous.cpu() / rows,
        first=sums.first.cpu() / rows,
        tokens=sums.tokens,
        rows=sums.rows,
    )


def _add_text(sums: LayerUsage, query: Tensor, key: Tensor, value: Tensor, pairs: Tensor, scaling: float) -> None:
    """Add one text: query (H, N, d), key and value (K, N, d), pairs (P, 2).

    A pair's two channels stay apart, as a and b, since planes of two are slow to work on. With sums over keys j of
    a, b, aa, ab and bb, the mean over keys of c = qa a + qb b and of its square need no loop over keys:

        sum_j c = qa Sa + qb Sb,   sum_j c^2 = qa^2 Saa + 2 qa qb Sab + qb^2 Sbb
    """
    query_heads, length, kv_heads = query.shape[0], query.shape[1], key.shape[0]
    a, b = _channel_index(pairs[:, 0]), _channel_index(pairs[:, 1])
    # Values of another width than keys have no pairs of their own: their halves stand in.
    half = value.shape[-1] // 2
    value_a, value_b = (a, b) if value.shape[-1] == key.shape[-1] else (slice(0, half), slice(half, 2 * half))
    first_a, first_b = key[:, None, :1, a].double(), key[:, None, :1, b].double()
    before_a = before_b = key.new_zeros(kv_heads, 0, len(pairs)).double()  # the last key of the block before
    carried: list[Tensor | float] = [0.0] * 5  # sums over keys of a, b, aa, ab, bb up to this block
    for begin in range(0, length, _BLOCK_ROWS):
        rows = slice(begin, min(begin + _BLOCK_ROWS, length))

        # 1. Norms of every pair.
        qa, qb = query[:, rows, a].double(), query[:, rows, b].double()  # (H, n, P)
        ka, kb = key[:, rows, a].double(), key[:, rows, b].double()  # (K, n, P)
        sums.q += _norm_sums(qa, qb)
        sums.k += _norm_sums(ka, kb)
        value_norms = _norm_sums(value[:, rows, value_a].double(), value[:, rows, value_b].double())
        sums.v[:, : value_norms.shape[1]] += value_norms[:, : sums.v.shape[1]]

        # 2. Running sums over keys, the first token left out.
        counted_a, counted_b = (ka, kb) if begin else (_without_first(ka), _without_first(kb))
        products = (
            counted_a,
            counted_b,
            counted_a * counted_a,
            counted_a * counted_b,
            counted_b * counted_b,
        )
        running = [product.cumsum(1) + total for product, total in zip(products, carried, strict=True)]
        carried = [total[:, -1:] for total in running]

        # 3. Statistics of c over keys, for queries that have two keys besides the first token.
        positions = torch.arange(rows.start, rows.stop, device=query.device)
        used = slice(int((positions < 2).sum()), None)
        used_count = len(positions[used])
        if used_count:
            # (K, H / K, n, P): each key head with its group of query heads
            qa, qb = (q[:, used].mul(scaling).unflatten(0, (kv_heads, query_heads // kv_heads)) for q in (qa, qb))
            sum_a, sum_b, sum_aa, sum_ab, sum_bb = (total[:, None, used] for total in running)
            key_count = positions[used].double()[:, None]
            mean = (qa * sum_a + qb * sum_b) / key_count
            mean_square = (qa * (qa * sum_aa + 2 * qb * sum_ab) + qb * qb * sum_bb) / key_count
            sums.spread += (mean_square - mean * mean).sum(2).flatten(0, 1)

            # 4. c at the token itself, the one before and the first, less the mean over keys.
            mean_sum = mean.sum(2)
            previous_a = torch.cat((before_a, ka[:, :-1]), 1)[:, None, -used_count:]
            previous_b = torch.cat((before_b, kb[:, :-1]), 1)[:, None, -used_count:]
            for total, target_a, target_b in (
                (sums.diagonal, ka[:, None, used], kb[:, None, used]),
                (sums.previous, previous_a, previous_b),
                (sums.first, first_a, first_b),
            ):
                total.add_(((qa * target_a + qb * target_b).sum(2) - mean_sum).flatten(0, 1))
            sums.rows += used_count
        before_a, before_b = ka[:, -1:], kb[:, -1:]
    sums.tokens += length


def _without_first(keys: Tensor) -> Tensor:
    """Keys (K, n, P) with zeros for the first token."""
    return torch.cat((torch.zeros_like(keys[:, :1]), keys[:, 1:]), 1)


def _norm_sums(a: Tensor, b: Tensor) -> Tensor:
    """Sum over tokens of the 2-norms of pairs, (heads, P)."""
    return (a * a + b * b).sqrt_().sum(1)


def _channel_index(channels: Tensor) -> slice | Tensor:
    """Channels as a slice where they are evenly spaced, which reads them in place."""
    steps = channels.diff()
    if len(steps) and int(steps[0]) > 0 and bool((steps == steps[0]).all()):
        return slice(int(channels[0]), int(channels[-1]) + 1, int(steps[0]))
    return channels


def quarter_shares(norms: Tensor) -> list[float]:
    """Share of the summed norms (…, P) that lies in each quarter of the pairs, fastest first."""
    total = norms.reshape(-1, norms.shape[-1]).sum(0)
    return [float(part.sum() / total.sum()) for part in torch.tensor_split(total, 4)]
