"""The options of the page that needs no server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from .base import NameOrPath, Options


@dataclass(frozen=True, kw_only=True)
class PortableOptions(Options):
    """Write the page of pictures as a folder for any web host: the network runs in the visitor's browser, offline."""

    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR", help_behavior_hint="(required)")]
    """The folder to write; it is made."""
    weights: Annotated[NameOrPath, tyro.conf.arg(metavar="WEIGHTS")] = "default"
    """A name, or a file of weights or ONNX."""
    precision: Literal["int8", "fp32"] | None = None
    """int8 is 5 MB small, and comes for the default weights; fp32 needs fastcolor[onnx]. None: int8, else fp32."""
    hints: bool = False
    """Let visitors set colours by clicking too: 5 MB more, for the default network; needs fastcolor[onnx]."""
    webgpu: bool = False
    """Use visitors' graphics processors where they are faster: 45 MB more, fetched by those; needs fastcolor[onnx]."""
    runtime: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The dist folder of onnxruntime-web. None: npm fetches it, once."""
    overwrite: bool = False
    """Replace what is there of an earlier export."""
