"""Colouring a folder's whole tree, pictures and films mixed: in one process, in several, or on a Ray cluster.

An item is done by whoever holds its claim, under a temporary name until it is whole. Nothing else is kept of a run: the
outputs that exist are what is done, and the same command once more does the rest.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections import Counter, deque
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..atomic import UnwritableError, check_folder
from ..bar import Journal, bar
from ..constants import WRITTEN_FILMS, is_film
from ..formats.endings import check_target
from ..models import named
from ..options.batch import BatchOptions
from ..pictures import targets
from ..pictures.targets import Conversion
from .items import Item, Result, Status, chroma_film, key_frame_folder, stamp

log = logging.getLogger("fastcolor")
_ROWS: dict[Status, str] = {
    "coloured": "coloured",
    "kept": "kept (in colour)",
    "exists": "skipped (exist)",
    "elsewhere": "done meanwhile by another worker",
    "failed": "failed",
}


@dataclass
class Summary:
    """What became of all items; print it for a table."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # by kind and status
    failed: list[str] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)  # films of which a part could not be read
    left_out: list[Path] = field(default_factory=list)  # neither pictures nor films by their names
    earlier: list[Path] = field(default_factory=list)  # folders of earlier runs' results

    def add(self, item: Item, result: Result) -> None:
        self.counts[item.kind, result.status] += 1
        if result.status == "failed":
            self.failed.append(result.words)
        if result.damaged:
            self.damaged.append(item.target)

    def of(self, status: Status) -> int:
        """Pictures and films of a status."""
        return self.counts["picture", status] + self.counts["film", status]

    def __str__(self) -> str:
        shown = {status: row for status, row in _ROWS.items() if self.of(status) or status in ("coloured", "failed")}
        width = max(map(len, shown.values()))
        lines = [f"{'':{width}}  pictures  films"]
        for status, row in shown.items():
            lines.append(f"{row:{width}}  {self.counts['picture', status]:8}  {self.counts['film', status]:5}")
        lines += [f"  failed: {line}" for line in self.failed]
        lines += [f"  damaged, what could be read is in {path}" for path in self.damaged]
        if self.left_out:
            names = ", ".join(path.name for path in self.left_out[:3]) + (", ..." if len(self.left_out) > 3 else "")
            lines.append(f"  left out, no picture or film by their names: {len(self.left_out)} ({names})")
        lines += [f"  left out, results of an earlier run: {path} (to colour it, name it)" for path in self.earlier]
        return "\n".join(lines)


def batch(options: BatchOptions) -> Summary:
    """Do what `fastcolor batch` does.

    Any number of processes and machines may work on the same two folders, with shards or without: each item is done by
    one of them, and a run ends when all items of its share are done or have failed. An item at which a worker dies is
    done by another, or by the next run; a film goes on where it was.

    Returns:
        What was coloured, kept, skipped and failed.

    Raises:
        FileNotFoundError, ValueError, ImportError: nothing could be started; the message says why.
        UnwritableError: the disk is full, or the output folder cannot be written.
        KeyboardInterrupt: what is done stays, and the table so far goes to the log.

    Example:
        >>> print(batch(BatchOptions(Path("gray"), Path("colour"))))  # doctest: +SKIP
    """
    options.check()
    named.check(options.weights)
    summary = Summary()
    items = _items(options, summary)
    check_folder(options.dst)
    if options.ray is None:
        work = _locally(options, items)
    else:
        from .ray import on_ray

        work = on_ray(options, items)
    targets.mark(options.dst, [options.src])
    try:
        with Journal(options.log) as journal:
            for item, result in bar(work, len(items), "items"):
                if result.status == "fatal":
                    raise ValueError(result.words)
                for words in result.warnings:
                    log.warning(words)
                summary.add(item, result)
                journal.add(item.source, item.target, result.status, result.words)
                if result.reason:
                    log.warning("%s", summary)
                    raise UnwritableError(
                        f"{options.dst}: cannot be written ({result.reason}); the same command once more does the rest"
                    )
    except KeyboardInterrupt:
        log.warning("%s\nstopped; the same command once more goes on from there", summary)
        raise
    finally:
        work.close()
    return summary


