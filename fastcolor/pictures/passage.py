"""A picture file on its way from the disk through painting to the disk, whoever paints."""

from __future__ import annotations

import logging
import math
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

from PIL import Image

from ..atomic import whole
from ..formats.endings import PictureError, check_target
from ..formats.picture import DamagedError, Picture, PictureFile, compose
from ..formats.pixels import eight_bit
from ..formats.reading import Pages, read, words
from ..formats.writing import unsupported, write
from ..options.pictures import ColorizeOptions
from ..options.steering import hints_from
from . import targets
from .colored import in_color
from .heard import heard
from .outcome import Outcome
from .targets import Conversion
from .told import Told

log = logging.getLogger("fastcolor")


class Paints(Protocol):
    """What colours pictures: a `Colorizer`, or a `PlainPainter`, which needs no torch."""

    @property
    def painters(self) -> int:
        """How many threads may paint at once."""

    def paint(
        self,
        pictures: list[Picture],
        *,
        temperature: float | None = None,
        saturation: float = 1.0,
        told: Sequence[Told] = (),
    ) -> list[Image.Image]:
        """See `Colorizer.paint`."""


@dataclass
class Passage:
    """A conversion on its way through reading, painting and writing."""

    conversion: Conversion
    file: PictureFile | None = None  # None: skipped, or it could not be read
    skipped: bool = False
    colored: bool = False  # before
    keep: bool = False  # as it is, being in colour
    lost: list[str] = field(default_factory=list)  # what the target's format cannot hold
    deep: bool = False  # of 16 bits a channel, on one page at least
    notes: dict[str, set[int]] = field(default_factory=dict)  # what is worth a sentence, and of which pages
    images: Iterable[Image.Image] = ()
    error: Exception | None = None

    @property
    def frames(self) -> Sequence[Picture]:
        """The file's pictures; of one that is not to be painted none."""
        return () if self.file is None else self.file.frames

    @property
    def book(self) -> bool:
        """Whether the file has so many pages as it likes: they are read and painted while they are written."""
        return isinstance(self.frames, Pages) and len(self.frames) > 1

    def pages(self) -> Iterator[Picture]:
        """The file's pictures, one after the other; what is worth a sentence of each is noted."""
        for number, page in enumerate(self.frames, 1):
            self.deep = self.deep or page.bits == 16
            notes, share = [*page.notes], page.pixels[page.present].size / page.pixels.size
            if share < 1:
                notes.append(f"truncated, {math.floor(100 * share)} % of it was read, the rest stays gray")
            for note in notes:
                self.note(note, number)
            yield page

    def note(self, note: str, number: int) -> None:
        """Keep what is worth a sentence of a page, to be said when the file is written."""
        self.notes.setdefault(note, set()).add(number)


def start(conversion: Conversion, options: ColorizeOptions, single: bool) -> Passage:
    """Read its file, or say why not."""
    passage = Passage(conversion)
    try:
        if conversion.target.exists() and not options.overwrite:
            if single:
                raise FileExistsError(f"{conversion.target}: exists already; --overwrite replaces it")
            passage.skipped = True
            return passage
        check_target(conversion.target)
        passage.file, passage.lost = _read(conversion, options)
        for page in passage.pages():
            passage.colored = passage.colored or in_color(page)
            if passage.book and (passage.colored or not options.skip_colored):
                break  # the rest is seen while it is painted
        passage.keep = passage.colored and options.skip_colored
    except (ValueError, OSError, MemoryError) as error:
        passage.file, passage.error = None, named(error, passage)
    return passage


def painted(colorizer: Paints, conversion: Conversion, options: ColorizeOptions, *, single: bool = True) -> Passage:
    """One file, read and painted, or why not. single: it is all that was asked for, see `start`."""
    passage = start(conversion, options, single)
    if passage.file is None or passage.keep:
        return passage
    try:
        if passage.book:
            passage.images = painted_pages(colorizer, passage, options)
        else:
            paint(colorizer, [passage], options)
    except Exception as error:
        passage.error = named(error, passage)
    return passage


def color_file(colorizer: Paints, conversion: Conversion, options: ColorizeOptions, outcome: Outcome) -> None:
    """One file from beginning to end; errors are raised."""
    passage = painted(colorizer, conversion, options)
    if passage.error is not None:
        raise passage.error
    finish(passage, options, outcome)


def paint(colorizer: Paints, passages: Sequence[Passage], options: ColorizeOptions) -> None:
    """Paint files that were read: those of whose colours nobody says anything together."""
    together: list[Passage] = []
    for passage in passages:
        if told := _told_of(passage, options):
            frames = enumerate(passage.frames, 1)
            passage.images = [_painted(colorizer, passage, number, frame, told, options) for number, frame in frames]
        else:
            together.append(passage)
    pictures = [frame for passage in together for frame in passage.frames]
    if pictures:
        images = iter(colorizer.paint(pictures, temperature=options.temperature, saturation=options.saturation))
        for passage in together:
            passage.images = list(islice(images, len(passage.frames)))


