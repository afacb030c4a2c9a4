"""Encoders, processors and decoders against the paper's formulas written out: one sample, one node, one edge, one triplet at a time, in NumPy, nothing folded.

The toy spec has every location and type as an input, as a hint and as an output; parameters are random, so that no bias or scale is 0 or 1 by accident.
"""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from outrange.core.errors import BadInput
from outrange.reasoning.nar import processor as processor_module
from outrange.reasoning.nar.config import ModelConfig
from outrange.reasoning.nar.decode import Decoded, Decoder, gumbel, hard, log_sinkhorn, soft
from outrange.reasoning.nar.encode import Code, adjacency, rows, slot
from outrange.reasoning.nar.kernels import torch_ops
from outrange.reasoning.nar.loss import losses
from outrange.reasoning.nar.processor import Codes, EdgeFeatures, State, processor, processors, register_processor
from outrange.reasoning.nar.reasoner import Reasoner
from outrange.reasoning.nar.samples import Samples
from outrange.reasoning.nar.spec import TaskProbe

# name: (triplets, gate, masked by adjacency)
FAMILY = {
    "triplet_gmpnn": (True, True, False),
    "triplet_mpnn": (True, False, False),
    "triplet_gpgn": (True, True, True),
    "triplet_pgn": (True, False, True),
    "gmpnn": (False, True, False),
    "mpnn": (False, False, False),
    "gpgn": (False, True, True),
    "pgn": (False, False, True),
}

KINDS = {
    "x": ("node", "scalar"),
    "flag": ("node", "mask"),
    "start": ("node", "mask_one"),
    "kind": ("node", "categorical", 3),
    "chain": ("node", "pointer"),
    "A": ("edge", "scalar"),
    "adj": ("edge", "mask"),
    "best": ("edge", "mask_one"),
    "sort": ("edge", "categorical", 2),
    "via": ("edge", "pointer"),
    "level": ("graph", "scalar"),
    "on": ("graph", "mask"),
    "phase": ("graph", "categorical", 4),
}


def toy_spec(without_hints=()):
    spec = {name: TaskProbe("input", *kind) for name, kind in KINDS.items()}
    spec |= {f"{name}_h": TaskProbe("hint", *kind) for name, kind in KINDS.items() if name not in without_hints}
    spec |= {f"{name}_o": TaskProbe("output", *kind) for name, kind in KINDS.items()}
    return spec | {
        "order": TaskProbe("output", "node", "permutation_pointer"),
        "order_mask": TaskProbe("output", "node", "mask_one"),
    }


TOY = toy_spec()
SPARSE = toy_spec(
    without_hints=("adj", "chain")
)  # a predicted edge mask is above 0 everywhere, so links of a PGN would all be on after the first step
OUTPUTS = [n for n, p in TOY.items() if p.stage == "output"]


def toy_samples(spec, size, lengths, seed=0):
    rng = np.random.default_rng(seed)

    def drawn(probe, lead):
        shape = lead + {"node": (size,), "edge": (size, size), "graph": ()}[probe.location]
        if probe.type == "scalar":
            return rng.normal(size=shape).astype(np.float32)
        if probe.type == "mask":
            # few edges, in one direction; some cells hidden, but among inputs, where links depend on the sign
            odds = (0.0 if probe.stage == "input" else 0.1, 0.75, 0.25)
            return rng.choice([-1, 0, 1], size=shape, p=np.array(odds) / sum(odds)).astype(np.float32)
        if probe.type == "pointer":
            return rng.integers(0, size, shape)
        if probe.type == "permutation_pointer":
            return np.stack([np.eye(size, dtype=np.float32)[np.roll(np.arange(size), k + 1)] for k in range(lead[0])])
        classes = probe.classes or size
        shape = shape[:-1] if probe.type == "mask_one" else shape  # over the last axis of nodes
        one_hot = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, shape)]
        if probe.type == "categorical" and probe.stage != "input":
            one_hot[rng.random(shape) < 0.15] = -1
        return one_hot

    lengths = np.asarray(lengths, np.int64)
    B, T = len(lengths), int(lengths.max())
    arrays = {
        stage: {n: drawn(p, (T, B) if stage == "hint" else (B,)) for n, p in spec.items() if p.stage == stage}
        for stage in ("input", "hint", "output")
    }
    for array in arrays["hint"].values():
        array[np.arange(T)[:, None] >= lengths] = 0
    return Samples.whole_batch("toy", size, spec, arrays["input"], arrays["hint"], arrays["output"], lengths)


