"""Triplets, a max-plus product (arXiv 2209.11142, folded encoders): (N, N, N) sums of F values without an array of
them,

    a_ij = t1_i + s_ij F1,   e_ik = s_ik F2,   c_jk = t2_j + t3_k + s_jk F3,   y_jk = c_jk + max_i (a_ij + e_ik),   i*(j, k, f) its first winner

Backward, from g = d y:  d a[i*, j] += g_jk,  d e[i*, k] += g_jk,  d c = g; the rest are sums of these and small
products with s and F1..F3.
"""

import torch
from torch import Tensor

from outrange.reasoning.nar.kernels.cpu import workspace
from outrange.reasoning.nar.kernels.cpu.compiling import kernel
from outrange.reasoning.nar.kernels.cpu.gemm import address
from outrange.reasoning.nar.kernels.cpu.shapes import crop, numpy, padded
from outrange.reasoning.nar.kernels.cpu.vectors import best_sum

_LANES = 8


@kernel
def _forward(t1, t2, t3, code, y, arg, a):
    """``code`` (B, N, N, 3, F) = s [F1 F2 F3]."""
    B, N, F = t1.shape
    for b in range(B):
        # a_ij, with i innermost: it is what the maximum runs over
        for i in range(N):
            for j in range(N):
                for f in range(F):
                    a[j, i, f] = t1[b, i, f] + code[b, i, j, 0, f]
        for j in range(N):
            for k in range(N):
                for f in range(0, F, _LANES):
                    jkf = ((b * N + j) * N + k) * F + f
                    a_j, e_k = address(a) + 4 * (j * N * F + f), address(code) + 4 * (((b * N * N + k) * 3 + 1) * F + f)
                    best_sum(N, a_j, F, e_k, 3 * N * F, address(y) + 4 * jkf, address(arg) + 2 * jkf)
                for f in range(F):  # c_jk does not depend on i
                    y[b, j, k, f] += t2[b, j, f] + t3[b, k, f] + code[b, j, k, 2, f]


@kernel
def _backward(g, arg, dcode):
    B, N, _, F = g.shape
    for b in range(B):
        for j in range(N):
            for k in range(N):
                for f in range(F):
                    i, value = arg[b, j, k, f], g[b, j, k, f]
                    dcode[b, i, j, 0, f] += value
                    dcode[b, i, k, 1, f] += value
                    dcode[b, j, k, 2, f] = value


class _TripletMax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, t1: Tensor, t2: Tensor, t3: Tensor, s: Tensor, F1: Tensor, F2: Tensor, F3: Tensor) -> Tensor:
        B, N, f = t1.shape
        width = -(-f // _LANES) * _LANES
        t1, t2, t3, *F123 = (padded(t, width) for t in (t1, t2, t3, F1, F2, F3))
        F123 = torch.cat(F123, 1)
        code = (s.reshape(B * N * N, s.shape[3]) @ F123).view(B, N, N, 3, width)
        y, arg = torch.empty(B, N, N, width), workspace.tensor(B, N, N, width, dtype=torch.int16)
        _forward(*map(numpy, (t1, t2, t3, code, y, arg)), *workspace.arrays((N, N, width)))
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(s, F123, arg)
            ctx.width = f
        return crop(y, f)

    @staticmethod
    def backward(ctx, g: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        s, F123, arg = ctx.saved_tensors
        (B, N, _, width), f, k, needs = arg.shape, ctx.width, s.shape[3], ctx.needs_input_grad
        g = padded(g, width)
        d = torch.zeros(B, N, N, 3, width)
        _backward(*map(numpy, (g, arg, d)))
        rows = d.view(B * N * N, 3 * width)
        dF = (s.reshape(B * N * N, k).t() @ rows).view(k, 3, width)
        ds = (rows @ F123.t()).view(s.shape) if needs[3] else None
        dt1, dt2, dt3 = d[:, :, :, 0].sum(2), d[:, :, :, 2].sum(2), d[:, :, :, 2].sum(1)
        dt1, dt2, dt3, dF1, dF2, dF3 = (crop(x, f) for x in (dt1, dt2, dt3, dF[:, 0], dF[:, 1], dF[:, 2]))
        return dt1, dt2, dt3, ds, dF1, dF2, dF3


def triplet_max(t1: Tensor, t2: Tensor, t3: Tensor, s: Tensor, F1: Tensor, F2: Tensor, F3: Tensor) -> Tensor:
    """Triplets (i, j, k) reduced over i, (B, N, N, F): y_jk = max_i (t1_i + s_ij F1 + s_ik F2) + t2_j + t3_k + s_jk F3.

    t1, t2, t3 (B, N, F); s (B, N, N, k); F1, F2, F3 (k, F).
    """
    return _TripletMax.apply(t1, t2, t3, s, F1, F2, F3)  # pyright: ignore[reportReturnType]
