"""A paper as a list of claims. A claim is an experiment: it runs at a scale, once per seed, and ends with numbers and
a verdict.

Nobody writes a verdict by hand: a claim's ``judge`` draws it from what was measured with all seeds together. It
reads measurements by their keys; the text that is printed for a key is separate, in ``Claim.labels``.
"""

import inspect
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from outrange import __version__
from outrange.core.errors import unknown

Scale = Literal["laptop", "gpu", "paper"]
SCALES: tuple[Scale, ...] = get_args(Scale)
VERDICTS = ("shown", "partly", "not at this scale", "contradicted", "not run")
"""``not at this scale``: it ran, and these numbers neither show nor refute the claim. ``not run``: there are no
numbers; the reason says why."""

Key = str | tuple[str, str | float]
"""What was measured: a name (``"updates"``), or a name and what it was measured of or at (``("score", "bfs")``,
``("distance", 8)``)."""
Measured = Mapping[Key, float]
"""What one run of a claim measured."""
Measurements = Mapping[Key, list[float]]
"""What all runs of a claim measured: one number per seed."""
Verdict = tuple[str, str]
"""One of ``VERDICTS``, and the reason in a sentence."""


@dataclass(frozen=True)
class NotRun:
    """What a claim's ``run`` returns if it has nothing to report.

    Attributes:
        why: a sentence: what is missing, or where a training was stopped.
        stopped: whether somebody stopped it (Ctrl-C, SIGTERM); the claims after it are then not started.
    """

    why: str
    stopped: bool = False


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of a paper, and the experiment that checks it.

    Attributes:
        name: short, in lower case with hyphens; unique within the paper.
        place: where the paper makes the claim: a figure, table, theorem or section.
        statement: what the paper claims, for a reader of its abstract.
        published: the paper's number, or what it says instead of one.
        run: ``run(**scales[scale])`` measures once. If it takes a ``seed``, it is run with seeds 0, 1, 2, …; if it
            takes none, it draws nothing and runs once, since a deviation of 0 over seeds that change nothing would be
            no spread. None: nobody has written the experiment yet.
        judge: draws the verdict from the measurements of all seeds.
        scales: the settings of ``run`` at each scale at which it can run.
        missing: what it would take to run where it cannot.
        labels: how measures are printed, by name; ``{}`` is what a measure was measured of or at. Without an entry,
            the name's own words.
    """

    name: str
    place: str
    statement: str
    published: str
    run: Callable[..., Measured | NotRun] | None = None
    judge: Callable[[Measurements], Verdict] | None = None
    scales: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    missing: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def takes_seed(self) -> bool:
        """Whether running with another seed draws something else."""
        return self.run is not None and "seed" in inspect.signature(self.run).parameters

    def label(self, key: Key) -> str:
        """A measure as it is printed."""
        measure, point = key if isinstance(key, tuple) else (key, None)
        words = measure.replace("_", " ")
        # Without a label of its own, a measure is printed in the words of its name, and what it was measured of behind.
        template = self.labels.get(measure, words if point is None else f"{words}, {{}}")
        return template if point is None else template.format(f"{point:g}" if isinstance(point, float) else point)


@dataclass(frozen=True)
class Paper:
    """A paper's short name, title, arXiv number and claims."""

    name: str
    title: str
    arxiv: str
    claims: tuple[Claim, ...]

    def claim(self, name: str) -> Claim:
        """A claim by its name."""
        for claim in self.claims:
            if claim.name == name:
                return claim
        raise unknown(f"{self.name} claim", name, [c.name for c in self.claims], "a claim of this paper")


