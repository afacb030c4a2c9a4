"""``outrange nar``: train the neural algorithmic reasoner, score it, and see what it knows."""

from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from outrange.cli import app, train

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
    """Score a reasoner beside the published columns: micro-F1 on the published test split (n = 64, seed 3), or at any
    other size.

    Args:
        algorithms: some of those it knows; all if none is named.
        split: test is CLRS-30's; val has the training's longest length and positions.
        size: another length; the sampler then draws from the seed.
        count: samples of each; the split's own number if not given.
        seed: of the sampler.
        kernels: auto takes the fastest.
    """
    from outrange.reasoning.clrs.load import load_modules
    from outrange.reasoning.nar.evaluation import ScoreBoard
    from outrange.reasoning.nar.evaluation import evaluate as score
    from outrange.reasoning.nar.evaluation_sets import evaluation_set
    from outrange.reasoning.nar.reasoner import known_algorithms, spec_options
    from outrange.reasoning.nar.reasoner import load as read

    load_modules(load)
    reasoner, about = read(source, kernels=kernels)
    names = known_algorithms(reasoner, algorithms)
    scores = {}
    config = about["config"]
    given: dict[str, Any] = dict(size=size, count=count, seed=seed) | spec_options(about)
    if split == "val":
        given |= dict(
            random_pos=config["random_positions"], size=size or (max(config["lengths"]) if config["lengths"] else None)
        )
    with app.progress("scoring", "algorithms") as update:
        for k, name in enumerate(names):
            update(k, len(names))
            scores[name] = score(reasoner, evaluation_set(name, split, **given))["score"]
        update(len(names), len(names))
    board = ScoreBoard(scores)
    published = split == "test" and size is None and seed is None
    if json:
        app.print_json(
            {"source": source, "split": split, "size": size, "count": count, "seed": seed, **board.as_dict(published)}
        )
        return 0
    parts = [
        source,
        split,
        *(
            f"{name} {value}"
            for name, value in (("length", size), ("samples", count), ("seed", seed))
            if value is not None
        ),
    ]
    _print_board(board, " · ".join(parts), published)
    return 0


