"""A trained reasoner from where it lies: a run's directory, a folder of weights, or the name of weights that ship with the project."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import outrange
from outrange.core.checkpoint import read_weights, write_weights
from outrange.core.config import from_json, to_json
from outrange.core.errors import BadInput, unknown
from outrange.core.run import Run
from outrange.reasoning import clrs
from outrange.reasoning.nar.config import TrainConfig
from outrange.reasoning.nar.model import Reasoner
from outrange.reasoning.nar.spec import task_spec


def shipped() -> dict[str, Path]:
    """The weights that come with the package, by name."""
    return {
        path.parent.name: path.parent
        for path in sorted((Path(outrange.__file__).parent / "weights").glob("*/manifest.json"))
    }


def load(source: str | Path, *, layer: str = "auto") -> tuple[Reasoner, dict[str, Any]]:
    """A reasoner ready to predict, and what is told about it.

    Args:
        source: a run's directory (its best weights on validation, else its last), a folder of weights, or a shipped name such as ``generalist``.
        layer: the kernels.

    Raises:
        BadInput: nothing of the kind is there, or it is damaged.
    """
    path = Path(source)
    if (path / "run.json").exists():
        stored = Run.open(path).config
        tensors, about = _weights(path, last=False)
    else:
        names = shipped()
        if not (path / "manifest.json").exists():
            if path.exists() or len(path.parts) > 1:
                raise BadInput(f"source: {str(source)!r} holds neither a run (run.json) nor weights (manifest.json)")
            if str(source) not in names:
                raise unknown(
                    "source",
                    str(source),
                    names,
                    "a run's directory, a folder of weights, or the name of shipped weights",
                )
            path = names[str(source)]
        tensors, about = read_weights(path)
        stored = about["config"]
    config, reasoner = _known(stored, layer)
    own = reasoner.state_dict()
    if {name: value.shape for name, value in tensors.items()} != {name: value.shape for name, value in own.items()}:
        wrong = sorted(
            name
            for name in own.keys() | tensors.keys()
            if name not in own or name not in tensors or own[name].shape != tensors[name].shape
        )
        raise BadInput(
            f"source: {str(source)!r} does not fit its own configuration: {wrong[0]} is of another shape, or on one side only"
        )
    reasoner.load_state_dict({name: value.to(own[name].dtype) for name, value in tensors.items()})
    lengths = config.lengths or max((clrs.generalist(name)[0] for name in config.algorithms), key=max)
    reasoner.to("cuda" if torch.cuda.is_available() else "cpu")
    return reasoner.eval(), about | {"config": to_json(config), "trained_up_to": max(lengths)}


def _known(stored: dict[str, Any], layer: str) -> tuple[TrainConfig, Reasoner]:
    """A stored configuration and its reasoner, without running the files that it names: whoever reads weights says which code to run."""
    try:
        config = from_json(TrainConfig, stored | {"load": []}, "config")
        return config, reasoner_of(config, layer)
    except BadInput as error:
        if stored.get("load"):
            raise BadInput(f"{error}; it was trained with --load {' --load '.join(map(str, stored['load']))}") from None
        raise


def _weights(run: Path, last: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A run's weights, and of which step they are: the best on validation if there was any, else the last."""
    found = Run.open(run).load()
    if not found:
        raise BadInput(f"source: {str(run)!r} holds no checkpoint yet; train it further")
    if last or "best" not in found.tensors:
        return found.tensors["model"], {"run": str(run), "weights": "last", "step": found.step}
    return found.tensors["best"], {
        "run": str(run),
        "weights": "best",
        "step": found.state["best_step"],
        "validation": found.state["best_score"],
    }


def task_changes(about: dict[str, Any]) -> dict[str, bool]:
    """How the reasoner's data must be prepared."""
    return {name: about["config"][name] for name in ("pred_as_input", "permutations")}


def reasoner_of(config: TrainConfig, layer: str = "auto") -> Reasoner:
    """A fresh reasoner of a training's shape."""
    specs = {
        name: task_spec(clrs.spec(name), pred_as_input=config.pred_as_input, permutations=config.permutations)
        for name in config.algorithms
    }
    return Reasoner(specs, config.model, layer=layer)


def export(run: Path, folder: Path, about: dict[str, Any], half: bool = True, last: bool = False) -> None:
    """Write a run's weights, the best on validation or the last, as a folder of weights, in half precision unless told otherwise."""
    tensors, told = _weights(run, last)
    if half:
        tensors = {name: value.half() for name, value in tensors.items()}
    told = (
        {"config": Run.open(run).config | {"load": [], "start": ""}} | told | about
    )  # no paths of the machine it was made on
    del told["run"]
    write_weights(folder.resolve(), tensors, told)


def start_from(reasoner: Reasoner, source: str) -> None:
    """Give a reasoner the processor of another, and the encoders and decoders of the algorithms that both know.

    Raises:
        BadInput: the two are not of one shape.
    """
    given, own = load(source)[0].state_dict(), reasoner.state_dict()
    for name, value in own.items():
        if name in given and given[name].shape != value.shape:
            raise BadInput(
                f"train.start: {source!r} has {name} of shape {tuple(given[name].shape)}, this reasoner {tuple(value.shape)}; give it the same model"
            )
    missing = [name for name in own if name.startswith("processor.") and name not in given]
    if missing:
        raise BadInput(f"train.start: {source!r} has no {missing[0]}; give this reasoner the same processor")
    reasoner.load_state_dict(own | {name: value for name, value in given.items() if name in own})


def algorithms_of(reasoner: Reasoner, wanted: Sequence[str]) -> list[str]:
    """The algorithms to evaluate: those wanted, else all that the reasoner knows."""
    for name in wanted:
        reasoner.task(name)
    return list(wanted or reasoner.algorithms)
