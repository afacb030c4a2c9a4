"""A paper as a list of claims, each of which runs at a scale and comes back with numbers and a verdict.

A claim is run once per seed. Its measurements are named numbers; the verdict is drawn from all seeds' together, never by hand.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from outrange.core.errors import unknown

SCALES = ("laptop", "gpu", "paper")
VERDICTS = ("shown", "partly", "not at this scale", "contradicted")

Measurements = Mapping[str, list[float]]  # measure -> one value a seed


@dataclass(frozen=True)
class Claim:
    """One claim of a paper.

    ``run(seed, **scales[scale])`` returns named numbers; ``judge`` gives (verdict, why) from them. A scale that is not listed cannot be run here; ``missing``
    says what it would take. A claim in which nothing is ``drawn`` runs once, whatever the number of seeds: a spread of 0 would be none.
    """

    name: str
    place: str
    statement: str
    published: str
    run: Callable[..., dict[str, float]]
    judge: Callable[[Measurements], tuple[str, str]]
    scales: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    missing: str = ""
    drawn: bool = True


@dataclass(frozen=True)
class Paper:
    """A paper's short name, title, arXiv number and claims."""

    name: str
    title: str
    arxiv: str
    claims: tuple[Claim, ...]

    def claim(self, name: str) -> Claim:
        for claim in self.claims:
            if claim.name == name:
                return claim
        raise unknown(f"{self.name} claim", name, [c.name for c in self.claims], "a claim of this paper")


@dataclass(frozen=True)
class Result:
    """What came of running a claim."""

    paper: str
    claim: Claim
    scale: str
    seeds: int
    values: Measurements
    verdict: str
    why: str
    seconds: float

    @property
    def command(self) -> str:
        return f"outrange reproduce {self.paper}/{self.claim.name} --scale {self.scale} --seeds {self.seeds}"

    def ours(self) -> str:
        """Mean and spread over seeds of every measure."""
        return " · ".join(f"{name} {_spread(values)}" for name, values in self.values.items()) or "—"

    def as_dict(self) -> dict[str, Any]:
        c = self.claim
        told = {
            "paper": self.paper,
            "claim": c.name,
            "place": c.place,
            "statement": c.statement,
            "published": c.published,
            "scale": self.scale,
            "seeds": self.seeds,
        }
        found = {
            name: {"mean": statistics.fmean(v), "std": statistics.stdev(v) if len(v) > 1 else 0.0, "values": v}
            for name, v in self.values.items()
        }
        return told | {
            "ours": found,
            "verdict": self.verdict,
            "why": self.why,
            "seconds": self.seconds,
            "command": self.command,
        }


def _spread(values: list[float]) -> str:
    """Three decimals, or as many as a small or a large mean needs for three digits."""
    mean = statistics.fmean(values)
    kind = ".3f" if mean == 0 or 0.01 <= abs(mean) < 1e4 else ".3g"
    return f"{mean:{kind}} ± {statistics.stdev(values):{kind}}" if len(values) > 1 else f"{mean:{kind}}"


def reproduce(
    paper: Paper, claim: Claim, scale: str, seeds: int, progress: Callable[[int, int], None] | None = None
) -> Result:
    """Run one claim with seeds 0 … seeds-1; once if nothing is drawn in it."""
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES, "a scale")
    if scale not in claim.scales:
        return Result(paper.name, claim, scale, seeds, {}, "not at this scale", claim.missing, 0.0)
    began = time.perf_counter()
    values: dict[str, list[float]] = {}
    seeds = seeds if claim.drawn else 1
    for seed in range(seeds):
        for name, value in claim.run(seed, **claim.scales[scale]).items():
            values.setdefault(name, []).append(value)
        if progress:
            progress(seed + 1, seeds)
    verdict, why = claim.judge(values)
    return Result(paper.name, claim, scale, seeds, values, verdict, why, time.perf_counter() - began)
