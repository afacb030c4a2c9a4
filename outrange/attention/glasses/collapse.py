"""Representational collapse (arXiv 2406.04267, Theorem 4.2 and figure 5): how far apart a model holds two inputs that differ by one repetition.

    family    n -> a pair of token sequences, most often n and n + 1 repetitions           Family, FAMILIES
    distance  between the last tokens' representations y_a and y_b, after every layer      distances
    noise     |y_a in a type - y_a in the reference|, what rounding alone does to one input             Curve.noise
    blur      |(y_a - y_b) in a type - (y_a - y_b) in the reference|, what it does to their difference  Curve.blur
    signal    |y_a - y_b| in the reference; signal / noise and signal / blur               Curve.signal_over_noise, signal_over_blur
    same      y_a and y_b, as computed in a type, are one vector: then every later computation gives one answer to both

A type's resolution alone decides nothing: inference in bfloat16 does not come to distance 0 but to a floor of rounding noise, larger than what float32 still
tells apart. Rounding moves the two inputs of a pair much alike, so their difference may outlive a noise that is larger than it: what decides is signal over
blur, and next-token probabilities have the final word. The reference is float32, or float64 where that is among the types (as far as the model computes in it:
transformers' norms and rotary angles stay in float32).

Our readings where the paper is silent: relative distances are of the largest entry of y_a; a "head" of the last vector is a slice of hidden / heads channels;
int8 is simulated, each row of every linear map rounded to 255 levels. Two families are controls of ours: ``digits`` (random, as in figure 5(b)) shows what no
repetition looks like; the ``same phase`` pairs compare n with n + 3, so that commas at every third digit cannot tell the two by the place within a group.
Neighbouring n end at different places of a group, and of a tokenizer's habits; ``around`` takes means over a few of them.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from outrange.attention.glasses.symbols import Symbols
from outrange.core.errors import BadInput, unknown
from outrange.lm.opening import context_length

Dtype = Literal["float64", "float32", "bfloat16", "float16", "int8"]
RESOLUTION = {"float64": 2.0**-53, "float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}
"""unit roundoff: the relative error of rounding to a type"""
DTYPES: tuple[Dtype, ...] = ("float64", "float32", "bfloat16", "float16", "int8")
GROUP = 3
"""digits between commas"""
COUNT, COPY = "How many ones are in the following sequences? ", "Can you copy the following number? "
Pair = tuple[list[int], list[int]]
Told = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A pair of token sequences for every length.

    Attributes:
        meaning: in a sentence.
        pair: from a tokenizer's symbols and n (and a seed) to the two sequences, token ids.
        step: how many repetitions the second has more.
    """

    name: str
    meaning: str
    pair: Callable[[Symbols, int, int], Pair]
    step: int = 1


def repeated(name: str, meaning: str, prompt: str = "", step: int = 1, group: int = 0) -> Family:
    """n against n + step ones behind a prompt, a comma behind every ``group`` of them if it is not 0."""

    def pair(symbols: Symbols, n: int, seed: int) -> Pair:
        before = symbols.prompt(prompt)
        first, second = (before + grouped(symbols, [symbols.digits[1]] * count, group) for count in (n, n + step))
        return first, second

    return Family(name=name, meaning=meaning, pair=pair, step=step)


def grouped(symbols: Symbols, ids: list[int], group: int) -> list[int]:
    """The ids with a comma after every ``group`` of them but the last; as they are if ``group`` is 0."""
    if not group:
        return list(ids)
    found: list[int] = []
    for k, one in enumerate(ids):
        if k and k % group == 0:
            found.append(symbols.comma)
        found.append(one)
    return found


def _digits(symbols: Symbols, n: int, seed: int) -> Pair:
    drawn = np.random.default_rng([seed, n]).integers(0, 10, n - 1)
    first = symbols.prompt(COUNT) + [symbols.digits[d] for d in drawn] + [symbols.digits[1]]
    return first, [*first, symbols.digits[1]]


