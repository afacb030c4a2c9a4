"""``outrange reproduce``: a paper's claims, run; our number beside theirs."""

from typing import Annotated, Literal

import tyro

from outrange.cli import app


def reproduce(
    paper: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PAPER[/CLAIM]")],
    scale: Literal["laptop", "gpu", "paper"] = "laptop",
    seeds: int = 3,
    json: app.Json = False,
) -> int:
    """Run a paper's claims, or one of them, and print our numbers beside the published ones.

    Args:
        paper: a paper of `outrange papers`, with /CLAIM for one claim.
        scale: what to run it on.
        seeds: how many seeds, from 0 up.
    """
    from outrange.papers import paper as find
    from outrange.papers import reproduce as run_claim
    from outrange.reasoning.clrs.samplers import whole

    whole("seeds", seeds, 1, 1000)
    name, _, wanted = paper.partition("/")
    found = find(name)
    results = []
    for claim in [found.claim(wanted)] if wanted else found.claims:
        with app.progress(claim.name, "seeds") as update:
            results.append(run_claim(found, claim, scale, seeds, update))
    if json:
        app.print_json([r.as_dict() for r in results])
    else:
        for r in results:
            _print(r)
    return 1 if any(r.verdict == "contradicted" for r in results) else 0


def _print(r) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        box=None,
        show_header=False,
        pad_edge=False,
        title=f"{r.paper}/{r.claim.name}: {r.verdict}",
        title_justify="left",
        title_style="bold",
    )
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    rows = [
        ("claim", r.claim.statement),
        ("place", r.claim.place),
        ("published", r.claim.published),
        ("ours", r.ours()),
        ("why", r.why),
    ]
    for name, value in [*rows, ("run", f"{r.command}   ({r.seconds:.1f} s)")]:
        table.add_row(name, value)
    Console().print(table)
    print()


def run(arguments: list[str]) -> int:
    return app.run_command("reproduce", reproduce, arguments)
