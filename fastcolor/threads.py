"""Bounded queues between threads, and threads that keep their exception."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
R = TypeVar("R")


def painters(device: torch.device) -> int:
    """How many batches go through the network at once.

    On a CPU each has a thread of its own, or a few: threads that share one batch's layers wait for the slowest at every
    layer, which is long where codecs or other programs take cores away.
    """
    import torch

    return min(4, torch.get_num_threads()) if device.type == "cpu" else 1


def in_order(items: Iterable[T], work: Callable[[T], R], workers: int) -> Iterator[tuple[T, R]]:
    """Each item with what `work` makes of it, in the items' order; up to `workers` of them are worked on at once."""
    coming: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(workers, "fastcolor-work") as pool:
        for item in items:
            coming.append((item, pool.submit(work, item)))
            if len(coming) > workers:
                first, made = coming.popleft()
                yield first, made.result()
        for first, made in coming:
            yield first, made.result()


class Stopped(Exception):
    """The other end of a pipe has failed or gone."""


class Pipe(Generic[T]):
    """A bounded queue between two threads. `close` ends it; `stop` breaks it, and both ends wake with Stopped."""

    def __init__(self, size: int) -> None:
        self._items: deque[T] = deque()
        self._size, self._closed, self._stopped = size, False, False
        self._changed = Condition()

    def put(self, item: T) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._size or self._stopped)
            if self._stopped:
                raise Stopped
            self._items.append(item)
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._closed or self._stopped)
                if self._stopped:
                    raise Stopped
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


class Worker(Thread):
    """A thread that keeps its exception and breaks the pipes when it fails."""

    def __init__(self, name: str, work: Callable[[], None], pipes: tuple[Pipe, ...]) -> None:
        super().__init__(name=f"fastcolor-{name}", daemon=True)
        self.work, self.pipes = work, pipes
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.work()
        except Stopped:
            pass
        except BaseException as error:
            self.error = error
            for pipe in self.pipes:
                pipe.stop()
