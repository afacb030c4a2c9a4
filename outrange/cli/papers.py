"""``outrange papers``: the papers and their claims."""

from outrange.cli import app


def papers(json: app.Json = False) -> int:
    """List the papers and the claims of each that run here."""
    from outrange.papers import PAPERS, paper

    found = [paper(name) for name in PAPERS]
    if json:
        app.print_json(
            [
                {
                    "name": p.name,
                    "title": p.title,
                    "arxiv": p.arxiv,
                    "claims": [{"name": c.name, "place": c.place, "statement": c.statement} for c in p.claims],
                }
                for p in found
            ]
        )
        return 0
    for p in found:
        print(f"{p.name}  {p.title} (arXiv {p.arxiv})")
        for c in p.claims:
            print(f"  {c.name:<24}{c.statement} [{', '.join(c.scales) or 'not runnable here'}]")
    print("\nrun one: outrange reproduce PAPER/CLAIM --scale laptop --seeds 3")
    return 0


def run(arguments: list[str]) -> int:
    return app.run_command("papers", papers, arguments)
