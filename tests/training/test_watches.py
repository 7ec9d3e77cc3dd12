"""Watches over a run that look at the network itself."""

from __future__ import annotations

import torch

from fastcolor import models
from fastcolor.training.watches import SilentWatch, silent_layers


def test_a_layer_that_died_is_named_once() -> None:
    torch.manual_seed(0)
    model = models.build("default", bins=12).eval()
    lightness = torch.rand(2, 1, 64, 96) * 100
    assert silent_layers(model, lightness) == []
    with torch.no_grad():
        model.scene[1].bias.fill_(-1e4)  # no ReLU behind it answers any more
    silent = silent_layers(model, lightness)
    assert "mix_32.0" in silent and "mix_32" in silent and not any(name.startswith("encoder") for name in silent)
    watch = SilentWatch()
    said = watch.warning(model, lightness, 500)
    assert said and said.startswith("step 500: mix_32.0") and "the same to every picture" in said
    assert watch.warning(model, lightness, 1000) is None


def test_looking_leaves_a_network_as_it_was() -> None:
    model = models.build("pix2pix").eval()
    silent_layers(model, torch.rand(1, 1, 256, 256) * 100)
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
