"""What goes wrong in a run, or looks as if it might, is said: arguments, pictures, losses, colours."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import os
import re
import signal
import sys
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from train_runs import OPTIONS, checkpoint_steps, entries, losses, meadows, save_uniform

import fastcolor
from fastcolor import ops
from fastcolor.data import Item, find
from fastcolor.models import weights
from fastcolor.training import checkpoints, crops
from fastcolor.training.checkpoints import TrainingError
from fastcolor.training.presets import L2, PRESETS, Optimiser, Preset, Stage, View


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return meadows(tmp_path_factory.mktemp("data"))


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


def test_the_signal_that_killed_a_reader_is_told_where_torch_says_only_that_it_exited(photographs: Path) -> None:
    """As while the main process waits for pictures (torch 2.13, `_try_get_data` of torch/utils/data/dataloader.py)."""
    view = View(32, 0.2, 0.4)
    feed = crops.batches(crops.Crops(find(photographs), seed=0), ((4 * i, 4, view) for i in itertools.count()), 1)
    next(feed)
    (reader,) = multiprocessing.active_children()
    assert reader.pid is not None
    with suppress(RuntimeError):  # of torch's handler, which is too early for what waits
        os.kill(reader.pid, signal.SIGKILL)
        reader.join()
    reader.join()
    with pytest.raises(RuntimeError, match=r"^DataLoader worker is killed by signal: Killed$"):
        for _ in feed:
            pass


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
