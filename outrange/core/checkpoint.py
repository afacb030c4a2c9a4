"""Checkpoints: folders ``step_<n>`` that are complete or not there, read back only as they were written.

Saving: look whether there is space; write ``.step_<n>.tmp-<pid>`` beside (core/sealed.py; manifest last); flush;
rename; flush the parent; only then remove what need not be kept. Loading: the newest step whose every byte is as
written; a damaged one is passed over, saying why. One process writes to a folder.
"""

import contextlib
import logging
import os
import re
import shutil
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outrange.core import atomic, sealed
from outrange.core.errors import BadInput, brief
from outrange.core.sealed import Damaged, Tensors

if TYPE_CHECKING:
    import torch

_STEP = re.compile(r"step_(0|[1-9][0-9]{0,17})")
_LEFTOVER = re.compile(r"\.step_[0-9]+\.(tmp|gone)-[0-9]+")
log = logging.getLogger("outrange")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What was saved at a step; restore random state last."""

    step: int
    tensors: "dict[str, dict[str, torch.Tensor]]"
    state: dict[str, Any]
    path: Path
    written_with: dict[str, Any] = field(default_factory=dict)
    """versions and threads"""
    skipped: list[str] = field(default_factory=list)
    """a sentence for every newer step that was passed over"""


def save(
    folder: Path,
    step: int,
    tensors: Mapping[str, Tensors],
    state: Mapping[str, Any],
    *,
    digest: str,
    keep: int = 2,
    protect: Collection[int] = (),
) -> Path:
    """Write a checkpoint; when this returns it is on disk, whole.

    A step that is there already, whole and of the same configuration, is left as it is: the same run comes to the same
    state.

    Args:
        folder: of all the run's checkpoints; made if absent.
        step: its number, not negative.
        tensors: by file and by name.
        state: everything else the next step reads, as JSON.
        digest: of the run's configuration.
        keep: how many of the newest stay. Nothing is removed unless the new one reads back as written.
        protect: steps that stay as well.

    Raises:
        Unwritable: the disk cannot take it; what was there before is untouched, and nothing is half-written.
        BadInput: something cannot be stored; nothing was written.
    """
    if type(step) is not int or not _STEP.fullmatch(f"step_{step}"):
        raise BadInput(f"step: {brief(step)} is not allowed; it must be a whole number, not negative")
    if type(keep) is not int or keep < 1:
        raise BadInput(f"keep: {brief(keep)} is not allowed; it must be at least 1")
    files: dict[str, Tensors | str] = {sealed.file_name(name, "checkpoint"): inner for name, inner in tensors.items()}
    files["state.json"] = sealed.json_text(state, "state")
    torch = sys.modules.get("torch")  # whoever saves tensors has loaded it; others need not
    about = {"step": step, "config": digest, "threads": torch.get_num_threads() if torch else None}
    target = folder / f"step_{step}"
    with atomic.writable("checkpoint", target):
        if not folder.is_dir():
            folder.mkdir(parents=True)
        _clear(folder)
        # a run that went back and came to the same step again has come to the same state
        if not os.path.lexists(target) or not _is_saved(target, digest):
            _write_folder(target, files, about)
    try:
        _retain(folder, step, keep, protect)
    except (OSError, Damaged, BadInput) as error:  # too many checkpoints are no reason to end a training
        log.warning("checkpoint: older steps than %s were left in place: %s", step, error)
    return target


def _write_folder(target: Path, files: Mapping[str, Tensors | str], about: Mapping[str, Any]) -> None:
    # a tenth more than the tensors: a disk that fills up while writing costs more time than asking first
    need, free = int(sealed.expected_bytes(files) * 1.1), shutil.disk_usage(target.parent).free
    if need > free:
        raise atomic.Unwritable(
            f"checkpoint: {str(target)!r} needs {need:,} bytes and {free:,} are free on its disk; free some, or keep fewer checkpoints"
        )
    # written under a name that no reader looks at, and renamed when it is whole
    partial = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    try:
        atomic.make_folder(partial)
        sealed.write(partial, files, about)
        if os.path.lexists(target):
            _remove_step(target)  # it is damaged, or an empty folder, so nothing is lost if we die before the next line
        atomic.rename(partial, target)
        atomic.sync(target.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _is_saved(target: Path, digest: str) -> bool:
    """Whether a step is there already; raises if it is another configuration's."""
    try:
        manifest = _check(target)
    except Damaged:
        return False
    _refuse_other(target, manifest, digest, "")
    return True


def _clear(folder: Path) -> None:
    """Remove what a death while saving or removing left."""
    for path in folder.iterdir():
        if _LEFTOVER.fullmatch(path.name):
            atomic.remove(path)


def _remove_step(path: Path) -> None:
    """Remove a step, which is whole until the moment it is gone."""
    removed = path.with_name(f".{path.name}.gone-{os.getpid()}")  # a name that ``steps`` does not list
    atomic.rename(path, removed)
    atomic.remove(removed)


def _retain(folder: Path, step: int, keep: int, protect: Collection[int]) -> None:
    present = steps(folder)
    surplus = [n for n in present if n not in {step, *present[-keep:], *protect}]
    if surplus:
        _check(folder / f"step_{step}")  # the only one that is surely good stays until this one is
        for n in surplus:
            _remove_step(folder / f"step_{n}")


