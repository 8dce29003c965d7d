"""Settings: one table of names, defaults and what they do. ``SET tfsql_... = value`` changes one for a connection."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tfsql.errors import BindError, TypeMismatchError, did_you_mean
from tfsql.isolation import IS_POSSIBLE, NONE, PROCESS

PREFIX = "tfsql_"
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
# Where TensorFlow places an operator by itself: on a GPU if there is one.
ANY_DEVICE = "auto"
MAX_THREADS = 1024
_DEVICE = re.compile(r"[a-z]+(:\d+)?")
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?I?B?)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
      read: makes the value of what a user wrote, or raises ValueError.
      takes: what a user may write, for the error.
      engine_name: the setting of the relational engine that is to have the same value.
    """

    name: str
    default: Any
    read: Callable[[Any], Any]
    takes: str
    description: str
    engine_name: str | None = None


def _seconds(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError("no number")
    seconds = float(value)
    if not 0 < seconds <= 86_400:
        raise ValueError("out of range")
    return seconds


def _switch(value: Any) -> bool:
    word = str(value).lower()
    if word not in ("on", "off", "true", "false", "1", "0"):
        raise ValueError("no switch")
    return word in ("on", "true", "1")


def size_in_bytes(value: Any) -> int:
    """The bytes that a text such as ``64MB`` means, or ValueError."""
    match = _SIZE.fullmatch(str(value))
    unit = match.group(2).upper() if match else None
    if match is None or unit not in _UNITS:
        raise ValueError("no size")
    size = int(float(match.group(1)) * _UNITS[unit])
    if not size:
        raise ValueError("out of range")
    return size


def _size_or_none(value: Any) -> int | None:
    return None if str(value).lower() == "none" else size_in_bytes(value)


def _isolation(value: Any) -> str:
    word = str(value).lower()
    if word not in (NONE, PROCESS):
        raise ValueError("neither")
    if word == PROCESS and not IS_POSSIBLE:
        raise ValueError("not on this system")
    return word


def _threads_or_none(value: Any) -> int | None:
    if str(value).lower() == NONE:
        return None
    count = int(str(value))
    if not 1 <= count <= MAX_THREADS:
        raise ValueError("out of range")
    return count


def _device(value: Any) -> str:
    word = str(value).lower().removeprefix("/")
    if word != ANY_DEVICE and not _DEVICE.fullmatch(word):
        raise ValueError("no device")
    return word


_SECONDS = "a number of seconds above 0, a day at most"
_SIZE_TEXT = "a size such as '256MB' or '1GiB'"
_ISOLATIONS = "'none' or, on Linux, 'process'"

SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("tfsql_lowering", True, _switch, "on or off", "Whether calls are replaced by cheaper equal ones."),
        Setting("tfsql_max_cell_bytes", 256 * 2**20, size_in_bytes, _SIZE_TEXT, "What one result of one row may take."),
        Setting(
            "tfsql_threads",
            None,
            _threads_or_none,
            f"a number from 1 to {MAX_THREADS}, or 'none'",
            "How many threads DuckDB and TensorFlow compute with; none for one a core.",
            engine_name="threads",
        ),
        Setting(
            "tfsql_device", ANY_DEVICE, _device, "'auto' or a device such as 'cpu' or 'gpu:0'", "Where operators run."
        ),
        Setting("tfsql_isolation", NONE, _isolation, _ISOLATIONS, "Whether kernels run in processes of their own."),
        Setting(
            "tfsql_worker_memory_limit",
            None,
            _size_or_none,
            f"{_SIZE_TEXT}, or 'none'",
            "What memory of its own such a process may take.",
        ),
        Setting("tfsql_javascript_timeout_s", 10.0, _seconds, _SECONDS, "How long one call of JavaScript may take."),
        Setting(
            "tfsql_javascript_memory_limit", 256 * 10**6, size_in_bytes, _SIZE_TEXT, "What memory JavaScript may take."
        ),
    )
}


class Settings:
    """The settings of one connection.

    Example:
      >>> settings = Settings({"tfsql_javascript_timeout_s": 2})
      >>> settings["tfsql_javascript_timeout_s"]
      2.0
    """

    def __init__(self, values: Mapping[str, Any] | None = None):
        self._values = {name: setting.default for name, setting in SETTINGS.items()}
        for name, value in (values or {}).items():
            self.set(name, value)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    @property
    def values(self) -> tuple[Any, ...]:
        """All values, in the order of ``SETTINGS``."""
        return tuple(self._values.values())

    def set(self, name: str, value: Any) -> None:
        """Changes a setting.

        Raises:
          BindError: there is none of this name.
          TypeMismatchError: the value is not one of those that it takes.
        """
        setting = _setting(name)
        try:
            self._values[setting.name] = setting.read(value)
        except (ValueError, TypeError) as error:
            raise TypeMismatchError(f"{setting.name} takes {setting.takes}, not {value!r}") from error

    def reset(self, name: str) -> None:
        """Puts a setting back to its default."""
        setting = _setting(name)
        self._values[setting.name] = setting.default

    def for_engine(self) -> dict[str, Any]:
        """The settings of the relational engine that follow from these; None for its default."""
        return {item.engine_name: self._values[item.name] for item in SETTINGS.values() if item.engine_name}

    def table(self) -> pa.Table:
        """One row a setting: name, value, default, description."""
        return pa.table(
            {
                "name": list(SETTINGS),
                "value": [_shown(self._values[name]) for name in SETTINGS],
                "default": [_shown(setting.default) for setting in SETTINGS.values()],
                "description": [setting.description for setting in SETTINGS.values()],
            }
        )


def _shown(value: Any) -> str:
    return NONE if value is None else str(value)


def _setting(name: str) -> Setting:
    setting = SETTINGS.get(name.lower())
    if setting is None:
        raise BindError(f"There is no setting {name}", hint=did_you_mean(name, SETTINGS))
    return setting
