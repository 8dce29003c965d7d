"""The line that tells how far a statement is: drawn on standard error once it has taken half a second."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfsql.render.streams import can_write, has_codes, terminal_width
from tfsql.render.tables import count_text
from tfsql.terminal.names import has_tensorflow

if TYPE_CHECKING:
    from tfsql.session import Connection

FIRST_S = 0.5
EVERY_S = 0.1
_BAR_WIDTH = 24
_EIGHTHS = " ▏▎▍▌▋▊▉█"
ERASE = "\r\x1b[K"


@dataclass(frozen=True)
class State:
    """How far a statement is; ``percent`` is None and ``rows`` is 0 where that is not known."""

    percent: float | None
    rows: int
    elapsed_s: float
    activity: str = "running"


class Progress:
    """The progress line of one statement; nothing is drawn where standard error is no terminal with codes.

    Attributes:
      rows_written: rows of the result that have been written so far.
    """

    def __init__(self, connection: Connection):
        self._connection = connection
        self._started = self._drawn = time.monotonic()
        self._first_rows = connection.kernels.rows_computed()
        self._is_shown = False
        self._is_wanted = has_codes(sys.stderr)
        self.rows_written = 0

    def update(self) -> None:
        """Draws the line anew if it is time to."""
        now = time.monotonic()
        if not self._is_wanted or now - self._started < FIRST_S or now - self._drawn < EVERY_S:
            return
        if self.rows_written and sys.stdout.isatty():  # the rows on the terminal tell enough
            return
        self._drawn = now
        percent, rows = self._connection.progress()
        activity = "loading TensorFlow" if _is_loading() else "running"
        state = State(percent, max(rows - self._first_rows, self.rows_written), now - self._started, activity)
        text = progress_text(state, terminal_width() - 1, is_ascii=not can_write(sys.stderr, _EIGHTHS))
        sys.stderr.write(ERASE + text)
        sys.stderr.flush()
        self._is_shown = True

    def clear(self) -> None:
        """Takes the line away."""
        if self._is_shown:
            sys.stderr.write(ERASE)
            sys.stderr.flush()
            self._is_shown = False


def _is_loading() -> bool:
    return "tensorflow" in sys.modules and not has_tensorflow()


def progress_text(state: State, width: int, *, is_ascii: bool = False) -> str:
    """The line, at most ``width`` characters long: what matters least is left out first.

    Example:
      >>> progress_text(State(25.0, 1_000_000, 2.0), 80, is_ascii=True)
      '[######------------------] 25 %  1,000,000 rows  500,000 rows/s  6 s left'
      >>> progress_text(State(None, 0, 2.0), 80)
      'running for 2 s'
    """
    parts = _measures(state)
    if state.percent is None:
        return "  ".join([f"{state.activity} for {_duration(state.elapsed_s)}", *parts])[:width]
    bar = _bar(state.percent, is_ascii=is_ascii)
    head = f"{state.percent:.0f} %"
    while parts and len(bar) + 1 + len("  ".join([head, *parts])) > width:
        parts.pop(0)
    line = f"{bar} {'  '.join([head, *parts])}"
    return line if len(line) <= width else "  ".join([head, *_measures(state)[-1:]])[:width]


def _measures(state: State) -> list[str]:
    parts = []
    if state.rows:
        parts.append(count_text(state.rows, "row"))
        if (rate := state.rows / state.elapsed_s) >= 1:
            parts.append(f"{rate:,.0f} rows/s")
    if state.percent:
        parts.append(f"{_duration(state.elapsed_s * (100 - state.percent) / state.percent)} left")
    return parts


def _bar(percent: float, *, is_ascii: bool) -> str:
    if is_ascii:
        done = int(percent / 100 * _BAR_WIDTH)
        return f"[{'#' * done}{'-' * (_BAR_WIDTH - done)}]"
    whole, eighth = divmod(int(percent / 100 * _BAR_WIDTH * 8), 8)
    return ("█" * whole + (_EIGHTHS[eighth] if eighth else "")).ljust(_BAR_WIDTH, "·")


def _duration(seconds: float) -> str:
    """
    Example:
      >>> _duration(0.4), _duration(75), _duration(7300)
      ('0 s', '1 min 15 s', '2 h 1 min')
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
