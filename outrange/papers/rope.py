"""Round and Round We Go! What makes Rotary Positional Encodings useful? (arXiv 2410.06205): its claims, run.

Rotary encodings (RoPE) turn pairs of channels of queries and keys by an angle that grows with the position; each
pair has its own frequency. The paper's theorems run as they are stated (attention/rope/theorems). What it observed
in Gemma 7B runs here on a small model: a different picture there is a fact about small models and contradicts
nothing. At scale gpu the same functions take Gemma 7B itself. The paper's numbers were read in summaries of it.

Torch is loaded when a claim runs, not when this file is read.
"""

import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from outrange.papers.claims import SCALES, Claim, Key, Measured, Measurements, Paper, Verdict, means, series

if TYPE_CHECKING:
    from outrange.report.scan_story import ScanSide

SMALL = dict(model="smollm2-135m", tokens=400)
LARGE = dict(model="google/gemma-7b", tokens=500)

# The theorems


def at_any_distance(seed: int, distances: tuple[int, ...], length: int) -> Measured:
    """Proposition 3.1: the share of distances at which the key that was made for it has the largest logit, alone; and
    the largest runner-up."""
    from outrange.attention.rope.theorems import maximal_attention

    logits = [maximal_attention(64, 1e4, distance, length, seed=seed) for distance in distances]
    # "Alone": an equal logit elsewhere would make the largest one ambiguous.
    peaks_alone = [
        peak["argmax"] == distance and peak["ties"] == 1 for peak, distance in zip(logits, distances, strict=True)
    ]
    return {"right": statistics.fmean(peaks_alone), "runner_up": max(peak["runner_up"] for peak in logits)}


def no_decay(seed: int, pairs: int) -> Measured:
    """Proposition 3.2: means and deviations of logits of Gaussian queries and keys over distances up to 8,000 tokens;
    and of constant vectors."""
    from outrange.attention.rope.theorems import constant_attention, gaussian_attention

    logits = gaussian_attention(pairs=pairs, seed=seed)
    return {
        "mean_in_standard_errors": logits["worst_errors"],
        "least_deviation": logits["std_low"],
        "largest_deviation": logits["std_high"],
        # The decay that earlier work saw is that of constant vectors; it is measured beside the claim.
        "constant_vectors": constant_attention()["at_4096"],
    }


def one_nope_head(seed: int, draws: int) -> Measured:
    """Proposition 5.2: the attention of one head without positions to two equal tokens."""
    from outrange.attention.rope.theorems import nope_head

    weights = nope_head(draws=draws, seed=seed)
    return {"difference": weights["difference"], "largest_weight": weights["largest"]}


def positional_heads(length: int, norms: tuple[float, ...]) -> Measured:
    """Theorem 5.3: the least weight on the target of a diagonal and a previous-token head that were made so, as the
    norm of their vectors grows."""
    from outrange.attention.rope.theorems import positional_head

    measured: dict[Key, float] = {}
    # A diagonal head attends to its own token, a previous-token head to the one before.
    for name, offset in (("diagonal", 0), ("previous", 1)):
        for norm in norms:
            measured[name, norm] = positional_head(norm, offset, length=length)["worst"]
    return measured


def slow_channels(thetas: tuple[float, ...]) -> Measured:
    """Theorem 6.1: up to which distance a slow channel tells a target from a distractor of half its logit, as
    predicted and as measured."""
    from outrange.attention.rope.theorems import robust_length, slow_channel

    measured: dict[Key, float] = {}
    for theta in thetas:
        prediction = robust_length(theta, 128, 0.5)
        # Looking one token beyond half a turn is far enough: the predicted crossing lies before it.
        channel = slow_channel(prediction["frequency"], 0.5, int(prediction["half_turn"]) + 1)
        measured["fails_at", theta] = channel["crossing"]
        measured["predicted", theta] = channel["predicted"]
    return measured


