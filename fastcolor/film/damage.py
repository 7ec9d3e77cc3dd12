"""What of a film's picture is lost or damaged: counted while it is read, told in sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from .probe import Film, reason

# Packets on either side of the place where recordings were joined: the count of a transport stream's pieces breaks off
# there, which is no damage.
SEAM = 3


@dataclass
class Damage:
    """What was met on the way through a film's picture."""

    film: Film
    read: int = 0  # packets
    position: int = 0  # of the last packet in the file, in bytes
    reached: Fraction = Fraction(0)  # seconds at which the last frame ends
    lost: int = 0  # packets that could not be decoded
    corrupt: list[int] = field(default_factory=list)  # numbers of packets that came with damage
    seams: list[int] = field(default_factory=list)  # and of those with which another recording begins
    frames: int = 0  # that decoded with damage
    errors: int = 0  # that only the log told of
    first_error: str = ""

    def sentences(self, *, whole: bool) -> Iterator[str]:
        """One for each kind of damage there is. whole: all of the film was read, so that its length can be judged."""
        film = self.film
        if self.errors:
            yield (
                f"{film.path} is damaged: {self.errors} errors reported, the first {self.first_error!r}; "
                "painted as far as it decodes"
            )
        if film.missing:
            yield f"{film.path} is cut off: {film.missing} bytes are missing by its own count"
        if self.frames:
            yield f"{film.path}: {self.frames} frames are damaged, painted as far as they decode"
        if packets := sum(all(abs(one - seam) > SEAM for seam in self.seams) for one in self.corrupt):
            yield f"{film.path}: {packets} packets of stream {film.stream} are damaged"
        if self.lost:
            yield f"{film.path}: {self.lost} damaged packets of stream {film.stream} were dropped"
        if not whole:
            return
        # A last frame may stand long; but then little of the file is left behind it.
        size = film.path.stat().st_size
        unread = size - self.position > size // 20 + 4096
        ends = film.ends + float(film.lead) if film.ends else 0.0
        if unread and self.reached < ends - max(0.25, 2 / float(film.rate)):
            yield (
                f"{film.path} should end after {ends:.2f} s, but its picture breaks off at {float(self.reached):.2f} s"
            )
        # Some recorders count one frame more than they write.
        if film.stated and self.read < film.stated - 1:
            yield f"{film.path}: {film.stated - self.read} of {film.stated} frames could not be read"


class Reported:
    """Counts the errors that some of libav's components log while this is open.

    libav's own threads call back into Python for that. Whoever waits for such a thread with the interpreter's lock held
    would wait for ever: let decoders run dry before they are closed.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names, self.count, self.first = set(names), 0, ""

    def __enter__(self) -> Reported:
        import av.logging

        self._level = av.logging.get_level()
        av.logging.set_level(av.logging.ERROR)
        self._capture: Any = av.logging.Capture(local=False)
        self._logs = self._capture.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        import av.logging

        self.take()
        self._capture.__exit__(*error)
        av.logging.set_level(self._level)

    def take(self, *, count: bool = True) -> None:
        """Count what was logged since the last time, or forget it."""
        for _, name, message in self._logs:
            if count and name in self.names:
                self.count += 1
                self.first = self.first or message.strip()
        self._logs.clear()


def failure(work: Callable[[], Any]) -> str | None:
    """Why something fails, in libav's words where it says any; None if it does not fail."""
    import av.logging

    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    before, _ = av.logging.get_last_error()
    try:
        with av.logging.Capture():
            work()
    except Exception as error:  # of whatever kind: what asks goes on another way
        count, last = av.logging.get_last_error()
        return (last[2].strip() if count > before and last else "") or reason(error)
    finally:
        av.logging.set_level(level)
    return None
