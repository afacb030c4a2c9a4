"""Never Give Up: Learning Directed Exploration Strategies (arXiv 2002.06038): its claims, run.

The paper's figures rest on 35e9 frames and 256 actors. What two cores can show is the mechanism: which part makes an agent cover a maze it never saw, and
whether a mixture that exploits can be read out of one that explores. Trainings are kept below ``RUNS``: stopped ones go on, finished ones are scored again.
"""

import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outrange.papers.claims import Claim, Measurements, Paper

if TYPE_CHECKING:
    from outrange.exploration.config import TrainConfig

RUNS = "runs/ngu"
ROOMS, LARGER_ROOMS = "MiniGrid-MultiRoom-N4-S5-v0", "MiniGrid-MultiRoom-N6-v0"


def formulas(seed: int) -> dict[str, float]:
    """Constants at work: the largest and smallest episodic bonus, whether the cut-off can fire, how exactly h and its inverse cancel, the families' ends."""
    import numpy as np
    import torch

    from outrange.exploration.learning.family import betas, gammas
    from outrange.exploration.learning.returns import rescale, unrescale
    from outrange.exploration.novelty.episodic import EpisodicConfig, kernel_bonus

    config = EpisodicConfig()
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.standard_normal(10_000) * 10 ** rng.uniform(-6, 6, 10_000))
    beta, gamma = betas(32, 0.3), gammas(32, 0.997, 0.99)
    return {
        "least bonus": float(kernel_bonus(np.zeros(config.k), config)),
        "largest bonus": float(kernel_bonus(np.full(config.k, np.inf), config)),
        "largest similarity": math.sqrt(config.k) + config.c,
        "cut-off": config.maximum,
        "error of h and back": float(((unrescale(rescale(x)) - x).abs() / x.abs()).max()),
        "beta 0": float(beta[0]),
        "beta 15": float(beta[15]),
        "beta 31": float(beta[31]),
        "least step of beta": float(np.diff(beta).min()),
        "gamma 0": float(gamma[0]),
        "gamma 31": float(gamma[31]),
        "least fall of gamma": float(-np.diff(gamma).max()),
    }


def trained(config: "TrainConfig") -> Path:
    """The run of a configuration below ``RUNS``, trained to its end; beside another of the same name and other settings, with their digest in its name."""
    from outrange.core.config import digest, to_json
    from outrange.core.run import Run
    from outrange.exploration.config import TrainConfig
    from outrange.exploration.presets import preset
    from outrange.exploration.training import train

    usual = preset(config.preset)
    marks = [config.agent, config.env.name.split("/")[-1]]
    marks += [config.network.encoder] * (config.network.encoder != usual.network.encoder) + [
        f"{config.steps}-steps"
    ] * (config.steps != usual.steps)
    marks.append(str(config.seed))
    path = Path(RUNS) / "-".join(marks)
    if (path / "run.json").exists() and Run.configuration(path, TrainConfig) != config:
        path = path.with_name(f"{path.name}-{digest(to_json(config))[:8]}")
    if train(config, path)["stopped"]:
        raise KeyboardInterrupt
    return path


def maze(
    seed: int, steps: int, agents: tuple[str, ...], encoder: str = "crop", episodes: int = 128, **changes: Any
) -> dict[str, float]:
    """Share of a maze's free cells that a greedy episode visits, by agent; mazes that training did not see."""
    from outrange.exploration.config import changed
    from outrange.exploration.evaluation import evaluate
    from outrange.exploration.presets import preset

    found: dict[str, float] = {}
    for agent in agents:
        config = changed(preset("disco", agent, seed=seed, steps=steps), {"network.encoder": encoder} | changes)
        result = evaluate(trained(config), episodes)
        found |= {f"{agent} coverage": result["coverage"], f"{agent} length": result["length"]}
    return found


