"""The pictures and films of a server, and the one folder that it works in."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, cast, get_args

from ..atomic import lock
from ..constants import MOST_PICTURE, is_film
from ..formats.endings import PICTURE_SUFFIXES
from . import kept
from .lane import Ticket
from .look import Look
from .process import DiedError

MOST_ITEMS = 2000
MOST_FILM = 1 << 37  # bytes of an upload
SPARE = 256 << 20  # bytes of the disk that uploads leave free
PATIENCE = 1.0  # seconds that the end takes to clear up
_PREFIX = "fastcolor-serve-"
Mark = Literal["", "good", "bad", "again"]


class TooLargeError(ValueError):
    """An upload of more bytes than are taken."""


class TooManyError(ValueError):
    """More files than the page holds."""


class MissingError(LookupError):
    """What was asked for is not there."""


@dataclass
class Item:
    """A picture or film: where it lies, how it is to be coloured, and how far it is."""

    id: str
    name: str  # as its owner calls it; never a path
    source: Path
    folder: Path  # of its own, in the work folder
    kind: Literal["picture", "film"]
    inside: str = ""  # its folder's path below --folder, as it is shown
    state: Literal["waiting", "working", "ready", "failed"] = "waiting"
    words: str = ""  # why it failed
    look: Look = field(default_factory=Look)
    revision: int = 0  # of what is shown
    facts: dict[str, Any] = field(default_factory=dict)
    mark: Mark = ""
    ticket: Ticket | None = None
    begun: asyncio.Task[None] | None = None  # its first look
    came: int = 0  # its place in the order
    at: str = ""  # its path below --folder; of an upload none

    def check_ready(self, kind: Literal["picture", "film"]) -> None:
        """ValueError: it is no such thing, or is not looked at yet."""
        if self.state != "ready" or self.kind != kind:
            raise ValueError(f"{self.name}: is no {kind} that is ready")

    def told(self) -> dict[str, Any]:
        """What the page learns of it."""
        return {
            "id": self.id,
            "name": self.name,
            "inside": self.inside,
            "kind": self.kind,
            "state": self.state,
            "words": self.words,
            "look": self.look.told(),
            "revision": self.revision,
            "mark": self.mark,
            "came": self.came,
            **self.facts,
        }


class Store:
    """All items by their ids, in the order in which they came.

    Args:
        look: how new pictures are coloured at first. work: a folder that stays; None: a temporary one.

    Raises:
        ValueError: `work` holds other files. OSError: the work folder cannot be made, or another server has it.
    """

    def __init__(self, look: Look, work: Path | None = None) -> None:
        self._look, self._stays = look, work is not None
        _sweep()
        if work is None:
            self.folder, self._held = _work_folder()
        else:
            self.folder, self._held = work, kept.open_folder(work)
        self.items: dict[str, Item] = {}
        self._came = itertools.count()
        self.leaving = False  # no upload is waited for any more

    def add(self, name: str, source: Path | None = None, inside: str = "") -> Item:
        """Make room for a file of this name.

        Args:
            name: as its owner calls it. source: where it lies; None: it is still to come. inside: see `Item`.

        Raises:
            TooManyError: there are so many already. ValueError: a name of neither a picture nor a film.
        """
        self.check_room(name)
        shown = plain(name)
        suffix = Path(shown).suffix.lower()
        film = is_film(Path(shown))
        if not film and suffix not in PICTURE_SUFFIXES:
            raise ValueError(f"{shown}: must be a picture or a film by its ending")
        key = secrets.token_hex(8)
        folder = self.folder / key
        folder.mkdir()
        item = Item(key, shown, source or folder / f"source{suffix}", folder, "film" if film else "picture", inside)
        item.look, item.came = self._look, next(self._came)
        self.items[key] = item
        return item

    def earlier(self, notes: list[str]) -> list[kept.Record]:
        """What an earlier server kept in this folder. notes: gets what cannot be read."""
        found = list(kept.records(self.folder, notes)) if self._stays else []
        self._came = itertools.count(max((one.came for one in found), default=-1) + 1)
        return found

    def again(self, record: kept.Record, source: Path | None = None) -> Item:
        """An item that an earlier server kept. source: where it lies below --folder; None: it was uploaded."""
        folder = self.folder / record.key
        kind: Literal["picture", "film"] = "film" if is_film(Path(record.name)) else "picture"
        item = Item(record.key, plain(record.name), source or folder / record.source, folder, kind, record.inside)
        item.look, item.came, item.at = record.look, record.came, record.at
        item.mark = cast(Mark, record.mark) if record.mark in get_args(Mark) else ""
        if record.pictures:
            item.facts["pictures"] = record.pictures
        self.items[item.id] = item
        return item

    def keep(self, item: Item) -> None:
        """Have the next server know an item, and what was said of it."""
        if not self._stays or item.id not in self.items:
            return
        uploaded = item.folder in item.source.parents
        if not uploaded and item.look == self._look and not item.mark:
            (item.folder / "item.json").unlink(missing_ok=True)
            return
        source, pictures = item.source.name if uploaded else "", item.facts.get("pictures", [])
        names = (item.id, item.name, item.inside, item.mark, item.came, source, item.at)
        kept.write(item.folder, kept.Record(*names, item.look, pictures))

    def check_room(self, name: str) -> None:
        """See whether there is room for one more. TooManyError: there is none, however long one waits."""
        if len(self.items) >= MOST_ITEMS:
            raise TooManyError(f"{plain(name)}: {MOST_ITEMS} pictures are the most; remove some first")

    def __getitem__(self, key: str) -> Item:
        try:
            return self.items[key]
        except KeyError:
            raise MissingError("there is no such picture or film; it may have been removed") from None

    def remove(self, item: Item) -> None:
        """Forget an item and what was made of it."""
        self.items.pop(item.id, None)
        shutil.rmtree(item.folder, ignore_errors=True)

    async def receive(self, item: Item, parts: AsyncIterator[bytes], size: int | None) -> None:
        """Write an upload to the disk as it comes.

        Args:
            size: bytes that are announced.

        Raises:
            TooLargeError: more bytes than are taken. OSError: the disk is full.
        """
        await self.write(item.source, item.name, parts, size, MOST_FILM if item.kind == "film" else MOST_PICTURE)

    async def write(self, path: Path, name: str, parts: AsyncIterator[bytes], size: int | None, most: int) -> None:
        """The same of any file. path: in the work folder. name: for messages. most: bytes that are taken."""
        free = await asyncio.to_thread(shutil.disk_usage, self.folder)
        limits = (most, f"may have {most:,} bytes"), (max(0, free.free - SPARE), "does not fit on the disk")
        most, why = min(limits)
        if (size or 0) > most:
            raise TooLargeError(f"{name}: {why}, got {size:,}")
        taken = 0
        with path.open("xb") as file:
            async for part in parts:
                if self.leaving:
                    raise DiedError("the server was stopped")
                taken += len(part)
                if taken > most:
                    raise TooLargeError(f"{name}: {why}")
                await asyncio.to_thread(file.write, part)
        if not taken:
            raise ValueError(f"{name}: is empty")

    def close(self) -> None:
        """Remove the work folder, or of one that stays what can be made anew."""
        if self._held.closed:
            return
        if self._stays:
            kept.leave(self.folder, PATIENCE)
        self._held.close()
        if not self._stays:
            _clear(self.folder, PATIENCE)


def plain(name: str) -> str:
    """A file's name as people gave it, without folders and what no file system takes, of 120 characters and 200 bytes
    at most.

    Example:
        >>> plain("../../etc/pass\\nwd.jpg")
        'passwd.jpg'
    """
    last = re.split(r"[/\\]", name)[-1]
    shown = "".join(c for c in last if c.isprintable() and c not in '<>:"|?*').rstrip(". ")
    stem, dot, suffix = shown.rpartition(".") if "." in shown else (shown, "", "")
    stem, suffix = _head(stem.strip(". ")[:100], 180), _head(suffix, 19)
    return (stem.strip(". ") or "unnamed") + dot + suffix


def _head(text: str, most: int) -> str:
    """As much of a text as so many bytes hold, which systems count of a file's name: some letters have four."""
    return text.encode()[:most].decode(errors="ignore")


