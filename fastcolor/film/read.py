"""From a film to batches of decoded frames, each with its luma plane."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from .clock import Clock, Cut, demuxed, seconds_of
from .colored import Colors
from .damage import Damage, Reported
from .encoding import SURFACES, Layout
from .frames import as_interlaced, has_captions, in_shown_order, is_full_range, is_gray, like, plane_view
from .gpu import luma_of, nvdec
from .motion import Seen
from .probe import Film

_RANGES = {False: "MPEG", True: "JPEG"}  # limited and full, as PyAV calls them


@dataclass
class Batch:
    """Some consecutive frames with their luma."""

    luma: Tensor  # (frames at most, H, W) uint8 or uint16, where it was decoded, later where it is painted
    frames: list[Any] = field(default_factory=list)  # av.VideoFrame in the output's format, luma in place if it is here
    colored: list[bool] = field(default_factory=list)  # the frame keeps the colours it has
    lightness: Tensor | None = None  # as the network sees it, and what is seen in it, where that is looked at first
    seen: Seen | None = None
    state: dict[str, Tensor] | None = None  # of the smoothing behind this batch, where it ends a part
    given: list[Any] = field(default_factory=list)  # what another version gives for each frame, as `paint` converts it
    breaks: list[bool] = field(default_factory=list)  # the frame is given and the one before is not, or the reverse
    aligned: dict[str, Tensor] = field(default_factory=dict)  # of that version's alignment behind this batch
    chroma: list[Any] = field(default_factory=list)  # the chroma film's frames

    def let_go(self) -> None:
        """Forget all that was needed to paint it: batches wait for the encoder, and luma is most of what they hold."""
        self.luma, self.lightness, self.seen = self.luma.new_empty(0), None, None
        self.given, self.aligned = [], {}


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

    Damage is survived: `warn` is told of what was lost. Only what lies within the cut is passed on, moved so that the
    cut begins where the film began. The first `skip` frames are decoded and not passed on: only so do the others come
    out as they would have. decoder: the GPU whose NVDEC decodes; luma then stays there, and frames yet without it come
    along. captions: whether the encoder writes closed captions. `note` is told what the film does not suffer from.
    """

    def __init__(
        self,
        film: Film,
        layout: Layout,
        *,
        size: int,
        cut: Cut,
        skip: int = 0,
        keep_colored: bool = False,
        captions: bool = True,
        decoder: torch.device | None = None,
        warn: Callable[[str], None],
        note: Callable[[str], None],
    ) -> None:
        self.film, self.layout, self.size, self.cut, self.warn, self.note = film, layout, size, cut, warn, note
        self.skip, self.keep_colored, self.captions, self.decoder = skip, keep_colored, captions, decoder
        self.dtype = layout.dtype
        self.damage = Damage(film)
        self.colors = Colors(keep=keep_colored)
        self.mark = as_interlaced(film.field_order) if film.field_order and film.mark_fields else None
        self.pts: int | None = None  # of the frame before
        self.aspect: Fraction | None = None
        self.told: set[str] = set()

    def __iter__(self) -> Iterator[Batch]:
        with self.film.opened(nvdec(self.decoder) if self.decoder else None) as container:
            batch = self._new()
            for number, frame in enumerate(self._frames(container)):
                colored = self.decoder is None and self.colors.keeps(frame)
                self._tell_colors(over=False)
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
        for sentence in self.damage.sentences(whole=self.cut.whole):
            self.warn(sentence)
        self._tell_colors(over=True)

    def _tell_colors(self, *, over: bool) -> None:
        if "colors" not in self.told and (sentence := self.colors.sentence(over=over)):
            self.told.add("colors")
            self.note(f"{self.film.path} {sentence}")

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
            decoded = self._decoded(container, painted)
            try:
                for frame in in_shown_order(decoded) if self.film.coding_order else decoded:
                    self._stamp(frame)
                    at = frame.pts * self.film.time_base
                    if self.cut.over(at):
                        break
                    inside = not self.cut.early(at)
                    reported.take(count=inside)  # where a cut begins, frames before a key frame cannot be whole
                    if inside:
                        self.damage.frames += frame.is_corrupt
                        self._watch(frame, painted.codec_context, at)
                        yield self.film.convertible(frame)
            finally:
                _run_dry(painted.codec_context)
        self.damage.errors, self.damage.first_error = reported.count, reported.first

    def _decoded(self, container: Any, painted: Any) -> Iterator[Any]:
        """Frames as the decoder gives them, from one or two key frames before the cut on."""
        import av

        damage, clock = self.damage, Clock(self.film)
        packets = self._numbered(demuxed(clock, container, self.cut, self.warn), clock)
        for number, packet in self._from_key_frame(packets):
            damage.position = max(damage.position, (packet.pos or 0) + packet.size)  # of all streams
            if packet.stream.index != self.film.stream:
                continue
            damage.read += 1
            if packet.is_corrupt:
                damage.corrupt.append(number)
            if self.film.coding_order and packet.pts is None and packet.dts is not None:
                packet.pts = self.film.shown_from(packet.dts)
            try:
                yield from painted.codec_context.decode(packet)
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                damage.lost += 1
        try:
            yield from painted.codec_context.decode(None)
        except av.error.FFmpegError:
            return

    def _numbered(self, packets: Iterator[Any], clock: Clock) -> Iterator[tuple[int, Any]]:
        """Packets, each with how many of the painted stream came up to it; joins of recordings are noted on the way."""
        number, stretch = 0, clock.stretches
        for packet in packets:
            if packet.stream.index == self.film.stream:
                number += 1
                if stretch != clock.stretches:
                    stretch = clock.stretches
                    self.damage.seams.append(number)
            yield number, packet

    def _from_key_frame(self, packets: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        """Leave out what need not be decoded before a cut, where the container could not go to its beginning: all but
        the packets since the last key frame but one, which open groups of pictures refer to."""
        if not self.cut.start or self.film.seekable:
            yield from packets
            return
        groups: list[list[tuple[int, Any]]] = [[], []]
        for number, packet in packets:
            if packet.stream.index == self.film.stream:
                at = seconds_of(packet)
                if at is None or not self.cut.early(at):
                    yield from (early for group in groups for early in group)
                    yield number, packet
                    break
                if packet.is_keyframe:
                    groups = [groups[1], []]
                groups[1].append((number, packet))
        else:
            yield from (early for group in groups for early in group)
        yield from packets

    def _stamp(self, frame: Any) -> None:
        """Give every frame a time stamp later than the one before, as encoders demand; good ones stay as they are."""
        step = max(1, round(1 / (self.film.rate * self.film.time_base)))
        if frame.pts is None:  # raw streams have none
            frame.pts = 0 if self.pts is None else self.pts + step
        elif self.pts is not None and frame.pts <= self.pts:
            self._tell("times", "has time stamps that do not increase; they were moved by a tick")
            frame.pts = self.pts + 1
        self.pts = frame.pts
        self.damage.reached = (frame.pts + max(frame.duration or 0, step)) * self.film.time_base

    def _watch(self, frame: Any, context: Any, at: Fraction) -> None:
        """Tell of what a frame carries that is not written."""
        aspect = context.sample_aspect_ratio
        if aspect and self.aspect and aspect != self.aspect:
            at_second = f"{float(at - self.cut.origin):.1f}"
            self._tell(
                "aspect", f"changes its sample aspect at second {at_second}; written with the first, {self.aspect}"
            )
        self.aspect = self.aspect or aspect
        if frame.interlaced_frame and not self.film.field_order and "fields" not in self.told:
            self.told.add("fields")
            second = f"{float(at - self.cut.origin):.1f}"
            self.note(f"{self.film.path} is interlaced from second {second} on; written as progressive, as it begins")
        if not self.captions and "captions" not in self.told and has_captions(frame):
            self.told.add("captions")
            self.note(f"{self.film.path} has closed captions, which this codec is written without")

    def _prepared(self, frame: Any, colored: bool) -> Any:
        """The frame as it will be encoded: luma in place unless it is on a GPU, chroma yet to be written unless it is
        coloured."""
        import av

        if self._is_surface(frame):
            out: Any = av.VideoFrame(self.film.width, self.film.height, self.layout.output)
        else:
            out = self._with_luma(frame, colored)
        if self.mark:
            out = self.mark(out)
        out.time_base, out.duration = self.film.time_base, frame.duration
        out.pts = frame.pts - self.cut.ticks(self.film.time_base)
        out.pict_type = 0  # the encoder decides, not the source
        return out

    def _is_surface(self, frame: Any) -> bool:
        """Whether NVDEC decoded it, and as what the film began with."""
        if self.decoder is None:
            return False
        film, shape = self.film, frame.sw_format or frame.format
        same = (frame.width, frame.height, shape.name) == (film.width, film.height, SURFACES[film.pixel_format])
        return same and is_full_range(frame, film.codec) == film.full_range

    def _take_luma(self, frame: Any, out: Any, luma: Tensor) -> None:
        """Copy a frame's luma into a batch."""
        if self.decoder is None:
            luma.numpy()[:] = plane_view(out, 0, self.dtype)
            return
        if not self._is_surface(frame) and "NVDEC" not in self.told:
            self.told.add("NVDEC")
            self.note(f"NVDEC refuses a part of {self.film.path}, which is decoded in software")
        luma.copy_(luma_of(frame if self._is_surface(frame) else out))

    def _with_luma(self, frame: Any, colored: bool) -> Any:
        film, layout = self.film, self.layout
        source = frame
        changed = (frame.width, frame.height, frame.format.name) != (film.width, film.height, film.pixel_format)
        ranged = is_full_range(frame, film.codec) != film.full_range
        if changed:
            self._tell("format", f"changes its picture format on the way; brought back to {film.width}x{film.height}")
        elif ranged:
            first = "full" if film.full_range else "limited"
            self._tell("range", f"changes the range of its codes on the way; brought back to the {first} one")
        if changed or ranged or layout.convert:
            source = self._converted(frame)
        if source.format.name == layout.output:
            source.make_writable()  # the decoder may still need the original as a reference
            return source
        if colored and self.keep_colored:
            out = source.reformat(format=layout.output)
        else:
            out = like(source, film.width, film.height, layout.output, captions=self.captions)
        plane_view(out, 0, self.dtype)[:] = plane_view(source, 0, self.dtype)
        return out

    def _converted(self, frame: Any) -> Any:
        """A frame without a luma plane of its own, or of another format, depth or range than is written."""
        film = self.film
        target = self.layout.convert or film.pixel_format
        given, wanted = _RANGES[is_full_range(frame, film.codec)], _RANGES[film.full_range]
        if target.startswith("gray") and not (is_gray(frame) and given == wanted):
            target = self.layout.output  # all gray that libswscale makes is of full range
        if frame.format.is_rgb or frame.format.has_palette:
            matrix = {"bt601": 5, "bt709": 1, "bt2020": 9}[film.matrix]  # as libswscale numbers them
            return frame.reformat(film.width, film.height, target, dst_colorspace=matrix, dst_color_range=wanted)
        if is_gray(frame):  # and so is all that it reads: its codes stay at first
            kind = target if given == wanted else target.replace("yuvj", "yuv")  # which is of full range by its name
            frame = frame.reformat(film.width, film.height, kind, src_color_range="JPEG", dst_color_range="JPEG")
            if given == wanted:
                return frame
        return frame.reformat(film.width, film.height, target, src_color_range=given, dst_color_range=wanted)

    def _tell(self, once: str, what: str) -> None:
        if once not in self.told:
            self.told.add(once)
            self.warn(f"{self.film.path} {what}")
