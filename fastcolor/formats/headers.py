"""What files say of themselves where Pillow does not look: depth, colour space, kind."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .spaces import Space, of_code_points, of_gamma

_PNG = b"\x89PNG\r\n\x1a\n"
_J2K = b"\xff\x4f\xff\x51"
_CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"jp2h": 0}  # boxes that hold boxes, and bytes before these
# Kinds of file that people take for pictures we read, by their first bytes; said in place of "not a picture".
_OTHERS = (
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture, which is not supported; save it as PNG or TIFF"),
    (rb"8BPS", "a Photoshop document, which is not supported; save it as PNG or TIFF"),
    (rb"%PDF", "a PDF document; save its pages as PNG or TIFF"),
    (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*|<!DOCTYPE[^>]*>\s*)*<svg", "an SVG drawing, not a picture of pixels"),
    (rb"SDPX|XPDS", "a DPX picture of a film scanner, which is not supported; save it as PNG or TIFF"),
    (rb"v/1\x01", "an OpenEXR picture, which is not supported; save it as PNG or TIFF"),
    (rb"#\?(RADIANCE|RGBE)", "a Radiance HDR picture, which is not supported; save it as PNG or TIFF"),
    (rb"P[Ff]\s", "a picture of floating-point pixels, which is not supported; save it with 8 or 16 bits"),
    (rb"P7\s", "a PAM picture, which is not supported; save it as PNG or TIFF"),
    (rb".{4}ftyp(hei[cxms]|hevc|mif1|msf1)", "a HEIC picture; reading it needs `pip install fastcolor[heif]`"),
    (rb".{4}ftypcrx |FUJIFILMCCD-RAW|.{4}HEAPCCDR|FOVb|\0MRM",
     "a camera's raw picture, which is not supported; develop it to TIFF or JPEG first"),
    (rb".{4}(ftyp|moov|mdat)|RIFF.{4}AVI |\x1aE\xdf\xa3|\0\0\x01[\xba\xb3]|FLV|0&\xb2u",
     "a film, not a picture; `fastcolor-video` colours films"),
)  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What a file says of its pixels. bits: of a channel. space: None where only Pillow's `info` tells.

    deep: more than Pillow keeps, so that another decoder reads it. refused: why nobody here reads it, in words.
    """

    bits: int = 8
    deep: bool = False
    space: Space | None = None
    refused: str = ""


def known_as(data: bytes) -> str | None:
    """What a file is that is no picture in a known format, in words; None when nobody knows."""
    for pattern, words in _OTHERS:
        if re.match(pattern, data[:4096], re.DOTALL):
            return words
    return None


def header_of(data: bytes, format: str | None) -> Header:
    """Read a file's own words. What is damaged in them says nothing.

    Args:
        format: as Pillow names it.
    """
    readers = {
        "PNG": _png, "JPEG2000": _jpeg2000, "AVIF": _avif, "HEIF": _avif, "PPM": _pnm, "BMP": _bmp,
    }  # fmt: skip
    reader = readers.get(format or "")
    try:
        return reader(data) if reader else Header()
    except (struct.error, IndexError, ValueError):
        return Header()


