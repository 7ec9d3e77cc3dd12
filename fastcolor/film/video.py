"""Film in, film out: only chroma is new."""

from __future__ import annotations

import logging
import math
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .options import HARDWARE, VideoOptions
from .smoothing import MODES

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
    warnings: tuple[str, ...]  # what was lost or mended

    def __str__(self) -> str:
        others = "1 other stream" if self.copied == 1 else f"{self.copied} other streams"
        head = (
            f"{self.output}: {self.frames} frames of {self.width}x{self.height} in {self.seconds:.1f} s "
            f"({self.fps:.1f} fps), {self.codec} {self.pixel_format}, {others} copied"
        )
        return "\n".join((head, *(f"  {note}" for note in self.notes)))


def video(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] = "default",
    device: str = "auto",
    engine: str = "auto",
    hardware: Literal["auto", "on", "off"] = "off",
    temperature: float | None = None,
    saturation: float = 1.0,
    temporal: Literal["off", "fast", "flow"] = "fast",
    codec: str | None = None,
    crf: int | None = None,
    fast: bool = False,
    lossless: bool = False,
    start: float | None = None,
    end: float | None = None,
    skip_colored: bool = False,
    compare: bool = False,
    preview: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool | None = None,
) -> VideoReport:
    """Paint a gray film.

    Luma, frame count, time stamps, sample aspect, rotation and colour tags stay as they are; sound, subtitles, chapters
    and all other streams that the output's container can hold are copied packet for packet, or rewritten as the
    subtitles it takes. `dst` appears under its name once it is whole; until then finished parts lie in `DST.part/`
    beside it, where an interrupted run leaves them for `resume`.

    Args:
        src: any film that FFmpeg decodes. dst: ends in .mp4, .m4v, .mov, .mkv or .webm; its folder is made.
        weights, device, engine, temperature: as for `Colorizer`.
        hardware: whether a GPU's own codecs are tried: "auto" if a GPU paints, "on" anyway, "off" not: the default
            until they have been seen on a GPU. They are used where they keep what this page promises, else software
            with a notice; an explicit `crf` or `lossless` is for software.
        saturation: factor on the colours, 0 (gray) to 10.
        temporal: "fast" averages colours with those of the frame before along the motion of blocks; "flow" with the
            frames before and after along dense motion, which needs OpenCV; "off" paints every frame by itself.
        codec: "h264", "hevc", "av1", "vp9" or "ffv1"; None: the input's own where `dst` can hold it, else h264.
        crf: the encoder's quality, 0 best; None: visually lossless.
        fast: encode several times faster, into larger files. lossless: no loss at all.
        start, end: seconds from the film's beginning; only frames and packets within are written.
        skip_colored: stretches that are in colour already keep their colours.
        compare: write a film twice as wide, the gray one on the left.
        preview: paint ten seconds from the middle only, and encode fast.
        resume: go on with the parts of an interrupted run, if there are any; input, weights and options must be the
            same.
        overwrite: replace an existing `dst`, and without `resume` an interrupted run's parts.
        progress: show a progress bar; None: when stderr is a terminal.

    Returns:
        VideoReport; print it for a summary.

    Raises:
        FileNotFoundError, FileExistsError, IsADirectoryError, OSError: `src` is missing, `dst` exists or cannot be
            written.
        ValueError: `src` is no film, an option is out of range, or `resume` finds parts made from something else.

    Example:
        >>> fastcolor.video("gray.mp4", "colour.mp4")  # doctest: +SKIP
    """
    from ..predictor import Predictor
    from . import gpu
    from .encoding import plan
    from .job import FilmJob
    from .parts import Parts
    from .probe import probe
    from .streams import choose

    options = VideoOptions(
        weights=os.fspath(weights),
        device=device,
        engine=engine,
        hardware=hardware,
        temperature=temperature,
        saturation=saturation,
        temporal=temporal,
        codec=codec,
        crf=crf,
        fast=fast,
        lossless=lossless,
        start=start,
        end=end,
        skip_colored=skip_colored,
        compare=compare,
        preview=preview,
        resume=resume,
        overwrite=overwrite,
    )
    src, dst = Path(src), Path(dst)
    _check(src, dst, options)
    film = probe(src)
    if preview:
        options = _previewed(film, options)
    encoding = plan(film, dst, codec=codec, crf=crf, fast=options.fast, lossless=lossless, compare=compare)
    streams = choose(film, encoding.container)
    colorizer = Predictor(weights=weights, device=device, engine=engine)
    found = gpu.choose(film, encoding, options, colorizer.device)
    encoding = found.encoding
    made_from = _made_from(src, options, encoding.encoder) | {"painted by": {"engine": colorizer.engine}}
    parts = Parts(dst, made_from, resume=resume, overwrite=overwrite)
    if parts.painted_by not in (None, colorizer.engine):
        log.warning(f"{parts.folder} was painted by {parts.painted_by}, what follows by {colorizer.engine}")
    try:
        if streams.left_out:
            log.warning(f"{dst.suffix} cannot hold, so left out of {dst}: {', '.join(streams.left_out)}")
        for refusal in found.refused:
            log.warning(f"{src} is {refusal}")
        job = FilmJob(film, encoding, streams, colorizer, options, parts, decoder=found.decoder)
        begun = time.perf_counter()
        painted = job.run(dst, progress)
        seconds = time.perf_counter() - begun
        frames = parts.frames
        parts.publish()
    except BaseException:
        if parts.frames == 0:
            parts.discard()
        else:
            log.warning(f"{parts.frames} frames are kept in {parts.folder}; --resume (resume=True) goes on from there")
            parts.close()
        raise
    left_out = (f"{name} left out, since {dst.suffix} cannot hold it" for name in streams.left_out)
    return VideoReport(
        output=dst,
        frames=frames,
        seconds=seconds,
        fps=painted / seconds,
        width=film.width * encoding.pictures,
        height=film.height,
        codec=encoding.encoder,
        pixel_format=encoding.layout.output,
        copied=len(streams.copied) + len(streams.converted),
        left_out=streams.left_out,
        notes=(*film.notes, *encoding.notes, *streams.notes, *left_out, *found.refused, *found.notes, *job.notes),
        warnings=tuple(job.warnings),
    )


