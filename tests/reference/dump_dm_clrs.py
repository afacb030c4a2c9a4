"""Run by the reference environment's Python: samples and texts of dm-clrs 2.0.3 for the cases of a plan, as arrays and JSON."""

import json
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import clrs
import numpy as np
from clrs._src.clrs_text import clrs_utils

folder = Path(sys.argv[1])
for name, cases in json.loads((folder / "plan.json").read_text()).items():
    arrays, texts = {}, {}
    for case, (n, seed, decimals, options, count) in enumerate(cases):
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        sampler, _ = clrs.build_sampler(
            name, num_samples=-1, length=n, seed=seed, track_max_steps=False, truncate_decimals=decimals, **options
        )
        for k in range(count):
            sample = sampler.next(1)
            where = f"{case}/{k}"
            arrays[f"{where}/length"] = np.asarray(int(sample.features.lengths[0]))
            for stage, probes, axis in (
                ("input", sample.features.inputs, 0),
                ("hint", sample.features.hints, 1),
                ("output", sample.outputs, 0),
            ):
                for probe in probes:
                    arrays[f"{where}/{stage}/{probe.name}"] = np.take(probe.data, 0, axis)
            for hints in (False, True):
                texts[f"{where}/{hints}"] = clrs_utils.format_clrs_example(name, sample, use_hints=hints)
    np.savez(folder / f"{name}.npz", **arrays)
    (folder / f"{name}.json").write_text(json.dumps(texts))
