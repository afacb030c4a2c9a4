"""Opening a language model safely: by a built-in name, from a Hugging Face folder, a GGUF file, a run of
``outrange lm train``, or the hub.

Nothing that was stored runs: no pickle, no code that comes with a model, and a GGUF header is bounded before any other reader sees the file. What a model needs
is estimated before it is loaded, and refused if it does not fit.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from outrange.core import memory
from outrange.core.errors import BadInput, brief
from outrange.lm import pretrained

BUILT_IN = (pretrained.NAME,)
Dtype = Literal["float32", "bfloat16", "float16", "float64"]
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}
_ROOM = 1.3  # of weights, for what a pass over a text needs beside them
Told = Callable[[str], None]


@dataclass(frozen=True)
class Opened:
    """A model ready to be looked at."""

    name: str
    model: Any
    tokenizer: Any
    """None where none came with the model"""


@dataclass(frozen=True)
class Source:
    """Where a model is, checked, nothing loaded yet."""

    name: str
    given: dict[str, Any]
    """arguments of transformers' ``from_pretrained``"""
    parameters: int | None
    has_weights: bool
    has_tokenizer: bool = True


def source(name: str, tell: Told = lambda said: None) -> Source:
    """Find a model and check what can be checked without loading it.

    Args:
        name: "smollm2-135m", a folder, a ``.gguf`` file, or "owner/name" on the hub.
        tell: called with what is being done, where it takes long.

    Raises:
        BadInput: there is none, or it is not safe to open.
    """
    from outrange.lm.gguf_header import read_header
    from outrange.lm.safe_folder import check_folder

    if name in BUILT_IN:
        path = pretrained.fetch(tell)
    else:
        path = Path(name).expanduser()
    if path.is_dir():
        found = check_folder(path)
        return Source(
            name,
            {"pretrained_model_name_or_path": str(path), "local_files_only": True},
            found.parameters or None,
            found.has_weights,
            found.has_tokenizer,
        )
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise BadInput(
                f"model: {name!r} is a file, but no .gguf file; give a Hugging Face folder, a .gguf file, a name on the hub or {BUILT_IN[0]!r}"
            )
        given = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name, "local_files_only": True}
        return Source(name, given, read_header(path).parameters, True)
    parts = name.split("/")
    if len(parts) != 2 or not all(
        part and part.replace("-", "").replace("_", "").replace(".", "").isalnum() and part[0] not in ".-"
        for part in parts
    ):
        raise BadInput(
            f"model: {brief(name)} is neither a file nor a folder nor a name on the hub (owner/name); built in: {', '.join(BUILT_IN)}"
        )
    return Source(name, {"pretrained_model_name_or_path": name}, None, True)


def open_config(name: str, tell: Told = lambda said: None) -> Any:
    """A model's configuration alone; its weights need not be there."""
    from transformers import AutoConfig

    if _is_run(name):
        from outrange.lm.model import load

        return load(Path(name))[0].config
    with _plainly(name):
        return AutoConfig.from_pretrained(**source(name, tell).given, trust_remote_code=False)


def open_model(name: str, dtype: Dtype = "float32", tell: Told = lambda said: None) -> Opened:
    """A model with its tokenizer, in evaluation mode, on the CPU or the GPU if there is one.

    Raises:
        BadInput: there is none, it is not safe to open, or it does not fit into memory.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    if _is_run(name):
        from outrange.lm.model import load

        model, tokenizer, _, _ = load(Path(name))
        return Opened(name, model.to(getattr(torch, dtype)), tokenizer)
    at = source(name, tell)
    if not at.has_weights:
        raise BadInput(
            f"model: {name!r} holds a configuration but no weights; `outrange attention layout` needs no more than that"
        )
    with _plainly(name):
        config = AutoConfig.from_pretrained(**at.given, trust_remote_code=False)
        if config.__class__.__name__ != "PreTrainedConfig" and type(config) not in AutoModelForCausalLM._model_mapping:
            raise BadInput(
                f"model: {name!r} is a {config.model_type!r} model, which is no decoder of text; allowed are models that predict the next token"
            )
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        _refuse_too_large(name, at.parameters or _counted(config), dtype, device)
        tell("loading")
        given: dict[str, Any] = at.given if "gguf_file" in at.given else at.given | {"use_safetensors": True}
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            **given, dtype=getattr(torch, dtype), trust_remote_code=False, output_loading_info=True
        )
        model, came = loaded
        if came["missing_keys"]:  # transformers would go on with random numbers in their place
            names = sorted(came["missing_keys"])
            raise BadInput(
                f"model: {brief(name)} lacks {len(names)} of the weights that its configuration names, e.g. {names[0]}; get the files again"
            )
        tokenizer = AutoTokenizer.from_pretrained(**at.given, trust_remote_code=False) if at.has_tokenizer else None
    return Opened(name, model.eval().to(device), tokenizer)


def _is_run(name: str) -> bool:
    """Whether it is the directory of a training of ours."""
    return (Path(name) / "run.json").is_file()


def context(model: Any) -> int:
    """How many tokens a model takes; 2^30 where its configuration knows no limit."""
    return int(getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", 0) or 1 << 30)


def tokens(tokenizer: Any, text: str, limit: int | None = None) -> list[int]:
    """The token ids of a text behind the model's beginning-of-sequence token, if it has one, at most ``limit`` of them.

    Many tokenizers do not add that token by themselves; without it the first word takes over its part as a sink.
    """
    if tokenizer is None:
        raise BadInput("model: it came without a tokenizer; put tokenizer.json into its folder")
    ids = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    if not ids:
        raise BadInput(f"text: {brief(text)} has no tokens; give some words")
    first = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    return (first + ids)[:limit]


def shown(tokenizer: Any, ids: list[int]) -> list[str]:
    """Every token as one would read it."""
    return [tokenizer.decode([one]) or tokenizer.convert_ids_to_tokens(one) for one in ids]


def _counted(config: Any) -> int:
    """How many parameters a configuration's model has; nothing of them is made."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())


def _refuse_too_large(name: str, parameters: int, dtype: Dtype, device: Any) -> None:
    import torch

    free = memory.free()
    if device.type == "cuda":  # it passes through the one memory into the other
        free = min(free, torch.cuda.mem_get_info(device)[0])
    need = int(parameters * _BYTES[dtype] * _ROOM)
    if need > free:
        smaller = "; --dtype bfloat16 halves it" if _BYTES[dtype] > 2 else ""
        raise BadInput(
            f"model: {name!r} has {parameters / 1e9:.2f} billion parameters, in {dtype} about {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free{smaller}"
        )


@contextlib.contextmanager
def _plainly(name: str) -> Iterator[None]:
    """transformers without its chatter, its errors as one sentence."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except BadInput:
        raise
    except MemoryError:
        raise
    except Exception as error:  # whatever a file's contents make the libraries raise
        said = " ".join(str(error).split())
        raise BadInput(f"model: {brief(name)} could not be opened: {said[:240]}") from None
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
