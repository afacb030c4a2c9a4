"""Over-squashing (arXiv 2406.04267, Theorem 5.1): which tokens can still reach the last one's representation.

    |d y_n / d v_i|  <=  C [prod_l (Lambda^(l) / beta_1 + I)]_{n,i}        bound(), from the model's own attention
                         C(n - i + L - 1, L - 1) paths if all weights were 1     paths()
    exact()      the Frobenius norm of d y_n / d v_i by vector-Jacobian products, one for each channel of y_n
    estimate()   the same from random signs u: E |u^T J|^2 = |J|_F^2, with a standard error

y_n is the last token's representation behind the final norm, what the output head reads; v_i is token i's entry in the residual stream where layer ``layer``
begins, for 0 its embedding as the first layer reads it. The text is repeated along the batch, so that one backward pass carries many cotangents; the forward
pass is made once, and weights get no gradients. An exact norm costs as many token passes backward as y_n has channels: at 512 tokens of a model of 135 million
parameters with 576 channels some 63 TFLOP.

Our readings: Lambda is the mean of the heads' attention; the constants are 1, so that a bound's shape speaks and its size does not.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from outrange.attention.tap import AttentionInputs, decoder, tapped
from outrange.core.errors import BadInput
from outrange.lm.opening import context_length

Progress = Callable[[int, int], None]
MEMORY = 1 << 30
"""bytes that the activations of the repeated text may take, about"""


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """How strongly the last token's representation depends on every token.

    Attributes:
        tokens: the ids.
        norms: (n,) Frobenius norms of d y_n / d v_i.
        error: (n,) their standard errors (of an estimate, by the delta method), or None.
        layer: where v_i is read.
        method: exact or estimate.
    """

    tokens: tuple[int, ...]
    norms: np.ndarray
    error: np.ndarray | None
    layer: int
    method: str

    def under(self, share: float = 0.01) -> float:
        """Share of the tokens whose norm is under that share of the first token's; of the largest, if the first does not reach the end at all."""
        return float((self.norms < share * self.scale).mean())

    @property
    def scale(self) -> float:
        """The norm that others are told relative to: the first token's, or the largest where that is 0, as behind a sliding window."""
        return float(self.norms[0] or self.norms.max())

    def u_shape(self) -> dict[str, float]:
        """Mean norm of the first, the middle and the last tenth of the tokens over the middle's; over the last's where the middle does not reach the end."""
        size = max(1, len(self.norms) // 10)
        start = (len(self.norms) - size) // 2
        middle = float(self.norms[start : start + size].mean()) or float(self.norms[-size:].mean())
        return {
            name: float(part.mean()) / middle
            for name, part in (
                ("first", self.norms[:size]),
                ("middle", self.norms[start : start + size]),
                ("last", self.norms[-size:]),
            )
        }


def exact(model: nn.Module, ids: Sequence[int], layer: int = 0, progress: Progress | None = None) -> Sensitivity:
    """Every norm, up to rounding.

    Args:
        model: a transformers decoder, in evaluation mode or not; its modes and what needs gradients are put back.
        ids: of the text, at least 2.
        layer: whose input is looked at, 0 … layers - 1.
        progress: told how many channels are done.

    Raises:
        BadInput: the text or the layer is not allowed.
    """
    width = _width(model)
    total = np.zeros(len(ids))
    for squares in _products(model, ids, layer, torch.eye(width), progress):
        total += squares.sum(0)
    return Sensitivity(tokens=tuple(ids), norms=np.sqrt(total), error=None, layer=layer, method="exact")


def estimate(
    model: nn.Module,
    ids: Sequence[int],
    directions: int = 12,
    layer: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Sensitivity:
    """Every norm from ``directions`` random sign vectors; the squared norms are unbiased.

    Args:
        directions: at least 2; the error falls with their root.
        seed: of the signs.
        others: as for ``exact``.
    """
    if directions < 2:
        raise BadInput(f"directions: {directions} is not allowed; it must be at least 2, for an error to be known")
    drawn = torch.from_numpy(np.random.default_rng(seed).choice([-1.0, 1.0], size=(directions, _width(model)))).float()
    squares = np.concatenate(list(_products(model, ids, layer, drawn, progress)))
    mean = squares.mean(0)
    norms, spread = np.sqrt(mean), squares.std(0, ddof=1) / math.sqrt(directions)
    error = np.divide(spread, 2 * norms, out=np.zeros_like(norms), where=norms > 0)
    return Sensitivity(tokens=tuple(ids), norms=norms, error=error, layer=layer, method="estimate")


def bound(model: nn.Module, ids: Sequence[int]) -> np.ndarray:
    """The paper's bound with all constants 1, (n,): the last row of prod_l (Lambda^(l) + I), layer by layer as the model attends."""
    _check(model, ids, 0)
    product = torch.eye(len(ids), dtype=torch.float64, device=_device(model))

    def watch(seen: AttentionInputs) -> None:
        nonlocal product
        product = product + seen.weights(slice(None))[0].mean(0).double() @ product

    with _still(model), torch.no_grad(), tapped(model, watch):
        decoder(model)(input_ids=torch.tensor([list(ids)], device=_device(model)), use_cache=False)
    return product[-1].cpu().numpy()


def paths(count: int, layers: int) -> np.ndarray:
    """How many paths lead from each of ``count`` tokens to the last through ``layers`` layers, C(n - i + L - 1, L - 1), over those from the first token."""
    if count < 1 or layers < 1:
        raise BadInput(f"paths: {count} tokens and {layers} layers are not allowed; both must be at least 1")
    logs = np.array([math.lgamma(gap + layers) - math.lgamma(gap + 1) for gap in range(count - 1, -1, -1)])
    return np.exp(logs - logs[0])


def _products(
    model: nn.Module, ids: Sequence[int], layer: int, cotangents: Tensor, progress: Progress | None
) -> Iterator[np.ndarray]:
    """|u^T d y_n / d v_i|^2, (few, n), for a few of the cotangents u (k, width) after another."""
    _check(model, ids, layer)
    device, n = _device(model), len(ids)
    kind = next(model.parameters()).dtype
    blocks: Any = decoder(model).layers
    held = n * cotangents.shape[1] * 4 * 40 * (len(blocks) - layer)  # a block keeps some forty numbers a channel
    few = max(1, min(len(cotangents), int(MEMORY // held) or 1, 32))
    leaves: list[Tensor] = []

    def cut(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        stream = args[0] if args else kwargs["hidden_states"]
        leaf = stream.detach().requires_grad_(True)
        leaves.append(leaf)
        return ((leaf, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": leaf})

    with _still(model), torch.enable_grad():
        hook = blocks[layer].register_forward_pre_hook(cut, with_kwargs=True)
        try:
            last = decoder(model)(
                input_ids=torch.tensor([list(ids)] * few, device=device), use_cache=False
            ).last_hidden_state[:, -1]
        finally:
            hook.remove()
        for begin in range(0, len(cotangents), few):
            given = cotangents[begin : begin + few].to(device, kind)
            whole = torch.cat([given, given.new_zeros(few - len(given), given.shape[1])])
            (found,) = torch.autograd.grad(last, leaves[0], whole, retain_graph=True)
            if progress:
                progress(begin + len(given), len(cotangents))
            yield found[: len(given)].double().square().sum(-1).cpu().numpy()


@contextlib.contextmanager
def _still(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, its parameters without gradients; both as they were afterwards."""
    needed = [(p, p.requires_grad) for p in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        for p, wanted in needed:
            p.requires_grad_(wanted)
        for module, mode in modes:
            module.training = mode


def _check(model: nn.Module, ids: Sequence[int], layer: int) -> None:
    config: Any = getattr(model, "config").get_text_config(decoder=True)  # noqa: B009 - a module's attributes are typed as tensors
    limit = context_length(model)
    if not 2 <= len(ids) <= limit:
        raise BadInput(f"ids: {len(ids):,} tokens are not allowed; there must be 2 … {limit:,}, the model's context")
    if wrong := [k for k in ids if not 0 <= k < config.vocab_size]:
        raise BadInput(f"ids: {wrong[0]} is not allowed; the model has {config.vocab_size:,} tokens, counted from 0")
    layers = len(decoder(model).layers)  # type: ignore[arg-type]
    if not 0 <= layer < layers:
        raise BadInput(f"layer: {layer} is not allowed; it must be 0 … {layers - 1}")
    if next(model.parameters()).dtype == torch.float16 and _device(model).type == "cpu":
        raise BadInput("model: float16 is not allowed on a processor; open it in float32")


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _width(model: nn.Module) -> int:
    return int(getattr(model, "config").get_text_config(decoder=True).hidden_size)  # noqa: B009
