"""Picture files on their way: one thread reads, others paint, and who asks for them writes."""

from __future__ import annotations

import logging
import math
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .. import ops
from ..atomic import whole
from ..options.pictures import ColorizeOptions
from ..threads import Pipe, Stopped, Worker, painters
from . import targets
from .colorize import Colorizer, eight_bit
from .outcome import Outcome
from .picture import DamagedError, Picture, PictureError, PictureFile, check_target, compose, read, unsupported, write
from .targets import Conversion

log = logging.getLogger("fastcolor")
# Of a colour photograph at least so large a share lies so far, in Lab units, from the mean colour of its lightness.
_COLORED_SHARE, _COLORED_DISTANCE = 0.02, 10.0
_BATCH, _BATCH_PIXELS = 4, 1 << 23  # painted together at most


@dataclass
class Passage:
    """A conversion on its way through reading, painting and writing."""

    conversion: Conversion
    file: PictureFile | None = None  # None: skipped, or it could not be read
    skipped: bool = False
    colored: bool = False  # before
    keep: bool = False  # as it is, being in colour
    lost: list[str] = field(default_factory=list)  # what the target's format cannot hold
    images: list[Image.Image] = field(default_factory=list)
    error: Exception | None = None


def in_color(picture: Picture) -> bool:
    """Whether a picture is in colour already.

    It is when 2 % of its pixels lie 10 Lab units or more from the mean ab of the pixels as light as they are. So a
    tint that follows from lightness alone, of sepia or yellowed paper, is no colour. Measured at 128 pixels, which
    averages a codec's chroma noise away; of 224 photographs 5 % are so gray that they count as gray.
    """
    if picture.pixels.ndim == 2:
        return False
    small = Image.fromarray(eight_bit(picture.pixels))
    small.thumbnail((128, 128), Image.Resampling.BOX)
    lab = ops.rgb_to_lab(torch.from_numpy(np.array(small)), layout="hwc").numpy()
    level, ab = (lab[0].ravel() / 5).astype(int), lab[1:].reshape(2, -1)
    count = np.bincount(level)
    mean = np.stack([np.bincount(level, plane) / np.maximum(count, 1) for plane in ab])
    distance = np.hypot(*(ab - mean[:, level]))
    return bool((distance > _COLORED_DISTANCE).mean() > _COLORED_SHARE)


