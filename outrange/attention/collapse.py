"""Representational collapse (arXiv 2406.04267, Theorem 4.2 and figure 5): how far apart a model holds two inputs that differ by one repetition.

    family    n -> a pair of token sequences, most often n and n + 1 repetitions           Family, FAMILIES
    distance  between the last tokens' representations y_a and y_b, after every layer      distances
    noise     |y_a in a type - y_a in float32|, what rounding alone does to one input      Curve.noise
    signal / noise  = |y_a - y_b| in float32 / noise                                       Curve.signal_over_noise
    same      y_a and y_b are one vector once rounded to the type: then every later computation gives one answer to both

A type's resolution alone decides nothing: inference in bfloat16 does not come to distance 0 but to a floor of rounding noise, larger than what float32 still
tells apart. So signal over noise is what decides, and next-token probabilities have the final word.

Our readings where the paper is silent: relative distances are of the largest entry of y_a; a "head" of the last vector is a slice of hidden / heads channels;
int8 is simulated, each row of every linear map rounded to 255 levels. Two families are controls of ours: ``digits`` (random, as in figure 5(b)) shows what no
repetition looks like; the ``same phase`` pairs compare n with n + 3, so that commas at every third digit cannot tell the two by the place within a group.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from outrange.attention.symbols import Symbols
from outrange.core.errors import BadInput, unknown

Dtype = Literal["float32", "bfloat16", "float16", "int8"]
RESOLUTION = {"float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}
"""unit roundoff: the relative error of rounding to a type"""
DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16", "float16", "int8")
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
        Family(name="digits", meaning="control: the same question, n - 1 random digits, then one against two ones (figure 5b)", pair=_digits),
        repeated("copy ones", "a request to copy, then n against n + 1 ones (figure 5c)", COPY),
        repeated("copy with commas", "the same with a comma at every third digit (figure 5d)", COPY, group=GROUP),
        repeated("same phase", "control: a request to copy, then n against n + 3 ones, without commas", COPY, step=GROUP),
        repeated("same phase with commas", "control: n against n + 3 ones with commas, so that both end at the same place of a group", COPY, GROUP, GROUP),
    )
}


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A family in one type, along lengths. Arrays have the lengths first.

    Attributes:
        l1, l2, linf: distance of the representations after each layer, (lengths, layers), the last one behind the final norm; in the type itself.
        relative: ``linf`` of the last over the largest entry of y_a.
        heads: smallest, mean and largest L-infinity distance over the last vector's slices of a head, relative as well, (lengths, 3).
        noise: L-infinity distance of y in this type from y in float32, mean of both inputs, relative; 0 in float32.
        signal_over_noise: relative distance in float32 over ``noise``; infinite in float32.
        same: whether y_a and y_b of float32 are one vector once rounded to this type.
        variation: total variation (0 to 1) between the two next-token distributions, in the type itself.
        same_answer: whether both have the same most likely next token.
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
    signal_over_noise: np.ndarray
    same: np.ndarray
    variation: np.ndarray
    same_answer: np.ndarray

    @property
    def resolution(self) -> float:
        """The type's unit roundoff; not a number for int8, which rounds weights and no representation."""
        return RESOLUTION.get(self.dtype, float("nan"))


@dataclass(frozen=True)
class State:
    """A last token: representations after each layer (layers, hidden) float32, and the log-probabilities of the next token (vocabulary,) float32."""

    layers: np.ndarray
    next: np.ndarray


def collapse(
    model: Any,
    tokenizer: Any,
    families: Sequence[Family] | None = None,
    lengths: Sequence[int] = (8, 16, 32, 64, 128, 256),
    dtypes: Sequence[Dtype] = ("float32", "bfloat16"),
    seed: int = 0,
    tell: Told = lambda what, done, total: None,
) -> list[Curve]:
    """Every family in every type.

    Args:
        model: a transformers decoder in float32.
        tokenizer: its tokenizer.
        families: none: all of ``FAMILIES``.
        lengths: n, at least 1, ascending. A family that compares groups of three takes the next multiple of three.
        dtypes: each but float32 takes a copy of the model.
        seed: of random digits.
        tell: told what is read, how much of it, of how much.

    Raises:
        BadInput: naming what is not allowed; a length whose sequence is longer than the model's context.
    """
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise unknown("dtypes", dtype, DTYPES, "a type")
    if (found := next(model.parameters()).dtype) != torch.float32:
        raise BadInput(f"model: {str(found).removeprefix('torch.')} is not allowed; open it in float32, the others are made from that")
    if not lengths or min(lengths) < 1 or list(lengths) != sorted(set(lengths)):
        raise BadInput(f"lengths: {list(lengths)} is not allowed; they must be at least 1 and ascending")
    chosen = list(FAMILIES.values()) if families is None else list(families)
    symbols = Symbols.of(tokenizer)
    each = {family.name: tuple(dict.fromkeys(_whole(n, family.step) for n in lengths)) for family in chosen}
    pairs = {family.name: [family.pair(symbols, n, seed) for n in each[family.name]] for family in chosen}
    sequences = [tuple(one) for found in pairs.values() for pair in found for one in pair]
    exact = read(model, sequences, tell=lambda done, total: tell("float32", done, total))
    curves = []
    for dtype in dtypes:
        with variant(model, dtype) as other:
            states = exact if dtype == "float32" else read(other, sequences, tell=lambda done, total, dtype=dtype: tell(dtype, done, total))
        curves += [_curve(family, dtype, each[family.name], pairs[family.name], exact, states, _heads(model)) for family in chosen]
    return curves