def sayable(text: str) -> str:
    """A text that holds the system's names, for the page: bytes that are no UTF-8 are replaced.

    Example:
        >>> sayable("caf\\udce9")
        'caf\ufffd'
    """
    return os.fsencode(text).decode("utf-8", "replace")


def plainly(error: Exception | str, item: Item) -> str:
    """An error's words, with the name that the owner knows in place of where the file lies."""
    words = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        words = f"{item.name}: {error.strerror}"
    return sayable(words.replace(f"{item.source}", item.name).replace(f"{item.folder}/", ""))


def _work_folder() -> tuple[Path, IO[str]]:
    """A folder that only we can enter, and a file in it that says, while it is held, that we are alive."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        path = folder / "lock"
        file = path.open("w")
        # Another server that swept just then may have taken it for one that was left behind.
        if os.name == "nt" or (lock(file, path) and path.exists()):
            return folder, file
        file.close()


def _clear(folder: Path, seconds: float) -> None:
    """Remove a folder; what takes longer than so many seconds is left to a process that nobody waits for."""
    until = time.monotonic() + seconds
    for path in folder.iterdir():
        if time.monotonic() > until:
            code = "import shutil, sys; shutil.rmtree(sys.argv[1], ignore_errors=True)"
            quiet = subprocess.DEVNULL
            command = [sys.executable, "-c", code, str(folder.absolute())]
            subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
            return
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Remove the work folders of servers that were killed."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if left.is_symlink():
                continue
            if os.name == "nt":  # no locks there, but a file that is open cannot be removed
                (left / "lock").unlink()
                shutil.rmtree(left, ignore_errors=True)
                continue
            if left.stat().st_uid != os.getuid():
                continue
            with (left / "lock").open("r+") as file:
                if lock(file, left / "lock"):
                    shutil.rmtree(left, ignore_errors=True)
