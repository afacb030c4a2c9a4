"""``outrange explore``: train an agent that explores, score it, watch it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from outrange.cli import app, train
from outrange.cli.flags import Flag, naming, paths

RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="a run's directory")]


def evaluate(
    run: RunPath,
    episodes: int = 128,
    mixture: tuple[int, ...] = (),
    epsilon: float = 0.0,
    seed: int = 0,
    json: app.Json = False,
) -> int:
    """Score a trained agent: mean and standard error of its episodes' returns, coverage and the like.

    Args:
        episodes: how many episodes, for each mixture.
        mixture: which mixtures of reward and bonus the agent follows; 0 exploits, the last explores most. If not given,
            all of them, or four spread over all.
        epsilon: share of random actions.
        seed: of the environments; no environment of the training is among them.
    """
    from outrange.core.run import Run
    from outrange.exploration.config import TrainConfig
    from outrange.exploration.evaluation import evaluate as score
    from outrange.exploration.metrics import EPISODE_METRICS

    count = Run.configuration(run, TrainConfig).bonus.mixtures
    rows = []
    for index in mixture or sorted({0, count // 3, 2 * count // 3, count - 1}):
        with app.progress(f"mixture {index}", "episodes") as report_progress:
            rows.append(score(run, episodes, seed, index, epsilon, report_progress))
    if json:
        app.print_json(rows)
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    # what every row has a standard error of, where it is not 0 throughout
    columns = [name for name in EPISODE_METRICS if f"{name}_error" in rows[0] and any(row[name] for row in rows)]
    for column in ("mixture", *columns):
        table.add_column(column, justify="right")
    for row in rows:
        cells = [_with_error(EPISODE_METRICS[name].unit, row[name], row[f"{name}_error"]) for name in columns]
        table.add_row(str(row["mixture"]), *cells)
    print(f"{rows[0]['agent']} in {rows[0]['env']} · {rows[0]['episodes']} episodes each")
    Console(highlight=False).print(table)
    return 0


def _with_error(unit: str, value: float, error: float) -> str:
    if unit == "share":
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
        mixture: which mixture of reward and bonus the agent follows; the last, which explores most, if not given.
        epsilon: share of random actions.
        seed: of the environment.
        pace: seconds a step.
        scale: how many times as wide and high the film is as the agent's picture; 0 takes what is well seen.
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
    """Write one HTML file about runs: learning curves, where the agent goes, the bonus along an episode, its memory.

    Runs that differ in the seed alone are drawn as one curve with a band.

    Args:
        out: the file.
        episodes: how many are played for each row of its table; 0 shows what was logged in training alone.
        maps: how many episodes are drawn as maps.
        mixture: which mixture of reward and bonus the agent follows; the last, which explores most, if not given.
        seed: of the environments.
    """
    from outrange.core.atomic import make_way, writable, write_text
    from outrange.exploration.story import collect
    from outrange.report.explore import page as page_of

    make_way("out", out)
    with app.progress("page", "episodes") as report_progress:
        command = app.command_line()
        story = collect(runs, episodes, maps, seed, mixture, command=command, report_progress=report_progress)
    with writable("out", out):
        write_text(out, page_of(story))
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
    return 0


def references(size: int = 21, cap: int = 500, episodes: int = 256, seed: int = 0, json: app.Json = False) -> int:
    """What policies that learn nothing cover of a Random Disco Maze, to compare an agent's coverage with.

    Except for the uniform one they know which moves are legal, which an agent does not.

    Args:
        size: side of the maze, odd.
        cap: steps of an episode.
        episodes: how many, for each policy.
        seed: of mazes and moves.
    """
    from outrange.exploration.envs.references import POLICIES, coverage

    rows = []
    for policy in POLICIES:
        shares, lengths = coverage(policy, episodes, seed, size=size, cap=cap)
        row = {"policy": policy, "coverage": float(shares.mean()), "coverage_sd": float(shares.std())}
        rows.append(row | {"length": float(lengths.mean()), "episodes": episodes})
    if json:
        app.print_json(rows)
        return 0
    print(f"{'policy':14} {'coverage':>8} {'sd':>6} {'length':>7}")
    for row in rows:
        print(f"{row['policy']:14} {row['coverage']:8.1%} {row['coverage_sd']:6.1%} {row['length']:7.1f}")
    return 0


BENCHMARK = (
    "Environment steps a CPU-second, learning included, and where the time goes. "
    "The warm-up of the embedding is left out."
)


def bench(program: str, arguments: Sequence[str]) -> int:
    """``outrange explore bench``: its flags are those of a training; ``--steps`` are those of a round."""
    kind = train.KINDS["explore"]
    extra = {
        "steps": Flag(type=int, default=20_000, help="environment steps of each round"),
        "rounds": Flag(type=int, default=3, help="how often it is measured; the median counts"),
        "json": Flag(type=app.Json, default=False),
    }
    config, chosen = train.configure(kind, program, BENCHMARK, arguments, extra=extra, hidden=("steps",))

    from outrange.exploration.bench import bench as measure

    with naming({*paths(config), *extra}), app.progress("bench", "steps") as report_progress:
        result = measure(config, chosen.steps, chosen.rounds, report_progress)
    if chosen.json:
        app.print_json(result)
        return 0
    sizes = f"batch {result['batch']} · replay ratio {result['ratio']:g} · threads {result['threads']}"
    rounds = ", ".join(f"{rate:,.0f}" for rate in result["rounds"])
    rate = f"{result['steps_per_cpu_second']:,.0f} steps a CPU-second ({rounds})"
    shares = sorted(result["shares"].items(), key=lambda part: -part[1])
    print(f"{result['agent']} in {result['env']} · {sizes}")
    print(f"{rate} · {result['milliseconds_per_update']:.1f} ms an update")
    print(" · ".join(f"{name} {share:.0%}" for name, share in shares))
    return 0


COMMANDS = {
    "train": train.command("explore"),
    "eval": evaluate,
    "watch": watch,
    "page": page,
    "references": references,
    "bench": app.Configured(BENCHMARK, bench),
}
