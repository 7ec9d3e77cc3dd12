"""Films by the published tool of another project, and by fastcolor: bench/results/<machine>-peer-films.json.

Run as `python -m bench.bench_peer_films FILM WEIGHTS`, FILM an .mp4 with sound, WEIGHTS of DeOldify's "video" network.
The tool is DeOldify's, as bench/deoldify_film.py has it; ours colour with the same network at as many pixels, and with
the default one, at as many and as usual. Each works in a process of its own, in turns, loaded and warm: loading the
network and comparing engines is not in the figures. Processor time counts ffmpeg's too; memory is that of the process,
without ffmpeg's. First a few frames are compared, each coloured by itself in the same square: the colours must be
alike.
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

import numpy as np
import torch
import tyro

import fastcolor
from fastcolor.film.frames import plane_view

from . import timing
from .run import keep

SIDE = 336  # DeOldify's own for films
LEAST_ALIKE = 0.8  # of 1
WORKER = """
import json, os, shutil, sys, time
from pathlib import Path
import fastcolor
from fastcolor.models import weights
from bench.deoldify_film import DeOldifyFilm
from bench.memory import forget, held
way = json.loads(sys.argv[1])
theirs = DeOldifyFilm(weights.load(way["weights"]).model.network) if way["tool"] else None

def paint(src, dst):
    if theirs is None:
        return fastcolor.video(src, dst, **way["options"], device="cpu", overwrite=True, progress=False).frames
    shutil.rmtree(dst + ".files", ignore_errors=True)
    return theirs.film(Path(src), Path(dst), Path(dst + ".files"))

for line in sys.stdin:
    src, dst = json.loads(line)
    forget()
    wall, used = time.perf_counter(), os.times()
    frames = paint(src, dst)
    wall, now = time.perf_counter() - wall, os.times()
    files = sum(file.stat().st_size for file in Path(dst + ".files").rglob("*.jpg")) / 2**20
    print(json.dumps({
        "frames": frames, "wall_ms": 1e3 * wall / frames, "cpu_ms": 1e3 * (sum(now[:4]) - sum(used[:4])) / frames,
        "peak_mb": held("VmHWM") / 2**20, "files_mb": files,
    }), flush=True)
"""


@dataclass(frozen=True)
class PeerFilmsOptions:
    """Colour one film by DeOldify's tool and by fastcolor, in turns."""

    film: Annotated[Path, tyro.conf.Positional]
    """An .mp4 in colour or gray."""
    weights: Annotated[Path, tyro.conf.Positional]
    """Of DeOldify's "video" network, or as large."""
    seconds: float = 2.0
    """Of the film's beginning."""
    rounds: int = 1
    engine: str = "torch"
    """What runs DeOldify's network for us; the default one's is chosen."""
    out: Path | None = None
    """File for the figures. None: bench/results/<machine>-peer-films.json."""


class Way:
    """A process that paints films one way."""

    def __init__(self, name: str, weights: Path | None = None, tool: bool = False, **options: object) -> None:
        self.name = name
        if weights is not None:
            options["weights"] = str(weights)
        words = json.dumps({"tool": tool, "weights": str(weights), "options": options})
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, words],
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def paint(self, src: Path, dst: Path) -> dict[str, float]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([str(src), str(dst)]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def beginning(film: Path, target: Path, seconds: float) -> None:
    """Its first seconds, video without colours and the sound as it is."""
    words = ["-t", str(seconds), "-i", str(film), "-vf", "format=gray,format=yuv420p", "-fps_mode", "passthrough"]
    codecs = ["-c:v", "libx264", "-crf", "16", "-c:a", "copy"]
    subprocess.run(["ffmpeg", "-y", "-loglevel", "error", *words, *codecs, str(target)], check=True)


def chroma(path: Path) -> np.ndarray:
    """(frames, 2, h / 2, w / 2) of a film in yuv420p."""
    import av

    with av.open(str(path)) as container:
        frames = [[plane_view(frame, i, np.uint8).astype(int) for i in (1, 2)] for frame in container.decode(video=0)]
    return np.array(frames)


def alike(tool: Way, film: Path, options: PeerFilmsOptions, folder: Path) -> float:
    """The least correlation, of Cb and of Cr, of the tool's film with ours, each frame by itself in the same square.

    Ours leave black and white gray, keep within the gamut by another rule and are written in the film's range of codes,
    so that the planes are not equal; with weights that a recipe makes, which paint garish, they are far from it."""
    tool.paint(film, folder / "theirs.mp4")
    fastcolor.video(
        film, folder / "ours.mp4", weights=options.weights, device="cpu", engine=options.engine, size=SIDE,
        as_published=True, temporal="off", adaptive="off", progress=False,
    )  # fmt: skip
    theirs, ours = chroma(folder / "theirs.mp4"), chroma(folder / "ours.mp4")
    assert theirs.shape == ours.shape, (theirs.shape, ours.shape)
    found = min(float(np.corrcoef(theirs[:, i].ravel(), ours[:, i].ravel())[0, 1]) for i in (0, 1))
    print(f"chroma correlates by {found:.3f}", flush=True)
    assert found > LEAST_ALIKE, found
    return found


def main(options: PeerFilmsOptions) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        src, short = folder / "gray.mp4", folder / "short.mp4"
        beginning(options.film, src, options.seconds)
        beginning(options.film, short, 0.1)
        working = [
            Way("DeOldify's tool", options.weights, tool=True),
            Way("--weights deoldify-video", options.weights, engine=options.engine, size=SIDE),
            Way(f"default network, --detail {SIDE}", size=SIDE),
            Way("default network"),
        ]
        correlation = alike(working[0], short, options, folder)
        taken: dict[str, list[dict[str, float]]] = {way.name: [] for way in working}
        for way in working[1:]:
            way.paint(short, folder / "warm.mp4")
        for _ in range(options.rounds):
            for number, way in enumerate(working):
                taken[way.name].append(way.paint(src, folder / f"{number}.mp4"))
                print(way.name, json.dumps(taken[way.name][-1]), flush=True)
        for way in working:
            way.close()
    rows = [
        {"way": name} | {what: statistics.median(one[what] for one in ones) for what in ones[0]}
        for name, ones in taken.items()
    ]
    facts = {
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[2], 1),
        "command": "python -m bench.bench_peer_films FILM WEIGHTS",
    }
    results = {
        "machine": timing.machine() | facts,
        "film": f"{options.seconds:g} s of {options.film.stem}",
        "side": SIDE,
        "engine": options.engine,
        "correlation": correlation,
        "rows": rows,
    }
    keep(results, "peer-films", options.out)
    return results


if __name__ == "__main__":
    main(tyro.cli(PeerFilmsOptions, config=(tyro.conf.FlagCreatePairsOff,)))
