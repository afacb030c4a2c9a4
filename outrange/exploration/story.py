"""The story of runs for their page (outrange/report/explore): their logs, and what the newest checkpoint does in
episodes of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from outrange.core import checkpoint, metrics
from outrange.core.checks import whole
from outrange.core.config import assignments, read_object, to_json
from outrange.core.errors import BadInput
from outrange.core.run import Run
from outrange.core.seeding import SeedTree
from outrange.exploration.acting.actor import environments
from outrange.exploration.config import TrainConfig
from outrange.exploration.envs import NATIVE, Envs
from outrange.exploration.envs.observations import MINIGRID_WIDTH
from outrange.exploration.envs.references import POLICIES, coverage
from outrange.exploration.evaluation import Recording, evaluate, record, stage
from outrange.exploration.maps import maps_of, record_visits
from outrange.exploration.metrics import glossary
from outrange.report.explore import Episode, Map, Meaning, Reference, RunLog, Story

MAZE = "outrange/RandomDiscoMaze-v0"
_REFERENCE_EPISODES = 128

#: settings that say where and how long a run is computed, not what: runs that differ in these alone are alike
_NEUTRAL_SETTINGS = {
    "seed",
    "steps",
    "log_every",
    "checkpoint_every",
    "max_broken_episodes",
    "threads",
    "device",
    "preset",
    "acting.separate_process",
    "acting.steps_ahead",
    "env.engine",
}


@dataclass(frozen=True, kw_only=True)
class _OpenedRun:
    """A run of which a page tells."""

    path: Path
    config: TrainConfig
    label: str
    """its agent, and the settings in which it differs from other runs of that agent"""

    @property
    def name(self) -> str:
        return f"{self.label}, seed {self.config.seed}"

    def has_checkpoint(self) -> bool:
        return bool(checkpoint.steps(Run.open(self.path).checkpoints))


def collect(
    paths: Sequence[Path],
    episodes: int = 64,
    maps: int = 6,
    seed: int = 0,
    mixture: int | None = None,
    epsilon: float = 0.0,
    max_steps: int = 2000,
    references: bool = True,
    title: str = "",
    command: str = "",
    report_progress: Callable[[int, int], None] | None = None,
) -> Story:
    """The story of runs for ``report.explore.page``.

    Runs whose configurations differ in the seed alone become one curve; other differences are compared, group by group.

    Args:
        paths: directories of runs in one environment. A run that has no checkpoint yet is shown by its logs alone.
        episodes: for each row of the evaluation; 0: logs only, nothing is played.
        maps: how many episodes' maps are shown; 0: none.
        seed: of the environments; none of them is one of training's.
        mixture: whose policy plays for maps and the episode; the last, which explores most, if not given.
        epsilon: share of random actions.
        max_steps: of the episode and of each map's episode; longer ones are cut.
        references: whether policies that learn nothing are run in the maze, to stand beside the curves.
        title: of the page; made of agents and environment if not given.
        command: the command line that makes the page, to be printed on it.
        report_progress: called with (episodes done, episodes in all) of the evaluation.

    Raises:
        BadInput: no runs, one that is not of this kind, or runs in different environments; or what ``evaluation.stage``
            refuses.
    """
    if not paths:
        raise BadInput("runs: [] is not allowed; give at least one run's directory")
    whole("episodes", episodes, 0)
    whole("maps", maps, 0)
    opened = _open_all([Path(path) for path in paths])
    _check_same_environment(opened)

    # what the logs say
    notes: list[str] = []
    several_labels = len({run.label for run in opened}) > 1
    logs: list[RunLog] = []
    logged: list[_OpenedRun] = []
    for run in opened:
        lines = _read_lines(run.path / "metrics.jsonl", notes)
        if not lines:
            notes.append(f"{run.path} has logged nothing yet; it is left out.")
            continue
        timing = _read_lines(run.path / "timing.jsonl", notes)
        group = run.label if several_labels else ""
        logs.append(RunLog(name=run.name, group=group, metrics=lines, timing=timing))
        logged.append(run)
    if not logged:
        raise BadInput(f"run: {str(paths[0])!r} has logged nothing yet; wait for the first line of its metrics.jsonl")

    # what the newest checkpoints do
    trained = [run for run in logged if run.has_checkpoint()]
    evaluation: list[dict[str, Any]] = []
    episode, visited = None, []
    if episodes and not trained:
        notes.append("There is no checkpoint yet, so there is no episode to show.")
    elif episodes:
        evaluation = _evaluation(trained, episodes, seed, epsilon, report_progress)
        episode, visited = _played(trained[0], maps, seed, mixture, epsilon, max_steps)
        if len(trained) > 1:
            notes.append(f"Episode and maps are of {episode.name}.")

    first = logged[0]
    marks = _references(first.config, seed) if references and first.config.env.name == MAZE else []
    if marks:
        notes.append(
            "All policies that learn nothing, but the uniform one, know which moves are legal; the agent does not."
        )
    return Story(
        title=title or _title(logged),
        subtitle=_subtitle([run.config for run in logged]),
        command=command,
        notes=notes,
        runs=logs,
        glossary=_meanings([run.config for run in logged]),
        references=marks,
        config=to_json(first.config),
        environment=_environment_record(first.path),
        maps=visited,
        episode=episode,
        evaluation=evaluation,
    )


# ---------- runs and their names ----------


def _open_all(paths: Sequence[Path]) -> list[_OpenedRun]:
    configs = [Run.configuration(path, TrainConfig) for path in paths]
    labels = _labels(configs)
    return [
        _OpenedRun(path=path, config=config, label=label)
        for path, config, label in zip(paths, configs, labels, strict=True)
    ]


def _check_same_environment(opened: Sequence[_OpenedRun]) -> None:
    first = opened[0]
    for run in opened:
        if (run.config.env.name, run.config.env.options) != (first.config.env.name, first.config.env.options):
            this, that = (" ".join((env.name, *env.options)) for env in (run.config.env, first.config.env))
            raise BadInput(
                f"run: {str(run.path)!r} is of {this}, and {str(first.path)!r} of {that}; give runs in one environment"
            )


def _labels(configs: Sequence[TrainConfig]) -> list[str]:
    """What to call each run: its agent, and the settings in which it differs from other runs of the same agent."""
    all_settings = [_compared_settings(to_json(config)) for config in configs]
    labels: list[str] = []
    for config, settings in zip(configs, all_settings, strict=True):
        # what differs among runs of one agent tells them apart; another agent is told by its name
        same_agent = [other for other, owner in zip(all_settings, configs, strict=True) if owner.agent == config.agent]
        differing = [key for key in settings if len({other.get(key) for other in same_agent}) > 1]
        labels.append(" ".join([config.agent, *(f"{key.split('.')[-1]}={settings[key]}" for key in differing)]))
    return labels


def _compared_settings(settings: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted name -> text, without ``_NEUTRAL_SETTINGS``."""
    flat: dict[str, str] = {}
    for key, value in settings.items():
        name = prefix + key
        if isinstance(value, dict):
            flat |= _compared_settings(value, f"{name}.")
        elif name not in _NEUTRAL_SETTINGS:
            flat[name] = str(value)
    return flat


