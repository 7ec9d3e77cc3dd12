"""Picture files: reading them into what colouring needs, and writing the result with all that came along."""

from __future__ import annotations

import io
import os
import struct
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps, ImageSequence, TiffImagePlugin, UnidentifiedImageError

from . import metadata

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
# Of 16-bit colour Pillow keeps the high bytes; read in the other byte order, it keeps the low ones.
_LOW_BYTES = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA")
    for order, other in (("B", "L"), ("L", "B"), ("N", "B" if sys.byteorder == "little" else "L"))
}


class PictureError(ValueError):
    """A picture that cannot be read or written; the message names it and says why."""


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
                    low = _low_bytes(data, index, frame)
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
    return Picture(_without_color(array[..., :3]), alpha)


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


def losses(file: PictureFile, target: Path) -> list[str]:
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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "TIFF" and len(images) > 1:
            with TiffImagePlugin.AppendingTiffWriter(str(temporary), True) as file:
                for index, image in enumerate(images):  # one by one: each has words of its own
                    image.save(file, format=kind, **_save_options(kind, image, first=index == 0))
                    file.newFrame()
        else:
            options = _save_options(kind, images[0])
            if len(images) > 1 and kind in _ANIMATED and not pages:
                options |= {"save_all": True, "append_images": images[1:], "duration": durations, "loop": loop}
            images[0].save(temporary, format=kind, **options)
        os.replace(temporary, path)
    except OSError as error:
        raise PictureError(f"{path}: cannot be written ({_words(error)})") from None
    except (RuntimeError, ValueError, TypeError, KeyError, OverflowError, struct.error) as error:
        raise PictureError(f"{path}: cannot be written ({error})") from None  # an encoder's own limits
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)


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
    deep = image.mode.startswith("I") or any(";16" in raw for raw in _raw_modes(image))
    image.load()
    upright = ImageOps.exif_transpose(image)
    profile = image.info.get("icc_profile")
    pixels, alpha = _pixels(upright, name, profile)
    if image.mode.startswith("I"):
        pixels = _gray_to_srgb(_full_scale(image, pixels), profile)
    elif low is not None and not profile:  # colour management has 8 bits
        high = np.asarray(upright)[..., :3].astype(np.uint16)
        pixels = _without_color(high << 8 | np.asarray(ImageOps.exif_transpose(low))[..., :3])
    info = metadata.collect(image, upright) if described else {}
    picture = Picture(pixels, alpha, info, 16 if deep else 8)
    return replace(picture, present=_present(picture.gray)) if truncated else picture


def _pixels(image: Image.Image, name: str, profile: bytes | None) -> tuple[np.ndarray, np.ndarray | None]:
    """(pixels, alpha) of an upright image, in sRGB; 16-bit gray as it stands."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise PictureError(f"{name}: gray values must lie in 0..65535, got {values.min()}..{values.max()}")
        return values.astype(np.uint16), None
    if image.mode == "F":
        raise PictureError(f"{name}: floating-point pixels are not supported; save it with 8 or 16 bits")
    alpha = None
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
    elif image.mode == "1":
        image = image.convert("L")
    if image.mode == "L":
        return _gray_to_srgb(np.array(image), profile), alpha
    if profile:
        image = _to_srgb(image, profile)
    return _without_color(np.array(image.convert("RGB"))), alpha


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert by the embedded profile. A profile that does not fit its picture is not followed."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode == "RGBA":
            image = image.convert("RGB")
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image


def _gray_to_srgb(gray: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Gray by a gray profile's curve (a gamma, a dot gain) to sRGB's; as it stands without one."""
    if not profile:
        return gray
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != "GRAY":
            return gray
        ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
        exact = ImageCms.Flags.NOOPTIMIZE  # else it is joined from a few straight lines
        curve = ImageCms.profileToProfile(ramp, source, ImageCms.createProfile("sRGB"), outputMode="RGB", flags=exact)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return gray
    values = np.asarray(curve)[0, :, 1]
    if gray.dtype == np.uint8:
        return values[gray]
    steps = np.arange(256) * 257.0
    return (np.interp(gray, steps, values * 257.0) + 0.5).astype(np.uint16)


def _full_scale(image: Image.Image, gray: np.ndarray) -> np.ndarray:
    """A TIFF's deep gray as white on black over all 16 bits; Pillow gives its values as they are stored."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0]
    if 8 < bits < 16:
        gray = (gray.astype(np.uint32) * 65535 // (2**bits - 1)).clip(max=65535).astype(np.uint16)
    return 65535 - gray if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0 else gray


def _raw_modes(image: Image.Image) -> list[str]:
    """How the file stores its pixels, in Pillow's terms such as "RGB;16B"; empty once they are loaded."""
    arguments = [tile[3] for tile in getattr(image, "tile", [])]
    raw = [a[0] if isinstance(a, tuple) and a else a for a in arguments]
    return [mode for mode in raw if isinstance(mode, str)]


def _low_bytes(data: bytes, index: int, frame: Image.Image) -> Image.Image | None:
    """The low bytes of a frame of 16-bit colour that is not loaded yet; None for any other."""
    raw = _raw_modes(frame)
    if not raw or raw[0] not in _LOW_BYTES:
        return None
    image = Image.open(io.BytesIO(data))
    image.seek(index)
    tiles = []
    for tile in image.tile:
        swapped = _LOW_BYTES[raw[0]]
        tiles.append(tile._replace(args=(swapped, *tile.args[1:]) if isinstance(tile.args, tuple) else swapped))
    image.tile = tiles
    image.load()
    return image


def _present(gray: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns up to where one side turns into a single value, which a decoder leaves for what is missing."""
    runs = []
    for turns in range(4):  # the file's last row may be at any side of the upright picture
        turned = np.rot90(gray, turns)
        flat = (turned == turned[-1, 0]).all(axis=1)[::-1]
        runs.append(len(flat) if flat.all() else int(flat.argmin()))
    bottom, left, top, right = (run if run == max(runs) else 0 for run in runs)
    height, width = gray.shape
    return slice(top, max(height - bottom, top)), slice(left, max(width - right, left))


def _without_color(rgb: np.ndarray) -> np.ndarray:
    """(H, W) when the three channels are the same, which a gray picture saved in colour is."""
    red = rgb[..., 0]
    same = np.array_equal(red, rgb[..., 1]) and np.array_equal(red, rgb[..., 2])
    return np.ascontiguousarray(red if same else rgb)
