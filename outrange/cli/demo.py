"""``outrange demo``: a first look in one command, in parts that also run one by one."""

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from outrange.cli import app
from outrange.cli.progress import training
from outrange.cli.train import KINDS

Result = dict[str, Any]

ALGORITHMS = ("bfs", "insertion_sort", "dijkstra", "kmp_matcher")
GENERALIST_ALGORITHMS = ("bfs", "minimum", "activity_selector", "bellman_ford")
LANGUAGE_MODEL = "smollm2-135m"
REASONER_UPDATES = 300
MAZE_SIDE, MAZE_STEPS = 11, 100
EXPLORATION_STEPS = 250_000
EPISODES = 128


def sample_traces(out: Path) -> Result:
    """Sample traces, write them as questions and answers, and one as a page to step through."""
    from outrange.core.atomic import write_text
    from outrange.reasoning import clrs, text
    from outrange.reasoning.bench import measure_ours
    from outrange.reasoning.clrs.picture import page

    items, rates = {}, {}
    for name in ALGORITHMS:
        item = text.render(clrs.sample(name, 5, seed=0, truncate_decimals=3)[0], hints=True)
        items[name] = {"question": item.question, "answer": item.answer}
        measure_ours("trace", name, 16, seconds=0)  # what is compiled for it, or loaded, is not to be measured
        rates[name] = 1e6 / measure_ours("trace", name, 16, seconds=0.3)
    page_path = out / "bfs.html"
    write_text(page_path, page(clrs.sample("bfs", 8, seed=2)[0], app.command_line()))
    return {"items": items, "traces_per_second": rates, "page": str(page_path.resolve())}


def print_traces(result: Result) -> None:
    for item in result["items"].values():
        print(item["question"] + item["answer"].rstrip("\n") + "\n")
    rates = " · ".join(f"{name} {rate:,.0f}" for name, rate in result["traces_per_second"].items())
    print(f"traces a second, length 16, one process: {rates}")
    print(f"open: {result['page']}")


def teach_reasoner(out: Path) -> Result:
    """Teach a network bfs for some hundred steps; its scores are on fresh graphs, up to four times as large as any it
    saw.
    """
    from outrange.reasoning import nar

    config = nar.preset(
        "laptop", ("bfs",), steps=REASONER_UPDATES, evaluate_every=100, checkpoint_every=REASONER_UPDATES
    )
    with training(KINDS["nar"].describe) as report:
        result = nar.train(config, out / "bfs", report.metrics)
    if result["stopped"]:
        return {"stopped": True}
    reasoner, _ = nar.load(out / "bfs")
    scores = nar.curve(reasoner, "bfs", (16, 32, 64))
    return {"steps": result["steps"], "seconds": result["seconds"], "scores": scores}


def print_reasoner(result: Result) -> None:
    print("a network taught bfs on graphs of 4 to 16 nodes, micro-F1 (published at 64: 0.997)")
    scores = " · ".join(f"{size} nodes {score:.3f}" for size, score in result["scores"].items())
    print(f"  {result['steps']} steps in {result['seconds']:.0f} s · {scores}")


def score_generalist(out: Path) -> Result:
    """A few scores of the weights that ship: one network for all thirty algorithms."""
    from outrange.reasoning import nar

    if "generalist" not in nar.shipped():
        return {"missing": "no weights ship with this version"}
    reasoner, _ = nar.load("generalist")
    scores = {}
    with app.progress("scoring the generalist", "algorithms") as report_progress:
        for done, name in enumerate(GENERALIST_ALGORITHMS, 1):
            scores[name] = nar.curve(reasoner, name, (16, 64), count=8)
            report_progress(done, len(GENERALIST_ALGORITHMS))
    return {"scores": scores}


def print_generalist(result: Result) -> None:
    print("the shipped generalist, one network for all thirty, micro-F1 at 16 / 64 nodes")
    print(
        "  " + " · ".join(f"{name} {by_size[16]:.2f} / {by_size[64]:.2f}" for name, by_size in result["scores"].items())
    )


def look_into_attention(out: Path) -> Result:
    """How a small pretrained language model uses positions, and from what length on it loses its input: two pages."""
    from outrange.attention import glasses, rope
    from outrange.attention.texts import SHAKESPEARE, SHAKESPEARE_NAME
    from outrange.cli.attention.inputs import report_status
    from outrange.core.atomic import write_text
    from outrange.core.errors import BadInput
    from outrange.lm.opening import open_model
    from outrange.report import probe as probe_page
    from outrange.report import scan as scan_page
    from outrange.report.scan_reading import read_side

    try:
        opened = open_model(LANGUAGE_MODEL, report_status=report_status)
    except BadInput as error:  # without a network there is no model, and the other parts are still worth a look
        return {"missing": str(error)}

    with app.progress("scanning", "passes") as report_progress:
        content = SHAKESPEARE.read_text(encoding="utf-8")
        side = rope.scan_model(opened, content, SHAKESPEARE_NAME, limit=256, report_progress=report_progress)
    scan_path = out / "scan.html"
    write_text(scan_path, scan_page.page(rope.scan_story([side], command=app.command_line())))

    with app.progress("probing", "steps") as report_progress:
        probed = glasses.probe_model(opened, report_progress=report_progress)
    probe_path = out / "probe.html"
    write_text(probe_path, probe_page.page(glasses.probe_story(probed, command=app.command_line())))
    return {
        "scan": {"reading": read_side(side), "page": str(scan_path.resolve())},
        "probe": {
            "verdict": {finding.question: finding.answer for finding in probed.verdict},
            "page": str(probe_path.resolve()),
        },
    }


