"""A Generalist Neural Algorithmic Learner (arXiv 2209.11142): its claims, run.

Scores are micro-F1 in percent. The published table stands in reasoning/nar/published.py as it was recalled and checked against its own means. What each
improvement brings by itself stands in figures and tables that were not at hand, so those claims show our own difference and quote nothing.

Torch is loaded when a claim runs, not when this file is read.
"""

import statistics
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outrange.papers.claims import Claim, Measurements, Paper
from outrange.reasoning.clrs.specs import CLRS30

if TYPE_CHECKING:
    from outrange.reasoning.nar.config import TrainConfig

TEN = (
    "bfs", "minimum", "bellman_ford", "dijkstra", "activity_selector",
    "insertion_sort", "segments_intersect", "topological_sort", "mst_prim", "floyd_warshall",
)  # fmt: skip
UPDATES = 10_000  # of one algorithm, as published
COUNTED = {"bfs": 523_963, "insertion_sort": 524_477}  # parameters, counted in dm-clrs 2.0.3
POINTS, PAIRS = 1.0, 5  # an improvement is shown by so many pairs of trainings that all gain so much
NEAR = 5.0  # points within which one model is as good as another
RUNS = "runs/paper"  # where long trainings are kept: stopped ones go on, finished ones are scored


def parameters(seed: int) -> dict[str, float]:
    """How many parameters a reasoner of one algorithm has."""
    from outrange.reasoning.nar.config import preset
    from outrange.reasoning.nar.load import reasoner_of

    return {
        name: float(sum(p.numel() for p in reasoner_of(preset("paper", (name,), seed=seed)).parameters()))
        for name in COUNTED
    }


def fit_and_score(config: "TrainConfig", folder: str, size: int | None, count: int | None) -> dict[str, float]:
    """Train, and score the best weights on test samples: the published split's where neither size nor count is given. Percent by algorithm.

    Args:
        config: the training.
        folder: keeps the run as NAME-SEED; empty: a temporary one.
        size, count: as in ``nar.data.evaluation``.
    """
    from outrange.reasoning.nar.data import evaluation
    from outrange.reasoning.nar.evaluate import evaluate
    from outrange.reasoning.nar.load import load, task_changes
    from outrange.reasoning.nar.train import train

    place = nullcontext(folder) if folder else tempfile.TemporaryDirectory()
    with place as parent:
        path = Path(parent) / f"{'+'.join(config.algorithms)}-{config.seed}"
        if train(config, path)["stopped"]:
            raise KeyboardInterrupt
        reasoner, about = load(path)
    changes = task_changes(about)
    return {
        name: 100 * evaluate(reasoner, evaluation(name, "test", size=size, count=count, **changes))["score"]
        for name in config.algorithms
    }


def single_task(seed: int, updates: Mapping[str, int], runs: str = "", **changes: Any) -> dict[str, float]:
    """One model an algorithm, scored on the published test split (n = 64).

    Args:
        seed: of the training; the test split is one and the same.
        updates: by algorithm.
        runs: a folder that keeps the runs; empty: none are kept.
        changes: of the paper's settings.
    """
    from outrange.reasoning.nar.config import preset

    scores: dict[str, float] = {}
    for name, steps in updates.items():
        scores |= fit_and_score(preset("paper", (name,), seed=seed, steps=steps, **changes), runs, None, None)
    return scores | {"updates": float(min(updates.values()))}


def ablation(
    seed: int,
    *,
    algorithms: tuple[str, ...],
    without: dict[str, Any],
    updates: int,
    size: int | None,
    count: int | None,
    **changes: Any,
) -> dict[str, float]:
    """Two trainings that differ in one improvement: same seed, same weights where shapes agree, same draws, same test samples.

    Args:
        seed: of both.
        algorithms: what the model learns; several together are one model, and their scores are averaged.
        without: settings that take the improvement away; those of the model by ``model.NAME``.
        updates: of each algorithm.
        size, count: of the test samples; None: the published split's.
        changes: of the paper's settings, in both.
    """
    from outrange.reasoning.nar.config import preset

    scores = []
    for given in (changes, changes | without):
        config = preset("paper", algorithms, seed=seed, steps=updates * len(algorithms))
        scores.append(statistics.fmean(fit_and_score(_changed(config, given), "", size, count).values()))
    return {"with": scores[0], "without": scores[1], "difference": scores[0] - scores[1], "updates": float(updates)}


