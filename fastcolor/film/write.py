"""From batches to a film: one stream encoded, all others copied packet for packet."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .plan import ENCODERS, Encoding
from .probe import Film, fraction, opened, url
from .read import Batch

if TYPE_CHECKING:
    import av


def copy_stream(output: av.container.OutputContainer, source: av.stream.Stream) -> av.stream.Stream:
    """Add a stream that takes `source`'s packets as they are."""
    if source.codec_context is None:
        return output.add_stream_from_template(source)
    stream = output.add_stream_from_template(source, opaque=True)
    stream.metadata.update(source.metadata)
    stream.disposition = source.disposition
    return stream


def holds(container: str, source: av.stream.Stream) -> bool:
    """Whether a container format takes a stream, by trying it in memory."""
    import av

    try:
        with av.open(io.BytesIO(), "w", format=container) as output:
            copy_stream(output, source)
            output.start_encoding()
        return True
    except (av.error.FFmpegError, ValueError, TypeError):
        return False


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


class Writer:
    """The output file: the painted stream encoded, the others copied. Used by one thread at a time."""

    def __init__(self, film: Film, encoding: Encoding, path: Path, start: float | None, end: float | None) -> None:
        import av

        os.environ.setdefault("SVT_LOG", "1")  # errors only; read when its encoder starts
        self.path, self.frames, self.dropped = path, 0, 0
        self.left_out: list[str] = []
        self.copied: dict[int, Any] = {}
        if encoding.container in ("matroska", "webm"):
            # The muxer would move all streams until none begins below 0, as sound with a priming packet does.
            muxing = {"avoid_negative_ts": "disabled"}
        else:  # start offsets are counted in this unit, thousandths unless told otherwise
            muxing = {"movie_timescale": str(min(max(film.time_base.denominator, 1000), 10_000_000))}
        self.container = av.open(url(path), "w", format=encoding.container, container_options=muxing)
        with opened(film.path) as source:
            for stream in source.streams:
                if stream.index == film.stream:
                    self.stream = self._encoded(film, encoding, stream)
                elif holds(encoding.container, stream):
                    self.copied[stream.index] = copy_stream(self.container, stream)
                elif not (stream.type == "data" and source.chapters()):  # a chapter track: kept as chapters
                    name = stream.codec_context.codec.canonical_name if stream.codec_context else stream.name
                    self.left_out.append(f"stream {stream.index} ({stream.type}, {name or 'unknown'})")
            own = ("major_brand", "minor_version", "compatible_brands", "encoder")  # the muxer's own tags
            self.container.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in own})
            self.container.set_chapters(list(_chapters_within(source.chapters(), film.origin, start, end)))
            self.container.start_encoding()

    def _encoded(self, film: Film, encoding: Encoding, source: Any) -> Any:
        from av.codec.context import Flags

        stream = self.container.add_stream(ENCODERS[encoding.family].name, rate=film.rate, options=encoding.options)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = film.width, film.height, encoding.layout.output
        # The film's own clock, so that no time stamp is ever rounded.
        context.time_base = stream.time_base = film.time_base
        context.color_range = 2 if film.full_range else 1
        context.colorspace, context.color_primaries, context.color_trc = film.tags
        context.flags |= Flags.frame_duration
        if film.sample_aspect:
            context.sample_aspect_ratio = film.sample_aspect
        if film.display_matrix:
            stream.set_display_matrix(film.display_matrix)
        if encoding.family == "hevc" and encoding.container in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # the tag that players of all makers accept
        stale = ("encoder", "duration", "bps", "number_of_", "_statistics")
        stream.metadata.update({k: v for k, v in source.metadata.items() if not k.lower().startswith(stale)})
        stream.disposition = source.disposition
        return stream

    def write(self, batch: Batch) -> None:
        """Encode a batch's frames and pass on its packets."""
        import av

        for packet in batch.packets:
            packet.stream = self.copied[packet.stream_index]
            try:
                self.container.mux_one(packet)
            except (av.error.InvalidDataError, av.error.ArgumentError):
                self.dropped += 1  # a packet the container refuses, out of order or damaged
        for frame in batch.frames:
            self.container.mux(self.stream.encode(frame))
            self.frames += 1

    def finish(self) -> None:
        """Flush the encoder and complete the file."""
        self.container.mux(self.stream.encode(None))
        self.container.close()

    def abandon(self) -> None:
        """Let go of the file after a failure; its content is worthless."""
        import av

        try:
            self.container.close()
        except (av.error.FFmpegError, OSError, ValueError):
            pass
