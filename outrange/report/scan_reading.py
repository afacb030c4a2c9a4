"""What the numbers of a scan say, in plain words; every word of it follows from the data."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence

from outrange.report.scan_story import AblationCurve, HeadAblation, HeadSummary, PairNorms, ScanSide

Shares = dict[str, list[list[float]]]
"""of q, k and v, by layer, the share of each pair in the layer's summed norms"""

_POSITIONAL = {"diagonal": ("diagonal", "the token itself"), "previous token": ("previous", "the previous token")}
_SCORE_NAMES = {"diagonal": "diagonal", "previous": "previous-token"}
_NO_STRUCTURE, _LITTLE_STRUCTURE = 1.2, 1.6  # largest share of a pair, as a multiple of an even spread
_TOLERATED_PERPLEXITY = 1.05


def read_side(side: ScanSide) -> str:
    """What one side shows, in one paragraph."""
    rotated = {row: frequencies for row, frequencies in enumerate(side.row_frequencies) if any(frequencies)}
    shares = {name: [_shares(layer) for layer in array] for name, array in _arrays(side.usage).items()}
    sentences = [
        *_strongest_frequency(rotated, shares),
        *_quarters(rotated, shares),
        *_evenness(shares),
        *_positional_heads(side.heads),
        *_clearest_head_ablated(side.head_ablations),
        *_tolerated_ablation(side.ablations),
    ]
    return " ".join(sentences)


def compare_sides(sides: Sequence[ScanSide]) -> list[str]:
    """How alike the query maps of two sides are, where they have the same shape; nothing for one side."""
    if len(sides) < 2:
        return []
    maps = [[_shares(layer) for layer in side.usage.q] for side in sides]
    if [len(row) for row in maps[0]] != [len(row) for row in maps[1]]:
        return ["The two sides differ in shape, so no difference is drawn."]
    # Each share over that of an even spread, less 1, so that layers of many pairs count as much as others.
    first, second = ([share * len(row) - 1 for row in rows for share in row] for rows in maps)
    size = math.sqrt(sum(x * x for x in first) * sum(y * y for y in second))
    if size <= 1e-9:
        return []
    correlation = sum(x * y for x, y in zip(first, second)) / size
    return [f"The two query maps, as shares of their layers, correlate at {correlation:.2f}."]


def _strongest_frequency(rotated: dict[int, Sequence[float]], shares: Shares) -> list[str]:
    """In how many layers the strongest frequency is one of the slower half of those that turn."""
    if not rotated:
        return ["No layer rotates its queries and keys, so their pairs have no frequency."]
    in_lower_half = dict.fromkeys("qk", 0)
    for name, (row, frequencies) in itertools.product("qk", rotated.items()):
        order = _fastest_first(frequencies)
        strongest = max(range(len(order)), key=lambda rank: shares[name][row][order[rank]])
        in_lower_half[name] += 2 * strongest >= len(order)
    fixed = len(shares["q"]) - len(rotated)
    layers = _count(len(rotated), "rotated layer" if fixed else "layer")
    sentences = [
        f"In {in_lower_half['q']} of {layers} the strongest query frequency lies in the lower half, "
        f"in {in_lower_half['k']} the strongest key frequency."
    ]
    if fixed:
        sentences.append(f"{_count(fixed, 'layer')} {'is' if fixed == 1 else 'are'} not rotated at all.")
    if any(0 in frequencies for frequencies in rotated.values()):
        still = 0
        for row, frequencies in rotated.items():
            strongest = max(range(len(frequencies)), key=shares["q"][row].__getitem__)
            still += not frequencies[strongest]
        sentences.append(
            f"In {_count(still, 'layer')} a pair that is not rotated holds more of the queries than any frequency does."
        )
    return sentences


