"""The default network in INT8 beside bfloat16 and float32: test pictures, flicker in a film, and time.

`python -m bench.int8 PICTURES FILM` prints the table of bench/results/int8.md. All run as exported files: float32 and
INT8 in ONNX Runtime, bfloat16 in OpenVINO. Times are of one and of all threads, alternated, medians.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

import fastcolor
from fastcolor.engines.choose import Engine, choose
from fastcolor.engines.load import load
from fastcolor.film.smoothing import warp_error

from . import timing

MEASURES = ("macro_auc", "auc", "psnr_rgb", "colorfulness_ratio")
BATCHES = (1, 8)
ENGINES = {"fp32": "onnx", "bf16": "openvino", "int8": "onnx"}


def frames(path: Path, luma: bool = False) -> Tensor:
    """(T, 3, h, w) float RGB in [0, 1] of a film, or (T, h, w) uint8 of its luma."""
    with av.open(str(path)) as film:
        arrays = [frame.to_ndarray(format="gray" if luma else "rgb24") for frame in film.decode(video=0)]
    stack = torch.from_numpy(np.stack(arrays))
    return stack if luma else stack.movedim(3, 1) / 255


def flicker(weights: Path, engine: str, film: Path, temporal: str, folder: Path) -> float:
    """E_warp of the coloured film, in thousandths."""
    out = folder / f"{weights.stem}-{temporal}.mkv"
    fastcolor.video(film, out, weights=weights, device="cpu", engine=engine, temporal=temporal, lossless=True)
    return warp_error(frames(out), frames(film, luma=True)) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, help="test pictures, as `fastcolor evaluate` takes them")
    parser.add_argument("film", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0, help="time for each number of threads and batch size")
    options = parser.parse_args()
    print("| | " + " | ".join([*MEASURES, "E_warp, each frame alone", "E_warp, `--temporal fast`"]) + " |")
    print("|---" * 7 + "|")
    engines: dict[int, dict[str, Engine]] = {1: {}, torch.get_num_threads(): {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for precision, engine in ENGINES.items():
            weights = folder / f"{precision}.onnx"
            fastcolor.export("default", weights, precision="int8" if precision == "int8" else "fp32")
            found = fastcolor.evaluate(weights, options.pictures, device="cpu", engine=engine)
            row = [found[measure] for measure in MEASURES]
            row += [flicker(weights, engine, options.film, temporal, folder) for temporal in ("off", "fast")]
            for threads, of_them in engines.items():
                torch.set_num_threads(threads)
                of_them[precision] = choose(load(weights), "cpu", engine)
            print(f"| {of_them[precision].name} | " + " | ".join(f"{value:.4g}" for value in row) + " |", flush=True)
    for threads, of_them in engines.items():
        for batch in BATCHES:
            lightness = torch.full((batch, 1, 256, 256), 50.0)
            works = {name: lambda run=run, x=lightness: run(x) for name, run in of_them.items()}
            ms = timing.alternate(works, device="cpu", seconds=options.seconds)
            told = ", ".join(f"{name} {value / batch:.2f}" for name, value in ms.items())
            print(f"{threads} threads, batches of {batch}, ms a picture: {told}", flush=True)


if __name__ == "__main__":
    main()
