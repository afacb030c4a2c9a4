"""Over-squashing (arXiv 2406.04267, Theorem 5.1): which tokens can still reach the last one's representation.

    |d y_n / d v_i|  <=  C [prod_l (Lambda^(l) / beta_1 + I)]_{n,i}      attention_bound, from the model's own attention
    C(n - i + L - 1, L - 1) paths, if all weights were 1                 path_shares
    the Frobenius norm of d y_n / d v_i                                  exact_sensitivity: one product a channel of y_n
    the same from random signs u: E |u^T J|^2 = |J|_F^2                  estimate_sensitivity, with a standard error

y_n is the last token's representation behind the final norm, which the output head reads; v_i is token i's entry in the
residual stream where layer ``layer`` begins, for 0 its embedding as the first layer reads it. The text is repeated
along the batch, so that one backward pass carries many cotangents; the forward pass is made once, and weights get no
gradients. An exact norm costs as many token passes backward as y_n has channels: at 512 tokens of a model of 135
million parameters with 576 channels some 63 TFLOP.

Our readings: Lambda is the mean of the heads' attention; the constants are 1, so that a bound's shape speaks and its
size does not.
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

ReportProgress = Callable[[int, int], None]
ACTIVATION_BYTES = 1 << 30
"""bytes that the activations of the repeated text may take, about"""
_NUMBERS_PER_CHANNEL = 40  # that autograd keeps of one block for each channel of a token, about
_MAX_REPEATS = 32


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """How strongly the last token's representation depends on every token.

    Attributes:
        token_ids: of the text.
        norms: (n,) Frobenius norms of d y_n / d v_i.
        standard_error: (n,) of an estimate's norms, by the delta method; None where they are exact.
        layer: the layer at whose input v_i is read.
        method: "exact" or "estimate".
    """

    token_ids: tuple[int, ...]
    norms: np.ndarray
    standard_error: np.ndarray | None
    layer: int
    method: str

    @property
    def reference_norm(self) -> float:
        """The norm that others are compared with: the first token's, or the largest where that is 0, as behind a
        sliding window.
        """
        return float(self.norms[0] or self.norms.max())

    def share_below(self, fraction: float = 0.01) -> float:
        """Share of the tokens, 0 to 1, whose norm is below that fraction of the reference norm."""
        return float((self.norms < fraction * self.reference_norm).mean())

    def u_shape(self) -> dict[str, float]:
        """Mean norm of the first, the middle and the last tenth of the tokens over the middle's.

        Over the last tenth's where no token of the middle reaches the end.
        """
        # a tenth of a short text is still one token
        size = max(1, len(self.norms) // 10)
        start = (len(self.norms) - size) // 2
        tenths = {
            "first": self.norms[:size],
            "middle": self.norms[start : start + size],
            "last": self.norms[-size:],
        }
        baseline = float(tenths["middle"].mean()) or float(tenths["last"].mean())
        return {name: float(norms.mean()) / baseline for name, norms in tenths.items()}


def exact_sensitivity(
    model: nn.Module, token_ids: Sequence[int], layer: int = 0, report_progress: ReportProgress | None = None
) -> Sensitivity:
    """Every norm, up to rounding.

    Args:
        model: a transformers decoder, in evaluation mode or not; its modes and what needs gradients are put back.
        token_ids: of the text, at least 2.
        layer: whose input is differentiated by, 0 … layers - 1.
        report_progress: called with how many channels are done, and how many there are.

    Raises:
        BadInput: the text or the layer is not allowed.
    """
    # the squared Frobenius norm is the sum over rows e_c^T J of the Jacobian, one for each channel c
    squared_norms = np.zeros(len(token_ids))
    for squares in _squared_products(model, token_ids, layer, torch.eye(_hidden_size(model)), report_progress):
        squared_norms += squares.sum(0)
    return Sensitivity(
        token_ids=tuple(token_ids), norms=np.sqrt(squared_norms), standard_error=None, layer=layer, method="exact"
    )


def estimate_sensitivity(
    model: nn.Module,
    token_ids: Sequence[int],
    directions: int = 12,
    layer: int = 0,
    seed: int = 0,
    report_progress: ReportProgress | None = None,
) -> Sensitivity:
    """Every norm from random sign vectors; the squared norms are unbiased.

    Args:
        model, token_ids, layer, report_progress: as for ``exact_sensitivity``; progress counts directions.
        directions: how many sign vectors, at least 2; the error falls with their root.
        seed: of the signs.

    Raises:
        BadInput: the text, the layer or the number of directions is not allowed.
    """
    if directions < 2:
        raise BadInput(f"directions: {directions} is not allowed; it must be at least 2, for an error to be known")
    # signs rather than Gaussians: of all directions with unit variance they have the smallest error
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(directions, _hidden_size(model)))
    cotangents = torch.from_numpy(signs).float()
    squares = np.concatenate(list(_squared_products(model, token_ids, layer, cotangents, report_progress)))

    norms = np.sqrt(squares.mean(0))
    # delta method: the error of a root is the error of the square over twice the root
    square_error = squares.std(0, ddof=1) / math.sqrt(directions)
    standard_error = np.divide(square_error, 2 * norms, out=np.zeros_like(norms), where=norms > 0)
    return Sensitivity(
        token_ids=tuple(token_ids), norms=norms, standard_error=standard_error, layer=layer, method="estimate"
    )


def attention_bound(model: nn.Module, token_ids: Sequence[int]) -> np.ndarray:
    """The paper's bound with all constants 1, (n,): the last row of prod_l (Lambda^(l) + I), layer by layer as the
    model attends.

    Raises:
        BadInput: the text is not allowed.
    """
    _check(model, token_ids, layer=0)
    device = _device(model)
    # float64, because the product grows by two a layer while its small entries are what is read
    product = torch.eye(len(token_ids), dtype=torch.float64, device=device)

    def multiply(inputs: AttentionInputs) -> None:
        nonlocal product
        mean_attention = inputs.weights(slice(None))[0].mean(0).double()
        product = product + mean_attention @ product  # (Lambda + I) product

    with _frozen(model), torch.no_grad(), tapped(model, multiply):
        decoder(model)(input_ids=torch.tensor([list(token_ids)], device=device), use_cache=False)
    return product[-1].cpu().numpy()


def path_shares(token_count: int, num_layers: int) -> np.ndarray:
    """How many paths lead from each token to the last, C(n - i + L - 1, L - 1), over those from the first token; (n,).

    Raises:
        BadInput: there is no token or no layer.
    """
    if token_count < 1 or num_layers < 1:
        raise BadInput(f"paths: {token_count} tokens and {num_layers} layers are not allowed; both must be at least 1")
    # in logarithms, because the counts themselves overflow; (L - 1)! is common to all and drops out
    log_counts = np.array(
        [math.lgamma(gap + num_layers) - math.lgamma(gap + 1) for gap in range(token_count - 1, -1, -1)]
    )
    return np.exp(log_counts - log_counts[0])


def _squared_products(
    model: nn.Module,
    token_ids: Sequence[int],
    layer: int,
    cotangents: Tensor,
    report_progress: ReportProgress | None,
) -> Iterator[np.ndarray]:
    """|u^T d y_n / d v_i|^2, (batch, n), for one batch of the cotangents u (k, hidden) after another."""
    _check(model, token_ids, layer)
    device = _device(model)
    dtype = next(model.parameters()).dtype
    blocks: Any = decoder(model).layers

    # as many copies of the text in one batch as fit into the memory that activations may take
    text_bytes = len(token_ids) * cotangents.shape[1] * 4 * _NUMBERS_PER_CHANNEL * (len(blocks) - layer)
    batch_size = max(1, min(len(cotangents), int(ACTIVATION_BYTES // text_bytes) or 1, _MAX_REPEATS))
    leaves: list[Tensor] = []

    def cut_graph(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Makes the stream that enters the layer a leaf, so that the backward pass ends there."""
        stream = args[0] if args else kwargs["hidden_states"]
        leaf = stream.detach().requires_grad_(True)
        leaves.append(leaf)
        return ((leaf, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": leaf})

    # one forward pass; its graph is kept for every batch of cotangents
    with _frozen(model), torch.enable_grad():
        hook = blocks[layer].register_forward_pre_hook(cut_graph, with_kwargs=True)
        try:
            repeated_text = torch.tensor([list(token_ids)] * batch_size, device=device)
            y_n = decoder(model)(input_ids=repeated_text, use_cache=False).last_hidden_state[:, -1]
        finally:
            hook.remove()
        for begin in range(0, len(cotangents), batch_size):
            batch = cotangents[begin : begin + batch_size].to(device, dtype)
            # every copy of the text needs a cotangent: zeros fill the last batch up
            padded = torch.cat([batch, batch.new_zeros(batch_size - len(batch), batch.shape[1])])
            (gradient,) = torch.autograd.grad(y_n, leaves[0], padded, retain_graph=True)
            if report_progress:
                report_progress(begin + len(batch), len(cotangents))
            yield gradient[: len(batch)].double().square().sum(-1).cpu().numpy()


@contextlib.contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, its parameters without gradients; both put back afterwards."""
    requires_grad = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    training = [(module, module.training) for module in model.modules()]
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        for parameter, before in requires_grad:
            parameter.requires_grad_(before)
        for module, mode in training:
            module.training = mode


def _check(model: nn.Module, token_ids: Sequence[int], layer: int) -> None:
    """Refuses a text, a layer or a type that cannot be differentiated."""
    # getattr, because a module's attributes are typed as tensors or modules
    config: Any = getattr(model, "config").get_text_config(decoder=True)  # noqa: B009
    limit = context_length(model)
    if not 2 <= len(token_ids) <= limit:
        raise BadInput(
            f"ids: {len(token_ids):,} tokens are not allowed; there must be 2 … {limit:,}, the model's context"
        )
    for token_id in token_ids:
        if not 0 <= token_id < config.vocab_size:
            raise BadInput(
                f"ids: {token_id} is not allowed; the model has {config.vocab_size:,} tokens, counted from 0"
            )
    num_layers = len(decoder(model).layers)  # type: ignore[arg-type]
    if not 0 <= layer < num_layers:
        raise BadInput(f"layer: {layer} is not allowed; it must be 0 … {num_layers - 1}")
    if next(model.parameters()).dtype == torch.float16 and _device(model).type == "cpu":
        raise BadInput("model: float16 is not allowed on a processor; open it in float32")


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _hidden_size(model: nn.Module) -> int:
    return int(getattr(model, "config").get_text_config(decoder=True).hidden_size)  # noqa: B009
