"""The reasoner as a whole: rollouts of mixed lengths, symmetries, hint policies, initial weights, and one step of each of the thirty algorithms."""

import json
import os
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from outrange.core.errors import BadInput
from outrange.reasoning import clrs
from outrange.reasoning.nar.config import ModelConfig
from outrange.reasoning.nar.encode import Encoders, slot
from outrange.reasoning.nar.evaluation import evaluate, predict
from outrange.reasoning.nar.loss import losses
from outrange.reasoning.nar.model import Predictions
from outrange.reasoning.nar.optimizer import Optimizer
from outrange.reasoning.nar.parallel import shard
from outrange.reasoning.nar.reasoner import Reasoner
from outrange.reasoning.nar.samples import Samples, prepare
from outrange.reasoning.nar.spec import TaskProbe, task_spec

FOLDER = Path(os.environ.get("OUTRANGE_ORACLE", Path(__file__).parents[2] / "oracle" / "data")) / "nar"
OPTIONS = {"naive_string_matcher": {"length_needle": 2}, "kmp_matcher": {"length_needle": 2}}


def data(algorithm, size=5, count=4, seed=0, **changes):
    batch = clrs.batch(clrs.sample(algorithm, length=size, count=count, seed=seed, **OPTIONS.get(algorithm, {})))
    return prepare(batch, random_pos=np.random.default_rng(seed), **changes)


def cut(samples, lengths):
    """The same samples, stopping earlier: also algorithms whose traces are all equally long get mixed lengths."""
    lengths = np.asarray(lengths, np.int64)
    assert (lengths <= samples.lengths).all()
    hints = {name: array[: lengths.max()].copy() for name, array in samples.hints.items()}
    for array in hints.values():
        array[np.arange(lengths.max())[:, None] >= lengths] = 0
    return replace(samples, hints=hints, lengths=lengths, batch_lengths=lengths)


def take(samples, who):
    """Some samples as a batch of their own, as long as the longest of them."""
    lengths = samples.lengths[who]
    inputs, outputs = ({n: a[who] for n, a in arrays.items()} for arrays in (samples.inputs, samples.outputs))
    hints = {n: a[: lengths.max(), who] for n, a in samples.hints.items()}
    return Samples.whole_batch(samples.algorithm, samples.size, samples.spec, inputs, hints, outputs, lengths)


def mixed(algorithm, size=5, seed=0, **changes):
    """Five samples of mixed lengths, one of them 1."""
    samples = data(algorithm, size, 5, seed, **changes)
    T = samples.steps
    return cut(samples, np.minimum(samples.lengths, [T, max(T - 2, 1), 1, T, 2]))


def reasoner(*samples, hidden=8, seed=0, **config):
    """In float64, with every parameter moved from where it starts."""
    model = Reasoner(
        {s.algorithm: s.spec for s in samples},
        ModelConfig(hidden_dim=hidden, triplet_features=4, **config),
        seed=seed,
        kernels="torch",
    ).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return model


def by_step(samples, hints):
    """Raw hints by (step, sample): they come step by step, samples by falling length."""
    order = sorted(range(len(samples)), key=lambda b: -samples.lengths[b])
    pairs = [(t, b) for t in range(samples.lengths.max()) for b in order if t + 1 < samples.lengths[b]]
    assert all(len(value) == len(pairs) for value in hints.values())
    return {(name, *pair): value[k] for name, value in hints.items() for k, pair in enumerate(pairs)}


def assert_close(found, wanted, name=None, tolerance=1e-9):
    np.testing.assert_allclose(found.detach(), wanted.detach(), rtol=tolerance, atol=tolerance, err_msg=str(name))


def total(samples, predicted):
    return sum(losses(samples, *predicted).values())


def gradients(model):
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}


# ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

VARIED = ["bfs", "dijkstra", "insertion_sort", "floyd_warshall", "lcs_length", "segments_intersect", "binary_search"]


@pytest.mark.parametrize("kind", ["triplet_gmpnn", "triplet_pgn", "mpnn"])
@pytest.mark.parametrize("algorithm", VARIED)
def test_a_sample_gets_in_a_batch_of_mixed_lengths_what_it_gets_alone(algorithm, kind):
    samples = mixed(algorithm)
    model = reasoner(samples, processor=kind)
    together = model(samples)
    told = by_step(samples, together.hints)
    seen = 0
    for b in range(len(samples)):
        one = take(samples, [b])
        alone = model(one)
        for name, value in alone.outputs.items():
            assert_close(together.outputs[name][b], value[0], (name, b))
        for (name, t, _), value in by_step(one, alone.hints).items():
            assert_close(told[name, t, b], value, (name, t, b))
            seen += 1
    assert seen == len(told)


