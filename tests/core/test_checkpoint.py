"""A checkpoint is read back as it was written or not at all: every damage is found and named, nothing stored is run, a full disk leaves the last one whole."""

import errno
import json
import os
import pickle
import re
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from outrange.core import atomic, checkpoint, sealed
from outrange.core.errors import BadInput

FILES = ("model.safetensors", "optimizer.safetensors", "state.json", "manifest.json")


def tensors(step):
    draw = torch.Generator().manual_seed(step)
    model = {"weight": torch.randn(3, 4, generator=draw), "bias": torch.randn(4, generator=draw)}
    return {"model": model, "optimizer": {"count": torch.tensor(step)}}


def save(folder, step, **options):
    return checkpoint.save(
        folder, step, tensors(step), {"step": step, "lanes": {"bfs": [1, 2.5, None]}}, **{"digest": "d" * 64} | options
    )


def agrees(found, step):
    wanted = tensors(step)
    assert found.step == step and found.state == {"step": step, "lanes": {"bfs": [1, 2.5, None]}}
    assert found.tensors.keys() == wanted.keys()
    for name, inner in wanted.items():
        assert found.tensors[name].keys() == inner.keys()
        assert all(
            torch.equal(found.tensors[name][k], v) and found.tensors[name][k].dtype == v.dtype for k, v in inner.items()
        )
    return True


def resealed(path):
    """Make a manifest that agrees with what is in the folder now, as someone who means harm would."""
    manifest = json.loads((path / "manifest.json").read_text())
    manifest.pop("seal")
    for name in manifest["files"]:
        if (path / name).is_file():
            manifest["files"][name] = {
                "bytes": (path / name).stat().st_size,
                "sha256": sealed.hashlib.sha256((path / name).read_bytes()).hexdigest(),
            }
    (path / "manifest.json").write_text(sealed._manifest(manifest))


def names(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture
def two(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    return tmp_path


def test_a_checkpoint_comes_back_tensor_for_tensor(two):
    found = checkpoint.load(two, digest="d" * 64)
    assert agrees(found, 2)
    assert found.path == two / "step_2" and found.skipped == []
    assert found.written_with["versions"]["torch"] == torch.__version__
    assert found.written_with["threads"] == torch.get_num_threads()
    assert names(two / "step_2") == sorted(FILES)


def test_only_the_groups_asked_for_are_read_and_checked(two):
    changed = bytearray((two / "step_2/optimizer.safetensors").read_bytes())
    changed[-1] ^= 1
    (two / "step_2/optimizer.safetensors").write_bytes(changed)
    assert checkpoint.load(two).step == 1
    found = checkpoint.load(two, only=("model",))
    assert found.step == 2 and found.tensors.keys() == {"model"} and found.state["step"] == 2 and not found.skipped
    assert all(torch.equal(found.tensors["model"][k], v) for k, v in tensors(2)["model"].items())
    assert checkpoint.load(two, only=("model", "best")).tensors.keys() == {"model"}, "none was saved under that name"
    (two / "step_2/model.safetensors").write_bytes(b"cut")
    assert checkpoint.load(two, only=("model",)).step == 1
    with pytest.raises(BadInput, match="'../model' is not allowed"):
        checkpoint.load(two, only=("../model",))


@pytest.mark.parametrize("dtype", [getattr(torch, name) for name in sealed._DTYPES])
def test_tensors_of_every_type_and_shape_come_back_and_other_programs_read_them(tmp_path, dtype):
    base = torch.arange(24).reshape(2, 3, 4)
    held = {
        "whole": base.to(dtype),
        "turned": base.to(dtype).permute(2, 0, 1),
        "one": base[0, 0, 1].to(dtype),
        "none": torch.empty(0, 3).to(dtype),
        "ü": base[:, 1:].to(dtype),
    }
    checkpoint.save(tmp_path, 0, {"m": held}, {}, digest="")
    for found in (
        checkpoint.load(tmp_path).tensors["m"],
        safetensors.torch.load_file(tmp_path / "step_0/m.safetensors"),
    ):
        assert found.keys() == held.keys()
        for name, value in held.items():
            assert found[name].dtype == dtype and found[name].shape == value.shape
            assert (
                found[name].contiguous().reshape(-1).view(torch.uint8).tolist()
                == value.contiguous().reshape(-1).view(torch.uint8).tolist()
            )


def test_state_is_what_json_gives_back(tmp_path):
    checkpoint.save(
        tmp_path, 0, {}, {"big": 1 << 127, "t": (1, 2), "n": torch.tensor(3), "f": 0.1, "s": "é\ud800"}, digest=""
    )
    assert checkpoint.load(tmp_path).state == {"big": 1 << 127, "t": [1, 2], "n": 3, "f": 0.1, "s": "é\ud800"}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": {"b": [1, float("nan")]}}, "state.a.b[1]: nan is not allowed"),
        ({"a": {3: 1}}, "state.a: the key 3 is not allowed"),
        ({"a": torch.zeros(2)}, "state.a: tensor([0., 0.]) is not allowed"),
        ({"a": object}, "state.a: <class 'object'> is not allowed"),
    ],
)
def test_state_that_json_would_change_is_refused_by_name_and_nothing_is_written(tmp_path, state, message):
    with pytest.raises(BadInput) as refused:
        checkpoint.save(tmp_path, 0, tensors(0), state, digest="")
    assert str(refused.value).startswith(message)
    assert names(tmp_path) == []


