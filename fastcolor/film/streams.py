"""The streams that are not painted: their packets, and ways to write them, as they are or rewritten."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, cast

from .clock import Clock, Cut, demuxed
from .probe import Film, fraction

if TYPE_CHECKING:
    import av

# What is written in place of what a container does not take: text, and sound, without loss where there is a way to.
TEXT = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
SOUND = {
    "mp4": ("flac", "aac"),
    "mov": ("pcm_s16le", "pcm_s24le", "aac"),
    "matroska": ("flac", "aac"),
    "webm": ("libopus",),
}
BITS = {"pcm_s16le": 16, "pcm_s24le": 24}  # a codec with others takes 16 or 24 bits
GAP = Fraction(1, 50)  # seconds
# QuickTime numbers its languages; of each, libav knows one code alone. These are the others of ISO 639-2, as Matroska
# has them or newer programs write them.
QUICKTIME = {
    "bod": "tib", "cym": "wel", "cze": "ces", "deu": "ger", "ell": "gre", "eus": "baq", "fas": "per", "fre": "fra",
    "hye": "arm", "isl": "ice", "kat": "geo", "mkd": "mac", "msa": "may", "mya": "bur", "nld": "dut", "rum": "ron",
    "slo": "slk", "sqi": "alb", "swe": "sve", "zho": "chi",
}  # fmt: skip
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
PICTURES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png"), "gif": ("gif", "image/gif"),
            "bmp": ("bmp", "image/bmp"), "webp": ("webp", "image/webp")}  # fmt: skip
# How much of a film is read for the first packets of its streams.
HEAD_PACKETS, HEAD_BYTES, HEAD_EACH = 2000, 32_000_000, 4


@dataclass(frozen=True)
class Kept:
    """How one of a film's other streams is written."""

    index: int
    how: Literal["copy", "text", "sound", "attachment"] = "copy"
    codec: str = ""  # of text and sound that is rewritten


@dataclass(frozen=True)
class Streams:
    """What becomes of a film's other streams."""

    kept: tuple[Kept, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)  # name -> why
    notes: tuple[str, ...] = ()


def name_of(stream: Any) -> str:
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else stream.name
    return f"stream {stream.index} ({stream.type}, {codec or 'unknown'})"


def ways(film: Film, stream: Any, container: str) -> list[Kept]:
    """How a stream could be written, the best way first."""
    index, context = stream.index, stream.codec_context
    if index in film.covers and container == "matroska":
        return [Kept(index, "attachment")] if context and context.codec.canonical_name in PICTURES else []
    found = [] if context and _is_misread(context.name, container) else [Kept(index)]
    if stream.type == "subtitle" and context:
        found.append(Kept(index, "text", TEXT[container]))
    if stream.type == "audio" and context:
        deep = context.format is not None and context.format.bytes > 2
        found += [Kept(index, "sound", codec) for codec in SOUND[container] if not deep or BITS.get(codec, 24) == 24]
    return found


def _is_misread(codec: str, container: str) -> bool:
    """Whether a container takes sound that is read from it wrongly: TTA's own header is not in Matroska, so that libav
    takes the sound's length from the film's and loses the last second; players from before 2023 (FFmpeg 5) play PCM in
    MP4 (ISO/IEC 23003-5) as noise, and many newer ones not at all."""
    return (container == "matroska" and codec == "tta") or (container == "mp4" and codec.startswith("pcm_"))


# ---- writing ----


class Copy:
    """Takes a stream's packets as they are, but for times of decoding that the container does not take.

    Where recordings were joined, the last of one part may overlap the first of the next. In thousandths of a second, as
    Matroska counts, packets shorter than that (TrueHD's) come at one time now and then, which MP4 does not take.
    Those are moved by a tick of the output's clock: ticks of the input's would add up.
    """

    def __init__(self, output: av.container.OutputContainer, source: Any, codec: str) -> None:
        from av.format import Flags

        opaque = None if source.codec_context is None else True
        self.target = output.add_stream_from_template(source, opaque=opaque)
        self._last: int | None = None  # time of decoding, on the output's clock
        self._strict = Flags.ts_nonstrict not in Flags(output.format.flags)
        self._ordered = source.type in ("audio", "video")
        if source.type == "audio" and "channels" in source.codec_context.layout.name:  # AVI and WAV name no layout
            self.target.codec_context.layout = _layout(source.codec_context)
        if source.codec_context is not None:
            _describe(output, self.target, source)

    def packets(self, packet: Any) -> Iterator[Any]:
        if self._ordered and packet.dts is not None:
            ours, theirs = fraction(self.target.time_base), fraction(packet.time_base)
            assert ours is not None and theirs is not None

            def ticks(time: int) -> int:
                return math.floor(time * theirs / ours + Fraction(1, 2))

            at = ticks(packet.dts)
            if self._last is not None and (at < self._last or (self._strict and at == self._last)):
                at = self._last + 1
                shown = None if packet.pts is None else max(ticks(packet.pts), at)
                packet.duration = ticks(packet.duration or 0)
                packet.pts, packet.dts, packet.time_base = shown, at, ours
            self._last = at
        packet.stream = self.target
        yield packet

    def rest(self) -> Iterator[Any]:
        return iter(())


