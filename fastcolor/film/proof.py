"""The output proven before the work: the whole of what will be written is tried on the film's beginning.

A few gray frames go through the encoder, the first packets of every other stream beside them, with all tags, into a
file that is then read back. What does not come back as it should is rewritten, or left out and named.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .clock import Cut
from .damage import failure
from .encoding import Encoding
from .frames import plane_view
from .probe import Film, lacks_parameters, opened
from .resume import Done
from .streams import HEAD_EACH, Kept, Streams, losses, name_of, ways
from .write import PartWriter, join

FRAMES = 3  # that are encoded for a trial


def choose_streams(film: Film, encoding: Encoding, dst: Path, cut: Cut) -> Streams:
    """Decide, before any work starts, what the output will hold beside the painted stream, and prove that it does.

    Raises:
        OSError: the picture alone cannot be written so.
    """
    with tempfile.TemporaryDirectory(prefix="fastcolor-") as folder:
        trial = _Trial(film, encoding, Path(folder), dst, cut)
        with film.opened() as source:
            options, left_out = _options(film, source, encoding.container, dst)
            names = {index: name_of(source.streams[index]) for index in options}
            timecode = any("timecode" in (n.lower() for n in x.metadata) for x in (source, *source.streams))
        notes = ["the timecode is left out, since the cut begins at another"] if timecode and cut.start else []
        chosen = {index: found[0] for index, found in options.items()}
        if trial.fails(chosen.values()):  # seldom: find out which
            if why := trial.fails(()):
                raise OSError(f"cannot write {dst}: {why}")
            chosen = {}
            for index, found in options.items():
                way = next((way for way in found if not trial.fails((*chosen.values(), way))), None)
                if way is None:
                    left_out[names[index]] = f"{dst.suffix} cannot hold it"
                else:
                    chosen[index] = way
            trial.fails(chosen.values())
        notes += trial.losses(chosen.values())
    for index, way in chosen.items():
        if way.codec:
            notes.append(f"{names[index]} is written as {way.codec}")
    return Streams(tuple(chosen.values()), left_out, tuple(notes))


def _options(film: Film, source: Any, container: str, dst: Path) -> tuple[dict[int, list[Kept]], dict[str, str]]:
    """(ways to write each of the other streams, names of those that there is none for with the reason)."""
    options: dict[int, list[Kept]] = {}
    left_out: dict[str, str] = {}
    for stream in source.streams:
        if stream.index == film.stream or _made_anew(stream, source):
            continue
        found = ways(film, stream, container)
        if stream.index in film.covers and not _is_cover(stream):
            left_out[name_of(stream)] = "it is a still picture beside the moving one"
        elif lacks_parameters(stream):
            left_out[name_of(stream)] = "nothing of it was found in the film's beginning"
        elif not found:
            left_out[name_of(stream)] = f"{dst.suffix} cannot hold it"
        else:
            options[stream.index] = found
    return options, left_out


def _made_anew(stream: Any, source: Any) -> bool:
    """Whether a stream of data is kept in another way: as chapters, or as a timecode that muxers make of a tag."""
    tags = {name.lower() for name in stream.metadata}
    return stream.type == "data" and bool(source.chapters() or "timecode" in tags)


def _is_cover(stream: Any) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


class _Trial:
    """Writes and reads back what an output would begin with."""

    def __init__(self, film: Film, encoding: Encoding, folder: Path, dst: Path, cut: Cut) -> None:
        self.film, self.encoding, self.folder, self.dst, self.cut = film, encoding, folder, dst, cut
        self.part: Done | None = None
        self._path = folder / f"whole{dst.suffix}"

    def fails(self, kept: Iterable[Kept]) -> str | None:
        """Why an output with these streams cannot be written, or not read back; None if it can."""
        kept = tuple(kept)
        path = self._path

        def work() -> None:
            self.part = self.part or self._painted()
            refused = join(
                self.film, self.encoding, Streams(kept), [self.part], path, self.cut, lambda _: None, head=True
            )
            for index, count in refused.items():
                if count > HEAD_EACH // 2:  # else some are damaged
                    raise ValueError(f"packets of stream {index} are refused")
            self._read_back(path, kept)

        return failure(work)

    def _painted(self) -> Done:
        """A part of a few gray frames."""
        import av

        film, layout = self.film, self.encoding.layout
        path = self.folder / f"part{self.dst.suffix}"
        writer = PartWriter(film, self.encoding, path)
        try:
            step = max(1, round(1 / (film.rate * film.time_base)))
            for number in range(FRAMES):
                frame = av.VideoFrame(film.width * self.encoding.pictures, film.height, layout.output)
                for index in range(3):
                    plane_view(frame, index, layout.dtype)[:] = 2 ** (layout.bits - 1)
                frame.pts, frame.time_base, frame.duration = number * step, film.time_base, step
                writer.write([frame])
            writer.finish()
        except BaseException:
            writer.abandon()
            raise
        return Done(path, FRAMES, writer.delay, {})

    def losses(self, kept: Iterable[Kept]) -> list[str]:
        """What of these streams' tags was not kept by the output that was written last."""
        wanted = {one.index for one in kept if one.how != "attachment"} | {self.film.stream}
        with self.film.opened() as before, opened(self._path) as after:
            pairs = zip((s for s in before.streams if s.index in wanted), after.streams, strict=False)
            lost = ((name_of(source), list(losses(source, stream))) for source, stream in pairs)
            return [f"{name}: {self.dst.suffix} keeps no {', no '.join(words)}" for name, words in lost if words]

    def _read_back(self, path: Path, kept: tuple[Kept, ...]) -> None:
        with self.film.opened() as before, opened(path) as after:
            wanted = {one.index: one for one in kept}
            order = [s for s in before.streams if s.index == self.film.stream or s.index in wanted]
            # Attachments may come back as pictures, and behind the others.
            attached = [one for one in kept if one.how == "attachment"]
            order = [s for s in order if s.index not in {one.index for one in attached}]
            found = list(after.streams)[: len(order)]
            if len(found) < len(order) or len(after.streams) < len(order) + len(attached):
                raise ValueError(f"{len(order) + len(attached)} streams went in and {len(after.streams)} came back")
            for source, stream in zip(order, found, strict=True):
                if stream.type != source.type:
                    raise ValueError(f"{name_of(source)} came back as {name_of(stream)}")
                if _is_cover(source) and not _is_cover(stream):
                    raise ValueError(f"{name_of(source)} came back as no cover")
            frames = sum(
                1 for packet in after.demux(found[order.index(before.streams[self.film.stream])]) if packet.size
            )
            if frames != FRAMES:
                raise ValueError(f"{FRAMES} frames went in and {frames} came back")
