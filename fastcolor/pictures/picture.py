"""Picture files: reading them into what colouring needs, and writing the result with all that came along."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile, ImageOps, ImageSequence, TiffImagePlugin, UnidentifiedImageError

from ..atomic import whole
from . import metadata
from .pixels import PictureError, decoded, full_scale, gray_to_srgb, low_bytes, present_part, raw_modes, without_color

MAX_PIXELS = 250_000_000
# Every format that can be read and written in colour.
SUFFIXES = {
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
    ".tif",
    ".tiff",
    ".bmp",
    ".gif",
    ".ppm",
    ".jp2",
    ".heic",
    ".heif",
    ".avif",
}
_GRAY_ONLY = {".pgm", ".pbm"}
_ANIMATED = {"GIF", "PNG", "WEBP", "AVIF"}
_OPAQUE = {"JPEG", "PPM", "BMP"}  # no alpha there: white shows through, as on paper


class DamagedError(PictureError):
    """A picture of which a part may still be readable."""


@dataclass(frozen=True)
class Picture:
    """A picture as colouring sees it.

    Attributes:
        pixels: (H, W) gray or (H, W, 3) sRGB, uint8 or uint16; upright. alpha: (H, W) uint8, or None.
        info: what is written again beside the pixels, see `metadata.collect`. bits: of a channel in the file.
        present: the rows and columns that a truncated file still held; all of them for a whole one.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    info: dict[str, Any] = field(default_factory=dict)
    bits: int = 8
    present: tuple[slice, slice] = (slice(None), slice(None))

    @property
    def gray(self) -> np.ndarray:
        """(H, W) uint8 or uint16: what the network looks at."""
        if self.pixels.ndim == 2:
            return self.pixels
        if self.pixels.dtype == np.uint16:
            return (self.pixels @ np.array([0.299, 0.587, 0.114], np.float32) + 0.5).astype(np.uint16)
        return np.asarray(Image.fromarray(self.pixels).convert("L"))


@dataclass(frozen=True)
class PictureFile:
    """All frames or pages of a file, one for most, with the frames' durations in milliseconds.

    `unread` counts further pictures in the file that are neither: a camera's previews and the like.
    """

    frames: list[Picture]
    format: str
    durations: list[int]
    loop: int
    unread: int = 0


def read(path: str | os.PathLike[str], *, allow_truncated: bool = False) -> PictureFile:
    """Read a picture file, whatever its name says it is.

    Raises:
        FileNotFoundError, PictureError: missing, no picture, damaged, or larger than MAX_PIXELS.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise PictureError(f"{path}: is a folder, not a picture") from None
    except OSError as error:
        raise PictureError(f"{path}: cannot be read ({_words(error)})") from None
    if not data:
        raise PictureError(f"{path}: is empty")
    _register_heif()
    try:
        return _decode(data, str(path), lenient=False)
    except DamagedError:
        if not allow_truncated:
            raise
    return _decode(data, str(path), lenient=True)


def _decode(data: bytes, name: str, *, lenient: bool) -> PictureFile:
    with _limits(lenient), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own warnings become our errors below, or do not matter
        try:
            with Image.open(io.BytesIO(data)) as image:
                count = getattr(image, "n_frames", 1)
                several = count > 1 and image.format in _ANIMATED | {"TIFF"}
                frames, durations = [], []
                for index, frame in enumerate(ImageSequence.Iterator(image) if several else [image]):
                    low = low_bytes(data, index, frame)
                    described = index == 0 or image.format == "TIFF"  # pages have words of their own, frames have not
                    frames.append(_picture(frame, name, low, truncated=lenient, described=described))
                    durations.append(int(frame.info.get("duration", 100) or 100))
                unread = count - 1 if image.format in ("MPO", "HEIF") else 0
                return PictureFile(frames, image.format or "", durations, int(image.info.get("loop", 0)), unread)
        except UnidentifiedImageError:
            raise PictureError(f"{name}: is not a picture in a known format") from None
        except PictureError:
            raise
        except Image.DecompressionBombError:
            raise PictureError(f"{name}: has more pixels than the limit of {MAX_PIXELS:,}") from None
        except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
            kind = "truncated" if "truncated" in str(error).lower() else "damaged"
            raise DamagedError(f"{name}: is {kind} ({error})") from None


def of_image(image: Image.Image, name: str = "image") -> Picture:
    """A picture that is already open."""
    return _picture(image, name)


def of_array(array: np.ndarray, name: str = "image") -> Picture:
    """(H, W) or (H, W, 1) gray, (H, W, 3) sRGB or (H, W, 4) with alpha; uint8, gray also uint16."""
    shape_ok = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if not shape_ok or array.dtype not in (np.uint8, np.uint16) or (array.dtype == np.uint16 and array.ndim == 3):
        raise ValueError(
            f"{name}: must be uint8 of shape (H, W), (H, W, 3) or (H, W, 4), or uint16 of shape (H, W), "
            f"got {array.dtype} of shape {array.shape}"
        )
    if array.size == 0:
        raise ValueError(f"{name}: must have at least one pixel, got shape {array.shape}")
    array = np.ascontiguousarray(array)
    if array.ndim == 2 or array.shape[2] == 1:
        return Picture(array.reshape(array.shape[:2]), bits=8 * array.itemsize)
    alpha = array[..., 3] if array.shape[2] == 4 else None
    return Picture(without_color(array[..., :3]), alpha)


def compose(rgb: np.ndarray, picture: Picture) -> Image.Image:
    """The coloured pixels with the picture's own alpha and metadata."""
    image = Image.fromarray(rgb)
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    image.info.update(picture.info)
    return image


