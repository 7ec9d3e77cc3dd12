"""Painted batches encoded into parts, and beside each the part of a chroma film."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from .chroma_film import ChromaWriter
from .encoding import Encoding
from .probe import Film
from .read import Batch
from .resume import Parts
from .write import PartWriter


def write_parts(batches: Iterable[Batch], film: Film, encoding: Encoding, parts: Parts, *, chroma: bool) -> None:
    """Encode part after part; each counts once it is complete, and what is not is no longer there behind a failure.

    Args:
        batches: painted; one with a `state` is its part's last. chroma: their chroma film's frames are there, to be
            written as well.
    """
    part: _Part | None = None
    try:
        for batch in batches:
            part = part or _Part(film, encoding, parts, chroma=chroma)
            part.write(batch)
            if batch.state is not None:
                part.finish(batch.state)
                part = None
        if part is not None:
            part.finish({})
            part = None
    finally:
        if part is not None:
            part.abandon()


class _Part:
    """The next part that is to be written."""

    def __init__(self, film: Film, encoding: Encoding, parts: Parts, *, chroma: bool) -> None:
        self.parts = parts
        self.picture = PartWriter(film, encoding, parts.next())
        self.chroma: ChromaWriter | None = None
        try:
            self.chroma = ChromaWriter(film, parts.next_chroma()) if chroma else None
        except BaseException:
            self.abandon()
            raise

    def write(self, batch: Batch) -> None:
        self.picture.write(batch.frames)
        if self.chroma:
            self.chroma.write(batch.chroma)

    def finish(self, state: dict[str, Tensor]) -> None:
        """Complete it. state: what the next one begins with."""
        self.picture.finish()
        if self.chroma:
            self.chroma.finish()
        self.parts.add(self.picture.frames, self.picture.delay, state)

    def abandon(self) -> None:
        """Clear it away after a failure."""
        self.picture.abandon()
        self.parts.next().unlink(missing_ok=True)
        if self.chroma:
            self.chroma.abandon()
            self.parts.next_chroma().unlink(missing_ok=True)
