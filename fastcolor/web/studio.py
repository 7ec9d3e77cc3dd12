"""What the server does with pictures and films: the work behind each request."""

from __future__ import annotations

import asyncio
import csv
import io
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..constants import is_film
from ..formats.endings import PICTURE_SUFFIXES
from ..options.look import Look as LookOptions
from ..options.serve import ServeOptions
from ..pictures import targets
from .events import Events
from .films import Films
from .lane import CancelledWorkError, Lane
from .look import Look
from .outputs import COLOURED, Export, Outputs
from .process import Process
from .store import MOST_ITEMS, MOST_PICTURE, Item, Mark, MissingError, Store, TooLargeError, plain, plainly, sayable
from .table import cell

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
        self.store = Store(self.look)
        self.events = Events()
        self.notes: list[str] = []  # what the folder holds and the page does not show
        chosen = {field.name: getattr(options, field.name) for field in fields(LookOptions)}
        self.painter = Lane(Process("fastcolor.web.painter:Painter", LookOptions(**chosen)), QUEUE)
        self.films = Films(LookOptions(**chosen), self.changed)
        self.outputs = Outputs(self.store, self.painter, self.films, self.events, options.folder)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None  # once it runs

    # The page's pictures

    def open_folder(self) -> None:
        """Show what lies in --folder, as much of it as the page takes."""
        folder = self.options.folder
        if folder is None:
            return
        tree = targets.walk(folder, folder / COLOURED)
        paths = [*tree.pictures, *filter(is_film, tree.others)]
        self.notes += [sayable(line) for line in tree.unreadable]
        if len(paths) > MOST_ITEMS:
            self.notes.append(f"files of the folder left out: {len(paths) - MOST_ITEMS}; {MOST_ITEMS} are the most")
        for path in paths[:MOST_ITEMS]:
            try:
                self.begin(self.store.add(path.name, path, self._inside(path)))
            except (ValueError, OSError) as error:
                self.notes.append(f"{sayable(path.name)}: cannot be shown ({sayable(str(error))})")
        for line in self.notes:
            log.warning("%s", line)

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
            item.state, item.revision = "ready", item.revision + 1
        except CancelledWorkError:
            return
        except Exception as error:
            item.state, item.words = "failed", plainly(error, item)
        if item.id in self.store.items:
            self.changed(item)

    def changed(self, item: Item) -> None:
        """Tell the pages of an item."""
        self.events.tell("item", **item.told())

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
        if look.guide:
            look = replace(look, guide_file=look.guide_file or item.look.guide_file)
        look.check()
        _ready(item)
        if look != item.look:
            call = ("paint", str(item.source), str(item.folder), look)
            facts = await self.painter.submit(*call, urgent=True).done
            item.facts.update(facts)
            item.look, item.revision = look, item.revision + 1
            self.changed(item)
        return item.folder / "after.jpg"

    async def guide(self, item: Item, name: str, parts: AsyncIterator[bytes], size: int | None) -> None:
        """Take a coloured picture whose colours an item is to have: as a version of it, or else of similar things.

        Raises:
            ValueError: no picture, or a gray one. TooLargeError.
        """
        _ready(item)
        shown = plain(name)
        suffix = Path(shown).suffix.lower()
        if suffix not in PICTURE_SUFFIXES:
            raise ValueError(f"{shown}: must be a picture by its ending")
        path = item.folder / f"guide-{secrets.token_hex(4)}{suffix}"
        try:
            await self.store.write(path, shown, parts, size, MOST_PICTURE)
            asked = replace(item.look, guide="version", guide_file=str(path), hints=[])
            try:
                await self.repaint(item, asked)
            except ValueError:  # it shows something else, or is none, which is told the second time
                await self.repaint(item, replace(asked, guide="similar", hints=item.look.hints))
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError) and item.id not in self.store.items:
                raise CancelledWorkError(f"{item.name}: was removed") from None
            if isinstance(error, ValueError) and not isinstance(error, TooLargeError):
                raise ValueError(plainly(error, item).replace(path.name, shown)) from None
            raise

    async def part(self, item: Item, box: tuple[int, int, int, int], which: str) -> bytes:
        """A JPEG of a part of the whole picture. which: "before" or "after"."""
        _ready(item)
        call = ("part", str(item.source), item.look, box, which)
        return await self.painter.submit(*call, urgent=True).done

    async def suggestions(self, item: Item, x: float, y: float) -> list[tuple[str, float]]:
        """The network's likeliest colours for a place; x and y from 0 to 1."""
        _ready(item)
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError(f"place: must lie in 0..1, got {x:g}, {y:g}")
        return await self.painter.submit("suggestions", str(item.source), item.look, x, y, urgent=True).done

    async def shots(self, item: Item) -> None:
        """Look through a film for its shots, which then belong to its look."""
        _ready(item, "film")
        found = await self.films.shots(item)
        item.look = replace(item.look, shots=found)
        item.facts["pictures"] = len(found)  # of the shots
        self.changed(item)

    async def preview(self, item: Item, look: Look, shot: int | None) -> None:
        """Preview a film with other colours. shot: the one that is shown; None: ten seconds from the middle."""
        look.check()
        _ready(item, "film")
        if shot is not None and not 0 <= shot < len(look.shots):
            raise ValueError(f"shot: must be one of {len(look.shots)}, got {shot}")
        if look.hints:
            raise ValueError("hints: of films are not taken here")
        item.look = look
        self._later(self._preview(item, look, shot))

    async def _preview(self, item: Item, look: Look, shot: int | None) -> None:
        try:
            await self.films.preview(item, look, shot)
            item.words = ""
        except CancelledWorkError:
            return
        except Exception as error:
            item.words = plainly(error, item)
        item.revision += 1
        if item.id in self.store.items:
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
        self.changed(item)

    def review(self) -> str:
        """All pictures and marks as CSV, those first of which the network is least sure."""
        text = io.StringIO()
        rows = csv.writer(text)
        rows.writerow(["folder", "name", "mark", "doubt", "width", "height", "in_colour_before"])
        for item in sorted(self.store.items.values(), key=lambda one: -(one.facts.get("doubt") or 0.0)):
            if item.kind == "picture":
                facts = item.facts
                doubt = facts.get("doubt")
                shown = "" if doubt is None else f"{doubt:.2f}"
                cells = [item.inside, item.name, item.mark, shown, facts.get("width"), facts.get("height")]
                rows.writerow(map(cell, [*cells, facts.get("colored")]))
        return text.getvalue()

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
        await self.films.close()
        await self.painter.stop()
        self.store.close()

    def _later(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _ready(item: Item, kind: str = "picture") -> None:
    if item.state != "ready" or item.kind != kind:
        raise ValueError(f"{item.name}: is no {kind} that is ready")
