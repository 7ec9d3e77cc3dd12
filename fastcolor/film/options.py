"""The options of a film, and their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HARDWARE = ("auto", "on", "off")


@dataclass(frozen=True)
class VideoOptions:
    """The options of `fastcolor video` and `fastcolor-video`, and their defaults."""

    weights: str = "default"
    """Name of the weights, or a .safetensors file."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    engine: str = "auto"
    """What runs the network: auto or torch."""
    hardware: Literal["auto", "on", "off"] = "off"
    """NVDEC and NVENC: auto tries them if a GPU paints, on tries them anyway; off, because no GPU has run them yet."""
    temperature: float | None = None
    """0 or 0.001 to 10; lower is more saturated and less even. None: the weights' own."""
    saturation: float = 1.0
    """0 to 10, a factor on the colours; 0 is gray."""
    temporal: Literal["off", "fast", "flow"] = "fast"
    """Smoothing over time: fast follows the frame before, flow those before and after, off paints each by itself."""
    codec: str | None = None
    """h264, hevc, av1, vp9 or ffv1. None: the input's own, or h264."""
    crf: int | None = None
    """Quality, 0 is best; None: visually lossless."""
    fast: bool = False
    """Encode several times faster into larger files."""
    lossless: bool = False
    """Encode without any loss."""
    start: float | None = None
    """Paint from this second on."""
    end: float | None = None
    """Paint up to this second."""
    skip_colored: bool = False
    """Leave stretches alone that are in colour already."""
    compare: bool = False
    """Write the gray film and the painted one side by side."""
    preview: bool = False
    """Paint ten seconds from the middle only, encoded fast."""
    resume: bool = False
    """Go on where a run that was killed, cancelled or out of disk left off."""
    overwrite: bool = False
    """Replace an existing output, and an unfinished one."""