def print_attention(result: Result) -> None:
    print("which rotary frequencies a language model uses")
    print(textwrap.fill(result["scan"]["reading"], 110, initial_indent="  ", subsequent_indent="  "))
    print(f"open: {result['scan']['page']}\n")
    print("from what length on it loses its input")
    for question, answer in result["probe"]["verdict"].items():
        if not question.startswith("count"):
            print(f"  {question} {answer}")
    print(f"open: {result['probe']['page']}")


def explore_mazes(out: Path) -> Result:
    """Never Give Up for a minute in small mazes, and what policies that learn nothing cover of them."""
    from outrange.core.atomic import write_text
    from outrange.core.config import changed
    from outrange.exploration.envs.references import POLICIES, coverage
    from outrange.exploration.evaluation import evaluate
    from outrange.exploration.presets import preset
    from outrange.exploration.story import collect
    from outrange.exploration.training import train
    from outrange.report import explore as explore_page

    # The maze preset with a smaller maze, network and replay, so that a minute is enough.
    settings = {
        "env.options": [f"size={MAZE_SIDE}", f"cap={MAZE_STEPS}"],
        "network.encoder_size": 64,
        "network.hidden_size": 64,
        "network.head_size": 64,
        "replay.capacity": 100_000,
        "replay.trace_length": 25,
        "replay.period": 25,
        "steps": EXPLORATION_STEPS,
        "log_every": 10_000,
        "checkpoint_every": EXPLORATION_STEPS,
        "bonus.embedding_refresh_period": 100,
        "learner.replay_ratio": 4,
        "learner.final_rate_share": 1.0,
    }
    run = out / "maze"
    with training(KINDS["explore"].describe) as report:
        result = train(changed(preset("disco"), settings), run, report.metrics)
    if result["stopped"]:
        return {"stopped": True}

    evaluation = evaluate(run, EPISODES)
    page_path = out / "maze.html"
    write_text(page_path, explore_page.page(collect([run], episodes=EPISODES, command=app.command_line())))
    references = {}
    for policy in POLICIES:
        shares, _ = coverage(policy, EPISODES, 0, size=MAZE_SIDE, cap=MAZE_STEPS)
        references[policy] = float(shares.mean())
    return {
        "steps": result["steps"],
        "coverage": evaluation["coverage"],
        "coverage_error": evaluation["coverage_error"],
        "references": references,
        "page": str(page_path.resolve()),
    }


def print_mazes(result: Result) -> None:
    print(
        f"an agent without any reward but what is new to it, in mazes of {MAZE_SIDE} x {MAZE_SIDE} it never saw, "
        f"share of the cells it visits in {MAZE_STEPS} steps"
    )
    references = " · ".join(f"{policy} {share:.0%}" for policy, share in result["references"].items())
    coverage = f"{result['coverage']:.0%} ± {result['coverage_error']:.0%}"
    print(f"  {coverage} after {result['steps']:,} steps · {references}")
    print(f"open: {result['page']}")


@dataclass(frozen=True)
class Part:
    """What one part does, and how its result is printed.

    Attributes:
        run: does it, writing pages and runs below a folder. The result has ``stopped`` if it was stopped before its
            end, and ``missing``, a reason, if it could not begin.
        print: prints a whole result.
    """

    run: Callable[[Path], Result]
    print: Callable[[Result], None]


# Each part by name; `--parts` takes its choices from here.
PARTS: Mapping[str, Part] = {
    "traces": Part(sample_traces, print_traces),
    "reasoner": Part(teach_reasoner, print_reasoner),
    "generalist": Part(score_generalist, print_generalist),
    "attention": Part(look_into_attention, print_attention),
    "maze": Part(explore_mazes, print_mazes),
}

if TYPE_CHECKING:
    Parts = tuple[str, ...]
else:  # the choices are the names in the table
    Parts = Annotated[tuple[Literal[tuple(PARTS)], ...], tyro.conf.arg(metavar="PART")]


def demo(
    out: Path = Path("out/demo"),
    parts: Parts = tuple(PARTS),
    json: app.Json = False,
) -> int:
    """Sample traces; teach a network bfs; score the generalist that ships; look into a language model; explore a maze.

    Each part prints what came of it; pages to open are written beside.

    Args:
        out: where to write pages and runs; a run that is there already is not trained again.
        parts: some of traces, reasoner, generalist, attention and maze.
    """
    from outrange.core.atomic import writable

    with writable("out", out):
        out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Result] = {}
    for name in parts:
        result = results[name] = PARTS[name].run(out)
        if result.get("stopped"):
            break
        if json:
            continue
        if "missing" in result:
            print(f"{name}: left out: {result['missing']}\n")
        else:
            PARTS[name].print(result)
            print()
    stopped = any(result.get("stopped") for result in results.values())
    if json:
        app.print_json(results)
    elif stopped:
        print("stopped; the same command goes on")
    else:
        commands = ("nar train dijkstra", "nar eval generalist", "attention ablate", "explore train", "papers")
        print("next: " + " · ".join(f"outrange {command}" for command in commands))
    return int(stopped)


COMMANDS = {"": demo}
