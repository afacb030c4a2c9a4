"""The page of a scan: what it refuses, what it keeps, what it says, and that nothing a user writes becomes markup."""

import base64
import copy
import dataclasses
import json
import math
import random
import re

import pytest

from outrange.core.errors import BadInput
from outrange.report import scan
from outrange.report.scan_reading import read_side
from outrange.report.scan_story import (
    AblationCurve,
    AttentionPatterns,
    HeadAblation,
    HeadSummary,
    LayoutGroup,
    LogitParts,
    PairNorms,
    ScanSide,
    ScanStory,
    SemanticChannel,
)

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><b>",
    '"><img src=x onerror=alert(1)>',
    "a & b",
    "\u2028\u2029",
    "__proto__",
    "'; //",
    "\ud800",
]
WORDS = (
    "To| be|,| or| not| to| be|,| that| is| the| question|:|\n|Whether| '|tis| nobler| in| the| mind| to| suffer".split(
        "|"
    )
)


def spectrum(pairs: int, theta: float = 1e5, kept: float = 1.0) -> list[float]:
    return [theta ** (-m / pairs) if m < int(kept * pairs) else 0.0 for m in range(pairs)]


def layout(layers: list[int], frequencies: list[float], **more) -> dict:
    scheme = "RoPE" if all(frequencies) else "p-RoPE" if any(frequencies) else "NoPE"
    return {
        "layers": layers,
        "scheme": scheme,
        "head_dim": 2 * len(frequencies),
        "theta": 1e5,
        "pairing": "half split",
        "frequencies": frequencies,
        "note": "",
    } | more


KINDS = dict.fromkeys([(1, 2), (2, 1), (11, 1), (16, 0)], "previous token") | dict.fromkeys(
    [(11, 6), (12, 5), (29, 1)], "diagonal"
)
SCORES = {"diagonal": "diagonal", "previous token": "previous"}


def bump(x: float, centre: float, width: float) -> float:
    return math.exp(-(((x - centre) / width) ** 2))


