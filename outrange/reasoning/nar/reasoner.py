"""A reasoner as one uses it: loaded by name, run on traces.

Below it stand the network (model.py), weights (weights.py) and scores (evaluation.py).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from outrange.core.config import from_json, to_json
from outrange.core.errors import BadInput
from outrange.reasoning import clrs
from outrange.reasoning.clrs.traces import Trace
from outrange.reasoning.nar import evaluation, weights
from outrange.reasoning.nar.config import TrainConfig
from outrange.reasoning.nar.model import EncodeProcessDecode
from outrange.reasoning.nar.spec import task_spec


class Reasoner(EncodeProcessDecode):
    """A network that executes algorithms. Its parameters are those of ``EncodeProcessDecode``.

    >>> Reasoner.load("generalist").execute(clrs.sample("bfs", length=16))    # doctest: +SKIP
    """

    @classmethod
    def load(cls, source: str | Path, *, kernels: str = "auto") -> "Reasoner":
        """A trained reasoner: from a run's directory, a folder of weights, or by the name of weights that ship with the
        project, e.g. ``generalist``.
        """
        return load(source, kernels=kernels)[0]

    def execute(self, traces: Sequence[Trace]) -> list[dict[str, np.ndarray]]:
        """The outputs that this reasoner gives for the inputs of traces, see ``evaluation.execute``."""
        return evaluation.execute(self, traces)


def load(source: str | Path, *, kernels: str = "auto") -> tuple[Reasoner, dict[str, Any]]:
    """A reasoner ready to predict, and what is known about it.

    Args:
        source: a run's directory (its best weights on validation, else its last), a folder of weights, or a shipped
            name such as ``generalist``.
        kernels: auto, torch or cpu.

    Returns:
        the reasoner, on a GPU if there is one, and a dict with ``config`` (of its training, as JSON) and
            ``trained_up_to`` (nodes), among others.

    Raises:
        BadInput: nothing of the kind is there, or it is damaged.
    """
    tensors, config_json, about = weights.read(source)
    config, reasoner = _fresh_for(config_json, kernels)
    own = reasoner.state_dict()
    _refuse_other_shapes(str(source), tensors, own)
    # weights may be kept in half precision
    reasoner.load_state_dict({name: value.to(own[name].dtype) for name, value in tensors.items()})
    reasoner.to("cuda" if torch.cuda.is_available() else "cpu")
    # without lengths of its own, a training took the generalist's of each algorithm
    lengths = config.lengths or max((clrs.generalist(name)[0] for name in config.algorithms), key=max)
    return reasoner.eval(), about | {"config": to_json(config), "trained_up_to": max(lengths)}


def _fresh_for(config_json: Mapping[str, Any], kernels: str) -> tuple[TrainConfig, Reasoner]:
    """A stored configuration and its reasoner, without running the files that it names: whoever reads weights says
    which code to run.
    """
    try:
        config = from_json(TrainConfig, {**config_json, "load": []}, "config")
        return config, fresh(config, kernels)
    except BadInput as error:
        if config_json.get("load"):  # the name may be one that such a file registers
            files = " --load ".join(map(str, config_json["load"]))
            raise BadInput(f"{error}; it was trained with --load {files}") from None
        raise


def _refuse_other_shapes(source: str, tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not those of their own configuration."""
    shapes, own_shapes = ({name: value.shape for name, value in side.items()} for side in (tensors, own))
    if shapes != own_shapes:
        wrong = sorted(name for name in shapes.keys() | own_shapes if shapes.get(name) != own_shapes.get(name))
        raise BadInput(
            f"source: {source!r} does not fit its own configuration: {wrong[0]} is of another shape, or on one side only"
        )


def fresh(config: TrainConfig, kernels: str = "auto", seed: int = 0) -> Reasoner:
    """An untrained reasoner of a training's shape."""
    specs = {
        name: task_spec(clrs.spec(name), pred_as_input=config.pred_as_input, permutations=config.permutations)
        for name in config.algorithms
    }
    return Reasoner(specs, config.model, seed=seed, kernels=kernels)


def start_from(reasoner: EncodeProcessDecode, source: str) -> None:
    """Give a reasoner the processor of another, and the encoders and decoders of the algorithms that both know.

    Raises:
        BadInput: the two are not of one shape.
    """
    other, own = load(source)[0].state_dict(), reasoner.state_dict()
    for name, value in own.items():
        if name in other and other[name].shape != value.shape:
            raise BadInput(
                f"initial_weights: {source!r} has {name} of shape {tuple(other[name].shape)}, "
                f"this reasoner {tuple(value.shape)}; give it the same model"
            )
    # encoders and decoders of algorithms that the other does not know start fresh; a processor is whole or useless
    missing = [name for name in own if name.startswith("processor.") and name not in other]
    if missing:
        raise BadInput(f"initial_weights: {source!r} has no {missing[0]}; give this reasoner the same processor")
    reasoner.load_state_dict(own | {name: value for name, value in other.items() if name in own})


def spec_options(about: Mapping[str, Any]) -> dict[str, bool]:
    """How the data of a loaded reasoner must be prepared, for ``evaluation_set`` and ``curve``; ``about`` is what
    ``load`` gave.
    """
    return {name: about["config"][name] for name in ("pred_as_input", "permutations")}


def known_algorithms(reasoner: EncodeProcessDecode, names: Sequence[str]) -> list[str]:
    """The algorithms of these names, or all that the reasoner knows if there are none.

    Raises:
        BadInput: it does not know one of them.
    """
    for name in names:
        reasoner.task(name)
    return list(names or reasoner.algorithms)
