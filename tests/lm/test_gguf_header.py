"""A sound GGUF header is read as it was written; whatever else a file holds is one sentence, soon, and in little memory."""

import contextlib
import os
import random
import struct
import time
import tracemalloc

import pytest

from outrange.core.errors import BadInput
from outrange.lm import gguf_header
from outrange.lm.gguf_header import read_header

UINT8, UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, UINT64 = 0, 4, 5, 6, 7, 8, 9, 10
F32, Q4_0, Q4_K = 0, 2, 12


def text(value):
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def uint32(value):
    return struct.pack("<I", value)


def array(kind, length, values=b""):
    return struct.pack("<IQ", kind, length) + values


def tensor(name, shape, kind, offset):
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def gguf(pairs=(), tensors=(), data=b"", version=3, n_pairs=None, n_tensors=None, alignment=32):
    counts = struct.pack(
        "<IQQ", version, len(tensors) if n_tensors is None else n_tensors, len(pairs) if n_pairs is None else n_pairs
    )
    head = b"GGUF" + counts + b"".join(pairs) + b"".join(tensors)
    return head + bytes(-len(head) % alignment) + data if tensors else head


SMALL = gguf(
    pairs=[
        pair("general.architecture", STRING, text("llama")),
        pair("llama.attention.head_count", UINT32, uint32(9)),
        pair("llama.rope.freq_base", FLOAT32, struct.pack("<f", 1e5)),
        pair("tokenizer.ggml.add_bos_token", BOOL, b"\1"),
        pair("llama.attention.head_count_kv", ARRAY, array(INT32, 2, struct.pack("<2i", 3, -3))),
        pair("general.languages", ARRAY, array(STRING, 2, text("en") + text("ελ"))),
        pair("tokenizer.ggml.tokens", ARRAY, array(STRING, 257, text("") * 128 + text("token") + text("") * 128)),
        pair("tokenizer.ggml.scores", ARRAY, array(UINT8, 257, bytes(257))),
        pair("general.note", STRING, text("")),
    ],
    tensors=[tensor("token_embd.weight", (32, 2), Q4_0, 0), tensor("output_norm.weight", (3,), F32, 64)],
    data=bytes(64 + 12),
)


def refusal(tmp_path, content, size=None):
    """The sentence that refuses a file, found within a second of work and 100 MB. ``size``: of the file, as far as it is longer than what is in it."""
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    if size:
        os.truncate(path, size)
    start = time.process_time()
    with pytest.raises(BadInput) as refused:
        read_header(path)
    assert time.process_time() - start < 1
    assert memory(path) < 100e6
    message = str(refused.value)
    assert (
        message.startswith(f"model: {str(path)!r} is not a usable GGUF file: ")
        and "\n" not in message
        and len(message) < 500
    )
    return message.removeprefix(f"model: {str(path)!r} is not a usable GGUF file: ")


