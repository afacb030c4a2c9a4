"""``outrange demo``: a first look in one command."""

import textwrap
import time
from pathlib import Path
from typing import Any

from outrange.cli import app


def demo(out: Path = Path("out/demo"), json: app.Json = False) -> int:
    """Sample traces; teach a network bfs, score the generalist that ships; look into a language model's use of
    positions; explore a maze. Pages to open.

    Args:
        out: where to write pages and runs; a run that is there already is not trained again.
    """
    from outrange.core.atomic import writable, write_text
    from outrange.reasoning import clrs, text
    from outrange.reasoning.clrs.picture import page

    names = ("bfs", "insertion_sort", "dijkstra", "kmp_matcher")
    items = {name: text.render(clrs.sample(name, 5, seed=0, truncate_decimals=3)[0], hints=True) for name in names}
    rates = {name: _rate(name) for name in names}
    target = out / "bfs.html"
    with writable("out", out):
        out.mkdir(parents=True, exist_ok=True)
        write_text(target, page(clrs.sample("bfs", 8, seed=2)[0]))
    learned = _learn(out / "bfs", quiet=json)
    scores = _generalist(quiet=json)
    scanned = _scan(out / "scan.html", quiet=json)
    explored = _explore(out / "maze", out / "maze.html", quiet=json)
    if json:
        questions = {n: {"question": i.question, "answer": i.answer} for n, i in items.items()}
        app.print_json(
            {
                "items": questions,
                "traces_per_second": rates,
                "page": str(target.resolve()),
                "learned": learned,
                "generalist": scores,
                "scan": scanned,
                "maze": explored,
            }
        )
        return 0
    for item in items.values():
        print(item.question + item.answer.rstrip("\n") + "\n")
    print(
        "traces a second, length 16, one process: " + " · ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
    )
    print(f"open: {target.resolve()}\n")
    print("a network taught bfs on graphs of 4 to 16 nodes, micro-F1 (published at 64: 0.997)")
    print(
        f"  {learned['steps']} steps in {learned['seconds']:.0f} s · "
        + " · ".join(f"{n} nodes {s:.3f}" for n, s in learned["scores"].items())
    )
    if scores:
        print("the shipped generalist, one network for all thirty, micro-F1 at 16 / 64 nodes")
        print("  " + " · ".join(f"{name} {by_size[16]:.2f} / {by_size[64]:.2f}" for name, by_size in scores.items()))
    print(f"\nwhich rotary frequencies a language model uses\n{scanned}")
    print(
        f"\nan agent without any reward but what is new to it, in mazes of 11 x 11 it never saw, share of the cells it visits in {explored['cap']} steps"
    )
    print(
        f"  {explored['coverage']:.0%} ± {explored['error']:.0%} after {explored['steps']:,} steps · "
        + " · ".join(f"{n} {v:.0%}" for n, v in explored["references"].items())
    )
    print(f"open: {explored['page']}")
    print(
        "\nnext: outrange nar train dijkstra · outrange nar eval generalist · outrange attention ablate · outrange explore train · outrange papers"
    )
    return 0


def _learn(run: Path, quiet: bool) -> dict:
    """Train on bfs for some hundred steps; the scores are on fresh graphs, four times larger than any seen at the end."""
    from outrange.cli.progress import training
    from outrange.cli.train import KINDS
    from outrange.reasoning.nar.config import preset
    from outrange.reasoning.nar.evaluation import curve
    from outrange.reasoning.nar.reasoner import load
    from outrange.reasoning.nar.training import train

    config = preset("laptop", ("bfs",), steps=300, evaluate_every=100, checkpoint_every=300)
    with training(KINDS["nar"].describe) as report:
        came = train(config, run, None if quiet else report.metrics)
    if came["stopped"]:
        raise KeyboardInterrupt
    reasoner, _ = load(run)
    return {"steps": came["steps"], "seconds": came["seconds"], "scores": curve(reasoner, "bfs", (16, 32, 64))}


def _generalist(quiet: bool) -> dict[str, dict[int, float]]:
    """A few scores of the weights that ship."""
    from outrange.reasoning.nar.evaluation import curve
    from outrange.reasoning.nar.reasoner import load
    from outrange.reasoning.nar.weights import shipped

    if "generalist" not in shipped():
        return {}
    reasoner, _ = load("generalist")
    names = ("bfs", "minimum", "activity_selector", "bellman_ford")
    found = {}
    with app.progress("scoring the generalist", "algorithms") as update:
        for k, name in enumerate(names):
            found[name] = curve(reasoner, name, (16, 64), count=8)
            if not quiet:
                update(k + 1, len(names))
    return found


