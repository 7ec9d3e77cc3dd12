"""What a picture file says beside its pixels, and how each format can say it."""

from __future__ import annotations

import functools
import struct
from typing import Any

from PIL import Image, ImageCms
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
_ORIENTATION, _XMP_TAG = 274, 700
_SEGMENT = 65_533  # bytes that a JPEG segment holds
_XMP_SEGMENT = _SEGMENT - len(b"http://ns.adobe.com/xap/1.0/\0")


def collect(image: Image.Image, upright: Image.Image) -> dict[str, Any]:
    """What is to be written again beside the pixels.

    Args:
        image: as opened. upright: turned by its orientation, which then is in no metadata any more.

    Returns:
        Any of exif (bytes), xmp (bytes), dpi, comment, text (a PNG's, by keyword), iptc (a JPEG's APP13 segments) and
        icc_profile (sRGB's, when the picture had one).
    """
    info: dict[str, Any] = {}
    exif = _exif(image)
    if exif:
        info["exif"] = exif
    xmp = upright.info.get("xmp")
    if xmp:
        info["xmp"] = xmp.encode() if isinstance(xmp, str) else xmp
    for key in ("dpi", "comment"):
        if image.info.get(key):
            info[key] = image.info[key]
    if image.info.get("icc_profile"):
        info["icc_profile"] = srgb_profile()
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
    return given, [_NAMES[key] for key in lost if key in _NAMES]


def flat(exif: bytes | Image.Exif) -> tuple[Image.Exif, bool]:
    """EXIF without tags within tags (a camera's settings, GPS), and whether there were any. Pillow writes these to no
    compressed TIFF and to the first page alone."""
    tags = Image.Exif()
    tags.load(exif if isinstance(exif, bytes) else exif.tobytes())
    found = [tag for tag in _NESTED if tag in tags]
    for tag in found:
        del tags[tag]
    return tags, bool(found)


@functools.cache
def srgb_profile() -> bytes:
    """An sRGB profile whose bytes are the same on every day."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # the header's date and time (ICC.1:2022, 7.2.8)
    return bytes(profile)


def _exif(image: Image.Image) -> bytes:
    """EXIF without orientation and file layout; empty when there is none or it cannot be read."""
    try:
        exif = image.getexif()
        for tag in list(exif):
            layout = image.format == "TIFF" and ((tag < _XMP_TAG and tag not in _WORDS) or tag in _LAYOUT)
            if tag in (_ORIENTATION, _XMP_TAG) or layout:
                del exif[tag]
        return exif.tobytes() if len(exif) else b""
    except (OSError, ValueError, TypeError, KeyError, OverflowError, SyntaxError, struct.error):
        return b""


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