def three_encodings() -> Measured:
    """Table 1: the weight of a previous-token head, and whether the slowest channel fails within 131,072 tokens (1)
    or not (0)."""
    from outrange.attention.rope.theorems import encoding

    measured: dict[Key, float] = {}
    # The share of frequencies that turn, the fastest first: none is NoPE, all is RoPE, between them p-RoPE.
    for name, share in (("NoPE", 0.0), ("RoPE", 1.0), ("0.75-p-RoPE", 0.75)):
        row = encoding(share, theta=1e4, context=1 << 17)
        measured["previous", name] = row["previous"]
        measured["fails", name] = float(row["crossing"] < float("inf"))
    return measured


# What was observed in trained models


def scanned(model: str, tokens: int, experiments: bool = False) -> "ScanSide":
    """What ``outrange attention scan`` measures of a model on the shipped text."""
    from outrange.attention.rope import scan_model
    from outrange.attention.texts import SHAKESPEARE
    from outrange.lm import opening

    text = SHAKESPEARE.read_text(encoding="utf-8")
    return scan_model(opening.open_model(model), text, "Shakespeare", limit=tokens, experiments=experiments)


def frequency_shares(model: str, tokens: int) -> Measured:
    """Shares of the norm of queries, keys and values in the four quarters of frequencies, fastest first; and in how
    many layers the strongest frequency is one of the slower half."""
    import numpy as np

    usage = scanned(model, tokens).usage
    measured: dict[Key, float] = {}
    for name in ("q", "k", "v"):
        layers = [np.asarray(layer).mean(0) for layer in getattr(usage, name)]  # mean over heads: (frequencies,)
        quarters = [[quarter.sum() / layer.sum() for quarter in np.array_split(layer, 4)] for layer in layers]
        for number, share in enumerate(np.mean(quarters, axis=0), start=1):
            measured[f"{name}_quarter", number] = float(share)
        # Frequencies are sorted fastest first, so the slower half is the second.
        measured["slow_layers", name] = statistics.fmean(layer.argmax() >= len(layer) / 2 for layer in layers)
    return measured


def where_positional(model: str, tokens: int) -> Measured:
    """Of the positional heads (diagonal or previous-token), the share in the first or the last two layers; and how
    much of their norm is in the fastest quarter of frequencies."""
    heads = scanned(model, tokens).heads
    last_layer = max(head.layer for head in heads)
    positional = [head for head in heads if head.kind in ("diagonal", "previous token")]
    others = [head for head in heads if head not in positional]
    # The first two layers are 0 and 1.
    at_the_ends = [head for head in positional if head.layer <= 1 or head.layer >= last_layer - 1]
    fast_share = [head.top_quarter for head in heads]
    score = [max(head.diagonal, head.previous) for head in heads]
    return {
        "positional_heads": float(len(positional)),
        "in_end_layers": len(at_the_ends) / max(len(positional), 1),
        "fast_share_positional": statistics.fmean(head.top_quarter for head in positional) if positional else 0.0,
        "fast_share_others": statistics.fmean(head.top_quarter for head in others),
        "correlation": statistics.correlation(fast_share, score),
    }


def what_carries(model: str, tokens: int) -> Measured:
    """The clearest positional heads without their fastest and without their slowest quarter of frequencies: the mean
    share of their score that is left."""
    ablated = scanned(model, tokens, experiments=True).head_ablations
    if not ablated:  # no head of this model attends by position
        return {"without_fastest": 1.0, "without_slowest": 1.0, "heads": 0.0}
    shares = [[quarter / head.untouched for quarter in head.quarters] for head in ablated]
    return {
        "without_fastest": statistics.fmean(quarters[0] for quarters in shares),
        "without_slowest": statistics.fmean(quarters[3] for quarters in shares),
        "heads": float(len(shares)),
    }


