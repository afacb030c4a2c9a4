"""Runs seen from outside: finding them, what there is to say about one, what is damaged in one. Loads no torch."""

import os
from pathlib import Path
from typing import Any

from outrange.core import checkpoint, metrics
from outrange.core.errors import BadInput
from outrange.core.run import Run


def find(folder: Path) -> list[Path]:
    """The runs in a folder, at any depth to four, in order."""
    if not folder.is_dir():
        raise BadInput(f"folder: {str(folder)!r} is not a directory; runs are made in 'runs' unless told otherwise")
    runs = []
    for root, inner, files in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if "run.json" in files:
            runs.append(Path(root))
        # a run holds no runs; links are not followed
        if "run.json" in files or len(Path(root).relative_to(folder).parts) >= 4:
            inner.clear()
    return runs


def summary(path: Path) -> dict[str, Any]:
    """What there is to say about a run: kind, newest step, all steps, the last value of every metric, and problems met
    with reading it.
    """
    run = Run.open(path)
    problems: list[str] = []
    last: dict[str, Any] = {}
    if (path / "metrics.jsonl").is_file():
        for line in metrics.read(path / "metrics.jsonl", problems):
            last |= line  # not every line has every metric
    steps = checkpoint.steps(run.checkpoints)
    about = {
        "run": str(path),
        "kind": run.kind,
        "created": run.created,
        "step": steps[-1] if steps else None,
        "checkpoints": steps,
    }
    return about | {"metrics": last, "problems": problems}


def verify(path: Path) -> list[tuple[Path, str]]:
    """Everything that is damaged in a run, and a sentence for it. Reads and hashes every checkpoint."""
    problems, digest = [], None
    try:
        digest = Run.open(path).digest
    except BadInput as error:
        if not (path / "run.json").exists():
            raise  # no run at all
        problems = [(path, str(error))]
    problems += checkpoint.verify(path / "checkpoints", digest)
    for name in ("metrics.jsonl", "timing.jsonl"):
        sentences: list[str] = []
        if (path / name).is_file():
            metrics.read(path / name, sentences)
        problems += [(path / name, sentence) for sentence in sentences]
    return problems
