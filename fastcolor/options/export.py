"""The options of exporting."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Literal

import tyro

from .base import FilePath, NameOrPath, Options


@dataclass(frozen=True)
class ExportOptions(Options):
    """Write weights as an ONNX file or, for this machine's GPU, a TensorRT engine, compared with torch."""

    weights: Annotated[NameOrPath, tyro.conf.Positional, tyro.conf.arg(metavar="WEIGHTS")]
    """Name or file."""
    out: Annotated[FilePath, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """A name ending in .onnx or .engine."""
    _: KW_ONLY
    precision: Literal["fp32", "fp16", "bf16", "int8"] | None = None
    """Of the network's body; input and output are float32. None: fp32 in .onnx; in .engine the first of fp16, bf16 and
    fp32 that agrees with torch. bf16: .engine alone. int8: .onnx, for CPUs with VNNI."""
    pictures: FilePath | None = None
    """What to compare on: folder, zip or tar file, or list of pictures. None: four photographs. For int8 every second
    one calibrates instead."""
    device: str = "auto"
    """Of an .engine: auto, cuda or cuda:N."""
    overwrite: bool = False
    """Replace an existing file."""
