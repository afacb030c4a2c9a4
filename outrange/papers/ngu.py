"""Never Give Up: Learning Directed Exploration Strategies (arXiv 2002.06038): its claims, run.

NGU adds to the reward a bonus for states that are new within the episode (the episodic bonus, measured in an
embedding that holds what the agent's actions control), times a factor for states that are new over the whole life
(RND). One network learns a family of mixtures of reward and bonus, from one that exploits to one that explores. The
paper's figures rest on 35e9 frames and 256 actors. What two cores can show is the mechanism: which part makes an
agent cover a maze it never saw, and whether a mixture that exploits can be read out of one that explores.

Trainings are kept below ``RUNS``: a stopped one goes on, a finished one is scored again.
"""

import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outrange.papers.claims import SCALES, Claim, Key, Measured, Measurements, NotRun, Paper, Verdict, series

if TYPE_CHECKING:
    from outrange.exploration.config import TrainConfig

RUNS = "runs/ngu"
ROOMS, LARGER_ROOMS = "MiniGrid-MultiRoom-N4-S5-v0", "MiniGrid-MultiRoom-N6-v0"


def formulas() -> Measured:
    """The published constants at work: the ends of the episodic bonus, whether its cut-off can fire, how exactly h
    and its inverse cancel, and the ends of the families beta and gamma."""
    import numpy as np
    import torch

    from outrange.exploration.config import EpisodicConfig
    from outrange.exploration.learning.family import betas, gammas
    from outrange.exploration.learning.returns import rescale, unrescale
    from outrange.exploration.novelty.kernel import kernel_bonus

    config = EpisodicConfig()
    # Twelve decades of values, of both signs.
    magnitudes = torch.logspace(-6, 6, 5_000, dtype=torch.float64)
    x = torch.cat([-magnitudes, magnitudes])
    beta, gamma = betas(32, 0.3), gammas(32, 0.997, 0.99)
    return {
        # All neighbours at distance 0 are the most familiar state there is, infinitely far ones the newest.
        "least_bonus": float(kernel_bonus(np.zeros(config.neighbours), config)),
        "largest_bonus": float(kernel_bonus(np.full(config.neighbours, np.inf), config)),
        "largest_similarity": math.sqrt(config.neighbours) + config.pseudo_count,
        "cut_off": config.max_similarity,
        "inverse_error": float(((unrescale(rescale(x)) - x).abs() / x.abs()).max()),
        ("beta", 0): float(beta[0]),
        ("beta", 15): float(beta[15]),
        ("beta", 31): float(beta[31]),
        "least_step_of_beta": float(np.diff(beta).min()),
        ("gamma", 0): float(gamma[0]),
        ("gamma", 31): float(gamma[31]),
        "least_fall_of_gamma": float(-np.diff(gamma).max()),
    }


def trained(config: "TrainConfig") -> Path | NotRun:
    """The run of a configuration below ``RUNS``, trained to its end.

    Its name says the agent, the environment, what differs from the preset in encoder and steps, and the seed. Where
    that name is taken by a run with other settings, the configuration's digest is added.
    """
    from outrange.core.config import digest, to_json
    from outrange.core.run import Run
    from outrange.exploration.config import TrainConfig
    from outrange.exploration.presets import preset
    from outrange.exploration.training import train

    usual = preset(config.preset)
    parts = [config.agent, config.env.name.split("/")[-1]]
    if config.network.encoder != usual.network.encoder:
        parts.append(config.network.encoder)
    if config.steps != usual.steps:
        parts.append(f"{config.steps}-steps")
    path = Path(RUNS) / "-".join([*parts, str(config.seed)])
    if (path / "run.json").exists() and Run.configuration(path, TrainConfig) != config:
        path = path.with_name(f"{path.name}-{digest(to_json(config))[:8]}")
    result = train(config, path)
    if result["stopped"]:
        return NotRun(
            f"the training {path} was stopped at step {result['steps']:,}; the same command goes on", stopped=True
        )
    return path


