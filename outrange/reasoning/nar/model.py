"""The network: a processor shared by algorithms, each with its own encoders and decoders (arXiv 2209.11142), rolled out
along the hints.

A sample of ``length`` hints takes max(1, length - 1) steps. Step t reads the inputs and the hints of step t (the true
ones at step 0, then its own, softened), and predicts the hints of step t + 1; outputs are read at a sample's last step.
What need not be computed is not, without changing a result: samples are sorted by length, so that each step runs on
those not yet finished, and the outputs of all are decoded at once at the end.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from outrange.core.errors import BadInput, brief
from outrange.core.seeding import SeedTree
from outrange.reasoning.nar import kernels as edge_kernels
from outrange.reasoning.nar.config import ModelConfig
from outrange.reasoning.nar.decode import TRAIN_ITERATIONS, Decoded, Decoders, hard, log_sinkhorn, soft
from outrange.reasoning.nar.encode import Encoders, adjacency, rows, slot
from outrange.reasoning.nar.processor import Codes, EdgeFeatures, State, processor
from outrange.reasoning.nar.samples import Samples
from outrange.reasoning.nar.spec import TaskProbe

LOCATIONS = ("node", "edge", "graph")


class Predictions(NamedTuple):
    """Raw predictions.

    ``outputs`` (B, …) in the samples' order; ``hints`` of the live (step, sample) pairs one after another, see
    ``loss.live``.
    """

    outputs: dict[str, Tensor]
    hints: dict[str, Tensor]


class Task(nn.Module):
    """What belongs to one algorithm: its encoders and decoders."""

    def __init__(self, spec: Mapping[str, TaskProbe], config: ModelConfig, edge_features: int) -> None:
        super().__init__()
        self.spec = dict(spec)
        encoded_stages = ("input", "hint") if config.hint_mode == "encoded_decoded" else ("input",)
        decoded_stages = ("output",) if config.hint_mode == "none" else ("output", "hint")
        encoded = {name: probe for name, probe in spec.items() if probe.stage in encoded_stages}
        decoded = {name: probe for name, probe in spec.items() if probe.stage in decoded_stages}
        self.enc = Encoders(encoded, config.hidden_dim, config.xavier_on_scalars)
        self.dec = Decoders(decoded, config.hidden_dim, edge_features)
        self.outputs = [name for name, probe in spec.items() if probe.stage == "output"]
        self.predicted_hints = [name for name, probe in decoded.items() if probe.stage == "hint"]
        self.fed_hints = self.predicted_hints if "hint" in encoded_stages else []


class EncodeProcessDecode(nn.Module):
    """One processor and a ``Task`` an algorithm. With ways to load and to run it, it is a ``Reasoner``.

    Args:
        specs: by algorithm, its probes (``nar.spec.task_spec``).
        config: the shape.
        seed: of the initial weights; a task's depend on the seed and its name alone.
        kernels: auto, torch or cpu.
    """

    def __init__(
        self,
        specs: Mapping[str, Mapping[str, TaskProbe]],
        config: ModelConfig | None = None,
        *,
        seed: int = 0,
        kernels: str = "auto",
    ) -> None:
        super().__init__()
        self.config, self._kernels = config or ModelConfig(), kernels
        seeds = SeedTree(seed)
        with _initial_weights(seeds.child("processor").integer(63)):
            self.processor = processor(self.config.processor, self.config.hidden_dim, self.config.triplet_features)
        self.algorithms, self.tasks = tuple(specs), nn.ModuleDict()
        for name, spec in specs.items():
            with _initial_weights(seeds.child("task").child(name).integer(63)):
                self.tasks[slot(name)] = Task(spec, self.config, int(self.processor.edge_features))  # type: ignore[arg-type]

    @property
    def kernels(self) -> str:
        """The kernels in use, by name."""
        like = next(self.parameters())
        return edge_kernels.choose(self._kernels, like.device, like.dtype)

    def task(self, algorithm: str) -> Task:
        """What belongs to an algorithm.

        Raises:
            BadInput: it is not one of those that this reasoner knows.
        """
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
        task, size, config = self.task(samples.algorithm), samples.size, self.config
        like = next(self.parameters())
        ops = edge_kernels.load(self.kernels, like.device, like.dtype)

        # longest samples first, so that those not yet finished at step t are the first active[t]
        order = np.argsort(-samples.lengths, kind="stable")
        lengths = samples.lengths[order]
        steps = np.maximum(1, lengths - 1)
        active = [int((steps > t).sum()) for t in range(int(steps[0]) + 1)]

        def as_rows(name: str, array: np.ndarray) -> Tensor:
            """A probe's array on the model's device, pointers as one-hot rows."""
            value = torch.from_numpy(np.ascontiguousarray(array)).to(like.device)
            value = value.to(like.dtype) if value.is_floating_point() else value
            return rows(task.spec[name], value, size).to(like.dtype)

        def true_hints(t: int, n: int) -> dict[str, Tensor]:
            return {name: as_rows(name, samples.hints[name][t][order[:n]]) for name in task.fed_hints}

        # encoders are composed with the processor's and the decoders' maps once, not applied at every step (encode.py)
        input_names = [name for name, probe in task.spec.items() if probe.stage == "input"]
        inputs = {name: as_rows(name, samples.inputs[name][order]) for name in input_names}
        codes = Codes(*(task.enc.code(location) for location in LOCATIONS))
        process = self.processor(codes, ops)
        decoders = task.dec(task.predicted_hints, codes, ops)
        input_scalars = {location: task.enc.scalars(location, "input", inputs) for location in LOCATIONS}
        axes = {"node": (size,), "edge": (size, size), "graph": ()}
        decided = config.hint_feedback == "hard" or (config.hint_feedback == "hard_on_eval" and not self.training)

        hidden = like.new_zeros(active[0], size, config.hidden_dim)
        fed = true_hints(0, active[0])
        finished: list[Decoded] = []
        raw_hints: dict[str, list[Tensor]] = {name: [] for name in task.predicted_hints if keep_hints}
        for t, (n, remaining) in enumerate(pairwise(active)):
            # encode: the scalars of inputs and fed hints, side by side
            def scalars(location: str, n: int = n, fed: dict[str, Tensor] = fed) -> Tensor:
                parts = [part[:n] for part in input_scalars[location]] + task.enc.scalars(location, "hint", fed)
                return torch.cat(parts, -1) if parts else like.new_zeros(n, *axes[location], 0)

            node, edge, graph = scalars("node"), scalars("edge"), scalars("graph")
            z = torch.cat((node, hidden), -1)

            # process
            senders = None
            if self.processor.masked:
                current = {name: value[:n] for name, value in inputs.items()} | fed
                senders = adjacency(task.spec, current, size)
            hidden, edge_features = process(State(z, edge, graph, hidden, senders))

            # decode the hints of step t + 1, where anyone reads them; outputs wait until all samples are finished
            decoded = Decoded(torch.cat((z, hidden), -1), edge, graph, edge_features)
            if remaining < n:
                finished.append(_samples_of(decoded, remaining, n))
            raw: dict[str, Tensor] = {}
            if keep_hints or (remaining and task.fed_hints):
                raw = {name: decode(decoded) for name, decode in decoders.items()}
            # a sample of length 1 takes a step but has no hint to predict
            with_next_hint = int((lengths > t + 1).sum())
            for name in raw_hints:
                raw_hints[name].append(raw[name][:with_next_hint])

            # feed them back
            if remaining:
                hidden = hidden[:remaining]
                predicted = {name: raw[name][:remaining] for name in task.fed_hints}
                fed = hard(task.spec, predicted, as_rows=True) if decided else soft(task.spec, predicted)
                if forced is not None:
                    fed = _teacher_forced(fed, true_hints(t + 1, remaining), forced[t + 1, order[:remaining]])

        outputs = self._decode_outputs(task, codes, ops, finished, order, noise)
        return Predictions(outputs, {name: torch.cat(parts) for name, parts in raw_hints.items()})

    def _decode_outputs(
        self, task: Task, codes: Codes, ops, finished: list[Decoded], order: np.ndarray, noise: Tensor | None
    ) -> dict[str, Tensor]:
        """The outputs of all samples at once, each from its own last step, in the samples' order."""
        last_steps = _concatenated(finished[::-1])  # the longest finished last
        original_order = torch.from_numpy(np.argsort(order, kind="stable")).to(last_steps.H.device)
        decoders: dict[str, Callable[[Decoded], Tensor]] = task.dec(task.outputs, codes, ops)
        outputs = {name: decode(last_steps)[original_order] for name, decode in decoders.items()}
        for name in outputs:
            if task.spec[name].type == "permutation_pointer":
                outputs[name] = log_sinkhorn(outputs[name], TRAIN_ITERATIONS, noise)
        return outputs


