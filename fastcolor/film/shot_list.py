"""A film's shots: when they begin and end, and a sheet of their pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from .by_time import stamped
from .frames import plane_view
from .probe import Film, probe
from .shots import Cuts

THUMB, SHEET = 160, 240  # pixels of the longer side for looking, and of the width of a picture on the sheet
COLUMNS, KEPT = 5, 32
SHORTEST = 3  # frames of a shot: what is shorter is a flash, and belongs to the one before


@dataclass(frozen=True)
class Found:
    """A shot: seconds from the film's beginning, and a picture from its middle."""

    start: float
    end: float
    frames: int
    picture: Image.Image


def find_shots(path: Path) -> list[Found]:
    """A film's shots, in order.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: it is no film that can be read.
    """
    film = probe(path)
    cuts = Cuts()
    shots: list[Found] = []
    starts, frames, pictures, every, last = 0.0, 0, list[Image.Image](), 1, 0.0
    for at, frame in stamped(film):
        seconds = float(at - film.origin)
        if cuts.is_cut(_luma(frame)) and frames >= SHORTEST:
            shots.append(Found(starts, seconds, frames, pictures[len(pictures) // 2]))
            starts, frames, pictures, every = seconds, 0, [], 1
        if frames % every == 0:
            pictures.append(_picture(frame, film))
            if len(pictures) == KEPT:
                pictures, every = pictures[::2], 2 * every
        frames += 1
        last = seconds + float(1 / film.rate)
    if not frames:
        raise ValueError(f"{path}: no frame of it could be decoded")
    shots.append(Found(starts, last, frames, pictures[len(pictures) // 2]))
    return shots


def contact_sheet(shots: list[Found]) -> Image.Image:
    """All shots' pictures with their numbers and times."""
    width, height = max(shot.picture.width for shot in shots), max(shot.picture.height for shot in shots)
    rows = -(-len(shots) // COLUMNS)
    columns = min(COLUMNS, len(shots))
    sheet = Image.new("RGB", (columns * (width + 8) + 8, rows * (height + 28) + 8), "white")
    draw = ImageDraw.Draw(sheet)
    for i, shot in enumerate(shots):
        left, top = 8 + i % COLUMNS * (width + 8), 8 + i // COLUMNS * (height + 28)
        sheet.paste(shot.picture, (left, top))
        draw.text((left, top + shot.picture.height + 4), f"{i + 1}  {clock(shot.start)} to {clock(shot.end)}", "black")
    return sheet


def clock(seconds: float) -> str:
    """Seconds as "1:02:03.400"."""
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest // 1000:02}.{rest % 1000:03}"


def _luma(frame: Any) -> torch.Tensor:
    scale = min(1, THUMB / max(frame.width, frame.height))
    small = frame.reformat(max(16, round(frame.width * scale)), max(16, round(frame.height * scale)), "gray")
    return torch.from_numpy(plane_view(small, 0, np.uint8).astype(np.float32)) / 255


def _picture(frame: Any, film: Film) -> Image.Image:
    height, width = film.shown
    if film.turns % 2:
        height, width = width, height
    scale = SHEET / width
    image = frame.reformat(SHEET, max(1, round(height * scale)), "rgb24").to_image()
    turns = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
    turn = turns[film.turns]
    return image if turn is None else image.transpose(turn)
