"""Progress on stderr: a bar on a terminal; elsewhere nothing while something is counted, and a line at each milestone
of a training.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

ReportProgress = Callable[[int, int], None]
ReportMetrics = Callable[[Mapping[str, Any]], None]
ReportStage = Callable[[str, int], None]


@contextmanager
def progress(description: str, unit: str) -> Iterator[ReportProgress]:
    """A progress bar with rate and time left; silent when stderr is no terminal.

    Yields ``report_progress(done, total)``.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(description),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(description, total=None, rate="")

        def report_progress(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:,.0f} {unit}/s" if speed else "")

        yield report_progress


@dataclass(frozen=True)
class TrainingProgress:
    """What a training reports to.

    Attributes: metrics: takes a dictionary with ``step``, ``steps`` and numbers; with several trainings in turn also
    ``run``, ``number`` and ``runs``. stage: takes what is prepared before the first step, and how many documents that
    is by now.
    """

    metrics: ReportMetrics
    stage: ReportStage


@contextmanager
def training(describe: Callable[[Mapping[str, Any]], str], title: str = "") -> Iterator[TrainingProgress]:
    """Progress of a training: a bar with its numbers on a terminal; elsewhere a line where it was validated or logged.

    Args:
        describe: the numbers one watches, as text, from all that was reported last.
        title: printed once the first step is done, since by then nothing was wrong with the configuration.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(),
    )
    on_terminal = sys.stderr.isatty()
    latest: dict[str, Any] = {}  # a validation's numbers stay beside the losses of the steps after it
    announced = not title
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4, disable=not on_terminal) as bar:
        task = bar.add_task("", total=None, numbers="")

        def report_stage(stage: str, done: int) -> None:
            bar.update(task, description=stage, completed=done, numbers="documents")

        def report_metrics(values: Mapping[str, Any]) -> None:
            nonlocal announced
            if not announced:
                print(title, file=sys.stderr, flush=True)
                announced = True
            if latest.get("run") != values.get("run"):
                latest.clear()
                bar.reset(task, total=values["steps"], numbers="")
            latest.update(values)
            run = f"{values['number']}/{values['runs']} {values['run']}" if "run" in values else ""
            numbers = describe(latest)
            if not on_terminal and ("val" in values or values.get("logged")):
                pace = f"{values['steps_per_second']:,.0f} steps/s" if "steps_per_second" in values else ""
                step = f"step {values['step']:,}/{values['steps']:,}"
                parts = [run, step, pace, numbers, f"{values['seconds']:.0f} s"]
                print(" · ".join(filter(None, parts)), file=sys.stderr, flush=True)
            speed = bar.tasks[0].speed
            if speed:
                numbers += f" · {speed:,.1f} steps/s"
            bar.update(task, description=run, completed=values["step"], total=values["steps"], numbers=numbers)

        yield TrainingProgress(report_metrics, report_stage)
