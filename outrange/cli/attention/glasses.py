"""``outrange attention probe``, ``compare`` and ``ask``: where a language model loses its input (arXiv 2406.04267)."""

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from outrange.cli import app
from outrange.cli.attention.inputs import LAST_SEED, Model, read_text, report_status
from outrange.core.checks import whole
from outrange.core.errors import BadInput

if TYPE_CHECKING:
    from outrange.attention.glasses import Answers, Probe, Shifts


def probe(
    model: Model = "smollm2-135m",
    budget: Literal["quick", "full"] = "quick",
    text: Path | None = None,
    seed: int = 0,
    out: Path = Path("out/probe.html"),
    json: app.Json = False,
) -> int:
    """From what length on a model loses its input, in which precision, which tokens reach the answer, whether a remedy
    helps.

    Prints a verdict and writes an HTML page. The model is read in float32.

    Args:
        budget: quick takes three minutes for the built-in model on two cores; full reads longer inputs in more types.
        text: whose tokens' sensitivities are measured; none: ten quotations of Shakespeare.
        seed: of random digits and directions.
        out: the page.
    """
    from outrange.attention import glasses
    from outrange.core.atomic import make_way, writable, write_text
    from outrange.lm.opening import open_model
    from outrange.report.probe import page

    # what is wrong is refused before a model is opened
    whole("seed", seed, 0, LAST_SEED)
    content = read_text(text) if text else ""
    make_way("out", out)

    opened = open_model(model, "float32", report_status)
    with app.progress("probing", "steps") as update:
        result = glasses.probe_model(opened, budget, content, seed, report_progress=update)
    # the page is written before anything is printed, so that a reader who pipes the output has it
    story = glasses.probe_story(result, command=app.command_line())
    with writable("out", out):
        write_text(out, page(story))
    if json:
        app.print_json({"page": str(out.resolve()), "budget": budget} | result.to_dict())
    else:
        _print_probe(result)
        print(f"\nopen: {out.resolve()}")
    return 0


def compare(
    models: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL …")],
    family: str = "copy ones",
    lengths: tuple[int, ...] = (8, 16, 32, 64, 100),
    seed: int = 0,
    json: app.Json = False,
) -> int:
    """Which of several models keeps n and n + 1 repetitions apart.

    Prints relative distances, the share of the first one that is left at the last length, and signal over blur in
    bfloat16.

    Args:
        models: "smollm2-135m", Hugging Face folders, .gguf files, runs of `outrange lm train`, or owner/name on the
            hub. The others are compared with the first.
        family: of pairs: ones, count ones, copy ones, copy with commas, digits, same phase, same phase with commas.
        lengths: of repetitions, ascending.
        seed: of random digits.
    """
    from outrange.attention import glasses

    whole("seed", seed, 0, LAST_SEED)
    rows = glasses.compare_models(models, lengths, family, seed, report_status)
    base = rows[0]  # the others are compared with the first
    if json:
        app.print_json(
            [
                {
                    "model": row.model,
                    "lengths": list(row.lengths),
                    "relative_distance": row.relative_distance.tolist(),
                    "signal_over_blur": row.signal_over_blur.tolist(),
                    "remaining_share": row.remaining_share,
                    "times_as_far": row.times_as_far(base),
                }
                for row in rows
            ]
        )
        return 0

    # as wide as the longest name; a column for each length
    width = max(map(len, (*models, "model")))
    length_headings = "".join(f"{f'n = {n}':>11}" for n in base.lengths)
    print(f"{family}: {glasses.FAMILIES[family].description}\n")
    print(f"{'model':<{width}}{length_headings}{'left':>8}{'times the first':>17}{'signal/blur':>13}")
    for row in rows:
        distances = "".join(f"{distance:>11.2g}" for distance in row.relative_distance)
        print(
            f"{row.model:<{width}}{distances}{row.remaining_share:>8.1%}{row.times_as_far(base):>17.2g}"
            f"{row.signal_over_blur[-1]:>13.2g}"
        )
    return 0


