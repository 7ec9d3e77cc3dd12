"""Colours as the published networks' own demos make them, to compare with."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from film_clips import clip, frames_of, plane, random_net
from published import weights_recipe as recipe

import fastcolor
from fastcolor import ops
from fastcolor.formats.picture import of_array
from fastcolor.models import demos
from fastcolor.pictures.canvas import Canvas
from fastcolor.pictures.colorize import Colorizer
from fastcolor.predictor import Predictor

HERE = Path(__file__).parent / "published"


@pytest.mark.parametrize(("name", "side"), [("ddcolor-tiny", 128), ("siggraph17", 256)])
def test_the_originals_whole_demo(name: str, side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of another shape than the network's, through all of it. The demos look at it in colour, we in gray, and
    we let chroma fade at black and white: close, not equal."""
    monkeypatch.setattr("fastcolor.engines.choose.precisions", lambda device: ("fp32",))
    torch.save(
        {key: torch.from_numpy(value) for key, value in recipe.state(HERE / f"{name}.json").items()}, tmp_path / "a.pth"
    )
    demo = json.loads((HERE / f"{name}.vectors.json").read_text())["demo"]["result"]
    expected = np.array(demo["values"]) * (255 if demo["dtype"] == "float64" else 1)
    rgb = np.rint(255 * recipe.picture(3, 120, 160, 2)).clip(0, 255).astype(np.uint8).transpose(1, 2, 0).copy()
    off = {}
    for as_published in (True, False):
        colorizer = Colorizer(tmp_path / "a.pth", "cpu", "torch", size=side, as_published=as_published)
        values = np.array(colorizer(rgb)).reshape(-1)
        off[as_published] = np.abs(values[recipe.positions(len(expected), values.size)] - expected)
    assert np.median(off[True]) <= 1.5 and off[True].mean() < 3
    assert np.median(off[False]) > 4 and off[False].mean() > 12


def test_each_convention(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = random_net(tmp_path)
    with pytest.raises(ValueError, match=r"as_published: must come with one of eccv16, .*, got default"):
        Predictor(net, as_published=True)
    monkeypatch.setitem(demos.DEMOS, "default", demos.Demo(antialias=False, nearest=True))
    demo, own = (Predictor(net, "cpu", "torch", as_published=one) for one in (True, False))
    assert demo.input_size(240, 960) == (64, 64) and own.input_size(240, 960) != (64, 64)
    gray = np.random.default_rng(0).integers(0, 256, (120, 160), dtype=np.uint8)
    sampled = cv2.resize(gray.astype(np.float32) / 255, (64, 64), interpolation=cv2.INTER_LINEAR)
    wanted = ops.rgb_to_lab(torch.from_numpy(sampled).expand(1, 3, -1, -1).contiguous())[:, :1]
    luma = torch.from_numpy(gray)[None]
    torch.testing.assert_close(demo.lightness(luma, (64, 64)), wanted, atol=0.02, rtol=0)
    assert (own.lightness(luma, (64, 64)) - wanted).abs().mean() > 5
    limited = (luma.float() * 219 / 255 + 16).round().to(torch.uint8)
    for codes, bits in ((limited, None), ((limited.to(torch.int32) * 4).to(torch.uint16), 10)):
        seen = demo.lightness(codes, (64, 64), full_range=False, bits=bits)
        torch.testing.assert_close(seen, wanted, atol=0.4, rtol=0)  # of the rounding to 219 codes
    ab = torch.rand(1, 2, 4, 4)
    assert torch.equal(demo.enlarged(ab, (8, 8)), ab.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert own.enlarged(ab, (8, 8)) is ab
    colorizer, picture = Colorizer(net, "cpu", "torch", as_published=True), of_array(gray)  # and the page shows it so
    shown = Canvas(colorizer, picture, side=48).paint(whole=lambda: picture, small=False)
    np.testing.assert_array_equal(np.array(shown), np.array(colorizer(gray)))


def test_a_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = random_net(tmp_path)
    monkeypatch.setitem(demos.DEMOS, "default", demos.Demo(antialias=False, nearest=True))
    src = clip(tmp_path / "gray.mp4", frames=3, options={"preset": "ultrafast"})

    def chroma(**options: object) -> np.ndarray:
        fixed = {"overwrite": True, "lossless": True, "device": "cpu", "engine": "torch", "weights": net}
        fastcolor.video(src, tmp_path / "out.mkv", **fixed, **options)  # type: ignore[arg-type]
        return np.stack([plane(frame, 1).astype(int) for frame in frames_of(tmp_path / "out.mkv")])

    def steps(planes: np.ndarray) -> float:
        """How much of the change along rows lies between the cells of the 16 x 16 colours, 48 samples wide."""
        change = np.abs(np.diff(planes, axis=2)).sum((0, 1))
        return change[2::3].sum() / change.sum()

    for temporal in ("off", "fast"):
        assert np.abs(chroma(as_published=True, temporal=temporal) - chroma(temporal=temporal)).mean() > 0.5
    assert steps(chroma(as_published=True, temporal="off")) > steps(chroma(temporal="off")) + 0.1