def check_target(path: Path) -> None:
    """PictureError when a name's ending cannot hold a colour picture."""
    suffix = path.suffix.lower()
    if suffix in _GRAY_ONLY:
        raise PictureError(f"{path}: {suffix} cannot hold colour; choose another format")
    if suffix not in SUFFIXES:
        raise PictureError(f"{path}: must end in one of {', '.join(sorted(SUFFIXES))}")


def unsupported(file: PictureFile, target: Path) -> list[str]:
    """What of a file the format that the target's name asks for cannot hold, in words; empty for most."""
    kind, count = _kind(target), len(file.frames)
    found = []
    if count > 1 and file.format == "TIFF" and kind != "TIFF":
        found.append(f"{count - 1} of {count} pages")
    elif count > 1 and file.format != "TIFF" and kind == "TIFF":
        found.append("the frames' durations")
    elif count > 1 and file.format != "TIFF" and kind not in _ANIMATED:
        found.append(f"{count - 1} of {count} frames")
    if file.unread:
        found.append(f"{file.unread} of {file.unread + 1} pictures")
    alphas = [frame.alpha for frame in file.frames if frame.alpha is not None]
    if kind in _OPAQUE and any(bool((alpha < 255).any()) for alpha in alphas):
        found.append("transparency (white shows through)")
    if kind == "GIF" and any(bool(((alpha > 0) & (alpha < 255)).any()) for alpha in alphas):
        found.append("half transparency")
    return found + metadata.options(kind, file.frames[0].info)[1]


def write(
    path: str | os.PathLike[str], images: list[Image.Image], durations: list[int], loop: int = 0, *, pages: bool = False
) -> None:
    """Write a picture, an animation or pages, whole or not at all. What the format cannot hold is left out.

    Args:
        path: a name in one of SUFFIXES. images: frames or pages, with what to write beside them in their `info`.
        durations: of the frames in milliseconds. loop: how often they play, 0 is for ever.
        pages: the images are pages; a format without pages gets the first of them.

    Raises:
        PictureError: a format that cannot hold colour, or a target that cannot be written.
    """
    path = Path(path)
    kind = _kind(path)
    if kind in _OPAQUE:
        images = [_flatten(image) for image in images]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as growing:
            if kind == "TIFF" and len(images) > 1:
                with TiffImagePlugin.AppendingTiffWriter(str(growing), True) as file:
                    for index, image in enumerate(images):  # one by one: each has words of its own
                        image.save(file, format=kind, **_save_options(kind, image, first=index == 0))
                        file.newFrame()
            else:
                options = _save_options(kind, images[0])
                if len(images) > 1 and kind in _ANIMATED and not pages:
                    options |= {"save_all": True, "append_images": images[1:], "duration": durations, "loop": loop}
                images[0].save(growing, format=kind, **options)
    except OSError as error:
        raise PictureError(f"{path}: cannot be written ({_words(error)})") from None
    except (RuntimeError, ValueError, TypeError, KeyError, OverflowError, struct.error) as error:
        raise PictureError(f"{path}: cannot be written ({error})") from None  # an encoder's own limits


def _kind(path: Path) -> str:
    """Pillow's name of the format that a target's name asks for."""
    check_target(path)
    _register_heif()
    suffix = path.suffix.lower()
    kind = Image.registered_extensions().get(suffix)
    if kind is None or kind not in Image.SAVE:
        raise PictureError(f"{path}: writing {suffix} needs `pip install fastcolor[heif]`")
    return kind


def _save_options(kind: str, image: Image.Image, *, first: bool = True) -> dict[str, Any]:
    options = metadata.options(kind, image.info)[0]
    if kind in ("JPEG", "WEBP"):
        options["quality"] = 95
    if kind == "JPEG":
        options["subsampling"] = 0  # chroma is what we made: keep it whole
    if kind == "TIFF":
        tags, nested = metadata.flat(options.get("exif", b""))
        options["compression"] = "raw" if nested and first else "tiff_deflate"
        if not first:
            options["exif"] = tags
    return options


def _words(error: OSError) -> str:
    return error.strerror.lower() if error.strerror else str(error)


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    paper = Image.new("RGB", image.size, "white")
    paper.paste(image, mask=image.getchannel("A"))
    paper.info.update(image.info)
    return paper


@contextmanager
def _limits(lenient: bool) -> Iterator[None]:
    before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
    # Pillow raises beyond twice its limit.
    ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = lenient, MAX_PIXELS // 2
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = before


def _register_heif() -> None:
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()


def _picture(
    image: Image.Image, name: str, low: Image.Image | None = None, *, truncated: bool = False, described: bool = True
) -> Picture:
    """Decode an opened image. low: the low bytes of 16-bit colour. described: also read what stands beside it."""
    if image.width * image.height > MAX_PIXELS:
        raise PictureError(f"{name}: has {image.width}x{image.height} pixels, more than the limit of {MAX_PIXELS:,}")
    deep = image.mode.startswith("I") or any(";16" in raw for raw in raw_modes(image))
    image.load()
    upright = ImageOps.exif_transpose(image)
    profile = image.info.get("icc_profile")
    pixels, alpha = decoded(upright, name, profile)
    if image.mode.startswith("I"):
        pixels = gray_to_srgb(full_scale(image, pixels), profile)
    elif low is not None and not profile:  # colour management has 8 bits
        high = np.asarray(upright)[..., :3].astype(np.uint16)
        pixels = without_color(high << 8 | np.asarray(ImageOps.exif_transpose(low))[..., :3])
    info = metadata.collect(image, upright) if described else {}
    picture = Picture(pixels, alpha, info, 16 if deep else 8)
    return replace(picture, present=present_part(picture.gray)) if truncated else picture