FAMILIES = {
    family.name: family
    for family in (
        repeated("ones", "n against n + 1 ones, without a prompt"),
        repeated("count ones", "a question how many ones there are, then n against n + 1 ones (figure 5a)", COUNT),
        Family(
            name="digits",
            meaning="control: the same question, n - 1 random digits, then one against two ones (figure 5b)",
            pair=_digits,
        ),
        repeated("copy ones", "a request to copy, then n against n + 1 ones (figure 5c)", COPY),
        repeated("copy with commas", "the same with a comma at every third digit (figure 5d)", COPY, group=GROUP),
        repeated(
            "same phase", "control: a request to copy, then n against n + 3 ones, without commas", COPY, step=GROUP
        ),
        repeated(
            "same phase with commas",
            "control: n against n + 3 ones with commas, so that both end at the same place of a group",
            COPY,
            GROUP,
            GROUP,
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A family in one type, along lengths. Arrays have the lengths first.

    Attributes:
        lengths: n; each number is a mean over n, n + 1, …, n + around - 1.
        tokens: of the first sequence at n.
        l1, l2, linf: distance of the representations after each layer, (lengths, layers), the last one behind the final norm; in the type itself.
        relative: ``linf`` of the last over the largest entry of y_a.
        heads: smallest, mean and largest L-infinity distance over the last vector's slices of a head, relative as well, (lengths, 3).
        noise: L-infinity distance of y in this type from y in the reference, mean of both inputs, relative; 0 in the reference.
        blur: L-infinity distance of y_a - y_b in this type from that in the reference, relative; 0 in the reference.
        signal_over_noise, signal_over_blur: relative distance in the reference over either; infinite where that is 0.
        same: whether y_a and y_b are one vector in this type, at all of these n.
        variation: total variation (0 to 1) between the two next-token distributions, in the type itself.
        same_answer: whether both have the same most likely next token, at all of these n.
    """

    family: str
    dtype: str
    step: int
    lengths: tuple[int, ...]
    tokens: tuple[int, ...]
    l1: np.ndarray
    l2: np.ndarray
    linf: np.ndarray
    relative: np.ndarray
    heads: np.ndarray
    noise: np.ndarray
    blur: np.ndarray
    signal_over_noise: np.ndarray
    signal_over_blur: np.ndarray
    same: np.ndarray
    variation: np.ndarray
    same_answer: np.ndarray


@dataclass(frozen=True)
class State:
    """A last token: representations after each layer (layers, hidden) float64, and the log-probabilities of the next token (vocabulary,) float32."""

    layers: np.ndarray
    next: np.ndarray


States = dict[tuple[int, ...], State]


def collapse(
    model: Any,
    tokenizer: Any,
    families: Sequence[Family] | None = None,
    lengths: Sequence[int] = (8, 16, 32, 64, 128, 256),
    dtypes: Sequence[Dtype] = ("float32", "bfloat16"),
    seed: int = 0,
    around: int = 1,
    tell: Told = lambda what, done, total: None,
) -> list[Curve]:
    """Every family in every type.

    Args:
        model: a transformers decoder in float32.
        tokenizer: its tokenizer.
        families: none: all of ``FAMILIES``.
        lengths: n, at least 1, ascending.
        dtypes: each but float32 takes a copy of the model. The others' noise is held against float64 if that is among them, else against float32.
        seed: of random digits.
        around: how many neighbouring n, from n up, a number is the mean of. Of ones they cost next to nothing: they are read on the way.
        tell: told what is read, how much of it, of how much.

    Raises:
        BadInput: naming what is not allowed; a length whose sequence is longer than the model's context.
    """
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise unknown("dtypes", dtype, DTYPES, "a type")
    if (found := next(model.parameters()).dtype) != torch.float32:
        raise BadInput(
            f"model: {str(found).removeprefix('torch.')} is not allowed; open it in float32, the others are made from that"
        )
    if not lengths or min(lengths) < 1 or list(lengths) != sorted(set(lengths)):
        raise BadInput(f"lengths: {list(lengths)} is not allowed; they must be at least 1 and ascending")
    if around < 1:
        raise BadInput(f"around: {around} is not allowed; it must be at least 1")
    chosen = list(FAMILIES.values()) if families is None else list(families)
    symbols = Symbols.of(tokenizer)
    pairs = {
        family.name: [[family.pair(symbols, n + k, seed) for k in range(around)] for n in lengths] for family in chosen
    }
    sequences = [tuple(one) for found in pairs.values() for near in found for pair in near for one in pair]

    def states(dtype: Dtype) -> States:
        with variant(model, dtype) as other:
            return read(other, sequences, tell=lambda done, total: tell(dtype, done, total))

    reference: Dtype = "float64" if "float64" in dtypes else "float32"
    exact, curves = states(reference), []
    for dtype in dtypes:
        found = exact if dtype == reference else states(dtype)
        curves += [
            _curve(family, dtype, tuple(lengths), pairs[family.name], exact, found, _heads(model)) for family in chosen
        ]
    return curves


def read(
    model: Any, sequences: Sequence[tuple[int, ...]], tell: Callable[[int, int], None] = lambda done, total: None
) -> States:
    """The last token's state of every sequence. A sequence that begins another one is read on the way, so n = 1 … N of a repetition is one pass of N tokens."""
    wanted = sorted(set(sequences))
    longest = [one for one, after in zip(wanted, [*wanted[1:], ()], strict=True) if after[: len(one)] != one]
    limit = context_length(model)
    if (most := max(map(len, longest), default=0)) > limit:
        raise BadInput(
            f"lengths: a sequence of {most:,} tokens is not allowed; the model's context holds {limit:,}; take shorter ones"
        )
    found: States = {}
    total, done = sum(map(len, longest)), 0
    for whole in longest:
        at = [len(one) - 1 for one in wanted if whole[: len(one)] == one]
        place = torch.tensor(at, device=model.device)
        with torch.inference_mode():
            out = model(
                torch.tensor([whole], device=model.device),
                use_cache=False,
                output_hidden_states=True,
                logits_to_keep=place,
            )
            layers = torch.stack([hidden[0, place] for hidden in out.hidden_states[1:]], 1).cpu().double().numpy()
            following = torch.log_softmax(out.logits[0].float(), -1).cpu().numpy()
        for k, last in enumerate(at):
            found[whole[: last + 1]] = State(layers[k], following[k])
        done += len(whole)
        tell(done, total)
    return found


@contextlib.contextmanager
def variant(model: nn.Module, dtype: Dtype) -> Iterator[nn.Module]:
    """The model in another type: itself for float32, else a copy; for int8 a copy in float32 whose linear maps hold 255 values a row."""
    if dtype == "float32":
        yield model
        return
    other = copy.deepcopy(model)
    if dtype == "int8":
        for module in other.modules():
            if isinstance(module, nn.Linear):
                with torch.no_grad():
                    module.weight.copy_(eight_bits(module.weight))
    else:
        other.to(getattr(torch, dtype))
    yield other


def eight_bits(weight: Tensor) -> Tensor:
    """A matrix with each row rounded to multiples of its largest entry / 127."""
    scale = weight.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny) / 127
    return (weight / scale).round() * scale


def distances(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """L1, L2 and L-infinity distances along the last axis."""
    gap = np.abs(a.astype(np.float64) - b.astype(np.float64))
    return gap.sum(-1), np.sqrt((gap**2).sum(-1)), gap.max(-1)


def times(given: np.ndarray, without: np.ndarray) -> np.ndarray:
    """How many times as large, entry by entry; 1 where both are 0."""
    alone = np.where(given > 0, np.inf, 1.0)
    return np.divide(given, without, out=alone, where=without > 0)


def first_from(lengths: Sequence[int], holds: Sequence[bool] | np.ndarray) -> int | None:
    """The first length from which on something holds at every length; none if it does not hold at the last."""
    found = None
    for length, one in zip(lengths, holds, strict=True):
        found = (length if found is None else found) if one else None
    return found


def _heads(model: Any) -> int:
    return int(model.config.get_text_config(decoder=True).num_attention_heads)


def _curve(
    family: Family,
    dtype: str,
    lengths: tuple[int, ...],
    pairs: list[list[Pair]],
    exact: States,
    states: States,
    heads: int,
) -> Curve:
    """The numbers of a family in a type from what was read, each length's a mean over its neighbours'."""
    rows = [
        [_numbers(states[tuple(a)], states[tuple(b)], exact[tuple(a)], exact[tuple(b)], heads) for a, b in near]
        for near in pairs
    ]
    mean = {name: np.array([np.mean([one[name] for one in near], 0) for near in rows]) for name in rows[0][0]}
    signal, noise, blur = mean.pop("signal"), mean["noise"], mean["blur"]
    over = [np.divide(signal, under, out=np.full_like(signal, np.inf), where=under > 0) for under in (noise, blur)]
    return Curve(
        family=family.name, dtype=dtype, step=family.step, lengths=lengths, tokens=tuple(len(near[0][0]) for near in pairs),
        signal_over_noise=over[0], signal_over_blur=over[1], same=mean.pop("same") == 1, same_answer=mean.pop("same_answer") == 1, **mean,
    )  # fmt: skip


def _numbers(a: State, b: State, true_a: State, true_b: State, heads: int) -> dict[str, Any]:
    """Of one pair, in a type and in the reference."""
    l1, l2, linf = distances(a.layers, b.layers)
    ends, true = (a.layers[-1], b.layers[-1]), (true_a.layers[-1], true_b.layers[-1])
    size, true_size = np.abs(ends[0]).max(), np.abs(true[0]).max()
    parts = [part.max() for part in np.array_split(np.abs(ends[0] - ends[1]) / size, heads)]
    return {
        "l1": l1, "l2": l2, "linf": linf, "relative": linf[-1] / size, "heads": [min(parts), np.mean(parts), max(parts)],
        "signal": np.abs(true[0] - true[1]).max() / true_size,
        "noise": np.mean([np.abs(one - other).max() for one, other in zip(ends, true, strict=True)]) / true_size,
        "blur": np.abs((ends[0] - ends[1]) - (true[0] - true[1])).max() / true_size,
        "same": np.array_equal(*ends),
        "variation": 0.5 * np.abs(np.exp(a.next) - np.exp(b.next)).sum(),
        "same_answer": a.next.argmax() == b.next.argmax(),
    }  # fmt: skip
