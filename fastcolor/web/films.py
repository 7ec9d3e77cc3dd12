"""Films on the page: a preview of each, and whole films painted in a process that can be stopped and goes on later."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..options.look import Look as LookOptions
from .lane import Lane, Ticket
from .look import Look
from .process import Process
from .store import Item

QUEUE = 50  # films that may wait
_FRAMES = 7  # of a film that are kept as pictures, and the next
_LONGEST = 1e6  # seconds of a film: more is none, and no name of a file
_OFTEN = 0.25  # seconds between two tellings of how far a film is
_FILMER = "fastcolor.web.filmer:Filmer"


class Films:
    """Two processes: one that looks at films and previews them, one that paints whole ones.

    Args:
        options: which network, on what. changed: is called with an item of which something is new.
    """

    def __init__(self, options: LookOptions, changed: Callable[[Item], None]) -> None:
        self._previews, self._exports = (Lane(Process(_FILMER, options), QUEUE) for _ in range(2))
        self._changed = changed
        self._looking: dict[str, Ticket] = {}  # by the ids of the films that are looked through

    async def first(self, item: Item) -> None:
        """Look at a film and preview it."""
        item.ticket = await self._previews.enter("first", str(item.source))
        item.facts |= await item.ticket.done
        await self.preview(item, item.look)

    async def shots(self, item: Item) -> list[dict[str, Any]]:
        """Look through a film for its shots.

        Raises:
            ValueError: that is being done: what is said of the shots meanwhile would be lost when they came again.
        """
        if item.id in self._looking:
            raise ValueError(f"{item.name}: is being looked through for its shots")
        told = self._telling(item, "looked")
        ticket = self._looking[item.id] = self._previews.submit("shots", *_places(item), urgent=True, told=told)
        self._changed(item)
        try:
            return await ticket.done
        finally:
            del self._looking[item.id]
            item.facts.pop("looked", None)
            self._changed(item)

    async def frame(self, item: Item, seconds: float) -> Path:
        """The gray frame that a film shows at a second, as a file.

        Raises:
            ValueError: it is no film that is ready, the second is none, or the film has ended by then.
        """
        item.check_ready("film")
        check_second(seconds)
        target = item.folder / f"frame-{round(1000 * seconds)}.png"
        if not target.exists():
            for old in sorted(item.folder.glob("frame-*.png"), key=lambda path: path.stat().st_mtime)[:-_FRAMES]:
                old.unlink(missing_ok=True)
            call = ("frame", str(item.source), seconds, str(target))
            await self._previews.submit(*call, urgent=True).done
        return target

    async def check_key_frame(self, item: Item, seconds: float, picture: Path) -> None:
        """See whether a coloured picture shows a film's frame. ValueError: it does not, or is gray."""
        await self._previews.submit("key_frame", str(item.source), seconds, str(picture), urgent=True).done

    async def check_reference(self, picture: Path) -> None:
        """See whether a picture has colours to give. ValueError: it has none, or is no picture."""
        await self._previews.submit("reference", str(picture), urgent=True).done

    async def preview(self, item: Item, look: Look, shot: int | None = None) -> None:
        """Paint ten seconds from the middle of a film, or of one of its shots.

        Raises:
            ValueError, OSError, DiedError: what went wrong.
        """
        if item.ticket is not None:
            self._previews.cancel(item.ticket)
        told = self._telling(item, "progress")
        ticket = self._previews.submit("preview", *_places(item), look, shot, urgent=True, told=told)
        item.ticket, item.look = ticket, look
        self._changed(item)
        try:
            item.facts.update(await ticket.done)
        finally:
            if item.ticket is ticket:
                item.ticket = None
                item.facts.pop("progress", None)

    def export(self, item: Item, look: Look, target: Path, told: Callable[[dict[str, Any]], None]) -> Ticket:
        """Begin to paint a film into a file, or go on where an earlier try with the same colours ended.

        Args:
            told: gets {"done", "total", "fps", "left"} while it is painted.
        """
        call = ("export", str(item.source), str(target), str(item.folder), look)
        return self._exports.submit(*call, urgent=True, told=_paced(told))

    def cancel(self, ticket: Ticket) -> None:
        """Stop painting a whole film; what is finished is kept for the next try."""
        self._exports.cancel(ticket)

    def remove(self, item: Item) -> None:
        """Stop what is done for an item."""
        for ticket in filter(None, (item.ticket, self._looking.get(item.id))):
            self._previews.cancel(ticket)

    def abandon(self) -> None:
        """Tell whoever waits for something that it will not come."""
        self._previews.abandon()
        self._exports.abandon()

    async def close(self) -> None:
        """End both processes."""
        await asyncio.gather(self._previews.stop(), self._exports.stop())

    def _telling(self, item: Item, name: str) -> Callable[[tuple[int, int | None]], None]:
        """What tells the pages how far something is, as a fact of this name, while there is one."""

        def tell(progress: dict[str, Any]) -> None:
            if name in item.facts:
                item.facts[name] = progress
                self._changed(item)

        item.facts[name] = {}
        return _paced(tell)


def check_second(seconds: float) -> None:
    """ValueError: it is no time in a film."""
    if not 0 <= seconds < _LONGEST:
        raise ValueError(f"time: must be seconds of the film, 0 or more, got {seconds:g}")


def _places(item: Item) -> tuple[str, str]:
    return str(item.source), str(item.folder)


def folder_of(look: Look) -> str:
    """Where a film is painted with these colours: others get another folder."""
    chosen = json.dumps(asdict(look), sort_keys=True)
    return f"film-{hashlib.sha256(chosen.encode()).hexdigest()[:16]}"


def _paced(told: Callable[[dict[str, Any]], None]) -> Callable[[tuple[int, int | None]], None]:
    """Tell now and then how far a film is, how fast, and how long it will take."""
    began, first, last = time.monotonic(), -1, 0.0

    def tell(progress: tuple[int, int | None]) -> None:
        nonlocal began, first, last
        (done, total), now = progress, time.monotonic()
        if first < 0:  # of the time before the first frames most went into loading the network
            began, first = now, done
        fps = (done - first) / (now - began) if done > first else 0.0
        if now - last >= _OFTEN or done == total:
            last = now
            left = None if total is None or not fps else max(0, total - done) / fps
            told({"done": done, "total": total, "fps": round(fps, 1), "left": None if left is None else round(left)})

    return tell