def _title(runs: Sequence[_OpenedRun]) -> str:
    labels = dict.fromkeys(run.label for run in runs)
    return f"{' and '.join(labels)} in {runs[0].config.env.name.split('/')[-1]}"


def _subtitle(configs: Sequence[TrainConfig]) -> str:
    seeds = sorted({config.seed for config in configs})
    seed_text = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
    options = " ".join(configs[0].env.options)
    return " · ".join(part for part in (options, seed_text) if part)


# ---------- logs ----------


def _read_lines(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    return metrics.read(path, notes) if path.is_file() else []


def _environment_record(path: Path) -> dict[str, Any]:
    """Versions and machine, as a run keeps them."""
    record_path = path / "environment.json"
    return read_object(record_path, "run") if record_path.is_file() else {}


def _meanings(configs: Sequence[TrainConfig]) -> dict[str, Meaning]:
    """Unit and meaning of every number that the logs of these runs can hold."""
    mixtures = max(config.bonus.mixtures for config in configs)
    return {name: Meaning(metric.unit, metric.meaning) for name, metric in glossary(mixtures).items()}


# ---------- what the newest checkpoint does ----------


def _evaluation(
    runs: Sequence[_OpenedRun],
    episodes: int,
    seed: int,
    epsilon: float,
    report_progress: Callable[[int, int], None] | None,
) -> list[dict[str, Any]]:
    """A row for each run and mixture; at most four mixtures, from the one that exploits to the one that explores
    most."""
    # at most four mixtures of each run, evenly spread
    played: list[tuple[_OpenedRun, int]] = []
    for run in runs:
        count = run.config.bonus.mixtures
        played += [(run, mixture) for mixture in sorted({0, count // 3, 2 * count // 3, count - 1})]
    rows = []
    for number, (run, mixture) in enumerate(played):

        def report_row(done: int, total: int, earlier: int = number) -> None:
            # every row plays the same number of episodes
            if report_progress is not None:
                report_progress(earlier * total + done, len(played) * total)

        row = evaluate(run.path, episodes, seed, mixture, epsilon, report_row)
        rows.append({**row, "run": run.name})
    return rows


def _played(
    run: _OpenedRun, map_count: int, seed: int, mixture: int | None, epsilon: float, max_steps: int
) -> tuple[Episode, list[Map]]:
    """One episode of the newest checkpoint, and the maps of others."""
    mixtures = run.config.bonus.mixtures
    mixture = mixtures - 1 if mixture is None else mixture
    recording = record(run.path, seed=seed, mixture=mixture, epsilon=epsilon, max_steps=max_steps)
    name = run.name + (f", mixture {mixture} of {mixtures}" if mixtures > 1 else "")
    maps = _maps(run.path, map_count, seed, mixture, epsilon, max_steps) if map_count else []
    return _episode(recording, name, run.config), maps


def _maps(path: Path, count: int, seed: int, mixture: int, epsilon: float, max_steps: int) -> list[Map]:
    """The maps of so many episodes, one of each environment; none where places are no cells of a grid."""
    acting = stage(path, count, seed, mixture, epsilon)
    config, envs, actor = acting.config, acting.envs, acting.actor
    try:
        grid = _grid(config, envs)
        if grid is None:
            return []
        walls = _walls(config, envs, np.asarray(actor.row["observation"]))
        recorded = record_visits(actor, *grid, max_steps)
    finally:
        envs.close()
    return maps_of(recorded, walls)


def _grid(config: TrainConfig, envs: Envs) -> tuple[int, int] | None:
    """Height and width of the grid in which place y W + x is the cell x, y; None where places are something else."""
    if config.env.name.startswith("MiniGrid-"):
        return MINIGRID_WIDTH, MINIGRID_WIDTH
    if envs.codes and len(envs.shape) == 2:
        height, width = envs.shape
        return height, width
    return None


def _walls(config: TrainConfig, envs: Envs, observation: np.ndarray) -> np.ndarray | None:
    """(B, H, W) bool: which cells of the first observations (B, H, W) are walls; None where the agent is not shown the
    whole grid."""
    if config.env.name.startswith("MiniGrid-"):
        return None
    codes = NATIVE[config.env.name].wall_codes if config.env.name in NATIVE else range(0)
    return np.isin(observation.reshape(envs.count, *envs.shape), codes)


def _episode(recording: Recording, name: str, config: TrainConfig) -> Episode:
    """A recording as the page shows it."""
    # our own environments draw one pixel a cell, so their pictures have the size of the grid
    height, width = recording.pictures.shape[1:3]
    return Episode(
        name=name,
        bonus=recording.bonus,
        reward=recording.reward,
        pictures=recording.pictures,
        place=recording.place,
        place_count=recording.places,
        action=recording.action,
        action_names=_action_names(config),
        points=recording.points,
        grid=(height, width) if config.env.name.startswith("outrange/") else None,
        terminated=recording.terminated,
    )


def _action_names(config: TrainConfig) -> list[str]:
    envs = environments(config, SeedTree(config.seed).child("names"), 1)
    try:
        return list(envs.action_names)
    finally:
        envs.close()


def _references(config: TrainConfig, seed: int) -> list[Reference]:
    """What share of a maze policies that learn nothing visit."""
    options = assignments("env.options", config.env.options)
    settings = {name: options[name] for name in ("size", "cap") if name in options}
    marks = []
    for policy in POLICIES:
        shares, _ = coverage(policy, _REFERENCE_EPISODES, seed, **settings)
        marks.append(Reference(name=policy, metric="coverage", value=float(shares.mean())))
    return marks
