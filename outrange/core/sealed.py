"""Folders of tensors and JSON under a seal: ``manifest.json``, written last, holds the size and SHA-256 of every file
and of itself.

safetensors notices a cut file but not a flipped byte in it, hence the hashes. Reading runs nothing that was stored: no
pickle, only safetensors and JSON, regular files, plain names, bounded sizes. What could be accident is ``Damaged``;
what no accident puts there is refused as ``BadInput``.
"""

import hashlib
import json
import math
import os
import platform
import re
import stat
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outrange.core import atomic
from outrange.core.config import read_object
from outrange.core.errors import BadInput, brief

if TYPE_CHECKING:
    import torch

SCHEMA = 1
_JSON_LIMIT, _HEADER_LIMIT, _FILES_LIMIT = 1 << 26, 1 << 26, 1000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_PICKLED = (
    ".pt",
    ".pth",
    ".pkl",
    ".pickle",
    ".bin",
    ".ckpt",
    ".npy",
    ".npz",
    ".joblib",
    ".dill",
    ".zip",
    ".tar",
    ".gz",
    ".7z",
)
_DTYPES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32", "uint64": "U64", "int64": "I64",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64", "complex64": "C64",
}  # fmt: skip

Tensors = Mapping[str, "torch.Tensor"]


class Damaged(Exception):
    """A folder is not as it was written; the message is one sentence."""


