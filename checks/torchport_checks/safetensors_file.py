"""Files in the safetensors format, read and written as the arrays that lanes exchange.

The format: a little-endian 64-bit length, a JSON header of that length, then the bytes of all arrays
(https://github.com/huggingface/safetensors#format). The library of that name has no bfloat16 for numpy,
which `Array` has.
"""

from __future__ import annotations

import json
import math
import os
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from torchport_checks.worker.protocol import Array

_LENGTH = struct.Struct("<Q")
_MAX_HEADER = 100_000_000  # the format's own bound
_DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32",
    "I32": "int32", "U64": "uint64", "I64": "int64", "F16": "float16", "BF16": "bfloat16",
    "F32": "float32", "F64": "float64", "C64": "complex64",
}  # fmt: skip
_CODES = {name: code for code, name in _DTYPES.items()}


def read(path: Path) -> dict[str, Array]:
    """The arrays of a file by name.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not of the format, or has a dtype that numpy cannot hold.
    """
    data = memoryview(path.read_bytes())
    try:
        (length,) = _LENGTH.unpack(data[: _LENGTH.size])
        if length > _MAX_HEADER:
            raise ValueError("its header is too long")
        start = _LENGTH.size + length
        header = cast("dict[str, Any]", json.loads(bytes(data[_LENGTH.size : start])))
        header.pop("__metadata__", None)
        return {name: _array(entry, data[start:]) for name, entry in header.items()}
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path.name} is not a safetensors file: {error}") from error


def _array(entry: Mapping[str, Any], data: memoryview) -> Array:
    begin, end = entry["data_offsets"]
    shape, code = entry["shape"], entry["dtype"]
    if code not in _DTYPES:
        raise ValueError(f"its dtype {code} is not known here")
    dtype = _DTYPES[code]
    stored = "uint16" if dtype == "bfloat16" else dtype
    if not 0 <= begin <= end <= len(data) or end - begin != (
        math.prod(shape) * np.dtype(stored).itemsize
    ):
        raise ValueError("an array is not where its header says")
    flat = np.frombuffer(data[begin:end], np.dtype(stored).newbyteorder("<"))
    if dtype == "bfloat16":
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    return Array(dtype, flat.reshape(shape))


def write(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> int:
    """Write arrays to a file, which is there whole or not at all; the number of bytes.

    Raises:
        OSError: the file cannot be written.
        ValueError: the format has no such dtype.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    buffers: list[bytes] = []
    offset = 0
    for name, array in arrays.items():
        if array.dtype not in _CODES:
            raise ValueError(f"{name} is {array.dtype}, which safetensors does not have")
        buffers.append(_bytes(array))
        end = offset + len(buffers[-1])
        header[name] = {
            "dtype": _CODES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # arrays begin at a multiple of 8
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines([_LENGTH.pack(len(text)), text, *buffers])
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return _LENGTH.size + len(text) + offset


def _bytes(array: Array) -> bytes:
    value: NDArray[Any] = np.ascontiguousarray(array.value)
    if array.dtype == "bfloat16":  # held as the float32 of the same value
        value = (value.view(np.uint32) >> 16).astype(np.uint16)
    return value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