def _items(options: BatchOptions, summary: Summary) -> list[Item]:
    """This shard's items, films first and large ones before small ones, so that all workers end at about one time."""
    src, dst = Path(os.path.abspath(options.src)), Path(os.path.abspath(options.dst))
    if not src.is_dir():
        raise FileNotFoundError(f"{options.src}: no such folder")
    if dst.exists() and not dst.is_dir():
        raise ValueError(f"{options.dst}: must be a folder, got a file")
    if dst.resolve() == src.resolve():
        raise ValueError(f"{options.dst}: must be another folder than the input")
    ending, film_ending = targets.ending(options.format), targets.ending(options.film_format)
    if ending is not None:
        check_target(Path("output" + ending))
    if film_ending not in {None, *WRITTEN_FILMS}:
        raise ValueError(f"film_format: must be one of {', '.join(sorted(WRITTEN_FILMS))}, got {options.film_format}")
    found = targets.walk(src, dst)
    films = [path for path in found.others if is_film(path)]
    summary.left_out = [path for path in found.others if not is_film(path)]
    summary.failed += found.unreadable
    summary.earlier += found.earlier
    films.sort(key=lambda path: (-path.stat().st_size, path))

    def conversion(path: Path, ending: str | None) -> Conversion:
        target = dst / path.relative_to(src)
        return Conversion(path, target if ending is None else target.with_suffix(ending))

    def film_conversion(path: Path) -> Conversion:
        writable = path.suffix.lower() in WRITTEN_FILMS
        return conversion(path, film_ending or (None if writable else ".mkv"))

    conversions = targets.distinct(
        [*map(film_conversion, films), *(conversion(path, ending) for path in found.pictures)]
    )
    targets.told(conversions, options, dst)
    kinds: dict[Path, Literal["film"]] = {path: "film" for path in films}
    names = [one.target.relative_to(dst) for one in conversions if one.source in kinds]
    for folder in options.key_frames:
        if not any(key_frame_folder(folder, name).is_dir() for name in names):
            raise ValueError(f"key_frames: {folder} must hold folders named as the films, got none that is")
    if options.chroma_to is not None:
        _check_chroma_films([one for one in conversions if one.source in kinds], Path(options.chroma_to), src, dst)
    if not conversions and not found.unreadable:
        raise ValueError(f"{options.src}: holds no pictures or films")
    return [
        Item(one.source, one.target, kinds.get(one.source, "picture"), stamp(one.target))
        for one in targets.share(conversions, options.shard)
    ]


def _check_chroma_films(films: list[Conversion], folder: Path, src: Path, dst: Path) -> None:
    """ValueError where two films would share a chroma film, or where the next run would colour chroma films too."""
    if src.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise ValueError(f"chroma_to: must lie outside the input {src}, got {folder}")
    named: dict[Path, Path] = {}
    for one in films:
        other = named.setdefault(chroma_film(folder, one.target.relative_to(dst)), one.source)
        if other != one.source:
            raise ValueError(f"chroma_to: would be one file for both {other} and {one.source}; colour them apart")


def _locally(options: BatchOptions, items: list[Item]) -> Generator[tuple[Item, Result]]:
    """Each item and its result, in this process. What another process holds comes last, and is waited for."""
    from .worker import Painter

    painter = Painter(options, uuid.uuid4().hex, sum(item.kind == "picture" for item in items))
    todo, held = deque(items), 0
    while todo:
        item = todo.popleft()
        result = painter(item)
        if result.status == "held":
            todo.append(item)
            held += 1
            if held >= len(todo):  # nothing else is left
                time.sleep(0.5)
            continue
        held = 0
        yield item, result
