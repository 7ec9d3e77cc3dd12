"""fastcolor as a filter of VapourSynth: `from fastcolor.vapoursynth import colorize`.

It needs the package `vapoursynth` (`pip install 'fastcolor[vapoursynth]'`, Python 3.12 or later).
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..film.probe import MATRICES
from ..options.base import takes
from ..options.film import Smoothed
from ..options.look import Look

if TYPE_CHECKING:
    from ..film.encoding import Subsampling
    from .painter import Stream

__all__ = ["colorize"]

_SUBSAMPLING: dict[tuple[int, int], Subsampling] = {(1, 1): "420", (1, 0): "422", (0, 0): "444"}


@dataclass(frozen=True)
class _Clip(Smoothed, Look):
    """A clip, and how it is to be coloured."""

    clip: Any
    """YUV of 8 to 16 bits or of float samples, 4:2:0, 4:2:2 or 4:4:4, of one format and size throughout."""


@takes(_Clip)
def colorize(options: _Clip) -> Any:
    """Colour a clip: its luma stays as it is, its chroma is new.

    Frames are asked for in batches, ahead of the network, and those in order are what `fastcolor-video` makes of the
    same film, but for codes here and there that other numbers of threads round otherwise. After a jump smoothing begins
    anew. Matrix, range, transfer and sample aspect are those that the first frame's properties
    tell, else limited range and BT.709 from 720 lines on, BT.601 below.

    Returns:
        The coloured clip, of the same format, length and properties.

    Raises:
        ImportError: vapoursynth is not installed. TypeError, ValueError, FileNotFoundError: no such clip, a format that
            is not listed, unknown or damaged weights, an option out of range.

    Example:
        >>> clip = core.bs.VideoSource("gray.mp4")  # doctest: +SKIP
        >>> colorize(clip, weights="deoldify-video").set_output()  # doctest: +SKIP
    """
    try:
        import vapoursynth
    except ImportError as error:
        raise ImportError(
            f"vapoursynth: {error}; pip install 'fastcolor[vapoursynth]' (Python 3.12 or later)"
        ) from None
    options.check()
    clip = options.clip
    if not isinstance(clip, vapoursynth.VideoNode):
        raise TypeError(f"clip: must be a VapourSynth clip, got {type(clip).__name__}")
    stream, in_float = _stream(clip, vapoursynth)
    from ..predictor import Predictor
    from .painter import StreamPainter

    predictor = Predictor.of(options, amount=stream.frames)
    source = _Source(clip, in_float)
    painter = StreamPainter(
        predictor,
        stream,
        source.luma,
        ahead=source.ahead,
        temporal=options.temporal,
        adaptive=options.is_adaptive(on_cpu=predictor.device.type == "cpu"),
        temperature=options.temperature,
        saturation=options.saturation,
    )

    def painted(n: int, f: Any) -> Any:
        frame = f.copy()
        for index, plane in enumerate(painter(n), start=1):
            samples = (plane.astype(np.float32) - 32768) / 65535 if in_float else plane
            np.copyto(np.asarray(frame[index]), samples, casting="same_kind")
        return frame

    return clip.std.ModifyFrame(clips=clip, selector=painted)


class _Source:
    """The luma of a clip's frames, some of them asked for ahead."""

    def __init__(self, clip: Any, in_float: bool) -> None:
        self._clip, self._in_float = clip, in_float
        self._asked: dict[int, Future[Any]] = {}

    def ahead(self, frames: range) -> None:
        self._asked = {n: self._asked.get(n) or self._clip.get_frame_async(n) for n in frames}

    def luma(self, n: int) -> np.ndarray:
        asked = self._asked.pop(n, None)
        # Waiting for the answer to what was asked ahead would hold a thread that may be needed to answer it.
        frame = asked.result() if asked is not None and asked.done() else self._clip.get_frame(n)
        with frame:
            luma = np.array(frame[0])
        return (luma.astype(np.float32).clip(0, 1) * 65535).round().astype(np.uint16) if self._in_float else luma


def _stream(clip: Any, vapoursynth: Any) -> tuple[Stream, bool]:
    """What is known of a clip, and whether its samples are floats, which are painted as 16 bits of full range."""
    from .painter import Stream

    form = clip.format
    if form is None or not clip.width or form.color_family == vapoursynth.UNDEFINED:
        raise ValueError("clip: must be of one format and size throughout, got a variable one")
    subsampling = _SUBSAMPLING.get((form.subsampling_w, form.subsampling_h))
    in_float = form.sample_type == vapoursynth.FLOAT
    if form.color_family != vapoursynth.YUV or subsampling is None or not (in_float or form.bits_per_sample <= 16):
        raise ValueError(
            "clip: must be YUV of 8 to 16 bits or of floats, 4:2:0, 4:2:2 or 4:4:4 (of gray: "
            f"clip.resize.Point(format=vs.YUV420P8)), got {form.name}"
        )
    with clip.get_frame(0) as frame:
        props = dict(frame.props)
    known = {**MATRICES, 10: "bt2020"}  # of constant luminance, as near as may be
    matrix = known.get(int(props.get("_Matrix", 2))) or ("bt709" if clip.height >= 720 else "bt601")
    # One property was replaced by the other, whose values are the other way round.
    full_range = props["_Range"] == 1 if "_Range" in props else props.get("_ColorRange", 1) == 0
    width, height = int(props.get("_SARNum", 0)), int(props.get("_SARDen", 0))
    stream = Stream(
        frames=clip.num_frames,
        width=clip.width,
        height=clip.height,
        bits=16 if in_float else form.bits_per_sample,
        subsampling=subsampling,
        matrix=matrix,
        full_range=in_float or full_range,
        transfer=int(props.get("_Transfer", 2)),
        aspect=width / height if width > 0 and height > 0 else 1.0,
    )
    return stream, in_float
