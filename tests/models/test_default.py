"""The default network: what its trunk expects, and what hints do."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fastcolor import models, ops
from fastcolor.models.efficientnet import EfficientNetLite0, SameConv2d
from fastcolor.models.hints import Match, cells_of


@pytest.mark.parametrize(("kernel", "size"), [(3, 8), (3, 9), (5, 8), (5, 11), (3, 1)])
def test_strided_convolutions_pad_as_tensorflow_does(kernel: int, size: int) -> None:
    """Output i looks at inputs from 2 i - before on, with `before` of TensorFlow's documentation."""
    conv = SameConv2d(1, 1, kernel, 2, bias=False)
    picture = torch.randn(1, 1, size, size)
    out = math.ceil(size / 2)
    before = max((out - 1) * 2 + kernel - size, 0) // 2
    wide = F.pad(picture, (kernel, 2 * kernel, kernel, 2 * kernel))
    expected = [
        [
            float((wide[0, 0, y : y + kernel, x : x + kernel] * conv.weight[0, 0].detach()).sum())
            for x in (2 * j - before + kernel for j in range(out))
        ]
        for y in (2 * i - before + kernel for i in range(out))
    ]
    assert torch.allclose(conv(picture)[0, 0], torch.tensor(expected), atol=1e-5)


def imagenet() -> dict[str, Tensor]:
    """A state dict of the published names, of random weights."""
    trunk = EfficientNetLite0().state_dict()
    return {k.removeprefix("stem."): torch.rand(v.shape) for k, v in trunk.items() if "batches" not in k}


