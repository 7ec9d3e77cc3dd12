"""High dynamic range: what a network for ordinary pictures sees of it."""

from __future__ import annotations

import torch
from torch import Tensor

from ..reference import _gray_to_l, _linear_to_srgb

PQ, HLG = 16, 18  # transfer functions as ITU-T H.273 numbers them
REFERENCE_NITS = 203.0  # of diffuse white (ITU-R BT.2408)
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073  # ITU-R BT.2100
_HLG_WHITE = 0.265  # scene light of diffuse white, at 75 % of the signal


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
    return _linear_to_srgb(light)


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
    taken, wanted = _gray_to_l(codes), _gray_to_l(ordinary_codes(codes, transfer))
    at = torch.searchsorted(taken, lightness.double().cpu()).clamp(1, len(codes) - 1)
    fraction = (lightness.double().cpu() - taken[at - 1]) / (taken[at] - taken[at - 1])
    mapped = wanted[at - 1] + fraction.clamp(0, 1) * (wanted[at] - wanted[at - 1])
    return mapped.to(lightness)


# A step of PQ code is a larger step of light than one of sRGB, so the same difference between the channels' codes is
# more colour: by this factor at middle tones, where both slopes d log(light) / d code are taken.
COLOUR_FACTOR = {PQ: 0.33, HLG: 0.8}
