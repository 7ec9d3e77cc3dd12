"""Hints: what somebody says about colours, how it is read, and that the picture follows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fastcolor
from fastcolor import Colorizer, Hint, models, ops
from fastcolor.models import weights
from fastcolor.palette import Palette
from fastcolor.steering.planes import planes

RED = (192, 48, 32)


@pytest.fixture(scope="module")
def obedient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that paint gray, but what a hint says where it lies: logits are set by hand."""
    torch.manual_seed(0)
    model, palette = models.build("default"), Palette.grid()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        middle = int(palette.points.norm(dim=1).argmin())
        model.head.bias[middle] = 5.0
        # Channels 0 and 1 of the features carry a and b, both signs; the head turns them into the nearest bin's logit.
        hidden, out = model.hints.to_4[0], model.hints.to_4[2]
        for i, (plane, sign) in enumerate([(0, 1), (0, -1), (1, 1), (1, -1), (2, 1)]):
            hidden.weight[i, plane, 1, 1] = sign
            out.weight[i, i, 0, 0] = 1.0
            model.mix_4[0].weight[i, i, 1, 1] = 1.0
        model.mix_4[1].weight.fill_(1.0)
        for parameter in model.encoder.modules():
            if isinstance(parameter, torch.nn.BatchNorm2d):
                parameter.weight.fill_(1.0)
        a, b = palette.points.T / 50
        for i, column in enumerate((a, -a, b, -b)):
            model.head.weight[:, i, 0, 0] = 400 * column
        model.head.weight[:, 4, 0, 0] = -200 * (a**2 + b**2)
    path = tmp_path_factory.mktemp("weights") / "obedient.safetensors"
    weights.save(path, model, name="default", options={}, palette=palette, temperature=0.1, size=128)
    return path


def noise(height: int = 96, width: int = 160) -> np.ndarray:
    return np.random.default_rng(0).integers(60, 200, (height, width), dtype=np.uint8)


def ab_of(image: Image.Image) -> np.ndarray:
    lab = ops.rgb_to_lab(torch.from_numpy(np.array(image.convert("RGB")))[None], layout="hwc")
    return lab[0, 1:].numpy()