def rooms(seed: int, env: str, steps: int, agents: tuple[str, ...], episodes: int = 256) -> dict[str, float]:
    """Cells visited by the mixture that explores most, success of the one that exploits, and when in training its greedy actors first met success in half of
    their episodes (the end of training if never), by agent."""
    from outrange.core import metrics
    from outrange.exploration.config import changed
    from outrange.exploration.evaluation import evaluate
    from outrange.exploration.presets import preset

    found: dict[str, float] = {}
    for agent in agents:
        config = changed(preset("minigrid", agent, seed=seed, steps=steps), {"env.name": env})
        path = trained(config)
        explores = evaluate(path, episodes, mixture=config.bonus.mixtures - 1, epsilon=0.01)
        exploits = evaluate(path, episodes, mixture=0, epsilon=0.01)
        key = "mixture0_greedy_success" if config.bonus.mixtures > 1 else "greedy_success"
        half = (line["step"] for line in metrics.read(path / "metrics.jsonl") if line.get(key, 0.0) >= 0.5)
        found |= {
            f"{agent} cells": explores["places"],
            f"{agent} success": exploits["success"],
            f"{agent} steps to half": float(next(half, config.steps)),
        }
    return found


def montezuma(seed: int, steps: int, agents: tuple[str, ...]) -> dict[str, float]:
    """Rooms of Montezuma's Revenge that were seen while training, by the machine's memory."""
    from outrange.core import metrics
    from outrange.exploration.presets import preset

    found: dict[str, float] = {}
    for agent in agents:
        path = trained(preset("atari-laptop", agent, seed=seed, steps=steps))
        lines = metrics.read(path / "metrics.jsonl")
        found |= {f"{agent} rooms": lines[-1].get("ever_places", 0.0), f"{agent} frames": 4.0 * lines[-1]["step"]}
    return found


def _exact(values: Measurements) -> tuple[str, str]:
    fires = max(values["largest similarity"]) > min(values["cut-off"])
    ends = {"beta 0": 0.0, "beta 15": 0.15, "beta 31": 0.3, "gamma 0": 0.997, "gamma 31": 0.99}
    met = all(abs(value - end) < 1e-9 for name, end in ends.items() for value in values[name])
    bounded = 0 < min(values["least bonus"]) < max(values["largest bonus"]) < math.inf
    ordered = min(values["least step of beta"]) > 0 and min(values["least fall of gamma"]) > 0
    right = not fires and max(values["error of h and back"]) < 1e-9 and met and bounded and ordered
    why = f"the similarity is at most {max(values['largest similarity']):.2f}, so the published cut-off of 8 never fires with ten neighbours"
    return ("shown" if right else "contradicted"), why


def _apart(values: Measurements, ours: str, theirs: tuple[str, ...], ratio: float) -> tuple[str, str]:
    """Whether our median is ``ratio`` times every other's, and no seed of theirs reaches any of ours. One seed shows nothing and refutes nothing."""
    mine, several = values[ours], len(values[ours]) > 1
    worst = min(statistics.median(mine) / max(statistics.median(values[name]), 1e-9) for name in theirs)
    above = all(max(values[name]) < min(mine) for name in theirs)
    below = any(min(values[name]) > max(mine) for name in theirs)
    verdict = (
        "shown"
        if worst >= ratio and above and several
        else "partly"
        if worst > 1
        else "contradicted"
        if below and several
        else "not at this scale"
    )
    overlap = "one seed" if not several else "no seed overlaps" if above or below else "seeds overlap"
    return verdict, f"median {statistics.median(mine):.3g}, {worst:.1f} times the next; {overlap}"


def _coverage(values: Measurements) -> tuple[str, str]:
    return _apart(values, "ngu coverage", ("ngu-projection coverage", "rnd coverage"), 8)


def _whole(values: Measurements) -> tuple[str, str]:
    found, several = statistics.median(values["ngu coverage"]), len(values["ngu coverage"]) > 1
    verdict = "shown" if found >= 0.4 and several else "partly" if found >= 0.1 else "not at this scale"
    return verdict, f"median coverage {found:.1%}{'' if several else ', one seed'}"


def _cells(values: Measurements) -> tuple[str, str]:
    return _apart(values, "ngu cells", ("r2d2 cells",), 2.5)


def _success(values: Measurements) -> tuple[str, str]:
    solved, without = values["ngu success"], values["r2d2 success"]
    good = sum(value >= 0.5 for value in solved)
    verdict = (
        "shown"
        if good >= 2 and max(without) < 0.05
        else "partly"
        if max(solved) > 0.05 > max(without)
        else "not at this scale"
    )
    return (
        verdict,
        f"{good} of {len(solved)} seeds reach a success of one half; without a bonus at most {max(without):.2f}",
    )


