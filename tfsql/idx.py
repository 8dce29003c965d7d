"""IDX, the file format of MNIST: a header with the shape, then the numbers, big-endian, last axis fastest."""

from __future__ import annotations

import gzip
import io
import math
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from tfsql.errors import BackendError

DTYPE_OF_CODE = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
GZIP_MAGIC = b"\x1f\x8b"
LONGEST_LIST = 2**31 - 1  # Arrow's fixed-size lists count in int32
MOST_VALUES = sys.maxsize // 8
CHUNK_BYTES = 1 << 20
TRUSTED_BYTES = 1 << 26  # a header can promise any size; memory beyond this follows what the file delivers


def read_idx(path: str | os.PathLike[str]) -> pa.Table:
    """The table in an IDX file: one column, ``value``, and one row for each index of the first axis.

    Shapes: a file of rank 1 gives a column of scalars; one of shape ``[n, a, b, ...]`` gives n rows of nested
    fixed-size lists ``[a, b, ...]``. The file may be compressed by gzip, under any name.

    Dtypes: uint8, int8, int16, int32, float32, float64, as the file says.

    Nulls: none.

    Raises:
      BackendError: the file is missing, unreadable, no IDX file, or shorter or longer than its header says;
        or an axis other than the first has length 0.

    Source: http://yann.lecun.com/exdb/mnist, "the IDX file format".

    Example:
      >>> import pathlib, tempfile
      >>> folder = tempfile.TemporaryDirectory()
      >>> path = pathlib.Path(folder.name, "pairs.idx")
      >>> _ = path.write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 3, 0, 0, 0, 2, 7, 2, 1, 0, 4, 1]))
      >>> read_idx(path).column("value").to_pylist()
      [[7, 2], [1, 0], [4, 1]]
      >>> folder.cleanup()
    """
    name = os.fspath(path)
    with _opened(name) as stream:
        dtype, shape = _read_header(stream, name)
        values = _read_values(stream, name, dtype, math.prod(shape))
        _expect_end(stream, name)
    return pa.table({"value": _nest(values, shape)})


@contextmanager
def _opened(name: str) -> Iterator[io.BufferedIOBase]:
    """The file's bytes, uncompressed. What the system or gzip raises inside becomes a BackendError."""
    try:
        with open(name, "rb") as file:
            compressed = file.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
            yield gzip.GzipFile(fileobj=file) if compressed else file
    except FileNotFoundError as error:
        raise BackendError(f"There is no file {name}") from error
    except IsADirectoryError as error:
        raise BackendError(f"{name} is a directory, not an IDX file") from error
    except EOFError as error:
        raise BackendError(f"{name} is truncated: its gzip stream ends before its end marker") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise BackendError(f"{name} is a damaged gzip file: {error}") from error
    except OSError as error:
        raise BackendError(f"{name} cannot be read: {error.strerror or error}") from error


def _read_header(stream: io.BufferedIOBase, name: str) -> tuple[pa.DataType, tuple[int, ...]]:
    """The type of the numbers and the length of each axis."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        found = f"starts with 0x{magic.hex().upper()}" if len(magic) == 4 else f"has {len(magic)} bytes"
        hint = "An IDX file starts with two zero bytes, a byte for the type and a byte for the rank."
        raise BackendError(f"{name} is not an IDX file: it {found}", hint=hint)
    code, rank = magic[2:]
    if code not in DTYPE_OF_CODE:
        known = ", ".join(f"0x{code:02X} {dtype}" for code, dtype in DTYPE_OF_CODE.items())
        raise BackendError(f"{name} has the unknown dtype code 0x{code:02X}", hint=f"IDX has {known}.")
    if rank == 0:
        raise BackendError(f"{name} has rank 0; an IDX file has 1 to 255 axes")
    lengths = stream.read(4 * rank)
    if len(lengths) < 4 * rank:
        raise _truncated(name, f"a header of {4 + 4 * rank}", 4 + len(lengths))
    shape = tuple(np.frombuffer(lengths, ">u4").tolist())
    _check_axes(name, shape)
    return pa.type_for_alias(DTYPE_OF_CODE[code]), shape


def _check_axes(name: str, shape: tuple[int, ...]) -> None:
    for axis, length in enumerate(shape[1:], start=1):
        if not 1 <= length <= LONGEST_LIST:
            found = f"axis {axis} of {name} has length {length} (shape {list(shape)})"
            raise BackendError(f"{found}; every axis but the first must have 1 to {LONGEST_LIST}")
    if math.prod(shape) > MOST_VALUES:
        raise BackendError(f"{name} is truncated: its {len(shape)} axes promise more than a file can hold")


def _read_values(stream: io.BufferedIOBase, name: str, dtype: pa.DataType, count: int) -> pa.Array:
    """The next ``count`` numbers, read into Arrow's memory and put into the machine's byte order in place."""
    width = dtype.bit_width // 8
    buffer, found = _read_buffer(stream, count * width)
    if found < count * width:
        raise _truncated(name, f"{count * width} data", found)
    if width > 1 and sys.byteorder == "little":
        np.frombuffer(buffer, f"u{width}").byteswap(inplace=True)
    return pa.Array.from_buffers(dtype, count, [None, buffer])


def _read_buffer(stream: io.BufferedIOBase, size: int) -> tuple[pa.Buffer, int]:
    """A buffer of at most ``size`` bytes and the number of bytes in it that the stream has filled."""
    file_bytes = os.fstat(stream.fileno()).st_size
    buffer = pa.allocate_buffer(min(size, max(TRUSTED_BYTES, file_bytes)))
    filled = _fill(stream, buffer, 0)
    while filled == buffer.size < size:
        buffer = _enlarged(buffer, min(size, 4 * buffer.size))
        filled = _fill(stream, buffer, filled)
    return buffer, filled


def _fill(stream: io.BufferedIOBase, buffer: pa.Buffer, filled: int) -> int:
    """Fills the rest of the buffer and returns the number of bytes that it then holds."""
    view = memoryview(buffer)
    while read := stream.readinto(view[filled : filled + CHUNK_BYTES]):
        filled += read
    return filled


def _enlarged(buffer: pa.Buffer, size: int) -> pa.Buffer:
    """A copy with room for ``size`` bytes. (A memoryview keeps the old length when pyarrow 26 resizes.)"""
    larger = pa.allocate_buffer(size)
    memoryview(larger)[: buffer.size] = memoryview(buffer)
    return larger


def _expect_end(stream: io.BufferedIOBase, name: str) -> None:
    extra = 0
    while chunk := stream.read(CHUNK_BYTES):
        extra += len(chunk)
    if extra:
        raise BackendError(f"{name} is longer than the shape in its header; trailing bytes: {extra}")


def _truncated(name: str, expected: str, found: int) -> BackendError:
    return BackendError(f"{name} is truncated: expected {expected} bytes, found {found}")


def _nest(values: pa.Array, shape: tuple[int, ...]) -> pa.Array:
    """The flat values as an array of ``shape[0]`` nested fixed-size lists of the other axes."""
    for length in reversed(shape[1:]):
        values = pa.FixedSizeListArray.from_arrays(values, length)
    return values
