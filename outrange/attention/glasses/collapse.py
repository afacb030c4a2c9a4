"""Representational collapse (arXiv 2406.04267, Theorem 4.2 and figure 5): how far apart a model holds two inputs that
differ by one repetition. The pairs of inputs stand in ``families``.

    distance  between the last tokens' representations y_a and y_b, after every layer
    noise     |y_a in a type - y_a in the reference|: what rounding alone does to one input
    blur      |(y_a - y_b) in a type - (y_a - y_b) in the reference|: what rounding does to their difference
    signal    |y_a - y_b| in the reference; signal / noise and signal / blur
    same      y_a and y_b, as computed in a type, are one vector: then every later computation gives one answer to both

A type's resolution alone decides nothing: inference in bfloat16 does not come to distance 0 but to a floor of rounding
noise, larger than what float32 still tells apart. Rounding moves the two inputs of a pair much alike, so their
difference may outlive a noise that is larger than it: what decides is signal over blur, and next-token probabilities
have the final word. The reference is float32, or float64 where that is among the types (as far as the model computes in
it: transformers' norms and rotary angles stay in float32).

Our readings where the paper is silent: relative distances are of the largest entry of y_a; a "head" of the last vector
is a slice of hidden / heads channels; int8 is simulated, each row of every linear map rounded to 255 levels.
Neighbouring n end at different places of a group of digits, and of a tokenizer's habits; ``neighbours`` takes means
over a few of them.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from outrange.attention.glasses.families import FAMILIES, Family, TokenPair
from outrange.attention.glasses.symbols import Symbols
from outrange.core.errors import BadInput, unknown
from outrange.lm.opening import context_length

Dtype = Literal["float64", "float32", "bfloat16", "float16", "int8"]
RESOLUTION = {"float64": 2.0**-53, "float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}
"""unit roundoff: the relative error of rounding to a type"""
DTYPES: tuple[Dtype, ...] = ("float64", "float32", "bfloat16", "float16", "int8")
TokenIds = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A family in one type, along lengths. Arrays have the lengths first.

    Attributes:
        family, dtype, step: the family's name, the type, and how many more repetitions the second sequence has.
        lengths: n; each number is a mean over n, n + 1, …, n + neighbours - 1.
        token_counts: tokens of the first sequence at n.
        l1, l2, linf: distances of the representations after each layer, (lengths, layers), the last one behind the
            final norm; in the type itself.
        relative_distance: ``linf`` of the last layer over the largest entry of y_a.
        head_distances: smallest, mean and largest L-infinity distance over the last vector's slices of a head, relative
            as well, (lengths, 3).
        noise: L-infinity distance of y in this type from y in the reference, mean of both inputs, relative; 0 in the
            reference.
        blur: L-infinity distance of y_a - y_b in this type from that in the reference, relative; 0 in the reference.
        signal_over_noise, signal_over_blur: relative distance in the reference over either; infinite where that is 0.
        same_vector: whether y_a and y_b are one vector in this type, at all of these n.
        total_variation: 0 to 1, between the two next-token distributions, in the type itself.
        same_next_token: whether both have the same most likely next token, at all of these n.
    """

    family: str
    dtype: str
    step: int
    lengths: tuple[int, ...]
    token_counts: tuple[int, ...]
    l1: np.ndarray
    l2: np.ndarray
    linf: np.ndarray
    relative_distance: np.ndarray
    head_distances: np.ndarray
    noise: np.ndarray
    blur: np.ndarray
    signal_over_noise: np.ndarray
    signal_over_blur: np.ndarray
    same_vector: np.ndarray
    total_variation: np.ndarray
    same_next_token: np.ndarray


@dataclass(frozen=True)
class LastToken:
    """What a model computes at the last token of a sequence.

    Attributes:
        layers: representations after each layer, (layers, hidden) float64, the last one behind the final norm.
        log_probabilities: of the next token, (vocabulary,) float32.
    """

    layers: np.ndarray
    log_probabilities: np.ndarray


LastTokens = dict[TokenIds, LastToken]


