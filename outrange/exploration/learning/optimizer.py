"""Adam with a norm to cut gradients to, whose state can be saved: what every trained part of an agent is moved by (arXiv 2002.06038, table 6)."""

import torch
from torch import Tensor, nn

from outrange.core.run import check_finite


class Optimizer:
    """Moves the trainable parameters of a module."""

    def __init__(
        self, module: nn.Module, rate: float, epsilon: float = 1e-4, decay: float = 0.0, clip: float = 40.0
    ) -> None:
        self.named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        self.parameters = [p for _, p in self.named]
        self.clip = clip
        self.adam = torch.optim.Adam(self.parameters, lr=rate, eps=epsilon, weight_decay=decay, fused=True)
        for p in self.parameters:
            self.adam.state[p] = {
                "step": torch.zeros((), device=p.device),
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.zeros_like(p),
            }

    @property
    def rate(self) -> float:
        """The learning rate."""
        return self.adam.param_groups[0]["lr"]

    @rate.setter
    def rate(self, value: float) -> None:
        for group in self.adam.param_groups:
            group["lr"] = value

    def step(self, loss: Tensor, what: str) -> tuple[float, float]:
        """One update from a loss; returns the loss and the gradient's norm before it was cut.

        Raises:
            NonFinite: one of them is not finite; nothing was updated.
        """
        value = loss.item()
        check_finite(value, what)
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.clip).item()
        check_finite(norm, f"the gradient's norm of {what}")
        self.adam.step()
        return value, norm

    def tensors(self) -> dict[str, Tensor]:
        """Moments by the parameters' names, and how many steps were taken."""
        kept = {
            f"{name}.{kind}": self.adam.state[p][kind].to("cpu", copy=True)
            for name, p in self.named
            for kind in ("exp_avg", "exp_avg_sq")
        }
        return kept | {"step": self.adam.state[self.parameters[0]]["step"].to("cpu", copy=True)}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what ``tensors`` gave."""
        for name, p in self.named:
            held = self.adam.state[p]
            held["step"].copy_(tensors["step"])
            for kind in ("exp_avg", "exp_avg_sq"):
                held[kind].copy_(tensors[f"{name}.{kind}"])