def _print_board(board, title: str, published: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from outrange.reasoning.nar.published import ABOVE, OVERALL, PUBLISHED

    table = Table(box=None, title=title, title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("algorithm")
    for column in ("ours", "Triplet-GMPNN", "PGN", "MPNN", "Memnet"):
        table.add_column(column, justify="right")
    for name, value in board.scores.items():
        p = PUBLISHED.get(name)
        theirs = (
            (f"{p.triplet_gmpnn:.2f} ± {p.std:.2f}", f"{p.pgn:.2f}", f"{p.mpnn:.2f}", f"{p.memnet:.2f}")
            if p
            else ("",) * 4
        )
        table.add_row(name, f"{100 * value:.2f}", *theirs)
    mine = [value for name, value in board.scores.items() if name in PUBLISHED]
    known = [PUBLISHED[n] for n in board.scores if n in PUBLISHED]
    if len(known) > 1:
        table.add_section()
        means = [sum(getattr(p, c) for p in known) / len(known) for c in ("triplet_gmpnn", "pgn", "mpnn", "memnet")]
        table.add_row(f"mean of these {len(known)}", f"{100 * sum(mine) / len(mine):.2f}", *(f"{m:.2f}" for m in means))
        if len(known) == 30:
            categories = board.categories.values()
            table.add_row("mean of categories", f"{100 * sum(categories) / len(categories):.2f}", f"{OVERALL:.2f}")
        above = " / ".join(str(board.count_above(p)) for p in (60, 80, 90))
        table.add_row("above 60 / 80 / 90", above, " / ".join(map(str, ABOVE)) if len(known) == 30 else "")
        if published:
            table.add_row("at published − 2 std", f"{board.near_published} of {len(known)}")
    console = Console()
    console.print(table)
    note = "" if published else "; ours here is not that split"
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
    """How far it reaches: the score against the length of the input, as a table and a figure.

    Args:
        algorithms: some of those it knows; all if none is named.
        sizes: the lengths.
        count: samples at each.
        seed: of the sampler.
        out: the figure, PNG or SVG.
    """
    from outrange.core.errors import BadInput
    from outrange.reasoning.clrs.load import load_modules
    from outrange.reasoning.nar.evaluation import curve as measure
    from outrange.reasoning.nar.figure import check, draw
    from outrange.reasoning.nar.reasoner import known_algorithms, spec_options
    from outrange.reasoning.nar.reasoner import load as read

    check(out)
    if not sizes:
        raise BadInput("sizes: none given; name one or more lengths, e.g. --sizes 8 16 32")
    load_modules(load)
    reasoner, about = read(source)
    names = known_algorithms(reasoner, algorithms)
    found = {}
    with app.progress("scoring", "sizes") as update:
        for k, name in enumerate(names):
            found[name] = measure(
                reasoner,
                name,
                sizes,
                count=count,
                seed=seed,
                report_progress=lambda j, _, k=k: update(k * len(sizes) + j, len(names) * len(sizes)),
                **spec_options(about),
            )
    draw(found, out, trained=about["trained_up_to"])
    if json:
        app.print_json({"source": source, "count": count, "seed": seed, "scores": found, "figure": str(out)})
        return 0
    width = max(map(len, names))
    print(f"{'':{width}}  " + "  ".join(f"{n:>5}" for n in sizes))
    for name, values in found.items():
        print(f"{name:{width}}  " + "  ".join(f"{100 * v:5.1f}" for v in values.values()))
    print(f"figure: {out}")
    return 0


def export(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")],
    note: str = "",
    last: bool = False,
    full: bool = False,
) -> int:
    """Write a run's weights, the best on validation, with its configuration and hashes, as a folder to keep or give
    away.

    Args:
        run: the run's directory.
        folder: a new folder.
        note: a sentence on how they were made, kept with them.
        last: the last weights, not the best.
        full: single precision, not half.
    """
    from outrange.reasoning.nar.weights import export as write

    write(run, folder, {"note": note} if note else {}, half=not full, last=last)
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
    """A training step, or a prediction, of one process: CPU seconds and memory of each set of kernels, beside dm-clrs
    2.0.3 on request.

    Args:
        algorithms: bfs, insertion_sort, dijkstra and floyd_warshall if none is named.
        against_reference: beside the published package, in an environment of its own (2.9 GB, made once).
        reference_python: a Python that has dm-clrs 2.0.3, instead.
        length: of the training traces.
        evaluation: measure a prediction at this length instead of a training step.
        rounds: turns that the sides take.
        steps: steps a turn.
    """
    from outrange.reasoning.bench import reference_environment
    from outrange.reasoning.nar.bench import ALGORITHMS, as_dict
    from outrange.reasoning.nar.bench import bench as measure

    reference = reference_python or (reference_environment(Path(".venv-reference")) if against_reference else None)
    with app.progress("measuring", "algorithms") as update:
        rows = measure(
            algorithms or ALGORITHMS,
            reference,
            length=length,
            evaluation_length=evaluation,
            rounds=rounds,
            steps=steps,
            report_progress=update,
        )
    if json:
        app.print_json(as_dict(rows))
        return 0
    print(f"{'':16}{'side':>10}{'CPU s':>9}{'wall s':>9}{'first s':>9}{'peak MB':>9}{'÷ theirs':>9}{'memory ÷':>9}")
    theirs = {r.algorithm: r for r in rows if r.side == "reference"}
    for r in rows:
        t = theirs.get(r.algorithm)
        ratios = f"{t.cpu / r.cpu:9.1f}{t.peak_mb / r.peak_mb:9.1f}" if t and t is not r else ""
        print(f"{r.algorithm:16}{r.side:>10}{r.cpu:9.3f}{r.wall:9.3f}{r.first:9.1f}{r.peak_mb:9.0f}{ratios}")
    return 0


COMMANDS = {"train": train.command("nar"), "eval": evaluate, "curve": curve, "export": export, "bench": bench}
