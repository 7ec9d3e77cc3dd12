"""What a picture file says beside its pixels, and how each format can say it."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

# What each format can hold, by Pillow's names: of `info` below, and of its save().
_HOLDS = {
    "JPEG": {"exif", "xmp", "dpi", "icc_profile", "comment", "iptc"},
    "PNG": {"exif", "xmp", "dpi", "icc_profile", "comment", "text"},
    "TIFF": {"exif", "xmp", "dpi", "icc_profile"},
    "WEBP": {"exif", "xmp", "icc_profile"},
    "AVIF": {"exif", "xmp", "icc_profile"},
    "HEIF": {"exif", "xmp", "icc_profile"},
    "JPEG2000": {"comment"},
    "GIF": {"comment"},
    "BMP": {"dpi"},
}
# Named when a format cannot hold them; a resolution and a tag for the standard colour space are no loss worth a word.
_NAMES = {"exif": "EXIF", "xmp": "XMP", "comment": "the comment", "iptc": "IPTC", "text": "text"}
_TEXT_TAGS = {"Title": 269, "Description": 270, "Software": 305, "Author": 315, "Copyright": 33432}
# TIFF mixes how the file is laid out with what it says: of the tags below 700 these are words, and so is almost all
# from 700 on (XMP, IPTC, Photoshop, EXIF, GPS, scanners' own).
_WORDS = {254, 269, 270, 271, 272, 285, 297, 305, 306, 315, 316, 318, 319}
_LAYOUT = {34675, 37724}  # ICC profile, Photoshop's layers
_NESTED = (34665, 34853, 40965)  # EXIF, GPS, interoperability
_ORIENTATION, _XMP_TAG, _COLOR_SPACE = 274, 700, 40961
_X_RESOLUTION, _Y_RESOLUTION, _UNIT = 282, 283, 296
_GAIN_MAP = b"hdrgm:Version"
_UNTRUE = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        rb"""\s+tiff:Orientation=("[^"]*"|'[^']*')""",
        rb"<tiff:Orientation>[^<]*</tiff:Orientation>",
        rb"""\s+hdrgm:\w+=("[^"]*"|'[^']*')""",
        rb"""\s+xmlns:hdrgm=("[^"]*"|'[^']*')""",
        rb"<hdrgm:(\w+)>.*?</hdrgm:\1>|<hdrgm:\w+[^>]*/>",
        rb"<Container:Directory>(?:(?!</Container:Directory>).)*GainMap.*?</Container:Directory>",
    )
)
_SEGMENT = 65_533  # bytes that a JPEG segment holds
_XMP_SEGMENT = _SEGMENT - len(b"http://ns.adobe.com/xap/1.0/\0")


def orientation(image: Image.Image | Image.Exif) -> int:
    """EXIF's orientation, 1 to 8; 1 where it says nothing that has a meaning."""
    try:
        found = _exif_of(image).get(_ORIENTATION)
    except Exception:  # of many kinds, from EXIF of odd types; none is worth a picture
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def is_adobe_rgb(image: Image.Image | Image.Exif) -> bool:
    """Whether EXIF says that a camera wrote Adobe RGB (DCF 2.0; some write 2 as the space)."""
    with suppress(Exception):  # of many kinds
        exif = _exif_of(image)
        space, kind = exif.get_ifd(_NESTED[0]).get(_COLOR_SPACE), exif.get_ifd(_NESTED[2]).get(1)
        return space == 2 or (space != 1 and str(kind).strip("\0 ") == "R03")
    return False


def _exif_of(image: Image.Image | Image.Exif) -> Image.Exif:
    return image.getexif() if isinstance(image, Image.Image) else image


def has_gain_map(image: Image.Image) -> bool:
    """Whether a JPEG's XMP says that another picture in it is a gain map (Ultra HDR)."""
    return any(marker == "APP1" and _GAIN_MAP in data for marker, data in getattr(image, "applist", []))


