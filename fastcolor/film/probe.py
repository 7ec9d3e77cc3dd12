"""What a film file holds: its picture stream, its clock, its colour tags."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .damage import missing_bytes
from .mastering import Mastering, mastering_of

if TYPE_CHECKING:
    import av

# Demuxers that read pictures, texts and raw bytes: their "streams" are no film.
NO_FILM = ("image2", "tty", "bin", "xbin", "ilbc", "lrc", "srt", "ass", "webvtt", "apng_pipe")

MATRICES = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 7: "bt709", 9: "bt2020", 10: "bt2020"}  # ITU-T H.273
UNSPECIFIED = 2


@dataclass(frozen=True)
class Film:
    """What a look at the head of a film says. Times are in units of `time_base` (seconds)."""

    path: Path
    stream: int  # index of the picture stream to be painted
    codec: str  # its family: h264, hevc, av1, vp9, ...
    width: int
    height: int
    pixel_format: str
    rate: Fraction  # mean frames per second, for the encoder's rate control and for estimates
    time_base: Fraction
    origin: Fraction  # seconds at which the film begins
    frames: int | None  # an estimate, where the file gives grounds for one
    sample_aspect: Fraction | None
    display_matrix: tuple[int, ...] | None  # rotation and mirroring, nine numbers as in ISO 14496-12
    turns: int  # quarter turns counter-clockwise until the picture stands upright
    matrix: Literal["bt601", "bt709", "bt2020"]
    full_range: bool
    tags: tuple[int, int, int]  # colour matrix, primaries, transfer as ITU-T H.273 numbers them
    field_order: str | None  # of an interlaced film: which field is first, "top" or "bottom"
    mastering: Mastering | None
    stated: int | None  # packets of the picture that the file's index lists
    missing: int  # bytes that the file lacks by its own count
    ends: float | None  # second at which the picture ends, where the file's head or index says so
    notes: tuple[str, ...]

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
def opened(path: Path, hwaccel: Any = None) -> Iterator[av.container.InputContainer]:
    """An input container; an unreadable one is a ValueError of one sentence. hwaccel: an av HWAccel that decodes it."""
    import av

    try:
        try:
            container = av.open(url(path), hwaccel=hwaccel)
        except UnicodeDecodeError:  # tags of an old file
            container = av.open(url(path), metadata_encoding="latin-1", hwaccel=hwaccel)
    except (av.error.FFmpegError, OSError) as error:
        if path.suffix.lower() in (".mp4", ".m4v", ".mov") and isinstance(error, av.error.InvalidDataError):
            raise ValueError(
                f"{path} is damaged or no film: it holds no index (moov), so nothing can be read"
            ) from None
        raise ValueError(f"{path} is not a film that can be read: {reason(error)}") from None
    with container:
        yield container


def choose_stream(container: av.container.InputContainer) -> av.video.VideoStream | None:
    """The picture stream to paint: marked as default, else the largest; of several defaults the largest."""
    from av.stream import Disposition

    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic and s.codec_context]
    default = [s for s in moving if s.disposition & Disposition.default]
    return max(default or moving, key=lambda s: s.codec_context.width * s.codec_context.height, default=None)


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
    with opened(path) as container:
        name = container.format.name
        if name in NO_FILM or name.endswith("_pipe"):
            raise ValueError(f"{path} is not a film (it reads as {name}); pictures go through `fastcolor colorize`")
        stream = choose_stream(container)
        if stream is None:
            kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
            raise ValueError(f"{path} has no moving picture, only {kinds}")
        return _describe(path, container, stream, first_frame(path, container, stream))


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


def _field_order(context: Any, frame: Any) -> str | None:
    # libav's AVFieldOrder: 0 unknown, 1 progressive, 2 and 4 top field first, 3 and 5 bottom field first.
    if not frame.interlaced_frame:
        return None
    return "bottom" if int(context.field_order or 0) in (3, 5) else "top"


def _describe(path: Path, container: Any, stream: Any, frame: Any) -> Film:
    context = stream.codec_context
    rate = fraction(stream.average_rate) or fraction(stream.guessed_rate) or Fraction(25)
    seconds = stream.duration * stream.time_base if stream.duration else (container.duration or 0) / 1_000_000
    notes = []
    others = [s for s in container.streams.video if s.index != stream.index]
    if others:
        notes.append(
            f"stream {stream.index} ({frame.width}x{frame.height}) is painted; "
            + ", ".join(f"stream {s.index} ({s.codec_context.width}x{s.codec_context.height})" for s in others)
            + " copied as it is"
        )
    tag, known = context.colorspace, MATRICES.get(context.colorspace)
    if known is None:  # unspecified, or a coding whose chroma is not a colour difference
        known, fallback = ("bt709", 1) if frame.height >= 720 else ("bt601", 6)
        if tag not in (0, UNSPECIFIED):
            notes.append(f"colour matrix {tag} is not supported, painted and tagged as {known}")
        tag = fallback
    gray = len(frame.format.components) <= 2
    coded_limited = context.codec.canonical_name in ("h264", "hevc", "av1", "vp9", "vp8", "mpeg2video", "mpeg4")
    coded_rgb = frame.format.is_rgb or frame.format.has_palette  # becomes limited-range luma
    full_range = not coded_rgb and (context.color_range == 2 or frame.format.name.startswith("yuvj"))
    if context.color_range == 0 and gray and not coded_rgb and not coded_limited:
        full_range = True  # a bare gray sample spans all its bits unless its codec says otherwise
    matrix = next((bytes(s) for s in frame.side_data if s.type.name == "DISPLAYMATRIX"), None)
    return Film(
        path=path,
        stream=stream.index,
        codec=context.codec.canonical_name,
        width=frame.width,
        height=frame.height,
        pixel_format=frame.format.name,
        rate=rate,
        time_base=fraction(stream.time_base) or 1 / rate,
        origin=Fraction(container.start_time or 0, 1_000_000),
        frames=stream.frames or round(float(seconds * rate)) or None,
        sample_aspect=fraction(stream.sample_aspect_ratio),
        display_matrix=tuple(np.frombuffer(matrix, np.int32).tolist()) if matrix else None,
        turns=round(frame.rotation / 90) % 4,
        matrix=known,
        full_range=full_range,
        tags=(tag, context.color_primaries, context.color_trc),
        field_order=_field_order(context, frame),
        mastering=mastering_of(frame),
        stated=stream.frames or None,
        missing=missing_bytes(path),
        ends=_end(container, stream),
        notes=tuple(notes),
    )
