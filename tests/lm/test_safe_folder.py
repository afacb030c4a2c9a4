"""A sound model folder says what it holds; one that brings code, pickles, links outside or broken files is refused in a sentence."""

import json
import os
import random
import struct

import pytest

from outrange.core.errors import BadInput
from outrange.lm.safe_folder import Folder, check_folder

CONFIG = {"model_type": "llama", "hidden_size": 8}


def entry(begin, end, shape, dtype: object = "F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors(header, data, length=None):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


WEIGHTS = safetensors(
    {"__metadata__": {"format": "pt"}, "a": entry(0, 24, [2, 3]), "b": entry(24, 28, [2], "BF16")}, bytes(28)
)


def folder(path, files=None, config=CONFIG):
    """A model folder of these files (bytes, or what JSON holds)."""
    path.mkdir(parents=True, exist_ok=True)
    for name, content in ({"config.json": config} | (files or {})).items():
        (path / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def refusal(path):
    with pytest.raises(BadInput) as refused:
        check_folder(path)
    message = str(refused.value)
    assert message.startswith("model: ") and "\n" not in message and len(message) < 600
    return message.replace(f"{path}/", "").replace(str(path), "X").removeprefix("model: ")


def test_a_folder_says_what_it_holds(tmp_path):
    path = folder(
        tmp_path,
        {
            "model.safetensors": WEIGHTS,
            "tokenizer.json": {},
            "generation_config.json": {},
            "README.md": b"#",
            "old.bin": b"\x80",
        },
    )
    (tmp_path / "onnx").mkdir()
    expected = Folder(
        config=CONFIG, parameters=8, bytes=28, dtypes=("BF16", "F32"), has_weights=True, has_tokenizer=True
    )
    assert check_folder(path) == expected


def test_a_configuration_alone_is_fine(tmp_path):
    assert check_folder(folder(tmp_path)) == Folder(
        config=CONFIG, parameters=0, bytes=0, dtypes=(), has_weights=False, has_tokenizer=False
    )


def test_what_transformers_saves_is_sound_whole_and_in_parts(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2
    )
    model = transformers.LlamaForCausalLM(config)
    count = sum(parameter.numel() for parameter in model.parameters())
    model.save_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "parts", max_shard_size="4KB")
    assert (tmp_path / "parts/model.safetensors.index.json").is_file()
    for name in ("whole", "parts"):
        found = check_folder(tmp_path / name)
        assert (found.parameters, found.bytes, found.dtypes, found.config["model_type"]) == (
            count,
            4 * count,
            ("F32",),
            "llama",
        )


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "tokenizer_config.json",
        "processor_config.json",
        "preprocessor_config.json",
        "generation_config.json",
    ],
)
def test_a_folder_that_brings_code_is_refused(tmp_path, name):
    path = folder(tmp_path, {"model.safetensors": WEIGHTS, name: {"auto_map": {"AutoModel": "modeling.Model"}}})
    assert (
        refusal(path)
        == f"folder 'X' brings its own code (auto_map in {name}); it is not run; use a model whose architecture transformers ships"
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"text_config": {"layers": [{"auto_map": {}}]}}, "folder 'X' brings its own code (auto_map in config.json)"),
        (
            {"configuration_files": ["config.4.0.0.json"]},
            "folder 'X' has other files read in place of config.json (configuration_files)",
        ),
        (
            {"attn_implementation": "some/kernel"},
            "folder 'X' asks for code from elsewhere (attn_implementation 'some/kernel' in config.json)",
        ),
        ({"_attn_implementation": {"text_config": "a/b"}}, "folder 'X' asks for code from elsewhere"),
        (
            {"transformers_weights": "../other/model.safetensors"},
            "'config.json' names the file '../other/model.safetensors', which is not allowed",
        ),
        (
            {"transformers_weights": "adapter_model.bin"},
            "'config.json' names the file 'adapter_model.bin', which is not allowed",
        ),
        ({"transformers_weights": 3}, "'config.json' names the file 3, which is not allowed"),
        ({"transformers_weights": "other.safetensors"}, "'other.safetensors' is missing, though config.json names it"),
    ],
)
def test_a_configuration_that_leads_elsewhere_is_refused(tmp_path, config, message):
    assert refusal(folder(tmp_path, {"model.safetensors": WEIGHTS}, config)).startswith(message)


