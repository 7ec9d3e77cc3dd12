"""Film in, film out: only chroma is new.

A thread decodes, this one runs the network, a third encodes; bounded queues between them keep memory the same however
long the film is. The luma plane travels from decoder to encoder bit for bit and never through RGB.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

import torch

from . import ops

if TYPE_CHECKING:
    from .colorize import Colorizer
    from .film import Batch, Encoding, Film, Reader, Writer

log = logging.getLogger("fastcolor")
T = TypeVar("T")


@dataclass(frozen=True)
class VideoOptions:
    """The options of `fastcolor video` and `fastcolor-video`, and their defaults."""

    weights: str = "default"
    """Name of the weights, or a .safetensors file."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    engine: str = "auto"
    """What runs the network: auto or torch."""
    temperature: float | None = None
    """0 or more; lower is more saturated and less even. None: the weights' own."""
    saturation: float = 1.0
    """Factor on the colours; 0 is gray."""
    temporal: Literal["off"] = "off"
    """Smoothing over time; off paints every frame by itself."""
    codec: str | None = None
    """h264, hevc, av1, vp9 or ffv1. None: the input's own, or h264."""
    crf: int | None = None
    """Quality, 0 is best; None: visually lossless."""
    fast: bool = False
    """Encode several times faster into larger files."""
    lossless: bool = False
    """Encode without any loss."""
    start: float | None = None
    """Paint from this second on."""
    end: float | None = None
    """Paint up to this second."""
    overwrite: bool = False
    """Replace an existing output."""


@dataclass(frozen=True)
class VideoReport:
    """What was done. `seconds` and `fps` are of the work from the first frame read to the last one written."""

    output: Path
    frames: int
    seconds: float
    fps: float
    width: int
    height: int
    codec: str
    pixel_format: str
    copied: int  # streams passed on packet for packet
    left_out: tuple[str, ...]  # streams that the output cannot hold
    notes: tuple[str, ...]  # choices worth knowing
    warnings: tuple[str, ...]  # what was lost or mended

    def __str__(self) -> str:
        others = "1 other stream" if self.copied == 1 else f"{self.copied} other streams"
        head = (
            f"{self.output}: {self.frames} frames of {self.width}x{self.height} in {self.seconds:.1f} s "
            f"({self.fps:.1f} fps), {self.codec} {self.pixel_format}, {others} copied"
        )
        return "\n".join((head, *(f"  {note}" for note in self.notes)))


class _Stopped(Exception):
    """The other end of a pipe has failed or gone."""


class _Pipe(Generic[T]):
    """A bounded queue between two threads. `close` ends it; `stop` breaks it, and both ends wake with _Stopped."""

    def __init__(self, size: int) -> None:
        self._items: deque[T] = deque()
        self._size, self._closed, self._stopped = size, False, False
        self._changed = Condition()

    def put(self, item: T) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._size or self._stopped)
            if self._stopped:
                raise _Stopped
            self._items.append(item)
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._closed or self._stopped)
                if self._stopped:
                    raise _Stopped
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


class _Worker(Thread):
    """A thread that keeps its exception and breaks the pipes when it fails."""

    def __init__(self, name: str, work: Callable[[], None], pipes: tuple[_Pipe, ...]) -> None:
        super().__init__(name=f"fastcolor-{name}", daemon=True)
        self.work, self.pipes, self.error = work, pipes, None

    def run(self) -> None:
        try:
            self.work()
        except _Stopped:
            pass
        except BaseException as error:
            self.error = error
            for pipe in self.pipes:
                pipe.stop()


