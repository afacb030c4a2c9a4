"""Remedies that must be trained for: models side by side that differ in one thing, and what each keeps apart (arXiv 2406.04267, section 6).

    VARIANTS  rotary schemes and sliding windows of one small shape                 trained() trains them alike, seed by seed
    kept      relative distance of n and n + 1 repetitions at the longest n over that at the shortest
    compare   a row for each model: relative distances along n, kept, and signal over blur in bfloat16; means over three neighbouring n

With a window of w tokens in every one of L layers the last position reads the last L (w - 1) + 1 tokens and no more: two runs of one token that are both longer
than that are the same input to it, whatever the rotary scheme, since rotations know differences of positions only. ``reach`` is that number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from outrange.attention.glasses.collapse import FAMILIES, GROUP, Curve, collapse, times
from outrange.core.errors import unknown
from outrange.lm.config import Rotary, TrainConfig
from outrange.lm.opening import OpenedModel
from outrange.lm.tokenizer import prepare
from outrange.lm.train import train

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "RoPE": {},
    "0.75-p-RoPE": {"rotary": Rotary(kind="p-rope", p=0.75)},
    "0.25-p-RoPE": {"rotary": Rotary(kind="p-rope", p=0.25)},
    "NoPE": {"rotary": Rotary(kind="nope")},
    "RoPE, window 16": {"window": 16},
}
LENGTHS = (8, 16, 32, 64, 100)
"""of repetitions behind a short prompt: inside the 128 tokens that the laptop preset trains on"""
Told = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model's collapse. Arrays are along ``lengths``; ``clear`` is signal over blur in bfloat16."""

    name: str
    lengths: tuple[int, ...]
    relative: np.ndarray
    clear: np.ndarray

    @property
    def kept(self) -> float:
        """Share of the first distance that is left at the last length."""
        return float(self.relative[-1] / self.relative[0]) if self.relative[0] else 0.0

    def louder(self, base: "Row") -> float:
        """Median over lengths of how many times as far apart this model holds the pairs as ``base`` does; 0 where it holds them no longer,
        1 where neither does."""
        return float(np.median(times(self.relative, base.relative)))


def compare(
    models: Sequence[OpenedModel], lengths: Sequence[int] = LENGTHS, family: str = "copy ones", seed: int = 0
) -> list[Row]:
    """A row for each model.

    Args:
        models: opened in float32, with their tokenizers.
        lengths: of repetitions.
        family: of ``collapse.FAMILIES``.
        seed: of random digits.

    Raises:
        BadInput: there is no such family, or a sequence is longer than a model's context.
    """
    if family not in FAMILIES:
        raise unknown("family", family, FAMILIES, "a family of pairs")
    found = []
    for one in models:
        exact, rounded = collapse(
            one.model, one.tokenizer, [FAMILIES[family]], lengths, ("float32", "bfloat16"), seed, around=GROUP
        )
        found.append(row(one.name, exact, rounded))
    return found


def row(name: str, exact: Curve, rounded: Curve) -> Row:
    """The row of a model's curves in float32 and in bfloat16. A distance under 2^-20 is float32's own rounding: none."""
    return Row(
        name=name,
        lengths=exact.lengths,
        relative=np.where(exact.relative < 2.0**-20, 0.0, exact.relative),
        clear=rounded.signal_over_blur,
    )


def reach(layers: int, window: int) -> int:
    """How many of the last tokens the last position reads through windows of ``window`` tokens, itself among them."""
    return layers * (window - 1) + 1


def trained(
    config: TrainConfig, out: Path, names: Sequence[str] = (), seed: int = 0, tell: Told | None = None
) -> dict[str, Path]:
    """Train the variants of a configuration that are not trained yet; the run's directory of each, ``out/<name>-seed<seed>``.

    Raises:
        BadInput: a name is not one of ``VARIANTS``, or the text is of no use.
    """
    for name in names:
        if name not in VARIANTS:
            raise unknown("variants", name, VARIANTS, "a variant")
    corpus = prepare(config)
    found = {}
    for name in names or VARIANTS:
        path = out / f"{name.replace(', ', '-').replace(' ', '-')}-seed{seed}"
        train(replace(config, seed=seed, model=replace(config.model, **VARIANTS[name])), path, tell, corpus=corpus)
        found[name] = path
    return found
