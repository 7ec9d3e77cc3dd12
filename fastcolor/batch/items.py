"""The options of a batch, and what becomes of each item of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

Status = Literal["coloured", "kept", "exists", "elsewhere", "failed", "held", "fatal"]


@dataclass(frozen=True)
class BatchOptions:
    """Colour a folder's pictures and films into a folder of the same tree; what exists is skipped."""

    src: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN_DIR")]
    """The folder; hidden files in it are left out."""
    dst: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT_DIR")]
    """The folder to write; it is made."""
    weights: str = "default"
    """Name of the weights, or a .safetensors file."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    engine: str = "auto"
    """What runs the network."""
    temperature: float | None = None
    """0 or 0.001 to 10; lower is more saturated and less even. None: the weights' own."""
    saturation: float = 1.0
    """0 to 10, a factor on the colours; 0 is gray."""
    format: str | None = None
    """Ending of the pictures, such as png. None: as the input's."""
    film_format: str | None = None
    """Ending of the films, such as mp4. None: as the input's, or mkv where that cannot be written."""
    temporal: Literal["off", "fast", "flow"] = "fast"
    """Smoothing of films over time."""
    codec: str | None = None
    """Of films: h264, hevc, av1, vp9 or ffv1. None: the input's own, or h264."""
    crf: int | None = None
    """Quality of films, 0 is best; None: visually lossless."""
    fast: bool = False
    """Encode films several times faster into larger files."""
    compare: bool = False
    """Put gray and colour side by side."""
    skip_colored: bool = False
    """Keep pictures and stretches of films that are in colour as they are."""
    allow_truncated: bool = False
    """Read what is left of truncated pictures."""
    overwrite: bool = False
    """Replace existing outputs."""
    shard: str = "1/1"
    """i/n: do the i-th of n equal shares."""
    ray: str | None = None
    """Address of a Ray cluster whose machines see both folders; auto, or local for one on this machine."""
    workers: int | None = None
    """With --ray: how many processes. None: one for each GPU or, without GPUs, each core."""


@dataclass(frozen=True)
class Item:
    """A picture or film. before: what the output's name stood for when the run began, None for nothing."""

    source: Path
    target: Path
    kind: Literal["picture", "film"]
    before: tuple[int, int] | None


@dataclass(frozen=True)
class Result:
    """What became of an item. words: of a failure. warnings: that the item's own machine had."""

    status: Status
    words: str = ""
    damaged: bool = False
    warnings: tuple[str, ...] = ()
