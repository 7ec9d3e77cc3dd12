"""What happens, told to every open page (server-sent events)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

_BEHIND = 2000  # events that a page may be late
_QUIET = 15.0  # seconds after which a line says that the server is there


class Events:
    """A crier: whatever is told goes to all who listen."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[str | None]] = set()
        self._closed = False

    def tell(self, kind: str, /, **what: Any) -> None:
        """Tell all pages."""
        line = f"event: {kind}\ndata: {json.dumps(what)}\n\n"
        for queue in list(self._listeners):
            try:
                queue.put_nowait(line)
            except asyncio.QueueFull:  # it will come again, and ask for everything
                self._listeners.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)

    async def listen(self) -> AsyncIterator[str]:
        """What a page reads."""
        if self._closed:
            return
        queue: asyncio.Queue[str | None] = asyncio.Queue(_BEHIND)
        self._listeners.add(queue)
        try:
            yield "retry: 1000\nevent: hello\ndata: {}\n\n"
            while True:
                try:
                    line = await asyncio.wait_for(queue.get(), _QUIET)
                except asyncio.TimeoutError:
                    line = ": still here\n\n"
                if line is None:
                    return
                yield line
        finally:
            self._listeners.discard(queue)

    def close(self) -> None:
        """Let all go, and let nobody in any more."""
        self._closed = True
        for queue in list(self._listeners):
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(None)