def test_a_plain_attention_implementation_is_fine(tmp_path):
    assert (
        check_folder(
            folder(tmp_path, config={"attn_implementation": "eager", "_attn_implementation": {"": "sdpa"}})
        ).has_weights
        is False
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "'config.json' is not JSON"),
        (b"[1]", "'config.json' does not hold an object, but [1]"),
        (b'{"a": 1, "a": 2}', "'config.json' has the key 'a' twice"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "'config.json' is nested more than 64 deep"),
        (b'{"a":' * 99999, "'config.json' is nested more than 64 deep"),
        (b" " * ((1 << 24) + 1), "'config.json' is larger than 16,777,216 bytes"),
    ],
)
def test_a_malformed_configuration_is_refused(tmp_path, content, message):
    assert refusal(folder(tmp_path, config=content)).startswith(message)


def test_a_folder_without_configuration_or_that_is_none_is_refused(tmp_path):
    assert refusal(tmp_path) == "folder 'X' has no config.json; give the folder that has it, as transformers saves it"
    assert refusal(tmp_path / "absent") == "'X' is not a folder"


def test_an_adapter_is_refused_since_it_names_another_model(tmp_path):
    assert refusal(folder(tmp_path, {"adapter_config.json": {"base_model_name_or_path": "a/b"}})).startswith(
        "folder 'X' is or holds an adapter"
    )


@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model.bin",
        "pytorch_model-00001-of-00002.bin",
        "consolidated.00.pth",
        "model.PT",
        "model.pkl",
        "model.ckpt",
    ],
)
def test_weights_that_are_only_a_pickle_are_refused_with_advice(tmp_path, name):
    message = refusal(folder(tmp_path, {name: b"\x80"}))
    assert message.startswith(
        f"folder 'X' has its weights only as a pickle ({name!r}), which can run code when it is read; save it as safetensors"
    )


def test_parts_without_an_index_are_refused(tmp_path):
    message = refusal(folder(tmp_path, {"model-00001-of-00002.safetensors": WEIGHTS, "pytorch_model.bin": b"\x80"}))
    assert message.startswith(
        "folder 'X' has 'model-00001-of-00002.safetensors', but neither model.safetensors nor model.safetensors.index.json"
    )


PARTS = {"1.safetensors": WEIGHTS, "2.safetensors": safetensors({"c": entry(0, 4, [])}, bytes(4))}


def index(**places):
    return {"model.safetensors.index.json": {"metadata": {}, "weight_map": places}}


def test_an_index_and_its_files_are_read(tmp_path):
    path = folder(tmp_path, PARTS | index(a="1.safetensors", b="1.safetensors", c="2.safetensors"))
    assert check_folder(path) == Folder(
        config=CONFIG, parameters=9, bytes=32, dtypes=("BF16", "F32"), has_weights=True, has_tokenizer=False
    )


NAMES = ["../x.safetensors", "/etc/passwd", "/x.safetensors", "sub/x.safetensors", "..", ".safetensors", "", "pytorch_model.bin", "a\\x.safetensors",
         "a\0.safetensors", "a\n.safetensors", "a.safetensors\n", 1, None, ["a"], {}, True]  # fmt: skip


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("name", NAMES, ids=str)
def test_an_index_that_names_anything_but_plain_safetensors_files_is_refused(tmp_path, name, whole):
    (tmp_path / "x.safetensors").write_bytes(WEIGHTS)
    message = refusal(
        folder(
            tmp_path / "m", PARTS | index(a="1.safetensors", z=name) | ({"model.safetensors": WEIGHTS} if whole else {})
        )
    )
    assert (
        message.startswith("'model.safetensors.index.json' names the file ")
        and "only safetensors files in its own folder are" in message
    )


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (index(a="3.safetensors"), "'3.safetensors' is missing, though model.safetensors.index.json names it"),
        (
            index(a="2.safetensors"),
            "'2.safetensors' lacks the tensor 'a', which model.safetensors.index.json says it has",
        ),
        (
            index(a="1.safetensors", c="3.safetensors") | {"3.safetensors": WEIGHTS},
            "'3.safetensors' has the tensor 'a', which another file of the model has too",
        ),
        (index(), "'model.safetensors.index.json' has no weight_map"),
        (
            {"model.safetensors.index.json": {"weight_map": ["1.safetensors"]}},
            "'model.safetensors.index.json' has no weight_map",
        ),
        (
            {"model.safetensors.index.json": {"weight_map": {"a": "1.safetensors"}}},
            "'model.safetensors.index.json' has no metadata",
        ),
        ({"model.safetensors.index.json": b"{"}, "'model.safetensors.index.json' is not JSON"),
        (
            index(a="1.safetensors") | {"1.safetensors": WEIGHTS[:-1]},
            "'1.safetensors' is not a usable safetensors file",
        ),
    ],
)
def test_an_index_that_does_not_fit_its_files_is_refused(tmp_path, files, message):
    assert refusal(folder(tmp_path, PARTS | files)).startswith(message)