def _changed(config: "TrainConfig", changes: Mapping[str, Any]) -> "TrainConfig":
    from dataclasses import replace

    inner = {name.removeprefix("model."): value for name, value in changes.items() if name.startswith("model.")}
    outer = {name: value for name, value in changes.items() if not name.startswith("model.")}
    return replace(config, model=replace(config.model, **inner), **outer)


def one_for_all(seed: int, count: int | None, source: str = "generalist") -> dict[str, float]:
    """The shipped generalist on every algorithm it knows; seed 0 draws the published test split, others draw anew. Nothing if no such weights are there."""
    from outrange.reasoning.nar.data import EVALUATION_SEEDS, evaluation
    from outrange.reasoning.nar.evaluate import evaluate
    from outrange.reasoning.nar.load import algorithms_of, load, shipped, task_changes
    from outrange.reasoning.nar.published import PUBLISHED

    if source not in shipped():
        return {}
    reasoner, about = load(source)
    changes, drawn = task_changes(about), EVALUATION_SEEDS["test"] + seed
    names = [name for name in algorithms_of(reasoner, ()) if name in PUBLISHED]
    scores = {
        name: 100 * evaluate(reasoner, evaluation(name, "test", count=count, seed=drawn, **changes))["score"]
        for name in names
    }
    near = sum(value >= PUBLISHED[name].triplet_gmpnn - NEAR for name, value in scores.items())
    config = about["config"]
    return scores | {
        "near a specialist": float(near),
        "mean": statistics.fmean(scores.values()),
        "updates": config["steps"] / len(config["algorithms"]),
    }


def _means(values: Measurements) -> dict[str, float]:
    return {name: statistics.fmean(found) for name, found in values.items()}


def judge_parameters(values: Measurements) -> tuple[str, str]:
    wrong = [f"{name} has {found[0]:,.0f}" for name, found in values.items() if set(found) != {COUNTED[name]}]
    return ("contradicted", "; ".join(wrong)) if wrong else ("shown", "equal to a parameter")


def judge_table(values: Measurements) -> tuple[str, str]:
    """Shown: eight rows at or above the published mean minus two of its standard deviations. Half of those run: partly."""
    from outrange.reasoning.nar.published import PUBLISHED

    means = _means(values)
    updates = means.pop("updates")
    short = {name: PUBLISHED[name].triplet_gmpnn - 2 * PUBLISHED[name].std - value for name, value in means.items()}
    missed = [f"{name} by {gap:.2f}" for name, gap in short.items() if gap > 0]
    reached = len(means) - len(missed)
    why = f"{reached} of {len(means)} rows, after at least {updates:,.0f} updates, are at the published mean minus two standard deviations or above"
    why += f"; below it: {', '.join(missed)} points" if missed else ""
    if reached >= min(8, len(means)):
        return "shown", why
    if 2 * reached >= len(means):
        return "partly", why
    return ("contradicted" if updates >= UPDATES else "not at this scale"), why


def judge_headline(values: Measurements) -> tuple[str, str]:
    """Shown: the mean of the categories' means is 20 points above the best earlier one, and within NEAR points of the published one or above."""
    from outrange.reasoning.nar.evaluate import Board
    from outrange.reasoning.nar.published import OVERALL, PUBLISHED

    means = _means(values)
    updates = means.pop("updates")
    overall = statistics.fmean(Board(means).categories.values())
    earlier = max(
        statistics.fmean(Board({n: getattr(p, model) for n, p in PUBLISHED.items()}).categories.values())
        for model in ("memnet", "mpnn", "pgn")
    )
    above = [sum(value > bound for value in means.values()) for bound in (60, 80, 90)]
    why = f"mean of categories {overall:.2f}, the best earlier model's {earlier:.2f}; above 60 / 80 / 90: {above[0]} / {above[1]} / {above[2]}"
    if len(means) == len(PUBLISHED) and overall >= earlier + 20 and overall >= OVERALL - NEAR:
        return "shown", why
    if overall > earlier:
        return "partly", why
    return ("contradicted" if updates >= UPDATES else "not at this scale"), why


