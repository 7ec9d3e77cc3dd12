"""Weights by name, and the files that hold them: no network is needed to know them."""

from __future__ import annotations

import difflib
import math
import os
import re
from pathlib import Path

from ..options.base import shown
from .home import home

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


def installed() -> list[str]:
    """Those that need no download any more."""
    from . import download

    remotes, folder = {**download.PUBLISHED, **download.UNSTATED}, home() / "weights"
    return [*NAMED, *(name for name in PUBLISHED if (folder / remotes[name].file).is_file())]


def members(weights: str | os.PathLike[str]) -> list[tuple[str, float]]:
    """The networks that weights name, each with its share: of "deoldify-video+ddcolor" two, of most one.

    Raises:
        ValueError: no name between two +, a network twice, or shares that are not numbers above 0 for all or for none.

    Example:
        >>> members("deoldify-video*0.4 + ddcolor*0.6")
        [('deoldify-video', 0.4), ('ddcolor', 0.6)]
    """
    given = os.fspath(weights)
    if "+" not in given or os.path.exists(given):
        return [(given, 1.0)]
    found = []
    for piece in map(str.strip, given.split("+")):
        name, star, share = piece, "", "1"
        if "*" in piece and not os.path.exists(piece):
            name, star, share = (part.strip() for part in piece.rpartition("*"))
        if not name:
            raise ValueError(f"weights: must name a network on both sides of +, got {given!r}")
        if not re.fullmatch(r"\d*\.?\d+|\d+\.", share) or not 0 < float(share) < math.inf:
            raise ValueError(
                f"weights: must give shares above 0 as in NAME*0.4+NAME*0.6, got {shown(share)} in {shown(given)}"
            )
        found.append((name, float(share), star))
    names, _, starred = zip(*found, strict=True)
    if len(set(names)) < len(names):
        raise ValueError(f"weights: must be merged from different networks, got {given!r}")
    if len(set(starred)) > 1:
        raise ValueError(f"weights: must give every network a share or none, got {given!r}")
    return [(name, share) for name, share, _ in found]


def check(name_or_path: str | os.PathLike[str]) -> Path | None:
    """The file behind a name or path, as far as it can be told without a download; of a merge each is looked at.

    Raises:
        ValueError: an unknown name, or a folder. FileNotFoundError: no such file.
    """
    merged = members(name_or_path)
    if len(merged) > 1:
        for one, _ in merged:
            check(one)
        return None
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


def locate(name_or_path: str | os.PathLike[str], *, trust_first: bool = False) -> Path:
    """The file behind a name such as "default" or "eccv16", or behind a path; a published one is downloaded if need be.

    Args:
        trust_first: as `fastcolor.models.download.fetch` takes it.

    Raises:
        ValueError: an unknown name, a folder, or a merge, which is no one file. FileNotFoundError: no such file.
        DownloadError: see `fastcolor.models.download.fetch`.
    """
    if len(members(name_or_path)) > 1:
        raise ValueError(f"weights: must be one network here, got the merge {str(name_or_path)!r}")
    path = check(name_or_path)
    if path is None:
        from . import download

        return download.fetch(str(name_or_path), trust_first=trust_first)
    return path
