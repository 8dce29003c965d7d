"""One JavaScript function over many rows."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from tfsql.errors import ExecutionError, RowError, TfsqlError
from tfsql.javascript.arguments import arguments
from tfsql.javascript.process import WORKER_PROCESS, Limits, RemoteFunction, WorkerDiedError, limit_error
from tfsql.javascript.values import Values


class Script:
    """A function whose body is ``code``, compiled at once.

    Args:
      parameters: the names of its parameters.
      limits: on one call of it, that is for one row.

    Raises:
      ExecutionError: V8 does not compile the code.
    """

    def __init__(self, code: str, parameters: Sequence[str], limits: Limits | None = None):
        self._parameters = tuple(parameters)
        self._limits = limits or Limits()
        self._function = RemoteFunction(code, self._parameters, self._limits)
        with WORKER_PROCESS.lock:
            self._open()

    def run(self, columns: Sequence[pa.Array]) -> Values:
        """The results for rows.

        Args:
          columns: one for each parameter; for a function without any, one whose length counts the rows.

        Raises:
          RowError: the function threw; the message says what.
          ResourceError: a call took too long or too much.
          TypeMismatchError: a column has a type that JavaScript has no value for.
        """
        rows = len(columns[0])
        trees, texts, parts = arguments(list(columns[: len(self._parameters)]), self._parameters)
        with WORKER_PROCESS.lock:
            try:
                self._open()
                made = [self._read(*message) for message in self._function.run(trees, texts, rows, parts)]
            except WorkerDiedError as error:
                # Most likely memory that V8 does not count: it does not outlive that. The row is one of a slice.
                raise limit_error(self._limits, is_time=error.is_late, row=None) from error
        return Values.concatenate(made)

    def _read(self, answer: dict[str, object], binary: Sequence[bytes | bytearray]) -> Values:
        if answer["status"] not in ("running", "done"):
            raise self._error(answer)
        return Values.read(binary)

    def _open(self) -> None:
        try:
            error = self._function.open()
        except WorkerDiedError as died:
            raise ExecutionError("The worker process that runs JavaScript cannot be started") from died
        if error:
            raise ExecutionError(f"Exception compiling jseval script: {error}")

    def _error(self, answer: dict[str, object]) -> TfsqlError:
        row = answer["row"]
        assert isinstance(row, int)
        if answer["status"] == "threw":
            return RowError(f"jseval script threw exception: {answer['message']}", row)
        self.close()  # a context that was stopped in the middle may be in any state
        return limit_error(self._limits, is_time=answer["status"] == "timeout", row=row)

    def restart(self) -> None:
        """The next rows meet a new context: nothing is left of the rows before."""
        self.close()

    def close(self) -> None:
        """Gives the context up; ``run`` makes another one."""
        self._function.close()
