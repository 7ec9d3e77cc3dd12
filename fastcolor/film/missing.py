"""How many bytes a film file lacks by its own count."""

from __future__ import annotations

from pathlib import Path

_SEGMENT = b"\x18\x53\x80\x67"  # Matroska: everything after the file's header
_EBML = b"\x1a\x45\xdf\xa3"


def missing_bytes(path: Path) -> int:
    """How many bytes a Matroska, MP4 or AVI file lacks by its own count; 0 where nothing is missing or known."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(1 << 12)
        if head.startswith(_EBML):
            return max(0, _matroska_end(head, size) - size)
        if head[:4] == b"RIFF" and head[8:12] == b"AVI ":  # longer ones go on in further chunks
            return max(0, 8 + int.from_bytes(head[4:8], "little") - size)
        if head[4:8] not in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
            return 0
        at = 0
        while at + 8 <= size:  # the boxes on the top level, each with its length
            file.seek(at)
            box = file.read(16)
            length = int.from_bytes(box[:4], "big")
            if length == 1:
                length = int.from_bytes(box[8:16], "big")
            if length < 8:  # 0: to the end of the file
                return 0
            at += length
        return max(0, at - size)


def _matroska_end(head: bytes, size: int) -> int:
    """Where the segment ends; `size` where it does not say."""
    at = head.find(_SEGMENT)
    if at < 0 or at + 12 > len(head):
        return size
    first = head[at + 4]
    width = 9 - first.bit_length()  # leading zeros tell how many bytes the number has
    if not 1 <= width <= 8:
        return size
    length = int.from_bytes(head[at + 4 : at + 4 + width], "big") & ((1 << 7 * width) - 1)
    unknown = length == (1 << 7 * width) - 1
    return size if unknown else at + 4 + width + length