def test_what_cannot_be_a_tensor_or_a_name_is_refused_and_nothing_is_written(tmp_path):
    for bad in (
        {"../m": {}},
        {"": {}},
        {"a/b": {}},
        {"m": {"x": torch.eye(2).to_sparse()}},
        {"m": {"x": 3}},
        {"m": {"__metadata__": torch.zeros(1)}},
    ):
        with pytest.raises(BadInput):
            checkpoint.save(tmp_path, 0, bad, {}, digest="")
    for step in (-1, 1.0, True, "1"):
        with pytest.raises(BadInput, match="^step: "):
            checkpoint.save(tmp_path, step, {}, {}, digest="")
    with pytest.raises(BadInput, match="^keep: 0"):
        checkpoint.save(tmp_path, 0, {}, {}, digest="", keep=0)
    assert names(tmp_path) == []


def test_the_newest_and_the_protected_are_kept(tmp_path):
    for step in range(6):
        save(tmp_path, step, keep=2, protect=[1])
    assert names(tmp_path) == ["step_1", "step_4", "step_5"]
    assert checkpoint.steps(tmp_path) == [1, 4, 5]
    save(tmp_path, 10, keep=1)
    assert checkpoint.steps(tmp_path) == [10]


def test_nothing_is_removed_when_the_new_one_does_not_read_back(two, monkeypatch, caplog):
    rename = atomic.rename

    def rot(old, new):
        rename(old, new)
        if new.name == "step_3":
            (new / "state.json").write_text("{}")

    monkeypatch.setattr(atomic, "rename", rot)
    save(two, 3, keep=1)
    assert checkpoint.steps(two) == [1, 2, 3]
    assert "older steps than 3 were left in place" in caplog.text
    assert agrees(checkpoint.load(two), 2)


def test_a_step_that_is_there_already_is_left_as_it_is(two):
    before = (two / "step_2/state.json").stat().st_ino
    save(two, 2)
    assert (two / "step_2/state.json").stat().st_ino == before
    with pytest.raises(BadInput, match="another configuration"):
        save(two, 2, digest="e" * 64)


def test_a_damaged_step_is_replaced_when_it_is_saved_again(two):
    (two / "step_2/state.json").unlink()
    save(two, 2)
    assert agrees(checkpoint.load(two), 2)
    assert names(two) == ["step_1", "step_2"]


