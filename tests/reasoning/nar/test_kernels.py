"""The fused kernels equal the plain computation in double precision: values and every gradient, at all shapes, masks, ties and modes; and they repeat bit for bit."""

import gc
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from outrange.core.compiled import JIT_OFF

if JIT_OFF:
    pytest.skip("the fused kernels are machine code", allow_module_level=True)

from outrange.reasoning.nar.kernels import cpu
from outrange.reasoning.nar.kernels.cpu import workspace

NOBODY = -1e6


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for each other on busy cores take most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# ---- the plain computation, written out from the equations


def edges(s, F):
    return torch.einsum("bijk,kc->bijc", s, F)


def message_max(recv, send, s, Fm, W1, b1, W2, b2, mask=None):
    x1 = (recv.unsqueeze(1) + send.unsqueeze(2) + edges(s, Fm)).clamp(min=0)  # [b, i, j]
    m = (x1 @ W1 + b1).clamp(min=0) @ W2 + b2
    if mask is not None:
        m = m.masked_fill((mask == 0).unsqueeze(-1), NOBODY)
    return m.max(1).values


def triplet_max(t1, t2, t3, s, F1, F2, F3):
    a, c, d = edges(s, F1), edges(s, F2), edges(s, F3)
    t = (
        t1[:, :, None, None]
        + t2[:, None, :, None]
        + t3[:, None, None, :]
        + a[:, :, :, None]
        + c[:, :, None, :]
        + d[:, None]
    )
    return t.max(1).values


def tri(y, O3, b3, A):
    return (y @ O3 + b3).clamp(min=0) @ A


def larger(edge, node):
    return torch.where(edge > node, edge, node)


def pointer_logits(u, v, s, Fa, y, O3, b3, A, w, bw):
    q = u[:, :, None] + edges(s, Fa) + (0 if y is None else tri(y, O3, b3, A))  # [b, a, r]
    return (larger(q, v[:, None, :, :]) @ w + bw).transpose(1, 2)


def edge_pointer_logits(p, q, s, Fd, y, O3, b3, D, x, w, bw):
    e = p[:, :, None] + q[:, None, :] + edges(s, Fd) + (0 if y is None else tri(y, O3, b3, D))
    return larger(e[:, :, :, None], x[:, None, None]) @ w + bw


def edge_values(y, O3, b3, d):
    return tri(y, O3, b3, d)


PLAIN = {f.__name__: f for f in (message_max, triplet_max, pointer_logits, edge_pointer_logits, edge_values)}


# ---- random inputs


def drawn(seed):
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape, scale=1.0: torch.randn(*shape, generator=generator) * scale


def arguments(name, B, N, h, k, F=8, K=3, features=True, seed=0):
    r = drawn(seed)
    s, weight = r(B, N, N, k), h**-0.5
    triplets = (r(B, N, N, F), r(F, h, scale=0.4), r(h), r(h, h, scale=weight)) if features else (None,) * 4
    return {
        "message_max": lambda: (
            r(B, N, h),
            r(B, N, h),
            s,
            r(k, h),
            r(h, h, scale=weight),
            r(h),
            r(h, h, scale=weight),
            r(h),
        ),
        "triplet_max": lambda: (r(B, N, F), r(B, N, F), r(B, N, F), s, r(k, F), r(k, F), r(k, F)),
        "pointer_logits": lambda: (r(B, N, h), r(B, N, h), s, r(k, h), *triplets, r(h), r(1)),
        "edge_pointer_logits": lambda: (r(B, N, h), r(B, N, h), s, r(k, h), *triplets, r(B, N, h), r(h), r(1)),
        "edge_values": lambda: (*triplets[:3], r(h, K)),
    }[name]()


def run(function, args, *more, g=None, needs=None):
    """The output, and the gradient of <output, g> with respect to every tensor (or those of ``needs``)."""
    leaves = [
        None if a is None else a.detach().clone().requires_grad_(needs is None or i in needs)
        for i, a in enumerate(args)
    ]
    out = function(*leaves, *more)
    out.backward(torch.ones_like(out) if g is None else g.to(out.dtype))
    return out.detach(), [None if a is None else a.grad for a in leaves]


def error(got, wanted, scale=0.0):
    """The relative error; a result that is small by cancellation is measured by ``scale``."""
    assert got.shape == wanted.shape and got.dtype == torch.float32
    return ((got.double() - wanted).norm() / max(wanted.norm().item(), scale, 1e-30)).item()


