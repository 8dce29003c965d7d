"""SQL types and tensor types, and the one mapping between them.

A tensor's shape is written outermost axis first (``float32[1, 28, 28, 3]``); DuckDB nests inside-out
(``FLOAT[3][28][28][1]``). An axis of an ARRAY has a length, an axis of a LIST is unknown (``?``).
"""

from __future__ import annotations

from dataclasses import dataclass

SQL_OF_DTYPE = {
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "string": "VARCHAR",
}
DTYPE_OF_SQL = {sql: dtype for dtype, sql in SQL_OF_DTYPE.items()} | {"BLOB": "string"}

# dtypes without a SQL type of their own come back as the narrowest SQL type that holds every value exactly.
WIDENED = {
    "float16": "float32",
    "bfloat16": "float32",
    "float8_e5m2": "float32",
    "float8_e4m3fn": "float32",
    "float8_e4m3fnuz": "float32",
    "float8_e4m3b11fnuz": "float32",
    "float8_e5m2fnuz": "float32",
    "float4_e2m1fn": "float32",
    "qint8": "int8",
    "quint8": "uint8",
    "qint16": "int16",
    "quint16": "uint16",
    "qint32": "int32",
    "int4": "int8",
    "uint4": "uint8",
    "int2": "int8",
    "uint2": "uint8",
}
COMPLEX_PART = {"complex64": "float32", "complex128": "float64"}

# SQL types that have no dtype, and the type they are cast to where a tensor is wanted.
CAST_FOR_TENSOR = {"HUGEINT": "BIGINT", "UHUGEINT": "UBIGINT", "DECIMAL": "DOUBLE", "ENUM": "VARCHAR"}

MAX_ARRAY_LENGTH = 100_000

# Constants of this many elements and more are arguments of a kernel rather than part of it.
ARGUMENT_SIZE = 64

_SIGNED = ("int8", "int16", "int32", "int64")
_UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_COMPLEX = ("complex64", "complex128")


@dataclass(frozen=True)
class Scalar:
    """A SQL type without parts, by DuckDB's name; parameters of a DECIMAL or ENUM stay in ``text``."""

    name: str
    text: str = ""

    def __str__(self) -> str:
        return self.text or self.name


@dataclass(frozen=True)
class Array:
    """``item[size]``, an ARRAY, or ``item[]``, a LIST, where ``size`` is None."""

    item: SqlType
    size: int | None

    def __str__(self) -> str:
        return f"{self.item}[{'' if self.size is None else self.size}]"


@dataclass(frozen=True)
class Struct:
    """A row of named values."""

    fields: tuple[tuple[str, SqlType], ...]

    def __str__(self) -> str:
        return f"STRUCT({', '.join(f'{quote(name)} {item}' for name, item in self.fields)})"


SqlType = Scalar | Array | Struct


@dataclass(frozen=True)
class TensorType:
    """Dtype by TensorFlow's name, and shape with None for an axis that is not known, None for an unknown rank.

    ``is_bytes`` tells strings that are a BLOB in SQL from those that are a VARCHAR.
    """

    dtype: str
    shape: tuple[int | None, ...] | None
    is_bytes: bool = False

    @property
    def rank(self) -> int:
        assert self.shape is not None
        return len(self.shape)

    @property
    def is_fixed(self) -> bool:
        return self.shape is not None and None not in self.shape

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.dtype}[...]"
        if not self.shape:
            return self.dtype
        return f"{self.dtype}[{', '.join('?' if axis is None else str(axis) for axis in self.shape)}]"


# The column with the numbers of the rows, in a table that has them.
ROW_NUMBER = "tfsql:row"


def numbered(table: str) -> str:
    """The name of a registered table with the numbers of its rows."""
    return f"{table}:rows"


