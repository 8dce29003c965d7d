"""``import.text``: a CSV file as a dataset, whole or not at all.

DuckDB reads the file into a temporary table, each line that does not fit set aside with its number. The dataset is
then one CREATE TABLE over that table, with the rows named, in the transaction that also keeps its configuration.
"""

from __future__ import annotations

import collections
import csv
import datetime
import io
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tfsql.errors import BindError, ParseError, Span, TfsqlError
from tfsql.mldb.datasets import output_dataset
from tfsql.mldb.files import local_file
from tfsql.mldb.formats import iso_time
from tfsql.mldb.parameters import parameter, required
from tfsql.mldb.store import Store
from tfsql.mldb.texts import with_calls_replaced
from tfsql.sugar import ROW_NAME
from tfsql.types import quote, quote_text

NAME = "import.text"
PARAMETERS = (
    required("dataFileUrl", str),
    required("outputDataset", str, dict),
    parameter("headers", list),
    parameter("autoGenerateHeaders", bool, default=False),
    parameter("delimiter", str, default=","),
    parameter("quoteChar", str, default='"'),
    parameter("encoding", str, default="utf-8"),
    parameter("limit", int, default=-1),
    parameter("offset", int, default=0),
    parameter("preHeaderOffset", int, default=0),
    parameter("ignoreBadLines", bool, default=False),
    parameter("ignoreExtraColumns", bool, default=False),
    parameter("skipLineRegex", str),
    parameter("allowMultiLines", bool, default=False),
    parameter("select", str, default="*"),
    parameter("where", str, default="true"),
    parameter("named", str, default="rowName()"),
    parameter("timestamp", str, int, float),
)

_ENCODINGS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "latin1": "latin-1",
    "latin-1": "latin-1",
    "iso8859-1": "latin-1",
    "iso-8859-1": "latin-1",
    "utf-16": "utf-16",
}
_TYPES = ("BIGINT", "DOUBLE", "VARCHAR")
_STAGING, _REJECTS, _SCANS = "tfsql_import", "tfsql_import_rejects", "tfsql_import_scans"
_POSITION, _LINE = "tfsql:position", "tfsql:line"


@dataclass
class _TextFile:
    """A file as it is to be read.

    Attributes:
      headers: the names of its columns.
      first_line: the number of the first line of data.
      skipped: the numbers of lines that hold no row, in order.
    """

    path: Path
    headers: list[str]
    first_line: int
    skipped: list[int] = field(default_factory=list)


def import_text(store: Store, params: dict[str, Any]) -> dict[str, Any]:
    """Imports a file; the status of the run.

    Raises:
      BindError: the file is not there, or a name in ``select``, ``where`` or ``named`` is not in it.
      ParseError: a line is no row of the file; the message says which and why.
    """
    importer = _Import(store, params)
    try:
        return importer.run()
    finally:
        importer.clean()


