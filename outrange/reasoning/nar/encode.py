"""Encoders (arXiv 2209.11142, section 3; CLRS benchmark encoders), kept folded.

Every encoder is linear: node, edge and graph features are sums of ``Linear`` maps of a few scalars per node, edge or
graph. So features stay unmultiplied: ``Code`` holds all encoders of one location stacked, and a later map is composed
with it once per rollout,

    (scalars @ W + b) @ M  =  scalars @ (W @ M) + b @ M,

instead of being applied to (B, N, N, h) features at every step. What goes where:

    node values          -> nodes, k scalars (K for a categorical)
    node pointers        -> edges (i, j): P[i, j], one scalar
    edge values          -> edges, k scalars
    edge pointers        -> edges (a, c): mean over i of P[i, a, c] and mean over j of P[a, j, c], two scalars with an encoder each
    graph values         -> the graph
"""

import math
from collections.abc import Mapping
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from outrange.reasoning.nar.spec import TaskProbe


def linear(fan_in: int, out: int, std: float | None = None) -> nn.Linear:
    """A ``Linear`` with zero bias and a normal weight of standard deviation ``std`` (default 1/sqrt(fan_in)), cut at
    two deviations and not rescaled.
    """
    layer = nn.Linear(fan_in, out)
    std = 1 / math.sqrt(fan_in) if std is None else std
    nn.init.trunc_normal_(layer.weight, 0.0, std, -2 * std, 2 * std)
    nn.init.zeros_(layer.bias)
    return layer


def slot(name: str) -> str:
    """A name in a ``ModuleDict``; one that a module's own attributes take gets an underscore, and so does one that
    would be mistaken for it.
    """
    plain = name.rstrip("_")
    # a ModuleDict refuses "values", "items", "training" and the like, which are names of probes
    return f"{name}_" if hasattr(nn.ModuleDict, plain) or plain == "training" else name


def location(probe: TaskProbe) -> str:
    """Where a probe's code goes: node, edge or graph features."""
    return "edge" if probe.location == "node" and "pointer" in probe.type else probe.location


def widths(probe: TaskProbe) -> tuple[int, ...]:
    """The scalars that each of a probe's encoders takes."""
    if probe.location == "edge" and probe.type == "pointer":
        return 1, 1
    return (probe.classes if probe.type == "categorical" else 1,)


def scalars(probe: TaskProbe, value: Tensor) -> Tensor:
    """What a probe's encoders take, side by side in the last axis: (B, N, k), (B, N, N, k) or (B, k).

    ``value`` is as in ``rows``: pointers are probability rows.
    """
    if probe.location == "edge" and probe.type == "pointer":
        return torch.stack((value.mean(1), value.mean(2)), -1)  # (B, N, N, N) to what arrives and what leaves
    return value if probe.type == "categorical" else value.unsqueeze(-1)


def rows(probe: TaskProbe, value: Tensor, size: int) -> Tensor:
    """A probe's data with pointer indices as one-hot rows (another axis of ``size``); all else as it is."""
    if probe.type == "pointer":
        dtype = value.dtype if value.is_floating_point() else torch.get_default_dtype()
        return functional.one_hot(value.long(), size).to(dtype)
    return value


class Code(NamedTuple):
    """The encoders of one location, stacked: features (…, h) = scalars (…, k) @ ``weight`` (k, h) + ``bias`` (h,)."""

    weight: Tensor
    bias: Tensor

    def features(self, scalars: Tensor) -> Tensor:
        return scalars @ self.weight + self.bias

    def into(self, layer: nn.Linear) -> tuple[Tensor, Tensor]:
        """``layer`` on [features; rest] as a map on [scalars; rest]: weight (k + rest, out) and bias (out,)."""
        # the layer's first h rows read the features; what follows reads the rest as it is
        weight, h = layer.weight.t(), self.bias.shape[0]
        return torch.cat((self.weight @ weight[:h], weight[h:])), layer.bias + self.bias @ weight[:h]


class Encoders(nn.Module):
    """The encoders of one algorithm's inputs and, unless hints are not fed, of its hints.

    Args:
        probes: in this order their scalars stand side by side.
        hidden_dim: h.
        xavier_on_scalars: encoders of scalar hints start at standard deviation 1/sqrt(h), not 1.
    """

    def __init__(self, probes: Mapping[str, TaskProbe], hidden_dim: int, xavier_on_scalars: bool = True) -> None:
        super().__init__()
        self.probes, self.hidden_dim = dict(probes), hidden_dim
        self.maps = nn.ModuleDict()
        for name, probe in probes.items():
            is_scalar_hint = (probe.stage, probe.type) == ("hint", "scalar")
            std = 1 / math.sqrt(hidden_dim) if xavier_on_scalars and is_scalar_hint else None
            self.maps[slot(name)] = nn.ModuleList(linear(k, hidden_dim, std) for k in widths(probe))

    def code(self, at_location: str) -> Code:
        """All encoders of one location (node, edge or graph), stacked in the order of the probes."""
        names = [name for name, probe in self.probes.items() if location(probe) == at_location]
        # features are a sum over probes, so weights stand one below the other and biases add up
        layers = [layer for name in names for layer in self.maps[slot(name)]]  # type: ignore[union-attr]
        if not layers:
            like = next(self.parameters())
            return Code(like.new_zeros(0, self.hidden_dim), like.new_zeros(self.hidden_dim))
        weight = torch.cat([layer.weight.t() for layer in layers])
        return Code(weight, reduce(torch.add, [layer.bias for layer in layers]))

    def scalars(self, at_location: str, stage: str, values: Mapping[str, Tensor]) -> list[Tensor]:
        """The scalars of the probes of a stage and location, in the order of ``code``."""
        return [
            scalars(probe, values[name])
            for name, probe in self.probes.items()
            if probe.stage == stage and location(probe) == at_location
        ]


def adjacency(probes: Mapping[str, TaskProbe], values: Mapping[str, Tensor], size: int) -> Tensor:
    """Who may send to whom in a PGN, (B, N, N) of bool: oneself, along node pointers and edge masks, in both
    directions.
    """
    batch = next(iter(values.values()))
    adjacent = torch.eye(size, dtype=torch.bool, device=batch.device).expand(batch.shape[0], size, size)
    for name, probe in probes.items():
        if name not in values:
            continue
        if probe.location == "node" and "pointer" in probe.type:
            adjacent = adjacent | (values[name] + values[name].mT > 0.5)  # more likely than not
        elif (probe.location, probe.type) == ("edge", "mask"):
            adjacent = adjacent | (values[name] + values[name].mT > 0)
    return adjacent
