"""One self-contained HTML page about a scan: how a language model uses its rotary frequencies (arXiv 2410.06205, sections 4 and 5, figures 3 to 7).

The scan is plain data. Its keys:

    title, subtitle, command      text
    notes                         sentences that stand at the end of the page
    sides                         one or two: models, or texts, side by side

and of a side, where L layers attend, each with H query heads and G key heads, and a layer has P channel pairs (P may differ from layer to layer):

    model, text, tokens           names, and how many tokens were read
    layouts                       {layers, scheme, head_dim, theta, pairing, frequencies, note}, which together name every layer once; P frequencies in radians
                                  a token, 0 for a pair that is not rotated
    heads_per_layer, kv_heads     H and G
    usage                         {q, k, v}: mean 2-norm of every channel pair, (L, H, P), (L, G, P) and (L, G, any)
    logits                        (optional) {spread, diagonal, previous, first}, (L, H, P) each: what a frequency adds to logits; their standard deviation
                                  over keys, and the logit at that key less the mean over keys
    heads                         {layer, head, diagonal, previous, first, top_quarter, kind}: mean attention to the token itself, the previous and the first;
                                  share of |q||k| in the highest quarter of the frequencies; a kind of ``KINDS``
    channels                      (optional) {layer, head, pair, frequency, period, first, spread}
    ablations                     (optional) curves {name, x, perplexity}
    head_ablations                (optional) {layer, head, score, untouched, quarters}: a head's score with one quarter of its frequencies taken out, the
                                  highest first
    patterns                      (optional) {tokens, layers, heads, data}: attention times 255 as base64, for each layer, each head, each query i, keys 0 to i

Rows of arrays are layers in rising order of the indices that ``layouts`` name; a "layer" elsewhere is such an index. Names and sentences come from users: they
reach the page as JSON inside a script element that is never run, and become text nodes, never markup.
"""

import base64
import binascii
import functools
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from outrange.core.errors import BadInput, brief, unknown
from outrange.report.stepper import script_json

LIMIT = 5_000_000
"""bytes of a page; a larger one loses the last tokens of its attention patterns, then a digit of its numbers, then the patterns"""
KINDS = ("diagonal", "previous token", "first token", "")
SCORES = {"diagonal": "diagonal", "previous": "previous-token"}
DIGITS = (4, 3)
"""significant digits of numbers; the second where the first would leave no room for patterns"""
FEWEST = 8
"""tokens below which a pattern is not worth showing"""
SECTIONS = ("heads", "channels", "ablations", "head_ablations", "patterns")


def page(scan: Mapping[str, Any]) -> str:
    """The page of a scan.

    Args:
        scan: plain data, with the keys listed at the top of this file.

    Raises:
        BadInput: naming the part of the scan that is missing or not allowed.
    """
    whole = _SCAN("scan", scan)
    for k, side in enumerate(whole["sides"]):
        _agrees(f"scan.sides[{k}]", side)
    whole["reading"] = [reading(side) for side in whole["sides"]] + _together(whole["sides"])
    too_big = f"this page would pass {LIMIT / 1e6:g} MB."
    notes: list[str] = []
    for digits in DIGITS:
        packed = _rounded({**whole, "limits": notes}, digits)
        text = _rendered(packed)
        over = len(text.encode()) - LIMIT
        if over <= 0:
            return text
        shown = [side["patterns"] for side in packed["sides"] if side["patterns"]]
        longest = max((len(patterns["tokens"]) for patterns in shown), default=0)
        for kept in range(longest - 1, FEWEST - 1, -1):
            if (
                sum(_encoded(patterns, longest) - _encoded(patterns, kept) for patterns in shown) > over + 200
            ):  # the sentence takes some
                notes.append(
                    f"Attention patterns show the first {kept} of {longest} tokens: with all of them {too_big}"
                )
                return _rendered(_cut({**packed, "limits": notes}, kept))
        notes = [f"Numbers have {DIGITS[1]} digits: with {DIGITS[0]} {too_big}"]
    notes += [f"Attention patterns are left out: with them {too_big}"] * any(
        side["patterns"] for side in whole["sides"]
    )
    return _rendered(_cut(_rounded({**whole, "limits": notes}, DIGITS[-1]), 0))