def collapse_curves(
    model: Any,
    tokenizer: Any,
    families: Sequence[Family] | None = None,
    lengths: Sequence[int] = (8, 16, 32, 64, 128, 256),
    dtypes: Sequence[Dtype] = ("float32", "bfloat16"),
    seed: int = 0,
    neighbours: int = 1,
    report_status: Callable[[str], None] = lambda status: None,
    report_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Curve]:
    """The curve of every family in every type.

    Args:
        model: a transformers decoder in float32.
        tokenizer: its tokenizer.
        families: by default all of ``FAMILIES``.
        lengths: n, at least 1, ascending.
        dtypes: each but float32 takes a copy of the model. Noise and blur are measured against float64 if that is among
            them, else against float32.
        seed: of random digits.
        neighbours: how many neighbouring n, from n up, a number is the mean of. Of ones they cost next to nothing,
            because they are read on the way to the longest.
        report_status: called with the name of the type that is computed next.
        report_progress: called with the tokens that were read in this type, and how many there are.

    Raises:
        BadInput: naming what is not allowed; a length whose sequence is longer than the model's context.
    """
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise unknown("dtypes", dtype, DTYPES, "a type")
    if (model_dtype := next(model.parameters()).dtype) != torch.float32:
        raise BadInput(
            f"model: {str(model_dtype).removeprefix('torch.')} is not allowed; open it in float32, "
            "the others are made from that"
        )
    if not lengths or min(lengths) < 1 or list(lengths) != sorted(set(lengths)):
        raise BadInput(f"lengths: {list(lengths)} is not allowed; they must be at least 1 and ascending")
    if neighbours < 1:
        raise BadInput(f"neighbours: {neighbours} is not allowed; it must be at least 1")

    # every family's pairs: for each length the pairs of n, n + 1, … that its numbers are means over
    families = list(FAMILIES.values()) if families is None else list(families)
    symbols = Symbols.from_tokenizer(tokenizer)
    pairs = {
        family.name: [[family.build_pair(symbols, n + offset, seed) for offset in range(neighbours)] for n in lengths]
        for family in families
    }
    sequences = [
        tuple(sequence)
        for family_pairs in pairs.values()
        for length_pairs in family_pairs
        for pair in length_pairs
        for sequence in pair
    ]

    def read(dtype: Dtype) -> LastTokens:
        report_status(dtype)
        with cast_model(model, dtype) as cast:
            return read_last_tokens(cast, sequences, report_progress)

    # the reference is read once, first, and serves as its own type's curve too
    reference_dtype: Dtype = "float64" if "float64" in dtypes else "float32"
    reference = read(reference_dtype)
    num_heads = int(model.config.get_text_config(decoder=True).num_attention_heads)
    curves = []
    for dtype in dtypes:
        states = reference if dtype == reference_dtype else read(dtype)
        curves += [
            curve_of_pairs(family, dtype, lengths, pairs[family.name], reference, states, num_heads)
            for family in families
        ]
    return curves


def read_last_tokens(
    model: Any,
    sequences: Sequence[TokenIds],
    report_progress: Callable[[int, int], None] = lambda done, total: None,
) -> LastTokens:
    """The last token of every sequence, as the model computes it.

    A sequence that begins another one is read on the way, so that n = 1 … N of a repetition is one pass of N tokens.

    Raises:
        BadInput: a sequence is longer than the model's context.
    """
    # sorted, a sequence stands before those that it begins: only those that begin no other need a pass of their own
    distinct = sorted(set(sequences))
    passes = [
        sequence
        for sequence, successor in zip(distinct, [*distinct[1:], ()], strict=True)
        if successor[: len(sequence)] != sequence
    ]
    limit = context_length(model)
    if (longest := max(map(len, passes), default=0)) > limit:
        raise BadInput(
            f"lengths: a sequence of {longest:,} tokens is not allowed; the model's context holds {limit:,}; "
            "take shorter ones"
        )

    states: LastTokens = {}
    total_tokens, tokens_done = sum(map(len, passes)), 0
    for sequence in passes:
        # the places within this pass at which one of the sequences ends
        last_positions = [len(prefix) - 1 for prefix in distinct if sequence[: len(prefix)] == prefix]
        positions = torch.tensor(last_positions, device=model.device)
        with torch.inference_mode():
            output = model(
                torch.tensor([sequence], device=model.device),
                use_cache=False,
                output_hidden_states=True,
                logits_to_keep=positions,
            )
            # hidden_states[0] is the embedding; the rest is the stream after each layer, the last behind the final norm
            layers = (
                torch.stack([hidden[0, positions] for hidden in output.hidden_states[1:]], 1).cpu().double().numpy()
            )
            log_probabilities = torch.log_softmax(output.logits[0].float(), -1).cpu().numpy()
        for index, last in enumerate(last_positions):
            states[sequence[: last + 1]] = LastToken(layers[index], log_probabilities[index])
        tokens_done += len(sequence)
        report_progress(tokens_done, total_tokens)
    return states


@contextlib.contextmanager
def cast_model(model: nn.Module, dtype: Dtype) -> Iterator[nn.Module]:
    """The model in another type: itself for float32, else a copy; for int8 a copy in float32 whose linear maps are
    rounded.
    """
    if dtype == "float32":
        yield model
        return
    cast = copy.deepcopy(model)  # the model itself stays as it is
    if dtype == "int8":
        # weights are rounded and stay float32, so activations are exact: rounding of weights alone is measured
        for module in cast.modules():
            if isinstance(module, nn.Linear):
                with torch.no_grad():
                    module.weight.copy_(round_to_int8(module.weight))
    else:
        cast.to(getattr(torch, dtype))
    yield cast


