"""Colours that are known at one frame of a film, followed along the motion through those around it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import ops
from ..steering.references import Reference
from .change import change_of

CELL = 4  # pixels of the network's input to a place
FADE = 0.997  # of sureness, from frame to frame
TOLERANCE = 20.0  # codes of luma by which a place may differ from its place in the key frame: half as sure then
CUT = 0.6  # of sureness that is left from one frame to the next within a shot, at least
FORGET = 0.15  # mean sureness where a key frame was told, below which it is no longer followed


@dataclass(frozen=True)
class Anchor:
    """Colours that are known at one frame.

    Attributes:
        at: its time on the film's clock. ab, mask: (1, 2, h, w) and (1, 1, h, w) at the network's size; float16, as
            there may be hundreds. exact: they are colours to be shown as they are, not hints to be followed. shot: the
            number of the project's that they are said of. reference: of a key frame, if other shots may show the same.
    """

    at: Fraction
    ab: Tensor
    mask: Tensor
    exact: bool
    shot: int | None
    reference: Reference | None = None


@dataclass(frozen=True)
class Place:
    """Where a frame shows what an anchor shows."""

    places: Tensor  # (1, h, w, 2) float16, where in the anchor each place lies, -1 to 1
    sure: Tensor  # (1, 1, h, w) uint8
    away: int  # frames


@dataclass(frozen=True)
class Followed:
    """An anchor, and the frames that it leads to, by their times."""

    anchor: Anchor
    frames: dict[Fraction, Place]


def walk(anchor: Anchor, frames: Iterable[tuple[Fraction, Tensor]]) -> dict[Fraction, Place]:
    """Where frame after frame shows what an anchor shows, until a cut, or until little of it is left.

    Args:
        frames: times and (1, h, w) uint8 luma at the network's size; the anchor's own first.
    """
    found: dict[Fraction, Place] = {}
    way: _Walk | None = None
    mask = F.max_pool2d(anchor.mask.float(), CELL)
    whole = float(mask.sum())
    for number, (at, luma) in enumerate(frames):
        if way is None:
            way = _Walk(luma)
        elif not way.step(luma):
            break
        sure = way.sure * FADE**number
        told = F.grid_sample(mask, way.places, padding_mode="zeros", align_corners=False)
        if float((told * sure).sum()) < FORGET * whole:
            break
        found[at] = Place(way.places.half(), (sure * 255).round().to(torch.uint8), number)
    return found


class _Walk:
    """Where the places of frame after frame lie in the first one."""

    def __init__(self, luma: Tensor) -> None:
        self._first = self._before = luma
        size = luma.shape[1:]
        height, width = size[0] // CELL, size[1] // CELL
        self._unmoved = F.affine_grid(torch.eye(2, 3)[None], [1, 1, height, width], align_corners=False)
        self._pixel = torch.tensor([2 / size[1], 2 / size[0]])
        self.places = self._unmoved
        self.sure = torch.ones(1, 1, height, width)

    def step(self, luma: Tensor) -> bool:
        """Go on to the next frame; whether it is of the same shot."""
        change = change_of(luma, self._before)
        self._before = luma
        if bool(change.cut[0]):
            return False
        self.places = self._moved(change.motion)
        shown = self._brought()
        self.places = self._moved(ops.block_motion(luma, shown, radius=2)[0])
        own, theirs = (F.avg_pool2d(plane[None].float(), CELL) for plane in (luma, self._brought()))
        sure = 1 / (1 + ((own - theirs) / TOLERANCE) ** 4)
        inside = (self.places.abs() <= 1).all(-1)[:, None]
        before, now = float(self.sure.mean()), sure * inside
        self.sure = now
        return float(now.mean()) > CUT * before

    def _moved(self, motion: Tensor) -> Tensor:
        """The places, after blocks of the frame were found elsewhere. motion: of `block_motion`."""
        height, width = self.places.shape[1:3]
        each = motion.float().repeat_interleave(8 // CELL, 2).repeat_interleave(8 // CELL, 3)[..., :height, :width]
        at = self._unmoved + each.flip(1).permute(0, 2, 3, 1) * self._pixel
        moved = F.grid_sample(self.places.permute(0, 3, 1, 2), at, padding_mode="border", align_corners=False)
        # Beyond the edge the places go on as they do inside it.
        return moved.permute(0, 2, 3, 1) + (at - at.clamp(-1, 1))

    def _brought(self) -> Tensor:
        """(1, h, w) uint8: the first frame where the places are."""
        size = self._first.shape[1:]
        grid = F.interpolate(self.places.permute(0, 3, 1, 2), size, mode="bilinear", align_corners=False)
        shown = F.grid_sample(
            self._first[None].float(), grid.permute(0, 2, 3, 1), padding_mode="border", align_corners=False
        )
        return shown[0].round().clamp(0, 255).to(torch.uint8)


def mixed(found: Sequence[tuple[Anchor, Place]]) -> tuple[Tensor, Tensor] | None:
    """(ab, mask) of several anchors at one frame, by distance and sureness."""
    if not found:
        return None
    total, colours, most = None, None, None
    for anchor, one in found:
        mask = anchor.mask.float()
        told = torch.cat([anchor.ab * mask, mask], 1)
        size = told.shape[-2:]
        at, sure = (
            F.interpolate(plane.float(), size, mode="bilinear", align_corners=False)
            for plane in (one.places.permute(0, 3, 1, 2), one.sure)
        )
        told = F.grid_sample(told, at.permute(0, 2, 3, 1), padding_mode="zeros", align_corners=False)
        sure = told[:, 2:] * sure / 255
        weight = sure / (one.away + 1)
        ab = told[:, :2] / told[:, 2:].clamp(min=1e-3)
        colours = weight * ab if colours is None else colours + weight * ab
        total = weight if total is None else total + weight
        most = sure if most is None else torch.maximum(most, sure)
    assert total is not None and colours is not None and most is not None
    return colours / total.clamp(min=1e-6), most