def maze(
    seed: int, steps: int, agents: tuple[str, ...], encoder: str = "crop", episodes: int = 128, **changes: Any
) -> Measured | NotRun:
    """Share of a maze's free cells that a greedy episode visits, and its length, by agent; in mazes that training did
    not see."""
    from outrange.core.config import changed
    from outrange.exploration.evaluation import evaluate
    from outrange.exploration.presets import preset

    measured: dict[Key, float] = {}
    for agent in agents:
        run = trained(changed(preset("disco", agent, seed=seed, steps=steps), {"network.encoder": encoder} | changes))
        if isinstance(run, NotRun):
            return run
        result = evaluate(run, episodes)
        measured["coverage", agent] = result["coverage"]
        measured["length", agent] = result["length"]
    return measured


def rooms(seed: int, env: str, steps: int, agents: tuple[str, ...], episodes: int = 256) -> Measured | NotRun:
    """By agent: cells visited by the mixture that explores most, success of the one that exploits, and at which step
    of the training its greedy actors first reached the goal in half of their episodes (the training's last step if
    never)."""
    from outrange.core import metrics
    from outrange.core.config import changed
    from outrange.exploration.evaluation import evaluate
    from outrange.exploration.presets import preset

    measured: dict[Key, float] = {}
    for agent in agents:
        config = changed(preset("minigrid", agent, seed=seed, steps=steps), {"env.name": env})
        run = trained(config)
        if isinstance(run, NotRun):
            return run
        # The last mixture explores most; mixture 0 has no bonus in what it learns of.
        exploring = evaluate(run, episodes, mixture=config.bonus.mixtures - 1, epsilon=0.01)
        exploiting = evaluate(run, episodes, mixture=0, epsilon=0.01)
        # An agent without a bonus has one mixture, whose success goes by another name.
        success = "mixture0_greedy_success" if config.bonus.mixtures > 1 else "greedy_success"
        lines = metrics.read(run / "metrics.jsonl")
        steps_with_half = (line["step"] for line in lines if line.get(success, 0.0) >= 0.5)
        measured["cells", agent] = exploring["places"]
        measured["success", agent] = exploiting["success"]
        measured["steps_to_half", agent] = float(next(steps_with_half, config.steps))
    return measured


def montezuma(seed: int, steps: int, agents: tuple[str, ...]) -> Measured | NotRun:
    """Rooms of Montezuma's Revenge that were seen while training, as the console's memory numbers them, and frames,
    by agent."""
    from outrange.core import metrics
    from outrange.exploration.presets import preset

    measured: dict[Key, float] = {}
    for agent in agents:
        run = trained(preset("atari-laptop", agent, seed=seed, steps=steps))
        if isinstance(run, NotRun):
            return run
        last = metrics.read(run / "metrics.jsonl")[-1]
        measured["rooms", agent] = last.get("ever_places", 0.0)
        measured["frames", agent] = 4.0 * last["step"]  # each action is held for four frames
    return measured


def judge_formulas(values: Measurements) -> Verdict:
    """Shown: the cut-off cannot fire, the bonus has two finite ends, h and its inverse cancel, and the families run
    from end to end without a turn."""
    # The cut-off gives no bonus above a similarity that ten neighbours cannot reach.
    similarity = max(values["largest_similarity"])
    cut_off_fires = similarity > min(values["cut_off"])
    bounded = 0 < min(values["least_bonus"]) < max(values["largest_bonus"]) < math.inf
    inverse = max(values["inverse_error"]) < 1e-9
    published: dict[Key, float] = {
        ("beta", 0): 0.0,
        ("beta", 15): 0.15,
        ("beta", 31): 0.3,
        ("gamma", 0): 0.997,
        ("gamma", 31): 0.99,
    }
    ends = all(abs(value - end) < 1e-9 for key, end in published.items() for value in values[key])
    ordered = min(values["least_step_of_beta"]) > 0 and min(values["least_fall_of_gamma"]) > 0
    why = f"the similarity is at most {similarity:.2f}, so the published cut-off of 8 never fires with ten neighbours"
    return ("shown" if not cut_off_fires and bounded and inverse and ends and ordered else "contradicted"), why


