"""Processors: one step of message passing over all nodes (arXiv 2209.11142, section 3 and appendix; CLRS benchmark for
MPNN and PGN).

With z_i = [node features; hidden] and edge and graph features e_ij, g:

    messages    m_ij  = W2 relu(W1 relu(M1 z_j + M2 z_i + Me e_ij + Mg g)),          from i to j
                agg_j = max_i m_ij                                                     over all i, or in a PGN those adjacent to j
    triplets    t_ijk = T1 z_i + T2 z_j + T3 z_k + E1 e_ij + E2 e_ik + E3 e_jk + G g,  tri_jk = relu(O3 max_i t_ijk)
    update      u_j   = LayerNorm(relu(O1 z_j + O2 agg_j))
    gate        hidden'_j = gate_j u_j + (1 - gate_j) hidden_j,  gate_j = sigmoid(G3 relu(G1 z_j + G2 agg_j)), else hidden' = u

``Triplet-GMPNN`` has all of it. A processor of one's own: see ``register_processor``.
"""

import inspect
from collections.abc import Callable
from functools import reduce
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from outrange.core.errors import BadInput, brief, unknown
from outrange.reasoning.nar.encode import Code, linear

GATE_BIAS = -3.0  # a fresh gate is nearly shut


class Codes(NamedTuple):
    """The folded encoders of an algorithm (encode.py)."""

    node: Code
    edge: Code
    graph: Code


class State(NamedTuple):
    """What a processor reads: ``z`` (B, N, kn + h) is [node scalars; hidden], ``s`` (B, N, N, ke), ``g`` (B, kg),
    ``adjacency`` (B, N, N) of bool or None.
    """

    z: Tensor
    s: Tensor
    g: Tensor
    hidden: Tensor
    adjacency: Tensor | None


class EdgeFeatures(NamedTuple):
    """What a processor made of the edges, for the decoders: relu(``y`` @ ``weight`` + ``bias``), or ``y`` (B, N, N, h)
    itself where ``weight`` is None.
    """

    y: Tensor
    weight: Tensor | None
    bias: Tensor | None


Step = Callable[[State], tuple[Tensor, EdgeFeatures | None]]


class MessagePassing(nn.Module):
    """The family of Triplet-GMPNN; ``forward`` composes the weights with an algorithm's encoders and returns the step
    to repeat.
    """

    def __init__(
        self, hidden_dim: int, triplet_features: int = 8, *, triplets: bool, gated: bool, masked: bool
    ) -> None:
        super().__init__()
        h, f = hidden_dim, triplet_features
        self.triplets, self.gated, self.masked = triplets, gated, masked
        self.edge_features = h if triplets else 0
        self.msg_recv, self.msg_send = linear(2 * h, h), linear(2 * h, h)
        self.msg_edge, self.msg_graph = linear(h, h), linear(h, h)
        self.msg_mlp_0, self.msg_mlp_1 = linear(h, h), linear(h, h)
        self.out_node, self.out_msg = linear(2 * h, h), linear(h, h)
        self.norm = nn.LayerNorm(h, eps=1e-5)
        if triplets:
            self.tri_node_i, self.tri_node_j, self.tri_node_k = (linear(2 * h, f) for _ in range(3))
            self.tri_edge_ij, self.tri_edge_ik, self.tri_edge_jk, self.tri_graph = (linear(h, f) for _ in range(4))
            self.tri_out = linear(f, h)
        if gated:
            self.gate_node, self.gate_msg, self.gate_out = linear(2 * h, h), linear(h, h), linear(h, h)
            nn.init.constant_(self.gate_out.bias, GATE_BIAS)

    def forward(self, codes: Codes, kernels: ModuleType) -> Step:
        node, edge, graph = codes
        # each linear map composed with the encoders whose features it reads (encode.py)
        M1, b_recv = node.into(self.msg_recv)
        M2, b_send = node.into(self.msg_send)
        Fm, b_edge = edge.into(self.msg_edge)
        Mg, b_graph = graph.into(self.msg_graph)
        b_recv = b_recv + b_send + b_edge + b_graph  # all biases arrive with the receiver
        W1, W2 = self.msg_mlp_0.weight.t().contiguous(), self.msg_mlp_1.weight.t().contiguous()
        O1, b_out = node.into(self.out_node)
        triplets = self._triplets(codes, kernels) if self.triplets else None
        G1, b_gate = node.into(self.gate_node) if self.gated else (O1, b_out)

        def step(state: State) -> tuple[Tensor, EdgeFeatures | None]:
            z, s, g, hidden, adjacency = state
            recv = z @ M1 + (b_recv + g @ Mg)[:, None]
            b1, b2, mask = self.msg_mlp_0.bias, self.msg_mlp_1.bias, adjacency if self.masked else None
            agg = kernels.message_max(recv, z @ M2, s, Fm, W1, b1, W2, b2, mask)
            # u_j, from the node itself and from what it receives
            updated = self.norm(torch.relu(z @ O1 + b_out + self.out_msg(agg)))
            if self.gated:
                gate = torch.sigmoid(self.gate_out(torch.relu(z @ G1 + b_gate + self.gate_msg(agg))))
                updated = torch.lerp(hidden, updated, gate)  # gate 0 keeps the old state
            return updated, triplets(z, s, g) if triplets else None

        return step

    def _triplets(self, codes: Codes, kernels: ModuleType) -> Callable[[Tensor, Tensor, Tensor], EdgeFeatures]:
        nodes = [codes.node.into(layer) for layer in (self.tri_node_i, self.tri_node_j, self.tri_node_k)]
        edges = [codes.edge.into(layer) for layer in (self.tri_edge_ij, self.tri_edge_ik, self.tri_edge_jk)]
        G, bias = codes.graph.into(self.tri_graph)
        T = torch.cat([weight for weight, _ in nodes], 1)  # T1, T2, T3 side by side: one product instead of three
        bias = bias + reduce(torch.add, [b for _, b in nodes + edges])
        F1, F2, F3 = (weight for weight, _ in edges)
        O3 = self.tri_out.weight.t().contiguous()

        def edge_features(z: Tensor, s: Tensor, g: Tensor) -> EdgeFeatures:
            t1, t2, t3 = (z @ T).chunk(3, -1)
            t1 = t1 + (bias + g @ G)[:, None]  # all biases, and the graph's part, come with the first node
            return EdgeFeatures(kernels.triplet_max(t1, t2, t3, s, F1, F2, F3), O3, self.tri_out.bias)

        return edge_features


