"""The training loop: it learns, and leaves what it promises."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from train_runs import OPTIONS, checkpoint_steps, entries, losses, meadows, save_uniform, two_stages

import fastcolor
from fastcolor import models
from fastcolor.models import weights
from fastcolor.palette import Palette, class_weights, save_prior
from fastcolor.palette import prior as measure_prior
from fastcolor.training import checkpoints
from fastcolor.training.presets import L1, L2, PRESETS, START, Gan, Optimiser, Preset, Recognise, Stage, View


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return meadows(tmp_path_factory.mktemp("data"))


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
    assert fastcolor.colorize(np.full((40, 50), 90, np.uint8), weights=result.weights, engine="torch").size == (50, 40)


def test_pieces_of_a_batch_add_up_to_it(photographs: Path, tmp_path: Path) -> None:
    stage = Stage(1.0, 4, View(64, 0.6, 1.0), (L2(), Gan()), Optimiser(1e-4, epsilon=1e-2))
    preset = Preset("resnet-unet", 2, (stage,), discriminator_options={"spectral_norm": True, "channels": 8})
    for pieces in (1, 2):
        options = {"precision": "fp32", "workers": 0, "accumulate": pieces}
        fastcolor.train(photographs, preset, tmp_path / str(pieces), **options)
    whole, summed = entries(tmp_path / "1"), entries(tmp_path / "2")
    for key in ("loss", "l2", "gan", "discriminator"):
        assert [e[key] for e in whole] == pytest.approx([e[key] for e in summed], rel=1e-4)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_what_single_does(photographs: Path, tmp_path: Path, precision: str) -> None:
    preset = two_stages()
    for name in (precision, "fp32"):
        fastcolor.train(photographs, preset, tmp_path / name, precision=name, workers=0, checkpoint_every=3)
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
    save_prior(tmp_path / "flat.safetensors", torch.full((32,), 1 / 32), colours)
    with pytest.raises(ValueError, match=r"prior: must be the one that the run in .*run began with, got .*flat"):
        fastcolor.train(
            photographs, out=tmp_path / "run", resume=True, **{**options, "prior": tmp_path / "flat.safetensors"}
        )


def test_tensorboard_gets_the_curves(photographs: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    fastcolor.train(photographs, out=out, tensorboard=True, **OPTIONS)
    events = EventAccumulator(str(out / "tensorboard")).Reload().Scalars("loss")
    assert [e.step for e in events] == list(range(1, 8)) and [e.value for e in events] == pytest.approx(losses(out))


def test_a_stages_trunk_and_hints_reach_the_network(photographs: Path, tmp_path: Path) -> None:
    """Distances alone, and shared layers that learn from classes: nothing moves them. Hints show in the loss."""
    stage = Stage(1.0, 2, View(32, 0.6, 1.0), (L1(),), Optimiser(1e-3), trunk="classes")
    for name, one in (("plain", stage), ("hinted", replace(stage, hints="patches"))):
        preset = Preset("siggraph17", 1, (one,))
        fastcolor.train(photographs, preset, tmp_path / name, precision="fp32", workers=0)
    after = checkpoints.load(checkpoints.files(tmp_path / "plain")[-1]).tensors
    torch.manual_seed(0)  # as the run begins
    for key, before in models.build("siggraph17").named_parameters():
        own = key.startswith(("model9", "model10", "model2short9", "model1short10", "model_out"))
        assert torch.equal(after[f"model/{key}"], before) != own, key
    assert losses(tmp_path / "plain") != losses(tmp_path / "hinted")


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.model != START])
def test_every_preset_learns_with_one_line(photographs: Path, tmp_path: Path, name: str) -> None:
    """A few steps of the published networks at their smallest: every part of the loss is logged, and each that does not
    depend on a discriminator falls. Classes weigh alike, or the colours that a batch happens to hold would decide."""
    options = {"batch_size": 4, "crop": 96 if name == "cgan-attention" else 32}  # what its discriminator takes
    if PRESETS[name].needs_prior:
        options["prior"] = save_uniform(tmp_path)
    steps = 10 if name == "siggraph17" else 6  # it has classes to learn in its first half
    result = fastcolor.train(photographs, name, tmp_path / "run", steps=steps, precision="fp32", **options)
    log = entries(tmp_path / "run")
    for step, entry in enumerate(log):
        terms = PRESETS[name].stages[0 if step < steps // 2 else -1].losses
        terms = [term for term in terms if not isinstance(term, Recognise)]  # which wants an encoder's weights
        assert {term.name for term in terms} <= set(entry) and all(np.isfinite(value) for value in entry.values())
        total = sum(term.weight * entry[term.name] for term in terms)
        assert entry["loss"] == pytest.approx(total, rel=1e-4)
    for term in {"cross_entropy", "l1"} & set(log[0]):
        first, last = (np.mean([entry[term] for entry in part]) for part in (log[:2], log[-3:]))
        assert last < 0.95 * first, term
    assert set(result.metrics) >= {"loss", "pictures_per_second", "wait_share"}
    assert next((tmp_path / "run").glob("samples-*")).stat().st_size > 1000
    assert fastcolor.colorize(np.full((40, 50), 90, np.uint8), weights=result.weights, engine="torch").size == (50, 40)


def test_a_shift_moves_classes_by_their_rarity_and_nothing_else(photographs: Path, tmp_path: Path) -> None:
    plain = replace(PRESETS["default"], shift=0.0)
    options = {**OPTIONS, "steps": 3, "crop": 64, "prior": save_uniform(tmp_path)}
    found = []
    for name, preset in (("plain", plain), ("shifted", replace(plain, shift=-0.25))):
        result = fastcolor.train(photographs, preset, tmp_path / name, **options)
        found.append(weights.load(result.weights).model.state_dict())
    difference = found[1]["head.bias"] - found[0]["head.bias"]
    p = torch.full((313,), 0.5 / 312, dtype=torch.float64)
    p[120] = 0.5
    expected = -0.25 * class_weights(p, "rebalance", 0.5, 1.0).log().float()
    assert torch.allclose(difference, expected, atol=2e-3) and float(difference[120]) > 0.3
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0] if key != "head.bias")
