"""The edge computations of the processors and decoders behind one interface, in implementations that are proven equal:

    torch   plain tensor operations; any device, any precision; the reference (torch_ops.py)
    cpu     fused float32 kernels, compiled by Numba: no (B, N, N, h) tensor is built but one (cpu/)

``load`` gives one; nothing else knows what is inside.
"""

import importlib
from types import ModuleType

import torch

from outrange.core.compiled import JIT_OFF
from outrange.core.errors import BadInput, unknown

IMPLEMENTATIONS = {"torch": "outrange.reasoning.nar.kernels.torch_ops", "cpu": "outrange.reasoning.nar.kernels.cpu"}


def choose(name: str = "auto", device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> str:
    """The name of the kernels that run there; ``auto`` takes the fastest.

    Args:
        name: auto, torch or cpu.
        device: of the model.
        dtype: of its parameters.

    Raises:
        BadInput: there are no such kernels, or they cannot run there.
    """
    # the fused kernels are machine code for float32 on a processor
    fits = torch.device(device).type == "cpu" and dtype == torch.float32 and not JIT_OFF
    if name == "auto":
        return "cpu" if fits else "torch"
    if name not in IMPLEMENTATIONS:
        raise unknown("kernels", name, ["auto", *IMPLEMENTATIONS], "a name of kernels")
    if name == "cpu" and not fits:
        raise BadInput(
            f"kernels: 'cpu' runs float32 on a CPU with Numba's compiler on, not {dtype} on {device}; take 'torch'"
        )
    return name


def load(name: str = "auto", device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> ModuleType:
    """The module of the kernels of that name, see ``choose``."""
    return importlib.import_module(IMPLEMENTATIONS[choose(name, device, dtype)])
