"""Data parallelism over the processes of ``torchrun``: each has a share of every batch, losses divide by counts of the whole batch, gradients are summed.

So any number of processes makes the step that one would make, up to the order of sums. Without torchrun there is one process and nothing to do.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, distributed

from outrange.core.errors import BadInput


@dataclass(frozen=True)
class Group:
    """This process's ``rank`` among ``world`` processes, and the device that it computes on."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""
        if self.world > 1:
            for tensor in tensors:
                distributed.all_reduce(tensor)

    def agreed(self, wish: bool) -> bool:
        """Whether any process wishes it: so that all stop at the same step."""
        if self.world == 1:
            return wish
        vote = torch.tensor([float(wish)], device=self.device)
        distributed.all_reduce(vote)
        return vote.item() > 0

    def from_first(self, text: str) -> str:
        """The first process's word, on all."""
        if self.world == 1:
            return text
        box = [text]
        distributed.broadcast_object_list(box, device=self.device if self.device.type == "cuda" else None)
        return box[0]


@contextmanager
def group(device: str = "auto") -> Iterator[Group]:
    """The processes that torchrun started: gloo on CPUs, nccl on GPUs."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0"))
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if kind == "cuda" and local >= torch.cuda.device_count():
        raise BadInput(
            f"train.device: 'cuda' needs {local + 1} GPUs here, there are {torch.cuda.device_count()}; take 'cpu', or fewer processes"
        )
    chosen = torch.device("cuda", local) if kind == "cuda" else torch.device(kind)
    if world == 1:
        yield Group(0, 1, chosen)
        return
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Group(rank, world, chosen)
    finally:
        distributed.destroy_process_group()
