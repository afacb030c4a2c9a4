"""Data parallelism over the processes of ``torchrun``: each has a share of every batch, losses divide by counts of the
whole batch, gradients are summed.

So any number of processes makes the step that one would make, up to the order of sums. Without torchrun there is one
process and nothing to do.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, distributed

from outrange.core.checks import whole
from outrange.core.errors import BadInput
from outrange.reasoning.nar.samples import Samples


def shard(samples: Samples, rank: int, world: int) -> Samples:
    """One process's part of a batch: dealt out in turn from the longest trace to the shortest, so that all have about
    equal work.

    Hints keep the whole batch's T, and ``batch_lengths`` its lengths: losses divide by counts over the whole batch.
    """
    world = whole("shard world", world, 1, len(samples))
    rank = whole("shard rank", rank, 0, world - 1)
    # every world-th of the samples in order of length
    part = np.argsort(-samples.lengths, kind="stable")[rank::world]
    return replace(
        samples,
        inputs={name: array[part] for name, array in samples.inputs.items()},
        hints={name: array[:, part] for name, array in samples.hints.items()},
        outputs={name: array[part] for name, array in samples.outputs.items()},
        lengths=samples.lengths[part],
        batch_indices=samples.batch_indices[part],
        reaches_end=samples.reaches_end[part],
    )


@dataclass(frozen=True)
class ProcessGroup:
    """This process's ``rank`` among ``world`` processes, and the device that it computes on."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def sum_in_place(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""
        if self.world > 1:
            for tensor in tensors:
                distributed.all_reduce(tensor)

    def any(self, wish: bool) -> bool:
        """Whether any process wishes it: so that all stop at the same step."""
        if self.world == 1:
            return wish
        # summed, so that one wish is enough
        vote = torch.tensor([float(wish)], device=self.device)
        distributed.all_reduce(vote)
        return vote.item() > 0

    def broadcast(self, text: str) -> str:
        """The first process's text, on all."""
        if self.world == 1:
            return text
        texts = [text]
        distributed.broadcast_object_list(texts, device=self.device if self.device.type == "cuda" else None)
        return texts[0]


@contextmanager
def process_group(device: str = "auto") -> Iterator[ProcessGroup]:
    """The processes that torchrun started: gloo on CPUs, nccl on GPUs.

    Args:
        device: ``cpu``, ``cuda``, or ``auto``: a GPU where there is one.

    Raises:
        BadInput: there is no GPU for this process.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local_rank = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0"))
    # torchrun numbers the processes of one machine by LOCAL_RANK; each takes the GPU of its number
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if kind == "cuda" and local_rank >= torch.cuda.device_count():
        raise BadInput(
            f"device: 'cuda' needs {local_rank + 1} GPUs here, there are {torch.cuda.device_count()}; "
            "take 'cpu', or fewer processes"
        )
    own_device = torch.device("cuda", local_rank) if kind == "cuda" else torch.device(kind)
    if world == 1:  # nothing to set up or to wait for
        yield ProcessGroup(0, 1, own_device)
        return
    distributed.init_process_group("nccl" if own_device.type == "cuda" else "gloo")
    try:
        yield ProcessGroup(rank, world, own_device)
    finally:
        distributed.destroy_process_group()
