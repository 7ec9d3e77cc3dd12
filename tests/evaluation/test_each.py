"""Several weights on one set: one table, one sheet."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fastcolor
from fastcolor.commands import cli
from fastcolor.evaluation import meter
from fastcolor.evaluation.evaluate import evaluate_each
from fastcolor.models import weights


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(3)
    for i in range(4):
        rgb = np.kron(random.integers(0, 256, (3, 4, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        Image.fromarray(rgb).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def dull(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default network, of weights that want no colour."""
    path = tmp_path_factory.mktemp("weights") / "dull, gray.safetensors"
    own = weights.load("default")
    weights.save(
        path,
        own.model,
        name=own.name,
        options=own.options,
        palette=own.palette,
        temperature=own.temperature,
        size=own.size,
        saturation=0.0,
    )
    return path


def test_a_column_for_each(photos: Path, dull: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "_MANY", 2)
    options = {"device": "cpu", "engine": "torch"}
    both = evaluate_each(["default", dull], photos, report=tmp_path / "r.png", **options)
    assert list(both) == ["default", os.fspath(dull)]
    assert both["default"] == fastcolor.evaluate("default", photos, **options)
    of_dull = both[os.fspath(dull)]
    assert of_dull["colorfulness"] == 0 and of_dull["auc"] == pytest.approx(of_dull["gray_auc"], abs=0.2)
    sheet = np.array(Image.open(tmp_path / "r.png")).astype(int)
    shown = [np.array(Image.open(photos / f"{i}.png"))[::16, ::16].reshape(-1, 3) for i in (0, 2)]
    rows = [np.argwhere((sheet[..., None, :] == colors).all(-1).any(-1)) for colors in shown]  # true colours, unique
    rows = [row[row[:, 1] > row[:, 1].max() - 64] for row in rows]  # the last column: a made colour may be one of these
    assert all(len(row) == 48 * 64 for row in rows)  # every second picture, evenly spread, once, at its own size
    assert rows[0][:, 0].max() < rows[1][:, 0].min()  # in rows
    (top, right), left = rows[0].min(0), rows[0][:, 1].min()
    tiles = [sheet[top : top + 48, left - k * 162 : left - k * 162 + 64] for k in range(4)]
    gray, ours, gone = tiles[3], tiles[2], tiles[1]
    assert right == left and np.ptp(gray, axis=2).max() <= 1 and np.abs(gray - gone).max() <= 1
    assert np.ptp(ours, axis=2).mean() > 5


def test_the_command(photos: Path, dull: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            cli.main(["evaluate", *map(str, arguments)])
        output = capsys.readouterr()
        return int(stop.value.code or 0), output.out, output.err

    same = tmp_path / "same.safetensors"
    same.write_bytes(dull.read_bytes())
    page = tmp_path / "r.html"
    code, output, errors = said(f"default,{same}", photos, "--engine", "torch", "--device", "cpu", "--report", page)
    assert code == 0 and not errors
    head, *lines = output.splitlines()
    assert head.split() == ["default", str(same), "gray", "truth"]
    table = {line.split()[0]: line for line in lines}
    values = table["colorfulness"].split()
    assert values[2] == "0.000" and float(values[1]) > 1 and float(values[3]) > 1  # gray pictures have no such value
    assert (
        "dB   PSNR of 8-bit sRGB, peak 255" in table["psnr_rgb"] and len(table["psnr_rgb"].split("dB")[0].split()) == 4
    )
    assert not any(name.startswith("gray_") or name.endswith("_truth") for name in table)
    text = page.read_text()
    assert text.count("<img ") == 4 * 4 and f"<th>default</th><th>{same}</th><th>gray</th><th>truth</th>" in text
    # A comma in the name of a file that is there is no comma between names.
    code, output, _ = said(dull, photos, "--engine", "torch", "--device", "cpu", "--limit", 1)
    assert code == 0 and "gray_auc" in output
    for words, arguments in [
        ("fastcolor: DATA is missing: folders, zip or tar files, lists (.txt) or pictures (see", ["default,eccv16"]),
        ("fastcolor: DATA is missing: folders, zip or tar files, lists (.txt) or pictures (see", ["default"]),
        ("weights: must be a file or one of default, ", ["default,defalt", photos]),
        ("weights: must be named once each, got default twice", ["default,default", photos]),
        ("limit: must be at least 1, got 0", ["default,eccv16", photos, "--limit", 0]),
    ]:
        code, output, errors = said(*arguments)
        assert code == 2 and not output and words in errors and len(errors.splitlines()) == 1, errors
