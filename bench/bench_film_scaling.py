"""Films by size and by cores: bench/results/<machine>-film-scaling.json.

Run as `python -m bench.bench_film_scaling`. Short films of four sizes are painted stage by stage on one thread. From
that follows what more cores allow: all work divided among them, but no more than the thread that all frames pass
through, which looks for motion, steadies and paints. Then two films are painted by two processes at once and one after
the other, by turns: how they share the cores; and one film with so many batches in the network at once.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

import fastcolor
from fastcolor.film.network import Network

from . import timing
from .bench_film_versions import Checkout
from .films import film_stages, make_film, one_thread
from .run import keep

FILMS = ((854, 480, 96), (1280, 720, 64), (1920, 1080, 32), (3840, 2160, 12))  # width, height, frames
CORES = (1, 2, 4, 8, 16)
SHARED = 480  # lines of the films that are painted side by side
PAINTERS = 4  # batches that go through the network at once, at most


@dataclass(frozen=True)
class ScalingOptions:
    """Time films of several sizes, and two films at once."""

    engine: str = "onnx"
    """What runs the network."""
    rounds: int = 3
    out: Path | None = None
    """File for the figures. None: bench/results/<machine>-film-scaling.json."""


def rates(stages: dict[str, float], encode: str) -> dict[int, float]:
    """Frames a second on so many cores, at most. stages: milliseconds a frame; encode: the stage that counts."""
    passing = sum(stages[name] for name in ("input", "motion", "smoothing", "paint"))
    whole = passing + stages["decode"] + stages["network and decode"] + stages[encode]
    return {cores: 1e3 / max(whole / cores, passing) for cores in CORES}


def side_by_side(folder: Path, engine: str, rounds: int) -> dict[str, float]:
    """Seconds for two films: one after the other in one process, and at once in two."""
    here = Path(__file__).resolve().parents[1]
    src = folder / f"{SHARED}.mp4"
    workers = [Checkout(here), Checkout(here)]
    targets = [folder / "first.mp4", folder / "second.mp4"]
    seconds: dict[str, list[float]] = {"one after the other": [], "at once": []}
    with ThreadPoolExecutor(2) as pool:
        for turn in range(rounds + 1):
            begun = time.perf_counter()
            for target in targets:
                workers[turn % 2].paint(src, target, True, engine)
            between = time.perf_counter()
            for one in [pool.submit(w.paint, src, t, True, engine) for w, t in zip(workers, targets, strict=True)]:
                one.result()
            if turn:  # the first one warms up
                seconds["one after the other"].append(between - begun)
                seconds["at once"].append(time.perf_counter() - between)
    for worker in workers:
        worker.close()
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def by_painters(src: Path, dst: Path, engine: str, rounds: int) -> dict[int, dict[str, float]]:
    """Of one film, with so many batches in the network at once, by turns."""
    taken: dict[int, list[tuple[float, float]]] = {count: [] for count in (1, 2, PAINTERS)}
    chosen, threads = Network.painters, torch.get_num_threads()
    try:
        for turn in range(rounds + 1):
            for count, times in taken.items():
                Network.painters = property(lambda _, count=count: count)
                torch.set_num_threads(1)
                begun = time.process_time()
                report = fastcolor.video(
                    src, dst, fast=True, engine=engine, device="cpu", overwrite=True, progress=False
                )
                if turn:  # the first one warms up
                    times.append((1e3 * (time.process_time() - begun) / report.frames, report.fps))
    finally:
        Network.painters = chosen
        torch.set_num_threads(threads)
    return {
        count: dict(zip(("cpu_ms", "fps"), map(statistics.median, zip(*times, strict=True)), strict=True))
        for count, times in taken.items()
    }


def main(options: ScalingOptions) -> dict[str, Any]:
    colorizer = fastcolor.Colorizer(device="cpu", engine=options.engine)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for width, height, frames in FILMS:
            src = folder / f"{height}.mp4"
            make_film(src, width, height, frames)
            row: dict[str, Any] = {"width": width, "height": height, "frames": frames}
            with one_thread():
                row["stages_ms"] = film_stages(colorizer, src)
            row["model_fps"] = {
                "--fast": rates(row["stages_ms"], "encode"),
                "as usual": rates(row["stages_ms"], "encode, as usual"),
            }
            rows.append(row)
            print(json.dumps(row), flush=True)
        shared = side_by_side(folder, options.engine, options.rounds)
        print(json.dumps(shared), flush=True)
        painters = by_painters(folder / f"{SHARED}.mp4", folder / "out.mp4", options.engine, options.rounds)
        print(json.dumps(painters), flush=True)
    facts = {
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "command": "python -m bench.bench_film_scaling",
    }
    results = {"machine": timing.machine() | facts, "rows": rows, "two_films_s": shared, "painters": painters}
    keep(results, "film-scaling", options.out)
    return results


if __name__ == "__main__":
    main(tyro.cli(ScalingOptions, config=(tyro.conf.FlagCreatePairsOff,)))
