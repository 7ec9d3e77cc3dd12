"""A work folder that stays: uploads, and what was said of each picture and film, for the next server.

Each item has a folder in it, and in that `item.json` beside the files that cannot be made anew. No more is read from
there than a server wrote: names of files are compared with what they look like, and never taken as paths; links, which
it does not make, are followed nowhere.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from ..atomic import locked, write_bytes
from .look import Look

VERSION = 1
IN_ALBUM = ".fastcolor"  # the work folder of a page on a folder, in coloured/ there
_MARK = "fastcolor-serve.json"
_ITEM, _EXPORT = re.compile("[0-9a-f]{16}"), re.compile("export-[0-9a-f]{16}")
# Of an item's folder: what it was made from and told, films that are half painted, the colours of those that were
# exported, and shots' pictures.
_STAYS = re.compile(
    r"item\.json|source\.\w+|(guide|key|reference)-[0-9a-f]{8}\.\w+|film-[0-9a-f]{16}|colours-[0-9a-f]{16}\.mkv|shot-\d+\.jpg"
)
# Coloured pictures that came along: they stay while the record names them.
_SENT = re.compile(r"[a-z]+-[0-9a-f]{8}\.\w+")


@dataclass(frozen=True)
class Record:
    """What is kept of an item.

    Attributes:
        key: its id. name, inside, mark, look: as `Item` has them. came: its place in the order. source: the upload's
            file in its folder, or "" where it lies in --folder, at the path `at` below that. pictures: when its shots'
            pictures are shown.
    """

    key: str
    name: str
    inside: str
    mark: str
    came: int
    source: str
    at: str
    look: Look
    pictures: list[float]


def open_folder(folder: Path) -> IO[str]:
    """Take a folder as our own, and keep other servers out while the file that is returned is open.

    Raises:
        ValueError: it holds other files. OSError: it cannot be made or written, or another server works in it.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"work: must be a folder, got the file {folder}")
    mark = folder / _MARK
    ours = mark.is_file()
    if folder.exists() and not ours and any(folder.iterdir()):
        raise ValueError(f"work: must be empty, or of an earlier server, got {folder}, which holds other files")
    folder.mkdir(parents=True, exist_ok=True)
    if not ours:
        write_bytes(mark, json.dumps({"version": VERSION}).encode())
    file = locked(folder / "lock")  # an album of somebody else's may have a link there, to what must not be emptied
    if file is None:
        raise OSError(f"work: another server works in {folder}")
    tidy(folder)
    return file


def tidy(folder: Path, seconds: float = math.inf) -> bool:
    """Leave in a work folder only what the next server needs; whether that was done in so many seconds."""
    until = time.monotonic() + seconds
    for path in folder.iterdir():
        if time.monotonic() > until:
            return False
        if not path.is_dir() or path.is_symlink():
            continue
        if _EXPORT.fullmatch(path.name) or (_ITEM.fullmatch(path.name) and not (path / "item.json").is_file()):
            shutil.rmtree(path, ignore_errors=True)
        elif _ITEM.fullmatch(path.name):
            words = _words(path)
            for one in path.iterdir():
                if one.is_dir() and not one.is_symlink():  # of films what is half painted, not what is ready
                    for part in one.iterdir():
                        if not part.is_dir():
                            part.unlink()
                elif not _STAYS.fullmatch(one.name) or (_SENT.fullmatch(one.name) and one.name not in words):
                    one.unlink(missing_ok=True)
    return True


def _words(folder: Path) -> str:
    """The record in an item's folder as it is written; of one that cannot be read the names of all that lies there, for
    it may be mended."""
    try:
        words = (folder / "item.json").read_text(encoding="utf-8")
        json.loads(words)
    except (ValueError, OSError, RecursionError):
        return " ".join(one.name for one in folder.iterdir())
    return words


def leave(folder: Path, seconds: float) -> None:
    """Tidy a work folder at the end, for so many seconds; where nothing is left to keep, it goes."""
    if tidy(folder, seconds) and all(path.name in (_MARK, "lock") for path in folder.iterdir()):
        with contextlib.suppress(OSError):  # as where a file that is open cannot be removed
            for name in (_MARK, "lock"):
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()
            if folder.name == IN_ALBUM:
                folder.parent.rmdir()  # coloured/, if nothing was exported


def write(folder: Path, record: Record) -> None:
    """Keep a record in an item's folder."""
    told = {**asdict(record), "version": VERSION}
    told["look"]["guide_file"] = Path(record.look.guide_file).name
    del told["key"]
    write_bytes(folder / "item.json", json.dumps(told).encode())


def records(folder: Path, notes: list[str]) -> Iterator[Record]:
    """What an earlier server kept, in the order in which it came. notes: gets what cannot be read."""
    found = []
    for path in folder.iterdir():
        if _ITEM.fullmatch(path.name) and (path / "item.json").is_file():
            try:
                found.append(_read(path))
            except (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError) as error:
                notes.append(f"{path.name} in the work folder cannot be read and is left alone ({error})")
    yield from sorted(found, key=lambda one: one.came)


def _read(path: Path) -> Record:
    if path.is_symlink() or any(one.is_symlink() for one in path.iterdir()):
        raise ValueError("it is or holds a link, which is not followed")
    told: dict[str, Any] = json.loads((path / "item.json").read_text(encoding="utf-8"))
    json.dumps(told, ensure_ascii=False, allow_nan=False).encode()  # what no page could be told is no record
    if told.pop("version") != VERSION:
        raise ValueError("it is of another version")
    look = Look(**told.pop("look"))
    if look.guide_file:
        look = Look(**{**vars(look), "guide_file": str(path / _own(path, look.guide_file))})
    look.check(path)
    record = Record(key=path.name, look=look, **told)
    texts = (record.name, record.inside, record.mark, record.source, record.at, look.weights)
    if not all(isinstance(one, str) for one in texts) or not isinstance(record.came, int):
        raise ValueError("it does not hold what it should")
    if not all(isinstance(one, (int, float)) for one in record.pictures):
        raise ValueError("it does not hold what it should")
    if record.source:
        _own(path, record.source)
    return record


def _own(folder: Path, name: str) -> str:
    """A name of a file in an item's folder. ValueError: it is none."""
    if not (_STAYS.fullmatch(name) and (folder / name).is_file()):
        raise ValueError("a file of it is missing")
    return name
