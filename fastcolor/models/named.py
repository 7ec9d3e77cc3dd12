"""Weights by name, and the files that hold them: no network is needed to know them."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

NAMED = {"default": Path(__file__).parents[1] / "assets" / "default.safetensors"}
# State dicts that are downloaded at first use: the network that each is of, and the side in pixels that suits it.
PUBLISHED = {
    "eccv16": ("eccv16", 256),
    "siggraph17": ("siggraph17", 256),
    "ddcolor": ("ddcolor", 512),
    "ddcolor-modelscope": ("ddcolor", 512),
    "ddcolor-artistic": ("ddcolor", 512),
    "ddcolor-tiny": ("ddcolor-tiny", 512),
    "deoldify": ("deoldify", 560),
    "deoldify-stable": ("deoldify-wide", 560),
    "deoldify-video": ("deoldify-wide", 336),
}


def names() -> list[str]:
    """The weights that are known by name; all but "default" are downloaded at first use."""
    return [*NAMED, *PUBLISHED]


def check(name_or_path: str | os.PathLike[str]) -> Path | None:
    """The file behind a name or path, as far as it can be told without a download.

    Raises:
        ValueError: an unknown name, or a folder. FileNotFoundError: no such file.
    """
    name = str(name_or_path)
    if name in PUBLISHED:
        return None
    path = NAMED.get(name) or Path(name_or_path)
    if not path.exists():
        if path.suffix or path.parent != Path("."):
            raise FileNotFoundError(f"weights: no such file: {path}")
        close = difflib.get_close_matches(name, names(), 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"weights: must be a file or one of {', '.join(names())}, got {name!r}{hint}")
    if path.is_dir():
        raise ValueError(f"weights: must be a file, got the folder {path}")
    return path


def locate(name_or_path: str | os.PathLike[str]) -> Path:
    """The file behind a name such as "default" or "eccv16", or behind a path; a published one is downloaded if need be.

    Raises:
        ValueError: an unknown name, or a folder. FileNotFoundError: no such file. DownloadError: see
        `fastcolor.models.download.fetch`.
    """
    path = check(name_or_path)
    if path is None:
        from . import download

        return download.fetch(str(name_or_path))
    return path
