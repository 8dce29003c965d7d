"""Procedures as resources: what writes a dataset or a file when it is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tfsql import access
from tfsql.errors import BindError, UnsupportedError
from tfsql.mldb import importing, texts
from tfsql.mldb.datasets import output_dataset
from tfsql.mldb.files import local_path
from tfsql.mldb.parameters import Parameter, parameter, read_parameters, required
from tfsql.mldb.store import Store
from tfsql.replacing import replaced
from tfsql.sugar import ROW_NAME
from tfsql.types import quote, quote_text

RUN_ON_CREATION = "runOnCreation"
_ON_CREATION = parameter(RUN_ON_CREATION, bool, default=True)


@dataclass(frozen=True)
class ProcedureType:
    """A type of procedure.

    Attributes:
      run: does what the parameters say; the status of the run.
    """

    parameters: Sequence[Parameter]
    run: Callable[[Store, dict[str, Any]], dict[str, Any]]


def check_procedure(kind: str, params: Any) -> dict[str, Any]:
    """The parameters of a procedure, each with its value.

    Raises:
      BindError: a parameter is unknown or missing.
      TypeMismatchError: a value has another type.
    """
    return read_parameters((*PROCEDURE_TYPES[kind].parameters, _ON_CREATION), params, kind)


def run_procedure(store: Store, kind: str, params: dict[str, Any]) -> dict[str, Any]:
    """Runs a procedure; the status of the run."""
    return PROCEDURE_TYPES[kind].run(store, params)


def _query(data: str) -> str:
    """A query, or all of the dataset that is named."""
    words = data.split(None, 1)
    is_query = len(words) > 1 and words[0].lower() in ("select", "with", "from", "values")
    return data if is_query else f"SELECT * FROM {quote(data)}"


# -- transform ---------------------------------------------------------------------------------------------------------


def _transform(store: Store, params: dict[str, Any]) -> dict[str, Any]:
    """A query's named rows as a dataset."""
    dataset = output_dataset(params["outputDataset"], "transform")
    query = texts.one_statement(_query(params["inputData"]), "inputData").text
    with store.transaction():
        store.connection.sql(f"CREATE OR REPLACE TABLE {quote(dataset)} AS {query}", row_names=True)
        if params["skipEmptyRows"]:
            columns = store.connection.backend.describe(f"SELECT * EXCLUDE ({ROW_NAME}) FROM {quote(dataset)}", {})
            empty = " AND ".join(f"{quote(name)} IS NULL" for name, _ in columns)
            store.run(f"DELETE FROM {quote(dataset)} WHERE {empty}")
        store.put("datasets", dataset, {"type": "tabular"})
        ((count,),) = store.run(f"SELECT count(*) FROM {quote(dataset)}")
    return {"rowCount": count}


# -- export.csv --------------------------------------------------------------------------------------------------------


def _export(store: Store, params: dict[str, Any]) -> dict[str, Any]:
    """A query's rows as a CSV file, nested values as columns named by path; the file is there whole or not at all."""
    url = params["dataFileUrl"]
    if "://" in url and urlsplit(url).scheme.lower() != "file":
        raise UnsupportedError(f"export.csv writes files, not {url}")
    for name in ("delimiter", "quoteChar"):
        if len(params[name]) != 1:
            raise BindError(f"export.csv: {name} is one character, not {params[name]!r}")
    relation = store.connection.sql(_query(params["exportData"]))
    if relation is None:
        raise BindError("export.csv: exportData is a query")
    table = relation.flatten().arrow()
    if ROW_NAME in table.column_names:
        table = table.drop_columns([ROW_NAME])
    path = access.checked(local_path(url), writes=True)
    _write(store, table, path, params)
    return {"rowCount": table.num_rows}


def _write(store: Store, table: Any, path: Path, params: dict[str, Any]) -> None:
    compression = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix, "none")
    if not path.parent.is_dir():
        raise BindError(f"There is no directory {path.parent}")
    char = quote_text(params["quoteChar"])
    options = (
        f"FORMAT csv, HEADER {params['headers']}, DELIMITER {quote_text(params['delimiter'])}, "
        f"QUOTE {char}, ESCAPE {char}, COMPRESSION {compression}"
    )
    try:
        with replaced(path) as part, store.lending(table) as lent:
            store.run(f"COPY {lent} TO {quote_text(str(part))} ({options})")
    except OSError as error:
        raise BindError(f"Cannot write {path}: {error.strerror}") from error


PROCEDURE_TYPES: dict[str, ProcedureType] = {
    importing.NAME: ProcedureType(importing.PARAMETERS, importing.import_text),
    "transform": ProcedureType(
        (
            required("inputData", str),
            required("outputDataset", str, dict),
            parameter("skipEmptyRows", bool, default=False),
        ),
        _transform,
    ),
    "export.csv": ProcedureType(
        (
            required("exportData", str),
            required("dataFileUrl", str),
            parameter("headers", bool, default=True),
            parameter("delimiter", str, default=","),
            parameter("quoteChar", str, default='"'),
        ),
        _export,
    ),
}
