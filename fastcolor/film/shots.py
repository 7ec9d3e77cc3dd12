"""Where a film's shots begin: frames that the motion of blocks does not explain from the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from .by_time import stamped
from .change import change_of
from .clock import Cut
from .frames import plane_view
from .probe import Film

THUMB = 160  # pixels of the longer side, for looking
KEPT = 32  # pictures of a shot, of which the middle one is given
SHORTEST = 3  # frames of a shot: what is shorter is a flash, and belongs to the one before
T = TypeVar("T")


@dataclass(frozen=True)
class Span(Generic[T]):
    """A shot: when it begins and ends on the film's clock, its frames, and a picture from its middle."""

    begin: Fraction
    end: Fraction
    frames: int
    picture: T


def each_shot(
    film: Film, picture: Callable[[Any], T], cut: Cut | None = None, looked: Callable[[], object] = lambda: None
) -> Iterator[Span[T]]:
    """A film's shots, in order. picture: what to keep of a frame. cut: what of the film to look at. looked: is called
    after each frame."""
    cut, cuts = cut or Cut(film.origin), Cuts()
    begin = last = cut.origin + cut.start
    frames, every = 0, 1
    pictures: list[T] = []
    for at, frame in stamped(film, begin if cut.start else None):
        if cut.early(at):
            continue
        if cut.over(at):
            break
        if cuts.is_cut(_luma(frame)) and frames >= SHORTEST:
            yield Span(begin, at, frames, pictures[len(pictures) // 2])
            begin, frames, pictures, every = at, 0, [], 1
        if frames % every == 0:
            pictures.append(picture(frame))
            if len(pictures) == KEPT:
                pictures, every = pictures[::2], 2 * every
        frames += 1
        last = at + 1 / film.rate
        looked()
    if frames:
        yield Span(begin, last, frames, pictures[len(pictures) // 2])


def _luma(frame: Any) -> Tensor:
    scale = min(1, THUMB / max(frame.width, frame.height))
    small = frame.reformat(max(16, round(frame.width * scale)), max(16, round(frame.height * scale)), "gray")
    return torch.from_numpy(plane_view(small, 0, np.uint8).astype(np.float32)) / 255


class Cuts:
    """Looks at one frame after the other.

    Example:
        >>> cuts = Cuts()
        >>> [cuts.is_cut(luma) for luma in (torch.zeros(32, 32), torch.zeros(32, 32), torch.ones(32, 32))]
        [True, False, True]
    """

    def __init__(self) -> None:
        self._before: Tensor | None = None

    def is_cut(self, luma: Tensor) -> bool:
        """Whether a shot begins with the next frame. luma: (h, w) in 0..1, small."""
        now = (luma * 255).round().clamp(0, 255).to(torch.uint8)[None]
        before, self._before = self._before, now
        if before is None or before.shape != now.shape:
            return True
        return bool(change_of(now, before).cut)

    def state(self) -> dict[str, Tensor]:
        """What the next frame needs of those before."""
        return {} if self._before is None else {"before": self._before.clone()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state()`."""
        self._before = state.get("before")
