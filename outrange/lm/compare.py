"""Rotary schemes compared: one language model of each, trained alike, on several seeds (arXiv 2410.06205, table 2).

With one seed all schemes begin with the same weights and see the same windows in the same order, so they are compared in pairs: beside the mean and the spread
over seeds stand the mean and the spread of the difference to plain RoPE of the same seed. Added: perplexity at multiples of the training's length.

The published columns are of a 2-billion-parameter model on other text: the order may be compared, the numbers may not. They come without seeds or error bars.
"""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from outrange.core import checkpoint
from outrange.core.atomic import writable, write_text
from outrange.core.config import digest, read_object
from outrange.core.errors import BadInput, unknown
from outrange.core.run import Stopping
from outrange.lm.config import TrainConfig
from outrange.lm.evaluate import MULTIPLES, TOKENS, beyond
from outrange.lm.model import load
from outrange.lm.published import BASE, ROWS
from outrange.lm.tokenizer import Corpus, Progress, prepare
from outrange.lm.train import train

Told = Callable[[dict[str, Any]], None]


def compare(
    config: TrainConfig,
    seeds: int,
    out: Path,
    schemes: Sequence[str] = (),
    multiples: Sequence[int] = MULTIPLES,
    tell: Told | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train what is not trained yet, evaluate it, and put it side by side. Asked to stop, it ends after a step, saved; the same call goes on.

    Args:
        config: of every training but for its scheme and seed.
        seeds: 0 … seeds - 1.
        out: the folder of the runs, ``<scheme>-seed<seed>`` each.
        schemes: names of ``ROWS``; all if none is named.
        multiples: of the training's length, at which to evaluate; 1 is always among them.
        tell: called with each training's progress, and ``run`` (its name), ``number`` and ``runs`` with it.
        progress: called while the text is turned into tokens.

    Returns:
        ``rows``: by scheme what ``summary`` makes of its evaluations; ``stopped``: whether there is more to do; and what was compared.
    """
    for name in schemes:
        if name not in ROWS:
            raise unknown("schemes", name, ROWS, "a scheme of the comparison")
    if seeds < 1:
        raise BadInput(f"seeds: {seeds} is not allowed; it must be at least 1")
    if any(m < 1 for m in multiples):
        raise BadInput(f"multiples: {min(multiples)} is not allowed; each must be at least 1")
    names, wanted = list(schemes or ROWS), tuple(sorted({1, *multiples}))
    corpus = prepare(config, progress)
    if len(corpus.validation) < config.length * wanted[-1] + 1:  # said now, not after the first training
        raise BadInput(
            f"text: its held-out part has {len(corpus.validation):,} tokens, and a window of {wanted[-1]} x {config.length} needs "
            f"{config.length * wanted[-1] + 1:,}; give more text, or smaller multiples"
        )
    trainings = [(name, seed) for seed in range(seeds) for name in names]
    found: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in names}
    with Stopping() as stopping:
        for k, (name, seed) in enumerate(trainings):
            path = out / f"{name}-seed{seed}"
            one = replace(config, seed=seed, model=replace(config.model, rotary=ROWS[name].scheme))

            def told(values: dict[str, Any], k: int = k, path: Path = path) -> None:
                if tell:
                    tell(values | {"run": path.name, "number": k + 1, "runs": len(trainings)})

            if stopping.requested or train(one, path, told, corpus=corpus)["stopped"]:
                break
            found[name][seed] = evaluation(path, corpus, wanted)
    rows = {
        name: summary(found[name], found.get(BASE, {}))
        | {"label": ROWS[name].label, "wiki": ROWS[name].wiki, "flan": ROWS[name].flan}
        for name in names
    }
    return {
        "rows": rows,
        "base": BASE,
        "seeds": seeds,
        "trainings": sum(map(len, found.values())),
        "of": len(trainings),
        "stopped": sum(map(len, found.values())) < len(trainings),
        "length": config.length,
        "steps": config.steps,
        "tokens": {
            "training": len(corpus.training),
            "held_out": len(corpus.validation),
            "seen": config.steps * config.batch * config.length,
        },
    }


def evaluation(path: Path, corpus: Corpus, multiples: Sequence[int] = MULTIPLES, limit: int = TOKENS) -> dict[str, Any]:
    """A run's perplexities at multiples of its length, by multiple; kept in the run's directory and made once."""
    step = checkpoint.steps(path / "checkpoints")[-1]
    key = digest({"step": step, "multiples": list(multiples), "limit": limit, "text": corpus.digest})
    kept = path / "evaluation.json"
    if kept.is_file():
        held = read_object(kept, "evaluation")
        if held.get("key") == key:
            return held["found"]
    model, _, config, _ = load(path)
    found = {
        str(m): values
        for m, values in beyond(model, corpus.validation, config.length, multiples, limit, config.precision).items()
    }
    with writable("evaluation", kept):
        write_text(kept, json.dumps({"key": key, "found": found}, indent=1) + "\n")
    return found


def summary(mine: Mapping[int, Mapping[str, Any]], base: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """What the evaluations of one scheme come to: ``perplexity`` over seeds, ``difference`` to the base of the same seed, ``beyond`` by multiple.

    Args:
        mine: by seed and multiple.
        base: the same of plain RoPE.
    """
    multiples = list(next(iter(mine.values()), {}))
    paired = [mine[seed]["1"]["perplexity"] - base[seed]["1"]["perplexity"] for seed in mine if seed in base]
    return {
        "perplexity": spread([values["1"]["perplexity"] for values in mine.values()]),
        "difference": spread(paired),
        "beyond": {
            m: {"length": next(iter(mine.values()))[m]["length"]}
            | {k: spread([v[m][k] for v in mine.values()]) for k in ("perplexity", "last_quarter")}
            for m in multiples
        },
    }


def spread(values: list[float]) -> dict[str, Any]:
    """Mean, standard deviation (n - 1) and the values; None where there are too few."""
    return {
        "mean": statistics.fmean(values) if values else None,
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "values": values,
    }
