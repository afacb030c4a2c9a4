"""Folders in the layout of Hugging Face models, checked before transformers sees them.

A model folder comes from strangers. Its configuration can name code to run (``auto_map``), a pickle runs code when it is read, an index can name files
anywhere on the machine, and a header can lie about what follows it. So: no code, weights as safetensors only, plain file names, and links that stay inside.
What is found sound is read by transformers with ``use_safetensors=True``, ``trust_remote_code=False`` and ``local_files_only=True``; nothing else is promised.

The check reads what transformers 5 would: ``model.safetensors``, else ``model.safetensors.index.json`` and the files that it names, unless config.json
names another file (``transformers_weights``). A safetensors file is the length of its header (uint64, little endian), the header (JSON: of each tensor its
type, its shape, and where its data begins and ends), and the data without a gap. Values are not looked at.
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

_CONFIG, _INDEX, _HEADER = 1 << 24, 1 << 26, 1 << 25  # bytes; several times what the largest public models have
_ENTRIES, _FILES = 10_000, 1000
_MOST, _RANK = (1 << 63) - 1, 16
_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_VOCABULARIES = {
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
}
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E5M2": 8,
    "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}  # fmt: skip
_ELSEWHERE = (
    "configuration_files",
    "fast_tokenizer_files",
)  # each names files that transformers would read in place of the one that was checked
_KERNELS = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")

Shapes = dict[str, tuple[str, int, int]]  # of each tensor its type, elements and bytes


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
    names = _held(folder)
    if "config.json" not in names:
        raise BadInput(
            f"model: folder {str(path)!r} has no config.json; give the folder that has it, as transformers saves it"
        )
    if "adapter_config.json" in names:
        raise BadInput(
            f"model: folder {str(path)!r} is or holds an adapter (adapter_config.json), which names another model; merge the two and save the result"
        )
    configs = {
        name: read_object(folder / name, "model", _CONFIG)
        for name in sorted(names)
        if name.endswith(".json") and "config" in name
    }
    for name, config in configs.items():
        _check_config(folder, name, config)
    config = configs["config.json"]
    tensors = _weights(folder, names, config)
    return Folder(
        config=config,
        parameters=sum(elements for _, elements, _ in tensors.values()),
        bytes=sum(size for _, _, size in tensors.values()),
        dtypes=tuple(sorted({dtype for dtype, _, _ in tensors.values()})),
        has_weights=bool(tensors),
        has_tokenizer=not _VOCABULARIES.isdisjoint(names),
    )


def _held(folder: Path) -> set[str]:
    """The names of the regular files in a folder, if nothing in it leads elsewhere or blocks who opens it."""
    names = set()
    root = folder.resolve()
    try:
        with os.scandir(root) as found:
            for k, entry in enumerate(found):
                if k >= _ENTRIES:
                    raise BadInput(
                        f"model: folder {str(folder)!r} has more than {_ENTRIES:,} entries; give a folder that holds one model"
                    )
                shown = repr(str(folder / entry.name))
                if entry.is_symlink() and not _stays(root, Path(entry.path)):
                    raise BadInput(
                        f"model: {shown} is a link that leads out of its folder, or to nothing; put the file itself there"
                    )
                mode = entry.stat().st_mode
                if stat.S_ISREG(mode):
                    names.add(entry.name)
                elif not stat.S_ISDIR(mode):
                    raise BadInput(f"model: {shown} is neither a file nor a folder; remove it")
    except OSError as error:
        raise BadInput(f"model: folder {str(folder)!r} cannot be read: {error.strerror}") from None
    return names


def _stays(root: Path, link: Path) -> bool:
    """Whether a link ends in its own folder, or where the hub's cache keeps files.

    The cache has ``<model>/snapshots/<revision>/<file>`` link to ``<model>/blobs/<hash>``, and that perhaps to ``blobs/<2 digits>/<hash>`` beside the models.
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
    where = f"model: folder {str(folder)!r}"
    for key, value in _settings(config):
        if key == "auto_map":
            raise BadInput(
                f"{where} brings its own code (auto_map in {name}); it is not run; use a model whose architecture transformers ships"
            )
        if key in _ELSEWHERE:
            raise BadInput(f"{where} has other files read in place of {name} ({key}); remove that setting")
        if key in _KERNELS and any(
            "/" in text for text in (value.values() if isinstance(value, dict) else [value]) if isinstance(text, str)
        ):
            raise BadInput(
                f"{where} asks for code from elsewhere ({key} {brief(value, 40)} in {name}); it is not run; remove that setting"
            )


def _settings(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """All keys at any depth: a model within a model has a configuration within the configuration."""
    rest: list[Any] = [config]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            yield from value.items()
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)


def _weights(folder: Path, names: set[str], config: dict[str, Any]) -> Shapes:
    """The tensors that transformers would load; none if there are no weights."""
    where = f"model: folder {str(folder)!r}"
    named = config.get("transformers_weights")
    if named is not None:
        _plain(folder / "config.json", named, (".safetensors", ".safetensors.index.json"), names)
        if named.endswith(".json"):
            return _sharded(folder, named, names)
        return _tensors(folder / named)
    if "model.safetensors" in names:
        if "model.safetensors.index.json" in names:  # nobody reads it, but where it points says what the folder is
            _index(folder / "model.safetensors.index.json", None)
        return _tensors(folder / "model.safetensors")
    if "model.safetensors.index.json" in names:
        return _sharded(folder, "model.safetensors.index.json", names)
    others = sorted(name for name in names if name.endswith(".safetensors"))
    if others:
        raise BadInput(
            f"{where} has {brief(others[0])}, but neither model.safetensors nor model.safetensors.index.json; it may not be all there"
        )
    pickled = sorted(name for name in names if name.lower().endswith(_PICKLED))
    if pickled:
        raise BadInput(
            f"{where} has its weights only as a pickle ({brief(pickled[0])}), which can run code when it is read; "
            "save it as safetensors where you trust it (save_pretrained does), or take a revision that has model.safetensors"
        )
    return {}


