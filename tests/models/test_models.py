"""Networks and what inference does to them."""

from __future__ import annotations

import pytest
import torch

from fastcolor import models
from fastcolor.models.layers import fold_batch_norm


def test_default_is_a_small_classifier_at_quarter_size() -> None:
    model = models.build("default")
    assert model.kind == "classifier"
    assert sum(p.numel() for p in model.parameters()) <= 8_000_000
    assert sum(v.numel() for v in model.state_dict().values()) * 2 <= 12 * 2**20  # bytes as float16
    logits = model(torch.rand(2, 1, 64, 96) * 100)
    assert logits.shape == (2, 313, 16, 24)
    assert models.build("default", bins=50)(torch.zeros(1, 1, 64, 64)).shape[1] == 50


@pytest.mark.parametrize("name", ["default", "default-mobilenet"])
def test_folded_batch_norm_gives_the_same_logits(name: str) -> None:
    model = models.build(name)
    for _ in range(3):  # statistics away from their start
        model(torch.rand(2, 1, 64, 64) * 100)
    model.eval()
    lightness = torch.rand(1, 1, 64, 64) * 100
    with torch.no_grad():
        before = model(lightness)
        after = fold_batch_norm(model)(lightness)
    assert not [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert torch.allclose(before, after, atol=1e-4 * float(before.abs().max()))
    with pytest.raises(ValueError, match="must be in evaluation mode"):
        fold_batch_norm(models.build(name))


def test_the_first_encoder_loads_imagenet_weights_under_torchvisions_names() -> None:
    model = models.build("default-mobilenet")
    state = {k: torch.rand(v.shape) for k, v in model.state_dict().items() if k.startswith("features.")}
    state["features.0.0.weight"] = torch.randn(32, 3, 3, 3)
    extra = {"features.18.0.weight": torch.zeros(1280, 320, 1, 1), "classifier.1.weight": torch.zeros(1000, 1280)}
    model.load_imagenet({**state, **extra})
    assert torch.allclose(model.features[0][0].weight, state["features.0.0.weight"].sum(1, keepdim=True))
    assert torch.equal(model.features[9].conv[2].weight, state["features.9.conv.2.weight"])
    with pytest.raises(ValueError, match="encoder weights: must be a MobileNetV2"):
        model.load_imagenet({k: v for k, v in state.items() if "features.9" not in k})


def test_unknown_names_and_options() -> None:
    with pytest.raises(ValueError, match=r"model: must be one of default, .*got 'unet'"):
        models.build("unet")
    with pytest.raises(TypeError):
        models.build("default", depth=3)
