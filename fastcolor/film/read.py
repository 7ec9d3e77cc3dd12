"""From a film to batches of decoded frames, each with its luma plane."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .damage import Reported
from .encoding import SURFACES, Layout
from .gpu import luma_of, nvdec
from .probe import Film, fraction, opened, reason

# Spread of the chroma planes, in codes of 8 bits, from which a stretch counts as coloured, and below which it no longer
# does. A tint has none, the noise of a coded gray film less than one.
COLORED, UNCOLORED = 4.0, 2.0


@dataclass
class Batch:
    """Some consecutive frames with their luma."""

    luma: Tensor  # (frames at most, H, W) uint8 or uint16, where it was decoded, later where it is painted
    frames: list[Any] = field(default_factory=list)  # av.VideoFrame in the output's format, luma in place if it is here
    colored: list[bool] = field(default_factory=list)  # the frame keeps the colours it has
    state: dict[str, Tensor] | None = None  # of the smoothing behind this batch, where it ends a part


def plane_view(frame: Any, index: int, dtype: type) -> np.ndarray:
    """The samples of one plane, (rows, columns), without copying; writing to it writes to the frame."""
    plane = frame.planes[index]
    rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // np.dtype(dtype).itemsize)
    return rows[: plane.height, : plane.width]


def _run_dry(context: Any) -> None:
    """Let a decoder's threads come to rest; see `Reported`."""
    import av

    for _ in range(1000):
        try:
            context.decode(None)
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            continue


