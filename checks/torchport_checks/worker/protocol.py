"""Messages between the checker and its lanes: a JSON header, then raw numpy buffers.

One frame is a 4-byte little-endian header length, the header, and the buffers one after the other
with the sizes that the header lists. No pickle: what a lane sends is data, never code.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

_LENGTH = struct.Struct("<I")
_MAX_HEADER = 1 << 28
# numpy alone has no such dtypes, so their values travel as float32, which holds them exactly.
_WIDENED = ("bfloat16", "float8")


@dataclass(frozen=True, eq=False)
class Array:
    """A tensor of either framework: the dtype it had there, and its values in numpy."""

    dtype: str
    value: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, as numpy gives it."""
        return self.value.shape

    @property
    def inexact(self) -> bool:
        """Whether it holds floating-point or complex numbers."""
        return self.dtype.startswith(("float", "bfloat", "complex"))


@dataclass(frozen=True, eq=False)
class Record:
    """A dataclass instance or a named tuple: the name of its class, and its fields in order."""

    name: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class Opaque:
    """A value that cannot travel; only its type's name does."""

    type: str


def storage_dtype(dtype: str) -> str:
    """The numpy dtype in which values of the framework dtype `dtype` travel."""
    return "float32" if dtype.startswith(_WIDENED) else dtype


def encode(value: Any, buffers: list[NDArray[Any]]) -> Any:
    """Turn `value` into JSON, its arrays appended to `buffers`.

    Plain values, lists, tuples, dicts, `Array`, `Record`, `Opaque` and numpy arrays travel; a value
    of any other type becomes an `Opaque`.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        array = cast("NDArray[Any]", value)
        return encode(Array(array.dtype.name, array), buffers)
    if isinstance(value, Array):
        buffers.append(np.ascontiguousarray(value.value))
        shape = list(value.shape)
        return {"$": "array", "dtype": value.dtype, "shape": shape, "buffer": len(buffers) - 1}
    if isinstance(value, list):
        return [encode(item, buffers) for item in cast("list[Any]", value)]
    if isinstance(value, tuple):
        items = [encode(item, buffers) for item in cast("tuple[Any, ...]", value)]
        return {"$": "tuple", "items": items}
    if isinstance(value, dict):
        pairs = [
            [encode(key, buffers), encode(item, buffers)]
            for key, item in cast("dict[Any, Any]", value).items()
        ]
        return {"$": "dict", "items": pairs}
    if isinstance(value, Record):
        fields = {name: encode(item, buffers) for name, item in value.fields.items()}
        return {"$": "record", "name": value.name, "fields": fields}
    if isinstance(value, complex):
        return {"$": "complex", "real": value.real, "imag": value.imag}
    kind = value.type if isinstance(value, Opaque) else type(value).__qualname__
    return {"$": "opaque", "type": kind}


def decode(node: Any, buffers: list[memoryview]) -> Any:
    """The value that `encode` was given. Arrays are read-only views of the buffers."""
    if isinstance(node, list):
        return [decode(item, buffers) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    fields = cast("dict[str, Any]", node)
    match fields["$"]:
        case "array":
            dtype = str(fields["dtype"])
            data, shape = buffers[fields["buffer"]], fields["shape"]
            if not data:  # numpy refuses to read an empty buffer
                return Array(dtype, np.empty(shape, storage_dtype(dtype)))
            return Array(dtype, np.frombuffer(data, storage_dtype(dtype)).reshape(shape))
        case "tuple":
            return tuple(decode(item, buffers) for item in fields["items"])
        case "dict":
            return {decode(k, buffers): decode(v, buffers) for k, v in fields["items"]}
        case "record":
            return Record(
                fields["name"], {k: decode(v, buffers) for k, v in fields["fields"].items()}
            )
        case "complex":
            return complex(fields["real"], fields["imag"])
        case "opaque":
            return Opaque(fields["type"])
        case other:
            raise ValueError(f"unknown node {other!r} in a message")


def dump(message: Any) -> list[bytes | memoryview]:
    """The frame that carries `message`, in pieces that need not be joined to be written."""
    buffers: list[NDArray[Any]] = []
    body = encode(message, buffers)
    sizes = [buffer.nbytes for buffer in buffers]
    header = json.dumps([sizes, body]).encode()
    views = [memoryview(buffer.reshape(-1).view(np.uint8)) for buffer in buffers if buffer.nbytes]
    return [_LENGTH.pack(len(header)) + header, *views]


def load(read: Callable[[int], memoryview]) -> Any:
    """One message, read through `read(n)`, which returns exactly `n` bytes.

    Raises:
        EOFError: from `read`, where the other side has gone.
        ValueError: the bytes are not a frame.
    """
    (length,) = _LENGTH.unpack(read(_LENGTH.size))
    if length > _MAX_HEADER:
        raise ValueError(f"a message header of {length} bytes is not one")
    header = bytes(read(length))
    sizes, body = json.loads(header)
    if rb"\ud" in header:  # lone surrogates, which no report, store or terminal could write
        body = json.loads(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))
    return decode(body, [read(size) if size else memoryview(b"") for size in sizes])


def reader(stream: io.BufferedReader) -> Callable[[int], memoryview]:
    """`read(n)` over a blocking binary stream, for the lane's side.

    Raises:
        EOFError: the stream ended inside or before a message.
    """

    def read(count: int) -> memoryview:
        data = bytearray(count)
        view, done = memoryview(data), 0
        while done < count:
            received = stream.readinto(view[done:])
            if not received:
                raise EOFError
            done += received
        return view

    return read


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a nested value with their paths, e.g. `("[0].mask", Array)`.

    Dict keys are visited in sorted order, as JAX does, so that both frameworks number alike.
    """
    match value:
        case list() | tuple():
            for index, item in enumerate(cast("list[Any] | tuple[Any, ...]", value)):
                yield from leaves(item, f"{path}[{index}]")
        case dict():
            mapping = cast("dict[Any, Any]", value)
            for key in sorted(mapping, key=str):
                yield from leaves(mapping[key], f"{path}[{key!r}]")
        case Record():
            for name, item in value.fields.items():
                yield from leaves(item, f"{path}.{name}")
        case _:
            yield path, value


def tree_map(function: Callable[[Any], Any], value: Any) -> Any:
    """`value` with `function` applied to each leaf; containers are rebuilt in kind."""
    match value:
        case list():
            return [tree_map(function, item) for item in cast("list[Any]", value)]
        case tuple():
            return tuple(tree_map(function, item) for item in cast("tuple[Any, ...]", value))
        case dict():
            mapping = cast("Mapping[Any, Any]", value)
            return {key: tree_map(function, item) for key, item in mapping.items()}
        case Record():
            return Record(value.name, {k: tree_map(function, v) for k, v in value.fields.items()})
        case _:
            return function(value)


def cotangent(index: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The fixed pseudo-random cotangent of output number `index`, the same in every process.

    Integer hashing rather than `np.random`, whose streams may change between numpy versions. The
    magnitudes are in [1, 2) in steps of 1/128, exact in every floating-point type.
    """
    count = int(np.prod(shape, dtype=np.int64))
    word = np.arange(count, dtype=np.uint64) + np.uint64(index * 0x9E3779B9 + 1)
    word *= np.uint64(0xBF58476D1CE4E5B9)
    word ^= word >> np.uint64(31)
    word *= np.uint64(0x94D049BB133111EB)
    word >>= np.uint64(56)
    magnitude = 1 + (word & np.uint64(127)).astype(np.float32) / 128
    return np.where(word >= np.uint64(128), -magnitude, magnitude).reshape(shape)
