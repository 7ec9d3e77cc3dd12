"""Picture files: reading them into what colouring needs, and writing the result with all that came along."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps, ImageSequence, UnidentifiedImageError

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


class PictureError(ValueError):
    """A picture that cannot be read or written; the message names it and says why."""


@dataclass(frozen=True)
class Picture:
    """A picture as colouring sees it.

    Attributes:
        pixels: (H, W) uint8 or uint16 gray, or (H, W, 3) uint8 sRGB; upright. alpha: (H, W) uint8, or None.
        info: what is written again beside the pixels: exif, xmp, dpi.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def gray(self) -> np.ndarray:
        """(H, W) uint8 or uint16: what the network looks at."""
        if self.pixels.ndim == 2:
            return self.pixels
        return np.asarray(Image.fromarray(self.pixels).convert("L"))


@dataclass(frozen=True)
class PictureFile:
    """All frames of a file, one unless it is animated, with their durations in milliseconds."""

    frames: list[Picture]
    format: str
    durations: list[int]
    loop: int


def read(path: str | os.PathLike[str], *, allow_truncated: bool = False) -> PictureFile:
    """Read a picture file, whatever its name says it is.

    Raises:
        FileNotFoundError, PictureError: missing, no picture, damaged, or larger than MAX_PIXELS.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise PictureError(f"{path}: is a folder, not a picture")
    data = path.read_bytes()
    if not data:
        raise PictureError(f"{path}: is empty")
    _register_heif()
    with _lenient(allow_truncated), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own warnings become our errors below, or do not matter
        try:
            with Image.open(io.BytesIO(data)) as image:
                animated = getattr(image, "is_animated", False) and image.format in _ANIMATED
                sources = ImageSequence.Iterator(image) if animated else [image]
                frames, durations = [], []
                for frame in sources:
                    frames.append(_picture(frame, str(path)))
                    durations.append(int(frame.info.get("duration", 100) or 100))
                return PictureFile(frames, image.format or "", durations, int(image.info.get("loop", 0)))
        except UnidentifiedImageError:
            raise PictureError(f"{path}: is not a picture in a known format") from None
        except PictureError:
            raise
        except Image.DecompressionBombError:
            raise PictureError(f"{path}: has more pixels than the limit of {MAX_PIXELS:,}") from None
        except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
            hint = "" if allow_truncated else "; --allow-truncated reads what is left of it"
            kind = "truncated" if "truncated" in str(error).lower() else "damaged"
            raise PictureError(f"{path}: is {kind} ({error}){hint}") from None


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
        return Picture(array.reshape(array.shape[:2]))
    alpha = array[..., 3] if array.shape[2] == 4 else None
    return Picture(_without_color(array[..., :3]), alpha)


def compose(rgb: np.ndarray, picture: Picture) -> Image.Image:
    """The coloured pixels with the picture's own alpha and metadata, tagged sRGB."""
    image = Image.fromarray(rgb)
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    image.info.update(picture.info)
    image.info["icc_profile"] = _SRGB
    return image


def check_target(path: Path) -> None:
    """PictureError when a name's ending cannot hold a colour picture."""
    suffix = path.suffix.lower()
    if suffix in _GRAY_ONLY:
        raise PictureError(f"{path}: {suffix} cannot hold colour; choose another format")
    if suffix not in SUFFIXES:
        raise PictureError(f"{path}: must end in one of {', '.join(sorted(SUFFIXES))}")


def write(path: str | os.PathLike[str], images: list[Image.Image], durations: list[int], loop: int = 0) -> None:
    """Write a picture, or an animation, whole or not at all.

    Raises:
        PictureError: a format that cannot hold it, or a target that cannot be written.
    """
    path = Path(path)
    check_target(path)
    _register_heif()
    suffix = path.suffix.lower()
    kind = Image.registered_extensions().get(suffix)
    if kind is None or kind not in Image.SAVE:
        raise PictureError(f"{path}: writing {suffix} needs `pip install fastcolor[heif]`")
    if kind in ("JPEG", "PPM", "BMP"):  # no alpha there: white shows through, as on paper
        images = [_flatten(image) for image in images]
    info = images[0].info
    options: dict[str, Any] = {key: info[key] for key in ("exif", "dpi", "icc_profile", "xmp") if info.get(key)}
    if kind in ("JPEG", "WEBP"):
        options["quality"] = 95
    if kind == "JPEG":
        options["subsampling"] = 0  # chroma is what we made: keep it whole
    if kind == "TIFF":
        options["compression"] = "tiff_deflate"
    if len(images) > 1 and kind in _ANIMATED:
        options |= {"save_all": True, "append_images": images[1:], "duration": durations, "loop": loop}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        images[0].save(temporary, format=kind, **options)
        os.replace(temporary, path)
    except OSError as error:
        raise PictureError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)


_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    paper = Image.new("RGB", image.size, "white")
    paper.paste(image, mask=image.getchannel("A"))
    paper.info.update(image.info)
    return paper


@contextmanager
def _lenient(allow_truncated: bool) -> Iterator[None]:
    before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
    # Pillow raises beyond twice its limit.
    ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = allow_truncated, MAX_PIXELS // 2
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


def _picture(image: Image.Image, name: str) -> Picture:
    image.load()
    if image.width * image.height > MAX_PIXELS:
        raise PictureError(f"{name}: has {image.width}x{image.height} pixels, more than the limit of {MAX_PIXELS:,}")
    info = {key: image.info[key] for key in ("dpi", "xmp") if image.info.get(key)}
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)  # also takes the orientation out of the metadata
    exif = image.getexif()
    if len(exif):
        info["exif"] = exif.tobytes()

    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise PictureError(f"{name}: gray values must lie in 0..65535, got {values.min()}..{values.max()}")
        return Picture(values.astype(np.uint16), None, info)
    if image.mode == "F":
        raise PictureError(f"{name}: floating-point pixels are not supported; save it with 8 or 16 bits")

    alpha = None
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
    elif image.mode == "1":
        image = image.convert("L")
    if profile:
        image = _to_srgb(image, profile)
    if image.mode == "L":
        return Picture(np.array(image), alpha, info)
    return Picture(_without_color(np.array(image.convert("RGB"))), alpha, info)


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert by the embedded profile. A profile that does not fit its picture is not followed."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode == "RGBA":
            image = image.convert("RGB")
        if image.mode == "L":
            return image  # gray profiles differ from sRGB in their tone alone, which is the picture's own
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image


def _without_color(rgb: np.ndarray) -> np.ndarray:
    """(H, W) when the three channels are the same, which a gray picture saved in colour is."""
    red = rgb[..., 0]
    same = np.array_equal(red, rgb[..., 1]) and np.array_equal(red, rgb[..., 2])
    return np.ascontiguousarray(red if same else rgb)
