"""What the server does with pictures and films: the work behind each request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..constants import is_film
from ..models import named
from ..options.look import Look as LookOptions
from ..options.serve import ServeOptions
from ..pictures import targets
from .events import Events
from .films import Films
from .kept import IN_ALBUM, Record
from .lane import CancelledWorkError, Lane
from .look import Look
from .outputs import COLOURED, Export, Outputs
from .process import Process
from .sent import Sent
from .store import MOST_ITEMS, Item, Mark, MissingError, Store, plainly, sayable
from .table import review

log = logging.getLogger("fastcolor")
QUEUE = 300  # pictures that may wait to be looked at


class Studio:
    """The pictures, the process that paints them, and who listens.

    Args:
        options: of `fastcolor serve`.
    """

    def __init__(self, options: ServeOptions) -> None:
        self.options = options
        self.look = Look(options.temperature, options.saturation, options.size)
        self.notes: list[str] = []  # what the folder holds and the page does not show
        self.store = self._store()
        self.events = Events()
        chosen = {field.name: getattr(options, field.name) for field in fields(LookOptions)}
        self.painter = Lane(Process("fastcolor.web.painter:Painter", LookOptions(**chosen)), QUEUE)
        self.films = Films(LookOptions(**chosen), self.changed)
        self.outputs = Outputs(self.store, self.painter, self.films, self.events, options.folder)
        self.sent = Sent(self.store, self.films, self.repaint, self.preview)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None  # once it runs

    def _store(self) -> Store:
        """The work folder: the one that was asked for, or one in --folder, where that can be."""
        if self.options.work is not None or self.options.folder is None:
            return Store(self.look, self.options.work)
        try:
            return Store(self.look, self.options.folder / COLOURED / IN_ALBUM)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            self.notes.append(sayable(f"what you say here is not kept for the next time ({why})"))
            return Store(self.look)

    # The page's pictures

    def open(self) -> None:
        """Show what an earlier server kept, and what lies in --folder, as much of it as the page takes."""
        earlier = [self._by_what_is_here(record) for record in self.store.earlier(self.notes)]
        told = {record.at: record for record in earlier if not record.source}
        for record in earlier:
            if record.source:
                self.begin(self.store.again(record))
        folder = self.options.folder
        if folder is not None:
            tree = targets.walk(folder, folder / COLOURED)
            paths = [*tree.pictures, *filter(is_film, tree.others)]
            self.notes += [sayable(line) for line in tree.unreadable]
            room = MOST_ITEMS - len(self.store.items)
            if len(paths) > room:
                self.notes.append(f"files of the folder left out: {len(paths) - room}; {MOST_ITEMS} are the most")
            for path in paths[:room]:
                self._show(path, told)
        for line in self.notes:
            log.warning("%s", line)

    def _by_what_is_here(self, record: Record) -> Record:
        """A record whose network can be had: nothing is downloaded unasked, and no path is taken for a network."""
        if record.look.weights in ("", *self.networks()):
            return record
        if record.look.weights != str(self.options.weights):
            self.notes.append(sayable(f"{record.name}: the network {record.look.weights} is not here any more"))
        return replace(record, look=replace(record.look, weights=""))

    def _show(self, path: Path, told: dict[str, Record]) -> None:
        """Show a file of --folder. told: what is kept of files there, by their paths below it."""
        assert self.options.folder is not None
        at = sayable(path.relative_to(self.options.folder).as_posix())
        try:
            item = (
                self.store.again(told[at], path) if at in told else self.store.add(path.name, path, self._inside(path))
            )
            item.at = at
            self.begin(item)
        except (ValueError, OSError) as error:
            self.notes.append(f"{sayable(path.name)}: cannot be shown ({sayable(str(error))})")

    def _inside(self, path: Path) -> str:
        """A file's folder below --folder."""
        inside = "." if self.options.folder is None else path.parent.relative_to(self.options.folder).as_posix()
        return "" if inside == "." else sayable(inside)

    async def receive(self, name: str, parts: AsyncIterator[bytes], size: int | None) -> Item:
        """Take an upload; its colouring begins.

        Raises:
            TooManyError, TooLargeError. ValueError: a name of neither a picture nor a film. CancelledWorkError: it was
            removed meanwhile.
        """
        item = self.store.add(name)
        try:
            await self.store.receive(item, parts, size)
            self.store[item.id]
            self.store.keep(item)
            self.begin(item)
        except BaseException as error:
            gone = item.id not in self.store.items
            self.store.remove(item)
            if gone and isinstance(error, (OSError, MissingError)):  # its folder went meanwhile
                raise CancelledWorkError(f"{item.name}: was removed before all of it had come") from None
            raise
        return item

    def begin(self, item: Item) -> None:
        """Have a new item looked at."""
        item.begun = self._later(self._first(item))

    async def _first(self, item: Item) -> None:
        def begun() -> None:
            item.state = "working"
            self.changed(item)

        try:
            if item.kind == "picture":
                call = ("first", str(item.source), str(item.folder), item.look)
                item.ticket = await self.painter.enter(*call, begun=begun)  # a folder may hold more than there is room
                item.facts = await item.ticket.done
            else:
                begun()
                await self.films.first(item)
                item.facts.update(await self.painter.submit("nature", item.look, urgent=True).done)
            item.state, item.revision = "ready", item.revision + 1
        except CancelledWorkError:
            return
        except Exception as error:
            item.state, item.words = "failed", plainly(error, item)
        self.changed(item)

    def changed(self, item: Item) -> None:
        """Tell the pages of an item, unless they have been let go, or it was removed: its card would come back."""
        if item.id in self.store.items and not self.store.leaving:
            self.events.tell("item", **item.told())

    def _said(self, item: Item) -> None:
        """Keep what was said of an item, and tell the pages."""
        self.store.keep(item)
        self.changed(item)

    def remove(self, item: Item) -> None:
        """Forget an item; what waits for it is called off."""
        if item.ticket is None and item.begun is not None:
            item.begun.cancel()
        if item.kind == "film":
            self.films.remove(item)
        elif item.ticket is not None:
            self.painter.cancel(item.ticket, running=False)
        self.outputs.forget(item)
        self.store.remove(item)
        self.events.tell("removed", id=item.id)

    # Colours

    async def repaint(self, item: Item, look: Look) -> Path:
        """Paint an item's screen picture anew and return the file."""
        name = Path(look.guide_file or item.look.guide_file).name
        look = replace(look, guide_file=str(item.folder / name) if look.guide and name else "")
        self._check(item, look)
        item.check_ready("picture")
        if look != item.look:
            call = ("paint", str(item.source), str(item.folder), look)
            facts = await self.painter.submit(*call, urgent=True).done
            item.facts.update(facts)
            item.look, item.revision = look, item.revision + 1
            self._said(item)
        return item.folder / "after.jpg"

    def networks(self) -> list[str]:
        """The names of the networks that can be chosen beside the server's own."""
        return [name for name in named.installed() if name != self.options.weights]

    def _check(self, item: Item, look: Look) -> None:
        """See whether an item can be coloured like that. ValueError: something is out of range, or not here."""
        look.check(item.folder)
        if look.weights and look.weights not in (names := self.networks()):
            raise ValueError(f"weights: must be empty or one of {', '.join(names)}, got {look.weights!r}")

    async def part(self, item: Item, box: tuple[int, int, int, int], which: str) -> bytes:
        """A JPEG of a part of the whole picture. which: "before" or "after"."""
        item.check_ready("picture")
        call = ("part", str(item.source), item.look, box, which)
        return await self.painter.submit(*call, urgent=True).done

    async def suggestions(self, item: Item, x: float, y: float, seconds: float | None) -> list[tuple[str, float]]:
        """The network's likeliest colours for a place; x and y from 0 to 1. seconds: of a film."""
        item.check_ready("picture" if seconds is None else "film")
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError(f"place: must lie in 0..1, got {x:g}, {y:g}")
        shown = item.source if seconds is None else await self.frame(item, seconds)
        return await self.painter.submit("suggestions", str(shown), item.look, x, y, urgent=True).done

    # Films

    async def shots(self, item: Item) -> None:
        """Look through a film for its shots, which then belong to its look, in place of those that it had."""
        item.check_ready("film")
        found = await self.films.shots(item)
        shots = [_shot(one["start"], one["end"]) for one in found]
        had, item.look = item.look.shots, replace(item.look, shots=shots)
        item.facts["pictures"] = [one["shown"] for one in found]  # of the shots, and when they are shown
        self._said(item)
        if had:  # the preview shows what was said of them
            self.preview(item, item.look, None)

    async def frame(self, item: Item, seconds: float) -> Path:
        """The gray frame that a film shows at a second, as a file."""
        return await self.films.frame(item, seconds)

    def preview(self, item: Item, look: Look, shot: int | None) -> None:
        """Preview a film with other colours. shot: the one that is shown; None: ten seconds from the middle."""
        self._check(item, look)
        item.check_ready("film")
        if shot is not None and not 0 <= shot < len(look.shots):
            raise ValueError(f"shot: must be one of {len(look.shots)}, got {shot}")
        if look.hints:
            raise ValueError("hints: of a film belong to its shots")
        other = look.weights != item.look.weights
        item.look = look
        self.store.keep(item)
        self._later(self._preview(item, look, shot, other))

    async def _preview(self, item: Item, look: Look, shot: int | None, other: bool) -> None:
        try:
            if other:
                item.facts.update(await self.painter.submit("nature", look, urgent=True).done)
                if item.id not in self.store.items:
                    return
                if item.look is not look:  # a newer one has its preview, which began while this network was loaded
                    return self.changed(item)
            await self.films.preview(item, look, shot)
            item.words = ""
        except CancelledWorkError:
            return
        except Exception as error:
            item.words = plainly(error, item)
        item.revision += 1
        self.changed(item)

    # Files

    def export(self, ids: Sequence[str], format: str | None) -> Export:
        """Begin to write pictures and films as the commands would."""
        export = self.outputs.new(ids, format)
        self._later(self.outputs.write(export))
        return export

    # Review

    def mark(self, item: Item, mark: Mark) -> None:
        """Note what somebody thinks of a result."""
        item.mark = mark
        self._said(item)

    def review(self) -> str:
        """All pictures and marks as CSV, those first of which the network is least sure."""
        return review(self.store.items.values())

    # Beginning and end

    async def warm(self) -> None:
        """Have the network loaded before it is asked for."""
        self._loop = asyncio.get_running_loop()
        self.painter.submit("ready")

    def leave(self) -> None:
        """Let all pages go; to be called from a signal's handler."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._leave)

    def _leave(self) -> None:
        self.store.leaving = True
        self.events.close()
        self.films.abandon()
        self.painter.abandon()

    async def close(self) -> None:
        """End everything and remove the work folder."""
        self.events.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self.films.close(), self.painter.stop())
        self.store.close()

    def _later(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _shot(start: float, end: float) -> dict[str, Any]:
    """A shot of which nothing is said yet."""
    usual: dict[str, Any] = {"saturation": 1.0, "temperature": None, "hints": [], "key_frames": {}, "references": []}
    return {"start": start, "end": end, **usual}
