"""Folders in the layout of Hugging Face models, checked before transformers sees them.

A model folder comes from strangers. Its configuration can name code to run (``auto_map``), a pickle runs code when it
is read, an index can name files anywhere on the machine, and a header can lie about what follows it. So: no code,
weights as safetensors only, plain file names, and links that stay inside. What is found sound is read by transformers
with ``use_safetensors=True``, ``trust_remote_code=False`` and ``local_files_only=True``; nothing else is promised.

The check reads what transformers 5 would: ``model.safetensors``, else ``model.safetensors.index.json`` and the files
that it names, unless config.json names another file (``transformers_weights``). A safetensors file is the length of
its header (uint64, little endian), the header (JSON: of each tensor its type, its shape, and where its data begins
and ends), and the data without a gap. Values are not looked at.
"""

import json
import math
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outrange.core.config import read_object
from outrange.core.errors import BadInput, brief

_MAX_CONFIG_BYTES, _MAX_INDEX_BYTES, _MAX_HEADER_BYTES = (
    1 << 24,
    1 << 26,
    1 << 25,
)  # bytes; several times what the largest public models have
_MAX_ENTRIES, _MAX_FILES = 10_000, 1000
_LARGEST_INT, _MAX_RANK = (1 << 63) - 1, 16
_PICKLE_ENDINGS = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_VOCABULARY_FILES = {
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
}
_TYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64, "F4": 4,
    "F6_E2M3": 6, "F6_E3M2": 6, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}  # fmt: skip
_REDIRECTING_KEYS = (
    "configuration_files",
    "fast_tokenizer_files",
)  # each names files that transformers would read in place of the one that was checked
_KERNEL_KEYS = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")

Tensors = dict[str, tuple[str, int, int]]  # of each tensor its type, elements and bytes


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A model folder that may be given to transformers.

    Attributes:
        config: config.json.
        parameters: elements of all tensors, 0 without weights.
        bytes: of all tensors' data.
        dtypes: the types that occur, as safetensors writes them (``BF16``, ``F32``, …), sorted.
        has_weights: whether there are any; a configuration alone is fine.
        has_tokenizer: whether there is a vocabulary.
    """

    config: dict[str, Any]
    parameters: int
    bytes: int
    dtypes: tuple[str, ...]
    has_weights: bool
    has_tokenizer: bool


def check_folder(path: Path) -> Folder:
    """What a local model folder holds, if all of it may be read.

    Raises:
        BadInput: it brings code or pickles, something in it leads outside, or a file in it is not sound.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise BadInput(f"model: {str(path)!r} is not a folder")
    names = _file_names(folder)
    if "config.json" not in names:
        raise BadInput(
            f"model: folder {str(path)!r} has no config.json; give the folder that has it, as transformers saves it"
        )
    if "adapter_config.json" in names:
        raise BadInput(
            f"model: folder {str(path)!r} is or holds an adapter (adapter_config.json), which names another model; "
            "merge the two and save the result"
        )
    configs = {
        name: read_object(folder / name, "model", _MAX_CONFIG_BYTES)
        for name in sorted(names)
        if name.endswith(".json") and "config" in name
    }
    for name, config in configs.items():
        _check_config(folder, name, config)
    config = configs["config.json"]
    tensors = _read_weights(folder, names, config)
    return Folder(
        config=config,
        parameters=sum(elements for _, elements, _ in tensors.values()),
        bytes=sum(size for _, _, size in tensors.values()),
        dtypes=tuple(sorted({dtype for dtype, _, _ in tensors.values()})),
        has_weights=bool(tensors),
        has_tokenizer=not _VOCABULARY_FILES.isdisjoint(names),
    )


def _file_names(folder: Path) -> set[str]:
    """The names of the regular files in a folder, if nothing in it leads elsewhere or blocks who opens it."""
    names = set()
    root = folder.resolve()
    try:
        with os.scandir(root) as entries:
            for count, entry in enumerate(entries):
                if count >= _MAX_ENTRIES:
                    raise BadInput(
                        f"model: folder {str(folder)!r} has more than {_MAX_ENTRIES:,} entries; give a folder that "
                        "holds one model"
                    )
                quoted = repr(str(folder / entry.name))
                if entry.is_symlink() and not _stays_inside(root, Path(entry.path)):
                    raise BadInput(
                        f"model: {quoted} is a link that leads out of its folder, or to nothing; put the file "
                        "itself there"
                    )
                mode = entry.stat().st_mode
                if stat.S_ISREG(mode):
                    names.add(entry.name)
                elif not stat.S_ISDIR(mode):
                    raise BadInput(f"model: {quoted} is neither a file nor a folder; remove it")
    except OSError as error:
        raise BadInput(f"model: folder {str(folder)!r} cannot be read: {error.strerror}") from None
    return names


