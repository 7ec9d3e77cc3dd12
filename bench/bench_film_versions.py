"""Films by this checkout and by another one, in turns: bench/results/<machine>-film-versions.json.

Run as `python -m bench.bench_film_versions OTHER`, where OTHER is the folder of a checkout with its extension built.
Both work in a process of their own, loaded and warm; figures are medians. Frames a second are those that the program
reports; processor time counts every thread of the process, codecs' too, and suffers less from other programs. Where a
frame's time goes is measured stage by stage, one after the other.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

import fastcolor

from . import timing
from .films import FILMS, film_stages, make_film, one_thread
from .run import keep

ROWS = ((480, True), (360, True), (720, True), (480, False))  # height, fast
WORKER = """
import json, re, sys, time
from pathlib import Path
import fastcolor
for line in sys.stdin:
    src, dst, fast, engine = json.loads(line)
    begun = time.process_time()
    report = fastcolor.video(src, dst, fast=fast, engine=engine, device="cpu", overwrite=True, progress=False)
    spent = (time.process_time() - begun) / report.frames
    memory = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
    print(json.dumps({"fps": report.fps, "cpu_ms": 1e3 * spent, "peak_mb": memory}), flush=True)
"""


@dataclass(frozen=True)
class VersionsOptions:
    """Time films by two checkouts in turns."""

    other: Annotated[Path, tyro.conf.Positional]
    """Folder of the other checkout."""
    engine: str = "onnx"
    """What runs the network."""
    rounds: int = 5
    out: Path | None = None
    """File for the figures. None: bench/results/<machine>-film-versions.json."""


class Checkout:
    """A process that paints films with the package of one folder."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def paint(self, src: Path, dst: Path, fast: bool, engine: str) -> dict[str, float]:
        """What one film took."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps([str(src), str(dst), fast, engine]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def commit_of(folder: Path) -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def main(options: VersionsOptions) -> dict[str, Any]:
    here = Path(__file__).resolve().parents[1]
    folders = {"this": here, "other": options.other.resolve()}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for height, fast in ROWS:
            width, _, frames = next(film for film in FILMS if film[1] == height)
            src = Path(name) / f"{height}.mp4"
            if not src.exists():
                make_film(src, width, height, frames)
            checkouts = {side: Checkout(folder) for side, folder in folders.items()}
            taken: dict[str, list[dict[str, float]]] = {side: [] for side in folders}
            for turn in range(options.rounds + 1):
                for side, checkout in checkouts.items():
                    one = checkout.paint(src, Path(name) / f"{side}.mp4", fast, options.engine)
                    if turn:  # the first one warms up
                        taken[side].append(one)
            for checkout in checkouts.values():
                checkout.close()
            row: dict[str, Any] = {"height": height, "fast": fast, "frames": frames}
            for what in ("fps", "cpu_ms", "peak_mb"):
                row[what] = {side: statistics.median(one[what] for one in ones) for side, ones in taken.items()}
            row["fps_ratio"] = row["fps"]["this"] / row["fps"]["other"]
            row["cpu_ratio"] = row["cpu_ms"]["other"] / row["cpu_ms"]["this"]
            with one_thread():
                row["stages_ms"] = film_stages(fastcolor.Colorizer(device="cpu", engine=options.engine), src)
            rows.append(row)
            print(json.dumps(row), flush=True)
    facts = {
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[2],
        "commits": {side: commit_of(folder) for side, folder in folders.items()},
        "command": "python -m bench.bench_film_versions OTHER",
    }
    results = {"machine": timing.machine() | facts, "rows": rows}
    keep(results, "film-versions", options.out)
    return results


if __name__ == "__main__":
    main(tyro.cli(VersionsOptions, config=(tyro.conf.FlagCreatePairsOff,)))
