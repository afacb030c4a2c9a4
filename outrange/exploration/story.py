"""The story of runs that a page tells (report/explore.py): their logs, and what the newest checkpoint does in episodes of its own."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from outrange.core import checkpoint, metrics
from outrange.core.config import read_object, to_json
from outrange.core.errors import BadInput
from outrange.core.run import Run
from outrange.exploration.config import TrainConfig
from outrange.exploration.envs.seen import MINIGRID_WIDTH
from outrange.exploration.evaluation import Recording, evaluate, load, record

MAZE = "outrange/RandomDiscoMaze-v0"
#: code of the first wall and the one after the last, where an observation is a grid of codes
WALLS = {MAZE: (2, 256), "outrange/TwoDoors-v0": (2, 3)}

Tell = Callable[[str, int, int], None]
"""(what is being done, how much of it is done, of how much)"""


def collect(
    paths: Sequence[Path],
    episodes: int = 64,
    maps: int = 6,
    seed: int = 0,
    mixture: int | None = None,
    epsilon: float = 0.0,
    longest: int = 2000,
    references: bool = True,
    title: str = "",
    command: str = "",
    tell: Tell | None = None,
) -> dict[str, Any]:
    """The story of runs for ``report.explore.page``: their logs, and what the newest checkpoint of the first does in episodes of its own.

    Runs whose configurations differ in the seed alone become one curve; other differences are compared, group by group.

    Args:
        paths: directories of runs in one environment; those without a checkpoint yet are told by their logs.
        episodes: for each row of the evaluation; 0: logs only, nothing is run.
        maps: how many episodes' maps are shown; 0: none.
        seed: of the environments; none of them is one of training's.
        mixture: whose policy is watched in maps and the episode; the last, which explores most, if not given.
        epsilon: share of random actions.
        longest: steps of an episode that are kept.
        references: whether policies that learn nothing are run in the maze, to stand beside the curves.
        title: of the page; made of agents and environment if not given.
        command: that the page names.
        tell: called with what there is to show.

    Raises:
        BadInput: no runs, one that is not of this kind, or runs in different environments; or what ``evaluate.load`` refuses.
    """
    if not paths:
        raise BadInput("runs: [] is not allowed; give at least one run's directory")
    for name, value in (("episodes", episodes), ("maps", maps)):
        if value < 0:
            raise BadInput(f"{name}: {value} is not allowed; it must not be negative")
    opened = [(path, Run.open(path)) for path in map(Path, paths)]
    for path, run in opened:
        if run.kind != "explore":
            raise BadInput(
                f"run: {str(path)!r} holds a run of kind {run.kind!r}; this is for runs of `outrange explore train`"
            )
    configs = [Run.configuration(path, TrainConfig) for path, _ in opened]
    _same_environment(opened, configs)
    named = _names(configs)
    notes: list[str] = []
    runs, kept = [], []
    for (path, run), name, config in zip(opened, named, configs, strict=True):
        lines = _lines(path / "metrics.jsonl", notes)
        if not lines:
            notes.append(f"{path} has logged nothing yet; it is left out.")
            continue
        group = name if len(set(named)) > 1 else ""
        runs.append(
            {
                "name": f"{name}, seed {config.seed}",
                "group": group,
                "metrics": lines,
                "timing": _lines(path / "timing.jsonl", notes),
            }
        )
        kept.append((path, run, config, name))
    if not runs:
        raise BadInput(f"run: {str(paths[0])!r} has logged nothing yet; wait for the first line of its metrics.jsonl")
    path, run, config, name = kept[0]
    story: dict[str, Any] = {
        "title": title
        or f"{' and '.join(dict.fromkeys(each[3] for each in kept))} in {config.env.name.split('/')[-1]}",
        "subtitle": _subtitle([each[2] for each in kept]),
        "command": command,
        "notes": notes,
        "runs": runs,
        "config": to_json(config),
        "environment": read_object(path / "environment.json", "run") if (path / "environment.json").is_file() else {},
    }
    trained = [each for each in kept if checkpoint.steps(each[1].checkpoints)]
    if episodes and not trained:
        notes.append("There is no checkpoint yet, so there is no episode to show.")
    if episodes and trained:
        story["evaluation"] = _evaluation(trained, episodes, seed, epsilon, tell)
        path, run, config, name = trained[0]
        chosen = config.bonus.mixtures - 1 if mixture is None else mixture
        if tell:
            tell("recording an episode", 0, 1)
        recording = record(path, seed=seed, mixture=chosen, epsilon=epsilon, longest=longest)
        known, shape = _visited(path, maps, seed, chosen, epsilon, longest) if maps else ([], None)
        who = f"{name}, seed {config.seed}" + (
            f", mixture {chosen} of {config.bonus.mixtures}" if config.bonus.mixtures > 1 else ""
        )
        story["episode"] = _told(recording, who, shape or _grid(config, recording), config)
        story["maps"] = known
        if len(trained) > 1:
            notes.append(f"Episode and maps are of {who}.")
    if references and config.env.name == MAZE:
        story["references"] = _references(config, seed)
        notes.append(
            "Policies that learn nothing are told which moves are legal, all but the uniform one; the agent is not."
        )
    return story


def _same_environment(opened: Sequence[tuple[Path, Run]], configs: Sequence[TrainConfig]) -> None:
    first = configs[0].env
    for (path, _), config in zip(opened, configs, strict=True):
        if (config.env.name, config.env.options) != (first.name, first.options):
            here, there = (" ".join((env.name, *env.options)) for env in (config.env, first))
            raise BadInput(
                f"run: {str(path)!r} is of {here}, and {str(opened[0][0])!r} of {there}; give runs in one environment"
            )


def _names(configs: Sequence[TrainConfig]) -> list[str]:
    """What to call each run's group: by its agent, and by what differs where that does not tell configurations apart."""
    flat = [_flat(to_json(config)) for config in configs]
    found: list[str] = []
    for config, one in zip(configs, flat, strict=True):
        alike = [other for rival, other in zip(configs, flat, strict=True) if rival.agent == config.agent]
        differing = [key for key in one if len({other.get(key) for other in alike}) > 1]
        found.append(" ".join([config.agent, *(f"{key.split('.')[-1]}={one[key]}" for key in differing)]))
    return found


