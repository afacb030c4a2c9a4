"""Remedies that must be trained for: models side by side that differ in one thing, and how far apart each holds n and
n + 1 repetitions (arXiv 2406.04267, section 6).

    VARIANTS        rotary schemes and sliding windows of one small shape
    train_variants  trains them alike, seed by seed
    compare_models  a row for each model: relative distances along n, the share of the first one that is left at the
                    last, and signal over blur in bfloat16; means over three neighbouring n
    window_reach    how many tokens the last position reads through sliding windows

With a window of w tokens in every one of L layers the last position reads the last L (w - 1) + 1 tokens and no more.
Two runs of one token that are both longer than that are the same input to it, whatever the rotary scheme, since
rotations know differences of positions only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from outrange.attention.glasses.collapse import Curve, collapse_curves, times_as_large
from outrange.attention.glasses.families import COMMA_GROUP, FAMILIES
from outrange.core.errors import BadInput, unknown
from outrange.lm.config import Rotary, TrainConfig
from outrange.lm.opening import OpenedModel, open_config, open_model
from outrange.lm.tokenizer import prepare_corpus
from outrange.lm.training import train

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "RoPE": {},
    "0.75-p-RoPE": {"rotary": Rotary(kind="p-rope", p=0.75)},
    "0.25-p-RoPE": {"rotary": Rotary(kind="p-rope", p=0.25)},
    "NoPE": {"rotary": Rotary(kind="nope")},
    "RoPE, window 16": {"sliding_window": 16},
}
"""name -> changes of a model's configuration"""
LENGTHS = (8, 16, 32, 64, 100)
"""of repetitions behind a short prompt: inside the 128 tokens that the laptop preset trains on"""
_FLOAT32_FLOOR = 2.0**-20  # a relative distance below it is float32's own rounding


@dataclass(frozen=True, kw_only=True)
class ModelCollapse:
    """A model's collapse, along lengths.

    Attributes:
        model: its name.
        lengths: of repetitions.
        relative_distance: (lengths,) in float32.
        signal_over_blur: (lengths,) in bfloat16.
    """

    model: str
    lengths: tuple[int, ...]
    relative_distance: np.ndarray
    signal_over_blur: np.ndarray

    @property
    def remaining_share(self) -> float:
        """Share of the first distance that is left at the last length."""
        first, last = self.relative_distance[0], self.relative_distance[-1]
        return float(last / first) if first else 0.0

    def times_as_far(self, base: "ModelCollapse") -> float:
        """How many times as far apart this model holds the pairs as ``base`` does, median over lengths.

        0 where it no longer holds them apart, 1 where neither does.
        """
        return float(np.median(times_as_large(self.relative_distance, base.relative_distance)))


def compare_models(
    models: Sequence[str | OpenedModel],
    lengths: Sequence[int] = LENGTHS,
    family: str = "copy ones",
    seed: int = 0,
    report_status: Callable[[str], None] = lambda status: None,
) -> list[ModelCollapse]:
    """A row for each model. One model is in memory at a time, but every name is looked up before any model is measured.

    Args:
        models: opened in float32 with their tokenizers; or names, as ``open_model`` takes them.
        lengths: of repetitions, ascending.
        family: of ``FAMILIES``.
        seed: of random digits.
        report_status: called with a sentence on what is being done, where it takes long.

    Raises:
        BadInput: there is no such family or model, or a sequence is longer than a model's context.
    """
    if not models:
        raise BadInput("models: none is given; name one or more, such as smollm2-135m runs/lm-one")
    if family not in FAMILIES:
        raise unknown("family", family, FAMILIES, "a family of pairs")
    for model in models:
        if isinstance(model, str):
            open_config(model, report_status)  # the cheapest way to find out that there is none
    # a model that was opened here is let go before the next is opened
    rows = []
    for model in models:
        opened = open_model(model, "float32", report_status) if isinstance(model, str) else model
        exact, rounded = collapse_curves(
            opened.model,
            opened.tokenizer,
            [FAMILIES[family]],
            lengths,
            ("float32", "bfloat16"),
            seed,
            neighbours=COMMA_GROUP,
        )
        rows.append(model_collapse(opened.name, exact, rounded))
    return rows


def model_collapse(model: str, exact: Curve, rounded: Curve) -> ModelCollapse:
    """The row of a model from its curves in float32 and in bfloat16. A distance that is float32's own rounding counts
    as 0.
    """
    # behind a window two runs are one input, and what is left is rounding of angles at other positions
    distance = exact.relative_distance
    return ModelCollapse(
        model=model,
        lengths=exact.lengths,
        relative_distance=np.where(distance < _FLOAT32_FLOOR, 0.0, distance),
        signal_over_blur=rounded.signal_over_blur,
    )


def window_reach(num_layers: int, window: int) -> int:
    """How many of the last tokens the last position reads through windows of ``window`` tokens, itself among them."""
    return num_layers * (window - 1) + 1


def train_variants(
    config: TrainConfig,
    out: Path,
    names: Sequence[str] = (),
    seed: int = 0,
    report_metrics: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Path]:
    """Trains the variants of a configuration that are not trained yet, all on the same text with the same seed.

    Args:
        config: of the model without changes.
        out: the folder of the runs.
        names: of ``VARIANTS``; by default all.
        seed: of weights and batches.
        report_metrics: called with each line of metrics.

    Returns:
        the run's directory of each, ``out/<name>-seed<seed>``. Only of those that are trained to their end, if a
        training was stopped (Ctrl-C); the same call goes on with that one.

    Raises:
        BadInput: a name is not one of ``VARIANTS``, or the text is of no use.
    """
    for name in names:
        if name not in VARIANTS:
            raise unknown("variants", name, VARIANTS, "a variant")
    # one text for all, tokenized once
    corpus = prepare_corpus(config)
    runs = {}
    for name in names or VARIANTS:
        run_path = out / f"{name.replace(', ', '-').replace(' ', '-')}-seed{seed}"
        variant = replace(config, seed=seed, model=replace(config.model, **VARIANTS[name]))
        # a run that is complete is not trained again; one that was stopped ends the list
        if train(variant, run_path, report_metrics, corpus=corpus)["stopped"]:
            break
        runs[name] = run_path
    return runs