class _Import:
    """One import."""

    def __init__(self, store: Store, params: dict[str, Any]):
        self._store = store
        self._params = params
        self._url = params["dataFileUrl"]
        self._dataset = output_dataset(params["outputDataset"], NAME)
        self._encoding = _encoding(params["encoding"])
        self._breaks: str | None = None
        self._casts: list[str] = []
        for name in ("delimiter", "quoteChar"):
            if len(params[name]) > 1 or (name == "delimiter" and not params[name]):
                raise BindError(f"{NAME}: {name} is one character, not {params[name]!r}")
        for name, least in (("limit", -1), ("offset", 0), ("preHeaderOffset", 0)):
            if params[name] < least:
                raise BindError(f"{NAME}: {name} is at least {least}, not {params[name]}")

    def run(self) -> dict[str, Any]:
        with ExitStack() as stack:
            path = stack.enter_context(local_file(self._url))
            modified = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
            file = self._opened(path, stack)
            self._stage(file)
        bad = self._bad_lines(file)
        if bad and not self._params["ignoreBadLines"]:
            raise ParseError(f"{self._url}: {_told(bad)}", hint="ignoreBadLines leaves such lines out")
        file.skipped = sorted({*file.skipped, *self._rejected_lines()})
        timestamp = self._params["timestamp"]
        shown = iso_time(modified) if timestamp is None else timestamp
        with self._store.transaction():
            count = self._make(file, modified)
            self._store.put("datasets", self._dataset, {"type": "tabular", "timestamp": shown})
        return {"rowCount": count, "numLineErrors": len(bad)}

    def clean(self) -> None:
        for name in (_STAGING, _REJECTS, _SCANS, f"{_STAGING}_lines"):
            self._store.run(f"DROP TABLE IF EXISTS temp.{name}")

    # -- the file ----------------------------------------------------------------------------------------------------

    def _opened(self, path: Path, stack: ExitStack) -> _TextFile:
        """The file with its header read; lines that the engine cannot leave out are left out in a copy."""
        before = self._params["preHeaderOffset"]
        pattern = self._params["skipLineRegex"]
        skip = _pattern(pattern) if pattern else None
        lines = self._lines(path)
        collections.deque(islice(lines, before), maxlen=0)
        given = self._params["headers"]
        first = next(lines, None)
        if first is None:
            raise ParseError(f"{self._url} is empty{f' behind line {before}' if before else ': it has no header'}")
        is_header_read = given is None and not self._params["autoGenerateHeaders"]
        cells = next(self._reader([first]), [])
        headers = self._headers(given, cells)
        start = before + 1 + is_header_read + self._params["offset"]
        file = _TextFile(path, headers, start)
        if skip is not None or self._params["ignoreExtraColumns"]:
            self._copy(file, skip, stack)
        return file

    def _headers(self, given: list[Any] | None, cells: Sequence[str]) -> list[str]:
        if given is not None:
            headers = [str(name) for name in given]
        elif self._params["autoGenerateHeaders"]:
            headers = [str(i) for i in range(len(cells))]
        else:
            headers = [cell.strip() for cell in cells]
        for name, count in collections.Counter(name.lower() for name in headers).items():
            if count > 1 or not name:
                problem = f'the column "{name}" {count} times' if name else "a column without a name"
                raise ParseError(f"{self._url}: the header has {problem}", hint="Give headers, or autoGenerateHeaders")
        if ROW_NAME in headers:
            raise ParseError(f"{self._url}: {ROW_NAME} is the name of the row and cannot be a column; give headers")
        return headers

    def _lines(self, path: Path) -> Iterator[str]:
        """The lines of a file, compressed or not, with their ends; what is no text is left to the engine."""
        try:
            with pa.input_stream(path, compression="detect") as stream:
                yield from io.TextIOWrapper(stream, self._encoding, errors="surrogateescape", newline="")
        except (OSError, pa.ArrowException) as error:
            raise BindError(f"Cannot read {self._url}: {error}") from error

    def _reader(self, lines: Iterator[str] | list[str]) -> Iterator[list[str]]:
        char = self._params["quoteChar"]
        if not char:
            return csv.reader(lines, delimiter=self._params["delimiter"], quoting=csv.QUOTE_NONE)
        return csv.reader(lines, delimiter=self._params["delimiter"], quotechar=char)

    def _copy(self, file: _TextFile, skip: re.Pattern[str] | None, stack: ExitStack) -> None:
        """Copies the file without the lines that match, and without values behind the last header."""
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tfsql")))
        copy = folder / "copy.csv"
        is_cut, width = self._params["ignoreExtraColumns"], len(file.headers)
        with copy.open("w", encoding="utf-8", errors="surrogateescape", newline="") as target:
            writer = csv.writer(target, delimiter=self._params["delimiter"], lineterminator="\n")
            for number, line in enumerate(self._lines(file.path), 1):
                if number < file.first_line:
                    target.write("\n")
                elif skip is not None and skip.search(line.rstrip("\r\n")):
                    file.skipped.append(number)
                elif is_cut and len(cells := next(self._reader([line]), [])) > width:
                    writer.writerow(cells[:width])
                else:
                    target.write(line if line.endswith("\n") else f"{line}\n")
        file.path, self._encoding = copy, "utf-8"

    # -- the rows ----------------------------------------------------------------------------------------------------

    def _stage(self, file: _TextFile) -> None:
        """Reads the file into a temporary table; lines that do not fit go to another."""
        limit = "" if self._params["limit"] < 0 else f"LIMIT {self._params['limit']}"
        sniffed = self._sniffed(file)
        kinds = sniffed if len(sniffed) == len(file.headers) else ["VARCHAR"] * len(file.headers)
        columns = ", ".join(f"{quote(name)}: '{kind}'" for name, kind in zip(file.headers, kinds, strict=True))
        self.clean()
        self._store.run(
            f"CREATE TEMP TABLE {_STAGING} AS SELECT *, row_number() OVER () AS {quote(_POSITION)} FROM read_csv("
            f"{self._reading(file)}, auto_detect = false, columns = {{{columns}}}, store_rejects = true, "
            f"rejects_table = '{_REJECTS}', rejects_scan = '{_SCANS}', rejects_limit = 0) {limit}"
        )
        if kinds is not sniffed:
            self._casts = self._found_casts(file)

    def _reading(self, file: _TextFile) -> str:
        """The arguments by which the engine reads a file."""
        char = quote_text(self._params["quoteChar"])
        return (
            f"{quote_text(str(file.path))}, header = false, skip = {file.first_line - 1}, "
            f"delim = {quote_text(self._params['delimiter'])}, quote = {char}, escape = {char}, "
            f"encoding = {quote_text(self._encoding)}, ignore_errors = true"
        )

    def _sniffed(self, file: _TextFile) -> list[str]:
        """The types of the columns that the engine sees in the whole file; none where it cannot make them out."""
        candidates = ", ".join(map(quote_text, _TYPES))
        with suppress(TfsqlError):
            ((columns,),) = self._store.run(
                f"SELECT Columns FROM sniff_csv({self._reading(file)}, sample_size = -1, "
                f"auto_type_candidates = [{candidates}])"
            )
            return [column["type"] for column in columns]
        return []

    def _found_casts(self, file: _TextFile) -> list[str]:
        """Casts of the columns of text that hold only numbers: where bad lines hide the types from the engine."""
        tests = []
        for name in map(quote, file.headers):
            tests.append(f"count({name}) > 0 AND bool_and(regexp_full_match({name}, '\\s*[+-]?\\d{{1,18}}\\s*'))")
            tests.append(f"count({name}) > 0 AND count({name}) = count(try_cast({name} AS DOUBLE))")
        (found,) = self._store.run(f"SELECT {', '.join(tests)} FROM {_STAGING}")
        casts = []
        for name, is_whole, is_number in zip(file.headers, found[::2], found[1::2], strict=True):
            if is_whole or is_number:
                casts.append(f"CAST({quote(name)} AS {'BIGINT' if is_whole else 'DOUBLE'}) AS {quote(name)}")
        return casts

    def _bad_lines(self, file: _TextFile) -> list[tuple[int, str]]:
        """Number and fault of the lines that are no rows, as far as the limit lets lines be read."""
        found = self._store.run(f"SELECT line, error_type, error_message FROM {_REJECTS} ORDER BY line")
        bad: dict[int, str] = {}
        for line, kind, message in found:
            is_read = self._params["limit"] < 0 or line - file.first_line - len(bad) < self._params["limit"]
            if is_read:
                bad.setdefault(int(line), f"{kind.lower()}: {message}")
        return sorted([*bad.items(), *self._broken_lines(file)])

    def _broken_lines(self, file: _TextFile) -> list[tuple[int, str]]:
        """The first lines of rows with a line break inside quotes, where they are not allowed."""
        described = self._store.connection.backend.describe(f"SELECT * FROM {_STAGING}", {})
        texts = [quote(name) for name, kind in described if str(kind) == "VARCHAR"]
        breaks = [f"coalesce(length({text}) - length(replace({text}, chr(10), '')), 0)" for text in texts]
        counted = f"SELECT {quote(_POSITION)}, {' + '.join(breaks) or '0'} AS breaks FROM {_STAGING}"
        found = self._store.run(f"SELECT {quote(_POSITION)} FROM ({counted}) WHERE breaks > 0")
        self._breaks = " + ".join(breaks) if found else None
        if self._params["allowMultiLines"]:
            return []
        message = "a value goes on behind the end of the line; allowMultiLines permits that"
        return [(position + file.first_line - 1, message) for (position,) in found]

    def _make(self, file: _TextFile, modified: datetime.datetime) -> int:
        """Makes the dataset; the number of its rows."""
        calls = {
            "linenumber": f"CAST({quote(ROW_NAME)} AS BIGINT)",
            "filetimestamp": f"TIMESTAMP {quote_text(modified.replace(tzinfo=None).isoformat(' '))}",
            "datafileurl": quote_text(self._url),
        }
        select, where, named = (with_calls_replaced(self._params[part], calls) for part in ("select", "where", "named"))
        parts = [
            f"CREATE OR REPLACE TABLE {quote(self._dataset)} AS SELECT ",
            select,
            " NAMED (",
            named,
            f") FROM {self._source(file)} AS rows WHERE ",
            where,
        ]
        try:
            self._store.connection.sql("".join(parts), row_names=True)
        except TfsqlError as error:
            _place(error, parts)
            raise
        ((count,),) = self._store.run(f"SELECT count(*) FROM {quote(self._dataset)}")
        return int(count)

    def _rejected_lines(self) -> list[int]:
        return [int(line) for (line,) in self._store.run(f"SELECT DISTINCT line FROM {_REJECTS}")]

    def _source(self, file: _TextFile) -> str:
        """The rows with their line numbers as names."""
        position, helpers = quote(_POSITION), [quote(_POSITION)]
        number, source, where = f"{position} + {file.first_line - 1}", f"temp.{_STAGING}", ""
        if file.skipped:
            helpers, number = [*helpers, quote(_LINE)], quote(_LINE)
            source = f"{source} JOIN temp.{self._numbered(file)} USING ({position})"
        if self._breaks is not None:
            before = f"ORDER BY {position} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
            number = f"{number} + coalesce(sum({self._breaks}) OVER ({before}), 0)::BIGINT"
            where = "" if self._params["allowMultiLines"] else f"QUALIFY {self._breaks} = 0"
        replaced = f" REPLACE ({', '.join(self._casts)})" if self._casts else ""
        columns = f"* EXCLUDE ({', '.join(helpers)}){replaced}, ({number})::VARCHAR AS {quote(ROW_NAME)}"
        return f"(SELECT {columns} FROM {source} {where} ORDER BY {position})"

    def _numbered(self, file: _TextFile) -> str:
        """A temporary table of the line of each row, where some lines hold none."""
        ((count,),) = self._store.run(f"SELECT coalesce(max({quote(_POSITION)}), 0) FROM {_STAGING}")
        positions = np.arange(count)
        skipped = np.array([line for line in file.skipped if line >= file.first_line]) - file.first_line
        passed = np.searchsorted(skipped - np.arange(len(skipped)), positions, side="right")
        lines = pa.table({_POSITION: pa.array(positions + 1), _LINE: pa.array(positions + passed + file.first_line)})
        name = f"{_STAGING}_lines"
        with self._store.lending(lines) as lent:
            self._store.run(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM {lent}")
        return name


def _place(error: TfsqlError, parts: list[str]) -> None:
    """Lets an error point into the part of the statement that the user wrote, or nowhere."""
    start = 0
    for index, part in enumerate(parts):
        if error.span is not None and index % 2 and start <= error.span.start < start + len(part):
            error.span = Span(error.span.start - start, min(error.span.end - start, len(part)))
            error.sql = part
            return
        start += len(part)
    error.span = None


def _encoding(name: str) -> str:
    known = _ENCODINGS.get(name.lower())
    if known is None:
        raise BindError(f"{NAME}: encoding is one of {', '.join(_ENCODINGS)}, not {name!r}")
    return known


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ParseError(f"{NAME}: skipLineRegex is no regular expression: {error}") from error


def _told(bad: list[tuple[int, str]]) -> str:
    more = len(bad) - 1
    line, message = bad[0]
    return f"line {line}: {message}" + (f" ({more} more lines are bad)" if more else "")