#: settings that say where and how long, not what
_IDLE = {
    "seed",
    "steps",
    "log_every",
    "checkpoint_every",
    "broken",
    "threads",
    "device",
    "preset",
    "acting.process",
    "acting.ahead",
    "env.engine",
}


def _flat(values: dict[str, Any], before: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{before}{key}.")
        elif before + key not in _IDLE:
            found[before + key] = str(value)
    return found


def _subtitle(configs: Sequence[TrainConfig]) -> str:
    seeds = sorted({config.seed for config in configs})
    told = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
    options = " ".join(configs[0].env.options)
    return " · ".join(part for part in (options, told) if part)


def _lines(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    return metrics.read(path, notes) if path.is_file() else []


def _evaluation(
    trained: Sequence[tuple[Path, Run, TrainConfig, str]], episodes: int, seed: int, epsilon: float, tell: Tell | None
) -> list[dict[str, Any]]:
    """A row for each run and mixture, up to four of those."""
    rows = []
    for path, _, config, name in trained:
        count = config.bonus.mixtures
        for mixture in sorted({0, count // 3, 2 * count // 3, count - 1}):
            what = f"{path.name}, mixture {mixture}"
            row = evaluate(
                path,
                episodes,
                seed,
                mixture,
                epsilon,
                (lambda done, of, what=what: tell(what, done, of)) if tell else None,
            )
            rows.append({**row, "run": f"{name}, seed {config.seed}"})
    return rows


def _visited(
    path: Path, count: int, seed: int, mixture: int, epsilon: float, longest: int
) -> tuple[list[dict[str, Any]], tuple[int, int] | None]:
    """The maps of so many episodes, one of each environment, and the grid's height and width; none where places are no cells of a grid."""
    config, envs, _, actor = load(path, count, seed, mixture, epsilon)
    try:
        minigrid = config.env.name.startswith("MiniGrid-")
        if minigrid:
            height, width = MINIGRID_WIDTH, MINIGRID_WIDTH
        elif envs.codes and len(envs.shape) == 2:
            height, width = envs.shape
        else:
            return [], None
        seen, first = np.zeros((count, height * width)), np.full((count, height * width), np.nan)
        walls = np.zeros((count, height * width), bool)
        if config.env.name in WALLS:
            low, high = WALLS[config.env.name]
            shown = np.asarray(actor.row["observation"]).reshape(count, -1)
            walls = (shown >= low) & (shown < high)
        running, length, broken = np.ones(count, bool), np.zeros(count, np.int64), np.zeros(count, bool)
        rows = np.arange(count)

        def visit(place: np.ndarray, where: np.ndarray) -> None:
            there = rows[where & (place >= 0) & (place < height * width)]
            seen[there, place[there]] += 1
            first[there, place[there]] = np.fmin(first[there, place[there]], length[there])

        visit(np.asarray(actor.place), running)
        while running.any():
            actor.advance()
            assert actor.last is not None
            step = actor.last[0]
            moved = running & step.valid
            length += moved
            visit(step.place, moved)
            broken |= running & step.broken
            running &= ~(step.valid & (step.terminated | step.truncated)) & ~step.broken & (length < longest)
    finally:
        envs.close()
    seen[walls] = np.nan
    found, shape = [], (height, width)
    for k in np.flatnonzero(~broken):
        visits, when = seen[k].reshape(shape), first[k].reshape(shape)
        if minigrid:  # only what was visited is known of it
            rows_seen, columns_seen = (np.flatnonzero((visits > 0).any(axis)) for axis in (1, 0))
            if not len(rows_seen):
                continue
            cut = np.s_[
                max(0, rows_seen[0] - 1) : rows_seen[-1] + 2, max(0, columns_seen[0] - 1) : columns_seen[-1] + 2
            ]
            visits, when = visits[cut], when[cut]
        found.append({"name": f"episode {k + 1}: {length[k]:,} steps", "visits": visits, "first": when})
    return found, None if minigrid else shape


def _grid(config: TrainConfig, recording: Recording) -> tuple[int, int] | None:
    """Height and width of the grid that places are cells of, where the pictures show it one pixel a cell."""
    return tuple(recording.pictures.shape[1:3]) if config.env.name.startswith("outrange/") else None  # type: ignore[return-value]


def _told(recording: Recording, name: str, grid: tuple[int, int] | None, config: TrainConfig) -> dict[str, Any]:
    """A recording as the page wants it."""
    return {
        "name": name, "bonus": recording.bonus, "reward": recording.reward, "pictures": recording.pictures,
        "place": recording.place, "places": recording.places,
        "action": recording.action, "action_names": _actions(config), "points": recording.points, "grid": list(grid) if grid else None,
        "terminated": recording.terminated,
    }  # fmt: skip


def _actions(config: TrainConfig) -> list[str]:
    from outrange.core.seeding import SeedTree
    from outrange.exploration.training import environments

    envs = environments(config, SeedTree(config.seed).child("names"), 1)
    try:
        return list(envs.action_names)
    finally:
        envs.close()


def _references(config: TrainConfig, seed: int) -> list[dict[str, Any]]:
    """What a maze's coverage is without learning."""
    from outrange.exploration.envs.references import POLICIES, coverage

    options = dict(pair.split("=", 1) for pair in config.env.options)
    settings = {name: int(options[name]) for name in ("size", "cap") if name in options}
    return [
        {"name": name, "metric": "coverage", "value": float(coverage(name, 128, seed, **settings)[0].mean())}
        for name in POLICIES
    ]