def test_a_whole_file_is_taken_before_an_index_left_beside_it(tmp_path):
    assert check_folder(folder(tmp_path, index(a="gone.safetensors") | {"model.safetensors": WEIGHTS})).parameters == 8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "its header would have 0 bytes, and 0 are left"),
        (WEIGHTS[:7], "its header would have "),
        (
            struct.pack("<Q", 1 << 63) + bytes(99),
            "its header would have 9,223,372,036,854,775,808 bytes, and 99 are left; at most 33,554,432 are allowed",
        ),
        (WEIGHTS[:-5], "its tensors have 28 bytes, and 23 are there; it is cut"),
        (WEIGHTS + b"1", "its tensors have 28 bytes, and 29 are there"),
        (safetensors(b"{}", b""), "it has no tensors"),
        (safetensors(b"[]", b""), "its header is not an object"),
        (safetensors(b"{a}", b""), "its header is not JSON"),
        (safetensors(b'{"\xff":1}', b""), "its header is not JSON"),
        (safetensors(b'{"a":' * 99999, b""), "its header is not JSON"),
        (safetensors(b'{"a":' + b"9" * 5000 + b"}", b""), "its header is not JSON"),
        (safetensors(b'{"a":1,"a":2}', b""), "its header has a name twice"),
        (safetensors({"a": 1}, b""), "its tensor 'a' has no type"),
        (
            safetensors({"a": entry(0, 4, [1], "F31")}, bytes(4)),
            "its tensor 'a' has the type 'F31', which is not known",
        ),
        (safetensors({"a": entry(0, 4, [1], ["F32"])}, bytes(4)), "its tensor 'a' has no type"),
        (safetensors({"a": entry(0, 4, 1)}, bytes(4)), "its tensor 'a' has no shape"),
        (safetensors({"a": entry(0, 4, [True])}, bytes(4)), "its tensor 'a' has no shape"),
        (safetensors({"a": entry(0, 4, [-1])}, bytes(4)), "its tensor 'a' has no shape"),
        (safetensors({"a": entry(0, 4, [1.0])}, bytes(4)), "its tensor 'a' has no shape"),
        (safetensors({"a": entry(0, 4, [1] * 17)}, bytes(4)), "its tensor 'a' has no shape"),
        (
            safetensors({"a": entry(0, 4, [1 << 62] * 16)}, bytes(4)),
            "its tensor 'a' has the shape [4611686018427387904, ",
        ),
        (
            safetensors({"a": entry(0, 8, [1])}, bytes(8)),
            "its tensor 'a' has the shape [1] of type F32, but the offsets [0, 8]",
        ),
        (
            safetensors({"a": entry(4, 0, [1])}, bytes(4)),
            "its tensor 'a' has the shape [1] of type F32, but the offsets [4, 0]",
        ),
        (safetensors({"a": entry(-4, 0, [1])}, bytes(4)), "its tensor 'a' has no two offsets"),
        (safetensors({"a": {"dtype": "F32", "shape": [1]}}, bytes(4)), "its tensor 'a' has no two offsets"),
        (safetensors({"a": entry(0, 1, [1], "F4")}, bytes(1)), "its tensor 'a' has the shape [1] of type F4"),
        (
            safetensors({"a": entry(0, 4, [1]), "b": entry(0, 4, [1])}, bytes(4)),
            "its tensor 'b' overlaps another: it begins at byte 0 of the data, not at 4",
        ),
        (
            safetensors({"a": entry(0, 4, [1]), "b": entry(8, 12, [1])}, bytes(12)),
            "its tensor 'b' does not follow the one before it",
        ),
        (safetensors({"a": entry(4, 8, [1])}, bytes(8)), "its tensor 'a' does not follow the one before it"),
        (
            safetensors({"a": entry(0, 4 << 40, [1 << 40])}, bytes(4)),
            "its tensors have 4,398,046,511,104 bytes, and 4 are there; it is cut",
        ),
    ],
)
def test_a_broken_safetensors_file_is_refused(tmp_path, content, message):
    refused = refusal(folder(tmp_path, {"model.safetensors": content}))
    assert refused.startswith(f"'model.safetensors' is not a usable safetensors file: {message}")


def test_every_type_of_the_published_package_is_known_and_empty_tensors_are_fine(tmp_path):
    kinds = {
        "BOOL": 1,
        "U8": 1,
        "I8": 1,
        "F8_E5M2": 1,
        "F8_E4M3": 1,
        "F8_E8M0": 1,
        "I16": 2,
        "U16": 2,
        "F16": 2,
        "BF16": 2,
        "F32": 4,
        "I64": 8,
        "C64": 8,
    }
    header, end = {"empty": entry(0, 0, [0, 3])}, 0
    for kind, width in kinds.items():
        header[kind] = entry(end, end + 2 * width, [2], kind)
        end += 2 * width
    content = safetensors(header, bytes(end))
    pytest.importorskip("safetensors").deserialize(content)
    found = check_folder(folder(tmp_path, {"model.safetensors": content}))
    assert found.parameters == 2 * len(kinds) and found.bytes == end and set(kinds) == set(found.dtypes)


