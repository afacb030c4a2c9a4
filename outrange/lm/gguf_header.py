"""Headers of GGUF files, versions 2 and 3, read under limits before any other reader sees the file.

A model file comes from strangers, and the published readers follow whatever lengths it declares: 49 bytes that
promise 2^62 numbers keep one busy forever. Here every count and length is held against a limit and against the bytes
left before anything is allocated, so that no file takes more than a second or 100 MB.

    header    "GGUF", version uint32, tensors uint64, pairs uint64
    pair      key string, type uint32, value
    string    length uint64, UTF-8
    array     type uint32, length uint64, values
    tensor    name string, dimensions uint32 (at most 4), each uint64, type uint32, offset uint64 from the data's start
    data      begins at the next multiple of ``general.alignment`` (32), as does every tensor in it

All is little endian. Refused though the format allows it: big endian, arrays of arrays (llama.cpp reads none either),
tensors without elements. What is in a long array is not looked at, nor is the tensors' data.
"""

import math
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from outrange.core.errors import BadInput, brief

Value = int | float | bool | str

# Several times what the largest public models have, and small enough that a header at every limit at once stays within
# a second and 100 MB.
_MAX_HEADER_BYTES = 1 << 26  # bytes before the tensors' data
_MAX_PAIRS, _MAX_TENSORS, _MAX_DIMENSIONS = 1 << 10, 1 << 14, 4
_MAX_KEY_BYTES = 1 << 10
_MAX_NAME_BYTES = 1 << 8  # of a tensor's name
_MAX_STRING_BYTES = 1 << 20  # of any other string
_MAX_TEXT_BYTES = 1 << 23  # of all strings that are kept, each counted with
_STRING_OVERHEAD = 64  # what Python adds to it
_MAX_ARRAY_LENGTH, _MAX_ARRAY_ITEMS = 1 << 20, 3 << 19  # elements of an array, and of all arrays
_SHORT_ARRAY = 256  # arrays up to this length are kept: a value for each layer
_LENGTH_FORMAT = struct.Struct("<Q")
_LARGEST_INT = (1 << 63) - 1  # other readers count in int64

