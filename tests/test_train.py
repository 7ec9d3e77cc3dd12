"""The training loop: it learns, it can be killed at any moment, and it says what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fastcolor
from fastcolor import checkpoint as checkpoints
from fastcolor import models, weights
from fastcolor.presets import PRESETS, Optimiser
from fastcolor.train import TrainingError

OPTIONS = {"steps": 7, "batch_size": 2, "crop": 64, "precision": "fp32", "workers": 0}
# Recipes with networks small enough for a test; the code of one makes it in another process too.
SMALL = {
    "classifier": 'PRESETS["default"]',
    "gan": 'replace(PRESETS["pix2pix"], options={"channels": 8}, discriminator_options={"channels": 8})',
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures, sky above and meadow below, in a zip file."""
    path = tmp_path_factory.mktemp("data") / "meadows.zip"
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


def test_it_learns_and_leaves_what_it_promises(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = fastcolor.train(photographs, out=out, **{**OPTIONS, "steps": 40, "batch_size": 4})
    curve = losses(out)
    assert len(curve) == 40 and np.mean(curve[-10:]) < 0.8 * np.mean(curve[:5])
    entry = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert {"step", "loss", "cross_entropy", "learning_rate", "pictures_per_second", "wait_share"} <= set(entry)
    assert result.steps == 40 and result.metrics["loss"] > 0
    assert Image.open(out / "samples-000040.png").size == (4 * 64, 3 * 64)
    loaded = weights.load(result.weights)
    assert loaded.card["steps"] == "40" and loaded.model.kind == "classifier"
    assert fastcolor.colorize(np.full((40, 50), 90, np.uint8), weights=result.weights).size == (50, 40)


@pytest.mark.parametrize("kind", ["classifier", "gan"])
def test_killed_and_resumed_it_repeats_the_undisturbed_run_step_for_step(
    photographs: Path, tmp_path: Path, kind: str
) -> None:
    """SIGKILL while it runs, wherever that is: between steps, in the middle of one, or of writing a checkpoint."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    options = {**OPTIONS, "steps": 9, "checkpoint_every": 2, "workers": 1}
    recipe = eval(SMALL[kind])
    fastcolor.train(photographs, recipe, whole, **options)
    code = f"""
import fastcolor
from dataclasses import replace
from fastcolor.presets import PRESETS
fastcolor.train({str(photographs)!r}, {SMALL[kind]}, {str(broken)!r}, **{options!r})
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    while process.poll() is None and not ((broken / "log.jsonl").exists() and len(losses(broken)) >= 5):
        time.sleep(0.01)
    process.kill()
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert 5 <= len(losses(broken)) < 9 and not (broken / "weights.safetensors").exists()
    assert len(list(broken.glob("checkpoint-*"))) in (1, 2)
    fastcolor.train(photographs, recipe, broken, resume=True, **options)
    assert parts(broken) == parts(whole)
    a, b = (weights.load(out / "weights.safetensors").model.state_dict() for out in (whole, broken))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_request_to_stop_leaves_a_checkpoint(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code = (
        f"import fastcolor; fastcolor.train({str(photographs)!r}, out={str(out)!r}, **{ {**OPTIONS, 'steps': 500}!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    while process.poll() is None and not ((out / "log.jsonl").exists() and len(losses(out)) > 2):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert checkpoint_steps(out)[-1] == len(losses(out))


def test_presets_only_use_crops_that_the_network_takes() -> None:
    for preset in PRESETS.values():
        assert preset.stages[-1].until == 1.0
        for stage in preset.stages:
            assert stage.view.crop % models.build(preset.model, **preset.options).stride == 0


def test_bad_arguments(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for change, error, words in [
        ({"preset": "eccv"}, ValueError, "preset: must be one of default"),
        ({"steps": 0}, ValueError, "steps: must be at least 1, got 0"),
        ({"crop": 100}, ValueError, "crop: must be a multiple of 32 for default, got 100"),
        ({"device": "tpu9"}, ValueError, "device: must be"),
        ({"resume": True}, FileNotFoundError, "holds no run to go on with"),
        ({"data": tmp_path / "nothing"}, FileNotFoundError, "data: no such file or folder"),
    ]:
        arguments = {"data": photographs, "out": out, **OPTIONS, **change}
        with pytest.raises(error, match=words):
            fastcolor.train(**arguments)
    assert not out.exists()
    fastcolor.train(photographs, out=out, **{**OPTIONS, "steps": 1})
    with pytest.raises(FileExistsError, match="already holds a run; resume it or name another folder"):
        fastcolor.train(photographs, out=out, **OPTIONS)
    with pytest.raises(ValueError, match="resume: steps differ from the run"):
        fastcolor.train(photographs, out=out, resume=True, **OPTIONS)
    checkpoints.files(out)[-1].write_bytes(os.urandom(100))
    with pytest.raises(ValueError, match=r"resume: .*checkpoint-00000001\.safetensors is damaged"):
        fastcolor.train(photographs, out=out, resume=True, **{**OPTIONS, "steps": 1})


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    diverging = Optimiser(1e30, kind="adamw")
    recipe = replace(PRESETS["default"], stages=(replace(PRESETS["default"].stages[0], optimiser=diverging),), freeze=0)
    with pytest.raises(
        TrainingError, match=r"the loss became (nan|inf) at step \d; the last whole checkpoint is .*0001"
    ):
        fastcolor.train(photographs, recipe, out, **{**OPTIONS, "checkpoint_every": 1, "keep": 9})
    assert checkpoint_steps(out)[0] == 1 and len(losses(out)) == len(checkpoint_steps(out)) < 7
