"""Training steps and predictions of dm-clrs 2.0.3, on request: started by bench.py with a Python that has that package,
talks by lines of JSON.

Asks: {"do": "train" | "eval", "steps": k, "length": n}; answers: {"cpu": seconds of each, "wall": seconds of each,
"first": wall seconds of the first call, "peak_mb": …, "sample_steps": …, "loss": last}. bench_ours.py talks the same
way.
"""

import json
import os
import resource
import sys
import time
import warnings

warnings.filterwarnings("ignore")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["JAX_PLATFORMS"] = "cpu"


def main(algorithm: str, length: int, batch: int, hidden: int, options: dict, pred_as_input: bool) -> None:
    import clrs
    import jax
    import numpy as np

    rng = np.random.RandomState(0)

    def the_batch(size: int, seed: int, options: dict):
        sampler, spec = clrs.build_sampler(algorithm, seed=seed, num_samples=batch, length=size, **options)

        def drawn():
            while True:
                yield sampler.next()

        stream = clrs.process_random_pos(drawn(), rng)
        if pred_as_input:
            spec, stream = clrs.process_pred_as_input(spec, stream)
        spec, stream = clrs.process_permutations(spec, stream, enforce_permutations=True)
        return spec, next(stream)

    spec, first = the_batch(length, 1, options)
    factory = clrs.get_processor_factory("triplet_gmpnn", use_ln=True, nb_triplet_fts=8, nb_heads=1)
    model = clrs.models.BaselineModel(
        spec=[spec], dummy_trajectory=[first], processor_factory=factory, hidden_dim=hidden, encode_hints=True, decode_hints=True,
        encoder_init="xavier_on_scalars", use_lstm=False, learning_rate=1e-3, grad_clip_max_norm=1.0, checkpoint_path="/tmp", freeze_processor=False,
        dropout_prob=0.0, hint_teacher_forcing=0.0, hint_repred_mode="soft", nb_msg_passing_steps=1,
    )  # fmt: skip
    model.init([first.features], 42)
    key = jax.random.PRNGKey(0)

    def train(data) -> float:
        return float(model.feedback(key, data))

    def evaluate(data) -> float:
        outputs, _ = model.predict(key, data.features)
        jax.block_until_ready(outputs)
        return 0.0

    ready, first_step = {}, 0.0
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        ask = json.loads(line)
        act = {"train": train, "eval": evaluate}[ask["do"]]
        if ask["do"] not in ready:
            # always the same batch, so that the reference, which compiles for each number of hint steps, compiles once
            ready[ask["do"]] = first if ask["do"] == "train" else the_batch(ask["length"], 3, {})[1]
            since = time.perf_counter()
            act(ready[ask["do"]])
            first_step = time.perf_counter() - since
        cpu, wall, loss = [], [], 0.0
        for _ in range(ask["steps"]):
            began, since = time.process_time(), time.perf_counter()
            loss = act(ready[ask["do"]])
            cpu.append(time.process_time() - began)
            wall.append(time.perf_counter() - since)
        lengths = ready[ask["do"]].features.lengths.tolist()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            json.dumps(
                {
                    "cpu": cpu,
                    "wall": wall,
                    "peak_mb": peak,
                    "loss": loss,
                    "first": first_step,
                    "sample_steps": sum(max(1, n - 1) for n in lengths),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]), json.loads(sys.argv[5]), sys.argv[6] == "pred_as_input")