def randomise(module, seed=0):
    """Every parameter, biases and norms too, away from where it starts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype))
    return module


def toy_model(spec=TOY, hidden=8, seed=0, **config):
    model = Reasoner(
        {"toy": spec}, ModelConfig(hidden_dim=hidden, triplet_features=3, **config), seed=seed, kernels="torch"
    ).double()
    return randomise(model, seed)


# ── the formulas, written out ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Naive:
    """One toy sample at a time, from the parameters' names and the fact sheet's sections 4.2 to 4.6."""

    def __init__(self, parameters, kind, hidden, algorithm="toy"):
        self.parameters = {name: value.detach().numpy() for name, value in parameters.items()}
        self.kind, self.h, self.algorithm = kind, hidden, algorithm

    def linear(self, name, x):
        return x @ self.parameters[f"{name}.weight"].T + self.parameters[f"{name}.bias"]

    def proc(self, name, x):
        return self.linear(f"processor.{name}", x)

    def encoders(self, name):
        return lambda k, x: self.linear(f"tasks.{self.algorithm}.enc.maps.{slot(name)}.{k}", x)

    def encode(self, spec, values, N):
        """Node (N, h), edge (N, N, h) and graph (h,) features, and links (N, N)."""
        node, edge, graph, links = np.zeros((N, self.h)), np.zeros((N, N, self.h)), np.zeros(self.h), np.eye(N)
        for name, value in values.items():
            probe, E = spec[name], self.encoders(name)
            x = value if probe.type == "categorical" else value[..., None]
            if probe.location == "node" and probe.type == "pointer":
                for i, j in product(range(N), repeat=2):
                    edge[i, j] += E(0, x[i, j])
                links += (value + value.T) > 0.5
            elif probe.location == "edge" and probe.type == "pointer":
                for j, k in product(range(N), repeat=2):
                    edge[j, k] += np.mean([E(0, x[i, j, k]) for i in range(N)], 0)
                for i, k in product(range(N), repeat=2):
                    edge[i, k] += np.mean([E(1, x[i, j, k]) for j in range(N)], 0)
            elif probe.location == "node":
                for i in range(N):
                    node[i] += E(0, x[i])
            elif probe.location == "edge":
                for i, j in product(range(N), repeat=2):
                    edge[i, j] += E(0, x[i, j])
                if probe.type == "mask":
                    links += (value + value.T) > 0
            else:
                graph += E(0, x)
        return node, edge, graph, links > 0

    def step(self, node, edge, graph, hidden, links):
        """The next hidden state (N, h), and triplet features (N, N, h) or None."""
        triplets, gated, masked = FAMILY[self.kind]
        N = len(node)
        z = np.concatenate([node, hidden], -1)
        after = np.zeros((N, self.h))
        for j in range(N):
            messages = []
            for i in range(N):
                m = (
                    self.proc("msg_recv", z[j])
                    + self.proc("msg_send", z[i])
                    + self.proc("msg_edge", edge[i, j])
                    + self.proc("msg_graph", graph)
                )
                m = self.proc("msg_mlp_1", relu(self.proc("msg_mlp_0", relu(m))))
                messages.append(np.full(self.h, -1e6) if masked and not links[i, j] else m)
            agg = np.max(messages, 0)
            u = relu(self.proc("out_node", z[j]) + self.proc("out_msg", agg))
            u = (u - u.mean()) / np.sqrt(u.var() + 1e-5) * self.parameters["processor.norm.weight"] + self.parameters[
                "processor.norm.bias"
            ]
            if gated:
                gate = sigmoid(self.proc("gate_out", relu(self.proc("gate_node", z[j]) + self.proc("gate_msg", agg))))
                u = gate * u + (1 - gate) * hidden[j]
            after[j] = u
        if not triplets:
            return after, None
        tri = np.zeros((N, N, self.h))
        for j, k in product(range(N), repeat=2):
            t = [
                self.proc("tri_node_i", z[i])
                + self.proc("tri_node_j", z[j])
                + self.proc("tri_node_k", z[k])
                + self.proc("tri_edge_ij", edge[i, j])
                + self.proc("tri_edge_ik", edge[i, k])
                + self.proc("tri_edge_jk", edge[j, k])
                + self.proc("tri_graph", graph)
                for i in range(N)
            ]
            tri[j, k] = relu(self.proc("tri_out", np.max(t, 0)))
        return after, tri

    def decode(self, name, probe, node, hidden, after, edge, tri, graph):
        """The raw prediction; that of a permutation before Sinkhorn."""

        def D(k, x):
            return self.linear(f"tasks.{self.algorithm}.dec.maps.{slot(name)}.{k}", x)

        H = np.concatenate([node, hidden, after], -1)
        E = edge if tri is None else np.concatenate([edge, tri], -1)
        N, K = len(node), probe.classes if probe.type == "categorical" else 1
        if probe.location == "graph":
            raw = D(0, H.max(0)) + D(1, graph)
        elif probe.location == "node" and "pointer" in probe.type:
            raw = np.zeros((N, N, 1))
            for i, j in product(range(N), repeat=2):
                raw[i, j] = D(3, np.maximum(D(0, H[i]), D(1, H[j]) + D(2, E[j, i])))
        elif probe.location == "node":
            raw = np.zeros((N, K))
            for i in range(N):
                raw[i] = D(0, H[i])
        elif probe.type == "pointer":
            raw = np.zeros((N, N, N, 1))
            for i, j, k in product(range(N), repeat=3):
                raw[i, j, k] = D(4, np.maximum(D(0, H[i]) + D(1, H[j]) + D(2, E[i, j]), D(3, H[k])))
        else:
            raw = np.zeros((N, N, K))
            for i, j in product(range(N), repeat=2):
                raw[i, j] = D(0, H[i]) + D(1, H[j]) + D(2, E[i, j])
        return raw if probe.type == "categorical" else raw[..., 0]

    def rollout(self, samples, b, *, harden=False, forced=None, encode_hints=True):
        """Outputs, and the hints predicted at each step, of sample b."""
        spec, N, length = samples.spec, samples.size, int(samples.lengths[b])

        def as_rows(name, value):
            return np.eye(N)[value] if spec[name].type == "pointer" else value.astype(np.float64)

        inputs = {n: as_rows(n, a[b]) for n, a in samples.inputs.items()}
        fed = {n: as_rows(n, a[0, b]) for n, a in samples.hints.items()}
        hidden, told = np.zeros((N, self.h)), []
        for t in range(max(1, length - 1)):
            node, edge, graph, links = self.encode(spec, inputs | (fed if encode_hints else {}), N)
            after, tri = self.step(node, edge, graph, hidden, links)
            seen = node, hidden, after, edge, tri, graph
            raw = {n: self.decode(n, p, *seen) for n, p in spec.items() if p.stage == "hint"}
            told.append(raw)
            outputs = {n: self.decode(n, p, *seen) for n, p in spec.items() if p.stage == "output"}
            fed = {n: decided(spec[n], v) if harden else softened(spec[n], v) for n, v in raw.items()}
            if forced is not None and t + 1 < length and forced[t + 1, b]:
                fed = {n: as_rows(n, a[t + 1, b]) for n, a in samples.hints.items()}
            hidden = after
        return {n: naive_sinkhorn(v) if spec[n].type == "permutation_pointer" else v for n, v in outputs.items()}, told[
            : length - 1
        ]


def relu(x):
    return np.maximum(x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softened(probe, raw):
    return {"scalar": lambda x: x, "mask": sigmoid}.get(probe.type, softmax)(raw)


def decided(probe, raw):
    if probe.type == "scalar":
        return raw
    return (raw > 0) * 1.0 if probe.type == "mask" else np.eye(raw.shape[-1])[raw.argmax(-1)]


def naive_sinkhorn(logits, iterations=10):
    """In logarithms, row sums and column sums one at a time; -1e6 on the diagonal."""
    x = logits / 0.1 - 1e6 * np.eye(len(logits))
    for _ in range(iterations):
        for row in x:
            row -= row.max() + np.log(np.exp(row - row.max()).sum())
        for column in x.T:
            column -= column.max() + np.log(np.exp(column - column.max()).sum())
    return x


def live_pairs(lengths):
    """Step by step, samples by falling length."""
    order = sorted(range(len(lengths)), key=lambda b: -lengths[b])
    return [(t, b) for t in range(max(lengths)) for b in order if t + 1 < lengths[b]]


def assert_equals_naive(model, samples, naive, **kwargs):
    predicted = model(samples, **({"forced": torch.from_numpy(kwargs["forced"])} if "forced" in kwargs else {}))
    alone = [naive.rollout(samples, b, **kwargs) for b in range(len(samples))]
    for name, value in predicted.outputs.items():
        wanted = np.stack([outputs[name] for outputs, _ in alone])
        np.testing.assert_allclose(value.detach(), wanted, rtol=1e-9, atol=1e-9, err_msg=name)
    pairs = live_pairs(samples.lengths.tolist())
    for name, value in predicted.hints.items():
        assert len(value) == len(pairs)
        for found, (t, b) in zip(value.detach(), pairs):
            np.testing.assert_allclose(
                found, alone[b][1][t][name], rtol=1e-9, atol=1e-9, err_msg=f"{name} step {t} sample {b}"
            )
    return predicted


def naive_of(model, kind):
    return Naive(model.state_dict(), kind, model.config.hidden_dim)


# ── processors ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_eight_processors_are_known():
    assert set(processors()) >= set(FAMILY)


def codes_and_state(rng, N, h, B=2, k=(2, 3, 1)):
    def draw(*shape):
        return torch.from_numpy(rng.normal(size=shape))

    codes = Codes(*(Code(draw(n, h), draw(h)) for n in k))
    hidden = draw(B, N, h)
    links = torch.from_numpy(rng.random((B, N, N)) < 0.4)
    links = links | links.mT | torch.eye(N, dtype=torch.bool)
    return codes, State(torch.cat((draw(B, N, k[0]), hidden), -1), draw(B, N, N, k[1]), draw(B, k[2]), hidden, links)


@pytest.mark.parametrize("kind", FAMILY)
def test_one_step_of_a_processor_is_its_equations(kind):
    rng = np.random.default_rng(1)
    own = randomise(processor(kind, 8, 3).double())
    codes, state = codes_and_state(rng, N=5, h=8)
    after, edges = own(codes, torch_ops)(state)
    naive = Naive({f"processor.{n}": p for n, p in own.state_dict().items()}, kind, 8)
    for b in range(2):
        features = [
            scalars @ code.weight.numpy() + code.bias.numpy()
            for scalars, code in zip((state.z[b, :, :2].numpy(), state.s[b].numpy(), state.g[b].numpy()), codes)
        ]
        wanted, tri = naive.step(*features, state.hidden[b].numpy(), state.adjacency[b].numpy())
        np.testing.assert_allclose(after[b].detach(), wanted, rtol=1e-10, atol=1e-10)
        if tri is None:
            assert edges is None
        else:
            found = torch.relu(edges.y[b] @ edges.weight + edges.bias)
            np.testing.assert_allclose(found.detach(), tri, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("spec", [TOY, SPARSE], ids=["every_hint", "links_that_stay_sparse"])
@pytest.mark.parametrize("kind", FAMILY)
def test_a_rollout_of_every_type_feeds_its_soft_predictions_back_and_is_the_equations(kind, spec):
    model = toy_model(spec, processor=kind)
    samples = toy_samples(spec, 4, [4, 1, 3])
    assert_equals_naive(model, samples, naive_of(model, kind))


@pytest.mark.parametrize("kind", ["triplet_gmpnn", "pgn"])
def test_a_rollout_with_hard_hints_is_the_equations(kind):
    model = toy_model(SPARSE, processor=kind, hint_feedback="hard")
    assert_equals_naive(model, toy_samples(SPARSE, 4, [4, 2]), naive_of(model, kind), harden=True)


@pytest.mark.parametrize("kind", ["triplet_gmpnn", "triplet_pgn"])
def test_true_hints_are_fed_where_and_when_they_are_forced_and_nowhere_else(kind):
    model = toy_model(SPARSE, processor=kind)
    samples = toy_samples(SPARSE, 4, [3, 4, 4, 1, 4])
    forced = np.zeros((4, 5), bool)
    forced[2, 1] = forced[1, 2] = forced[1:, 4] = True  # late, early, always; the first and the fourth never
    assert_equals_naive(model, samples, naive_of(model, kind), forced=forced)
    assert_equals_naive(model, samples, naive_of(model, kind), forced=np.ones((4, 5), bool))


def test_hints_that_are_only_decoded_are_not_encoded_and_make_no_links():
    model = toy_model(TOY, processor="triplet_pgn", hint_mode="decoded_only")
    assert_equals_naive(model, toy_samples(TOY, 4, [4, 2]), naive_of(model, "triplet_pgn"), encode_hints=False)


def test_links_are_self_pointers_above_a_half_and_edge_masks_above_zero_both_ways():
    spec = {
        "to": TaskProbe("hint", "node", "pointer"),
        "adj": TaskProbe("input", "edge", "mask"),
        "A": TaskProbe("input", "edge", "scalar"),
    }
    to = torch.tensor(
        [[[0.0, 0.3, 0.7, 0.0], [0.3, 0.7, 0, 0], [0, 0, 1, 0], [0.5, 0.5, 0, 0]]]
    )  # 0-1: 0.6; 0-2; 1-3 and 0-3 exactly a half: not linked
    adj = torch.zeros(1, 4, 4)
    adj[0, 3, 2] = 1
    wanted = torch.eye(4, dtype=torch.bool)
    for i, j in ((0, 1), (0, 2), (2, 3)):
        wanted[i, j] = wanted[j, i] = True
    assert torch.equal(adjacency(spec, {"to": to, "adj": adj, "A": torch.ones(1, 4, 4)}, 4)[0], wanted)
    assert torch.equal(adjacency(spec, {"A": torch.ones(1, 4, 4)}, 4)[0], torch.eye(4, dtype=torch.bool))


@pytest.mark.parametrize("kind", [k for k, (_, _, masked) in FAMILY.items() if masked])
def test_in_a_pgn_nothing_of_a_non_neighbour_reaches_a_node(kind):
    own = randomise(processor(kind, 16).double())
    codes, state = codes_and_state(np.random.default_rng(0), N=5, h=16)
    links = torch.eye(5, dtype=torch.bool).repeat(2, 1, 1)
    for i, j in ((0, 1), (1, 2), (2, 3)):  # a path; 4 stands alone
        links[:, i, j] = links[:, j, i] = True
    z, s = state.z.requires_grad_(), state.s.requires_grad_()
    after, _ = own(codes, torch_ops)(State(z, s, state.g, state.hidden, links))
    for j in range(5):
        to_nodes, to_edges = torch.autograd.grad(after[:, j].square().sum(), (z, s), retain_graph=True)
        for i in range(5):
            reached = bool(links[0, i, j])
            assert bool((to_nodes[:, i] != 0).any()) == reached and bool((to_edges[:, i, j] != 0).any()) == reached, (
                i,
                j,
            )
            assert reached or (to_nodes[:, i] == 0).all()
    changed = z.detach().clone()
    changed[:, 4] += 7
    after_change, _ = own(codes, torch_ops)(State(changed, s, state.g, state.hidden, links))
    assert torch.equal(after_change[:, :4], after[:, :4]) and not torch.equal(after_change[:, 4], after[:, 4])


@pytest.mark.parametrize("kind", [k for k, (_, _, masked) in FAMILY.items() if not masked])
def test_without_a_mask_links_do_not_matter(kind):
    own = randomise(processor(kind, 8, 3).double())
    codes, state = codes_and_state(np.random.default_rng(0), N=5, h=8)
    step = own(codes, torch_ops)
    alone = state._replace(adjacency=torch.eye(5, dtype=torch.bool).expand(2, 5, 5))
    assert torch.equal(step(state)[0], step(alone)[0]) and torch.equal(
        step(state)[0], step(state._replace(adjacency=None))[0]
    )


@pytest.mark.parametrize("kind", FAMILY)
def test_gradients_of_the_loss_are_its_slopes(kind):
    """Along random directions through all parameters, by so little that no maximum changes hands: nothing on the way is detached, or counted twice."""
    model = toy_model(SPARSE, processor=kind)
    samples = toy_samples(SPARSE, 4, [4, 1, 3])
    noise = torch.from_numpy(np.random.default_rng(2).gumbel(size=(3, 4, 4)))

    def total():
        return sum(losses(samples, *model(samples, noise=noise)).values())

    total().backward()
    parameters = list(model.parameters())
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        way = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
        slope = sum((p.grad * w).sum() for p, w in zip(parameters, way) if p.grad is not None).item()
        ends = []
        for e in (1e-7, -2e-7):
            with torch.no_grad():
                for p, w in zip(parameters, way):
                    p.add_(w, alpha=e)
                ends.append(total().item())
        with torch.no_grad():
            for p, w in zip(parameters, way):
                p.add_(w, alpha=1e-7)
        assert abs((ends[0] - ends[1]) / 2e-7 - slope) <= 1e-5 * (1 + abs(slope))


# ── decoders ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("edge_kind", ["triplets", "none", "of_ones_own"])
@pytest.mark.parametrize("name", OUTPUTS)
def test_a_decoder_is_its_formula(name, edge_kind):
    probe, N, h, B = TOY[name], 4, 8, 2
    width = {"triplets": h, "none": 0, "of_ones_own": 5}[edge_kind]
    rng = np.random.default_rng(3)
    own = randomise(Decoder(probe, h, width).double())
    codes, state = codes_and_state(rng, N, h, B)

    def draw(*shape):
        return torch.from_numpy(rng.normal(size=shape))

    after = draw(B, N, h)
    edges = {
        "none": None,
        "triplets": EdgeFeatures(draw(B, N, N, 3), draw(3, h), draw(h)),
        "of_ones_own": EdgeFeatures(draw(B, N, N, 5), None, None),
    }[edge_kind]
    raw = own(codes, torch_ops)(Decoded(torch.cat((state.z, after), -1), state.s, state.g, edges)).detach()
    naive = Naive({f"tasks.toy.dec.maps.{slot(name)}.{n}": p for n, p in own.state_dict().items()}, "triplet_gmpnn", h)
    for b in range(B):
        node, edge, graph = (
            x @ code.weight.numpy() + code.bias.numpy()
            for x, code in zip((state.z[b, :, :2].numpy(), state.s[b].numpy(), state.g[b].numpy()), codes)
        )
        tri = (
            None
            if edges is None
            else edges.y[b].numpy()
            if edges.weight is None
            else relu((edges.y[b] @ edges.weight + edges.bias).numpy())
        )
        wanted = naive.decode(name, probe, node, state.hidden[b].numpy(), after[b].numpy(), edge, tri, graph)
        np.testing.assert_allclose(raw[b], wanted, rtol=1e-10, atol=1e-10)


def test_predictions_have_the_shapes_of_their_locations_and_types():
    samples = toy_samples(TOY, 5, [3, 2])
    outputs, hints = toy_model()(samples)
    wanted = {
        "x": (5,),
        "flag": (5,),
        "start": (5,),
        "kind": (5, 3),
        "chain": (5, 5),
        "A": (5, 5),
        "adj": (5, 5),
        "best": (5, 5),
        "sort": (5, 5, 2),
    }
    wanted |= {"via": (5, 5, 5), "level": (), "on": (), "phase": (4,)}
    assert {n: tuple(v.shape) for n, v in outputs.items()} == {f"{n}_o": (2, *s) for n, s in wanted.items()} | {
        "order": (2, 5, 5),
        "order_mask": (2, 5),
    }
    assert {n: tuple(v.shape) for n, v in hints.items()} == {f"{n}_h": (3, *s) for n, s in wanted.items()}


def test_sinkhorn_divides_rows_then_columns_at_a_tenth_and_leaves_the_diagonal_empty():
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 5, 5)) * 0.1)
    one = torch.exp(logits / 0.1) * (1 - torch.eye(5))
    for iterations in (1, 2, 10):
        table = one.clone()
        for _ in range(iterations):
            table = table / table.sum(-1, keepdim=True)
            table = table / table.sum(-2, keepdim=True)
        found = log_sinkhorn(logits, iterations)
        torch.testing.assert_close(found.exp(), table, rtol=1e-12, atol=1e-14)
        assert (found.diagonal(dim1=-2, dim2=-1) < -9e5).all()


def test_a_permutation_has_rows_and_columns_that_sum_to_one():
    logits = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 6, 6)) * 0.1)
    table = log_sinkhorn(logits, 200).exp()
    for axis in (-1, -2):
        torch.testing.assert_close(table.sum(axis), torch.ones(2, 6).double(), rtol=0, atol=1e-9)
    samples = toy_samples(TOY, 4, [3, 2])
    predicted = toy_model()(samples).outputs["order"].exp()
    torch.testing.assert_close(predicted.sum(-2), torch.ones(2, 4).double(), rtol=0, atol=1e-9)  # columns come last


def test_noise_is_added_to_permutation_logits_before_they_are_divided():
    rng = np.random.default_rng(2)
    logits, noise = (torch.from_numpy(rng.normal(size=(1, 4, 4))) for _ in range(2))
    found = log_sinkhorn(logits, 10, noise)[0].numpy()
    np.testing.assert_allclose(found, naive_sinkhorn((logits + noise)[0].numpy()), rtol=1e-9, atol=1e-9)
    model, samples = toy_model().train(), toy_samples(TOY, 4, [3, 2])
    noisy, plain = model(samples, noise=torch.from_numpy(rng.gumbel(size=(2, 4, 4)))), model(samples)
    assert not torch.allclose(noisy.outputs["order"], plain.outputs["order"])
    for part in ("outputs", "hints"):
        for name, value in getattr(plain, part).items():
            assert name == "order" or torch.equal(getattr(noisy, part)[name], value), name


def test_the_noise_of_a_sample_goes_to_that_sample():
    model, samples = toy_model(), toy_samples(TOY, 4, [2, 4, 3])
    plain = model(samples).outputs["order"]
    noise = torch.zeros(3, 4, 4).double()
    noise[0] = torch.from_numpy(np.random.default_rng(0).gumbel(size=(4, 4)))
    noisy = model(samples, noise=noise).outputs["order"]
    assert torch.equal(noisy[[1, 2]], plain[[1, 2]]) and not torch.allclose(noisy[0], plain[0])


def test_gumbel_noise_has_the_distribution_of_gumbel_and_comes_from_its_generator():
    one, other = (gumbel((200, 20, 20), torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one, other) and one.isfinite().all()
    assert abs(one.mean().item() - 0.5772) < 0.02 and abs(one.var().item() - np.pi**2 / 6) < 0.04
    assert abs((one < 0).double().mean().item() - np.exp(-1)) < 0.01  # P(G < 0) = exp(-exp(0))


def test_soft_predictions_are_probabilities():
    rng = np.random.default_rng(0)
    raw = {n: v.detach() for n, v in toy_model()(toy_samples(TOY, 4, [3, 3])).hints.items()}
    raw["flag_h"] = torch.from_numpy(rng.normal(size=raw["flag_h"].shape) * 30)
    for name, value in soft(TOY, raw).items():
        np.testing.assert_allclose(value, softened(TOY[name], raw[name].numpy()), rtol=1e-10, err_msg=name)


def test_hard_predictions_are_the_largest_and_those_above_zero():
    raw = {n: v.detach() for n, v in toy_model()(toy_samples(TOY, 4, [3, 3])).outputs.items()}
    raw["flag_o"][0] = torch.tensor([0.0, 1e-9, -1e-9, 5])
    found = hard(TOY, raw)
    assert found["flag_o"][0].tolist() == [0, 1, 0, 1]
    for name, value in found.items():
        if name == "order":
            wanted = np.stack([np.eye(4)[naive_sinkhorn(x, 50).argmax(-1)] for x in raw[name].numpy()])
        elif TOY[name].type == "pointer":
            wanted = raw[name].numpy().argmax(-1)
        else:
            wanted = decided(TOY[name], raw[name].numpy())
        np.testing.assert_array_equal(value, wanted, err_msg=name)


def test_pointers_become_rows_and_nothing_else_changes():
    assert rows(TaskProbe("input", "node", "pointer"), torch.tensor([[2, 0, 1]]), 3).tolist() == [
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    ]
    assert rows(TaskProbe("input", "edge", "pointer"), torch.zeros(1, 3, 3, dtype=torch.long), 3).shape == (1, 3, 3, 3)
    value = torch.rand(1, 3, 4)
    assert rows(TaskProbe("input", "node", "categorical", 4), value, 3) is value


# ── a processor of one's own ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(processor_module, "_processors", dict(processor_module._processors))


class Mean(nn.Module):
    """Mean of linked edges; makes edge features of another width than h."""

    edge_features = 5

    def __init__(self, h):
        super().__init__()
        self.node, self.state, self.edge = nn.Linear(h, h), nn.Linear(h, h), nn.Linear(h, 5)
        self.seen = []

    def forward(self, node, edge, graph, hidden, links):
        self.seen.append(tuple(x.detach().clone() for x in (node, edge, graph, hidden, links)))
        return torch.tanh(
            self.node(node) + self.state(hidden) + (edge * links[..., None]).mean(1) + graph[:, None]
        ), torch.tanh(self.edge(edge))


class Narrow(nn.Module):
    """Makes no edge features."""

    def __init__(self, h):
        super().__init__()
        self.node = nn.Linear(2 * h, h)

    def forward(self, node, edge, graph, hidden, links):
        return torch.tanh(self.node(torch.cat((node, hidden), -1))), None


def test_a_processor_of_ones_own_receives_the_dense_features(registry):
    register_processor("mean_of_links", Mean)
    assert "mean_of_links" in processors()
    model = toy_model(SPARSE, processor="mean_of_links")
    samples = toy_samples(SPARSE, 4, [4, 3])
    model(samples)
    own = model.processor.inner
    assert len(own.seen) == 3 and [len(seen[0]) for seen in own.seen] == [2, 2, 1]
    naive = Naive(model.state_dict(), None, 8)
    for b in range(2):
        values = {
            n: np.eye(4)[a[b]] if SPARSE[n].type == "pointer" else a[b].astype(float) for n, a in samples.inputs.items()
        }
        values |= {
            n: np.eye(4)[a[0, b]] if SPARSE[n].type == "pointer" else a[0, b].astype(float)
            for n, a in samples.hints.items()
        }
        node, edge, graph, links = naive.encode(SPARSE, values, 4)
        for found, wanted in zip(own.seen[0], (node, edge, graph, np.zeros((4, 8)), links)):
            np.testing.assert_allclose(found[b].double(), wanted, rtol=1e-10, atol=1e-10)
    assert own.seen[0][4].dtype == torch.bool


@pytest.mark.parametrize("factory", [Mean, Narrow])
def test_a_processor_of_ones_own_trains(registry, factory):
    register_processor("of_ones_own", factory)
    model = toy_model(SPARSE, processor="of_ones_own")
    samples = toy_samples(SPARSE, 4, [4, 3])
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    found = []
    for _ in range(15):
        loss = sum(losses(samples, *model(samples)).values())
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and (p.grad != 0).any() for p in model.processor.parameters())
        optimizer.step()
        found.append(loss.item())
    assert np.isfinite(found).all() and found[-1] < 0.9 * found[0]


def test_edge_features_of_ones_own_reach_the_decoders(registry):
    register_processor("of_ones_own", Mean)
    model = toy_model(SPARSE, processor="of_ones_own")
    outputs = model(toy_samples(SPARSE, 4, [4, 3])).outputs
    for name in ("A_o", "adj_o", "best_o", "sort_o", "via_o", "chain_o", "order"):
        (gradient,) = torch.autograd.grad(
            outputs[name].exp().square().sum(), model.processor.inner.edge.weight, retain_graph=True
        )
        assert (gradient != 0).any(), name


@pytest.mark.parametrize("name", ["pgn", "triplet_gmpnn", "two words", "", 3])
def test_a_name_that_is_ours_or_no_identifier_is_refused(registry, name):
    with pytest.raises(BadInput, match="register_processor name"):
        register_processor(name, Mean)


@pytest.mark.parametrize("factory", ["Mean", lambda: None, lambda hidden, features: None])
def test_what_does_not_make_a_processor_of_a_width_is_refused(registry, factory):
    with pytest.raises(BadInput, match="register_processor factory"):
        register_processor("of_ones_own", factory)


def test_an_unknown_processor_is_refused_with_the_nearest_name():
    with pytest.raises(BadInput, match="triplet_gmpnn"):
        processor("triplet_gmpn", 8)
