"""Decoders over edges, fused (arXiv 2209.11142, folded encoders).

Each starts from one product per edge row (a, r), in stored order,

    X_ar = [tri_ar; s_ar],  tri = relu(y O3 + b3),      q_ar = X_ar [A; Fa]  (+ what its nodes add)

and ends in                                                                                                                mode
    pointer        logits[r, a] = w . max(v_r, u_a + q_ar) + bw            kept: one bit per value, [u + q > v]            POINTER
    edge pointer   logits[i, j, l] = w . max(x_l, D_ij) + bw,  D_ij = p_i + q_j + X_ij [D; Fd]     kept: D                 EDGE_POINTER
    edge value     values[i, j] = tri_ij d                                                                                 VALUE

tri is built again wherever it is needed. Backward of the maxima is taken WITHOUT w, from g = d logits:

    d'_ar = sum_l g_l [q > v_l],  d v'_l = sum (g_l - g_l [q > v_l])

then d[A; Fa]' = X' d', d u'_a = sum_r d'_ar, and with w multiplied in afterwards: d u = d u' w and so on, dX = d' ([A;
Fa] w)', and for w itself, the sum of g * max(q, v) expanded, dw = sum_k ([A; Fa] * d[A; Fa]')_k + sum_a (u * d u')_a +
sum_r (v * d v')_r. Last, d tri [tri > 0] gives O3, b3 and y theirs.
"""

import numpy as np
import torch
from torch import Tensor

from outrange.reasoning.nar.kernels import torch_ops
from outrange.reasoning.nar.kernels.cpu import workspace
from outrange.reasoning.nar.kernels.cpu.compiling import kernel, part
from outrange.reasoning.nar.kernels.cpu.gemm import LOWEST, PANEL, ZERO, address, affine, outer, pack, pack_transposed
from outrange.reasoning.nar.kernels.cpu.shapes import crop, numpy, padded, panels, pitch, unpacked, wide
from outrange.reasoning.nar.kernels.cpu.vectors import (
    max_dot,
    max_dot_backward,
    max_dots,
    max_dots_backward,
    relu_backward,
)

ROWS_AT_ONCE = 64
VALUE, POINTER, EDGE_POINTER = 0, 1, 2
ONE = np.float32(1)


@part
def _build(first, rows, y, s, packed3, b3, X):
    """X = [tri; s] of ``rows`` edges from ``first`` on."""
    F, k, tri = y.shape[1], s.shape[1], packed3.shape[0]
    y_rows = address(y) + 4 * first * F
    affine(rows, tri, F, y_rows, F, address(packed3), address(b3), 0, 0, 0, address(X), X.shape[1], ZERO)
    for r in range(rows):
        for e in range(k):
            X[r, tri * PANEL + e] = s[first + r, e]