def round_to_int8(weight: Tensor) -> Tensor:
    """A matrix with each row rounded to multiples of its largest entry / 127: 255 levels."""
    # clamp_min keeps a row of zeros from being divided by zero
    scale = weight.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny) / 127
    return (weight / scale).round() * scale


def distances(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """L1, L2 and L-infinity distances along the last axis."""
    gap = np.abs(a.astype(np.float64) - b.astype(np.float64))
    return gap.sum(-1), np.sqrt((gap**2).sum(-1)), gap.max(-1)


def times_as_large(values: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    """Values over baseline, entry by entry; 1 where both are 0, infinite where only the baseline is."""
    over_zero = np.where(values > 0, np.inf, 1.0)
    return np.divide(values, baseline, out=over_zero, where=baseline > 0)


def onset_length(lengths: Sequence[int], holds: Sequence[bool] | np.ndarray) -> int | None:
    """The first length from which on something holds at every length; None if it does not hold at the last."""
    onset = None
    for length, holds_here in zip(lengths, holds, strict=True):
        if not holds_here:
            onset = None
        elif onset is None:
            onset = length
    return onset


def curve_of_pairs(
    family: Family,
    dtype: str,
    lengths: Sequence[int],
    pairs: Sequence[Sequence[TokenPair]],
    reference: Mapping[TokenIds, LastToken],
    states: Mapping[TokenIds, LastToken],
    num_heads: int,
) -> Curve:
    """A family's curve in a type.

    Args:
        family: whose pairs these are.
        dtype: the type's name.
        lengths: n.
        pairs: for each length the neighbouring pairs whose mean a number is.
        reference: the last tokens as the reference type computes them.
        states: the same as ``dtype`` computes them.
        num_heads: slices of the last vector for ``head_distances``.
    """
    # each length's numbers are means over its neighbours'
    rows = []
    for length_pairs in pairs:
        numbers = []
        for first, second in length_pairs:
            a, b = tuple(first), tuple(second)
            numbers.append(_pair_numbers(states[a], states[b], reference[a], reference[b], num_heads))
        rows.append({name: np.mean([number[name] for number in numbers], 0) for name in numbers[0]})
    means = {name: np.array([row[name] for row in rows]) for name in rows[0]}

    # ratios of means rather than means of ratios, so that one n without noise does not make all infinite
    signal, noise, blur = means.pop("signal"), means["noise"], means["blur"]
    return Curve(
        family=family.name,
        dtype=dtype,
        step=family.step,
        lengths=tuple(lengths),
        token_counts=tuple(len(length_pairs[0][0]) for length_pairs in pairs),
        signal_over_noise=np.divide(signal, noise, out=np.full_like(signal, np.inf), where=noise > 0),
        signal_over_blur=np.divide(signal, blur, out=np.full_like(signal, np.inf), where=blur > 0),
        same_vector=means.pop("same_vector") == 1,  # a mean of 1 says: at every neighbouring n
        same_next_token=means.pop("same_next_token") == 1,
        **means,
    )


def _pair_numbers(
    a: LastToken, b: LastToken, reference_a: LastToken, reference_b: LastToken, num_heads: int
) -> dict[str, Any]:
    """The numbers of one pair: a and b in a type, and the same two in the reference."""
    # all of it at the last layer is relative to the largest entry of y_a, in the type or in the reference
    l1, l2, linf = distances(a.layers, b.layers)
    y_a, y_b = a.layers[-1], b.layers[-1]
    exact_a, exact_b = reference_a.layers[-1], reference_b.layers[-1]
    size, exact_size = np.abs(y_a).max(), np.abs(exact_a).max()
    # array_split, because hidden need not be a multiple of heads
    head_maxima = [head.max() for head in np.array_split(np.abs(y_a - y_b) / size, num_heads)]
    noises = [np.abs(y - exact).max() for y, exact in ((y_a, exact_a), (y_b, exact_b))]
    return {
        "l1": l1,
        "l2": l2,
        "linf": linf,
        "relative_distance": linf[-1] / size,
        "head_distances": [min(head_maxima), np.mean(head_maxima), max(head_maxima)],
        "signal": np.abs(exact_a - exact_b).max() / exact_size,
        "noise": np.mean(noises) / exact_size,
        # what moves both alike drops out of the difference
        "blur": np.abs((y_a - y_b) - (exact_a - exact_b)).max() / exact_size,
        "same_vector": np.array_equal(y_a, y_b),
        "total_variation": 0.5 * np.abs(np.exp(a.log_probabilities) - np.exp(b.log_probabilities)).sum(),
        "same_next_token": a.log_probabilities.argmax() == b.log_probabilities.argmax(),
    }
