"""High dynamic range: what its metadata says, how encoders are told, and what a network for ordinary pictures sees."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

PQ, HLG = 16, 18  # transfer functions as ITU-T H.273 numbers them
REFERENCE_NITS = 203.0  # of diffuse white (ITU-R BT.2408)
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073  # ITU-R BT.2100
_HLG_WHITE = 0.265  # scene light of diffuse white, at 75 % of the signal


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
    for data in frame.side_data:
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


def _relative_light(code: Tensor, transfer: int) -> Tensor:
    """Code values in [0, 1] to light, 1 at diffuse white."""
    if transfer == PQ:  # SMPTE ST 2084
        power = code.clamp(min=0) ** (32 / 2523)
        light = ((power - 0.8359375).clamp(min=0) / (18.8515625 - 18.6875 * power)) ** (8192 / 1305)
        return light * (10000 / REFERENCE_NITS)
    scene = torch.where(code <= 0.5, code**2 / 3, (((code - _HLG_C) / _HLG_A).exp() + _HLG_B) / 12)
    return scene / _HLG_WHITE


def ordinary_codes(code: Tensor, transfer: int) -> Tensor:
    """What an sRGB picture of the same scene would hold: straight up to middle tones, rolling off towards highlights.

    Args:
        code: luma in [0, 1] of a PQ or HLG film.

    Example:
        >>> round(ordinary_codes(torch.tensor(0.58), PQ).item(), 2)  # diffuse white
        0.91
    """
    light = _relative_light(code, transfer)
    knee = 0.5
    light = torch.where(light <= knee, light, 1 - (1 - knee) * torch.exp(-(light - knee) / (1 - knee)))
    return torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def _lightness(code: Tensor) -> Tensor:
    """sRGB gray in [0, 1] to L in [0, 100]."""
    light = torch.where(code <= 0.04045, code / 12.92, ((code.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)
    return torch.where(light > 0.008856, 116 * light.clamp(min=0.008856) ** (1 / 3) - 16, 903.3 * light)


def eyes(lightness: Tensor, transfer: int) -> Tensor:
    """Lightness that was computed as if the film were an ordinary one, as the network should see it.

    Args:
        lightness: of `ops.luma_to_input`. transfer: of the film; any but PQ and HLG changes nothing.

    Example:
        >>> eyes(torch.full((1, 1, 2, 2), 60.0), 1).unique().item()
        60.0
    """
    if transfer not in (PQ, HLG):
        return lightness
    # Both ways are functions of the code value alone: a table of them joins the two.
    codes = torch.linspace(0, 1, 4097, dtype=torch.float64)
    taken, wanted = _lightness(codes), _lightness(ordinary_codes(codes, transfer))
    at = torch.searchsorted(taken, lightness.double().cpu()).clamp(1, len(codes) - 1)
    fraction = (lightness.double().cpu() - taken[at - 1]) / (taken[at] - taken[at - 1])
    mapped = wanted[at - 1] + fraction.clamp(0, 1) * (wanted[at] - wanted[at - 1])
    return mapped.to(lightness)


# A step of PQ code is a larger step of light than one of sRGB, so the same difference between the channels' codes is
# more colour: by this factor at middle tones, where both slopes d log(light) / d code are taken.
COLOUR_FACTOR = {PQ: 0.33, HLG: 0.8}
