"""Rotary schemes compared: one language model of each, trained alike, on several seeds (arXiv 2410.06205, table 2).

With one seed all schemes begin with the same weights and see the same windows in the same order, so they are compared
in pairs: beside the mean and the spread over seeds stand the mean and the spread of the difference to plain RoPE of
the same seed. Added: perplexity at multiples of the training's length.

The published columns are of a 2-billion-parameter model on other text: the order may be compared, the numbers may not.
They come without seeds or error bars.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from outrange.core import checkpoint
from outrange.core.atomic import writable, write_text
from outrange.core.checks import whole
from outrange.core.config import digest, read_object
from outrange.core.errors import BadInput, unknown
from outrange.core.run import Stopping
from outrange.lm.config import TrainConfig
from outrange.lm.evaluation import MULTIPLES, TOKENS, perplexity_by_length
from outrange.lm.model import load_model
from outrange.lm.published import BASE, ROWS
from outrange.lm.tokenizer import Corpus, ReportStage, prepare_corpus
from outrange.lm.training import ReportMetrics, train


def compare_schemes(
    config: TrainConfig,
    seeds: int,
    out: Path,
    schemes: Sequence[str] = (),
    multiples: Sequence[int] = MULTIPLES,
    report_metrics: ReportMetrics | None = None,
    report_stage: ReportStage | None = None,
) -> dict[str, Any]:
    """Train what is not trained yet, evaluate it, and put it side by side.

    Asked to stop, it ends after a step, saved; the same call goes on.

    Args:
        config: of every training but for its scheme and seed.
        seeds: how many: 0 … seeds - 1.
        out: the folder of the runs, ``<scheme>-seed<seed>`` each.
        schemes: names of ``ROWS``; all if none is named.
        multiples: of the training's length, at which to evaluate; 1 is always among them.
        report_metrics: called with each training's progress, and ``run`` (its name), ``number`` and ``runs`` with it.
        report_stage: called while the text is turned into tokens.

    Returns:
        ``rows``: by scheme what ``summarise`` makes of its evaluations; ``stopped``: whether there is more to do; and
        what was compared.

    Raises:
        BadInput: a scheme is unknown, a number is not allowed, or there is too little held-out text.
    """
    for name in schemes:
        if name not in ROWS:
            raise unknown("schemes", name, ROWS, "a scheme of the comparison")
    whole("seeds", seeds, 1)
    if any(multiple < 1 for multiple in multiples):
        raise BadInput(f"multiples: {min(multiples)} is not allowed; each must be at least 1")
    names, all_multiples = list(schemes or ROWS), tuple(sorted({1, *multiples}))
    corpus = prepare_corpus(config, report_stage)

    # Too little text is refused now, not after the first training.
    longest = config.context_length * all_multiples[-1]
    if len(corpus.validation) < longest + 1:
        raise BadInput(
            f"text: its held-out part has {len(corpus.validation):,} tokens, and a window of "
            f"{all_multiples[-1]} x {config.context_length} needs {longest + 1:,}; give more text, or smaller multiples"
        )

    trainings = [(name, seed) for seed in range(seeds) for name in names]
    evaluations: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in names}
    with Stopping() as stopping:
        for index, (name, seed) in enumerate(trainings):
            path = out / f"{name}-seed{seed}"
            run_config = replace(config, seed=seed, model=replace(config.model, rotary=ROWS[name].scheme))
            place = {"run": path.name, "number": index + 1, "runs": len(trainings)}
            report = _with_place(report_metrics, place)
            # A run that is complete is not trained again: it returns at once.
            if stopping.requested or train(run_config, path, report, corpus=corpus)["stopped"]:
                break
            evaluations[name][seed] = evaluate_run(path, corpus, all_multiples)

    base = evaluations.get(BASE, {})
    rows = {}
    for name in names:
        published = {"label": ROWS[name].label, "wiki": ROWS[name].wiki, "flan": ROWS[name].flan}
        rows[name] = summarise(evaluations[name], base) | published
    finished = sum(map(len, evaluations.values()))
    return {
        "rows": rows,
        "base": BASE,
        "seeds": seeds,
        "trainings": finished,
        "of": len(trainings),
        "stopped": finished < len(trainings),
        "length": config.context_length,
        "steps": config.steps,
        "tokens": {
            "training": len(corpus.training),
            "held_out": len(corpus.validation),
            "seen": config.steps * config.batch_size * config.context_length,
        },
    }


def _with_place(report_metrics: ReportMetrics | None, place: Mapping[str, Any]) -> ReportMetrics | None:
    """A reporter that adds which of several trainings it is."""
    if report_metrics is None:
        return None
    return lambda values: report_metrics(values | dict(place))


def evaluate_run(
    path: Path, corpus: Corpus, multiples: Sequence[int] = MULTIPLES, limit: int = TOKENS
) -> dict[str, Any]:
    """A run's perplexities at multiples of its length, by multiple; kept in the run's directory and computed once."""
    step = checkpoint.steps(path / "checkpoints")[-1]
    key = digest({"step": step, "multiples": list(multiples), "limit": limit, "text": corpus.digest})
    cache_path = path / "evaluation.json"
    if cache_path.is_file():
        cached = read_object(cache_path, "evaluation")
        if cached.get("key") == key:
            return cached["found"]
    model, _, config, _ = load_model(path)
    by_multiple = perplexity_by_length(
        model, corpus.validation, config.context_length, multiples, limit, config.precision
    )
    evaluation: dict[str, Any] = {str(multiple): values for multiple, values in by_multiple.items()}
    with writable("evaluation", cache_path):
        write_text(cache_path, json.dumps({"key": key, "found": evaluation}, indent=1) + "\n")
    return evaluation


def summarise(
    evaluations: Mapping[int, Mapping[str, Any]], base_evaluations: Mapping[int, Mapping[str, Any]]
) -> dict[str, Any]:
    """What the evaluations of one scheme come to.

    Args:
        evaluations: by seed and multiple.
        base_evaluations: the same of plain RoPE.

    Returns:
        ``perplexity`` over seeds, ``difference`` to the base of the same seed, ``beyond`` the training's length by
        multiple.
    """
    perplexities = [evaluation["1"]["perplexity"] for evaluation in evaluations.values()]
    differences = [
        evaluations[seed]["1"]["perplexity"] - base_evaluations[seed]["1"]["perplexity"]
        for seed in evaluations
        if seed in base_evaluations
    ]
    beyond = {}
    first_evaluation = next(iter(evaluations.values()), {})
    for multiple in first_evaluation:
        at_multiple = [evaluation[multiple] for evaluation in evaluations.values()]
        beyond[multiple] = {"length": first_evaluation[multiple]["length"]}
        for name in ("perplexity", "last_quarter"):
            beyond[multiple][name] = spread([values[name] for values in at_multiple])
    return {"perplexity": spread(perplexities), "difference": spread(differences), "beyond": beyond}


def spread(values: list[float]) -> dict[str, Any]:
    """Mean, standard deviation (n - 1) and the values; None where there are too few."""
    return {
        "mean": statistics.fmean(values) if values else None,
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "values": values,
    }