def _quarters(rotated: dict[int, Sequence[float]], shares: Shares) -> list[str]:
    """The share of q and k in each quarter of the frequencies that turn, averaged over layers."""
    divisible = {row: f for row, f in rotated.items() if sum(frequency > 0 for frequency in f) >= 4}
    if not divisible:
        return []
    clauses = []
    for name, subject in (("q", "queries have"), ("k", "keys")):
        sums = [0.0] * 4
        for row, frequencies in divisible.items():
            order = _fastest_first(frequencies)
            for rank, pair in enumerate(order):
                sums[4 * rank // len(order)] += shares[name][row][pair] / len(divisible)
        clauses.append(f"{subject} {', '.join(f'{100 * s:.0f}' for s in sums[:3])} and {100 * sums[3]:.0f}\u00a0%")
    return [f"From the highest quarter of the frequencies to the lowest, {clauses[0]} of their norm, {clauses[1]}."]


def _evenness(shares: Shares) -> list[str]:
    """The largest share of one pair, averaged over layers of the commonest width: values, which are not rotated, are
    the control.
    """
    largest, value_width = {}, 1
    for name, layers in shares.items():
        width = Counter(map(len, layers)).most_common(1)[0][0]
        alike = [layer for layer in layers if len(layer) == width]
        largest[name] = max(sum(column) / len(alike) for column in zip(*alike))
        value_width = width  # values come last
    over_even = largest["v"] * value_width
    if over_even < _NO_STRUCTURE:
        verdict = "no structure"
    else:
        verdict = "little structure" if over_even < _LITTLE_STRUCTURE else "structure too"
    return [
        f"Values, the control, show {verdict}: averaged over layers, the largest share of one pair is "
        f"{largest['v']:.3g}, against 1/{value_width} = {1 / value_width:.3g} for an even spread; "
        f"for queries it is {largest['q']:.3g}, for keys {largest['k']:.3g}."
    ]


def _positional_heads(heads: Sequence[HeadSummary]) -> list[str]:
    """How many heads look at a place rather than at a content, and which is the clearest."""
    if not heads:
        return []
    positional = [head for head in heads if head.kind in _POSITIONAL]
    others = [head for head in heads if head.kind not in _POSITIONAL]
    on_first_token = sum(head.kind == "first token" for head in others)
    sentences = [f"None of {_count(len(heads), 'head')} is positional."]
    if positional:
        numbers = {kind: sum(head.kind == kind for head in positional) for kind in _POSITIONAL}
        counts = " and ".join(f"{number} {kind}" for kind, number in numbers.items() if number)
        clearest = max(positional, key=_score_of_kind)
        target = _POSITIONAL[clearest.kind][1]
        sentences = [
            f"{len(positional)} of {_count(len(heads), 'head')} {'is' if len(positional) == 1 else 'are'} positional "
            f"({counts}); the clearest, L{clearest.layer} H{clearest.head}, gives {target} "
            f"{_score_of_kind(clearest):.2f} of its attention."
        ]
    if positional and others:
        high, low = (100 * sum(h.top_quarter for h in group) / len(group) for group in (positional, others))
        sentences.append(
            f"Of the product of query and key norms, positional heads have {high:.0f}\u00a0% in the highest quarter "
            f"of the frequencies, other heads {low:.0f}\u00a0%."
        )
    if on_first_token:
        verb = "attends" if on_first_token == 1 else "attend"
        sentences.append(f"{_count(on_first_token, 'head')} mostly {verb} to the first token.")
    return sentences


def _score_of_kind(head: HeadSummary) -> float:
    """The score that makes a positional head what it is."""
    return getattr(head, _POSITIONAL[head.kind][0])


def _clearest_head_ablated(ablations: Sequence[HeadAblation]) -> list[str]:
    """What the clearest head loses with its highest and with its lowest quarter."""
    if not ablations:
        return []
    clearest = max(ablations, key=lambda ablation: ablation.untouched)
    return [
        f"Without the highest quarter of its frequencies, L{clearest.layer} H{clearest.head} goes from a "
        f"{_SCORE_NAMES[clearest.score]} score of {clearest.untouched:.2f} to {clearest.quarters[0]:.2f}; "
        f"without the lowest, to {clearest.quarters[3]:.2f}."
    ]


def _tolerated_ablation(curves: Sequence[AblationCurve]) -> list[str]:
    """How far each curve goes before perplexity has grown by a twentieth."""
    if not curves:
        return []
    clauses = []
    for curve in curves:
        points = sorted(zip(curve.x, curve.perplexity))
        bound = _TOLERATED_PERPLEXITY * points[0][1]
        first_worse = next((k for k, (_, perplexity) in enumerate(points) if perplexity > bound), len(points))
        clauses.append(f"{points[first_worse - 1][0]} of {points[-1][0]} ({curve.name})")
    return [f"Perplexity stays within 5\u00a0% up to {', '.join(clauses)}."]


def _arrays(usage: PairNorms) -> dict[str, Sequence[Sequence[Sequence[float]]]]:
    return {"q": usage.q, "k": usage.k, "v": usage.v}


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _shares(heads: Sequence[Sequence[float]]) -> list[float]:
    """(heads, P) norms -> (P,) shares of their sum; even where all are 0."""
    sums = [sum(column) for column in zip(*heads)]
    total = sum(sums)
    return [norm / total for norm in sums] if total else [1 / len(sums)] * len(sums)


def _fastest_first(frequencies: Sequence[float]) -> list[int]:
    """Indices of the pairs that turn."""
    turning = (pair for pair, frequency in enumerate(frequencies) if frequency)
    return sorted(turning, key=lambda pair: -frequencies[pair])
