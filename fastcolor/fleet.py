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
from typing import Annotated, Literal

import tyro

from . import jobs as plan
from .bar import bar
from .batch import ColorizeOptions, Outcome, color_file
from .claims import claim, clear
from .colorize import Colorizer, check_look
from .jobs import Job
from .pictures import check_target
from .video import VideoOptions, video

log = logging.getLogger("fastcolor")
_WRITTEN = {".mp4", ".m4v", ".mov", ".mkv", ".webm"}
_FILMS = _WRITTEN | set(".avi .mpg .mpeg .ts .mts .m2ts .wmv .flv .ogv .3gp .vob .mxf .dv".split())
_DEATHS = 3  # so many workers may die at an item
Status = Literal["coloured", "kept", "exists", "elsewhere", "failed", "held", "fatal"]
_ROWS = {
    "coloured": "coloured",
    "kept": "kept (in colour)",
    "exists": "skipped (exist)",
    "elsewhere": "done meanwhile by another worker",
    "failed": "failed",
}


@dataclass(frozen=True)
class BatchOptions:
    """Colour a folder's pictures and films into a folder of the same tree; what exists is skipped."""

    src: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN_DIR")]
    """The folder; hidden files in it are left out."""
    dst: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT_DIR")]
    """The folder to write; it is made."""
    weights: str = "default"
    """Name of the weights, or a .safetensors file."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    engine: str = "auto"
    """What runs the network."""
    temperature: float | None = None
    """0 or 0.001 to 10; lower is more saturated and less even. None: the weights' own."""
    saturation: float = 1.0
    """0 to 10, a factor on the colours; 0 is gray."""
    format: str | None = None
    """Ending of the pictures, such as png. None: as the input's."""
    film_format: str | None = None
    """Ending of the films, such as mp4. None: as the input's, or mkv where that cannot be written."""
    temporal: Literal["off", "fast", "flow"] = "fast"
    """Smoothing of films over time."""
    codec: str | None = None
    """Of films: h264, hevc, av1, vp9 or ffv1. None: the input's own, or h264."""
    crf: int | None = None
    """Quality of films, 0 is best; None: visually lossless."""
    fast: bool = False
    """Encode films several times faster into larger files."""
    compare: bool = False
    """Put gray and colour side by side."""
    skip_colored: bool = False
    """Keep pictures and stretches of films that are in colour as they are."""
    allow_truncated: bool = False
    """Read what is left of truncated pictures."""
    overwrite: bool = False
    """Replace existing outputs."""
    shard: str = "1/1"
    """i/n: do the i-th of n equal shares."""
    ray: str | None = None
    """Address of a Ray cluster whose machines see both folders; auto, or local for one on this machine."""
    workers: int | None = None
    """With --ray: how many processes. None: one for each GPU or, without GPUs, each core."""


@dataclass(frozen=True)
class Item:
    """A picture or film. before: what the output's name stood for when the run began, None for nothing."""

    source: Path
    target: Path
    kind: Literal["picture", "film"]
    before: tuple[int, int] | None


@dataclass(frozen=True)
class Result:
    """What became of an item. words: of a failure. warnings: that the item's own machine had."""

    status: Status
    words: str = ""
    damaged: bool = False
    warnings: tuple[str, ...] = ()


