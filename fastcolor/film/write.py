"""From painted frames to parts, and from parts to a film: their picture and all other streams, packet for packet."""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .clock import Cut
from .encoding import Encoding
from .probe import Film, fraction, opened, url
from .resume import Done
from .shape import ROOM, write_shape
from .streams import WRITERS, Streams, attach, cover_packets, packets, tags_of

if TYPE_CHECKING:
    import av

# Tags of the input's own making that say nothing true of the output.
OWN = ("major_brand", "minor_version", "compatible_brands", "encoder")
# Codecs that state themselves what shape a sample has.
OWN_SHAPE = ("h264", "hevc")
STALE = ("encoder", "duration", "bps", "number_of_", "_statistics", "alpha_mode")


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
    context.colorspace, context.color_primaries, context.color_trc = film.colorspace, film.primaries, film.transfer
    context.flags |= Flags.frame_duration
    if encoding.interlaced:
        context.field_order = _field_order(film)
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
    if film.sample_aspect:
        context.sample_aspect_ratio = film.sample_aspect


def _field_order(film: Film) -> int:
    assert film.field_order is not None
    return {"top": 2, "bottom": 3}[film.field_order]  # as libav numbers them


def _leave_real_time() -> None:
    """Give this process's threads back their ordinary turn.

    SVT-AV1, run by root, puts the thread that opens it and its own before everything else on the machine (SCHED_FIFO,
    99): as root, which containers mostly are, a film would stop the desktop, a server or the next film.
    """
    if not hasattr(os, "sched_getscheduler"):
        return
    before, now = [""], _threads()
    while before != now:  # the system's list lacks some where others end meanwhile, as those of an earlier encoder
        for thread in map(int, now):
            try:
                if os.sched_getscheduler(thread) == os.SCHED_FIFO and os.sched_getparam(thread).sched_priority == 99:
                    os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
            except OSError:  # it has ended
                pass
        before, now = now, _threads()


def _threads() -> list[str]:
    return os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else ["0"]


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
        stream = self.container.add_stream(encoding.encoder, rate=film.rate, options=encoding.options)
        self.stream = cast("av.VideoStream", stream)
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


def _picture(parts: list[Done], first: Any, film: Film) -> Iterator[Any]:
    """The packets of all parts, with decoding times that run on over their borders. first: the first part's container.

    Each encoder began its own count, so the times are made anew: with frames reordered over `delay` others at most, the
    n-th packet is decoded when the frame that is the (n - delay)-th in time is shown.
    """
    delay = max(part.delay for part in parts)
    step = max(1, round(1 / (film.rate * film.time_base)))
    shown: list[int] = []  # time stamps read and not yet used, a heap
    count, last = 0, None
    for part in parts:
        with nullcontext(first) if part is parts[0] else opened(part.path) as source:
            stream = source.streams.video[0]
            for packet in source.demux(stream):
                if not packet.size:
                    continue
                assert packet.pts is not None  # encoders give every packet one
                heapq.heappush(shown, packet.pts)
                if count < delay:
                    if count == 0:
                        start = packet.pts
                    packet.dts = start - (delay - count) * max(1, round(step * film.time_base / packet.time_base))
                else:
                    packet.dts = heapq.heappop(shown)
                if last is not None and packet.dts <= last:  # equal ones, where a container rounds times
                    packet.dts = min(last + 1, packet.pts)
                last = packet.dts
                count += 1
                yield packet


def _at(packet: Any) -> Fraction:
    ticks = packet.dts if packet.dts is not None else packet.pts
    base = fraction(packet.time_base)
    assert base is not None
    return Fraction(ticks or 0) * base


