"""``outrange explore``: train an agent that explores, score it, watch it."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from outrange.cli import app

RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="a run's directory")]
Agent = Literal["ngu", "ngu-episodic", "ngu-projection", "rnd", "r2d2"]
Preset = Literal["smoke", "disco", "minigrid", "atari-laptop", "atari-paper"]
Options = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(
        metavar="NAME=VALUE",
        help="an option of the environment, e.g. size=15, beside those of its preset; may be repeated",
    ),
]
Set = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(
        name="set",
        metavar="KEY=VALUE",
        help="any other setting of config.json, e.g. learner.gamma=0.97 or bonus.beta=0.5; may be repeated",
    ),
]


def train(
    agent: Agent | None = None,
    env: str | None = None,
    preset: Preset | None = None,
    out: Path | None = None,
    config: Path | None = None,
    option: Options = (),
    change: Set = (),
    envs: int | None = None,
    engine: Literal["auto", "native", "gymnasium", "envpool", "ale"] | None = None,
    steps: int | None = None,
    mixtures: int | None = None,
    beta: float | None = None,
    seed: int | None = None,
    log_every: int | None = None,
    checkpoint_every: int | None = None,
    device: Literal["auto", "cpu", "cuda"] | None = None,
    threads: int | None = None,
    json: app.Json = False,
) -> int:
    """Train one agent. A run that was stopped goes on when the command is given again.

    Whatever is not given is the preset's; `outrange run show RUN` prints the whole of it.

    Args:
        agent: ngu if not given; without its life-long factor, without learning its embedding, with the life-long factor alone, or without a bonus.
        env: outrange/RandomDiscoMaze-v0, RandomCoin-v0, TwoDoors-v0 or DeepSea-v0, a MiniGrid or ALE id, or any Gymnasium id with discrete actions.
        preset: smoke takes seconds, disco and minigrid minutes, atari-laptop an hour; atari-paper the paper's. The one made for the environment if not given.
        out: the run's directory; runs/explore-<agent>-<env>-<seed> if not given.
        config: a JSON file with the whole configuration, as in a run's config.json, instead of a preset.
        option: of the environment.
        change: of anything else.
        envs: how many environments side by side.
        engine: what runs the environments; auto takes the fastest installed.
        steps: of the environments, in all.
        mixtures: N, how many mixtures r^e + beta_j r^i one network learns.
        beta: the largest weight of the bonus.
        seed: of everything.
        log_every: steps between lines of metrics.
        checkpoint_every: steps between checkpoints.
        device: where to compute.
        threads: of the process.
    """
    from dataclasses import replace

    from outrange.core.config import assignments
    from outrange.core.config import load as read
    from outrange.core.errors import BadInput
    from outrange.exploration.config import TrainConfig, changed
    from outrange.exploration.presets import fitting
    from outrange.exploration.presets import preset as named
    from outrange.exploration.training import train as run

    if config is not None and (agent or preset):
        raise BadInput(
            f"config: {str(config)!r} is a whole configuration; leave out --agent and --preset, or give them without --config"
        )
    if config is not None:
        chosen = read(TrainConfig, config)
    else:
        chosen = named(preset or (fitting(env) if env else "disco"), agent or "ngu")
    usual = chosen.env
    pairs = {
        "env.name": env, "env.count": envs, "env.engine": engine, "steps": steps, "bonus.mixtures": mixtures, "bonus.beta": beta, "seed": seed,
        "log_every": log_every, "checkpoint_every": checkpoint_every, "device": device, "threads": threads,
    }  # fmt: skip
    chosen = changed(
        chosen, {name: value for name, value in pairs.items() if value is not None} | assignments("set", change)
    )
    chosen = replace(chosen, env=replace(chosen.env, options=_options(usual, chosen.env, option)))
    path = out or _default(chosen)
    print(
        f"{chosen.agent} in {chosen.env.name} · {chosen.env.count} side by side · {chosen.steps:,} steps · run: {path}",
        file=sys.stderr,
    )
    with app.progress(f"{chosen.agent}", "steps") as update:
        result = run(chosen, path, lambda told: _tell(told, update))
    if json:
        app.print_json({"run": str(path), **result})
        return int(result["stopped"])
    return app.trained(result, _found(result["last"]), path, f"outrange explore eval {path}")


def _options(usual: Any, env: Any, given: tuple[str, ...]) -> tuple[str, ...]:
    """The options of an environment: those that were given, and beside them its preset's, if it is the preset's environment."""
    names = {pair.partition("=")[0] for pair in given}
    kept = env.options if env.name == usual.name or env.options != usual.options else ()
    return tuple(pair for pair in kept if pair.partition("=")[0] not in names) + given


def _default(config: Any) -> Path:
    from outrange.core.run import default

    return default("explore", f"{config.agent}-{config.env.name.split('/')[-1]}-{config.seed}")


def _tell(told: dict[str, Any], update: Any) -> None:
    update(told["step"], told["steps"])
    if told.get("logged") and not sys.stderr.isatty():
        print(
            f"step {told['step']:,}/{told['steps']:,} · {told['steps_per_second']:,.0f} steps/s{_found(told)}",
            file=sys.stderr,
        )


def _found(values: dict[str, Any]) -> str:
    """The numbers one watches, of the greedy actors where there are such."""
    shown = []
    for name, form in (("return", ".3g"), ("coverage", ".1%"), ("places", ".1f"), ("length", ".0f")):
        key = f"greedy_{name}" if f"greedy_{name}" in values else name
        if values.get(key):
            shown.append(f"{key.replace('_', ' ')} {values[key]:{form}}")
    for name in ("bonus", "loss", "embedding_accuracy"):
        if name in values:
            shown.append(f"{name.replace('_', ' ')} {values[name]:.3g}")
    return "".join(f" · {part}" for part in shown)


def evaluate(
    run: RunPath,
    episodes: int = 128,
    mixture: tuple[int, ...] = (),
    epsilon: float = 0.0,
    seed: int = 0,
    json: app.Json = False,
) -> int:
    """Let a trained agent act, and print what its episodes come to: mean and standard error over episodes.

    Args:
        episodes: how many, for each mixture.
        mixture: whose policy; 0 exploits, the last explores most. All of them if not given, up to four.
        epsilon: share of random actions.
        seed: of the environments; none of them is one of training's.
    """
    from outrange.core.run import Run
    from outrange.exploration.config import TrainConfig
    from outrange.exploration.evaluation import evaluate as score

    count = Run.configuration(run, TrainConfig).bonus.mixtures
    chosen = mixture or tuple(sorted({0, count // 3, 2 * count // 3, count - 1}))
    rows = []
    for each in chosen:
        with app.progress(f"mixture {each}", "episodes") as update:
            rows.append(score(run, episodes, seed, each, epsilon, update))
    if json:
        app.print_json(rows)
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = [
        name
        for name in ("return", "success", "coverage", "places", "length", "bonus")
        if any(row[name] for row in rows)
    ]
    for column in ("mixture", *columns):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(str(row["mixture"]), *(_shown(name, row[name], row[f"{name}_error"]) for name in columns))
    print(f"{rows[0]['agent']} in {rows[0]['env']} · {rows[0]['episodes']} episodes each")
    Console(highlight=False).print(table)
    return 0


def _shown(name: str, value: float, error: float) -> str:
    if name in ("success", "coverage"):
        return f"{value:.1%} ± {error:.1%}"
    return f"{value:.3g} ± {error:.2g}"


def watch(
    run: RunPath,
    out: Path | None = None,
    mixture: int | None = None,
    epsilon: float = 0.0,
    seed: int = 0,
    pace: float = 0.05,
    scale: int = 0,
) -> int:
    """Play one episode of a trained agent: in the terminal, or into a file.

    Args:
        out: a .gif, or an .mp4 if ffmpeg is installed; the terminal if not given.
        mixture: whose policy; the last, which explores most, if not given.
        epsilon: share of random actions.
        seed: of the environment.
        pace: seconds a step.
        scale: pixels of the file for each of the picture's; 0 chooses.
    """
    from outrange.core.atomic import make_way
    from outrange.core.run import Run
    from outrange.exploration.config import TrainConfig
    from outrange.exploration.evaluation import record
    from outrange.exploration.watch import save, to_terminal

    if out is not None:
        make_way("out", out)
    last = Run.configuration(run, TrainConfig).bonus.mixtures - 1
    recording = record(run, seed, last if mixture is None else mixture, epsilon)
    if out is None:
        to_terminal(recording, sys.stdout, pace)
        return 0
    save(recording, out, scale, pace)
    print(f"{out}: {len(recording.action)} steps, {out.stat().st_size / 1e6:.1f} MB")
    return 0


def page(
    runs: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="RUN …", help="directories of runs in one environment"),
    ],
    out: Path = Path("out/explore.html"),
    episodes: int = 64,
    maps: int = 6,
    mixture: int | None = None,
    seed: int = 0,
) -> int:
    """Write a page to mail: curves, where the agent goes, the bonus along an episode, its memory. Runs that differ in the seed become a band.

    Args:
        out: the page.
        episodes: of each row of its table; 0 for the logs alone.
        maps: of episodes.
        mixture: whose policy is watched; the last, which explores most, if not given.
        seed: of the environments.
    """
    from outrange.core.atomic import make_way, writable, write_text
    from outrange.exploration.story import collect
    from outrange.report.explore import page as html_of

    make_way("out", out)
    with app.progress("page", "episodes") as update:
        typed = app.command_line(app.typed("explore"))
        story = collect(runs, episodes, maps, seed, mixture, command=typed, report_progress=update)
    with writable("out", out):
        write_text(out, html_of(story))
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
    return 0


def references(size: int = 21, cap: int = 500, episodes: int = 256, seed: int = 0, json: app.Json = False) -> int:
    """What policies that learn nothing cover of a Random Disco Maze: the lines to print beside a curve. They are told which moves are legal; an agent is not.

    Args:
        size: side of the maze, odd.
        cap: steps of an episode.
        episodes: of each policy.
        seed: of mazes and moves.
    """
    from outrange.exploration.envs.references import POLICIES, coverage

    rows = []
    for policy in POLICIES:
        share, length = coverage(policy, episodes, seed, size=size, cap=cap)
        rows.append(
            {
                "policy": policy,
                "coverage": float(share.mean()),
                "coverage_sd": float(share.std()),
                "length": float(length.mean()),
                "episodes": episodes,
            }
        )
    if json:
        app.print_json(rows)
        return 0
    print(f"{'policy':14} {'coverage':>8} {'sd':>6} {'length':>7}")
    for row in rows:
        print(f"{row['policy']:14} {row['coverage']:8.1%} {row['coverage_sd']:6.1%} {row['length']:7.1f}")
    return 0


def bench(
    preset: Preset = "disco",
    agent: Agent = "ngu",
    env: str | None = None,
    change: Set = (),
    steps: int = 20_000,
    rounds: int = 3,
    json: app.Json = False,
) -> int:
    """Environment steps a CPU-second, learning included, and where the time goes.

    Args:
        preset: whose settings; the warm-up of the embedding is left out.
        agent: as in train.
        env: instead of the preset's.
        change: of any other setting, as in train.
        steps: of each round.
        rounds: the median counts.
    """
    from outrange.core.config import assignments
    from outrange.exploration.bench import bench as measure
    from outrange.exploration.config import changed
    from outrange.exploration.presets import preset as named

    config = changed(named(preset, agent), ({"env.name": env} if env else {}) | assignments("set", change))
    with app.progress("bench", "steps") as update:
        found = measure(config, steps, rounds, update)
    if json:
        app.print_json(found)
        return 0
    print(
        f"{found['agent']} in {found['env']} · batch {found['batch']} · replay ratio {found['ratio']:g} · threads {found['threads']}"
    )
    print(
        f"{found['steps_per_cpu_second']:,.0f} steps a CPU-second ({', '.join(f'{rate:,.0f}' for rate in found['rounds'])})",
        end="",
    )
    print(f" · {found['milliseconds_per_update']:.1f} ms an update")
    print(
        " · ".join(f"{name} {share:.0%}" for name, share in sorted(found["shares"].items(), key=lambda pair: -pair[1]))
    )
    return 0


def run(arguments: list[str]) -> int:
    commands = {
        "train": train,
        "eval": evaluate,
        "watch": watch,
        "page": page,
        "references": references,
        "bench": bench,
    }
    return app.run_group("explore", commands, arguments)
