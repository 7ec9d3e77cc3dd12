"""The chroma film: a film's colours at the size that the network sees, beside the film.

An ordinary film without loss (H.264, or FFV1 where that is not there; 10 bits, in Matroska), with the film's own times;
its luma is what the network saw. Colours that are known at half of that are stored so, in 4:2:0. Any player shows it,
any editor changes it, and painting from it needs no network.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import ops
from ..atomic import whole
from ..options.project import Shot
from ..steering.chroma import ab_of, chroma_of
from .frames import plane_view
from .hdr import COLOUR_FACTOR
from .probe import Film, opened, url

TAG, VERSION = "FASTCOLOR_CHROMA", "1"  # by which painting knows one, and takes its colours as they were
SHOTS = "FASTCOLOR_SHOTS"
FORMATS = {False: "yuv444p10le", True: "yuv420p10le"}  # by whether colours are half as large as luma
_MATRICES = {"bt601": 6, "bt709": 1, "bt2020": 9}  # as ITU-T H.273 numbers them
# Without loss: decoding H.264 takes an eighth of FFV1's time, of a third of its bytes. A key frame every two seconds to
# go to; chroma lies where the means of four pixels do.
_CODECS = {
    "libx264": {"qp": "0", "preset": "ultrafast", "g": "48", "chroma_sample_location": "center"},
    "ffv1": {"level": "3", "slices": "4", "slicecrc": "1", "chroma_sample_location": "center"},
}


def is_ours(path: Path) -> bool:
    """Whether a film is a chroma film as it was written here.

    Raises:
        ValueError: one of a later version.
    """
    with opened(path) as container:
        version = {name.upper(): value for name, value in container.metadata.items()}.get(TAG)
    if version not in (None, VERSION):
        raise ValueError(f"chroma_from: {path} is a chroma film of version {version}; a newer fastcolor reads it")
    return version is not None


def luma_codes(lightness: Tensor) -> Tensor:
    """(N, 1, h, w) codes of lightness in [0, 100], of 10 bits."""
    gray = ops.lab_to_rgb(lightness.expand(-1, 3, -1, -1) * lightness.new_tensor([1, 0, 0])[:, None, None],
                          dtype=torch.float32)  # fmt: skip
    return (64 + 876 * gray[:, 1:2]).round().clamp(4, 1019)


def lightness_at(codes: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, 1, *size) lightness of `luma_codes`, at their size or half of it: what a sample of chroma goes with."""
    from ..reference import _gray_to_l

    if codes.shape[-2:] != size:
        codes = F.avg_pool2d(codes, 2)
    return _gray_to_l(((codes - 64) / 876).clamp(0, 1))


def chroma_frames(luma: Tensor, chroma: Tensor) -> list[Any]:
    """A chroma film's frames, yet without times.

    Args:
        luma: (N, 1, h, w), of `luma_codes`. chroma: (N, 2, h, w) or half as large, Cb and Cr as `chroma_of` gives them.
    """
    import av

    planes = [codes.to(torch.int32).cpu().numpy().astype(np.uint16)
              for codes in (luma, (512 + 896 * chroma).round().clamp(4, 1019))]  # fmt: skip
    frames = []
    for gray, colours in zip(*planes, strict=True):
        frame = av.VideoFrame(gray.shape[2], gray.shape[1], FORMATS[colours.shape != (2, *gray.shape[1:])])
        for index, plane in enumerate((*gray, *colours)):
            plane_view(frame, index, np.uint16)[:] = plane
        frames.append(frame)
    return frames


def chroma_codes(ab: Tensor, luma: Tensor, size: tuple[int, int], film: Film) -> Tensor:
    """(N, 2, *size): Cb and Cr of colours (N, 2, h', w'). luma: (N, 1, h, w), of `luma_codes`."""
    if ab.shape[-2:] != size:
        ab = F.interpolate(ab.float(), size, mode="bilinear", align_corners=False)
    return chroma_of(ab, lightness_at(luma, size), film.matrix)


