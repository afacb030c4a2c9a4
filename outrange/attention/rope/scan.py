"""A scan: one model on one text, everything the page shows (arXiv 2410.06205, sections 4 to 6). The text is read in windows, each behind a first token."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from outrange.attention.rope.ablate import Ablation, ablated, choose, edited, perplexity
from outrange.attention.rope.heads import SCORES, HeadScores, kind
from outrange.attention.rope.layout import LayerLayout, Layout, read_layout
from outrange.attention.rope.usage import MEASURES, LayerUsage, Usage
from outrange.attention.tap import AttentionInputs, tapped
from outrange.core.errors import BadInput, brief
from outrange.lm import opening

SHAKESPEARE = Path(__file__).parents[1] / "texts" / "shakespeare.txt"
LEAST, WINDOW = 16, 512  # tokens of a text, and of a window unless told otherwise
_ABLATED, _PATTERN, _CHANNELS, _HEADS = 256, 48, 50, 6
_SHARES = (0, 12, 25, 50, 75, 100)  # percent of the frequencies that stop turning
Told = Callable[[str, int, int], None]


def windows(ids: Sequence[int], length: int, tokenizer: Any) -> list[Tensor]:
    """Token ids as windows (1, at most ``length``), each behind the first token of the whole; a last one of under LEAST tokens is left out.

    Raises:
        BadInput: there are fewer than LEAST tokens.
    """
    if len(ids) < LEAST:
        raise BadInput(f"text: has {len(ids)} tokens; a scan needs at least {LEAST}")
    first = [ids[0]] if tokenizer is not None and ids[0] == tokenizer.bos_token_id else []
    rest = ids[len(first) :]
    step = length - len(first)
    found = [torch.tensor([[*first, *rest[begin : begin + step]]]) for begin in range(0, len(rest), step)]
    return [one for k, one in enumerate(found) if k == 0 or one.shape[1] >= LEAST]


def scan(
    opened: opening.OpenedModel,
    text: str,
    name: str,
    *,
    window: int | None = None,
    limit: int | None = None,
    experiments: bool = True,
    tell: Told = lambda what, done, total: None,
) -> dict[str, Any]:
    """One side of a page (report/scan.py lists its keys).

    Args:
        opened: the model.
        text: what it reads.
        name: of the text, to show.
        window: tokens at a time; none: 512, or as many as the model takes.
        limit: of tokens in all; none: the whole text.
        experiments: take frequencies away as well, which takes a dozen more passes over 256 tokens.
        tell: called with what is done, how much of it, of how much.

    Raises:
        BadInput: the model cannot be watched, or the text is too short.
    """
    model, longest = opened.model, opening.context_length(opened.model)
    window = min(WINDOW, longest) if window is None else window
    if not LEAST <= window <= longest:
        raise BadInput(f"window: {brief(window)} is not allowed; it must lie in {LEAST}..{longest:,}")
    found = read_layout(model)
    ids = opening.encode_text(opened.tokenizer, text, limit)
    read = windows(ids, window, opened.tokenizer)
    usage, scores = Usage(found), HeadScores()
    watch = _both(usage, scores) if found.rotates else scores
    with torch.no_grad():
        for k, one in enumerate(read):
            with tapped(model, watch):
                model(one.to(model.device), use_cache=False, logits_to_keep=1)
            tell("reading", k + 1, len(read))
        patterns = _patterns(opened, read[0][:, :_PATTERN])
    if scores.layers.keys() != found.layers.keys():
        raise BadInput(
            f"model: {len(scores.layers)} layers were seen to attend, and its layout has {len(found.layers)}; models of this kind cannot be scanned"
        )
    heads = _heads(usage, scores)
    config = model.config.get_text_config(decoder=True)
    count, kv = config.num_attention_heads, getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    side: dict[str, Any] = {
        "model": opened.name,
        "text": name,
        "tokens": sum(one.shape[1] for one in read),
        "layouts": [described(indices, one) for indices, one in found.groups()],
        "heads_per_layer": int(count),
        "kv_heads": int(kv),
        "heads": heads,
        "patterns": patterns,
        "usage": _lists(usage, "qkv") if found.rotates else _none(found, count, kv),
    }
    if found.rotates:
        side |= {"logits": _lists(usage, MEASURES), "channels": _channels(found, usage)}
        if experiments:
            short = [read[0][:, :_ABLATED]]
            side |= {
                "head_ablations": _quarters(model, found, heads, short[0]),
                "ablations": _curves(model, found, short, tell),
            }
    return side


def described(indices: list[int], one: LayerLayout) -> dict[str, Any]:
    """A group of like layers, as a page or a table shows it."""
    words = {name: getattr(one, name) for name in ("scheme", "head_dim", "theta", "pairing", "note")}
    return {"layers": indices, **words, "frequencies": list(one.frequencies)}


def _both(*watchers: Callable[[AttentionInputs], None]) -> Callable[[AttentionInputs], None]:
    def watch(seen: AttentionInputs) -> None:
        for each in watchers:
            each(seen)

    return watch


def _lists(usage: Usage, names: Sequence[str]) -> dict[str, list]:
    return {name: [getattr(one, name).tolist() for one in usage.layers.values()] for name in names}


def _none(found: Layout, heads: int, kv: int) -> dict[str, list]:
    """Usage where nothing turns, so that there are no frequencies to tell apart."""
    return {
        name: [[[0.0] * len(one.pairs)] * count for one in found.layers.values()]
        for name, count in (("q", heads), ("k", kv), ("v", kv))
    }


def _top_quarter(one: LayerUsage, head: int) -> float:
    """Share of the summed |q||k| that lies in the fastest quarter of the pairs."""
    product = one.q[head] * one.k[head // (len(one.q) // len(one.k))]
    return float(product[: len(product) // 4].sum() / product.sum())


def _heads(usage: Usage, scores: HeadScores) -> list[dict[str, Any]]:
    rows, layers = [], usage.layers
    for layer, by_name in scores.layers.items():
        for head in range(len(by_name["diagonal"])):
            values = {name: float(by_name[name][head]) for name in SCORES}
            top = _top_quarter(layers[layer], head) if layer in layers else 0.0
            rows.append({"layer": layer, "head": head, **values, "top_quarter": top, "kind": kind(values)})
    return rows


def _channels(found: Layout, usage: Usage) -> list[dict[str, Any]]:
    """Channel pairs that tell contents apart: those that turn by less than a radian over 1,000 tokens, by how far they spread keys or lift the first one."""
    rows = []
    for layer, one in usage.layers.items():
        frequencies = found.layers[layer].frequencies
        for m, g in enumerate(frequencies):
            if g < 1e-3:
                for head in range(len(one.q)):
                    values = {"first": float(one.first[head, m]), "spread": float(one.spread[head, m])}
                    rows.append(
                        {
                            "layer": layer,
                            "head": head,
                            "pair": m,
                            "frequency": g,
                            "period": 2 * np.pi / g if g else None,
                            **values,
                        }
                    )
    return sorted(rows, key=lambda row: -max(row["spread"], abs(row["first"])))[:_CHANNELS]


def _quarters(model: Any, found: Layout, heads: list[dict[str, Any]], ids: Tensor) -> list[dict[str, Any]]:
    """The most positional heads without a quarter of their frequencies: the score that makes them so, on the first window."""
    best = sorted(
        (h for h in heads if h["kind"] in ("diagonal", "previous token")),
        key=lambda h: -max(h["diagonal"], h["previous"]),
    )[:_HEADS]
    rows: dict[tuple[int, int], dict[str, Any]] = {}

    def watch(seen: AttentionInputs) -> None:
        for h in (h for h in best if h["layer"] == seen.layer):
            score, one = "diagonal" if h["kind"] == "diagonal" else "previous", (h["layer"], h["head"])
            tried = []
            for pairs in (None, *(f"quarter:{k}" for k in range(1, 5))):
                query, key = seen.query, seen.key
                if pairs:
                    query, key = edited(
                        seen, found.layers[seen.layer], Ablation(kind="remove", pairs=pairs, heads=[one])
                    )
                again = HeadScores()
                again(replace(seen, query=query, key=key))
                tried.append(float(again.layers[seen.layer][score][h["head"]]))
            rows[one] = {"layer": one[0], "head": one[1], "score": score, "untouched": tried[0], "quarters": tried[1:]}

    if best:
        with torch.no_grad(), tapped(model, watch):
            model(ids.to(model.device), use_cache=False, logits_to_keep=1)
    return [rows[h["layer"], h["head"]] for h in best]


def _curves(model: Any, found: Layout, read: list[Tensor], tell: Told) -> list[dict[str, Any]]:
    """Perplexity without the slowest or the fastest frequencies, as far as both can be told from each other."""
    count = max(one.turning_count for one in found.layers.values())
    plain = perplexity(model, read)
    curves, done = [], 0
    tries = [
        ("slowest stop turning", "still", "lowest", _SHARES),
        ("fastest stop turning", "still", "highest", (0, 12, 25)),
        ("slowest removed", "remove", "lowest", (0, 12, 25)),
    ]
    total = sum(len(shares) - 1 for *_, shares in tries)
    for name, how, end, shares in tries:
        values = [plain]
        for share in shares[1:]:
            with ablated(model, found, Ablation(kind=how, pairs=f"{end}:{share}%")):  # type: ignore[arg-type]
                values.append(perplexity(model, read))
            done += 1
            tell("taking frequencies away", done, total)
        curves.append(
            {"name": name, "x": [len(choose(f"{end}:{share}%", count)) for share in shares], "perplexity": values}
        )
    return curves


def _patterns(opened: opening.OpenedModel, ids: Tensor) -> dict[str, Any]:
    """Attention of every head on the first tokens, one byte a weight, lower triangles only."""
    rows: dict[int, np.ndarray] = {}
    lower = np.tril_indices(ids.shape[1])

    def watch(seen: AttentionInputs) -> None:
        weights = seen.weights(slice(None))[0].float().cpu().numpy()
        rows[seen.layer] = np.rint(255 * weights[:, lower[0], lower[1]]).astype(np.uint8)

    with tapped(opened.model, watch):
        opened.model(ids.to(opened.model.device), use_cache=False, logits_to_keep=1)
    data = np.stack([rows[layer] for layer in sorted(rows)])
    return {
        "tokens": opening.decode_tokens(opened.tokenizer, ids[0].tolist()),
        "layers": len(data),
        "heads": data.shape[1],
        "data": base64.b64encode(data.tobytes()).decode("ascii"),
    }
