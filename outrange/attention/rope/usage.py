"""Which rotary frequencies a model uses (arXiv 2410.06205, section 4 and figures 3, 4, 13), in one pass over any amount of text, with memory that stays flat.

A head's logit is a sum over channel pairs m, each turning at a frequency g_m of its own:

    logit(i, j) = scaling sum_m c_m(i, j),   c_m(i, j) = <q_i^(m), k_j^(m)>,   |c_m| <= |q_i^(m)| |k_j^(m)|

The paper looks at the bound: the mean over tokens of |q^(m)| and |k^(m)|, with values as the control, which do not turn. Beside it stand exact statistics of
c_m itself, over every query i and all keys j <= i, which need sums over keys only and no map of N x N:

    spread      root mean square over queries of the standard deviation over keys of c_m: how much a pair tells keys apart
    diagonal    mean of c_m(i, i) minus its mean over keys: what it does for attending to oneself
    previous    the same of c_m(i, i - 1);   first: of c_m(i, 0)

The first token is left out of "over keys", since models park attention on it. Means over keys take all earlier tokens, also those that a layer's window hides.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from outrange.attention.rope.layout import Layout
from outrange.attention.tap import AttentionInputs

_ROWS = 256  # tokens at a time; what is kept between them is a few numbers a pair
MEASURES = ("spread", "diagonal", "previous", "first")


@dataclass
class LayerUsage:
    """Sums of one layer over all tokens seen so far."""

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
    """A watcher for ``tapped``: give it to a tapped model's passes over texts, then read ``layers``."""

    layout: Layout
    _sums: dict[int, LayerUsage] = field(default_factory=dict)

    def __call__(self, seen: AttentionInputs) -> None:
        found = self.layout.layers[seen.layer]
        pairs = torch.tensor(found.pairs, device=seen.query.device)
        for query, key, value in zip(seen.query, seen.key, seen.value, strict=True):
            sums = self._sums.get(seen.layer)
            if sums is None:
                sums = self._sums[seen.layer] = _zero(query.shape[0], key.shape[0], len(pairs), query.device)
            _add(sums, query, key, value, pairs, seen.scaling)

    @property
    def layers(self) -> dict[int, LayerUsage]:
        """Means over everything seen."""
        return {index: _means(sums) for index, sums in sorted(self._sums.items())}


def _zero(heads: int, keys: int, pairs: int, device: torch.device) -> LayerUsage:
    q, k, v, spread, diagonal, previous, first = (
        torch.zeros(n, pairs, dtype=torch.float64, device=device) for n in (heads, keys, keys, *(heads,) * 4)
    )
    return LayerUsage(q=q, k=k, v=v, spread=spread, diagonal=diagonal, previous=previous, first=first)


def _means(sums: LayerUsage) -> LayerUsage:
    tokens, rows = max(sums.tokens, 1), max(sums.rows, 1)
    norms = {name: getattr(sums, name).cpu() / tokens for name in ("q", "k", "v")}
    signed = {name: getattr(sums, name).cpu() / rows for name in MEASURES[1:]}
    return LayerUsage(
        **norms, **signed, spread=(sums.spread.cpu() / rows).clamp_min(0).sqrt(), tokens=sums.tokens, rows=sums.rows
    )


def _add(sums: LayerUsage, query: Tensor, key: Tensor, value: Tensor, pairs: Tensor, scaling: float) -> None:
    """One text. query (H, N, d), key and value (K, N, d). A pair's two channels stay apart, as a and b: planes of two are slow to work on."""
    heads, length, keys = query.shape[0], query.shape[1], key.shape[0]
    a, b = _columns(pairs[:, 0]), _columns(pairs[:, 1])
    half = value.shape[-1] // 2
    va, vb = (a, b) if value.shape[-1] == key.shape[-1] else (slice(0, half), slice(half, 2 * half))
    first_a, first_b = key[:, None, :1, a].double(), key[:, None, :1, b].double()
    before_a = before_b = key.new_zeros(keys, 0, len(pairs)).double()
    carried: list[Tensor | float] = [0.0] * 5  # sums over keys of a, b, aa, ab, bb
    for begin in range(0, length, _ROWS):
        rows = slice(begin, min(begin + _ROWS, length))
        qa, qb = query[:, rows, a].double(), query[:, rows, b].double()  # (H, n, P)
        ka, kb = key[:, rows, a].double(), key[:, rows, b].double()
        sums.q += _lengths(qa, qb)
        sums.k += _lengths(ka, kb)
        v = _lengths(value[:, rows, va].double(), value[:, rows, vb].double())
        sums.v[:, : v.shape[1]] += v[:, : sums.v.shape[1]]
        others_a, others_b = (
            (ka, kb) if begin else (torch.cat((torch.zeros_like(k[:, :1]), k[:, 1:]), 1) for k in (ka, kb))
        )
        products = (others_a, others_b, others_a * others_a, others_a * others_b, others_b * others_b)
        running = [product.cumsum(1) + held for product, held in zip(products, carried, strict=True)]
        carried = [one[:, -1:] for one in running]
        at = torch.arange(rows.start, rows.stop, device=query.device)
        use = slice(int((at < 2).sum()), None)
        if len(at[use]):
            qa, qb = (q[:, use].mul(scaling).unflatten(0, (keys, heads // keys)) for q in (qa, qb))  # (K, H / K, n, P)
            sa, sb, saa, sab, sbb = (one[:, None, use] for one in running)
            count = at[use].double()[:, None]
            mean = (qa * sa + qb * sb) / count
            square = (qa * (qa * saa + 2 * qb * sab) + qb * qb * sbb) / count
            sums.spread += (square - mean * mean).sum(2).flatten(0, 1)
            average = mean.sum(2)
            earlier_a, earlier_b = (
                torch.cat((before, k[:, :-1]), 1)[:, None, -len(at[use]) :]
                for before, k in ((before_a, ka), (before_b, kb))
            )
            targets = {
                "diagonal": (ka[:, None, use], kb[:, None, use]),
                "previous": (earlier_a, earlier_b),
                "first": (first_a, first_b),
            }
            for name, (ta, tb) in targets.items():
                getattr(sums, name).add_(((qa * ta + qb * tb).sum(2) - average).flatten(0, 1))
            sums.rows += len(at[use])
        before_a, before_b = ka[:, -1:], kb[:, -1:]
    sums.tokens += length


def _lengths(a: Tensor, b: Tensor) -> Tensor:
    """Sum over tokens of the 2-norms of pairs, (heads, P)."""
    return (a * a + b * b).sqrt_().sum(1)


def _columns(channels: Tensor) -> slice | Tensor:
    """Channels as a slice where they are evenly spaced, which reads them in place."""
    steps = channels.diff()
    if len(steps) and int(steps[0]) > 0 and bool((steps == steps[0]).all()):
        return slice(int(channels[0]), int(channels[-1]) + 1, int(steps[0]))
    return channels


def quarter_shares(norms: Tensor) -> list[float]:
    """Share of the summed norms (…, P) that lies in each quarter of the pairs, fastest first."""
    total = norms.reshape(-1, norms.shape[-1]).sum(0)
    return [float(part.sum() / total.sum()) for part in torch.tensor_split(total, 4)]
