"""Key frames found again: shots that show what a key frame of another shot shows, by the network's features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from ..pictures.colorize import Colorizer
from ..steering.references import Reference, matched
from . import hdr
from .clock import Cut
from .frames import gray_of
from .probe import Film
from .shots import each_shot

# Of a shot's picture, what must find something alike for it to show what a key frame shows. Of 300 pairs of unrelated
# photographs the likest comes to 0.1, of photographs and seven tenths of them all come to 0.33.
FOUND = 0.15


@dataclass(frozen=True)
class Again:
    """A shot that shows what key frames of other shots show: when it begins and ends on the film's clock."""

    begin: Fraction
    end: Fraction
    references: list[Reference]


def seen_lightness(frame: Any, film: Film, colorizer: Colorizer, size: tuple[int, int]) -> Tensor:
    """(1, 1, h, w): a frame, upright, as the network sees it. size: (h, w) of that, as the film is stored."""
    lightness = colorizer.lightness(torch.from_numpy(gray_of(frame, film.codec))[None], size)
    return hdr.eyes(lightness, film.transfer).rot90(film.turns, (2, 3))


def find_again(
    film: Film, cut: Cut, colorizer: Colorizer, size: tuple[int, int], keys: Sequence[tuple[Fraction, Reference]]
) -> tuple[list[Again], int]:
    """The shots that show what key frames of others show, and how many shots have no key frame of their own.

    Args:
        cut: where to look. size: as for `seen_lightness`. keys: each at its time on the film's clock.
    """
    found, others = [], 0
    for shot in each_shot(film, lambda frame: seen_lightness(frame, film, colorizer, size), cut):
        if any(shot.begin <= at < shot.end for at, _ in keys):
            continue
        others += 1
        seen = colorizer.see(shot.picture)
        likest = [key for _, key in keys if float((matched(seen, shot.picture, [key])[1] > 0).float().mean()) >= FOUND]
        if likest:
            found.append(Again(shot.begin, shot.end, likest))
    return found, others
