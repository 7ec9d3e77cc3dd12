"""Picture files of little-used kinds, byte by byte, since no encoder at hand writes them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Entry = tuple[int, int, Sequence[int] | bytes]  # tag, type, values


def ramp(width: int = 160, height: int = 120) -> np.ndarray:
    """(height, width) uint8 with the whole range in it, and texture."""
    y, x = np.mgrid[:height, :width]
    gray = ((np.sin(x / 19) + np.cos(y / 13)) * 50 + x * 0.3 + 90).clip(0, 255).astype(np.uint8)
    gray[0, :2] = 0, 255
    return gray


def deep(gray: np.ndarray) -> np.ndarray:
    """The same with 16 bits."""
    return gray.astype(np.uint16) * 257


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(samples: np.ndarray, bits: int, kind: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of (H, W) or (H, W, C) samples; chunks (name, content) stand before the pixels."""
    height, width = samples.shape[:2]
    flat = samples.reshape(height, -1)
    if bits < 8:
        split = (np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :] for row in flat)
        rows = [np.packbits(each.ravel()) for each in split]
    else:
        rows = [row.astype(f">u{bits // 8}") for row in flat]
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    body = b"".join(png_chunk(name, content) for name, content in chunks)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + body + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


_WIDTH = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 12: 8}
_CODE = {1: "B", 2: "B", 3: "H", 4: "I", 5: "I", 7: "B"}
_LONG, _RATIONAL = (254, 256, 257, 273, 278, 279, 330), (318, 319, 532)


def tiff(*pages: dict[int, Any], order: str = "<") -> bytes:
    """A TIFF of directories.

    Args:
        pages: of each a dictionary of tags to values (numbers, bytes or a list of numbers); "strips" holds the bytes of
            its pixels, one for each strip or plane, and "nested" a list of directories of its own.
    """
    body = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 0))

    def put(page: dict[Any, Any]) -> tuple[int, int]:
        """Where a directory begins, and where the offset of the next one stands."""
        page = dict(page)
        strips, nested = page.pop("strips"), page.pop("nested", [])
        offsets = []
        for strip in strips:
            offsets.append(len(body))
            body.extend(strip + bytes(len(strip) % 2))
        page[273], page[279] = offsets, [len(strip) for strip in strips]
        if nested:
            page[330] = [put(one)[0] for one in nested]
        fields = []
        for tag, value in sorted(page.items()):
            values = [value] if isinstance(value, int) else value
            kind = 7 if isinstance(value, bytes) else 4 if tag in _LONG else 5 if tag in _RATIONAL else 3
            kind, values = (2, value.encode() + b"\0") if isinstance(value, str) else (kind, values)
            packed = bytes(values) if kind in (2, 7) else struct.pack(f"{order}{len(values)}{_CODE[kind]}", *values)
            if len(packed) > 4:
                at = len(body)
                body.extend(packed + bytes(len(packed) % 2))
                packed = struct.pack(order + "I", at)
            count = len(values) // (2 if kind == 5 else 1)
            fields.append(struct.pack(order + "HHI", tag, kind, count) + packed.ljust(4, b"\0"))
        start = len(body)
        body.extend(struct.pack(order + "H", len(fields)) + b"".join(fields) + bytes(4))
        return start, len(body) - 4

    link = 4
    for page in pages:
        start, after = put(page)
        body[link : link + 4] = struct.pack(order + "I", start)
        link = after
    return bytes(body)


def page(
    samples: np.ndarray, photometric: int, *, order: str = "<", planes: bool = False, **tags: Any
) -> dict[Any, Any]:
    """A directory of (H, W) or (H, W, C) samples, uncompressed. tags: `t254=1` and the like; `strips`, `nested`."""
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    stored = samples.astype(samples.dtype.newbyteorder(order))
    each = [stored[..., i] for i in range(channels)] if planes else [stored]
    bits = samples.dtype.itemsize * 8
    found: dict[Any, Any] = {
        256: width, 257: height, 258: [bits] * channels, 259: 1, 262: photometric, 277: channels, 278: height,
        284: 2 if planes else 1, "strips": [one.tobytes() for one in each],
    }  # fmt: skip
    for name, value in tags.items():
        found[int(name[1:]) if name[1:].isdigit() else name] = value
    return found


def exif_block(*entries: tuple[int, int, int, bytes]) -> bytes:
    """EXIF of entries (tag, type, count, value as stored, little-endian), whatever their types should be."""
    at, data, out = 8 + 2 + 12 * len(entries) + 4, b"", struct.pack("<H", len(entries))
    for tag, kind, count, value in entries:
        field = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", at + len(data))
        data += value if len(value) > 4 else b""
        out += struct.pack("<HHI", tag, kind, count) + field
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + out + struct.pack("<I", 0) + data


def with_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    """A JPEG with one more segment at its beginning."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + jpeg[2:]


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