def converted(model: str, tokens: int) -> Measured:
    """Perplexity of a trained model whose slowest or fastest frequencies no longer turn, with nothing trained anew."""
    import torch

    from outrange.attention.rope import perplexity
    from outrange.attention.texts import SHAKESPEARE
    from outrange.lm import opening, rotary

    opened = opening.open_model(model)
    token_ids = [torch.tensor([opening.encode_text(opened.tokenizer, SHAKESPEARE.read_text(encoding="utf-8"), tokens)])]
    measured: dict[Key, float] = {("perplexity", "RoPE"): perplexity(opened.model, token_ids)}
    # p-RoPE leaves the slowest frequencies unturned; reversed leaves the fastest, as a control.
    for name, p, kind in (
        ("0.75-p-RoPE", 0.75, "p-rope"),
        ("0.25-p-RoPE", 0.25, "p-rope"),
        ("0.75 reversed", 0.75, "reversed"),
        ("NoPE", 0.0, "p-rope"),
    ):
        with rotary.converted(opened.model, p, kind):  # type: ignore[arg-type]
            measured["perplexity", name] = perplexity(opened.model, token_ids)
    return measured


# Verdicts


def judge_any_distance(values: Measurements) -> Verdict:
    """Shown: at every distance and with every seed."""
    right, runner_up = min(values["right"]), max(values["runner_up"])
    why = f"largest where it was meant to be in {right:.0%} of tries; the runner-up has {runner_up:.3f} of it"
    return ("shown" if right == 1 else "contradicted"), why


def judge_no_decay(values: Measurements) -> Verdict:
    """Shown: the mean is within four standard errors of 0, and the deviation within 3 % of the expected one, at every
    distance."""
    centred = max(values["mean_in_standard_errors"]) < 4
    if centred and min(values["least_deviation"]) > 0.97 and max(values["largest_deviation"]) < 1.03:
        return "shown", "mean 0 and the same spread at every distance; constant vectors do decay"
    return "contradicted", "the mean or the spread changes with distance"


def judge_one_nope_head(values: Measurements) -> Verdict:
    """Shown: equal weights up to rounding, so that neither can exceed one half."""
    largest = max(values["largest_weight"])
    why = f"two equal tokens get the same weight, at most {largest:.3f}; one head alone, as stated"
    return ("shown" if max(values["difference"]) < 1e-12 and largest <= 0.5 else "contradicted"), why


def judge_positional_heads(values: Measurements) -> Verdict:
    """Shown: the weight grows with the norm, to 0.999."""
    for name in ("diagonal", "previous"):
        weights = list(means(series(values, name)).values())  # smallest norm first
        if weights != sorted(weights) or weights[-1] < 0.999:
            return "contradicted", f"the {name} head's weight ends at {weights[-1]:.3f}"
    return (
        "shown",
        "the weight on the target tends to 1 as the norm grows; with one frequency alone it needs absurd norms,"
        " see `outrange attention theorems`",
    )


def judge_slow_channels(values: Measurements) -> Verdict:
    """Shown: every channel fails within a token of the predicted distance."""
    fails_at, predicted = means(series(values, "fails_at")), means(series(values, "predicted"))
    elsewhere = [theta for theta, distance in fails_at.items() if abs(distance - predicted[theta]) > 1]
    if elsewhere:
        return "contradicted", f"not where predicted: theta {', '.join(f'{theta:g}' for theta in elsewhere)}"
    longest = max(fails_at.values())
    return "shown", f"every theta fails at the length predicted; raising theta only moves it, to {longest:,.0f} tokens"


def judge_three_encodings(values: Measurements) -> Verdict:
    """Shown: NoPE makes no positional head, RoPE's slowest channel fails, and p-RoPE has neither fault."""
    previous, fails = means(series(values, "previous")), means(series(values, "fails"))
    holds = (
        previous["NoPE"] < 0.5
        and not fails["NoPE"]
        and previous["RoPE"] > 0.99
        and fails["RoPE"]
        and previous["0.75-p-RoPE"] > 0.99
        and not fails["0.75-p-RoPE"]
    )
    why = "NoPE holds contents and no positions, RoPE positions and no contents for ever, p-RoPE both"
    return ("shown" if holds else "contradicted"), why


