"""One self-contained HTML page about a probe: from what length on a language model loses its input (arXiv 2406.04267, figures 5 and 2 and section 5).

The probe is plain data, as ``outrange.attention.glasses.probe`` gives it. Its keys:

    title, subtitle, command      text
    notes                         sentences that stand at the end of the page
    verdict                       {question, answer, detail}: sentences
    curves                        as ``collapse.Curve``: {family, dtype, lengths, relative, signal_over_noise, signal_over_blur, variation, resolution},
                                  and its linf as layers, (lengths, layers)
    margins                       {task, lengths, shift, low, high}: log-odds that a zero, or one more of what is counted, adds to the right answer
    squashing                     {tokens, norms, error, bound, paths, layer, method}: by input token; norms and bounds relative to the first token's
    remedies                      {remedy, measure, without, with, verdict}: text

Names of tokens come from a model's tokenizer: they reach the page as JSON inside a script element that is never run, and become text nodes, never markup.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from outrange.core.errors import BadInput
from outrange.report.stepper import script_json

KEYS = ("title", "subtitle", "command", "notes", "verdict", "curves", "margins", "squashing", "remedies")
PAIRED = ("ones", "count ones", "digits", "copy ones", "copy with commas")
PHASE = ("copy ones", "copy with commas", "same phase", "same phase with commas")
HEADINGS = {
    "collapse": (
        "Collapse",
        "How far apart the last token's representations of two inputs are that differ by one repetition; relative to their largest entry.",
    ),
    "commas": (
        "Do commas help?",
        "Commas at every third digit keep n and n + 1 apart, but those two also stand at different places of a group: the control compares n with n + 3.",
    ),
    "margins": (
        "What is left for an answer",
        "How much a single 0 among n ones moves the odds of answering 0, which is right; and how much one more moves those of the right count or sum.",
    ),
    "squashing": (
        "Which tokens still reach the end",
        "Sensitivity of the last token's representation to every input token, beside the paper's bound and the count of paths.",
    ),
    "remedies": (
        "Remedies",
        "Each against the same without it; a remedy helps if it makes what is measured at least half as large again.",
    ),
}


def page(story: Mapping[str, Any]) -> str:
    """The page of a probe.

    Raises:
        BadInput: a part is missing.
    """
    for key in KEYS:
        if key not in story:
            raise BadInput(f"probe.{key}: is missing; a probe's page needs {', '.join(KEYS)}")
    charts = [
        *_collapse(story["curves"]),
        *_commas(story["curves"]),
        *_margins(story["margins"]),
        *_squashing(story["squashing"]),
    ]
    shown = {chart["section"] for chart in charts} | ({"remedies"} if story["remedies"] else set())
    data = {"charts": charts, **{key: story[key] for key in ("verdict", "remedies", "notes", "command")}}
    return _template().render(
        title=story["title"],
        subtitle=story["subtitle"],
        headings=HEADINGS,
        sections=[key for key in HEADINGS if key in shown],
        data=script_json(data),
    )


def _line(name: str, x: Sequence[float], y: Sequence[float | None], **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "x": list(x),
        "y": [None if v is None or not math.isfinite(v) else float(f"{v:.4g}") for v in y],
    } | more


def _chart(section: str, title: str, unit: str, lines: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    fixed = {
        "marks": [],
        "xlabel": "n, repetitions",
        "logx": True,
        "logy": True,
        "help": "",
        "whole": False,
        "names": None,
    }
    return {"section": section, "title": title, "unit": unit, "lines": lines} | fixed | more


def _of(curves: Sequence[Mapping[str, Any]], dtype: str, names: Sequence[str]) -> list[Mapping[str, Any]]:
    found = {curve["family"]: curve for curve in curves if curve["dtype"] == dtype}
    return [found[name] for name in names if name in found]


def _collapse(curves: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    exact = _of(curves, "float32", PAIRED)
    if not exact:
        return []
    known = {
        curve["dtype"]: curve["resolution"] for curve in curves if curve["dtype"] != "float32" and curve["resolution"]
    }
    marks = [{"name": f"resolution of {name}", "value": value} for name, value in known.items()]
    charts = [
        _chart(
            "collapse",
            "Distance in float32",
            "largest entry of the difference, relative",
            [_line(c["family"], c["lengths"], c["relative"]) for c in exact],
            marks=marks,
            help="Below a type's resolution a distance no longer changes a number of its own size. Random digits are the control: nothing repeats there.",
        )
    ]
    for dtype in dict.fromkeys(curve["dtype"] for curve in curves if curve["dtype"] != "float32"):
        found = _of(curves, dtype, PAIRED)
        charts.append(
            _chart(
                "collapse",
                f"Signal over blur in {dtype}",
                "float32 distance over what rounding does to it",
                [_line(c["family"], c["lengths"], c["signal_over_blur"]) for c in found],
                marks=[{"name": "as large as rounding's change", "value": 1.0}],
                help="Where this is under 1, rounding changes the difference of the two by more than the difference is. "
                + "Over what rounding does to one input alone, at the longest: "
                + ", ".join(
                    f"{c['family']} {c['signal_over_noise'][-1]:.2g}"
                    for c in found
                    if c["signal_over_noise"][-1] is not None
                )
                + ". Both of a pair are moved much alike.",
            )
        )
    if layered := next((c for c in exact if c["family"] == "copy ones"), None):
        at = list(range(1, len(layered["layers"][0]) + 1))
        lines = [
            _line(f"n = {n}", at, values)
            for n, values in list(zip(layered["lengths"], layered["layers"], strict=True))[-5:]
        ]
        charts.append(
            _chart(
                "collapse",
                "Layer by layer, copying ones",
                "largest entry of the difference, float32",
                lines,
                xlabel="after layer, the last behind the final norm",
                logx=False,
                help="How the difference of n and n + 1 grows through the layers; the residual stream grows with it.",
            )
        )
    charts.append(
        _chart(
            "collapse",
            "What it does to the next token",
            "total variation of the two distributions, float32",
            [_line(c["family"], c["lengths"], c["variation"]) for c in exact],
            help="0: the two inputs get one answer. 1: the answers share nothing.",
        )
    )
    return charts


def _commas(curves: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = _of(curves, "float32", PHASE)
    if len(found) < len(PHASE):
        return []
    words = {
        "copy ones": "n and n + 1",
        "copy with commas": "n and n + 1, commas",
        "same phase": "n and n + 3",
        "same phase with commas": "n and n + 3, commas",
    }
    help = "If commas kept counts apart, n + 3 with commas would lie above n + 3 without, as n + 1 with commas lies above n + 1 without."
    charts = []
    for name, title in (("relative", "Distance in float32"), ("variation", "What it does to the next token")):
        unit = "relative" if name == "relative" else "total variation, float32"
        charts.append(
            _chart("commas", title, unit, [_line(words[c["family"]], c["lengths"], c[name]) for c in found], help=help)
        )
    return charts


def _margins(margins: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    help = "Many paths lead to the end from the start and few from the end: the paper's reason for a first digit to keep its pull longer than a last one."
    charts = [
        ("Copying: shift by the zero", help, True),
        (
            "Counting and summing: shift by one more",
            "At 0 the answer does not depend on how many there are. Mind the scale: less than 0.25 counts as none.",
            False,
        ),
    ]
    found = []
    for title, said, copying in charts:
        lines = [
            _line(m["task"], m["lengths"], m["shift"], low=m["low"], high=m["high"])
            for m in margins
            if ("digit" in m["task"]) == copying
        ]
        if lines:
            unit = "log-odds of the right answer, less those behind the other sequence; mean over three orders of the prompt, the band their range"
            found.append(_chart("margins", title, unit, lines, xlabel="n, ones", logy=False, help=said, whole=True))
    return found


def _squashing(found: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if not found:
        return []
    at = list(range(1, len(found["norms"]) + 1))
    norms = _line("measured", at, found["norms"])
    if found.get("error"):
        norms |= {
            "low": [max(v - 2 * e, 1e-9) for v, e in zip(found["norms"], found["error"], strict=True)],
            "high": [v + 2 * e for v, e in zip(found["norms"], found["error"], strict=True)],
        }
    lines = [norms, _line("bound from the model's attention, shape only", at, found["bound"])]
    if found.get("paths"):
        lines.append(
            _line("count of paths, shape only", at, [v if v > 1e-9 else None for v in found["paths"]])
        )  # beyond, it would flatten the rest
    names = {str(k): token for k, token in zip(at, found["tokens"], strict=True)}
    help = (
        "Each relative to its own value at the first token: shapes compare, sizes do not. A U has its start from the many paths that lead from there, "
        "its end from what the model learned to look at."
        + (" The band is two standard errors of the estimate to each side." if found.get("error") else "")
    )
    chart = _chart(
        "squashing",
        "Sensitivity by input token",
        f"relative, {found['method']}",
        lines,
        xlabel="token, in order",
        logx=False,
        help=help,
        whole=True,
        names=names,
    )
    return [chart]


@functools.cache
def _template() -> Template:
    return Environment(
        loader=PackageLoader("outrange.report"), autoescape=True, undefined=StrictUndefined
    ).get_template("probe.html.j2")
