"""The emulated ops of pictures and films: bins, colour spaces, painting, time; conftest.py says what is emulated."""

from __future__ import annotations

import pytest
import torch
from emulated_ops import MARKS, gradient
from op_results import levels_apart, plane
from torch import Tensor

from fastcolor import Palette, ops, reference

pytestmark = MARKS


def assert_encoded(ab: Tensor, palette: Palette | None, neighbours: int, sigma: float = 5.0) -> None:
    index, weight = ops.encode_bins(ab, palette, neighbours=neighbours, sigma=sigma)
    exact_index, exact_weight = reference.encode_bins(ab.double(), palette, neighbours=neighbours, sigma=sigma)
    assert torch.equal(index, exact_index) and torch.allclose(weight.double(), exact_weight, atol=1e-6)


@pytest.mark.parametrize("neighbours", [1, 5, 16])
def test_encode_bins(neighbours: int) -> None:
    side = torch.arange(-48, 49) * 2.5  # all ties lie on this raster
    assert_encoded(torch.stack(torch.meshgrid(side, side, indexing="ij"))[None], None, neighbours)
    for scale in (30.0, 1e4, 1e30):
        assert_encoded(torch.randn(2, 2, 9, 31) * scale, None, neighbours)
    assert_encoded(torch.randn(2, 2, 9, 31) * 50, Palette(torch.randn(400, 2) * 40), neighbours, 3.0)


def test_encode_bins_of_nan_and_infinity() -> None:
    ab = torch.zeros(1, 2, 1, 4)
    ab[0, 0, 0, 1], ab[0, 1, 0, 2], ab[0, 0, 0, 3] = float("nan"), float("nan"), float("inf")
    index, weight = ops.encode_bins(ab)
    assert weight[0, :, 0, 0].isfinite().all() and weight[0, :, 0, 1:].isnan().all()
    assert int(index.min()) >= 0 and int(index.max()) < 313


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("layout", ["chw", "hwc"])
@pytest.mark.parametrize("size", [(1, 1), (33, 37), (30, 38)])  # the last is a multiple of four pixels
@pytest.mark.parametrize("offset", [0, 1])
def test_color(dtype: torch.dtype, layout: str, size: tuple[int, int], offset: int) -> None:
    shape = (2, 3, *size) if layout == "chw" else (2, *size, 3)
    rgb = torch.randint(0, 256, (6 * size[0] * size[1] + offset,), dtype=torch.uint8)
    image = (rgb if dtype == torch.uint8 else rgb.to(dtype) / 255)[offset:].view(shape)
    exact_image = image.double() / 255 if dtype == torch.uint8 else image.double()
    lab, exact = ops.rgb_to_lab(image, layout=layout), reference.rgb_to_lab(exact_image, layout=layout)
    assert torch.allclose(lab.double(), exact, atol=1e-9 if dtype == torch.float64 else 2e-3)
    back = ops.lab_to_rgb(lab, dtype=dtype, layout=layout)
    if dtype == torch.uint8:
        assert torch.equal(back, image)
        vivid = lab * torch.tensor([1.0, 1.6, 1.6]).view(3, 1, 1)
        for gamut, levels in (("clip", 1), ("chroma", 3)):
            ours, exact = (f.lab_to_rgb(vivid, layout=layout, gamut=gamut) for f in (ops, reference))
            assert levels_apart(ours, exact) <= levels
        return
    error = 1e-9 if dtype == torch.float64 else 2e-5
    assert torch.allclose(back.double(), exact_image, atol=error)
    # Inside the gamut: on its surface a rounding step decides whether the gradient is clipped.
    lab = ops.rgb_to_lab(image * 0.9 + 0.05, layout=layout)
    for name, source, options in (("rgb_to_lab", image, {}), ("lab_to_rgb", lab, {"dtype": dtype})):
        _, grad = gradient(getattr(ops, name), source, layout=layout, **options)
        options = {key: torch.float64 for key in options}
        _, exact_grad = gradient(getattr(reference, name), source.double(), layout=layout, **options)
        assert torch.allclose(grad.double(), exact_grad, rtol=1e-4, atol=error * float(exact_grad.abs().max()))


# (H, W, h, w); the last two shrink rows by more than the columns that shared memory holds, and by an odd ratio.
SIZES = [(45, 84, 16, 32), (33, 17, 40, 41), (1, 1, 8, 8), (7, 1, 3, 1), (4, 5003, 3, 1), (6, 4100, 5, 130)]


@pytest.mark.parametrize("size", SIZES)
def test_luma_to_input(order: str, size: tuple) -> None:
    height, width, h, w = size
    for bits, full_range in ((8, True), (8, False), (10, False)):
        luma, options = plane(height, width, bits), {"full_range": full_range, "bits": bits}
        exact = reference.luma_to_input(luma, (h, w), **options)
        assert torch.allclose(ops.luma_to_input(luma, (h, w), **options), exact, atol=2e-3)


@pytest.mark.parametrize("size", SIZES[:4])
@pytest.mark.parametrize("gamut", ["clip", "chroma"])
def test_paint_rgb(size: tuple, gamut: str) -> None:
    height, width, h, w = size
    ab = torch.randn(2, 2, h, w) * 30
    rgb = torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8)
    for source in (torch.rand(2, 1, height, width) * 100, rgb, plane(height, width, 8), plane(height, width, 16)):
        for guide in (None, torch.rand(2, 1, h, w) * 100):
            options = {"saturation": 1.3, "gamut": gamut, "guide": guide}
            ours, exact = (f.paint_rgb(ab, source, **options) for f in (ops, reference))
            assert levels_apart(ours, exact) <= (1 if gamut == "clip" else 3)


@pytest.mark.parametrize("size", SIZES[:4])
@pytest.mark.parametrize("subsampling", ["420", "422", "444"])
def test_paint_chroma(size: tuple, subsampling: str) -> None:
    height, width, h, w = size
    ab = torch.randn(2, 2, h, w) * 30
    ab[0, 0, 0, 0] = float("nan")  # no colour
    for bits, matrix, full_range, siting in ((8, "bt601", True, "center"), (10, "bt2020", False, "left")):
        options = {"subsampling": subsampling, "matrix": matrix, "full_range": full_range, "siting": siting}
        luma = plane(height, width, bits)
        for guide in (None, torch.rand(2, 1, h, w) * 100):
            options |= {"saturation": 0.8, "bits": bits, "guide": guide}
            ours, exact = (f.paint_chroma(ab, luma, **options) for f in (ops, reference))
            assert all(a.shape == b.shape and levels_apart(a, b) <= 1 for a, b in zip(ours, exact, strict=True))


@pytest.mark.parametrize("size", [(24, 40), (19, 29), (3, 5), (1, 1)])
@pytest.mark.parametrize("radius", [0, 6, 15])
def test_temporal(order: str, size: tuple, radius: int) -> None:
    luma, previous = plane(*size, 8), torch.randint(0, 256, (2, *size), dtype=torch.uint8)
    previous[0] = luma[0].roll((1, -2), (0, 1))
    motion, error = ops.block_motion(luma, previous, radius=radius)
    exact = reference.block_motion(luma, previous, radius=radius)
    assert torch.equal(motion, exact[0]) and torch.equal(error, exact[1])
    ab, before, keep = torch.randn(2, 2, *size), torch.randn(2, 2, *size), torch.tensor([0.9, 0.0])
    ours, exact = (f.temporal_average(ab, luma, before, previous, motion, keep=keep) for f in (ops, reference))
    assert torch.allclose(ours, exact, atol=1e-5)
