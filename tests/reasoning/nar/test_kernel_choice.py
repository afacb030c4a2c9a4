"""The cpu kernels against the torch kernels, on all thirty algorithms: encoders, decoders and feedback of every type in use."""

import pytest
import torch

from outrange.reasoning import clrs
from outrange.reasoning.nar.config import ModelConfig
from outrange.reasoning.nar.feed import Feed
from outrange.reasoning.nar.loss import losses
from outrange.reasoning.nar.reasoner import Reasoner


@pytest.mark.parametrize("name", clrs.ALGORITHMS)
def test_both_kernels_give_one_loss_and_one_gradient(name):
    feed = Feed(
        name, 3, seed=5, lengths=[7] if max(clrs.generalist(name)[0]) == 16 else None
    )  # string matchers need room for their needles
    samples, found = feed[0], {}
    for layer, dtype in (("torch", torch.float64), ("cpu", torch.float32)):
        model = Reasoner({name: feed.spec}, ModelConfig(hidden_dim=20), kernels=layer).to(dtype)
        predicted = model(samples)
        total = torch.stack(list(losses(samples, predicted.outputs, predicted.hints).values())).sum()
        total.backward()
        found[layer] = (
            total.item(),
            torch.cat(
                [torch.zeros(p.numel()) if p.grad is None else p.grad.flatten().float() for p in model.parameters()]
            ),
        )
    assert found["cpu"][0] == pytest.approx(found["torch"][0], rel=1e-5)
    # two messages that tie to within rounding may be told apart either way, which moves a little of the gradient
    assert (found["cpu"][1] - found["torch"][1]).norm() < 2e-3 * found["torch"][1].norm()