def judge_frequency_shares(values: Measurements) -> Verdict:
    """Shown: queries and keys have more than half of their norm in the slower half, strongest there in nine layers of
    ten, and values have not."""
    quarters = {name: means(series(values, f"{name}_quarter")) for name in "qkv"}
    slow = {name: shares[3] + shares[4] for name, shares in quarters.items()}
    layers = means(series(values, "slow_layers"))
    why = (
        f"the slower half has {slow['q']:.0%} of queries, {slow['k']:.0%} of keys, {slow['v']:.0%} of values;"
        f" strongest there in {layers['q']:.0%} of layers"
    )
    # Values are the control: RoPE does not turn them, so they should show no preference.
    queries_and_keys = min(slow["q"], slow["k"])
    if queries_and_keys > 0.55 and abs(slow["v"] - 0.5) < 0.03 and min(layers["q"], layers["k"]) >= 0.9:
        return "shown", why
    return ("partly" if queries_and_keys > 0.5 else "not at this scale"), why


def judge_where_positional(values: Measurements) -> Verdict:
    """Shown: most positional heads are in the end layers, and they use fast frequencies more than others do; the
    second alone: partly."""
    measured = means(values)
    at_the_ends = measured["in_end_layers"]
    ratio = measured["fast_share_positional"] / max(measured["fast_share_others"], 1e-9)
    why = (
        f"{measured['positional_heads']:.0f} positional heads, {at_the_ends:.0%} in the first or last two layers;"
        f" {ratio:.1f} times the others' norm in the fastest quarter"
    )
    if at_the_ends > 0.5 and ratio > 1.2:
        return "shown", why
    return ("partly" if ratio > 1.2 else "not at this scale"), why


def judge_what_carries(values: Measurements) -> Verdict:
    """Shown: without the fastest quarter heads keep under 30 % of their score, without the slowest over 80 %."""
    measured = means(values)
    if not measured["heads"]:
        return "not at this scale", "the model has no positional heads"
    fast, slow = measured["without_fastest"], measured["without_slowest"]
    why = (
        f"{measured['heads']:.0f} heads keep {fast:.0%} of their score without the fastest quarter,"
        f" {slow:.0%} without the slowest"
    )
    return ("shown" if fast < 0.3 and slow > 0.8 else "partly"), why


def judge_converted(values: Measurements) -> Verdict:
    """Shown: stopping the slowest quarter costs under 5 % of perplexity, stopping the fastest over 50 %. The paper
    gives no number."""
    perplexity = means(series(values, "perplexity"))
    # As a share of the perplexity of the model as it is.
    slow = perplexity["0.75-p-RoPE"] / perplexity["RoPE"] - 1
    fast = perplexity["0.75 reversed"] / perplexity["RoPE"] - 1
    why = (
        f"perplexity {slow:+.1%} without the slowest quarter's rotation, {fast:+.0%} without the fastest's;"
        " nothing trained anew"
    )
    return ("shown" if slow < 0.05 and fast > 0.5 else "partly"), why


def _at_every_scale(**settings: Any) -> Mapping[str, Mapping[str, Any]]:
    return dict.fromkeys(SCALES, settings)


# A claim about a trained model: a small one here, the paper's own where there is a GPU.
OF_MODELS = {"laptop": SMALL, "gpu": LARGE, "paper": LARGE}

