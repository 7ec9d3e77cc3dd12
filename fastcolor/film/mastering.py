"""What a film's metadata of high dynamic range says, and how encoders are told."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from .frames import side_data_of


@dataclass(frozen=True)
class Mastering:
    """Mastering display (SMPTE ST 2086) and light level (CTA-861.3) of a film."""

    primaries: tuple[tuple[float, float], ...] | None  # x, y of red, green, blue, white
    nits: tuple[float, float] | None  # darkest, brightest
    content_light: tuple[int, int] | None  # of the brightest pixel, of the brightest frame on average
    dynamic: bool = False  # there are other values from scene to scene, which no encoder here writes

    def options(self, family: str) -> dict[str, str]:
        """An encoder's option that writes this into the stream; empty where it has none."""
        display = None
        if self.primaries and self.nits and family in ("h264", "hevc", "av1"):
            whole = family != "av1"  # else the numbers themselves

            def number(value: float, unit: float) -> str:
                return str(round(value / unit)) if whole else f"{value:.6g}"

            red, green, blue, white = ((number(x, 2e-5), number(y, 2e-5)) for x, y in self.primaries)
            dark, bright = (number(value, 1e-4) for value in self.nits)
            named = zip(("G", "B", "R", "WP", "L"), (green, blue, red, white, (bright, dark)), strict=True)
            display = "".join(f"{name}({x},{y})" for name, (x, y) in named)
        light = "{},{}".format(*self.content_light) if self.content_light else None
        option, names = {
            "h264": ("x264-params", ("mastering-display", "cll")),
            "hevc": ("x265-params", ("master-display", "max-cll")),
            "av1": ("svtav1-params", ("mastering-display", "content-light")),
        }.get(family, ("", ("", "")))
        said = ":".join(f"{name}={value}" for name, value in zip(names, (display, light), strict=True) if value)
        return {option: said} if option and said else {}


def mastering_of(frame: Any) -> Mastering | None:
    """What a decoded frame's side data says."""
    primaries = nits = light = None
    dynamic = False
    for data in side_data_of(frame):
        if data.type.name == "MASTERING_DISPLAY_METADATA":  # AVMasteringDisplayMetadata
            numbers = struct.unpack_from("=22i", bytes(data))
            ratios = [a / b if b else 0.0 for a, b in zip(numbers[0:20:2], numbers[1:20:2], strict=True)]
            if numbers[20]:
                primaries = tuple(zip(ratios[0:8:2], ratios[1:8:2], strict=True))
            if numbers[21]:
                nits = (ratios[8], ratios[9])
        elif data.type.name == "CONTENT_LIGHT_LEVEL":  # AVContentLightMetadata
            light = struct.unpack_from("=2I", bytes(data))
        elif data.type.name in ("DYNAMIC_HDR_PLUS", "DYNAMIC_HDR_VIVID", "DOVI_METADATA"):
            dynamic = True
    return Mastering(primaries, nits, light, dynamic) if primaries or nits or light or dynamic else None
