"""What a film file holds: its picture stream, its clock, its colour tags."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from .frames import field_order_of, is_full_range, is_mirrored, side_data_of, turns_of
from .mastering import Mastering, mastering_of
from .missing import missing_bytes

if TYPE_CHECKING:
    import av

# Demuxers that read pictures, texts and raw bytes: their "streams" are no film.
NO_FILM = ("image2", "tty", "bin", "xbin", "ilbc", "lrc", "srt", "ass", "webvtt", "apng_pipe")

# Bare pictures one after the other are a film under these names.
MOTION_JPEG = (".mjpeg", ".mjpg")

# How far libav looks into a file for its streams: as far as it usually does, then further, where a stream that begins
# late is not yet known.
PROBING: tuple[dict[str, str], ...] = (
    {},
    {"probesize": "100000000", "analyzeduration": "100000000"},  # bytes, microseconds
    {"probesize": "400000000", "analyzeduration": "600000000"},
)
SEEN = 64  # packets whose times are looked at
USUAL_BYTES = 5_000_000

# Codecs that mark the fields of each frame themselves; of others the container's mark counts.
MARK_FIELDS = ("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vc1")

PRIMING = Fraction(1, 10)  # seconds around 0 that count as 0: sound below it only warms decoders up

Matrix = Literal["bt601", "bt709", "bt2020"]
# By their numbers in ITU-T H.273.
MATRICES: dict[int, Matrix] = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 7: "bt709", 9: "bt2020"}
UNSPECIFIED = 2


@dataclass(frozen=True)
class Film:
    """What a look at the head of a film says."""

    path: Path
    probing: dict[str, str]  # how far its streams are looked for
    stream: int  # index of the picture stream to be painted
    covers: frozenset[int]  # streams of a single picture: cover art, a still beside a moving one
    codec: str  # its family: h264, hevc, av1, vp9, ...
    width: int
    height: int
    pixel_format: str
    rate: Fraction  # mean frames per second, for the encoder's rate control and for estimates
    steady: bool  # as far as its head shows, all frames last the same
    time_base: Fraction  # seconds
    lead: Fraction  # seconds by which the file's times are moved, so that none is below 0
    origin: Fraction  # seconds at which the film then begins
    jumps: bool  # its format lets times jump, as where recordings were joined
    seekable: bool  # a time in it can be gone to
    coding_order: bool  # times are those of decoding, though frames are shown in another order
    head: tuple[int, int]  # the time of the first frame, then, and the ticks by which it is shown later
    frames: int | None  # an estimate, where the file gives grounds for one
    sample_aspect: Fraction | None
    display_matrix: tuple[int, ...] | None  # rotation and mirroring, nine numbers as in ISO 14496-12
    turns: int  # quarter turns counter-clockwise until the picture stands upright, mirrored or not
    matrix: Matrix
    full_range: bool
    colorspace: int  # the matrix, primaries and transfer as ITU-T H.273 numbers them
    primaries: int
    transfer: int
    field_order: Literal["top", "bottom"] | None  # of an interlaced film: which field is first
    mark_fields: bool  # only the container knows of that, its frames do not
    alpha: bool  # there is transparency that is decoded apart from the picture
    mastering: Mastering | None
    stated: int | None  # packets of the picture that the file's index lists
    missing: int  # bytes that the file lacks by its own count
    ends: float | None  # second at which the picture ends, where the file's head or index says so
    notes: tuple[str, ...]

    def shown_from(self, decoded: int) -> int:
        """What stands in for a time of showing where there is only one of decoding, in ticks as `Clock` gives them."""
        first, later = self.head
        return decoded + later if decoded - round(self.lead / self.time_base) == first else decoded

    def opened(self, hwaccel: Any = None) -> AbstractContextManager[av.container.InputContainer]:
        """The film's container, with all streams that `probe` found."""
        return opened(self.path, hwaccel, probing=self.probing)

    def convertible(self, frame: Any) -> Any:
        """A decoded frame, which is said to be of the film's matrix where libswscale refuses its own."""
        if frame.colorspace not in (*MATRICES, 0, UNSPECIFIED):
            frame.colorspace = self.colorspace
        return frame

    @property
    def shown(self) -> tuple[int, int]:
        """(height, width) of the picture as a viewer sees it: upright, in square pixels."""
        width = round(self.width * (self.sample_aspect or 1))
        return (width, self.height) if self.turns % 2 else (self.height, width)


