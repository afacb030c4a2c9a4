"""The optimizer against Adam written out in NumPy: the cut of the gradient, taking turns, one step count, what is refused, and going on from a saved state."""

import numpy as np
import pytest
import torch

from outrange.reasoning import clrs
from outrange.reasoning.nar.config import ModelConfig
from outrange.reasoning.nar.loss import losses
from outrange.reasoning.nar.optimizer import Optimizer
from outrange.reasoning.nar.reasoner import Reasoner
from outrange.reasoning.nar.samples import prepare

ALGORITHMS = ("bfs", "insertion_sort")
BATCHES = {
    name: prepare(clrs.batch(clrs.sample(name, length=4, count=3, seed=1)), random_pos=np.random.default_rng(0))
    for name in ALGORITHMS
}


def reasoner(seed=0, dtype=torch.float64):
    return Reasoner(
        {name: samples.spec for name, samples in BATCHES.items()}, ModelConfig(hidden_dim=8), seed=seed, kernels="torch"
    ).to(dtype)


def weights(model):
    return {name: p.detach().clone().double().numpy() for name, p in model.named_parameters()}


def backward(model, optimizer, algorithm, scale=1.0):
    optimizer.zero_grad()
    (scale * sum(losses(BATCHES[algorithm], *model(BATCHES[algorithm])).values())).backward()


def pull(model, optimizer, algorithms, size, seed):
    """Backward from a linear function: a gradient known beforehand, of norm ``size``, on the processor and these algorithms' tasks."""
    rng = np.random.default_rng(seed)
    wanted = {n: rng.normal(size=tuple(p.shape)) for n, p in model.named_parameters() if moves(n, algorithms)}
    norm = np.sqrt(sum((g**2).sum() for g in wanted.values()))
    wanted = {n: g * (size / norm) for n, g in wanted.items()}
    optimizer.zero_grad()
    sum(
        (p * torch.from_numpy(wanted[n]).to(p.dtype)).sum() for n, p in model.named_parameters() if n in wanted
    ).backward()
    return wanted


def moves(name, algorithms):
    return name.startswith("processor.") or any(name.startswith(f"tasks.{algorithm}.") for algorithm in algorithms)


class Adam:
    """By the book (arXiv 1412.6980), over arrays by name; only those that get a gradient move, and the step count is everybody's."""

    def __init__(self, start, learning_rate, clip):
        self.w, self.rate, self.clip, self.t = {n: w.copy() for n, w in start.items()}, learning_rate, clip, 0
        self.m, self.v = ({n: np.zeros_like(w) for n, w in start.items()} for _ in range(2))

    def step(self, gradients):
        self.t += 1
        norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
        for n, g in gradients.items():
            if self.clip and norm > self.clip:
                g = g * (self.clip / norm)
            self.m[n] = 0.9 * self.m[n] + 0.1 * g
            self.v[n] = 0.999 * self.v[n] + 0.001 * g**2
            m, v = self.m[n] / (1 - 0.9**self.t), self.v[n] / (1 - 0.999**self.t)
            self.w[n] -= self.rate * m / (np.sqrt(v) + 1e-8)
        return norm


