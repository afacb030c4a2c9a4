"""``outrange demo``: a first look in one command."""

import time
from pathlib import Path

from outrange.cli import app


def demo(out: Path = Path("out/demo"), json: app.Json = False) -> int:
    """Sample traces, read one as text, measure the rate, and write a page to open.

    Args:
        out: where to write the page.
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
    if json:
        questions = {n: {"question": i.question, "answer": i.answer} for n, i in items.items()}
        app.print_json({"items": questions, "traces_per_second": rates, "page": str(target.resolve())})
        return 0
    for item in items.values():
        print(item.question + item.answer.rstrip("\n") + "\n")
    print("traces a second, length 16, one process: " + " · ".join(f"{name} {rate:,.0f}" for name, rate in rates.items()))
    print(f"open: {target.resolve()}")
    print("next: outrange clrs show dijkstra · outrange text export DIR --preset clrs-text-eval --count 10 · outrange papers")
    return 0


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


def run(arguments: list[str]) -> int:
    return app.run_command("demo", demo, arguments)
