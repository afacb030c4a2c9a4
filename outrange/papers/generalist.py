"""A Generalist Neural Algorithmic Learner (arXiv 2209.11142): its claims, run.

A graph network (Triplet-GMPNN) is trained to imitate the thirty algorithms of CLRS-30 step by step on small inputs,
and scored on inputs of n = 64. Scores are micro-F1 in percent. The published table is in reasoning/nar/published.py,
as it was recalled and checked against its own means. What each improvement brings by itself is in figures and tables
that were not at hand, so those claims show our own difference and quote nothing.

Torch is loaded when a claim runs, not when this file is read.
"""

import statistics
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outrange.papers.claims import SCALES, Claim, Key, Measured, Measurements, NotRun, Paper, Verdict, means, series
from outrange.reasoning.nar.published import OVERALL, PUBLISHED

if TYPE_CHECKING:
    from outrange.reasoning.nar.config import TrainConfig

TEN = (
    "bfs", "minimum", "bellman_ford", "dijkstra", "activity_selector",
    "insertion_sort", "segments_intersect", "topological_sort", "mst_prim", "floyd_warshall",
)  # fmt: skip
UPDATES = 10_000  # of one algorithm, as published
PUBLISHED_PARAMETERS = {"bfs": 523_963, "insertion_sort": 524_477}  # counted in dm-clrs 2.0.3
LEAST_GAIN, LEAST_PAIRS = 1.0, 5  # an improvement is shown by so many pairs of trainings that all gain so many points
NEAR = 5.0  # points within which one model is as good as another
RUNS = "runs/paper"  # where long trainings are kept: stopped ones go on, finished ones are scored


def parameters() -> Measured:
    """How many parameters a reasoner of one algorithm has."""
    from outrange.reasoning.nar.config import preset
    from outrange.reasoning.nar.reasoner import fresh

    measured: dict[Key, float] = {}
    for name in PUBLISHED_PARAMETERS:
        reasoner = fresh(preset("paper", (name,)))
        measured["parameters", name] = float(sum(p.numel() for p in reasoner.parameters()))
    return measured


def fit_and_score(config: "TrainConfig", folder: str, size: int | None, count: int | None) -> dict[str, float] | NotRun:
    """Train, and score the best weights on test samples: the published split's where neither size nor count is set.
    Percent by algorithm.

    Args:
        config: the training.
        folder: keeps the run as NAME-SEED; empty: a temporary one.
        size, count: as in ``nar.evaluation_set``.
    """
    from outrange.reasoning.nar.evaluation import evaluate
    from outrange.reasoning.nar.evaluation_sets import evaluation_set
    from outrange.reasoning.nar.reasoner import load, spec_options
    from outrange.reasoning.nar.training import train

    with nullcontext(folder) if folder else tempfile.TemporaryDirectory() as parent:
        path = Path(parent) / f"{'+'.join(config.algorithms)}-{config.seed}"
        result = train(config, path)
        if result["stopped"]:
            advice = "the same command goes on" if folder else "the same command begins it anew"
            return NotRun(f"a training of {path.name} was stopped before its end; {advice}", stopped=True)
        reasoner, about = load(path)
    options = spec_options(about)
    scores = {}
    for name in config.algorithms:
        samples = evaluation_set(name, "test", size=size, count=count, **options)
        scores[name] = 100 * evaluate(reasoner, samples)["score"]
    return scores


def single_task(seed: int, updates: Mapping[str, int], runs: str = "", **changes: Any) -> Measured | NotRun:
    """One model per algorithm, scored on the published test split (n = 64).

    Args:
        seed: of the training; the test split is one and the same.
        updates: by algorithm.
        runs: a folder that keeps the runs; empty: none are kept.
        changes: of the paper's settings.
    """
    from outrange.reasoning.nar.config import preset

    measured: dict[Key, float] = {}
    for name, steps in updates.items():
        scores = fit_and_score(preset("paper", (name,), seed=seed, steps=steps, **changes), runs, None, None)
        if isinstance(scores, NotRun):
            return scores
        measured["score", name] = scores[name]
    measured["updates"] = float(min(updates.values()))
    return measured