def assert_weights(model, wanted, tolerance=1e-12):
    for name, value in weights(model).items():
        np.testing.assert_allclose(value, wanted[name], rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("clip", [1.0, 0.05, 0.0, 1e9])
def test_it_is_adam_with_a_cut_gradient_over_two_algorithms_in_turn(clip):
    model = reasoner()
    optimizer = Optimizer(model, learning_rate=0.01, max_grad_norm=clip)
    book = Adam(weights(model), 0.01, clip)
    sizes = [3.0, 0.5, 20.0, 0.9, 0.02, 1.1]  # below and above the cut: Adam alone would not notice a constant factor
    for k, size in enumerate(sizes):
        algorithm = ALGORITHMS[k % 2]
        before = weights(model)
        gradient = pull(model, optimizer, [algorithm], size, k)
        assert optimizer.step(algorithm) == pytest.approx(size) == pytest.approx(book.step(gradient))
        assert_weights(model, book.w)
        for name, value in weights(model).items():
            assert np.array_equal(value, before[name]) != moves(name, [algorithm]), name
    assert optimizer.steps == 6


def test_three_real_updates_of_each_algorithm_are_adam_s():
    model = reasoner()
    optimizer = Optimizer(model, learning_rate=1e-2, max_grad_norm=1.0)
    book = Adam(weights(model), 1e-2, 1.0)
    above = 0
    for k in range(6):
        algorithm = ALGORITHMS[k % 2]
        backward(model, optimizer, algorithm, scale=[1.0, 0.02][k // 2 % 2])
        gradient = {n: p.grad.clone().numpy() for n, p in model.named_parameters() if moves(n, [algorithm])}
        assert optimizer.step(algorithm) == pytest.approx(book.step(gradient), rel=1e-12)
        above += sum((g**2).sum() for g in gradient.values()) > 1
        assert_weights(model, book.w, 1e-11)
    assert 0 < above < 6


def test_the_gradient_it_moves_along_is_autograd_s():
    """Flat storage gives every parameter its own place, also when it is handed to one at a time."""
    model, plain = reasoner(), reasoner()
    optimizer = Optimizer(model)
    backward(model, optimizer, "bfs")
    sum(losses(BATCHES["bfs"], *plain(BATCHES["bfs"])).values()).backward()
    seen = 0
    for (name, p), q in zip(model.named_parameters(), plain.parameters()):
        wanted = torch.zeros_like(q) if q.grad is None else q.grad
        assert torch.equal(p.grad, wanted), name
        seen += float((wanted**2).sum())
    assert sum(float((g**2).sum()) for g in optimizer.gradients(["bfs"])) == pytest.approx(seen)


def test_making_it_changes_no_weight_and_the_model_computes_with_the_weights_it_moves():
    model = reasoner()
    before, shapes = weights(model), {n: p.shape for n, p in model.state_dict().items()}
    optimizer = Optimizer(model, learning_rate=0.1)
    assert_weights(model, before, 0)
    first = model(BATCHES["bfs"]).outputs["pi"].detach()
    backward(model, optimizer, "bfs")
    optimizer.step("bfs")
    assert not torch.allclose(model(BATCHES["bfs"]).outputs["pi"], first)
    assert {n: p.shape for n, p in model.state_dict().items()} == shapes


def test_parameters_that_share_a_gradient_are_cut_once():
    """The biases of all encoders of one location get the same gradient; its part in the norm, and its cut, are each one's own."""
    model = reasoner()
    optimizer = Optimizer(model, learning_rate=1e-3, max_grad_norm=0.5)
    backward(model, optimizer, "bfs", scale=50)
    encoders = {
        n: p.grad.clone() for n, p in model.named_parameters() if n.startswith("tasks.bfs.enc.") and n.endswith("bias")
    }
    at_nodes = [encoders[f"tasks.bfs.enc.maps.{name}.0.bias"] for name in ("pos", "s", "reach_h")]
    assert torch.equal(at_nodes[0], at_nodes[1]) and torch.equal(at_nodes[0], at_nodes[2]) and (at_nodes[0] != 0).any()
    gradient = {n: p.grad.clone() for n, p in model.named_parameters() if moves(n, ["bfs"])}
    norm = torch.stack([g.norm() for g in gradient.values()]).norm().item()
    assert norm > 5
    assert optimizer.step("bfs") == pytest.approx(norm)
    moments = optimizer.state_dict()
    firsts = torch.cat([value for name, value in moments.items() if name.endswith("exp_avg")])
    assert firsts.norm().item() == pytest.approx(
        0.1 * 0.5
    )  # after one step 0.1 times the cut gradient, whose norm is the cut
    whole = torch.cat([g.ravel() for g in gradient.values()]) * (0.05 / norm)
    torch.testing.assert_close(
        firsts[firsts != 0].sort().values, whole[whole != 0].sort().values, rtol=1e-10, atol=1e-15
    )


def test_a_gradient_is_not_cut_below_the_clip_nor_lifted_to_it():
    for size, kept in ((0.3, 0.3), (1.0, 1.0), (7.0, 1.0)):
        model = reasoner()
        optimizer = Optimizer(model, max_grad_norm=1.0)
        pull(model, optimizer, ["bfs"], size, 0)
        optimizer.step("bfs")
        firsts = torch.cat([value for name, value in optimizer.state_dict().items() if name.endswith("exp_avg")])
        assert firsts.norm().item() == pytest.approx(0.1 * kept, rel=1e-9)


def test_the_norm_is_of_the_processor_and_the_step_s_algorithms_alone():
    model = reasoner()
    optimizer = Optimizer(model)
    optimizer.zero_grad()
    sum(p.sum() for p in model.parameters()).backward()  # everybody gets a gradient of ones

    def size(*algorithms):
        return sum(p.numel() for n, p in model.named_parameters() if moves(n, algorithms)) ** 0.5

    before = weights(model)
    assert optimizer.step("bfs") == pytest.approx(size("bfs"))
    assert all(np.array_equal(value, before[name]) != moves(name, ["bfs"]) for name, value in weights(model).items())
    optimizer.zero_grad()
    sum(p.sum() for p in model.parameters()).backward()
    assert optimizer.step("bfs", "insertion_sort") == pytest.approx(size("bfs", "insertion_sort"))


def test_zero_grad_forgets_the_last_batch():
    model = reasoner()
    optimizer = Optimizer(model)
    backward(model, optimizer, "bfs")
    once = [g.clone() for g in optimizer.gradients(["bfs"])]
    backward(model, optimizer, "insertion_sort")
    backward(model, optimizer, "bfs")
    assert all(torch.equal(a, b) for a, b in zip(once, optimizer.gradients(["bfs"])))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e300])
@pytest.mark.parametrize("where", ["processor.out_msg.weight", "tasks.bfs.dec.maps.pi.3.bias"])
def test_a_gradient_that_is_not_finite_raises_and_moves_nothing(where, bad):
    model = reasoner()
    optimizer, twin = Optimizer(model), Optimizer(same := reasoner())
    for m, o in ((model, optimizer), (same, twin)):
        backward(m, o, "bfs")
        o.step("bfs")
    before, moments = weights(model), {n: t.clone() for n, t in optimizer.state_dict().items()}
    backward(model, optimizer, "bfs")
    dict(model.named_parameters())[where].grad.ravel()[0] = bad
    with pytest.raises(ArithmeticError, match="norm"):
        optimizer.step("bfs")
    assert_weights(model, before, 0)
    assert optimizer.steps == 1 and all(torch.equal(t, moments[n]) for n, t in optimizer.state_dict().items())
    for m, o in ((model, optimizer), (same, twin)):  # and it goes on as if nothing had been
        backward(m, o, "insertion_sort")
        o.step("insertion_sort")
    assert_weights(model, weights(same), 0)


def test_a_gradient_that_is_not_finite_elsewhere_does_not_hinder():
    model = reasoner()
    optimizer = Optimizer(model)
    backward(model, optimizer, "bfs")
    dict(model.named_parameters())["tasks.insertion_sort.dec.maps.i.0.weight"].grad.fill_(float("nan"))
    optimizer.step("bfs")
    assert all(np.isfinite(value).all() for value in weights(model).values())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_it_goes_on_from_a_saved_state_as_if_nothing_had_happened(dtype):
    def train(model, optimizer, steps):
        for k in steps:
            backward(model, optimizer, ALGORITHMS[k % 2])
            optimizer.step(ALGORITHMS[k % 2])

    model = reasoner(dtype=dtype)
    optimizer = Optimizer(model, learning_rate=1e-2)
    train(model, optimizer, range(3))
    saved = (
        {n: t.clone() for n, t in optimizer.state_dict().items()},
        {n: t.clone() for n, t in model.state_dict().items()},
        optimizer.steps,
    )
    train(model, optimizer, range(3, 7))

    other = reasoner(seed=9, dtype=dtype)
    resumed = Optimizer(other, learning_rate=1e-2)
    train(other, resumed, range(2))  # whatever it did before is forgotten
    other.load_state_dict(saved[1])
    resumed.load_state_dict(saved[0], saved[2])
    train(other, resumed, range(3, 7))
    assert_weights(other, weights(model), 0)
    assert resumed.steps == optimizer.steps == 7
    assert all(torch.equal(t, resumed.state_dict()[n]) for n, t in optimizer.state_dict().items())


def test_restored_moments_are_copies():
    model = reasoner()
    optimizer, saved = Optimizer(model), {}
    backward(model, optimizer, "bfs")
    optimizer.step("bfs")
    saved = {n: t.clone() for n, t in optimizer.state_dict().items()}
    kept = {n: t.clone() for n, t in saved.items()}
    optimizer.load_state_dict(saved, 1)
    backward(model, optimizer, "bfs")
    optimizer.step("bfs")
    assert all(torch.equal(saved[n], kept[n]) for n in kept)


def test_many_steps_lower_the_loss_of_both_algorithms():
    model = reasoner(dtype=torch.float32)
    optimizer = Optimizer(model, learning_rate=1e-2)

    def total(name):
        return sum(losses(BATCHES[name], *model(BATCHES[name])).values()).item()

    first = {name: total(name) for name in ALGORITHMS}
    for k in range(30):
        backward(model, optimizer, ALGORITHMS[k % 2])
        optimizer.step(ALGORITHMS[k % 2])
    assert all(total(name) < 0.8 * first[name] for name in ALGORITHMS)
