"""High dynamic range: what a network for ordinary pictures sees of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..formats.spaces import HLG, PQ, Space, ordinary_codes
from ..reference import _gray_to_l

# The highest code that keeps its place below white: of 1,000 nits, where most films are graded to end.
PEAKS = {PQ: 0.7518, HLG: 1.0}


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
    codes = np.linspace(0, 1, 4097)
    shown = ordinary_codes(codes, Space(transfer=transfer), PEAKS[transfer])
    taken, wanted = _gray_to_l(torch.from_numpy(codes)), _gray_to_l(torch.from_numpy(shown))
    at = torch.searchsorted(taken, lightness.double().cpu()).clamp(1, len(codes) - 1)
    fraction = (lightness.double().cpu() - taken[at - 1]) / (taken[at] - taken[at - 1])
    mapped = wanted[at - 1] + fraction.clamp(0, 1) * (wanted[at] - wanted[at - 1])
    return mapped.to(lightness)


# A step of PQ code is a larger step of light than one of sRGB, so the same difference between the channels' codes is
# more colour: by this factor at middle tones, where both slopes d log(light) / d code are taken.
COLOUR_FACTOR = {PQ: 0.33, HLG: 0.8}
