"""read_idx: every dtype, ranks 1 to 4 and more, compressed or not; a clear sentence for each damaged file."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tfsql import idx
from tfsql.errors import BackendError
from tfsql.idx import read_idx

MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist"
CODE_OF_DTYPE = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}
SHAPES = [(5,), (5, 3), (5, 2, 3), (4, 1, 3, 2), (1,) * 20 + (2,)]


def idx_header(code: int, *shape: int) -> bytes:
    return bytes([0, 0, code, len(shape)]) + np.array(shape, ">u4").tobytes()


def idx_bytes(array: np.ndarray) -> bytes:
    big_endian = array.astype(array.dtype.newbyteorder(">"))
    return idx_header(CODE_OF_DTYPE[array.dtype.name], *array.shape) + big_endian.tobytes()


def random_array(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Integers over the whole range of the dtype; floats with an infinity and the least positive number."""
    random = np.random.default_rng(7)
    if np.issubdtype(np.dtype(dtype), np.integer):
        limits = np.iinfo(dtype)
        return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    values = random.normal(size=shape).astype(dtype)
    values.flat[:2] = [np.inf, np.finfo(dtype).smallest_subnormal]
    return values


@pytest.fixture
def written(tmp_path):
    """Writes a file and returns its path."""

    def write(content: bytes) -> Path:
        path = tmp_path / "file"
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def message_for(written):
    """The sentence of the error that reading such a file raises, its path shortened to ``PATH``."""

    def read(content: bytes) -> str:
        path = written(content)
        with pytest.raises(BackendError) as caught:
            read_idx(path)
        return caught.value.message.replace(str(path), "PATH")

    return read


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"rank{len(shape)}")
@pytest.mark.parametrize("dtype", CODE_OF_DTYPE)
def test_reads_what_was_written(written, dtype, shape, compress):
    array = random_array(dtype, shape)
    table = read_idx(written(compress(idx_bytes(array))))
    expected = pa.from_numpy_dtype(np.dtype(dtype))
    for length in reversed(shape[1:]):
        expected = pa.list_(expected, length)
    table.validate(full=True)
    assert table.schema == pa.schema({"value": expected})
    assert table.num_rows == shape[0]
    assert table["value"].to_pylist() == array.tolist()


@pytest.mark.parametrize("shape", [(0,), (0, 28, 28)])
def test_an_empty_first_axis_gives_no_rows(written, shape):
    table = read_idx(written(idx_header(0x0D, *shape)))
    assert table.num_rows == 0
    assert table == pa.table({"value": pa.array([], table.schema.field("value").type)})


def test_takes_text_for_the_path(written):
    assert read_idx(str(written(idx_header(0x08, 1) + b"\7"))).to_pydict() == {"value": [7]}


def test_values_start_where_tensors_can_share_them(written):
    table = read_idx(written(idx_bytes(random_array("float32", (3, 5)))))
    address = table["value"].chunk(0).values.buffers()[1].address
    assert address % 64 == 0


def test_rank_255(written):
    shape = [3] + [1] * 253 + [2]
    column = read_idx(written(idx_header(0x08, *shape) + bytes(range(6))))["value"].chunk(0)
    while pa.types.is_fixed_size_list(column.type):
        column = column.flatten()
    assert column.to_pylist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_more_data_than_the_header_is_trusted_with(written, monkeypatch, compress):
    monkeypatch.setattr(idx, "TRUSTED_BYTES", 10)
    array = np.zeros((40, 50), "int32") + np.arange(50, dtype="int32")
    assert read_idx(written(compress(idx_bytes(array))))["value"].to_pylist() == array.tolist()


@pytest.mark.parametrize("members", [1, 3])
def test_gzip_files_joined_end_to_end(written, members):
    content = idx_bytes(np.arange(30, dtype="int16"))
    parts = [gzip.compress(part.tobytes()) for part in np.array_split(np.frombuffer(content, "u1"), members)]
    assert read_idx(written(b"".join(parts)))["value"].to_pylist() == list(range(30))


def test_missing_file(tmp_path):
    with pytest.raises(BackendError) as caught:
        read_idx(tmp_path / "absent")
    assert caught.value.message == f"There is no file {tmp_path / 'absent'}"
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_directory(tmp_path):
    with pytest.raises(BackendError, match=r"is a directory, not an IDX file$"):
        read_idx(tmp_path)


