"""Decoders (CLRS benchmark; permutations: arXiv 2209.11142, section 4.2), folded with the encoders.

With H_i = [node features; hidden; hidden'] (3h) and E_ij = [edge features; tri_ij]:

    node value      Linear(H_i)                                    K outputs for a categorical, else 1
    node pointer    logit_ra   = w . max(A1 H_r, A2 H_a + A3 E_ar)
    edge value      d1 H_i + d2 H_j + d3 E_ij
    edge pointer    logit_ijk  = w . max(D1 H_i + D2 H_j + D3 E_ij, D4 H_k)
    graph value     Linear(max_i H_i) + Linear(graph features)
    permutation     node pointer logits -> log-Sinkhorn
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from outrange.reasoning.nar.encode import Code, linear, slot
from outrange.reasoning.nar.kernels import torch_ops
from outrange.reasoning.nar.processor import Codes, EdgeFeatures
from outrange.reasoning.nar.spec import TaskProbe

TEMPERATURE = 0.1
DIAGONAL_PENALTY = 1e6  # no node precedes itself in a cycle
TRAIN_ITERATIONS, TEST_ITERATIONS = 10, 50


class Decoded(NamedTuple):
    """What decoders read.

    ``H`` (B, N, kn + 2h) is [node scalars; hidden; hidden']; ``s`` (B, N, N, ke), ``g`` (B, kg).
    """

    H: Tensor
    s: Tensor
    g: Tensor
    edges: EdgeFeatures | None


Decode = Callable[[Decoded], Tensor]


def output_width(probe: TaskProbe) -> int:
    """How many numbers a probe's decoder gives for each node, edge or graph."""
    return probe.classes if probe.type == "categorical" else 1


class Decoder(nn.ModuleList):
    """The decoder of one probe; its maps stand in the order of the opening lines.

    ``forward`` composes them with the encoders, once per rollout.
    """

    def __init__(self, probe: TaskProbe, hidden_dim: int, edge_features: int) -> None:
        h, e = hidden_dim, hidden_dim + edge_features
        pointer, K = "pointer" in probe.type, output_width(probe)
        if probe.location == "graph":
            maps = [linear(3 * h, K), linear(h, K)]
        elif probe.location == "node":
            maps = [linear(3 * h, h), linear(3 * h, h), linear(e, h), linear(h, 1)] if pointer else [linear(3 * h, K)]
        elif pointer:
            maps = [linear(3 * h, h), linear(3 * h, h), linear(e, h), linear(3 * h, h), linear(h, 1)]
        else:
            maps = [linear(3 * h, K), linear(3 * h, K), linear(e, K)]
        super().__init__(maps)  # their order is that of the names in saved weights
        self.probe = probe

    def forward(self, codes: Codes, kernels: ModuleType) -> Decode:
        kind = "pointer" if "pointer" in self.probe.type else "value"
        return getattr(self, f"_{self.probe.location}_{kind}")(codes, kernels)

    def _squeezed(self, value: Tensor) -> Tensor:
        return value if self.probe.type == "categorical" else value.squeeze(-1)

    def _node_value(self, codes: Codes, kernels: ModuleType) -> Decode:
        weight, bias = codes.node.into(self[0])  # type: ignore[arg-type]
        return lambda d: self._squeezed(functional.linear(d.H, weight.t(), bias))

    def _node_pointer(self, codes: Codes, kernels: ModuleType) -> Decode:
        row, column, edge, final = self
        A1, b1 = codes.node.into(row)  # type: ignore[arg-type]
        A2, b2 = codes.node.into(column)  # type: ignore[arg-type]
        Fa, b3, A3 = _edge_map(codes.edge, edge)
        b2 = b2 + b3  # the node that is pointed to brings the edge's bias along
        w = final.weight.squeeze(0)  # type: ignore[union-attr]

        def decode(d: Decoded) -> Tensor:
            u, v = functional.linear(d.H, A2.t(), b2), functional.linear(d.H, A1.t(), b1)
            A = A3 if d.edges else None
            return _ops(kernels, d.edges).pointer_logits(u, v, d.s, Fa, *_factors(d.edges), A, w, final.bias)

        return decode

    def _edge_value(self, codes: Codes, kernels: ModuleType) -> Decode:
        row, column, edge = self
        d1, b1 = codes.node.into(row)  # type: ignore[arg-type]
        d2, b2 = codes.node.into(column)  # type: ignore[arg-type]
        Fd, b3, d3 = _edge_map(codes.edge, edge)
        bias = b1 + b2 + b3

        def decode(d: Decoded) -> Tensor:
            # what i brings, what j brings, what the edge brings
            value = (d.H @ d1)[:, :, None] + (d.H @ d2)[:, None, :] + (d.s @ Fd + bias)
            if d.edges:
                value = value + _ops(kernels, d.edges).edge_values(*_factors(d.edges), d3)
            return self._squeezed(value)

        return decode

    def _edge_pointer(self, codes: Codes, kernels: ModuleType) -> Decode:
        row, column, edge, target, final = self
        D1, b1 = codes.node.into(row)  # type: ignore[arg-type]
        D2, b2 = codes.node.into(column)  # type: ignore[arg-type]
        D4, b4 = codes.node.into(target)  # type: ignore[arg-type]
        Fd, b3, D3 = _edge_map(codes.edge, edge)
        b1 = b1 + b2 + b3  # all biases of an edge come with its first node
        w = final.weight.squeeze(0)  # type: ignore[union-attr]

        def decode(d: Decoded) -> Tensor:
            p, x = functional.linear(d.H, D1.t(), b1), functional.linear(d.H, D4.t(), b4)
            q, D = d.H @ D2, D3 if d.edges else None
            return _ops(kernels, d.edges).edge_pointer_logits(p, q, d.s, Fd, *_factors(d.edges), D, x, w, final.bias)

        return decode

    def _graph_value(self, codes: Codes, kernels: ModuleType) -> Decode:
        pooled, graph = self
        G, bias = codes.graph.into(graph)  # type: ignore[arg-type]
        k = codes.node.weight.shape[0]

        def decode(d: Decoded) -> Tensor:
            H = torch.cat((codes.node.features(d.H[..., :k]), d.H[..., k:]), -1)  # a maximum does not fold
            return self._squeezed(pooled(H.amax(1)) + d.g @ G + bias)

        return decode


def _edge_map(code: Code, layer: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """A map on [edge features; tri] as (on scalars, bias, on tri)."""
    weight, bias = code.into(layer)  # type: ignore[arg-type]
    k = code.weight.shape[0]
    return weight[:k], bias, weight[k:]


def _factors(edges: EdgeFeatures | None) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Edge features as the kernels take them: y, O3 and its bias, see ``EdgeFeatures``."""
    return (edges.y, edges.weight, edges.bias) if edges else (None, None, None)


def _ops(kernels: ModuleType, edges: EdgeFeatures | None) -> ModuleType:
    """Fused kernels know edge features by their factors only."""
    return torch_ops if edges is not None and edges.weight is None else kernels


def log_sinkhorn(logits: Tensor, iterations: int, noise: Tensor | None = None) -> Tensor:
    """Log of a doubly stochastic matrix (B, N, N) with an empty diagonal: rows and columns are normalised in turn, at
    temperature 0.1.
    """
    x = (logits if noise is None else logits + noise) / TEMPERATURE
    x = x - DIAGONAL_PENALTY * torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    for _ in range(iterations):  # rows, then columns, in logarithms: sums of tiny probabilities would vanish
        x = functional.log_softmax(x, -1)
        x = functional.log_softmax(x, -2)
    return x


def gumbel(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Noise for permutation logits in training: -log(-log(U + 1e-12) + 1e-12)."""
    uniform = torch.rand(shape, generator=generator, device=generator.device)
    return -torch.log(-torch.log(uniform + 1e-12) + 1e-12)


def soft(probes: Mapping[str, TaskProbe], raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Decoded hints as they are fed back: probabilities of masks, rows of probabilities of one-hots and pointers,
    scalars as they are.
    """
    fed = {}
    for name, value in raw.items():
        kind = probes[name].type
        if kind == "scalar":
            fed[name] = value
        else:
            fed[name] = torch.sigmoid(value) if kind == "mask" else torch.softmax(value, -1)
    return fed


def hard(probes: Mapping[str, TaskProbe], raw: Mapping[str, Tensor], *, as_rows: bool = False) -> dict[str, Tensor]:
    """Decided predictions, without gradient: 0/1 masks, one-hots, node indices (rows if ``as_rows``); permutations
    after 50 more iterations as one-hot rows.
    """
    decided = {}
    for name, value in raw.items():
        kind, value = probes[name].type, value.detach()
        if kind == "scalar":
            decided[name] = value
        elif kind == "mask":  # a logit above 0 is a probability above one half
            decided[name] = (value > 0).to(value.dtype)
        else:
            if kind == "permutation_pointer":
                value = log_sinkhorn(value, TEST_ITERATIONS)
            index = value.argmax(-1)
            is_one_hot = kind != "pointer" or as_rows
            decided[name] = functional.one_hot(index, value.shape[-1]).to(value.dtype) if is_one_hot else index
    return decided


class Decoders(nn.Module):
    """The decoders of one algorithm's outputs and hints, by probe."""

    def __init__(self, probes: Mapping[str, TaskProbe], hidden_dim: int, edge_features: int) -> None:
        super().__init__()
        self.maps = nn.ModuleDict(
            {slot(name): Decoder(probe, hidden_dim, edge_features) for name, probe in probes.items()}
        )

    def forward(self, names: list[str], codes: Codes, kernels: ModuleType) -> dict[str, Decode]:
        return {name: self.maps[slot(name)](codes, kernels) for name in names}
