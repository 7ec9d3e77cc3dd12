"""TIFF files: which of their directories are pictures, and pixels that Pillow reads wrongly or not at all."""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from .endings import PictureError
from .pixels import Raster, raster_of
from .spaces import Space, light_of, of_gamma

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters of its warnings becomes our errors
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _TRANSPARENCY, _CMYK, _YCBCR = range(7)
_RAW = (32803, 34892)  # a camera's color filter array; LinearRaw
_OLD_JPEG, _WEBP = 6, 50001
_JPEGS = (_OLD_JPEG, 7)
_LOSSLESS = (1, 5, 8, 32773, 32946)  # none, LZW, Deflate, PackBits, Deflate's older number
_ORIENTATION, _TRANSFER, _WHITE, _PRIMARIES, _INKS, _SUBSAMPLING = 274, 301, 318, 319, 332, 530
# Of a YCbCr page's tags those that its decoder needs: size, depth, packing, kind of pixels, direction, strips, tiles,
# subsampling, the luma of red, green and blue, levels of black and white.
_DECODED_BY = {256, 257, 258, 259, 262, 266, _ORIENTATION, 277, 278, 284, 317, 322, 323, 529, _SUBSAMPLING, 531, 532}
_MOST_PAGES = 10_000
_NEAR = 0.03  # of light: curves that differ by less are one
ODD_CURVE = "its transfer function is not followed; its pixels are taken as sRGB's"


@dataclass(frozen=True)
class Page:
    """A directory that is a picture. index: in the file's chain, as Pillow counts; None: nested in another.

    mask: of the same size, clear where it is 0; None without one.
    """

    directory: Any  # tifffile.TiffPage
    index: int | None
    mask: Any = None

    @property
    def plain(self) -> bool:
        """Whether Pillow reads it as it should be."""
        page = self.directory
        if self.index is None or page.sampleformat != 1 or isinstance(page.bitspersample, tuple):
            return False
        if page.compression == _WEBP:  # which wheels of Pillow are built without, and libtiff says so on stderr
            return False
        if page.samplesperpixel == 1:
            return page.bitspersample in (1, 2, 4, 8) and page.photometric in (0, 1, 3)
        known = page.photometric in (_BLACK_IS_ZERO, _RGB, _CMYK) or self.jpeg_ycbcr
        return page.bitspersample == 8 and known and len(page.extrasamples) <= 1 and _has_known_inks(page)

    @property
    def jpeg_ycbcr(self) -> bool:
        """Whether its colours are turned into RGB by whoever decodes its JPEG."""
        return self.directory.photometric == _YCBCR and self.directory.compression in _JPEGS


def pages_of(file: IO[bytes]) -> list[Page]:
    """The pictures of an open file, in its order: no thumbnails, smaller copies or masks, when there is more.

    Raises:
        Exception: of many kinds, from a file that cannot be read.
    """
    import tifffile

    tiff = tifffile.TiffFile(file)
    if len(tiff.pages) > _MOST_PAGES:
        raise ValueError(f"has more than {_MOST_PAGES:,} pages")
    chain: list[Page] = []
    thumbnails: list[Page] = []
    for index in range(len(tiff.pages)):
        directory = tiff.pages[index]
        if _kind(directory) & _MASK or directory.photometric == _TRANSPARENCY:
            whole = chain[-1].directory if chain else None
            if whole is not None and (whole.imagewidth, whole.imagelength) == (
                directory.imagewidth,
                directory.imagelength,
            ):
                chain[-1] = Page(whole, chain[-1].index, directory)
        elif _kind(directory) & _REDUCED:
            nested = [one for one in _nested(directory) if not _kind(one) & (_REDUCED | _MASK)]
            if nested:  # the picture whose thumbnail this is
                chain.append(Page(max(nested, key=lambda one: one.imagewidth * one.imagelength), None))
            else:
                thumbnails.append(Page(directory, index))
        else:
            chain.append(Page(directory, index))
    return chain or thumbnails


