"""What the painting process does for the server: pictures looked at, painted, written."""

from __future__ import annotations

import io
from collections import OrderedDict
from pathlib import Path
from typing import Any

from PIL import Image

from ..atomic import write_bytes
from ..formats.picture import Picture, PictureFile
from ..formats.pixels import eight_bit
from ..formats.reading import read
from ..options.look import Look as LookOptions
from ..options.pictures import ColorizeOptions
from ..pictures.canvas import Canvas
from ..pictures.colored import in_color
from ..pictures.colorize import Colorizer
from ..pictures.files import colorize_files
from ..pictures.heard import heard
from ..pictures.told import Told
from .look import Look, chosen_by

SCREEN, SMALL = 1600, 360  # longer sides in pixels: of what is looked at, and of the grid's pictures
_CANVASES = 12  # that are kept; each takes about 20 MB
_NETWORKS = 2  # that are kept; a large one takes a gigabyte
_CROP = 2400  # pixels of a side of a part at most


class Painter:
    """The network and the pictures that were looked at last.

    Args:
        options: which network, on what.
    """

    def __init__(self, options: LookOptions) -> None:
        self._options = options
        self._networks: OrderedDict[str, Colorizer] = OrderedDict()
        self._network(Look())
        self._canvases: OrderedDict[tuple[str, str, int | None], Canvas] = OrderedDict()
        self._whole: tuple[str, Picture] | None = None
        self._painted_whole: tuple[str, Look, Image.Image] | None = None  # for the next part of it

    def ready(self) -> bool:
        """Whether the network is loaded, which it is by now."""
        return True

    def first(self, path: str, folder: str, look: Look) -> dict[str, Any]:
        """Look at a picture for the first time: write before.jpg and after.jpg, large and small, and tell of it."""
        file = read(path)
        canvas = self._canvas(path, look, file)
        _save(_gray(canvas.small), Path(folder, "before"))
        facts = self.paint(path, folder, look)
        frame = file.frames[0]
        return {
            **facts,
            "width": frame.pixels.shape[1],
            "height": frame.pixels.shape[0],
            "frames": len(file.frames),
            "colored": in_color(frame),
            "notes": list(frame.notes),
        }

    def nature(self, look: Look) -> dict[str, Any]:
        """Whether the network follows hints, and what its own temperature and detail are."""
        network = self._network(look)
        try:
            network.check_hints()
            follows = True
        except ValueError:
            follows = False
        return {"hints": follows, "own": {"temperature": network.temperature, "detail": network.size}}

    def paint(self, path: str, folder: str, look: Look) -> dict[str, Any]:
        """Write after.jpg anew, large and small."""
        canvas = self._canvas(path, look)
        said: list[str] = []
        with heard(said.append):
            image = self._painted(canvas, path, look, small=True)
        _save(image, Path(folder, "after"))
        return {"doubt": canvas.doubt, "said": said, **self.nature(look)}

    def part(self, path: str, look: Look, box: tuple[int, int, int, int], which: str) -> bytes:
        """A JPEG of a part of the whole picture.

        Args:
            box: left, top, right, bottom in pixels. which: "before", in gray, or "after".
        """
        picture = self._opened(path)
        height, width = picture.pixels.shape[:2]
        left, top, right, bottom = box
        left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
        box = (
            left,
            top,
            min(max(right, left + 1), width, left + _CROP),
            min(max(bottom, top + 1), height, top + _CROP),
        )
        if which == "before":
            return _jpeg(_gray(picture, (slice(box[1], box[3]), slice(box[0], box[2]))))
        if self._painted_whole is None or self._painted_whole[:2] != (path, look):
            image = self._painted(self._canvas(path, look), path, look, small=False)
            self._painted_whole = (path, look, image)
        return _jpeg(self._painted_whole[2].crop(box))

    def suggestions(self, path: str, look: Look, x: float, y: float) -> list[tuple[str, float]]:
        """The network's likeliest colours for a place."""
        return self._canvas(path, look).suggestions(x, y)

    def export(self, path: str, target: str, look: Look) -> list[str]:
        """Do what `fastcolor colorize PATH -o TARGET` does; returns what is worth a sentence."""
        chosen = chosen_by(look, self._options)
        options = ColorizeOptions(
            inputs=(Path(path),),
            output=target,
            weights=chosen.weights,
            merge=chosen.merge,
            device=chosen.device,
            engine=chosen.engine,
            temperature=look.temperature,
            saturation=look.saturation,
            size=look.detail,
            hints=look.told_hints() or None,
            references=(Path(look.guide_file),) if look.guide == "similar" else (),
            chroma_from=Path(look.guide_file) if look.guide == "version" else None,
            overwrite=True,
        )
        said: list[str] = []
        with heard(said.append):
            outcome = colorize_files(options, self._network(look).at(look.detail))
        return [*outcome.notes, *said]

    def _painted(self, canvas: Canvas, path: str, look: Look, *, small: bool) -> Image.Image:
        told = Told(
            tuple(look.told_hints()),
            look.guide_file if look.guide == "version" else None,
            (look.guide_file,) if look.guide == "similar" else (),
        )
        return canvas.paint(
            told,
            temperature=look.temperature,
            saturation=look.saturation,
            whole=lambda: self._opened(path),
            small=small,
        )

    def _opened(self, path: str) -> Picture:
        """A whole picture; the last one is kept."""
        if self._whole is None or self._whole[0] != path:
            self._whole = (path, read(path).frames[0])
        return self._whole[1]

    def _canvas(self, path: str, look: Look, file: PictureFile | None = None) -> Canvas:
        key = (path, look.weights, look.detail)
        if key not in self._canvases:
            self._canvases[key] = Canvas(self._network(look).at(look.detail), (file or read(path)).frames[0], SCREEN)
            while len(self._canvases) > _CANVASES:
                self._canvases.popitem(last=False)
        self._canvases.move_to_end(key)
        return self._canvases[key]

    def _network(self, look: Look) -> Colorizer:
        """The network that a look names; those used last are kept."""
        if look.weights not in self._networks:
            self._networks[look.weights] = Colorizer.of(chosen_by(look, self._options)).at(None)
            while len(self._networks) > _NETWORKS:
                self._networks.popitem(last=False)
        self._networks.move_to_end(look.weights)
        return self._networks[look.weights]


def _gray(picture: Picture, part: tuple[slice, slice] = (slice(None), slice(None))) -> Image.Image:
    return Image.fromarray(eight_bit(picture.gray[part]))


def _save(image: Image.Image, path: Path) -> None:
    write_bytes(path.with_suffix(".jpg"), _jpeg(image))
    small = image.copy()
    small.thumbnail((SMALL, SMALL), Image.Resampling.BOX)
    write_bytes(path.with_name(f"{path.name}-small.jpg"), _jpeg(small))


def _jpeg(image: Image.Image) -> bytes:
    if image.mode in ("LA", "RGBA"):  # on paper
        paper = Image.new("RGB", image.size, "white")
        paper.paste(image, mask=image.getchannel("A"))
        image = paper
    data = io.BytesIO()
    image.save(data, "JPEG", quality=92, subsampling=0)
    return data.getvalue()