def _scan(page: Path, quiet: bool) -> str:
    """What a scan of the small pretrained model says, and where its page is; or why there is none."""
    from outrange.attention import rope
    from outrange.attention.texts import SHAKESPEARE, SHAKESPEARE_NAME
    from outrange.core.atomic import write_text
    from outrange.core.errors import BadInput
    from outrange.lm import opening
    from outrange.report import scan as report
    from outrange.report.scan_reading import read_side

    try:
        opened = opening.open_model("smollm2-135m", report_status=(lambda status: None) if quiet else print)
    except BadInput as error:
        return f"  left out: {error}"
    with app.progress("scanning", "passes") as update:
        content = SHAKESPEARE.read_text(encoding="utf-8")
        side = rope.scan_model(opened, content, SHAKESPEARE_NAME, limit=256, report_progress=update)
    write_text(page, report.page(rope.scan_story([side], command="outrange attention scan")))
    summary = textwrap.fill(read_side(side), 110, initial_indent="  ", subsequent_indent="  ")
    said = f"{summary}\nopen: {page.resolve()}"
    return said + "\n\n" + _probe(opened, page.with_name("probe.html"), quiet)


def _probe(opened: Any, page: Path, quiet: bool) -> str:
    """What the quick probe says of the same model's losses, and where its page is."""
    from outrange.attention import glasses
    from outrange.core.atomic import write_text
    from outrange.report import probe as report

    with app.progress("probing", "steps") as update:
        result = glasses.probe_model(opened, report_progress=(lambda done, total: None) if quiet else update)
    story = glasses.probe_story(result, command="outrange attention probe")
    write_text(page, report.page(story))
    lines = [
        f"  {finding.question} {finding.answer}"
        for finding in result.verdict
        if not finding.question.startswith("count")
    ]
    return "\n".join([story.subtitle, *lines, f"open: {page.resolve()}"])


def _explore(run: Path, page: Path, quiet: bool) -> dict:
    """Never Give Up for a minute in small mazes, and what policies that learn nothing would cover."""
    from outrange.core.atomic import write_text
    from outrange.core.config import changed
    from outrange.exploration.envs.references import POLICIES, coverage
    from outrange.exploration.evaluation import evaluate
    from outrange.exploration.presets import preset
    from outrange.exploration.story import collect
    from outrange.exploration.training import train
    from outrange.report import explore as report

    size, cap = 11, 100
    network = {"network.encoder_size": 64, "network.hidden_size": 64, "network.head_size": 64}
    replay = {"replay.capacity": 100_000, "replay.trace_length": 25, "replay.period": 25}
    pace = {
        "steps": 250_000,
        "log_every": 10_000,
        "checkpoint_every": 250_000,
        "bonus.embedding_refresh_period": 100,
        "learner.replay_ratio": 4,
        "learner.final_rate_share": 1.0,
    }
    config = changed(preset("disco"), {"env.options": [f"size={size}", f"cap={cap}"]} | network | replay | pace)
    with app.progress("exploring mazes", "steps") as update:
        came = train(config, run, lambda told: None if quiet else update(told["step"], told["steps"]))
    if came["stopped"]:
        raise KeyboardInterrupt
    found = evaluate(run, 128)
    write_text(page, report.page(collect([run], episodes=128, command="outrange demo")))
    known = {name: float(coverage(name, 128, 0, size=size, cap=cap)[0].mean()) for name in POLICIES}
    return {
        "steps": came["steps"], "cap": cap, "coverage": found["coverage"], "error": found["coverage_error"], "references": known, "page": str(page.resolve()),
    }  # fmt: skip


def _rate(name: str, seconds: float = 0.3) -> float:
    """Traces a second of wall time, every array of every trace made."""
    from outrange.reasoning import clrs

    for trace in clrs.sample(name, 16, 2):
        _ = trace.inputs, trace.hints, trace.outputs  # compiled, or loaded, before the clock starts
    made, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for trace in clrs.sample(name, 16, 256, seed=made):
            _ = trace.inputs, trace.hints, trace.outputs
        made += 256
    return made / (time.perf_counter() - began)


COMMANDS = {"": demo}