def _whole(n: int, step: int) -> int:
    return -(-n // step) * step


def read(model: Any, sequences: Sequence[tuple[int, ...]], tell: Callable[[int, int], None] = lambda done, total: None) -> dict[tuple[int, ...], State]:
    """The last token's state of every sequence. A sequence that begins another one is read on the way, so n = 1 … N of a repetition is one pass of N tokens."""
    wanted = sorted(set(sequences))
    longest = [one for one, after in zip(wanted, [*wanted[1:], ()], strict=True) if after[: len(one)] != one]
    limit = int(getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", 0) or 1 << 30)
    if (most := max(map(len, longest), default=0)) > limit:
        raise BadInput(f"lengths: a sequence of {most:,} tokens is not allowed; the model's context holds {limit:,}; take shorter ones")
    found: dict[tuple[int, ...], State] = {}
    total, done = sum(map(len, longest)), 0
    for whole in longest:
        at = [len(one) - 1 for one in wanted if whole[: len(one)] == one]
        place = torch.tensor(at, device=model.device)
        with torch.inference_mode():
            out = model(torch.tensor([whole], device=model.device), use_cache=False, output_hidden_states=True, logits_to_keep=place)
            layers = torch.stack([hidden[0, place] for hidden in out.hidden_states[1:]], 1).float().cpu().numpy()
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


def first_from(lengths: Sequence[int], holds: Sequence[bool] | np.ndarray) -> int | None:
    """The first length from which on something holds at every length; none if it does not hold at the last."""
    found = None
    for length, one in zip(lengths, holds, strict=True):
        found = (length if found is None else found) if one else None
    return found


def _heads(model: Any) -> int:
    return int(model.config.get_text_config(decoder=True).num_attention_heads)


def _curve(family: Family, dtype: str, lengths: tuple[int, ...], pairs: list[Pair], exact: dict, states: dict, heads: int) -> Curve:
    """The numbers of a family in a type from what was read."""
    both = [(states[tuple(a)], states[tuple(b)]) for a, b in pairs]
    true = [(exact[tuple(a)].layers[-1], exact[tuple(b)].layers[-1]) for a, b in pairs]
    l1, l2, linf = (np.stack(part) for part in zip(*(distances(a.layers, b.layers) for a, b in both), strict=True))
    size = np.array([np.abs(a.layers[-1]).max() for a, _ in both])
    true_size = np.array([np.abs(a).max() for a, _ in true])
    gaps = [np.abs(a.layers[-1] - b.layers[-1]) / s for (a, b), s in zip(both, size, strict=True)]
    parts = [[part.max() for part in np.array_split(gap, heads)] for gap in gaps]
    noise = np.array([np.mean([np.abs(s.layers[-1] - t).max() for s, t in zip(p, q, strict=True)]) for p, q in zip(both, true, strict=True)]) / true_size
    signal = np.array([np.abs(a - b).max() for a, b in true]) / true_size
    ratio = np.divide(signal, noise, out=np.full_like(signal, np.inf), where=noise > 0)
    return Curve(
        family=family.name, dtype=dtype, step=family.step, lengths=lengths, tokens=tuple(len(a) for a, _ in pairs), l1=l1, l2=l2, linf=linf,
        relative=linf[:, -1] / size, heads=np.array([[min(p), np.mean(p), max(p)] for p in parts]), noise=noise, signal_over_noise=ratio,
        same=np.array([bool(np.array_equal(_rounded(a, dtype), _rounded(b, dtype))) for a, b in true]),
        variation=np.array([0.5 * np.abs(np.exp(a.next) - np.exp(b.next)).sum() for a, b in both]),
        same_answer=np.array([int(a.next.argmax()) == int(b.next.argmax()) for a, b in both]),
    )  # fmt: skip


def _rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    kind = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(dtype, torch.float32)
    return torch.from_numpy(np.ascontiguousarray(values)).to(kind).float().numpy()
