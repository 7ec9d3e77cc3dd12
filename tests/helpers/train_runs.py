"""What tests of training share: pictures to learn from, and reading what a run left."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fastcolor.palette import Palette, save_prior
from fastcolor.training import checkpoints
from fastcolor.training.presets import L1, FeatureMatching, Gan, Optimiser, Preset, Stage, View

OPTIONS = {"steps": 7, "batch_size": 2, "crop": 64, "precision": "fp32", "workers": 0}


def meadows(folder: Path) -> Path:
    """Eight pictures, sky above and meadow below, in a zip file."""
    path = folder / "meadows.zip"
    random = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(8):
            rgb = np.empty((80, 96, 3), np.float64)
            rgb[:40], rgb[40:] = (120, 170, 240), (60, 120, 40)
            rgb += random.normal(0, 12, rgb.shape[:2])[..., None]
            file = path.with_name(f"{i}.png")
            Image.fromarray(rgb.clip(0, 255).astype(np.uint8)).save(file)
            archive.write(file, file.name)
    return path


def two_stages(**changes: object) -> Preset:
    """Small and adversarial: distances first, then with a discriminator."""
    view = View(64, 0.6, 1.0)
    first = Stage(0.5, 2, view, (L1(),), Optimiser(1e-3))
    second = Stage(1.0, 2, view, (Gan(kind="hinge"), L1(10.0), FeatureMatching()), Optimiser(1e-3, betas=(0.5, 0.999)))
    preset = Preset(
        "pix2pix", 6, (first, second), options={"channels": 8}, discriminator_options={"channels": 8}, ema=0.9
    )
    return replace(preset, **changes)


def entries(out: Path) -> list[dict[str, float]]:
    lines = (out / "log.jsonl").read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def losses(out: Path) -> list[float]:
    return [entry["loss"] for entry in entries(out)]


def parts(out: Path) -> list[dict[str, float]]:
    """The log without what a clock says."""
    clock = ("pictures_per_second", "wait_share")
    return [{name: value for name, value in entry.items() if name not in clock} for entry in entries(out)]


def checkpoint_steps(out: Path) -> list[int]:
    return [checkpoints.load(path).step for path in checkpoints.files(out)]


def save_uniform(folder: Path) -> Path:
    """A prior that peaks at gray."""
    p = torch.full((313,), 0.5 / 312, dtype=torch.float64)
    p[120] = 0.5
    save_prior(folder / "prior.npy", p, Palette.grid())
    return folder / "prior.npy"
