"""Work that is measured in a process of its own, as people run it: nobody else's memory or threads are in its way."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

_held: Any = None  # in the other process


class Aside:
    """An object that lives in another process.

    Args:
        make: what makes it there, and its arguments. threads: as many as torch may use there.
    """

    def __init__(self, make: Callable[..., Any], *arguments: Any, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, context, _begin, (make, arguments, threads))

    def call(self, method: str, *arguments: Any) -> Any:
        """What a method of it returns."""
        return self._pool.submit(_call, method, arguments).result()

    def close(self) -> None:
        self._pool.shutdown()


def _begin(make: Callable[..., Any], arguments: tuple[Any, ...], threads: int) -> None:
    global _held
    torch.set_num_threads(threads)
    _held = make(*arguments)


def _call(method: str, arguments: tuple[Any, ...]) -> Any:
    return getattr(_held, method)(*arguments)