class Text:
    """Rewrites subtitles as another form of text."""

    def __init__(self, output: av.container.OutputContainer, source: Any, codec: str) -> None:
        source.codec_context.open(strict=False)
        self.source, self.target = source, cast("av.subtitles.stream.SubtitleStream", output.add_stream(codec))
        self.target.codec_context.subtitle_header = source.codec_context.subtitle_header
        self.target.codec_context.time_base = self.target.time_base = Fraction(1, 1000)
        _describe(output, self.target, source)

    def packets(self, packet: Any) -> Iterator[Any]:
        import av

        shown = self.source.codec_context.decode2(packet)
        if shown is None or not len(shown.rects):
            return
        out = av.Packet(bytes(self.target.codec_context.encode_subtitle(shown)))
        out.stream, out.time_base = self.target, packet.time_base
        out.pts, out.dts, out.duration = packet.pts, packet.pts, packet.duration
        yield out

    def rest(self) -> Iterator[Any]:
        return iter(())


class Sound:
    """Rewrites sound by another codec, at the rate and depth that it has."""

    def __init__(self, output: av.container.OutputContainer, source: Any, codec: str) -> None:
        context = source.codec_context
        rate = 48000 if codec == "libopus" else context.sample_rate
        self.source, self.target = source, cast("av.AudioStream", output.add_stream(codec, rate=rate))
        made = self.target.codec_context
        made.layout = _layout(context, usual=codec == "libopus")
        if codec in ("flac", *BITS):
            deep = BITS.get(codec, 24 if context.format.bytes > 2 else 16) > 16
            made.format = "s32" if deep else "s16"
        made.time_base = self.target.time_base = Fraction(1, rate)
        self._due: Fraction | None = None  # when the next frame should begin
        _describe(output, self.target, source)

    def packets(self, packet: Any) -> Iterator[Any]:
        for frame in self.source.codec_context.decode(packet):
            yield from self._encoded(frame)

    def _encoded(self, frame: Any) -> list[Any]:
        """Encode a frame. Its time is counted in samples, unless the film leaves a gap: some containers round."""
        second = Fraction(1, frame.sample_rate)
        at = self._due if frame.pts is None else frame.pts * fraction(frame.time_base)
        if self._due is not None and at is not None and abs(at - self._due) < GAP:
            at = self._due
        at = at or Fraction(0)
        frame.pts, frame.time_base = round(at / second), second
        self._due = at + frame.samples * second
        return self.target.encode(frame)

    def rest(self) -> Iterator[Any]:
        import av

        try:
            for frame in self.source.codec_context.decode(None):
                yield from self._encoded(frame)
        except av.error.FFmpegError:  # nothing was decoded
            pass
        yield from self.target.encode(None)


WRITERS = {"copy": Copy, "text": Text, "sound": Sound}


def attach(output: av.container.OutputContainer, source: Any, picture: bytes) -> None:
    """Keep a cover as a file within the film, as Matroska has it."""
    ending, kind = PICTURES[source.codec_context.codec.canonical_name]
    tags = {name.lower(): value for name, value in source.metadata.items()}
    output.add_attachment(tags.get("filename", f"cover.{ending}"), tags.get("mimetype", kind), picture)


def _layout(context: Any, *, usual: bool = False) -> str:
    """The layout of sound that is written. usual: the one of as many channels that all codecs know; broadcasts have
    speakers at the sides, where Opus knows those at the back alone."""
    name = context.layout.name
    return LAYOUTS.get(context.layout.nb_channels, name) if usual or "channels" in name else name


