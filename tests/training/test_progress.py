"""The log of a run: the bar, the numbers, and how long it waited for pictures."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from train_runs import entries

import fastcolor
from fastcolor.training.log import Log
from fastcolor.training.presets import L1, Optimiser, Preset, Stage, View
from fastcolor.training.watches import GrayData


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_a_bar_on_a_terminal_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO]
) -> None:
    monkeypatch.setattr(sys, "stderr", shown := stream())
    with Log(tmp_path, 2, 4) as log:
        for step in (3, 4):
            log.add({"step": step, "loss": 10.0 * step})
            written = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
            assert written[-1]["step"] == step  # flushed
    assert log.means() == {"loss": 35.0}
    if stream is Terminal:
        assert "4/4" in shown.getvalue() and "loss=40" in shown.getvalue()
    else:
        assert not shown.getvalue()


def test_another_process_of_a_run_writes_and_shows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    monkeypatch.chdir(tmp_path)
    with Log(None, 0, 1) as log:
        log.add({"step": 1, "loss": 1.0})
        log.warn("words")
    assert not shown.getvalue() and not list(tmp_path.iterdir()) and log.means() == {"loss": 1.0}


def test_waiting_for_pictures_shows(tmp_path: Path) -> None:
    """A large picture for a network that takes next to no time, then a small one for a slow network."""
    noise = np.random.default_rng(0).integers(0, 256, (2000, 2000, 3), dtype=np.uint8)
    stage = Stage(1.0, 2, View(32, 1.0, 1.0), (L1(),), Optimiser(1e-3))
    light, heavy = Preset("pix2pix", 4, (stage,), options={"channels": 2}), Preset("resnet-unet", 4, (stage,))
    shares = []
    for name, pixels, preset in (("large", noise, light), ("small", noise[:40, :40], heavy)):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "a.png")
        fastcolor.train(tmp_path / name, preset, tmp_path / f"run-{name}", precision="fp32", workers=0)
        shares.append([entry["wait_share"] for entry in entries(tmp_path / f"run-{name}")[1:]])
    assert np.median(shares[0]) > 0.5 > 0.2 > np.median(shares[1])


def test_gray_data_is_judged_by_its_first_pictures_once() -> None:
    lab = torch.zeros(4, 3, 8, 8)
    lab[:, 1] = 5.0
    lab[0, 2, 3, 3] = -5.1  # one pixel makes a picture coloured
    data = GrayData(6)
    assert float(data.share(lab)) == 0.75
    assert data.warning(0.75, 4) is None  # two more are to come
    assert data.warning(0.5, 4) == (
        "62 % of the pictures are gray (no |a| or |b| above 5), and a network learns gray from them; leave them out of "
        "the data"
    )
    assert data.warning(1.0, 4) is None
    coloured = GrayData(1000)
    assert [coloured.warning(0.5, 128) for _ in range(4)] == [None] * 4
