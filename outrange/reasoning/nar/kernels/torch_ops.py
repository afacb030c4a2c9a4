"""The *torch* kernels: the five edge computations in plain tensor operations, on any device and in any precision; all
others must equal them.

Notation (arXiv 2209.11142): N nodes, h features, F triplet features; s (B, N, N, k) are the scalars from which edge
features are encoded, and every edge map arrives composed with the encoders (see encode.py). ``tri = relu(y @ O3 + b3)``
are the triplet edge features, (B, N, N, h).
"""

import torch
from torch import Tensor


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

    ``mask`` (B, N, N): only where it is not 0 does i send to j; a node to which none sends receives -1e6.
    """
    # (B, sender i, receiver j, h)
    m = recv[:, None, :, :] + send[:, :, None, :] + s @ Fm
    m = torch.relu(torch.relu(m) @ W1 + b1) @ W2 + b2
    if mask is not None:
        m = torch.where(mask[..., None] != 0, m, -1e6)
    return m.amax(1)


def triplet_max(t1: Tensor, t2: Tensor, t3: Tensor, s: Tensor, F1: Tensor, F2: Tensor, F3: Tensor) -> Tensor:
    """Triplets (i, j, k) reduced over i, (B, N, N, F): y_jk = max_i (t1_i + s_ij F1 + s_ik F2) + t2_j + t3_k + s_jk F3."""
    # what depends on i alone or on (i, j), (i, k) goes into the maximum; the rest is added to it
    a = t1[:, :, None] + s @ F1
    y = (a[:, :, :, None] + (s @ F2)[:, :, None, :]).amax(1)
    return y + t2[:, :, None] + t3[:, None, :] + s @ F3


def triplet_features(y: Tensor, O3: Tensor | None, b3: Tensor | None) -> Tensor:
    """tri_jk = relu(O3 y_jk), (B, N, N, h); without O3, y are edge features already."""
    return y if O3 is None or b3 is None else torch.relu(y @ O3 + b3)


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
    """
    q = u[:, :, None] + s @ Fa
    if y is not None and A is not None:
        q = q + triplet_features(y, O3, b3) @ A
    return (torch.maximum(v[:, None, :, :], q) @ w + bw).mT


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
    """Logits that edge (i, j) points to node l, (B, N, N, N): w . max(p_i + q_j + s_ij Fd + tri_ij D, x_l) + bw."""
    edge = p[:, :, None] + q[:, None, :] + s @ Fd
    if y is not None and D is not None:
        edge = edge + triplet_features(y, O3, b3) @ D
    # one receiver row at a time: all at once would be (B, N, N, N, h)
    return torch.stack([torch.maximum(row[:, :, None], x[:, None]) @ w for row in edge.unbind(1)], 1) + bw


def edge_values(y: Tensor, O3: Tensor | None, b3: Tensor | None, d: Tensor) -> Tensor:
    """The triplets' part of an edge value, (B, N, N, K): tri_ij d."""
    return triplet_features(y, O3, b3) @ d