def tags_of(stream: Any, container: str) -> dict[str, str]:
    """A stream's tags by the names and codes under which a container keeps them."""
    tags = dict(stream.metadata)
    if "name" in tags:  # as MP4 and QuickTime come back with what was written as a title
        tags.setdefault("title", tags.pop("name"))
    language = tags.get("language", "")
    codes = QUICKTIME if container == "mov" else {"sve": "swe"}  # the one that is no code of ISO 639-2
    if language in codes:
        tags["language"] = codes[language]
    return tags


def losses(source: Any, stream: Any) -> Iterator[str]:
    """What a container did not keep of a stream's language, title and marks."""
    from av.stream import Disposition

    before, after = tags_of(source, ""), tags_of(stream, "")
    for name in ("language", "title"):
        value = before.get(name)
        if value and value != "und" and name not in after:
            yield f"{name} {value!r}"
    for mark in ("forced", "comment", "hearing_impaired", "visual_impaired", "original", "dub"):
        flag = Disposition[mark]
        if source.disposition & flag and not stream.disposition & flag:
            yield f"mark {mark!r}"


def _describe(output: av.container.OutputContainer, target: Any, source: Any) -> None:
    target.metadata.update(tags_of(source, output.format.name))
    target.disposition = source.disposition


# ---- reading ----


def cover_packets(film: Film) -> dict[int, Any]:
    """The picture of each cover, which comes before all else."""
    found: dict[int, Any] = {}
    if film.covers:
        with film.opened() as source:
            for number, packet in enumerate(source.demux(*(source.streams[index] for index in film.covers))):
                if packet.size:
                    found.setdefault(packet.stream.index, packet)
                if found.keys() == film.covers or number > HEAD_PACKETS:
                    break
    return found


def packets(
    film: Film,
    source: av.container.InputContainer,
    indices: frozenset[int],
    cut: Cut,
    warn: Callable[[str], None],
    *,
    head: bool = False,
) -> Iterator[av.Packet]:
    """The packets of some streams in the file's order, those of a cut moved so that it begins where the film began.

    Damaged ones are dropped, and `warn` is told how many. head: the first few of each stream are enough.
    """
    kinds = {index: source.streams[index].type for index in indices}
    ahead = {index for index, kind in kinds.items() if kind in ("video", "audio")}  # not yet past the cut's end
    waiting = {index for index, kind in kinds.items() if kind == "video" and cut.start}  # pictures begin at a key frame
    lost: Counter[int] = Counter()
    given: Counter[int] = Counter()
    size = 0
    for number, packet in enumerate(demuxed(Clock(film), source, cut, warn) if indices else ()):
        size += packet.size
        enough = indices <= given.keys() and min(given.values()) >= HEAD_EACH
        if head and (enough or number == HEAD_PACKETS or size > HEAD_BYTES):
            return
        index = packet.stream.index
        if index not in indices:
            continue
        if packet.is_corrupt:
            lost[index] += 1
            continue
        ticks = packet.pts if packet.pts is not None else packet.dts
        at = None if ticks is None else ticks * fraction(packet.time_base)
        if at is not None and kinds[index] == "subtitle":
            at = _shown_on(packet, at, cut)
        if at is not None and cut.over(at):
            assert cut.last is not None
            over = index in ahead and len(ahead) == 1
            ahead.discard(index)
            if over or at > cut.last + 10:  # a stream that fell silent is not waited for
                break
        elif not ((at is not None and cut.early(at)) or (index in waiting and not packet.is_keyframe)):
            waiting.discard(index)
            if cut.start:
                moved = cut.ticks(packet.time_base)
                packet.pts = None if packet.pts is None else packet.pts - moved
                packet.dts = None if packet.dts is None else packet.dts - moved
            given[index] += 1
            yield packet
    for index, count in lost.items():
        warn(f"{film.path}: {count} damaged packets of stream {index} were dropped")


def _shown_on(packet: Any, at: Fraction, cut: Cut) -> Fraction:
    """When a text is shown: one that is there already where a cut begins, from then on for what is left of its time."""
    base = fraction(packet.time_base)
    assert base is not None  # it has times
    begin = cut.origin + cut.start
    left = at + (packet.duration or 0) * base - begin
    if not cut.early(at) or left <= 0:
        return at
    packet.pts = packet.dts = round(begin / base)
    packet.duration = round(left / base)
    return begin
