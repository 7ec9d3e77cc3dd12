"""Where a film's processor time goes, library by library: bench/results/<machine>-film-profile.json.

Run as `python -m bench.bench_film_profile`; needs Linux's `perf`. Films are painted by a process that is warm, all its
threads are sampled, and samples are counted by the library that they were in.
"""

from __future__ import annotations

import json
import re
import signal
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from . import timing
from .bench_film_versions import Checkout
from .films import FILMS, make_film
from .run import keep

# The first that a library's name holds.
PARTS = {
    "x264": "libx264",
    "decoding": "libavcodec",
    "network": "onnxruntime",
    "our operations": "_C.",
    "torch": "libtorch|libc10",
    "Python": "libpython|python3",
    "kernel": "kernel",
    "copies, memory": "libc.so",
    "all else": "",
}


@dataclass(frozen=True)
class ProfileOptions:
    """Count where a film's processor time goes."""

    heights: Annotated[tuple[int, ...], tyro.conf.arg(name="height")] = (480, 720)
    """Of the films."""
    films: int = 6
    """To paint while samples are taken."""
    out: Path | None = None
    """File for the figures. None: bench/results/<machine>-film-profile.json."""


def shares(report: str) -> dict[str, float]:
    """Of each part, in percent, from what `perf report --sort dso` prints."""
    found = dict.fromkeys(PARTS, 0.0)
    for percent, library in re.findall(r"^\s*([\d.]+)%\s+(\S+)", report, re.MULTILINE):
        found[next(part for part, names in PARTS.items() if re.search(names, library))] += float(percent)
    return found


def profile(src: Path, folder: Path, fast: bool, films: int) -> dict[str, Any]:
    """One film's row."""
    here = Path(__file__).resolve().parents[1]
    worker, data = Checkout(here), folder / "perf.data"
    worker.paint(src, folder / "out.mp4", fast, "onnx")  # which warms up
    command = ["perf", "record", "-q", "-F", "999", "-o", str(data), "-p", str(worker.process.pid)]
    recorder = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    taken = [worker.paint(src, folder / "out.mp4", fast, "onnx")["cpu_ms"] for _ in range(films)]
    recorder.send_signal(signal.SIGINT)
    recorder.wait()
    worker.close()
    report = subprocess.run(
        ["perf", "report", "-i", str(data), "--sort", "dso", "-g", "none"], capture_output=True, text=True, check=True
    )
    return {"fast": fast, "cpu_ms": statistics.median(taken), "percent": shares(report.stdout)}


def main(options: ProfileOptions) -> dict[str, Any]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for height in options.heights:
            width, _, frames = next(film for film in FILMS if film[1] == height)
            src = Path(name) / f"{height}.mp4"
            make_film(src, width, height, frames)
            for fast in (True, False):
                row = {"height": height} | profile(src, Path(name), fast, options.films)
                rows.append(row)
                print(json.dumps(row), flush=True)
    facts = {"threads": torch.get_num_threads(), "command": "python -m bench.bench_film_profile"}
    results = {"machine": timing.machine() | facts, "rows": rows}
    keep(results, "film-profile", options.out)
    return results


if __name__ == "__main__":
    main(tyro.cli(ProfileOptions, config=(tyro.conf.FlagCreatePairsOff,)))
