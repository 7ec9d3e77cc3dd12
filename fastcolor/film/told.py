"""What people say of a film's colours: hints and key frames, carried through their shots, and references.

Before there is work, each hint and key frame is followed from its frame to both sides, until a cut: for every place of
a frame is known where in the key frame it lies, and how sure that is. Motion is that of blocks from frame to frame,
set right against the key frame itself each time, so that it does not drift. What is said of a shot stays in it.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, takewhile
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import ops
from ..options.hints import Hint
from ..options.key_frames import KeyFrame
from ..options.project import Shot, shot_at
from ..pictures.colorize import Colorizer
from ..pictures.version import key_colours
from ..steering.planes import planes
from ..steering.references import Reference, matched, toned
from .again import Again, find_again, seen_lightness
from .by_time import shown_at, stamped
from .change import change_of
from .clock import Cut
from .frames import plane_view, upright_gray
from .probe import Film

CELL = 4  # pixels of the network's input to a place
REACH = 500  # frames to either side that are followed at most
FADE = 0.997  # of sureness, from frame to frame
TOLERANCE = 20.0  # codes of luma by which a place may differ from its place in the key frame: half as sure then
CUT = 0.6  # of sureness that is left from one frame to the next within a shot, at least
FORGET = 0.15  # mean sureness where a key frame was told, below which it is no longer followed


@dataclass(frozen=True)
class Anchor:
    """Colours that are known at one frame.

    Attributes:
        at: its time on the film's clock. ab, mask: (1, 2, h, w) and (1, 1, h, w) at the network's size. exact: they are
            colours to be shown as they are, not hints to be followed. reference: of a key frame, if other shots may
            show the same.
    """

    at: Fraction
    ab: Tensor
    mask: Tensor
    exact: bool
    reference: Reference | None = None


@dataclass(frozen=True)
class _Followed:
    anchor: Anchor
    places: Tensor  # (1, h, w, 2) float16, where in the anchor each place lies, -1 to 1
    sure: Tensor  # (1, 1, h, w) uint8
    away: int  # frames


class Told:
    """What is told of one film.

    Args:
        colorizer: its network. size: (h, w) of what that sees, as the film is stored. given: shots of the project whose
            colours come from elsewhere: what is said of them is followed once the network has to paint a frame of them
            after all. carry: where key frames are to be found again; None: nowhere.

    Raises:
        ValueError: a hint or key frame outside the film, a key frame of another frame or in gray, or a network that
            follows no hints.
    """

    def __init__(
        self,
        film: Film,
        colorizer: Colorizer,
        size: tuple[int, int],
        *,
        hints: Sequence[Hint] = (),
        key_frames: Sequence[KeyFrame] = (),
        references: Sequence[Any] = (),
        tone: bool = False,
        project: Sequence[Shot] = (),
        given: Sequence[Shot] = (),
        carry: Cut | None = None,
    ) -> None:
        self.film, self.colorizer, self.size, self.tone = film, colorizer, size, tone
        self.references: list[Reference] = [colorizer.reference(one) for one in references]
        self._shots, self._carries = project, carry is not None
        self._shot_references: dict[int, list[Reference]] = {}  # of those that are ready
        self._lock = threading.Lock()  # of several painters that come to a shot, the first gets it ready
        self._by_time: dict[Fraction, list[_Followed]] = {}
        self._shares: list[float] = []
        if any((hints, key_frames, *(shot.hints or shot.key_frames for shot in project))):
            colorizer.check_hints()
        anchors = self._told(hints, key_frames)
        for number, shot in enumerate(project):
            if self._carries or shot not in given:
                anchors += self._of_shot(number)
        self._again: list[Again] = []
        self._others = 0  # shots without a key frame
        if carry is not None:
            keys = [(one.at, one.reference) for one in anchors if one.reference is not None]
            self._again, self._others = find_again(film, carry, colorizer, size, keys)

    def ab(self, lightness: Tensor, times: Iterable[Fraction], temperature: float | None) -> Tensor:
        """Colours of frames, as the predictor gives them.

        Args:
            lightness: (n, 1, h, w) as the film is stored. times: of the frames, on the film's clock.

        Returns:
            (n, 2, h', w').
        """
        turns, done = self.film.turns, []
        for now, at in zip(lightness.rot90(turns, (2, 3)).split(1), times, strict=True):
            number = self._shot_at(at)
            if number is not None:
                with self._lock:
                    if number not in self._shot_references:
                        self._of_shot(number)
            soft, exact = self._given(at)
            references, saturation, warmth = [*self.references, *self._found_again(at)], 1.0, temperature
            if number is not None:
                shot = self._shots[number]
                references = [*references, *self._shot_references[number]]
                saturation, warmth = shot.saturation, temperature if shot.temperature is None else shot.temperature
            if soft is None and exact is None and not references:
                plain = self.colorizer.predict_ab(now, temperature=warmth)
                done.append(plain.rot90(-turns, (2, 3)) * saturation)
                continue
            seen = self.colorizer.see(now)
            hints = self._hints(seen, now, references, soft, exact)
            ab = self.colorizer.follow(seen, hints, temperature=warmth)
            if self.tone and references:
                ab = toned(ab, now, references)
            ab = ab.rot90(-turns, (2, 3))
            if exact is not None:
                colours, sure = (plane.to(ab.device) for plane in exact)
                ab = F.interpolate(ab.float(), self.size, mode="bilinear", align_corners=False)
                ab = ab + (colours - ab) * sure
            done.append(ab * saturation)
        if len({ab.shape for ab in done}) > 1:
            done = [F.interpolate(ab.float(), self.size, mode="bilinear", align_corners=False) for ab in done]
        return torch.cat(done)

    def sentences(self) -> Iterable[str]:
        """What to tell of the whole run."""
        if self._shares:
            share = 100 * sum(self._shares) / len(self._shares)
            yield f"references: {share:.0f} % of the pictures found something alike, on average"
        if self._others:
            yield f"key frames: found again in {len(self._again)} of the {self._others} shots without one"

    # ---- before there is work ----

    def _told(self, hints: Sequence[Hint], key_frames: Sequence[KeyFrame], shot: int | None = None) -> list[Anchor]:
        """Hints and key frames, followed: in a shot of the project, or wherever they lead."""
        anchors = [self._of_hints(at, told) for at, told in _together(hints)]
        anchors += [self._of_picture(one) for one in key_frames]
        for anchor in anchors:
            self._follow(anchor, shot)
        return anchors

    def _of_shot(self, number: int) -> list[Anchor]:
        """Get ready what is said of a shot of the project; its hints and key frames."""
        shot = self._shots[number]
        anchors = self._told(shot.hints, shot.key_frames, number)
        self._shot_references[number] = [self.colorizer.reference(one) for one in shot.references]
        return anchors

    def _shot_at(self, at: Fraction) -> int | None:
        """The number of the project's shot at a time of the film's clock."""
        return shot_at(self._shots, at - self.film.origin)

    def _of_hints(self, seconds: float, hints: list[Hint]) -> Anchor:
        at, _ = shown_at(self.film, seconds, "hints: time")
        turns = self.film.turns
        upright = self.size[::-1] if turns % 2 else self.size
        ab, mask = (plane.rot90(-turns, (2, 3)) for plane in planes(hints, upright))
        return Anchor(at, ab, mask, exact=False)

    def _of_picture(self, key: KeyFrame) -> Anchor:
        at, frame = shown_at(self.film, key.seconds, "key_frames")
        ab, mask = key_colours(key.picture, upright_gray(frame, self.film.turns), f"{key.seconds:g} s")
        ab, mask = (plane.rot90(-self.film.turns, (2, 3)) for plane in (ab * mask, mask))
        ab, mask = (F.interpolate(plane, self.size, mode="bilinear", antialias=True) for plane in (ab, mask))
        ab = ab / mask.clamp(min=1e-3)
        reference = None
        if self._carries:
            lightness = seen_lightness(frame, self.film, self.colorizer, self.size)
            known = [plane.rot90(self.film.turns, (2, 3)) for plane in (ab, mask)]
            reference = Reference(self.colorizer.see(lightness), known[0], lightness.cpu(), known[1])
        return Anchor(at, ab, mask, exact=True, reference=reference)

    def _luma(self, frame: Any) -> Tensor:
        """(1, h, w) uint8 at the network's size."""
        small = frame.reformat(self.size[1], self.size[0], "gray")
        return torch.from_numpy(plane_view(small, 0, np.uint8).copy())[None]

    def _follow(self, anchor: Anchor, shot: int | None) -> None:
        """Follow an anchor to both sides. shot: of the project, which it does not leave."""
        step = 1 / self.film.rate
        begin = max(self.film.origin, anchor.at - REACH * step)
        before = [(at, self._luma(frame)) for at, frame in _until(self.film, begin, anchor.at)]
        if not before:
            return

        def within(frames: Iterable[tuple[Fraction, Tensor]]) -> Iterator[tuple[Fraction, Tensor]]:
            return takewhile(lambda one: shot is None or one[0] == anchor.at or self._shot_at(one[0]) == shot, frames)

        self._walk(anchor, within(reversed(before)))
        ahead = ((at, self._luma(frame)) for at, frame in stamped(self.film, anchor.at) if at >= anchor.at)
        self._walk(anchor, within(islice(ahead, REACH)), skip=1)

    def _walk(self, anchor: Anchor, frames: Iterable[tuple[Fraction, Tensor]], *, skip: int = 0) -> None:
        """Note for frame after frame where its places lie in the anchor, whose frame is the first."""
        walk: _Walk | None = None
        mask = F.max_pool2d(anchor.mask, CELL)
        whole = float(mask.sum())
        for number, (at, luma) in enumerate(frames):
            if walk is None:
                walk = _Walk(luma, self.size)
            elif not walk.step(luma):
                return
            sure = walk.sure * FADE**number
            told = F.grid_sample(mask, walk.places, padding_mode="zeros", align_corners=False)
            if float((told * sure).sum()) < FORGET * whole:
                return
            if number >= skip:
                kept = _Followed(anchor, walk.places.half(), (sure * 255).round().to(torch.uint8), number)
                self._by_time.setdefault(at, []).append(kept)

    # ---- frame by frame ----

    def _found_again(self, at: Fraction) -> list[Reference]:
        """The key frames of other shots that show what the shot of a time shows."""
        number = bisect.bisect_right([one.begin for one in self._again], at) - 1
        return self._again[number].references if number >= 0 and at < self._again[number].end else []

    def _given(self, at: Fraction) -> tuple[tuple[Tensor, Tensor] | None, tuple[Tensor, Tensor] | None]:
        """(ab, mask) of hints and of key frames for the frame of a time, at the network's size; None for none."""
        followed = self._by_time.get(at, ())
        return (
            _mixed([one for one in followed if not one.anchor.exact]),
            _mixed([one for one in followed if one.anchor.exact]),
        )

    def _hints(
        self,
        seen: tuple[Tensor, ...],
        lightness: Tensor,
        references: Sequence[Reference],
        soft: tuple[Tensor, Tensor] | None,
        exact: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, Tensor] | None:
        """Everything as hints for the network: (ab, mask) at its size, upright. lightness: what it sees."""
        turns = self.film.turns
        size = self.size[::-1] if turns % 2 else self.size
        ab, mask = torch.zeros(1, 2, *size), torch.zeros(1, 1, *size)
        if references:
            ab, mask = matched(seen, lightness, references)
            self._shares.append(float((mask > 0).float().mean()))
        for given, least in ((exact, 0.5), (soft, 0.05)):
            if given is None:
                continue
            colours, sure = (plane.rot90(turns, (2, 3)) for plane in given)
            sure = sure * (sure / least - 0.5).clamp(0, 1)  # little by little, or the network's share would flicker
            ab, mask = torch.where(sure > 0, colours, ab), torch.where(sure > 0, sure, mask)
        return (ab, mask) if bool(mask.any()) else None


class _Walk:
    """Where the places of frame after frame lie in the first one."""

    def __init__(self, luma: Tensor, size: tuple[int, int]) -> None:
        self._first = self._before = luma
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


def _mixed(followed: list[_Followed]) -> tuple[Tensor, Tensor] | None:
    """(ab, mask) of several anchors, by distance and sureness."""
    if not followed:
        return None
    total, colours, most = None, None, None
    for one in followed:
        told = torch.cat([one.anchor.ab * one.anchor.mask, one.anchor.mask], 1)
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


def _together(hints: Sequence[Hint]) -> list[tuple[float, list[Hint]]]:
    """Hints by their times."""
    found: dict[float, list[Hint]] = {}
    for hint in hints:
        assert hint.time is not None  # which was checked
        found.setdefault(hint.time, []).append(hint)
    return list(found.items())


def _until(film: Film, begin: Fraction, end: Fraction) -> Iterable[tuple[Fraction, Any]]:
    """Frames of a span, both ends included."""
    for at, frame in stamped(film, begin):
        if at > end:
            return
        if at >= begin:
            yield at, frame