def _samples_of(d: Decoded, start: int, stop: int) -> Decoded:
    """What decoders read of some of the samples."""
    edges = d.edges and d.edges._replace(y=d.edges.y[start:stop])
    return Decoded(d.H[start:stop], d.s[start:stop], d.g[start:stop], edges)


def _concatenated(parts: list[Decoded]) -> Decoded:
    """What decoders read, of the samples of all parts."""
    if len(parts) == 1:
        return parts[0]
    edges = parts[0].edges and EdgeFeatures(torch.cat([d.edges.y for d in parts if d.edges]), *parts[0].edges[1:])
    return Decoded(
        torch.cat([d.H for d in parts]), torch.cat([d.s for d in parts]), torch.cat([d.g for d in parts]), edges
    )


def _teacher_forced(fed: dict[str, Tensor], true: dict[str, Tensor], forced: Tensor) -> dict[str, Tensor]:
    """Hints (B, …) to feed: the true ones where ``forced`` (B,)."""
    return {
        name: torch.where(forced.view(-1, *[1] * (value.dim() - 1)), true[name], value) for name, value in fed.items()
    }


@contextmanager
def _initial_weights(seed: int) -> Iterator[None]:
    """Draw initial weights from a seed, leaving the global random state as it was."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        yield
    finally:
        torch.random.set_rng_state(state)