def _png(data: bytes) -> Header:
    bits, kind = data[24], data[25]
    found = Header(bits if bits == 16 else 8)
    keyed = False
    for name, content in _png_chunks(data):
        keyed = keyed or name == b"tRNS"
        if name == b"cICP" and len(content) == 4 and content[2] == 0:
            found = replace(found, space=of_code_points(content[0], content[1], narrow=not content[3]))
    # Pillow keeps 8 bits of 16-bit colour, and of gray compares a key with values that it has stretched.
    return replace(found, deep=(bits == 16 and (kind != 0 or keyed)) or (kind == 0 and bits < 8 and keyed))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks before the pixels."""
    at = len(_PNG)
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"IDAT":
            return
        yield name, data[at + 8 : at + 8 + min(length, 1 << 16)]
        at += 12 + length


def _jpeg2000(data: bytes) -> Header:
    found = Header()
    for path, content in _boxes(data):
        if path[-1] == b"colr" and content[:1] in (b"\2", b"\3"):
            found = replace(found, space=Space(profile=content[3:]))
            break
        if path[-1] == b"colr" and content[:1] == b"\1" and content[3:7] == b"\0\0\0\x0e":
            found = replace(found, refused="CIE Lab pixels are not supported; save it as RGB")
    at = data.find(_J2K)
    count = struct.unpack_from(">H", data, at + 40)[0] if at >= 0 else 0
    depths = [(data[at + 42 + 3 * i] & 0x7F) + 1 for i in range(min(count, 8))] or [8]
    return replace(found, bits=max(depths), deep=max(depths) > 8)


def _avif(data: bytes) -> Header:
    """AVIF and HEIC: the properties of the primary picture (ISO/IEC 23008-12)."""
    properties: list[tuple[bytes, bytes]] = []
    owned: dict[int, list[int]] = {}
    primary = 0
    for path, content in _boxes(data):
        if path[-2:-1] == (b"ipco",):
            properties.append((path[-1], content))
        elif path[-1] == b"pitm":
            primary = int.from_bytes(content[4:8] if content[0] else content[4:6], "big")
        elif path[-1] == b"ipma":
            owned.update(_associations(content))
    mine = [properties[index - 1] for index in owned.get(primary, ()) if 0 < index <= len(properties)]
    bits, profile, points = _coded_bits(properties), None, None
    for name, content in mine:
        if name == b"pixi" and len(content) > 5:
            bits = max(content[5 : 5 + content[4]])
        elif name == b"colr" and content[:4] in (b"prof", b"rICC"):
            profile = content[4:]
        elif name == b"colr" and content[:4] == b"nclx":
            points = of_code_points(*struct.unpack_from(">2H", content, 4))
    return Header(bits, bits > 8, Space(profile=profile) if profile else points)


def _coded_bits(properties: list[tuple[bytes, bytes]]) -> int:
    """What the codecs' own words say, where none of the file's do (AV1 in ISOBMFF 2.3.3; ISO/IEC 14496-15, 8.3.3)."""
    bits = 8
    for name, content in properties:
        if name == b"av1C" and len(content) > 2 and content[2] & 0x40:
            bits = max(bits, 12 if content[2] & 0x20 else 10)
        elif name == b"hvcC" and len(content) > 17:
            bits = max(bits, (content[17] & 7) + 8)
    return bits


def _associations(content: bytes) -> Iterator[tuple[int, list[int]]]:
    """Of an `ipma` box: each item's number and those of its properties, counted from 1."""
    version, wide = content[0], content[3] & 1
    count, at = struct.unpack_from(">I", content, 4)[0], 8
    for _ in range(count):
        item = int.from_bytes(content[at : at + (4 if version else 2)], "big")
        at += 4 if version else 2
        size = 2 if wide else 1
        number, at = content[at], at + 1
        indices = [int.from_bytes(content[at + size * i : at + size * (i + 1)], "big") for i in range(number)]
        yield item, [index & (0x7FFF if wide else 0x7F) for index in indices]
        at += size * number


def _boxes(data: bytes, path: tuple[bytes, ...] = ()) -> Iterator[tuple[tuple[bytes, ...], bytes]]:
    """Boxes of ISO base media and JP2 files, those in containers too: where each stands, and its content."""
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            size, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        elif size == 0:
            size = len(data) - at
        if size < head:
            return
        if name not in (b"mdat", b"jp2c"):  # pixels
            content = data[at + head : at + size]
            yield (*path, name), content
            if name in _CONTAINERS:
                yield from _boxes(content[_CONTAINERS[name] :], (*path, name))
        at += size


def _bmp(data: bytes) -> Header:
    """Windows's headers of versions 4 and 5: a profile in the file, or primaries in CIE XYZ and gamma."""
    size, start = struct.unpack_from("<I", data, 14)[0], 14
    kind = struct.unpack_from("<I", data, start + 56)[0] if size >= 108 else 0x73524742
    if kind == 0x4D424544 and size >= 124:  # "MBED"
        at, length = struct.unpack_from("<2I", data, start + 112)
        return Header(space=Space(profile=data[start + at : start + at + length]))
    if kind != 0:  # that of Windows, which is sRGB, or a profile somewhere else
        return Header()
    gammas = [one / 65536 for one in struct.unpack_from("<3I", data, start + 96)]
    ends = [struct.unpack_from("<3I", data, start + 60 + 12 * i) for i in range(3)]
    white = [sum(each) for each in zip(*ends, strict=True)]
    if all(abs(sum(each) / 2**30 - 1) < 0.01 for each in ends):  # x, y, z, as some write: they tell no white
        white = [0.3127, 0.3290, 0.3583]
    primaries = None
    if all(sum(each) for each in ends):
        primaries = tuple(value / sum(each) for each in (*ends, white) for value in each[:2])
    return Header(space=of_gamma(sum(gammas) / 3 if min(gammas) else 2.2, primaries))


def _pnm(data: bytes) -> Header:
    tokens = re.sub(rb"#[^\n\r]*", b"", data[:1024]).split(None, 4)
    most = int(tokens[3]) if tokens[0] not in (b"P1", b"P4") else 1
    return Header(16 if most > 255 else 8)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers of a JPEG before its pixels, and what they hold."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0xDA or length < 2:
            return
        yield marker, data[at + 4 : at + 2 + length]
        at += 2 + length


def jpeg_profile(data: bytes) -> bytes | None:
    """The ICC profile in a JPEG's segments (ICC.1:2022, B.4)."""
    mark = b"ICC_PROFILE\0"
    parts = {held[12]: held[14:] for marker, held in jpeg_segments(data) if marker == 0xE2 and held[:12] == mark}
    return b"".join(parts[i] for i in sorted(parts)) or None