PAPER = Paper(
    "rope",
    "Round and Round We Go! What makes Rotary Positional Encodings useful?",
    "2410.06205",
    (
        Claim(
            name="any-distance",
            place="Proposition 3.1",
            statement="RoPE does not force attention to decay: for any query and any distance there is a key"
            " that is attended most at that distance",
            published="proved",
            run=at_any_distance,
            judge=judge_any_distance,
            scales=_at_every_scale(distances=(0, 1, 7, 500, 3000), length=4096),
            labels={"runner_up": "runner-up"},
        ),
        Claim(
            name="no-decay",
            place="Proposition 3.2, figure 2",
            statement="between random (Gaussian) queries and keys, attention logits do not decay with"
            " distance on average",
            published="proved: mean 0 at every distance",
            run=no_decay,
            judge=judge_no_decay,
            scales=_at_every_scale(pairs=20_000),
            labels={"constant_vectors": "constant vectors at 4,096"},
        ),
        Claim(
            name="nope-cannot",
            place="Proposition 5.2",
            statement="one head without positional encoding (NoPE) cannot attend to its own or to the"
            " previous token whatever it is",
            published="proved, for one head alone",
            run=one_nope_head,
            judge=judge_one_nope_head,
            scales=_at_every_scale(draws=200),
        ),
        Claim(
            name="rope-can",
            place="Theorem 5.3",
            statement="one head with RoPE can attend to its own or to the previous token whatever it is, as"
            " sharply as one likes",
            published="proved",
            run=positional_heads,
            judge=judge_positional_heads,
            scales=_at_every_scale(length=512, norms=(10.0, 100.0, 1e4)),
            labels={"diagonal": "diagonal at |psi|^2 = {}", "previous": "previous at |psi|^2 = {}"},
        ),
        Claim(
            name="slow-not-robust",
            place="Theorem 6.1",
            statement="the slowest frequencies, which models use to compare contents, stop telling contents"
            " apart once the context is long enough,"
            " whatever the base theta",
            published="proved for one frequency",
            run=slow_channels,
            judge=judge_slow_channels,
            scales=_at_every_scale(thetas=(1e4, 1e5, 5e5)),
            labels={"fails_at": "fails at, theta {}", "predicted": "predicted, theta {}"},
        ),
        Claim(
            name="three-encodings",
            place="table 1",
            statement="NoPE holds contents over any distance but no positions, RoPE positions but no contents"
            " over any distance;"
            " p-RoPE, which leaves the slowest frequencies unturned, both",
            published="as stated",
            run=three_encodings,
            judge=judge_three_encodings,
            scales=_at_every_scale(),
            labels={"previous": "{} previous", "fails": "{} fails"},
        ),
        Claim(
            name="low-preferred",
            place="figures 3 and 13",
            statement="a trained model's queries and keys have most of their norm in low frequencies, in"
            " every layer; values, which are not turned,"
            " have no such preference",
            published="Gemma 7B, figures; no number",
            run=frequency_shares,
            judge=judge_frequency_shares,
            scales=OF_MODELS,
            labels={name: f"{name[0]} quarter {{}}" for name in ("q_quarter", "k_quarter", "v_quarter")}
            | {"slow_layers": "{} layers"},
        ),
        Claim(
            name="positional-where",
            place="figures 5 and 6, tables 3 to 5",
            statement="heads that attend by position alone use the highest frequencies, and are in the first"
            " and last layers",
            published="Gemma 7B: layer 1 heads 5 and 8, layer 27 head 8",
            run=where_positional,
            judge=judge_where_positional,
            scales=OF_MODELS,
            labels={
                "in_end_layers": "in the first or last two layers",
                "fast_share_positional": "top quarter, positional",
                "fast_share_others": "top quarter, others",
            },
        ),
        Claim(
            name="fast-carries",
            place="section 5",
            statement="it is the highest frequencies that make heads attend by position",
            published="Gemma 7B, figures; no number",
            run=what_carries,
            judge=judge_what_carries,
            scales=OF_MODELS,
            labels={
                "without_fastest": "without the fastest quarter",
                "without_slowest": "without the slowest quarter",
            },
        ),
        Claim(
            name="converted",
            place="section 6 (remark)",
            statement="a trained model does without the rotation of its lowest frequencies",
            published="tried informally: worked less well than training from scratch; no number",
            run=converted,
            judge=judge_converted,
            scales=OF_MODELS,
            labels={"perplexity": "{}"},
        ),
    ),
)