def memory(path):
    """The most bytes that reading a file takes at once."""
    tracemalloc.start()
    try:
        with contextlib.suppress(BadInput):
            read_header(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_header_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(SMALL)
    header = read_header(path)
    assert header.version == 3
    assert header.kv == {
        "general.architecture": "llama",
        "llama.attention.head_count": 9,
        "llama.rope.freq_base": 1e5,
        "tokenizer.ggml.add_bos_token": True,
        "llama.attention.head_count_kv": (3, -3),
        "general.languages": ("en", "ελ"),
        "general.note": "",
    }
    assert header.arrays == {
        "llama.attention.head_count_kv": ("int32", 2),
        "general.languages": ("string", 2),
        "tokenizer.ggml.tokens": ("string", 257),
        "tokenizer.ggml.scores": ("uint8", 257),
    }
    assert header.tensors == {"token_embd.weight": ((32, 2), "Q4_0", 36), "output_norm.weight": ((3,), "F32", 12)}
    assert header.parameters == 67 and header.bytes == 48


def test_version_2_and_a_file_without_tensors_are_read(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf(version=2))
    assert read_header(path) == gguf_header.Header(version=2, kv={}, arrays={}, tensors={}, parameters=0, bytes=0)


def test_the_alignment_that_the_file_names_is_used(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(
        gguf(
            [pair("general.alignment", UINT32, uint32(8))],
            [tensor("a", (2,), F32, 0), tensor("b", (), F32, 8)],
            bytes(12),
            alignment=8,
        ),
    )
    assert read_header(path).parameters == 3


def test_a_vocabulary_of_a_quarter_of_a_million_strings_is_passed_over(tmp_path):
    path = tmp_path / "m.gguf"
    strings = b"".join(text(f"▁token {k}") for k in range(262144))
    assert len(strings) > 3 << 20  # more than one block of the file
    path.write_bytes(gguf([pair("tokens", ARRAY, array(STRING, 262144, strings)), pair("last", UINT32, uint32(7))]))
    header = read_header(path)
    assert header.arrays == {"tokens": ("string", 262144)} and header.kv == {"last": 7}


def test_the_published_reader_agrees(tmp_path):
    gguf_package = pytest.importorskip("gguf")
    np = pytest.importorskip("numpy")
    path = tmp_path / "m.gguf"
    writer = gguf_package.GGUFWriter(path, "llama")
    writer.add_head_count(9)
    writer.add_rope_freq_base(1e6)
    writer.add_token_list([f"token {k}" for k in range(500)])
    writer.add_array("some.numbers", [1, 2, 3])
    writer.add_bool("some.truth", False)
    writer.add_tensor("a.weight", np.arange(12, dtype=np.float32).reshape(3, 4))
    writer.add_tensor("b.weight", np.zeros((2, 18), dtype=np.uint8), raw_dtype=gguf_package.GGMLQuantizationType.Q4_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header, reader = read_header(path), gguf_package.GGUFReader(path)
    assert header.tensors == {t.name: (tuple(t.shape.tolist()), t.tensor_type.name, t.n_bytes) for t in reader.tensors}
    assert header.tensors["a.weight"] == ((4, 3), "F32", 48) and header.tensors["b.weight"] == ((32, 2), "Q4_0", 36)
    for key, field in reader.fields.items():
        if len(field.types) > 1:
            assert header.arrays[key] == (field.types[1].name.lower(), len(field.data))
            assert header.kv.get(key, tuple(field.contents())) == tuple(field.contents())
        elif not key.startswith("GGUF."):
            assert header.kv[key] == field.contents()
    assert header.kv["llama.attention.head_count"] == 9 and header.kv["some.numbers"] == (1, 2, 3)


def test_the_published_package_has_the_same_blocks():
    constants = pytest.importorskip("gguf").constants
    for kind, (name, block, width) in gguf_header.TENSOR_TYPES.items():
        known = constants.GGMLQuantizationType(kind)
        assert (known.name, *constants.GGML_QUANT_SIZES[known]) == (name, block, width)


HANGS_THE_PUBLISHED_READER = gguf([pair("a", ARRAY, array(UINT8, 1 << 62))])
DATA = bytes(128)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it ends inside its first four bytes: 4 bytes are needed and 0 left"),
        (b"PK\3\4" + bytes(99), r"it begins with b'PK\x03\x04', not with b'GGUF'"),
        (
            b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
            "it is big endian, which is not read here; convert it to little endian",
        ),
        (b"FUGG" + struct.pack(">IQQ", 3, 0, 0), "it is big endian"),
        (gguf(version=1), "it has version 1; versions 2 and 3 are read"),
        (gguf(version=0), "it has version 0"),
        (gguf(n_pairs=1 << 60), "it would have 1,152,921,504,606,846,976 key-value pairs; at most 1,024 are allowed"),
        (gguf(n_tensors=1 << 60), "it would have 1,152,921,504,606,846,976 tensors; at most 16,384 are allowed"),
        (gguf(n_pairs=9), "it would have 9 key-value pairs, but only 0 bytes are left"),
        (gguf(n_tensors=9), "it would have 9 tensors, but only 0 bytes are left"),
        (
            HANGS_THE_PUBLISHED_READER,
            "it would have 4,611,686,018,427,387,904 values in the array 'a'; at most 1,048,576 are allowed",
        ),
        (
            gguf([pair("a", ARRAY, array(STRING, 1 << 20))]),
            "it would have 1,048,576 values in the array 'a', but only 0 bytes are left",
        ),
        (
            gguf([pair("a", ARRAY, array(ARRAY, 1, array(ARRAY, 1) * 1000))]),
            "'a' is an array of arrays, which is not read here",
        ),
        (gguf([pair("a", ARRAY, array(13, 1, bytes(8)))]), "the array 'a' has values of type 13, which is not known"),
        (gguf([pair("a", 13, bytes(8))]), "the value of 'a' has type 13, which is not known"),
        (gguf([pair("a", BOOL, b"\2")]), "the value of 'a' is neither true nor false"),
        (
            gguf([pair("a", STRING, struct.pack("<Q", 1 << 63))]),
            "the value of 'a' would have 9,223,372,036,854,775,808 bytes; at most 1,048,576 are allowed",
        ),
        (
            gguf([pair("a", STRING, struct.pack("<Q", 1000))]),
            "it ends inside the value of 'a': 1,000 bytes are needed and 0 left",
        ),
        (
            gguf([pair("a", ARRAY, array(STRING, 300, struct.pack("<Q", 1 << 63) + bytes(8 * 299)))]),
            "a string in 'a' would have 9,223,372,036,854,775,808",
        ),
        (
            gguf([pair("a", ARRAY, array(STRING, 300, struct.pack("<Q", 9000) + bytes(8 * 299)))]),
            "it ends inside a string in 'a'",
        ),
        (gguf([pair("a" * 1025, BOOL, b"\1")]), "key 0 would have 1,025 bytes; at most 1,024 are allowed"),
        (gguf([pair("", UINT32, uint32(0))]), "key 0 is empty"),
        (gguf([pair(b"a\xff", BOOL, b"\1")]), "key 0 is not UTF-8 at its byte 1"),
        (gguf([pair("a", BOOL, b"\1"), pair("a", ARRAY, array(UINT8, 0))]), "it has the key 'a' twice"),
        (gguf([pair("a", ARRAY, array(UINT8, 999, bytes(999))), pair("a", BOOL, b"\1")]), "it has the key 'a' twice"),
        (
            gguf([pair("general.alignment", UINT32, uint32(0))]),
            "its general.alignment is 0; it must be a power of two of type uint32",
        ),
        (gguf([pair("general.alignment", UINT32, uint32(48))]), "its general.alignment is 48"),
        (gguf([pair("general.alignment", UINT64, struct.pack("<Q", 32))]), "its general.alignment is 32"),
        (gguf([pair("general.alignment", ARRAY, array(UINT32, 1, uint32(32)))]), "its general.alignment is (32,)"),
        (
            gguf([pair("general.alignment", UINT32, uint32(1 << 31))], [tensor("t", (1,), F32, 0)], DATA),
            "its tensor 't' ends at byte 4 of the data, but",
        ),
        (
            gguf([], [tensor("t", (1, 1, 1, 1, 1), F32, 0)], DATA),
            "its tensor 't' has 5 dimensions; at most 4 are allowed",
        ),
        (
            gguf([], [text("t") + struct.pack("<IQQ", 0xFFFFFFFF, 0, 0)], DATA),
            "its tensor 't' has 4,294,967,295 dimensions",
        ),
        (
            gguf([], [tensor("t", (1 << 32, 1 << 32), F32, 0)], DATA),
            "its tensor 't' has too many elements: its shape is (4294967296, 4294967296)",
        ),
        (gguf([], [tensor("t", (1 << 63, 2), F32, 0)], DATA), "its tensor 't' has too many elements"),
        (
            gguf([], [tensor("t", (1 << 62, 0), F32, 0)], DATA),
            "its tensor 't' has no elements: its shape is (4611686018427387904, 0)",
        ),
        (gguf([], [tensor("t", (1,), 4, 0)], DATA), "its tensor 't' has type 4, which is not known"),
        (
            gguf([], [tensor("t", (100,), Q4_K, 0)], DATA),
            "its tensor 't' has rows of 100 elements; Q4_K comes in blocks of 256",
        ),
        (
            gguf([], [tensor("t", (), Q4_0, 0)], DATA),
            "its tensor 't' has rows of 1 elements; Q4_0 comes in blocks of 32",
        ),
        (
            gguf([], [tensor("t", (1,), F32, 128)], DATA),
            "its tensor 't' ends at byte 132 of the data, but there are only 128; it may be cut",
        ),
        (
            gguf([], [tensor("t", (1,), F32, (1 << 64) - 32)], DATA),
            "its tensor 't' ends at byte 18,446,744,073,709,551,588 of the data",
        ),
        (
            gguf([], [tensor("t", (33,), F32, 0)], DATA),
            "its tensor 't' ends at byte 132 of the data, but there are only 128",
        ),
        (
            gguf([], [tensor("t", (1,), F32, 4)], DATA),
            "its tensor 't' begins at 4, which is not a multiple of 32, its alignment",
        ),
        (gguf([], [tensor("t", (1,), F32, 0)] * 2, DATA), "it has the tensor 't' twice"),
        (gguf([], [tensor("t", (9,), F32, 0), tensor("u", (1,), F32, 32)], DATA), "its tensors 't' and 'u' overlap"),
        (gguf([], [tensor("u", (1,), F32, 0), tensor("t", (1,), F32, 0)], DATA), "its tensors 't' and 'u' overlap"),
        (
            gguf([], [tensor("t" * 257, (1,), F32, 0)], DATA),
            "the name of tensor 0 would have 257 bytes; at most 256 are allowed",
        ),
        (gguf([], [tensor("", (1,), F32, 0)], DATA), "the name of tensor 0 is empty"),
        (gguf([pair("\n" * 900, 13, bytes(8))]), "the value of '"),
    ],
)
def test_a_crafted_file_is_refused_in_a_sentence_in_no_time_and_little_memory(tmp_path, content, message):
    assert refusal(tmp_path, content).startswith(message)


def test_the_file_that_hangs_the_published_reader_has_49_bytes():
    assert len(HANGS_THE_PUBLISHED_READER) == 49


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            gguf([pair("a", ARRAY, array(UINT8, 1 << 62))]),
            "it would have 4,611,686,018,427,387,904 values in the array 'a'",
        ),
        (
            gguf([pair("a", ARRAY, array(UINT64, (1 << 61) + 1))]),
            "it would have 2,305,843,009,213,693,953 values in the array 'a'",
        ),
        (gguf([pair("a", STRING, struct.pack("<Q", 1 << 38))]), "the value of 'a' would have 274,877,906,944 bytes"),
        (
            gguf([pair(f"{k}", ARRAY, array(UINT8, 1 << 20, bytes(1 << 20))) for k in range(2)]),
            "its arrays hold more than 1,572,864 values",
        ),
        (
            gguf([pair(f"{k}", STRING, text(bytes(1 << 20))) for k in range(9)]),
            "its keys, names and texts would take more than 8,388,608 bytes",
        ),
        (
            gguf([pair("a", ARRAY, array(STRING, 300, (struct.pack("<Q", 1 << 20) + bytes(1 << 20)) * 99))]),
            "its header is longer than 67,108,864 bytes",
        ),
        (gguf(n_pairs=1024), "key 0 is empty"),
        (gguf(n_tensors=16384), "the name of tensor 0 is empty"),
    ],
)
def test_a_file_that_is_as_long_as_it_says_is_refused_as_soon(tmp_path, content, message):
    assert refusal(tmp_path, content, size=1 << 40).startswith(message)  # sparse: it takes no room


