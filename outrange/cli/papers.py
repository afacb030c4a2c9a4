"""``outrange papers``: the papers and their claims."""

from outrange.cli import app


def papers(json: app.Json = False) -> int:
    """List the papers, and the claims of each with the scales at which they run here."""
    from outrange.papers import PAPERS, paper

    listed = [paper(name) for name in PAPERS]
    if json:
        app.print_json(
            [
                {
                    "name": listing.name,
                    "title": listing.title,
                    "arxiv": listing.arxiv,
                    "claims": [
                        {
                            "name": claim.name,
                            "place": claim.place,
                            "statement": claim.statement,
                            "scales": list(claim.scales),
                        }
                        for claim in listing.claims
                    ],
                }
                for listing in listed
            ]
        )
        return 0
    for listing in listed:
        print(f"{listing.name}  {listing.title} (arXiv {listing.arxiv})")
        for claim in listing.claims:
            print(f"  {claim.name:<24}{claim.statement} [{', '.join(claim.scales) or 'not runnable here'}]")
    print("\nrun one: outrange reproduce PAPER/CLAIM --scale laptop --seeds 3")
    return 0


COMMANDS = {"": papers}
