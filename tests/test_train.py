"""The training loop: it learns, it can be killed at any moment, and it says what is wrong."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
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
from fastcolor import models, ops, weights
from fastcolor.data import View
from fastcolor.palette import Palette
from fastcolor.palette import prior as measure_prior
from fastcolor.presets import L1, L2, PRESETS, FeatureMatching, Gan, Optimiser, Preset, Stage
from fastcolor.survey import save_prior
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


def two_stages(**changes: object) -> Preset:
    """Small and adversarial: distances first, then with a discriminator."""
    view = View(64, 0.6, 1.0)
    first = Stage(0.5, 2, view, (L1(),), Optimiser(1e-3))
    second = Stage(1.0, 2, view, (Gan(kind="hinge"), L1(10.0), FeatureMatching()), Optimiser(1e-3, betas=(0.5, 0.999)))
    recipe = Preset(
        "pix2pix", 6, (first, second), options={"channels": 8}, discriminator_options={"channels": 8}, ema=0.9
    )
    return replace(recipe, **changes)


def test_a_run_goes_on_exactly_from_every_checkpoint_of_two_stages(photographs: Path, tmp_path: Path) -> None:
    """Also where the second stage, with its fresh discriminator and optimiser, has just begun."""
    whole, recipe = tmp_path / "whole", two_stages()
    options = {**OPTIONS, "steps": 6, "checkpoint_every": 1, "keep": 9}
    fastcolor.train(photographs, recipe, whole, **options)
    names = [set(entry) for entry in entries(whole)]
    assert "discriminator" not in names[2] and {"l1", "gan", "discriminator", "feature_matching"} <= names[3]
    assert checkpoint_steps(whole) == [1, 2, 3, 4, 5, 6]
    for step in (2, 3, 4):
        again = tmp_path / f"from-{step}"
        shutil.copytree(whole, again)
        for path in checkpoints.files(again)[step:]:
            path.unlink()
        fastcolor.train(photographs, recipe, again, resume=True, **options)
        assert parts(again) == parts(whole)
        a, b = (checkpoints.load(checkpoints.files(out)[-1]).tensors for out in (whole, again))
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_full_disk_is_said_and_nothing_is_lost(photographs: Path, tmp_path: Path) -> None:
    """From the first checkpoint on, the run may write files of 1 MB at most."""
    out = tmp_path / "run"
    options = {**OPTIONS, "steps": 400, "checkpoint_every": 3}
    code = f"import fastcolor; fastcolor.train({str(photographs)!r}, out={str(out)!r}, **{options!r})"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not checkpoints.files(out):
        time.sleep(0.005)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    said = process.communicate(timeout=120)[1].strip().splitlines()[-1]
    step = checkpoint_steps(out)[-1]
    assert process.returncode == 1
    assert "TrainingError: " in said and "cannot be written (" in said and "File too large" in said
    assert f"the last whole checkpoint is {checkpoints.files(out)[-1]}" in said and step < 400
    assert not list(out.glob(".*"))
    with pytest.raises(ValueError, match="resume: steps differ"):
        fastcolor.train(photographs, out=out, resume=True, **{**options, "steps": step + 1})


def test_bad_pictures_are_named_once_or_stop_the_run(
    photographs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "pictures"
    with zipfile.ZipFile(photographs) as archive:
        archive.extractall(folder)
    (folder / "bad.png").write_bytes(b"no picture")
    options = {**OPTIONS, "steps": 12}  # every picture comes twice
    assert fastcolor.train(folder, out=tmp_path / "skip", **options).steps == 12
    assert caplog.messages == [f"skipped {folder}/bad.png: not a readable picture (no known format)"]
    with pytest.raises(TrainingError, match=r"step \d: .*bad\.png: not a readable picture.*last whole checkpoint is"):
        fastcolor.train(folder, out=tmp_path / "stop", on_bad_picture="stop", checkpoint_every=1, **options)
    assert checkpoint_steps(tmp_path / "stop")[-1] == len(losses(tmp_path / "stop"))
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="eight pictures in a row cannot be read"):
        fastcolor.train(folder, out=tmp_path / "none", **{**options, "workers": 1}, prior=save_uniform(tmp_path))


def save_uniform(folder: Path) -> Path:
    """A prior that peaks at gray."""
    p = torch.full((313,), 0.5 / 312, dtype=torch.float64)
    p[120] = 0.5
    save_prior(folder / "prior.npy", p, Palette.grid())
    return folder / "prior.npy"


def test_it_warns_when_the_colours_go_gray(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of every lightness there are as many red as green pictures: the mean that an L2 loss wants is gray."""
    data = tmp_path / "pictures"
    data.mkdir()
    for i in range(8):
        lab = 50 + 9 * torch.randn(1, 3, 160, 160)
        lab[:, 1], lab[:, 2] = (24.0, 12.0) if i % 2 else (-24.0, -12.0)
        Image.fromarray(ops.lab_to_rgb(lab, layout="hwc")[0].numpy()).save(data / f"{i}.png")
    stage = Stage(1.0, 8, View(32, 0.2, 0.4), (L2(),), Optimiser(2e-3))
    recipe = Preset("pix2pix", 152, (stage,), options={"channels": 4, "dropout": 0.0})
    fastcolor.train(data, recipe, tmp_path / "run", precision="fp32", workers=0)
    (said,) = caplog.messages
    assert re.fullmatch(r"step 151: the colours are going gray, at \d % of the pictures' chroma; .*", said)
    ratios = [entry["chroma_ratio"] for entry in entries(tmp_path / "run") if "chroma_ratio" in entry]
    assert len(ratios) == 4 and ratios[0] > 0.1 and max(ratios[1:]) < 0.1


