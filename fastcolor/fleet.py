"""Colouring a folder's whole tree, pictures and films mixed: in one process, in several, or on a Ray cluster.

An item is done by whoever holds its claim, under a temporary name until it is whole. Nothing else is kept of a run: the
outputs that exist are what is done, and the same command once more does the rest.
"""

from __future__ import annotations

import functools
import logging
import os
import pickle
import socket
import time
import uuid
from collections import Counter, deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

from .batch import ColorizeOptions, Outcome, _color_file, _distinct, _Job, _progress, _shard, _walk
from .claims import claim, clear
from .colorize import Colorizer, check_look
from .pictures import check_target
from .video import VideoOptions, video

log = logging.getLogger("fastcolor")
_WRITTEN = {".mp4", ".m4v", ".mov", ".mkv", ".webm"}
_FILMS = _WRITTEN | set(".avi .mpg .mpeg .ts .mts .m2ts .wmv .flv .ogv .3gp .vob .mxf .dv".split())
_DEATHS = 3  # so many workers may die at an item
_PICTURES_A_TASK = 32
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
    work = _locally(options, items) if options.ray is None else _on_ray(options, items)
    try:
        for item, result in _progress(work, len(items), "items"):
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
    ending, film_ending = _ending(options.format), _ending(options.film_format)
    if ending is not None:
        check_target(Path("output" + ending))
    if film_ending not in {None, *_WRITTEN}:
        raise ValueError(f"film_format: must be one of {', '.join(sorted(_WRITTEN))}, got {options.film_format}")
    found = Outcome()
    pictures = _walk(src, dst, found)
    films = [path for path in found.no_pictures if path.suffix.lower() in _FILMS]
    summary.left_out = [path for path in found.no_pictures if path.suffix.lower() not in _FILMS]
    for words in found.failed:
        summary.failed.append(words)
    films.sort(key=lambda path: (-path.stat().st_size, path))

    def job(path: Path, ending: str | None) -> _Job:
        target = dst / path.relative_to(src)
        return _Job(path, target if ending is None else target.with_suffix(ending))

    def film_job(path: Path) -> _Job:
        writable = path.suffix.lower() in _WRITTEN
        return job(path, film_ending or (None if writable else ".mkv"))

    jobs = _distinct([*map(film_job, films), *(job(path, ending) for path in pictures)])
    if not jobs and not found.failed:
        raise ValueError(f"{options.src}: holds no pictures or films")
    index, count = _shard(options.shard)
    kinds = {path: "film" for path in films}
    return [
        Item(one.source, one.target, kinds.get(one.source, "picture"), _stamp(one.target))
        for one in jobs[index - 1 :: count]
    ]


def _ending(name: str | None) -> str | None:
    return None if name is None else "." + name.lower().lstrip(".")


def _stamp(path: Path) -> tuple[int, int] | None:
    """What tells a file from one that has replaced it."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_ino, status.st_mtime_ns


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
        )
        self._colorizer = Colorizer(options.weights, options.device, options.engine)

    def __call__(self, item: Item) -> Result:
        """Do an item unless it is done. Whatever is wrong with it is told, not raised."""
        if item.before and not self.options.overwrite:
            clear(item.target)
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
                _color_file(self._colorizer, _Job(item.source, item.target), self._pictures, outcome)
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


def _on_ray(options: BatchOptions, items: list[Item]) -> Generator[tuple[Item, Result]]:
    """Each item and its result as they come from a cluster's workers. A dead worker's task is another's."""
    try:
        import ray
        import ray.data
    except ImportError:
        raise ImportError('ray: the package is missing; pip install "fastcolor[ray]"') from None
    if options.device not in ("auto", "cpu", "cuda"):
        raise ValueError(
            f"device: with --ray must be auto, cpu or cuda, since workers get their GPUs from Ray, got {options.device}"
        )
    if os.path.exists(options.weights):
        options = replace(options, weights=os.path.abspath(options.weights))  # workers have other current folders
    for name in ("ray", "ray.data"):  # what goes well is said by the bar and the table
        logging.getLogger(name).setLevel(logging.ERROR)
    mine = not ray.is_initialized()
    if mine:
        _connect(options.ray)
    try:
        shape = _shape(ray.nodes(), options.device, options.workers)
        if shape.gpus and options.device == "auto":
            options = replace(options, device="cuda")
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        pool = ray.data.ActorPoolStrategy(size=shape.workers, max_tasks_in_flight_per_actor=1)
        run = uuid.uuid4().hex
        todo = items
        while todo:
            rows = [{"items": pickle.dumps(task)} for task in _tasks(todo, shape.workers)]
            results = ray.data.from_items(rows, override_num_blocks=len(rows)).flat_map(
                _Worker,
                fn_constructor_args=(options, run, shape.cores),
                compute=pool,
                num_cpus=shape.cores,
                num_gpus=shape.gpus,
            )
            todo = []
            for row in results.iter_rows():
                item, result = pickle.loads(row["result"])
                if result.status == "held":
                    todo.append(item)
                else:
                    yield item, result
            time.sleep(1.0 if todo else 0.0)
    finally:
        if mine:
            ray.shutdown()