@pytest.mark.parametrize("algorithm", VARIED)
def test_the_order_of_samples_does_not_matter(algorithm):
    samples, order = mixed(algorithm), [3, 2, 4, 0, 1]
    model = reasoner(samples)
    there, here = model(samples), model(take(samples, order))
    there_told, here_told = by_step(samples, there.hints), by_step(take(samples, order), here.hints)
    for name, value in here.outputs.items():
        assert_close(value, there.outputs[name][order], name)
    for (name, t, b), value in here_told.items():
        assert_close(value, there_told[name, t, order[b]], (name, t, b))
    assert_close(total(take(samples, order), here), total(samples, there))


@pytest.mark.parametrize("policy", ["encoded_decoded", "decoded_only", "none"])
@pytest.mark.parametrize("algorithm", ["bfs", "dfs", "floyd_warshall", "insertion_sort"])
def test_what_stands_in_the_padding_of_hints_is_never_read(algorithm, policy):
    samples = mixed(algorithm)
    model = reasoner(samples, hint_mode=policy)
    forced = torch.rand(samples.steps, len(samples), generator=torch.Generator().manual_seed(0)) < 0.5
    dirty = {name: array.copy() for name, array in samples.hints.items()}
    for array in dirty.values():
        array[np.arange(samples.steps)[:, None] >= samples.lengths] = np.nan if array.dtype.kind == "f" else 10**6
    found = []
    for batch in (samples, replace(samples, hints=dirty)):
        model.zero_grad()
        predicted = model(batch, forced=forced)
        loss = total(batch, predicted)
        loss.backward()
        found.append({"loss": loss} | predicted.outputs | predicted.hints | gradients(model))
    for name, value in found[0].items():
        assert value.isfinite().all() and torch.equal(value, found[1][name]), name


def test_samples_of_length_one_take_one_step_and_predict_no_hints():
    long = data("bfs", 5, 12)
    long = take(long, np.nonzero(long.lengths > 1)[0][:4])
    samples = cut(long, [1, 1, 1, 1])
    model = reasoner(samples)
    outputs, hints = model(samples)
    assert all(len(value) == 0 for value in hints.values()) and set(hints) == {"reach_h", "pi_h"}
    found = losses(samples, outputs, hints)
    assert found["reach_h"].item() == found["pi_h"].item() == 0 < found["pi"].item()
    sum(found.values()).backward()
    assert all(g.isfinite().all() for g in gradients(model).values())
    two = cut(long, [2, 2, 2, 2])  # a trace of two hints also takes one step
    assert_close(model(two).outputs["pi"], outputs["pi"])
    assert all(len(value) == 4 for value in model(two).hints.values())


def test_outputs_are_read_at_a_sample_s_last_step():
    long = data("dfs", 5, 1)
    model = reasoner(long)
    seen = [model(cut(long, [length])).outputs["pi"] for length in (2, 3, 4)]
    assert not torch.allclose(seen[0], seen[1]) and not torch.allclose(seen[1], seen[2])


def test_without_keeping_hints_the_outputs_are_the_same():
    for algorithm in ("bfs", "insertion_sort"):
        samples = mixed(algorithm)
        for config in ({}, {"hint_mode": "decoded_only"}, {"hint_mode": "none"}):
            model = reasoner(samples, **config)
            kept, lean = model(samples), model(samples, keep_hints=False)
            assert lean.hints == {}
            for name, value in kept.outputs.items():
                assert_close(lean.outputs[name], value, name, 1e-12)


def test_an_algorithm_without_hints_rolls_out_for_its_length():
    samples = mixed("bfs")
    bare = replace(samples, spec={n: p for n, p in samples.spec.items() if p.stage != "hint"}, hints={})
    model = reasoner(bare)
    outputs, hints = model(bare)
    assert hints == {}
    policy = reasoner(samples, hint_mode="none")
    policy.load_state_dict(model.state_dict())
    assert_close(policy(samples).outputs["pi"], outputs["pi"])


