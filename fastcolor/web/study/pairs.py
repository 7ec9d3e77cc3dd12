"""A study's pictures: the true ones, each method's, and with random colours; all of one size and written alike."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ... import ops
from ...atomic import whole
from ...bar import bar
from ...formats.endings import PICTURE_SUFFIXES, PictureError
from ...formats.pixels import eight_bit
from ...formats.reading import read
from ...pictures.colored import in_color

SIDE = 512  # pixels of the longer side, at most
OWN = "fastcolor"  # the method's name where no results are given
_SHAPES = 0.02  # by which the shapes of a picture and a result may differ

log = logging.getLogger("fastcolor")


@dataclass(frozen=True)
class Material:
    """What a study shows.

    Attributes:
        names: of the pictures. digests: SHA-256 of the true files, and of the results that were given, each method's in
            that order. methods: by name. folder: of the files shown.
    """

    names: tuple[str, ...]
    digests: tuple[tuple[str, ...], ...]
    methods: tuple[str, ...]
    folder: Path

    def path(self, picture: int, method: str | None = None, colours: int | None = None) -> Path:
        """The file of one picture: the true one, or a method's, or with the colours of another picture."""
        if method is not None:
            return self.folder / f"{picture}-m{self.methods.index(method)}.png"
        true = self.folder / f"{picture}-true.png"
        if colours is None:
            return true
        target = self.folder / f"{picture}-random-{colours}.png"
        if not target.exists():
            _recolored(true, self.folder / f"{colours}-true.png", target)
        return target


def prepare(folders: tuple[Path, ...], into: Path, make: Callable[[Image.Image], Image.Image] | None) -> Material:
    """Read all pictures and write them as the study shows them.

    Args:
        folders: of the true pictures, then of each method's. into: a folder for the files. make: that recolours, where
            there are no results.

    Raises:
        ValueError: fewer than two pictures in colour, or results that lack one or have another shape.
    """
    true, *results = folders
    methods = tuple(folder.resolve().name for folder in results) or (OWN,)
    paths = sorted(path for path in true.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.name[0] != ".")
    found: list[Path] = []
    digests: list[tuple[str, ...]] = []
    for path in bar(paths):
        frame = read(path).frames[0]
        if not in_color(frame):
            log.warning("%s: has no colour of its own and is left out", path)
            continue
        number, image = len(found), _shown(Image.fromarray(eight_bit(frame.pixels)))
        image.save(into / f"{number}-true.png")
        files = [path, *(_result_of(folder, path) for folder in results)]
        for index in range(len(methods)):
            if make is not None:
                other = _shown(make(Image.fromarray(eight_bit(frame.gray)))).convert("RGB")
            else:
                other = _result(files[1 + index], path, image)
            other.save(into / f"{number}-m{index}.png")
        found.append(path)
        digests.append(tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file in files))
    if len(found) < 2:
        raise ValueError(f"folders: {true} must hold two pictures in colour or more, got {len(found)}")
    return Material(tuple(path.name for path in found), tuple(digests), methods, into)


def _shown(image: Image.Image) -> Image.Image:
    copy = image.copy()
    copy.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return copy


def _result_of(folder: Path, true: Path) -> Path:
    """A method's file for a picture: of the same name, or of the same but for its ending."""
    fits = [path for path in sorted(folder.iterdir()) if path.stem == true.stem]
    fits = [path for path in fits if path.suffix.lower() in PICTURE_SUFFIXES]
    if folder / true.name in fits:
        return folder / true.name
    if len(fits) != 1:
        several = f"several results for {true.name}: {', '.join(path.name for path in fits)}"
        raise PictureError(f"{folder}: has {several if fits else f'no result for {true.name}'}")
    return fits[0]


def _result(path: Path, true: Path, image: Image.Image) -> Image.Image:
    """A method's result for a picture, at the size at which that is shown."""
    pixels = eight_bit(read(path).frames[0].pixels)
    if pixels.ndim == 2:
        pixels = pixels[..., None].repeat(3, axis=2)
    height, width = pixels.shape[:2]
    if abs(width / height * image.height / image.width - 1) > _SHAPES:
        raise PictureError(
            f"{path}: must have the shape of {true.name}, {image.width} x {image.height}, got {width} x {height}"
        )
    return Image.fromarray(pixels).resize(image.size, Image.Resampling.LANCZOS)


def _recolored(path: Path, colours: Path, target: Path) -> None:
    """A picture with the colours of another one, place by place: the control that everybody should see through."""
    with Image.open(path) as image, Image.open(colours) as other:
        own = torch.from_numpy(np.array(image))
        theirs = torch.from_numpy(np.array(other.resize(image.size, Image.Resampling.BILINEAR)))
    lab, ab = (ops.rgb_to_lab(one, layout="hwc") for one in (own, theirs))
    mixed = ops.lab_to_rgb(torch.cat([lab[:1], ab[1:]]), layout="hwc")
    with whole(target) as growing:
        Image.fromarray(mixed.numpy()).save(growing, "PNG")
