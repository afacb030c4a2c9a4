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

from outrange.attention.layout import Layout
from outrange.attention.tap import Seen

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

    def __call__(self, seen: Seen) -> None:
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
    q, k, v, spread, diagonal, previous, first = (torch.zeros(n, pairs, dtype=torch.float64, device=device) for n in (heads, keys, keys, *(heads,) * 4))
    return LayerUsage(q=q, k=k, v=v, spread=spread, diagonal=diagonal, previous=previous, first=first)


def _means(sums: LayerUsage) -> LayerUsage:
    tokens, rows = max(sums.tokens, 1), max(sums.rows, 1)
    norms = {name: getattr(sums, name).cpu() / tokens for name in ("q", "k", "v")}
    signed = {name: getattr(sums, name).cpu() / rows for name in MEASURES[1:]}
    return LayerUsage(**norms, **signed, spread=(sums.spread.cpu() / rows).clamp_min(0).sqrt(), tokens=sums.tokens, rows=sums.rows)


def _add(sums: LayerUsage, query: Tensor, key: Tensor, value: Tensor, pairs: Tensor, scaling: float) -> None:
    """One text. query (H, N, d), key and value (K, N, d)."""
    heads, length = query.shape[0], query.shape[1]
    keys = key.shape[0]
    control = pairs if value.shape[-1] == key.shape[-1] else torch.arange(2 * (value.shape[-1] // 2), device=pairs.device).view(2, -1).T
    before = None
    one, two = _running(key.new_zeros(keys, 0, len(pairs), 2).double())
    first = key[:, 0][:, pairs].double()[:, None]  # (K, 1, P, 2)
    for begin in range(0, length, _ROWS):
        rows = slice(begin, min(begin + _ROWS, length))
        q = query[:, rows][..., pairs].double()  # (H, n, P, 2)
        k = key[:, rows][..., pairs].double()
        sums.q += q.norm(dim=-1).sum(1)
        sums.k += k.norm(dim=-1).sum(1)
        v = value[:, rows][..., control].double().norm(dim=-1).sum(1)
        sums.v[:, : v.shape[1]] += v[:, : sums.v.shape[1]]
        others = k.clone()
        if begin == 0:
            others[:, 0] = 0.0
        ones, twos = _running(others, one, two)
        one, two = ones[:, -1:], twos[:, -1:]
        at = torch.arange(rows.start, rows.stop, device=q.device)
        use = at >= 2
        if use.any():
            q, at = (q[:, use] * scaling).unflatten(0, (keys, heads // keys)), at[use]
            count = at.double()[:, None]
            mean = (q * ones[:, None, use]).sum(-1) / count
            square = (
                q[..., 0] ** 2 * twos[:, None, use, :, 0] + 2 * q[..., 0] * q[..., 1] * twos[:, None, use, :, 1] + q[..., 1] ** 2 * twos[:, None, use, :, 2]
            ) / count
            sums.spread += (square - mean**2).sum(2).flatten(0, 1)
            shifted = torch.cat((k[:, :1] if before is None else before, k[:, :-1]), 1)
            for name, target in (("diagonal", k[:, None, use]), ("previous", shifted[:, None, use]), ("first", first[:, None])):
                getattr(sums, name).add_(((q * target).sum(-1) - mean).sum(2).flatten(0, 1))
            sums.rows += int(use.sum())
        before = k[:, -1:]
    sums.tokens += length


def _running(k: Tensor, one: Tensor | float = 0.0, two: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
    """Running sums over tokens of k and of its products with itself: (K, n, P, 2), (K, n, P, 3), on top of what came before."""
    products = torch.stack((k[..., 0] ** 2, k[..., 0] * k[..., 1], k[..., 1] ** 2), -1)
    if not k.shape[1]:
        return k.new_zeros(k.shape[0], 1, *k.shape[2:]), products.new_zeros(k.shape[0], 1, *products.shape[2:])
    return k.cumsum(1) + one, products.cumsum(1) + two


def quarter_shares(norms: Tensor) -> list[float]:
    """Share of the summed norms (…, P) that lies in each quarter of the pairs, fastest first."""
    total = norms.reshape(-1, norms.shape[-1]).sum(0)
    return [float(part.sum() / total.sum()) for part in torch.tensor_split(total, 4)]
