"""Adam whose state is saved by the names of its parameters, so that it reads back whatever order a module lists them
in. No pickle: tensors only.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

_MOMENTS = ("exp_avg", "exp_avg_sq")


class NamedAdam:
    """One of PyTorch's Adam optimizers and the names of what it moves.

    The moments are there from the beginning, as zeros, so that they can be saved and read before the first step; steps
    are those of the optimizer itself.

        adam = NamedAdam(torch.optim.AdamW(groups, lr=3e-4, foreach=True), model.named_parameters())
        adam.zero_grad(); loss.backward(); adam.step()
    """

    def __init__(self, optimizer: torch.optim.Adam, named_parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
        """Take over an optimizer that has not moved yet.

        Args:
            optimizer: a ``torch.optim.Adam`` or ``AdamW``, with whatever groups and implementation.
            named_parameters: as a module's own method gives them; those that the optimizer does not move are left out.
        """
        self.optimizer = optimizer
        # a module may have parameters that do not learn, or that another optimizer moves
        moved = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self.named_parameters = {name: p for name, p in named_parameters if id(p) in moved}
        if len(self.named_parameters) < len(moved):
            raise ValueError("every parameter that the optimizer moves needs a name")
        for group in optimizer.param_groups:
            for p in group["params"]:
                # where PyTorch itself keeps the count of steps: beside the parameter for its fused kernels, else on the
                # processor
                device = p.device if group["fused"] or group["capturable"] else "cpu"
                optimizer.state[p] = {
                    "step": torch.zeros((), dtype=torch.float32, device=device),
                    "exp_avg": torch.zeros_like(p),
                    "exp_avg_sq": torch.zeros_like(p),
                }

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What it moves, in the order of the names."""
        return list(self.named_parameters.values())

    @property
    def learning_rate(self) -> float:
        """That of the first group; setting it sets it for all."""
        return self.optimizer.param_groups[0]["lr"]

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = value

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients: none, or zeros in the arrays that are there."""
        self.optimizer.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        self.optimizer.step()

    def state_dict(self) -> dict[str, Tensor]:
        """The moments as ``<parameter>.exp_avg`` and ``<parameter>.exp_avg_sq``, and ``step``, the number of steps;
        copies on the processor.
        """
        state = self.optimizer.state
        tensors = {
            f"{name}.{moment}": state[p][moment].to("cpu", copy=True)
            for name, p in self.named_parameters.items()
            for moment in _MOMENTS
        }
        return tensors | {"step": state[self.parameters[0]]["step"].to("cpu", copy=True)}

    def load_state_dict(self, tensors: Mapping[str, Tensor], steps: int | None = None) -> None:
        """Go on from what ``state_dict`` gave.

        Args:
            tensors: by name.
            steps: the number of steps, where the tensors have no ``step``.
        """
        count = tensors["step"] if steps is None or "step" in tensors else torch.tensor(float(steps))
        for name, p in self.named_parameters.items():
            state = self.optimizer.state[p]
            state["step"].copy_(count)
            for moment in _MOMENTS:
                state[moment].copy_(tensors[f"{name}.{moment}"])
