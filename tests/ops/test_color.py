"""rgb_to_lab and lab_to_rgb against the float64 reference."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from fastcolor import ops, reference

SHAPES = [(3, 1, 1), (2, 3, 33, 17), (2, 1, 3, 5, 700), (0, 3, 4, 4), (1, 3, 0, 7)]


def every_color() -> torch.Tensor:
    """(3, 4096, 4096) uint8: all 2^24 sRGB colours."""
    code = torch.arange(2**24, dtype=torch.int32)
    return torch.stack([code >> 16, (code >> 8) & 255, code & 255]).to(torch.uint8).view(3, 4096, 4096)


def test_every_color_comes_back_and_lies_near_float64(device: torch.device) -> None:
    rgb = every_color().to(device)
    lab = ops.rgb_to_lab(rgb)
    assert torch.equal(ops.lab_to_rgb(lab), rgb)
    worst = 0.0
    for rows in range(0, 4096, 512):
        exact = reference.rgb_to_lab(rgb[:, rows : rows + 512].double() / 255)
        worst = max(worst, float((lab[:, rows : rows + 512] - exact).abs().max()))
    assert worst <= 2e-3


def test_agrees_with_an_independent_library() -> None:
    color = pytest.importorskip("skimage.color")
    rgb = torch.randint(0, 256, (64, 65, 3), dtype=torch.uint8)
    expected = torch.from_numpy(color.rgb2lab(rgb.numpy())).permute(2, 0, 1)
    assert torch.allclose(ops.rgb_to_lab(rgb, layout="hwc").double(), expected, atol=2e-3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.float16])
def test_layouts_and_dtypes(device: torch.device, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    rgb = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
    image = rgb if dtype == torch.uint8 else (rgb.double() / 255).to(dtype)
    exact = reference.rgb_to_lab(image.double() / (255 if dtype == torch.uint8 else 1))
    lab = ops.rgb_to_lab(image)
    assert lab.dtype == (torch.float64 if dtype == torch.float64 else torch.float32) and lab.is_contiguous()
    assert torch.allclose(lab.double(), exact, atol=1e-9 if dtype == torch.float64 else 2e-3)
    assert torch.equal(ops.rgb_to_lab(image.movedim(-3, -1).contiguous(), layout="hwc"), lab)
    assert torch.equal(ops.lab_to_rgb(lab), ops.lab_to_rgb(lab, layout="hwc").movedim(-1, -3))
    back = ops.lab_to_rgb(lab, dtype=torch.float32)
    # A GPU's powers of two and logarithms are off by 2^-22, which its roots and powers enlarge.
    error = 6e-5 if device.type == "cuda" else 2e-5
    assert torch.allclose(back.double(), reference.lab_to_rgb(exact, dtype=torch.float64), atol=error)


def test_strides(device: torch.device) -> None:
    rgb = torch.randint(0, 256, (3, 3, 40, 50), dtype=torch.uint8, device=device)
    plain = ops.rgb_to_lab(rgb)
    assert torch.equal(ops.rgb_to_lab(rgb.to(memory_format=torch.channels_last)), plain)
    assert torch.equal(ops.rgb_to_lab(rgb[:, :, ::2, 1::3]), plain[:, :, ::2, 1::3])
    assert torch.equal(ops.lab_to_rgb(plain[:, :, ::2, 1::3]), rgb[:, :, ::2, 1::3])


def test_colors_outside_srgb(device: torch.device) -> None:
    lab = ops.rgb_to_lab(torch.randint(0, 256, (2, 3, 61, 67), dtype=torch.uint8, device=device))
    lab[:, 1:] *= 2
    for gamut in ("clip", "chroma"):
        ours = ops.lab_to_rgb(lab, gamut=gamut).int()
        exact = reference.lab_to_rgb(lab.double(), gamut=gamut).int()
        assert int((ours - exact).abs().max()) <= 1
    kept = reference.rgb_to_lab(ops.lab_to_rgb(lab, gamut="chroma", dtype=torch.float64))
    assert float((kept[:, 0] - lab[:, 0]).abs().max()) < 0.3  # lightness stays where clipping would move it
    hue = torch.atan2(kept[:, 2], kept[:, 1]) - torch.atan2(lab[:, 2], lab[:, 1]).double()
    colorful = kept[:, 1:].norm(dim=1) > 5
    assert float(torch.sin(hue[colorful]).abs().max()) < 0.05


def test_gradients(device: torch.device) -> None:
    rgb = (torch.rand(2, 3, 3, 4, dtype=torch.float64, device=device) * 0.98 + 0.01).requires_grad_()
    assert gradcheck(ops.rgb_to_lab, (rgb,))
    assert gradcheck(lambda x: ops.rgb_to_lab(x, layout="hwc"), (rgb.detach().movedim(1, -1).requires_grad_(),))
    lab = reference.rgb_to_lab(rgb.detach()).requires_grad_()
    assert gradcheck(lambda x: ops.lab_to_rgb(x, dtype=torch.float64), (lab,))
    assert gradcheck(lambda x: ops.lab_to_rgb(x, dtype=torch.float64, layout="hwc"), (lab,))


def test_gradients_in_float32_lie_near_float64(device: torch.device) -> None:
    rgb = torch.rand(2, 3, 31, 33, device=device, requires_grad=True)
    exact = rgb.detach().double().requires_grad_()
    upstream = torch.randn_like(rgb)
    ops.rgb_to_lab(rgb).backward(upstream)
    reference.rgb_to_lab(exact).backward(upstream.double())
    assert torch.allclose(rgb.grad.double(), exact.grad, rtol=1e-4, atol=1e-2)


def test_nan_stays_nan(device: torch.device) -> None:
    image = torch.full((3, 2, 3), 0.5, device=device)
    image[0, 1, 1] = float("nan")
    lab = ops.rgb_to_lab(image)
    assert bool(lab[:, 1, 1].isnan().all()) and int(lab.isnan().sum()) == 3
    rgb = ops.lab_to_rgb(lab, dtype=torch.float32)
    assert bool(rgb[:, 1, 1].isnan().all()) and int(rgb.isnan().sum()) == 3
    assert ops.lab_to_rgb(lab)[:, 1, 1].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ops.rgb_to_lab([1, 2, 3]), TypeError, "image: must be a torch.Tensor, got list"),
        (lambda: ops.rgb_to_lab(torch.zeros(3, 4, 4, dtype=torch.int32)), TypeError, "image: must be one of uint8"),
        (lambda: ops.rgb_to_lab(torch.zeros(4, 4, 3)), ValueError, r"image: must have shape \(…, 3, H, W\), got"),
        (lambda: ops.rgb_to_lab(torch.zeros(3, 4, 4), layout="nhwc"), ValueError, "layout: must be 'chw' or 'hwc'"),
        (lambda: ops.lab_to_rgb(torch.zeros(3, 4, 4), gamut="wide"), ValueError, "gamut: must be 'clip' or 'chroma'"),
        (lambda: ops.lab_to_rgb(torch.zeros(3, 4, 4), dtype=torch.int8), ValueError, "dtype: must be torch.uint8"),
        (
            lambda: ops.lab_to_rgb(torch.zeros(3, 4, 4, requires_grad=True), dtype=torch.float32, gamut="chroma"),
            ValueError,
            "gamut: must be 'clip' when lab requires a gradient",
        ),
    ],
)
def test_bad_input(call: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_nan_has_no_finite_gradient(device: torch.device) -> None:
    image = torch.full((3, 1, 1), math.nan, device=device, requires_grad=True)
    ops.rgb_to_lab(image).sum().backward()
    assert bool(image.grad.isnan().all())
