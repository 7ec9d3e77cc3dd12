"""The shape of a picture's samples in a finished Matroska file.

PyAV cannot tell libav's muxer of it, and codecs without a field for it would lose it. So the picture's track gets a
name with spaces behind it, and in their place, once the file is whole, the size at which the picture is to be shown
(DisplayWidth and DisplayHeight, RFC 9559, 5.1.4.1.28).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

ROOM = " " * 16  # what the name of a track is to end in
HEAD = 1 << 20  # bytes of a file in which its tracks are described
SEGMENT, TRACKS, ENTRY, CRC, VOID = b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\xbf", b"\xec"
NAME = b"\x53\x6e"
VIDEO, DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT = b"\xe0", b"\x54\xb0", b"\x54\xba", b"\x54\xb2"


def write_shape(path: Path, track: int, size: tuple[int, int], sample_aspect: Fraction) -> None:
    """Say of a track how wide and high its picture is to be shown.

    Args:
        track: its place among the file's tracks, from 0. size: (width, height) of the picture in samples.

    Raises:
        ValueError: the file is not laid out as libav's muxer does it; it is left as it was.
    """
    with path.open("r+b") as file:
        head = bytearray(file.read(HEAD))
        tracks = _find(head, _find(head, (0, len(head)), SEGMENT), TRACKS)
        entries = [span for name, _, span in _children(head, tracks) if name == ENTRY]
        if track >= len(entries):
            raise ValueError(f"track must be one of {len(entries)}, got {track}")
        begin, end = entries[track]
        width, height = round(size[0] * sample_aspect), size[1]
        head[begin:end] = _shown_at(head, (begin, end), width, height)
        for name, _, (first, last) in _children(head, tracks):
            if name == CRC:  # of all that follows it
                head[first:last] = zlib.crc32(head[last : tracks[1]]).to_bytes(4, "little")
        file.seek(0)
        file.write(head)


def _shown_at(head: bytearray, entry: tuple[int, int], width: int, height: int) -> bytes:
    """A track's description with another size to show, as long as it was."""
    room = entry[1] - entry[0]
    for zeros in (0, 1):  # no empty element fills a single byte: a number with a zero in front does
        made = b""
        for name, start, (begin, end) in _children(head, entry):
            if name == VIDEO:
                made += _element(VIDEO, _video(head, (begin, end)) + _number(DISPLAY_WIDTH, width, zeros)
                                 + _number(DISPLAY_HEIGHT, height))  # fmt: skip
            elif name == NAME:
                text = bytes(head[begin:end]).rstrip()
                made += _element(NAME, text) if text else b""
            elif name != VOID:
                made += head[start:end]
        spare = room - len(made)
        if spare == 0:
            return made
        if 2 <= spare < 128:
            return made + VOID + bytes([0x80 | (spare - 2)]) + bytes(spare - 2)
    raise ValueError(f"a track's description has {spare} bytes to spare")


def _video(head: bytearray, span: tuple[int, int]) -> bytes:
    """What is said of the picture but for how it is shown."""
    shown = (DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT, VOID)
    return b"".join(head[start:end] for name, start, (_, end) in _children(head, span) if name not in shown)


def _number(name: bytes, value: int, zeros: int = 0) -> bytes:
    return _element(name, bytes(zeros) + value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _element(name: bytes, content: bytes) -> bytes:
    width = 1 if len(content) < 127 else 4
    return name + (len(content) | 1 << 7 * width).to_bytes(width, "big") + content


def _find(head: bytearray, span: tuple[int, int], wanted: bytes) -> tuple[int, int]:
    found = next((inside for name, _, inside in _children(head, span) if name == wanted), None)
    if found is None:
        raise ValueError(f"there is no element {wanted.hex()} in the file's head")
    return found


def _children(head: bytearray, span: tuple[int, int]) -> Iterator[tuple[bytes, int, tuple[int, int]]]:
    """(name, start, span of the content) of the elements in a span."""
    at, end = span
    while at < end:
        start = at
        name = bytes(head[at : at + 9 - head[at].bit_length()])
        at += len(name)
        width = 9 - head[at].bit_length()
        length = int.from_bytes(head[at : at + width], "big") & ((1 << 7 * width) - 1)
        at += width
        yield name, start, (at, min(at + length, len(head)))
        at += length