def _connect(address: str) -> None:
    import ray

    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if port.isdigit():
            socket.create_connection((host, int(port)), timeout=10).close()  # Ray itself tries for minutes
        ray.init(
            None if address == "local" else address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"ray: no cluster at {address} ({str(error).splitlines()[0]})") from None


@dataclass(frozen=True)
class _Shape:
    """Of the fleet: how many workers, with how many cores and GPUs each."""

    workers: int
    cores: int
    gpus: int


def _shape(nodes: list[dict[str, Any]], device: str, workers: int | None) -> _Shape:
    """One worker for each GPU or core, or so many as asked for, with as many cores each as all of them can have."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    with_gpus = [node for node in alive if node.get("GPU", 0) >= 1]
    if device == "cuda" and not with_gpus:
        raise ValueError("device: the cluster has no GPU, got cuda")
    gpus = 1 if with_gpus and device != "cpu" else 0
    slots = sum(int(node["GPU"]) for node in with_gpus) if gpus else sum(int(node.get("CPU", 0)) for node in alive)
    workers = slots if workers is None else workers
    if not 1 <= workers <= slots:
        raise ValueError(f"workers: the cluster has room for {slots}, got {workers}")

    def room(cores: int) -> int:
        fits = (int(node.get("CPU", 0)) // cores for node in alive)
        if gpus:
            fits = (min(int(node["GPU"]), int(node.get("CPU", 0)) // cores) for node in with_gpus)
        return sum(fits)

    most = max(int(node.get("CPU", 0)) for node in alive)
    return _Shape(workers, next((cores for cores in range(most, 0, -1) if room(cores) >= workers), 0), gpus)


def _tasks(items: list[Item], workers: int) -> Iterator[list[Item]]:
    """What a worker is given at a time: a film, or some pictures, few enough that all workers have several turns."""
    size = max(1, min(_PICTURES_A_TASK, len(items) // (4 * workers)))
    pictures = [item for item in items if item.kind == "picture"]
    yield from ([item] for item in items if item.kind == "film")
    yield from (pictures[first : first + size] for first in range(0, len(pictures), size))


class _Worker:
    """A process of the cluster, which Ray starts anew when it dies, and gives the task again."""

    def __init__(self, options: BatchOptions, run: str, cores: int) -> None:
        torch.set_num_threads(max(1, cores))
        self._said: list[str] = []
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: self._said.append(record.getMessage())  # type: ignore[method-assign]
        log.addHandler(handler)
        log.propagate = False
        self._start = functools.partial(Painter, options, run, progress=False)
        self._painter: Painter | None = None

    def __call__(self, row: dict[str, Any]) -> list[dict[str, bytes]]:
        return [{"result": pickle.dumps((item, self._do(item)))} for item in pickle.loads(row["items"])]

    def _do(self, item: Item) -> Result:
        self._said.clear()
        try:
            self._painter = self._painter or self._start()
        except (ValueError, OSError, ImportError) as error:
            return Result("fatal", str(error))
        return replace(self._painter(item), warnings=tuple(self._said))