def test_a_safetensors_file_cut_anywhere_or_with_flipped_bits_is_refused_or_read_but_nothing_else(tmp_path):
    draw, path = random.Random(0), folder(tmp_path, {"model.safetensors": WEIGHTS})
    for length in reversed(range(len(WEIGHTS))):
        os.truncate(path / "model.safetensors", length)
        with pytest.raises(BadInput, match="is not a usable safetensors file: "):
            check_folder(path)
    for _ in range(300):
        content = bytearray(WEIGHTS)
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        (path / "model.safetensors").write_bytes(content)
        try:
            check_folder(path)
        except BadInput as error:
            assert "\n" not in str(error)


def test_a_link_out_of_the_folder_or_to_nothing_is_refused(tmp_path):
    (tmp_path / "secret.safetensors").write_bytes(WEIGHTS)
    (tmp_path / "elsewhere").mkdir()
    for name, target in (
        ("model.safetensors", tmp_path / "secret.safetensors"),
        ("model.safetensors", "../secret.safetensors"),
        ("tokenizer.json", "/etc/passwd"),
        ("sub", "../elsewhere"),
        ("model.safetensors", "absent"),
        ("model.safetensors", "model.safetensors"),
        ("model.safetensors", "/dev/zero"),
    ):
        path = folder(tmp_path / "m")
        (path / name).symlink_to(target)
        assert (
            refusal(path)
            == f"{name!r} is a link that leads out of its folder, or to nothing; put the file itself there"
        )
        (path / name).unlink()


def test_a_link_within_the_folder_and_a_link_to_it_are_fine(tmp_path):
    path = folder(tmp_path / "m", {"weights": WEIGHTS})
    (path / "model.safetensors").symlink_to("weights")
    (tmp_path / "n").symlink_to("m")
    assert check_folder(tmp_path / "n").parameters == 8


def cached(cache, name="models--a--b"):
    """A model as the hub's cache has it: its snapshot links to its blobs."""
    snapshot = cache / name / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    blobs = folder(cache / name / "blobs", {"c0": CONFIG, "f0": WEIGHTS, "10": PARTS["2.safetensors"]}, {})
    for link, blob in (("config.json", "c0"), ("model.safetensors", "f0")):
        (snapshot / link).symlink_to(f"../../blobs/{blob}")
    return snapshot, blobs


def test_the_layout_of_the_hub_s_cache_is_fine(tmp_path):
    snapshot, _ = cached(tmp_path)
    assert check_folder(snapshot).parameters == 8


def test_blobs_that_models_share_in_the_cache_are_fine_but_nothing_else_outside(tmp_path):
    snapshot, blobs = cached(tmp_path)
    shared = tmp_path / "blobs" / "ab" / ("ab" * 32)
    shared.parent.mkdir(parents=True)
    (blobs / "f0").rename(shared)
    (blobs / "f0").symlink_to(f"../../blobs/ab/{'ab' * 32}")
    assert check_folder(snapshot).parameters == 8
    for other in (
        shared.with_name("abc"),
        tmp_path / "blobs" / ("ab" * 32),
        tmp_path / "models--c--d" / "blobs" / ("ab" * 32),
    ):
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_bytes(WEIGHTS)
        (blobs / "f0").unlink()
        (blobs / "f0").symlink_to(other)
        assert "is a link that leads out of its folder" in refusal(snapshot)


def test_a_link_from_a_snapshot_to_what_is_no_blob_is_refused(tmp_path):
    snapshot, _ = cached(tmp_path)
    (snapshot.parent.parent / "refs").write_bytes(WEIGHTS)
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors").symlink_to("../../refs")
    assert "is a link that leads out of its folder" in refusal(snapshot)


@pytest.mark.timeout(10)
def test_a_pipe_in_the_folder_is_refused_and_not_opened(tmp_path):
    path = folder(tmp_path)
    os.mkfifo(path / "model.safetensors")
    assert refusal(path) == "'model.safetensors' is neither a file nor a folder; remove it"


def test_a_folder_in_the_place_of_the_weights_does_not_hide_a_pickle(tmp_path):
    path = folder(tmp_path, {"pytorch_model.bin": b"\x80"})
    (path / "model.safetensors").mkdir()
    assert "only as a pickle" in refusal(path)