def check(draw, *more, tolerance=3e-5):
    """``draw(seed)`` gives the function's name and arguments. Values always agree; where two candidates of a maximum are equal but for rounding, the gradient
    may go to either, so that gradients have to agree in one of two draws."""
    worst = []
    for seed in (0, 1):
        name, args = draw(seed)
        doubles = [None if a is None else a.double() for a in args]
        g = drawn(seed + 10)(*PLAIN[name](*doubles, *more).shape)
        out, gradients = run(getattr(cpu, name), args, *more, g=g)
        wanted, wanted_gradients = run(PLAIN[name], doubles, *more, g=g)
        assert error(out, wanted) < tolerance
        errors = [
            0.0 if w is None else error(d, w, 0.05 * g.norm().item()) for d, w in zip(gradients, wanted_gradients)
        ]
        worst.append(max(errors))
        if worst[-1] < tolerance:
            return
    raise AssertionError(f"{name}: gradients differ by {worst}")


SIZES = [
    # B, N, h, k
    (1, 1, 8, 1),
    (3, 1, 128, 0),
    (3, 4, 8, 0),
    (1, 4, 20, 5),
    (3, 7, 32, 1),
    (1, 7, 128, 5),
    (3, 11, 20, 1),
    (1, 11, 32, 15),
    (3, 16, 128, 2),
    (1, 16, 8, 5),
    (1, 20, 128, 0),
    (3, 20, 20, 1),
    (1, 67, 32, 2),
    (2, 3, 200, 17),
]