def ask(
    model: Model = "smollm2-135m",
    server: str = "",
    tasks: tuple[str, ...] = (),
    lengths: tuple[int, ...] = (2, 5, 10, 20, 50),
    styles: tuple[Literal["none", "zero-shot", "few-shot"], ...] = ("none",),
    order: int = 1,
    items: int = 1,
    seed: int = 0,
    margins: bool = False,
    out: Path = Path("out/answers.jsonl"),
    json: app.Json = False,
) -> int:
    """Copying, counting and summing by generation: how often a model is right, and how far off it is.

    Answers are written as they come. With --server the model is named as it is there. With --margins instead: how far
    the zero of a copying task moves the log-odds of answering 0, which shows what a wrong answer hides; a server must
    give log-probabilities (logprobs and top_logprobs of the chat interface).

    Args:
        server: an OpenAI-compatible one, e.g. http://localhost:8000/v1; the environment variable OPENAI_API_KEY holds
            its key, if it wants one.
        tasks: first digit, last digit, count ones and sum ones if not given; also "last digit, with a hint", "last
            digit, interleaved", count ones among zeros, count words.
        lengths: of the sequences.
        styles: of prompting: none, zero-shot or few-shot chains of thought.
        order: 1: question, form of the answer, sequence; 2: form, question, sequence; 3: sequence, question, form.
        items: prompts of each kind.
        seed: of what is drawn.
        margins: of the tasks of copying; both if no tasks are named.
        out: one line of JSON an answer.
    """
    from outrange.attention import glasses
    from outrange.attention.glasses.answers import check_copying
    from outrange.attention.glasses.tasks import DEFAULT_MARGIN_TASKS, DEFAULT_TASKS

    # what is wrong is refused before a model is loaded, or a file begun
    tasks = tasks or (DEFAULT_MARGIN_TASKS if margins else DEFAULT_TASKS)
    prompts = glasses.build_prompts(tasks, lengths, styles=styles, order=order, items=items, seed=seed)
    if margins:
        check_copying(tasks)
        if styles != ("none",) or items != 1 or seed != 0:
            raise BadInput("margins: is not allowed with --styles, --items or --seed; a margin is of one plain prompt")
    backend = glasses.open_backend(model, server, report_status)

    with app.progress("asking", "prompts") as update:
        if margins:
            result = glasses.ask_margins(backend, prompts, out=out, report_progress=update)
            records = [asdict(shift) for shift in result.shifts]
        else:
            result = glasses.ask(backend, prompts, out=out, report_progress=update)
            records = [asdict(answer) for answer in result.answers]
    if json:
        app.print_json({"model": model, "server": server, "failure": result.failure, "results": records})
    else:
        if isinstance(result, glasses.Shifts):
            _print_shifts(result, tasks, lengths)
        else:
            _print_answers(result, tasks, styles, lengths)
        what = "margins" if margins else "answers"
        print(f"\n{len(records)} {what}: {out.resolve()}" if records else f"\nno {what}")
    # what was answered before a failure is printed and kept; the exit code says that there was one
    if result.failure:
        print(f"error: {result.failure}", file=sys.stderr)
    return int(bool(result.failure))


def _print_probe(result: "Probe") -> None:
    print(f"\n{result.model}")
    for finding in result.verdict:  # the question on a line of its own: answers may be long
        print(f"  {finding.question}\n      {finding.answer} · {finding.detail}")
    print("\nremedies")
    for remedy in result.remedies:
        effect = f"{remedy.without:>9.2g} → {remedy.with_remedy:<11.2g}"
        verdict = "helps" if remedy.helps else "does not help"
        print(f"  {remedy.name:<36} {effect} {verdict:<14} {remedy.measure}")
    for note in result.notes:
        print(textwrap.fill(note, 110, initial_indent="  note: ", subsequent_indent="  "))


def _print_answers(
    result: "Answers",
    tasks: Sequence[str],
    styles: Sequence[Literal["none", "zero-shot", "few-shot"]],
    lengths: Sequence[int],
) -> None:
    print(f"{'task':<26}{'style':<12}" + "".join(f"{f'n = {n}':>18}" for n in lengths))
    for task in tasks:
        for style in styles:
            cells = []
            for n in lengths:
                accuracy = result.accuracy(task, style, n)
                if accuracy is None:  # the backend failed before
                    cells.append("–")
                elif accuracy.mean_error is None:
                    cells.append(f"{accuracy.correct_share:.0%}")
                else:
                    cells.append(f"{accuracy.correct_share:.0%}, off {accuracy.mean_error:.3g}")
            print(f"{task:<26}{style:<12}" + "".join(f"{cell:>18}" for cell in cells))


def _print_shifts(result: "Shifts", tasks: Sequence[str], lengths: Sequence[int]) -> None:
    print("log-odds that the zero adds to the answer 0, which is right")
    print(f"{'task':<26}" + "".join(f"{f'n = {n}':>10}" for n in lengths))
    for task in tasks:
        # a dash where the backend failed before
        shifts = [result.shift(task, n) for n in lengths]
        cells = ["–" if shift is None else f"{shift:.2f}" for shift in shifts]
        print(f"{task:<26}" + "".join(f"{cell:>10}" for cell in cells))