def reading(side: Mapping[str, Any]) -> str:
    """What the numbers of one side say, in plain words; every word of it follows from the data.

    Args:
        side: a valid side of a scan, as described at the top of this file.
    """
    layers = {row: f for row, f in enumerate(_frequencies(side)) if any(f)}
    shares = {name: [_shares(layer) for layer in side["usage"][name]] for name in "qkv"}
    parts = [*_where(layers, shares), *_quarters(layers, shares), *_evenness(shares), *_positional(side["heads"])]
    return " ".join([*parts, *_taken_out(side.get("head_ablations") or []), *_curves(side.get("ablations") or [])])


# ---------- what is seen, in words ----------


def _where(layers: dict[int, list[float]], shares: dict[str, list[list[float]]]) -> list[str]:
    """In how many layers the strongest frequency is one of the slower half of those that turn."""
    if not layers:
        return ["No layer rotates its queries and keys, so their pairs have no frequency."]
    low = dict.fromkeys("qk", 0)
    for name, (row, f) in itertools.product("qk", layers.items()):
        order = _fastest_first(f)
        low[name] += 2 * max(range(len(order)), key=lambda rank: shares[name][row][order[rank]]) >= len(order)
    fixed = len(shares["q"]) - len(layers)
    kind = "rotated layer" if fixed else "layer"
    found = [
        f"In {low['q']} of {_count(len(layers), kind)} the strongest query frequency lies in the lower half, in {low['k']} the strongest key frequency."
    ]
    if fixed:
        found.append(f"{_count(fixed, 'layer')} {'is' if fixed == 1 else 'are'} not rotated at all.")
    if any(0 in f for f in layers.values()):
        still = sum(not f[max(range(len(f)), key=shares["q"][row].__getitem__)] for row, f in layers.items())
        found.append(
            f"In {_count(still, 'layer')} a pair that is not rotated holds more of the queries than any frequency does."
        )
    return found