def side(
    layers=30,
    heads=9,
    kv=3,
    pairs=32,
    tokens=64,
    seed=1,
    model="SmolLM2-135M",
    text="Shakespeare, 460 tokens",
    layouts=None,
) -> dict:
    """A side that looks like a small model's: a band of slow frequencies, a few positional heads that use the fast ones, flat values."""
    draw = random.Random(seed)
    layouts = layouts or [layout(list(range(layers)), spectrum(pairs))]
    by_layer = {layer: part["frequencies"] for part in layouts for layer in part["layers"]}
    every = [(layer, head) for layer in sorted(by_layer) for head in range(heads)]
    first = {place for place in every if place[0] > 2 and place not in KINDS and draw.random() < 0.35}

    def norms(place: tuple[int, int], x: list[float], sharp: float = 1.0) -> list[float]:
        band, high = (
            0.74 + draw.gauss(0, 0.02),
            1.5 if place in KINDS else 0.7 if place[0] < 2 or place[0] > layers - 3 else 0.2,
        )
        size = 2 + 3 * place[0] / layers
        return [
            size
            * (0.35 + 0.5 * y + sharp * (1.6 * bump(y, band, 0.05) + high * bump(y, 0.12, 0.1)))
            * draw.uniform(0.75, 1.25)
            for y in x
        ]

    def contrast(place: tuple[int, int], x: list[float], kind: str = "diagonal") -> list[float]:
        strong = 6.0 if KINDS.get(place) == kind else 0.4
        return [strong * math.exp(-5 * y) * draw.uniform(0.4, 1.2) + draw.gauss(0, 0.15) for y in x]

    def sink(place: tuple[int, int], x: list[float]) -> list[float]:
        return [
            (9.0 if place in first else 0.6) * bump(y, 0.76, 0.06) * draw.uniform(0.4, 1.2) + draw.gauss(0, 0.2)
            for y in x
        ]

    def array(count: int, of, *more) -> list:
        places = {layer: [(m + 0.5) / len(f) for m in range(len(f))] for layer, f in by_layer.items()}
        return [[of((layer, head), places[layer], *more) for head in range(count)] for layer in sorted(by_layer)]

    def head(place: tuple[int, int]) -> dict:
        kind, score = (
            KINDS.get(place, "first token" if place in first else ""),
            {name: draw.uniform(0.01, 0.12) for name in ("diagonal", "previous")},
        )
        score |= {SCORES[kind]: draw.uniform(0.45, 0.82)} if kind in SCORES else {}
        high = draw.uniform(0.2, 0.28) if kind in SCORES else draw.uniform(0.05, 0.14)
        return {
            **where(place),
            **score,
            "first": draw.uniform(0.6, 0.95) if kind == "first token" else draw.uniform(0.1, 0.3),
            "top_quarter": high,
            "kind": kind,
        }

    def channel(place: tuple[int, int]) -> dict:
        pair = int(draw.uniform(0.7, 0.85) * len(by_layer[place[0]]))
        g = by_layer[place[0]][pair]
        return {
            **where(place),
            "pair": pair,
            "frequency": g,
            "period": 2 * math.pi / g if g else None,
            "first": draw.uniform(5, 25),
            "spread": draw.uniform(1, 6),
        }

    def ablated(place: tuple[int, int]) -> dict:
        whole = draw.uniform(0.5, 0.8)
        quarters = [0.05 * draw.random(), whole * draw.uniform(0.2, 0.7), whole * 1.02, whole * 1.08]
        return {**where(place), "score": SCORES[KINDS[place]], "untouched": whole, "quarters": quarters}

    def curve(name: str, start: int, rise: float) -> dict:
        x = [0, 1, 2, 4, 8, 12, 16, 20, 24, 28, 32]
        return {
            "name": name,
            "x": x,
            "perplexity": [52.09 + 288 * min(1, max(0, (v - start) / (32 - start))) ** rise for v in x],
        }

    curves = [
        ("lowest frequencies stop rotating", 12, 1.6),
        ("highest frequencies stop rotating", 0, 0.35),
        ("lowest frequencies removed", 2, 0.8),
    ]
    return {
        **{"model": model, "text": text, "tokens": 460, "layouts": layouts, "heads_per_layer": heads, "kv_heads": kv},
        "usage": {
            "q": array(heads, norms),
            "k": array(kv, norms, 0.8),
            "v": array(kv, lambda _, x: [0.5 * draw.uniform(0.93, 1.07) for _ in x]),
        },
        "logits": {
            "spread": array(heads, lambda *place: [abs(x) for x in contrast(*place)]),
            **{name: array(heads, contrast, kind) for kind, name in SCORES.items()},
            "first": array(heads, sink),
        },
        "heads": [head(place) for place in every],
        "channels": sorted((channel(place) for place in sorted(first)[:50]), key=lambda c: -c["first"]),
        "ablations": [curve(*one) for one in curves],
        "head_ablations": [ablated(place) for place in KINDS if place in every],
        "patterns": pattern(every, tokens, first, draw) if tokens else None,
    }


def where(place: tuple[int, int]) -> dict:
    return {"layer": place[0], "head": place[1]}


def pattern(every: list[tuple[int, int]], tokens: int, first: set, draw: random.Random) -> dict:
    data = bytearray()
    for place in every:
        back = {"diagonal": 0, "previous token": 1}.get(KINDS.get(place, ""))
        for i in range(tokens):
            row = [draw.random() ** 3 for _ in range(i + 1)]
            row[0] += (0.1 + 2 * (place in first)) * (i + 1)
            if back is not None:
                row[max(0, i - back)] += i + 1
            data += bytes(round(255 * w / sum(row)) for w in row)
    layers = len({layer for layer, _ in every})
    return {
        "tokens": [WORDS[k % len(WORDS)] for k in range(tokens)],
        "layers": layers,
        "heads": len(every) // layers,
        "data": base64.b64encode(data).decode(),
    }