def fraction(value: Any) -> Fraction | None:
    """A rational of any PyAV version; None where it is absent or zero."""
    return Fraction(value.numerator, value.denominator) if value else None


def reason(error: BaseException) -> str:
    """The system's or library's own words for what went wrong, without numbers and paths."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def url(path: Path) -> str:
    """A name that libav takes for a file, whatever characters it holds."""
    return f"file:{path}"


@contextmanager
def opened(
    path: Path, hwaccel: Any = None, *, probing: dict[str, str] | None = None
) -> Iterator[av.container.InputContainer]:
    """An input container; an unreadable one is a ValueError of one sentence.

    Args:
        hwaccel: an av HWAccel that decodes it. probing: libav's options for how far streams are looked for.
    """
    import av

    options = {"hwaccel": hwaccel, "container_options": probing or {}}
    try:
        try:
            container = av.open(url(path), **options)
        except UnicodeDecodeError:  # tags of an old file
            container = av.open(url(path), metadata_encoding="latin-1", **options)
    except (av.error.FFmpegError, OSError) as error:
        if path.suffix.lower() in (".mp4", ".m4v", ".mov") and isinstance(error, av.error.InvalidDataError):
            raise ValueError(
                f"{path} is damaged or no film: it holds no index (moov), so nothing can be read"
            ) from None
        raise ValueError(f"{path} is not a film that can be read: {reason(error)}") from None
    with container:
        yield container


def moving(container: av.container.InputContainer) -> list[av.video.VideoStream]:
    """The streams of moving pictures: no cover art, and no still beside them."""
    from av.stream import Disposition

    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic and s.codec_context]
    return [s for s in streams if s.frames != 1] or streams


def choose_stream(container: av.container.InputContainer) -> av.video.VideoStream | None:
    """The picture stream to paint: marked as default, else the largest; of several defaults the largest."""
    from av.stream import Disposition

    streams = moving(container)
    default = [s for s in streams if s.disposition & Disposition.default]
    return max(default or streams, key=lambda s: s.codec_context.width * s.codec_context.height, default=None)


def lacks_parameters(stream: Any) -> bool:
    """Whether nothing of a stream's sound or picture was found yet but that it is there."""
    context = stream.codec_context
    if context is None:
        return False
    return (stream.type == "audio" and not context.sample_rate) or (stream.type == "video" and not context.width)


def _probing(path: Path) -> dict[str, str]:
    """How far into a file its streams have to be looked for: as far as usual, unless that leaves some unknown."""
    if path.stat().st_size <= USUAL_BYTES:
        return {}
    before: tuple[int, dict[str, str]] | None = None
    for probing in PROBING:
        with opened(path, probing=probing) as container:
            if any(map(lacks_parameters, container.streams)):
                continue
            if container.format.name != "mpeg":
                return probing
            found = len(container.streams)  # which nothing lists, so that there may be more
        if before and before[0] == found:
            break
        before = found, probing
    return before[1] if before else {}


