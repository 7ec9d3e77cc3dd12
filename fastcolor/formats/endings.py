"""Which names are pictures, and which can be written; without Pillow, so that a refusal answers at once."""

from __future__ import annotations

from pathlib import Path

# Every ending that is read and written in colour.
SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pnm",
    ".tga", ".jp2", ".j2k", ".heic", ".heif", ".avif",
}  # fmt: skip
GRAY_ONLY = {".pgm", ".pbm"}
PICTURE_SUFFIXES = SUFFIXES | GRAY_ONLY  # that are read


class PictureError(ValueError):
    """A picture that cannot be read or written; the message names it and says why."""


def check_target(path: Path) -> None:
    """PictureError when a name's ending cannot hold a colour picture."""
    suffix = path.suffix.lower()
    if suffix in GRAY_ONLY:
        raise PictureError(f"{path}: {suffix} cannot hold colour; choose another format")
    if suffix not in SUFFIXES:
        raise PictureError(f"{path}: must end in one of {', '.join(sorted(SUFFIXES))}")