def tall(one: dict, layers: int) -> dict:
    """A side of one layer as one of many: quick to make, and as large as if it were real."""
    more = {part: {name: rows * layers for name, rows in one[part].items()} for part in ("usage", "logits")}
    patterns = one["patterns"] | {
        "layers": layers,
        "data": base64.b64encode(base64.b64decode(one["patterns"]["data"]) * layers).decode(),
    }
    heads = [h | {"layer": layer} for layer in range(layers) for h in one["heads"]]
    return (
        one
        | more
        | {"layouts": [one["layouts"][0] | {"layers": list(range(layers))}], "patterns": patterns, "heads": heads}
    )


def story(*sides: dict, **more) -> dict:
    return {
        "title": "How SmolLM2-135M uses its frequencies",
        "subtitle": "30 layers, 460 tokens of Shakespeare",
        "notes": ["One short text."],
        "command": "outrange attention scan",
        "sides": list(sides),
    } | more


def side_of(data: dict) -> ScanSide:
    """The dataclasses of a side that is written as plain data, which is easy to change in one place."""
    several = {"layouts": LayoutGroup, "heads": HeadSummary, "channels": SemanticChannel}
    several |= {"head_ablations": HeadAblation, "ablations": AblationCurve}
    single = {"usage": PairNorms, "logits": LogitParts, "patterns": AttentionPatterns}
    parts = dict(data)
    for name, kind in several.items():
        parts[name] = [kind(**item) for item in data[name] or ()]
    for name, kind in single.items():
        parts[name] = kind(**data[name]) if data[name] else None
    return ScanSide(**parts)


def page_of(data: dict) -> str:
    return scan.page(ScanStory(**data | {"sides": [side_of(one) for one in data["sides"]]}))


def reading_of(data: dict) -> str:
    return read_side(side_of(data))


def small(**more) -> dict:
    """A side that is quick to check: two layers, two heads."""
    return side(layers=2, heads=2, kv=1, pairs=8, tokens=5) | more


def bare(**more) -> dict:
    """The same with nothing that may be left out."""
    return small(logits=None, channels=None, ablations=[], head_ablations=None, patterns=None, heads=[]) | more


def embedded(text: str) -> dict:
    return json.loads(re.findall(r'<script type="application/json" id="scan">(.*?)</script>', text, re.DOTALL)[0])


def rounded(value, digits: int = 4):
    """What the page is to keep, computed another way than it does: through the decimal text."""
    if isinstance(value, float):
        return None if math.isinf(value) else float(f"{value:.{digits - 1}e}")
    if isinstance(value, dict):
        return {key: rounded(v, digits) for key, v in value.items()}
    return [rounded(v, digits) for v in value] if isinstance(value, list) else value


def changed(*path, to) -> dict:
    """A good scan with one part exchanged."""
    whole = story(small())
    part = whole
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = to
    return whole


SIDE = ("sides", 0)


def test_what_the_page_holds_is_what_it_was_given_to_four_digits():
    given = story(small(), small(text="another"))
    held = embedded(page_of(copy.deepcopy(given)))
    assert len(held.pop("reading")) == 3
    assert held.pop("limits") == []
    for one in given["sides"]:
        one |= {part: one[part] or None for part in ("channels", "head_ablations")}
    assert held == rounded(given)


def test_a_page_leaves_its_scan_as_it_was():
    given = story(small())
    before = copy.deepcopy(given)
    page_of(given)
    assert given == before