class Reader:
    """Decodes the painted stream, batch by batch.

    Damage is survived: `warn` is told of what was lost. With `start` and `end` (seconds from the film's beginning)
    only what lies within is passed on, moved so that the cut begins where the film began. The first `skip` frames are
    decoded and not passed on: only so do the others come out as they would have. decoder: the GPU whose NVDEC decodes;
    luma then stays there, and frames yet without it come along. `note` is told where software had to decode.
    """

    def __init__(
        self,
        film: Film,
        layout: Layout,
        *,
        size: int,
        start: float | None,
        end: float | None,
        skip: int = 0,
        keep_colored: bool = False,
        decoder: torch.device | None = None,
        warn: Callable[[str], None],
        note: Callable[[str], None],
    ) -> None:
        self.film, self.layout, self.size, self.warn, self.note = film, layout, size, warn, note
        self.skip, self.keep_colored = skip, keep_colored
        self.shift = Fraction(str(start)) if start else Fraction(0)
        self.first = film.origin + self.shift if start else None
        self.last = film.origin + Fraction(str(end)) if end is not None else None
        self.decoder, self.fell_back = decoder, False
        self.dtype = layout.dtype
        self.pts: int | None = None  # of the frame before
        self.end = 0  # of what it lasts for
        self.position = 0  # in the file, in bytes
        self.read = 0  # packets
        self.lost = 0  # packets that could not be decoded
        self.damaged = 0  # packets that came with damage, decoded as far as they go
        self.concealed = 0  # frames that decoded with damage
        self.colored = False  # the frame before was
        self.told: set[str] = set()

    def __iter__(self) -> Iterator[Batch]:
        with opened(self.film.path, nvdec(self.decoder) if self.decoder else None) as container:
            if self.first is not None:
                container.seek(int(self.first * 1_000_000), backward=True)
            batch = self._new()
            for number, frame in enumerate(self._frames(container)):
                colored = self.keep_colored and self._is_colored(frame)
                if number < self.skip:
                    continue
                out = self._prepared(frame, colored)
                self._take_luma(frame, out, batch.luma[len(batch.frames)])
                batch.frames.append(out)
                batch.colored.append(colored)
                if len(batch.frames) == self.size:
                    yield batch
                    batch = self._new()
            if batch.frames:
                yield batch
        self._tell_losses()

    def _tell_losses(self) -> None:
        film = self.film
        if film.missing:
            self.warn(f"{film.path} is cut off: {film.missing} bytes are missing by its own count")
        if self.concealed:
            self.warn(f"{film.path}: {self.concealed} frames are damaged, painted as far as they decode")
        if self.damaged:
            self.warn(f"{film.path}: {self.damaged} packets of stream {film.stream} are damaged")
        if self.lost:
            self.warn(f"{film.path}: {self.lost} damaged packets of stream {film.stream} were dropped")
        whole = self.first is None and self.last is None
        reached = float(self.end * film.time_base)
        # A last frame may stand long; but then little of the file is left behind it.
        size = film.path.stat().st_size
        unread = size - self.position > size // 20 + 4096
        if whole and film.ends and unread and reached < film.ends - max(0.25, 2 / float(film.rate)):
            self.warn(f"{film.path} should end after {film.ends:.2f} s, but its picture breaks off at {reached:.2f} s")
        if whole and film.stated and self.read < film.stated:
            self.warn(f"{film.path}: {film.stated - self.read} of {film.stated} frames could not be read")

    def _new(self) -> Batch:
        dtype = torch.uint8 if self.layout.bits == 8 else torch.uint16
        shape = (self.size, self.film.height, self.film.width)
        return Batch(torch.empty(shape, dtype=dtype, device=self.decoder or "cpu"))

    def _frames(self, container: Any) -> Iterator[Any]:
        """Decoded frames within the cut, in order, each with a time stamp."""
        painted = container.streams[self.film.stream]
        if self.decoder is None:
            painted.codec_context.thread_type = "AUTO"
        with Reported((painted.codec_context.name, container.format.name)) as reported:
            try:
                for frame in self._decoded(container, painted):
                    self._stamp(frame)
                    at = frame.pts * self.film.time_base
                    if self.last is not None and at >= self.last:
                        break
                    inside = self.first is None or at >= self.first
                    reported.take(count=inside)  # where a cut begins, frames before a key frame cannot be whole
                    if inside:
                        self.concealed += frame.is_corrupt
                        yield frame
            finally:
                _run_dry(painted.codec_context)
        if reported.count:
            self.warn(
                f"{self.film.path} is damaged: {reported.count} errors reported, the first {reported.first!r}; "
                "painted as far as it decodes"
            )

    def _decoded(self, container: Any, painted: Any) -> Iterator[Any]:
        import av

        demuxer = container.demux()  # all streams, to see how far it comes
        while True:
            try:
                packet = next(demuxer, None)
            except av.error.FFmpegError as error:
                self.warn(f"{self.film.path} breaks off: {reason(error)}")
                packet = None
            if packet is not None:
                self.position = max(self.position, (packet.pos or 0) + packet.size)
                if packet.stream.index != self.film.stream:
                    continue
            # The last packet is an empty one, which flushes the decoder; where the demuxer broke off there is none.
            self.read += packet is not None and packet.size > 0
            self.damaged += packet is not None and packet.is_corrupt
            try:
                yield from painted.codec_context.decode(packet if packet and packet.size else None)
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self.lost += packet is not None
            if packet is None:
                return

    def _stamp(self, frame: Any) -> None:
        """Give every frame a time stamp later than the one before, as encoders demand; good ones stay as they are."""
        step = max(1, round(1 / (self.film.rate * self.film.time_base)))
        if frame.pts is None:  # raw streams have none
            frame.pts = 0 if self.pts is None else self.pts + step
        elif self.pts is not None and frame.pts <= self.pts:
            self._tell("has time stamps that do not increase; they were moved by a tick")
            frame.pts = self.pts + 1
        self.pts = frame.pts
        self.end = frame.pts + max(frame.duration or 0, step)

    def _is_colored(self, frame: Any) -> bool:
        """Whether a frame belongs to a coloured stretch: colours that differ within the picture, not a mere tint."""
        shape = frame.format
        plain = not shape.is_rgb and len(shape.components) >= 3 and shape.is_planar and shape.components[0].bits == 8
        shown = frame if plain else frame.reformat(128, 128, "yuv444p")
        spread = max(float(plane_view(shown, index, np.uint8)[::2, ::2].std()) for index in (1, 2))
        self.colored = spread > (UNCOLORED if self.colored else COLORED)
        return self.colored

    def _prepared(self, frame: Any, colored: bool) -> Any:
        """The frame as it will be encoded: luma in place unless it is on a GPU, chroma yet to be written unless it is
        coloured."""
        import av

        if self._is_surface(frame):
            out = av.VideoFrame(self.film.width, self.film.height, self.layout.output)
        else:
            out = self._with_luma(frame, colored)
        out.pts, out.time_base, out.duration = frame.pts, self.film.time_base, frame.duration
        out.pict_type = 0  # the encoder decides, not the source
        if self.shift:
            out.pts -= round(self.shift / fraction(out.time_base))
        return out

    def _is_surface(self, frame: Any) -> bool:
        """Whether NVDEC decoded it, and as what the film began with."""
        if self.decoder is None:
            return False
        film, shape = self.film, frame.sw_format or frame.format
        return (frame.width, frame.height, shape.name) == (film.width, film.height, SURFACES[film.pixel_format])

    def _take_luma(self, frame: Any, out: Any, luma: Tensor) -> None:
        """Copy a frame's luma into a batch."""
        if self.decoder is None:
            luma.numpy()[:] = plane_view(out, 0, self.dtype)
            return
        if not self._is_surface(frame) and not self.fell_back:
            self.fell_back = True
            self.note(f"NVDEC refuses a part of {self.film.path}, which is decoded in software")
        luma.copy_(luma_of(frame if self._is_surface(frame) else out))

    def _with_luma(self, frame: Any, colored: bool) -> Any:
        import av

        film, layout = self.film, self.layout
        source = frame
        changed = (frame.width, frame.height, frame.format.name) != (film.width, film.height, film.pixel_format)
        if changed:
            self._tell(f"changes its picture format on the way; brought back to {film.width}x{film.height}")
        if changed or layout.convert:
            source = self._converted(frame)
        if source.format.name == layout.output:
            source.make_writable()  # the decoder may still need the original as a reference
            return source
        out = source.reformat(format=layout.output) if colored else None
        out = out or av.VideoFrame(film.width, film.height, layout.output)
        plane_view(out, 0, self.dtype)[:] = plane_view(source, 0, self.dtype)
        return out

    def _converted(self, frame: Any) -> Any:
        """A frame without a luma plane of its own, or of another format than the film began with."""
        film = self.film
        target = self.layout.convert or film.pixel_format
        if not (frame.format.is_rgb or frame.format.has_palette):
            return frame.reformat(film.width, film.height, target)
        matrix = {"bt601": 5, "bt709": 1, "bt2020": 9}[film.matrix]  # as libswscale numbers them
        return frame.reformat(film.width, film.height, target, dst_colorspace=matrix, dst_color_range="MPEG")

    def _tell(self, what: str) -> None:
        if what not in self.told:
            self.told.add(what)
            self.warn(f"{self.film.path} {what}")
