"""References: colours of another picture for what looks alike in it.

Cells of what the network saw in both pictures are matched at two scales, each cell with the one that it resembles most,
if that one in turn resembles it or a neighbour of it most. A match above a similarity is a hint, with the similarity as
its strength; what finds no match is left to the network, and so is all where next to nothing does: a wrong colour is
worse than none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Of what the default network saw, cells of 8 and of 16 pixels: the cosine of features, without what all cells have in
# common, from which a match is taken, and at which it is a hint of full strength.
LEVELS = {"looks_8": (0.84, 0.88), "looks_16": (0.6, 0.68)}
WEAKEST = 0.6  # strength of a hint that is just taken
# Shares of the picture's cells with a match from which a reference is heard, and fully: some cells of unrelated
# photographs match too, 0.08 of them at most in 300 pairs.
HEARD = (0.05, 0.1)
TONE = 0.35  # of the way to the references' tone
_ALIKE = 2.0  # lightness: what differs by more hardly says its colour to each other
_NEAR, _LEVELS = 8.0, 26  # lightnesses that share a tone, about, and at which one is found
_PAIRS = 1 << 22  # of cells that are compared at once: of large pictures all would take a gigabyte


class Looks(NamedTuple):
    """Of a network's features what references are matched by, as `LEVELS` names it."""

    looks_8: Tensor
    looks_16: Tensor


def looks_of(seen: tuple[Tensor, ...], what: str = "references") -> Looks:
    """The looks among a network's features.

    Args:
        what: needs them, for messages.

    Raises:
        ValueError: there are none.
    """
    try:
        return Looks(*(getattr(seen, level) for level in LEVELS))
    except AttributeError:
        raise ValueError(f"{what}: must come with the default network, whose features say what looks alike") from None


@dataclass(frozen=True)
class Reference:
    """A picture whose colours are known, as a network saw it.

    Attributes:
        seen: of `looks_of`, or all of the network's features. ab: (1, 2, h, w) at the size that it saw, in Lab units.
        lightness: (1, 1, h, w). known: (1, 1, h, w), from 0 to 1, where its colours are known; None: everywhere.
        weight: of its hints, to 1.
    """

    seen: tuple[Tensor, ...]
    ab: Tensor
    lightness: Tensor
    known: Tensor | None = None
    weight: float = 1.0