def versions() -> dict[str, str]:
    """What numbers may depend on; torch is asked only if it is loaded."""
    import importlib.metadata  # slow, and most commands never ask

    versions_by_name = {"python": platform.python_version()}
    for name in ("outrange", "torch", "numpy", "safetensors"):
        module = sys.modules.get(name)
        try:
            versions_by_name[name] = str(getattr(module, "__version__", None) or importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions_by_name


def expected_bytes(files: Mapping[str, Tensors | str]) -> int:
    """About how much ``write`` will write. Raises BadInput for tensors that cannot be stored."""
    return 4096 + sum(
        len(inner) if isinstance(inner, str) else _layout(inner, name)[2] for name, inner in files.items()
    )


def write(folder: Path, files: Mapping[str, Tensors | str], about: Mapping[str, Any]) -> None:
    """Write files (tensors, or text of JSON) and last the manifest into an empty folder; all is on disk when this
    returns.
    """
    entries = {}
    for name, content in files.items():
        size, sha256 = atomic.write_file(
            folder / name, [content.encode()] if isinstance(content, str) else _serialised(content, name)
        )
        entries[name] = {"bytes": size, "sha256": sha256}
    atomic.write_file(
        folder / "manifest.json",
        [_manifest({"schema": SCHEMA, **about, "files": entries, "versions": versions()}).encode()],
    )
    atomic.sync(folder)


def json_text(value: Any, field: str) -> str:
    """JSON that reads back as it was written: keys are text, numbers finite; numpy's numbers become plain ones, tuples
    lists.
    """
    return json.dumps(_plain(value, field), allow_nan=False) + "\n"


def file_name(name: str, field: str) -> str:
    """The file that holds the tensors called ``name``."""
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise BadInput(
            f"{field}: {brief(name)} is not allowed; a name has letters, digits, '_', '-' and '.' only, at most 100"
        )
    return f"{name}.safetensors"


def check(folder: Path, extras: tuple[str, ...] = (), only: Collection[str] | None = None) -> dict[str, Any]:
    """The manifest of a folder in which every file is as the manifest says.

    Args:
        folder: what ``write`` wrote.
        extras: files that may stand beside.
        only: the files whose content is looked at; of the others no more than that they are there, in their size. None
            looks at all.

    Raises:
        Damaged: a file is missing, cut or changed.
        BadInput: there is what does not belong there, or a schema of another version.
    """
    present = _file_names(folder)
    if "manifest.json" not in present:
        raise Damaged("it has no manifest.json, so it was never complete")
    manifest = _read_manifest(folder / "manifest.json")
    for name in sorted(present - manifest["files"].keys() - {"manifest.json", *extras}):
        raise BadInput(f"checkpoint: {str(folder / name)!r} is not expected: its manifest does not list it; remove it")
    # cheapest first: is it there, has it its size, has it its content
    for name, entry in manifest["files"].items():
        if name not in present:
            raise Damaged(f"{name} is missing")
        size = (folder / name).stat().st_size
        if size != entry["bytes"]:
            raise Damaged(f"{name} has {size:,} bytes, not {entry['bytes']:,}")
        if only is not None and name not in only:
            continue
        with open(folder / name, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
                raise Damaged(f"{name} is not what was written: its SHA-256 is another")
        if name.endswith(".safetensors"):
            _check_header(folder / name, size)
    return manifest


def read_tensors(path: Path) -> "dict[str, torch.Tensor]":
    """The tensors of a file that ``check`` has seen."""
    import safetensors
    import safetensors.torch

    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
        raise Damaged(f"{path.name} cannot be read: {brief(str(error))}") from None


def read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file."""
    try:
        return read_object(path, path.name, _JSON_LIMIT)
    except BadInput as error:
        raise Damaged(str(error)) from None


def _layout(tensors: Tensors, file: str) -> tuple[bytes, list[str], int]:
    """The header of a safetensors file, the order of its tensors (wide types first, as the format wants them aligned),
    and its size.
    """
    import torch

    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided or _dtype(tensor) not in _DTYPES:
            what = f"{tensor.layout}, {tensor.dtype}" if isinstance(tensor, torch.Tensor) else type(tensor).__name__
            raise BadInput(
                f"checkpoint: {brief(name)} of {file} cannot be stored ({what}); store dense tensors of a usual type"
            )
        if not isinstance(name, str) or name == "__metadata__":
            raise BadInput(f"checkpoint: {brief(name)} of {file} is not a name that safetensors can hold; give another")
    # a safetensors file is a length, a JSON header, and the tensors' bytes in the order of their offsets
    header, offset = {}, 0
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    for name in order:
        end = offset + tensors[name].numel() * tensors[name].element_size()
        header[name] = {
            "dtype": _DTYPES[_dtype(tensors[name])],
            "shape": list(tensors[name].shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format pads with blanks, so that tensors begin aligned
    return len(text).to_bytes(8, "little") + text, order, 8 + len(text) + offset


def _serialised(tensors: Tensors, file: str) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file, a tensor at a time, so that no second copy of all is made."""
    import torch

    header, order, _ = _layout(tensors, file)
    yield header
    for name in order:
        if tensors[name].numel():
            # a tensor's own bytes: on the processor, conjugation and negation carried out, row after row
            yield (
                tensors[name]
                .detach()
                .cpu()
                .resolve_conj()
                .resolve_neg()
                .contiguous()
                .reshape(-1)
                .view(torch.uint8)
                .numpy()
                .data
            )


def _dtype(tensor: "torch.Tensor") -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _check_header(path: Path, size: int) -> None:
    """safetensors itself takes the last of two tensors of one name; here that is damage."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _HEADER_LIMIT):
            raise Damaged(f"{path.name} is not a safetensors file: its header would have {length:,} bytes")
        text = file.read(length)
    names: list[list[str]] = []
    try:
        json.loads(text, object_pairs_hook=lambda pairs: names.append([key for key, _ in pairs]))
    except (ValueError, RecursionError):
        raise Damaged(f"{path.name} is not a safetensors file: its header is not JSON") from None
    if any(len(set(keys)) < len(keys) for keys in names):
        raise Damaged(f"{path.name} holds a name twice")


def _manifest(body: Mapping[str, Any]) -> str:
    seal = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps({**body, "seal": seal}, indent=1) + "\n"


def _read_manifest(path: Path) -> dict[str, Any]:
    manifest = read_json(path)
    # the seal is a hash of all the rest, so it is taken out before the rest is hashed
    seal = manifest.pop("seal", None)
    if (
        _manifest(manifest).encode() != path.read_bytes()
    ):  # every schema keeps this rule, so that a flipped digit is not taken for a new schema
        raise Damaged("manifest.json is not what was written" + ("" if seal else ": it has no seal"))
    if manifest.get("schema") != SCHEMA:
        raise BadInput(
            f"checkpoint: {str(path)!r} has schema {brief(manifest.get('schema'))}; this version reads {SCHEMA}; use the version that wrote it"
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or len(files) > _FILES_LIMIT:
        raise Damaged("manifest.json lists no files, or too many")
    for name, entry in files.items():
        if not (_NAME.fullmatch(name) and name.endswith((".safetensors", ".json"))):
            raise BadInput(
                f"checkpoint: {str(path)!r} names the file {brief(name)}, which is not allowed; only safetensors and JSON files in its own folder are"
            )
        if not (isinstance(entry, dict) and type(entry.get("bytes")) is int and isinstance(entry.get("sha256"), str)):
            raise Damaged(f"manifest.json does not say what {name} is")
    return manifest


def _file_names(folder: Path) -> set[str]:
    """The names in a folder, if all of them may be there."""
    names = set()
    with os.scandir(folder) as iterator:
        entries = list(iterator)
    for entry in entries:
        # a link, a pipe or a folder could lead anywhere, and pickles run code when they are read
        if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
            kind = "a symbolic link" if entry.is_symlink() else "a folder" if entry.is_dir() else "not a regular file"
        elif entry.name.lower().endswith(_PICKLED):
            kind = "of a kind that may hold code which runs when it is read"
        elif not entry.name.endswith((".safetensors", ".json", ".md")):
            kind = "not expected"
        else:
            names.add(entry.name)
            continue
        raise BadInput(f"checkpoint: {entry.path!r} is {kind}; only safetensors and JSON files belong there; remove it")
    return names


def _plain(value: Any, field: str) -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()  # one number of numpy or torch
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise BadInput(
                    f"{field}: the key {brief(key)} is not allowed; JSON has text for keys, and would give back another key"
                )
        return {key: _plain(inner, f"{field}.{key}") for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, f"{field}[{k}]") for k, inner in enumerate(value)]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise BadInput(
        f"{field}: {brief(value)} is not allowed; JSON holds text, finite numbers, true, false, null, lists, objects; put arrays among the tensors"
    )
