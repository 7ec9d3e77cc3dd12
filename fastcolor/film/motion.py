"""What moves in a film, and on which frames the network has to run: where there is something new.

A frame shows mostly what the frame before showed, a little moved. The blocks of luma that no motion explains are new:
many of them at once are a cut, some of them add up until the network looks again, and so does the way that all moved.
The network looks sooner, too, where the light changes for good and where one picture becomes another little by little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from .. import ops
from .change import Change, change_of, codes_of

T = TypeVar("T")

# Frames from one run to the next at most, and what a frame may have of new since the last run: codes, the mean over its
# blocks of what is above grain. Added up from frame to frame, each with an error of its own, it may be half as much
# again before the run itself is looked at. Measured: docs/film.md.
EVERY, NEWS, ADDED = 8, 2.0, 3.0
# Codes for a way as long as the picture: what moves is explained, but comes in at an edge, and networks change their
# mind of a thing with its place.
TRAVEL = 10.0
# Brightness changed since the last run by so many codes, or by this share of it, as in a fade: colours are paler in the
# dark. Below so many codes it is judged as if it were as bright.
LIGHT, SHARE, DIM = 20.0, 0.15, 16.0


@dataclass
class Seen:
    """Some consecutive frames, small, and how they differ from each other.

    Attributes:
        lightness: (n, 1, h, w) float32, at the network's size or half of it. luma: (n, h, w) uint8, the same in codes.
        change: from the frame before each. back: (n, 2, h / 8, w / 8), the motion of the frame before each, from it.
        cuts: it begins a shot. runs: the network runs on it.
    """

    lightness: Tensor
    luma: Tensor
    change: Change
    back: Tensor
    cuts: list[bool]
    runs: list[bool]


def travel_of(motion: Tensor) -> Tensor:
    """(N,) how far frames moved: the mean over blocks, in widths and heights of the picture. motion: (N, 2, h / 8,
    w / 8) of `block_motion`."""
    return (motion.abs().float().mean((2, 3)) / (8 * motion.new_tensor(motion.shape[2:]))).sum(1)


class Watcher:
    """Looks at a film's frames in order, and says on which the network runs.

    Args:
        part: frames after which a run is made whatever is seen, so that a film can be gone on with from there.
        every: frames from one run to the next at most.
    """

    def __init__(self, *, part: int, every: int = EVERY) -> None:
        self.part, self.every = part, every
        self._number = 0
        self._luma: Tensor | None = None  # (1, h, w) of the frame before
        self._since, self._news, self._way = 0, 0.0, 0.0  # frames, news and how far all moved since the last run
        self._run: tuple[Tensor, float] | None = None  # the luma (1, h, w) of the last run, and its brightness

    def restore(self, number: int, luma: Tensor | None) -> None:
        """Go on at a frame that begins a part, behind one of this luma (1, h, w), if that is known."""
        self._number, self._luma, self._run = number, luma, None

    def watch(
        self, films: Iterable[tuple[T, Tensor]], breaks: Callable[[T], Sequence[bool]] = lambda item: ()
    ) -> Iterator[tuple[T, Seen]]:
        """What comes with frames, and what is seen in them.

        Each is held back until the next one came: the network also runs on a frame that a cut or the film's end
        follows, as no later run tells what is new there.

        Args:
            films: something and the (n, 1, h, w) lightness of its frames, n at least 1, in order. breaks: which of
                something's frames nothing is carried over to, as if each began a shot; none, if it says nothing.
        """
        last: tuple[T, Seen] | None = None
        for item, lightness in films:
            seen = self._look(lightness, breaks(item))
            if last is not None:
                last[1].runs[-1] |= seen.cuts[0]
                yield last
            last = item, seen
        if last is not None:
            last[1].runs[-1] = True
            yield last

    def _look(self, lightness: Tensor, breaks: Sequence[bool]) -> Seen:
        luma = codes_of(lightness)
        before = torch.cat((luma[:1] if self._luma is None else self._luma, luma[:-1]))
        change = change_of(luma, before)
        back, _ = ops.block_motion(before, luma)
        change.cut[[i for i, apart in enumerate(breaks) if apart]] = True
        cuts = change.cut.tolist()
        brightness = change.brightness.tolist()
        news, ways = change.news.tolist(), travel_of(change.motion).tolist()
        runs = []
        for i in range(len(luma)):
            self._since += 1
            self._news += news[i]
            self._way += ways[i]
            own = luma[i : i + 1]
            due = self._number % self.part == 0 or cuts[i] or self._since >= self.every
            runs.append(due or self._run is None or self._is_other(own, brightness[i], *self._run))
            if i > 0 and cuts[i]:
                runs[i - 1] = True
            if runs[i]:
                self._since, self._news, self._way, self._run = 0, 0.0, 0.0, (own, brightness[i])
            self._number += 1
        self._luma = luma[-1:]
        return Seen(lightness, luma, change, back, cuts, runs)

    def _is_other(self, luma: Tensor, brightness: float, run: Tensor, former: float) -> bool:
        """Whether a frame is lighter or darker than that of the last run, or shows other things than it, together with
        how far all moved. That is looked at where news add up, as much of them is but grain and what motion of whole
        pixels leaves of texture; and half-way to the next run: in a dissolve little is new from frame to frame."""
        if abs(brightness - former) > min(LIGHT, SHARE * max(brightness, former, DIM)):
            return True
        moved = TRAVEL * self._way
        added = self._news + moved > ADDED
        if not added and self._since != self.every // 2:
            return False
        news = float(change_of(luma, run).news)
        if not added:
            return news > NEWS
        self._news = news
        return news + moved > NEWS