@pytest.mark.parametrize(
    ("path", "to", "message"),
    [
        (("sides",), [], "sides: 0 are not allowed; there must be one or two"),
        ((*SIDE, "tokens"), 0, "tokens: 0 is not allowed; it must be at least 1"),
        ((*SIDE, "tokens"), True, "tokens: True is not allowed"),
        ((*SIDE, "kv_heads"), 3, "kv_heads: 3 is not allowed; it must be a divisor of the 2 heads_per_layer"),
        ((*SIDE, "layouts"), [], "layouts: [] is not allowed"),
        (
            (*SIDE, "layouts", 0, "frequencies"),
            [1.0, -1.0],
            "layouts.frequencies[1]: -1.0 is not allowed; it must be a finite number of at least 0",
        ),
        ((*SIDE, "layouts", 0, "layers"), [0, 0], "layouts: layer 0 is named twice"),
        ((*SIDE, "layouts", 0, "layers"), [0], "usage.q: 2 layers are not allowed; there must be 1"),
        ((*SIDE, "usage", "q", 1), [[1.0] * 8], "usage.q[1]: 1 heads are not allowed; there must be 2"),
        (
            (*SIDE, "usage", "k", 1, 0),
            [1.0] * 7,
            "usage.k[1][0]: 7 pairs are not allowed; there must be 8",
        ),
        (
            (*SIDE, "usage", "v", 1, 0, 2),
            math.nan,
            "usage.v[1][0][2]: nan is not allowed; it must be a finite number of at least 0",
        ),
        ((*SIDE, "usage", "q", 0, 1, 3), None, "usage.q[0][1][3]: None is not allowed"),
        (
            (*SIDE, "logits", "first", 0, 1, 3),
            math.inf,
            "logits.first[0][1][3]: inf is not allowed; it must be a finite number",
        ),
        (
            (*SIDE, "logits", "spread", 0, 1),
            [1.0],
            "logits.spread[0][1]: 1 pairs are not allowed; there must be 8",
        ),
        (
            (*SIDE, "logits", "spread", 0, 1),
            [],
            "logits.spread[0][1]: [] is not allowed; it must be a list of at least 1",
        ),
        (
            (*SIDE, "heads", 1, "kind"),
            "diagnoal",
            "heads.kind: 'diagnoal' is not a kind of head; did you mean 'diagonal'?",
        ),
        (
            (*SIDE, "heads", 1, "layer"),
            2,
            "heads[1].layer: 2 is not allowed; it must be a layer that layouts name",
        ),
        ((*SIDE, "heads", 1, "head"), 2, "heads[1].head: 2 is not allowed; it must be below 2"),
        (
            (*SIDE, "channels"),
            [{"layer": 0, "head": 0, "pair": 8, "frequency": 0.0, "period": None, "first": -1.0, "spread": 1.0}],
            "channels[0].pair: 8 is not allowed; it must be below 8",
        ),
        ((*SIDE, "ablations", 0, "perplexity", 1), 0.0, "ablations.perplexity[1]: 0.0 is not allowed"),
        (
            (*SIDE, "ablations", 0, "x"),
            [0],
            "ablations.perplexity: 11 numbers are not allowed; there must be 1",
        ),
        (
            (*SIDE, "head_ablations"),
            [{"layer": 0, "head": 0, "score": "previous", "untouched": 1.0, "quarters": [1.0]}],
            "head_ablations.quarters: 1 numbers are not allowed; there must be 4",
        ),
        ((*SIDE, "patterns", "layers"), 1, "patterns.data: 60 bytes are not allowed; there must be 30"),
        ((*SIDE, "patterns", "heads"), 1, "patterns.data: 60 bytes are not allowed; there must be 30"),
        ((*SIDE, "patterns", "data"), "AAAA", "patterns.data: 3 bytes are not allowed; there must be 60"),
        ((*SIDE, "patterns", "data"), "é*", "patterns.data: 'é*' is not allowed; it must be base64"),
        (
            (*SIDE, "patterns", "tokens"),
            ["a"],
            "patterns.data: 60 bytes are not allowed; there must be 4",
        ),
    ],
)
def test_a_part_that_is_not_allowed_is_named(path, to, message):
    with pytest.raises(BadInput) as refused:
        page_of(changed(*path, to=to))
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_patterns_of_another_number_of_layers_or_heads_are_refused():
    one = small()
    for name, data in (("layers", {"layers": 1, "heads": 4}), ("heads", {"layers": 4, "heads": 1})):
        wrong = one | {"patterns": one["patterns"] | data}
        with pytest.raises(BadInput, match=rf"^patterns.{name}: {data[name]} {name} are not allowed; there must be 2$"):
            side_of(
                wrong if name == "layers" else wrong | {"layouts": [layout([0, 1, 2, 3], spectrum(8))]} | _four(one)
            )


