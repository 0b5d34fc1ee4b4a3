"""Independent pieces of work side by side; the answer does not depend on how many run at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def each(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Apply a function to each item, in threads, and give the answers in the order of the items.

    polars and NumPy release the interpreter while they compute, so that columns can be worked on side by side.

    Examples
    --------
    >>> each(str, [1, 2])
    ['1', '2']
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


def ahead(items: Iterator[T]) -> Iterator[T]:
    """Make the next item while the last one is worked on.

    Examples
    --------
    >>> list(ahead(iter("ab")))
    ['a', 'b']
    """
    end = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item  # type: ignore[misc]
