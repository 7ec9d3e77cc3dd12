"""From a film to batches: decoded frames with their luma plane, and the packets of all other streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from .plan import Layout
from .probe import Film, fraction, opened, reason


@dataclass
class Batch:
    """Some consecutive frames with their luma, and the copied packets met on the way."""

    frames: list[Any] = field(default_factory=list)  # av.VideoFrame in the output's format, luma in place
    luma: np.ndarray | None = None  # (frames, H, W) uint8 or uint16
    packets: list[Any] = field(default_factory=list)
    bytes: int = 0  # of the packets


def plane_view(frame: Any, index: int, dtype: type) -> np.ndarray:
    """The samples of one plane, (rows, columns), without copying; writing to it writes to the frame."""
    plane = frame.planes[index]
    rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // np.dtype(dtype).itemsize)
    return rows[: plane.height, : plane.width]


class Reader:
    """Decodes the painted stream and passes on the packets of the others, batch by batch.

    Damage is survived: `warn` is told of what was lost. With `start` and `end` (seconds from the film's beginning)
    only what lies within is passed on, moved so that the cut begins where the film began.
    """

    def __init__(
        self,
        film: Film,
        layout: Layout,
        copied: tuple[int, ...],
        *,
        size: int,
        start: float | None,
        end: float | None,
        warn: Callable[[str], None],
    ) -> None:
        self.film, self.layout, self.copied, self.size, self.warn = film, layout, copied, size, warn
        self.shift = Fraction(str(start)) if start else Fraction(0)
        self.first = film.origin + self.shift if start else None
        self.last = film.origin + Fraction(str(end)) if end is not None else None
        self.dtype = np.uint8 if layout.bits == 8 else np.uint16
        self.pts: int | None = None  # of the frame before
        self.lost: Counter[int] = Counter()  # damaged packets by stream
        self.concealed = 0  # frames that decoded with damage
        self.told: set[str] = set()

    def __iter__(self) -> Iterator[Batch]:
        with opened(self.film.path) as container:
            if self.first is not None:
                container.seek(int(self.first * 1_000_000), backward=True)
            batch = self._new()
            for item, is_frame in self._items(container):
                if is_frame:
                    batch.luma[len(batch.frames)] = plane_view(item, 0, self.dtype)
                    batch.frames.append(item)
                else:
                    batch.packets.append(item)
                    batch.bytes += item.size
                if len(batch.frames) == self.size or batch.bytes > 1 << 24:
                    yield batch
                    batch = self._new()
            if batch.frames or batch.packets:
                yield batch
        if self.concealed:
            self.warn(f"{self.film.path}: {self.concealed} frames are damaged, painted as far as they decode")
        for index, count in self.lost.items():
            self.warn(f"{self.film.path}: {count} damaged packets of stream {index} were dropped")

    def _new(self) -> Batch:
        return Batch(luma=np.empty((self.size, self.film.height, self.film.width), self.dtype))

    def _items(self, container: Any) -> Iterator[tuple[Any, bool]]:
        """(frame, True) and (packet, False) in the file's order."""
        import av

        painted = container.streams[self.film.stream]
        painted.codec_context.thread_type = "AUTO"
        copied = [container.streams[i] for i in self.copied]
        ahead = {s.index for s in (painted, *copied) if s.type in ("video", "audio")}  # not yet past the end
        # Where a cut begins, copied pictures wait for their next key frame.
        waiting = {s.index for s in copied if s.type == "video" and self.first is not None}
        demuxer = container.demux([painted, *copied])
        while ahead:
            try:
                packet = next(demuxer, None)
            except av.error.FFmpegError as error:
                self.warn(f"{self.film.path} breaks off: {reason(error)}")
                packet = None
            if packet is None:
                break
            index = packet.stream.index
            if index == self.film.stream:
                if index in ahead and not (yield from self._frames(painted, packet)):
                    ahead.discard(index)
            elif packet.is_corrupt:
                self.lost[index] += 1
            elif packet.size:
                at = self._time(packet)
                if self.last is not None and at is not None and at >= self.last:
                    ahead.discard(index)
                    if at > self.last + 10:  # a stream that fell silent is not waited for
                        break
                elif not (self._too_early(at) or (index in waiting and not packet.is_keyframe)):
                    waiting.discard(index)
                    self._move(packet)
                    yield packet, False
        if self.film.stream in ahead:  # where the demuxer broke off, the decoder has not been flushed
            yield from self._frames(painted, None)

    def _frames(self, painted: Any, packet: Any) -> Generator[tuple[Any, bool], None, bool]:
        """Decode one packet; the generator's result is False once the cut's end is reached."""
        import av

        try:
            frames = painted.codec_context.decode(packet if packet and packet.size else None)
        except av.error.EOFError:
            return True
        except av.error.FFmpegError:
            self.lost[painted.index] += 1
            return True
        for frame in frames:
            self._stamp(frame)
            at = frame.pts * self.film.time_base
            if self.last is not None and at >= self.last:
                return False
            if not self._too_early(at):
                self.concealed += frame.is_corrupt
                yield self._prepared(frame), True
        return True

    def _time(self, packet: Any) -> Fraction | None:
        ticks = packet.pts if packet.pts is not None else packet.dts
        return None if ticks is None else ticks * fraction(packet.time_base)

    def _too_early(self, at: Fraction | None) -> bool:
        return self.first is not None and at is not None and at < self.first

    def _move(self, item: Any) -> None:
        if self.shift:
            ticks = round(self.shift / fraction(item.time_base))
            item.pts = None if item.pts is None else item.pts - ticks
            item.dts = None if item.dts is None else item.dts - ticks

    def _stamp(self, frame: Any) -> None:
        """Give every frame a time stamp later than the one before, as encoders demand; good ones stay as they are."""
        step = max(1, round(1 / (self.film.rate * self.film.time_base)))
        if frame.pts is None:  # raw streams have none
            frame.pts = 0 if self.pts is None else self.pts + step
        elif self.pts is not None and frame.pts <= self.pts:
            self._tell("has time stamps that do not increase; they were moved by a tick")
            frame.pts = self.pts + 1
        self.pts = frame.pts

    def _prepared(self, frame: Any) -> Any:
        """The frame as it will be encoded: luma in place, chroma yet to be written."""
        import av

        film, layout = self.film, self.layout
        source = frame
        changed = (frame.width, frame.height, frame.format.name) != (film.width, film.height, film.pixel_format)
        if changed:
            self._tell(f"changes its picture format on the way; brought back to {film.width}x{film.height}")
        if changed or layout.convert:
            source = self._converted(frame)
        if source.format.name == layout.output:
            source.make_writable()  # the decoder may still need the original as a reference
            out = source
        else:
            out = av.VideoFrame(film.width, film.height, layout.output)
            plane_view(out, 0, self.dtype)[:] = plane_view(source, 0, self.dtype)
        out.pts, out.time_base, out.duration = frame.pts, film.time_base, frame.duration
        out.pict_type = 0  # the encoder decides, not the source
        self._move(out)
        return out

    def _converted(self, frame: Any) -> Any:
        """A frame without a luma plane of its own, or of another format than the film began with."""
        film = self.film
        target = self.layout.convert or film.pixel_format
        if not (frame.format.is_rgb or frame.format.has_palette):
            return frame.reformat(film.width, film.height, target)
        matrix = {"bt601": 5, "bt709": 1, "bt2020": 9}[film.matrix]  # as libswscale numbers them
        return frame.reformat(film.width, film.height, target, dst_colorspace=matrix, dst_color_range="MPEG")

    def _tell(self, what: str) -> None:
        if what not in self.told:
            self.told.add(what)
            self.warn(f"{self.film.path} {what}")
