"""Film in, film out: only chroma is new."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engines import session
from ..models import named
from ..options.base import takes
from ..options.film import VideoOptions
from ..options.key_frames import key_frames_of
from ..options.project import Shot, read_project
from ..options.references import reference_of
from ..options.steering import hints_from
from .resume import Parts, check_unfinished, fingerprint

if TYPE_CHECKING:
    from .probe import Film

log = logging.getLogger("fastcolor")


@dataclass(frozen=True)
class VideoReport:
    """What was done. `seconds` and `fps` are of the work from the first frame read to the last one written."""

    output: Path
    frames: int
    seconds: float
    fps: float
    width: int
    height: int
    codec: str
    pixel_format: str
    copied: int  # other streams passed on
    left_out: tuple[str, ...]  # streams that the output cannot hold
    notes: tuple[str, ...]  # choices worth knowing
    choices: tuple[str, ...]  # those of them that are about the film, and that nobody was told of while it was painted
    warnings: tuple[str, ...]  # what was lost or mended

    def __str__(self) -> str:
        others = "1 other stream" if self.copied == 1 else f"{self.copied} other streams"
        head = (
            f"{self.output}: {self.frames} frames of {self.width}x{self.height} in {self.seconds:.1f} s "
            f"({self.fps:.1f} fps), {self.codec} {self.pixel_format}, {others} copied"
        )
        return "\n".join((head, *(f"  {note}" for note in self.notes)))


@takes(VideoOptions)
def video(options: VideoOptions) -> VideoReport:
    """Paint a gray film.

    Luma, frame count, time stamps, sample aspect, rotation and colour tags stay as they are; sound, subtitles, chapters
    and all other streams that the output's container can hold are copied packet for packet. Sound and text that it does
    not take are rewritten, sound without loss where there is a way; what cannot be kept is left out and named. All of
    that is proven before the first frame is painted. A film whose clock jumps, wraps or begins below 0 comes out as
    players show it, all streams moved alike. `dst` appears under its name once it is whole; until then finished parts
    lie in `DST.part/` beside it, where an interrupted run leaves them for `resume`.

    A GPU's own codecs (`hardware`) are used where they keep what this page promises, else software with a notice; an
    explicit `crf` or `lossless` is for software. `temporal` "fast" averages colours with those of the frame before
    along the motion of blocks, "flow" with the frames before and after along dense motion.

    Returns:
        VideoReport; print it for a summary.

    Raises:
        FileNotFoundError, FileExistsError, IsADirectoryError, OSError: `src` is missing, `dst` exists or cannot be
            written.
        ValueError: `src` is no film, an option is out of range, or `resume` finds parts made from something else.

    Example:
        >>> fastcolor.video("gray.mp4", "colour.mp4")  # doctest: +SKIP
    """
    report = _painted(options)
    from ..device import give_memory_back

    give_memory_back()
    return report


def _painted(options: VideoOptions) -> VideoReport:
    """What `video` does; behind it its networks and buffers are gone."""
    src, dst = Path(options.src), Path(options.dst)
    _check(src, dst, options)
    # What decodes is loaded here: the refusals above answer before that.
    from .clock import Cut
    from .encoding import choose_encoding
    from .probe import probe
    from .proof import choose_streams

    film = probe(src)
    if options.preview:
        options = _previewed(film, options)
    encoding = choose_encoding(
        film,
        dst,
        codec=options.codec,
        crf=options.crf,
        fast=options.fast,
        lossless=options.lossless,
        compare=options.compare,
    )
    streams = choose_streams(film, encoding, dst, Cut.of(film, options.start, options.end))
    # Only from here on is there need of torch, which takes a second to load; meanwhile the network gets ready.
    if options.chroma_from is None:
        session.begin(options.weights, options.device, options.engine)
    from . import gpu
    from .chroma_film import join_chroma
    from .chroma_source import ChromaSource
    from .job import FilmJob
    from .network import Network
    from .told import Told

    cut, shots = Cut.of(film, options.start, options.end), _shots(options)
    source = None if options.chroma_from is None else ChromaSource(Path(options.chroma_from), film, cut, shots)
    covered = source is not None and source.covers(film, cut)
    adaptive = options.temporal == "fast" and options.adaptive != "off"  # then about every sixth frame is run
    network = Network(options, (film.frames or 1000) // (6 if adaptive else 1), now=not covered)
    found = gpu.choose_hardware(film, encoding, options, network.device)
    encoding = found.encoding
    made_from = _made_from(src, options, encoding.encoder, encoding.options, covered=covered) | {
        "painted by": {"engine": network.engine}
    }
    told = None
    if shots or options.hints is not None or options.key_frames or options.references:
        colorizer = network.predictor
        shown = colorizer.input_size(*film.shown)
        told = Told(
            film,
            colorizer,
            shown[::-1] if film.turns % 2 else shown,
            hints=hints_from(options.hints, film=True),
            key_frames=key_frames_of(options.key_frames),
            references=options.references,
            tone=options.reference_tone == "on",
            project=shots,
            given=source.unchanged if source is not None else (),
            carry=cut if options.carry else None,
        )
    parts = Parts(dst, made_from, resume=options.resume, overwrite=options.overwrite)
    if parts.painted_by not in (None, network.engine):
        log.warning(f"{parts.folder} was painted by {parts.painted_by}, what follows by {network.engine}")
    try:
        for name, why in streams.left_out.items():
            log.warning(f"{name} is left out of {dst}: {why}")
        for refusal in found.refused:
            log.warning(f"{src} is {refusal}")
        job = FilmJob(film, encoding, streams, network, options, parts, decoder=found.decoder, source=source, told=told)
        begun = time.perf_counter()
        painted = job.run(dst, options.progress)
        seconds = time.perf_counter() - begun
        frames = parts.frames
        if options.chroma_to is not None:
            chroma_to = Path(options.chroma_to)
            chroma_to.parent.mkdir(parents=True, exist_ok=True)
            join_chroma(film, [parts.chroma(part.path) for part in parts.done], chroma_to, shots)
        parts.publish()
    except BaseException:
        if parts.frames:
            log.warning(f"{parts.frames} frames are kept in {parts.folder}; --resume (resume=True) goes on from there")
        parts.leave()
        raise
    choices = (*film.notes, *encoding.notes, *streams.notes)
    left_out = (f"{name} left out: {why}" for name, why in streams.left_out.items())
    return VideoReport(
        output=dst,
        frames=frames,
        seconds=seconds,
        fps=painted / seconds,
        width=film.width * encoding.pictures,
        height=film.height,
        codec=encoding.encoder,
        pixel_format=encoding.layout.output,
        copied=len(streams.kept),
        left_out=tuple(streams.left_out),
        notes=(*choices, *left_out, *found.refused, *found.notes, *job.notes),
        choices=choices,
        warnings=tuple(job.warnings),
    )


def _previewed(film: Film, options: VideoOptions) -> VideoOptions:
    """The options that paint ten seconds from the middle."""
    seconds = float((film.frames or _packets(film)) / film.rate)
    start = round(max(0.0, seconds / 2 - 5), 3)
    return replace(options, start=start or None, end=start + 10, fast=not options.lossless, preview=False)


def _packets(film: Film) -> int:
    """The frames of a film that does not say how many it has, as one that was written while it was recorded."""
    import av

    count = 0
    with film.opened() as container:
        packets = container.demux(container.streams[film.stream])
        while True:
            try:
                count += next(packets).size > 0
            except (StopIteration, av.error.FFmpegError):
                return count


def _made_from(
    src: Path, options: VideoOptions, encoder: str, tuned: Mapping[str, str] | None = None, *, covered: bool = False
) -> dict[str, dict[str, Any]]:
    """Everything that decides what the film's parts hold. tuned: the encoder's options. covered: another version gives
    all colours, so that nothing is downloaded for them."""
    import av

    from ..constants import __version__

    def content(name: str) -> str:
        unneeded = covered and named.check(name) is None
        return f"{name}, as published" if unneeded else fingerprint(named.locate(name))

    members = [(share, content(name)) for name, share in named.members(options.weights)]
    same = asdict(options)
    # Of the hardware the encoder alone matters.
    for name in ("src", "dst", "weights", "resume", "overwrite", "preview", "hardware", "progress", "trust_first"):
        del same[name]
    inputs = {str(src): fingerprint(src)}
    told = [("chroma_from", options.chroma_from), ("hints", options.hints), ("project", options.project)]
    told += [(f"reference of {shot.start:g}", one.picture) for shot in _shots(options) for one in shot.references]
    told += [(f"key frame at {one.seconds:g}", one.picture) for shot in _shots(options) for one in shot.key_frames]
    for name, value in told:
        if isinstance(value, (str, os.PathLike)):  # by what they hold
            inputs[f"{name} {value}"] = fingerprint(Path(value))
    for name in ("chroma_from", "hints", "project"):
        if isinstance(same[name], (str, os.PathLike)):
            same[name] = True
    # Which picture counts how much, or is shown when: the same ones in other places make other colours.
    same["references"] = [[one.weight, _content(one.picture)] for one in map(reference_of, options.references)]
    same["key_frames"] = [[one.seconds, _content(one.picture)] for one in key_frames_of(options.key_frames)]
    same["chroma_to"] = same["chroma_to"] is not None  # parts have it, or not
    return {
        "input": inputs,
        "weights": {str(options.weights): members[0][1] if len(members) == 1 else str(members)},
        "option": json.loads(json.dumps(same, default=str)),  # as it comes back from the folder
        "encoder": {"name": encoder, **(tuned or {})},
        "version of": {"fastcolor": __version__, "av": av.__version__},
    }


def _content(picture: Any) -> str:
    """What tells a picture from another one: of a file as `fingerprint`, else of its samples."""
    if isinstance(picture, (str, os.PathLike)):
        return fingerprint(Path(picture))
    import numpy as np

    samples = np.asarray(picture.convert("RGBA") if hasattr(picture, "convert") else picture)
    return f"{samples.shape}, {hashlib.sha256(samples.tobytes()).hexdigest()[:32]}"


def _shots(options: VideoOptions) -> list[Shot]:
    """The shots of the project that an option names."""
    return [] if options.project is None else read_project(options.project)


def _check(src: Path, dst: Path, options: VideoOptions) -> None:
    """Refuse what can be refused before anything is read."""
    options.check()
    if not src.exists():
        raise FileNotFoundError(f"{src} does not exist")
    if dst.is_dir():
        raise IsADirectoryError(f"the output {dst} is a folder; give the film's own name")
    if dst.exists() and src.samefile(dst):
        raise ValueError(f"input and output are the same file, {src}")
    if dst.exists() and not options.overwrite:
        raise FileExistsError(f"{dst} exists already; --overwrite (overwrite=True) replaces it")
    check_unfinished(dst, resume=options.resume, overwrite=options.overwrite)
    hints_from(options.hints, film=True)
    told = [*key_frames_of(options.key_frames), *(one for shot in _shots(options) for one in shot.key_frames)]
    if options.carry and not told:
        raise ValueError("carry: must come with key frames, got none")
    _check_chroma(src, dst, options)
    named.check(options.weights)


def _check_chroma(src: Path, dst: Path, options: VideoOptions) -> None:
    if options.chroma_from is not None and not isinstance(options.chroma_from, (str, os.PathLike)):
        raise TypeError(f"chroma_from: must be a film's path, got {type(options.chroma_from).__name__}")
    if options.chroma_from is not None and Path(options.chroma_from).resolve() == dst.resolve():
        raise ValueError(f"chroma_from: must not be the output, got {dst}")
    if options.chroma_to is None:
        return
    target = Path(options.chroma_to)
    if target.suffix.lower() != ".mkv":
        raise ValueError(f"chroma_to: must end in .mkv, got {target}")
    others = [Path(path) for path in (src, dst, options.chroma_from) if path is not None]
    if any(target.resolve() == other.resolve() for other in others):
        raise ValueError(f"chroma_to: must be a file of its own, got {target}, which is named twice")
    if target.is_dir():
        raise IsADirectoryError(f"chroma_to: {target} is a folder; give the film's own name")
    if target.exists() and not options.overwrite:
        raise FileExistsError(f"chroma_to: {target} exists already; --overwrite (overwrite=True) replaces it")
