"""Crops that a number determines, and batches of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from picture_trees import six_pictures

from fastcolor.data import find
from fastcolor.training.crops import Crops, batches
from fastcolor.training.presets import View


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return six_pictures(tmp_path)


def test_a_crop_is_determined_by_its_number(folder: Path) -> None:
    view = View(32, 0.5, 1.0)
    one, other = Crops(find(folder), seed=3), Crops(find(folder), seed=3)
    forward = [one[i, view][0] for i in range(20)]
    backward = [other[i, view][0] for i in reversed(range(20))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forward, backward, strict=True))
    assert forward[0].shape == (32, 32, 3) and forward[0].dtype == torch.uint8
    seen = [tuple(crop[0, 0].tolist()) for crop in forward[:12]]
    assert len(set(seen[:6])) == 6 and set(seen[:6]) == set(seen[6:])  # every picture once an epoch
    different = Crops(find(folder), seed=4)
    assert any(not torch.equal(a, different[i, view][0]) for i, a in enumerate(forward))


def test_worker_processes_make_the_same_batches(folder: Path) -> None:
    items, view = find(folder), View(32, 0.6, 1.0)
    requests = [(0, 3, view), (3, 2, view), (5, 4, view)]
    here = list(batches(Crops(items, 0), iter(requests), workers=0))
    there = list(batches(Crops(items, 0), iter(requests), workers=2))
    assert [b.rgb.shape[0] for b in here] == [3, 2, 4]
    assert all(torch.equal(a.rgb, b.rgb) for a, b in zip(here, there, strict=True))


def test_crops_replace_unreadable_pictures_and_name_them(folder: Path) -> None:
    broken = sorted(folder.rglob("*.png"))[:2]
    for path in broken:
        path.write_bytes(b"")
    crops, view = Crops(find(folder), seed=0), View(32, 0.5, 1.0)
    made = [crops[i, view] for i in range(6)]
    assert all(rgb.shape == (32, 32, 3) and rgb.any() for rgb, _ in made)
    problems = [problem for _, ours in made for problem in ours]
    assert len([p for p in problems if str(broken[0]) in p]) >= 1 and "not a readable picture" in problems[0]
    for workers in (0, 1):
        batch = next(batches(crops, [(0, 6, view)], workers))
        assert batch.problems == problems and len(batch.rgb) == 6
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")
    for workers in (0, 1):
        with pytest.raises(
            ValueError, match=r"^data: eight pictures in a row cannot be read, the last \S+png: [^\n]+$"
        ):
            next(batches(crops, [(0, 6, view)], workers))