def quote(name: str) -> str:
    """``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """``text`` as a SQL string."""
    return "'" + text.replace("'", "''") + "'"


def is_complex(sql_type: SqlType) -> str | None:
    """The complex dtype that ``STRUCT(real, imag)`` stands for, or None."""
    if not isinstance(sql_type, Struct) or [name for name, _ in sql_type.fields] != ["real", "imag"]:
        return None
    parts = {str(item) for _, item in sql_type.fields}
    return {"FLOAT": "complex64", "DOUBLE": "complex128"}.get(parts.pop()) if len(parts) == 1 else None


def tensor_type(sql_type: SqlType) -> TensorType | None:
    """The tensor that a value of ``sql_type`` is, or None where it is none (dates, rows, maps)."""
    shape: list[int | None] = []
    while isinstance(sql_type, Array):
        shape.append(sql_type.size)
        sql_type = sql_type.item
    dtype = is_complex(sql_type)
    if dtype is None and isinstance(sql_type, Scalar):
        dtype = DTYPE_OF_SQL.get(sql_type.name)
    if dtype is None:
        return None
    return TensorType(dtype, tuple(shape), is_bytes=str(sql_type) == "BLOB")


def castable(sql_type: SqlType) -> SqlType:
    """``sql_type`` with the element types that have no dtype replaced by those they are cast to."""
    if isinstance(sql_type, Array):
        return Array(castable(sql_type.item), sql_type.size)
    if isinstance(sql_type, Scalar) and sql_type.name in CAST_FOR_TENSOR:
        return Scalar(CAST_FOR_TENSOR[sql_type.name])
    return sql_type


def cast_for_tensor(sql: str, kind: SqlType) -> str:
    """An expression of this type, cast where its elements have no dtype."""
    wanted = castable(kind)
    return sql if wanted == kind else f"({sql})::{wanted}"


def declared(tensor: TensorType) -> TensorType:
    """``tensor`` with the axes that an ARRAY cannot have, of no length or of more than 100,000, unknown."""
    assert tensor.shape is not None
    shape = tuple(axis if axis and axis <= MAX_ARRAY_LENGTH else None for axis in tensor.shape)
    return TensorType(tensor.dtype, shape, tensor.is_bytes)


def sql_type(tensor: TensorType) -> SqlType:
    """The SQL type that holds a tensor exactly; see ``WIDENED`` for dtypes that SQL has not."""
    dtype = WIDENED.get(tensor.dtype, tensor.dtype)
    item: SqlType
    if dtype in COMPLEX_PART:
        part = Scalar(SQL_OF_DTYPE[COMPLEX_PART[dtype]])
        item = Struct((("real", part), ("imag", part)))
    elif dtype == "string" and tensor.is_bytes:
        item = Scalar("BLOB")
    else:
        item = Scalar(SQL_OF_DTYPE[dtype])
    assert tensor.shape is not None
    for axis in reversed(tensor.shape):
        item = Array(item, axis)
    return item


def display(sql_type: SqlType) -> str:
    """The type as users read it: tensors the tensor way, everything else as SQL."""
    tensor = tensor_type(sql_type)
    return str(tensor) if tensor is not None and isinstance(sql_type, Array) else str(sql_type)


def promote(left: str, right: str) -> str | None:
    """The dtype that holds both as SQL promotes them (INTEGER with FLOAT is FLOAT); None if there is none."""
    if left == right:
        return left
    for family in (_COMPLEX, _FLOATS, _SIGNED, _UNSIGNED):
        both = [family.index(dtype) for dtype in (left, right) if dtype in family]
        if len(both) == 2:
            return "float32" if {left, right} == {"float16", "bfloat16"} else family[max(both)]
    numbers = (*_SIGNED, *_UNSIGNED, *_FLOATS, *_COMPLEX)
    if left not in numbers or right not in numbers:
        return None
    if left in _COMPLEX or right in _COMPLEX:
        wide = {left, right} & {"complex128", "float64"}
        return "complex128" if wide else "complex64"
    for dtype, other in ((left, right), (right, left)):
        if dtype in _FLOATS and other not in _FLOATS:
            return dtype
    unsigned = left if left in _UNSIGNED else right
    signed = right if unsigned == left else left
    bits = max(_UNSIGNED.index(unsigned) + 1, _SIGNED.index(signed))
    return _SIGNED[bits] if bits < len(_SIGNED) else "float64"
