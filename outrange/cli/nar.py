"""``outrange nar``: train the neural algorithmic reasoner, score it, and see how far its skills reach."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from outrange.cli import app, train

if TYPE_CHECKING:
    from outrange.reasoning.nar.evaluation import ScoreBoard

Algorithms = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="ALGORITHM")]
Source = Annotated[
    str,
    tyro.conf.Positional,
    tyro.conf.arg(metavar="RUN", help="a run, a folder of weights, or the name of shipped weights: generalist"),
]


def evaluate(
    source: Source,
    algorithms: Algorithms = (),
    split: Literal["test", "val"] = "test",
    size: int | None = None,
    count: int | None = None,
    seed: int | None = None,
    kernels: Literal["auto", "torch", "cpu"] = "auto",
    load: app.Load = (),
    json: app.Json = False,
) -> int:
    """Score a reasoner, beside the published scores: micro-F1 on the published test split, or at any other size.

    The published test split has inputs of n = 64, drawn from seed 3.

    Args:
        algorithms: some of those it was taught; all of them if none is named.
        split: test is CLRS-30's; val has the training's longest length and positions.
        size: length of the inputs, instead of the split's; the sampler then draws from the seed.
        count: samples of each algorithm; the split's own number if not given.
        seed: of the sampler.
        kernels: auto takes the fastest for the device.
    """
    from outrange.reasoning.clrs.load import load_modules
    from outrange.reasoning.nar.evaluation import ScoreBoard
    from outrange.reasoning.nar.evaluation import evaluate as score
    from outrange.reasoning.nar.evaluation_sets import evaluation_set
    from outrange.reasoning.nar.reasoner import known_algorithms, spec_options
    from outrange.reasoning.nar.reasoner import load as load_reasoner

    load_modules(load)
    reasoner, about = load_reasoner(source, kernels=kernels)
    names, config = known_algorithms(reasoner, algorithms), about["config"]
    options: dict[str, Any] = dict(size=size, count=count, seed=seed) | spec_options(about)
    if split == "val":  # a validation is of the lengths and positions that the training had
        longest = max(config["lengths"]) if config["lengths"] else None
        options |= dict(random_pos=config["random_positions"], size=size or longest)
    scores = {}
    with app.progress("scoring", "algorithms") as report_progress:
        for done, name in enumerate(names):
            report_progress(done, len(names))
            scores[name] = score(reasoner, evaluation_set(name, split, **options))["score"]
        report_progress(len(names), len(names))
    board = ScoreBoard(scores)
    is_published_split = split == "test" and size is None and seed is None
    if json:
        settings = {"source": source, "split": split, "size": size, "count": count, "seed": seed}
        app.print_json(settings | board.as_dict(is_published_split))
        return 0
    settings = (("length", size), ("samples", count), ("seed", seed))
    title = [source, split, *(f"{name} {value}" for name, value in settings if value is not None)]
    _print_board(board, " · ".join(title), is_published_split)
    return 0


def _print_board(board: "ScoreBoard", title: str, is_published_split: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from outrange.reasoning.nar.published import ABOVE, OVERALL, PUBLISHED

    table = Table(box=None, title=title, title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("algorithm")
    for column in ("ours", "Triplet-GMPNN", "PGN", "MPNN", "Memnet"):
        table.add_column(column, justify="right")
    for name, score in board.scores.items():
        row = PUBLISHED.get(name)  # an algorithm of the user's own has none
        if row is None:
            table.add_row(name, f"{100 * score:.2f}")
            continue
        triplet_gmpnn = f"{row.triplet_gmpnn:.2f} ± {row.std:.2f}"
        table.add_row(
            name, f"{100 * score:.2f}", triplet_gmpnn, f"{row.pgn:.2f}", f"{row.mpnn:.2f}", f"{row.memnet:.2f}"
        )

    # Summaries, over the algorithms that have published scores.
    rows = {name: PUBLISHED[name] for name in board.scores if name in PUBLISHED}
    if len(rows) > 1:
        table.add_section()
        mean = 100 * sum(board.scores[name] for name in rows) / len(rows)
        columns = ("triplet_gmpnn", "pgn", "mpnn", "memnet")
        published_means = [sum(getattr(row, column) for row in rows.values()) / len(rows) for column in columns]
        table.add_row(f"mean of these {len(rows)}", f"{mean:.2f}", *(f"{value:.2f}" for value in published_means))
        if len(rows) == 30:
            categories = board.categories.values()
            table.add_row("mean of categories", f"{100 * sum(categories) / len(categories):.2f}", f"{OVERALL:.2f}")
        above = " / ".join(str(board.count_above(percent)) for percent in (60, 80, 90))
        table.add_row("above 60 / 80 / 90", above, " / ".join(map(str, ABOVE)) if len(rows) == 30 else "")
        if is_published_split:
            table.add_row("at published − 2 std", f"{board.near_published} of {len(rows)}")
    console = Console()
    console.print(table)
    note = "" if is_published_split else "; ours here is not that split"
    console.print(f"published: n = 64, single-task, arXiv 2209.11142{note}; docs/papers/generalist.md", style="dim")


def curve(
    source: Source,
    algorithms: Algorithms = (),
    sizes: tuple[int, ...] = (4, 8, 16, 24, 32, 48, 64),
    count: int = 32,
    seed: int = 3,
    out: Path = Path("out/nar-curve.png"),
    load: app.Load = (),
    json: app.Json = False,
) -> int:
    """The score against the length of the input, as a table and a figure: how far beyond its training a reasoner reaches.

    Args:
        algorithms: some of those it was taught; all of them if none is named.
        sizes: the lengths.
        count: samples of each length.
        seed: of the sampler.
        out: the figure, PNG or SVG.
    """
    from outrange.core.errors import BadInput
    from outrange.reasoning.clrs.load import load_modules
    from outrange.reasoning.nar.evaluation import curve as measure
    from outrange.reasoning.nar.figure import check, draw
    from outrange.reasoning.nar.reasoner import known_algorithms, spec_options
    from outrange.reasoning.nar.reasoner import load as load_reasoner

    check(out)
    if not sizes:
        raise BadInput("sizes: none given; name one or more lengths, e.g. --sizes 8 16 32")
    load_modules(load)
    reasoner, about = load_reasoner(source)
    names, options = known_algorithms(reasoner, algorithms), spec_options(about)
    scores = {}
    with app.progress("scoring", "sizes") as report_progress:
        for index, name in enumerate(names):

            def report_size(done: int, total: int, index: int = index) -> None:
                report_progress(index * total + done, len(names) * total)

            scores[name] = measure(
                reasoner, name, sizes, count=count, seed=seed, report_progress=report_size, **options
            )
    draw(scores, out, trained=about["trained_up_to"])
    if json:
        app.print_json({"source": source, "count": count, "seed": seed, "scores": scores, "figure": str(out)})
        return 0
    width = max(map(len, names))
    print(f"{'':{width}}  " + "  ".join(f"{size:>5}" for size in sizes))
    for name, by_size in scores.items():
        print(f"{name:{width}}  " + "  ".join(f"{100 * score:5.1f}" for score in by_size.values()))
    print(f"figure: {out}")
    return 0


def export(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")],
    note: str = "",
    last: bool = False,
    full: bool = False,
) -> int:
    """Write a run's weights as a folder of its own, with its configuration and hashes: those that were best on validation.

    Args:
        run: the run's directory.
        folder: a new folder.
        note: a sentence on how they were made, which is stored with them.
        last: write the last weights, not the best.
        full: write single precision, not half.
    """
    from outrange.reasoning.nar.weights import export as export_weights

    export_weights(run, folder, {"note": note} if note else {}, half=not full, last=last)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{folder}: {size / 1e6:.1f} MB · next: outrange nar eval {folder}")
    return 0


def bench(
    algorithms: Algorithms = (),
    against_reference: bool = False,
    reference_python: Path | None = None,
    length: int = 16,
    evaluation: int = 0,
    rounds: int = 4,
    steps: int = 3,
    json: app.Json = False,
) -> int:
    """Measure a training step, or a prediction, in one process: CPU seconds and memory of each set of kernels.

    On request the published package, dm-clrs 2.0.3, does the same work in the same run.

    Args:
        algorithms: bfs, insertion_sort, dijkstra and floyd_warshall if none is named.
        against_reference: measure the published package as well, in an environment of its own that is built on first
            use (2.9 GB).
        reference_python: a Python that has dm-clrs 2.0.3 already, instead of building that environment.
        length: of the training traces.
        evaluation: measure a prediction at this length instead of a training step.
        rounds: how often each side has its turn.
        steps: how many steps a turn has.
    """
    from outrange.reasoning.bench import reference_environment
    from outrange.reasoning.nar.bench import ALGORITHMS, as_dict
    from outrange.reasoning.nar.bench import bench as measure

    reference = reference_python or (reference_environment(Path(".venv-reference")) if against_reference else None)
    with app.progress("measuring", "algorithms") as report_progress:
        rows = measure(
            algorithms or ALGORITHMS,
            reference,
            length=length,
            evaluation_length=evaluation,
            rounds=rounds,
            steps=steps,
            report_progress=report_progress,
        )
    if json:
        app.print_json(as_dict(rows))
        return 0
    print(f"{'':16}{'side':>10}{'CPU s':>9}{'wall s':>9}{'first s':>9}{'peak MB':>9}{'÷ theirs':>9}{'memory ÷':>9}")
    references = {row.algorithm: row for row in rows if row.side == "reference"}
    for row in rows:
        reference_row, ratios = references.get(row.algorithm), ""
        if reference_row and reference_row is not row:
            ratios = f"{reference_row.cpu / row.cpu:9.1f}{reference_row.peak_mb / row.peak_mb:9.1f}"
        print(
            f"{row.algorithm:16}{row.side:>10}{row.cpu:9.3f}{row.wall:9.3f}{row.first:9.1f}{row.peak_mb:9.0f}{ratios}"
        )
    return 0


COMMANDS = {"train": train.command("nar"), "eval": evaluate, "curve": curve, "export": export, "bench": bench}