def _life_long(values: Measurements) -> tuple[str, str]:
    with_factor, without = values["ngu steps to half"], values["ngu-episodic steps to half"]
    sooner, several = statistics.median(with_factor) < statistics.median(without), len(with_factor) > 1
    if several and max(with_factor) < min(without):
        verdict = "shown"
    elif several and min(with_factor) > max(without):
        verdict = "contradicted"
    else:
        verdict = "partly" if sooner else "not at this scale"
    return (
        verdict,
        f"half of the episodes succeed after {statistics.median(with_factor):,.0f} steps with the factor, {statistics.median(without):,.0f} without",
    )


def _rooms(values: Measurements) -> tuple[str, str]:
    return _apart(values, "ngu rooms", ("r2d2 rooms",), 1)


def _laptop(**settings: Any) -> Mapping[str, Mapping[str, Any]]:
    return {"laptop": settings}


PAPER = Paper(
    "ngu",
    "Never Give Up: Learning Directed Exploration Strategies",
    "2002.06038",
    (
        Claim(
            "formulas",
            "section 3, appendix A",
            "The bonus lies between its two ends, h has an inverse, and the families run from exploiting to exploring.",
            "constants only",
            formulas,
            _exact,
            {scale: {} for scale in ("laptop", "gpu", "paper")},
        ),
        Claim(
            "controllable-state",
            "section 4.1, figure 3",
            "In the Random Disco Maze only the learned controllable state makes an agent explore; with a random projection, or with RND, it learns to survive.",
            "curves without numbers: the learned one explores any maze, the others only avoid walls",
            maze,
            _coverage,
            _laptop(steps=1_500_000, agents=("ngu", "ngu-projection", "rnd")),
        ),
        Claim(
            "whole-frame",
            "section 4.1, table 7",
            "The same with the whole frame as the network's input.",
            "the same curves",
            maze,
            _whole,
            _laptop(steps=4_000_000, agents=("ngu",), encoder="cells", **{"learner.ratio": 4}),
        ),
        Claim(
            "rooms",
            "section 4.2, its mechanism",
            "Where random play never succeeds, the mixture that explores gets far beyond an agent without a bonus.",
            "on other environments: 46 rooms an episode in Pitfall!",
            rooms,
            _cells,
            _laptop(env=ROOMS, steps=600_000, agents=("ngu", "r2d2")),
        ),
        Claim(
            "exploit",
            "section 4.2, table 1",
            "The mixture of beta 0, learned beside the others, exploits what they found.",
            "on other environments: Pitfall! 8.4k, R2D2 -3.5",
            rooms,
            _success,
            _laptop(env=ROOMS, steps=600_000, agents=("ngu", "r2d2")),
        ),
        Claim(
            "larger-rooms",
            "section 4.2, table 1",
            "The same with six rooms of up to ten cells a side.",
            "on other environments: Pitfall! 8.4k, R2D2 -3.5",
            rooms,
            _success,
            _laptop(env=LARGER_ROOMS, steps=1_500_000, agents=("ngu", "r2d2")),
        ),
        Claim(
            "life-long",
            "table 3",
            "The life-long factor on the episodic bonus helps to explore.",
            "Montezuma's Revenge 10.4k with it, 3.0k without; other games lose nothing or gain without",
            rooms,
            _life_long,
            _laptop(env=ROOMS, steps=600_000, agents=("ngu", "ngu-episodic")),
        ),
        Claim(
            "montezuma",
            "table 1",
            "More of Montezuma's Revenge is seen than without a bonus.",
            "10.4k ± 1.6k after 35e9 frames, R2D2 2.3k",
            montezuma,
            _rooms,
            _laptop(steps=500_000, agents=("ngu", "r2d2")),
        ),
        Claim(
            "games",
            "section 4.3",
            "Over the 57 Atari games the median human-normalised score is 1344 %.",
            "1344.0 % (abstract), 1354.4 % (text)",
            montezuma,
            _rooms,
            {},
            "57 games, 35e9 frames each: `outrange explore train --preset atari-paper --env ALE/NAME-v5` is one of them",
        ),
    ),
)
