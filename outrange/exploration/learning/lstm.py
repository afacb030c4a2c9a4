"""The recurrent core: an LSTM over sequences in which episodes may begin anywhere.

With gates i, f, g, o from x_t W_x' + h_{t-1} W_h' + b:

    c_t = sigma(f) c_{t-1} + sigma(i) tanh(g)
    h_t = sigma(o) tanh(c_t)

Where a row begins an episode, h_{t-1} and c_{t-1} are zero. PyTorch's own LSTM knows no such rows, so the unroll is
ours: ``unroll`` in plain tensor operations, which runs everywhere and is what the fused one is tested against; and the
same with one compiled kernel a step and a backward pass written out, for float32 on a processor.
"""

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from outrange.core.compiled import kernel, part

State = tuple[Tensor, Tensor]
_FLAGS = {"reassoc", "contract", "nsz", "arcp"}  # not-a-number keeps its meaning, so that it still reaches the loss
_LN2 = np.float32(math.log(2))
_LOG2E = np.float32(1 / math.log(2))
_HALF, _ONE, _TWO = np.float32(0.5), np.float32(1), np.float32(2)
_P2, _P3, _P4, _P5, _P6, _P7 = (np.float32(1 / math.factorial(k)) for k in range(2, 8))


class LSTM(nn.Module):
    """One layer. Input (T, B, I), state two times (B, H), ``first`` (T, B) bool; output (T, B, H) and the state after
    the last row."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        bound = hidden**-0.5  # PyTorch's own range of first weights
        self.input_weight = nn.Parameter(torch.empty(4 * hidden, inputs).uniform_(-bound, bound))
        self.hidden_weight = nn.Parameter(torch.empty(4 * hidden, hidden).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(4 * hidden))
        with torch.no_grad():
            self.bias[hidden : 2 * hidden] = 1.0  # it begins by remembering

    def forward(self, x: Tensor, state: State, first: Tensor) -> tuple[Tensor, State]:
        if x.device.type == "cpu" and x.dtype == torch.float32:
            weights = self.input_weight, self.bias, self.hidden_weight
            h, c = _Fused.apply(x, *weights, state[0], state[1], first)  # type: ignore[misc]
            return h, (h[-1], c)
        return unroll(nn.functional.linear(x, self.input_weight, self.bias), self.hidden_weight, state, first)


def unroll(gates: Tensor, hidden_weight: Tensor, state: State, first: Tensor) -> tuple[Tensor, State]:
    """The recurrence in tensor operations.

    Args:
        gates: (T, B, 4H), what the inputs and the bias give to i, f, g, o.
        hidden_weight: (4H, H).
        state: h and c before the first row, (B, H) each.
        first: (T, B) bool, rows before which the state is zero.
    """
    h, c = state
    outputs = []
    for t in range(len(gates)):
        # an episode begins with an empty state
        keep = (~first[t]).unsqueeze(-1).to(h.dtype)
        h, c = h * keep, c * keep
        i, f, g, o = (gates[t] + h @ hidden_weight.T).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs), (h, c)


class _Fused(torch.autograd.Function):
    """Input map and ``unroll`` as one node of the graph. Its last state carries no gradient: nothing is trained through
    it."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, bias: Tensor, weight: Tensor, h0: Tensor, c0: Tensor, first: Tensor
    ) -> tuple[Tensor, Tensor]:
        (steps, batch, inputs), hidden = x.shape, weight.shape[1]
        # the input map of all steps is one product; step by step its result becomes the gates' values
        flat = x.detach().reshape(-1, inputs)
        acts = torch.mm(flat, w.detach().T).view(steps, batch, 4 * hidden)
        before = torch.empty(steps, batch, hidden)  # h_{t-1} as the step saw it
        cells, squashed, outputs = (
            torch.empty(steps + 1, batch, hidden),
            torch.empty(steps, batch, hidden),
            torch.empty(steps, batch, hidden),
        )
        cells[0] = c0
        torch.mul(h0.detach(), (~first[0]).unsqueeze(1), out=before[0])
        transposed = weight.detach().T
        # numpy's views: what the compiled step writes is in the tensors
        arrays = [a.numpy() for a in (first, bias.detach(), acts, before, cells, squashed, outputs)]
        for t, (gates, h) in enumerate(zip(acts.unbind(), before.unbind(), strict=True)):
            torch.addmm(gates, h, transposed, out=gates)  # matrix products stay PyTorch's
            _forward_step(t, *arrays)
        ctx.save_for_backward(flat, w, weight, first, acts, before, cells, squashed)
        last = cells[-1].clone()
        ctx.mark_non_differentiable(last)
        return outputs, last

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        flat, w, weight, first, acts, before, cells, squashed = ctx.saved_tensors
        steps, batch, hidden = before.shape
        slopes = torch.empty_like(acts)
        dh, dc = torch.zeros(batch, hidden), torch.zeros(batch, hidden)  # of h_t, by the step after; of c_t
        arrays = [a.numpy() for a in (grad.contiguous(), acts, first, cells, squashed, dh, dc, slopes)]
        slope_of_step = slopes.unbind()
        for t in range(steps - 1, -1, -1):
            _backward_step(t, *arrays)
            torch.mm(slope_of_step[t], weight, out=dh)  # the gradient of h_{t-1}
        dh *= (~first[0]).unsqueeze(1)
        # the gradients of all weights, each as one product over all steps
        all_slopes = slopes.view(-1, 4 * hidden)
        dx = (all_slopes @ w).view(steps, batch, -1) if ctx.needs_input_grad[0] else None
        return dx, all_slopes.T @ flat, all_slopes.sum(0), all_slopes.T @ before.view(-1, hidden), dh, dc, None


