"""The MLDB surface: functions, procedures, datasets and queries as resources, in process or over HTTP."""

from tfsql.mldb.connection import Connection, Response, ResponseError

__all__ = ["Connection", "Response", "ResponseError"]