def _four(one: dict) -> dict:
    """The arrays of a side of two layers as of four."""
    return {part: {name: rows * 2 for name, rows in one[part].items()} for part in ("usage", "logits")}


@pytest.mark.parametrize("name", ["title", "sides", "subtitle"])
def test_a_story_lacks_nothing_and_is_frozen(name):
    whole = story(small()) | {"sides": [side_of(small())]}
    with pytest.raises(dataclasses.FrozenInstanceError):
        ScanStory(**whole).title = "another"  # type: ignore[misc]
    del whole[name]
    with pytest.raises(TypeError, match=name):
        ScanStory(**whole)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_a_user_writes_becomes_markup(text):
    one = small(model=text, text=text)
    one["layouts"][0] |= {"scheme": text, "pairing": text, "note": text}
    one["patterns"]["tokens"] = [text] * 5
    one["ablations"][0]["name"] = text
    page = page_of(story(one, title=text, subtitle=text, notes=[text], command=text))
    plain = page_of(story(small()))
    for mark in ("<script", "</script", "<img", "<b>"):
        assert page.count(mark) == plain.count(mark)
    assert not set("\u2028\u2029") & set(page.split('id="scan">')[1])
    held = embedded(page)
    kept = text.replace("\ud800", "\ufffd")
    assert (
        held["title"]
        == held["notes"][0]
        == held["sides"][0]["model"]
        == held["sides"][0]["patterns"]["tokens"][4]
        == kept
    )
    page.encode()


def test_the_page_asks_the_network_for_nothing(calls_out):
    page = page_of(story(small()))
    assert "default-src 'none'" in page
    assert not calls_out(page, "scan")


def test_what_was_not_measured_leaves_no_heading():
    page = page_of(story(bare(), notes=[], command=""))
    for part in (*scan.SECTIONS, "notes"):
        assert f'<section class="panel" id="{part}">' not in page
    for part in ("reading", "layouts", "maps", "layer"):
        assert f'<section class="panel" id="{part}">' in page


@pytest.mark.parametrize("part", scan.SECTIONS)
def test_what_one_side_measured_has_its_heading(part):
    one = side(layers=2, heads=3, kv=1, pairs=8, tokens=2)
    one["channels"] = [
        {"layer": 0, "head": 0, "pair": 1, "frequency": 0.1, "period": 62.8, "first": 1.0, "spread": 1.0}
    ]
    without = one | dict.fromkeys(scan.SECTIONS) | {"heads": []}
    both = page_of(story(without, without | {part: one[part]}))
    assert set(re.findall(r'<section class="panel" id="(\w+)">', both)) == {
        "reading",
        "layouts",
        "maps",
        "layer",
        "notes",
        part,
    }


def test_layers_may_differ_in_their_pairs():
    layouts = [layout([0, 1, 3], spectrum(8)), layout([2], spectrum(16, kept=0.25), theta=None)]
    one = side(layers=4, heads=2, kv=1, tokens=3, layouts=layouts)
    held = embedded(page_of(story(one)))["sides"][0]
    assert [len(row[0]) for row in held["usage"]["q"]] == [8, 8, 16, 8]
    assert [part["layers"] for part in held["layouts"]] == [[0, 1, 3], [2]]
    one["usage"]["k"][2] = [[1.0] * 8]
    with pytest.raises(BadInput, match=r"^usage.k\[2\]\[0\]: 8 pairs are not allowed; there must be 16$"):
        page_of(story(one))


def test_layers_are_known_by_the_names_that_layouts_give():
    one = bare(layouts=[layout([7], spectrum(8)), layout([3], spectrum(8))])
    one["heads"] = [
        {"layer": 7, "head": 1, "diagonal": 0.9, "previous": 0.0, "first": 0.0, "top_quarter": 0.5, "kind": "diagonal"}
    ]
    assert "L7 H1" in reading_of(one)
    page_of(story(one))


def test_a_page_of_a_small_model_stays_below_two_megabytes():
    assert len(page_of(story(tall(side(layers=1), 30))).encode()) < 2_000_000