_kernel = functools.partial(kernel, fastmath=_FLAGS, error_model="numpy")
_part = functools.partial(part, fastmath=_FLAGS, error_model="numpy", inline="always")


@_part
def _tanh(x):
    # tanh x = 1 - 2 / (exp 2x + 1); exp y = 2^k exp r with |r| <= ln2 / 2, and exp r a polynomial of degree 7:
    # within 3e-7 in float32
    y = min(max(_TWO * x, np.float32(-30)), np.float32(30))
    k = np.floor(y * _LOG2E + _HALF)
    r = y - k * _LN2
    e = _ONE + r * (_ONE + r * (_P2 + r * (_P3 + r * (_P4 + r * (_P5 + r * (_P6 + r * _P7))))))
    scale = np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)
    return _ONE - _TWO / (e * scale + _ONE) + (x - x)  # the clamp above would lose a not-a-number


@_kernel
def _squash(values):
    for k in range(len(values)):
        values[k] = _tanh(values[k])


@_kernel
def _gate(values):
    for k in range(len(values)):
        values[k] = _HALF + _HALF * _tanh(_HALF * values[k])


@_kernel
def _forward_step(t, first, bias, acts, before, cells, squashed, outputs):
    """Step t: acts[t] (B, 4H), pre-activations less the bias, become i, f, g, o; cells[t] is zeroed where an episode
    begins, before[t + 1] if the next does."""
    steps, batch, hidden = outputs.shape
    for b in range(batch):  # short loops over few arrays: the compiler turns those into vector instructions
        row = acts[t, b]
        for k in range(4 * hidden):
            row[k] += bias[k]
        _gate(row[: 2 * hidden])
        _squash(row[2 * hidden : 3 * hidden])
        _gate(row[3 * hidden :])
        if first[t, b]:
            cells[t, b, :] = np.float32(0)
        i, f, g, o = row[:hidden], row[hidden : 2 * hidden], row[2 * hidden : 3 * hidden], row[3 * hidden :]
        # c_t, tanh c_t, h_t
        old, new, s, out = cells[t, b], cells[t + 1, b], squashed[t, b], outputs[t, b]
        for k in range(hidden):
            new[k] = f[k] * old[k] + i[k] * g[k]
        s[:] = new
        _squash(s)
        for k in range(hidden):
            out[k] = o[k] * s[k]
        if t + 1 < steps:
            if first[t + 1, b]:
                before[t + 1, b, :] = np.float32(0)
            else:
                before[t + 1, b, :] = out


@_kernel
def _backward_step(t, grad, acts, first, cells, squashed, dh, dc, slopes):
    """Step t back: dh, dc (B, H) are gradients of h_t, as step t + 1 saw it, and of c_t; slopes[t] those of the
    pre-activations; dc becomes c_{t-1}'s."""
    batch, hidden = dh.shape
    for b in range(batch):
        row, slope = acts[t, b], slopes[t, b]
        i, f, g, o = row[:hidden], row[hidden : 2 * hidden], row[2 * hidden : 3 * hidden], row[3 * hidden :]
        di, df, dg, do = slope[:hidden], slope[hidden : 2 * hidden], slope[2 * hidden : 3 * hidden], slope[3 * hidden :]
        s, down, cell, late, old = squashed[t, b], dh[b], dc[b], grad[t, b], cells[t, b]
        # the gradient of h_t: of the loss at this step, and of the next step unless an episode begins there
        if t + 1 < len(first) and first[t + 1, b]:
            down[:] = late
        else:
            for k in range(hidden):
                down[k] += late[k]
        for k in range(hidden):
            cell[k] += down[k] * o[k] * (_ONE - s[k] * s[k])
        for k in range(hidden):
            do[k] = down[k] * s[k] * o[k] * (_ONE - o[k])
        for k in range(hidden):
            di[k] = cell[k] * g[k] * i[k] * (_ONE - i[k])
        for k in range(hidden):
            df[k] = cell[k] * old[k] * f[k] * (_ONE - f[k])
        for k in range(hidden):
            dg[k] = cell[k] * i[k] * (_ONE - g[k] * g[k])
        if first[t, b]:
            cell[:] = np.float32(0)
        else:
            for k in range(hidden):
                cell[k] *= f[k]
