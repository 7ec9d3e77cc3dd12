"""Work that waits for a process: in order, so much of it at most, what somebody waits for at the screen first."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .process import DiedError, Process

_PATIENCE = 0.7  # seconds that a process has to end by itself when the server ends


class FullError(RuntimeError):
    """So much is waiting already that nothing more is taken."""


class CancelledWorkError(RuntimeError):
    """Somebody called it off."""


@dataclass(order=True)
class Ticket:
    """A piece of work that waits or is done just now."""

    rank: tuple[int, int]
    method: str = field(compare=False)
    arguments: tuple[Any, ...] = field(compare=False)
    done: asyncio.Future[Any] = field(compare=False)
    begun: Callable[[], None] | None = field(compare=False)
    told: Callable[[Any], None] | None = field(compare=False)
    running: bool = field(default=False, compare=False)


class Lane:
    """A process and what waits for it.

    Args:
        process: that does the work, one piece at a time. most: pieces that may wait.
    """

    def __init__(self, process: Process, most: int) -> None:
        self.most, self._process = most, process
        self._waiting: list[Ticket] = []
        self._running: Ticket | None = None
        self._count = itertools.count()
        self._task: asyncio.Task[None] | None = None
        self._door, self._room = asyncio.Lock(), asyncio.Event()

    @property
    def full(self) -> bool:
        return len(self._waiting) >= self.most

    def submit(
        self,
        method: str,
        *arguments: Any,
        urgent: bool = False,
        begun: Callable[[], None] | None = None,
        told: Callable[[Any], None] | None = None,
    ) -> Ticket:
        """Queue a call of the process's object; await the ticket's `done`.

        Args:
            urgent: somebody waits for it: it comes first and is taken however much waits. begun: is called when it
                begins. told: gets what it tells meanwhile.

        Raises:
            FullError: so much waits already that is not urgent.
        """
        if self.full and not urgent:
            raise FullError(f"{self.most} pieces of work are waiting; try again in a moment")
        loop = asyncio.get_running_loop()
        rank = (0 if urgent else 1, next(self._count))
        ticket = Ticket(rank, method, arguments, loop.create_future(), begun, told)
        heapq.heappush(self._waiting, ticket)
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._work())
        return ticket

    async def enter(
        self,
        method: str,
        *arguments: Any,
        begun: Callable[[], None] | None = None,
        told: Callable[[Any], None] | None = None,
    ) -> Ticket:
        """Queue a call once there is room for it; who waits for that comes in turn."""
        async with self._door:
            while self.full:
                self._room.clear()
                await self._room.wait()
            return self.submit(method, *arguments, begun=begun, told=told)

    def cancel(self, ticket: Ticket, running: bool = True) -> None:
        """Call a piece of work off.

        Args:
            running: end the process if it is being done just now; else it is done to its end, for nobody.
        """
        if ticket in self._waiting:
            self._waiting.remove(ticket)
            heapq.heapify(self._waiting)
            self._room.set()
        elif running and ticket is self._running:
            asyncio.get_running_loop().run_in_executor(None, self._process.stop, ticket)
        if not ticket.done.done():
            ticket.done.set_exception(CancelledWorkError("cancelled"))
            ticket.done.exception()  # nobody may be waiting for it

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            ticket = self._running = heapq.heappop(self._waiting)
            self._room.set()
            told = None if ticket.told is None else _from_thread(loop, ticket.told)
            try:
                if ticket.begun is not None:
                    ticket.begun()
                result = await asyncio.to_thread(
                    self._process.call, ticket.method, *ticket.arguments, told=told, name=ticket
                )
            except Exception as error:
                if not ticket.done.done():
                    ticket.done.set_exception(error)
                    ticket.done.exception()
            else:
                if not ticket.done.done():
                    ticket.done.set_result(result)
            self._running = None

    def abandon(self) -> None:
        """Tell whoever waits for something that it will not come."""
        for ticket in [*self._waiting, *filter(None, [self._running])]:
            if not ticket.done.done():
                ticket.done.set_exception(DiedError("the server was stopped"))
                ticket.done.exception()
        self._waiting.clear()

    async def stop(self) -> None:
        """End the process; whatever waits is called off."""
        self.abandon()
        await asyncio.to_thread(self._process.stop, patience=_PATIENCE)


def _from_thread(loop: asyncio.AbstractEventLoop, told: Callable[[Any], None]) -> Callable[[Any], None]:
    def tell(value: Any) -> None:
        loop.call_soon_threadsafe(told, value)

    return tell