class Dense(nn.Module):
    """A processor of one's own: ``inner(node_fts, edge_fts, graph_fts, hidden, adjacency)`` on features of width h,
    unfolded for it.
    """

    masked = True

    def __init__(self, inner: nn.Module, name: str = "") -> None:
        super().__init__()
        self.inner, self.name = inner, name or type(inner).__name__
        self.edge_features = int(getattr(inner, "edge_features", 0))

    def forward(self, codes: Codes, kernels: ModuleType) -> Step:
        del kernels

        def step(state: State) -> tuple[Tensor, EdgeFeatures | None]:
            node_scalars = state.z[..., : codes.node.weight.shape[0]]  # z is [node scalars; hidden]
            features = codes.node.features(node_scalars), codes.edge.features(state.s), codes.graph.features(state.g)
            result = self.inner(*features, state.hidden, state.adjacency)
            hidden, edges = self._checked(result, state.hidden.shape)
            return hidden, None if edges is None else EdgeFeatures(edges, None, None)

        return step

    def _checked(self, result: object, shape: torch.Size) -> tuple[Tensor, Tensor | None]:
        """What a user's module returned, if it is what ``register_processor`` asks for."""
        edge_shape = (*shape[:2], shape[1], self.edge_features) if self.edge_features else None
        hidden, edges = result if isinstance(result, tuple) and len(result) == 2 else (None, None)
        fits = isinstance(hidden, Tensor) and hidden.shape == shape and (edges is not None) == (edge_shape is not None)
        if not fits or (edges is not None and tuple(edges.shape) != edge_shape):
            parts = result if isinstance(result, tuple) else (result,)
            shapes = [tuple(part.shape) if isinstance(part, Tensor) else part for part in parts]
            raise BadInput(
                f"processor {self.name}: forward returned {brief(shapes)}, not (hidden' {tuple(shape)}, edge features {edge_shape}); "
                "its attribute edge_features says whether it makes edge features"
            )
        return hidden, edges  # type: ignore[return-value]


Factory = Callable[[int, int], nn.Module]


def _family(triplets: bool, gated: bool, masked: bool) -> Factory:
    return lambda hidden_dim, features: MessagePassing(
        hidden_dim, features, triplets=triplets, gated=gated, masked=masked
    )


_processors: dict[str, Factory] = {
    "triplet_gmpnn": _family(True, True, False),
    "triplet_mpnn": _family(True, False, False),
    "triplet_gpgn": _family(True, True, True),
    "triplet_pgn": _family(True, False, True),
    "gmpnn": _family(False, True, False),
    "mpnn": _family(False, False, False),
    "gpgn": _family(False, True, True),
    "pgn": _family(False, False, True),
}
_BUILT_IN = frozenset(_processors)


def processors() -> tuple[str, ...]:
    """The known processors' names, sorted."""
    return tuple(sorted(_processors))


def register_processor(name: str, factory: Callable[[int], nn.Module]) -> None:
    """Make a processor of your own known by name.

    Args:
        name: an identifier that is not one of ours.
        factory: ``factory(hidden_dim)`` gives a module; its ``forward(node_fts (B, N, h), edge_fts (B, N, N, h),
            graph_fts (B, h), hidden (B, N, h), adjacency (B, N, N) of bool)`` returns (hidden' (B, N, h), edge features
            (B, N, N, w) or None). If it makes edge features, its attribute ``edge_features`` is their width w.
    """
    if not isinstance(name, str) or not name.isidentifier() or name in _BUILT_IN:
        raise BadInput(
            f"register_processor name: {brief(name)} is not a free identifier; ours are {', '.join(sorted(_BUILT_IN))}"
        )
    parameters = inspect.signature(factory).parameters.values() if callable(factory) else ()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [p for p in parameters if p.default is p.empty and p.kind not in variadic]
    if len(required) != 1:
        raise BadInput(f"register_processor factory: {brief(factory)} is not a function of the width h")
    _processors[name] = lambda hidden_dim, features: Dense(factory(hidden_dim), name)


def processor(name: str, hidden_dim: int, triplet_features: int = 8) -> nn.Module:
    """A fresh processor of that name.

    Raises:
        BadInput: there is none.
    """
    if name not in _processors:
        raise unknown("processor", name, processors(), "a processor")
    return _processors[name](hidden_dim, triplet_features)