def ablation(
    seed: int,
    *,
    algorithms: tuple[str, ...],
    without: dict[str, Any],
    updates: int,
    size: int | None,
    count: int | None,
    **changes: Any,
) -> Measured | NotRun:
    """Two trainings that differ in one improvement: same seed, same weights where shapes agree, same draws, same test
    samples.

    Args:
        seed: of both.
        algorithms: what the model learns; several together are one model, and their scores are averaged.
        without: settings that take the improvement away; those of the model by ``model.NAME``.
        updates: of each algorithm.
        size, count: of the test samples; None: the published split's.
        changes: of the paper's settings, in both.
    """
    from outrange.core.config import changed
    from outrange.reasoning.nar.config import preset

    mean_scores = []
    # The full model first, then the one that lacks the improvement.
    for settings in (changes, changes | without):
        config = changed(preset("paper", algorithms, seed=seed, steps=updates * len(algorithms)), settings)
        scores = fit_and_score(config, "", size, count)
        if isinstance(scores, NotRun):
            return scores
        mean_scores.append(statistics.fmean(scores.values()))
    improved, reduced = mean_scores
    return {"with": improved, "without": reduced, "difference": improved - reduced, "updates": float(updates)}


def one_for_all(seed: int, count: int | None, source: str = "generalist") -> Measured | NotRun:
    """The shipped generalist on every algorithm it knows; seed 0 draws the published test split, others draw anew."""
    from outrange.reasoning.nar.evaluation import evaluate
    from outrange.reasoning.nar.evaluation_sets import EVALUATION_SEEDS, evaluation_set
    from outrange.reasoning.nar.reasoner import known_algorithms, load, spec_options
    from outrange.reasoning.nar.weights import shipped

    if source not in shipped():
        return NotRun(
            f"no weights named {source!r} come with this version; `outrange nar train all --preset paper`"
            f" trains such a model"
        )
    reasoner, about = load(source)
    options, test_seed = spec_options(about), EVALUATION_SEEDS["test"] + seed
    scores: dict[str, float] = {}
    for name in known_algorithms(reasoner, ()):
        if name in PUBLISHED:
            samples = evaluation_set(name, "test", count=count, seed=test_seed, **options)
            scores[name] = 100 * evaluate(reasoner, samples)["score"]
    # A specialist is the paper's network for that one algorithm.
    near = sum(value >= PUBLISHED[name].triplet_gmpnn - NEAR for name, value in scores.items())
    config = about["config"]
    measured: dict[Key, float] = {("score", name): value for name, value in scores.items()}
    measured["near_a_specialist"] = float(near)
    measured["mean"] = statistics.fmean(scores.values())
    measured["updates"] = config["steps"] / len(config["algorithms"])
    return measured


def judge_parameters(values: Measurements) -> Verdict:
    """Shown: equal to a parameter."""
    wrong = [
        f"{name} has {counts[0]:,.0f}"
        for name, counts in series(values, "parameters").items()
        if set(counts) != {PUBLISHED_PARAMETERS[name]}
    ]
    return ("contradicted", "; ".join(wrong)) if wrong else ("shown", "equal to a parameter")


def judge_table(values: Measurements) -> Verdict:
    """Shown: eight rows at or above the published mean minus two of its standard deviations. Half of those run:
    partly."""
    scores, updates = means(series(values, "score")), statistics.fmean(values["updates"])
    missed = []
    for name, score in scores.items():
        # The published spread is over trainings: two deviations below the mean is a poor but likely one.
        gap = PUBLISHED[name].triplet_gmpnn - 2 * PUBLISHED[name].std - score
        if gap > 0:
            missed.append(f"{name} by {gap:.2f}")
    reached = len(scores) - len(missed)
    why = (
        f"{reached} of {len(scores)} rows, after at least {updates:,.0f} updates,"
        " are at the published mean minus two standard deviations or above"
    )
    why += f"; below it: {', '.join(missed)} points" if missed else ""
    # Eight of the ten rows, or all if fewer were run.
    if reached >= min(8, len(scores)):
        return "shown", why
    if 2 * reached >= len(scores):
        return "partly", why
    return ("contradicted" if updates >= UPDATES else "not at this scale"), why


def judge_headline(values: Measurements) -> Verdict:
    """Shown: the mean of the categories' means is 20 points above the best earlier one, and within NEAR points of the
    published one or above."""
    from outrange.reasoning.nar.evaluation import ScoreBoard

    def mean_of_categories(scores: dict[str, float]) -> float:
        return statistics.fmean(ScoreBoard(scores).categories.values())

    scores, updates = means(series(values, "score")), statistics.fmean(values["updates"])
    overall = mean_of_categories(scores)
    # The best of the three models that the paper lists beside its own.
    earlier = max(
        mean_of_categories({name: getattr(row, model) for name, row in PUBLISHED.items()})
        for model in ("memnet", "mpnn", "pgn")
    )
    above = " / ".join(str(sum(score > bound for score in scores.values())) for bound in (60, 80, 90))
    why = f"mean of categories {overall:.2f}, the best earlier model's {earlier:.2f}; above 60 / 80 / 90: {above}"
    if len(scores) == len(PUBLISHED) and overall >= earlier + 20 and overall >= OVERALL - NEAR:
        return "shown", why
    if overall > earlier:
        return "partly", why
    return ("contradicted" if updates >= UPDATES else "not at this scale"), why