def _previewed(film: Film, options: VideoOptions) -> VideoOptions:
    """The options that paint ten seconds from the middle."""
    if options.start is not None or options.end is not None:
        raise ValueError("preview chooses start and end itself, got both")
    seconds = float(film.frames / film.rate) if film.frames else 0.0
    start = round(max(0.0, seconds / 2 - 5), 3)
    return replace(options, start=start or None, end=start + 10, fast=not options.lossless)


def _made_from(src: Path, options: VideoOptions, encoder: str) -> dict[str, dict[str, Any]]:
    """Everything that decides what the film's parts hold."""
    import av

    from ..constants import __version__
    from ..models import weights
    from .parts import fingerprint

    chosen = weights._NAMED.get(options.weights) or Path(options.weights)
    same = asdict(options)
    for name in ("weights", "resume", "overwrite", "preview", "hardware"):  # of hardware the encoder alone matters
        del same[name]
    return {
        "input": {str(src): fingerprint(src)},
        "weights": {options.weights: fingerprint(chosen)},
        "option": same,
        "encoder": {"name": encoder},
        "version of": {"fastcolor": __version__, "av": av.__version__},
    }


def _check(src: Path, dst: Path, options: VideoOptions) -> None:
    """Refuse what can be refused before anything is read."""
    from ..predictor import check_look

    if dst.is_dir():
        raise IsADirectoryError(f"the output {dst} is a folder; give the film's own name")
    if src.exists() and dst.exists() and src.samefile(dst):
        raise ValueError(f"input and output are the same file, {src}")
    if dst.exists() and not options.overwrite:
        raise FileExistsError(f"{dst} exists already; --overwrite (overwrite=True) replaces it")
    if options.temporal not in MODES:
        raise ValueError(f"temporal must be one of {', '.join(MODES)}, got {options.temporal!r}")
    if options.hardware not in HARDWARE:
        raise ValueError(f"hardware must be one of {', '.join(HARDWARE)}, got {options.hardware!r}")
    check_look(options.temperature, options.saturation)
    if options.fast and options.lossless:
        raise ValueError("fast and lossless exclude each other, got both")
    for name, value in (("start", options.start), ("end", options.end)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be seconds, 0 or more, got {value}")
    if options.end is not None and options.end <= (options.start or 0):
        raise ValueError(f"end must come after start, got {options.start or 0} to {options.end}")
