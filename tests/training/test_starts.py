"""What a run begins from: an encoder of ImageNet, weights of an earlier run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from encoder_states import resnet18_state
from train_runs import OPTIONS, meadows

import fastcolor
from fastcolor import models
from fastcolor.models import weights
from fastcolor.palette import Palette
from fastcolor.training.presets import L1, PRESETS, Optimiser, Stage, View


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return meadows(tmp_path_factory.mktemp("data"))


def test_an_encoder_by_name_comes_from_the_cache_of_published_files(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, file = resnet18_state(), tmp_path / "home" / "weights" / "resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    torch.save(state, file)
    monkeypatch.setenv("FASTCOLOR_HOME", str(tmp_path / "home"))
    still = replace(PRESETS["resnet-unet"], stages=(Stage(1.0, 1, View(32, 0.6, 1.0), (L1(),), Optimiser(0.0)),))
    for name, encoder in (("name", "resnet18"), ("path", file)):
        result = fastcolor.train(photographs, still, tmp_path / name, steps=1, precision="fp32", encoder=encoder)
        trained = weights.load(result.weights).model.features.state_dict()
        for key in ("layer1.0.{}conv1.weight", "layer4.1.{}bn2.bias"):
            assert torch.equal(trained[key.format("body.")], state[key.format("")].half().float())
    for preset, encoder, error, words in [
        ("default", "resnet18", ValueError, "encoder: must be a file: resnet18 is that of resnet-unet, got resnet18"),
        ("eccv16", file, ValueError, "encoder: ECCV16 has no encoder to start from ImageNet weights"),
        ("resnet-unet", tmp_path / "none.pth", FileNotFoundError, "no such file: .*none.pth"),
        ("resnet-unet", photographs, ValueError, "meadows.zip is damaged"),
    ]:
        with pytest.raises(error, match=words):
            fastcolor.train(photographs, preset, tmp_path / "no", encoder=encoder, **OPTIONS)
    assert not (tmp_path / "no").exists()


def small_weights(path: Path, name: str = "default", **changes: object) -> Path:
    torch.manual_seed(1)
    model = models.build(name, bins=16)
    palette = Palette(torch.rand(16, 2, generator=torch.Generator().manual_seed(0)) * 60 - 30)
    facts = {"options": {"bins": 16}, "palette": palette, "temperature": 0.6, "saturation": 1.2, "size": 128, **changes}
    weights.save(path, model, name=name, **facts)
    return path


@pytest.mark.parametrize("name", ["default", "default-mobilenet"])
def test_a_run_goes_on_from_weights(photographs: Path, tmp_path: Path, name: str) -> None:
    """It starts where they are, keeps what the preset keeps, and gives weights that want to colour as they do."""
    start = small_weights(tmp_path / "start.safetensors", name)
    options = {**OPTIONS, "start": start}
    result = fastcolor.train(photographs, out=tmp_path / "run", **{**options, "steps": 3})
    before, after = weights.load(start), weights.load(result.weights)
    assert (after.name, after.options, after.palette.key) == (name, {"bins": 16}, before.palette.key)
    assert (after.temperature, after.saturation, after.size) == (0.6, 1.2, 128)
    assert after.card["preset"] == "fine-tune" and after.card["start"] == str(start)
    old, new = before.model.state_dict(), after.model.state_dict()
    changes = {key: float((new[key] - old[key]).abs().max()) for key in old if old[key].is_floating_point()}
    assert 0 < changes["head.weight"] < 0.01
    stem = next(key for key in old if old[key].dim() == 4)  # the first filters
    assert changes[stem] == 0
    again = fastcolor.train(photographs, out=tmp_path / "run", resume=True, **{**options, "steps": 3})
    assert again.steps == 3


def test_starts_that_cannot_be(photographs: Path, tmp_path: Path) -> None:
    start = small_weights(tmp_path / "start.safetensors")
    for change, words in [
        ({"preset": "fine-tune"}, "start: must be weights for the preset fine-tune, got None"),
        ({"start": start, "encoder": "x.pth"}, "encoder: must be left out with start, which brings its own, got x.pth"),
        (
            {"start": start, "palette": "p.json"},
            "palette: must be left out with start, which brings its own, got p.json",
        ),
        ({"start": start, "preset": "pix2pix"}, "start: must be weights of pix2pix, as the preset says, got default"),
        ({"start": "defaut"}, "weights: must be a file or one of default.*did you mean 'default'"),
    ]:
        with pytest.raises(ValueError, match=words):
            fastcolor.train(photographs, out=tmp_path / "run", **{**OPTIONS, **change})
    regressor = tmp_path / "regressor.safetensors"
    model = models.build("pix2pix", channels=8)
    weights.save(
        regressor, model, name="pix2pix", options={"channels": 8}, palette=None, temperature=1.0, size=64,
    )  # fmt: skip
    with pytest.raises(ValueError, match="start: must be weights of a classifier, or come with"):
        fastcolor.train(photographs, out=tmp_path / "run", start=regressor, **OPTIONS)
