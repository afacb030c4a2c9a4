"""Opening a language model safely: by a built-in name, from a Hugging Face folder, a GGUF file, a run of ``outrange
lm train``, or the Hugging Face hub.

    open_model       the model with its tokenizer, ready to compute
    open_config      its configuration alone; weights need not be there
    context_length   how many tokens it takes
    encode_text      a text as token ids, behind the beginning-of-sequence token
    decode_tokens    token ids as the texts that a reader knows

Nothing stored beside the weights is executed: no pickle is read, no code that comes with a model runs, and the header
of a GGUF file is checked against limits before any other reader sees the file. The memory that a model needs is
estimated before it is loaded, and a model that does not fit is refused.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from outrange.core import memory
from outrange.core.errors import BadInput, brief
from outrange.lm import pretrained

BUILT_IN = (pretrained.NAME,)
Dtype = Literal["float32", "bfloat16", "float16", "float64"]
ReportStatus = Callable[[str], None]
"""receives one sentence about what is being done, before each step that takes long"""

_ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}
_WORKING_MEMORY = 1.3  # memory of a forward pass, as a multiple of the weights
_UNLIMITED_CONTEXT = 1 << 30


@dataclass(frozen=True)
class OpenedModel:
    """A model in evaluation mode, with its tokenizer."""

    name: str
    """as it was asked for"""
    model: Any
    """a transformers model that predicts the next token"""
    tokenizer: Any
    """None where none came with the model"""


@dataclass(frozen=True)
class ModelSource:
    """Where a model is: checked, nothing loaded yet."""

    name: str
    arguments: dict[str, Any]
    """of transformers' ``from_pretrained``"""
    parameter_count: int | None
    """None where only loading can tell"""
    has_weights: bool
    has_tokenizer: bool = True


def locate_model(name: str, report_status: ReportStatus = lambda status: None) -> ModelSource:
    """Find a model and check what can be checked without loading it.

    Args:
        name: "smollm2-135m", a folder, a ``.gguf`` file, or "owner/name" on the hub.
        report_status: called with a sentence before each step that takes long.

    Raises:
        BadInput: there is no such model, or it is not safe to open.
    """
    from outrange.lm.gguf_header import read_header
    from outrange.lm.safe_folder import check_folder

    path = pretrained.fetch_pretrained(report_status) if name in BUILT_IN else Path(name).expanduser()
    if path.is_dir():
        folder = check_folder(path)
        arguments: dict[str, Any] = {"pretrained_model_name_or_path": str(path), "local_files_only": True}
        return ModelSource(name, arguments, folder.parameters or None, folder.has_weights, folder.has_tokenizer)
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise BadInput(
                f"model: {name!r} is a file, but no .gguf file; give a Hugging Face folder, a .gguf file, "
                f"a name on the hub or {BUILT_IN[0]!r}"
            )
        arguments = {
            "pretrained_model_name_or_path": str(path.parent),
            "gguf_file": path.name,
            "local_files_only": True,
        }
        return ModelSource(name, arguments, read_header(path).parameters, has_weights=True)
    if not _is_hub_name(name):
        raise BadInput(
            f"model: {brief(name)} is neither a file nor a folder nor a name on the hub (owner/name); "
            f"built in: {', '.join(BUILT_IN)}"
        )
    return ModelSource(name, {"pretrained_model_name_or_path": name}, None, has_weights=True)


def open_config(name: str, report_status: ReportStatus = lambda status: None) -> Any:
    """The transformers configuration of a model, ``name`` as in ``locate_model``; its weights need not be there.

    Raises:
        BadInput: there is no such model, or it is not safe to open.
    """
    from transformers import AutoConfig

    if _is_run(name):
        from outrange.lm.model import load_model

        model, *_ = load_model(Path(name))
        return model.config
    with _quiet_transformers(name):
        return AutoConfig.from_pretrained(**locate_model(name, report_status).arguments, trust_remote_code=False)


