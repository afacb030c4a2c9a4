"""Our side of bench.py, in a process of its own so that its memory can be measured; talks like bench_reference.py."""

import json
import resource
import sys
import time

import numpy as np
import torch

from outrange.reasoning import clrs
from outrange.reasoning.nar.config import TrainConfig
from outrange.reasoning.nar.data import Samples, prepare
from outrange.reasoning.nar.evaluate import predict
from outrange.reasoning.nar.parallel import Group
from outrange.reasoning.nar.train import Trainer


def main(algorithm: str, length: int, batch: int, hidden: int, options: dict, layer: str) -> None:
    """Serve requests from stdin until it closes."""
    from outrange.reasoning.nar.config import ModelConfig

    shape = ModelConfig(hidden=hidden)
    if layer == "gpu":  # the plain layer on a GPU; reading the loss waits for it, so wall seconds are whole
        trainer = Trainer(
            TrainConfig(algorithms=(algorithm,), model=shape, batch=batch, layer="torch", device="cuda"),
            Group(device=torch.device("cuda")),
        )
    else:
        trainer = Trainer(TrainConfig(algorithms=(algorithm,), model=shape, batch=batch, layer=layer))  # type: ignore[arg-type]

    def the_batch(size: int, seed: int, given: dict) -> Samples:
        return prepare(
            clrs.batch(clrs.sample(algorithm, size, batch, seed, **given)), random_pos=np.random.default_rng(0)
        )

    def train(samples: Samples) -> float:
        return trainer.advance(samples)["loss"]

    def evaluate(samples: Samples) -> float:
        predict(trainer.model, samples)
        return 0.0

    ready: dict[str, Samples] = {}
    first = 0.0
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        ask = json.loads(line)
        act = {"train": train, "eval": evaluate}[ask["do"]]
        if ask["do"] not in ready:
            ready[ask["do"]] = (
                the_batch(length, 1, options) if ask["do"] == "train" else the_batch(ask["length"], 3, {})
            )
            since = time.perf_counter()
            act(ready[ask["do"]])
            first = time.perf_counter() - since
        samples = ready[ask["do"]]
        cpu, wall, loss = [], [], 0.0
        for _ in range(ask["steps"]):
            began, since = time.process_time(), time.perf_counter()
            loss = act(samples)
            cpu.append(time.process_time() - began)
            wall.append(time.perf_counter() - since)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        steps = int(np.maximum(1, samples.lengths - 1).sum())
        print(
            json.dumps(
                {"cpu": cpu, "wall": wall, "peak_mb": peak, "loss": loss, "first": first, "sample_steps": steps}
            ),
            flush=True,
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    name, length, batch, hidden, options, layer = sys.argv[1:7]
    main(name, int(length), int(batch), int(hidden), json.loads(options), layer)