def raster(page: Page, name: str, *, lenient: bool = False) -> Raster:
    """Decode a page at its depth. lenient: what the file lacks is left black.

    Raises:
        PictureError: what the page is, when it is of a kind that is not supported.
        Exception: of many kinds, when it is damaged.
    """
    directory = page.directory
    problem = unsupported(directory)
    if problem:
        raise PictureError(f"{name}: {problem}")
    if directory.photometric == _YCBCR and not page.jpeg_ycbcr:
        return _by_libtiff(page)
    samples = _without_missing(directory) if lenient else directory.asarray()
    if directory.planarconfig == 2 and directory.samplesperpixel > 1:
        samples = np.moveaxis(samples, 0, -1)
    samples = samples.reshape(directory.imagelength, directory.imagewidth, directory.samplesperpixel)
    if directory.photometric == _PALETTE:
        samples, bits = np.asarray(directory.colormap).T[samples[..., 0]], 16
    else:
        bits = directory.bitspersample
    colors = {_RGB: 3, _CMYK: 4, _YCBCR: 3, _PALETTE: 3}.get(directory.photometric, 1)
    extra = [int(kind) for kind in directory.extrasamples][:1]
    alpha = samples.shape[2] > colors and extra != [] and extra[0] in (1, 2)
    found = raster_of(samples[..., : colors + alpha], bits, alpha=alpha, associated=extra == [1])
    if directory.photometric == _WHITE_IS_ZERO:
        return Raster(np.iinfo(found.samples.dtype).max - found.samples, found.alpha, bits)
    return found


def mask_of(page: Page) -> np.ndarray | None:
    """(H, W) uint8: 255 where a page's transparency mask shows it."""
    if page.mask is None:
        return None
    shown = page.mask.asarray().reshape(page.mask.imagelength, page.mask.imagewidth, -1)[..., 0] > 0
    return shown.astype(np.uint8) * 255


def space_of(directory: Any) -> Space | None:
    """What a page without a profile says of its colours: a curve from samples to light and primaries (TIFF 6.0, section
    20); None of a curve that is neither sRGB's nor an exponent's, or another one for each colour."""

    def values(tag: int) -> np.ndarray:
        found = directory.tags.get(tag)
        try:
            return np.array([] if found is None else found.value, np.float64).ravel()
        except (TypeError, ValueError):  # no numbers
            return np.array([])

    points = np.concatenate([values(_PRIMARIES), values(_WHITE)])
    if points.size == 16:  # numerators and denominators
        points = points[::2] / np.maximum(points[1::2], 1)
    primaries = tuple(points.tolist())
    curve = values(_TRANSFER) / 65535
    count = 2 ** int(directory.bitspersample)
    if curve.size not in (count, 3 * count):
        return of_gamma(2.2, primaries)
    curves = curve.reshape(-1, count)
    if np.abs(curves - curves[0]).max() > _NEAR:
        return None
    codes, curve = np.linspace(0, 1, count), curves[0]
    middle = (curve > 0.02) & (codes > 0) & (codes < 1)
    gamma = float(np.median(np.log(curve[middle]) / np.log(codes[middle]))) if middle.any() else 0.0
    # The exponent first: where a curve is 2.2's, of_gamma takes it for sRGB's.
    known = [(np.abs(codes**gamma - curve).max(), gamma)] if gamma > 0.1 else []
    apart, exponent = min([*known, (np.abs(light_of(codes, Space()) - curve).max(), 2.2)])
    return of_gamma(exponent, primaries) if apart < _NEAR else None


def _by_libtiff(page: Page) -> Raster:
    """A page of YCbCr by its own reference levels, at any subsampling."""
    import imagecodecs

    directory = page.directory
    rgb = imagecodecs.tiff_decode(_alone(directory, _strips(directory)), asrgb=True)[..., :3]
    # It mirrors by the orientation, as far as that takes no turn; that is for who reads the orientation.
    turned = directory.tags.get(_ORIENTATION)
    orientation = 1 if turned is None else turned.value
    rgb = rgb[:: -1 if orientation in (3, 4, 7, 8) else 1, :: -1 if orientation in (2, 3, 6, 7) else 1]
    return Raster(np.ascontiguousarray(rgb))


def _alone(directory: Any, strips: list[bytes]) -> bytes:
    """A page as a file of its own, so that of a book no more is read for each than that."""
    file, order = directory.parent.filehandle, directory.parent.byteorder
    content = bytearray(struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 0))

    def put(part: bytes) -> int:
        at = len(content)
        content.extend(part + bytes(len(part) % 2))
        return at

    fields = {}
    for tag in directory.tags:
        if tag.code in _DECODED_BY and tag.code not in fields:  # of twins the first is that whose size was checked
            file.seek(tag.valueoffset)
            fields[tag.code] = (int(tag.dtype), tag.count, file.read(tag.valuebytecount))
    numbers = f"{order}{len(strips)}I"
    offsets, sizes = (324, 325) if directory.is_tiled else (273, 279)
    fields[offsets] = (4, len(strips), struct.pack(numbers, *map(put, strips)))
    fields[sizes] = (4, len(strips), struct.pack(numbers, *map(len, strips)))
    entries = bytearray(struct.pack(f"{order}H", len(fields)))
    for code, (kind, count, value) in sorted(fields.items()):
        held = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(f"{order}I", put(value))
        entries += struct.pack(f"{order}HHI", code, kind, count) + held
    struct.pack_into(f"{order}I", content, 4, put(bytes(entries) + bytes(4)))
    return bytes(content)


