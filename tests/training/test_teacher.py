"""A trunk that is told what pictures show, by a classifier that sees their colours."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from train_runs import entries, meadows

import fastcolor
from fastcolor import models, ops
from fastcolor.data import find
from fastcolor.models import weights
from fastcolor.models.efficientnet import EfficientNetLite0Classifier
from fastcolor.training import checkpoints
from fastcolor.training.crops import Crops
from fastcolor.training.presets import CrossEntropy, Optimiser, Preset, Recognise, Stage, View
from fastcolor.training.teacher import Teacher

VIEW = View(64, 0.6, 1.0)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return meadows(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def classifier() -> EfficientNetLite0Classifier:
    """Of random weights, which tell pictures apart."""
    torch.manual_seed(0)
    network = EfficientNetLite0Classifier(classes=7).eval()
    for module in network.modules():
        if isinstance(
            module, nn.BatchNorm2d
        ):  # its own statistics would damp what it sees to nothing, smaller ones make it chaotic
            module.running_var.fill_(0.25)
    network.classifier.weight.data *= 30
    return network


@pytest.fixture(scope="module")
def encoder(classifier: EfficientNetLite0Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "lite0.pth"
    names = {key: key.removeprefix("trunk.").removeprefix("stem.") for key in classifier.state_dict()}
    torch.save({names[key]: value for key, value in classifier.state_dict().items()}, path)
    return path


def taught(weight: float, *, steps: int = 1, rate: float = 0.0) -> Preset:
    stage = Stage(1.0, 4, VIEW, (CrossEntropy(), Recognise(weight, size=96)), Optimiser(rate))
    return Preset("default", steps, (stage,), keep_statistics=True, encoder="encoder.")


def run(photographs: Path, out: Path, preset: Preset, **options: object) -> list[dict[str, float]]:
    fastcolor.train(photographs, preset, out, precision="fp32", workers=0, keep=9, **options)
    return entries(out)


def test_its_loss_is_the_divergence_of_what_gray_and_colours_show(
    photographs: Path, encoder: Path, classifier: EfficientNetLite0Classifier, tmp_path: Path
) -> None:
    """Against the definition, of the run's own first crops; in pieces as at once."""
    (entry,) = run(photographs, tmp_path / "run", taught(0.5), encoder=encoder)
    held = checkpoints.load(checkpoints.files(tmp_path / "run")[-1]).tensors
    crops = Crops(find(photographs), seed=0)
    rgb = torch.stack([crops[i, VIEW][0] for i in range(4)])
    torch.manual_seed(0)
    generator = models.build("default")
    generator.load_imagenet(torch.load(encoder, weights_only=True))
    for block in generator.encoder_blocks:
        block.eval()
    with torch.no_grad():
        _, scene = generator(ops.rgb_to_lab(rgb, layout="hwc")[:, :1], scene=True)
        gray = F.linear(scene.flatten(1), held["answer/weight"], held["answer/bias"]).log_softmax(1)
        large = F.interpolate((rgb.movedim(3, 1).float() - 127) / 128, 96, mode="bilinear", align_corners=False)
        colour = classifier(large).log_softmax(1)
    expected = float((colour.exp() * (colour - gray)).sum(1).mean())
    assert expected > 0.01
    assert entry["recognise"] == pytest.approx(expected, rel=1e-4)
    assert entry["loss"] == pytest.approx(entry["cross_entropy"] + 0.5 * entry["recognise"], rel=1e-5)


def test_the_trunk_learns_to_see_in_gray_what_the_colours_show(
    photographs: Path, encoder: Path, tmp_path: Path
) -> None:
    """The answers and the trunk; a run that is gone on with learns what an undisturbed one does."""
    told = run(photographs, tmp_path / "told", taught(20.0, steps=12, rate=1e-3), encoder=encoder, checkpoint_every=6)
    untold = run(photographs, tmp_path / "untold", taught(0.0, steps=12, rate=1e-3), encoder=encoder)
    assert told[0]["recognise"] == pytest.approx(untold[0]["recognise"], rel=1e-4)
    last = [sum(entry["recognise"] for entry in of[-4:]) for of in (told, untold)]
    assert last[0] < 0.6 * last[1]
    for path in (tmp_path / "told" / "weights.safetensors", checkpoints.files(tmp_path / "told")[-1]):
        path.unlink()
    again = run(
        photographs, tmp_path / "told", taught(20.0, steps=12, rate=1e-3), encoder=encoder, checkpoint_every=6,
        resume=True,
    )  # fmt: skip
    assert [entry["recognise"] for entry in again] == [entry["recognise"] for entry in told]
    state = torch.load(encoder, weights_only=True)
    torch.save({**state, "classifier.weight": -state["classifier.weight"]}, tmp_path / "other.pth")
    preset = taught(20.0, steps=12, rate=1e-3)
    with pytest.raises(ValueError, match="encoder: must hold the classifier that the run began with"):
        run(photographs, tmp_path / "told", preset, encoder=tmp_path / "other.pth", resume=True)
    with pytest.raises(ValueError, match=r"encoder: must hold its classifier, as where the run in .* got None"):
        run(photographs, tmp_path / "told", preset, resume=True)
    with pytest.raises(ValueError, match="resume: seed differ from the run"):
        run(photographs, tmp_path / "told", preset, encoder=encoder, resume=True, seed=5)
    written = weights.load(tmp_path / "told" / "weights.safetensors").model.state_dict()
    assert written.keys() == models.build("default").state_dict().keys()  # the answers stay behind


def test_without_a_classifier_nobody_tells(photographs: Path, encoder: Path, tmp_path: Path) -> None:
    state: dict[str, Tensor] = torch.load(encoder, weights_only=True)
    torch.save({k: v for k, v in state.items() if not k.startswith(("classifier", "conv_head", "bn2"))}, tmp_path / "t")
    for name, given in (("trunk", {"encoder": tmp_path / "t"}), ("nothing", {})):
        (entry,) = run(photographs, tmp_path / name, taught(0.5), **given)
        assert "recognise" not in entry and entry["loss"] == entry["cross_entropy"]
        settings = json.loads((tmp_path / name / "run.json").read_text())
        assert "Recognise" not in str(settings) and "recognise" not in str(settings)
        with pytest.raises(ValueError, match="encoder: must hold no classifier, or be left out"):
            run(photographs, tmp_path / name, taught(0.5), encoder=encoder, resume=True)


def test_only_a_network_with_such_a_trunk_can_be_told(photographs: Path, encoder: Path, tmp_path: Path) -> None:
    preset = replace(taught(1.0), model="eccv16")
    with pytest.raises(ValueError, match=r"losses: must have Recognise only .*EfficientNet-Lite0.*, got eccv16"):
        fastcolor.train(photographs, preset, tmp_path / "run")
    stage = replace(taught(1.0).stages[0], hints="told")
    with pytest.raises(ValueError, match="losses: must have Recognise only in stages whose hints are not told, got de"):
        fastcolor.train(photographs, replace(taught(1.0), stages=(stage,)), tmp_path / "run", encoder=encoder)
    assert not (tmp_path / "run").exists()


def test_small_pictures_are_enlarged_and_large_ones_are_not(classifier: EfficientNetLite0Classifier) -> None:
    teacher, seen = Teacher(classifier, torch.device("cpu")), []
    hook = classifier.trunk.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[2]))
    for side in (32, 96, 128):
        teacher(torch.zeros(1, side, side, 3, dtype=torch.uint8), 96)
    hook.remove()
    assert seen == [96, 96, 128]
