"""A film's shots: when they begin and end, and a sheet of their pictures."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from tqdm import tqdm

from .frames import gray_of, is_gray
from .probe import Film, probe
from .shots import each_shot

SHEET = 240  # pixels of the width of a picture on the sheet
COLUMNS = 5
TALLEST = 65_000  # pixels of the sheet: a JPEG has 65,500 at most


@dataclass(frozen=True)
class Found:
    """A shot: seconds from the film's beginning, and a picture from its middle, which the film shows at `shown`."""

    start: float
    end: float
    frames: int
    picture: Image.Image
    shown: float


def find_shots(path: Path, progress: Callable[[tuple[int, int | None]], object] | None = None) -> list[Found]:
    """A film's shots, in order.

    Args:
        progress: gets the frames that were looked at, and that are expected; None: a bar, on a terminal.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: it is no film that can be read.
    """
    film = probe(path)
    with tqdm(total=film.frames, unit=" frames", disable=progress is not None or not sys.stderr.isatty()) as bar:
        count = itertools.count(1)

        def looked() -> None:
            bar.update()
            if progress is not None:
                progress((next(count), film.frames))

        shots = [
            Found(float(one.begin - film.origin), float(one.end - film.origin), one.frames, *one.picture)
            for one in each_shot(film, partial(_shown, film=film), looked=looked)
        ]
    if not shots:
        raise ValueError(f"{path}: no frame of it could be decoded")
    return shots


def contact_sheet(shots: list[Found]) -> Image.Image:
    """All shots' pictures with their numbers and times."""
    width, height = max(shot.picture.width for shot in shots), max(shot.picture.height for shot in shots)
    most = TALLEST // (height + 28)  # rows
    columns = min(max(COLUMNS, -(-len(shots) // most)), len(shots))
    rows = -(-len(shots) // columns)
    sheet = Image.new("RGB", (columns * (width + 8) + 8, rows * (height + 28) + 8), "white")
    draw = ImageDraw.Draw(sheet)
    for i, shot in enumerate(shots):
        left, top = 8 + i % columns * (width + 8), 8 + i // columns * (height + 28)
        sheet.paste(shot.picture, (left, top))
        draw.text((left, top + shot.picture.height + 4), f"{i + 1}  {clock(shot.start)} to {clock(shot.end)}", "black")
    return sheet


def clock(seconds: float) -> str:
    """Seconds as "1:02:03.400"."""
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest // 1000:02}.{rest % 1000:03}"


def _shown(frame: Any, film: Film) -> tuple[Image.Image, float]:
    """A frame's picture, and its second from the film's beginning."""
    return _picture(frame, film), float(frame.pts * film.time_base - film.origin)


def _picture(frame: Any, film: Film) -> Image.Image:
    height, width = film.shown
    if film.turns % 2:
        height, width = width, height
    scale = SHEET / width
    size = SHEET, max(1, round(height * scale))
    if is_gray(frame):
        image = Image.fromarray(gray_of(frame, film.codec)).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    else:
        image = frame.reformat(*size, "rgb24").to_image()
    turns = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
    turn = turns[film.turns]
    return image if turn is None else image.transpose(turn)