class Line:
    """Files on their way: one thread reads, others paint, and who enters gets them in order, to write them.

    Pictures are painted together, up to four or about 2^23 pixels, so that a line of large ones stays small.
    """

    def __init__(
        self, colorizer: Colorizer, conversions: list[Conversion], options: ColorizeOptions, single: bool
    ) -> None:
        self._colorizer, self._conversions, self._options, self._single = colorizer, conversions, options, single
        self._read: Pipe[list[Passage]] = Pipe(1)
        self._reader = Worker("read", self._read_all, (self._read,))
        self._painters = painters(colorizer.device) if len(conversions) > 1 else 1
        self._pool = ThreadPoolExecutor(self._painters, "fastcolor-paint")
        self._threads = torch.get_num_threads()

    def __enter__(self) -> Iterator[Passage]:
        log.debug("colouring with %s", self._colorizer.engine)  # which settles its precision, once for all threads
        torch.set_num_threads(max(1, self._threads // self._painters))
        self._reader.start()
        return self._items()

    def __exit__(self, *_: object) -> None:
        self._read.stop()
        self._reader.join()
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._threads)

    def _items(self) -> Iterator[Passage]:
        painted: deque[Future[list[Passage]]] = deque()
        try:
            for batch in self._read:
                painted.append(self._pool.submit(self._paint_batch, batch))
                if len(painted) > self._painters:
                    yield from painted.popleft().result()
        except Stopped:
            raise self._reader.error or Stopped from None
        while painted:
            yield from painted.popleft().result()

    def _read_all(self) -> None:
        batch: list[Passage] = []
        pixels = 0
        for conversion in self._conversions:
            passage = _start(conversion, self._options, self._single)
            more = (
                0 if passage.file is None else sum(math.prod(frame.pixels.shape[:2]) for frame in passage.file.frames)
            )
            if batch and (len(batch) == _BATCH or pixels + more > _BATCH_PIXELS):
                self._read.put(batch)
                batch, pixels = [], 0
            batch.append(passage)
            pixels += more
        self._read.put(batch)
        self._read.close()

    def _paint_batch(self, batch: list[Passage]) -> list[Passage]:
        passages = [passage for passage in batch if passage.file is not None and not passage.keep]
        try:
            self._paint(passages)
        except (ValueError, OSError, MemoryError):  # once more, one by one: the others are well
            for passage in passages:
                try:
                    self._paint([passage])
                except (ValueError, OSError, MemoryError) as error:
                    passage.error = _named(error, passage)
        return batch

    def _paint(self, passages: list[Passage]) -> None:
        frames = [frame for passage in passages if passage.file is not None for frame in passage.file.frames]
        if not frames:
            return
        options = self._options
        images = iter(self._colorizer.paint(frames, temperature=options.temperature, saturation=options.saturation))
        for passage in passages:
            passage.images = list(islice(images, len(passage.file.frames) if passage.file is not None else 0))


def _start(conversion: Conversion, options: ColorizeOptions, single: bool) -> Passage:
    """Read its file, or say why not."""
    passage = Passage(conversion)
    try:
        if conversion.target.exists() and not options.overwrite:
            if single:
                raise FileExistsError(f"{conversion.target}: exists already; --overwrite replaces it")
            passage.skipped = True
            return passage
        check_target(conversion.target)
        file = _read(conversion.source, options)
        passage.lost = unsupported(file, conversion.target)
        passage.colored = any(in_color(frame) for frame in file.frames)
        passage.keep = passage.colored and options.skip_colored
        passage.file = file
    except (ValueError, OSError, MemoryError) as error:
        passage.error = _named(error, passage)
    return passage


def color_file(colorizer: Colorizer, conversion: Conversion, options: ColorizeOptions, outcome: Outcome) -> None:
    """One file from beginning to end; errors are raised."""
    passage = _start(conversion, options, single=True)
    if passage.error is not None:
        raise passage.error
    if passage.file is not None and not passage.keep:
        frames, (temperature, saturation) = passage.file.frames, (options.temperature, options.saturation)
        passage.images = list(colorizer.paint(frames, temperature=temperature, saturation=saturation))
    finish(passage, options, outcome)


def _named(error: Exception, passage: Passage) -> Exception:
    if isinstance(error, MemoryError):
        return PictureError(f"{passage.conversion.source}: too large for this machine's memory")
    return error


def finish(passage: Passage, options: ColorizeOptions, outcome: Outcome) -> None:
    """Write what became of a file, and count it."""
    source, target, file = passage.conversion.source, passage.conversion.target, passage.file
    if passage.skipped or file is None:
        outcome.skipped.append(target)
        return
    try:
        if passage.keep and targets.same_format(source, target):
            _copy(source, target)
        else:
            images = [_as_it_is(frame) for frame in file.frames] if passage.keep else passage.images
            if options.compare and not passage.keep:
                images = [_beside(before, after) for before, after in zip(_gray(file), images, strict=True)]
            write(target, images, file.durations, file.loop, pages=file.format == "TIFF")
            _warn(file, source, target, passage.lost)
            outcome.deep += any(frame.bits == 16 for frame in file.frames)
    except MemoryError as error:
        raise _named(error, passage) from None
    (outcome.kept if passage.keep else outcome.done).append(target)
    outcome.recolored += passage.colored and not passage.keep


def _read(source: Path, options: ColorizeOptions) -> PictureFile:
    try:
        return read(source, allow_truncated=options.allow_truncated)
    except DamagedError as error:
        hint = "" if options.allow_truncated else "; --allow-truncated reads what is left of it"
        raise PictureError(f"{error}{hint}") from None


def _warn(file: PictureFile, source: Path, target: Path, lost: list[str]) -> None:
    if lost:
        log.warning("%s: %s cannot hold %s; left out", source, target.suffix.lower(), ", ".join(lost))
    first = file.frames[0]
    share = first.gray[first.present].size / first.gray.size
    if share < 1:
        log.warning("%s: truncated, %.0f %% of it was read, the rest stays gray", source, 100 * share)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole(target) as growing:
        shutil.copy2(source, growing)


def _as_it_is(picture: Picture) -> Image.Image:
    pixels = eight_bit(picture.pixels)
    return compose(pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, axis=2), picture)


def _gray(file: PictureFile) -> list[Image.Image]:
    return [Image.fromarray(eight_bit(frame.gray)) for frame in file.frames]


def _beside(before: Image.Image, after: Image.Image) -> Image.Image:
    sheet = Image.new(after.mode, (2 * after.width, after.height))
    sheet.paste(before.convert(after.mode), (0, 0))
    sheet.paste(after, (after.width, 0))
    sheet.info.update(after.info)
    return sheet
