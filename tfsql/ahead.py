"""Work on a stream of batches that is ahead of whoever takes the results."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# What works on one batch uses several threads itself, so that a few batches at once fill any processor.
MAX_THREADS = 4


def batches_at_once(threads: int | None = None) -> int:
    """How many batches to work on at once, where a batch is computed with so many threads; None for one a core.

    One more than there are threads covers for what waits: 3 to 10 % of the time on two cores.
    """
    return min((threads or os.cpu_count() or 1) + 1, MAX_THREADS)


def map_ahead(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    interrupt: Callable[[], None] = lambda: None,
) -> Iterator[Result]:
    """``function`` of each item, in order, computed in other threads while the results before are in use.

    At most ``threads + 1`` items are on their way at once. An exception comes out in the place of its result.

    Args:
      interrupt: ends what the threads do, if it can; Ctrl-C calls it, which does not reach them.
    """
    source = iter(items)
    first = list(islice(source, 2))
    if len(first) < 2:  # nothing to overlap
        yield from map(function, first)
        return
    pool = ThreadPoolExecutor(threads, "tfsql-batch")
    pending: deque[Future[Result]] = deque(pool.submit(function, item) for item in first)
    try:
        for item in source:
            pending.append(pool.submit(function, item))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except KeyboardInterrupt:
        interrupt()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