def test_pieces_of_a_batch_add_up_to_it(photographs: Path, tmp_path: Path) -> None:
    stage = Stage(1.0, 4, View(64, 0.6, 1.0), (L2(), Gan()), Optimiser(1e-4, epsilon=1e-2))
    recipe = Preset("resnet-unet", 2, (stage,), discriminator_options={"spectral_norm": True, "channels": 8})
    for pieces in (1, 2):
        options = {"precision": "fp32", "workers": 0, "accumulate": pieces}
        fastcolor.train(photographs, recipe, tmp_path / str(pieces), **options)
    whole, summed = entries(tmp_path / "1"), entries(tmp_path / "2")
    for key in ("loss", "l2", "gan", "discriminator"):
        assert [e[key] for e in whole] == pytest.approx([e[key] for e in summed], rel=1e-4)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_what_single_does(photographs: Path, tmp_path: Path, precision: str) -> None:
    recipe = two_stages()
    for name in (precision, "fp32"):
        fastcolor.train(photographs, recipe, tmp_path / name, precision=name, workers=0, checkpoint_every=3)
    half, single = losses(tmp_path / precision), losses(tmp_path / "fp32")
    assert half != single and half[:3] == pytest.approx(single[:3], rel=0.1)
    assert all(np.isfinite(half))
    facts = checkpoints.load(checkpoints.files(tmp_path / precision)[-1]).facts
    assert bool(facts["scaler"]) == (precision == "fp16")


