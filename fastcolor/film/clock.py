"""One clock for all of a film's streams.

Films are joined byte by byte, their clocks wrap, begin below zero or at the time of day. Every stream is moved by the
same offsets, so that sound stays under its picture, and a packet gets the same time in every reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .probe import Film, fraction, reason

FORWARD = 10  # seconds: what jumps further ahead, or back at all, begins a new stretch (as ffmpeg has it)
BACK = Fraction(1, 10)  # decoding times may go back by this much
BACK_SHOWN = Fraction(1, 2)  # and times of presentation by this, where a packet has no other
HELD = 500  # packets that wait for the picture to jump too


@dataclass(frozen=True)
class Cut:
    """What of a film is written: all of it, or what lies between two seconds from its beginning."""

    origin: Fraction  # seconds at which the film begins
    start: Fraction = Fraction(0)
    end: Fraction | None = None

    @classmethod
    def of(cls, film: Film, start: float | None, end: float | None) -> Cut:
        """The cut that options in seconds ask for."""
        return cls(film.origin, Fraction(str(start or 0)), None if end is None else Fraction(str(end)))

    @property
    def whole(self) -> bool:
        return not self.start and self.end is None

    @property
    def last(self) -> Fraction | None:
        """Seconds on the film's clock at which it is over."""
        return None if self.end is None else self.origin + self.end

    def early(self, at: Fraction) -> bool:
        """Whether a time on the film's clock lies before it."""
        return bool(self.start) and at < self.origin + self.start

    def over(self, at: Fraction) -> bool:
        """Whether a time on the film's clock lies behind it."""
        return self.last is not None and at >= self.last

    def ticks(self, time_base: Any) -> int:
        """How far what lies within is moved, so that the cut begins where the film began."""
        base = fraction(time_base)
        assert base is not None
        return round(self.start / base)


def seconds_of(packet: Any) -> Fraction | None:
    """When a packet is decoded, or else shown; None where it does not say."""
    ticks = packet.dts if packet.dts is not None else packet.pts
    return None if ticks is None else ticks * fraction(packet.time_base)


class Clock:
    """Moves packets, read in the file's order, onto the film's clock.

    Where a stream's times jump, another stretch of the film begins, and the picture decides where it lies: right after
    what came before. Other streams that jump first wait for it.
    """

    def __init__(self, film: Film) -> None:
        self.film = film
        self.offsets = [film.lead]  # of each stretch
        self.now: Fraction | None = None  # of the last packet of picture or sound
        self._stretch: dict[int, int] = {}  # the stretch that a stream has come to
        self._last: dict[int, Fraction] = {}
        self._due: dict[int, Fraction] = {}  # when a stream's next packet should come
        self._held: list[Any] = []

    @property
    def stretches(self) -> int:
        """How many there were so far."""
        return len(self.offsets)

    def place(self, packet: Any) -> Iterator[Any]:
        """The packet with times on the film's clock, and those that waited for it; none if it has to wait itself."""
        at = seconds_of(packet)
        if not self.film.jumps or at is None:
            yield _moved(packet, self.offsets[0])
            return
        index = packet.stream.index
        if packet.stream.type not in ("video", "audio") or index in self.film.covers:
            now = self.now or Fraction(0)
            yield _moved(packet, min(self.offsets, key=lambda offset: abs(at + offset - now)))
            return
        stretch = self._fitting(index, at, BACK_SHOWN if packet.dts is None else BACK)
        picture = index == self.film.stream
        if not picture and (stretch is None or any(held.stream.index == index for held in self._held)):
            self._held.append(packet)
            if len(self._held) == HELD:
                yield from self.rest()
            return
        if stretch is None:
            stretch = self._begin_stretch(index, at)
        jumped = stretch != self._stretch.get(index, stretch)
        self._stretch[index] = stretch
        self.now = self._last[index] = at + self.offsets[stretch]
        base = fraction(packet.time_base)
        assert base is not None  # it has times
        self._due[index] = self.now + (packet.duration or 0) * base
        yield _moved(packet, self.offsets[stretch])
        if picture and jumped:
            yield from self.rest()

    def rest(self) -> Iterator[Any]:
        """The packets that wait, now that the picture has jumped or will not."""
        while self._held:
            held, self._held = self._held, []
            for packet in held:
                yield from self.place(packet)
            if len(self._held) == len(held):  # they did not jump with the picture
                self._begin_stretch(held[0].stream.index, seconds_of(held[0]) or Fraction(0))

    def _begin_stretch(self, index: int, at: Fraction) -> int:
        """A stretch in which a stream's time follows at once what came before."""
        self.offsets.append(self._due.get(index, self.now or Fraction(0)) - at)
        return len(self.offsets) - 1

    def _fitting(self, index: int, at: Fraction, back: Fraction) -> int | None:
        """The first stretch, from a stream's own on, in which a time follows what came before."""
        if index not in self._last:  # a stream that begins
            now = at + self.offsets[0] if self.now is None else self.now
            fits = [s for s, offset in enumerate(self.offsets) if abs(at + offset - now) <= FORWARD]
            return fits[-1] if fits else None
        own, due = self._stretch[index], self._due[index]
        if self._last[index] - back <= at + self.offsets[own] <= due + FORWARD:
            return own
        later = range(own + 1, len(self.offsets))
        return next((s for s in later if -1 <= at + self.offsets[s] - due <= FORWARD), None)


def _moved(packet: Any, offset: Fraction) -> Any:
    if offset:
        base = fraction(packet.time_base)
        assert base is not None
        ticks = round(offset / base)
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
    return packet


def demuxed(clock: Clock, container: Any, cut: Cut, warn: Callable[[str], None]) -> Iterator[Any]:
    """The packets of all streams in the file's order, on a film's new clock, from a key frame before a cut on.

    `warn` is told where the film breaks off.
    """
    import av
    from av.container import Flags

    film = clock.film
    if film.coding_order:  # times of presentation, made up from these, would be wrong
        container.flags &= ~Flags.gen_pts.value
    if cut.start and film.seekable:
        container.seek(int((cut.origin + cut.start - film.lead) * 1_000_000), backward=True)
    demuxer = container.demux()
    while True:
        try:
            packet = next(demuxer, None)
        except av.error.FFmpegError as error:
            warn(f"{film.path} breaks off: {reason(error)}")
            packet = None
        if packet is None:
            break
        if packet.size:  # the last ones are empty
            yield from clock.place(packet)
    yield from clock.rest()
