"""resnet-unet and cgan-attention: heads, norms, ImageNet weights, what attention and dilation reach."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from encoder_states import resnet18_state
from torch import Tensor, nn

from fastcolor import models
from fastcolor.models.cgan_attention import SelfAttention


def resnet18_features(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """ResNet18 up to its last 3x3 map, in evaluation mode."""

    def norm(key: str, x: Tensor) -> Tensor:
        return F.batch_norm(x, *(state[f"{key}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))

    x = F.relu(norm("bn1", F.conv2d(x, state["conv1.weight"], stride=2, padding=3)))
    x = F.max_pool2d(x, 3, 2, 1)
    for layer in range(1, 5):
        for block in range(2):
            key, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            y = F.relu(norm(f"{key}.bn1", F.conv2d(x, state[f"{key}.conv1.weight"], stride=stride, padding=1)))
            y = norm(f"{key}.bn2", F.conv2d(y, state[f"{key}.conv2.weight"], padding=1))
            if f"{key}.downsample.0.weight" in state:
                shortcut = F.conv2d(x, state[f"{key}.downsample.0.weight"], stride=stride)
                x = norm(f"{key}.downsample.1", shortcut)
            x = F.relu(x + y)
    return x


def test_imagenet_encoder_sees_l_as_it_saw_gray_rgb() -> None:
    state = resnet18_state()
    model = models.build("resnet-unet", norm="batch")
    model.load_imagenet(state)
    model.eval()
    gray = torch.randn(2, 1, 64, 96)
    with torch.no_grad():
        rgb = F.conv2d(gray.expand(-1, 3, -1, -1), state["conv1.weight"], stride=2, padding=3)
        assert torch.allclose(model.features.conv1(gray), rgb, atol=1e-4)
        expected = resnet18_features(state, gray.expand(-1, 3, -1, -1))
        assert torch.allclose(model.features(gray), expected, atol=1e-3 * float(expected.abs().max()))


def test_group_norm_stands_in_for_every_batch_norm() -> None:
    state = resnet18_state()
    model = models.build("resnet-unet", norm="group", head="both")
    assert not [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    norms = [m for m in model.modules() if isinstance(m, nn.GroupNorm)]
    batch = models.build("resnet-unet", norm="batch", head="both")
    assert len(norms) == sum(isinstance(m, nn.BatchNorm2d) for m in batch.modules()) >= 20
    assert all(m.num_groups == 32 for m in norms)
    model.load_imagenet(state)
    assert torch.equal(model.features.layer3[0].body.conv1.weight, state["layer3.0.conv1.weight"])
    assert torch.equal(model.features.layer3[0].body.bn2.weight, state["layer3.0.bn2.weight"])
    assert torch.equal(model.features.layer3[0].downsample[1].bias, state["layer3.0.downsample.1.bias"])
    # No statistics: a picture's colours do not depend on its neighbours in the batch.
    lightness = torch.rand(3, 1, 64, 64) * 100
    assert torch.allclose(model(lightness)[:1], model(lightness[:1]), atol=1e-3)


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_other_encoders_are_refused(norm: str) -> None:
    model = models.build("resnet-unet", norm=norm)
    state = resnet18_state()
    deeper = {**state, "layer1.2.conv1.weight": torch.zeros(64, 64, 3, 3)}
    with pytest.raises(ValueError, match=r"must be a ResNet18 state dict .* 1 unknown \(layer1.2.body.conv1.weight\)"):
        model.load_imagenet(deeper)
    with pytest.raises(ValueError, match=r"1 missing \(layer4.1.body.conv2.weight\)"):
        model.load_imagenet({k: v for k, v in state.items() if k != "layer4.1.conv2.weight"})
    with pytest.raises(ValueError, match=r"\d+ missing .*conv1.weight"):
        model.load_imagenet({})
    with pytest.raises(ValueError, match=r"1 of another shape \(conv1.weight \(64, 1, 3, 3\) in place of"):
        model.load_imagenet({**state, "conv1.weight": torch.zeros(64, 3, 3, 3)})


@pytest.mark.parametrize("name", ["resnet-unet", "cgan-attention"])
def test_heads(name: str) -> None:
    lightness = torch.rand(2, 1, 64, 96) * 100
    classes = models.build(name, head="classes", bins=20)
    regressor = models.build(name, head="ab")
    both = models.build(name, head="both", bins=20).eval()
    assert (classes.kind, regressor.kind, both.kind) == ("classifier", "regressor", "regressor")
    assert classes(lightness).shape == (2, 20, 16, 24)
    ab = regressor(lightness)
    assert ab.shape == (2, 2, 64, 96) and ab.dtype == torch.float32 and float(ab.detach().abs().max()) < 110
    logits, ab = both(lightness, both=True)
    assert logits.shape == (2, 20, 16, 24) and torch.equal(ab, both(lightness))
    for network in (classes, regressor):
        with pytest.raises(ValueError, match="not built with head='both'"):
            network(lightness, both=True)
    with pytest.raises(ValueError, match="head: must be 'classes', 'ab' or 'both', got 'rgb'"):
        models.build(name, head="rgb")


def test_unknown_norm() -> None:
    with pytest.raises(ValueError, match="norm: must be 'group' or 'batch', got 'layer'"):
        models.build("resnet-unet", norm="layer")


def test_attention_is_softmax_over_all_positions() -> None:
    layer = SelfAttention(64, heads=4)
    x = torch.randn(2, 64, 5, 7)
    q, k, v = layer.query_key_value(layer.norm(x)).flatten(2).chunk(3, 1)  # each (N, 64, 35)
    found = []
    for head in range(4):
        rows = slice(16 * head, 16 * head + 16)
        weight = torch.einsum("ncl,ncm->nlm", q[:, rows], k[:, rows]).div(4).softmax(-1)
        found.append(torch.einsum("nlm,ncm->ncl", weight, v[:, rows]))
    expected = x + layer.out(torch.cat(found, 1).view_as(x))
    assert torch.allclose(layer(x), expected, atol=1e-5)


def test_attention_lets_every_pixel_see_the_whole_picture() -> None:
    model = models.build("cgan-attention", bins=8).eval()
    lightness = (torch.rand(1, 1, 384, 64) * 100).requires_grad_()
    model(lightness)[0, :, 0, 0].sum().backward()
    assert bool(lightness.grad[0, 0, -8:].abs().sum() > 0)
    for module in list(model.modules()):
        if isinstance(module, SelfAttention):
            nn.init.zeros_(module.out.weight)
    lightness.grad = None
    model(lightness)[0, :, 0, 0].sum().backward()
    # Without attention the convolutions see 22 cells of 1/8 beyond their own: 2 entering, 3, 5, 9 and 3 in the middle.
    cells = 1 + 22  # and the two convolutions after it see the next cell
    quarter = 2 * cells + 1 + 2
    half = 2 * quarter + 1 + 2
    assert int(lightness.grad[0, 0].abs().sum(1).nonzero().max()) == 2 * half + 1


def test_dropout_is_the_noise() -> None:
    model = models.build("cgan-attention", bins=8, dropout=0.3)
    lightness = torch.rand(2, 1, 64, 64) * 100
    assert not torch.equal(model(lightness), model(lightness))
    quiet = models.build("cgan-attention", bins=8, dropout=0.0)
    assert torch.equal(quiet(lightness), quiet(lightness))
    assert torch.equal(model.eval()(lightness), model(lightness))
