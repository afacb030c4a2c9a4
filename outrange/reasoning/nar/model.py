"""The reasoner: a processor shared by algorithms, each with its own encoders and decoders (arXiv 2209.11142), rolled out along the hints.

A sample of ``length`` hints takes max(1, length - 1) steps. Step t reads the inputs and the hints of step t (the true ones at step 0, then its own, softened),
and predicts the hints of step t + 1; outputs are read at a sample's last step. What need not be computed is not, without changing a result: samples are sorted
by length, so that each step runs on those not yet finished, and the outputs of all are decoded at once at the end.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from outrange.core.errors import BadInput, brief
from outrange.reasoning.clrs.trace import Trace
from outrange.reasoning.nar import kernels
from outrange.reasoning.nar.config import ModelConfig
from outrange.reasoning.nar.data import Samples
from outrange.reasoning.nar.decode import TRAIN_ITERATIONS, Decoded, Decoders, hard, log_sinkhorn, soft
from outrange.reasoning.nar.encode import Encoders, adjacency, rows, slot
from outrange.reasoning.nar.processor import Codes, EdgeFeatures, State, processor
from outrange.reasoning.nar.spec import Probe


class Predictions(NamedTuple):
    """Raw predictions. ``outputs`` (B, …) in the samples' order; ``hints`` of the live (step, sample) pairs one after another, see ``loss.live``."""

    outputs: dict[str, Tensor]
    hints: dict[str, Tensor]


class Task(nn.Module):
    """What belongs to one algorithm: its encoders and decoders."""

    def __init__(self, spec: Mapping[str, Probe], config: ModelConfig, edge_features: int) -> None:
        super().__init__()
        self.spec = dict(spec)
        fed = ("input", "hint") if config.hints == "encoded_decoded" else ("input",)
        told = ("output",) if config.hints == "none" else ("output", "hint")
        self.enc = Encoders({n: p for n, p in spec.items() if p.stage in fed}, config.hidden, config.xavier_on_scalars)
        self.dec = Decoders({n: p for n, p in spec.items() if p.stage in told}, config.hidden, edge_features)
        self.outputs = [n for n, p in spec.items() if p.stage == "output"]
        self.hints = [n for n, p in spec.items() if p.stage == "hint" and "hint" in told]
        self.fed = self.hints if "hint" in fed else []