def open_model(name: str, dtype: Dtype = "float32", report_status: ReportStatus = lambda status: None) -> OpenedModel:
    """A model with its tokenizer, in evaluation mode, on the GPU if there is one, else on the CPU.

    Args:
        name: "smollm2-135m", a folder, a ``.gguf`` file, a run of ``outrange lm train``, or "owner/name" on the hub.
        dtype: what the weights are loaded as.
        report_status: called with a sentence before each step that takes long.

    Raises:
        BadInput: there is no such model, it is not safe to open, or it does not fit into memory.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    if _is_run(name):
        from outrange.lm.model import load_model

        model, tokenizer, _, _ = load_model(Path(name))
        return OpenedModel(name, model.to(getattr(torch, dtype)), tokenizer)

    source = locate_model(name, report_status)
    if not source.has_weights:
        raise BadInput(
            f"model: {name!r} holds a configuration but no weights; `outrange attention layout` needs no more than that"
        )
    with _quiet_transformers(name):
        # 1. The configuration says which architecture it is, and how large.
        config = AutoConfig.from_pretrained(**source.arguments, trust_remote_code=False)
        if config.__class__.__name__ != "PreTrainedConfig" and type(config) not in AutoModelForCausalLM._model_mapping:
            raise BadInput(
                f"model: {name!r} is a {config.model_type!r} model, which is no decoder of text; "
                "allowed are models that predict the next token"
            )
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        _refuse_too_large(name, source.parameter_count or _count_parameters(config), dtype, device)

        # 2. The weights; a GGUF file has no safetensors, anything else must have nothing but them.
        report_status("loading")
        is_gguf = "gguf_file" in source.arguments
        arguments: dict[str, Any] = source.arguments if is_gguf else source.arguments | {"use_safetensors": True}
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            **arguments, dtype=getattr(torch, dtype), trust_remote_code=False, output_loading_info=True
        )
        model, loading_info = loaded
        if loading_info["missing_keys"]:  # transformers would go on with random numbers in their place
            missing_keys = sorted(loading_info["missing_keys"])
            raise BadInput(
                f"model: {brief(name)} lacks {len(missing_keys)} of the weights that its configuration names, "
                f"e.g. {missing_keys[0]}; get the files again"
            )

        # 3. The tokenizer.
        tokenizer = None
        if source.has_tokenizer:
            tokenizer = AutoTokenizer.from_pretrained(**source.arguments, trust_remote_code=False)
    return OpenedModel(name, model.eval().to(device), tokenizer)


def context_length(model: Any) -> int:
    """How many tokens a model takes; 2^30 where its configuration names no limit."""
    config = model.config.get_text_config(decoder=True)
    return int(getattr(config, "max_position_embeddings", 0) or _UNLIMITED_CONTEXT)


def encode_text(tokenizer: Any, text: str, limit: int | None = None) -> list[int]:
    """The token ids of a text behind the model's beginning-of-sequence token, if it has one, at most ``limit`` of them.

    Many tokenizers do not add that token by themselves; without it the first word becomes the place where models park
    attention.

    Raises:
        BadInput: there is no tokenizer, or the text has no tokens.
    """
    if tokenizer is None:
        raise BadInput("model: it came without a tokenizer; put tokenizer.json into its folder")
    token_ids = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    if not token_ids:
        raise BadInput(f"text: {brief(text)} has no tokens; give some words")
    beginning = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    return (beginning + token_ids)[:limit]


def decode_tokens(tokenizer: Any, token_ids: Sequence[int]) -> list[str]:
    """Every token by itself, as a reader would write it; the tokenizer's own name for one that decodes to nothing."""
    return [tokenizer.decode([token_id]) or tokenizer.convert_ids_to_tokens(token_id) for token_id in token_ids]


def model_notes(names: Sequence[str]) -> list[str]:
    """What a reader of results should know about models, one sentence each; empty for models that are what their name
    says.
    """
    notes = {
        "smollm2-135m": "smollm2-135m: SmolLM2-135M-Instruct from four-bit weights (Q4_1), so numbers differ a little "
        "from the original checkpoint's."
    }
    return [note for name, note in notes.items() if name in names]


def _is_run(name: str) -> bool:
    """Whether it is the directory of a training by ``outrange lm train``."""
    return (Path(name) / "run.json").is_file()


def _is_hub_name(name: str) -> bool:
    """Whether it has the form owner/name, letters, digits, dots, dashes and underscores, beginning with neither dot
    nor dash.
    """
    parts = name.split("/")
    if len(parts) != 2:
        return False
    return all(part and part[0] not in ".-" and _is_alphanumeric(part) for part in parts)


def _is_alphanumeric(part: str) -> bool:
    return part.replace("-", "").replace("_", "").replace(".", "").isalnum()


def _count_parameters(config: Any) -> int:
    """How many parameters a configuration's model has; on the meta device, so that none of them takes memory."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sum(parameter.numel() for parameter in AutoModelForCausalLM.from_config(config).parameters())


def _refuse_too_large(name: str, parameter_count: int, dtype: Dtype, device: Any) -> None:
    """Raise ``BadInput`` where weights and a forward pass would not fit into the free memory."""
    import torch

    free_bytes = memory.free()
    if device.type == "cuda":  # weights pass through the processor's memory into the GPU's: both must hold them
        free_bytes = min(free_bytes, torch.cuda.mem_get_info(device)[0])
    needed_bytes = int(parameter_count * _ITEM_BYTES[dtype] * _WORKING_MEMORY)
    if needed_bytes > free_bytes:
        advice = "; --dtype bfloat16 halves it" if _ITEM_BYTES[dtype] > 2 else ""
        raise BadInput(
            f"model: {name!r} has {parameter_count / 1e9:.2f} billion parameters, in {dtype} about "
            f"{needed_bytes / 1e9:.1f} GB, and {free_bytes / 1e9:.1f} GB are free{advice}"
        )


@contextlib.contextmanager
def _quiet_transformers(name: str) -> Iterator[None]:
    """transformers without warnings and progress bars, and with its errors as one ``BadInput`` sentence."""
    from transformers.utils import logging

    verbosity, had_progress_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (BadInput, MemoryError):
        raise
    except Exception as error:  # whatever a file's contents make the libraries raise
        message = " ".join(str(error).split())
        raise BadInput(f"model: {brief(name)} could not be opened: {message[:240]}") from None
    finally:
        logging.set_verbosity(verbosity)
        if had_progress_bar:
            logging.enable_progress_bar()
