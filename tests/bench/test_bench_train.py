"""The benchmark of training: real steps, ops that are verified against plain torch, shares that add up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bench import bench_train
from fastcolor.training.presets import PRESETS


@pytest.fixture(autouse=True)
def threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_rows_of_a_preset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures" / "train.json"
    options = bench_train.TrainBenchOptions(
        only=("default", "resnet-unet"), threads=1, workers=0, steps=2, batch_size=2, crop=32, out=out
    )
    results = bench_train.main(options)
    assert json.loads(out.read_text()) == results and results["machine"]["threads"] == 1
    named = [(row["preset"], row["stage"], sorted(row["ours_ms"])) for row in results["rows"]]
    classes, none = ["cross entropy", "rgb to lab"], ["rgb to lab"]
    assert named == [
        ("default", 1, classes),
        ("default", 2, classes),
        ("resnet-unet", 1, none),
        ("resnet-unet", 2, none),
    ]
    for row in results["rows"]:
        assert row["step_ms"] == pytest.approx(1e3 * 2 / row["pictures_per_second"])
        assert 0 < row["ours_share"] < 1 and 0 < row["plain_share"] < 1 and 0 <= row["wait_share"] < 1
        if "cross entropy" in row["ours_ms"]:
            assert row["plain_ms"]["cross entropy"] > row["ours_ms"]["cross entropy"]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and "2 of 32" in lines[1]
    with pytest.raises(ValueError, match=r"only: must name presets, .*, got eccv"):
        bench_train.main(bench_train.TrainBenchOptions(only=("eccv",)))


@pytest.mark.parametrize("name", ["default", "cgan-attention", "siggraph17"])
def test_ops_of_a_step_give_what_plain_torch_does(name: str) -> None:
    recipe = bench_train.one_stage(PRESETS[name], 0)
    stage = recipe.stages[0]
    found = bench_train.pairs(
        recipe, bench_train.replace(stage, view=bench_train.replace(stage.view, crop=32)), 2, "fp32", "cpu"
    )
    assert ("annealed mean" in found) == (name == "cgan-attention")
    for ours, plain in found.values():
        assert torch.allclose(ours(), plain(), rtol=2e-2, atol=2e-2 * float(plain().abs().max()))
