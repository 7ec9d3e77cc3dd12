"""Picture files into pictures: by Pillow, and by a deeper decoder where the file holds what Pillow does not keep."""

from __future__ import annotations

import functools
import io
import os
import re
import struct
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, overload

import numpy as np
from PIL import Image, ImageFile, ImageSequence, UnidentifiedImageError

from . import headers, metadata, tiff
from .endings import PictureError
from .picture import DamagedError, Picture, PictureFile
from .pixels import Raster, eight_bit, present_part, raster_of, upright, without_color
from .spaces import ADOBE_RGB, HLG, PQ, ProfileError, Space, of_info, srgb_profile, to_srgb

MAX_PIXELS = 250_000_000
MAX_ANIMATED = 4 * MAX_PIXELS  # of all frames together, which are held at once
ANIMATED = {"GIF", "PNG", "WEBP", "AVIF"}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_REFUSED = {"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG", "TIFF"}  # run programs, hold no pixels, or are read otherwise
# First bytes of what Pillow reads: where it sees no picture behind these, the file is damaged.
_SIGNATURES = re.compile(
    rb"\x89PNG|GIF8|BM|\xff\xd8|RIFF.{4}WEBP|\0\0\0\x0cjP|\xff\x4f\xff\x51|.{4}ftypavi|P[1-6]\s", re.S
)
_lock = threading.RLock()  # Pillow's limits are the process's, so one picture is decoded at a time
Opener = Callable[[], IO[bytes]]


def read(path: str | os.PathLike[str], *, allow_truncated: bool = False) -> PictureFile:
    """Read a picture file, whatever its name says it is.

    Raises:
        FileNotFoundError, PictureError: missing, no picture, damaged, not supported, or larger than MAX_PIXELS.

    Example:
        >>> read("bench/demo/coffee.jpg").frames[0].pixels.ndim  # doctest: +SKIP
        3
    """
    path = Path(path)
    try:
        if not path.stat().st_size and path.is_file():
            raise PictureError(f"{path}: is empty")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise PictureError(f"{path}: is a folder, not a picture") from None
    except OSError as error:
        raise PictureError(f"{path}: cannot be read ({words(error)})") from None
    return _read(lambda: path.open("rb"), str(path), allow_truncated)


def read_bytes(data: bytes, name: str, *, at_least: int | None = None) -> PictureFile:
    """The same of a file's bytes.

    Args:
        name: for messages. at_least: JPEGs may be decoded at a half, a quarter or an eighth of their size while their
            shorter side keeps so many pixels.
    """
    if not data:
        raise PictureError(f"{name}: is empty")
    return _read(lambda: io.BytesIO(data), name, False, at_least)


def of_image(image: Image.Image, name: str = "image") -> Picture:
    """A picture that is already open."""
    _check_size(image.width, image.height, name)
    with _lock:
        raster = _by_pillow(image, name)
    space = of_info(image.info) or _by_exif(image)
    return _finished(raster, space, metadata.orientation(image), metadata.collect(image))


class Pages(Sequence[Picture]):
    """The pages of a TIFF, each decoded whenever it is gone to, so that a book takes the memory of a page or two."""

    def __init__(self, open_: Opener, name: str, allow_truncated: bool) -> None:
        self._open, self._name, self._allow_truncated = open_, name, allow_truncated
        with self._walk() as walk:
            self._count = len(walk.pages)
            self._first = self._decode(walk, 0)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Picture]:
        """In order, by one walk through the file."""
        yield self._first
        if self._count > 1:
            with self._walk() as walk:
                for index in range(1, self._count):
                    yield self._decode(walk, index)

    @overload
    def __getitem__(self, index: int) -> Picture: ...
    @overload
    def __getitem__(self, index: slice) -> list[Picture]: ...

    def __getitem__(self, index: int | slice) -> Picture | list[Picture]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        at = range(self._count)[index]
        if at == 0:
            return self._first
        with self._walk() as walk:
            return self._decode(walk, at)

    @contextmanager
    def _walk(self) -> Iterator[_Walk]:
        with self._open() as file, self._open() as other:
            with _one_at_a_time(self._name):
                pages = tiff.pages_of(file)
            if not pages:
                raise DamagedError(f"{self._name}: is damaged (it holds no picture)")
            image = None
            with suppress(Exception), _one_at_a_time(self._name):  # Pillow knows fewer kinds
                image = Image.open(other, formats=("TIFF",))
            yield _Walk(file, pages, image)

    def _decode(self, walk: _Walk, index: int) -> Picture:
        try:
            with _one_at_a_time(self._name):
                return _page(walk, index, self._name, lenient=False)
        except DamagedError:
            if not self._allow_truncated:
                raise
        with _one_at_a_time(self._name, lenient=True):
            return _page(walk, index, self._name, lenient=True)