def judge_difference(values: Measurements) -> Verdict:
    """A sign test: one pair in two is better by chance, all of five once in 32 times. Three that are all better:
    partly. Fewer say nothing.

    Only five full-length pairs that are all worse contradict.
    """
    gains, updates = values["difference"], min(values["updates"])
    pairs = len(gains)
    why = (
        f"{statistics.fmean(gains):+.1f} points, from {min(gains):+.1f} to {max(gains):+.1f}"
        f" in {pairs} pair{'s' if pairs > 1 else ''} of trainings of {updates:,.0f} updates"
    )
    # A single pair says little: equal trainings differ by ten points and more in short runs.
    if min(gains) >= LEAST_GAIN and pairs >= 3:
        chance = f"all better, which chance does once in {2**pairs:,}"
        return ("shown" if pairs >= LEAST_PAIRS else "partly"), f"{why}; {chance}"
    if max(gains) <= -LEAST_GAIN and pairs >= LEAST_PAIRS and updates >= UPDATES:
        return "contradicted", f"{why}; all worse"
    remark = "not told from chance" if pairs >= 3 else "fewer than three pairs tell nothing"
    return "not at this scale", f"{why}; {remark}"


def judge_one_for_all(values: Measurements) -> Verdict:
    """Shown: most of the thirty within NEAR points of the specialist or above."""
    scores = means(series(values, "score"))
    mean, updates = statistics.fmean(values["mean"]), statistics.fmean(values["updates"])
    near = sum(score >= PUBLISHED[name].triplet_gmpnn - NEAR for name, score in scores.items())
    specialists = statistics.fmean(PUBLISHED[name].triplet_gmpnn for name in scores)
    why = (
        f"{near} of {len(scores)} within {NEAR:.0f} points of the published specialist or above;"
        f" mean {mean:.2f}, specialists' {specialists:.2f}; {updates:,.0f} updates an algorithm"
    )
    if near > 15:
        return "shown", why
    if 2 * near > len(scores):
        return "partly", why
    return ("contradicted" if updates >= UPDATES and len(scores) == 30 else "not at this scale"), why


NO_NUMBER = (
    "no number to compare with: what this improvement brings by itself is in figures and tables that were not at hand"
)
# The published code validates every 50 updates on up to 4,096 samples, which is more work than the training itself.
VALIDATION = dict(evaluate_every=100, evaluate_samples=128)
# Three pairs of such trainings take some two minutes; validation is off, so the last weights are scored.
SHORT: dict[str, Any] = {
    "updates": 300,
    "batch_size": 16,
    "lengths": (4, 7, 11),
    "model.hidden_dim": 64,
    "evaluate_every": 0,
    "checkpoint_every": 10**6,
    "size": 24,
    "count": 64,
}


def _improvement(
    name: str,
    statement: str,
    algorithms: tuple[str, ...],
    without: dict[str, Any],
    laptop: dict[str, Any] | None = None,
    **changes: Any,
) -> Claim:
    """A claim that an improvement helps: two trainings, with it and without it, everything else being the full model's.

    Args:
        without: settings that take the improvement away.
        laptop: further settings of both trainings at scale laptop.
        changes: settings of both trainings at every scale.
    """
    full = dict(size=None, count=None) | VALIDATION | changes
    return Claim(
        name=name,
        place="list of improvements",
        statement=f"{statement} ({', '.join(algorithms)})",
        published=NO_NUMBER,
        run=partial(ablation, algorithms=algorithms, without=without),
        judge=judge_difference,
        scales={
            "laptop": SHORT | changes | (laptop or {}),
            "gpu": full | dict(updates=2_000),
            "paper": full | dict(updates=UPDATES),
        },
    )