def _compare(values: Measurements, measure: str, agent: str, others: tuple[str, ...], ratio: float) -> Verdict:
    """Shown: an agent's median is ``ratio`` times every other's, and none of their seeds reaches any of its seeds.
    Contradicted: all its seeds lie below another's. One seed shows nothing and refutes nothing."""
    by_agent = series(values, measure)
    ours, median = by_agent[agent], statistics.median(by_agent[agent])
    several = len(ours) > 1
    # 1e-9: an agent that reaches nothing is beaten by any that reaches something.
    least_ratio = min(median / max(statistics.median(by_agent[other]), 1e-9) for other in others)
    above = all(max(by_agent[other]) < min(ours) for other in others)
    below = any(min(by_agent[other]) > max(ours) for other in others)
    if least_ratio >= ratio and above and several:
        verdict = "shown"
    elif least_ratio > 1:
        verdict = "partly"
    else:
        verdict = "contradicted" if below and several else "not at this scale"
    overlap = "one seed" if not several else "no seed overlaps" if above or below else "seeds overlap"
    return verdict, f"median {median:.3g}, {least_ratio:.1f} times the next; {overlap}"


def judge_coverage(values: Measurements) -> Verdict:
    """Shown: the learned embedding covers eight times as much as either alternative, and no seeds overlap."""
    return _compare(values, "coverage", "ngu-episodic", ("ngu-projection", "rnd"), 8)


def judge_whole_frame(values: Measurements) -> Verdict:
    """Shown: a median coverage of 40 % over several seeds. Partly: 10 %."""
    coverage = values["coverage", "ngu-episodic"]
    median, several = statistics.median(coverage), len(coverage) > 1
    verdict = "shown" if median >= 0.4 and several else "partly" if median >= 0.1 else "not at this scale"
    return verdict, f"median coverage {median:.1%}{'' if several else ', one seed'}"


def judge_cells(values: Measurements) -> Verdict:
    """Shown: the exploring mixture visits 2.5 times the cells of an agent without a bonus, and no seeds overlap."""
    return _compare(values, "cells", "ngu", ("r2d2",), 2.5)


def judge_success(values: Measurements) -> Verdict:
    """Shown: two seeds reach a success of one half, and none without a bonus one in twenty."""
    success, without_bonus = values["success", "ngu"], max(values["success", "r2d2"])
    solved = sum(value >= 0.5 for value in success)
    why = f"{solved} of {len(success)} seeds reach a success of one half; without a bonus at most {without_bonus:.2f}"
    if solved >= 2 and without_bonus < 0.05:
        return "shown", why
    return ("partly" if max(success) > 0.05 > without_bonus else "not at this scale"), why


def judge_life_long(values: Measurements) -> Verdict:
    """Shown: every seed with the life-long factor succeeds in half of its episodes sooner than any without it."""
    with_factor, without = values["steps_to_half", "ngu"], values["steps_to_half", "ngu-episodic"]
    median_with, median_without = statistics.median(with_factor), statistics.median(without)
    # Sooner is better, so the comparison is turned round.
    several = len(with_factor) > 1
    why = f"half of the episodes succeed after {median_with:,.0f} steps with the factor, {median_without:,.0f} without"
    if several and max(with_factor) < min(without):
        return "shown", why
    if several and min(with_factor) > max(without):
        return "contradicted", why
    return ("partly" if median_with < median_without else "not at this scale"), why


def judge_montezuma(values: Measurements) -> Verdict:
    """Shown: more rooms than without a bonus, and no seeds overlap."""
    return _compare(values, "rooms", "ngu", ("r2d2",), 1)


def _laptop(**settings: Any) -> Mapping[str, Mapping[str, Any]]:
    return {"laptop": settings}


# "ngu coverage": the agent first, as in the tables of docs/papers/ngu.md.
BY_AGENT = {
    name: f"{{}} {name.replace('_', ' ')}" for name in ("coverage", "length", "cells", "success", "steps_to_half")
}