def judge_difference(values: Measurements) -> tuple[str, str]:
    """A sign test: one pair in two is better by chance, all of five once in 32 times. Three that are all better: partly. Fewer say nothing.

    Only five full-length pairs that are all worse contradict.
    """
    found, updates = values["difference"], min(values["updates"])
    mean, pairs = statistics.fmean(found), len(found)
    why = f"{mean:+.1f} points, from {min(found):+.1f} to {max(found):+.1f} in {pairs} pair{'s' if pairs > 1 else ''} of trainings of {updates:,.0f} updates"
    if min(found) >= POINTS and pairs >= 3:
        chance = f"all better, which chance does once in {2**pairs:,}"
        return ("shown" if pairs >= PAIRS else "partly"), f"{why}; {chance}"
    if max(found) <= -POINTS and pairs >= PAIRS and updates >= UPDATES:
        return "contradicted", f"{why}; all worse"
    return "not at this scale", f"{why}; " + (
        "not told from chance" if pairs >= 3 else "fewer than three pairs tell nothing"
    )


def judge_one_for_all(values: Measurements) -> tuple[str, str]:
    """Shown: most of the thirty within NEAR points of the specialist or above."""
    from outrange.reasoning.nar.published import PUBLISHED

    if not values:
        return (
            "not at this scale",
            "missing: no weights named 'generalist' come with this version; `outrange nar train all --preset paper` trains such a model",
        )
    means = _means(values)
    names = [name for name in means if name in PUBLISHED]
    near = sum(means[name] >= PUBLISHED[name].triplet_gmpnn - NEAR for name in names)
    specialists = statistics.fmean(PUBLISHED[name].triplet_gmpnn for name in names)
    why = f"{near} of {len(names)} within {NEAR:.0f} points of the published specialist or above; mean {means['mean']:.2f}, specialists' {specialists:.2f}"
    why += f"; {means['updates']:,.0f} updates an algorithm"
    if near > 15:
        return "shown", why
    if 2 * near > len(names):
        return "partly", why
    return ("contradicted" if means["updates"] >= UPDATES and len(names) == 30 else "not at this scale"), why


NO_NUMBER = "no number to compare with: what this improvement brings by itself stands in figures and tables that were not at hand"
VALIDATION = dict(
    evaluate_every=100, evaluate_count=128
)  # the published code's, every 50 updates on up to 4,096 samples, is more work than the training
SMALL: dict[str, Any] = {
    "updates": 300, "batch": 16, "lengths": (4, 7, 11), "model.hidden": 64, "evaluate_every": 0, "checkpoint_every": 10**6, "size": 24, "count": 64,
}  # fmt: skip


def _improvement(
    name: str,
    statement: str,
    algorithms: tuple[str, ...],
    without: dict[str, Any],
    laptop: dict[str, Any] | None = None,
    **both: Any,
) -> Claim:
    """A claim that an improvement helps: with it and without it, everything else being the full model's."""
    full = dict(size=None, count=None) | VALIDATION | both
    scales = {
        "laptop": SMALL | both | (laptop or {}),
        "gpu": full | dict(updates=2_000),
        "paper": full | dict(updates=UPDATES),
    }
    run = partial(ablation, algorithms=algorithms, without=without)
    return Claim(
        name, "list of improvements", f"{statement} ({', '.join(algorithms)})", NO_NUMBER, run, judge_difference, scales
    )


