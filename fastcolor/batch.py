"""Colouring picture files: one, several, or a folder's whole tree."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from PIL import Image

from .colorize import Colorizer
from .data import PICTURE_SUFFIXES
from .pictures import SUFFIXES, PictureError, PictureFile, check_target, read, write


@dataclass(frozen=True)
class ColorizeOptions:
    """Colour pictures: files, folders (whole trees) or both."""

    inputs: tyro.conf.Positional[tuple[Path, ...]]
    """Pictures and folders of pictures."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
    """A picture's name for one picture, else a folder."""
    weights: str = "default"
    """Name of the weights, or a .safetensors file."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    engine: str = "auto"
    """What runs the network: auto or torch."""
    temperature: float | None = None
    """Lower is more saturated and less even. None: the weights' own."""
    saturation: float = 1.0
    """Factor on the colours; 0 is gray."""
    format: str | None = None
    """Ending of the outputs, such as png. None: as the input's."""
    compare: bool = False
    """Put gray and colour side by side."""
    allow_truncated: bool = False
    """Read what is left of truncated files."""
    overwrite: bool = False
    """Replace existing outputs."""
    shard: str = "1/1"
    """i/n: do the i-th of n equal shares of a folder."""


@dataclass
class Outcome:
    """What became of every file of a run."""

    done: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rows = [f"coloured {len(self.done)}", f"skipped (exist) {len(self.skipped)}", f"failed {len(self.failed)}"]
        return ", ".join(rows) + "".join(f"\n  failed: {line}" for line in self.failed)


def colorize_files(options: ColorizeOptions) -> Outcome:
    """Do what `fastcolor colorize` does.

    Returns:
        What was coloured, skipped and failed. With a single picture a failure is raised instead.

    Raises:
        FileNotFoundError, FileExistsError, ValueError: nothing could be started; the message says why.
    """
    if not options.inputs:
        raise ValueError("inputs: name at least one picture or folder")
    for name, value in (("saturation", options.saturation), ("temperature", options.temperature)):
        if value is not None and not 0 <= value < float("inf"):
            raise ValueError(f"{name}: must be finite and not negative, got {value}")
    suffix = None if options.format is None else "." + options.format.lower().lstrip(".")
    if suffix is not None:
        check_target(Path("output" + suffix))
    single = len(options.inputs) == 1 and not options.inputs[0].is_dir()
    jobs = list(_jobs(options, suffix, single))
    index, count = _shard(options.shard)
    jobs = jobs[index - 1 :: count]
    colorizer = Colorizer(options.weights, options.device, options.engine)
    outcome = Outcome()
    for source, target in _progress(jobs):
        try:
            if target.exists() and not options.overwrite:
                if single:
                    raise FileExistsError(f"{target}: exists already; --overwrite replaces it")
                outcome.skipped.append(target)
                continue
            _color_file(colorizer, source, target, options)
            outcome.done.append(target)
        except (ValueError, OSError) as error:
            if single:
                raise
            outcome.failed.append(str(error))
    return outcome


def _jobs(options: ColorizeOptions, suffix: str | None, single: bool) -> Iterator[tuple[Path, Path]]:
    """(input, output) of every picture; a folder's tree is mirrored under the output."""
    out = options.output
    if single:
        source = options.inputs[0]
        if not source.exists():
            raise FileNotFoundError(f"{source}: no such file")
        target = out / source.name if out.is_dir() or str(out).endswith("/") else out
        target = target if suffix is None else target.with_suffix(suffix)
        check_target(target)
        if target.exists() and target.samefile(source):
            raise ValueError(f"{target}: input and output are the same file")
        yield source, target
        return
    if out.exists() and not out.is_dir():
        raise ValueError(f"output: must be a folder for several pictures, got the file {out}")
    for source in options.inputs:
        if not source.exists():
            raise FileNotFoundError(f"{source}: no such file or folder")
        files = [source]
        if source.is_dir():
            if out.resolve() == source.resolve():
                raise ValueError(f"output: must be another folder than the input {source}")
            inside = out.resolve()
            files = [
                path
                for path in sorted(source.rglob("*"))
                if path.suffix.lower() in SUFFIXES | PICTURE_SUFFIXES | {".pgm"}
                and path.is_file()
                and inside not in path.resolve().parents
            ]
            if not files:
                raise ValueError(f"{source}: holds no pictures")
        for path in files:
            target = out / (path.relative_to(source) if source.is_dir() else path.name)
            yield path, target if suffix is None else target.with_suffix(suffix)


def _shard(shard: str) -> tuple[int, int]:
    try:
        index, count = (int(part) for part in shard.split("/"))
    except ValueError:
        index = count = 0
    if not 1 <= index <= count:
        raise ValueError(f"shard: must be i/n with 1 <= i <= n, got {shard!r}")
    return index, count


def _progress(jobs: list[tuple[Path, Path]]) -> Iterator[tuple[Path, Path]]:
    from tqdm import tqdm

    return iter(tqdm(jobs, unit=" pictures", disable=len(jobs) < 2 or not sys.stderr.isatty()))


def _color_file(colorizer: Colorizer, source: Path, target: Path, options: ColorizeOptions) -> None:
    check_target(target)
    try:
        file = read(source, allow_truncated=options.allow_truncated)
        images = colorizer.paint(file.frames, temperature=options.temperature, saturation=options.saturation)
    except MemoryError:
        raise PictureError(f"{source}: too large for this machine's memory") from None
    if options.compare:
        images = [_beside(before, after) for before, after in zip(_gray(file), images, strict=True)]
    write(target, images, file.durations, file.loop)


def _gray(file: PictureFile) -> list[Image.Image]:
    grays = (frame.gray for frame in file.frames)
    return [Image.fromarray((gray >> 8).astype("uint8") if gray.dtype.itemsize == 2 else gray) for gray in grays]


def _beside(before: Image.Image, after: Image.Image) -> Image.Image:
    sheet = Image.new(after.mode, (2 * after.width, after.height))
    sheet.paste(before.convert(after.mode), (0, 0))
    sheet.paste(after, (after.width, 0))
    sheet.info.update(after.info)
    return sheet
