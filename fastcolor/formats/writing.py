"""Writing pictures, with all that came along, in the format that a name asks for."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from PIL import Image, TiffImagePlugin

from ..atomic import whole
from . import metadata
from .endings import PictureError, check_target
from .picture import PictureFile
from .reading import ANIMATED, register_heif, words

_OPAQUE = {"JPEG", "PPM", "BMP"}  # no alpha there: white shows through, as on paper


def unsupported(file: PictureFile, target: Path) -> list[str]:
    """What of a file the format that the target's name asks for cannot hold, in words; empty for most."""
    kind, count = _kind(target), len(file.frames)
    found = []
    if count > 1 and file.pages and kind != "TIFF":
        found.append(f"{count - 1} of {count} pages")
    elif count > 1 and not file.pages and kind == "TIFF":
        found.append("the frames' durations")
    elif count > 1 and not file.pages and kind not in ANIMATED:
        found.append(f"{count - 1} of {count} frames")
    found += file.lost
    alphas = [frame.alpha for frame in file.frames[: 1 if file.pages else count] if frame.alpha is not None]
    if kind in _OPAQUE and any(bool((alpha < 255).any()) for alpha in alphas):
        found.append("transparency (white shows through)")
    if kind == "GIF" and any(bool(((alpha > 0) & (alpha < 255)).any()) for alpha in alphas):
        found.append("half transparency")
    info = file.frames[0].info
    refused = info.keys() - _written(kind, info, True).keys()
    return found + metadata.options(kind, info)[1] + metadata.names(sorted(refused))


def write(
    path: str | os.PathLike[str],
    images: Iterable[Image.Image],
    durations: Sequence[int] = (100,),
    loop: int = 0,
    *,
    pages: bool = False,
) -> None:
    """Write a picture, an animation or pages, whole or not at all. What the format cannot hold is left out.

    Args:
        path: a name in one of `endings.SUFFIXES`. images: frames or pages, with what to write beside them in their
            `info`; pages are taken one by one as they are written. durations: of the frames in milliseconds. loop: how
            often they play, 0 is for ever. pages: the images are pages; a format without pages gets the first of them.

    Raises:
        PictureError: a format that cannot hold colour, or a target that cannot be written.
    """
    path = Path(path)
    kind = _kind(path)
    rest = (_flatten(image) for image in images) if kind in _OPAQUE else iter(images)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as growing, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata that is left out then
            first = next(rest)
            second = list(islice(rest, 1))
            if kind == "TIFF" and second:
                _write_pages(growing, chain([first], second, rest))
            else:
                options = _save_options(kind, first)
                if second and kind in ANIMATED and not pages:
                    others = [*second, *rest]
                    options |= {"save_all": True, "append_images": others, "duration": list(durations)}
                    options |= _looping(kind, loop)
                first.save(growing, format=kind, **options)
    except PictureError:
        raise
    except OSError as error:
        raise PictureError(f"{path}: cannot be written ({words(error)})") from None
    except (RuntimeError, ValueError, TypeError, KeyError, OverflowError, struct.error) as error:
        raise PictureError(f"{path}: cannot be written ({words(error)})") from None  # an encoder's own limits


def _looping(kind: str, plays: int) -> dict[str, int]:
    """What has an animation play so often: a GIF is told how often it is repeated, and nothing where it is not."""
    if kind != "GIF":
        return {"loop": plays}
    return {} if plays == 1 else {"loop": max(0, plays - 1)}


def _write_pages(path: Path, images: Iterator[Image.Image]) -> None:
    with TiffImagePlugin.AppendingTiffWriter(str(path), True) as file:
        for index, image in enumerate(images):  # one by one: each has words of its own
            image.save(file, format="TIFF", **_save_options("TIFF", image, first=index == 0))
            file.newFrame()


def _kind(path: Path) -> str:
    """Pillow's name of the format that a target's name asks for."""
    check_target(path)
    register_heif()
    suffix = path.suffix.lower()
    kind = "JPEG" if suffix == ".mpo" else Image.registered_extensions().get(suffix)  # one of its pictures
    if kind is None or kind not in Image.SAVE:
        raise PictureError(f"{path}: writing {suffix} needs `pip install fastcolor[heif]`")
    return kind


def _save_options(kind: str, image: Image.Image, *, first: bool = True) -> dict[str, Any]:
    return _options(kind, _written(kind, image.info, first), first)


def _written(kind: str, info: dict[Any, Any], first: bool) -> dict[Any, Any]:
    """What of `info` Pillow does write, tried on a small picture: the rest is not worth the picture."""
    if _can_write(kind, info, first):
        return info
    alone = {key: value for key, value in info.items() if _can_write(kind, {key: value}, first)}
    return alone if _can_write(kind, alone, first) else {}


def _can_write(kind: str, info: dict[Any, Any], first: bool) -> bool:
    try:
        options = _options(kind, info, first)
        if options != _options(kind, {}, first):
            Image.new("RGB", (64, 64)).save(io.BytesIO(), format=kind, **options)
    except Exception:
        return False
    return True


def _options(kind: str, info: dict[Any, Any], first: bool) -> dict[str, Any]:
    options = metadata.options(kind, info)[0]
    if kind in ("JPEG", "WEBP"):
        options["quality"] = 95
    if kind == "JPEG":
        options["subsampling"] = 0  # chroma is what we made: keep it whole
    if kind == "TIFF":
        tags, nested = metadata.flat(options.get("exif", b""))
        options["compression"] = "raw" if nested and first else "tiff_deflate"
        if not first:
            options["exif"] = tags
    return options


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    paper = Image.new("RGB", image.size, "white")
    paper.paste(image, mask=image.getchannel("A"))
    paper.info.update(image.info)
    return paper