class Reasoner(nn.Module):
    """One processor and a ``Task`` an algorithm.

    Args:
        specs: by algorithm, its probes (``nar.spec.task_spec``).
        config: the shape.
        seed: of the initial weights; a task's depend on the seed and its name alone.
        layer: the kernels: auto, torch or cpu.
    """

    def __init__(
        self,
        specs: Mapping[str, Mapping[str, Probe]],
        config: ModelConfig | None = None,
        *,
        seed: int = 0,
        layer: str = "auto",
    ) -> None:
        super().__init__()
        self.config, self.layer = config or ModelConfig(), layer
        from outrange.core.seeding import SeedTree

        tree = SeedTree(seed)
        with _initialised(tree.child("processor")):
            self.processor = processor(self.config.processor, self.config.hidden, self.config.triplet_features)
        self.algorithms, self.tasks = tuple(specs), nn.ModuleDict()
        for name, spec in specs.items():
            with _initialised(tree.child("task").child(name)):
                self.tasks[slot(name)] = Task(spec, self.config, int(self.processor.edge_features))  # type: ignore[arg-type]

    @classmethod
    def load(cls, source: str, *, layer: str = "auto") -> "Reasoner":
        """A trained reasoner: from a run's directory, a folder of weights, or by the name of weights that ship with the project, e.g. ``generalist``."""
        from outrange.reasoning.nar.load import load

        return load(source, layer=layer)[0]

    def execute(self, traces: Sequence[Trace]) -> list[dict[str, np.ndarray]]:
        """The outputs that this reasoner gives for the inputs of traces, see ``evaluate.execute``."""
        from outrange.reasoning.nar.evaluate import execute

        return execute(self, traces)

    @property
    def kernels(self) -> str:
        """The layer in use, by name."""
        like = next(self.parameters())
        return kernels.choose(self.layer, like.device, like.dtype)

    def task(self, algorithm: str) -> Task:
        if algorithm not in self.algorithms:
            raise BadInput(
                f"algorithm: {brief(algorithm)} is not one that this reasoner knows; it knows {', '.join(self.algorithms)}"
            )
        return self.tasks[slot(algorithm)]  # type: ignore[return-value]

    def forward(
        self,
        samples: Samples,
        *,
        noise: Tensor | None = None,
        forced: Tensor | None = None,
        keep_hints: bool = True,
    ) -> Predictions:
        """Roll out.

        Args:
            samples: a batch of one algorithm and size.
            noise: added to permutation logits in training, (B, N, N); see ``decode.gumbel``.
            forced: teacher forcing, (T, B) of bool: where the true hint is fed instead of the predicted one.
            keep_hints: return raw hints; without, a long rollout needs less memory.
        """
        task = self.task(samples.algorithm)
        like = next(self.parameters())
        size, config = samples.size, self.config
        order = np.argsort(-samples.lengths, kind="stable")
        lengths = samples.lengths[order]
        steps = np.maximum(1, lengths - 1)
        active = [int((steps > t).sum()) for t in range(int(steps[0]) + 1)]
        ops = kernels.layer(self.kernels, like.device, like.dtype)

        def tensor(array: np.ndarray) -> Tensor:
            value = torch.from_numpy(np.ascontiguousarray(array)).to(like.device)
            return value.to(like.dtype) if value.is_floating_point() else value

        def true_hints(t: int, n: int) -> dict[str, Tensor]:
            return {
                name: rows(task.spec[name], tensor(samples.hints[name][t][order[:n]]), size).to(like.dtype)
                for name in task.fed
            }

        inputs = {
            n: rows(p, tensor(samples.inputs[n][order]), size).to(like.dtype)
            for n, p in task.spec.items()
            if p.stage == "input"
        }
        codes = Codes(*(task.enc.code(where) for where in ("node", "edge", "graph")))
        step = self.processor(codes, ops)
        decode = task.dec(task.hints, codes, ops)
        given = {where: task.enc.scalars(where, "input", inputs) for where in ("node", "edge", "graph")}
        shapes = {"node": (size,), "edge": (size, size), "graph": ()}
        harden = config.feedback == "hard" or (config.feedback == "hard_on_eval" and not self.training)

        hidden = like.new_zeros(active[0], size, config.hidden)
        fed = true_hints(0, active[0])
        finished: list[Decoded] = []
        kept: dict[str, list[Tensor]] = {name: [] for name in task.hints if keep_hints}
        for t, (n, remaining) in enumerate(pairwise(active)):

            def beside(where: str, n: int = n, fed: dict[str, Tensor] = fed) -> Tensor:
                parts = [part[:n] for part in given[where]] + task.enc.scalars(where, "hint", fed)
                return torch.cat(parts, -1) if parts else like.new_zeros(n, *shapes[where], 0)

            x, s, g = beside("node"), beside("edge"), beside("graph")
            z = torch.cat((x, hidden), -1)
            known = (
                adjacency(task.spec, {k: v[:n] for k, v in inputs.items()} | fed, size)
                if self.processor.masked
                else None
            )  # type: ignore[arg-type]
            hidden, edges = step(State(z, s, g, hidden, known))
            decoded = Decoded(torch.cat((z, hidden), -1), s, g, edges)
            if remaining < n:
                finished.append(_part(decoded, remaining, n))
            raw = {name: of(decoded) for name, of in decode.items()} if keep_hints or (remaining and task.fed) else {}
            told = int((lengths > t + 1).sum())  # samples of length 1 take a step but have no hint to predict
            for name in kept:
                kept[name].append(raw[name][:told])
            if remaining:
                hidden = hidden[:remaining]
                predicted = {name: raw[name][:remaining] for name in task.fed}
                fed = hard(task.spec, predicted, as_rows=True) if harden else soft(task.spec, predicted)
                if forced is not None:
                    fed = _forced(fed, true_hints(t + 1, remaining), forced[t + 1, order[:remaining]])
        gathered = _joined(finished[::-1])
        back = torch.from_numpy(np.argsort(order, kind="stable")).to(like.device)
        outputs = {name: of(gathered)[back] for name, of in task.dec(task.outputs, codes, ops).items()}
        for name in outputs:
            if task.spec[name].type == "permutation_pointer":
                outputs[name] = log_sinkhorn(outputs[name], TRAIN_ITERATIONS, noise)
        return Predictions(outputs, {name: torch.cat(parts) for name, parts in kept.items()})


def _part(d: Decoded, start: int, stop: int) -> Decoded:
    edges = d.edges and d.edges._replace(y=d.edges.y[start:stop])
    return Decoded(d.H[start:stop], d.s[start:stop], d.g[start:stop], edges)


def _joined(parts: list[Decoded]) -> Decoded:
    if len(parts) == 1:
        return parts[0]
    edges = parts[0].edges and EdgeFeatures(torch.cat([d.edges.y for d in parts if d.edges]), *parts[0].edges[1:])
    return Decoded(
        torch.cat([d.H for d in parts]), torch.cat([d.s for d in parts]), torch.cat([d.g for d in parts]), edges
    )


def _forced(fed: dict[str, Tensor], true: dict[str, Tensor], force: Tensor) -> dict[str, Tensor]:
    return {
        name: torch.where(force.view(-1, *[1] * (value.dim() - 1)), true[name], value) for name, value in fed.items()
    }


class _initialised:  # noqa: N801
    """Draw initial weights from a branch of the seed tree, leaving the global random state as it was."""

    def __init__(self, branch) -> None:
        self._seed = branch.integer(63)

    def __enter__(self) -> None:
        self._state = torch.random.get_rng_state()
        torch.manual_seed(self._seed)

    def __exit__(self, *_) -> None:
        torch.random.set_rng_state(self._state)