def test_the_reasoner_is_the_same_twice_to_the_last_bit():
    samples = mixed("dfs")
    found = []
    for _ in range(2):
        model = reasoner(samples)
        predicted = model(samples)
        total(samples, predicted).backward()
        found.append(predicted.outputs | predicted.hints | gradients(model))
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


@pytest.mark.parametrize("kind", ["triplet_gmpnn", "pgn"])
@pytest.mark.parametrize("algorithm", ["bfs", "insertion_sort", "floyd_warshall"])
def test_gradients_are_each_parameter_s_own(algorithm, kind):
    """So that two backward passes add up, and a cut in place cuts once, with any optimizer."""
    samples = mixed(algorithm)
    model = reasoner(samples, processor=kind)
    total(samples, model(samples)).backward()
    once = gradients(model)
    total(samples, model(samples)).backward()
    for name, value in gradients(model).items():
        assert_close(value, 2 * once[name], name)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1).item()
    for name, value in gradients(model).items():
        assert_close(value, 2 * once[name] * 0.1 / norm, name, 1e-6)


def test_an_algorithm_that_it_does_not_know_is_refused_with_the_nearest_name():
    model = reasoner(data("bfs"))
    with pytest.raises(BadInput, match="bfs"):
        model(replace(data("bfs"), algorithm="bsf"))


NAMES = {
    "probes_named_like_attributes": ("bfs", {"A": "items", "pi": "training", "reach_h": "keys", "pi_h": "type"}),
    "probes_that_differ_by_an_underscore": ("bfs", {"A": "items", "s": "items_"}),
    "an_algorithm_named_values": ("values", {}),
    "an_algorithm_named_training": ("training", {}),
}


@pytest.mark.parametrize("case", NAMES)
def test_probes_and_algorithms_may_have_any_name_that_clrs_takes(case):
    """Not only those that are free in torch's modules."""
    algorithm, changed = NAMES[case]
    plain = mixed("bfs")
    rename = {name: changed.get(name, name) for name in plain.spec}
    arrays = {
        stage: {rename[n]: a for n, a in getattr(plain, stage).items()} for stage in ("inputs", "hints", "outputs")
    }
    samples = replace(plain, algorithm=algorithm, spec={rename[n]: p for n, p in plain.spec.items()}, **arrays)
    model, like = reasoner(samples), reasoner(plain)
    assert [p.shape for p in model.parameters()] == [p.shape for p in like.parameters()]
    with torch.no_grad():
        for p, q in zip(model.parameters(), like.parameters()):
            p.copy_(q)
    assert torch.equal(model(samples).outputs[rename["pi"]], like(plain).outputs["pi"])
    optimizer = Optimizer(model)
    total(samples, model.train()(samples)).backward()
    optimizer.step(algorithm)


# ── symmetry ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def relabelled(probe, array, new, axis):
    """The array after node v got the name ``new[v]``; its node axes begin at ``axis``."""
    old = np.argsort(new)
    axes = {"node": 1, "edge": 2, "graph": 0}[probe.location] + (probe.type == "permutation_pointer")
    for k in range(axis, axis + axes):
        array = np.take(array, old, k)
    if probe.type == "mask_one" and probe.location == "edge":
        raise NotImplementedError
    return new[array] if probe.type == "pointer" else array


@pytest.mark.parametrize("kind", ["triplet_gmpnn", "triplet_gpgn", "mpnn"])
@pytest.mark.parametrize(
    "algorithm",
    ["dijkstra", "mst_kruskal", "floyd_warshall", "strongly_connected_components", "insertion_sort", "graham_scan"],
)
def test_renaming_the_nodes_renames_the_predictions(algorithm, kind):
    """Nothing but ``pos``, which goes along, tells nodes apart."""
    samples = mixed(algorithm)
    new = np.array([3, 0, 4, 1, 2])
    parts = {"inputs": 1, "hints": 2, "outputs": 1}
    moved = replace(
        samples,
        **{
            part: {n: relabelled(samples.spec[n], a, new, axis) for n, a in getattr(samples, part).items()}
            for part, axis in parts.items()
        },
    )
    model = reasoner(samples, processor=kind)
    there, here = model(samples), model(moved)
    assert not torch.allclose(next(iter(there.outputs.values())), next(iter(here.outputs.values())))
    for part in ("outputs", "hints"):
        for name, value in getattr(there, part).items():
            probe = samples.spec[name]
            scores = (
                probe._replace(type="permutation_pointer") if probe.type == "pointer" else probe
            )  # logits have an axis of targets, too
            wanted = relabelled(scores, value.detach().numpy(), new, 1)
            np.testing.assert_allclose(getattr(here, part)[name].detach(), wanted, rtol=1e-8, atol=1e-8, err_msg=name)
    assert_close(total(moved, here), total(samples, there))