def colours_of(planes: Sequence[Tensor], film: Film) -> Tensor:
    """(1, 2, h, w) ab of a chroma film's frame. planes: Y, Cb and Cr, codes of 10 bits as float."""
    luma, chroma = planes[0][None, None], torch.stack(list(planes[1:]))[None]
    return ab_of((chroma - 512) / 896, lightness_at(luma, (chroma.shape[2], chroma.shape[3])), film.matrix)


class ChromaWriter:
    """One part of a chroma film."""

    def __init__(self, film: Film, path: Path) -> None:
        import av

        self.film = film
        self.container = av.open(url(path), "w", format="matroska", container_options={"avoid_negative_ts": "disabled"})
        self.stream: Any = None

    def write(self, frames: Iterable[Any]) -> None:
        """Encode frames with times in the film's ticks."""
        for frame in frames:
            if self.stream is None:
                self._open(frame)
            frame.pict_type = 0
            self.container.mux(self.stream.encode(frame))

    def finish(self) -> None:
        """Complete the file."""
        if self.stream is not None:
            self.container.mux(self.stream.encode(None))
        self.container.close()

    def abandon(self) -> None:
        """Let go of the file after a failure."""
        import av

        try:
            self.container.close()
        except (av.error.FFmpegError, OSError, ValueError):
            pass

    def _open(self, frame: Any) -> None:
        film, name = self.film, frame.format.name
        codec = next((one for one in _CODECS if name in _formats_of(one)), "ffv1")
        self.stream = self.container.add_stream(codec, rate=film.rate, options=dict(_CODECS[codec]))
        context = self.stream.codec_context
        context.width, context.height, context.pix_fmt = frame.width, frame.height, name
        context.thread_count = 1  # frames are small, and what else is done has the cores
        context.time_base = self.stream.time_base = film.time_base
        context.color_range, context.colorspace = 1, _MATRICES[film.matrix]
        context.color_primaries = film.primaries
        context.color_trc = film.transfer if film.transfer not in COLOUR_FACTOR else 1
        shown = Fraction(film.width, film.height) * (film.sample_aspect or 1)
        context.sample_aspect_ratio = (shown / Fraction(frame.width, frame.height)).limit_denominator(1000)


def _formats_of(encoder: str) -> list[str]:
    """The pixel formats that an encoder takes; none where it is not there."""
    import av

    try:
        return [one.name for one in av.Codec(encoder, "w").video_formats or ()]
    except av.codec.codec.UnknownCodecError:
        return []


def shots_of(path: Path) -> list[tuple[float, float, str]]:
    """The shots that a chroma film was made with: seconds, and the mark of what was said of each."""
    with opened(path) as container:
        words = {name.upper(): value for name, value in container.metadata.items()}.get(SHOTS)
    try:
        return [(float(start), float(end), str(mark)) for start, end, mark in json.loads(words or "[]")]
    except (ValueError, TypeError, OverflowError, RecursionError):
        return []


def join_chroma(film: Film, parts: list[Path], target: Path, shots: Sequence[Shot] = ()) -> None:
    """Write a chroma film of its parts. shots: of the project that it was made with.

    Raises:
        OSError: it cannot be written.
    """
    import av

    with whole(target) as growing:
        with (
            opened(parts[0]) as first,
            av.open(
                url(growing), "w", format="matroska", container_options={"avoid_negative_ts": "disabled"}
            ) as output,
        ):
            output.metadata[TAG] = VERSION
            if shots:
                output.metadata[SHOTS] = json.dumps([(shot.start, shot.end, shot.mark) for shot in shots])
            stream = output.add_stream_from_template(first.streams.video[0], opaque=True)
            stream.time_base = first.streams.video[0].time_base
            if film.display_matrix:
                stream.set_display_matrix(film.display_matrix)
            output.start_encoding()
            for part in parts:
                with opened(part) as source:
                    for packet in source.demux(source.streams.video[0]):
                        if packet.size:
                            packet.stream = stream
                            output.mux_one(packet)
