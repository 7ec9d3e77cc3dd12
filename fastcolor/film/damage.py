"""Signs of damage that no exception tells of: errors that libav only logs, and a file shorter than it says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

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


class Reported:
    """Counts the errors that some of libav's components log while this is open.

    libav's own threads call back into Python for that. Whoever waits for such a thread with the interpreter's lock held
    would wait for ever: let decoders run dry before they are closed.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names, self.count, self.first = set(names), 0, ""

    def __enter__(self) -> Reported:
        import av.logging

        self._level = av.logging.get_level()
        av.logging.set_level(av.logging.ERROR)
        self._capture: Any = av.logging.Capture(local=False)
        self._logs = self._capture.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        import av.logging

        self.take()
        self._capture.__exit__(*error)
        av.logging.set_level(self._level)

    def take(self, *, count: bool = True) -> None:
        """Count what was logged since the last time, or forget it."""
        for _, name, message in self._logs:
            if count and name in self.names:
                self.count += 1
                self.first = self.first or message.strip()
        self._logs.clear()
