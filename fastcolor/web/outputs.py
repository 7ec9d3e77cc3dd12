"""Pictures and films on their way into files: to be downloaded, or in coloured/ in the folder that the page shows."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..constants import WRITTEN_FILMS
from ..formats.endings import GRAY_ONLY, SUFFIXES, check_target
from ..pictures import targets
from .events import Events
from .films import Films, folder_of
from .lane import CancelledWorkError, Lane, Ticket
from .look import Look
from .store import SPARE, Item, MissingError, Store, plainly

COLOURED = "coloured"  # the folder for exports below --folder
KEPT = 3  # finished exports whose files stay to be downloaded once more


@dataclass
class Export:
    """What one export has to write, and how far it is."""

    id: str
    items: list[Item]
    looks: list[Look]  # as they were when it was asked for
    format: str | None
    folder: Path
    state: Literal["working", "ready", "failed", "cancelled"] = "working"
    done: int = 0
    words: list[str] = field(default_factory=list)  # what failed or is worth a sentence
    made: list[tuple[str, Path]] = field(default_factory=list)  # names in the download, and where they lie
    film: dict[str, Any] = field(default_factory=dict)  # how far the film at work is
    at_work: tuple[Item, Ticket] | None = None  # that film

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


class Outputs:
    """All exports.

    Args:
        store: has the items. painter, films: write pictures and films. events: are told. folder: that the page shows;
            None: exports are downloaded.
    """

    def __init__(self, store: Store, painter: Lane, films: Films, events: Events, folder: Path | None) -> None:
        self._store, self._painter, self._films, self._events = store, painter, films, events
        self._folder = folder
        self._exports: dict[str, Export] = {}
        # Of files in coloured/: which item's they are, and what we left there.
        self._targets: dict[tuple[str, str], Path] = {}
        self._taken: set[str] = set()
        self._left: dict[Path, tuple[int, int]] = {}

    def __getitem__(self, key: str) -> Export:
        try:
            return self._exports[key]
        except KeyError:
            raise MissingError("there is no such export; only the last ones are kept") from None

    def working(self) -> list[Export]:
        """Those that are at work."""
        return [one for one in self._exports.values() if one.state == "working"]

    def new(self, ids: Sequence[str], format: str | None) -> Export:
        """An export that `write` is to write.

        Raises:
            ValueError: another format than the ones that are written, or no picture that is ready.
        """
        if format is not None:
            check_target(Path(f"output{targets.ending(format)}"))
        items = [item for item in map(self._store.__getitem__, ids) if item.state == "ready"]
        if not items:
            raise ValueError("ids: must name pictures or films that are coloured")
        key = secrets.token_hex(8)
        export = Export(key, items, [item.look for item in items], format, self._store.folder / f"export-{key}")
        export.folder.mkdir()
        self._exports[key] = export
        return export

    async def write(self, export: Export) -> None:
        """Write an export's pictures and films as the commands would."""
        taken: set[str] = set()
        for item, look in zip(export.items, export.looks, strict=True):
            if export.state == "cancelled":
                return
            try:
                name, target = self._place(export, item, look, taken)
                notes = await self._written(export, item, look, target)
                export.words += [one if one.startswith(item.name) else f"{item.name}: {one}" for one in notes]
                export.made.append((name, target))
            except CancelledWorkError:
                if export.state == "working":
                    export.words.append(f"{item.name}: was removed")
            except Exception as error:
                export.words.append(plainly(error, item))
            export.done += 1
            self._events.tell("export", **export.told())
        if export.state == "cancelled":
            return
        try:
            if len(export.made) > 1 and self._folder is None:
                await asyncio.to_thread(_pack, export)
            export.state = "ready" if export.made else "failed"
        except OSError as error:
            export.state = "failed"
            export.words.append(f"the archive cannot be written ({error.strerror or error})")
        if self._folder is not None and export.made:
            targets.mark(self._folder / COLOURED, [self._folder])
            export.words.append(f"written into {COLOURED}/ in the folder: {len(export.made)}")
        self._events.tell("export", **export.told())
        finished = [one for one in self._exports.values() if one.state != "working"]
        for old in finished[:-KEPT]:
            self.drop(old)

    async def _written(self, export: Export, item: Item, look: Look, target: Path) -> list[str]:
        """Write one item; what is worth a sentence."""
        if item.id not in self._store.items:
            raise CancelledWorkError("removed")
        target.parent.mkdir(parents=True, exist_ok=True)
        free = await asyncio.to_thread(shutil.disk_usage, target.parent)
        if free.free < SPARE:
            raise OSError(f"{item.name}: the disk is full")
        if item.kind == "film":
            ticket = self._films.export(item, look, target, self._telling(export))
            export.at_work = (item, ticket)
            try:
                notes = await ticket.done
            finally:
                export.at_work, export.film = None, {}
        else:
            call = (str(item.source), str(target), look)
            notes = await self._painter.submit("export", *call, urgent=True).done
        if self._folder is not None:
            self._left[target] = _state_of(target)
        return [plainly(note, item) for note in notes]

    def _telling(self, export: Export) -> Callable[[dict[str, Any]], None]:
        def tell(progress: dict[str, Any]) -> None:
            export.film = progress
            self._events.tell("export", **export.told())

        return tell

    def _place(self, export: Export, item: Item, look: Look, taken: set[str]) -> tuple[str, Path]:
        """The name in a download, and where the file is written."""
        name = _named(item, export.format)
        if self._folder is not None:
            return name, self._in_folder(item, name)
        shown = next(one for one in _numbered(name) if one.casefold() not in taken)
        taken.add(shown.casefold())
        if item.kind == "film":  # where a try that was cancelled left what it had done
            return shown, item.folder / folder_of(look) / name
        return shown, export.folder / shown

    def _in_folder(self, item: Item, name: str) -> Path:
        """Where an item is written below the folder: always the same file, unless somebody else changed that; and
        never one that is not ours."""
        assert self._folder is not None
        known = self._targets.get((item.id, name))
        if known is not None and (not known.exists() or _state_of(known) == self._left.get(known)):
            return known
        into = self._folder / COLOURED
        if item.folder not in item.source.parents:  # no upload
            into /= item.source.parent.relative_to(self._folder)
        for numbered in _numbered(name):
            target = into / numbered
            if str(target).casefold() not in self._taken and not target.exists():
                break
        self._taken.add(str(target).casefold())
        self._targets[item.id, name] = target
        return target

    def file(self, export: Export) -> tuple[str, Path]:
        """A finished export's name and file. MissingError: it has none."""
        if export.state != "ready":
            raise MissingError("the export is not ready")
        if self._folder is not None:
            raise MissingError(f"the export was written into {COLOURED}/ in the folder")
        name, path = ("coloured.zip", export.folder / "all.zip") if len(export.made) > 1 else export.made[0]
        if not path.exists():
            raise MissingError(f"{name}: was removed")
        return name, path

    def drop(self, export: Export) -> None:
        """Call an export off, or remove what it made. Of a film, what is done is kept for the next try."""
        self._exports.pop(export.id, None)
        if export.state == "working":
            export.state = "cancelled"
            if export.at_work is not None:
                self._films.cancel(export.at_work[1])
            self._events.tell("export", **export.told())
        if self._folder is None:
            needed = {path for other in self._exports.values() for _, path in other.made}
            for _, path in export.made:
                if path not in needed:
                    path.unlink(missing_ok=True)
        shutil.rmtree(export.folder, ignore_errors=True)

    def forget(self, item: Item) -> None:
        """Stop painting a film that is removed."""
        for export in self.working():
            if export.at_work is not None and export.at_work[0] is item:
                self._films.cancel(export.at_work[1])


def _named(item: Item, format: str | None) -> str:
    path = Path(item.name)
    if item.kind == "film":
        return path.name if path.suffix.lower() in WRITTEN_FILMS else f"{path.stem}.mkv"
    suffix = targets.ending(format) or path.suffix.lower()
    suffix = ".png" if suffix in GRAY_ONLY or suffix not in SUFFIXES else suffix
    return path.stem + (path.suffix if path.suffix.lower() == suffix else suffix)


def _numbered(name: str) -> Iterator[str]:
    """The name, then others with a number."""
    yield name
    path, number = Path(name), 1
    while True:
        number += 1
        yield f"{path.stem}-{number}{path.suffix}"


def _state_of(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _pack(export: Export) -> None:
    with zipfile.ZipFile(export.folder / "all.zip", "w", zipfile.ZIP_STORED) as archive:
        for name, path in export.made:
            archive.write(path, name)
            if path.is_relative_to(export.folder):
                path.unlink()