def video(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] = "default",
    device: str = "auto",
    engine: str = "auto",
    temperature: float | None = None,
    saturation: float = 1.0,
    temporal: Literal["off"] = "off",
    codec: str | None = None,
    crf: int | None = None,
    fast: bool = False,
    lossless: bool = False,
    start: float | None = None,
    end: float | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> VideoReport:
    """Paint a gray film.

    Luma, frame count, time stamps, sample aspect, rotation and colour tags stay as they are; sound, subtitles, chapters
    and all other streams that the output's container can hold are copied packet for packet. `dst` appears under its
    name once it is whole.

    Args:
        src: any film that FFmpeg decodes. dst: ends in .mp4, .m4v, .mov, .mkv or .webm; its folder is made.
        weights, device, engine, temperature: as for `Colorizer`.
        saturation: factor on the colours, 0 or more.
        temporal: "off" paints every frame by itself.
        codec: "h264", "hevc", "av1", "vp9" or "ffv1"; None: the input's own where `dst` can hold it, else h264.
        crf: the encoder's quality, 0 best; None: visually lossless.
        fast: encode several times faster, into larger files. lossless: no loss at all.
        start, end: seconds from the film's beginning; only frames and packets within are written.
        overwrite: replace an existing `dst`.
        progress: show a progress bar; None: when stderr is a terminal.

    Returns:
        VideoReport; print it for a summary.

    Raises:
        FileNotFoundError, FileExistsError, IsADirectoryError, OSError: `src` is missing, `dst` exists or cannot be
            written.
        ValueError: `src` is no film, or an option is out of range.

    Example:
        >>> fastcolor.video("gray.mp4", "colour.mp4")  # doctest: +SKIP
    """
    from .colorize import Colorizer
    from .film import plan, probe

    options = VideoOptions(
        weights=os.fspath(weights),
        device=device,
        engine=engine,
        temperature=temperature,
        saturation=saturation,
        temporal=temporal,
        codec=codec,
        crf=crf,
        fast=fast,
        lossless=lossless,
        start=start,
        end=end,
        overwrite=overwrite,
    )
    src, dst = Path(src), Path(dst)
    _check(src, dst, options)
    film = probe(src)
    encoding = plan(film, dst, codec=codec, crf=crf, fast=fast, lossless=lossless)
    colorizer = Colorizer(weights=weights, device=device, engine=engine)
    try:
        dst.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot write {dst}: {error.strerror}") from None
    part = dst.with_name(f".{dst.stem[:80]}.{os.getpid()}.part{dst.suffix}")
    try:
        report = _Job(film, encoding, colorizer, options, part, dst).run(progress)
        os.replace(part, dst)
    finally:
        part.unlink(missing_ok=True)
    return report


