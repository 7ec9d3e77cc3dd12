"""Pictures for training and measuring: from folders, lists, zip and tar files."""

from __future__ import annotations

import os
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .constants import MOST_PICTURE, Source
from .formats.endings import PICTURE_SUFFIXES

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True)
class Item:
    """One picture: a file, or a member of an archive and where its bytes lie, so that reading one opens no index."""

    path: str
    member: str | None = None
    offset: int = 0  # of the member's data in a tar file, of its local header in a zip file
    size: int = 0
    zip_method: int | None = None  # how a zip member is compressed; None in a tar file
    unpacked: int = 0  # bytes that a zip member says it unpacks to

    @property
    def name(self) -> str:
        return self.path if self.member is None else f"{self.path}:{self.member}"

    def read(self) -> bytes:
        if self.member is None:
            return Path(self.path).read_bytes()
        if (most := max(self.size, self.unpacked)) > MOST_PICTURE:
            raise ValueError(f"{self.name}: must unpack to {MOST_PICTURE:,} bytes at most, got {most:,}")
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            if self.zip_method is None:
                return file.read(self.size)
            header = file.read(30)  # the local header ends in the lengths of a name and of extra fields
            if header[:4] != b"PK\x03\x04":
                raise ValueError(f"{self.name}: the archive changed or is damaged")
            file.seek(sum(struct.unpack("<HH", header[26:30])), os.SEEK_CUR)
            data = file.read(self.size)
        if self.zip_method == zipfile.ZIP_STORED:
            return data
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        whole = unpacker.decompress(data, self.unpacked + 1)  # no more than it says, and one byte to see that by
        if len(whole) != self.unpacked or not unpacker.eof:
            raise ValueError(f"{self.name}: the archive is damaged, or says wrongly what it unpacks to")
        return whole


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in PICTURE_SUFFIXES and not Path(name).name.startswith(".")


def find(source: Source) -> list[Item]:
    """List the pictures of a source, in a fixed order, without opening them.

    Args:
        source: a picture, a folder (searched whole, but for hidden files and folders), a zip or tar file of pictures,
            a `.txt` list with one picture a line (relative to the list), or several of these.

    Raises:
        FileNotFoundError: no such file. ValueError: a source of a kind not listed, or without pictures.
    """
    if not isinstance(source, (str, os.PathLike)):
        items = [item for one in source for item in find(one)]
        if not items:
            raise ValueError("data: must name at least one source, got an empty list")
        return items
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"data: no such file or folder: {path}")
    if path.is_dir():
        seen = [p for p in sorted(path.rglob("*")) if not any(one[0] == "." for one in p.relative_to(path).parts)]
        items = [Item(str(p)) for p in seen if _is_picture(p.name) and p.is_file()]
        shards = [p for p in seen if p.parent == path and p.suffix.lower() in (".zip", ".tar")]
        items += [item for shard in shards for item in find(shard)]
    elif path.suffix.lower() == ".txt":
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        items = [Item(str(path.parent / line)) for line in lines if line]
    elif _is_picture(path.name):
        items = [Item(str(path))]
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            packed = [m for m in archive.infolist() if _is_picture(m.filename)]
        if unknown := [m.filename for m in packed if m.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)]:
            raise ValueError(
                f"data: zip members must be stored or deflated, got another method for {unknown[0]} in {path}"
            )
        items = [
            Item(str(path), m.filename, m.header_offset, m.compress_size, m.compress_type, m.file_size) for m in packed
        ]
    elif tarfile.is_tarfile(path):
        try:
            with tarfile.open(path, "r:") as archive:  # uncompressed: members are byte ranges
                members = [m for m in archive if m.isreg() and _is_picture(m.name)]
        except tarfile.ReadError:
            raise ValueError(f"data: tar files must be uncompressed and whole, got {path}") from None
        items = [Item(str(path), m.name, m.offset_data, m.size) for m in members]
    else:
        raise ValueError(f"data: must be a picture, folder, list (.txt), zip or tar file, got {path}")
    if not items:
        raise ValueError(f"data: no picture ({', '.join(sorted(PICTURE_SUFFIXES))}) in {path}")
    return items


def decode(item: Item, *, at_least: int | None = None) -> Image.Image:
    """An upright sRGB picture, the first of its file.

    Args:
        at_least: JPEGs may be decoded at a half, a quarter or an eighth of their size while their shorter side keeps
            so many pixels.

    Raises:
        ValueError: a picture that cannot be read, whatever is wrong with it, by its name.
    """
    from PIL import Image  # what decodes is loaded here: `find` refuses before that

    from .formats.pixels import eight_bit
    from .formats.reading import read_bytes

    try:
        picture = read_bytes(item.read(), item.name, at_least=at_least).frames[0]
    except Exception as error:  # of many kinds, from files and from archives
        words = str(error).removeprefix(f"{item.name}: ") or type(error).__name__
        raise ValueError(f"{item.name}: not a readable picture ({words})") from None
    return Image.fromarray(eight_bit(picture.pixels)).convert("RGB")


def pictures(source: Source) -> Iterator[tuple[str, np.ndarray]]:
    """Go through a source's pictures once, as (name, (H, W, 3) uint8). Unreadable ones are skipped with a warning.

    Raises:
        ValueError: not one picture could be read; FileNotFoundError, ValueError as `find`.

    Example:
        >>> for name, rgb in pictures("photos.zip"):  # doctest: +SKIP
        ...     print(name, rgb.shape)
    """
    import numpy as np

    readable = 0
    for item in find(source):
        try:
            rgb = np.array(decode(item))
        except ValueError as error:
            warnings.warn(f"skipped {error}", stacklevel=2)
            continue
        readable += 1
        yield item.name, rgb
    if not readable:
        raise ValueError(f"data: no readable picture in {source}")
