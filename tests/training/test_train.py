"""The training loop: it learns, and it says what is wrong."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import signal
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_states import resnet18_state
from PIL import Image
from torch import Tensor
from train_runs import OPTIONS, checkpoint_steps, entries, losses, meadows, two_stages

import fastcolor
from fastcolor import models, ops
from fastcolor.data import Item
from fastcolor.models import weights
from fastcolor.palette import Palette, class_weights, save_prior
from fastcolor.palette import prior as measure_prior
from fastcolor.training import checkpoints, crops
from fastcolor.training.checkpoints import TrainingError
from fastcolor.training.presets import L1, L2, PRESETS, START, Gan, Optimiser, Preset, Stage, View


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


def test_presets_only_use_crops_that_the_network_takes() -> None:
    for preset in PRESETS.values():
        assert preset.stages[-1].until == 1.0
        for stage in preset.stages:
            name = "default" if preset.model == START else preset.model
            assert stage.view.crop % models.build(name, **preset.options).stride == 0


def test_bad_arguments(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for change, error, words in [
        ({"preset": "eccv"}, ValueError, "preset: must be one of default"),
        ({"steps": 0}, ValueError, "steps: must be at least 1, got 0"),
        ({"crop": 100}, ValueError, "crop: must be a multiple of 32 for default, got 100"),
        (
            {"preset": "pix2pix", "batch_size": 1},
            ValueError,
            "batch_size: must be at least 2 for pix2pix at a crop of 64",
        ),
        (
            {"crop": 32, "accumulate": 2},
            ValueError,
            "batch_size: must be at least 4 for default at a crop of 32, got 2",
        ),
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
    with pytest.raises(ValueError, match="resume: seed differ from the run"):
        fastcolor.train(photographs, out=out, resume=True, seed=1, **{**OPTIONS, "steps": 1})
    checkpoints.files(out)[-1].write_bytes(os.urandom(100))
    with pytest.raises(ValueError, match=r"resume: .*checkpoint-00000001\.safetensors is damaged"):
        fastcolor.train(photographs, out=out, resume=True, **{**OPTIONS, "steps": 1})


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    diverging = Optimiser(1e30, kind="adamw")
    preset = replace(PRESETS["default"], stages=(replace(PRESETS["default"].stages[0], optimiser=diverging),), freeze=0)
    with pytest.raises(
        TrainingError, match=r"the loss became (nan|inf) at step \d; the last whole checkpoint is .*0001"
    ):
        fastcolor.train(photographs, preset, out, **{**OPTIONS, "checkpoint_every": 1, "keep": 9})
    assert checkpoint_steps(out)[0] == 1 and len(losses(out)) == len(checkpoint_steps(out)) < 7


def test_a_loss_that_is_not_finite_is_skipped_if_so_configured(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The third batch comes with a colour that is no number."""
    convert, calls = ops.rgb_to_lab, []

    def spoilt(rgb: Tensor, **options: object) -> Tensor:
        lab = convert(rgb, **options)
        if "layout" in options:  # a batch
            calls.append(None)
        if len(calls) == 3:
            lab[0, 1, 0, 0] = torch.nan
        return lab

    monkeypatch.setattr(ops, "rgb_to_lab", spoilt)
    options = {**OPTIONS, "prior": save_uniform(tmp_path), "on_bad_loss": "skip"}
    result = fastcolor.train(photographs, out=tmp_path / "run", **options)
    assert caplog.messages == ["the loss became nan at step 3, which is not followed"]
    found = losses(tmp_path / "run")
    assert found[2] is None and all(math.isfinite(value) for i, value in enumerate(found) if i != 2)
    assert "NaN" not in (tmp_path / "run" / "log.jsonl").read_text()
    assert result.steps == 7 and math.isfinite(result.metrics["loss"])
    assert all(torch.isfinite(value).all() for value in weights.load(result.weights).model.state_dict().values())


def test_losses_that_stay_infinite_stop_the_run_in_any_case(photographs: Path, tmp_path: Path) -> None:
    diverging = replace(PRESETS["default"].stages[0], optimiser=Optimiser(1e30, kind="adamw"))
    preset = replace(PRESETS["default"], stages=(diverging,), freeze=0)
    options = {**OPTIONS, "steps": 30, "checkpoint_every": 1, "on_bad_loss": "skip"}
    with pytest.raises(TrainingError, match=r"the loss became (nan|inf) at step 1\d, the 10th time in a row; the last"):
        fastcolor.train(photographs, preset, tmp_path / "run", **options)
    assert 10 <= len(losses(tmp_path / "run")) < 20


