"""One film's way through: a thread decodes, others run the network, this one paints, one more encodes.

Bounded queues between them keep memory the same however long the film is. The luma plane travels from decoder to
encoder bit for bit and never through RGB.
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..threads import Pipe, Stopped, Worker, in_order
from . import hdr, resume
from .carry import Carrier
from .chroma_source import ChromaSource
from .clock import Cut
from .encoding import Encoding
from .frames import beside_gray, plane_view
from .gpu import Surfaces
from .motion import Watcher
from .network import Network
from .paint import ChromaPainter
from .part import write_parts
from .probe import Film, reason
from .read import Batch, Reader
from .resume import Parts
from .smoothing import Smoother, followed
from .streams import Streams
from .told import Told
from .write import join

if TYPE_CHECKING:
    from ..options.film import Progress, VideoOptions

log = logging.getLogger("fastcolor")
_ALIGNED = "version."  # of a part's state, what another version's alignment goes on from


class FilmJob:
    """Paints one film into parts, and joins them."""

    def __init__(
        self,
        film: Film,
        encoding: Encoding,
        streams: Streams,
        network: Network,
        options: VideoOptions,
        work: Parts,
        *,
        decoder: torch.device | None = None,  # whose NVDEC decodes
        source: ChromaSource | None = None,  # another version, whose colours are taken
        told: Told | None = None,  # what people say of its colours
    ) -> None:
        self.film, self.encoding, self.streams, self.decoder = film, encoding, streams, decoder
        self.network, self.options, self.parts, self.source, self.told = network, options, work, source, told
        self.device = network.device
        self.painter = ChromaPainter(film, encoding.layout, options, source)
        self.cut = Cut.of(film, options.start, options.end)
        self.warnings: list[str] = []  # what was lost
        self.notes: list[str] = []
        for note in source.notes if source else ():
            self.note(note)
        whole = source is not None and source.covers(film, self.cut)  # then there is nothing to run on
        on_cpu = self.device.type == "cpu"
        self.adaptive = not whole and options.is_adaptive(on_cpu=on_cpu)
        # At most so many pixels a batch: nine of them are under way at once. Where the network runs on few frames large
        # ones fill it no better, and a short film is at its end before their memory is used twice.
        few = on_cpu and self.adaptive and options.temporal != "flow"  # which looks further ahead with larger ones
        pixels = 1 << (22 if few else 24)
        self.size = max(1, min(8 if on_cpu else 16, pixels // (film.width * film.height)))
        # Frames in the network: on a CPU more than four no longer fit into its caches, layer by layer.
        self.at_once = min(self.size, 4) if on_cpu else self.size
        self.painters = network.painters
        self.part_frames = resume.part_of(self.size)
        self.smoother = Smoother(options.temporal, chunk=self.size)
        self.watcher, self.carrier = Watcher(part=self.part_frames), Carrier()
        self.surfaces = Surfaces(encoding.surfaces, encoding.layout) if encoding.surfaces else None

    @cached_property
    def input_size(self) -> tuple[int, int]:
        """(h, w) of what the network sees, before it is turned: what a viewer sees, upright, in square pixels."""
        size = self.network.predictor.input_size(*self.film.shown)
        return size[::-1] if self.film.turns % 2 else size

    @cached_property
    def halves(self) -> bool:
        """Whether colours are known at half of the size that the network sees, or less."""
        exact = self.options.temporal == "flow" or (self.options.temporal == "off" and self.told is not None)
        even = not any(side % 2 for side in self.input_size)
        return even and self.source is None and not exact and self.network.predictor.coarse

    def warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)
            log.warning(message)

    def note(self, message: str) -> None:
        """Say what the film does not suffer from."""
        self.notes.append(message)
        log.warning(message)

    def run(self, dst: Path, progress: Progress | None) -> int:
        """Paint what is not yet painted, and join all. Returns the frames painted by this run."""
        begun, container = self.parts.frames, None
        with ExitStack() as again:
            if self.parts.ended is None:
                container = self._paint_parts(dst, sys.stderr.isatty() if progress is None else progress, again)
            else:
                for warning in self.parts.ended:
                    self.warn(warning)
            if self.parts.frames == 0:
                start, end = self.options.start or 0, self.options.end or "its end"
                raise ValueError(f"{self.film.path} has no frame from second {start} to {end}")
            done, whole = self.parts.done, self.parts.whole
            try:
                refused = join(
                    self.film, self.encoding, self.streams, done, whole, self.cut, self.warn, source=container
                )
            except Exception as error:
                raise OSError(f"cannot write {dst}: {reason(error)}") from None
        for index, count in refused.items():
            self.warn(f"{self.film.path}: {count} packets of stream {index} were refused by {dst.suffix} and dropped")
        painted = self.parts.frames - begun
        return painted

    def _paint_parts(self, dst: Path, progress: Progress, again: ExitStack) -> Any:
        """Read, paint and write at the same time; whatever fails first stops the others and is raised. Returns the
        film's container opened anew, to be joined from: `again` closes it."""
        from tqdm import tqdm

        options, done = self.options, self.parts.done
        if done:
            state = done[-1].state
            before = {name: value.to(self.device) for name, value in state.items() if not name.startswith(_ALIGNED)}
            self.smoother.restore(before)
            self.watcher.restore(self.parts.frames, before.get("luma"))
            if self.source:
                self.source.restore({name.removeprefix(_ALIGNED): state[name] for name in state.keys() - before.keys()})
        reader = Reader(
            self.film,
            self.encoding.layout,
            size=self.size,
            cut=self.cut,
            skip=self.parts.frames,
            keep_colored=options.skip_colored,
            captions=self.encoding.captions,
            decoder=self.decoder,
            warn=self.warn,
            note=self.note,
        )
        container = None
        decoded: Pipe[Batch] = Pipe(1)
        painted: Pipe[Batch] = Pipe(1)

        def read() -> None:
            for batch in reader:
                if self.source:
                    self.source.give(batch, self.encoding.layout)
                decoded.put(batch)
            decoded.close()
            # Opening decodes a few frames, for which there are cores while the last are painted and encoded.
            nonlocal container
            with suppress(ValueError):  # which joining tells of
                container = again.enter_context(self.film.opened())

        def write() -> None:
            try:
                write_parts(painted, self.film, self.encoding, self.parts, chroma=bool(self.options.chroma_to))
            except Stopped:
                raise
            except Exception as error:
                raise OSError(f"cannot write {dst}: {reason(error)}") from None

        pipes = (decoded, painted)
        workers = (Worker("decode", read, pipes), Worker("encode", write, pipes))
        # Threads take over what is set when they first compute: those that decode and paint have no teams of their own,
        # which would wait busily for each other.
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, threads // self.painters))
        try:
            for worker in workers:
                worker.start()
            total, frames = self._frames_expected(), self.parts.frames
            silent = callable(progress) or not progress
            with tqdm(total=total, initial=self.parts.frames, unit=" frames", disable=silent) as bar:
                for batch in self._painted(decoded):
                    painted.put(batch)
                    bar.update(len(batch.frames))
                    if callable(progress):
                        frames += len(batch.frames)
                        progress(frames, total)
                painted.close()
                workers[1].join()
        except Stopped:
            pass
        finally:  # on the good way both have ended by now, and this wakes nobody
            torch.set_num_threads(threads)
            for pipe in pipes:
                pipe.stop()
            for worker in workers:
                if worker.is_alive():  # or it did not come to begin
                    worker.join()
        for worker in workers:
            if worker.error:
                raise worker.error
        for said in (self.source, self.told):
            for sentence in said.sentences() if said else ():
                self.note(sentence)
        self.parts.end(self.warnings)
        return container

    def _painted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Batches with their chroma planes written; the last one of each part brings what the next part begins with."""
        frames = self.parts.frames
        seen = self._seen(batches) if self.adaptive else batches
        for batch, ab in self._smoothed(self._carried(in_order(seen, self._colours, self.painters))):
            self._write_chroma(batch, ab)
            frames += len(batch.frames)
            if frames % self.part_frames == 0:
                batch.state = self.smoother.state() | {_ALIGNED + key: value for key, value in batch.aligned.items()}
            batch.let_go()
            yield batch

    def _seen(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Batches with what is seen in them, one behind what was read; of those that are given nothing is."""
        number, watched = self.parts.frames, 0

        def looked(some: Iterable[Batch]) -> Iterator[tuple[Batch, Tensor]]:
            nonlocal watched
            for batch in some:
                watched += len(batch.frames)
                batch.lightness = self._lightness(batch)
                yield batch, self._followed(batch.lightness)

        for given, some in groupby(batches, lambda batch: bool(batch.given) and None not in batch.given):
            if given:
                for batch in some:
                    number += len(batch.frames)
                    yield batch
                self.watcher.restore(number, None)
                continue
            watched = 0
            for batch, seen in self.watcher.watch(looked(some), lambda batch: batch.breaks):
                batch.seen = seen
                yield batch
            number += watched

    def _carried(
        self, painted: Iterable[tuple[Batch, tuple[Tensor | None, Tensor | None]]]
    ) -> Iterator[tuple[Batch, tuple[Tensor | None, Tensor | None]]]:
        """Batches with the colours of all their frames, from those that the network ran on."""
        held: deque[Batch] = deque()
        for batch, (lightness, ab) in painted:
            if batch.seen is None:
                yield batch, (lightness, ab)
                continue
            held.append(batch)
            for _, carried in self.carrier.push(batch.seen, ab):
                yield held.popleft(), (None, carried)

    def _smoothed(
        self, painted: Iterable[tuple[Batch, tuple[Tensor | None, Tensor | None]]]
    ) -> Iterator[tuple[Batch, Tensor | None]]:
        """Batches with their colours as they stay; the oldest come first, some are held back until later ones came."""
        held: deque[Batch] = deque()
        for batch, (lightness, ab) in painted:
            if ab is None:  # all of it is given, and nothing to be steadied
                for done in self.smoother.finish():
                    yield held.popleft(), done
                yield batch, None
                continue
            held.append(batch)
            done = ab
            if batch.seen is not None:
                done = self.smoother.push(batch.seen.lightness, ab, batch.seen)
            elif lightness is not None:
                done = self.smoother.push(self._followed(lightness), ab)
            if len(done):
                yield held.popleft(), done
        for done in self.smoother.finish():
            yield held.popleft(), done

    def _followed(self, lightness: Tensor) -> Tensor:
        return followed(lightness, self.options.temporal, coarse=self.network.predictor.coarse)

    def _lightness(self, batch: Batch) -> Tensor:
        """What the network may see of a batch, (n, 1, h, w), turned as the film is."""
        codes: dict[str, Any] = {"full_range": self.film.full_range, "bits": self.encoding.layout.bits}
        return hdr.eyes(
            self.network.predictor.lightness(self._luma(batch), self.input_size, **codes), self.film.transfer
        )

    @torch.inference_mode()
    def _colours(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        """(lightness, ab) of those frames of a batch that the network runs on, at network size; lightness is None where
        nothing is smoothed, and ab where there are no such frames or another version gives all."""
        film, temperature = self.film, self.options.temperature
        batch.given = self.painter.convert(batch.given, self.device)
        if batch.given and all(one is not None for one in batch.given):
            return None, None
        plain = batch.seen is None and film.transfer not in hdr.COLOUR_FACTOR and self.told is None
        if plain and self.options.temporal == "off":
            # Nobody else needs to see the lightness.
            predict = partial(
                self.network.predictor.predict_ab_of_luma,
                size=self.input_size,
                turns=film.turns,
                full_range=film.full_range,
                bits=self.encoding.layout.bits,
                temperature=temperature,
            )
            return None, self._predicted(predict, self._luma(batch))
        lightness = self._lightness(batch) if batch.lightness is None else batch.lightness
        runs = list(range(len(batch.frames)))
        if batch.seen is not None:
            runs = [i for i in runs if batch.seen.runs[i]]
        own = [i for i in runs if batch.seen is None or not batch.given or batch.given[i] is None]
        lightness = lightness[own]
        ab = None
        if own and self.told is not None:
            ab = self.told.ab(lightness, [self._time(batch.frames[i]) for i in own], temperature)
        elif own:
            predict = partial(self.network.predictor.predict_ab, temperature=temperature)
            ab = self._predicted(predict, lightness.rot90(film.turns, (2, 3))).rot90(-film.turns, (2, 3))
        if len(own) < len(runs):  # what is given stands apart: nothing is carried from there
            shape = (1, 1) if ab is None else ab.shape[-2:]
            among = torch.zeros(len(runs), 2, *shape, device=self.device)
            if ab is not None:
                among[[runs.index(i) for i in own]] = ab.float()
            ab = among
        return lightness, ab

    def _time(self, frame: Any) -> Fraction:
        """A frame's time on the film's clock."""
        return (frame.pts + self.cut.ticks(self.film.time_base)) * self.film.time_base

    def _predicted(self, predict: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
        """ab of a batch, in pieces that fit into the device's memory."""
        try:
            count = self.network.predictor.at_once(self.at_once, self.input_size)
            return torch.cat([predict(piece) for piece in batch.split(count)])
        except torch.cuda.OutOfMemoryError:
            if self.at_once == 1:
                raise
        self.at_once = max(1, min(self.at_once, len(batch)) // 2)
        self.note(f"out of GPU memory: {self.at_once} frames at once go through the network from here on")
        torch.cuda.empty_cache()
        return self._predicted(predict, batch)

    def _luma(self, batch: Batch) -> Tensor:
        """A batch's luma where it is painted, to which it goes once."""
        batch.luma = batch.luma[: len(batch.frames)].to(self.device)
        return batch.luma

    @torch.inference_mode()
    def _write_chroma(self, batch: Batch, ab: Tensor | None) -> None:
        """Write what a batch's frames still lack: chroma, and luma that was decoded on a GPU."""
        layout, luma = self.encoding.layout, self._luma(batch)
        whole = ab if ab is None else self.network.predictor.enlarged(ab, (luma.shape[-2], luma.shape[-1]))
        chroma = self.painter.planes(batch, whole, luma)
        if self.options.chroma_to:
            batch.chroma = self.painter.chroma_film(batch, ab, luma, chroma, self.input_size, half=self.halves)
            for frame, small in zip(batch.frames, batch.chroma, strict=True):
                small.pts, small.time_base = frame.pts + self.cut.ticks(self.film.time_base), self.film.time_base
                small.duration = frame.duration
        if self.surfaces:
            batch.frames = self.surfaces(batch.frames, luma, *chroma)
            return
        lacking = enumerate(chroma, start=1) if self.decoder is None else enumerate((luma, *chroma))
        for index, plane in lacking:
            for frame, keeps, samples in zip(batch.frames, batch.colored, plane.cpu().numpy(), strict=True):
                if not keeps:
                    plane_view(frame, index, layout.dtype)[:] = samples
        if self.encoding.pictures == 2:
            batch.frames = [
                beside_gray(frame, layout.bits, layout.dtype, captions=self.encoding.captions) for frame in batch.frames
            ]

    def _frames_expected(self) -> int | None:
        start, end = self.options.start or 0, self.options.end
        if self.film.frames is None:
            return None
        whole = self.film.frames / float(self.film.rate)
        return max(0, round((min(whole, whole if end is None else end) - start) * float(self.film.rate)))
