"""Batches read by threads while the network learns from those before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(read: Callable[[int], T], numbers: Sequence[int], threads: int) -> Iterator[T]:
    """``read`` of every number in order, a few of them in advance.

    Examples
    --------
    >>> list(ahead(lambda number: number**2, range(4), 2))
    [0, 1, 4, 9]
    """
    with ThreadPoolExecutor(max(1, threads)) as pool:
        coming: deque[Future[T]] = deque()
        try:
            for number in numbers:
                coming.append(pool.submit(read, number))
                if len(coming) > threads:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            for future in coming:
                future.cancel()