def _strips(directory: Any) -> list[bytes]:
    """A page's strips or tiles of YCbCr as they are stored. ValueError: one is damaged or short, which libtiff paints
    green, and says nothing."""
    import tifffile

    decode = tifffile.TIFF.DECOMPRESSORS[directory.compression]
    subsampling = directory.tags.get(_SUBSAMPLING)
    across, down = (2, 2) if subsampling is None else subsampling.value
    width, rows = directory.imagewidth, min(directory.rowsperstrip, directory.imagelength)
    if directory.is_tiled:
        width, rows = directory.tilewidth, directory.tilelength

    def size_of(rows: int) -> int:
        return -(-width // across) * -(-rows // down) * (across * down + 2)

    file, strips = directory.parent.filehandle, []
    for index, (offset, size) in enumerate(zip(directory.dataoffsets, directory.databytecounts, strict=True)):
        if offset + size > file.size:
            raise ValueError("truncated before its last strip ends")
        file.seek(offset)
        strips.append(file.read(min(size, 2 * size_of(rows) + 4096)))  # no way of packing takes more
        high = rows if directory.is_tiled else min(rows, directory.imagelength - index * rows)
        # The most is told, so that a few bytes cannot become any number.
        if len(decode(strips[-1], out=size_of(rows) + 4096)) < size_of(high):
            raise ValueError("a strip is shorter than its pixels")
    return strips


def _has_known_inks(page: Any) -> bool:
    inks = page.tags.get(_INKS)
    return page.photometric != _CMYK or inks is None or inks.value == 1


def unsupported(page: Any) -> str | None:
    """Why a page cannot be read, in words; None when it can."""
    bits = page.bitspersample
    if page.photometric in _RAW:
        return "is a camera's raw picture, which is not supported; develop it to TIFF or JPEG first"
    if page.sampleformat in (3, 6):
        return "floating-point pixels are not supported; save it with 8 or 16 bits"
    if page.sampleformat in (2, 5):
        return "signed pixels are not supported; save it with 8 or 16 bits, unsigned"
    if page.photometric in (8, 9, 10):
        return "CIE Lab pixels are not supported; save it as RGB"
    if page.photometric > _YCBCR or page.photometric == _TRANSPARENCY:
        return (
            f"its kind of pixels (PhotometricInterpretation {int(page.photometric)}) is not supported; save it as RGB"
        )
    if isinstance(bits, tuple):
        return f"channels of different depth are not supported (got {', '.join(map(str, bits))} bits)"
    if not 1 <= bits <= 32:
        return f"{bits} bits a channel are not supported; save it with 8 or 16"
    if page.imagedepth > 1:
        return "is a volume, not a picture"
    if page.photometric == _YCBCR and (bits != 8 or page.samplesperpixel != 3):
        return f"YCbCr pixels of {page.samplesperpixel} channels of {bits} bits are not supported; save it as RGB"
    lossless = page.compression in _LOSSLESS and page.planarconfig == 1 and page.fillorder == 1
    if page.photometric == _YCBCR and page.compression not in _JPEGS and not lossless:
        return "YCbCr pixels in this compression, or in planes, are not supported; save it as RGB"
    if page.photometric == _YCBCR and page.is_subifd and page.compression == _OLD_JPEG:
        return "YCbCr pixels that lie behind a thumbnail are not supported; save it as RGB"
    if not _has_known_inks(page):
        return "its inks are not cyan, magenta, yellow and black; save it as RGB"
    if page.samplesperpixel > 8:
        return f"has {page.samplesperpixel} channels, which is no picture in gray or colour"
    return None


def _kind(directory: Any) -> int:
    kind = int(directory.subfiletype or 0)
    old = directory.tags.get(255)  # SubfileType: 2 is a reduced picture
    return kind | (_REDUCED if old is not None and old.value == 2 else 0)


def _nested(directory: Any) -> list[Any]:
    return list(directory.pages) if directory.subifds else []


def _without_missing(directory: Any) -> np.ndarray:
    """A truncated page's samples: strips and tiles that are not all there are empty."""
    file = directory.parent.filehandle
    there = [(offset, size if offset + size <= file.size else 0)
             for offset, size in zip(directory.dataoffsets, directory.databytecounts, strict=False)]  # fmt: skip
    if not any(size for _, size in there):
        raise ValueError("truncated before the first whole strip")
    directory.dataoffsets, directory.databytecounts = (tuple(each) for each in zip(*there, strict=True))
    return directory.asarray()