def test_what_a_death_left_is_removed_by_the_next_save_and_never_loaded(two):
    shutil.copytree(two / "step_2", two / ".step_9.tmp-1")
    shutil.copytree(two / "step_2", two / ".step_8.gone-1")
    assert agrees(checkpoint.load(two), 2)
    save(two, 3)
    assert names(two) == ["step_2", "step_3"]


def damage(path, file, how, other):
    target = path / file
    raw = target.read_bytes()
    if how == "missing":
        target.unlink()
    elif how == "empty":
        target.write_bytes(b"")
    elif how == "truncated":
        target.write_bytes(raw[:-1])
    elif how == "trailing":
        target.write_bytes(raw + b" ")
    elif how == "swapped":
        shutil.copy(other / file, target)
    elif how == "shape":
        safetensors.torch.save_file({"weight": torch.zeros(4, 3)}, target) if file.endswith(
            ".safetensors"
        ) else target.write_text('{"step": [2]}')
    elif how == "duplicated":
        if file.endswith(".safetensors"):
            length = int.from_bytes(raw[:8], "little")
            inner = raw[8 : 8 + length].rstrip()
            header = inner[:-1] + b"," + inner[1:]
            target.write_bytes(len(header).to_bytes(8, "little") + header + raw[8 + length :])
        else:
            target.write_bytes(raw.rstrip()[:-1] + b',"step": 2}')


@pytest.mark.parametrize("how", ["missing", "empty", "truncated", "trailing", "swapped", "shape", "duplicated"])
@pytest.mark.parametrize("file", FILES)
def test_every_damage_to_every_file_is_found_named_and_passed_over(two, file, how):
    damage(two / "step_2", file, how, two / "step_1")
    found = checkpoint.load(two)
    assert agrees(found, 1)
    assert (
        len(found.skipped) == 1
        and found.skipped[0].startswith("step 2 was passed over: ")
        and "\n" not in found.skipped[0]
    )
    assert (file if (file, how) != ("manifest.json", "swapped") else "has ") in found.skipped[
        0
    ] or "is not what was written" in found.skipped[0]
    assert [path for path, _ in checkpoint.verify(two)] == [two / "step_2"]
    with pytest.raises(BadInput, match="has no checkpoint that can be read"):
        checkpoint.load(two, step=2)


@pytest.mark.parametrize("file", FILES)
def test_one_flipped_byte_anywhere_is_found(two, file):
    target = two / "step_2" / file
    raw = target.read_bytes()
    for k in range(len(raw)):
        target.write_bytes(
            raw[:k] + bytes([raw[k] ^ (0x01 if k % 2 else 0x29)]) + raw[k + 1 :]
        )  # 0x29 makes a tab of a space
        with pytest.raises(sealed.Damaged, match=file):
            checkpoint._check(two / "step_2")
    assert agrees(checkpoint.load(two), 1)


@pytest.mark.parametrize("how", ["duplicated", "shape"])
def test_damage_under_a_seal_that_agrees_with_it_is_refused_or_given_as_it_is(two, how):
    damage(two / "step_2", "model.safetensors", how, two / "step_1")
    resealed(two / "step_2")
    found = checkpoint.load(two)
    if how == "duplicated":
        assert agrees(found, 1) and "model.safetensors holds a name twice" in found.skipped[0]
    else:
        assert found.tensors["model"]["weight"].shape == (4, 3)  # whoever restores from it says so


def test_a_renamed_step_is_not_taken_for_another(two):
    (two / "step_2").rename(two / "step_7")
    found = checkpoint.load(two)
    assert agrees(found, 1)
    assert found.skipped == ["step 7 was passed over: its manifest.json is of step 2"]