IMPROVEMENTS = (
    _improvement(
        "no-teacher-forcing",
        "feeding back predicted hints beats feeding true ones in training",
        ("dijkstra",),
        {"teacher_forcing": 1.0},
    ),
    _improvement(
        "random-positions",
        "random positions in training beat even ones at n = 64",
        ("minimum",),
        {"random_positions": False},
        laptop=dict(size=64, count=32),
        evaluate_every=0,  # the last weights, so that the two validations, which differ, choose nothing
    ),
    _improvement(
        "soft-hints",
        "hints fed back as probabilities with gradient beat decided ones",
        ("dijkstra",),
        {"model.feedback": "hard"},
    ),
    _improvement(
        "static-hints",
        "a hint that never changes is better as an input than predicted",
        ("minimum",),
        {"pred_as_input": False},
    ),
    _improvement(
        "xavier-and-clipping",
        "smaller initial weights on scalar hints and a cut gradient help",
        ("dijkstra",),
        {"model.xavier_on_scalars": False, "clip": 0.0},
    ),
    _improvement(
        "permutations",
        "a sorted order is better decoded as a permutation than as pointers",
        ("insertion_sort",),
        {"permutations": False},
    ),
    _improvement("gate", "a gate on the update helps", ("insertion_sort",), {"model.processor": "triplet_mpnn"}),
    _improvement(
        "triplets",
        "messages over triplets of nodes help where answers stand at edges",
        ("floyd_warshall",),
        {"model.processor": "gmpnn"},
        laptop=dict(updates=200, lengths=(4, 7), size=12),
    ),
    _improvement(
        "chunking",
        "one model of several learns better from stretches of 16 steps than from whole traces",
        ("bfs", "dfs"),
        {"chunk": 0},
        chunk=16,
    ),
)


PAPER = Paper(
    "generalist",
    "A Generalist Neural Algorithmic Learner",
    "2209.11142",
    (
        Claim(
            "parameters",
            "model (the published code's, counted)",
            "a Triplet-GMPNN of one algorithm is small",
            "523,963 for bfs and 524,477 for insertion_sort: counted in the published code, not read in the paper",
            parameters,
            judge_parameters,
            {"laptop": {}, "gpu": {}, "paper": {}},
        ),
        Claim(
            "single-task",
            "table of single-task scores at n = 64",
            "trained on n <= 16, a Triplet-GMPNN of one algorithm answers at n = 64",
            "bfs 99.73 ± 0.04, segments_intersect 97.64 ± 0.09, …: the table as recalled, docs/papers/generalist.md",
            single_task,
            judge_table,
            {
                "laptop": dict(
                    updates={"bfs": 600, "segments_intersect": 1_000}, evaluate_every=100, evaluate_count=64
                ),
                "gpu": dict(updates=dict.fromkeys(TEN[:4], UPDATES), runs=RUNS) | VALIDATION,
                "paper": dict(updates=dict.fromkeys(TEN, UPDATES), runs=RUNS) | VALIDATION,
            },
        ),
        Claim(
            "headline",
            "abstract; table of single-task scores",
            "over all categories, single-task performance is over 20 points above the best earlier model's",
            "over 20 % (abstract; read as points); mean of categories 74.14, the best earlier 50.84; above 60 / 80 / 90: 24 / 17 / 11 of thirty (as recalled)",
            single_task,
            judge_headline,
            {"paper": dict(updates=dict.fromkeys(CLRS30, UPDATES), runs=RUNS) | VALIDATION},
            missing="thirty trainings of 10,000 updates, and the whole test split of each: `--scale paper`",
        ),
        *IMPROVEMENTS,
        Claim(
            "one-for-all",
            "multi-task results (charts; what they show is known here from notes of a talk)",
            "one model of all thirty matches the thirty specialists on most tasks",
            "no number by algorithm: they stand in charts that were not at hand; the specialists' are the single-task table",
            one_for_all,
            judge_one_for_all,
            {"laptop": dict(count=4), "gpu": dict(count=None), "paper": dict(count=None)},
        ),
    ),
)
