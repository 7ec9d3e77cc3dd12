"""The streams that are not painted: which an output can hold, and their packets, as they are or as other subtitles."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from .probe import Film, fraction, opened, reason

if TYPE_CHECKING:
    import av

# The form in which a container takes text when it does not take the film's own.
TEXT = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}


@dataclass(frozen=True)
class Streams:
    """What becomes of a film's other streams."""

    copied: tuple[int, ...]  # indices
    converted: dict[int, str]  # index -> codec of the subtitles written
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def copy_stream(output: av.container.OutputContainer, source: av.stream.Stream) -> av.stream.Stream:
    """Add a stream that takes `source`'s packets as they are."""
    if source.codec_context is None:
        return output.add_stream_from_template(source)
    stream = output.add_stream_from_template(source, opaque=True)
    stream.metadata.update(source.metadata)
    stream.disposition = source.disposition
    return stream


def convert_stream(output: av.container.OutputContainer, source: av.stream.Stream, codec: str) -> av.stream.Stream:
    """Add a stream of subtitles that `converted` packets go into."""
    source.codec_context.open(strict=False)
    stream = output.add_stream(codec)
    stream.codec_context.subtitle_header = source.codec_context.subtitle_header
    stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
    stream.metadata.update(source.metadata)
    stream.disposition = source.disposition
    return stream


def converted(packet: av.Packet, source: av.stream.Stream, target: av.stream.Stream) -> av.Packet | None:
    """A packet of subtitles in another form; None for one that shows nothing."""
    import av

    shown = source.codec_context.decode2(packet)
    if shown is None or not len(shown.rects):
        return None
    text = target.codec_context.encode_subtitle(shown)
    out = av.Packet(bytes(text))
    out.stream, out.time_base = target, packet.time_base
    out.pts, out.dts, out.duration = packet.pts, packet.pts, packet.duration
    return out


def _takes(container: str, add: Callable[[Any], Any]) -> bool:
    """Whether a container format takes a stream, by trying it in memory."""
    import av

    try:
        with av.open(io.BytesIO(), "w", format=container) as output:
            add(output)
            output.start_encoding()
        return True
    except (av.error.FFmpegError, ValueError, TypeError):
        return False


def choose(film: Film, container: str) -> Streams:
    """Decide, before any work starts, what the output will hold beside the painted stream."""
    copied: list[int] = []
    into: dict[int, str] = {}
    left_out: list[str] = []
    notes: list[str] = []
    with opened(film.path) as source:
        for stream in source.streams:
            if stream.index == film.stream:
                continue
            codec = stream.codec_context.codec.canonical_name if stream.codec_context else stream.name
            name = f"stream {stream.index} ({stream.type}, {codec or 'unknown'})"
            text = TEXT[container]
            if _takes(container, lambda output, stream=stream: copy_stream(output, stream)):
                copied.append(stream.index)
            elif stream.type == "subtitle" and _takes(
                container, lambda output, stream=stream, text=text: convert_stream(output, stream, text)
            ):
                into[stream.index] = text
                notes.append(f"{name} is written as {text}")
            elif not (stream.type == "data" and source.chapters()):  # a chapter track: kept as chapters
                left_out.append(name)
    return Streams(tuple(copied), into, tuple(left_out), tuple(notes))


def packets(
    film: Film,
    source: av.container.InputContainer,
    indices: tuple[int, ...],
    start: float | None,
    end: float | None,
    warn: Callable[[str], None],
) -> Iterator[av.Packet]:
    """The packets of some streams in the file's order, those of a cut moved so that it begins where the film began.

    Damaged ones are dropped, and `warn` is told how many.
    """
    import av

    shift = Fraction(str(start)) if start else Fraction(0)
    first = film.origin + shift if start else None
    last = film.origin + Fraction(str(end)) if end is not None else None
    streams = [source.streams[index] for index in indices]
    ahead = {s.index for s in streams if s.type in ("video", "audio")}  # not yet past the cut's end
    waiting = {s.index for s in streams if s.type == "video" and start}  # pictures begin at a key frame
    lost: Counter[int] = Counter()
    if first is not None:
        source.seek(int(first * 1_000_000), backward=True)
    demuxer = source.demux(streams) if streams else iter(())
    while True:
        try:
            packet = next(demuxer, None)
        except av.error.FFmpegError as error:
            warn(f"{film.path} breaks off: {reason(error)}")
            packet = None
        if packet is None:
            break
        index = packet.stream.index
        if packet.is_corrupt:
            lost[index] += 1
            continue
        if not packet.size:
            continue
        ticks = packet.pts if packet.pts is not None else packet.dts
        at = None if ticks is None else ticks * fraction(packet.time_base)
        if last is not None and at is not None and at >= last:
            over = index in ahead and len(ahead) == 1
            ahead.discard(index)
            if over or at > last + 10:  # a stream that fell silent is not waited for
                break
        elif not (
            (first is not None and at is not None and at < first) or (index in waiting and not packet.is_keyframe)
        ):
            waiting.discard(index)
            if shift:
                moved = round(shift / fraction(packet.time_base))
                packet.pts = None if packet.pts is None else packet.pts - moved
                packet.dts = None if packet.dts is None else packet.dts - moved
            yield packet
    for index, count in lost.items():
        warn(f"{film.path}: {count} damaged packets of stream {index} were dropped")