def test_if_no_step_is_whole_each_reason_is_said_and_what_to_do(two):
    (two / "step_1/state.json").unlink()
    (two / "step_2/model.safetensors").write_bytes(b"")
    with pytest.raises(BadInput) as refused:
        checkpoint.load(two)
    said = str(refused.value)
    assert (
        "step 2 was passed over: model.safetensors has 0 bytes" in said
        and "step 1 was passed over: state.json is missing" in said
    )
    assert said.endswith("put back a copy, or remove the folder to begin anew")
    with pytest.raises(BadInput, match="it holds none"):
        checkpoint.load(two / "absent")
    with pytest.raises(BadInput, match="step: 3 is not among the checkpoints of .*; there are 1, 2"):
        checkpoint.load(two, step=3)


def test_another_configuration_is_refused_with_what_differs(two):
    with pytest.raises(BadInput, match=r"holds a checkpoint written by another configuration \(steps 1, now 2\)"):
        checkpoint.load(two, digest="e" * 64, config_difference="steps 1, now 2")


def test_an_unknown_schema_is_refused_and_not_passed_over(two):
    manifest = json.loads((two / "step_2/manifest.json").read_text())
    manifest.pop("seal")
    (two / "step_2/manifest.json").write_text(sealed._manifest(manifest | {"schema": 2}))
    with pytest.raises(BadInput, match="has schema 2; this version reads 1"):
        checkpoint.load(two)


class Payload:
    def __reduce__(self):
        return os.mkdir, (os.environ["OUTRANGE_TEST_MARK"],)


def intrude(path, how, tmp_path):
    """Put what does not belong into a step; returns its name."""
    if how in (
        "data.pkl",
        "model.pt",
        "model.PTH",
        "x.npy",
        "x.zip",
        "notes.txt",
        "state.json~",
        ".hidden",
        "extra.safetensors",
        "extra.json",
        "README.md",
    ):
        (path / how).write_bytes(pickle.dumps(Payload()))
        return how
    if how == "link":
        (path / "state.json").rename(tmp_path / "elsewhere.json")
        (path / "state.json").symlink_to(tmp_path / "elsewhere.json")
        return "state.json"
    if how == "folder":
        (path / "replay").mkdir()
        return "replay"
    os.mkfifo(path / "pipe.json")
    return "pipe.json"


@pytest.mark.parametrize(
    "how",
    [
        "data.pkl",
        "model.pt",
        "model.PTH",
        "x.npy",
        "x.zip",
        "notes.txt",
        "state.json~",
        ".hidden",
        "extra.safetensors",
        "extra.json",
        "README.md",
        "link",
        "folder",
        "pipe",
    ],
)
def test_what_does_not_belong_in_a_checkpoint_is_refused_by_name_and_never_run(tmp_path, monkeypatch, how):
    monkeypatch.setenv("OUTRANGE_TEST_MARK", str(tmp_path / "mark"))
    folder = tmp_path / "checkpoints"
    save(folder, 1)
    save(folder, 2)
    name = intrude(folder / "step_2", how, tmp_path)
    with pytest.raises(BadInput, match=re.escape(name)) as refused:
        checkpoint.load(folder)
    assert str(refused.value).endswith("remove it") and "\n" not in str(refused.value)
    assert len(checkpoint.verify(folder)) == 1
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("file", ["model.safetensors", "state.json"])
@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_a_pickle_under_an_allowed_name_and_seal_is_never_run(tmp_path, monkeypatch, file, kind):
    monkeypatch.setenv("OUTRANGE_TEST_MARK", str(tmp_path / "mark"))
    folder = tmp_path / "checkpoints"
    save(folder, 1)
    path = save(folder, 2) / file
    path.write_bytes(pickle.dumps(Payload())) if kind == "pickle" else torch.save({"x": Payload()}, path)
    resealed(folder / "step_2")
    assert agrees(checkpoint.load(folder), 1)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "name", ["../step_1/state.json", "/etc/hostname.json", "a/b.json", "..json", "model.pt", "x\n.json", ""]
)
def test_a_manifest_that_names_a_file_elsewhere_is_refused(two, name):
    manifest = json.loads((two / "step_2/manifest.json").read_text())
    manifest.pop("seal")
    manifest["files"][name] = manifest["files"]["state.json"]
    (two / "step_2/manifest.json").write_text(sealed._manifest(manifest))
    with pytest.raises(BadInput, match="names the file") as refused:
        checkpoint.load(two)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "files",
    [None, [], {"state.json": 3}, {"state.json": {"bytes": "9", "sha256": ""}}, {f"{k}.json": {} for k in range(1001)}],
)
def test_a_manifest_that_makes_no_sense_is_damage(two, files):
    manifest = json.loads((two / "step_2/manifest.json").read_text())
    manifest.pop("seal")
    (two / "step_2/manifest.json").write_text(sealed._manifest(manifest | {"files": files}))
    found = checkpoint.load(two)
    assert agrees(found, 1) and "manifest.json" in found.skipped[0]