def steps(folder: Path) -> list[int]:
    """The steps that are there, in order, whether they are damaged or not."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(int(match[1]) for path in folder.iterdir() if (match := _STEP.fullmatch(path.name)))
    return []


def load(
    folder: Path,
    *,
    digest: str | None = None,
    step: int | None = None,
    config_difference: str = "",
    only: Collection[str] | None = None,
) -> Checkpoint:
    """The newest step that is whole, or the one asked for.

    Args:
        folder: of all the run's checkpoints.
        digest: of the configuration that must have written it; None takes any.
        step: this one and no other.
        config_difference: what to say of a configuration that is another.
        only: the groups of tensors to read, by name: files of others are not opened, so that what they hold is neither
            read nor checked. A group that was not saved is not among the tensors. None reads all.

    Raises:
        BadInput: none is whole, or one holds what does not belong there, has an unknown schema, or is of another
            configuration.
    """
    present = steps(folder)
    if step is not None and step not in present:
        names = ", ".join(map(str, present)) or "none"
        raise BadInput(f"step: {brief(step)} is not among the checkpoints of {str(folder)!r}; there are {names}")
    skipped: list[str] = []
    for n in reversed(present) if step is None else [step]:
        path = folder / f"step_{n}"
        try:
            manifest = _check(path, only)
            _refuse_other(path, manifest, digest, config_difference)
            names = [name.removesuffix(".safetensors") for name in manifest["files"] if name.endswith(".safetensors")]
            names = [name for name in names if only is None or name in only]
            tensors = {name: sealed.read_tensors(path / f"{name}.safetensors") for name in names}
            state = sealed.read_json(path / "state.json")
        except Damaged as damage:
            skipped.append(f"step {n} was passed over: {damage}")
            continue  # to the next older one
        except OSError as error:
            skipped.append(f"step {n} was passed over: it cannot be read: {error.strerror}")
            continue
        environment = {key: manifest.get(key) for key in ("versions", "threads")}
        return Checkpoint(step=n, tensors=tensors, state=state, path=path, written_with=environment, skipped=skipped)
    why = "; ".join(skipped) or "it holds none"
    raise BadInput(
        f"checkpoint: {str(folder)!r} has no checkpoint that can be read ({why}); put back a copy, or remove the folder to begin anew"
    )


def _check(path: Path, only: Collection[str] | None = None) -> dict[str, Any]:
    """The manifest of a step that is as it was written; of its tensors, if ``only`` names groups, only theirs are
    looked at.
    """
    if path.is_symlink() or not path.is_dir():
        raise BadInput(
            f"checkpoint: {str(path)!r} is {'a symbolic link' if path.is_symlink() else 'a file'}, not a folder; remove it"
        )
    files = None if only is None else {sealed.file_name(name, "group") for name in only} | {"state.json"}
    manifest = sealed.check(path, only=files)
    if path.name != f"step_{manifest.get('step')}":
        raise Damaged(f"its manifest.json is of step {brief(manifest.get('step'))}")
    if "state.json" not in manifest["files"]:
        raise Damaged("its manifest.json lists no state.json")
    return manifest


def _refuse_other(path: Path, manifest: Mapping[str, Any], digest: str | None, difference: str) -> None:
    if digest is not None and manifest.get("config") != digest:
        run = path.parent.parent if path.parent.name == "checkpoints" else path.parent
        why = difference or f"its digest is {str(manifest.get('config'))[:12]}, not {digest[:12]}"
        raise BadInput(
            f"run: {str(run)!r} holds a checkpoint written by another configuration ({why}); use another directory, or the settings that wrote it"
        )


def verify(folder: Path, digest: str | None = None) -> list[tuple[Path, str]]:
    """Every step that is damaged, holds what does not belong there, or is of another configuration; and a sentence for
    it.
    """
    problems = []
    for n in steps(folder):
        path = folder / f"step_{n}"
        try:
            _refuse_other(path, _check(path), digest, "")
            sealed.read_json(path / "state.json")
        except (Damaged, BadInput, OSError) as error:
            problems.append((path, str(error)))
    return problems


def write_weights(folder: Path, tensors: Tensors, about: Mapping[str, Any]) -> Path:
    """Write weights to be given away: ``weights.safetensors``, ``about.json`` (how they were made) and a manifest, into
    a new folder.
    """
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise BadInput(f"weights: {str(folder)!r} is not empty; give a new folder")
    files: dict[str, Tensors | str] = {"weights.safetensors": tensors, "about.json": sealed.json_text(about, "about")}
    with atomic.writable("weights", folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _write_folder(folder, files, {})
    return folder


def read_weights(folder: Path) -> "tuple[dict[str, torch.Tensor], dict[str, Any]]":
    """Weights and what is said about them; a README.md may stand beside.

    Raises:
        BadInput: there are none, or they are not as written.
    """
    if not (folder / "manifest.json").is_file():
        raise BadInput(f"weights: {str(folder)!r} holds no weights: it has no manifest.json")
    try:
        if not {"weights.safetensors", "about.json"} <= sealed.check(folder, ("README.md",))["files"].keys():
            raise Damaged("its manifest.json lists no weights.safetensors and about.json")
        return sealed.read_tensors(folder / "weights.safetensors"), sealed.read_json(folder / "about.json")
    except Damaged as damage:
        raise BadInput(f"weights: {str(folder)!r} is damaged: {damage}; put back a copy") from None
