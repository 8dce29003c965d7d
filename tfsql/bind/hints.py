"""What to write instead, where tfsql cannot know it from the catalogue of operators."""

from __future__ import annotations

import re

from tfsql.types import SqlType, display

# How a value that is no tensor becomes one, by its SQL type.
_NUMBER_OF = {
    "DATE": "epoch(x) is its seconds since 1970, year(x), month(x) and dayofyear(x) are its parts",
    "TIMESTAMP": "epoch(x) is its seconds since 1970, date_part('hour', x) one of its parts",
    "TIMESTAMP WITH TIME ZONE": "epoch(x) is its seconds since 1970, date_part('hour', x) one of its parts",
    "TIME": "epoch(x) is its seconds since midnight",
    "INTERVAL": "epoch(x) is its seconds",
    "JSON": "Cast it: x::FLOAT, or x::FLOAT[] where it is a list",
    "MAP": "map_values(x) is the list of its values, x['name'] one of them",
    "UUID": "Cast it: x::VARCHAR",
}
_REDUCE = re.compile(r"^reduce_?(?=(?:all|any|max|mean|min|prod|sum)$)", re.IGNORECASE)


def tensor_hint(kind: SqlType) -> str:
    """How a value of this type, which is no tensor, becomes one."""
    return _NUMBER_OF.get(display(kind).split("(")[0], "A tensor is a number, a string or an array of them")


def as_operator(name: str) -> str:
    """The name of a function of Python's TensorFlow as its operator's is: ``tf.reduce_mean`` is the operator Mean."""
    return _REDUCE.sub("", name)
