"""The benchmark of presets: measured at one colourfulness, aged pictures always the same, no run made twice."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from train_runs import meadows

from bench import presets
from fastcolor import Colorizer
from fastcolor.models import weights
from fastcolor.palette import Palette, prior_of_histogram, smooth_prior
from fastcolor.survey import survey
from fastcolor.training.presets import View

DEMO = Path(presets.__file__).parent / "demo"


def test_pictures_are_measured_at_the_colourfulness_asked_for(tmp_path: Path) -> None:
    data, generator = tmp_path / "pictures", weights.load("default")
    data.mkdir()
    colorizer = Colorizer(device="cpu", engine="torch")
    for name in ("chelsea", "coffee"):  # "true" colours that the network knows, but stronger than its own
        colorizer(DEMO / f"{name}.jpg", saturation=1.5).save(data / f"{name}.png")
    prior = smooth_prior(prior_of_histogram(survey(data).counts, Palette.grid()))
    clean = list(presets.see(generator, data, 2, aged=False))
    meter = presets.Meter(generator, prior, clean)
    for wanted in (0.45, 0.75):
        found = meter.measures(meter.shift_for(wanted))
        assert found["colourfulness"] == pytest.approx(100 * wanted, rel=0.005)
    first, again = (list(presets.see(generator, data, 2, aged=True)) for _ in range(2))
    for old, same, new in zip(first, again, clean, strict=True):
        assert torch.equal(old.logits, same.logits) and not torch.equal(old.logits, new.logits)
        assert torch.equal(old.truth, new.truth)


def test_a_row_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, small = str(meadows(tmp_path)), replace(presets.FIRST, batch_size=2, view=View(64, 0.6, 1.0))
    monkeypatch.setitem(presets.VARIANTS, presets.RECIPE, replace(presets.SHORT, stages=(small,)))
    call = ["presets", data, "--validation", data, "--steps", "2", "--limit", "1", "--out", str(tmp_path / "runs")]
    monkeypatch.setattr(sys, "argv", [*call, "--only", presets.RECIPE])
    presets.main()
    first = capsys.readouterr().out.splitlines()
    head, row = first[0].split(" | "), first[-1].split(" | ")
    assert row[0].strip("| ") == presets.RECIPE and len(head) == len(row)
    assert float(row[head.index("processor time")]) > 0
    presets.main()
    assert capsys.readouterr().out.splitlines() == first
