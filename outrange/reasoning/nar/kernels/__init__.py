"""The edge computations of the processors and decoders behind one interface, in layers that are proven equal:

    torch   plain tensor operations; any device, any precision; the reference (torch_ops.py)
    cpu     fused float32 kernels, compiled by Numba: no (B, N, N, h) tensor is built but one (cpu/)

``layer`` chooses; nothing else knows what is inside.
"""

import importlib
from types import ModuleType

import torch

from outrange.core.errors import BadInput, unknown

LAYERS = {"torch": "outrange.reasoning.nar.kernels.torch_ops", "cpu": "outrange.reasoning.nar.kernels.cpu"}


def layer(name: str = "auto", device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> ModuleType:
    """The layer of that name; ``auto`` takes the fastest for a device and a dtype.

    Raises:
        BadInput: an unknown layer, or one that cannot run there.
    """
    from outrange.reasoning.clrs.caching import JIT_OFF

    fits = torch.device(device).type == "cpu" and dtype == torch.float32 and not JIT_OFF
    if name == "auto":
        name = "cpu" if fits else "torch"
    if name not in LAYERS:
        raise unknown("kernels", name, ["auto", *LAYERS], "a layer")
    if name == "cpu" and not fits:
        raise BadInput(f"kernels: 'cpu' runs float32 on a CPU with Numba's compiler on, not {dtype} on {device}; take 'torch'")
    return importlib.import_module(LAYERS[name])