# ── hint policies ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def other_hints(samples, first):
    """Random hints in place of the true ones, from step ``first`` on."""
    rng = np.random.default_rng(9)
    hints = {name: array.copy() for name, array in samples.hints.items()}
    for array in hints.values():
        array[first:] = rng.integers(0, 2, array[first:].shape)
    return replace(samples, hints=hints)


def test_hints_none_neither_encodes_nor_decodes_them():
    samples = mixed("bfs")
    model = reasoner(samples, hint_mode="none")
    assert not any("_h" in name for name, _ in model.named_parameters())
    outputs, hints = model(samples)
    assert hints == {} and set(losses(samples, outputs, hints)) == {"pi"}
    assert torch.equal(model(other_hints(samples, 0)).outputs["pi"], outputs["pi"])


def test_hints_decoded_only_are_predicted_but_not_read():
    samples = mixed("bfs")
    model = reasoner(samples, hint_mode="decoded_only")
    names = [name for name, _ in model.named_parameters() if "_h" in name]
    assert names and not any(".enc." in name for name in names)
    outputs, hints = model(samples)
    other = model(other_hints(samples, 0))
    assert set(hints) == {"reach_h", "pi_h"}
    for name, value in (outputs | hints).items():
        assert torch.equal((other.outputs | other.hints)[name], value)
    lean = reasoner(samples, hint_mode="none")
    lean.load_state_dict({name: value for name, value in model.state_dict().items() if "_h" not in name})
    assert_close(lean(samples).outputs["pi"], outputs["pi"])


def test_hints_encoded_and_decoded_read_the_true_ones_at_the_first_step_alone():
    samples = mixed("bfs")
    model = reasoner(samples)
    outputs, hints = model(samples)
    later, first = model(other_hints(samples, 1)), model(other_hints(samples, 0))
    for name, value in (outputs | hints).items():
        assert torch.equal((later.outputs | later.hints)[name], value)
    assert not torch.allclose(first.outputs["pi"], outputs["pi"])


def hint_decoders(model):
    spec = next(iter(model.tasks.values())).spec
    hints = {slot(n) for n, p in spec.items() if p.stage == "hint"}
    return [p for name, p in model.named_parameters() if ".dec." in name and name.split(".")[4] in hints]


def flows_through_hints(model, samples, **kwargs):
    """Whether the outputs' loss has any gradient to the decoders of hints."""
    model.zero_grad()
    predicted = model(samples, **kwargs)
    sum(losses(samples, predicted.outputs, {}).values()).backward()
    return any(p.grad is not None and (p.grad != 0).any() for p in hint_decoders(model))


def test_soft_hints_have_a_gradient_and_hard_ones_have_none():
    samples = mixed("dijkstra")
    soft, hard, on_eval = (reasoner(samples, hint_feedback=feedback) for feedback in ("soft", "hard", "hard_on_eval"))
    assert len(hint_decoders(soft)) == 16
    assert flows_through_hints(soft.train(), samples) and flows_through_hints(soft.eval(), samples)
    assert not flows_through_hints(hard.train(), samples) and not flows_through_hints(hard.eval(), samples)
    assert flows_through_hints(on_eval.train(), samples) and not flows_through_hints(on_eval.eval(), samples)

    def pi(model):
        return model(samples).outputs["pi"]

    assert torch.equal(pi(on_eval.train()), pi(soft)) and torch.equal(pi(on_eval.eval()), pi(hard))
    assert not torch.allclose(pi(soft), pi(hard))


def test_training_and_testing_do_not_differ_without_noise():
    samples = mixed("insertion_sort")
    model = reasoner(samples)
    trained, tested = model.train()(samples), model.eval()(samples)
    for name, value in (trained.outputs | trained.hints).items():
        assert torch.equal((tested.outputs | tested.hints)[name], value)


