"""A film's frames by their times, read beside another film's."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from .clock import Clock, Cut, demuxed
from .frames import in_shown_order
from .probe import Film, fraction

_BEFORE = Fraction(1, 2)  # seconds before a walk's first time from which it reads


def first(film: Film) -> Fraction:
    """When a film's first frame is shown."""
    with film.opened() as container:
        stream = container.streams[film.stream]
        start = stream.start_time
        base = fraction(stream.time_base)
        return film.origin if start is None or base is None else start * base + film.lead


def span(film: Film, cut: Cut | None = None) -> tuple[Fraction, Fraction]:
    """When a film's picture begins and ends on its clock, as far as its head says it; of a cut, what lies within."""
    begin = first(film)
    end = begin + (Fraction(film.frames) / film.rate if film.frames else Fraction(10**6))
    if cut is None:
        return begin, end
    return max(begin, cut.origin + cut.start), end if cut.last is None else min(end, cut.last)


def moments(film: Film, begin: Fraction, end: Fraction, count: int) -> list[Fraction]:
    """Times spread over a span of a film; over its beginning, if the film's end is not known or cannot be gone to."""
    if not film.seekable or not film.frames:
        end = min(end, begin + 4)
    return [begin + (end - begin) * Fraction(2 * i + 1, 2 * count) for i in range(count)]


def stamped(film: Film, start: Fraction | None = None) -> Iterator[tuple[Fraction, Any]]:
    """A film's frames with their times on its clock, from a key frame before `start` on, as far as it decodes."""
    decoded = _decoded(film, start)
    for frame in in_shown_order(decoded) if film.coding_order else decoded:
        if frame.pts is not None:
            yield frame.pts * film.time_base, film.convertible(frame)


def _decoded(film: Film, start: Fraction | None) -> Iterator[Any]:
    import av

    clock = Clock(film)
    cut = Cut(film.origin, max(Fraction(0), (start or Fraction(0)) - film.origin))
    with film.opened() as container:
        stream = container.streams[film.stream]
        context: Any = stream.codec_context
        context.thread_type = "AUTO"
        for packet in demuxed(clock, container, cut, lambda words: None):
            if packet.stream.index != film.stream:
                continue
            if film.coding_order and packet.pts is None and packet.dts is not None:
                packet.pts = film.shown_from(packet.dts)
            try:
                yield from context.decode(packet)
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                continue
        try:
            yield from context.decode(None)
        except av.error.FFmpegError:
            return


def frames_at(film: Film, seconds: list[Fraction]) -> Iterator[tuple[Fraction, Any]]:
    """(time, frame): the frame that is shown at each time."""
    for wanted in seconds:
        found: tuple[Fraction, Any] | None = None
        for at, frame in stamped(film, wanted):
            if at > wanted and found:
                break
            found = at, frame
        if found:
            yield found


def shown_at(film: Film, seconds: float, name: str) -> tuple[Fraction, Any]:
    """(time, frame): the frame shown at a second of a film, from its beginning.

    Args:
        name: of what names the second, for messages.

    Raises:
        ValueError: the film has ended by then, or shows nothing.
    """
    begin, end = span(film)
    at = film.origin + Fraction(str(seconds))
    if at >= end + Fraction(1, 10):
        last = float(end - film.origin)
        raise ValueError(f"{name}: must lie in the film, which ends at {last:.2f} s, got {seconds:g}")
    found = next(iter(frames_at(film, [max(at, begin)])), None)
    if found is None:
        raise ValueError(f"{name}: must lie in the film, which shows nothing at {seconds:g} s")
    return found


def frames_near(film: Film, at: Fraction, around: Fraction) -> list[tuple[Fraction, Any]]:
    """Frames shown around a time."""
    found = []
    for time, frame in stamped(film, at - around):
        if time > at + around:
            break
        if time >= at - around:
            found.append((time, frame))
    return found


class Walk:
    """A version's frames by times that grow."""

    def __init__(self, version: Film, shift: Fraction, exact: bool) -> None:
        self._version, self._shift, self._exact = version, shift, exact
        self._frames: Iterator[tuple[Fraction, Any]] | None = None
        self._before: tuple[Fraction, Any] | None = None  # shown last
        self._next: tuple[Fraction, Any] | None = None

    def at(self, at: Fraction) -> Any | None:
        """The frame nearest to a time on the film's clock, or that which still stands; None where there is none."""
        at -= self._shift
        if self._frames is None:
            self._frames = stamped(self._version, at - _BEFORE)
            self._next = next(self._frames, None)
        while self._next is not None and self._next[0] <= at:
            self._before, self._next = self._next, next(self._frames, None)
        step = 1 / self._version.rate
        near = [one for one in (self._before, self._next) if one and abs(one[0] - at) <= step * Fraction(6, 10)]
        if near:
            return min(near, key=lambda one: abs(one[0] - at))[1]
        if self._before is None or self._exact:
            return None
        time, frame = self._before
        stands = (frame.duration or 0) * self._version.time_base
        return frame if at < time + stands else None