def _check(src: Path, dst: Path, options: VideoOptions) -> None:
    """Refuse what can be refused before anything is read."""
    if dst.is_dir():
        raise IsADirectoryError(f"the output {dst} is a folder; give the film's own name")
    if src.exists() and dst.exists() and src.samefile(dst):
        raise ValueError(f"input and output are the same file, {src}")
    if dst.exists() and not options.overwrite:
        raise FileExistsError(f"{dst} exists already; --overwrite (overwrite=True) replaces it")
    if options.temporal != "off":
        raise ValueError(f"temporal must be 'off', got {options.temporal!r}")
    if not (math.isfinite(options.saturation) and options.saturation >= 0):
        raise ValueError(f"saturation must be 0 or more, got {options.saturation}")
    if options.temperature is not None and not (math.isfinite(options.temperature) and options.temperature >= 0):
        raise ValueError(f"temperature must be 0 or more, got {options.temperature}")
    if options.fast and options.lossless:
        raise ValueError("fast and lossless exclude each other, got both")
    for name, value in (("start", options.start), ("end", options.end)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be seconds, 0 or more, got {value}")
    if options.end is not None and options.end <= (options.start or 0):
        raise ValueError(f"end must come after start, got {options.start or 0} to {options.end}")


class _Job:
    """One film on its way from `film` to `part`."""

    def __init__(
        self, film: Film, encoding: Encoding, colorizer: Colorizer, options: VideoOptions, part: Path, dst: Path
    ) -> None:
        self.film, self.encoding, self.colorizer, self.options = film, encoding, colorizer, options
        self.part, self.dst = part, dst
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)
        log.warning(message)

    def run(self, progress: bool | None) -> VideoReport:
        from .film import Reader, Writer, reason

        film, options = self.film, self.options
        try:
            writer = Writer(film, self.encoding, self.part, options.start, options.end)
        except Exception as error:
            raise OSError(f"cannot write {self.dst}: {reason(error)}") from None
        if writer.left_out:
            log.warning(f"{self.dst.suffix} cannot hold, so left out of {self.dst}: {', '.join(writer.left_out)}")
        # About 2^24 pixels a batch at most, so that queues of 4K frames stay small.
        most = 8 if self.colorizer.device.type == "cpu" else 16
        reader = Reader(
            film,
            self.encoding.layout,
            tuple(writer.copied),
            size=max(1, min(most, (1 << 24) // (film.width * film.height))),
            start=options.start,
            end=options.end,
            warn=self.warn,
        )
        begun = time.perf_counter()
        self._flow(reader, writer, sys.stderr.isatty() if progress is None else progress)
        if writer.frames == 0:
            raise ValueError(f"{film.path} has no frame from second {options.start or 0} to {options.end or 'its end'}")
        if writer.dropped:
            self.warn(f"{writer.dropped} packets of copied streams were refused by {self.dst.suffix} and dropped")
        return self._report(writer, time.perf_counter() - begun)

    def _flow(self, reader: Reader, writer: Writer, progress: bool) -> None:
        """Read, paint and write at the same time; whatever fails first stops the others and is raised."""
        from tqdm import tqdm

        from .film import reason

        decoded: _Pipe[Batch] = _Pipe(1)
        painted: _Pipe[Batch] = _Pipe(1)

        def read() -> None:
            for batch in reader:
                decoded.put(batch)
            decoded.close()

        def write() -> None:
            try:
                for batch in painted:
                    writer.write(batch)
                writer.finish()
            except _Stopped:
                raise
            except Exception as error:
                raise OSError(f"cannot write {self.dst}: {reason(error)}") from None

        pipes = (decoded, painted)
        workers = (_Worker("decode", read, pipes), _Worker("encode", write, pipes))
        for worker in workers:
            worker.start()
        # A core is left to the codecs: network threads that wait for one that has lost its core stall them all.
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, threads - 1))
        try:
            with tqdm(total=self._frames_expected(), unit=" frames", disable=not progress) as bar:
                for batch in decoded:
                    self._paint(batch)
                    painted.put(batch)
                    bar.update(len(batch.frames))
                painted.close()
                workers[1].join()
        except _Stopped:
            pass
        finally:  # on the good way both have ended by now, and this wakes nobody
            torch.set_num_threads(threads)
            for pipe in pipes:
                pipe.stop()
            for worker in workers:
                worker.join()
            writer.abandon()
        for worker in workers:
            if worker.error:
                raise worker.error

    def _report(self, writer: Writer, seconds: float) -> VideoReport:
        from .film import ENCODERS

        film, layout = self.film, self.encoding.layout
        left_out = (f"{name} left out, since {self.dst.suffix} cannot hold it" for name in writer.left_out)
        return VideoReport(
            output=self.dst,
            frames=writer.frames,
            seconds=seconds,
            fps=writer.frames / seconds,
            width=film.width,
            height=film.height,
            codec=ENCODERS[self.encoding.family].name,
            pixel_format=layout.output,
            copied=len(writer.copied),
            left_out=tuple(writer.left_out),
            notes=(*film.notes, *((layout.note,) if layout.note else ()), *left_out),
            warnings=tuple(self.warnings),
        )

    def _frames_expected(self) -> int | None:
        start, end = self.options.start or 0, self.options.end
        if self.film.frames is None:
            return None
        whole = self.film.frames / float(self.film.rate)
        return max(0, round((min(whole, whole if end is None else end) - start) * float(self.film.rate)))

    @torch.inference_mode()
    def _paint(self, batch: Batch) -> None:
        """Write the chroma planes of a batch's frames."""
        from .film import plane_view

        if not batch.frames:
            return
        film, layout = self.film, self.encoding.layout
        lumas = batch.luma[: len(batch.frames)]
        luma = torch.from_numpy(lumas).to(self.colorizer.device)
        # The network sees what a viewer sees: upright, in square pixels.
        size = self.colorizer.input_size(*film.shown)
        size = size[::-1] if film.turns % 2 else size
        lightness = ops.luma_to_input(luma, size, full_range=film.full_range, bits=layout.bits)
        ab = self.colorizer.predict_ab(lightness.rot90(film.turns, (2, 3)), temperature=self.options.temperature)
        ab = ab.rot90(-film.turns, (2, 3))
        planes = ops.paint_chroma(
            ab,
            luma,
            subsampling=layout.subsampling,
            matrix=film.matrix,
            full_range=film.full_range,
            saturation=self.options.saturation * self.colorizer.saturation,
            bits=layout.bits,
        )
        for index, plane in enumerate(planes, start=1):
            for frame, chroma in zip(batch.frames, plane.cpu().numpy(), strict=True):
                plane_view(frame, index, lumas.dtype)[:] = chroma
