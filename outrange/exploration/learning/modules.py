"""Small tools for modules: where they are, what their first weights are drawn from, how their tensors are saved under
names."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from outrange.core.seeding import SeedTree

M = TypeVar("M")
V = TypeVar("V")


def device_of(name: str) -> torch.device:
    """The device that ``config.device`` names; auto takes a GPU where there is one."""
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def seeded(seeds: SeedTree, make: Callable[[], M]) -> M:
    """What ``make`` builds, its first weights drawn from a branch of the seeds and from nothing else."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.integer(63))
        return make()


def copied(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a module, copied to the processor."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in module.state_dict().items()}


def prefixed(prefix: str, values: Mapping[str, V]) -> dict[str, V]:
    """The same values under longer names."""
    return {prefix + name: value for name, value in values.items()}


def unprefixed(prefix: str, values: Mapping[str, V]) -> dict[str, V]:
    """The values whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def merged(*groups_of_parts: Mapping[str, Mapping[str, V]]) -> dict[str, dict[str, V]]:
    """Groups of several parts put together, group by group."""
    result: dict[str, dict[str, V]] = {}
    for groups in groups_of_parts:
        for group, values in groups.items():
            result.setdefault(group, {}).update(values)
    return result
