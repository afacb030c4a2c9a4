"""What looking costs: a plain pass over a text beside one with usage, and one with head scores as well.

Time is taken side by side in one process, memory in processes of their own.
"""

import contextlib
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from outrange.attention.rope.heads import HeadScores
from outrange.attention.rope.layout import Layout, read_layout
from outrange.attention.rope.usage import Usage
from outrange.attention.tap import tapped
from outrange.lm import opening

WAYS = ("plain", "usage", "usage and heads")


def bench(model: str, tokens: int, rounds: int) -> dict[str, dict[str, float]]:
    """By way: median ``seconds`` of a pass, ``ratio`` to the plain one of the same round (median), and ``peak_mb`` of a process that makes one pass.

    Args:
        model: as in ``opening.open_model``.
        tokens: in one window; drawn, since only their number matters.
        rounds: of all ways in turn, after one that does not count.
    """
    opened = opening.open_model(model)
    found, ids = read_layout(opened.model), _ids(opened.model, tokens)
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds + 1):
        for way in WAYS:
            began = time.perf_counter()
            _pass(opened.model, found, ids, way)
            times[way].append(time.perf_counter() - began)
    result = {}
    for way in WAYS:
        ratios = [one / plain for one, plain in zip(times[way][1:], times["plain"][1:], strict=True)]
        result[way] = {
            "seconds": statistics.median(times[way][1:]),
            "ratio": statistics.median(ratios),
            "peak_mb": _peak(model, tokens, way),
        }
    return result


def _ids(model: Any, tokens: int) -> torch.Tensor:
    return torch.randint(
        10,
        model.config.get_text_config(decoder=True).vocab_size,
        (1, tokens),
        generator=torch.Generator().manual_seed(0),
    ).to(model.device)


@torch.no_grad()
def _pass(model: Any, found: Layout, ids: torch.Tensor, way: str) -> None:
    if way == "plain":
        model(ids, use_cache=False, logits_to_keep=1)
        _wait(model)
        return
    watchers = [Usage(found)] + ([HeadScores()] if way == WAYS[2] else [])
    with tapped(model, lambda seen: [watch(seen) for watch in watchers]):  # type: ignore[arg-type, return-value]
        model(ids, use_cache=False, logits_to_keep=1)
    _wait(model)


def _wait(model: Any) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def _peak(model: str, tokens: int, way: str) -> float:
    code = (
        f"from outrange.attention.rope.bench import once; once({model!r}, {tokens}, {way!r}, {torch.get_num_threads()})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def once(model: str, tokens: int, way: str, threads: int) -> None:
    """One pass in this process; prints its peak memory in MB."""
    torch.set_num_threads(threads)
    opened = opening.open_model(model)
    found = read_layout(opened.model)
    with contextlib.suppress(OSError):  # the pass's own peak, not that of loading, where the system can tell them apart
        Path("/proc/self/clear_refs").write_text("5")
    _pass(opened.model, found, _ids(opened.model, tokens), way)
    if opened.model.device.type == "cuda":
        print(json.dumps(torch.cuda.max_memory_allocated() / 2**20))
        return
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(OSError, StopIteration):
        peak = next(
            int(line.split()[1])
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmHWM")
        )
    print(json.dumps(peak / 1024))