def test_sheets_and_the_last_checkpoints(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    fastcolor.train(photographs, out=out, checkpoint_every=2, keep=3, sheet_every=3, **OPTIONS)
    assert sorted(p.name for p in out.glob("samples-*")) == [f"samples-00000{i}.png" for i in (3, 6, 7)]
    assert checkpoint_steps(out) == [4, 6, 7]


def test_palette_and_prior_of_ones_own(photographs: Path, tmp_path: Path) -> None:
    colours = Palette.kmeans(photographs, 32)
    colours.save(tmp_path / "p.safetensors")
    save_prior(tmp_path / "prior.safetensors", measure_prior(photographs, colours), colours)
    options = {**OPTIONS, "palette": tmp_path / "p.safetensors", "prior": tmp_path / "prior.safetensors"}
    result = fastcolor.train(photographs, out=tmp_path / "run", **options)
    assert weights.load(result.weights).palette == colours and weights.load(result.weights).options == {"bins": 32}
    with pytest.raises(ValueError, match="is over another palette of 32 bins"):
        fastcolor.train(photographs, out=tmp_path / "other", **{**options, "palette": None})
    with pytest.raises(ValueError, match="prior: must be left out: no loss of pix2pix weighs colours"):
        fastcolor.train(photographs, two_stages(), tmp_path / "other", prior=tmp_path / "prior.safetensors")
    with pytest.raises(ValueError, match="palette: must be left out: pix2pix has no classes"):
        fastcolor.train(photographs, two_stages(), tmp_path / "other", palette=colours)
    assert not (tmp_path / "other").exists()


def test_tensorboard_gets_the_curves(photographs: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    fastcolor.train(photographs, out=out, tensorboard=True, **OPTIONS)
    events = EventAccumulator(str(out / "tensorboard")).Reload().Scalars("loss")
    assert [e.step for e in events] == list(range(1, 8)) and [e.value for e in events] == pytest.approx(losses(out))


def test_without_tensorboard_it_says_what_to_install_and_begins_nothing(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("tensorboard", "torch.utils.tensorboard"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # what an import of a missing package meets
    with pytest.raises(
        ImportError, match=r'tensorboard: the package is missing; pip install "fastcolor\[tensorboard\]"'
    ):
        fastcolor.train(photographs, out=tmp_path / "run", tensorboard=True, **OPTIONS)
    assert not (tmp_path / "run").exists()


def test_schedules() -> None:
    flat_then_line = Optimiser(1.0, schedule="linear", marks=(0.5,))
    assert [flat_then_line.factor_at(at, 8) for at in range(8)] == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    steps = Optimiser(1.0, schedule="step", factor=0.1, marks=(0.5, 0.75))
    assert [steps.factor_at(at, 4) for at in range(4)] == pytest.approx([1, 1, 0.1, 0.01])
    cosine = Optimiser(1.0, schedule="cosine", warmup=10)
    rates = [cosine.factor_at(at, 1000) for at in range(1000)]
    assert rates[0] == pytest.approx(0.1, rel=1e-3) and rates[9] > 0.99 and rates[500] == pytest.approx(0.5025)
    assert rates[-1] == pytest.approx(0.005, rel=1e-2) and rates[9:] == sorted(rates[9:], reverse=True)
    eccv16 = PRESETS["eccv16"]
    for step, rate in ((214_999, 1.0), (215_000, 0.316), (429_999, 0.316), (430_000, 0.316**2)):
        assert eccv16.stages[0].optimiser.factor_at(step, eccv16.steps) == pytest.approx(rate)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_trains_with_one_line(photographs: Path, tmp_path: Path, name: str) -> None:
    """Two steps of the published networks at their smallest: every part of the loss is logged and finite."""
    result = fastcolor.train(photographs, name, tmp_path / "run", steps=2, batch_size=2, crop=96, precision="fp32")
    log = entries(tmp_path / "run")
    for step, entry in enumerate(log):
        terms = PRESETS[name].stages[0 if step == 0 else -1].losses
        assert {term.name for term in terms} <= set(entry) and all(np.isfinite(value) for value in entry.values())
        total = sum(term.weight * entry[term.name] for term in terms)
        assert entry["loss"] == pytest.approx(total, rel=1e-4)
    assert set(result.metrics) >= {"loss", "pictures_per_second", "wait_share"}
    assert next((tmp_path / "run").glob("samples-*")).stat().st_size > 1000
    assert fastcolor.colorize(np.full((40, 50), 90, np.uint8), weights=result.weights).size == (50, 40)
