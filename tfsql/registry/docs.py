"""TensorFlow's documentation of operators, taken apart."""

from __future__ import annotations

import re
from functools import cache

import tensorflow as tf

_SECTION = re.compile(r"^  Args:\n(.*?)(?=^  \w|\Z)", re.DOTALL | re.MULTILINE)
_ENTRY = re.compile(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", re.DOTALL | re.MULTILINE)


@cache
def argument_texts(name: str) -> dict[str, str]:
    """What TensorFlow says of each argument of an operator, by documented name, on one line each."""
    section = _SECTION.search(getattr(tf.raw_ops, name).__doc__ or "")
    entries = _ENTRY.findall(section.group(1)) if section else []
    return {argument: re.sub(r"\s+", " ", text).strip() for argument, text in entries}
