"""From an opened image to upright sRGB or gray pixels: depth, palettes, colour profiles, missing parts."""

from __future__ import annotations

import io
import sys

import numpy as np
from PIL import Image, ImageCms, TiffImagePlugin

# Of 16-bit colour Pillow keeps the high bytes; read in the other byte order, it keeps the low ones.
_LOW_BYTES = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA")
    for order, other in (("B", "L"), ("L", "B"), ("N", "B" if sys.byteorder == "little" else "L"))
}


class PictureError(ValueError):
    """A picture that cannot be read or written; the message names it and says why."""


def decoded(image: Image.Image, name: str, profile: bytes | None) -> tuple[np.ndarray, np.ndarray | None]:
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
        clear = image.convert("RGBA")
        alpha = np.asarray(clear.getchannel("A"))
        image = image.convert("L") if image.mode in ("L", "LA") else clear
    elif image.mode == "1":
        image = image.convert("L")
    if image.mode == "L":
        return gray_to_srgb(np.array(image), profile), alpha
    if profile:
        image = _to_srgb(image, profile)
    return without_color(np.array(image.convert("RGB"))), alpha


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert by the embedded profile. A profile that does not fit its picture is not followed."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode == "RGBA":
            image = image.convert("RGB")
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image


def gray_to_srgb(gray: np.ndarray, profile: bytes | None) -> np.ndarray:
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


def full_scale(image: Image.Image, gray: np.ndarray) -> np.ndarray:
    """A TIFF's deep gray as white on black over all 16 bits; Pillow gives its values as they are stored."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0]
    if 8 < bits < 16:
        gray = (gray.astype(np.uint32) * 65535 // (2**bits - 1)).clip(max=65535).astype(np.uint16)
    return 65535 - gray if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0 else gray


def raw_modes(image: Image.Image) -> list[str]:
    """How the file stores its pixels, in Pillow's terms such as "RGB;16B"; empty once they are loaded."""
    arguments = [tile[3] for tile in getattr(image, "tile", [])]
    raw = [a[0] if isinstance(a, tuple) and a else a for a in arguments]
    return [mode for mode in raw if isinstance(mode, str)]


def low_bytes(data: bytes, index: int, frame: Image.Image) -> Image.Image | None:
    """The low bytes of a frame of 16-bit colour that is not loaded yet; None for any other."""
    raw = raw_modes(frame)
    if not raw or raw[0] not in _LOW_BYTES:
        return None
    image = Image.open(io.BytesIO(data))
    image.seek(index)
    swapped = _LOW_BYTES[raw[0]]
    tiles = []
    for tile in image.tile:
        arguments = (swapped, *tile[3][1:]) if isinstance(tile[3], tuple) else swapped
        tiles.append(tile._replace(args=arguments) if hasattr(tile, "_replace") else (*tile[:3], arguments))
    image.tile = tiles
    image.load()
    return image


def present_part(gray: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns up to where one side turns into a single value, which a decoder leaves for what is missing."""
    runs = []
    for turns in range(4):  # the file's last row may be at any side of the upright picture
        turned = np.rot90(gray, turns)
        flat = (turned == turned[-1, 0]).all(axis=1)[::-1]
        runs.append(len(flat) if flat.all() else int(flat.argmin()))
    bottom, left, top, right = (run if run == max(runs) else 0 for run in runs)
    height, width = gray.shape
    return slice(top, max(height - bottom, top)), slice(left, max(width - right, left))


def without_color(rgb: np.ndarray) -> np.ndarray:
    """(H, W) when the three channels are the same, which a gray picture saved in colour is."""
    red = rgb[..., 0]
    same = np.array_equal(red, rgb[..., 1]) and np.array_equal(red, rgb[..., 2])
    return np.ascontiguousarray(red if same else rgb)