@pytest.mark.parametrize(
    "raw",
    [
        (1 << 62).to_bytes(8, "little") + b"{}",
        (100).to_bytes(8, "little") + b"{}",
        b"\x02",
        (2).to_bytes(8, "little") + b"[]",
        b'\x3e\0\0\0\0\0\0\0{"a":{"dtype":"F32","shape":[2305843009213693952],"data_offsets":',
        (63).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,4]}}',
        (58).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}    }' + b"1234",
        (104).to_bytes(8, "little")
        + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'[
            :104
        ]
        + b"1234",
        (3000).to_bytes(8, "little") + b"[" * 3000,
    ],
)
def test_a_safetensors_file_that_lies_about_itself_is_passed_over_even_under_a_seal(two, raw):
    (two / "step_2/model.safetensors").write_bytes(raw)
    resealed(two / "step_2")
    found = checkpoint.load(two)
    assert agrees(found, 1)
    assert "model.safetensors" in found.skipped[0]


def test_a_step_that_is_a_link_or_a_file_is_refused(two, tmp_path):
    (two / "step_3").symlink_to(two / "step_2")
    with pytest.raises(BadInput, match="step_3' is a symbolic link"):
        checkpoint.load(two)
    (two / "step_3").unlink()
    (two / "step_3").write_text("")
    with pytest.raises(BadInput, match="step_3' is a file"):
        checkpoint.load(two)


def test_the_reading_path_has_no_unpickling():
    for path in Path(checkpoint.__file__).parent.glob("*.py"):
        assert not re.search(
            r"torch\.load\(|import (pickle|dill|joblib|marshal)|pickle\.loads?\(|Unpickler|np\.load|numpy\.load|yaml\.load|\beval\(|\bexec\(|shell=True",
            path.read_text(encoding="utf-8"),
        ), path.name


def test_everything_is_flushed_before_it_gets_its_name_and_the_name_before_anything_is_removed(two):
    seen = []
    atomic.watchers.append(lambda what, path: seen.append((what, path.name.split(".tmp-")[0])))
    try:
        save(two, 3)
    finally:
        atomic.watchers.clear()
    named = seen.index(("before rename", "step_3"))
    opened = [name for what, name in seen if what == "after open"]
    assert opened[-1] == "manifest.json" and set(opened) == set(FILES)
    for name in [*FILES, ".step_3"]:
        wrote = max([k for k, (what, other) in enumerate(seen) if what == "after write" and other == name] or [0])
        assert wrote < seen.index(("after sync", name)) < named
    assert seen[named + 1 : named + 4] == [
        ("after rename", "step_3"),
        ("before sync", two.name),
        ("after sync", two.name),
    ]
    assert [what for what, _ in seen[: named + 4]].count("before remove") == 0 and seen[named + 4][0] == "before rename"