@pytest.mark.parametrize("features", [True, False], ids=["triplets", "no-triplets"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ["pointer_logits", "edge_pointer_logits"])
def test_pointers_equal_the_plain_computation(name, size, features):
    check(lambda seed: (name, arguments(name, *size, features=features, seed=seed)))


@pytest.mark.parametrize("masked", [None, "uint8", "float32", "bool"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_messages_equal_the_plain_computation(size, masked):
    B, N, *_ = size

    def draw(seed):
        return "message_max", arguments("message_max", *size, seed=seed)

    if masked is None:
        return check(draw)
    mask = drawn(7)(B, N, N) > 0.3
    mask[:, :, 0] = False  # nobody sends to node 0
    check(draw, mask.to(getattr(torch, masked)))


@pytest.mark.parametrize("F", [8, 3, 16])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_triplets_equal_the_plain_computation(size, F):
    B, N, h, k = size
    check(lambda seed: ("triplet_max", arguments("triplet_max", B, min(N, 20), h, k, F=F, seed=seed)))


@pytest.mark.parametrize("K", [1, 3, 40])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_edge_values_equal_the_plain_computation(size, K):
    check(lambda seed: ("edge_values", arguments("edge_values", *size, F=5 if K == 3 else 8, K=K, seed=seed)))


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_the_same_inputs_give_the_same_bits(name):
    args = arguments(name, 3, 11, 32, 2)
    first = run(getattr(cpu, name), args)
    for _ in range(3):
        workspace.array(1 << 20)[:] = 255  # other remains in reused memory
        again = run(getattr(cpu, name), args)
        assert torch.equal(first[0], again[0])
        assert all(a is None and b is None or torch.equal(a, b) for a, b in zip(first[1], again[1]))


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_without_gradients_the_values_are_the_same_and_nothing_is_kept(name):
    args = arguments(name, 3, 7, 32, 2)
    function = getattr(cpu, name)
    wanted, _ = run(function, args)
    with torch.no_grad():
        out = function(*(None if a is None else a.clone().requires_grad_() for a in args))
    assert torch.equal(out, wanted) and out.grad_fn is None
    assert torch.equal(function(*args), wanted) and function(*args).grad_fn is None


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_only_gradients_asked_for_are_made_and_they_are_those_of_all(name):
    args = arguments(name, 2, 5, 32, 2)
    function = getattr(cpu, name)
    _, every = run(function, args)
    for i, a in enumerate(args):
        if a is not None:
            _, one = run(function, args, needs=[i])
            assert torch.equal(one[i], every[i]), i
            assert all(d is None for j, d in enumerate(one) if j != i)


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_inputs_and_gradients_need_not_be_contiguous(name):
    args = arguments(name, 2, 5, 32, 2)
    g = drawn(3)(*getattr(cpu, name)(*args).shape)
    wanted, gradients = run(getattr(cpu, name), args, g=g)
    strided = [None if a is None else torch.stack([a, a], -1)[..., 0].requires_grad_() for a in args]
    assert not strided[-1].is_contiguous() or strided[-1].numel() == 1
    out = getattr(cpu, name)(*strided)
    out.backward(torch.stack([g, g], -1)[..., 0])
    assert torch.equal(out, wanted)
    assert all(a is None or torch.allclose(a.grad, d, rtol=1e-5, atol=1e-5) for a, d in zip(strided, gradients))
    # an expanded gradient, as a sum makes it
    leaves = [None if a is None else a.clone().requires_grad_() for a in args]
    getattr(cpu, name)(*leaves).sum().backward()
    assert all(
        a is None or torch.allclose(a.grad, d, rtol=1e-5, atol=1e-5)
        for a, d in zip(leaves, run(getattr(cpu, name), args)[1])
    )


def test_tied_messages_give_their_gradient_to_the_first_sender():
    recv, send, s, Fm, W1, b1, W2, b2 = arguments("message_max", 2, 6, 32, 2)
    send, s = torch.zeros_like(send), torch.zeros_like(s)  # all senders alike
    _, gradients = run(cpu.message_max, (recv, send, s, Fm, W1, b1, W2, b2))
    assert gradients[1][:, 0].abs().sum() > 0
    assert gradients[1][:, 1:].abs().max() == 0
    assert torch.allclose(gradients[7], torch.full((32,), 12.0))
    # with a mask, to the first that may send
    mask = torch.ones(2, 6, 6)
    mask[:, :2] = 0
    _, gradients = run(cpu.message_max, (recv, send, s, Fm, W1, b1, W2, b2), mask)
    assert gradients[1][:, 2].abs().sum() > 0
    assert gradients[1][:, [0, 1, 3, 4, 5]].abs().max() == 0


def test_tied_triplets_give_their_gradient_to_the_first_node():
    t1, t2, t3, s, *F123 = arguments("triplet_max", 2, 6, 8, 2)
    _, gradients = run(cpu.triplet_max, (torch.zeros_like(t1), t2, t3, torch.zeros_like(s), *F123))
    assert torch.equal(gradients[0][:, 0], torch.full((2, 8), 36.0))
    assert gradients[0][:, 1:].abs().max() == 0


@pytest.mark.parametrize("name", ["pointer_logits", "edge_pointer_logits"])
def test_a_tie_between_edge_and_node_goes_to_the_node(name):
    args = [None if a is None else torch.zeros_like(a) for a in arguments(name, 1, 4, 16, 1)]
    args[-2] = torch.ones(16)  # w
    _, gradients = run(getattr(cpu, name), args)
    edge, node = gradients[0], gradients[1 if name == "pointer_logits" else 8]
    assert edge.abs().max() == 0
    assert torch.equal(node, torch.full((1, 4, 16), 4.0 if name == "pointer_logits" else 16.0))


def test_a_relu_at_exactly_zero_passes_nothing():
    recv, send, s, Fm, W1, b1, W2, b2 = (torch.zeros_like(a) for a in arguments("message_max", 1, 4, 16, 1))
    _, gradients = run(cpu.message_max, (recv, send, s, Fm, W1 + 1, b1, W2 + 1, b2))
    assert gradients[5].abs().max() == 0  # x2 = relu(0)
    _, gradients = run(cpu.message_max, (recv, send, s, Fm, W1 + 1, b1 + 1, W2 + 1, b2))
    assert gradients[5].abs().max() > 0 and gradients[0].abs().max() == 0  # x1 = relu(0)
    y, O3, b3, d = (torch.zeros_like(a) for a in arguments("edge_values", 1, 4, 16, 0))
    _, gradients = run(cpu.edge_values, (y, O3 + 1, b3, d + 1))
    assert gradients[0].abs().max() == 0 and gradients[2].abs().max() == 0


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_what_is_not_a_number_stays_visible(name):
    for i, a in enumerate(arguments(name, 2, 5, 32, 2)):
        if a is None:
            continue
        args = list(arguments(name, 2, 5, 32, 2))
        args[i] = args[i].clone()
        args[i].view(-1)[-1] = torch.nan
        if PLAIN[name](*args).isnan().any():
            assert getattr(cpu, name)(*args).isnan().any(), i


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_two_threads_get_what_one_gets(name):
    args = [arguments(name, 2, 9, 32, 2, seed=seed) for seed in range(4)]
    wanted = [run(getattr(cpu, name), a) for a in args]
    got = [[] for _ in args]

    def work(i):
        for _ in range(5):
            got[i].append(run(getattr(cpu, name), args[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(args))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for (out, gradients), results in zip(wanted, got):
        assert len(results) == 5
        for again, others in results:
            assert torch.equal(out, again)
            assert all(a is None or torch.equal(a, b) for a, b in zip(gradients, others))


def test_a_graph_may_be_walked_twice():
    args = [a.requires_grad_() for a in arguments("message_max", 2, 5, 32, 2)]
    out = cpu.message_max(*args)
    first = torch.autograd.grad(out.sum(), args, retain_graph=True)
    [cpu.message_max(*args) for _ in range(3)]  # would use its memory, were it given back too early
    second = torch.autograd.grad(out.sum(), args)
    assert all(torch.equal(a, b) for a, b in zip(first, second))


def test_saved_activations_are_used_again_after_backward_and_without_one():
    args = [a.requires_grad_() for a in arguments("message_max", 4, 16, 64, 2)]
    size = 4 * 4 * 16 * 16 * 64
    workspace.clear()
    gc.collect()
    for backward in (True, False, True, False):
        out = cpu.message_max(*args)
        if backward:
            out.sum().backward()
        del out
    blocks = [block for block in workspace.free() if block.nbytes >= size]
    assert len(blocks) == 1


def test_free_memory_is_bounded(monkeypatch):
    workspace.clear()
    monkeypatch.setattr(workspace, "LIMIT", 10 << 20)
    held = [workspace.array(1 << 20) for _ in range(30)]
    addresses = {a.ctypes.data for a in held}
    assert len(addresses) == 30 and all(a % 64 == 0 for a in addresses)
    held.clear()
    gc.collect()
    assert 5 << 20 < sum(block.nbytes for block in workspace.free()) <= 10 << 20
    workspace.clear()
    assert not list(workspace.free())


def test_a_name_on_disk_changes_with_any_source_of_the_package(tmp_path, monkeypatch):
    from outrange.core import compiled
    from outrange.reasoning.nar.kernels.cpu import compiling, triplet

    folder = Path(compiling.__file__).parent
    for file in folder.glob("*.py"):
        shutil.copy2(file, tmp_path)
    before = compiled.fingerprint(triplet._backward, tmp_path)
    (tmp_path / "vectors.py").write_text("other")
    assert compiled.fingerprint(triplet._backward, tmp_path) != before
    seen = []
    monkeypatch.setattr(compiled, "fingerprint", lambda function, sources: seen.append(sources))
    compiling.kernel(triplet._backward.py_func)
    assert seen == [folder]


def test_without_a_compiler_the_kernels_say_so():
    code = "import outrange.reasoning.nar.kernels.cpu"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "NUMBA_DISABLE_JIT" in done.stderr.splitlines()[-1]


def test_packed_products_equal_numpy_at_every_number_of_rows_and_depth():
    import numba

    from outrange.reasoning.nar.kernels.cpu.gemm import (
        LOWEST,
        PANEL,
        ROWS,
        address,
        affine,
        outer,
        pack,
        pack_transposed,
    )

    @numba.njit(error_model="numpy")
    def both(A, W, packed, packed_t, I, C, D):  # noqa: E741
        pack(W, packed)
        pack_transposed(W.T.copy(), packed_t)
        affine(
            A.shape[0],
            packed.shape[0],
            A.shape[1],
            address(A),
            A.shape[1],
            address(packed),
            address(I),
            0,
            0,
            0,
            address(C),
            C.shape[1],
            LOWEST,
        )
        outer(A.shape[1], packed.shape[0], A.shape[0], address(A), A.shape[1], address(C), C.shape[1], address(D))

    rng = np.random.default_rng(0)
    for m in (*range(1, 2 * ROWS + 2), 48):
        for depth in (0, 1, 2, 7, 33):
            A, W, start = (
                rng.standard_normal(shape).astype(np.float32)
                for shape in ((m, depth), (depth, 2 * PANEL - 5), (2 * PANEL,))
            )
            packed, packed_t = (
                np.full((2, depth, PANEL), np.nan, np.float32),
                np.full((2, depth, PANEL), np.nan, np.float32),
            )
            C, D = np.full((m, 2 * PANEL + 3), 7, np.float32), np.ones((2, depth, PANEL), np.float32)
            both(A, W, packed, packed_t, start, C, D)
            wanted = np.concatenate([A.astype(float) @ W, np.zeros((m, 5))], 1) + start
            np.testing.assert_allclose(C[:, : 2 * PANEL], wanted, atol=1e-5)
            assert (C[:, 2 * PANEL :] == 7).all() and np.array_equal(packed, packed_t)
            np.testing.assert_allclose(
                D.transpose(1, 0, 2).reshape(depth, 2 * PANEL), 1 + A.T.astype(float) @ C[:, : 2 * PANEL], atol=1e-4
            )
