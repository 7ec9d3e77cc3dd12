"""Colouring picture files: one, several, or a folder's whole tree."""

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
from typing import Annotated

import numpy as np
import torch
import tyro
from PIL import Image

from .. import ops
from ..atomic import whole
from ..bar import bar
from ..threads import Pipe, Stopped, Worker, painters
from . import targets
from .colorize import Colorizer, check_look, eight_bit
from .picture import DamagedError, Picture, PictureError, PictureFile, check_target, compose, read, unsupported, write
from .targets import Conversion

log = logging.getLogger("fastcolor")
# Of a colour photograph at least so large a share lies so far, in Lab units, from the mean colour of its lightness.
_COLORED_SHARE, _COLORED_DISTANCE = 0.02, 10.0
_BATCH, _BATCH_PIXELS = 4, 1 << 23  # painted together at most


@dataclass(frozen=True)
class ColorizeOptions:
    """Colour pictures: files, folders (whole trees, but for hidden files) or both."""

    inputs: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IN [IN ...]", help_behavior_hint="(required)")
    ]
    """Pictures and folders of pictures."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
    """A picture's name for one picture, else a folder; a name that ends in / is a folder's."""
    weights: str = "default"
    """Name of the weights, or a .safetensors file."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    engine: str = "auto"
    """What runs the network: auto or torch."""
    temperature: float | None = None
    """0 or 0.001 to 10; lower is more saturated and less even. None: the weights' own."""
    saturation: float = 1.0
    """0 to 10, a factor on the colours; 0 is gray."""
    format: str | None = None
    """Ending of the outputs, such as png. None: as the input's."""
    compare: bool = False
    """Put gray and colour side by side."""
    skip_colored: bool = False
    """Keep pictures that are in colour as they are; sepia and other tints count as gray."""
    allow_truncated: bool = False
    """Read what is left of truncated files."""
    overwrite: bool = False
    """Replace existing outputs."""
    shard: str = "1/1"
    """i/n: do the i-th of n equal shares of a folder."""


@dataclass
class Outcome:
    """What became of every file of a run."""

    done: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)  # in colour already, and left so
    skipped: list[Path] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    no_pictures: list[Path] = field(default_factory=list)  # other files in the folders
    recolored: int = 0  # in colour before
    deep: int = 0  # of 16 bits a channel

    def __str__(self) -> str:
        rows = [f"coloured {len(self.done)}", f"skipped (exist) {len(self.skipped)}", f"failed {len(self.failed)}"]
        if self.kept:
            rows.insert(1, f"kept (in colour) {len(self.kept)}")
        return ", ".join(rows) + "".join(f"\n  failed: {line}" for line in self.failed)

    @property
    def notes(self) -> list[str]:
        """What else is worth a sentence."""
        notes = []
        if self.recolored:
            notes.append(f"in colour before, now in new colours: {self.recolored} (--skip-colored keeps such pictures)")
        if self.deep:
            notes.append(f"16 bits a channel read, 8 written: {self.deep}")
        if self.no_pictures:
            names = ", ".join(path.name for path in self.no_pictures[:3])
            more = ", ..." if len(self.no_pictures) > 3 else ""
            notes.append(f"left out, no picture by their names: {len(self.no_pictures)} ({names}{more})")
        return notes


@dataclass
class _Passage:
    """A conversion on its way through reading, painting and writing."""

    conversion: Conversion
    file: PictureFile | None = None  # None: skipped, or it could not be read
    skipped: bool = False
    colored: bool = False  # before
    keep: bool = False  # as it is, being in colour
    lost: list[str] = field(default_factory=list)  # what the target's format cannot hold
    images: list[Image.Image] = field(default_factory=list)
    error: Exception | None = None


def colorize_files(options: ColorizeOptions, colorizer: Colorizer | None = None) -> Outcome:
    """Do what `fastcolor colorize` does.

    Args:
        options: its options. colorizer: one that is loaded already, in place of the one that the options name.

    Returns:
        What was coloured, kept, skipped and failed. With a single picture a failure is raised instead.

    Raises:
        FileNotFoundError, FileExistsError, ValueError: nothing could be started; the message says why.
    """
    if not options.inputs:
        raise ValueError("inputs: name at least one picture or folder")
    check_look(options.temperature, options.saturation)
    if options.format is not None:
        check_target(Path(f"output{targets.ending(options.format)}"))
    outcome = Outcome()
    single = len(options.inputs) == 1 and not options.inputs[0].is_dir()
    if single:
        conversions = [targets.single(options.inputs[0], options.output, options.format)]
    else:
        conversions, found = targets.several(options.inputs, options.output, options.format)
        outcome.no_pictures, outcome.failed = found.others, found.unreadable
    conversions = targets.share(conversions, options.shard)
    colorizer = colorizer or Colorizer(options.weights, options.device, options.engine)
    with _Line(colorizer, conversions, options, single) as passages:
        for _ in bar(conversions):
            passage = next(passages)
            try:
                if passage.error is not None:
                    raise passage.error
                _finish(passage, options, outcome)
            except (ValueError, OSError) as error:
                if single:
                    raise
                outcome.failed.append(str(error))
    return outcome


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


class _Line:
    """Files on their way: one thread reads, others paint, and who enters gets them in order, to write them.

    Pictures are painted together, up to four or about 2^23 pixels, so that a line of large ones stays small.
    """

    def __init__(
        self, colorizer: Colorizer, conversions: list[Conversion], options: ColorizeOptions, single: bool
    ) -> None:
        self._colorizer, self._conversions, self._options, self._single = colorizer, conversions, options, single
        self._read: Pipe[list[_Passage]] = Pipe(1)
        self._reader = Worker("read", self._read_all, (self._read,))
        self._painters = painters(colorizer.device) if len(conversions) > 1 else 1
        self._pool = ThreadPoolExecutor(self._painters, "fastcolor-paint")
        self._threads = torch.get_num_threads()

    def __enter__(self) -> Iterator[_Passage]:
        log.debug("colouring with %s", self._colorizer.engine)  # which settles its precision, once for all threads
        torch.set_num_threads(max(1, self._threads // self._painters))
        self._reader.start()
        return self._items()

    def __exit__(self, *_: object) -> None:
        self._read.stop()
        self._reader.join()
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._threads)

    def _items(self) -> Iterator[_Passage]:
        painted: deque[Future[list[_Passage]]] = deque()
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
        batch: list[_Passage] = []
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

    def _paint_batch(self, batch: list[_Passage]) -> list[_Passage]:
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

    def _paint(self, passages: list[_Passage]) -> None:
        frames = [frame for passage in passages if passage.file is not None for frame in passage.file.frames]
        if not frames:
            return
        options = self._options
        images = iter(self._colorizer.paint(frames, temperature=options.temperature, saturation=options.saturation))
        for passage in passages:
            passage.images = list(islice(images, len(passage.file.frames) if passage.file is not None else 0))


def _start(conversion: Conversion, options: ColorizeOptions, single: bool) -> _Passage:
    """Read its file, or say why not."""
    passage = _Passage(conversion)
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
        look = {"temperature": options.temperature, "saturation": options.saturation}
        passage.images = list(colorizer.paint(passage.file.frames, **look))
    _finish(passage, options, outcome)


def _named(error: Exception, passage: _Passage) -> Exception:
    if isinstance(error, MemoryError):
        return PictureError(f"{passage.conversion.source}: too large for this machine's memory")
    return error


def _finish(passage: _Passage, options: ColorizeOptions, outcome: Outcome) -> None:
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