@dataclass(frozen=True)
class _Walk:
    """An open TIFF. image: the same as Pillow sees it, None where it does not."""

    file: IO[bytes]
    pages: list[tiff.Page]
    image: Image.Image | None


def words(error: BaseException) -> str:
    """An error's own words on one line, or its name when it has none."""
    said = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
    return next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)


def _read(open_: Opener, name: str, allow_truncated: bool, at_least: int | None = None) -> PictureFile:
    with open_() as file:
        if file.read(4) in _TIFF:
            pages = Pages(open_, name, allow_truncated)
            return PictureFile(pages, "TIFF", [100] * len(pages))
        file.seek(0)
        data = file.read()
    try:
        return _decoded(data, name, at_least, lenient=False)
    except DamagedError:
        if not allow_truncated:
            raise
    return _decoded(data, name, at_least, lenient=True)


def _decoded(data: bytes, name: str, at_least: int | None, *, lenient: bool) -> PictureFile:
    """Any file but a TIFF."""
    with _one_at_a_time(name, lenient):
        try:
            image = Image.open(io.BytesIO(data), formats=_formats(name.lower().endswith(".tga")))
        except UnidentifiedImageError:
            return _not_identified(data, name)
        with image:
            _check_size(image.width, image.height, name)
            header = headers.header_of(data, image.format)
            if header.refused:
                raise PictureError(f"{name}: {header.refused}")
            count = int(getattr(image, "n_frames", 1))
            if count > 1 and image.format in ANIMATED:
                if count * image.width * image.height > MAX_ANIMATED:
                    raise PictureError(
                        f"{name}: has {count} frames of {image.width}x{image.height} pixels, more than the limit of "
                        f"{MAX_ANIMATED:,} in all; make a film of it"
                    )
                frames, durations = [], []
                shallow = replace(header, bits=8) if header.deep else header
                still = bool(getattr(image, "default_image", False))  # for who shows no animation, and no part of it
                for index, frame in enumerate(islice(ImageSequence.Iterator(image), int(still), None)):
                    _check_size(frame.width, frame.height, name)
                    frames.append(
                        _picture(frame, _by_pillow(frame, name), shallow, described=index == 0, lenient=lenient)
                    )
                    durations.append(int(frame.info.get("duration", 100) or 100))
                if header.deep and header.bits > 8:
                    note = f"its {header.bits} bits are read as 8, as it is animated"
                    frames = [replace(frame, notes=(*frame.notes, note)) for frame in frames]
                lost = ("the still picture beside the animation",) if still else ()
                return PictureFile(frames, image.format, durations, _plays(image), lost)
            if at_least and min(image.size) >= 2 * at_least:
                factor = min(image.size) // at_least
                image.draft(None, (image.width // factor, image.height // factor))
            raster = _deep(data, image.format or "", header, name) if header.deep and not lenient else None
            picture = _picture(image, raster or _by_pillow(image, name), header, described=True, lenient=lenient)
            lost = (f"{count - 1} of {count} pictures",) if count > 1 and image.format in ("MPO", "HEIF") else ()
            if metadata.has_gain_map(image):
                lost = ("the gain map (HDR)",)
            return PictureFile([picture], image.format or "", lost=lost)


def _plays(image: Image.Image) -> int:
    """How often an animation plays; 0: for ever. A GIF tells how often it is repeated, and else plays once."""
    loop = image.info.get("loop")
    if image.format != "GIF":
        return int(loop or 0)
    return 1 if loop is None else int(loop) + (loop > 0)


def _not_identified(data: bytes, name: str) -> PictureFile:
    """What Pillow takes for no picture: deep JPEGs are read otherwise, the rest is told in true words."""
    frame = next((held for marker, held in headers.jpeg_segments(data) if marker in (0xC0, 0xC1, 0xC2, 0xC3)), b"")
    if data[:2] == b"\xff\xd8" and len(frame) > 5 and frame[0] > 8:
        if frame[5] not in (1, 3):
            raise PictureError(f"{name}: is a JPEG of {frame[0]} bits in {frame[5]} channels, which is not supported")
        height, width = struct.unpack_from(">2H", frame, 1)
        _check_size(width, height, name)
        import imagecodecs

        raster = raster_of(imagecodecs.jpeg_decode(data), frame[0], alpha=False)
        exif = metadata.exif_of(held for marker, held in headers.jpeg_segments(data) if marker == 0xE1)
        info = metadata.of_exif(exif)
        profile = headers.jpeg_profile(data)
        space = Space(profile=profile) if profile else _by_exif(exif)
        return PictureFile([_finished(raster, space, metadata.orientation(exif), info)], "JPEG")
    if said := headers.known_as(data):
        raise PictureError(f"{name}: is {said}")
    if _SIGNATURES.match(data):
        raise DamagedError(f"{name}: is damaged (its header cannot be read)")
    raise PictureError(f"{name}: is not a picture in a known format")


def _page(walk: _Walk, index: int, name: str, *, lenient: bool) -> Picture:
    page = walk.pages[index]
    directory = page.directory
    _check_size(directory.imagewidth, directory.imagelength, name)
    raster = None
    if page.plain and walk.image is not None:
        try:
            walk.image.seek(page.index or 0)
            raster = _by_pillow(walk.image, name)
        except Exception as error:
            if lenient or isinstance(error, PictureError) or "truncated" in str(error).lower():
                raise
    # Pillow turns a TIFF while it loads it, and takes the orientation away then.
    turned = raster is not None and walk.image is not None and metadata.orientation(walk.image) == 1
    if raster is None:
        raster = tiff.raster(page, name, lenient=lenient)
    exif = Image.Exif()
    with suppress(Exception):  # words of its own never cost a picture
        exif.endian, exif.bigtiff = directory.parent.byteorder, directory.parent.is_bigtiff
        exif.load_from_fp(walk.file, directory.offset)
        exif.bigtiff = False  # as it is written again: no other format has EXIF of 64 bits
    orientation = metadata.orientation(exif)
    if raster.alpha is None and (mask := tiff.mask_of(page)) is not None:
        raster = replace(raster, alpha=upright(mask, orientation) if turned else mask)
    space = Space(profile=bytes(directory.iccprofile)) if directory.iccprofile else tiff.space_of(directory)
    if space == Space():
        space = _by_exif(exif)
    info = metadata.of_exif(exif, tiff=True)
    picture = _finished(raster, space or Space(), 1 if turned else orientation, info, lenient=lenient)
    return picture if space else replace(picture, notes=(*picture.notes, tiff.ODD_CURVE))


def _picture(
    image: Image.Image, raster: Raster, header: headers.Header, *, described: bool, lenient: bool = False
) -> Picture:
    """A frame of an opened image. described: also read what stands beside it."""
    raster = replace(raster, bits=max(raster.bits, header.bits))
    space = header.space or of_info(image.info) or _by_exif(image)
    info = metadata.collect(image) if described else {}
    return _finished(raster, space, metadata.orientation(image), info, lenient=lenient)


def _by_exif(image: Image.Image | Image.Exif) -> Space:
    """The space of pixels of which the file itself says nothing: a camera's, which whoever converts its files copies
    without a look at the pixels."""
    return ADOBE_RGB if metadata.is_adobe_rgb(image) else Space()


def _finished(
    raster: Raster, space: Space, orientation: int, info: dict[str, Any], *, lenient: bool = False
) -> Picture:
    """Brought to sRGB and turned upright."""
    samples, notes = raster.samples, []
    if samples.ndim == 3 and samples.shape[2] == 3:
        samples = without_color(samples)
    try:
        pixels = to_srgb(samples, space)
    except ProfileError as error:
        pixels = to_srgb(samples, Space())
        notes.append(f"{error}; its pixels are taken as sRGB's")
    if space.transfer in (PQ, HLG) and not space.profile:
        notes.append("high dynamic range, brought to sRGB")
    if space.profile or not space.is_srgb:
        info = {**info, "icc_profile": srgb_profile()}
    pixels = upright(pixels if pixels.ndim == 2 else without_color(pixels), orientation)
    alpha = None if raster.alpha is None else upright(eight_bit(raster.alpha), orientation)
    picture = Picture(pixels, alpha, info, 16 if raster.bits > 8 else 8, notes=tuple(notes))
    return replace(picture, present=present_part(picture.gray)) if lenient else picture


def _by_pillow(image: Image.Image, name: str) -> Raster:
    """An opened image's pixels as Pillow decodes them."""
    image.load()
    mode, key = image.mode, image.info.get("transparency")
    if mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise PictureError(f"{name}: gray values must lie in 0..65535, got {values.min()}..{values.max()}")
        alpha = None if not isinstance(key, int) else ((values != key) * 255).astype(np.uint8)
        return Raster(values.astype(np.uint16), alpha, 16)
    if mode == "F":
        raise PictureError(f"{name}: floating-point pixels are not supported; save it with 8 or 16 bits")
    if mode == "LAB":
        raise PictureError(f"{name}: CIE Lab pixels are not supported; save it as RGB")
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or key is not None:
        clear = image if mode == "RGBA" else image.convert("RGBA")
        alpha = np.array(clear.getchannel("A"))
        return Raster(np.array(image.convert("L") if mode in ("L", "LA") else clear.convert("RGB")), alpha)
    if mode in ("1", "L"):
        return Raster(np.array(image.convert("L")))
    return Raster(np.array(image if mode in ("RGB", "CMYK") else image.convert("RGB")))


def _deep(data: bytes, format: str, header: headers.Header, name: str) -> Raster | None:
    """Pixels of more depth than Pillow keeps; None when nobody here reads them better."""
    if format == "HEIF":
        return _deep_heic(data, header)
    import imagecodecs

    decode = {"PNG": imagecodecs.png_decode, "JPEG2000": imagecodecs.jpeg2k_decode, "AVIF": imagecodecs.avif_decode}
    if format not in decode:
        return None
    samples = decode[format](data)
    if samples.dtype not in (np.uint8, np.uint16):
        raise PictureError(
            f"{name}: signed pixels or such of more than 16 bits are not supported; save it with 8 or 16"
        )
    channels = samples.shape[2] if samples.ndim == 3 else 1
    bits = 8 * samples.dtype.itemsize if format == "PNG" else header.bits
    return replace(raster_of(samples, bits, alpha=channels in (2, 4)), bits=header.bits)


def _deep_heic(data: bytes, header: headers.Header) -> Raster:
    """HEIC pixels of 10 or 12 bits; whoever has come here has the decoder, which showed Pillow 8 of them."""
    from pillow_heif import open_heif

    shifted = np.asarray(open_heif(io.BytesIO(data), convert_hdr_to_8bit=False))  # to 16 bits, whose lowest are 0
    channels = shifted.shape[2] if shifted.ndim == 3 else 1
    return raster_of(shifted >> (16 - header.bits), header.bits, alpha=channels in (2, 4))


def _check_size(width: int, height: int, name: str) -> None:
    if width < 1 or height < 1:
        raise DamagedError(f"{name}: is damaged (it has {width}x{height} pixels)")
    if width * height > MAX_PIXELS:
        raise PictureError(f"{name}: has {width}x{height} pixels, more pixels than the limit of {MAX_PIXELS:,}")


@functools.cache
def _formats(targa: bool) -> tuple[str, ...]:
    """What Pillow is to try. A Targa has no sign of its own: anything may look like one."""
    register_heif()
    Image.init()
    return tuple(one for one in Image.ID if one not in _REFUSED and (targa or one != "TGA"))


@contextmanager
def _one_at_a_time(name: str, lenient: bool = False) -> Iterator[None]:
    """Pillow's limits set to ours, its warnings silenced, and whatever decoders raise turned into a PictureError."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they become our errors, or do not matter
        before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
        # Pillow raises beyond twice its limit.
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = lenient, MAX_PIXELS // 2
        try:
            yield
        except PictureError:
            raise
        except MemoryError:
            raise PictureError(f"{name}: too large for this machine's memory") from None
        except Image.DecompressionBombError:
            raise PictureError(f"{name}: has more pixels than the limit of {MAX_PIXELS:,}") from None
        except Exception as error:
            kind = "truncated" if "truncated" in str(error).lower() else "damaged"
            raise DamagedError(f"{name}: is {kind} ({words(error)})") from None
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = before


def register_heif() -> None:
    """Teach Pillow HEIC, where the package for it is installed."""
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()
