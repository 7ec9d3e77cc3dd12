"""The published networks from file to file, beside a plain PyTorch twin of the same network at the same size.

`python -m bench.bench_peers WEIGHTS... --detail 256` times pictures and a film, ours and the twin's by turns in one
process, and prints medians of wall and processor seconds and their ratios; `--save` keeps them in
bench/results/<machine>-peers.json, in place of those of the same weights. Processor time counts that of programs which
are called. All twins run torch in float32 eager, one picture at a time. DeOldify's is the way of its own code
(bench/deoldify_film.py), whose films pass through JPEG files and ffmpeg; for the others it is `bench/published.py`:
PIL's resize, scikit-image's Lab, and films by OpenCV.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

import fastcolor
from fastcolor.engines.parity import photographs
from fastcolor.film.probe import probe
from fastcolor.models.weights import load
from fastcolor.options.pictures import ColorizeOptions
from fastcolor.pictures.colorize import Colorizer
from fastcolor.pictures.files import colorize_files

from .deoldify_film import DeOldifyFilm
from .published import Published
from .run import RESULTS, machine_name
from .timing import machine

Seconds = tuple[float, float]


class DeOldifyTwin:
    """DeOldify's own way, called as `Published` is: in the square that has about as many pixels."""

    def __init__(self, network: nn.Module, side: int) -> None:
        self._tool = DeOldifyFilm(network, side)

    def picture(self, source: Path, target: Path, size: tuple[int, int]) -> None:
        with Image.open(source) as file:
            self._tool.paint(file.convert("RGB")).save(target, quality=95, subsampling=0)

    def film(self, source: Path, target: Path, size: tuple[int, int], most: int) -> int:
        with tempfile.TemporaryDirectory() as folder:
            return self._tool.film(source, target, Path(folder))


def twin_of(weights: str, detail: int) -> Published | DeOldifyTwin:
    given = load(weights)
    if given.name.startswith("deoldify"):
        return DeOldifyTwin(given.model.network.requires_grad_(False), detail)
    return Published(weights, "cpu")


def timed(work: Callable[[], object]) -> Seconds:
    """Wall and processor seconds, those of programs that it calls too."""
    wall, used = time.perf_counter(), os.times()
    work()
    return time.perf_counter() - wall, sum(os.times()[:4]) - sum(used[:4])


def told(what: str, ours: list[Seconds], twins: list[Seconds], count: int = 1) -> dict[str, Any]:
    """What was measured, of one picture or frame: medians, printed."""
    one, other = ([statistics.median(column) / count for column in zip(*rows, strict=True)] for rows in (ours, twins))
    print(
        f"  {what}: {one[0]:.3f} s ({one[1]:.3f} of processors), twin {other[0]:.3f} s ({other[1]:.3f}); "
        f"{other[0] / one[0]:.2f} times as fast, {other[1] / one[1]:.2f} by processor time",
        flush=True,
    )
    kept = {"wall": round(one[0], 4), "processor": round(one[1], 4)}
    return {"what": what, "ours": kept, "twin": {"wall": round(other[0], 4), "processor": round(other[1], 4)}}


def gray_film(path: Path, frames: int) -> None:
    """A photograph that the camera passes over."""
    import cv2

    wide = np.asarray(Image.fromarray(photographs()[0].numpy()).resize((1280, 960)))
    writer = cv2.VideoWriter(os.fspath(path), cv2.VideoWriter_fourcc(*"mp4v"), 25.0, (640, 480))
    for i in range(frames):
        writer.write(cv2.cvtColor(wide[2 * i : 2 * i + 480, 3 * i : 3 * i + 640].copy(), cv2.COLOR_GRAY2BGR))
    writer.release()


def measure(weights: str, engine: str, detail: int, rounds: int, frames: int, folder: Path) -> dict[str, Any]:
    colorizer, twin = Colorizer(weights, "cpu", engine, size=detail, amount=1000), twin_of(weights, detail)
    print(f"{Path(weights).name}, {detail} px, {colorizer.engine}", flush=True)
    source, target = folder / "gray.jpg", folder / "colour.jpg"
    Image.fromarray(photographs()[1].numpy()).resize((640, 480)).save(source)
    options = ColorizeOptions((source,), str(target), overwrite=True)
    size = colorizer.input_size(480, 640)
    ours, twins, rows = [], [], []
    for _ in range(rounds + 1):
        ours.append(timed(lambda: colorize_files(options, colorizer)))
        twins.append(timed(lambda: twin.picture(source, folder / "twin.jpg", size)))
    rows.append(told("a picture of 640 x 480", ours[1:], twins[1:]))
    gray_film(folder / "gray.mp4", frames)
    seen = colorizer.input_size(*probe(folder / "gray.mp4").shown)

    def film(adaptive: str) -> None:
        fixed = {"device": "cpu", "engine": engine, "size": detail, "overwrite": True, "progress": False}
        fastcolor.video(folder / "gray.mp4", folder / "colour.mp4", weights=weights, adaptive=adaptive, **fixed)

    found: dict[str, list[Seconds]] = {"off": [], "auto": [], "twin": []}
    for _ in range(max(1, rounds // 2)):
        for adaptive in ("off", "auto"):
            found[adaptive].append(timed(lambda adaptive=adaptive: film(adaptive)))
        found["twin"].append(timed(lambda: twin.film(folder / "gray.mp4", folder / "twin.mp4", seen, frames)))
    for adaptive in ("off", "auto"):
        words = f"a frame of a film of {frames}, loading included, --adaptive {adaptive}"
        rows.append(told(words, found[adaptive], found["twin"], frames))
    return {"weights": Path(weights).stem, "detail": detail, "engine": colorizer.engine, "rows": rows}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="+", help="names or files")
    parser.add_argument("--engine", default="auto", help="ours")
    parser.add_argument("--detail", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    facts = machine() | {"threads": torch.get_num_threads(), "load": round(os.getloadavg()[0], 1)}
    facts["command"] = f"python -m bench.bench_peers WEIGHTS --detail {options.detail} --frames {options.frames}"
    if options.engine != "auto":
        facts["command"] += f" --engine {options.engine}"
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    torch.set_grad_enabled(False)
    for weights in options.weights:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(weights, options.engine, options.detail, options.rounds, options.frames, Path(folder))
        if options.save:
            path = RESULTS / f"{machine_name()}-peers.json"
            kept = json.loads(path.read_text())["networks"] if path.exists() else {}
            kept[found["weights"]] = found | {"machine": facts}
            path.write_text(json.dumps({"networks": kept}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