def test_path_through_a_file(written):
    with pytest.raises(BackendError, match=r"cannot be read: Not a directory$"):
        read_idx(written(b"") / "below")


WHOLE = idx_bytes(np.arange(6, dtype="int16").reshape(3, 2))
COMPRESSED = gzip.compress(WHOLE, mtime=0)
FAULTS = {
    "empty": (b"", "PATH is not an IDX file: it has 0 bytes"),
    "three bytes": (WHOLE[:3], "PATH is not an IDX file: it has 3 bytes"),
    "a PNG": (b"\x89PNG\r\n\x1a\n", "PATH is not an IDX file: it starts with 0x89504E47"),
    "a compressed text": (gzip.compress(b"hello"), "PATH is not an IDX file: it starts with 0x68656C6C"),
    "dtype": (idx_header(0x0A, 1) + b"\0", "PATH has the unknown dtype code 0x0A"),
    "rank 0": (idx_header(0x08), "PATH has rank 0; an IDX file has 1 to 255 axes"),
    "short header": (WHOLE[:10], "PATH is truncated: expected a header of 12 bytes, found 10"),
    "short data": (WHOLE[:-1], "PATH is truncated: expected 12 data bytes, found 11"),
    "short compressed data": (
        gzip.compress(WHOLE[:-3]),
        "PATH is truncated: expected 12 data bytes, found 9",
    ),
    "huge promise": (
        idx_header(0x0E, 2**32 - 1, 2**28) + b"few",
        "PATH is truncated: expected 9223372034707292160 data bytes, found 3",
    ),
    "endless promise": (
        idx_header(0x08, *[2**31 - 1] * 255),
        "PATH is truncated: its 255 axes promise more than a file can hold",
    ),
    "trailing": (WHOLE + b"ab", "PATH is longer than the shape in its header; trailing bytes: 2"),
    "trailing compressed": (
        gzip.compress(WHOLE + b"a"),
        "PATH is longer than the shape in its header; trailing bytes: 1",
    ),
    "short gzip": (COMPRESSED[:-9], "PATH is truncated: its gzip stream ends before its end marker"),
    "gzip header alone": (COMPRESSED[:2], "PATH is truncated: its gzip stream ends before its end marker"),
    "gzip without its checksum": (
        COMPRESSED[:-4],
        "PATH is truncated: its gzip stream ends before its end marker",
    ),
    "inner axis of 0": (
        idx_header(0x08, 3, 0, 2),
        f"axis 1 of PATH has length 0 (shape [3, 0, 2]); every axis but the first must have 1 to {2**31 - 1}",
    ),
    "inner axis too long": (
        idx_header(0x08, 0, 2**31),
        f"axis 1 of PATH has length {2**31} (shape [0, {2**31}]); every axis but the first must have 1 to {2**31 - 1}",
    ),
}


@pytest.mark.parametrize(("content", "message"), FAULTS.values(), ids=FAULTS)
def test_damaged_file(message_for, content, message):
    assert message_for(content) == message


@pytest.mark.parametrize("at", [12, -6], ids=["deflate data", "checksum"])
def test_damaged_gzip_stream(message_for, at):
    damaged = bytearray(COMPRESSED)
    damaged[at] ^= 0xFF
    assert message_for(bytes(damaged)).startswith("PATH is a damaged gzip file: ")


def test_unknown_dtype_is_told_the_known(written):
    with pytest.raises(BackendError) as caught:
        read_idx(written(idx_header(0x0A, 1) + b"\0"))
    assert caught.value.hint == ("IDX has 0x08 uint8, 0x09 int8, 0x0B int16, 0x0C int32, 0x0D float32, 0x0E float64.")


def test_does_not_import_tensorflow():
    code = "import sys, tfsql.idx; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not MNIST.is_dir(), reason="MNIST is not beside this repository")
def test_real_mnist():
    images = read_idx(MNIST / "t10k-images-idx3-ubyte.gz")
    labels = read_idx(MNIST / "t10k-labels-idx1-ubyte.gz")
    assert images.schema == pa.schema({"value": pa.list_(pa.list_(pa.uint8(), 28), 28)})
    assert images.num_rows == labels.num_rows == 10_000
    assert labels["value"][:10].to_pylist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    pixels = images["value"].chunk(0).flatten().flatten().to_numpy()
    assert round(float(pixels.mean()), 4) == 33.7912
