"""Our side of bench.py, in a process of its own so that its memory can be measured; talks like bench_reference.py."""

import json
import resource
import sys
import time
from dataclasses import replace

import numpy as np
import torch

from outrange.reasoning import clrs
from outrange.reasoning.nar.config import ModelConfig, TrainConfig
from outrange.reasoning.nar.evaluation import predict
from outrange.reasoning.nar.parallel import ProcessGroup
from outrange.reasoning.nar.samples import Samples, prepare
from outrange.reasoning.nar.training import Trainer


def main(algorithm: str, length: int, batch_size: int, hidden_dim: int, options: dict, side: str) -> None:
    """Serve requests from stdin until it closes."""
    config = TrainConfig(
        algorithms=(algorithm,), model=ModelConfig(hidden_dim=hidden_dim), batch_size=batch_size, kernels="torch"
    )
    if side == "gpu":  # reading the loss waits for a GPU, so wall seconds are whole
        trainer = Trainer(replace(config, device="cuda"), ProcessGroup(device=torch.device("cuda")))
    else:
        trainer = Trainer(replace(config, kernels=side))  # type: ignore[arg-type]

    def draw_batch(size: int, seed: int, sampler_options: dict) -> Samples:
        traces = clrs.sample(algorithm, size, batch_size, seed, **sampler_options)
        return prepare(clrs.batch(traces), random_pos=np.random.default_rng(0))

    def train(samples: Samples) -> float:
        return trainer.advance(samples)["loss"]

    def evaluate(samples: Samples) -> float:
        predict(trainer.model, samples)
        return 0.0

    batches: dict[str, Samples] = {}
    first = 0.0
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        ask = json.loads(line)
        work = {"train": train, "eval": evaluate}[ask["do"]]
        if ask["do"] not in batches:  # one batch, drawn once; its first step, which may compile, is timed apart
            draw = (length, 1, options) if ask["do"] == "train" else (ask["length"], 3, {})
            batches[ask["do"]] = draw_batch(*draw)
            wall_began = time.perf_counter()
            work(batches[ask["do"]])
            first = time.perf_counter() - wall_began
        samples = batches[ask["do"]]
        cpu, wall, loss = [], [], 0.0
        for _ in range(ask["steps"]):
            cpu_began, wall_began = time.process_time(), time.perf_counter()
            loss = work(samples)
            cpu.append(time.process_time() - cpu_began)
            wall.append(time.perf_counter() - wall_began)
        answer = {
            "cpu": cpu,
            "wall": wall,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "loss": loss,
            "first": first,
            "sample_steps": int(np.maximum(1, samples.lengths - 1).sum()),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    name, length, batch_size, hidden_dim, options, side = sys.argv[1:7]
    main(name, int(length), int(batch_size), int(hidden_dim), json.loads(options), side)
