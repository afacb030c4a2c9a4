"""One seed in, a named tree of seeds out; no global random state.

A branch depends on the seed and on its own path alone, so a new branch never changes the draws of another. Names and
numbers become 128 bits each (SHA-256) of the spawn key of ``numpy.random.SeedSequence``. Draw from a branch in one way
only: its numpy, torch and integer draws all begin from the same bits.
"""

import hashlib
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from outrange.core.checks import require, within
from outrange.core.errors import BadInput, brief

if TYPE_CHECKING:
    import torch


class SeedTree:
    """The root of all draws of a run, or one of its branches."""

    def __init__(self, seed: int) -> None:
        try:
            number = -1 if isinstance(seed, bool) else operator.index(seed)
        except TypeError:
            number = -1
        require(0 <= number < 1 << 64, "seed", seed, "a whole number from 0 to 2^64 - 1")
        self._seed, self._key = number, ()

    def child(self, *path: str | int) -> "SeedTree":
        """The branch below by name or number; ``child("task", 3)`` is ``child("task").child(3)``."""
        # the key is the whole path, so that no branch depends on which others were made before it
        branch = SeedTree(self._seed)
        branch._key = self._key + tuple(word for part in path for word in _words(part))
        return branch

    def sequence(self) -> np.random.SeedSequence:
        return np.random.SeedSequence(self._seed, spawn_key=self._key)

    def numpy(self) -> np.random.Generator:
        """A fresh generator, always at this branch's beginning. PCG64 by name: numpy's default may change."""
        return np.random.Generator(np.random.PCG64(self.sequence()))

    def torch(self, device: "str | torch.device" = "cpu") -> "torch.Generator":
        """A fresh generator on a device, always at this branch's beginning."""
        import torch

        return torch.Generator(device).manual_seed(self.integer(63))

    def integer(self, bits: int = 63) -> int:
        """A whole number from 0 to 2^bits - 1; at most 64 bits."""
        within("bits", bits, 1, 64, "from 1 to 64")
        # the highest bits, so that fewer bits are a prefix of more
        return int(self.sequence().generate_state(1, np.uint64)[0]) >> (64 - bits)


def _words(part: str | int) -> tuple[int, ...]:
    kind = "name" if isinstance(part, str) else "number"  # so that child("3") is not child(3)
    value = part if isinstance(part, str) else operator.index(part)
    return tuple(int(word) for word in np.frombuffer(hashlib.sha256(f"{kind}:{value}".encode()).digest()[:16], "<u4"))


def numpy_state(generator: np.random.Generator) -> dict[str, Any]:
    """The state of a generator that ``SeedTree`` made, as JSON."""
    state = generator.bit_generator.state
    if state["bit_generator"] != "PCG64":
        raise BadInput(
            f"generator: the state of {state['bit_generator']} is not kept; take generators from SeedTree, which are PCG64"
        )
    return dict(state)


def restore_numpy(generator: np.random.Generator, state: dict[str, Any]) -> None:
    """Set a generator to a state of ``numpy_state``."""
    try:
        generator.bit_generator.state = state
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadInput(
            f"generator: {brief(state)} is not a state of {type(generator.bit_generator).__name__}: {error}"
        ) from None


def torch_state(generator: "torch.Generator") -> "torch.Tensor":
    """The state of a generator as a uint8 tensor on the CPU."""
    return generator.get_state()


def restore_torch(generator: "torch.Generator", state: "torch.Tensor") -> None:
    """Set a generator to a state of ``torch_state``."""
    try:
        generator.set_state(state.cpu())
    except (RuntimeError, TypeError) as error:
        raise BadInput(
            f"generator: a tensor of {tuple(state.shape)} is not a state of a torch generator on {generator.device}: {brief(str(error))}"
        ) from None