def matched(seen: tuple[Tensor, ...], lightness: Tensor, references: Sequence[Reference]) -> tuple[Tensor, Tensor]:
    """Hints from references.

    Args:
        seen: the network's features of one picture. lightness: (1, 1, h, w), what it saw.

    Returns:
        (ab, mask) as `planes` gives them; where references differ the likest counts, by weight.
    """
    size = lightness.shape[2:]
    ab, mask = torch.zeros(1, 2, *size), torch.zeros(1, 1, *size)
    for reference in references:
        for level in LEVELS:
            there, strength = _level(getattr(seen, level)[0].float(), reference, level)
            colours = _coloured(lightness, reference, there)
            colours, strength = (
                plane.repeat_interleave(scale, 2).repeat_interleave(scale, 3).cpu()
                for plane in (colours, strength[None, None])
                for scale in (size[0] // plane.shape[2],)
            )
            ab = torch.where(strength > mask, colours, ab)
            mask = torch.maximum(mask, strength)
    return ab, mask


def toned(ab: Tensor, lightness: Tensor, references: Sequence[Reference]) -> Tensor:
    """Colours moved a part of the way to the references' tone: to their mean colour at each lightness.

    Args:
        ab: (1, 2, h, w) of the picture. lightness: (1, 1, H, W) of it.

    Returns:
        (1, 2, h, w).
    """
    own = F.interpolate(lightness.to(ab.device), ab.shape[-2:], mode="bilinear", antialias=True, align_corners=False)
    theirs = [(one.lightness.to(ab.device).flatten(), one.ab.to(ab.device).flatten(2)[0]) for one in references]
    weights = [torch.full_like(one, reference.weight) for (one, _), reference in zip(theirs, references, strict=True)]
    lights, colours = torch.cat([one for one, _ in theirs]), torch.cat([one for _, one in theirs], 1)
    wanted = _tone(lights, colours, torch.cat(weights))
    have = _tone(own.flatten(), ab.flatten(2)[0])
    at = (own[0, 0] * ((_LEVELS - 1) / 100)).clamp(0, _LEVELS - 1.001)
    low, part = at.long(), at % 1
    change = wanted - have
    return ab + TONE * (change[:, low] * (1 - part) + change[:, low + 1] * part)[None]


def _tone(lightness: Tensor, ab: Tensor, weight: Tensor | None = None) -> Tensor:
    """(2, levels): mean colours around lightnesses. lightness, weight: (n,); ab: (2, n)."""
    every = max(1, len(lightness) // 4096)
    lightness, ab = lightness[::every], ab[:, ::every]
    levels = torch.linspace(0, 100, _LEVELS, device=lightness.device)
    weights = torch.exp(-(((levels[:, None] - lightness) / _NEAR) ** 2) / 2) + 1e-4
    if weight is not None:
        weights = weights * weight[::every]
    return ab @ (weights / weights.sum(1, keepdim=True)).T


def _level(features: Tensor, reference: Reference, level: str) -> tuple[Tensor, Tensor]:
    """(h, w) cells of the reference that those of one scale resemble most, by number, and strengths of their hints.
    features: (C, h, w)."""
    others = getattr(reference.seen, level)[0].float()
    height, width = features.shape[1:]
    own, other = features.flatten(1), others.flatten(1)
    both = torch.cat([own, other], 1)
    mean, spread = both.mean(1, keepdim=True), both.std(1, keepdim=True) + 1e-3
    own, other = (F.normalize((plane - mean) / spread, dim=0) for plane in (own, other))
    best, there, back = _likest(own, other)
    here, again = torch.arange(len(there), device=there.device), back[there]
    off = torch.maximum((again // width - here // width).abs(), (again % width - here % width).abs())
    least, full = LEVELS[level]
    found = (off <= 1) & (best >= least)
    share = ((best - least) / (full - least)).clamp(max=1)
    low, high = HEARD
    heard = ((found.float().mean() - low) / (high - low)).clamp(0, 1)
    strength = (WEAKEST + (1 - WEAKEST) * share) * found * heard
    strength = strength * reference.weight
    if reference.known is not None:
        strength = strength * _cells(reference.known.to(there.device), others.shape[1:])[0, there]
    return there.view(height, width), strength.view(height, width)


def _likest(own: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of unit vectors, (C, n) and (C, m): for each of the first the likeness (n,) of the likest of the second, and its
    number (n,); and for each of the second the number (m,) of the likest of the first."""
    rows = max(1, _PAIRS // other.shape[1])
    found: list[tuple[Tensor, ...]] = []
    most = other.new_full(other.shape[1:], -2.0)  # less than any
    back = most.long()
    for number, part in enumerate(own.split(rows, 1)):
        likeness = part.T @ other
        found.append(tuple(likeness.max(1)))
        alike, row = likeness.max(0)
        back = torch.where(alike > most, row + number * rows, back)
        most = torch.maximum(most, alike)
    best, there = (torch.cat(parts) for parts in zip(*found, strict=True))
    return best, there, back


def _coloured(lightness: Tensor, reference: Reference, there: Tensor) -> Tensor:
    """(1, 2, 2 h, 2 w): what cells of a reference say to each quarter of those that resemble them: the colours of their
    own quarters, the more the nearer their lightness is, each beside that of its cell. there: (h, w) of `_level`."""
    height, width = there.shape
    own = F.interpolate(lightness.to(there.device), (2 * height, 2 * width), mode="area")
    own = F.pixel_unshuffle(own, 2)[0].flatten(1)
    scale = lightness.shape[2] // height
    high, wide = (side // scale for side in reference.lightness.shape[2:])
    planes = torch.cat([plane.to(there.device) for plane in (reference.lightness, reference.ab)], 1)
    known = torch.ones_like(planes[:, :1]) if reference.known is None else reference.known.to(there.device)
    planes = torch.cat([planes * known, known], 1)  # what is not known, in a part of a cell, says nothing
    planes = F.pixel_unshuffle(F.interpolate(planes, (2 * high, 2 * wide), mode="area"), 2)[0]
    planes = planes.unflatten(0, (4, 4)).flatten(2)[:, :, there.flatten()]
    theirs, known = planes[:3] / planes[3].clamp(min=1e-6), planes[3]
    mean = (theirs[0] * known).sum(0) / known.sum(0).clamp(min=1e-6)
    away = (own - own.mean(0))[:, None] - (theirs[0] - mean)
    share = torch.softmax(known.clamp(min=1e-6).log() - (away / _ALIKE).square() / 2, 1)
    colours = (share * theirs[1:, None]).sum(2)
    return F.pixel_shuffle(colours.flatten(0, 1).view(1, 8, height, width), 2)


def _cells(planes: Tensor, size: tuple[int, ...]) -> Tensor:
    """(C, cells) means of planes (1, C, H, W) over cells, (h, w) of them."""
    cells = F.interpolate(planes, size, mode="bilinear", antialias=True, align_corners=False)
    return cells[0].flatten(1)