def test_a_header_at_every_limit_at_once_takes_little_time_and_memory(tmp_path):
    path = tmp_path / "m.gguf"
    passed_over = [pair(f"vocabulary {k}", ARRAY, array(STRING, 700_000, bytes(5_600_000))) for k in range(2)]
    kept = [pair(f"list {k}", ARRAY, array(STRING, 256, text("é") * 256)) for k in range(360)] + [
        pair(f"key {k}", STRING, text("")) for k in range(662)
    ]
    tensors = [tensor(f"a tensor 😀 {k}", (1, 1, 1, 1), F32, 32 * k) for k in range(16384)]
    path.write_bytes(gguf(passed_over + kept, tensors, bytes(32 * 16384)))
    start = time.process_time()
    assert len(read_header(path).tensors) == 16384
    assert time.process_time() - start < 4  # half a second, on a machine that does nothing else
    path.write_bytes(
        gguf(kept, tensors, bytes(32 * 16384))
    )  # to watch what is passed over, and keeps nothing, takes long
    assert memory(path) < 100e6


def test_a_file_cut_at_any_byte_is_refused(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(SMALL)
    for length in reversed(range(len(SMALL))):
        os.truncate(path, length)
        with pytest.raises(BadInput, match="is not a usable GGUF file: "):
            read_header(path)


def test_flipped_bits_are_refused_or_read_but_nothing_else(tmp_path):
    draw, path, sound = random.Random(0), tmp_path / "m.gguf", 0
    small = gguf(
        [
            pair("general.alignment", UINT32, uint32(32)),
            pair("a", STRING, text("b")),
            pair("c", ARRAY, array(STRING, 2, text("d") * 2)),
        ],
        [tensor("e", (32, 2), Q4_0, 0), tensor("f", (3,), F32, 64)],
        bytes(76),
    )
    with open(path, "wb", buffering=0) as file:
        for _ in range(2000):
            content = bytearray(small)
            for _ in range(draw.choice((1, 1, 2, 8))):
                content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            file.seek(0)
            file.write(content)
            try:
                read_header(path)
                sound += 1
            except BadInput as error:
                assert "\n" not in str(error)
    assert 100 < sound < 1900


@pytest.mark.timeout(10)
def test_what_is_not_a_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # to open it would block
    for path in (tmp_path, tmp_path / "absent", tmp_path / "pipe"):
        with pytest.raises(BadInput, match=r"^model: '.*' is not a file$"):
            read_header(path)
