"""Adam with a norm that gradients are cut to: what moves every trained part of an agent (arXiv 2002.06038, table 6)."""

import torch
from torch import Tensor, nn

from outrange.core.optim import NamedAdam
from outrange.core.run import check_finite


class Optimizer(NamedAdam):
    """Moves the trainable parameters of a module.

    Args:
        module: what is trained.
        learning_rate: the step size.
        epsilon: what is added to the root of the second moment.
        weight_decay: L2.
        max_grad_norm: the norm that gradients are cut to.
    """

    def __init__(
        self,
        module: nn.Module,
        learning_rate: float,
        epsilon: float = 1e-4,
        weight_decay: float = 0.0,
        max_grad_norm: float = 40.0,
    ) -> None:
        trainable = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
        parameters = [parameter for _, parameter in trainable]
        adam = torch.optim.Adam(parameters, lr=learning_rate, eps=epsilon, weight_decay=weight_decay, fused=True)
        super().__init__(adam, trainable)
        self.max_grad_norm = max_grad_norm

    def update(self, loss: Tensor, name: str) -> tuple[float, float]:
        """One step against the gradient of a loss; returns the loss and the gradient's norm before it was cut.

        Args:
            loss: a number, with its graph.
            name: what messages call the loss.

        Raises:
            NonFinite: one of them is not finite; nothing was updated.
        """
        value = loss.item()
        check_finite(value, name)
        self.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm).item()
        check_finite(norm, f"the gradient's norm of {name}")
        self.step()
        return value, norm