def test_forcing_every_hint_feeds_the_true_ones_and_no_predicted_one():
    samples = mixed("dijkstra")
    model = reasoner(samples)
    everything = torch.ones(samples.steps, len(samples), dtype=torch.bool)
    assert not flows_through_hints(model, samples, forced=everything)
    forced, free = model(samples, forced=everything), model(samples)
    assert not torch.allclose(forced.outputs["pi"], free.outputs["pi"])
    with torch.no_grad():
        for p in hint_decoders(model):
            p.add_(1)
    assert torch.equal(model(samples, forced=everything).outputs["pi"], forced.outputs["pi"])
    last = other_hints(samples, samples.steps - 1)  # a trace's last hint is only predicted
    assert torch.equal(model(last, forced=everything).outputs["pi"], forced.outputs["pi"])
    assert not torch.allclose(model(other_hints(samples, 1), forced=everything).outputs["pi"], forced.outputs["pi"])


def test_forcing_no_hint_changes_nothing():
    samples = mixed("dijkstra")
    model = reasoner(samples)
    none = torch.zeros(samples.steps, len(samples), dtype=torch.bool)
    none[0] = True  # the first hints are the true ones anyway
    assert torch.equal(model(samples, forced=none).outputs["pi"], model(samples).outputs["pi"])


def test_samples_are_forced_one_by_one():
    samples = mixed("dijkstra")
    model = reasoner(samples)
    everything = torch.ones(samples.steps, len(samples), dtype=torch.bool)
    some = everything.clone()
    some[:, [1, 3]] = False
    forced, free, partly = (model(samples, forced=f) for f in (everything, None, some))
    told = {key: by_step(samples, p.hints) for key, p in (("forced", forced), ("free", free), ("partly", partly))}
    for b in range(5):
        like, key = (free, "free") if b in (1, 3) else (forced, "forced")
        assert_close(partly.outputs["pi"][b], like.outputs["pi"][b], b)
        for name, t, who in told[key]:
            if who == b:
                assert_close(told["partly"][name, t, b], told[key][name, t, b], (name, t, b))


@pytest.mark.parametrize("world", [2, 3])
def test_a_shard_predicts_what_the_whole_batch_predicts_of_it(world):
    samples = mixed("insertion_sort")
    model = reasoner(samples)
    forced = torch.rand(samples.steps, 5, generator=torch.Generator().manual_seed(1)) < 0.5
    noise = torch.from_numpy(np.random.default_rng(0).gumbel(size=(5, 5, 5)))
    whole = model(samples, forced=forced, noise=noise)
    told = by_step(samples, whole.hints)
    seen = set()
    for rank in range(world):
        part = shard(samples, rank, world)
        found = model(part, forced=forced[:, part.batch_indices], noise=noise[part.batch_indices])
        for name, value in found.outputs.items():
            assert_close(value, whole.outputs[name][part.batch_indices], name)
        for (name, t, b), value in by_step(part, found.hints).items():
            assert_close(value, told[name, t, part.batch_indices[b]])
            seen.add((name, t, part.batch_indices[b]))
    assert seen == set(told)


# ── initial weights ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def fresh():
    """The reference's statistics of fresh parameters, and our parameters from ten seeds, by our names."""
    told = json.loads((FOLDER / "init_stats.json").read_text())
    stats = {}
    for name, stat in told["stats"].items():
        part, probe, *rest = name.split("/")
        kind = "weight" if rest[-1] in ("w", "scale") else "bias"
        stats[
            f"processor.{probe}.{kind}"
            if part == "proc"
            else f"tasks.{told['algorithm']}.{part}.maps.{slot(probe)}.{rest[0]}.{kind}"
        ] = stat
    spec = task_spec(clrs.spec(told["algorithm"]))
    models = [
        Reasoner({told["algorithm"]: spec}, ModelConfig(hidden_dim=told["hidden"]), seed=seed, kernels="torch")
        for seed in range(10)
    ]
    drawn = {
        name: np.stack([model.state_dict()[name].double().numpy() for model in models])
        for name in models[0].state_dict()
    }
    return stats, drawn


def test_there_are_as_many_initial_weights_as_in_the_reference(fresh):
    stats, drawn = fresh
    assert drawn.keys() == stats.keys()
    for name, stat in stats.items():
        assert drawn[name].shape[1:] == tuple(stat["shape"][::-1]), name


