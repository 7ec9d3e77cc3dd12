"""What every generator promises, whatever its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fastcolor import Colorizer, Palette, models, ops
from fastcolor.models import weights
from fastcolor.models.layers import fold_batch_norm

# (name, options, height and width whose training batches of two reach every layer)
NETWORKS = [
    ("default", {}, (64, 64)),
    ("default-mobilenet", {}, (64, 64)),
    ("eccv16", {}, (32, 40)),
    ("siggraph17", {}, (32, 40)),
    ("pix2pix", {"channels": 16}, (256, 512)),
    ("resnet-unet", {"head": "both"}, (64, 96)),
    ("resnet-unet", {"head": "classes", "norm": "batch"}, (64, 96)),
    ("cgan-attention", {"head": "both"}, (64, 72)),
]
IDS = ["-".join([name, *(str(v) for v in options.values())]) for name, options, _ in NETWORKS]
every_network = pytest.mark.parametrize(("name", "options", "size"), NETWORKS, ids=IDS)


def settled(model: nn.Module, size: tuple[int, int]) -> nn.Module:
    """In evaluation mode, BatchNorm's statistics, factors and offsets as training might leave them."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 0.9
        nn.init.uniform_(norm.weight, 0.7, 1.3)
        nn.init.normal_(norm.bias, 0, 0.3)
    with torch.no_grad():
        model(torch.rand(4, 1, *size) * 100)
    assert all(bool(n.running_mean.any()) for n in norms)
    return model.eval().requires_grad_(False)


def relative(got: torch.Tensor, expected: torch.Tensor) -> float:
    return float((got.float() - expected).square().mean().sqrt() / expected.square().mean().sqrt())


def test_every_name_is_here() -> None:
    published = {"ddcolor", "ddcolor-tiny", "deoldify", "deoldify-wide"}  # too large for all this; see test_peers.py
    assert {name for name, _, _ in NETWORKS} == set(models.names()) - published


@every_network
def test_shape_kind_and_precisions(name: str, options: dict[str, object], size: tuple[int, int]) -> None:
    model = settled(models.build(name, **options), size)
    lightness = torch.rand(2, 1, *size) * 100
    output = model(lightness)
    height, width = size
    shapes = {"classifier": (2, 313, height // 4, width // 4), "regressor": (2, 2, height, width)}
    assert output.shape == shapes[model.kind]
    assert height % model.stride == width % model.stride == 0
    assert float(output.std()) > 0.01

    fast = model.to(memory_format=torch.channels_last)
    assert relative(fast(lightness.to(memory_format=torch.channels_last)), output) < 2e-5
    with torch.autocast("cpu", torch.bfloat16):
        assert relative(fast(lightness), output) < 0.05

    # As the engine runs it. A BatchNorm behind a ReLU stays: at the borders it does not fit into what follows.
    assert relative(fold_batch_norm(model)(lightness), output) < 2e-5
    left = sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    assert left == {"eccv16": 7, "siggraph17": 9}.get(name, 0)
    assert relative(model.to(torch.bfloat16)(lightness), output) < 0.05


@every_network
def test_gradient_reaches_every_parameter(name: str, options: dict[str, object], size: tuple[int, int]) -> None:
    model = models.build(name, **options)
    told: dict[str, object] = {"both": True} if name == "siggraph17" or options.get("head") == "both" else {}
    both = bool(told)
    if name == "default":  # whose hints say nothing at first
        for parameter in model.hints.parameters():
            if not bool(parameter.any()):
                nn.init.normal_(parameter, 0, 0.1)
        told["hints"] = torch.randn(2, 2, *size) * 30, (torch.rand(2, 1, *size) > 0.999).float()
    output = model(torch.rand(2, 1, *size) * 100, **told)
    sum(part.square().mean() for part in (output if both else [output])).backward()
    for key, parameter in model.named_parameters():
        if key == "model_out.weight" and name == "eccv16":  # the palette
            assert not parameter.requires_grad
        else:
            assert parameter.grad is not None and bool(parameter.grad.abs().sum() > 0), key


@every_network
def test_exports_with_any_batch(name: str, options: dict[str, object], size: tuple[int, int]) -> None:
    model = settled(models.build(name, **options), size)
    batch = torch.export.Dim("batch", max=64)
    program = torch.export.export(model, (torch.rand(2, 1, *size) * 100,), dynamic_shapes=({0: batch},))
    for n in (1, 5):
        lightness = torch.rand(n, 1, *size) * 100
        assert relative(program.module()(lightness), model(lightness)) < 2e-5


@every_network
def test_saved_and_used(
    name: str, options: dict[str, object], size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastcolor.engines.torch.bf16_is_fast", lambda device: False)  # compared at float32 below
    model = settled(models.build(name, **options), size)
    palette = Palette.grid() if model.kind == "classifier" else None
    path = tmp_path / "a.safetensors"
    weights.save(path, model, name=name, options=options, palette=palette, temperature=0.05, size=64)
    colorizer = Colorizer(path, device="cpu", engine="torch")
    gray = np.linspace(20, 235, 40 * 56).reshape(40, 56).astype(np.uint8)
    painted = colorizer(gray)
    assert isinstance(painted, Image.Image) and painted.size == (56, 40)
    assert int(np.ptp(np.asarray(painted).astype(int), axis=2).max()) > 10  # colour
    height, width = colorizer.input_size(40, 56)
    lightness = torch.rand(1, 1, height, width) * 100
    half = model.half().float()  # as the file holds them
    expected = half(lightness)
    if palette is not None:
        expected = ops.annealed_mean(expected, palette=palette, temperature=0.05)
    assert float(expected.std()) > 1
    assert relative(colorizer.predict_ab(lightness), expected) < 1e-3


@every_network
def test_sizes_it_cannot_take(name: str, options: dict[str, object], size: tuple[int, int]) -> None:
    model = models.build(name, **options)
    for bad in (torch.zeros(1, 3, *size), torch.zeros(1, *size), torch.zeros(1, 1, 0, 32)):
        with pytest.raises(ValueError, match="lightness: "):
            model(bad)
    if name != "eccv16":
        with pytest.raises(ValueError, match=f"multiples of {model.stride}, got {size[0]} x {size[1] + 1}"):
            model(torch.zeros(1, 1, size[0], size[1] + 1))