def test_a_page_of_a_large_model_stays_below_its_limit_with_all_its_tokens():
    one = tall(side(layers=1, heads=16, kv=16, pairs=128, tokens=48), 28)
    page = page_of(story(one))
    assert len(page.encode()) < scan.LIMIT
    held = embedded(page)
    assert held["sides"][0]["patterns"]["data"] == one["patterns"]["data"]
    assert held["limits"] == []


def test_a_page_that_would_be_too_large_loses_its_last_tokens_and_says_so(monkeypatch):
    one = side(layers=4, heads=4, kv=1, pairs=8, tokens=60)
    whole = len(page_of(story(one)).encode())
    monkeypatch.setattr(scan, "LIMIT", whole - 10_000)
    page = page_of(story(one, side(layers=4, heads=4, kv=1, pairs=8, tokens=12)))
    assert len(page.encode()) <= scan.LIMIT
    held = embedded(page)
    kept = held["sides"][0]["patterns"]
    n = len(kept["tokens"])
    assert 12 < n < 60
    assert len(held["sides"][1]["patterns"]["tokens"]) == 12
    assert held["limits"] == [
        f"Attention patterns show the first {n} of 60 tokens: with all of them this page would pass {scan.LIMIT / 1e6:g} MB."
    ]
    data, full = (base64.b64decode(text) for text in (kept["data"], one["patterns"]["data"]))
    for block in range(16):
        assert data[block * n * (n + 1) // 2 :][: n * (n + 1) // 2] == full[block * 1830 :][: n * (n + 1) // 2]


def test_where_no_pattern_fits_numbers_lose_a_digit_and_then_the_pattern_goes(monkeypatch):
    one = side(layers=4, heads=4, kv=1, pairs=32, tokens=60)
    without = len(page_of(story(one | {"patterns": None})).encode())
    monkeypatch.setattr(scan, "LIMIT", without + 200)
    held = embedded(page_of(story(one)))
    assert held["limits"][0].startswith("Numbers have 3 digits: with 4 this page would pass")
    assert len(held["sides"][0]["patterns"]["tokens"]) >= scan.FEWEST_TOKENS
    assert held["sides"][0]["usage"] == rounded(one["usage"], 3)
    monkeypatch.setattr(scan, "LIMIT", 1000)
    held = embedded(page_of(story(one)))
    assert held["sides"][0]["patterns"] is None
    assert held["limits"][1].startswith("Attention patterns are left out")


def test_whole_numbers_are_not_rounded():
    held = embedded(page_of(story(small(tokens=123_457))))["sides"][0]
    assert held["tokens"] == 123_457


def flat(hot: dict[int, float], pairs: int = 8, heads: int = 1) -> list:
    """Two layers of norms 1, but for some pairs."""
    return [[[hot.get(pair, 1.0) for pair in range(pairs)] for _ in range(heads)] for _ in range(2)]


def test_the_reading_says_where_the_strongest_frequency_lies():
    low, high = flat({6: 3.0}, heads=2), flat({0: 3.0}, heads=2)
    usage = {"q": low, "k": flat({1: 3.0}), "v": flat({})}
    said = reading_of(bare(usage=usage))
    assert (
        "In 2 of 2 layers the strongest query frequency lies in the lower half, in 0 the strongest key frequency."
        in said
    )
    assert "queries have 20, 20, 20 and 40\u00a0% of their norm, keys 40, 20, 20 and 20\u00a0%." in said
    assert "In 1 of 2 layers the strongest query" in reading_of(bare(usage=usage | {"q": [low[0], high[1]]}))


def test_the_reading_judges_values_by_their_largest_share():
    for largest, verdict in ((1.0, "show no structure"), (1.4, "show little structure"), (3.0, "show structure too")):
        said = reading_of(bare(usage={"q": flat({6: 3.0}, heads=2), "k": flat({}), "v": flat({2: largest})}))
        assert (
            f"Values, the control, {verdict}: averaged over layers, the largest share of one pair is {largest / (7 + largest):.3g}, against 1/8 = 0.125"
            in said
        )
        assert "for queries it is 0.3, for keys 0.125." in said


def test_the_reading_counts_the_heads_by_kind():
    def head(number: int, kind: str, **more) -> dict:
        return {
            "layer": number // 2,
            "head": number % 2,
            "diagonal": 0.1,
            "previous": 0.1,
            "first": 0.1,
            "top_quarter": 0.1,
            "kind": kind,
        } | more

    four = [
        head(0, "diagonal", diagonal=0.6, top_quarter=0.3),
        head(1, ""),
        head(2, "previous token", previous=0.7),
        head(3, "first token"),
    ]
    said = reading_of(bare(heads=four))
    assert (
        "2 of 4 heads are positional (1 diagonal and 1 previous token); the clearest, L1 H0, gives the previous token 0.70 of its attention."
        in said
    )
    assert (
        "positional heads have 20\u00a0% in the highest quarter of the frequencies, other heads 10\u00a0%. 1 head mostly attends to the first token."
        in said
    )
    assert "1 of 3 heads is positional (1 diagonal); the clearest, L0 H0, gives the token itself 0.60" in reading_of(
        bare(heads=four[:2] + four[3:])
    )
    assert "None of 1 head is positional." in reading_of(bare(heads=four[1:2]))
    assert "positional" not in reading_of(bare())


def test_the_reading_follows_the_ablations():
    curve = {"name": "lowest stop", "x": [0, 1, 2, 4], "perplexity": [50.0, 51.0, 52.4, 90.0]}
    assert "Perplexity stays within 5\u00a0% up to 2 of 4 (lowest stop)." in reading_of(bare(ablations=[curve]))
    assert "up to 4 of 4 (lowest stop), 0 of 4 (highest)." in reading_of(
        bare(
            ablations=[
                curve | {"perplexity": [50.0] * 4},
                curve | {"name": "highest", "perplexity": [50.0, 60.0, 50.0, 50.0]},
            ]
        )
    )
    weak = {"layer": 0, "head": 1, "score": "previous", "untouched": 0.5, "quarters": [0.1, 0.2, 0.3, 0.4]}
    said = reading_of(bare(head_ablations=[weak, weak | {"layer": 1, "score": "diagonal", "untouched": 0.7}]))
    assert (
        "Without the highest quarter of its frequencies, L1 H1 goes from a diagonal score of 0.70 to 0.10; without the lowest, to 0.40."
        in said
    )


def test_the_reading_tells_what_is_not_rotated():
    assert reading_of(bare(layouts=[layout([0, 1], [0.0] * 8)])).startswith("No layer rotates its queries and keys")
    mixed = bare(
        layouts=[layout([0], [0.0] * 8), layout([1], spectrum(8, kept=0.5))],
        usage={"q": flat({6: 3.0}, heads=2), "k": flat({}), "v": flat({})},
    )
    said = reading_of(mixed)
    assert said.startswith("In 0 of 1 rotated layer the strongest query frequency lies in the lower half")
    assert (
        "1 layer is not rotated at all. In 1 layer a pair that is not rotated holds more of the queries than any frequency does."
        in said
    )


def test_two_sides_are_compared_where_they_have_one_shape():
    one, other = bare(), bare(usage={"q": flat({6: 3.0}, heads=2), "k": flat({}), "v": flat({})})
    assert (
        embedded(page_of(story(one, copy.deepcopy(one))))["reading"][2]
        == "The two query maps, as shares of their layers, correlate at 1.00."
    )
    assert "correlate at 1.00" not in embedded(page_of(story(one, other)))["reading"][2]
    wide = side(layers=2, heads=2, kv=1, pairs=16, tokens=0)
    assert (
        embedded(page_of(story(one, wide)))["reading"][2] == "The two sides differ in shape, so no difference is drawn."
    )
    assert len(embedded(page_of(story(one)))["reading"]) == 1


def test_a_page_of_norms_that_are_all_zero_is_made():
    nothing = bare(usage={"q": flat(dict.fromkeys(range(8), 0.0), heads=2), "k": flat({}), "v": flat({})})
    assert len(embedded(page_of(story(nothing, nothing)))["reading"]) == 2
