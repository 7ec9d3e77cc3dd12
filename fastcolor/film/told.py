"""What people say of a film's colours: hints and key frames, carried through their shots, and references.

Hints and key frames are looked at before there is work. When painting comes near one, it is followed from its frame to
both sides, until a cut: for every place of a frame is known where in the key frame it lies, and how sure that is.
Motion is that of blocks from frame to frame, set right against the key frame itself each time, so that it does not
drift. What is said of a shot stays in it.
"""

from __future__ import annotations

import bisect
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice, takewhile
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..options.hints import Hint
from ..options.key_frames import KeyFrame
from ..options.project import Shot, shot_at
from ..pictures.colorize import Colorizer
from ..pictures.version import key_colours
from ..steering.planes import planes
from ..steering.references import Reference, looks_of, matched, toned
from .again import Again, find_again, seen_lightness
from .anchor import Anchor, Followed, Place, mixed, walk
from .by_time import shown_at, stamped
from .clock import Cut
from .frames import plane_view, upright_gray
from .probe import Film

REACH = 500  # frames to either side that are followed at most
_SHOTS = 8  # whose references are kept


class Told:
    """What is told of one film.

    Args:
        colorizer: its network. size: (h, w) of what that sees, as the film is stored. given: shots of the project whose
            colours come from elsewhere: what is said of them is looked at once the network has to paint a frame of them
            after all. carry: where key frames are to be found again; None: nowhere.

    Raises:
        ValueError: a hint or key frame outside the film, a key frame of another frame or in gray, a gray reference, or
            a network that follows no hints or does not say what looks alike.
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
        self._reach = REACH / film.rate
        self._lock = threading.Lock()  # of several painters that come near something, the first follows it
        self._waiting: list[Anchor] = []  # until painting comes near
        self._followed: list[Followed] = []  # until it is far behind
        self._unseen: set[int] = set()  # shots that were not looked at
        self._shot_references: dict[int, list[Reference]] = {}  # of the last few
        self._shares: list[float] = []
        if any((hints, key_frames, *(shot.hints or shot.key_frames for shot in project))):
            colorizer.check_hints()
        self._look_at(hints, key_frames)
        for number, shot in enumerate(project):
            if self._carries or shot not in given:
                self._look_at(shot.hints, shot.key_frames, number)
                for one in shot.references:
                    colorizer.reference(one)
            else:
                self._unseen.add(number)
        self._again: list[Again] = []
        self._others = 0  # shots without a key frame
        if carry is not None:
            keys = [(one.at, one.reference) for one in self._waiting if one.reference is not None]
            self._again, self._others = find_again(film, carry, colorizer, size, keys)

    def ab(self, lightness: Tensor, times: Iterable[Fraction], temperature: float | None) -> Tensor:
        """Colours of frames, as the predictor gives them.

        Args:
            lightness: (n, 1, h, w) as the film is stored. times: of the frames, on the film's clock; from call to call
                they grow, but for what several painters do at once.

        Returns:
            (n, 2, h', w').
        """
        turns, done = self.film.turns, []
        for now, at in zip(lightness.rot90(turns, (2, 3)).split(1), times, strict=True):
            number = self._shot_at(at)
            soft, exact = self._given(at, number)
            references, saturation, warmth = [*self.references, *self._found_again(at)], 1.0, temperature
            if number is not None:
                shot = self._shots[number]
                references += self._references_of(number)
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

    def _look_at(self, hints: Sequence[Hint], key_frames: Sequence[KeyFrame], shot: int | None = None) -> None:
        """Get ready what is said of the film, or of a shot of the project."""
        self._waiting += [self._of_hints(at, told, shot) for at, told in _together(hints)]
        self._waiting += [self._of_picture(one, shot) for one in key_frames]

    def _shot_at(self, at: Fraction) -> int | None:
        """The number of the project's shot at a time of the film's clock."""
        return shot_at(self._shots, at - self.film.origin)

    def _of_hints(self, seconds: float, hints: list[Hint], shot: int | None) -> Anchor:
        at, _ = shown_at(self.film, seconds, "hints: time")
        turns = self.film.turns
        upright = self.size[::-1] if turns % 2 else self.size
        ab, mask = (plane.rot90(-turns, (2, 3)) for plane in planes(hints, upright))
        return Anchor(at, ab.half(), mask.half(), exact=False, shot=shot)

    def _of_picture(self, key: KeyFrame, shot: int | None) -> Anchor:
        at, frame = shown_at(self.film, key.seconds, "key_frames")
        ab, mask = key_colours(key.picture, upright_gray(frame, self.film.codec, self.film.turns), f"{key.seconds:g} s")
        ab, mask = (plane.rot90(-self.film.turns, (2, 3)) for plane in (ab * mask, mask))
        ab, mask = (F.interpolate(plane, self.size, mode="bilinear", antialias=True) for plane in (ab, mask))
        ab = ab / mask.clamp(min=1e-3)
        reference = None
        if self._carries:
            lightness = seen_lightness(frame, self.film, self.colorizer, self.size)
            known = [plane.rot90(self.film.turns, (2, 3)) for plane in (ab, mask)]
            looks = looks_of(self.colorizer.see(lightness), "carry")
            reference = Reference(looks, known[0], lightness.cpu(), known[1])
        return Anchor(at, ab.half(), mask.half(), exact=True, shot=shot, reference=reference)

    # ---- when painting comes near ----

    def _come(self, at: Fraction, number: int | None) -> None:
        """Follow what may lead to the frame of a time, in a shot of this number, and forget what is far behind."""
        with self._lock:
            if number is not None and number in self._unseen:
                self._unseen.remove(number)
                self._look_at(self._shots[number].hints, self._shots[number].key_frames, number)
            behind = at - 2 * self._reach  # what this frame does not need others may that are painted at the same time
            near = [one for one in self._waiting if abs(one.at - at) <= self._reach]
            self._waiting = [one for one in self._waiting if one.at >= behind and abs(one.at - at) > self._reach]
            self._followed = [one for one in self._followed if one.anchor.at >= behind]
            self._followed += [Followed(one, self._follow(one)) for one in near]

    def _follow(self, anchor: Anchor) -> dict[Fraction, Place]:
        """Follow an anchor to both sides."""

        def within(frames: Iterable[tuple[Fraction, Tensor]]) -> Iterator[tuple[Fraction, Tensor]]:
            shot = anchor.shot
            return takewhile(lambda one: shot is None or one[0] == anchor.at or self._shot_at(one[0]) == shot, frames)

        # Where frames are short, more than those lie within that time.
        before = deque(self._lumas(anchor.at - self._reach, anchor.at), REACH + 1)
        after = islice(self._lumas(anchor.at, anchor.at + self._reach), REACH)
        return walk(anchor, within(reversed(before))) | walk(anchor, within(after))

    def _lumas(self, begin: Fraction, end: Fraction) -> Iterator[tuple[Fraction, Tensor]]:
        """(time, (1, h, w) uint8 luma at the network's size) of the frames of a span of the film's clock, both ends
        included."""
        for at, frame in stamped(self.film, max(self.film.origin, begin)):
            if at > end:
                return
            if at >= begin:
                small = frame.reformat(self.size[1], self.size[0], "gray")
                yield at, torch.from_numpy(plane_view(small, 0, np.uint8).copy())[None]

    # ---- frame by frame ----

    def _found_again(self, at: Fraction) -> list[Reference]:
        """The key frames of other shots that show what the shot of a time shows."""
        number = bisect.bisect_right([one.begin for one in self._again], at) - 1
        return self._again[number].references if number >= 0 and at < self._again[number].end else []

    def _references_of(self, number: int) -> list[Reference]:
        """Those of a shot of the project."""
        with self._lock:
            if number not in self._shot_references:
                while len(self._shot_references) >= _SHOTS:
                    del self._shot_references[next(iter(self._shot_references))]
                self._shot_references[number] = [
                    self.colorizer.reference(one) for one in self._shots[number].references
                ]
            return self._shot_references[number]

    def _given(
        self, at: Fraction, number: int | None
    ) -> tuple[tuple[Tensor, Tensor] | None, tuple[Tensor, Tensor] | None]:
        """(ab, mask) of hints and of key frames for the frame of a time, in a shot of this number, at the network's
        size; None for none."""
        self._come(at, number)
        found = [(one.anchor, one.frames[at]) for one in tuple(self._followed) if at in one.frames]
        soft, exact = ([one for one in found if one[0].exact == exactly] for exactly in (False, True))
        return mixed(soft), mixed(exact)

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


def _together(hints: Sequence[Hint]) -> list[tuple[float, list[Hint]]]:
    """Hints by their times."""
    found: dict[float, list[Hint]] = {}
    for hint in hints:
        assert hint.time is not None  # which was checked
        found.setdefault(hint.time, []).append(hint)
    return list(found.items())