@dataclass
class Summary:
    """What became of all items; print it for a table."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # by kind and status
    failed: list[str] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)  # films of which a part could not be read
    left_out: list[Path] = field(default_factory=list)  # neither pictures nor films by their names

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
        KeyboardInterrupt: what is done stays, and the table so far goes to the log.

    Example:
        >>> print(batch(BatchOptions(Path("gray"), Path("colour"))))  # doctest: +SKIP
    """
    check_look(options.temperature, options.saturation)
    if options.workers is not None and (options.ray is None or options.workers < 1):
        raise ValueError(f"workers: must be 1 or more, and needs --ray, got {options.workers}")
    summary = Summary()
    items = _items(options, summary)
    if options.ray is None:
        work = _locally(options, items)
    else:
        from .cluster import on_ray

        work = on_ray(options, items)
    try:
        for item, result in bar(work, len(items), "items"):
            if result.status == "fatal":
                raise ValueError(result.words)
            for words in result.warnings:
                log.warning(words)
            summary.add(item, result)
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
    ending, film_ending = plan.ending(options.format), plan.ending(options.film_format)
    if ending is not None:
        check_target(Path("output" + ending))
    if film_ending not in {None, *_WRITTEN}:
        raise ValueError(f"film_format: must be one of {', '.join(sorted(_WRITTEN))}, got {options.film_format}")
    found = plan.walk(src, dst)
    films = [path for path in found.others if path.suffix.lower() in _FILMS]
    summary.left_out = [path for path in found.others if path.suffix.lower() not in _FILMS]
    summary.failed += found.unreadable
    films.sort(key=lambda path: (-path.stat().st_size, path))

    def job(path: Path, ending: str | None) -> Job:
        target = dst / path.relative_to(src)
        return Job(path, target if ending is None else target.with_suffix(ending))

    def film_job(path: Path) -> Job:
        writable = path.suffix.lower() in _WRITTEN
        return job(path, film_ending or (None if writable else ".mkv"))

    jobs = plan.distinct([*map(film_job, films), *(job(path, ending) for path in found.pictures)])
    if not jobs and not found.unreadable:
        raise ValueError(f"{options.src}: holds no pictures or films")
    kinds = {path: "film" for path in films}
    return [
        Item(one.source, one.target, kinds.get(one.source, "picture"), _stamp(one.target))
        for one in plan.share(jobs, options.shard)
    ]


def _stamp(path: Path) -> tuple[int, int] | None:
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


class Painter:
    """A worker: does items, one after the other. run: a word that all workers of a run share."""

    def __init__(self, options: BatchOptions, run: str, *, progress: bool | None = None) -> None:
        self.options, self.run, self.progress = options, run, progress
        self._pictures = ColorizeOptions(
            (),
            "",
            temperature=options.temperature,
            saturation=options.saturation,
            compare=options.compare,
            skip_colored=options.skip_colored,
            allow_truncated=options.allow_truncated,
            overwrite=True,  # what exists has been looked at under the item's claim
        )
        self._colorizer = Colorizer(options.weights, options.device, options.engine)

    def __call__(self, item: Item) -> Result:
        """Do an item unless it is done. Whatever is wrong with it is told, not raised."""
        if exists(item, self.options):
            return Result("exists")
        try:
            with claim(item.target, self.run) as held:
                if held is None:
                    return Result("held")
                if _stamp(item.target) != item.before:
                    return Result("elsewhere")
                if held.deaths >= _DEATHS:
                    return Result("failed", f"{item.source}: given up, {held.deaths} workers died at it")
                if item.kind == "film":
                    return self._film(item, resume=held.deaths > 0 or not self.options.overwrite)
                outcome = Outcome()
                color_file(self._colorizer, Job(item.source, item.target), self._pictures, outcome)
                return Result("kept" if outcome.kept else "coloured")
        except Exception as error:
            words = str(error) or type(error).__name__
            if isinstance(error, OSError) and error.strerror:
                words = f"{error.filename or item.target}: {error.strerror.lower()}"
            return Result("failed", words if str(item.source) in words else f"{item.source}: {words}")

    def _film(self, item: Item, *, resume: bool) -> Result:
        same = {name: getattr(self.options, name) for name in vars(self.options).keys() & _FILM_OPTIONS}
        report = video(item.source, item.target, **same, resume=resume, progress=self.progress)
        return Result("coloured", damaged=bool(report.warnings))


_FILM_OPTIONS = set(VideoOptions.__dataclass_fields__)


def _locally(options: BatchOptions, items: list[Item]) -> Generator[tuple[Item, Result]]:
    """Each item and its result, in this process. What another process holds comes last, and is waited for."""
    painter = Painter(options, uuid.uuid4().hex)
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
