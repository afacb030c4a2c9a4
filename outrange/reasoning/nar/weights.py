"""Where trained weights lie: in a run's directory, in a folder of weights, or among those that ship with the project."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

import outrange
from outrange.core.checkpoint import read_weights, write_weights
from outrange.core.errors import BadInput, unknown
from outrange.core.run import Run


def shipped() -> dict[str, Path]:
    """The weights that come with the package: their folders, by name."""
    folder = Path(outrange.__file__).parent / "weights"
    return {path.parent.name: path.parent for path in sorted(folder.glob("*/manifest.json"))}


def read(source: str | Path) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """Weights by name, the configuration of their training as JSON as it was written, and what else is known about
    them.

    Args:
        source: a run's directory (its best weights on validation, else its last), a folder of weights, or a shipped
            name such as ``generalist``.

    Raises:
        BadInput: nothing of the kind is there, or it is damaged.
    """
    path = Path(source)
    if (path / "run.json").exists():
        tensors, about = of_run(path)
        return tensors, Run.open(path).config, about
    names = shipped()
    if not (path / "manifest.json").exists():
        if path.exists() or len(path.parts) > 1:
            raise BadInput(f"source: {str(source)!r} holds neither a run (run.json) nor weights (manifest.json)")
        if str(source) not in names:
            allowed = "a run's directory, a folder of weights, or the name of shipped weights"
            raise unknown("source", str(source), names, allowed)
        path = names[str(source)]
    tensors, about = read_weights(path)  # checked against its hashes
    return tensors, about["config"], about


def of_run(run: Path, last: bool = False) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A run's weights, and of which step they are: the best on validation if there was any, else (or if ``last``) the
    last.
    """
    # the optimizer's moments, twice the weights, are left unread
    opened = Run.open(run)
    opened.require_kind("nar")
    checkpoint = opened.load(only=("model",) if last else ("model", "best"))
    if not checkpoint:
        raise BadInput(f"source: {str(run)!r} holds no checkpoint yet; train it further")
    if last or "best" not in checkpoint.tensors:
        return checkpoint.tensors["model"], {"run": str(run), "weights": "last", "step": checkpoint.step}
    about = {
        "run": str(run),
        "weights": "best",
        "step": checkpoint.state["best_step"],
        "validation": checkpoint.state["best_score"],
    }
    return checkpoint.tensors["best"], about


def export(run: Path, folder: Path, about: Mapping[str, Any], half: bool = True, last: bool = False) -> None:
    """Write a run's weights as a folder of weights.

    Args:
        run: its directory.
        folder: a new one.
        about: what else to say of them, as JSON.
        half: in half precision.
        last: the last weights, not the best on validation.
    """
    tensors, origin = of_run(run, last)
    if half:
        tensors = {name: value.half() for name, value in tensors.items()}
    # the configuration as it was written, less the paths of the machine that it was made on
    paths = ("load", "initial_weights", "start")
    config = {name: value for name, value in Run.open(run).config.items() if name not in paths}
    del origin["run"]
    write_weights(folder.resolve(), tensors, {"config": config | {"load": []}} | origin | dict(about))
