"""The options of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from .steering import Painting


@dataclass(frozen=True, kw_only=True)
class Pictures(Painting):
    """What is asked of many pictures."""

    format: str | None = None
    """Ending of the pictures, such as png. None: as the input's."""
    allow_truncated: bool = False
    """Read what is left of truncated pictures."""
    shard: Annotated[str, tyro.conf.arg(metavar="I/N")] = "1/1"
    """Do the I-th of N equal shares of a folder."""
    log: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Add a line of JSON for each file: time, input, output, status, seconds, error, warnings."""


@dataclass(frozen=True)
class ColorizeOptions(Pictures):
    """Colour pictures: files, folders (whole trees, but for hidden files) or both."""

    inputs: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IN [IN ...]", help_behavior_hint="(required)")
    ]
    """Pictures and folders of pictures."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
    """A picture's name for one picture, else a folder; a name that ends in / is a folder's."""