def _quarters(layers: dict[int, list[float]], shares: dict[str, list[list[float]]]) -> list[str]:
    """The share of q and k in each quarter of the frequencies that turn, averaged over layers."""
    wide = {row: f for row, f in layers.items() if sum(g > 0 for g in f) >= 4}
    if not wide:
        return []
    said = []
    for name, word in (("q", "queries have"), ("k", "keys")):
        sums = [0.0] * 4
        for row, f in wide.items():
            order = _fastest_first(f)
            for rank, pair in enumerate(order):
                sums[4 * rank // len(order)] += shares[name][row][pair] / len(wide)
        said.append(f"{word} {', '.join(f'{100 * s:.0f}' for s in sums[:3])} and {100 * sums[3]:.0f}\u00a0%")
    return [f"From the highest quarter of the frequencies to the lowest, {said[0]} of their norm, {said[1]}."]


def _evenness(shares: dict[str, list[list[float]]]) -> list[str]:
    """The largest share of one pair, averaged over layers of the commonest width: values, which are not rotated, are the control."""
    widths = {name: Counter(map(len, layers)).most_common(1)[0][0] for name, layers in shares.items()}
    alike = {name: [s for s in layers if len(s) == widths[name]] for name, layers in shares.items()}
    top, width = (
        {name: max(sum(column) / len(layers) for column in zip(*layers)) for name, layers in alike.items()},
        widths["v"],
    )
    verdict = (
        "no structure" if top["v"] * width < 1.2 else "little structure" if top["v"] * width < 1.6 else "structure too"
    )
    return [
        f"Values, the control, show {verdict}: averaged over layers, the largest share of one pair is {top['v']:.3g}, against 1/{width} = {1 / width:.3g} "
        f"for an even spread; for queries it is {top['q']:.3g}, for keys {top['k']:.3g}."
    ]


def _positional(heads: Sequence[Mapping[str, Any]]) -> list[str]:
    """How many heads look at a place rather than at a content, and which is the clearest."""
    scores = {"diagonal": ("diagonal", "the token itself"), "previous token": ("previous", "the previous token")}
    chosen, others = [h for h in heads if h["kind"] in scores], [h for h in heads if h["kind"] not in scores]
    first = sum(h["kind"] == "first token" for h in others)
    found = [f"None of {_count(len(heads), 'head')} is positional."] if heads else []
    if chosen:
        counts = " and ".join(f"{n} {kind}" for kind in scores if (n := sum(h["kind"] == kind for h in chosen)))
        best = max(chosen, key=lambda h: h[scores[h["kind"]][0]])
        score, target = scores[best["kind"]]
        found = [
            f"{len(chosen)} of {_count(len(heads), 'head')} {'is' if len(chosen) == 1 else 'are'} positional ({counts}); the clearest, "
        ]
        found[0] += f"L{best['layer']} H{best['head']}, gives {target} {best[score]:.2f} of its attention."
    if chosen and others:
        high = [f"{100 * sum(h['top_quarter'] for h in group) / len(group):.0f}\u00a0%" for group in (chosen, others)]
        found.append(
            f"Of the product of query and key norms, positional heads have {high[0]} in the highest quarter of the frequencies, other heads {high[1]}."
        )
    if first:
        found.append(f"{_count(first, 'head')} mostly attend{'s' * (first == 1)} to the first token.")
    return found


def _taken_out(ablations: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the clearest head loses with its highest and with its lowest quarter."""
    return [
        f"Without the highest quarter of its frequencies, L{one['layer']} H{one['head']} goes from a {SCORES[one['score']]} score of {one['untouched']:.2f} "
        f"to {one['quarters'][0]:.2f}; without the lowest, to {one['quarters'][3]:.2f}."
        for one in sorted(ablations, key=lambda a: -a["untouched"])[:1]
    ]


def _curves(curves: Sequence[Mapping[str, Any]]) -> list[str]:
    """How far each curve goes before perplexity has grown by a twentieth."""
    said = []
    for curve in curves:
        points = sorted(zip(curve["x"], curve["perplexity"]))
        worse = next((k for k, (_, perplexity) in enumerate(points) if perplexity > 1.05 * points[0][1]), len(points))
        said.append(f"{points[worse - 1][0]} of {points[-1][0]} ({curve['name']})")
    return [f"Perplexity stays within 5\u00a0% up to {', '.join(said)}."] if said else []


def _together(sides: Sequence[Mapping[str, Any]]) -> list[str]:
    """How alike the query maps of two sides are, where they have the same shape."""
    if len(sides) < 2:
        return []
    maps = [[_shares(layer) for layer in side["usage"]["q"]] for side in sides]
    if [len(row) for row in maps[0]] != [len(row) for row in maps[1]]:
        return ["The two sides differ in shape, so no difference is drawn."]
    a, b = ([s * len(row) - 1 for row in one for s in row] for one in maps)
    size = math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    return (
        [f"The two query maps, as shares of their layers, correlate at {sum(x * y for x, y in zip(a, b)) / size:.2f}."]
        if size > 1e-9
        else []
    )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _shares(heads: Sequence[Sequence[float]]) -> list[float]:
    """(heads, P) norms -> (P,) shares of their sum; even where all are 0."""
    sums = [sum(column) for column in zip(*heads)]
    total = sum(sums)
    return [s / total for s in sums] if total else [1 / len(sums)] * len(sums)


def _fastest_first(frequencies: Sequence[float]) -> list[int]:
    """Indices of the pairs that turn."""
    return sorted((pair for pair, g in enumerate(frequencies) if g), key=lambda pair: -frequencies[pair])


def _frequencies(side: Mapping[str, Any]) -> list[list[float]]:
    """The frequencies of every row of the arrays."""
    by_layer = {layer: layout["frequencies"] for layout in side["layouts"] for layer in layout["layers"]}
    return [by_layer[layer] for layer in sorted(by_layer)]


# ---------- from data to page ----------


def _rounded(value: Any, digits: int) -> Any:
    """Floats to so many significant digits; whole ones become ints, which are shorter in JSON. Ints, being counts and indices, stay."""
    if isinstance(value, float):
        short = float(f"{value:.{digits}g}")
        return int(short) if short.is_integer() and abs(short) < 1e9 else short
    if isinstance(value, dict):
        return {key: _rounded(v, digits) for key, v in value.items()}
    return [_rounded(v, digits) for v in value] if isinstance(value, list | tuple) else value


def _cells(tokens: int) -> int:
    """Of a lower triangle with its diagonal."""
    return tokens * (tokens + 1) // 2


def _encoded(patterns: Mapping[str, Any], tokens: int) -> int:
    """Bytes of base64 that are left of patterns cut to so many tokens."""
    return 4 * math.ceil(patterns["layers"] * patterns["heads"] * _cells(min(tokens, len(patterns["tokens"]))) / 3)


def _cut(packed: dict[str, Any], tokens: int) -> dict[str, Any]:
    """The same with patterns of so many tokens; of none, without patterns. The rows of a triangle lie one after another, so its beginning is kept."""
    sides = []
    for side in packed["sides"]:
        patterns = side["patterns"] if tokens else None
        if patterns and tokens < len(patterns["tokens"]):
            data, whole = base64.b64decode(patterns["data"]), _cells(len(patterns["tokens"]))
            data = b"".join(data[k : k + _cells(tokens)] for k in range(0, len(data), whole))
            patterns = {**patterns, "tokens": patterns["tokens"][:tokens], "data": base64.b64encode(data).decode()}
        sides.append({**side, "patterns": patterns})
    return {**packed, "sides": sides}


def _rendered(packed: Mapping[str, Any]) -> str:
    sections = [part for part in SECTIONS if any(side[part] for side in packed["sides"])]
    return _template().render(
        title=packed["title"], subtitle=packed["subtitle"], sections=sections, scan=packed, data=script_json(packed)
    )


@functools.cache
def _template() -> Template:
    return Environment(
        loader=PackageLoader("outrange.report"), autoescape=True, undefined=StrictUndefined
    ).get_template("scan.html.j2")


# ---------- what is allowed ----------

Check = Callable[[str, Any], Any]
"""(where, value) -> the value as it is kept; raises BadInput"""


def _no(where: str, value: Any, allowed: str) -> BadInput:
    return BadInput(f"{where}: {brief(value)} is not allowed; {allowed}")


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _no(where, value, "it must be text")
    return re.sub("[\ud800-\udfff]", "\ufffd", value)  # half a character, as tokens of bytes leave: no file can hold it


def _number(low: float, whole: bool = False) -> Check:
    kinds, words = (int, "a whole number") if whole else (int | float, "a finite number")

    def check(where: str, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= 1e300:
            raise _no(where, value, f"it must be {words}" + (f" of at least {low:g}" if low > -1e300 else ""))
        return value

    return check


def _several(check: Check, least: int = 0, most: int | None = None) -> Check:
    def several(where: str, value: Any) -> list[Any]:
        if not isinstance(value, list | tuple) or len(value) < least or (most and len(value) > most):
            size = (
                f" of {least}"
                if least == most
                else f" of {least} to {most}"
                if most
                else f" of at least {least}"
                if least
                else ""
            )
            raise _no(where, value, f"it must be a list{size}")
        return [check(f"{where}[{k}]", v) for k, v in enumerate(value)]

    return several


def _one_of(allowed: Sequence[str], what: str) -> Check:
    def check(where: str, value: Any) -> Any:
        if value not in allowed:
            raise unknown(where, value, [a for a in allowed if a], what)
        return value

    return check


def _record(needed: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    optional = optional or {}

    def record(where: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _no(where, value, "it must be a mapping")
        for key in value:
            if key not in needed and key not in optional:
                raise unknown(f"{where}.{brief(key).strip(chr(39))}", key, [*needed, *optional], f"a part of {where}")
        for key in needed:
            if key not in value:
                raise BadInput(f"{where}.{key}: is missing; {where} needs {', '.join(needed)}")
        kept = {key: check(f"{where}.{key}", value[key]) for key, check in needed.items()}
        return kept | {
            key: check(f"{where}.{key}", value[key]) if value.get(key) else None for key, check in optional.items()
        }

    return record


def _or_none(check: Check) -> Check:
    return lambda where, value: None if value is None or value == math.inf else check(where, value)


_COUNT, _INDEX, _NORM, _ANY = _number(1, whole=True), _number(0, whole=True), _number(0), _number(-1e300)
_ARRAY, _SIGNED = (_several(_several(_several(number, 1), 1), 1) for number in (_NORM, _ANY))
_WHERE = {"layer": _INDEX, "head": _INDEX}
_LAYOUT = {"layers": _several(_INDEX, 1), "scheme": _text, "head_dim": _COUNT, "theta": _or_none(_NORM)}
_LAYOUT |= {"pairing": _text, "frequencies": _several(_NORM, 1), "note": _text}
_HEAD = (
    _WHERE
    | dict.fromkeys(("diagonal", "previous", "first", "top_quarter"), _NORM)
    | {"kind": _one_of(KINDS, "a kind of head")}
)
_CHANNEL = _WHERE | {"pair": _INDEX, "frequency": _NORM, "period": _or_none(_NORM), "first": _ANY, "spread": _NORM}
_ABLATED = _WHERE | {"score": _one_of(tuple(SCORES), "a score"), "untouched": _NORM, "quarters": _several(_NORM, 4, 4)}
_NEEDED = {
    "model": _text,
    "text": _text,
    "tokens": _COUNT,
    "layouts": _several(_record(_LAYOUT), 1),
    "heads_per_layer": _COUNT,
    "kv_heads": _COUNT,
}
_NEEDED |= {"usage": _record(dict.fromkeys("qkv", _ARRAY)), "heads": _several(_record(_HEAD))}
_OPTIONAL = {
    "logits": _record({"spread": _ARRAY} | dict.fromkeys(("diagonal", "previous", "first"), _SIGNED)),
    "channels": _several(_record(_CHANNEL)),
    "ablations": _several(
        _record({"name": _text, "x": _several(_INDEX, 1), "perplexity": _several(_number(1e-300), 1)})
    ),
    "head_ablations": _several(_record(_ABLATED)),
    "patterns": _record({"tokens": _several(_text, 1), "layers": _COUNT, "heads": _COUNT, "data": _text}),
}
_SIDES = _several(_record(_NEEDED, _OPTIONAL), 1, 2)
_SCAN = _record({"title": _text, "subtitle": _text, "notes": _several(_text), "command": _text, "sides": _SIDES})


def _agrees(where: str, side: dict[str, Any]) -> None:
    """The parts of a side fit each other."""
    layers = [layer for layout in side["layouts"] for layer in layout["layers"]]
    if twice := [layer for layer, n in Counter(layers).items() if n > 1]:
        raise BadInput(f"{where}.layouts: layer {twice[0]} is named twice; every layer belongs to one layout")
    frequencies = _frequencies(side)
    width = {layer: len(f) for layer, f in zip(sorted(layers), frequencies)}
    queries, keys = side["heads_per_layer"], side["kv_heads"]
    if queries % keys:
        raise _no(f"{where}.kv_heads", keys, f"it must divide the {queries} heads_per_layer")
    for part, name in [
        ("usage", "q"),
        ("usage", "k"),
        ("usage", "v"),
        *(("logits", name) for name in side["logits"] or ()),
    ]:
        here, values, heads = f"{where}.{part}.{name}", side[part][name], keys if name in ("k", "v") else queries
        _same(here, "layers", len(values), len(layers))
        for row, (layer, f) in enumerate(zip(values, frequencies)):
            _same(f"{here}[{row}]", "heads", len(layer), heads)
            for head, pairs in enumerate(layer):
                _same(f"{here}[{row}][{head}]", "pairs", len(pairs), len(layer[0]) if name == "v" else len(f))
    for part in ("heads", "channels", "head_ablations"):
        for k, one in enumerate(side[part] or ()):
            if one["layer"] not in width:
                raise _no(f"{where}.{part}[{k}].layer", one["layer"], "it must be a layer that layouts name")
            for name, top in (("head", queries), ("pair", width[one["layer"]])):
                if one.get(name, 0) >= top:
                    raise _no(f"{where}.{part}[{k}].{name}", one[name], f"it must be below {top}")
    for k, curve in enumerate(side["ablations"] or ()):
        _same(f"{where}.ablations[{k}].perplexity", "numbers", len(curve["perplexity"]), len(curve["x"]))
    if patterns := side["patterns"]:
        here = f"{where}.patterns"
        _same(f"{here}.layers", "layers", patterns["layers"], len(layers))
        _same(f"{here}.heads", "heads", patterns["heads"], queries)
        try:
            size = len(base64.b64decode(patterns["data"], validate=True))
        except (binascii.Error, ValueError):
            raise _no(f"{here}.data", patterns["data"], "it must be base64") from None
        _same(f"{here}.data", "bytes", size, len(layers) * queries * _cells(len(patterns["tokens"])))


def _same(where: str, what: str, got: int, expected: int) -> None:
    if got != expected:
        raise BadInput(f"{where}: {got} {what} are not allowed; there must be {expected}")
