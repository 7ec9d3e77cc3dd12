"""Presets and loss terms of the user's own, by import path."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from train_runs import OPTIONS, entries, losses, meadows

import fastcolor
from fastcolor.palette import Palette
from fastcolor.training.losses import Objective
from fastcolor.training.presets import L1, Optimiser, Own, Preset, Stage, View

MODULE = """
from fastcolor.training.presets import L1, Optimiser, Own, Preset, Stage, View

def smoothness(made, true, lightness, reach=1):
    assert made.shape == true.shape and lightness.shape == (*made.shape[:1], 1, *made.shape[2:])
    assert made.requires_grad and not true.requires_grad and 0 <= lightness.min() and lightness.max() <= 100
    return (made[..., reach:] - made[..., :-reach]).abs().mean() / 110

def shapeless(made, true, lightness):
    return (made - true).abs()

terms = (L1(), Own("own_colours:smoothness", 0.5, {"reach": 2}))
PORTRAITS = Preset(
    "pix2pix", 3, (Stage(1.0, 2, View(32, 0.6, 1.0), terms, Optimiser(1e-3)),), options={"channels": 4, "dropout": 0.0}
)
"""


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures, in the folder that one works in, beside a module."""
    (tmp_path / "own_colours.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "own_colours", raising=False)
    return meadows(tmp_path)


def test_a_run_by_import_path_logs_its_own_terms_and_goes_on(photographs: Path, tmp_path: Path) -> None:
    options = {"precision": "fp32", "workers": 0}
    fastcolor.train(photographs, "own_colours:PORTRAITS", tmp_path / "run", **options)
    for entry in entries(tmp_path / "run"):
        assert entry["loss"] == pytest.approx(entry["l1"] + 0.5 * entry["smoothness"], rel=1e-5)
        assert entry["smoothness"] > 0
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["stages"][0]["losses"][1]
    assert kept == {"function": "own_colours:smoothness", "weight": 0.5, "options": {"reach": 2}, "name": "smoothness"}
    fastcolor.train(photographs, "own_colours:PORTRAITS", tmp_path / "run", steps=4, resume=True, **options)
    assert len(losses(tmp_path / "run")) == 4


def test_a_term_weighs_on_the_gradient(photographs: Path) -> None:
    objective = Objective((Own("own_colours:smoothness"),), Palette.grid(), None, torch.device("cpu"))
    made = (torch.randn(1, 2, 8, 8) * 30).requires_grad_()
    total, parts = objective(made, None, torch.zeros(1, 2, 32, 32), lightness=torch.rand(1, 1, 32, 32) * 100)
    expected = (made[..., 1:] - made[..., :-1]).abs().mean().item() / 110
    assert total.item() == parts["smoothness"].item() == pytest.approx(expected)
    total.backward()
    assert float(made.grad.abs().max()) > 0


def preset(*terms: object, **changes: object) -> Preset:
    stage = Stage(1.0, 2, View(32, 0.6, 1.0), terms, Optimiser(1e-3))
    return replace(Preset("pix2pix", 1, (stage,), options={"channels": 4, "dropout": 0.0}), **changes)


class Weight(float):
    """A number, as any other."""


REFUSED = [
    ("own_colours:LANDSCAPES", r"preset: must name what own_colours holds, got no 'LANDSCAPES' in .*\.py"),
    ("other_colours:PORTRAITS", "preset: must name a module that can be imported, got 'other_colours:PORTRAITS'"),
    ("own_colours:smoothness", "preset: must be a Preset, got function at 'own_colours:smoothness'"),
    (":PORTRAITS", "preset: must be an import path, package.module:name, got ':PORTRAITS'"),
    ("portraits", "preset: must be one of default, .*, or the import path of your own, .*, got 'portraits'"),
    (preset(Own("smoothness")), "losses: must be an import path, package.module:name, got 'smoothness'"),
    (preset(torch.nn.L1Loss()), "losses: must be terms of CrossEntropy, L1, .*, Own, got L1Loss"),
    (
        preset(L1(), Own("own_colours:smoothness", 1.0, {"reach": torch.ones(1)})),
        r"preset\.stages\[0\]\.losses\[1\]\.options\.reach: must be numbers, words or lists .*, got Tensor",
    ),
    (preset(L1(), options={"norm": torch.nn.BatchNorm2d}), r"preset\.options\.norm: must be .*, got type"),
    (preset(L1(), Own("own_colours:smoothness", name="l1")), "losses: every term must have a name of its own"),
]


@pytest.mark.parametrize(("own", "words"), REFUSED, ids=range(len(REFUSED)))
def test_what_a_run_cannot_take_is_said_before_it_begins(
    photographs: Path, tmp_path: Path, own: str | Preset, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        fastcolor.train(photographs, own, tmp_path / "run", precision="fp32", workers=0)
    assert not (tmp_path / "run").exists()


def test_a_term_that_is_no_scalar_is_named(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(
        TypeError, match=r"losses: own_colours:shapeless must return a scalar tensor, got \(2, 2, 32, 32\)"
    ):
        fastcolor.train(
            photographs, preset(Own("own_colours:shapeless")), tmp_path / "run", precision="fp32", workers=0
        )


def test_numbers_of_any_kind_are_plain(photographs: Path, tmp_path: Path) -> None:
    result = fastcolor.train(
        photographs, preset(L1(Weight(2.0))), tmp_path / "run", **{**OPTIONS, "crop": 32, "steps": 1}
    )
    assert result.steps == 1
