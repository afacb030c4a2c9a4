"""The *cpu* kernels: the five edge computations as fused float32 kernels with exact gradients, compiled by Numba (arXiv
2209.11142, folded encoders).

They equal the *torch* kernels up to the order of sums; where a maximum is tied, its gradient goes to one of the tied.
They let go of the GIL and share nothing but a list of free memory, so that threads may each run a part of a batch.
"""

from outrange.reasoning.nar.kernels.cpu.message import message_max
from outrange.reasoning.nar.kernels.cpu.pointer import edge_pointer_logits, edge_values, pointer_logits
from outrange.reasoning.nar.kernels.cpu.triplet import triplet_max

__all__ = ["edge_pointer_logits", "edge_values", "message_max", "pointer_logits", "triplet_max"]