def probe(path: Path) -> Film:
    """Look at a film: its picture stream, and what the first decoded frame says of it.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: the file is missing, a folder, empty, or not a film.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a film")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    probing = _probing(path)
    decoding = _times_of_decoding(path, probing)
    with opened(path, probing=probing) as container:
        name = container.format.name
        motion_jpeg = name == "jpeg_pipe" and path.suffix.lower() in MOTION_JPEG
        if name in NO_FILM or (name.endswith("_pipe") and not motion_jpeg):
            raise ValueError(f"{path} is not a film (it reads as {name}); pictures go through `fastcolor colorize`")
        stream = choose_stream(container)
        if stream is None:
            if any(s.codec_context is None for s in container.streams.video):
                raise ValueError(f"{path} has a moving picture, but of a codec that is not known here")
            kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
            raise ValueError(f"{path} has no moving picture, only {kinds}")
        return _describe(path, probing, decoding, container, stream, first_frame(path, container, stream))


def _times_of_decoding(path: Path, probing: dict[str, str]) -> list[int]:
    """The first times of a film that reorders its frames and has times that grow from packet to packet, as in AVI: they
    are times of decoding then, and what else libav makes up from them is wrong. Of another film none."""
    import av
    from av.container import Flags

    with opened(path, probing=probing) as container:
        stream = choose_stream(container)
        if stream is None or not stream.codec_context.has_b_frames:
            return []
        container.flags &= ~cast("int", Flags.gen_pts.value)
        times: list[int] = []
        try:
            for packet in container.demux(stream):
                at = packet.dts if packet.pts is None else packet.pts
                if not packet.size or len(times) == SEEN:
                    break
                if at is None or (times and at <= times[-1]):
                    return []
                times.append(at)
        except av.error.FFmpegError:
            pass
        return times if len(times) > 1 else []


def _head(times: list[int]) -> tuple[int, int]:
    """The first time of decoding, and the ticks by which the frame is shown later than that.

    An encoder that needs frames of the future before it can go on, as Xvid with packed frames, leaves slots behind the
    first packet empty. The next packet pushes that frame out, and shows itself a frame's length later: without this the
    first one would stand still meanwhile.
    """
    steps = [after - before for before, after in pairwise(times)]
    usual = steps[1:]
    if len(usual) < 3 or max(usual) - min(usual) > 1 or steps[0] <= max(usual) + 1:
        return (times[0] if times else 0), 0
    return times[0], steps[0] - usual[0]


def first_frame(path: Path, container: Any, stream: Any) -> Any:
    """The first frame of a stream that decodes.

    Raises:
        ValueError: none does.
    """
    import av

    error = "the stream is empty"
    packets = container.demux(stream)
    while True:
        try:
            for frame in next(packets).decode():
                return frame
        except (StopIteration, av.error.EOFError):
            break
        except av.error.FFmpegError as failure:
            error = reason(failure)
    raise ValueError(f"{path}: no frame of the {stream.codec_context.name} picture could be decoded: {error}")


def _end(container: Any, stream: Any) -> float | None:
    """Matroska's demuxer passes over damage in silence: only its statistics tell what should have come."""
    if not container.format.name.startswith("matroska"):
        return None
    for name, value in stream.metadata.items():
        if name.upper().startswith("DURATION") and value.count(":") == 2:
            hours, minutes, seconds = value.split(":")
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    alone = len(container.streams) == 1 and container.duration is not None
    return ((container.start_time or 0) + container.duration) / 1_000_000 if alone else None


def _stated(container: Any, stream: Any) -> int | None:
    """How many packets of the picture there should be. AVI counts the times at which nothing new is shown as frames,
    its index does not."""
    listed = len(stream.index_entries) if container.format.name == "avi" else 0
    return listed or stream.frames or None


def _rate(stream: Any, clocked: bool) -> Fraction:
    """Mean frames per second. Without a clock of its own, or where it tells no frame from a tick, a stream has the rate
    that its codec states."""
    mean, guessed = fraction(stream.average_rate), fraction(stream.guessed_rate)
    if guessed and (not clocked or not mean or (mean > 300 and guessed < mean)):
        return guessed
    return mean or Fraction(25)