def painted_pages(colorizer: Paints, passage: Passage, options: ColorizeOptions) -> Iterator[Image.Image]:
    """A book's pages, read one after the other and painted a few at a time, ahead of who writes them."""
    ahead, told = colorizer.painters, _told_of(passage, options)
    painted: deque[Future[Image.Image]] = deque()
    with ThreadPoolExecutor(ahead, "fastcolor-page") as pool:
        for number, page in enumerate(passage.pages(), 1):
            passage.colored = passage.colored or in_color(page)
            painted.append(pool.submit(_painted, colorizer, passage, number, page, told, options))
            if len(painted) > ahead:
                yield painted.popleft().result()
        while painted:
            yield painted.popleft().result()


def _told_of(passage: Passage, options: ColorizeOptions) -> Told:
    """What somebody says of a file's colours; of one with several pictures of them all."""
    conversion, tone = passage.conversion, options.reference_tone == "on"
    hints = tuple(hints_from(conversion.hints, film=False))
    return Told(hints, conversion.chroma_from, tuple(options.references), tone)


def _painted(
    colorizer: Paints, passage: Passage, number: int, page: Picture, told: Told, options: ColorizeOptions
) -> Image.Image:
    """A page in colour; what is warned of meanwhile is noted of it."""
    with heard(lambda said: passage.note(said, number)):
        (image,) = colorizer.paint([page], temperature=options.temperature, saturation=options.saturation, told=[told])
    return image


def named(error: Exception, passage: Passage) -> Exception:
    """An error in words that name the file."""
    source = passage.conversion.source
    if isinstance(error, MemoryError):
        return PictureError(f"{source}: too large for this machine's memory")
    if isinstance(error, (ValueError, OSError)) and (
        str(source) in str(error) or str(passage.conversion.target) in str(error)
    ):
        return error
    log.debug("%s", source, exc_info=error)
    return PictureError(f"{source}: cannot be coloured ({words(error)})")


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
            images = (_as_it_is(page) for page in passage.pages()) if passage.keep else passage.images
            if options.compare and not passage.keep:
                images = (_beside(_gray(frame), after) for frame, after in zip(file.frames, images, strict=True))
            write(target, images, file.durations, file.loop, pages=file.pages)
            _warn(passage)
            outcome.deep += passage.deep
    except Exception as error:
        raise named(_hinted(error, options), passage) from None
    (outcome.kept if passage.keep else outcome.done).append(target)
    outcome.recolored += passage.colored and not passage.keep


def _read(conversion: Conversion, options: ColorizeOptions) -> tuple[PictureFile, list[str]]:
    """The file, and what of it the target cannot hold. Whatever a file raises is an error in words."""
    try:
        file = read(conversion.source, allow_truncated=options.allow_truncated)
        return file, unsupported(file, conversion.target)
    except DamagedError as error:
        raise _hinted(error, options) from None
    except (ValueError, OSError, MemoryError):
        raise
    except Exception as error:
        raise PictureError(f"{conversion.source}: cannot be read ({words(error)})") from error


def _hinted(error: Exception, options: ColorizeOptions) -> Exception:
    if isinstance(error, DamagedError) and not options.allow_truncated:
        return PictureError(f"{error}; --allow-truncated reads what is left of it")
    return error


def _warn(passage: Passage) -> None:
    source, target, file = passage.conversion.source, passage.conversion.target, passage.file
    if passage.lost:
        log.warning("%s: %s cannot hold %s; left out", source, target.suffix.lower(), ", ".join(passage.lost))
    for note, numbers in passage.notes.items():
        log.warning("%s%s: %s", source, "" if file is None else _where(numbers, file), note)


def _where(numbers: set[int], file: PictureFile) -> str:
    """Of which pages something is said, unless of all; five are named."""
    if len(numbers) == len(file.frames):
        return ""
    named, more = sorted(numbers)[:5], len(numbers) - 5
    kind = ("page" if file.pages else "frame") + ("s" if len(numbers) > 1 else "")
    return f", {kind} {', '.join(map(str, named))}" + (f" and {more} more" if more > 0 else "")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole(target) as growing:
        shutil.copy2(source, growing)


def _as_it_is(picture: Picture) -> Image.Image:
    pixels = eight_bit(picture.pixels)
    return compose(pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, axis=2), picture)


def _gray(frame: Picture) -> Image.Image:
    return Image.fromarray(eight_bit(frame.gray))


def _beside(before: Image.Image, after: Image.Image) -> Image.Image:
    sheet = Image.new(after.mode, (2 * after.width, after.height))
    sheet.paste(before.convert(after.mode), (0, 0))
    sheet.paste(after, (after.width, 0))
    sheet.info.update(after.info)
    return sheet