def join(
    film: Film,
    encoding: Encoding,
    streams: Streams,
    parts: list[Done],
    path: Path,
    cut: Cut,
    warn: Callable[[str], None],
    *,
    source: Any = None,
    head: bool = False,
) -> Counter[int]:
    """Write the film: the parts' picture, all other streams, chapters and tags.

    Args:
        source: the film's container, of which nothing was read yet; None: it is opened here. head: of the other streams
            the first few packets are enough.

    Returns:
        How many packets of the other streams the container refused, by the index of the stream.
    """
    import av

    refused: Counter[int] = Counter()
    covers = cover_packets(film)
    with (
        nullcontext(source) if source else film.opened() as source,
        opened(parts[0].path) as first,
        av.open(
            url(path), "w", format=encoding.container, container_options=_muxing(film, encoding.container)
        ) as output,
    ):
        writers: dict[int, Any] = {}
        kept = {one.index: one for one in streams.kept}
        for stream in source.streams:
            if stream.index == film.stream:
                picture = _picture_stream(output, first.streams.video[0], stream, film, encoding, cut)
            elif stream.index not in kept:
                continue
            elif kept[stream.index].how == "attachment":
                attach(output, stream, bytes(covers[stream.index]))
            else:
                one = kept[stream.index]
                writers[stream.index] = WRITERS[one.how](output, stream, one.codec)
        output.metadata.update(_tags(source.metadata, OWN, cut))
        output.set_chapters(list(_chapters_within(source.chapters(), film, cut)))
        output.start_encoding()
        moving = frozenset(writers) - film.covers
        read = packets(film, source, moving, cut, warn, head=head)
        pictures = {index: covers[index] for index in writers if index in film.covers}
        others = _rewritten(writers, pictures, read, refused)
        sources = {writer.target.index: index for index, writer in writers.items()}
        both = (((_at(packet), packet) for packet in some) for some in (_picture(parts, first, film), others))
        for _, packet in heapq.merge(*both, key=lambda item: item[0]):
            index = sources.get(packet.stream.index) if packet.stream.container is output else None
            if index is None:
                packet.stream = picture
            try:
                output.mux_one(packet)
            except (av.error.InvalidDataError, av.error.ArgumentError):
                if index is None:
                    raise
                refused[index] += 1  # out of order, or damaged
    if _shape_is_lost(film, encoding):
        assert film.sample_aspect is not None
        place = sum(one.how != "attachment" for one in streams.kept if one.index < film.stream)
        size = film.width * encoding.pictures, film.height
        try:
            write_shape(path, place, size, film.sample_aspect)
        except ValueError as error:
            warn(f"{film.path}: its sample aspect, {film.sample_aspect}, is not written: {error}")
    return refused


def _rewritten(
    writers: dict[int, Any], covers: dict[int, Any], read: Iterable[Any], refused: Counter[int]
) -> Iterator[Any]:
    """Packets of the other streams as the output takes them."""
    import av

    for index, cover in covers.items():  # their own streams are closed by now
        cover.pts = cover.dts = 0
        yield from writers[index].packets(cover)
    for packet in read:
        index = packet.stream.index
        try:
            yield from writers[index].packets(packet)
        except (av.error.FFmpegError, ValueError):  # damage, or sound that changes its nature on the way
            refused[index] += 1
    for writer in writers.values():
        yield from writer.rest()


def _tags(tags: dict[str, str], stale: tuple[str, ...], cut: Cut) -> dict[str, str]:
    """Tags that are as true of the output."""
    without = (*stale, "timecode") if cut.start else stale
    return {name: value for name, value in tags.items() if not name.lower().startswith(without)}


def _chapters_within(chapters: list[Any], film: Film, cut: Cut) -> Iterator[dict[str, Any]]:
    """Chapters that overlap a cut, moved with it."""
    for chapter in chapters:
        base = fraction(chapter["time_base"]) or Fraction(1, 1000)
        lead, first, shift = round(film.lead / base), round(cut.origin / base), round(cut.start / base)
        begins, ends = chapter["start"] + lead, chapter["end"] + lead
        begins = max(begins - shift, first) if cut.start else begins
        ends = ends if cut.end is None else min(ends, first + round(cut.end / base))
        if begins < ends - shift:
            yield {**chapter, "start": begins, "end": ends - shift}


def _picture_stream(output: Any, part: Any, source: Any, film: Film, encoding: Encoding, cut: Cut) -> Any:
    """The painted stream in the output, with the source's names and turns."""
    stream = output.add_stream_from_template(part, opaque=True)
    stream.time_base = film.time_base
    context = stream.codec_context
    # Matroska states it as the length of every frame.
    context.framerate = film.rate if film.steady or encoding.container in ("mp4", "mov") else Fraction(0)
    if film.sample_aspect:
        context.sample_aspect_ratio = film.sample_aspect
    if encoding.interlaced:
        context.field_order = _field_order(film)
    if encoding.family == "hevc" and encoding.container in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # the tag that players of all makers accept
    if film.display_matrix:
        stream.set_display_matrix(film.display_matrix)
    stream.metadata.update(_tags(tags_of(source, encoding.container), STALE, cut))
    if _shape_is_lost(film, encoding):
        stream.metadata["title"] = stream.metadata.get("title", "") + ROOM
    stream.disposition = source.disposition
    return stream


def _shape_is_lost(film: Film, encoding: Encoding) -> bool:
    """Whether the shape of samples has to be written into the finished file."""
    return (
        film.sample_aspect not in (None, 1)
        and encoding.container in ("matroska", "webm")
        and encoding.family not in OWN_SHAPE
    )
