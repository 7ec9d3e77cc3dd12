"""The items of a batch, and what becomes of each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..options.batch import BatchOptions
from .claims import clear

Status = Literal["coloured", "kept", "exists", "elsewhere", "failed", "held", "fatal"]


@dataclass(frozen=True)
class Item:
    """A picture or film. before: what the output's name stood for when the run began, None for nothing."""

    source: Path
    target: Path
    kind: Literal["picture", "film"]
    before: tuple[int, int] | None


@dataclass(frozen=True)
class Result:
    """What became of an item. words: of a failure. warnings: that the item's own machine had. reason: why no other
    item could be written either."""

    status: Status
    words: str = ""
    damaged: bool = False
    warnings: tuple[str, ...] = ()
    reason: str = ""


def stamp(path: Path) -> tuple[int, int] | None:
    """What tells a file from one that has replaced it."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_ino, status.st_mtime_ns


def exists(item: Item, options: BatchOptions) -> bool:
    """Whether an item is to be skipped."""
    if not item.before or options.overwrite:
        return False
    clear(item.target)
    return True


def key_frame_folder(folder: str | os.PathLike[str], name: Path) -> Path:
    """Where the key frames lie of a film whose name below a batch's output folder is `name`."""
    return Path(folder) / name.with_suffix("")


def chroma_film(folder: Path, name: Path) -> Path:
    """The chroma film that a batch writes of a film whose name below its output folder is `name`."""
    return (folder / name).with_suffix(".mkv")
