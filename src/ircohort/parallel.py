"""Independent pieces of work side by side; the answer does not depend on how many run at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, wraps
from itertools import islice
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


ROWS_WORTH_A_THREAD = 1 << 17
"""Below so many rows a thread costs more than it saves."""


def each(function: Callable[[T], R], items: Iterable[T], n_rows: int) -> list[R]:
    """Apply a function to each item, in threads where there are many rows; the answers are in the order of the items.

    polars and NumPy release the interpreter while they compute, so that columns can be worked on side by side.

    Examples
    --------
    >>> each(str, [1, 2], n_rows=10)
    ['1', '2']
    """
    if n_rows < ROWS_WORTH_A_THREAD:
        return [function(item) for item in items]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


def side_by_side(n_rows: int, *tasks: Callable[[], Any]) -> tuple[Any, ...]:
    """Do several things side by side where there are many rows, and give what each gave.

    Examples
    --------
    >>> side_by_side(10, lambda: 1, lambda: 2)
    (1, 2)
    """
    return tuple(each(lambda task: task(), tasks, n_rows))


def ahead(items: Iterator[T]) -> Iterator[T]:
    """Make the next item while the last one is worked on; short sequences need no thread.

    Examples
    --------
    >>> list(ahead(iter("abcd")))
    ['a', 'b', 'c', 'd']
    """
    yield from islice(items, 2)
    end = object()
    item = next(items, end)
    if item is end:
        return
    with ThreadPoolExecutor(1) as pool:
        while item is not end:
            coming = pool.submit(next, items, end)
            yield item  # type: ignore[misc]
            item = coming.result()


@cache
def _blas() -> ThreadpoolController:
    import scipy.linalg  # noqa: F401  (brings a library of its own, which must be there to be found)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def on_one_blas_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Let linear algebra inside a function run on one thread, so that its digits do not depend on how many there are.

    A product that is shared out among threads is added up in another order. The products here are small and gain
    nothing by threads. For functions without running examples: doctest does not look behind a decorator.

    Examples
    --------
    >>> @on_one_blas_thread
    ... def twice(number):
    ...     return 2 * number
    >>> twice(2)
    4
    """

    @wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        with _blas().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited
