"""The reasoner against a reference model's numbers: the same parameters and batch give the same predictions, losses, gradients and updates.

Reads every algorithm's file in the folder ``nar`` of the oracle's data; its README says how it was made, and the tolerances.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from outrange.reasoning.nar.config import ModelConfig
from outrange.reasoning.nar.decode import hard
from outrange.reasoning.nar.encode import slot
from outrange.reasoning.nar.loss import live, losses
from outrange.reasoning.nar.reasoner import Reasoner
from outrange.reasoning.nar.samples import Samples
from outrange.reasoning.nar.spec import TaskProbe

FOLDER = Path(os.environ.get("OUTRANGE_ORACLE", Path(__file__).parent / "data")) / "nar"
FILES = sorted(path for path in FOLDER.glob("*.npz") if path.stem != "metrics")
LAYERS = [("torch", torch.float64), ("torch", torch.float32), ("cpu", torch.float32)]
if torch.cuda.is_available():  # the torch layer on a GPU
    LAYERS += [("gpu", torch.float64), ("gpu", torch.float32)]


def place(layer):
    return "cuda" if layer == "gpu" else "cpu"


def test_there_are_reference_cases():
    assert FILES


def files_with(group):
    """Parametrize over the files that have a group of arrays."""
    paths = []
    for path in FILES:
        with np.load(path) as file:
            if any(name.startswith(f"{group}/") for name in file.files):
                paths.append(path)
    return pytest.mark.parametrize("path", paths, ids=[path.stem for path in paths])


class Case:
    def __init__(self, path):
        with np.load(path) as file:
            self.file = dict(file)
        self.meta = json.loads(str(self.file["meta"]))
        self.algorithm, self.hidden = self.meta["algorithm"], self.meta["hidden"]
        stages = {"input": "in", "hint": "hint", "output": "out"}
        arrays = {name: self.file[f"{stages[stage]}/{name}"] for name, stage, _, _ in self.meta["spec"]}
        self.spec = {
            name: TaskProbe(stage, location, kind, arrays[name].shape[-1] if kind == "categorical" else 0)
            for name, stage, location, kind in self.meta["spec"]
        }
        typed = {n: a.astype(np.int64 if self.spec[n].type == "pointer" else np.float32) for n, a in arrays.items()}
        by_stage = {s: {n: typed[n] for n, p in self.spec.items() if p.stage == s} for s in stages}
        self.lengths = self.file["lengths"].astype(np.int64)
        size = next(iter(by_stage["input"].values())).shape[1]
        self.samples = Samples.whole_batch(
            self.algorithm, size, self.spec, by_stage["input"], by_stage["hint"], by_stage["output"], self.lengths
        )

    def group(self, prefix):
        return {name[len(prefix) + 1 :]: self.file[name] for name in self.file if name.startswith(prefix + "/")}

    def named(self, group):
        """Arrays of the oracle under the model's parameter names."""
        result = {}
        for name, array in group.items():
            part, probe, *rest = name.split("/")
            if part == "proc":
                kind = {"w": "weight", "b": "bias", "scale": "weight", "offset": "bias"}[rest[0]]
                result[f"processor.{probe}.{kind}"] = array.T if rest[0] == "w" else array
            else:
                key = f"tasks.{self.algorithm}.{part}.maps.{slot(probe)}.{rest[0]}"
                result[f"{key}.{'weight' if rest[1] == 'w' else 'bias'}"] = array.T if rest[1] == "w" else array
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in result.items()}

    def model(self, dtype, layer, **config):
        reasoner = Reasoner(
            {self.algorithm: self.spec},
            ModelConfig(hidden_dim=self.hidden, **config),
            kernels="torch" if layer == "gpu" else layer,
        ).to(dtype)
        reasoner.to(place(layer))
        reference, own = self.named(self.group("param")), reasoner.state_dict()
        if not config:  # other settings leave parameters of the reference unused
            assert reference.keys() == own.keys()
        reasoner.load_state_dict({name: reference[name].to(dtype) for name in own})
        return reasoner

    def same(self, predicted, group, dtype, keep=lambda name: True):
        for name, value in predicted.outputs.items():
            close(value, self.file[f"{group}/out/{name}"], dtype, self.spec[name].type == "permutation_pointer", name)
        for name, value in predicted.hints.items():
            close(value, self.file[f"{group}/hint/{name}"][live(self.lengths)], dtype, False, name)


def close(ours, reference, dtype, permutation, name):
    ours, exact = ours.detach().double().cpu().numpy(), dtype == torch.float64
    masked = np.abs(reference) > 1e5  # the diagonal of a permutation
    if permutation and masked.any():
        np.testing.assert_allclose(ours[masked], reference[masked], rtol=1e-9 if exact else 1e-5, err_msg=name)
        ours, reference = ours[~masked], reference[~masked]
    np.testing.assert_allclose(
        ours, reference, rtol=0, atol=1e-10 if exact else 1e-4 if permutation else 1e-5, err_msg=name
    )


@files_with("train")
@pytest.mark.parametrize(("layer", "dtype"), LAYERS)
def test_predictions_and_losses_are_the_reference_s(path, layer, dtype):
    case = Case(path)
    model = case.model(dtype, layer).train()
    predicted = model(case.samples)
    case.same(predicted, "train", dtype)
    case.same(model.eval()(case.samples), "eval", dtype)
    by_probe = losses(case.samples, *predicted)
    expected = case.group("loss")
    assert by_probe.keys() | {"total"} == expected.keys()
    for name, value in (by_probe | {"total": sum(by_probe.values())}).items():
        np.testing.assert_allclose(
            value.item(), expected[name], rtol=0, atol=1e-10 if dtype == torch.float64 else 1e-5, err_msg=name
        )


