"""Messages and their maximum, fused (arXiv 2209.11142, folded encoders): what receiver j hears from all senders i,

    x1_ij = relu(recv_j + send_i + s_ij Fm),   x2_ij = relu(x1_ij W1 + b1),   agg_j = max_i (x2_ij W2 + b2),   i*(j, c) its first winner

Receivers are taken a few at a time, so that their rows stay in cache; only x2 and i* are kept. Backward, from g = d
agg:

    d x2[i*(j, c)] += g_jc W2[:, c],   dW2[:, c] += g_jc x2[i*(j, c)]      only winners: 1/N of the dense work
    d y1 = d x2 [x2 > 0],  dW1 = x1' d y1,  d x1 = d y1 W1',  d m = d x1 [x1 > 0]      with x1 built again
    d recv_j = sum_i d m_ij,  d send_i = sum_j d m_ij,  dFm = s' d m,  d s = d m Fm'
"""

import numpy as np
import torch
from torch import Tensor

from outrange.reasoning.nar.kernels.cpu import workspace
from outrange.reasoning.nar.kernels.cpu.compiling import kernel, part
from outrange.reasoning.nar.kernels.cpu.gemm import LOWEST, PANEL, ZERO, address, affine, outer, pack, pack_transposed
from outrange.reasoning.nar.kernels.cpu.shapes import crop, numpy, padded, panels, pitch, unpacked, wide
from outrange.reasoning.nar.kernels.cpu.vectors import best_of, relu_backward, relu_backward_sums, winners

ROWS_AT_ONCE = 64
ONE = np.float32(1)
NO_MESSAGE = np.float32(-1e6)  # what a node receives to which none sends


@part
def _build(first, count, N, k, h, recv, send, s, packed, x1, ld):
    """x1 of ``count`` receivers from ``first`` (of B * N) on, N rows each."""
    for q in range(count):
        b, j = divmod(first + q, N)
        affine(N, h // PANEL, k, address(s) + 4 * (b * N * N + j) * k, N * k, address(packed), address(send) + 4 * b * N * h, h,
               address(recv) + 4 * (first + q) * h, 0, address(x1) + 4 * q * N * ld, ld, ZERO)  # fmt: skip


@kernel
def _forward(recv, send, s, Fm, W1, b1, W2, b2, mask, agg, arg, x2, keep, x1, m, packedF, packed1, packed2):
    B, N, h = recv.shape
    k, ld, P = s.shape[3], x1.shape[1], h // PANEL
    pack(Fm, packedF)
    pack(W1, packed1)
    pack(W2, packed2)
    receivers = x1.shape[0] // N
    for first in range(0, B * N, receivers):
        count = min(receivers, B * N - first)
        _build(first, count, N, k, h, recv, send, s, packedF, x1, ld)
        # x2 = relu(x1 W1 + b1), where the backward pass will look for it, or always in the same rows
        x2_rows = address(x2) + (4 * first * N * h if keep else 0)
        affine(count * N, P, h, address(x1), ld, address(packed1), address(b1), 0, 0, 0, x2_rows, h, ZERO)
        # m = x2 W2 + b2
        affine(count * N, P, h, x2_rows, h, address(packed2), address(b2), 0, 0, 0, address(m), ld, LOWEST)
        for q in range(count):
            b, j = divmod(first + q, N)
            if mask.shape[0]:
                for i in range(N):
                    if not mask[b, i, j]:
                        for c in range(h):
                            m[q * N + i, c] = NO_MESSAGE
            # agg_j and its winners i*
            messages, receiver = address(m) + 4 * q * N * ld, first + q
            best_of(P, N, ld, messages, address(agg) + 4 * receiver * h, address(arg) + 2 * receiver * h)
            if mask.shape[0]:  # where nobody may send there is no winner
                for c in range(h):
                    if not mask[b, arg[b, j, c], j]:
                        arg[b, j, c] = -1


@kernel
def _backward(g, recv, send, s, Fm, W1, W2, arg, x2, drecv, dsend, ds, dFm, dW1, dW2, weights, winner_rows, x1, x, dx,
              winner_g, dsrow, packedF, packedFt, packed1, packed2):  # fmt: skip
    """dW1 (P, h + 1, PANEL), db1 its last row, and dW2.T (P, h, PANEL) are in column panels."""
    B, N, h = recv.shape
    k, ld, P = s.shape[3], x1.shape[1], h // PANEL
    pack(Fm, packedF)
    pack_transposed(Fm, packedFt)
    pack_transposed(W1, packed1)
    pack_transposed(W2, packed2)
    x1[:, h] = ONE  # so that dW1 = [x1, 1]' d y1 has db1 in its last row
    receivers = x1.shape[0] // N
    for first in range(0, B * N, receivers):
        count = min(receivers, B * N - first)
        _build(first, count, N, k, h, recv, send, s, packedF, x1, ld)
        # d x2 and dW2, from the winners alone: each channel of each receiver has one
        for r in range(count * N):
            for c in range(h):
                x[r, c] = x2[first * N + r, c]
                dx[r, c] = ZERO
        for q in range(count):
            for c in range(h):
                winner_rows[c * count + q] = 4 * ld * (q * N + arg[first + q, c])
                winner_g[c * count + q] = g[first + q, c]
        winners(
            P,
            h,
            count,
            address(winner_rows),
            address(winner_g),
            address(packed2),
            address(dW2),
            address(x),
            address(dx),
        )
        relu_backward(P, count * N, address(x), ld, address(dx), ld)  # x is d y1
        # dW1, db1, and d x1 = d y1 W1'
        if weights:
            outer(h + 1, P, count * N, address(x1), ld, address(x), ld, address(dW1))
        affine(count * N, P, h, address(x), ld, address(packed1), 0, 0, 0, 0, address(dx), ld, LOWEST)
        for q in range(count):
            b, j = divmod(first + q, N)
            rows = address(x1) + 4 * q * N * ld  # x1 becomes d m
            dx1, drecv_row = address(dx) + 4 * q * N * ld, address(drecv) + 4 * (first + q) * h
            relu_backward_sums(P, N, rows, ld, dx1, ld, drecv_row, address(dsend) + 4 * b * N * h, h)
            # dFm = s' d m and d s = d m Fm'
            if weights:
                outer(k, P, N, address(s) + 4 * (b * N * N + j) * k, N * k, rows, ld, address(dFm))
            if ds.shape[0]:
                affine(N, packedFt.shape[0], h, rows, ld, address(packedFt), 0, 0, 0, 0,
                       address(dsrow), dsrow.shape[1], LOWEST)  # fmt: skip
                for i in range(N):
                    for e in range(k):
                        ds[b, i, j, e] = dsrow[i, e]