_VALUE_TYPES = {
    0: ("uint8", "B"), 1: ("int8", "b"), 2: ("uint16", "H"), 3: ("int16", "h"), 4: ("uint32", "I"), 5: ("int32", "i"),
    6: ("float32", "f"), 7: ("bool", "B"), 10: ("uint64", "Q"), 11: ("int64", "q"), 12: ("float64", "d"),
}  # fmt: skip
_STRING_TYPE, _ARRAY_TYPE, _BOOL_TYPE, _UINT32_TYPE = 8, 9, 7, 4
TENSOR_TYPES = {  # elements of a block, and bytes that hold them
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4),
    27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a GGUF file says of itself.

    Attributes:
        version: 2 or 3.
        kv: the scalars and strings, and the arrays of at most 256 values as tuples.
        arrays: of every array the type of its values (``string``, ``float32``, …) and its length.
        tensors: of every tensor its shape as the file has it (the fastest dimension first: torch's, reversed), its
            type (``F32``, ``Q4_K``, …) and its bytes.
        parameters: elements of all tensors.
        bytes: of all tensors' data, without padding.
    """

    version: int
    kv: dict[str, Value | tuple[Value, ...]]
    arrays: dict[str, tuple[str, int]]
    tensors: dict[str, tuple[tuple[int, ...], str, int]]
    parameters: int
    bytes: int


def read_header(path: Path) -> Header:
    """The header of a GGUF file; within a second and 100 MB whatever the file holds.

    Raises:
        BadInput: the file cannot be read, or is not as the format and the limits above want it.
    """
    name = repr(str(path))
    if not Path(path).is_file():  # a pipe would block, a device never end
        raise BadInput(f"model: {name} is not a file")
    try:
        with open(path, "rb", buffering=1 << 20) as file:
            return _Reader(file, os.fstat(file.fileno()).st_size).read()
    except OSError as error:
        raise BadInput(f"model: {name} cannot be read: {error.strerror}") from None
    except _Unusable as error:
        raise BadInput(f"model: {name} is not a usable GGUF file: {error}") from None


class _Unusable(Exception):
    """What is wrong with the file, as the end of a sentence."""


class _Reader:
    """Goes through a file once, forwards."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size, self.position = file, size, 0
        self.text_left, self.items_left = _MAX_TEXT_BYTES, _MAX_ARRAY_ITEMS  # what is left of two limits

    def read(self) -> Header:
        """The whole header: magic, version, counts, key-value pairs, tensors."""
        magic = self.read_bytes(4, "its first four bytes")
        (version,) = self.read_numbers("I", 1, "its version")
        if magic == b"FUGG" or (magic == b"GGUF" and version and version & 0xFFFF == 0):
            raise _Unusable("it is big endian, which is not read here; convert it to little endian")
        if magic != b"GGUF":
            raise _Unusable(f"it begins with {magic!r}, not with b'GGUF'")
        if version not in (2, 3):
            raise _Unusable(f"it has version {version}; versions 2 and 3 are read")
        tensors, pairs = self.read_numbers("Q", 2, "its counts")
        self.check_count(pairs, _MAX_PAIRS, 8 + 1 + 4 + 1, "key-value pairs")
        self.check_count(tensors, _MAX_TENSORS, 8 + 1 + 4 + 4 + 8, "tensors")

        # Key-value pairs: scalars and short arrays are kept, of long arrays only type and length.
        kv: dict[str, Value | tuple[Value, ...]] = {}
        arrays: dict[str, tuple[str, int]] = {}
        alignment = 32
        for k in range(pairs):
            key = self.read_string(_MAX_KEY_BYTES, f"key {k}")
            if key in kv or key in arrays:
                raise _Unusable(f"it has the key {brief(key)} twice")
            (kind,) = self.read_numbers("I", 1, f"the type of {brief(key)}")
            if kind == _ARRAY_TYPE:
                arrays[key], values = self.read_array(brief(key))
                if values is not None:
                    kv[key] = values
            else:
                kv[key] = self.read_value(kind, brief(key))
            if key == "general.alignment":
                alignment = _alignment(kind, kv.get(key))
        return self.read_tensors(tensors, alignment, version, kv, arrays)

    def read_tensors(
        self,
        count: int,
        alignment: int,
        version: int,
        kv: dict[str, Value | tuple[Value, ...]],
        arrays: dict[str, tuple[str, int]],
    ) -> Header:
        tensors: dict[str, tuple[tuple[int, ...], str, int]] = {}
        places: list[tuple[int, int, str]] = []
        parameters = 0
        for k in range(count):
            name, shape, kind, offset = self.read_tensor(k)
            if name in tensors:
                raise _Unusable(f"it has the tensor {brief(name)} twice")
            if offset % alignment:
                raise _Unusable(
                    f"its tensor {brief(name)} begins at {offset:,}, which is not a multiple of {alignment:,}, its "
                    "alignment"
                )
            title, block, width = TENSOR_TYPES[kind]
            elements = math.prod(shape)
            tensors[name] = shape, title, elements // block * width
            parameters += elements
            places.append((offset, offset + tensors[name][2], name))
        _check_places(places, self.size - (self.position + -self.position % alignment))
        size = sum(size for _, _, size in tensors.values())
        return Header(version=version, kv=kv, arrays=arrays, tensors=tensors, parameters=parameters, bytes=size)

    def read_tensor(self, k: int) -> tuple[str, tuple[int, ...], int, int]:
        """The name, shape, type and offset of tensor k."""
        name = self.read_string(_MAX_NAME_BYTES, f"the name of tensor {k}")
        (rank,) = self.read_numbers("I", 1, f"the rank of tensor {k}")
        if rank > _MAX_DIMENSIONS:
            raise _Unusable(f"its tensor {brief(name)} has {rank:,} dimensions; at most {_MAX_DIMENSIONS} are allowed")
        shape = self.read_numbers("Q", rank, f"the shape of tensor {k}")
        (kind,) = self.read_numbers("I", 1, f"the type of tensor {k}")
        (offset,) = self.read_numbers("Q", 1, f"the offset of tensor {k}")
        if kind not in TENSOR_TYPES:
            raise _Unusable(f"its tensor {brief(name)} has type {kind}, which is not known")
        title, block, width = TENSOR_TYPES[kind]
        if 0 in shape:
            raise _Unusable(f"its tensor {brief(name)} has no elements: its shape is {shape}")
        if math.prod(shape) * width > _LARGEST_INT:
            raise _Unusable(f"its tensor {brief(name)} has too many elements: its shape is {shape}")
        if (shape[0] if shape else 1) % block:
            raise _Unusable(
                f"its tensor {brief(name)} has rows of {(*shape, 1)[0]:,} elements; {title} comes in blocks of {block}"
            )
        return name, shape, kind, offset

    def read_value(self, kind: int, name: str) -> Value:
        """The value of a pair that is no array."""
        if kind == _STRING_TYPE:
            return self.read_string(_MAX_STRING_BYTES, f"the value of {name}", empty=True)
        if kind not in _VALUE_TYPES:
            raise _Unusable(f"the value of {name} has type {kind}, which is not known")
        return self.read_values(kind, 1, name)[0]

    def read_array(self, name: str) -> tuple[tuple[str, int], tuple[Value, ...] | None]:
        """Type and length of an array, and its values if it is short; else they are passed over."""
        (kind,) = self.read_numbers("I", 1, f"the type of the array {name}")
        (length,) = self.read_numbers("Q", 1, f"the length of the array {name}")
        if kind == _ARRAY_TYPE:
            raise _Unusable(f"{name} is an array of arrays, which is not read here")
        if kind != _STRING_TYPE and kind not in _VALUE_TYPES:
            raise _Unusable(f"the array {name} has values of type {kind}, which is not known")
        width = 8 if kind == _STRING_TYPE else struct.calcsize(_VALUE_TYPES[kind][1])
        self.check_count(length, _MAX_ARRAY_LENGTH, width, f"values in the array {name}")
        self.items_left -= length
        if self.items_left < 0:
            raise _Unusable(f"its arrays hold more than {_MAX_ARRAY_ITEMS:,} values")
        if kind == _STRING_TYPE:
            values = self.read_strings(length, name)
        elif length <= _SHORT_ARRAY:
            values = self.read_values(kind, length, name)
        else:
            self.skip_to(self.position + length * width, f"the array {name}")
            values = None
        return ("string" if kind == _STRING_TYPE else _VALUE_TYPES[kind][0], length), values

    def read_strings(self, count: int, name: str) -> tuple[str, ...] | None:
        """The strings of a short array; those of a long one, up to a million, are passed over."""
        entry = f"a string in {name}"
        if count <= _SHORT_ARRAY:
            return tuple(self.read_string(_MAX_STRING_BYTES, entry, empty=True) for _ in range(count))
        block, last_start = b"", -1  # a block of the file, and the last place where a length fits into it
        offset = 0  # of the next length, from the block's beginning
        unpack_from = _LENGTH_FORMAT.unpack_from
        for _ in range(count):
            if offset > last_start:
                self.skip_to(self.position + offset - len(block), entry)
                block, offset = self.file.read(1 << 20), 0
                self.position, last_start = self.position + len(block), len(block) - 8
                if last_start < 0:
                    raise _Unusable(f"it ends inside {name}")
            (length,) = unpack_from(block, offset)
            if length > _MAX_STRING_BYTES:
                raise _Unusable(f"{entry} would have {length:,} bytes; at most {_MAX_STRING_BYTES:,} are allowed")
            offset += 8 + length
        self.skip_to(self.position + offset - len(block), entry)
        return None

    def read_values(self, kind: int, count: int, name: str) -> tuple[Value, ...]:
        """So many numbers of one of the format's value types."""
        values = self.read_numbers(_VALUE_TYPES[kind][1], count, f"the value of {name}")
        if kind != _BOOL_TYPE:
            return values
        if any(value > 1 for value in values):
            raise _Unusable(f"the value of {name} is neither true nor false")
        return tuple(value == 1 for value in values)

    def read_numbers(self, letter: str, count: int, name: str) -> tuple[int, ...]:
        """So many numbers of a ``struct`` letter, little endian."""
        form = f"<{count}{letter}"
        return struct.unpack(form, self.read_bytes(struct.calcsize(form), name))

    def read_string(self, limit: int, name: str, empty: bool = False) -> str:
        """A string of at most ``limit`` bytes; ``name`` is what a refusal calls it."""
        (length,) = self.read_numbers("Q", 1, f"the length of {name}")
        if length > limit:
            raise _Unusable(f"{name} would have {length:,} bytes; at most {limit:,} are allowed")
        if not length and not empty:
            raise _Unusable(f"{name} is empty")
        self.text_left -= length + _STRING_OVERHEAD
        if self.text_left < 0:
            raise _Unusable(f"its keys, names and texts would take more than {_MAX_TEXT_BYTES:,} bytes")
        try:
            return self.read_bytes(length, name).decode()
        except UnicodeDecodeError as error:
            raise _Unusable(f"{name} is not UTF-8 at its byte {error.start}") from None

    def check_count(self, count: int, limit: int, least: int, name: str) -> None:
        """Refuses a count that is above its limit, or of more things of at least ``least`` bytes than are left."""
        if count > limit:
            raise _Unusable(f"it would have {count:,} {name}; at most {limit:,} are allowed")
        if count * least > self.size - self.position:
            raise _Unusable(f"it would have {count:,} {name}, but only {self.size - self.position:,} bytes are left")

    def read_bytes(self, count: int, name: str) -> bytes:
        """The next bytes of the file, if the file and the limit of a header hold so many."""
        self.check_end(self.position + count, name)
        data = self.file.read(count)
        if len(data) < count:  # it was cut since it was opened
            raise _Unusable(f"it ends inside {name}")
        self.position += count
        return data

    def skip_to(self, position: int, name: str) -> None:
        """Pass over what lies before a position."""
        self.check_end(position, name)
        self.position = self.file.seek(position)

    def check_end(self, end: int, name: str) -> None:
        """Refuse to read beyond the file's end or a header's limit."""
        if end > self.size:
            raise _Unusable(
                f"it ends inside {name}: {end - self.position:,} bytes are needed and "
                f"{self.size - self.position:,} left"
            )
        if end > _MAX_HEADER_BYTES:
            raise _Unusable(f"its header is longer than {_MAX_HEADER_BYTES:,} bytes")


def _alignment(kind: int, value: object) -> int:
    if kind != _UINT32_TYPE or not isinstance(value, int) or value <= 0 or value & (value - 1):
        raise _Unusable(f"its general.alignment is {brief(value)}; it must be a power of two of type uint32")
    return value


def _check_places(places: Iterable[tuple[int, int, str]], data_bytes: int) -> None:
    """Whether tensors at (begin, end, name) are within ``data_bytes`` bytes of data and apart."""
    last_end, last_name = 0, ""
    for begin, end, name in sorted(places):
        if end > data_bytes:
            raise _Unusable(
                f"its tensor {brief(name)} ends at byte {end:,} of the data, "
                f"but there are only {max(data_bytes, 0):,}; "
                "it may be cut"
            )
        if begin < last_end:
            raise _Unusable(f"its tensors {brief(last_name)} and {brief(name)} overlap")
        last_end, last_name = end, name
