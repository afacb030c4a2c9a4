"""Headers of GGUF files, versions 2 and 3, read under limits before any other reader sees the file.

A model file comes from strangers, and the published readers follow whatever lengths it declares: 49 bytes that promise 2^62 numbers keep one busy forever.
Here every count and length is held against a limit and against the bytes left before anything is allocated, so that no file takes more than a second or 100 MB.

    header    "GGUF", version uint32, tensors uint64, pairs uint64
    pair      key string, type uint32, value; a string is its length uint64 and UTF-8; an array is its type uint32, its length uint64 and its values
    tensor    name string, dimensions uint32 (at most 4), each uint64, type uint32, offset uint64 from the start of the data
    data      begins at the next multiple of ``general.alignment`` (32), as does every tensor in it

All is little endian. Refused though the format allows it: big endian, arrays of arrays (llama.cpp reads none either), tensors without elements.
What is in a long array is not looked at, nor is the tensors' data.
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

# Several times what the largest public models have, and small enough that a header at every limit at once stays within a second and 100 MB.
_HEADER = 1 << 26  # bytes before the tensors' data
_PAIRS, _TENSORS, _DIMS = 1 << 10, 1 << 14, 4
_KEY, _NAME, _STRING = 1 << 10, 1 << 8, 1 << 20  # bytes of a key, of a tensor's name, of any other string
_TEXT, _OBJECT = 1 << 23, 64  # bytes of all strings that are kept, each counted with what Python adds to it
_ARRAY, _ITEMS = 1 << 20, 3 << 19  # elements of an array, and of all arrays
_SHORT = 256  # arrays up to this length are kept: a value for each layer
_LENGTH = struct.Struct("<Q")
_MOST = (1 << 63) - 1  # other readers count in int64

_VALUES = {
    0: ("uint8", "B"), 1: ("int8", "b"), 2: ("uint16", "H"), 3: ("int16", "h"), 4: ("uint32", "I"), 5: ("int32", "i"), 6: ("float32", "f"),
    7: ("bool", "B"), 10: ("uint64", "Q"), 11: ("int64", "q"), 12: ("float64", "d"),
}  # fmt: skip
_IS_STRING, _IS_ARRAY, _IS_BOOL, _IS_UINT32 = 8, 9, 7, 4
_TYPES = {  # elements of a block, and bytes that hold them
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8),
    28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a GGUF file says of itself.

    Attributes:
        version: 2 or 3.
        kv: the scalars and strings, and the arrays of at most 256 values as tuples.
        arrays: of every array the type of its values (``string``, ``float32``, …) and its length.
        tensors: of every tensor its shape as the file has it (the fastest dimension first: torch's, reversed), its type (``F32``, ``Q4_K``, …) and its bytes.
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
            return _Reader(file, os.fstat(file.fileno()).st_size).header()
    except OSError as error:
        raise BadInput(f"model: {name} cannot be read: {error.strerror}") from None
    except _Unusable as error:
        raise BadInput(f"model: {name} is not a usable GGUF file: {error}") from None


class _Unusable(Exception):
    """What is wrong with the file, as the end of a sentence."""


class _Reader:
    """Goes through a file once, forwards."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size, self.at = file, size, 0
        self.text, self.items = _TEXT, _ITEMS  # what is left of two limits

    def header(self) -> Header:
        magic = self.take(4, "its first four bytes")
        (version,) = self.numbers("I", 1, "its version")
        if magic == b"FUGG" or (magic == b"GGUF" and version and version & 0xFFFF == 0):
            raise _Unusable("it is big endian, which is not read here; convert it to little endian")
        if magic != b"GGUF":
            raise _Unusable(f"it begins with {magic!r}, not with b'GGUF'")
        if version not in (2, 3):
            raise _Unusable(f"it has version {version}; versions 2 and 3 are read")
        tensors, pairs = self.numbers("Q", 2, "its counts")
        self.bounded(pairs, _PAIRS, 8 + 1 + 4 + 1, "key-value pairs")
        self.bounded(tensors, _TENSORS, 8 + 1 + 4 + 4 + 8, "tensors")
        kv: dict[str, Value | tuple[Value, ...]] = {}
        arrays: dict[str, tuple[str, int]] = {}
        alignment = 32
        for k in range(pairs):
            key = self.string(_KEY, f"key {k}")
            if key in kv or key in arrays:
                raise _Unusable(f"it has the key {brief(key)} twice")
            (kind,) = self.numbers("I", 1, f"the type of {brief(key)}")
            if kind == _IS_ARRAY:
                arrays[key], values = self.array(brief(key))
                if values is not None:
                    kv[key] = values
            else:
                kv[key] = self.value(kind, brief(key))
            if key == "general.alignment":
                alignment = _alignment(kind, kv.get(key))
        return self.with_tensors(tensors, alignment, version, kv, arrays)

    def with_tensors(
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
            name, shape, kind, offset = self.tensor(k)
            if name in tensors:
                raise _Unusable(f"it has the tensor {brief(name)} twice")
            if offset % alignment:
                raise _Unusable(
                    f"its tensor {brief(name)} begins at {offset:,}, which is not a multiple of {alignment:,}, its "
                    "alignment"
                )
            title, block, width = _TYPES[kind]
            elements = math.prod(shape)
            tensors[name] = shape, title, elements // block * width
            parameters += elements
            places.append((offset, offset + tensors[name][2], name))
        _check_places(places, self.size - (self.at + -self.at % alignment))
        size = sum(size for _, _, size in tensors.values())
        return Header(version=version, kv=kv, arrays=arrays, tensors=tensors, parameters=parameters, bytes=size)

    def tensor(self, k: int) -> tuple[str, tuple[int, ...], int, int]:
        """The name, shape, type and offset of tensor k."""
        name = self.string(_NAME, f"the name of tensor {k}")
        (rank,) = self.numbers("I", 1, f"the rank of tensor {k}")
        if rank > _DIMS:
            raise _Unusable(f"its tensor {brief(name)} has {rank:,} dimensions; at most {_DIMS} are allowed")
        shape = self.numbers("Q", rank, f"the shape of tensor {k}")
        (kind,) = self.numbers("I", 1, f"the type of tensor {k}")
        (offset,) = self.numbers("Q", 1, f"the offset of tensor {k}")
        if kind not in _TYPES:
            raise _Unusable(f"its tensor {brief(name)} has type {kind}, which is not known")
        title, block, width = _TYPES[kind]
        if 0 in shape:
            raise _Unusable(f"its tensor {brief(name)} has no elements: its shape is {shape}")
        if math.prod(shape) * width > _MOST:
            raise _Unusable(f"its tensor {brief(name)} has too many elements: its shape is {shape}")
        if (shape[0] if shape else 1) % block:
            raise _Unusable(
                f"its tensor {brief(name)} has rows of {(*shape, 1)[0]:,} elements; {title} comes in blocks of {block}"
            )
        return name, shape, kind, offset

    def value(self, kind: int, what: str) -> Value:
        if kind == _IS_STRING:
            return self.string(_STRING, f"the value of {what}", empty=True)
        if kind not in _VALUES:
            raise _Unusable(f"the value of {what} has type {kind}, which is not known")
        return self.several(kind, 1, what)[0]

    def array(self, what: str) -> tuple[tuple[str, int], tuple[Value, ...] | None]:
        """Type and length of an array, and its values if it is short; else they are passed over."""
        (kind,) = self.numbers("I", 1, f"the type of the array {what}")
        (length,) = self.numbers("Q", 1, f"the length of the array {what}")
        if kind == _IS_ARRAY:
            raise _Unusable(f"{what} is an array of arrays, which is not read here")
        if kind != _IS_STRING and kind not in _VALUES:
            raise _Unusable(f"the array {what} has values of type {kind}, which is not known")
        width = 8 if kind == _IS_STRING else struct.calcsize(_VALUES[kind][1])
        self.bounded(length, _ARRAY, width, f"values in the array {what}")
        self.items -= length
        if self.items < 0:
            raise _Unusable(f"its arrays hold more than {_ITEMS:,} values")
        if kind == _IS_STRING:
            values = self.strings(length, what)
        elif length <= _SHORT:
            values = self.several(kind, length, what)
        else:
            self.skip_to(self.at + length * width, f"the array {what}")
            values = None
        return ("string" if kind == _IS_STRING else _VALUES[kind][0], length), values

    def strings(self, count: int, what: str) -> tuple[str, ...] | None:
        within = f"a string in {what}"
        if count <= _SHORT:
            return tuple(self.string(_STRING, within, empty=True) for _ in range(count))
        block, last, at, unpack = (
            b"",
            -1,
            0,
            _LENGTH.unpack_from,
        )  # a block of the file, the last length that fits in it, the next one
        for _ in range(count):  # up to a million times
            if at > last:
                self.skip_to(self.at + at - len(block), within)
                block, at = self.file.read(1 << 20), 0
                self.at, last = self.at + len(block), len(block) - 8
                if last < 0:
                    raise _Unusable(f"it ends inside {what}")
            (length,) = unpack(block, at)
            if length > _STRING:
                raise _Unusable(f"{within} would have {length:,} bytes; at most {_STRING:,} are allowed")
            at += 8 + length
        self.skip_to(self.at + at - len(block), within)
        return None

    def several(self, kind: int, count: int, what: str) -> tuple[Value, ...]:
        values = self.numbers(_VALUES[kind][1], count, f"the value of {what}")
        if kind != _IS_BOOL:
            return values
        if any(value > 1 for value in values):
            raise _Unusable(f"the value of {what} is neither true nor false")
        return tuple(value == 1 for value in values)

    def numbers(self, letter: str, count: int, what: str) -> tuple[int, ...]:
        form = f"<{count}{letter}"
        return struct.unpack(form, self.take(struct.calcsize(form), what))

    def string(self, limit: int, what: str, empty: bool = False) -> str:
        (length,) = self.numbers("Q", 1, f"the length of {what}")
        if length > limit:
            raise _Unusable(f"{what} would have {length:,} bytes; at most {limit:,} are allowed")
        if not length and not empty:
            raise _Unusable(f"{what} is empty")
        self.text -= length + _OBJECT
        if self.text < 0:
            raise _Unusable(f"its keys, names and texts would take more than {_TEXT:,} bytes")
        try:
            return self.take(length, what).decode()
        except UnicodeDecodeError as error:
            raise _Unusable(f"{what} is not UTF-8 at its byte {error.start}") from None

    def bounded(self, count: int, limit: int, least: int, what: str) -> None:
        """Refuses a count that is above its limit, or of more things of at least ``least`` bytes than are left."""
        if count > limit:
            raise _Unusable(f"it would have {count:,} {what}; at most {limit:,} are allowed")
        if count * least > self.size - self.at:
            raise _Unusable(f"it would have {count:,} {what}, but only {self.size - self.at:,} bytes are left")

    def take(self, count: int, what: str) -> bytes:
        self.within(self.at + count, what)
        data = self.file.read(count)
        if len(data) < count:  # it was cut since it was opened
            raise _Unusable(f"it ends inside {what}")
        self.at += count
        return data

    def skip_to(self, at: int, what: str) -> None:
        self.within(at, what)
        self.at = self.file.seek(at)

    def within(self, end: int, what: str) -> None:
        if end > self.size:
            raise _Unusable(
                f"it ends inside {what}: {end - self.at:,} bytes are needed and {self.size - self.at:,} left"
            )
        if end > _HEADER:
            raise _Unusable(f"its header is longer than {_HEADER:,} bytes")


def _alignment(kind: int, value: object) -> int:
    if kind != _IS_UINT32 or not isinstance(value, int) or value <= 0 or value & (value - 1):
        raise _Unusable(f"its general.alignment is {brief(value)}; it must be a power of two of type uint32")
    return value


def _check_places(places: Iterable[tuple[int, int, str]], room: int) -> None:
    """Whether tensors at (begin, end, name) are within ``room`` bytes of data and apart."""
    last, before = 0, ""
    for begin, end, name in sorted(places):
        if end > room:
            raise _Unusable(
                f"its tensor {brief(name)} ends at byte {end:,} of the data, but there are only {max(room, 0):,}; "
                "it may be cut"
            )
        if begin < last:
            raise _Unusable(f"its tensors {brief(before)} and {brief(name)} overlap")
        last, before = end, name