def test_initial_weights_are_drawn_like_the_reference_s(fresh):
    stats, drawn = fresh
    for name, stat in stats.items():
        found, count = drawn[name], drawn[name].size
        if stat["std"] == 0:
            assert (found == stat["mean"]).all(), name
            continue
        assert count >= 1000
        assert abs(found.std() / stat["std"] - 1) < min(0.06, 5 / count**0.5), (
            name
        )  # the samples' own spread is below 1/sqrt(count), for both together
        assert abs(found.mean()) < 5 * stat["std"] / count**0.5, name
        assert abs(np.abs(found).max() / stat["max_abs"] - 1) < 0.03, name  # both end at two deviations
        assert np.std([draw.std() for draw in found]) > 0, name


def test_a_fresh_gate_is_nearly_shut(fresh):
    _, drawn = fresh
    assert (drawn["processor.gate_out.bias"] == -3).all()


def test_weights_within_one_model_are_not_repeated(fresh):
    _, drawn = fresh
    firsts = [array[0].ravel()[:8] for name, array in drawn.items() if array[0].std() > 0 and array[0].size >= 8]
    scaled = {tuple(np.round(first / np.abs(first).max(), 5)) for first in firsts}
    assert len(scaled) == len(firsts) > 50


def test_encoders_of_scalar_hints_start_wide_when_told_so():
    spec = task_spec(clrs.spec("dfs"))
    for xavier, std in ((True, 0.88 / 64), (False, 0.88)):
        maps = Encoders({n: p for n, p in spec.items() if p.stage != "output"}, 4096, xavier).maps
        for name, probe in spec.items():
            if probe.stage == "output" or probe.type == "categorical":
                continue
            wanted = std if (probe.stage, probe.type) == ("hint", "scalar") else 0.88
            assert abs(maps[slot(name)][0].weight.std().item() / wanted - 1) < 0.05, name


def test_an_algorithm_s_initial_weights_depend_on_the_seed_and_its_name_alone():
    specs = {name: task_spec(clrs.spec(name)) for name in ("bfs", "dfs", "insertion_sort", "bellman_ford")}
    config = ModelConfig(hidden_dim=8)
    alone = Reasoner({"bfs": specs["bfs"]}, config, seed=3).state_dict()
    for names in (("bfs", "dfs"), ("insertion_sort", "dfs", "bfs")):
        together = Reasoner({name: specs[name] for name in names}, config, seed=3).state_dict()
        assert all(torch.equal(together[name], value) for name, value in alone.items())
        assert len(together) > len(alone)
    other_seed = Reasoner({"bfs": specs["bfs"]}, config, seed=4).state_dict()
    weights = [name for name in alone if name.endswith("weight") and "norm" not in name]
    assert not any(torch.equal(other_seed[name], alone[name]) for name in weights)
    renamed = Reasoner({"bfs": specs["bfs"], "my_bfs": specs["bfs"]}, config, seed=3).state_dict()
    tasks = [name for name in weights if name.startswith("tasks.")]
    assert tasks and not any(
        torch.equal(renamed[name.replace("tasks.bfs", "tasks.my_bfs")], alone[name]) for name in tasks
    )


def test_the_global_random_states_are_neither_read_nor_touched():
    samples = mixed("insertion_sort")

    def states():
        return (torch.random.get_rng_state().tolist(), str(np.random.get_state()), random.getstate())

    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = states()
        model = Reasoner({"insertion_sort": samples.spec}, ModelConfig(hidden_dim=8), seed=5, kernels="torch").train()
        predicted = model(samples)
        total(samples, predicted).backward()
        predict(model, samples)
        assert states() == before
        found.append(predicted.outputs["pred"])
    assert torch.equal(*found)


def test_the_global_random_state_is_as_before_when_building_fails():
    before = torch.random.get_rng_state()
    with pytest.raises(BadInput):
        Reasoner({"bfs": task_spec(clrs.spec("bfs"))}, ModelConfig(hidden_dim=8, processor="pgm"))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    "bad",
    [
        {"hidden_dim": 0},
        {"triplet_features": 0},
        {"hint_mode": "decoded"},
        {"hint_feedback": "firm"},
        {"processor": "pgm"},
    ],
)
def test_a_shape_that_cannot_be_is_refused(bad):
    with pytest.raises(BadInput, match=next(iter(bad))):
        Reasoner({"bfs": task_spec(clrs.spec("bfs"))}, ModelConfig(**bad))


