"""``outrange reproduce``: a paper's claims, run; our number beside theirs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from outrange.cli import app
from outrange.core.errors import BadInput
from outrange.papers.claims import Scale

if TYPE_CHECKING:
    from outrange.papers import Claim, Paper, Result


def reproduce(
    paper: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PAPER[/CLAIM]")],
    scale: Scale = "laptop",
    seeds: int = 3,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    again: app.Flag[bool] = False,
    json: app.Json = False,
) -> int:
    """Run a paper's claims, or one of them, and print our numbers beside the published ones.

    Each result is printed and kept in a file as its claim ends. A second call reads the file and runs only what is
    not in it: the same claim measured by the same version, with the same settings and number of seeds, is not run
    again.

    Exit codes: 0 no claim was contradicted and none failed; 1 a claim was contradicted or failed; 2 bad input, of the
    command or of a claim that lacks something here; 130 stopped (Ctrl-C): the same command goes on.

    Args:
        paper: a paper of `outrange papers`, with /CLAIM for one claim.
        scale: what to run it on.
        seeds: how many seeds, from 0 up; a claim that draws nothing runs once.
        out: the file that keeps the results, one JSON object a line. Default: runs/reproduce/PAPER-SCALE.jsonl
        again: run also what is in the file.
        json: print all results as JSON at the end instead of each as its claim ends.
    """
    from outrange.core import atomic
    from outrange.core.checks import whole
    from outrange.core.run import Failed
    from outrange.papers import paper as paper_named
    from outrange.papers import results

    whole("seeds", seeds, 1, 1000)
    paper_name, _, claim_name = paper.partition("/")
    asked = paper_named(paper_name)
    claims = (asked.claim(claim_name),) if claim_name else asked.claims
    path = out or results.default_path(asked.name, scale)
    atomic.make_way("out", path)

    # Claim by claim, so that what comes later takes nothing from what was measured before.
    finished: list[Result] = []
    exit_code = 0
    for claim in claims:
        earlier = None if again else results.find(path, asked, claim, scale, seeds)
        try:
            result = earlier or _run(asked, claim, scale, seeds)
        except KeyboardInterrupt:  # outside of a training, which ends in its own way; see below
            print(f"stopped in {asked.name}/{claim.name}", file=sys.stderr)
            exit_code = 130
            break
        except (BadInput, Failed) as error:
            # One claim that cannot run, for want of a model or an environment, takes nothing from the others.
            print(f"error: {asked.name}/{claim.name}: {error}", file=sys.stderr)
            exit_code = max(exit_code, 2 if isinstance(error, BadInput) else 1)
            continue
        if earlier is None and result.values:
            results.append(path, result)
        finished.append(result)
        if not json:
            _print(result, f"kept in {path}; --again runs it again" if earlier else f"{result.seconds:.1f} s")
        if result.stopped:  # a training that was asked to stop saved itself, and ended
            exit_code = 130
            break
        if result.verdict == "contradicted":
            exit_code = max(exit_code, 1)

    if json:
        app.print_json([result.as_dict() for result in finished])
    elif any(result.values for result in finished):
        print(f"results are kept in {path}")
    return exit_code


def _run(paper: "Paper", claim: "Claim", scale: Scale, seeds: int) -> "Result":
    from outrange.papers import reproduce

    with app.progress(claim.name, "seeds") as update:
        return reproduce(paper, claim, scale, seeds, update)


def _print(result: "Result", remark: str) -> None:
    """A result as a small table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        box=None,
        show_header=False,
        pad_edge=False,
        title=f"{result.paper}/{result.claim.name}: {result.verdict}",
        title_justify="left",
        title_style="bold",
    )
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("claim", result.claim.statement)
    table.add_row("place", result.claim.place)
    table.add_row("published", result.claim.published)
    table.add_row("ours", result.summary())
    table.add_row("why", result.why)
    table.add_row("run", f"{result.command}   ({remark})")
    Console().print(table)
    print()


COMMANDS = {"": reproduce}
