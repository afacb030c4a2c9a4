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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from outrange.attention.rope.heads import HeadScores
from outrange.attention.rope.layout import Layout, read_layout
from outrange.attention.rope.usage import Usage
from outrange.attention.tap import AttentionInputs, tapped
from outrange.lm import opening

WAYS = ("plain", "usage", "usage and heads")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a pass costs in one of the ``WAYS``."""

    seconds: float
    """median"""
    ratio: float
    """to the plain pass of the same round, median"""
    peak_mb: float
    """peak memory of a process that makes one pass"""


def measure_cost(model: str, tokens: int, rounds: int) -> dict[str, Cost]:
    """The cost of looking, by way.

    Args:
        model: as in ``opening.open_model``.
        tokens: in one window; drawn at random, since only their number matters.
        rounds: of all ways in turn, after one that does not count.
    """
    opened = opening.open_model(model)
    layout, token_ids = read_layout(opened.model), _random_token_ids(opened.model, tokens)
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds + 1):
        for way in WAYS:
            start = time.perf_counter()
            _pass(opened.model, layout, token_ids, way)
            times[way].append(time.perf_counter() - start)
    costs = {}
    for way in WAYS:
        # the first round warms up; ratios are within a round, so that a slow machine slows both
        ratios = [seconds / plain for seconds, plain in zip(times[way][1:], times["plain"][1:], strict=True)]
        costs[way] = Cost(
            seconds=statistics.median(times[way][1:]),
            ratio=statistics.median(ratios),
            peak_mb=_peak_mb(model, tokens, way),
        )
    return costs


def _random_token_ids(model: Any, tokens: int) -> torch.Tensor:
    vocabulary_size = model.config.get_text_config(decoder=True).vocab_size
    generator = torch.Generator().manual_seed(0)
    return torch.randint(10, vocabulary_size, (1, tokens), generator=generator).to(model.device)


@torch.no_grad()
def _pass(model: Any, layout: Layout, token_ids: torch.Tensor, way: str) -> None:
    """One pass over (1, N) token ids, watched as the way says, to its end also on a GPU."""
    watchers = [] if way == "plain" else [Usage(layout)]
    if way == "usage and heads":
        watchers.append(HeadScores())  # type: ignore[arg-type]

    def watch(inputs: AttentionInputs) -> None:
        for watcher in watchers:
            watcher(inputs)

    with tapped(model, watch) if watchers else contextlib.nullcontext():
        model(token_ids, use_cache=False, logits_to_keep=1)
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def _peak_mb(model: str, tokens: int, way: str) -> float:
    """Peak memory of a fresh process that makes one pass."""
    call = f"print_peak({model!r}, {tokens}, {way!r}, {torch.get_num_threads()})"
    code = f"from outrange.attention.rope.bench import print_peak; {call}"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(json.loads(process.stdout.splitlines()[-1]))


def print_peak(model: str, tokens: int, way: str, threads: int) -> None:
    """One pass in this process; prints its peak memory in MB."""
    torch.set_num_threads(threads)
    opened = opening.open_model(model)
    layout = read_layout(opened.model)
    # The pass's own peak, not that of loading, where the system can tell them apart.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    _pass(opened.model, layout, _random_token_ids(opened.model, tokens), way)
    if opened.model.device.type == "cuda":
        print(json.dumps(torch.cuda.max_memory_allocated() / 2**20))
        return
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(OSError, StopIteration):
        status = Path("/proc/self/status").read_text().splitlines()
        peak_kb = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    print(json.dumps(peak_kb / 1024))
