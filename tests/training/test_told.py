"""Learning hints alone: what is told of pictures, what is to stay, and what does stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d
from train_runs import OPTIONS, entries, meadows

import fastcolor
from fastcolor.models import weights
from fastcolor.palette import Palette
from fastcolor.training import checkpoints
from fastcolor.training.hints import random_strokes
from fastcolor.training.losses import Objective, Zones
from fastcolor.training.presets import PRESETS, CrossEntropy, Stay
from fastcolor.training.told import random_told


class Seen(NamedTuple):
    """Features by which every place is unlike every other, and like itself wherever it stands."""

    looks_8: Tensor
    looks_16: Tensor


def see(lightness: Tensor) -> Seen:
    waves = torch.cat([torch.sin(lightness * k / 3) for k in range(1, 9)], 1)
    return Seen(avg_pool2d(waves, 8), avg_pool2d(waves, 16))


def scenes(n: int, side: int = 96) -> Tensor:
    """Lab: a dark and a light half, each in a colour of its own, with a little texture of lightness."""
    lab = torch.zeros(n, 3, side, side)
    lab[:, 0, :, : side // 2], lab[:, 0, :, side // 2 :] = 30, 70
    lab[:, 1:] = (torch.randn(n, 2, 1, 2) * 30).repeat_interleave(side // 2, 3).expand(-1, -1, side, -1)
    lab[:, :1] += torch.nn.functional.interpolate(torch.randn(n, 1, side // 8, side // 8) * 2, (side, side))
    return lab


def test_every_picture_is_told_of_and_what_is_beyond_an_object_stays() -> None:
    torch.manual_seed(0)
    lab = scenes(64)
    told = random_told(lab, np.random.default_rng(0), see)
    ab, mask = told.hints
    assert not bool((told.follow & told.stay).any()) and torch.equal(told.lab[:, 0], lab[:, 0])
    assert int(mask.flatten(1).any(1).sum()) > 56  # a reference may tell nothing
    objects = told.stay.flatten(1).any(1)
    assert 8 <= int(objects.sum()) <= 30
    moved = (told.lab[:, 1:] - lab[:, 1:]).norm(dim=1, keepdim=True) > 0.1
    assert bool((moved <= told.follow).all()) and not bool(moved[~objects].any())
    assert 0.4 < float(moved.flatten(1).any(1)[objects].float().mean()) < 1
    assert not bool((mask[objects] > 0)[told.stay[objects]].any())  # told inside, or a little over the edge
    assert bool(told.follow[~objects].all())
    strengths = mask[~objects]
    assert bool(((strengths > 0) & (strengths < 0.99)).any()) and bool((strengths == 1).any())
    counts = [len(hint[:, known > 0].T.unique(dim=0)) for hint, known in zip(ab, mask[:, 0], strict=True)]
    assert max(counts[i] for i in objects.nonzero()[:, 0].tolist()) <= 3
    again = random_told(lab, np.random.default_rng(0), see)
    assert torch.equal(again.hints[0], ab) and torch.equal(again.stay, told.stay)


def test_half_of_the_pictures_that_are_told_points_are_told_many(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []

    def strokes(*given: Any, points: int | None, **options: Any) -> tuple[Tensor, Tensor]:
        asked.append(points)
        return random_strokes(*given, points=points, **options)

    monkeypatch.setattr("fastcolor.training.told.random_strokes", strokes)
    random_told(torch.rand(128, 3, 32, 32) * 100, np.random.default_rng(0), see)
    many = [points for points in asked if points is not None]
    assert 15 < len(many) < 35 and 20 <= min(many) < 30 and 50 < max(many) <= 64
    assert 15 < len(asked) - len(many) < 35  # the others a few, and strokes


def test_staying_costs_nothing_where_nothing_changed_and_nothing_where_it_may() -> None:
    terms, generator = (CrossEntropy(weighting="none"), Stay(2.0)), torch.Generator().manual_seed(0)
    objective = Objective(terms, Palette.grid(), None, torch.device("cpu"), temperature=0.4)
    logits = torch.randn(2, 313, 4, 4, generator=generator)
    follow, stay = torch.zeros(2, 1, 16, 16, dtype=torch.bool), torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    follow[:, :, :8], stay[1, :, 8:] = True, True
    zones = Zones(follow, stay, torch.tensor([1]), logits[1:].clone())
    true = torch.zeros(2, 2, 16, 16)
    total, parts = objective(None, logits, true, zones=zones)
    assert float(parts["stay"].abs()) < 1e-6 and torch.allclose(total, parts["cross_entropy"])
    changed = logits.clone()
    changed[:, 5, :2] += 3  # in what is to follow
    assert float(objective(None, changed, true, zones=zones)[1]["stay"].abs()) < 1e-6
    changed[:, 5, 2:] += 3
    _, other = objective(None, changed, true, zones=zones)
    assert float(other["stay"]) > 0.1
    changed[:, :, 2:] = torch.randn(2, 313, 2, 4, generator=generator)  # where no colour is to be learnt
    assert torch.equal(objective(None, changed, true, zones=zones)[1]["cross_entropy"], other["cross_entropy"])
    without = Zones(follow, torch.zeros_like(stay), torch.tensor([], dtype=torch.long), logits[:0])
    assert float(objective(None, changed, true, zones=without)[1]["stay"]) == 0
    with pytest.raises(ValueError, match="hints: must be given for these losses"):
        objective(None, changed, true)


def test_hints_learn_alone(tmp_path: Path) -> None:
    """What no hint touches is bit for bit what it was, in the file too."""
    photographs = meadows(tmp_path)
    given = {**OPTIONS, "steps": 3, "batch_size": 4}
    result = fastcolor.train(photographs, "hints", tmp_path / "run", start="default", **given)
    before, after = weights.load("default").model.state_dict(), weights.load(result.weights).model.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed and all(key.startswith("hints.") for key in changed)
    assert {"hints.say.0.weight", "hints.say.2.weight", "hints.classes.weight"} <= changed
    assert {"cross_entropy", "stay"} <= set(entries(tmp_path / "run")[-1])
    held = checkpoints.latest(tmp_path / "run").tensors["average/hints.say.2.bias"]
    wanted = torch.cat([held[:3] * PRESETS["hints"].trust, held[3:]])
    assert PRESETS["hints"].trust > 1 and torch.equal(after["hints.say.2.bias"], wanted.half().float())
    with pytest.raises(ValueError, match="preset: must have parameters hints"):
        elsewhere = replace(PRESETS["hints"], model="pix2pix", options={"channels": 4})
        fastcolor.train(photographs, elsewhere, tmp_path / "other", **given)
