"""The digits of data/: made by the script beside them, alike in both files, true to the source, credited."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_digits

DATA = Path(__file__).parents[1] / "data"
WRITER = pq.read_metadata(DATA / "digits.parquet").created_by


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return pq.read_table(DATA / "digits.parquet")


@pytest.fixture(scope="module")
def images(table) -> np.ndarray:
    return table["image"].combine_chunks().flatten().flatten().to_numpy().reshape(-1, 28, 28)


@pytest.fixture(scope="module")
def csv_lines() -> list[str]:
    return gzip.decompress((DATA / "digits.csv.gz").read_bytes()).decode().splitlines()


@pytest.fixture(scope="module")
def make_digits() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_digits", DATA / "make_digits.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(WRITER.split()[-1] != pa.__version__, reason=f"the files are those of {WRITER}")
def test_script_makes_these_very_files(make_digits, capsys):
    assert make_digits.main(["--check"]) == 0
    assert capsys.readouterr().err == ""


def test_check_finds_a_changed_and_a_missing_file(make_digits, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(make_digits, "FOLDER", tmp_path)
    assert make_digits.main([]) == 0
    assert make_digits.main(["--check"]) == 0
    (tmp_path / "digits.csv.gz").unlink()
    with open(tmp_path / "digits.parquet", "ab") as file:
        file.write(b" ")
    assert make_digits.main(["--check"]) == 1
    different = [line.split()[0] for line in capsys.readouterr().err.splitlines()]
    assert different == ["digits.csv.gz", "digits.parquet"]


def test_parquet_keeps_the_shape(table):
    assert table.schema.field("label").type == pa.int64()
    assert table.schema.field("image").type == pa.list_(pa.list_(pa.float32(), 28), 28)
    assert table.num_rows == 1797


def test_csv_has_the_layout_of_the_tutorial(csv_lines):
    assert csv_lines[0] == ",".join(f'"{number}"' for number in range(1, 786))
    assert len(csv_lines) == 1798


def test_csv_and_parquet_agree(table, images, csv_lines):
    rows = np.loadtxt(csv_lines[1:], dtype=np.int64, delimiter=",")
    np.testing.assert_array_equal(rows[:, :784], images.reshape(-1, 784))
    np.testing.assert_array_equal(rows[:, 784], table["label"].to_numpy())


def test_labels_are_the_source_s(table):
    assert table["label"].to_pylist() == load_digits().target.tolist()
    assert np.bincount(table["label"]).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_images_look_like_mnist(images):
    assert (images.min(), images.max()) == (0, 255)
    assert set(np.unique(images)) <= set(range(256))
    across = np.arange(28)
    for axis in (1, 2):
        ink = images.sum(axis=axis)
        assert np.abs(ink @ across / ink.sum(axis=1) - 13.5).max() <= 0.5
    assert 0.7 < (images == 0).mean() < 0.9


def test_each_image_has_the_ink_of_its_source(images):
    before, after = load_digits().images.sum(axis=(1, 2)), images.sum(axis=(1, 2))
    assert np.corrcoef(before, after)[0, 1] > 0.95


@pytest.mark.parametrize(
    "words",
    ["UCI Machine Learning Repository", "E. Alpaydin and C. Kaynak", "CC BY 4.0", "10.24432/C50P49"],
)
def test_source_is_credited(words):
    assert words in (DATA / "README.md").read_text()
