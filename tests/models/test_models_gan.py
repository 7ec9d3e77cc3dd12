"""pix2pix's generator and the discriminator: the published shapes, and where each verdict looks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fastcolor import models
from fastcolor.models.layers import fold_batch_norm


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def seasoned(network: torch.nn.Module) -> torch.nn.Module:
    """In evaluation mode, with BatchNorm statistics and biases away from their start."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.bias.data.normal_()
    return network.eval()


def test_pix2pix_has_unet_256s_size() -> None:
    model = models.build("pix2pix")
    # unet_256 has 54,413,955 (published as 54.414 M) with RGB in and out; here one comes in and two go out.
    assert parameters(model) == 54_413_955 - 2 * 64 * 16 - (128 * 16 + 1)
    assert sum(isinstance(m, torch.nn.Dropout) and m.p == 0.5 for m in model.modules()) == 3
    assert (model.kind, model.stride) == ("regressor", 32)


def unet_256(state: dict[str, Tensor], lightness: Tensor) -> Tensor:
    """pix2pix's U-Net as its paper draws it: a block around a block, eight deep, in evaluation mode."""

    def norm(x: Tensor, key: str) -> Tensor:
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{key}.{name}"] for name in names))

    def around(x: Tensor, depth: int) -> Tensor:
        down = F.conv2d(F.leaky_relu(x, 0.2), state[f"downs.{depth}.1.weight"], stride=2, padding=1)
        if depth < 7:
            down = around(norm(down, f"downs.{depth}.2"), depth + 1)
        up = F.conv_transpose2d(F.relu(down), state[f"ups.{7 - depth}.1.weight"], stride=2, padding=1)
        return torch.cat([x, norm(up, f"ups.{7 - depth}.2")], 1)

    x = F.conv2d(lightness / 50 - 1, state["downs.0.0.weight"], stride=2, padding=1)
    x = F.relu(around(x, 1))
    return 110 * torch.tanh(F.conv_transpose2d(x, state["head.1.weight"], state["head.1.bias"], stride=2, padding=1))


def test_pix2pix_is_the_papers_unet() -> None:
    model = seasoned(models.build("pix2pix", channels=8))
    for p in model.parameters():  # larger than the fresh ones, so that every layer shows in ab
        if p.dim() == 4:
            p.data.normal_(0, (16 * p.shape[1]) ** -0.5)
    lightness = torch.rand(2, 1, 256, 512) * 100
    with torch.no_grad():
        ab = model(lightness)
        assert torch.allclose(ab, unet_256(model.state_dict(), lightness), atol=1e-3)
        assert ab.shape == (2, 2, 256, 512) and 10 < float(ab.std()) < 80
        assert torch.allclose(fold_batch_norm(model)(lightness), ab, atol=1e-2)
    assert not [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]


def test_pix2pix_takes_multiples_of_32() -> None:
    model = models.build("pix2pix", channels=8).eval()
    for height, width in ((32, 32), (96, 64), (224, 352)):
        assert model(torch.rand(1, 1, height, width) * 100).shape == (1, 2, height, width)
    with pytest.raises(ValueError, match="lightness: height and width must be multiples of 32, got 64 x 65"):
        model(torch.zeros(1, 1, 64, 65))


def test_dropout_is_noise_while_training_and_silent_afterwards() -> None:
    model = models.build("pix2pix", channels=8)
    lightness = torch.rand(2, 1, 256, 256) * 100
    assert not torch.equal(model(lightness), model(lightness))
    model.eval()
    assert torch.equal(model(lightness), model(lightness))


def test_every_parameter_learns_from_the_discriminator() -> None:
    generator, judge = models.build("pix2pix", channels=8), models.build_discriminator("patch70", channels=8)
    lightness = torch.rand(2, 1, 256, 256) * 100
    judge(lightness, generator(lightness)).square().sum().backward()
    for network in (generator, judge):
        for name, p in network.named_parameters():
            assert p.grad is not None and bool(p.grad.abs().sum() > 0), name


def test_patch70_has_the_published_size_and_start() -> None:
    judge = models.build_discriminator("patch70")
    assert parameters(judge) == 2_768_705 - 3 * 64 * 16  # published for 6 channels in; L and ab are 3
    convs = [m for m in judge.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(abs(float(c.weight.detach().std()) - 0.02) < 0.001 for c in convs)
    assert all(c.bias is None or not bool(c.bias.any()) for c in convs)
    factors = torch.cat([m.weight for m in judge.modules() if isinstance(m, torch.nn.BatchNorm2d)])
    assert abs(float(factors.detach().mean()) - 1) < 0.005 and abs(float(factors.detach().std()) - 0.02) < 0.005
    assert judge(torch.zeros(2, 1, 128, 96), torch.zeros(2, 2, 128, 96)).shape == (2, 1, 14, 10)


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_each_verdict_sees_70_x_70_pixels(spectral_norm: bool) -> None:
    judge = models.build_discriminator("patch70", spectral_norm=spectral_norm).eval()
    lightness = (torch.rand(1, 1, 160, 160) * 100).requires_grad_()
    ab = torch.randn(1, 2, 160, 160, requires_grad=True)
    judge(lightness, ab)[0, 0, 9, 9].backward()
    for gradient in (lightness.grad, ab.grad):
        rows, columns = gradient[0].abs().sum(0).nonzero().unbind(1)
        assert int(rows.max() - rows.min()) + 1 == int(columns.max() - columns.min()) + 1 == 70


def test_spectral_norm_bounds_every_layer() -> None:
    judge = models.build_discriminator("patch70", channels=16, spectral_norm=True)
    for _ in range(50):  # the power iterations that training makes
        judge(torch.rand(1, 1, 32, 32), torch.rand(1, 2, 32, 32))
    for stage in judge.eval().stages:
        assert abs(float(torch.linalg.matrix_norm(stage[0].weight.detach().flatten(1), 2)) - 1) < 0.02
    assert not [m for m in judge.modules() if isinstance(m, torch.nn.BatchNorm2d)]


def test_features_for_matching() -> None:
    judge = models.build_discriminator("patch70", channels=8).eval()
    lightness, ab = torch.rand(2, 1, 64, 64) * 100, torch.randn(2, 2, 64, 64)
    logits, features = judge(lightness, ab, features=True)
    assert torch.equal(logits, judge(lightness, ab))
    assert [tuple(f.shape[1:]) for f in features] == [(8, 32, 32), (16, 16, 16), (32, 8, 8), (64, 7, 7)]


def test_what_the_discriminator_refuses() -> None:
    judge = models.build_discriminator("patch70", channels=8)
    with pytest.raises(
        ValueError, match=r"ab: must have shape \(1, 2, 64, 64\), as lightness has, got \(1, 2, 16, 16\)"
    ):
        judge(torch.zeros(1, 1, 64, 64), torch.zeros(1, 2, 16, 16))
    with pytest.raises(ValueError, match="height and width must be at least 24, got 64 x 23"):
        judge(torch.zeros(1, 1, 64, 23), torch.zeros(1, 2, 64, 23))
    with pytest.raises(ValueError, match=r"lightness: must have shape \(N, 1, H, W\), got \(1, 3, 64, 64\)"):
        judge(torch.zeros(1, 3, 64, 64), torch.zeros(1, 2, 64, 64))
    with pytest.raises(ValueError, match="discriminator: must be one of patch70, got 'patch16'"):
        models.build_discriminator("patch16")