def _sharded(folder: Path, index: str, names: set[str]) -> Shapes:
    places = _index(folder / index, names)
    tensors: Shapes = {}
    for file in sorted(set(places.values())):
        found = _tensors(folder / file)
        twice = tensors.keys() & found.keys()
        if twice:
            raise BadInput(
                f"model: {str(folder / file)!r} has the tensor {brief(min(twice))}, which another file of the model has too"
            )
        missing = [name for name, place in places.items() if place == file and name not in found]
        if missing:  # transformers would draw it at random
            raise BadInput(
                f"model: {str(folder / file)!r} lacks the tensor {brief(missing[0])}, which {index} says it has; get the two from one revision"
            )
        tensors |= found
    return tensors


def _index(path: Path, names: set[str] | None) -> dict[str, str]:
    """Which file holds which tensor. The files must be among ``names``, unless that is None."""
    index = read_object(path, "model", _INDEX)
    places = index.get("weight_map")
    if not isinstance(places, dict) or not places:
        raise BadInput(f"model: {str(path)!r} has no weight_map; it must say which file holds which tensor")
    if names is not None and not isinstance(index.get("metadata"), dict):
        raise BadInput(
            f'model: {str(path)!r} has no metadata, an object that transformers looks for; add "metadata": {{}}'
        )
    for file in places.values():
        _plain(path, file, (".safetensors",), names)
    if len(set(places.values())) > _FILES:
        raise BadInput(
            f"model: {str(path)!r} names {len(set(places.values())):,} files; at most {_FILES:,} are allowed"
        )
    return places


def _plain(source: Path, file: object, endings: tuple[str, ...], names: set[str] | None) -> None:
    """Refuses the name of a file that is not in the folder of ``source``, the file that names it."""
    if not (
        isinstance(file, str) and file.endswith(endings) and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}", file)
    ):
        raise BadInput(
            f"model: {str(source)!r} names the file {brief(file)}, which is not allowed; only safetensors files in its own folder are"
        )
    if names is not None and file not in names:
        raise BadInput(
            f"model: {str(source.parent / file)!r} is missing, though {source.name} names it; get the whole model"
        )


def _tensors(path: Path) -> Shapes:
    """What the header of a safetensors file says, if it is true."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _HEADER or length > size - 8:
                raise _broken(
                    path,
                    f"its header would have {length:,} bytes, and {max(size - 8, 0):,} are left; at most {_HEADER:,} are allowed",
                )
            text = file.read(length)
    except OSError as error:
        raise BadInput(f"model: {str(path)!r} cannot be read: {error.strerror}") from None
    try:
        header = json.loads(text, object_pairs_hook=lambda pairs: _once(path, pairs))
    except BadInput:
        raise
    except (ValueError, RecursionError):
        raise _broken(path, "its header is not JSON") from None
    if not isinstance(header, dict):
        raise _broken(path, "its header is not an object")
    header.pop("__metadata__", None)
    if not header:
        raise _broken(path, "it has no tensors")
    spans, tensors = [], {}
    for name, entry in header.items():
        begin, end, tensors[name] = _entry(path, name, entry)
        spans.append((begin, end, name))
    last = 0
    for begin, end, name in sorted(spans):
        if begin != last:
            what = "overlaps another" if begin < last else "does not follow the one before it"
            raise _broken(
                path, f"its tensor {brief(name)} {what}: it begins at byte {begin:,} of the data, not at {last:,}"
            )
        last = end
    if last != size - 8 - length:
        raise _broken(
            path,
            f"its tensors have {last:,} bytes, and {size - 8 - length:,} are there"
            + ("; it is cut" if last > size - 8 - length else ""),
        )
    return tensors


def _entry(path: Path, name: str, entry: Any) -> tuple[int, int, tuple[str, int, int]]:
    """Where the data of a tensor begins and ends, and its type, elements and bytes."""
    entry = entry if isinstance(entry, dict) else {}
    dtype, shape, span = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _BITS:
        what = f"the type {brief(dtype)}, which is not known" if isinstance(dtype, str) else "no type"
        raise _broken(path, f"its tensor {brief(name)} has {what}")
    if not (isinstance(shape, list) and len(shape) <= _RANK and all(_is_count(size) for size in shape)):
        raise _broken(path, f"its tensor {brief(name)} has no shape of at most {_RANK} whole numbers")
    if not (isinstance(span, list) and len(span) == 2 and all(_is_count(offset) for offset in span)):
        raise _broken(path, f"its tensor {brief(name)} has no two offsets")
    elements = math.prod(shape)
    bits = elements * _BITS[dtype]
    if bits % 8 or bits // 8 != span[1] - span[0]:
        raise _broken(
            path, f"its tensor {brief(name)} has the shape {brief(shape)} of type {dtype}, but the offsets {span}"
        )
    return span[0], span[1], (dtype, elements, bits // 8)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _once(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise _broken(path, "its header has a name twice")
    return result


def _broken(path: Path, what: str) -> BadInput:
    return BadInput(f"model: {str(path)!r} is not a usable safetensors file: {what}")