@files_with("grad")
@pytest.mark.parametrize(("layer", "dtype"), LAYERS)
def test_gradients_are_the_reference_s(path, layer, dtype):
    case = Case(path)
    model = case.model(dtype, layer).train()
    sum(losses(case.samples, *model(case.samples)).values()).backward()
    expected, norm = case.named(case.group("grad")), float(case.file["grad_norm"])
    total = torch.stack([p.grad.double().norm() for p in model.parameters() if p.grad is not None]).norm().item()
    near_tie = path.stem == "floyd_warshall"  # one maximum of two messages 2e-7 apart moves its gradient in float32
    assert abs(total - norm) <= (1e-6 if dtype == torch.float64 else 1e-4) * norm
    for name, parameter in model.named_parameters():
        ours = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        limit = 1e-6 if dtype == torch.float64 else (2e-4 if near_tie else 1e-4) * norm
        assert (ours.double().cpu() - expected[name].double()).abs().max() <= limit, name


@files_with("adam3")
def test_three_updates_are_the_reference_s(path):
    from outrange.reasoning.nar.optimizer import Optimizer

    case = Case(path)
    model = case.model(torch.float64, "torch").train()
    optimizer = Optimizer(model, learning_rate=1e-3, max_grad_norm=1.0)
    for expected_loss in case.file["adam3_losses"]:
        loss = sum(losses(case.samples, *model(case.samples)).values())
        assert abs(loss.item() - expected_loss) <= 1e-10
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(case.algorithm)
    after = case.named(case.group("adam3"))
    assert after
    for name, parameter in model.named_parameters():
        if name in after:
            assert (parameter.detach() - after[name].double()).abs().max() <= 1e-6, name


@files_with("forced")
@pytest.mark.parametrize(("layer", "dtype"), LAYERS)
def test_other_policies_are_the_reference_s(path, layer, dtype):
    case = Case(path)
    with torch.no_grad():
        always = torch.ones(case.samples.steps, len(case.lengths), dtype=torch.bool, device=place(layer))
        forced = case.model(dtype, layer).train()(case.samples, forced=always)
        case.same(forced, "forced", dtype)
        for name, value in losses(case.samples, *forced).items():
            np.testing.assert_allclose(
                value.item(), case.file[f"forced/loss/{name}"], rtol=0, atol=1e-10 if dtype == torch.float64 else 1e-5
            )
        case.same(case.model(dtype, layer, hint_feedback="hard").eval()(case.samples), "hardhint", dtype)
        case.same(case.model(dtype, layer, processor="triplet_mpnn").eval()(case.samples), "ungated", dtype)
        alone = case.model(dtype, layer, hint_mode="decoded_only").eval()(case.samples)
        for name, value in alone.outputs.items():
            close(
                value, case.file[f"decodedonly/out/{name}"], dtype, case.spec[name].type == "permutation_pointer", name
            )


@files_with("eval")
def test_hard_predictions_are_the_reference_s(path):
    case = Case(path)
    with torch.no_grad():
        outputs = case.model(torch.float32, "torch").eval()(case.samples).outputs
    for name, value in hard(case.spec, outputs).items():
        np.testing.assert_array_equal(value.numpy(), case.file[f"eval/hard/{name}"], err_msg=name)


@files_with("gumbel")
@pytest.mark.parametrize(("layer", "dtype"), LAYERS)
def test_known_noise_on_permutations_gives_the_reference_s_losses(path, layer, dtype):
    case = Case(path)
    noise = torch.from_numpy(case.file["gumbel/noise"]).to(place(layer), dtype)
    predicted = case.model(dtype, layer).train()(case.samples, noise=noise)
    for name, value in predicted.outputs.items():
        close(value, case.file[f"gumbel/out/{name}"], dtype, case.spec[name].type == "permutation_pointer", name)
    by_probe = losses(case.samples, *predicted)
    exact = dtype == torch.float64
    assert abs(sum(by_probe.values()).item() - case.file["gumbel/loss/total"]) <= (1e-10 if exact else 1e-4)


@files_with("step0")
def test_features_of_the_first_step_are_the_reference_s(path):
    from outrange.reasoning.nar.encode import adjacency, rows
    from outrange.reasoning.nar.kernels import torch_ops
    from outrange.reasoning.nar.processor import Codes, State

    case = Case(path)
    model = case.model(torch.float64, "torch").eval()
    task, size = model.task(case.algorithm), case.samples.size
    data = case.samples.inputs | {name: array[0] for name, array in case.samples.hints.items()}
    values = {n: rows(case.spec[n], torch.from_numpy(a), size).double() for n, a in data.items()}
    codes = Codes(*(task.enc.code(where) for where in ("node", "edge", "graph")))
    scalars = {}
    for where, shape in (("node", (size,)), ("edge", (size, size)), ("graph", ())):
        parts = [part for stage in ("input", "hint") for part in task.enc.scalars(where, stage, values)]
        scalars[where] = torch.cat(parts, -1) if parts else torch.zeros(len(case.lengths), *shape, 0).double()
        features = getattr(codes, where).features(scalars[where])
        np.testing.assert_allclose(features.detach(), case.file[f"step0/{where}_fts"], atol=1e-6)
    np.testing.assert_array_equal(adjacency(task.spec, values, size).double(), case.file["step0/adj"])
    hidden = torch.from_numpy(case.file["step0/hidden_in"]).double()
    z = torch.cat((scalars["node"], hidden), -1)
    after, edges = model.processor(codes, torch_ops)(State(z, scalars["edge"], scalars["graph"], hidden, None))
    np.testing.assert_allclose(after.detach(), case.file["step0/hidden_out"], atol=1e-6)
    np.testing.assert_allclose(torch_ops.triplet_features(*edges).detach(), case.file["step0/tri"], atol=1e-6)