# A hint is the state that an algorithm records at one of its steps; the network learns to predict the next one from
# the last.
IMPROVEMENTS = (
    _improvement(
        "no-teacher-forcing",
        "feeding the network's own predicted hints back in training beats feeding it the true ones",
        ("dijkstra",),
        {"teacher_forcing": 1.0},
    ),
    _improvement(
        "random-positions",
        "giving the nodes random positions in training beats evenly spaced ones at n = 64",
        ("minimum",),
        {"random_positions": False},
        laptop=dict(size=64, count=32),
        evaluate_every=0,  # the last weights, so that the two validations, which differ, choose nothing
    ),
    _improvement(
        "soft-hints",
        "feeding hints back as probabilities, with their gradient, beats feeding back the likeliest ones",
        ("dijkstra",),
        {"model.hint_feedback": "hard"},
    ),
    _improvement(
        "static-hints",
        "a hint that never changes is better given as an input than predicted",
        ("minimum",),
        {"pred_as_input": False},
    ),
    _improvement(
        "xavier-and-clipping",
        "smaller initial weights on scalar hints and a bounded gradient help",
        ("dijkstra",),
        {"model.xavier_on_scalars": False, "max_grad_norm": 0.0},
    ),
    _improvement(
        "permutations",
        "a sorted order is better decoded as a permutation than as one pointer per node",
        ("insertion_sort",),
        {"permutations": False},
    ),
    _improvement(
        "gate",
        "a gate that lets a node keep its representation helps",
        ("insertion_sort",),
        {"model.processor": "triplet_mpnn"},
    ),
    _improvement(
        "triplets",
        "messages over triplets of nodes help where the answer is about edges",
        ("floyd_warshall",),
        {"model.processor": "gmpnn"},
        laptop=dict(updates=200, lengths=(4, 7), size=12),
    ),
    _improvement(
        "chunking",
        "one model of several algorithms learns better from stretches of 16 steps than from whole traces",
        ("bfs", "dfs"),
        {"chunk_length": 0},
        chunk_length=16,
    ),
)

OF_ALGORITHMS = {"score": "{}"}

PAPER = Paper(
    "generalist",
    "A Generalist Neural Algorithmic Learner",
    "2209.11142",
    (
        Claim(
            name="parameters",
            place="model (the published code's, counted)",
            statement="the network for one algorithm, a Triplet-GMPNN, is small",
            published="523,963 for bfs and 524,477 for insertion_sort: counted in the published code, not"
            " read in the paper",
            run=parameters,
            judge=judge_parameters,
            scales={scale: {} for scale in SCALES},
            labels={"parameters": "{}"},
        ),
        Claim(
            name="single-task",
            place="table of single-task scores at n = 64",
            statement="a network trained on one algorithm with inputs of up to 16 nodes answers on inputs of 64",
            published="bfs 99.73 ± 0.04, segments_intersect 97.64 ± 0.09, …: the table as recalled,"
            " docs/papers/generalist.md",
            run=single_task,
            judge=judge_table,
            scales={
                "laptop": dict(
                    updates={"bfs": 600, "segments_intersect": 1_000}, evaluate_every=100, evaluate_samples=64
                ),
                "gpu": dict(updates=dict.fromkeys(TEN[:4], UPDATES), runs=RUNS) | VALIDATION,
                "paper": dict(updates=dict.fromkeys(TEN, UPDATES), runs=RUNS) | VALIDATION,
            },
            labels=OF_ALGORITHMS,
        ),
        Claim(
            name="headline",
            place="abstract; table of single-task scores",
            statement="over all kinds of algorithms, networks trained on one algorithm each score over 20"
            " points above the best earlier model",
            published="over 20 % (abstract; read as points); mean of categories 74.14, the best earlier 50.84;"
            " above 60 / 80 / 90: 24 / 17 / 11 of thirty (as recalled)",
            run=single_task,
            judge=judge_headline,
            scales={"paper": dict(updates=dict.fromkeys(PUBLISHED, UPDATES), runs=RUNS) | VALIDATION},
            missing="thirty trainings of 10,000 updates, and the whole test split of each",
            labels=OF_ALGORITHMS,
        ),
        *IMPROVEMENTS,
        Claim(
            name="one-for-all",
            place="multi-task results (charts; what they show is known here from notes of a talk)",
            statement="one network that executes all thirty algorithms matches the thirty networks of one"
            " algorithm each on most of them",
            published="no number by algorithm: they are in charts that were not at hand; the networks of one"
            " algorithm are the single-task table",
            run=one_for_all,
            judge=judge_one_for_all,
            scales={"laptop": dict(count=4), "gpu": dict(count=None), "paper": dict(count=None)},
            labels=OF_ALGORITHMS,
        ),
    ),
)
