"""Work on several cores, by processes that end with the one that started them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

__all__ = ["on_cores"]

Job = TypeVar("Job")
Result = TypeVar("Result")


def on_cores(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    count: int,
    start: Callable[..., None],
    arguments: tuple[Any, ...],
) -> Iterator[Result]:
    """Results in the order of ``jobs`` from ``count`` processes, each begun by ``start``."""
    # Not forked: the parent may hold TensorFlow's threads.
    with ProcessPoolExecutor(count, get_context("spawn"), _begin, (start, arguments)) as pool:
        yield from pool.map(work, jobs, chunksize=16)


def _begin(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    start(*arguments)


def _leave_with_parent() -> None:
    """A parent that is killed says nothing, and its workers would wait for jobs for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