class _MessageMax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx,
        recv: Tensor,
        send: Tensor,
        s: Tensor,
        Fm: Tensor,
        W1: Tensor,
        b1: Tensor,
        W2: Tensor,
        b2: Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        B, N, h = recv.shape
        k, H = s.shape[3], wide(h)
        recv, send, Fm, b1, b2 = (padded(t, H) for t in (recv, send, Fm, b1, b2))
        W1, W2, s = padded(W1, H, H), padded(W2, H, H), s.contiguous()
        keep = any(ctx.needs_input_grad)
        receivers = max(1, min(ROWS_AT_ONCE // max(N, 1), B * N))
        rows, ld, P = receivers * N, pitch(H), H // PANEL
        agg, arg = torch.empty(B, N, H), workspace.tensor(B, N, H, dtype=torch.int16)
        x2 = workspace.tensor(B * N * N if keep else rows, H)
        scratch = workspace.arrays((rows, ld), (rows, ld), (P, k, PANEL), (P, H, PANEL), (P, H, PANEL))
        may_send = np.empty((0, 1, 1), np.bool_) if mask is None else numpy((mask != 0).contiguous())
        _forward(
            *map(numpy, (recv, send, s, Fm, W1, b1, W2, b2)), may_send, *map(numpy, (agg, arg, x2)), keep, *scratch
        )
        if keep:
            ctx.save_for_backward(recv, send, s, Fm, W1, W2, arg, x2)
            ctx.shape, ctx.receivers, ctx.masked = (h, H, k), receivers, mask is not None
        return crop(agg, h)

    @staticmethod
    def backward(ctx, g: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        recv, send, s, Fm, W1, W2, arg, x2 = ctx.saved_tensors
        (B, N, _), (h, H, k) = recv.shape, ctx.shape
        g = padded(g, H)
        if ctx.masked:  # nothing flows to nobody
            g, arg = torch.where(arg < 0, 0.0, g), arg.clamp(min=0)
        rows, ld, P = ctx.receivers * N, pitch(H + 1), H // PANEL
        drecv, dsend, dFm, dW1, dW2 = (
            torch.zeros(shape) for shape in ((B, N, H), (B, N, H), (P, k, PANEL), (P, H + 1, PANEL), (P, H, PANEL))
        )
        ds = torch.empty(s.shape if ctx.needs_input_grad[2] else (0, 1, 1, 1))
        scratch = workspace.arrays(
            *3 * [(rows, ld)],
            (ctx.receivers * H,),
            (N, panels(k) * PANEL),
            (P, k, PANEL),
            (panels(k), H, PANEL),
            (P, H, PANEL),
            (P, H, PANEL),
        )
        winner_rows = np.empty(ctx.receivers * H, np.int64)
        weights = any(ctx.needs_input_grad[3:6])
        _backward(
            *map(
                numpy,
                (g.view(B * N, H), recv, send, s, Fm, W1, W2, arg.view(B * N, H), x2, drecv, dsend, ds, dFm, dW1, dW2),
            ),
            weights,
            winner_rows,
            *scratch,
        )
        dW1, dFm, dW2 = unpacked(dW1), unpacked(dFm), unpacked(dW2).t()
        gradients = (
            crop(drecv, h),
            crop(dsend, h),
            ds,
            crop(dFm, h),
            crop(dW1[:H], h, h),
            crop(dW1[H], h),
            crop(dW2, h, h),
            crop(g.sum((0, 1)), h),
        )
        return *(d if needed else None for d, needed in zip(gradients, ctx.needs_input_grad)), None


def message_max(
    recv: Tensor,
    send: Tensor,
    s: Tensor,
    Fm: Tensor,
    W1: Tensor,
    b1: Tensor,
    W2: Tensor,
    b2: Tensor,
    mask: Tensor | None = None,
) -> Tensor:
    """What each node receives, (B, N, h): the maximum over senders i of W2 relu(W1 relu(recv_j + send_i + s_ij Fm) +
    b1) + b2.

    recv, send (B, N, h); s (B, N, N, k); Fm (k, h); W1, W2 (h, h) as x @ W; ``mask`` (B, N, N): only where it is not 0
    does i send to j; a node to which none sends receives -1e6.
    """
    return _MessageMax.apply(recv, send, s, Fm, W1, b1, W2, b2, mask)  # pyright: ignore[reportReturnType]