# ── the thirty ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("algorithm", clrs.ALGORITHMS)
def test_every_algorithm_learns_a_little_and_predicts_what_has_its_outputs_shapes(algorithm):
    samples = data(algorithm, 5, 2)
    model = Reasoner({algorithm: samples.spec}, ModelConfig(hidden_dim=8), kernels="torch")
    optimizer = Optimizer(model, 1e-2)
    first = {name: value.clone() for name, value in model.state_dict().items()}
    found = []
    for _ in range(3):
        parts = losses(samples, *model.train()(samples))
        assert set(parts) == {name for name, probe in samples.spec.items() if probe.stage != "input"}
        assert all(part.isfinite() and part >= 0 for part in parts.values())
        optimizer.zero_grad()
        sum(parts.values()).backward()
        assert optimizer.step(algorithm) > 0
        found.append(sum(parts.values()).item())
    assert found[-1] < found[0]
    after = model.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    assert all(
        not torch.equal(after[name], value)
        for name, value in first.items()
        if ".dec." in name and name.endswith("0.weight")
    )
    guess = predict(model, samples)
    assert model.training  # as it was
    assert {n: (a.shape, a.dtype.kind) for n, a in guess.items()} == {
        n: (a.shape, a.dtype.kind) for n, a in samples.outputs.items()
    }
    for name, array in guess.items():
        if samples.spec[name].type in ("mask_one", "categorical", "permutation_pointer"):
            assert (array.sum(-1) == 1).all() and np.isin(array, (0, 1)).all()
        assert array.min() >= 0 and array.max() < samples.size


class Oracle(nn.Module):
    """Predicts the truth, as logits; or its opposite."""

    def __init__(self, sign=1.0):
        super().__init__()
        self.sign = sign

    def forward(self, samples, **kwargs):
        outputs = {}
        for name, truth in samples.outputs.items():
            probe, value = samples.spec[name], torch.from_numpy(truth)
            if probe.type == "pointer":
                value = nn.functional.one_hot(value, samples.size)
            outputs[name] = self.sign * (value.float() * 20 - (10 if probe.type == "mask" else 0))
        return Predictions(outputs, {})


@pytest.mark.parametrize("algorithm", clrs.ALGORITHMS)
def test_a_perfect_prediction_scores_one_and_its_opposite_less(algorithm):
    batches = (
        [data(algorithm, 5, 3, seed=1), data(algorithm, 4, 2, seed=2)]
        if algorithm == "segments_intersect"
        else [data(algorithm, 5, 3, seed=1)]
    )
    perfect = evaluate(Oracle(), batches)
    names = {n for n, p in batches[0].spec.items() if p.stage == "output"} - {"pred_mask"}
    assert perfect == dict.fromkeys(names | {"score"}, 1.0)
    assert evaluate(Oracle(-1), batches)["score"] < 0.8


def test_scores_pool_the_samples_of_all_batches():
    """F1 of all batches together is not the mean of theirs."""

    class AlwaysOne(Oracle):
        def forward(self, samples, **kwargs):
            return Predictions({name: torch.ones(array.shape) for name, array in samples.outputs.items()}, {})

    samples = data("task_scheduling", 5, 6)
    samples.outputs["selected"][:] = np.arange(6)[:, None] < 2
    batches = [take(samples, np.arange(2)), take(samples, np.arange(2, 6))]
    seen = []
    assert evaluate(AlwaysOne(), batches, lambda *progress: seen.append(progress))["selected"] == pytest.approx(
        2 * (1 / 3) / (4 / 3)
    )  # precision 1/3, recall 1
    assert seen == [(1, 2), (2, 2)]


def test_predicting_leaves_the_mode_as_it_was_and_records_no_gradient():
    samples = mixed("insertion_sort")
    model = reasoner(samples, hint_feedback="hard_on_eval")
    for training in (True, False):
        model.train(training)
        guess = predict(model, samples)
        assert model.training == training
        model.eval()
        outputs = model(samples).outputs
        assert (guess["pred_mask"].argmax(-1) == outputs["pred_mask"].argmax(-1).numpy()).all()


def test_a_probe_s_hidden_cells_do_not_reach_the_prediction_of_others():
    """Hidden cells (-1) of outputs are truths alone."""
    samples = data("lcs_length", 6, 3)
    assert (samples.outputs["b"] == -1).any()
    model = reasoner(samples)
    other = replace(samples, outputs={"b": np.zeros_like(samples.outputs["b"])})
    assert torch.equal(model(samples).outputs["b"], model(other).outputs["b"])
    assert samples.spec["b"] == TaskProbe("output", "edge", "categorical", 4)
