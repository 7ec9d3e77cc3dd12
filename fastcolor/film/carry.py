"""Colours for the frames that the network did not run on, carried there from those that it did run on.

From the run before and from the run behind, along the motion of blocks, as far as the luma agrees on the way. So what
comes into view between two runs has its colours at once, from the run behind, and nothing pops; the colours of what
stays in view go over from one run's to the next's evenly. Nothing is carried over a cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import ops
from .motion import Seen

TOLERANCE = 20.0  # codes of 255 between which the agreement of two lumas falls to a half
WHATEVER = 1e6  # a tolerance that everything is within


def _carry(ab: Tensor, frame: _Frame, other: Tensor, other_luma: Tensor, motion: Tensor, share: float) -> Tensor:
    """`ab` of a frame and a share of another's, which motion brings there, where their lumas agree."""
    return ops.temporal_average(
        ab, frame.luma, other, other_luma, motion, keep=share, tolerance=TOLERANCE, tolerance_ab=WHATEVER
    )


@dataclass
class _Frame:
    """A frame that waits for the next run. `place[index]` is where its colours belong; until then it has those of the
    run before."""

    place: list[Tensor]
    index: int
    luma: Tensor  # (1, h, w)
    motion: Tensor  # from the frame before
    back: Tensor  # of the frame before, from this one

    @property
    def ab(self) -> Tensor:
        return self.place[self.index]


class Carrier:
    """Takes a film's frames in order with the colours of those that the network ran on; gives all frames colours.

    Example:
        >>> film = [("frames", torch.full((4, 1, 64, 64), 50.0))]
        >>> carrier, of_runs = Carrier(), torch.zeros(2, 2, 16, 16)
        >>> [ab.shape for _, seen in Watcher(part=240).watch(film) for _, ab in carrier.push(seen, of_runs)]
        [torch.Size([4, 2, 64, 64])]
    """

    def __init__(self) -> None:
        self._held: deque[tuple[Seen, list[Tensor]]] = deque()
        self._waiting: list[_Frame] = []  # frames since the last run
        self._run: _Frame | None = None  # the last run's

    def push(self, seen: Seen, ab: Tensor | None) -> Iterator[tuple[Seen, Tensor]]:
        """Take the next frames; give those, pushed earlier or now, behind all of which there was a run.

        Args:
            ab: (m, 2, h', w') of the m frames on which the network ran; None where m is 0.

        Yields:
            What was pushed, oldest first, with (n, 2, h, w) colours at the lightness's size.
        """
        own = () if ab is None else F.interpolate(ab.float(), seen.luma.shape[-2:], mode="bilinear").split(1)
        runs = iter(own)
        place: list[Tensor] = []
        self._held.append((seen, place))
        for i, run in enumerate(seen.runs):
            frame = _Frame(place, i, *(each[i : i + 1] for each in (seen.luma, seen.change.motion, seen.back)))
            if run:
                place.append(next(runs))
                if not seen.cuts[i]:
                    self._mix(frame)
                self._run, self._waiting = frame, []
            else:
                place.append(self._moved(frame))
                self._waiting.append(frame)
        while self._held and all(frame.place is not self._held[0][1] for frame in self._waiting):
            oldest, colours = self._held.popleft()
            yield oldest, torch.cat(colours)

    def _moved(self, frame: _Frame) -> Tensor:
        """The colours of the frame before, brought to where this one has them, right or wrong."""
        before = self._waiting[-1] if self._waiting else self._run
        assert before is not None  # a film begins with a run
        return ops.temporal_average(
            torch.zeros_like(before.ab), frame.luma, before.ab, before.luma, frame.motion,
            keep=1.0, tolerance=WHATEVER, tolerance_ab=WHATEVER,
        )  # fmt: skip

    def _mix(self, run: _Frame) -> None:
        """Give the frames that wait what belongs to them of the run before and of this one."""
        # Backward: the run's colours where the lumas agree, else what came from the run before.
        later, later_ab, behind = run, run.ab, []
        for frame in reversed(self._waiting):
            later_ab = _carry(frame.ab, frame, later_ab, later.luma, later.back, 1.0)
            behind.append(later_ab)
            later = frame
        # Forward: with these shares it comes to (1 - t) of the run before and t of the other, t from 0 to 1.
        before, gaps = self._run, len(behind) + 1
        for number, (frame, ab) in enumerate(zip(self._waiting, reversed(behind), strict=True), start=1):
            assert before is not None
            share = (gaps - number) / (gaps - number + 1)
            frame.place[frame.index] = _carry(ab, frame, before.ab, before.luma, frame.motion, share)
            before = frame
