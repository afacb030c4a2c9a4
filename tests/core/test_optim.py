"""Adam by name moves as PyTorch's Adam does, bit for bit, and goes on from what it saved."""

import pytest
import torch
from torch import nn

from outrange.core.optim import NamedAdam


def model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2))


def groups(module: nn.Module) -> list[dict]:
    parameters = list(module.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def make(kind: str, module: nn.Module) -> torch.optim.Adam:
    if kind == "fused":
        return torch.optim.Adam(module.parameters(), lr=1e-2, eps=1e-4, weight_decay=1e-3, fused=True)
    return torch.optim.AdamW(groups(module), lr=1e-2, betas=(0.9, 0.95), foreach=True)


def steps(module: nn.Module, optimizer: torch.optim.Adam | NamedAdam, first: int, count: int) -> None:
    for k in range(first, first + count):
        batch = torch.randn(8, 5, generator=torch.Generator().manual_seed(k))
        optimizer.zero_grad()
        module(batch).square().mean().backward()
        optimizer.step()


def equal(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["fused", "groups"])
def test_it_moves_as_pytorchs_own_bit_for_bit(kind):
    own, named = model(), model()
    steps(own, make(kind, own), 0, 5)
    steps(named, NamedAdam(make(kind, named), named.named_parameters()), 0, 5)
    assert equal(own, named)


@pytest.mark.parametrize("kind", ["fused", "groups"])
def test_three_steps_and_four_are_seven_after_saving_in_between(kind):
    whole, halves = model(), model()
    steps(whole, NamedAdam(make(kind, whole), whole.named_parameters()), 0, 7)
    first = NamedAdam(make(kind, halves), halves.named_parameters())
    steps(halves, first, 0, 3)
    saved = first.state_dict()
    assert saved["step"] == 3 and saved.keys() >= {"0.weight.exp_avg", "2.bias.exp_avg_sq"}
    second = NamedAdam(make(kind, halves), halves.named_parameters())
    second.load_state_dict(saved)
    steps(halves, second, 3, 4)
    assert equal(whole, halves)


def test_state_without_a_count_of_steps_takes_the_one_given():
    module = model()
    adam = NamedAdam(make("groups", module), module.named_parameters())
    moments = {name: value for name, value in adam.state_dict().items() if name != "step"}
    adam.load_state_dict(moments, steps=4)
    assert adam.state_dict()["step"] == 4
    with pytest.raises(KeyError):
        adam.load_state_dict(moments)


def test_what_was_saved_does_not_change_with_later_steps():
    module = model()
    adam = NamedAdam(make("fused", module), module.named_parameters())
    saved = adam.state_dict()
    steps(module, adam, 0, 1)
    assert saved["step"] == 0 and not saved["0.weight.exp_avg"].any()


def test_the_learning_rate_is_set_for_all_groups():
    module = model()
    adam = NamedAdam(make("groups", module), module.named_parameters())
    adam.learning_rate = 0.5
    assert adam.learning_rate == 0.5 and all(group["lr"] == 0.5 for group in adam.optimizer.param_groups)


def test_parameters_that_do_not_learn_have_no_state_and_those_without_a_name_are_refused():
    module = model()
    module[0].requires_grad_(False)
    learning = [p for p in module.parameters() if p.requires_grad]
    adam = NamedAdam(torch.optim.Adam(learning), module.named_parameters())
    assert adam.state_dict().keys() == {f"2.{n}.{m}" for n in ("weight", "bias") for m in ("exp_avg", "exp_avg_sq")} | {
        "step"
    }
    with pytest.raises(ValueError, match="needs a name"):
        NamedAdam(torch.optim.Adam(module.parameters()), module[2].named_parameters())