PAPER = Paper(
    "ngu",
    "Never Give Up: Learning Directed Exploration Strategies",
    "2002.06038",
    (
        Claim(
            name="formulas",
            place="section 3, appendix A",
            statement="the episodic bonus lies between two ends, the value rescaling h has an inverse, and"
            " the families of mixtures run from exploiting"
            " to exploring",
            published="constants only",
            run=formulas,
            judge=judge_formulas,
            scales={scale: {} for scale in SCALES},
            labels={
                "cut_off": "cut-off",
                "inverse_error": "error of h and back",
                "beta": "beta {}",
                "gamma": "gamma {}",
            },
        ),
        Claim(
            name="controllable-state",
            place="section 4.1, figure 3",
            statement="in a maze with flickering colours (Random Disco Maze), an agent explores only if"
            " newness is measured in what its actions control;"
            " with a random projection, or with RND, it learns to survive",
            published="curves without numbers: the learned one explores any maze, the others only avoid walls",
            run=maze,
            judge=judge_coverage,
            scales=_laptop(steps=1_500_000, agents=("ngu-episodic", "ngu-projection", "rnd")),
            labels=BY_AGENT,
        ),
        Claim(
            name="whole-frame",
            place="section 4.1, table 7",
            statement="the agent explores the same maze when its network sees the whole frame instead of the"
            " cells around it",
            published="the same curves",
            run=maze,
            judge=judge_whole_frame,
            # 35 minutes of one core.
            scales=_laptop(steps=4_000_000, agents=("ngu-episodic",), encoder="cells", **{"learner.replay_ratio": 4}),
            labels=BY_AGENT,
        ),
        Claim(
            name="rooms",
            place="section 4.2, its mechanism",
            statement="in rooms whose goal random play never reaches, the mixture that explores gets far"
            " beyond an agent without a bonus",
            published="on other environments: 46 rooms an episode in Pitfall!",
            run=rooms,
            judge=judge_cells,
            scales=_laptop(env=ROOMS, steps=600_000, agents=("ngu", "r2d2")),
            labels=BY_AGENT,
        ),
        Claim(
            name="exploit",
            place="section 4.2, table 1",
            statement="the mixture without a bonus, learned beside the others in one network, exploits what"
            " they discovered",
            published="on other environments: Pitfall! 8.4k, R2D2 -3.5",
            run=rooms,
            judge=judge_success,
            scales=_laptop(env=ROOMS, steps=600_000, agents=("ngu", "r2d2")),
            labels=BY_AGENT,
        ),
        Claim(
            name="larger-rooms",
            place="section 4.2, table 1",
            statement="the mixture without a bonus exploits what the others discovered also in six rooms of"
            " up to ten cells a side",
            published="on other environments: Pitfall! 8.4k, R2D2 -3.5",
            run=rooms,
            judge=judge_success,
            scales=_laptop(env=LARGER_ROOMS, steps=1_500_000, agents=("ngu", "r2d2")),
            labels=BY_AGENT,
        ),
        Claim(
            name="life-long",
            place="table 3",
            statement="multiplying the episodic bonus by the life-long factor helps to explore",
            published="Montezuma's Revenge 10.4k with it, 3.0k without; other games lose nothing or gain without",
            run=rooms,
            judge=judge_life_long,
            scales=_laptop(env=ROOMS, steps=600_000, agents=("ngu", "ngu-episodic")),
            labels=BY_AGENT,
        ),
        Claim(
            name="montezuma",
            place="table 1",
            statement="NGU sees more of the Atari game Montezuma's Revenge than an agent without a bonus",
            published="10.4k ± 1.6k after 35e9 frames, R2D2 2.3k",
            run=montezuma,
            judge=judge_montezuma,
            scales=_laptop(steps=500_000, agents=("ngu", "r2d2")),
            labels={"rooms": "{} rooms", "frames": "{} frames"},
        ),
        Claim(
            name="games",
            place="section 4.3",
            statement="over the 57 Atari games the median human-normalised score is 1344 %",
            published="1344.0 % (abstract), 1354.4 % (text)",
            missing="needs 57 games, 35e9 frames each: `outrange explore train --preset atari-paper --env"
            " ALE/NAME-v5` is one of them",
        ),
    ),
)
