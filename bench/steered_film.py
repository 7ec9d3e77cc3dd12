"""The film of docs/steering.md: three shots of photographs, coloured automatically and with what is known of each.

`python -m bench.steered_film FOLDER` makes a gray film of three photographs of scikit-image's wheel (astronaut: NASA,
public domain; coffee: Rachel Michetti, CC0; chelsea: Stefan van der Walt, CC0), over which a camera pans and zooms,
and what a person might say of it, in FOLDER; colours it by the commands of the page; and writes docs/steered-film.jpg:
the gray film, the automatic one, the one that was told, and the truth, at the beginning, middle and end of each shot.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw
from skimage import data

from fastcolor.film.frames import plane_view

ROOT = Path(__file__).parent.parent
SIZE, RATE, FRAMES = (480, 272), 25, 50  # frames of a shot
# Photograph, and where the camera begins and ends: left, top and width of what it sees.
SHOTS = {
    "astronaut": ((0, 0, 480), (60, 40, 380)),
    "coffee": ((0, 20, 560), (90, 80, 400)),
    "chelsea": ((0, 0, 430), (40, 20, 370)),
}
SHOWN = (0, FRAMES // 2, FRAMES - 1)  # frames of each shot on the sheet


def views(name: str) -> Iterator[Image.Image]:
    photograph = Image.fromarray(getattr(data, name)())
    begin, end = SHOTS[name]
    for number in range(FRAMES):
        way = number / (FRAMES - 1)
        left, top, width = ((1 - way) * one + way * other for one, other in zip(begin, end, strict=True))
        box = (left, top, left + width, top + width * SIZE[1] / SIZE[0])
        yield photograph.resize(SIZE, Image.Resampling.BICUBIC, box=box)


def make_films(folder: Path) -> None:
    """truth.mkv and gray.mkv, without loss."""
    paths = folder / "truth.mkv", folder / "gray.mkv"
    outputs = [av.open(str(path), "w") for path in paths]
    streams: list[Any] = [output.add_stream("ffv1", rate=RATE) for output in outputs]
    for stream in streams:
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
    for number, image in enumerate(view for name in SHOTS for view in views(name)):
        planes = av.VideoFrame.from_image(image).reformat(format="yuv420p").to_ndarray()
        for gray, (output, stream) in enumerate(zip(outputs, streams, strict=True)):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            for index in (1, 2) if gray else ():
                plane_view(frame, index, np.uint8)[:] = 128
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            output.mux(stream.encode(frame))
    for output, stream in zip(outputs, streams, strict=True):
        output.mux(stream.encode(None))
        output.close()


def say(folder: Path, project: Path) -> None:
    """What a person might say: a key frame of each shot, a reference for one, two hints in another."""
    content = json.loads(project.read_text())
    shots = content["shots"]
    if len(shots) != len(SHOTS):
        raise RuntimeError(f"shots: must be {len(SHOTS)}, got {len(shots)}")
    for name, shot in zip(SHOTS, shots, strict=True):
        key = next(views(name))
        key.save(folder / f"{name}.png")
        shot["key_frames"] = {f"{shot['start']:g}": f"{name}.png"}
    # The table around the cup is not in the key frame's middle: a photograph of the same cup, mirrored, knows it.
    mirrored = Image.fromarray(data.coffee()).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    mirrored.save(folder / "another-cup.jpg")
    shots[1]["references"] = ["0.8=another-cup.jpg"]
    # Of the first shot only the face is told by the key frame, and the rest by two hints.
    first = Image.open(folder / "astronaut.png").convert("RGBA")
    alpha = Image.new("L", SIZE, 0)
    ImageDraw.Draw(alpha).ellipse((150, 0, 330, 150), fill=255)
    first.putalpha(alpha)
    first.save(folder / "astronaut.png")
    shots[0]["hints"] = [
        {"x": 0.34, "y": 0.85, "color": "#d0662c", "radius": 0.08},
        {"x": 0.1, "y": 0.75, "color": "#8c2f3c", "radius": 0.02},
    ]
    project.write_text(json.dumps(content, indent=1))


def fastcolor(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "fastcolor", *words], check=True)


def frames_of(path: Path) -> list[Image.Image]:
    with av.open(str(path)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


def sheet(folder: Path) -> Image.Image:
    """A row for each way, a column for each moment."""
    ways = {"gray": "gray", "automatic": "auto", "told": "told", "the truth": "truth"}
    numbers = [shot * FRAMES + number for shot in range(len(SHOTS)) for number in SHOWN]
    width, height, head = 160, round(160 * SIZE[1] / SIZE[0]), 14
    whole = Image.new("RGB", (len(numbers) * width, len(ways) * (height + head)), "white")
    draw = ImageDraw.Draw(whole)
    for row, (words, name) in enumerate(ways.items()):
        frames = frames_of(folder / f"{name}.mkv")
        draw.text((4, row * (height + head) + 1), words, "black")
        for column, number in enumerate(numbers):
            small = frames[number].resize((width, height), Image.Resampling.LANCZOS)
            whole.paste(small, (column * width, row * (height + head) + head))
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="for the films; it is made")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    make_films(folder)
    gray, project = str(folder / "gray.mkv"), folder / "project.json"
    project.unlink(missing_ok=True)
    project.with_suffix(".jpg").unlink(missing_ok=True)
    usual = ["--codec", "ffv1", "--overwrite", "--device", "cpu"]
    fastcolor("shots", gray, "-o", str(project))
    say(folder, project)
    fastcolor("video", gray, str(folder / "auto.mkv"), *usual)
    colours = str(folder / "colours.mkv")
    fastcolor("video", gray, str(folder / "told.mkv"), "--project", str(project), "--chroma-to", colours, *usual)
    sheet(folder).save(ROOT / "docs" / "steered-film.jpg", quality=82, optimize=True)


if __name__ == "__main__":
    main()
