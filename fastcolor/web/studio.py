"""What the server does with pictures and films: the work behind each request."""

from __future__ import annotations

import asyncio
import csv
import io
import logging
import secrets
import shutil
import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ..constants import WRITTEN_FILMS, is_film
from ..formats.endings import GRAY_ONLY, SUFFIXES, check_target
from ..options.look import Look as LookOptions
from ..options.serve import ServeOptions
from ..pictures import targets
from .events import Events
from .films import Films, folder_of
from .lane import CancelledWorkError, Lane, Ticket
from .look import Look
from .process import Process
from .store import MOST_ITEMS, Item, Mark, Store, sayable

log = logging.getLogger("fastcolor")
QUEUE = 300  # pictures that may wait to be looked at
COLOURED = "coloured"  # the folder for exports below --folder


@dataclass
class Export:
    """Pictures on their way into files."""

    id: str
    items: list[Item]
    format: str | None
    folder: Path
    state: Literal["working", "ready", "failed", "cancelled"] = "working"
    done: int = 0
    words: list[str] = field(default_factory=list)  # what failed or is worth a sentence
    made: list[tuple[str, Path]] = field(default_factory=list)  # names in the download, and where they lie
    film: dict[str, Any] = field(default_factory=dict)  # how far the film at work is
    ticket: Ticket | None = None  # of that film

    def told(self) -> dict[str, Any]:
        """What the page learns of it."""
        return {
            "id": self.id,
            "state": self.state,
            "done": self.done,
            "total": len(self.items),
            "words": self.words,
            "film": self.film,
        }


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
        self.exports: dict[str, Export] = {}
        self._tasks: set[asyncio.Task[None]] = set()

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
            self.notes.append(f"{len(paths) - MOST_ITEMS} files of the folder are left out: {MOST_ITEMS} are the most")
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
            FullError: so much is waiting already. ValueError: a name of neither a picture nor a film. TooLargeError.
        """
        item = self.store.add(name)
        try:
            await self.store.receive(item, parts, size)
            self.begin(item)
        except BaseException:
            self.store.remove(item)
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
            item.state, item.words = "failed", self.plainly(error, item)
        if item.id in self.store.items:
            self.changed(item)

    def changed(self, item: Item) -> None:
        """Tell the pages of an item."""
        self.events.tell("item", **item.told())

    def plainly(self, error: Exception | str, item: Item) -> str:
        """An error's words, with the name that the owner knows in place of where the file lies."""
        words = str(error) or type(error).__name__
        return sayable(words.replace(str(item.source), item.name).replace(f"{item.folder}/", ""))

    def remove(self, item: Item) -> None:
        """Forget an item; what waits for it is called off."""
        if item.ticket is None and item.begun is not None:
            item.begun.cancel()
        if item.kind == "film":
            self.films.remove(item)
        elif item.ticket is not None:
            self.painter.cancel(item.ticket, running=False)
        for export in [one for one in self.exports.values() if item in one.items and one.state == "working"]:
            if item.kind == "film":
                self.drop_export(export)
        self.store.remove(item)
        self.events.tell("removed", id=item.id)

    # Colours

    async def repaint(self, item: Item, look: Look) -> Path:
        """Paint an item's screen picture anew and return the file."""
        look.check()
        _ready(item)
        if look != item.look:
            call = ("paint", str(item.source), str(item.folder), look)
            facts = await self.painter.submit(*call, urgent=True).done
            item.facts.update(facts)
            item.look, item.revision = look, item.revision + 1
            self.changed(item)
        return item.folder / "after.jpg"

    async def part(self, item: Item, box: tuple[int, int, int, int], which: str) -> bytes:
        """A JPEG of a part of the whole picture. which: "before" or "after"."""
        _ready(item)
        call = ("part", str(item.source), item.look, box)
        before, after = await self.painter.submit(*call, urgent=True).done
        return before if which == "before" else after

    async def suggestions(self, item: Item, x: float, y: float) -> list[tuple[str, float]]:
        """The network's likeliest colours for a place; x and y from 0 to 1."""
        _ready(item)
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError(f"place: must lie in 0..1, got {x:g}, {y:g}")
        return await self.painter.submit("suggestions", str(item.source), item.look, x, y, urgent=True).done

    async def preview(self, item: Item, look: Look) -> None:
        """Preview a film with other colours."""
        look.check()
        if item.kind != "film" or item.state != "ready":
            raise ValueError(f"{item.name}: is no film that is ready")
        if look.hints:
            raise ValueError("hints: of films are not taken here")
        item.look = look
        self._later(self._preview(item, look))

    async def _preview(self, item: Item, look: Look) -> None:
        try:
            await self.films.preview(item, look)
            item.words = ""
        except CancelledWorkError:
            return
        except Exception as error:
            item.words = self.plainly(error, item)
        item.revision += 1
        if item.id in self.store.items:
            self.changed(item)

    # Files

    def export(self, ids: Sequence[str], format: str | None) -> Export:
        """Begin to write pictures as `fastcolor colorize` would."""
        if format is not None:
            check_target(Path(f"output{targets.ending(format)}"))
        items = [item for item in map(self.store.__getitem__, ids) if item.state == "ready"]
        if not items:
            raise ValueError("ids: must name pictures or films that are coloured")
        key = secrets.token_hex(8)
        export = Export(key, items, format, self.store.folder / f"export-{key}")
        export.folder.mkdir()
        self.exports[key] = export
        self._later(self._export(export))
        return export

    async def _export(self, export: Export) -> None:
        taken: set[str] = set()
        for item in export.items:
            if export.state == "cancelled":
                break
            try:
                name = _unused(self._named(item, export.format), taken)
                into = export.folder if self.options.folder is None else self.options.folder / COLOURED
                if item.kind == "film" and self.options.folder is None:
                    into = item.folder / folder_of(item)  # where a try that was cancelled left what it had done
                target = into / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if item.kind == "film":
                    export.ticket = self.films.export(item, target, self._telling(export))
                    notes = await export.ticket.done
                    export.film = {}
                else:
                    call = (str(item.source), str(target), item.look)
                    notes = await self.painter.submit("export", *call, urgent=True).done
                export.made.append((name, target))
                export.words += [f"{item.name}: {self.plainly(note, item)}" for note in notes]
            except CancelledWorkError:
                break
            except Exception as error:
                export.words.append(self.plainly(error, item))
            export.done += 1
            self.events.tell("export", **export.told())
        if export.state == "working":
            try:
                if len(export.made) > 1 and self.options.folder is None:
                    await asyncio.to_thread(_pack, export)
                export.state = "ready" if export.made else "failed"
            except OSError as error:
                export.state = "failed"
                export.words.append(f"the archive cannot be written ({error.strerror or error})")
        if self.options.folder is not None and export.made:
            targets.mark(self.options.folder / COLOURED, [self.options.folder])
            export.words.append(f"written into {COLOURED}/ in the folder: {len(export.made)}")
        self.events.tell("export", **export.told())

    def _telling(self, export: Export) -> Callable[[dict[str, Any]], None]:
        def tell(progress: dict[str, Any]) -> None:
            export.film = progress
            self.events.tell("export", **export.told())

        return tell

    def _named(self, item: Item, format: str | None) -> str:
        if item.kind == "film":
            path = Path(item.name)
            name = path.name if path.suffix.lower() in WRITTEN_FILMS else f"{path.stem}.mkv"
            return name if self.options.folder is None or not item.inside else f"{item.inside}/{name}"
        suffix = targets.ending(format) or Path(item.name).suffix.lower()
        suffix = ".png" if suffix in GRAY_ONLY or suffix not in SUFFIXES else suffix
        kept = Path(item.name).suffix
        name = Path(item.name).stem + (kept if kept.lower() == suffix else suffix)
        return name if self.options.folder is None or not item.inside else f"{item.inside}/{name}"

    def exported(self, export: Export) -> tuple[str, Path]:
        """A finished export's name and file."""
        if export.state != "ready":
            raise LookupError("the export is not ready")
        return ("coloured.zip", export.folder / "all.zip") if len(export.made) > 1 else export.made[0]

    def find_export(self, key: str) -> Export:
        try:
            return self.exports[key]
        except KeyError:
            raise LookupError("there is no such export") from None

    def drop_export(self, export: Export) -> None:
        """Call an export off, or remove what it made. Of a film, what is done is kept for the next try."""
        export.state = "cancelled"
        if export.ticket is not None:
            self.films.cancel(export.ticket)
        self.events.tell("export", **export.told())
        self.exports.pop(export.id, None)
        shutil.rmtree(export.folder, ignore_errors=True)

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
                cells = [item.inside, item.name, item.mark, shown, facts.get("width", ""), facts.get("height", "")]
                rows.writerow([_cell(str(cell)) for cell in cells] + [str(facts.get("colored", ""))])
        return text.getvalue()

    # Beginning and end

    async def warm(self) -> None:
        """Have the network loaded before it is asked for."""
        self.painter.submit("ready")

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


def _ready(item: Item) -> None:
    if item.state != "ready" or item.kind != "picture":
        raise ValueError(f"{item.name}: is not ready")


def _unused(name: str, taken: set[str]) -> str:
    """The name, with a number where another file of the export has it."""
    path, number = Path(name), 1
    while name.casefold() in taken:
        number += 1
        name = path.with_name(f"{path.stem}-{number}{path.suffix}").as_posix()
    taken.add(name.casefold())
    return name


def _pack(export: Export) -> None:
    with zipfile.ZipFile(export.folder / "all.zip", "w", zipfile.ZIP_STORED) as archive:
        for name, path in export.made:
            archive.write(path, name)
            if path.is_relative_to(export.folder):
                path.unlink()


def _cell(text: str) -> str:
    """Spreadsheets take what begins so for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