def test_planes_are_discs_of_the_colour_and_the_later_one_counts() -> None:
    first = Hint(0.25, 0.5, "#c03020", radius=0.1)
    ab, mask = planes([first, Hint(0.75, 0.5, RED, radius=0.0, strength=0.5)], (64, 128))
    lab = ops.rgb_to_lab(torch.tensor(RED, dtype=torch.uint8)[None, :, None, None])[0, 1:, 0, 0]
    rows, columns = (mask[0, 0] == 1).nonzero().unbind(1)
    assert (rows.float().mean(), columns.float().mean()) == (32, 32) and int(rows.max() - rows.min()) == 12
    assert len(rows) == pytest.approx(math.pi * 6.4**2, rel=0.1)
    assert (mask == 0.5).nonzero().tolist() == [[0, 0, 32, 96]]
    assert torch.equal(ab[0, :, 32, 32], lab) and torch.equal(ab[0, :, 32, 96], lab)
    assert not bool(ab[(mask == 0).expand_as(ab)].any())
    ab, mask = planes([first, Hint(0.25, 0.5, "#00ff00", radius=0.02)], (64, 128))
    assert float(ab[0, 0, 32, 32]) < 0 < float(ab[0, 0, 32, 36])
    assert planes([Hint(1.0, 1.0, RED, radius=0.0)], (64, 128))[1][0, 0, 63, 127] == 1  # the corner is within


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"x": 1.2}, r"hint: x must lie in 0\.\.1, got 1\.2"),
        ({"y": -0.1}, r"hint: y must lie in 0\.\.1, got -0\.1"),
        ({"x": math.nan}, r"hint: x must lie in 0\.\.1, got nan"),
        ({"x": "half"}, r"hint: x must lie in 0\.\.1, got 'half'"),
        ({"radius": 2.0}, r"hint: radius must lie in 0\.\.1, got 2\.0"),
        ({"strength": 0.0}, r"hint: strength must be above 0, got 0"),
        ({"time": -1.0}, r"hint: time must be at least 0 seconds, got -1\.0"),
        ({"color": "red"}, r"hint: color must be #rrggbb or three numbers of 0 to 255, got 'red'"),
        ({"color": (1, 2, 300)}, r"hint: color must be #rrggbb or three numbers of 0 to 255, got \(1, 2, 300\)"),
    ],
)
def test_a_hint_that_cannot_be_is_one_sentence(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Hint(**{"x": 0.5, "y": 0.5, "color": "#c03020", **wrong})


def test_more_hints_than_cells() -> None:
    with pytest.raises(ValueError, match="hints: must be at most 256 for 64 x 64 pixels, got 257"):
        planes([Hint(0.5, 0.5, RED)] * 257, (64, 64))


def test_a_picture_follows_hints_where_they_lie_at_its_own_size(obedient: Path) -> None:
    colorizer = Colorizer(obedient, "cpu", "torch")
    features = colorizer.features(noise())
    plain = colorizer.colours(features)
    assert np.array_equal(np.array(plain), np.array(colorizer(noise())))  # no hints: as ever
    image = colorizer.colours(features, [Hint(0.25, 0.5, "#c03020", radius=0.1)])
    assert image.size == (160, 96) and np.abs(ab_of(plain)).max() < 6
    wanted = ops.rgb_to_lab(torch.tensor(RED, dtype=torch.uint8)[None, :, None, None])[0, 1:, 0, 0].numpy()
    inside = ab_of(image)[:, 46:50, 38:42].mean((1, 2))
    assert np.linalg.norm(inside - wanted) < 12 and np.abs(ab_of(image)[:, :, 100:]).max() < 6
    gray = np.array(image.convert("RGB")) @ [0.2126, 0.7152, 0.0722]
    assert np.corrcoef(gray[40:56, 30:50].ravel(), noise()[40:56, 30:50].ravel())[0, 1] > 0.98  # its lightness stays
    # Asked again, it begins anew; and the saturation that weights ask for is no factor on what a hint says.
    assert np.array_equal(np.array(colorizer.colours(features)), np.array(plain))
    colorizer.saturation = 0.8
    again = ab_of(colorizer.colours(features, [Hint(0.25, 0.5, "#c03020", radius=0.1)]))[:, 46:50, 38:42].mean((1, 2))
    assert np.linalg.norm(again - wanted) < 12


def test_hints_are_followed_in_flat_pictures_too(obedient: Path) -> None:
    colorizer = Colorizer(obedient, "cpu", "torch")
    features = colorizer.features(np.full((96, 160), 128, np.uint8))
    image = colorizer.colours(features, [Hint(0.5, 0.5, "#c03020", radius=0.3)])
    assert float(ab_of(image)[0, 44:52, 76:84].mean()) > 30


def test_networks_that_follow_no_hints_say_so(tmp_path: Path) -> None:
    model = models.build("default-mobilenet", bins=8)
    path = tmp_path / "old.safetensors"
    palette = Palette(torch.rand(8, 2) * 50)
    weights.save(path, model, name="default-mobilenet", options={"bins": 8}, palette=palette, temperature=1, size=64)
    with pytest.raises(ValueError, match="hints: need a network that follows them, got default-mobilenet"):
        Colorizer(path, "cpu", "torch").features(noise())


def test_siggraph17_follows_hints_as_published(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = models.build("siggraph17").eval()
    path = tmp_path / "net.pth"
    torch.save(model.state_dict(), path)
    colorizer = Colorizer(path, "cpu", "torch")
    features = colorizer.features(noise(64, 64))
    hints = [Hint(0.5, 0.5, "#c03020", radius=0.2)]
    given = planes(hints, features.size)
    with torch.no_grad():
        expected = model(features.seen[0], given)
    assert torch.allclose(colorizer.follow(features.seen, given), expected, atol=2.0)
    assert not torch.allclose(colorizer.follow(features.seen, None), expected, atol=1e-3)


def test_an_exported_network_is_the_plain_one(obedient: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    path = tmp_path / "net.onnx"
    fastcolor.export(obedient, path)
    with pytest.raises(ValueError, match="hints: need the network in torch; an exported file is the plain network"):
        Colorizer(path).features(noise())


def test_size_is_how_much_the_network_sees(obedient: Path) -> None:
    sizes = [Colorizer(obedient, "cpu", "torch", size=size).input_size(480, 640) for size in (None, 128, 256, 512)]
    assert sizes[0] == sizes[1]
    assert sizes[2][0] * sizes[2][1] == pytest.approx(256**2, rel=0.15)
    assert sizes[3][0] * sizes[3][1] == pytest.approx(512**2, rel=0.15)
    for wrong in (32, 4096):
        with pytest.raises(ValueError, match=rf"size: must lie in 64\.\.1024, got {wrong}"):
            Colorizer(obedient, "cpu", "torch", size=wrong)