def test_a_disk_that_is_full_at_any_byte_leaves_the_last_one_whole_and_no_litter(tmp_path, monkeypatch):
    save(tmp_path, 1)
    total, write = sum(p.stat().st_size for p in (tmp_path / "step_1").iterdir()), os.write
    for room in [*range(0, total - 40, 23), total - 1]:
        left = [room]

        def full(handle, data, left=left):
            taken = min(left[0], len(data))
            left[0] -= taken
            if not taken:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(handle, bytes(data[:taken]))

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(
            atomic.Unwritable, match=r"^checkpoint: .*step_2' cannot be written: no space is left on its disk$"
        ):
            save(tmp_path, 2)
        monkeypatch.setattr(os, "write", write)
        assert names(tmp_path) == ["step_1"]
    assert agrees(checkpoint.load(tmp_path), 1)
    save(tmp_path, 2)
    assert agrees(checkpoint.load(tmp_path), 2)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_error_of_the_disk_at_any_point_leaves_a_whole_checkpoint(tmp_path, number, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # it only takes time here

    def base(name):
        for step in (0, 1):
            save(tmp_path / name, step)
        return tmp_path / name

    seen = []
    folder = base("count")
    atomic.watchers.append(lambda what, path: seen.append(what))
    try:
        save(folder, 2)
    finally:
        atomic.watchers.clear()
    assert len(seen) > 40 and {
        "before sync",
        "before rename",
        "before write",
        "before open",
        "before make",
        "before remove",
    } <= set(seen)
    for k in range(len(seen)):
        folder, count = base(str(k)), iter(range(1000))

        def fail(what, path, k=k, count=count):
            if next(count) == k:
                raise OSError(number, "")

        atomic.watchers.append(fail)
        try:
            save(folder, 2)
            done = True
        except BadInput as refused:
            assert isinstance(refused, atomic.Unwritable)
            done = False
        finally:
            atomic.watchers.clear()
        assert agrees(checkpoint.load(folder), 2 if (folder / "step_2").exists() else 1)
        assert not done or (folder / "step_2").exists()
        assert not [name for name in names(folder) if ".tmp-" in name]
        shutil.rmtree(folder)


def test_a_disk_with_too_little_space_is_said_before_anything_is_written(two, monkeypatch):
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 90, 10))
    seen = []
    atomic.watchers.append(lambda what, path: seen.append(what))
    try:
        with pytest.raises(atomic.Unwritable, match=r"step_3' needs [0-9,]+ bytes and 10 are free"):
            save(two, 3)
    finally:
        atomic.watchers.clear()
    assert seen == []


def test_weights_come_back_with_what_is_said_about_them(tmp_path):
    held = tensors(1)["model"]
    checkpoint.write_weights(tmp_path / "w/generalist", held, {"made": "by hand", "steps": 3})
    (tmp_path / "w/generalist/README.md").write_text("How they were made.")
    found, about = checkpoint.read_weights(tmp_path / "w/generalist")
    assert about == {"made": "by hand", "steps": 3}
    assert found.keys() == held.keys() and all(torch.equal(found[k], held[k]) for k in held)
    with pytest.raises(BadInput, match="is not empty; give a new folder"):
        checkpoint.write_weights(tmp_path / "w/generalist", held, {})
    (tmp_path / "empty").mkdir()
    checkpoint.write_weights(tmp_path / "empty", held, {})
    assert names(tmp_path) == ["empty", "w"] and names(tmp_path / "empty") == [
        "about.json",
        "manifest.json",
        "weights.safetensors",
    ]


def test_damaged_weights_are_refused_in_one_sentence(tmp_path):
    folder = checkpoint.write_weights(tmp_path / "w", tensors(1)["model"], {})
    raw = bytearray((folder / "weights.safetensors").read_bytes())
    raw[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(raw)
    with pytest.raises(BadInput, match="weights.safetensors is not what was written"):
        checkpoint.read_weights(folder)
    with pytest.raises(BadInput, match="holds no weights"):
        checkpoint.read_weights(tmp_path)
    (folder / "model.bin").write_bytes(b"")
    with pytest.raises(BadInput, match=r"model.bin' is of a kind that may hold code"):
        checkpoint.read_weights(folder)