def collect(image: Image.Image) -> dict[str, Any]:
    """What is to be written again beside the pixels, which are upright then and have no gain map.

    Returns:
        Any of exif (bytes), xmp (bytes), dpi, comment, text (a PNG's, by keyword) and iptc (a JPEG's APP13 segments).
        What cannot be read is left out.
    """
    try:
        info = of_exif(image.getexif())
    except Exception:  # of many kinds
        info = {}
    info.pop("dpi", None)
    _add(info, image.info.get("xmp"), image.info.get("dpi"))
    if isinstance(image.info.get("comment"), (str, bytes)) and image.info["comment"]:
        info["comment"] = image.info["comment"]
    text = {
        key: value
        for key, value in getattr(image, "text", {}).items()
        if key != "XML:com.adobe.xmp" and not key.startswith("Raw profile type")
    }
    if text:
        info["text"] = text
    segments = [data for marker, data in getattr(image, "applist", []) if marker == "APP13"]
    if segments:
        info["iptc"] = b"".join(b"\xff\xed" + struct.pack(">H", len(data) + 2) + data for data in segments)
    return info


def of_exif(exif: Image.Exif, *, tiff: bool = False) -> dict[str, Any]:
    """What EXIF says that is to be written again. tiff: it is a TIFF's own directory, which also tells its layout.

    Returns:
        Any of exif (bytes), and of a TIFF xmp (bytes) and dpi.
    """
    info: dict[str, Any] = {}
    content = _written(exif, tiff)
    if content:
        info["exif"] = content
    if tiff:
        _add(info, _value(exif, _XMP_TAG), _resolution(exif))
    return info


def exif_of(segments: Iterable[bytes]) -> Image.Exif:
    """The EXIF in a JPEG's APP1 segments; an empty one when there is none."""
    exif = Image.Exif()
    with suppress(Exception):  # of many kinds
        exif.load(next((data for data in segments if data[:6] == b"Exif\0\0"), b""))
    return exif


