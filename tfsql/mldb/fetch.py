"""``fetcher``: the content behind a URL as a value in SQL, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from tfsql.errors import TfsqlError, TypeMismatchError
from tfsql.mldb.files import read_bytes
from tfsql.types import Scalar, Struct, display
from tfsql.vectorised import Vectorised

if TYPE_CHECKING:
    from tfsql.bind.calls import CallSite

_RESULT = Struct((("content", Scalar("BLOB")), ("error", Scalar("VARCHAR"))))
_ARROW = pa.struct([("content", pa.binary()), ("error", pa.string())])


@dataclass(frozen=True)
class Fetcher:
    """What a ``fetcher`` of this name calls."""

    name: str

    is_typed_by_cast: ClassVar[bool] = False
    parameters: ClassVar[list[str]] = ["url"]
    doc: ClassVar[str] = "The content of a file or URL: a row of content (a BLOB) and error, one of them NULL."

    def bind(self, site: CallSite) -> Vectorised:
        """The function for one call.

        Raises:
          TypeMismatchError: the URL is no text.
        """
        ((_, kind),) = site.named(self.parameters)
        if kind != Scalar("VARCHAR"):
            raise TypeMismatchError(f"{self.name}: url is {display(kind)}, not a string")
        return _Fetch(site.name, _RESULT)


class _Fetch(Vectorised):
    calls_of: ClassVar[str] = "batches of URLs"

    def signature(self) -> list[str]:
        return ["string"]

    def explanation(self) -> list[str]:
        return ["fetcher: one URL after the other"]

    def _run(self, columns: list[pa.Array]) -> pa.Array:
        self.statistics.add(calls=1, rows=len(columns[0]))
        return pa.array([_fetched(url) for url in columns[0].to_pylist()], _ARROW)


def _fetched(url: str | None) -> dict[str, bytes | str | None] | None:
    if url is None:
        return None
    try:
        return {"content": read_bytes(url), "error": None}
    except (TfsqlError, OSError) as error:
        return {"content": None, "error": str(error)}