def test_bad_pictures_are_named_once_or_stop_the_run(
    photographs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "pictures"
    with zipfile.ZipFile(photographs) as archive:
        archive.extractall(folder)
    (folder / "bad.png").write_bytes(b"no picture")
    options = {**OPTIONS, "crop": 32, "steps": 12}  # every picture comes twice
    (folder / "worse.jpg").write_bytes(b"")
    result = fastcolor.train(folder, out=tmp_path / "skip", **options)
    assert (result.steps, result.skipped) == (12, 2)
    assert sorted(caplog.messages) == [
        f"skipped {folder}/bad.png: not a readable picture (is not a picture in a known format)",
        f"skipped {folder}/worse.jpg: not a readable picture (is empty)",
    ]
    (folder / "worse.jpg").unlink()
    with pytest.raises(TrainingError, match=r"step \d: .*bad\.png: not a readable picture.*last whole checkpoint is"):
        fastcolor.train(folder, out=tmp_path / "stop", on_bad_picture="stop", checkpoint_every=1, **options)
    assert checkpoint_steps(tmp_path / "stop")[-1] == len(losses(tmp_path / "stop"))
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"^data: eight pictures in a row cannot be read, the last .*\(is empty\)$"):
        fastcolor.train(folder, out=tmp_path / "none", **{**options, "workers": 1}, prior=save_uniform(tmp_path))


def test_a_reader_that_is_killed_is_said_with_the_checkpoint_to_go_on_from(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for want of memory: from its eightieth picture on, which is some steps ahead of the training."""
    decode, count = crops.decode, itertools.count()

    def decode_or_die(item: Item) -> Image.Image:
        if next(count) == 80:
            os.kill(os.getpid(), signal.SIGKILL)
        return decode(item)

    monkeypatch.setattr(crops, "decode", decode_or_die)
    options = {**OPTIONS, "crop": 32, "steps": 60, "workers": 1, "checkpoint_every": 1}
    with pytest.raises(
        TrainingError, match=r"^a process that reads pictures was ended \(.*Killed\); the last whole checkpoint is \S+$"
    ):
        fastcolor.train(photographs, out=tmp_path / "run", **options, prior=save_uniform(tmp_path))


@pytest.mark.parametrize(("gray", "said"), [(8, []), (12, ["60 % of the pictures are gray (no |a| or |b| above 5)"])])
def test_it_warns_once_when_most_pictures_are_gray(
    photographs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, gray: int, said: list[str]
) -> None:
    folder = tmp_path / "pictures"
    with zipfile.ZipFile(photographs) as archive:
        archive.extractall(folder)
    for i in range(gray):
        Image.fromarray(np.full((70, 90), 20 * i, np.uint8)).save(folder / f"gray{i}.png")
    steps = 3 * (8 + gray) // 4  # every picture comes three times, and all have come once after a whole step
    fastcolor.train(folder, out=tmp_path / "run", **{**OPTIONS, "crop": 32, "batch_size": 4, "steps": steps})
    assert [message.split(",")[0] for message in caplog.messages] == said


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
    preset = Preset("pix2pix", 152, (stage,), options={"channels": 4, "dropout": 0.0})
    fastcolor.train(data, preset, tmp_path / "run", precision="fp32", workers=0)
    (said,) = caplog.messages
    assert re.fullmatch(r"step 151: the colours are going gray, at \d % of the pictures' chroma; .*", said)
    ratios = [entry["chroma_ratio"] for entry in entries(tmp_path / "run") if "chroma_ratio" in entry]
    assert len(ratios) == 4 and ratios[0] > 0.1 and max(ratios[1:]) < 0.1


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


@pytest.mark.parametrize(
    ("name", "step", "rate"),
    [
        ("eccv16", 214_999, 3.16e-5),
        ("eccv16", 215_000, 3.16e-5 * 0.316),
        ("eccv16", 430_000, 3.16e-5 * 0.316**2),
        ("siggraph17", 768_499, 1e-4),  # 15 epochs of ImageNet's 1.28 M pictures by 25
        ("siggraph17", 768_500, 1e-5),
        ("siggraph17", 768_500 + 512_000, 1e-5),  # ten more
        ("siggraph17", 768_500 + 513_000, 1e-6),
        ("pix2pix", 100_000, 2e-4),
        ("pix2pix", 150_000, 1e-4),
        ("resnet-unet", 9_999, 1e-4),
        ("resnet-unet", 10_000, 2e-4),
    ],
)
def test_published_learning_rates(name: str, step: int, rate: float) -> None:
    preset = PRESETS[name]
    (first, end), optimiser = preset.phase(step), preset.stage(step).optimiser
    assert optimiser.learning_rate * optimiser.factor_at(step - first, end - first) == pytest.approx(rate)


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
        assert {term.name for term in terms} <= set(entry) and all(np.isfinite(value) for value in entry.values())
        total = sum(term.weight * entry[term.name] for term in terms)
        assert entry["loss"] == pytest.approx(total, rel=1e-4)
    for term in {"cross_entropy", "l1"} & set(log[0]):
        first, last = (np.mean([entry[term] for entry in part]) for part in (log[:2], log[-3:]))
        assert last < 0.95 * first, term
    assert set(result.metrics) >= {"loss", "pictures_per_second", "wait_share"}
    assert next((tmp_path / "run").glob("samples-*")).stat().st_size > 1000
    assert fastcolor.colorize(np.full((40, 50), 90, np.uint8), weights=result.weights, engine="torch").size == (50, 40)


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
