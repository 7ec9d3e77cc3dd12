"""Palettes and priors from data sets: one pass, right numbers, and where they came from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from fastcolor import ops
from fastcolor.palette import Palette, load_prior, prior, prior_of_histogram, save_prior, smooth_prior
from fastcolor.survey import histogram, survey


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five pictures of several sizes, one of them large, and one that is none."""
    root = tmp_path / "pictures"
    root.mkdir()
    random = np.random.default_rng(0)
    for i, size in enumerate([(40, 30), (33, 61), (640, 512), (64, 64), (50, 50)]):
        small = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(root / f"{i}.jpg", quality=95)
    (root / "broken.jpg").write_bytes(b"no picture")
    return root


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "from fastcolor.commands.cli import main; main()"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, env=environment
    )


def test_threads_count_what_one_pass_over_tensors_counts(folder: Path) -> None:
    files = [path for path in sorted(folder.glob("?.jpg"))]
    labs = [ops.rgb_to_lab(torch.from_numpy(np.array(Image.open(path)))[None], layout="hwc")[:, 1:] for path in files]
    expected = histogram(labs)
    for threads in (1, 3):
        found = survey(folder, threads=threads)
        assert torch.equal(found.counts, expected)
        assert found.pictures == 5 and found.pixels == sum(lab[0, 0].numel() for lab in labs)
        assert len(found.skipped) == 1 and "broken.jpg: not a readable picture" in found.skipped[0]
    assert torch.equal(histogram(folder), expected)
    assert torch.equal(prior(folder), prior(labs))


def test_every_device_counts_the_same(folder: Path, device: torch.device) -> None:
    found, expected = survey(folder, device=str(device)), survey(folder)
    assert found.pixels == expected.pixels and found.pictures == expected.pictures
    moved = float((found.counts - expected.counts).abs().sum()) / 2  # to a neighbouring cell, by a last bit
    assert moved < 1e-3 * expected.pixels


def test_large_pictures_are_shrunk_while_they_are_decoded(folder: Path) -> None:
    shrunk, full = survey(folder, size=64), survey(folder)
    large = 640 * 512
    assert shrunk.pixels == full.pixels - large + large // 8**2 and shrunk.provenance["size"] == "64"
    p, q = (prior_of.counts / prior_of.counts.sum() for prior_of in (shrunk, full))
    a = torch.arange(-128.0, 128.0).double()
    assert abs(float((p.sum(1) * a).sum() - (q.sum(1) * a).sum())) < 6  # the large picture weighs less, no more


def test_ten_thousand_small_pictures_take_under_a_minute_on_two_cores(tmp_path: Path) -> None:
    """12 ms of a core for each, decoding included; counted in processor time, which others at work do not change."""
    random = np.random.default_rng(0)
    for i in range(100):
        small = Image.fromarray(random.integers(0, 256, (20, 30, 3), dtype=np.uint8))
        small.resize((240, 160), Image.Resampling.BICUBIC).save(tmp_path / f"{i}.jpg", quality=90)
    survey(tmp_path, threads=1)  # what happens once
    start = time.process_time()
    assert survey(tmp_path, threads=1).pictures == 100
    assert (time.process_time() - start) / 100 < 0.012


def test_sources_that_cannot_be_counted(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"data: no readable picture in .*broken\.jpg"):
        survey(folder / "broken.jpg")
    with pytest.raises(ValueError, match="size: must be at least 1, got 0"):
        survey(folder, size=0)
    with pytest.raises(ValueError, match="device: must be auto, cpu, cuda or cuda:N, got 'gpu'"):
        survey(folder, device="gpu")


def test_priors_on_disk(tmp_path: Path) -> None:
    good = torch.full((313,), 0.5 / 312, dtype=torch.float64)
    good[120] = 0.5
    other = Palette(torch.randn(20, 2) * 30)
    save_prior(tmp_path / "p.npy", good, Palette.grid())
    save_prior(tmp_path / "p.safetensors", good, Palette.grid(), {"pictures": "5"})
    for name in ("p.npy", "p.safetensors"):
        assert torch.allclose(load_prior(tmp_path / name), good, rtol=1e-12)
    assert safe_open(tmp_path / "p.safetensors", "pt").metadata() == {"pictures": "5"}

    wrong = good.roll(-120 + 4)  # the file of the published name that circulates peaks at (-90, 90)
    np.save(tmp_path / "wrong.npy", wrong.numpy())
    np.save(tmp_path / "short.npy", np.full(20, 0.05))
    (tmp_path / "text.npy").write_text("no array")
    for arguments, words in [
        (("wrong.npy",), r"wrong\.npy must peak at bin 120, ab \(0, 0\), as pictures do, got bin 4, ab \(-90, 90\)"),
        (("short.npy",), r"short\.npy must hold \(313,\) probabilities that sum to 1, got shape \(20,\)"),
        (("text.npy",), r"text\.npy is not a \.npy file of numbers"),
        (("p.safetensors", other), "is over another palette of 313 bins"),
    ]:
        with pytest.raises(ValueError, match=words):
            load_prior(tmp_path / arguments[0], *arguments[1:])
    with pytest.raises(FileNotFoundError, match="prior: no such file"):
        load_prior(tmp_path / "none.npy")


def test_the_commands(folder: Path, tmp_path: Path) -> None:
    palette_file, prior_file = tmp_path / "new" / "palette.safetensors", tmp_path / "prior.safetensors"
    made = command("palette", "--data", folder, "--bins", 24, "--out", palette_file)
    assert made.returncode == 0 and "24 bins; 5 pictures, 1 skipped" in made.stdout, made.stderr
    palette = Palette.load(palette_file)
    assert palette == Palette.of_histogram(survey(folder, size=256).counts, 24)
    measured = command("prior", "--data", folder, "--palette", palette_file, "--out", prior_file)
    assert measured.returncode == 0, measured.stderr
    expected = smooth_prior(prior_of_histogram(survey(folder, size=256).counts, palette), palette)
    assert torch.allclose(load_prior(prior_file, palette), expected, rtol=1e-9)
    for file, facts in ((palette_file, {"kind", "seed"}), (prior_file, {"encoding", "smooth_sigma", "palette"})):
        found = safe_open(file, "pt").metadata()
        assert {"sources", "pictures", "pixels", "skipped", "size", "histogram_sha256", "fastcolor"} | facts == set(
            found
        )
        assert json.loads(found["sources"]) == [str(folder)] and found["pictures"] == "5"
        plot = np.asarray(Image.open(file.with_suffix(".png")))
        assert plot.shape[0] > 500 and len(np.unique(plot.reshape(-1, 3), axis=0)) > 24
    again = command("prior", "--data", folder, "--out", prior_file)
    assert again.returncode == 2 and "exists already; --overwrite replaces it" in again.stderr
    grid = command("palette", "--out", tmp_path / "grid.npy")
    assert grid.returncode == 0 and Palette.load(tmp_path / "grid.npy") == Palette.grid()
    for arguments, words in [
        (["palette", "--out", tmp_path / "x.txt"], "out: must end in .safetensors, .json, .npy"),
        (["palette", "--out", tmp_path / "x.npy", "--bins", 99], "the grid has 313 bins"),
        (["prior", "--data", folder, "--out", tmp_path / "y.npy", "--palette", folder / "0.jpg"], "holds no palette"),
    ]:
        failed = command(*arguments)
        assert failed.returncode == 2 and words in failed.stderr, failed.stderr