def test_the_trunk_sees_gray_pictures_as_the_published_network_does() -> None:
    state = imagenet()
    extra = {"conv_head.weight": torch.zeros(1280, 320, 1, 1), "classifier.weight": torch.zeros(1000, 1280)}
    model, published = models.build("default").eval(), EfficientNetLite0().eval()
    model.load_imagenet({**state, **extra, "bn2.weight": torch.zeros(1280)})
    published.load_state_dict(
        {f"stem.{k}" if k.startswith(("conv_stem", "bn1.")) else k: v for k, v in state.items()}, strict=False
    )
    gray = torch.randint(0, 256, (2, 1, 64, 96), dtype=torch.uint8)
    lightness = ops.rgb_to_lab(gray.expand(-1, 3, -1, -1))[:, :1]
    seen: list[Tensor] = []
    with torch.no_grad():
        model.encoder.register_forward_hook(lambda module, given, found: seen.extend(found))
        model(lightness)
        expected = published(((gray - 127.0) / 128).expand(-1, 3, -1, -1))
    assert [tuple(level.shape) for level in seen] == [(2, 24, 16, 24), (2, 40, 8, 12), (2, 112, 4, 6), (2, 320, 2, 3)]
    for ours, theirs in zip(seen, expected, strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < 0.02
    with pytest.raises(ValueError, match="encoder weights: must be an EfficientNet-Lite0 state dict"):
        model.load_imagenet({k: v for k, v in state.items() if "blocks.4" not in k})


def test_kept_statistics_fold_into_convolutions_without_a_trace() -> None:
    model = models.build("default")
    lightness = torch.rand(4, 1, 64, 64) * 100
    for _ in range(3):  # statistics away from their start
        model(lightness)
    folded = model.eval()(lightness)
    plain = model.encoder
    for module in plain.modules():
        if type(module).__name__ in ("Separable", "Inverted", "Folding"):
            module.forward = lambda x, m=module: _plainly(m, x)
    assert torch.allclose(model(lightness), folded, atol=1e-4 * float(folded.abs().max()))


def _plainly(block: torch.nn.Sequential, x: Tensor) -> Tensor:
    y = x
    for layer in block:
        y = layer(y)
    return x + y if getattr(block, "residual", False) else y


def hinted(ab: tuple[float, float], where: tuple[slice, slice], size: int = 64) -> tuple[Tensor, Tensor]:
    planes, mask = torch.zeros(1, 2, size, size), torch.zeros(1, 1, size, size)
    planes[0, :, where[0], where[1]] = torch.tensor(ab)[:, None, None]
    mask[0, 0, where[0], where[1]] = 1
    return planes, mask


def talkative() -> torch.nn.Module:
    """A network whose hints are heard though it was never trained."""
    torch.manual_seed(0)
    model = models.build("default").eval()
    last = model.hints.say[-1]
    torch.nn.init.normal_(last.weight, 0, 0.1)
    torch.nn.init.normal_(last.bias, 0, 0.1)
    return model


@torch.no_grad()
def test_hints_change_the_picture_they_are_of_and_no_other() -> None:
    model = talkative()
    lightness = torch.rand(2, 1, 64, 64) * 100
    plain = model(lightness)
    ab, mask = hinted((40.0, -20.0), (slice(8, 12), slice(20, 24)))
    none = torch.zeros_like(ab), torch.zeros_like(mask)
    assert torch.equal(model(lightness[:1], none), model(lightness[:1]))
    both = model(lightness, (torch.cat([ab, none[0]]), torch.cat([mask, none[1]])))
    assert torch.allclose(both[1], plain[1], atol=1e-5) and not torch.allclose(both[0], plain[0], atol=1e-2)
    for seen in (model.features(lightness[:1]), model.maps(lightness[:1])):
        assert torch.allclose(model.colours(seen, (ab, mask)), both[:1], atol=1e-4)
    # What lies under no mask says nothing.
    loud = ab + 30 * (mask == 0)
    assert torch.equal(model(lightness[:1], (loud, mask)), model(lightness[:1], (ab, mask)))
    for wrong in ((ab[:, :1], mask), (ab, mask[..., :32]), (ab.expand(2, -1, -1, -1), mask)):
        with pytest.raises(ValueError, match=r"hints: (ab|mask) must have shape \(1, [12], 64, 64\), got"):
            model(lightness[:1], wrong)


@torch.no_grad()
def test_a_changed_hint_is_where_its_work_begins() -> None:
    model, ran = talkative(), []
    encoded = model.features(torch.rand(1, 1, 64, 64) * 100)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
    model.colours(encoded, hinted((40.0, -20.0), (slice(8, 12), slice(20, 24))))
    assert ran == ["hints.say.2", "mix_4.0"]


def matched(looks: Tensor, places: dict[tuple[int, int, int, int], tuple[float, float]], part: int) -> Tensor:
    """What cells of these looks find, told ab in units of the network's at places (top, bottom, left, right) of the
    picture. part: cells of the looks a side of 16 pixels."""
    height, width = (16 // part * side for side in looks.shape[2:])
    ab, mask = torch.zeros(1, 2, height, width), torch.zeros(1, 1, height, width)
    for (top, bottom, left, right), colour in places.items():
        ab[0, :, top:bottom, left:right] = 50 * torch.tensor(colour)[:, None, None]
        mask[0, 0, top:bottom, left:right] = 1
    _, here_16, covered = cells_of(ab, mask)
    match = Match(1, part, 64).eval()
    return match(F.normalize(looks, dim=1), match.asked(here_16, covered if part == 4 else here_16[:, 2:]))


@torch.no_grad()
def test_what_looks_alike_asks_the_hint_that_lies_nearer() -> None:
    looks = torch.zeros(1, 32, 4, 4)
    looks[:, 0, :, :2] = 1  # left and right halves look different
    looks[:, 1, :, 2:] = 1
    upper = {(0, 16, 0, 16): (1.0, 0.5)}
    found = matched(looks, upper, 1)
    assert float(found[0, 2, :, :2].min()) > 0.8 and float(found[0, 2, :, 2:].max()) < 0.1
    assert torch.allclose(found[0, 0], found[0, 2], atol=1e-5) and torch.allclose(
        found[0, 1], found[0, 2] / 2, atol=1e-5
    )
    found = matched(looks, {**upper, (48, 64, 16, 32): (-1.0, 0.0)}, 1)
    assert float(found[0, 0, 0, 0]) > 0 > float(found[0, 0, 3, 0])
    assert not bool(matched(looks, {}, 1).any())


@torch.no_grad()
def test_where_things_meet_inside_a_cell_each_follows_what_was_told_of_its_own() -> None:
    looks = torch.zeros(1, 32, 16, 16)
    looks[:, 0, :, :6], looks[:, 1, :, 6:] = 1, 1  # an edge inside the second column of cells of 16 x 16 pixels
    found = matched(looks, {(20, 24, 16, 20): (1.0, 0.5)}, 4)  # left of it, in that column
    assert float(found[0, 2, :, :6].min()) > 0.8 and float(found[0, 2, :, 6:].max()) < 0.1
    assert torch.allclose(found[0, 1], found[0, 2] / 2, atol=1e-5)
    both = matched(looks, {(20, 24, 16, 20): (1.0, 0.5), (20, 24, 60, 64): (-1.0, 0.5)}, 4)
    assert float(both[0, 0, :, :6].min()) > 0.8 and float(both[0, 0, :, 6:].max()) < -0.8


@torch.no_grad()
def test_of_more_told_places_than_are_asked_those_count_that_lie_all_over() -> None:
    halves = {(0, 128, 0, 256): (0.8, 0.4), (128, 256, 0, 256): (-0.8, 0.4)}
    found = matched(torch.ones(1, 32, 64, 64), halves, 4)
    assert float(found[0, 0, :16].min()) > 0.1 and float(found[0, 0, -16:].max()) < -0.1
    assert torch.allclose(found[0, 1] / found[0, 2], torch.tensor(0.4), atol=1e-4)


@torch.no_grad()
def test_a_trusted_colour_is_what_the_classes_say() -> None:
    model = models.build("default").eval()
    model.hints.say[-1].bias[0] = 3.0  # what is told of a cell itself, and nothing else
    lightness = torch.rand(1, 1, 64, 64) * 100
    logits = model(lightness, hinted((40.0, -20.0), (slice(24, 32), slice(24, 32))))
    ab, plain = (ops.annealed_mean(one, temperature=0.4) for one in (logits, model(lightness)))
    assert float((ab[0, :, 6:8, 6:8].mean((1, 2)) - torch.tensor([40.0, -20.0])).norm()) < 8
    away = (ab - plain).norm(dim=1)[0]
    away[6:8, 6:8] = 0
    assert float(away.max()) < 1e-3


@torch.no_grad()
def test_where_colours_are_told_what_is_likely_is_mixed_more() -> None:
    """Logits there are 0.3 of those that are learnt, less so the less they are told; elsewhere they are the same."""
    model = models.build("default").eval()
    model.hints.say[-1].bias[0] = 1.0
    seen = model.features(torch.rand(1, 1, 64, 64) * 100)
    ab, mask = hinted((40.0, -20.0), (slice(24, 32), slice(24, 32)))
    for strength in (1.0, 0.4):
        model.hints.train()  # alone, as `train --preset hints` has it
        learnt = model.colours(seen, (ab, strength * mask))
        logits = model.eval().colours(seen, (ab, strength * mask))
        factor = torch.ones(1, 1, 16, 16)
        factor[..., 6:8, 6:8] = 1 - 0.7 * strength
        assert torch.allclose(logits, factor * learnt, atol=1e-5)


def test_hints_learn() -> None:
    """Gradients reach all of them but those behind the zeros that they start from, and these after a step."""
    torch.manual_seed(0)
    model = models.build("default")
    optimiser = torch.optim.SGD(model.hints.parameters(), 1.0)
    lightness, truth = torch.rand(2, 1, 64, 64) * 100, torch.randn(2, 2, 16, 16) * 20
    ab, mask = (plane.expand(2, -1, -1, -1) for plane in hinted((10.0, 20.0), (slice(16, 48), slice(16, 48))))
    for _ in range(2):
        optimiser.zero_grad()
        ops.rebalanced_cross_entropy(model(lightness, (ab, mask)), truth).backward()
        optimiser.step()
    for name, parameter in model.hints.named_parameters():
        assert bool(parameter.grad.isfinite().all()) and float(parameter.grad.abs().max()) > 0, name