def _lead(container: Any, stream: Any, jumps: bool, covers: frozenset[int]) -> tuple[Fraction, Fraction]:
    """(seconds by which times are moved, seconds at which the film then begins).

    A broadcast's clock has no zero that means anything, so its film begins at 0, if not near enough to that anyway.
    Others keep theirs, unless something to be shown lies below 0, where no output can have it.
    """
    begins = {
        s.index: s.start_time * fraction(s.time_base)
        for s in container.streams
        if s.type in ("video", "audio") and s.start_time is not None and s.index not in covers
    }
    first = min(begins.values(), default=Fraction(container.start_time or 0, 1_000_000))
    origin = Fraction(container.start_time or 0, 1_000_000)
    if (jumps and first > PRIMING) or first < -PRIMING or begins.get(stream.index, 0) < 0:
        return -first, Fraction(0)
    return Fraction(0), origin


def _describe(
    path: Path, probing: dict[str, str], decoding: list[int], container: Any, stream: Any, frame: Any
) -> Film:
    from av.format import Flags

    context = stream.codec_context
    kind = Flags(container.format.flags)
    clocked = Flags.no_timestamps not in kind and not container.format.name.endswith("_pipe")
    jumps = clocked and Flags.ts_discont in kind
    rate = _rate(stream, clocked)
    shown = {s.index for s in moving(container)}
    covers = frozenset(s.index for s in container.streams.video if s.index not in shown)
    lead, origin = _lead(container, stream, jumps, covers)
    codec = context.codec.canonical_name
    order = field_order_of(frame, 0 if codec in MARK_FIELDS else int(context.field_order or 0))
    alpha = stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE", "0")) != "0"
    seconds = stream.duration * stream.time_base if stream.duration else (container.duration or 0) / 1_000_000
    notes = []
    others = [s for s in container.streams.video if s.index != stream.index and s.index not in covers]
    if others:
        notes.append(
            f"stream {stream.index} ({frame.width}x{frame.height}) is painted; "
            + ", ".join(f"stream {s.index} ({s.codec_context.width}x{s.codec_context.height})" for s in others)
            + " copied as it is"
        )
    tag, known = context.colorspace, MATRICES.get(context.colorspace)
    if known is None:  # unspecified, or a coding whose chroma is not a colour difference
        known, fallback = ("bt709", 1) if frame.height >= 720 else ("bt601", 6)
        if context.color_primaries == 9:  # of BT.2020, which come with constant luminance and ICtCp too
            known, fallback = "bt2020", 9
        if tag not in (0, UNSPECIFIED):
            notes.append(f"colour matrix {tag} is not supported, painted and tagged as {known}")
        tag = fallback
    if alpha:
        notes.append(f"{codec}: the alpha plane was left out")
    side = next((bytes(s) for s in side_data_of(frame) if s.type.name == "DISPLAYMATRIX"), None)
    matrix = tuple(np.frombuffer(side, np.int32).tolist()) if side else None
    if matrix and is_mirrored(matrix):
        notes.append("the film is shown mirrored; what is said of places in it is for the picture that is not")
    return Film(
        path=path,
        probing=probing,
        stream=stream.index,
        covers=covers,
        codec=codec,
        width=frame.width,
        height=frame.height,
        pixel_format=frame.format.name,
        rate=rate,
        steady=abs(float((fraction(stream.guessed_rate) or rate) / rate) - 1) < 0.002,
        time_base=fraction(stream.time_base) or 1 / rate,
        lead=lead,
        origin=origin,
        jumps=jumps,
        seekable=clocked and not jumps,
        coding_order=bool(decoding),
        head=_head(decoding),
        frames=stream.frames or round(float(seconds * rate)) or None,
        sample_aspect=fraction(stream.sample_aspect_ratio),
        display_matrix=matrix,
        turns=turns_of(matrix) if matrix else 0,
        matrix=known,
        full_range=is_full_range(frame, codec),
        colorspace=tag,
        primaries=context.color_primaries,
        transfer=context.color_trc,
        field_order=order,
        mark_fields=order is not None and not frame.interlaced_frame,
        alpha=alpha,
        mastering=mastering_of(frame),
        stated=_stated(container, stream),
        missing=missing_bytes(path),
        ends=_end(container, stream),
        notes=tuple(notes),
    )
