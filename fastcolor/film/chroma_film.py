"""The chroma film: a film's colours at the size that the network sees, beside the film.

An ordinary film (FFV1, 4:4:4, 10 bits, in Matroska), with the film's own times; its luma is what the network saw. Any
player shows it, any editor changes it, and painting from it needs no network.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import ops
from ..atomic import whole
from ..options.project import Shot
from ..steering.chroma import chroma_of
from .frames import plane_view
from .hdr import COLOUR_FACTOR
from .probe import Film, opened, url

TAG, VERSION = "FASTCOLOR_CHROMA", "1"  # by which painting knows one, and takes its colours as they were
SHOTS = "FASTCOLOR_SHOTS"
FORMAT = "yuv444p10le"
_MATRICES = {"bt601": 6, "bt709": 1, "bt2020": 9}  # as ITU-T H.273 numbers them
_OPTIONS = {"level": "3", "slices": "4", "slicecrc": "1"}


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


def chroma_frames(lightness: Tensor, chroma: Tensor) -> list[Any]:
    """A chroma film's frames, yet without times.

    Args:
        lightness: (N, 1, h, w), L in [0, 100]. chroma: (N, 2, h, w), Cb and Cr as `chroma_of` gives them.
    """
    import av

    gray = ops.lab_to_rgb(torch.cat([lightness, torch.zeros_like(chroma)], 1), dtype=torch.float32)[:, 1:2]
    codes = torch.cat([64 + 876 * gray, 512 + 896 * chroma], 1).round().clamp(4, 1019)
    frames = []
    for planes in codes.to(torch.int32).cpu().numpy().astype(np.uint16):
        frame = av.VideoFrame(planes.shape[2], planes.shape[1], FORMAT)
        for index, plane in enumerate(planes):
            plane_view(frame, index, np.uint16)[:] = plane
        frames.append(frame)
    return frames


def chroma_codes(ab: Tensor, lightness: Tensor, film: Film) -> Tensor:
    """Cb and Cr of colours of any size, at the lightness's size. ab: (N, 2, h', w'); lightness: (N, 1, h, w)."""
    ab = torch.nn.functional.interpolate(ab.float(), lightness.shape[-2:], mode="bilinear", align_corners=False)
    return chroma_of(ab, lightness, film.matrix)


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
        film = self.film
        self.stream = self.container.add_stream("ffv1", rate=film.rate, options=_OPTIONS)
        context = self.stream.codec_context
        context.width, context.height, context.pix_fmt = frame.width, frame.height, FORMAT
        context.time_base = self.stream.time_base = film.time_base
        context.color_range, context.colorspace = 1, _MATRICES[film.matrix]
        context.color_primaries = film.primaries
        context.color_trc = film.transfer if film.transfer not in COLOUR_FACTOR else 1
        shown = Fraction(film.width, film.height) * (film.sample_aspect or 1)
        context.sample_aspect_ratio = (shown / Fraction(frame.width, frame.height)).limit_denominator(1000)


def shots_of(path: Path) -> list[tuple[float, float, str]]:
    """The shots that a chroma film was made with: seconds, and the mark of what was said of each."""
    with opened(path) as container:
        words = {name.upper(): value for name, value in container.metadata.items()}.get(SHOTS)
    try:
        return [(float(start), float(end), str(mark)) for start, end, mark in json.loads(words or "[]")]
    except (ValueError, TypeError):
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