def _stays_inside(root: Path, link: Path) -> bool:
    """Whether a link ends in its own folder, or where the hub's cache keeps files.

    The cache has ``<model>/snapshots/<revision>/<file>`` link to ``<model>/blobs/<hash>``, and that perhaps to
    ``blobs/<2 digits>/<hash>`` beside the models.
    """
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # it leads nowhere, or in a circle
        return False
    if target.is_relative_to(root):
        return True
    model = root.parent.parent
    if root.parent.name != "snapshots":
        return False
    shared = model.parent / "blobs" / target.name[:2] / target.name
    return target.parent == model / "blobs" or (
        target == shared and re.fullmatch("[0-9a-f]{64}", target.name) is not None
    )


def _check_config(folder: Path, name: str, config: dict[str, Any]) -> None:
    """Refuses a configuration that has code run, or another file read."""
    prefix = f"model: folder {str(folder)!r}"
    for key, value in _all_settings(config):
        if key == "auto_map":
            raise BadInput(
                f"{prefix} brings its own code (auto_map in {name}); it is not run; use a model whose architecture "
                "transformers ships"
            )
        if key in _REDIRECTING_KEYS:
            raise BadInput(f"{prefix} has other files read in place of {name} ({key}); remove that setting")
        if key in _KERNEL_KEYS and any(
            "/" in text for text in (value.values() if isinstance(value, dict) else [value]) if isinstance(text, str)
        ):
            raise BadInput(
                f"{prefix} asks for code from elsewhere ({key} {brief(value, 40)} in {name}); it is not run; remove "
                "that setting"
            )


def _all_settings(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """All keys at any depth: a model within a model has a configuration within the configuration."""
    pending: list[Any] = [config]  # a stack, since configurations may nest deeper than Python calls
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield from value.items()
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def _read_weights(folder: Path, names: set[str], config: dict[str, Any]) -> Tensors:
    """The tensors that transformers would load; none if there are no weights."""
    prefix = f"model: folder {str(folder)!r}"
    configured = config.get("transformers_weights")
    if configured is not None:
        _check_file_name(folder / "config.json", configured, (".safetensors", ".safetensors.index.json"), names)
        if configured.endswith(".json"):
            return _read_sharded(folder, configured, names)
        return _read_tensors(folder / configured)
    if "model.safetensors" in names:
        if "model.safetensors.index.json" in names:  # nobody reads it, but where it points says what the folder is
            _read_index(folder / "model.safetensors.index.json", None)
        return _read_tensors(folder / "model.safetensors")
    if "model.safetensors.index.json" in names:
        return _read_sharded(folder, "model.safetensors.index.json", names)
    unnamed = sorted(name for name in names if name.endswith(".safetensors"))
    if unnamed:
        raise BadInput(
            f"{prefix} has {brief(unnamed[0])}, but neither model.safetensors nor model.safetensors.index.json; it "
            "may not be all there"
        )
    pickled = sorted(name for name in names if name.lower().endswith(_PICKLE_ENDINGS))
    if pickled:
        raise BadInput(
            f"{prefix} has its weights only as a pickle ({brief(pickled[0])}), which can run code when it is read; "
            "save it as safetensors where you trust it (save_pretrained does), or take a revision that has "
            "model.safetensors"
        )
    return {}


def _read_sharded(folder: Path, index: str, names: set[str]) -> Tensors:
    places = _read_index(folder / index, names)
    tensors: Tensors = {}
    for file in sorted(set(places.values())):
        of_file = _read_tensors(folder / file)
        repeated = tensors.keys() & of_file.keys()
        if repeated:
            raise BadInput(
                f"model: {str(folder / file)!r} has the tensor {brief(min(repeated))}, which another file of the "
                "model has too"
            )
        missing = [name for name, place in places.items() if place == file and name not in of_file]
        if missing:  # transformers would draw it at random
            raise BadInput(
                f"model: {str(folder / file)!r} lacks the tensor {brief(missing[0])}, which {index} says it has; "
                "get the two from one revision"
            )
        tensors |= of_file
    return tensors


def _read_index(path: Path, names: set[str] | None) -> dict[str, str]:
    """Which file holds which tensor. The files must be among ``names``, unless that is None."""
    index = read_object(path, "model", _MAX_INDEX_BYTES)
    places = index.get("weight_map")
    if not isinstance(places, dict) or not places:
        raise BadInput(f"model: {str(path)!r} has no weight_map; it must say which file holds which tensor")
    if names is not None and not isinstance(index.get("metadata"), dict):
        raise BadInput(
            f'model: {str(path)!r} has no metadata, an object that transformers looks for; add "metadata": {{}}'
        )
    for file in places.values():
        _check_file_name(path, file, (".safetensors",), names)
    if len(set(places.values())) > _MAX_FILES:
        raise BadInput(
            f"model: {str(path)!r} names {len(set(places.values())):,} files; at most {_MAX_FILES:,} are allowed"
        )
    return places


def _check_file_name(source: Path, file: object, endings: tuple[str, ...], names: set[str] | None) -> None:
    """Refuses the name of a file that is not in the folder of ``source``, the file that names it."""
    if not (
        isinstance(file, str) and file.endswith(endings) and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}", file)
    ):
        raise BadInput(
            f"model: {str(source)!r} names the file {brief(file)}, which is not allowed; only safetensors files in "
            "its own folder are"
        )
    if names is not None and file not in names:
        raise BadInput(
            f"model: {str(source.parent / file)!r} is missing, though {source.name} names it; get the whole model"
        )


