"""Where another version of a film lies, in time and in the picture: looked for before there is work."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..steering.align import SURE, Alignment, align, likeness
from .by_time import first, frames_at, frames_near, moments, span
from .clock import Cut
from .colored import COLORED, spread
from .frames import plane_view
from .probe import Film

MOMENTS = 8  # looked at
AROUND = Fraction(4, 10)  # seconds around each, in which its frame is looked for
THUMB = 160  # pixels of the longer side, for looking
MOVES = 0.02  # of likeness: by how much another frame must be the likest one for the version to be late


@dataclass(frozen=True)
class Place:
    """How a version lies beside a film.

    Attributes:
        shift: what its times lack of the film's. whole: of the picture, the film as a whole. late: seconds by which the
        version was found to run late, which `shift` makes up for.
    """

    shift: Fraction = Fraction(0)
    whole: Alignment = field(default_factory=Alignment.none)
    late: Fraction = Fraction(0)


@dataclass(frozen=True)
class _Fit:
    """How a version fits a moment, and how many seconds later than the film's its frame is."""

    alignment: Alignment
    late: Fraction


class Finder:
    """Looks for a version beside a film.

    Args:
        film, version: both. cut: what of the film. path: of the version, for messages. ours: it is a chroma film.
    """

    def __init__(self, film: Film, version: Film, cut: Cut, path: Path, *, ours: bool) -> None:
        self.film, self.version, self.cut, self.path, self.ours = film, version, cut, path, ours
        self.turns = (version.turns - film.turns) % 4
        shape = _aspect(version)
        self.shapes = (_aspect(film), 1 / shape if self.turns % 2 else shape)  # as `align` takes them

    def lies_alike(self) -> bool:
        """Whether it shows the film at its times and place, so that nothing need be looked for."""
        shown, own = span(self.film, self.cut), span(self.version)
        begin, end = max(shown[0], own[0]), min(shown[1], own[1])
        if begin >= end:
            return False
        for at in moments(self.film, begin, end, 2):
            frames = [next(frames_at(one, [at]), None) for one in (self.film, self.version)]
            if frames[0] is None or frames[1] is None:
                continue
            now, other = (thumb(one[1]) for one in frames if one)
            like = likeness(now, sized(other, now), Alignment.none())
            if like is not None:
                return like >= SURE
        return True

    def place(self) -> Place:
        """Where it lies, from a few moments.

        Raises:
            ValueError: it is gray, shows something else, or has no time in common with the film.
        """
        film, version = self.film, self.version
        shown, own = span(film, self.cut), span(version)
        shifts = [Fraction(0)] if self.ours else list(dict.fromkeys((first(film) - own[0], Fraction(0))))
        shared = [(max(shown[0], own[0] + s), min(shown[1], own[1] + s), s) for s in shifts]
        shared = [one for one in shared if one[0] < one[1]]
        if not shared:
            raise ValueError(f"chroma_from: must share some time with the film, got {self.path}, which shares none")
        fits: list[tuple[Fraction, _Fit]] = []
        colored = self.ours
        for begin, end, shift in shared:
            for at, frame in frames_at(film, moments(film, begin, end, MOMENTS)):
                others = frames_near(version, at - shift, AROUND)
                colored = colored or any(spread(other) > COLORED for _, other in others)
                sure = next((fit.alignment for _, fit in fits if fit.alignment.sure), None)
                fit = self._fit(frame, at, [(time + shift, other) for time, other in others], sure, len(fits) < 2)
                if fit is not None:
                    fits.append((shift, fit))
            if any(fit.alignment.sure for _, fit in fits):
                break
        if not colored:
            raise ValueError(f"chroma_from: must be a coloured version, got the gray film {self.path}")
        if not fits:
            return Place(shared[0][2])  # too little to see: the version is taken as it lies
        found = [(shift, fit) for shift, fit in fits if fit.alignment.sure]
        if not found:
            likest = max(max(fit.alignment.confidence, 0) for _, fit in fits)
            raise ValueError(
                f"chroma_from: must show the same film at the same time, got {self.path} of likeness {likest:.2f}, "
                f"below {SURE}"
            )
        late = _agreed([fit.late for _, fit in found])
        whole = max((fit.alignment for _, fit in found), key=lambda one: one.confidence)
        return Place(found[0][0] - late, whole, late)

    def _fit(
        self, frame: Any, at: Fraction, others: list[tuple[Fraction, Any]], near: Alignment | None, search: bool
    ) -> _Fit | None:
        """How a version's frames around a time fit a film's frame; None where there is nothing to see.

        Args:
            near, search: as `align` takes them.
        """
        if not others:
            return None
        now, planes = thumb(frame), [thumb(other, self.turns) for _, other in others]
        order = sorted(range(len(others)), key=lambda i: abs(others[i][0] - at))
        nearest = order[0]
        best = align(now, planes[nearest], aspects=self.shapes, near=near, search=search)
        for i in order[1::3] if not best.sure and search else ():
            best = max(best, align(now, planes[i], aspects=self.shapes, search=False), key=lambda one: one.confidence)
        if best.blind:
            return None
        if not best.sure:
            return _Fit(best, Fraction(0))
        likes = [likeness(now, sized(one, now), best) or 0.0 for one in planes]
        likest = int(np.argmax(likes))
        if likes[likest] - likes[nearest] < MOVES:
            likest = nearest
        return _Fit(best, others[likest][0] - at if likest != nearest else Fraction(0))


def _aspect(film: Film) -> float:
    """Width over height as shown, in the direction in which its frames are stored."""
    return film.width * float(film.sample_aspect or 1) / film.height


def thumb(frame: Any, turns: int = 0) -> Tensor:
    """Luma in 0..1 of a frame, made small, and turned by quarters counterclockwise."""
    scale = THUMB / max(frame.width, frame.height)
    width, height = max(16, round(frame.width * min(1, scale))), max(16, round(frame.height * min(1, scale)))
    small = frame.reformat(width, height, "gray")
    return torch.from_numpy(plane_view(small, 0, np.uint8).astype(np.float32)).rot90(turns) / 255


def sized(plane: Tensor, like: Tensor) -> Tensor:
    """A plane with another's number of pixels, for comparing contrasts of the same scale."""
    if plane.shape == like.shape:
        return plane
    return F.interpolate(plane[None, None], like.shape, mode="bilinear", antialias=True, align_corners=False)[0, 0]


def _agreed(deltas: list[Fraction]) -> Fraction:
    """The lateness that more than half of the moments that move agree on; else none."""
    moved = [float(delta) for delta in deltas if delta]
    if len(moved) < 2 or 2 * len(moved) < len(deltas):
        return Fraction(0)
    middle = float(np.median(moved))
    near = [delta for delta in deltas if abs(float(delta) - middle) < 0.02]
    return near[0] if 2 * len(near) > len(moved) else Fraction(0)
