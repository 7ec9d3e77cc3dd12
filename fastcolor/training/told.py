"""Simulated hints of every kind that people give, and what is to come of each: to learn hints alone by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from ..steering.references import Reference, matched
from .hints import points_on, random_strokes, recolour, some_object, tell

_OBJECTS, _REFERENCES = 0.35, 0.3  # shares of the pictures; the rest get points and strokes
_MANY, _POINTS = 0.5, (20, 65)  # share of the rest that gets many points, and how many: of more 50 points gain no more
_OTHER_COLOUR, _OTHER_LIGHTNESS = 12.0, 20.0  # what is beyond an object's edge differs by one of these


class Told(NamedTuple):
    """Pictures, and what somebody says of them.

    Attributes:
        lab: (N, 3, H, W) as they are to be coloured. seen: what the network sees in them. hints: (ab, mask) as
            `random_strokes` has them; of references the mask is their strength. follow: (N, 1, H, W) bool, where the
            colours are to be learnt. stay: where they are to be what they were without hints.
    """

    lab: Tensor
    seen: tuple[Tensor, ...]
    hints: tuple[Tensor, Tensor]
    follow: Tensor
    stay: Tensor


def random_told(lab: Tensor, random: np.random.Generator, see: Callable[[Tensor], tuple[Tensor, ...]]) -> Told:
    """Tell something of every picture: points and strokes, in half of the pictures many of them; 1 to 3 points on one
    object, mostly in a colour of elsewhere, beyond whose edges nothing is to change; or what a reference tells, found
    as it is for people: a mirrored picture, a part of one, and sometimes a picture of something else.

    Args:
        lab: (N, 3, H, W) as the network sees it, H and W multiples of 32. random: what decides. see: the network's
            features of lightness (N, 1, H, W), with attributes as `references.LEVELS` names them.

    Example:
        >>> from fastcolor import models
        >>> told = random_told(torch.ones(2, 3, 64, 64), np.random.default_rng(0), models.build("default").features)
        >>> told.hints[0].shape, told.stay.shape
        (torch.Size([2, 2, 64, 64]), torch.Size([2, 1, 64, 64]))
    """
    lab, cells = lab.clone(), avg_pool2d(lab, 4)
    ab, mask = torch.zeros_like(lab[:, 1:]), torch.zeros_like(lab[:, :1])
    follow, stay = torch.ones_like(mask, dtype=torch.bool), torch.zeros_like(mask, dtype=torch.bool)
    seen = see(lab[:, :1])  # which other colours do not change
    kinds, referred = random.random(len(lab)), []
    for i, kind in enumerate(kinds):
        if kind < _REFERENCES:
            referred.append(i)
        elif kind > 1 - _OBJECTS and (zones := _object(lab, cells, i, (ab[i], mask[i]), random)) is not None:
            follow[i], stay[i] = (interpolate(zone[None, None].float(), scale_factor=4)[0] > 0 for zone in zones)
        else:
            many = int(random.integers(*_POINTS)) if random.random() < _MANY else None
            one = slice(i, i + 1)
            ab[one], mask[one] = random_strokes(lab[one, 1:], random, share=1.0, points=many)
    if referred:
        _refer(lab, seen, (ab, mask), torch.cat([_view(lab, i, random) for i in referred]), referred, see)
    return Told(lab, seen, (ab, mask), follow, stay)


def _object(
    lab: Tensor, cells: Tensor, picture: int, hints: tuple[Tensor, Tensor], random: np.random.Generator
) -> tuple[Tensor, Tensor] | None:
    """Tell an object's colour. Returns the cells (h, w) that are to follow, and those that are to stay: what differs
    from it, at least a cell away. None: there is no object where it was looked for."""
    if (found := some_object(cells[picture], random)) is None:
        return None
    at, inside = found
    away = (cells[picture] - (cells[picture] * inside).sum((1, 2), keepdim=True) / inside.sum()).abs()
    unlike = (away[1:].norm(dim=0) > _OTHER_COLOUR) | (away[0] > _OTHER_LIGHTNESS)
    if random.random() < 0.75:
        lab[picture, 1:] += recolour(cells, picture, at, inside, random)
    for top, left, radius in points_on(inside, random):
        reach = radius * min(lab.shape[2:])
        tell(*hints, (top, left), (reach, reach), lab[picture, 1:, top, left])
    return inside > 0, unlike & (max_pool2d(inside[None], 3, 1, 1)[0] == 0)


@torch.no_grad()
def _refer(
    lab: Tensor,
    seen: tuple[Tensor, ...],
    hints: tuple[Tensor, Tensor],
    views: Tensor,
    pictures: Sequence[int],
    see: Callable[[Tensor], tuple[Tensor, ...]],
) -> None:
    """Tell pictures what a reference for each, of `views`, tells of them."""
    theirs = see(views[:, :1])
    for at, (picture, view) in enumerate(zip(pictures, views.split(1), strict=True)):
        reference = Reference(_only(theirs, at), view[:, 1:], view[:, :1])
        found = matched(_only(seen, picture), lab[picture : picture + 1, :1], [reference])
        for plane, of_it in zip(hints, found, strict=True):
            plane[picture] = of_it[0].to(lab.device)


def _view(lab: Tensor, picture: int, random: np.random.Generator) -> Tensor:
    """(1, 3, H, W), a reference for a picture: itself mirrored or a part of it, now and then another picture."""
    height, width = lab.shape[2:]
    kind = random.random()
    if kind < 0.15:
        picture = (picture + 1) % len(lab)
    if kind < 0.55:
        return lab[picture : picture + 1].flip(3)
    share = random.uniform(0.6, 0.95)
    high, wide = round(share * height), round(share * width)
    top, left = int(random.integers(height - high + 1)), int(random.integers(width - wide + 1))
    part = lab[picture : picture + 1, :, top : top + high, left : left + wide]
    return interpolate(part, (height, width), mode="bilinear", align_corners=False)


def _only(seen: tuple[Tensor, ...], picture: int) -> tuple[Tensor, ...]:
    """One picture of what a network saw in several."""
    return type(seen)(*(plane[picture : picture + 1] for plane in seen))
