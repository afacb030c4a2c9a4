"""The optimizer of arXiv 2209.11142: Adam after the gradient is cut to a global norm of 1; in multi-task training a
step moves the processor and the encoders and decoders of the step's algorithm, nothing else, and all share one step
count.

Parameters and gradients of the processor, and of each algorithm, lie side by side in one flat tensor (the modules hold
views). That makes an update a few operations, a sum over processes one call, and it keeps autograd from handing out one
gradient array for several biases, which scaling in place would scale several times.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from outrange.reasoning.nar.model import EncodeProcessDecode

ALIGNED = 16  # numbers: each parameter starts at a cache line


class Flat:
    """A module's parameters as one vector, with its gradient; the module's own are views."""

    def __init__(self, module: nn.Module) -> None:
        parameters = list(module.parameters())
        starts, total = [], 0
        for p in parameters:
            starts.append(total)
            # up to the next multiple of a cache line; the gap stays zero, in values and gradients alike
            total += -(-p.numel() // ALIGNED) * ALIGNED
        like = parameters[0]
        self.first_parameter = parameters[0]
        self.values = nn.Parameter(torch.zeros(total, dtype=like.dtype, device=like.device))
        self.grad = torch.zeros_like(self.values.data)
        for p, start in zip(parameters, starts, strict=True):
            own = slice(start, start + p.numel())
            with torch.no_grad():
                self.values[own] = p.reshape(-1)
            # from here on the module's parameter and its gradient are windows into the vectors
            p.data = self.values.data[own].view_as(p)
            p.grad = self.grad[own].view_as(p)


class Optimizer:
    """Adam over the processor and the tasks of a reasoner.

    Args:
        model: its parameters become views of flat vectors.
        learning_rate: of Adam, with betas 0.9 and 0.999 and epsilon 1e-8.
        max_grad_norm: a larger gradient of a step is scaled down to this norm; 0: none is.
    """

    def __init__(self, model: EncodeProcessDecode, learning_rate: float = 1e-3, max_grad_norm: float = 1.0) -> None:
        self.max_grad_norm, self.steps = max_grad_norm, 0
        self.groups = {"processor": Flat(model.processor)} | {
            f"tasks.{name}": Flat(task) for name in model.algorithms for task in (model.task(name),)
        }
        self._adam = torch.optim.Adam([flat.values for flat in self.groups.values()], lr=learning_rate, foreach=True)
        for flat in self.groups.values():
            zeros = torch.zeros_like(flat.values.data)
            self._adam.state[flat.values] = {"step": torch.tensor(0.0), "exp_avg": zeros, "exp_avg_sq": zeros.clone()}

    def gradients(self, algorithms: Iterable[str]) -> list[Tensor]:
        """The gradient vectors that a step on these algorithms moves along."""
        return [self.groups[name].grad for name in self._active(algorithms)]

    def zero_grad(self) -> None:
        for flat in self.groups.values():
            flat.grad.zero_()

    def step(self, *algorithms: str) -> float:
        """Move; returns the gradient's norm before it was scaled down.

        Raises:
            ArithmeticError: the norm is not finite; nothing has moved.
        """
        active = self._active(algorithms)
        for name in active:
            if self.groups[name].first_parameter.grad is None:
                raise RuntimeError("the model's gradients were set to None; use the optimizer's own zero_grad")
        grads = self.gradients(algorithms)
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(grad) for grad in grads])).item()
        if not norm < float("inf"):
            raise ArithmeticError(f"the gradient's norm is {norm}")
        if 0 < self.max_grad_norm < norm:
            for grad in grads:
                grad.mul_(self.max_grad_norm / norm)
        # an algorithm whose turn it is not has no gradient and is left alone, but shares the count of steps
        for name, flat in self.groups.items():
            flat.values.grad = flat.grad if name in active else None
            self._adam.state[flat.values]["step"].fill_(self.steps)
        self._adam.step()
        self.steps += 1
        return norm

    def _active(self, algorithms: Iterable[str]) -> list[str]:
        return ["processor", *(f"tasks.{name}" for name in algorithms)]

    def state_dict(self) -> dict[str, Tensor]:
        """The moments, by group."""
        return {
            f"{name}.{kind}": self._adam.state[flat.values][kind]
            for name, flat in self.groups.items()
            for kind in ("exp_avg", "exp_avg_sq")
        }

    def load_state_dict(self, tensors: Mapping[str, Tensor], steps: int) -> None:
        """Go on from the moments that ``state_dict`` gave and the number of steps."""
        for name, own in self.state_dict().items():
            own.copy_(tensors[name])
        self.steps = steps
