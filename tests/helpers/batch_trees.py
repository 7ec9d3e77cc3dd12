"""Trees of pictures and films, processes that do them, and ways to look at what these are about."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from film_clips import clip
from PIL import Image

from fastcolor.batch import batch as fleet
from fastcolor.batch.batch import Summary, batch
from fastcolor.options.batch import BatchOptions


def picture(path: Path, shift: int = 0, scale: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[: 48 * scale, : 64 * scale] / scale
    Image.fromarray((100 + 60 * np.sin((x + shift) / 9) + y).astype(np.uint8)).save(path)
    return path


def film(path: Path, frames: int = 12, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return clip(path, frames=frames, **options)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def done(src: Path, dst: Path, net: str, **options: Any) -> Summary:
    slow = {"engine": "torch", "fast": True, "adaptive": "off"}  # a film takes so long that it can be disturbed
    return batch(BatchOptions(src, dst, weights=net, device="cpu", **slow, **options))


def start(src: Path, dst: Path, net: str, *arguments: str) -> subprocess.Popen[str]:
    code = "from fastcolor.commands.cli import main; main()"
    command = [sys.executable, "-c", code, "batch", str(src), str(dst), "--weights", net, "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(fleet.__file__).parents[2])}
    return subprocess.Popen(
        [*command, "--engine", "torch", "--fast", "--adaptive", "off", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def row(table: str, name: str) -> list[int]:
    """Pictures and films of a row; zeros where the table has none."""
    found = [line.removeprefix(name).split() for line in table.splitlines() if line.startswith(name)]
    return [int(word) for word in found[0]] if found else [0, 0]


def until(holds: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    deadline = time.monotonic() + 200
    while not (value := holds()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return value


def holder(target: Path) -> int | None:
    """The process that has an item in hands."""
    try:
        return int(target.with_name(f".{target.name}.lock").read_text().split()[3])
    except (FileNotFoundError, IndexError):
        return None


def halfway(target: Path) -> bool:
    """Whether a first part of a film is finished."""
    return (target.parent / f"{target.name}.part" / "000000.safetensors").exists()
