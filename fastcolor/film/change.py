"""How a frame differs from the one before it: what moved, what is new, and whether a shot begins.

All is told beside what there is to see. Blocks that are black in both frames, as the bars above and below a wide
picture or a stage, do not count: half of the others make a cut. A picture of little contrast, dark or in fog, changes
by few codes, and grain changes by many that mean nothing. Where a frame is like the one before it but for the light, as
in old film that flickers and in fades, it is compared in its own light.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import ops

# A cut: in more than half of the blocks the best motion leaves over this many codes of 255 a pixel.
CUT_ERROR, CUT_SHARE = 12.0, 0.5
BLACK = 8  # codes that a black block has nothing above
FEWEST = 0.1  # of the blocks, at least, are taken to show something: a speck of dust on black is no cut
# Standard deviation of the codes of a picture of full contrast, and the least share of it that is looked for: below,
# what compression does to a film is as large.
CONTRAST, LEAST = 50.0, 0.15
GRAINY = 3.0  # codes of grain, as a standard deviation, that hide as much as full contrast
# What half of the blocks may differ by and still show nothing new, in standard deviations of the grain. Two frames'
# grain is 1.13 apart; motion of whole pixels follows texture, which is told from grain by nobody, about as well.
ALIKE = 2.0
LIT, LIGHTER = 0.7, 2.0  # the share of a difference that is left in the same light, and the most that contrast changes


@dataclass
class Change:
    """How frames differ from those before.

    Attributes:
        motion: (n, 2, h / 8, w / 8) int32, of `ops.block_motion`. cut: (n,) bool, a shot begins. news: (n,) float32,
        what was not there before: codes of 255 beside full contrast, the mean over the blocks of what is above grain.
        brightness: (n,) float32, the mean of the codes.
    """

    motion: Tensor
    cut: Tensor
    news: Tensor
    brightness: Tensor


def codes_of(lightness: Tensor) -> Tensor:
    """L (N, 1, h, w) in [0, 100] -> (N, h, w) uint8."""
    return (lightness[:, 0] * 2.55).round().clamp(0, 255).to(torch.uint8)


def change_of(luma: Tensor, before: Tensor, *, radius: int = 6) -> Change:
    """What changed from some frames to others.

    Args:
        luma, before: (n, h, w) uint8, frames and those before. radius: of the search for motion; see `block_motion`.

    Example:
        >>> frame = torch.randint(0, 256, (1, 64, 64), dtype=torch.uint8)
        >>> change_of(frame, frame).cut.tolist(), change_of(frame, frame.flip(2)).cut.tolist()
        ([False], [True])
    """
    # Every second pixel tells as much, at a quarter of the cost.
    now, former = luma[:, None, ::2, ::2].float(), before[:, None, ::2, ::2].float()
    moments, moments_before = _moments(now), _moments(former)
    brightness = moments[0].mean((1, 2))
    light = brightness - moments_before[0].mean((1, 2))
    motion, error = ops.block_motion(luma, _lit(before, now, former, moments, moments_before), radius=radius)
    codes = error / 64.0
    shown = F.max_pool2d(torch.maximum(now, former), 4, ceil_mode=True)[:, 0] > BLACK
    blocks, count = shown.shape[1] * shown.shape[2], shown.sum((1, 2)).clamp(min=1)
    grain = _grain(luma, shown)
    contrast = _contrast(moments, shown)
    scale = torch.maximum(contrast / CONTRAST, grain / GRAINY).clamp(LEAST, 1.0)
    above = (codes > CUT_ERROR * scale[:, None, None]).sum((1, 2))
    cut = above > CUT_SHARE * count.clamp(min=round(FEWEST * blocks))
    # Grain, light that flickers and what motion of whole pixels cannot follow are in all blocks alike.
    alike = torch.minimum(2 * _median(codes, shown), ALIKE * grain + light.abs())
    news = (codes - (alike + scale)[:, None, None]).clamp(min=0).mean((1, 2)) / scale
    return Change(motion, cut, news, brightness)


def _in_blocks(frames: Tensor) -> Tensor:
    """(n, h / 8, w / 8) means of the blocks of frames (n, 1, h / 2, w / 2)."""
    return F.avg_pool2d(frames, 4, ceil_mode=True, count_include_pad=False)[:, 0]


def _moments(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the blocks, and of their squares."""
    return _in_blocks(frames), _in_blocks(frames * frames)


def _deviation(mean: Tensor, square: Tensor) -> Tensor:
    return (square - mean * mean).clamp(min=0).sqrt()


def _contrast(moments: tuple[Tensor, Tensor], shown: Tensor) -> Tensor:
    """(n,) standard deviation of what is shown, but for blocks beside black ones: those may lie half in a bar."""
    inside = F.max_pool2d((~shown).float(), 3, 1, 1) == 0
    among = torch.where(inside.any((1, 2), True), inside, shown)
    count = among.sum((1, 2)).clamp(min=1)
    return _deviation(*((moment * among).sum((1, 2)) / count for moment in moments))


def _lit(
    before: Tensor, now: Tensor, former: Tensor, moments: tuple[Tensor, Tensor], moments_before: tuple[Tensor, Tensor]
) -> Tensor:
    """Frames before, in the light of those that follow where that makes them alike."""
    (mean, square), (mean_before, square_before) = (
        [moment.mean((1, 2))[:, None, None] for moment in each] for each in (moments, moments_before)
    )
    gain = _deviation(mean, square) / _deviation(mean_before, square_before).clamp(min=1)
    gain = gain.clamp(1 / LIGHTER, LIGHTER)
    apart = now[:, 0] - former[:, 0]
    left = now[:, 0] - mean - (former[:, 0] - mean_before) * gain
    alike = left.abs().mean((1, 2), keepdim=True) < LIT * apart.abs().mean((1, 2), keepdim=True)
    if not bool(alike.any()):
        return before
    lit = ((before - mean_before) * gain + mean).round().clamp(0, 255)
    return torch.where(alike, lit, before).to(torch.uint8)


def _median(values: Tensor, shown: Tensor) -> Tensor:
    """(n,) of (n, h / 8, w / 8), over what is shown."""
    return values.masked_fill(~shown, torch.nan).flatten(1).nanmedian(1).values.nan_to_num()


def _grain(luma: Tensor, shown: Tensor) -> Tensor:
    """(n,) standard deviation of what is finer than any edge, in the median block shown.

    Source: Immerkaer 1996, Fast noise variance estimation.
    """
    rows = luma.short()
    down = rows[:, :-2:2] - 2 * rows[:, 1:-1:2] + rows[:, 2::2]
    fine = (down[..., :-2:2] - 2 * down[..., 1:-1:2] + down[..., 2::2]).abs().float()
    padding = (0, -(-luma.shape[2] // 2) - fine.shape[2], 0, -(-luma.shape[1] // 2) - fine.shape[1])
    return _median(_in_blocks(F.pad(fine[:, None], padding, mode="replicate")), shown) * (0.5 * torch.pi) ** 0.5 / 6