def _read_tensors(path: Path) -> Tensors:
    """What the header of a safetensors file says, if it is true."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _MAX_HEADER_BYTES or length > size - 8:
                raise _unusable(
                    path,
                    f"its header would have {length:,} bytes, and {max(size - 8, 0):,} are left; at most "
                    f"{_MAX_HEADER_BYTES:,} are allowed",
                )
            text = file.read(length)
    except OSError as error:
        raise BadInput(f"model: {str(path)!r} cannot be read: {error.strerror}") from None
    try:
        header = json.loads(text, object_pairs_hook=lambda pairs: _unique_keys(path, pairs))
    except BadInput:
        raise
    except (ValueError, RecursionError):
        raise _unusable(path, "its header is not JSON") from None
    if not isinstance(header, dict):
        raise _unusable(path, "its header is not an object")
    header.pop("__metadata__", None)  # of the writer; transformers reads nothing from it that matters here
    if not header:
        raise _unusable(path, "it has no tensors")
    # Data must follow without a gap or an overlap, to the end of the file.
    spans, tensors = [], {}
    for name, entry in header.items():
        begin, end, tensors[name] = _parse_entry(path, name, entry)
        spans.append((begin, end, name))
    last = 0
    for begin, end, name in sorted(spans):
        if begin != last:
            problem = "overlaps another" if begin < last else "does not follow the one before it"
            raise _unusable(
                path, f"its tensor {brief(name)} {problem}: it begins at byte {begin:,} of the data, not at {last:,}"
            )
        last = end
    if last != size - 8 - length:
        raise _unusable(
            path,
            f"its tensors have {last:,} bytes, and {size - 8 - length:,} are there"
            + ("; it is cut" if last > size - 8 - length else ""),
        )
    return tensors


def _parse_entry(path: Path, name: str, entry: Any) -> tuple[int, int, tuple[str, int, int]]:
    """Where the data of a tensor begins and ends, and its type, elements and bytes."""
    entry = entry if isinstance(entry, dict) else {}
    dtype, shape, span = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _TYPE_BITS:
        problem = f"the type {brief(dtype)}, which is not known" if isinstance(dtype, str) else "no type"
        raise _unusable(path, f"its tensor {brief(name)} has {problem}")
    if not (isinstance(shape, list) and len(shape) <= _MAX_RANK and all(_is_size(size) for size in shape)):
        raise _unusable(path, f"its tensor {brief(name)} has no shape of at most {_MAX_RANK} whole numbers")
    if not (isinstance(span, list) and len(span) == 2 and all(_is_size(offset) for offset in span)):
        raise _unusable(path, f"its tensor {brief(name)} has no two offsets")
    elements = math.prod(shape)
    bits = elements * _TYPE_BITS[dtype]
    if bits % 8 or bits // 8 != span[1] - span[0]:
        raise _unusable(
            path, f"its tensor {brief(name)} has the shape {brief(shape)} of type {dtype}, but the offsets {span}"
        )
    return span[0], span[1], (dtype, elements, bits // 8)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST_INT


def _unique_keys(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)  # a name that stands twice is there once
    if len(result) < len(pairs):
        raise _unusable(path, "its header has a name twice")
    return result


def _unusable(path: Path, problem: str) -> BadInput:
    """The error for a safetensors file that is not sound; ``problem`` ends the sentence."""
    return BadInput(f"model: {str(path)!r} is not a usable safetensors file: {problem}")