@kernel
def _forward(mode, N, y, s, O3, b3, W, w, near, far, across, bias, saved, keep, out, X, q, packed3, packed):
    """``near`` (nodes, h) is u or p, ``far`` v or x, ``across`` q of the edge pointer; ``bias`` (nodes,) is added to
    the logits.
    """
    nodes, k, ld, P = s.shape[0] // N, s.shape[1], X.shape[1], packed.shape[0]
    h, depth = P * PANEL, packed3.shape[0] * PANEL + k
    pack(O3, packed3)
    pack(W, packed)
    targets = X.shape[0] // N
    for first in range(0, nodes, targets):
        count = min(targets, nodes - first)
        _build(first * N, count * N, y, s, packed3, b3, X)
        for t in range(count):
            node = first + t
            b, a = divmod(node, N)
            # q = X W + what the nodes add; an edge pointer's is D, which the backward pass needs whole
            near_row = address(near) + 4 * node * h if mode != VALUE else 0
            across_rows = address(across) + 4 * b * N * h if mode == EDGE_POINTER else 0
            q_rows, lq = address(q), q.shape[1]
            if mode == EDGE_POINTER and keep:
                q_rows, lq = address(saved) + 4 * node * N * h, h
            X_rows = address(X) + 4 * t * N * ld
            affine(N, P, depth, X_rows, ld, address(packed), near_row, 0, across_rows, h, q_rows, lq, LOWEST)
            for r in range(N):
                q_row = q_rows + 4 * r * lq
                if mode == VALUE:
                    for c in range(out.shape[1]):
                        out[node * N + r, c] = q[r, c]
                elif mode == POINTER:  # one logit an edge, and a bit a feature: who won
                    bits = address(saved) + ((node * N + r) * (h // 8) if keep else 0)
                    far_row = address(far) + 4 * (b * N + r) * h
                    out[b * N + r, a] = bias[b * N + r] + max_dot(P, q_row, far_row, address(w), bits)
                else:  # N logits an edge
                    logits = address(out) + 4 * (node * N + r) * N
                    far_rows, bias_rows = address(far) + 4 * b * N * h, address(bias) + 4 * b * N
                    max_dots(P, N, q_row, far_rows, address(w), bias_rows, logits)


@kernel
def _backward(mode, N, g, y, s, O3, b3, Ww, far, saved, dW, dnear, dfar, dacross, dy, ds, dO3, weights,
              X, D, dX, y1, dyrow, packed3, packed3t, packedt):  # fmt: skip
    """dW (P, T + k, PANEL) and dO3 (T / PANEL, F + 1, PANEL), db3 its last row, are in column panels.

    ``dnear`` and ``dacross`` get the sums of d' over r and over a, ``dfar`` of an edge pointer those over (i, j) for
    each l; all are added to.
    """
    nodes, F, k, ld, lD = s.shape[0] // N, y.shape[1], s.shape[1], X.shape[1], D.shape[1]
    tri, P, width = packed3.shape[0], dW.shape[0], g.shape[1]
    T, h, depth = tri * PANEL, P * PANEL, packedt.shape[1]
    pack(O3, packed3)
    pack_transposed(O3, packed3t)
    pack_transposed(Ww, packedt)
    targets = X.shape[0] // N
    for first in range(0, nodes, targets):
        count = min(targets, nodes - first)
        rows = count * N
        _build(first * N, rows, y, s, packed3, b3, X)
        for t in range(count):
            node = first + t
            b, a = divmod(node, N)
            # D = d', through the maximum and without w, and its sums over nodes
            for r in range(N):
                edge, D_row = node * N + r, address(D) + 4 * (t * N + r) * lD
                near_row, across_row = address(dnear) + 4 * node * h, address(dacross) + 4 * (b * N + r) * h
                if mode == VALUE:
                    for c in range(h):
                        D[t * N + r, c] = g[edge, c] if c < width else ZERO
                elif mode == POINTER:
                    bits = address(saved) + edge * (h // 8)
                    max_dot_backward(P, g[b * N + r, a], bits, D_row, near_row, across_row)
                else:
                    g_row, saved_row = address(g) + 4 * edge * N, address(saved) + 4 * edge * h
                    far_rows, dfar_rows = address(far) + 4 * b * N * h, address(dfar) + 4 * b * N * h
                    max_dots_backward(P, N, g_row, saved_row, far_rows, dfar_rows, D_row, near_row, across_row)
        # d[A; Fa]' = X' d' and dX = d' ([A; Fa] w)'
        if weights:
            outer(T + k, P, rows, address(X), ld, address(D), lD, address(dW))
        affine(rows, packedt.shape[0], depth, address(D), lD, address(packedt), 0, 0, 0, 0,
               address(dX), dX.shape[1], LOWEST)  # fmt: skip
        if ds.shape[0]:
            for r in range(rows):
                for e in range(k):
                    ds[first * N + r, e] = dX[r, T + e]
        if dy.shape[0]:
            # tri = relu(y O3 + b3), backward: [y, 1]' d tri is dO3 and, in its last row, db3
            relu_backward(tri, rows, address(X), ld, address(dX), dX.shape[1])  # X becomes d tri
            for r in range(rows):
                y1[r, F] = ONE
                for f in range(F):
                    y1[r, f] = y[first * N + r, f]
            outer(F + 1, tri, rows, address(y1), F + 1, address(X), ld, address(dO3))
            affine(rows, packed3t.shape[0], T, address(X), ld, address(packed3t), 0, 0, 0, 0,
                   address(dyrow), dyrow.shape[1], LOWEST)  # fmt: skip
            for r in range(rows):
                for f in range(F):
                    dy[first * N + r, f] = dyrow[r, f]


def _flat(t: Tensor) -> np.ndarray:
    """(…, c) as rows of c."""
    if t.numel():
        return numpy(t.contiguous().view(-1, t.shape[-1]))
    return numpy(t.reshape(int(np.prod(t.shape[:-1])), t.shape[-1]))  # view cannot tell how many rows of nothing


class _Edges(torch.autograd.Function):
    """All three; ``near``, ``far``, ``across``, ``w``, ``bw`` are None where a mode has none."""

    @staticmethod
    def forward(ctx, mode: int, near, far, across, s: Tensor, Fa, y, O3, b3, A, w, bw) -> Tensor:
        B, N, k = s.shape[0], s.shape[1], s.shape[3]
        c = A.shape[1] if Fa is None else Fa.shape[1]  # columns of the product: h, or K of a value
        t = 0 if y is None else O3.shape[1]  # columns of tri
        T, H = wide(t), wide(c)
        empty = s.new_zeros(0)
        if y is None:
            y, O3, b3 = s.new_zeros(B, N, N, 0), s.new_zeros(0, 0), empty
        else:
            O3, b3 = padded(O3, T), padded(b3, T)
        W = torch.cat([padded(m, H, height) for m, height in ((A, T), (Fa, k)) if m is not None])
        near, far, across = (
            s.new_zeros(0, H) if rows is None else padded(rows, H).view(B * N, H) for rows in (near, far, across)
        )
        w = s.new_zeros(H) if w is None else padded(w.reshape(-1), H)
        bias = empty if bw is None else bw.expand(B * N).contiguous()
        if mode == EDGE_POINTER:
            bias = torch.where(far.isnan().any(-1), torch.nan, bias)  # the maximum of numbers passes over what is none
        keep = any(ctx.needs_input_grad)
        saved_bytes = {VALUE: 0, POINTER: H // 8, EDGE_POINTER: 4 * H}[mode]  # of an edge
        saved = workspace.tensor(saved_bytes * (B * N * N if keep else 1), dtype=torch.uint8)
        out = torch.empty({VALUE: (B * N * N, c), POINTER: (B * N, N), EDGE_POINTER: (B * N * N, N)}[mode])
        rows = max(1, min(ROWS_AT_ONCE // max(N, 1), B * N)) * N
        scratch = workspace.arrays(
            (rows, pitch(T + k)), (N, pitch(H)), (T // PANEL, O3.shape[0], PANEL), (H // PANEL, T + k, PANEL)
        )
        _forward(
            mode,
            N,
            _flat(y),
            _flat(s),
            *map(numpy, (O3, b3, W, w, near, far, across, bias, saved)),
            keep,
            numpy(out),
            *scratch,
        )
        if keep:
            ctx.save_for_backward(s, y, O3, b3, W, w, near, far, across, saved)
            ctx.mode, ctx.sizes = mode, (B, N, k, c, t, T, H, rows)
        return out.view({VALUE: (B, N, N, c), POINTER: (B, N, N), EDGE_POINTER: (B, N, N, N)}[mode])

    @staticmethod
    def backward(ctx, g: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        s, y, O3, b3, W, w, near, far, across, saved = ctx.saved_tensors
        mode, (B, N, k, c, t, T, H, rows), needs = ctx.mode, ctx.sizes, ctx.needs_input_grad
        P, F = H // PANEL, y.shape[-1]
        tri, weights = T > 0 and any(needs[6:9]), needs[5] or needs[9] or needs[10]
        Ww = W if mode == VALUE else W * w
        depth = c if mode == VALUE else H
        dW, dO3 = torch.zeros(P, T + k, PANEL), torch.zeros(T // PANEL, F + 1, PANEL)
        dnear, dfar, dacross = (
            torch.zeros(B * N if has else 0, H) for has in (mode != VALUE, mode == EDGE_POINTER, mode != VALUE)
        )
        dy, ds = torch.empty(B * N * N if tri else 0, F), torch.empty(B * N * N if needs[4] else 0, k)
        dX_columns = T + k if needs[4] else T if tri else 0  # of [d tri; d s], no more than anyone needs
        scratch = workspace.arrays(
            (rows, pitch(T + k)), (rows, pitch(H)), (rows, pitch(dX_columns)), (rows, F + 1), (rows, wide(F)),
            (T // PANEL, F, PANEL), (panels(F) if T else 0, T, PANEL), (panels(dX_columns), depth, PANEL),
        )  # fmt: skip
        Ww = Ww[:dX_columns, :depth].contiguous()
        _backward(
            mode,
            N,
            _flat(g),
            _flat(y),
            _flat(s),
            *map(numpy, (O3, b3, Ww, far, saved, dW, dnear, dfar, dacross, dy, ds, dO3)),
            bool(weights),
            *scratch,
        )
        dW, dO3 = unpacked(dW), unpacked(dO3)
        # what was taken without w gets it now; dw is the sum of g max(q, v) expanded, see the head of this file
        dw = dbw = None
        if mode != VALUE:
            dw = (W * dW).sum(0) + (near * dnear).sum(0)
            if mode == POINTER:
                dfar = g.sum(2).view(B * N, 1) - dacross
            else:
                dfar = g.sum((1, 2)).view(B * N, 1) - dfar
                dw += (across * dacross).sum(0)
            dw = crop(dw + (far * dfar).sum(0), c)
            dbw, dW = g.sum().view(1), dW * w
            dnear, dfar, dacross = (crop((d * w).view(B, N, H), c) for d in (dnear, dfar, dacross))
        dy_O3_b3 = (dy.view(y.shape), crop(dO3[:F], t), crop(dO3[F], t)) if T and tri else (None, None, None)
        ds = ds.view(s.shape) if needs[4] else None
        gradients = None, dnear, dfar, dacross, ds, crop(dW[T:], c), *dy_O3_b3, crop(dW[:T], c, t), dw, dbw
        return tuple(d if needed else None for d, needed in zip(gradients, needs))


def pointer_logits(
    u: Tensor,
    v: Tensor,
    s: Tensor,
    Fa: Tensor,
    y: Tensor | None,
    O3: Tensor | None,
    b3: Tensor | None,
    A: Tensor | None,
    w: Tensor,
    bw: Tensor,
) -> Tensor:
    """Logits that row node r points to a, (B, N, N): w . max(v_r, u_a + s_ar Fa + tri_ar A) + bw.

    Without edge features y and A are None.

    u, v (B, N, h); s (B, N, N, k); Fa (k, h); y (B, N, N, F); O3 (F, h); b3 (h,); A (h, h); w (h,); bw (1,).
    """
    if y is not None and O3 is None:
        return torch_ops.pointer_logits(u, v, s, Fa, y, O3, b3, A, w, bw)
    return _Edges.apply(POINTER, u, v, None, s, Fa, y, O3, b3, A, w, bw)  # pyright: ignore[reportReturnType]


def edge_pointer_logits(
    p: Tensor,
    q: Tensor,
    s: Tensor,
    Fd: Tensor,
    y: Tensor | None,
    O3: Tensor | None,
    b3: Tensor | None,
    D: Tensor | None,
    x: Tensor,
    w: Tensor,
    bw: Tensor,
) -> Tensor:
    """Logits that edge (i, j) points to node l, (B, N, N, N): w . max(p_i + q_j + s_ij Fd + tri_ij D, x_l) + bw.

    Shapes as in ``pointer_logits``.
    """
    if y is not None and O3 is None:
        return torch_ops.edge_pointer_logits(p, q, s, Fd, y, O3, b3, D, x, w, bw)
    return _Edges.apply(EDGE_POINTER, p, x, q, s, Fd, y, O3, b3, D, w, bw)  # pyright: ignore[reportReturnType]


def edge_values(y: Tensor, O3: Tensor | None, b3: Tensor | None, d: Tensor) -> Tensor:
    """The triplets' part of an edge value, (B, N, N, K): tri_ij d, for d (h, K)."""
    if O3 is None:
        return torch_ops.edge_values(y, O3, b3, d)
    return _Edges.apply(VALUE, None, None, None, y.new_zeros(*y.shape[:3], 0), None, y, O3, b3, d, None, None)  # pyright: ignore[reportReturnType]
