"""From painted frames to parts, and from parts to a film: their picture and all other streams, packet for packet."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from .encoding import Encoding
from .parts import Done
from .probe import Film, fraction, opened, url
from .streams import Streams, convert_stream, converted, copy_stream, packets


def _chapters_within(
    chapters: list[Any], origin: Fraction, start: float | None, end: float | None
) -> Iterator[dict[str, Any]]:
    """Chapters that overlap a cut in seconds, moved with it."""
    for chapter in chapters:
        base = fraction(chapter["time_base"]) or Fraction(1, 1000)
        first, shift = round(origin / base), round(Fraction(str(start or 0)) / base)
        begins = max(chapter["start"] - shift, first) if start else chapter["start"]
        ends = chapter["end"] if end is None else min(chapter["end"], first + round(Fraction(str(end)) / base))
        if begins < ends - shift:
            yield {**chapter, "start": begins, "end": ends - shift}


def _muxing(film: Film, container: str) -> dict[str, str]:
    if container in ("matroska", "webm"):
        # The muxer would move all streams until none begins below 0, as sound with a priming packet does.
        return {"avoid_negative_ts": "disabled"}
    # Start offsets are counted in this unit, thousandths unless told otherwise.
    return {"movie_timescale": str(min(max(film.time_base.denominator, 1000), 10_000_000))}


def set_up(context: Any, film: Film, encoding: Encoding) -> None:
    """Tell an encoder what a film is like, before it opens."""
    from av.codec.context import Flags

    context.width, context.height = film.width * encoding.pictures, film.height
    context.pix_fmt = encoding.takes
    context.framerate = film.rate
    # The film's own clock, so that no time stamp is ever rounded.
    context.time_base = film.time_base
    context.color_range = 2 if film.full_range else 1
    context.colorspace, context.color_primaries, context.color_trc = film.tags
    context.flags |= Flags.frame_duration
    if encoding.interlaced:
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
    if film.sample_aspect:
        context.sample_aspect_ratio = film.sample_aspect
    if encoding.family == "hevc" and encoding.container in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # the tag that players of all makers accept


def _leave_real_time() -> None:
    """Give this process's threads back their ordinary turn.

    SVT-AV1, run by root, puts the thread that opens it and its own before everything else on the machine (SCHED_FIFO,
    99): as root, which containers mostly are, a film would stop the desktop, a server or the next film.
    """
    if not hasattr(os, "sched_getscheduler"):
        return
    for thread in map(int, os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else ["0"]):
        try:
            if os.sched_getscheduler(thread) == os.SCHED_FIFO and os.sched_getparam(thread).sched_priority == 99:
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
        except OSError:  # it has ended
            pass


class PartWriter:
    """One part: frames encoded into a file of their own. Used by one thread at a time."""

    def __init__(self, film: Film, encoding: Encoding, path: Path) -> None:
        import av

        os.environ.setdefault("SVT_LOG", "1")  # errors only; read when its encoder starts
        self.frames = 0
        self.delay = 0  # the most frames that stand before one in coding order and after it in time
        self._kept: list[int] = []  # the latest time stamps written, sorted
        self._packets = 0
        self.container = av.open(
            url(path), "w", format=encoding.container, container_options=_muxing(film, encoding.container)
        )
        self.stream = self.container.add_stream(encoding.encoder, rate=film.rate, options=encoding.options)
        set_up(self.stream.codec_context, film, encoding)
        self.stream.time_base = film.time_base

    def write(self, frames: list[Any]) -> None:
        """Encode some frames."""
        for frame in frames:
            self._mux(self.stream.encode(frame))
            if self.frames == 0:  # the encoder is open now, with all its threads
                _leave_real_time()
            self.frames += 1

    def finish(self) -> None:
        """Flush the encoder and complete the file."""
        self._mux(self.stream.encode(None))
        self.container.close()

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            later = sum(pts > packet.pts for pts in self._kept)
            self.delay = max(self.delay, later)
            self._kept = sorted((*self._kept, packet.pts))[-32:]
            self._packets += 1
            self.container.mux(packet)

    def abandon(self) -> None:
        """Let go of the file after a failure; its content is worthless."""
        import av

        try:
            self.container.close()
        except (av.error.FFmpegError, OSError, ValueError):
            pass


def _picture(parts: list[Done], film: Film) -> Iterator[Any]:
    """The packets of all parts, with decoding times that run on over their borders.

    Each encoder began its own count, so the times are made anew: with frames reordered over `delay` others at most, the
    n-th packet is decoded when the frame that is the (n - delay)-th in time is shown.
    """
    delay = max(part.delay for part in parts)
    step = max(1, round(1 / (film.rate * film.time_base)))
    shown: list[int] = []  # time stamps read and not yet used, a heap
    count, last = 0, None
    for part in parts:
        with opened(part.path) as source:
            stream = source.streams.video[0]
            for packet in source.demux(stream):
                if not packet.size:
                    continue
                heapq.heappush(shown, packet.pts)
                if count < delay:
                    if count == 0:
                        first = packet.pts
                    packet.dts = first - (delay - count) * max(1, round(step * film.time_base / packet.time_base))
                else:
                    packet.dts = heapq.heappop(shown)
                if last is not None and packet.dts <= last:  # equal ones, where a container rounds times
                    packet.dts = min(last + 1, packet.pts)
                last = packet.dts
                count += 1
                yield packet


def _at(packet: Any) -> Fraction:
    ticks = packet.dts if packet.dts is not None else packet.pts
    return Fraction(ticks or 0) * fraction(packet.time_base)


def join(
    film: Film,
    encoding: Encoding,
    streams: Streams,
    parts: list[Done],
    path: Path,
    start: float | None,
    end: float | None,
    warn: Callable[[str], None],
) -> int:
    """Write the film: the parts' picture, all other streams, chapters and tags. Returns how many packets of other
    streams the container refused."""
    import av

    dropped = 0
    with (
        opened(film.path) as source,
        opened(parts[0].path) as first,
        av.open(
            url(path), "w", format=encoding.container, container_options=_muxing(film, encoding.container)
        ) as output,
    ):
        targets: dict[int, Any] = {}
        for stream in source.streams:
            if stream.index == film.stream:
                picture = _picture_stream(output, first.streams.video[0], stream, film)
            elif stream.index in streams.copied:
                targets[stream.index] = copy_stream(output, stream)
            elif stream.index in streams.converted:
                targets[stream.index] = convert_stream(output, stream, streams.converted[stream.index])
        own = ("major_brand", "minor_version", "compatible_brands", "encoder")  # the muxer's own tags
        output.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in own})
        output.set_chapters(list(_chapters_within(source.chapters(), film.origin, start, end)))
        output.start_encoding()
        others = packets(film, source, tuple(targets), start, end, warn)
        painted = ((_at(packet), True, packet) for packet in _picture(parts, film))
        other = ((_at(packet), False, packet) for packet in others)
        for _, is_picture, packet in heapq.merge(painted, other, key=lambda item: item[0]):
            index = packet.stream_index
            try:
                if not is_picture and index in streams.converted:
                    packet = converted(packet, source.streams[index], targets[index])
                else:
                    packet.stream = picture if is_picture else targets[index]
                if packet is not None:
                    output.mux_one(packet)
            except (av.error.InvalidDataError, av.error.ArgumentError):
                if is_picture:
                    raise
                dropped += 1  # a packet the container refuses, out of order or damaged
    return dropped


def _picture_stream(output: Any, part: Any, source: Any, film: Film) -> Any:
    """The painted stream in the output, with the source's names and turns."""
    stream = output.add_stream_from_template(part, opaque=True)
    stream.time_base = film.time_base
    if film.display_matrix:
        stream.set_display_matrix(film.display_matrix)
    stale = ("encoder", "duration", "bps", "number_of_", "_statistics")
    stream.metadata.update({k: v for k, v in source.metadata.items() if not k.lower().startswith(stale)})
    stream.disposition = source.disposition
    return stream