@dataclass(frozen=True, kw_only=True)
class Result:
    """A claim's numbers and verdict at one scale.

    Attributes:
        seeds: with how many it ran: 1 if the claim takes no seed.
        seconds: wall-clock time.
        stopped: whether it was stopped before its end; the verdict is then ``not run``.
        version: of the package that measured.
    """

    paper: str
    claim: Claim
    scale: str
    seeds: int
    values: Measurements
    verdict: str
    why: str
    seconds: float = 0.0
    stopped: bool = False
    version: str = __version__

    @property
    def command(self) -> str:
        """The command that runs this claim again."""
        return f"outrange reproduce {self.paper}/{self.claim.name} --scale {self.scale} --seeds {self.seeds}"

    def summary(self) -> str:
        """Mean and standard deviation over seeds of every measure, in one line."""
        return " · ".join(f"{self.claim.label(key)} {_spread(values)}" for key, values in self.values.items()) or "—"

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it. Infinities and NaN are the texts "inf", "-inf" and "nan", which ``float`` reads."""
        return {
            "paper": self.paper,
            "claim": self.claim.name,
            "place": self.claim.place,
            "statement": self.claim.statement,
            "published": self.claim.published,
            "scale": self.scale,
            "settings": plain_settings(self.claim, self.scale),
            "seeds": self.seeds,
            "version": self.version,
            "ours": [
                {
                    "key": list(key) if isinstance(key, tuple) else key,
                    "label": self.claim.label(key),
                    "mean": _json_number(statistics.fmean(values)),
                    "std": _json_number(_deviation(values)) if len(values) > 1 else None,
                    "values": [_json_number(value) for value in values],
                }
                for key, values in self.values.items()
            ],
            "verdict": self.verdict,
            "why": self.why,
            "seconds": self.seconds,
            "command": self.command,
        }

    @classmethod
    def from_dict(cls, paper: Paper, record: Mapping[str, Any]) -> "Result":
        """What ``as_dict`` wrote."""
        # JSON has no tuples: a key of two parts was written as a list.
        keys = [tuple(entry["key"]) if isinstance(entry["key"], list) else entry["key"] for entry in record["ours"]]
        numbers = [[float(value) for value in entry["values"]] for entry in record["ours"]]
        return cls(
            paper=paper.name,
            claim=paper.claim(record["claim"]),
            values=dict(zip(keys, numbers, strict=True)),
            **{name: record[name] for name in ("scale", "seeds", "verdict", "why", "seconds", "version")},
        )


def plain_settings(claim: Claim, scale: str) -> Any:
    """The settings of a claim at a scale as JSON holds them: tuples are lists. None where it has none."""
    return json.loads(json.dumps(claim.scales.get(scale)))


def reproduce(
    paper: Paper, claim: Claim, scale: str, seeds: int, report_progress: Callable[[int, int], None] | None = None
) -> Result:
    """Run one claim with seeds 0 to seeds - 1, or once if it takes none, and judge it.

    Args:
        paper, claim: of ``outrange.papers.paper``.
        scale: of ``SCALES``.
        seeds: how many.
        report_progress: called with how many seeds are done, of how many.

    Raises:
        BadInput: there is no such scale, or something that the claim needs is not here.
    """
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES, "a scale")
    if claim.run is None or claim.judge is None or scale not in claim.scales:
        why = _cannot_run(claim, scale)
        return Result(paper=paper.name, claim=claim, scale=scale, seeds=seeds, values={}, verdict="not run", why=why)

    # One run for each seed, or a single one if the claim draws nothing.
    began = time.perf_counter()
    settings = claim.scales[scale]
    runs = [{"seed": seed} for seed in range(seeds)] if claim.takes_seed else [{}]
    values: dict[Key, list[float]] = {}
    verdict, stopped = None, False
    for done, drawn in enumerate(runs, start=1):
        measured = claim.run(**drawn, **settings)
        if isinstance(measured, NotRun):
            # Seeds that did end are dropped: a verdict on some of them would not be the one that was asked for.
            values, verdict, stopped = {}, ("not run", measured.why), measured.stopped
            break
        for key, value in measured.items():
            values.setdefault(key, []).append(value)
        if report_progress:
            report_progress(done, len(runs))

    # The verdict is drawn from the numbers of all seeds together, never from one run.
    verdict, why = verdict or claim.judge(values)
    return Result(
        paper=paper.name,
        claim=claim,
        scale=scale,
        seeds=len(runs),
        values=values,
        verdict=verdict,
        why=why,
        seconds=time.perf_counter() - began,
        stopped=stopped,
    )


def series(values: Mapping[Key, Any], measure: str) -> dict[Any, Any]:
    """A measure that was taken of several things or at several points, by thing or point, in the order in which they
    were measured."""
    return {key[1]: numbers for key, numbers in values.items() if isinstance(key, tuple) and key[0] == measure}


def means(values: Mapping[Any, list[float]]) -> dict[Any, float]:
    """The mean over seeds of each measure."""
    return {key: statistics.fmean(numbers) for key, numbers in values.items()}


def medians(values: Mapping[Any, list[float]]) -> dict[Any, float]:
    """The median over seeds of each measure."""
    return {key: statistics.median(numbers) for key, numbers in values.items()}


def _cannot_run(claim: Claim, scale: str) -> str:
    if not claim.scales:
        return claim.missing
    sentence = f"this claim has no settings for scale {scale}; it runs with --scale {' or --scale '.join(claim.scales)}"
    return f"{sentence}. It needs {claim.missing}" if claim.missing else sentence


def _deviation(values: list[float]) -> float:
    """Standard deviation; not a number if a value is infinite."""
    return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan


def _spread(values: list[float]) -> str:
    """Mean ± deviation with three decimals, or as many as a small or a large mean needs for three digits."""
    mean = statistics.fmean(values)
    # Mean and deviation are printed alike, so that they can be compared digit by digit.
    kind = ".3f" if mean == 0 or 0.01 <= abs(mean) < 1e4 else ".3g"
    return f"{mean:{kind}} ± {_deviation(values):{kind}}" if len(values) > 1 else f"{mean:{kind}}"


def _json_number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