def options(kind: str, info: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Arguments of Pillow's save() that write `info` to a file of this kind, and the names of what it cannot hold."""
    info = _translated(kind, info)
    held = _HOLDS.get(kind, set())
    lost = [key for key in info if key not in held]
    if kind == "JPEG":
        limits = {"exif": _SEGMENT, "comment": _SEGMENT, "xmp": _XMP_SEGMENT}
        lost += [key for key, most in limits.items() if len(info.get(key, b"")) > most]
    given = {key: value for key, value in info.items() if key not in lost}
    if kind == "PNG":
        chunks = PngInfo()
        for key, value in given.pop("text", {}).items():
            chunks.add_text(key, value)
        if comment := given.pop("comment", None):
            chunks.add_text("Comment", comment.decode("utf-8", "replace") if isinstance(comment, bytes) else comment)
        if xmp := given.pop("xmp", None):
            chunks.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
        given["pnginfo"] = chunks
    if "iptc" in given:
        given["extra"] = given.pop("iptc")
    if kind == "TIFF" and "xmp" in given:
        exif = Image.Exif()
        exif.load(given.get("exif", b""))
        exif[_XMP_TAG] = given.pop("xmp")
        given["exif"] = exif
    return given, names(lost)


def names(keys: Iterable[str]) -> list[str]:
    """What people call these items of a picture's `info`."""
    return [_NAMES[key] for key in keys if key in _NAMES]


def flat(exif: bytes | Image.Exif) -> tuple[Image.Exif, bool]:
    """EXIF without tags within tags (a camera's settings, GPS), and whether there were any. Pillow writes these to no
    compressed TIFF and to the first page alone."""
    tags = Image.Exif()
    tags.load(exif if isinstance(exif, bytes) else exif.tobytes())
    found = [tag for tag in _NESTED if tag in tags]
    for tag in found:
        del tags[tag]
    return tags, bool(found)


def _add(info: dict[str, Any], xmp: Any, dpi: Any) -> None:
    """XMP and resolution, where they are what they should be."""
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    if isinstance(xmp, bytes) and xmp.strip():
        info["xmp"] = _true_xmp(xmp)
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return
    if 1 < x < 1e5 and 1 < y < 1e5:  # Pillow says 1 of a TIFF that says nothing
        info["dpi"] = (x, y)


def _true_xmp(xmp: bytes) -> bytes:
    """XMP without what is not so any more: an orientation, a gain map."""
    for pattern in _UNTRUE:
        xmp = pattern.sub(b"", xmp)
    return xmp


def _value(exif: Image.Exif, tag: int) -> Any:
    with suppress(Exception):  # of many kinds
        return exif.get(tag)
    return None


def _resolution(exif: Image.Exif) -> tuple[float, float] | None:
    """Dots an inch."""
    unit = {2: 1.0, 3: 2.54}.get(_value(exif, _UNIT))
    with suppress(TypeError, ValueError, ZeroDivisionError):
        if unit:
            return float(_value(exif, _X_RESOLUTION)) * unit, float(_value(exif, _Y_RESOLUTION)) * unit
    return None


def _written(exif: Image.Exif, tiff: bool) -> bytes:
    """EXIF without orientation and file layout; empty when nothing is left. Tags that cannot be written go."""
    aside: dict[int, Any] = {}  # and not gone: the EXIF is an open image's own
    try:
        for tag in list(exif):
            layout = tiff and ((tag < _XMP_TAG and tag not in _WORDS) or tag in _LAYOUT)
            if tag in (_ORIENTATION, _XMP_TAG) or layout:
                aside[tag] = exif[tag]
                del exif[tag]
        if not len(exif):
            return b""
        with suppress(Exception):  # of many kinds
            return _in_srgb(exif.tobytes())
        return _in_srgb(_sound(exif))
    except Exception:
        return b""
    finally:
        exif.update(aside)


def _in_srgb(content: bytes) -> bytes:
    """EXIF that says of no other colour space that the pixels are in it."""
    exif = Image.Exif()
    exif.load(content)
    with suppress(Exception):  # of many kinds
        shot = exif.get_ifd(_NESTED[0])
        if shot.get(_COLOR_SPACE, 1) != 1:
            kind = exif.get_ifd(_NESTED[2])
            if 1 in kind:
                kind[1] = "R98"
            shot[_COLOR_SPACE] = 1
            return exif.tobytes()
    return content


def _sound(exif: Image.Exif) -> bytes:
    """What can be written of EXIF that cannot be as a whole."""
    kept = Image.Exif()
    for tag in list(exif):
        with suppress(Exception):
            one = Image.Exif()
            one[tag] = exif.get_ifd(tag) if tag in _NESTED else exif[tag]
            one.tobytes()
            kept[tag] = one[tag]
    return kept.tobytes() if len(kept) else b""


def _translated(kind: str, info: dict[str, Any]) -> dict[str, Any]:
    """A PNG's text and a comment as EXIF tags of the same meaning, where the format knows only these."""
    held = _HOLDS.get(kind, set())
    words = {_TEXT_TAGS[key]: key for key in info.get("text", {}) if key in _TEXT_TAGS and "text" not in held}
    comment = info.get("comment") if "comment" not in held else None
    if "exif" not in held or not (words or comment):
        return info
    info, exif = dict(info), Image.Exif()
    exif.load(info.get("exif", b""))
    text = dict(info.get("text", {}))
    for tag, key in words.items():
        if tag not in exif:
            exif[tag] = str(text.pop(key))
    if comment and _TEXT_TAGS["Description"] not in exif:
        exif[_TEXT_TAGS["Description"]] = comment.decode("utf-8", "replace") if isinstance(comment, bytes) else comment
        del info["comment"]
    if "text" in info:
        info["text"] = text
        if not text:
            del info["text"]
    info["exif"] = exif.tobytes()
    return info
