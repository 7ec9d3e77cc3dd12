"""The training loop: it learns, it can be killed at any moment, and it says what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fastcolor
from fastcolor import weights
from fastcolor.data import View
from fastcolor.train import PRESETS, TrainingError

OPTIONS = {"steps": 7, "batch_size": 2, "crop": 64, "precision": "fp32", "workers": 0}


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


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


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


def test_killed_and_resumed_it_repeats_the_undisturbed_run_step_for_step(photographs: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    options = {**OPTIONS, "checkpoint_every": 2}
    fastcolor.train(photographs, out=whole, **options)
    code = f"""
import os, sys, fastcolor.train
loop = sys.modules["fastcolor.train"]
save, count = loop._save_checkpoint, 0
def save_and_die(*arguments):
    global count
    count += 1
    if count == 3:  # in step 6, one step of log ahead of the checkpoint of step 4
        os.kill(os.getpid(), {int(signal.SIGKILL)})
    save(*arguments)
loop._save_checkpoint = save_and_die
fastcolor.train({str(photographs)!r}, out={str(broken)!r}, **{options!r})
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert len(losses(broken)) == 6 and not (broken / "weights.safetensors").exists()
    fastcolor.train(photographs, out=broken, resume=True, **options)
    assert losses(broken) == losses(whole)
    a, b = (weights.load(out / "weights.safetensors").model.state_dict() for out in (whole, broken))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_request_to_stop_leaves_a_checkpoint(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code = (
        f"import fastcolor; fastcolor.train({str(photographs)!r}, out={str(out)!r}, **{ {**OPTIONS, 'steps': 500}!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    while process.poll() is None and not ((out / "log.jsonl").exists() and len(losses(out)) > 2):
        pass
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert torch.load(out / "checkpoint.pt", weights_only=True)["step"] == len(losses(out))


def test_presets_only_use_crops_that_the_network_takes() -> None:
    for preset in PRESETS.values():
        assert preset.stages[-1].until == 1.0
        for stage in preset.stages:
            assert stage.view.crop % 32 == 0 and isinstance(stage.view, View)


def test_bad_arguments(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for change, error, words in [
        ({"preset": "eccv"}, ValueError, "preset: must be one of default"),
        ({"steps": 0}, ValueError, "steps: must be at least 1, got 0"),
        ({"crop": 100}, ValueError, "crop: must be a multiple of 32, got 100"),
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
    (out / "checkpoint.pt").write_bytes(os.urandom(100))
    with pytest.raises(ValueError, match=r"resume: .*checkpoint\.pt is damaged"):
        fastcolor.train(photographs, out=out, resume=True, **{**OPTIONS, "steps": 1})


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = {**OPTIONS, "steps": 4, "checkpoint_every": 2}
    fastcolor.train(photographs, out=out, **options)
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    state["step"] = 2
    state["model"]["head.bias"].fill_(float("nan"))
    torch.save(state, out / "checkpoint.pt")
    with pytest.raises(TrainingError, match="the loss became nan at step 3"):
        fastcolor.train(photographs, out=out, resume=True, **options)
    assert torch.load(out / "checkpoint.pt", weights_only=True)["step"] == 2
