"""COPY of a stream to a Parquet file: the batches are computed, written and forgotten one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from tfsql.errors import BackendError
from tfsql.flatten import distinct_names
from tfsql.replacing import replaced

if TYPE_CHECKING:
    from sqlglot import exp

# The options of COPY that are written here; with any other the engine writes.
_OPTIONS = {"FORMAT", "COMPRESSION", "CODEC", "ROW_GROUP_SIZE"}
_COMPRESSIONS = {
    "uncompressed": "none", "snappy": "snappy", "gzip": "gzip", "zstd": "zstd", "lz4": "lz4", "lz4_raw": "lz4",
    "brotli": "brotli",
}  # fmt: skip
# The engine's own.
_ROW_GROUP_ROWS = 122_880
_ROW_GROUP_BYTES = 64 * 2**20


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file that COPY writes.

    Attributes:
      compression: as pyarrow calls it.
      row_group_rows: rows of a group, unless they take more bytes than a group should.
    """

    path: Path
    compression: str = "snappy"
    row_group_rows: int = _ROW_GROUP_ROWS

    @classmethod
    def of(cls, paths: list[str], options: Mapping[str, exp.Expr]) -> ParquetFile | None:
        """The file that a COPY to Parquet names; None where the engine must write it."""
        if len(paths) != 1 or "://" in paths[0] or not options.keys() <= _OPTIONS:
            return None
        option = options.get("COMPRESSION", options.get("CODEC"))
        compression = _COMPRESSIONS.get("snappy" if option is None else option.name.lower())
        size = options.get("ROW_GROUP_SIZE")
        if compression is None or not (size is None or (size.name.isdigit() and int(size.name) > 0)):
            return None
        path = Path(paths[0]).expanduser()
        if path.is_dir() or not path.parent.is_dir() or (path.exists() and not path.is_file()):
            return None
        return cls(path, compression, _ROW_GROUP_ROWS if size is None else int(size.name))

    def write(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> int:
        """Writes the file, whole or not at all; the number of its rows.

        Raises:
          BackendError: it cannot be written.
        """
        import pyarrow.parquet as pq

        named = pa.schema([f.with_name(name) for f, name in zip(schema, distinct_names(schema.names), strict=True)])
        count = 0
        try:
            with replaced(self.path) as part, pq.ParquetWriter(part, named, compression=self.compression) as writer:
                group = _Group(self.row_group_rows)
                for batch in batches:
                    count += batch.num_rows
                    for table in group.add(batch.rename_columns(named.names)):
                        writer.write_table(table, row_group_size=max(table.num_rows, 1))
                if group.batches:
                    table = pa.Table.from_batches(group.batches)
                    writer.write_table(table, row_group_size=max(table.num_rows, 1))
        except (OSError, pa.ArrowException) as error:
            raise BackendError(f"Cannot write {self.path}: {getattr(error, 'strerror', None) or error}") from error
        return count


@dataclass
class _Group:
    """The batches of the row group that is being filled."""

    rows: int
    batches: list[pa.RecordBatch] = field(default_factory=list)

    def add(self, batch: pa.RecordBatch) -> Iterable[pa.Table]:
        """Takes a batch; the groups that it fills."""
        self.batches.append(batch)
        while sum(b.num_rows for b in self.batches) >= self.rows:
            table = pa.Table.from_batches(self.batches)
            yield table.slice(0, self.rows)
            self.batches = table.slice(self.rows).to_batches()
        if sum(b.nbytes for b in self.batches) >= _ROW_GROUP_BYTES:
            yield pa.Table.from_batches(self.batches)
            self.batches = []
