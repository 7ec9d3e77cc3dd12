"""Another version of a film in colour, whose colours are taken: found by time, aligned shot by shot.

A version may have any size and rate. Where it begins is looked for before there is work, at a few moments; then its
frames are read beside the film's, and what does not show the same keeps out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import ops
from ..formats.spaces import HLG, PQ
from ..options.project import Shot, shot_at
from ..steering.align import SURE, Alignment, align, likeness
from ..steering.chroma import ab_of
from .by_time import Walk, span
from .chroma_film import FORMATS, colours_of, is_ours, shots_of
from .clock import Cut
from .encoding import Layout
from .frames import plane_view
from .probe import Film, probe
from .read import Batch
from .shots import Cuts
from .version_place import THUMB, Finder, Place, sized, thumb

LOST = 0.2  # a frame of a shot that was found is another picture below this likeness
AGAIN = 12  # frames after which a shot that was not found is looked for again


@dataclass
class Given:
    """A version's frame, for one of the film's."""

    frame: Any  # av.VideoFrame
    alignment: Alignment


@dataclass
class Taken:
    """What became of the film's frames."""

    frames: int = 0
    found: int = 0
    other: int = 0  # showed something else
    spans: list[tuple[float, float]] = field(default_factory=list)  # of those, in seconds


class ChromaSource:
    """A coloured version of a film.

    Args:
        path: of the version. film: to be painted. cut: what of it. shots: of a project; of a chroma film that was made
            with others, what changed since is left out.

    Raises:
        FileNotFoundError, ValueError: no such film, a gray one, one of something else, or of another time.
    """

    def __init__(self, path: Path, film: Film, cut: Cut, shots: Sequence[Shot] = ()) -> None:
        self.path, self.film, self.cut = path, film, cut
        if not path.exists():
            raise FileNotFoundError(f"chroma_from: no such file: {path}")
        try:
            self.version = probe(path)
        except (ValueError, OSError) as error:
            raise ValueError(f"chroma_from: {error}") from None
        self.ours = is_ours(path)
        curves = {PQ: "PQ", HLG: "HLG"}
        ranges = [curves.get(one.transfer, "ordinary") for one in (self.version, film)]
        if not self.ours and ranges[0] != ranges[1]:  # the same code is another colour there
            raise ValueError(
                f"chroma_from: must be of the film's dynamic range, {ranges[1]}, got {path}, which is {ranges[0]}"
            )
        self.taken = Taken()
        self.notes: list[str] = []
        before = {(start, end): mark for start, end, mark in shots_of(path)} if self.ours and shots else {}
        self.changed = [shot for shot in shots if before and before.get((shot.start, shot.end)) != shot.mark]
        self.unchanged = [shot for shot in shots if before and shot not in self.changed]
        if self.changed:
            self.notes.append(
                f"{len(self.changed)} of {len(shots)} shots are painted anew, the others are as in {path}"
            )
        finder = Finder(film, self.version, cut, path, ours=self.ours)
        self._shapes, self._turns = finder.shapes, finder.turns
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # small planes gain nothing from more, which wait for each other
        try:
            self.alike = self.ours and finder.lies_alike()
            self.place = Place() if self.alike else finder.place()
        finally:
            torch.set_num_threads(threads)
        late = self.place.late
        if abs(late) > Fraction(6, 10) / self.version.rate:
            self.notes.append(f"{path} runs {float(late):+.3f} s beside the film, which is made up for")
        self._walk = Walk(self.version, self.place.shift, self.ours)
        scale = THUMB / max(film.width, film.height)
        self._thumb = max(16, round(film.height * scale)), max(16, round(film.width * scale))
        # By shots, as they come.
        self._cuts = Cuts()
        self._now: Alignment | None = None  # None: what is shown now was not found
        self._since = 0
        self._gave: bool | None = None  # whether the frame before was given

    # ---- frame by frame ----

    def give(self, batch: Batch, layout: Layout) -> None:
        """Say what the version gives for each of a batch's frames."""
        film = self.film
        for i, frame in enumerate(batch.frames):
            at = (frame.pts + self.cut.ticks(film.time_base)) * film.time_base
            self.taken.frames += 1
            other = self._walk.at(at)
            if self.alike and (other is None or self._since % AGAIN):
                given = self._given_alike(at, None, other)
            else:
                codes: dict[str, Any] = {"full_range": film.full_range, "bits": layout.bits}
                seen = ops.luma_to_input(batch.luma[i : i + 1], self._thumb, **codes).cpu()[0, 0] / 100
                given = (self._given_alike if self.alike else self._given)(at, seen, other)
            batch.given.append(given)
            batch.breaks.append(self._gave is not None and self._gave != (given is not None))
            self._gave = given is not None
        batch.aligned = self.state()

    def _given_alike(self, at: Fraction, luma: Tensor | None, frame: Any | None) -> Given | None:
        """Of a chroma film that lies alike. luma: where it is to be seen whether it still does."""
        if frame is None or shot_at(self.changed, at - self.film.origin) is not None:
            return None
        if luma is not None:
            like = likeness(luma, sized(thumb(frame), luma), self.place.whole)
            self._now = self.place.whole if like is None or like >= LOST else None
        return self._counted(at, frame)

    def _given(self, at: Fraction, luma: Tensor, frame: Any | None) -> Given | None:
        cut = self._cuts.is_cut(luma)
        if cut:
            self._now, self._since = None, 0
        if frame is None or shot_at(self.changed, at - self.film.origin) is not None:
            return None
        if self._now is None and self._since % AGAIN == 0:
            self._now = self._look(luma, frame)
        elif self._now is not None and (not self.ours or self._since % AGAIN == 0):
            like = likeness(luma, sized(thumb(frame, self._turns), luma), self._now)
            if like is not None and like < LOST:
                self._since += 1
                self._other(at)
                return None
        return self._counted(at, frame)

    def _counted(self, at: Fraction, frame: Any) -> Given | None:
        """The version's frame, where the version is known to show what the film does."""
        self._since += 1
        if self._now is None:
            self._other(at)
            return None
        self.taken.found += 1
        return Given(frame, self._now)

    def _look(self, luma: Tensor, frame: Any) -> Alignment | None:
        """How a shot lies in the version, by its first frame."""
        other = thumb(frame, self._turns)
        like = likeness(luma, sized(other, luma), self.place.whole)
        if like is None or (self.ours and like >= SURE):
            return self.place.whole
        found = align(luma, other, aspects=self._shapes, near=self.place.whole, search=self._since == 0)
        if found.sure and found.confidence > like + 0.01:
            return found
        return self.place.whole if like >= SURE else None

    def _other(self, at: Fraction) -> None:
        self.taken.other += 1
        second, spans = float(at - self.cut.origin), self.taken.spans
        if spans and second - spans[-1][1] < 1:
            spans[-1] = (spans[-1][0], second)
        else:
            spans.append((second, second))

    def state(self) -> dict[str, Tensor]:
        """What the next frame needs of those before."""
        state = {f"cuts.{name}": value for name, value in self._cuts.state().items()}
        state["since"] = torch.tensor(self._since)
        if self._gave is not None:
            state["gave"] = torch.tensor(self._gave)
        if self._now is not None:
            state["now"] = self._now.matrix.contiguous().clone()
        return state

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state()`."""
        if state:
            self._cuts.restore({name.removeprefix("cuts."): value for name, value in state.items() if "cuts." in name})
            self._since = int(state["since"])
            self._gave = bool(state["gave"]) if "gave" in state else None
            self._now = Alignment(state["now"], 1.0) if "now" in state else None

    def sentences(self) -> Iterator[str]:
        """What to tell of the whole run."""
        taken = self.taken
        without = taken.frames - taken.found
        if without:
            yield f"{self.path} gives colours for {taken.found} of {taken.frames} frames; the others are automatic"
        if taken.other:
            spans = ", ".join(f"{a:.1f} to {b:.1f} s" for a, b in taken.spans[:3])
            more = ", ..." if len(taken.spans) > 3 else ""
            yield f"{self.path} shows something else at {spans}{more}"

    # ---- colours ----

    def covers(self, film: Film, cut: Cut) -> bool:
        """Whether its times, as far as its head says them, are all of the film's that are painted."""
        (begin, end), slack = span(film, cut), 1 / film.rate
        first, last = (at + self.place.shift for at in span(self.version))
        return not self.changed and first <= begin + slack and last >= end - slack

    def small(self) -> bool:
        """Whether its colours are brought up by the film's luma, as the network's are, and not as they lie."""
        return self.ours or 2 * self.version.width <= self.film.width

    def ab(self, given: Given, size: tuple[int, int]) -> Tensor:
        """(2, h, w): a small version's colours in Lab units, as painting takes them. size: (H, W) of the film."""
        version, frame = self.version, given.frame
        deep = frame.format.name == FORMATS[False] and not version.full_range
        if deep or (self.ours and frame.format.name in FORMATS.values()):
            ab = colours_of([_plane(frame, i, np.uint16) for i in range(3)], version)
        else:
            frame = _as(frame, "yuv444p", version.matrix, version)
            luma = (_plane(frame, 0, np.uint8) - 16) / 219
            chroma = torch.stack([(_plane(frame, i, np.uint8) - 128) / 224 for i in (1, 2)])[None]
            ab = ab_of(chroma, _lightness(luma)[None, None], version.matrix)
        if self.alike:
            return ab[0]
        ab = ab.rot90(self._turns, (2, 3))
        height, width = size
        scale = min(1.0, max(ab.shape[2] / height, ab.shape[3] / width))
        wanted = (round(height * scale), round(width * scale))
        return given.alignment.brought(ab, wanted)[0][0]

    def planes(self, given: Given, layout: Layout, size: tuple[int, int]) -> Tensor:
        """(2, h, w) codes of the film's chroma planes, of which `size` is one's. Equal planes come bit for bit."""
        film = self.film
        subsampled = f"yuv{layout.subsampling}p" + ("" if layout.bits == 8 else f"{layout.bits}le")
        frame = _as(given.frame, subsampled, film.matrix, self.version, full_range=film.full_range)
        planes = torch.stack([_plane(frame, index, layout.dtype) for index in (1, 2)]).rot90(self._turns, (1, 2))
        return given.alignment.brought(planes[None], size)[0][0]


def _plane(frame: Any, index: int, dtype: type) -> Tensor:
    return torch.from_numpy(plane_view(frame, index, dtype).astype(np.float32))


def _lightness(luma: Tensor) -> Tensor:
    """L of an sRGB gray in 0..1, beyond which there is none."""
    from ..reference import _gray_to_l

    return _gray_to_l(luma.clamp(0, 1))


_NUMBERS = {"bt601": 5, "bt709": 1, "bt2020": 9}  # as libswscale numbers matrices


def _as(frame: Any, name: str, matrix: str, version: Film, *, full_range: bool = False) -> Any:
    """A frame as planes of another format, matrix and range; itself where it is all that."""
    same = frame.format.is_rgb is False and version.matrix == matrix and version.full_range == full_range
    if same and frame.format.name in (name, name.replace("yuv", "yuvj")):
        return frame
    options: dict[str, Any] = {"dst_colorspace": _NUMBERS[matrix], "dst_color_range": "JPEG" if full_range else "MPEG"}
    if not (frame.format.is_rgb or frame.format.has_palette):
        options |= {
            "src_colorspace": _NUMBERS[version.matrix],
            "src_color_range": "JPEG" if version.full_range else "MPEG",
        }
    return frame.reformat(format=name, **options)
