"""The very .cu files, compiled for the CPU and run through the bindings, against the float64 reference.

tests/emulation says how. Everything of the CUDA path runs here except a GPU's own arithmetic; thread order is shuffled
by seed, so that a missing barrier shows. FASTCOLOR_EMULATION_SANITIZE=address,undefined builds with sanitizers; their
runtimes must be preloaded into Python (LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ ...libubsan.so)").
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import torch
from emulation import build
from op_results import GRADIENT_STEP, levels_apart, plane
from torch import Tensor

from fastcolor import Palette, ops, reference
from fastcolor.ops import color, decode, encode, loss, paint, temporal
from fastcolor.ops._register import on_device_of_tensors

pytestmark = [
    pytest.mark.skipif(build.COMPILER is None, reason="no C++ compiler"),
    pytest.mark.builds("extension"),
    pytest.mark.usefixtures("one_thread"),
]

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
LAYOUTS = [torch.contiguous_format, torch.channels_last]
# (H, W): one pixel; an odd number, more than a tile; an even number (pairs of 16-bit values), more than two tiles.
SHAPES = [(1, 1), (5, 13), (6, 23)]


@pytest.fixture(scope="module")
def extension() -> ModuleType:
    return build.load()


@pytest.fixture(autouse=True)
def emulated(extension: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU tensors go to the emulated CUDA kernels."""
    for module in (color, encode, loss, decode, paint, temporal):
        monkeypatch.setattr(module, "_C", extension)
        monkeypatch.setattr(module, "target", lambda tensor: (0, 0, 1))


@pytest.fixture(params=["1", "2", "3"])
def order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FASTCOLOR_EMULATION_SEED", request.param)
    return request.param


def logits_of(
    shape: tuple[int, int], dtype: torch.dtype, memory: torch.memory_format, bins: int = 313, n: int = 2
) -> Tensor:
    return (torch.randn(n, bins, *shape) * 3).to(dtype).contiguous(memory_format=memory)


def gradient(function: object, leaf: Tensor, **options: object) -> tuple[Tensor, Tensor]:
    """(result, gradient) with an upstream gradient that depends on the place alone."""
    leaf = leaf.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    result = function(leaf * 1, **options)
    upstream = torch.linspace(0.5, 1.5, result.numel() + 1, dtype=torch.float64)[1:].to(result.dtype)
    result.backward(upstream.view(result.shape))
    return result.detach(), leaf.grad


def assert_loss(logits: Tensor, ab: Tensor, **options: object) -> None:
    ours, grad = gradient(ops.rebalanced_cross_entropy, logits, ab=ab, **options)
    exact, exact_grad = gradient(reference.rebalanced_cross_entropy, logits.double(), ab=ab, **options)
    assert torch.allclose(ours.double(), exact, rtol=3e-6, atol=3e-6)
    largest = float(exact_grad.abs().max())
    assert torch.allclose(grad.double(), exact_grad, rtol=0, atol=GRADIENT_STEP[logits.dtype] * largest)


# ---- loss ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_loss(order: str, dtype: torch.dtype, memory: torch.memory_format, shape: tuple[int, int]) -> None:
    logits, ab = logits_of(shape, dtype, memory), torch.randn(2, 2, *shape) * 40
    mask, weight = torch.rand(2, *shape) > 0.3, torch.rand(313) + 0.5
    mask[0, 0, 0] = True
    assert_loss(logits, ab, reduction="sum")
    assert_loss(logits, ab, reduction="none", class_weight=weight, mask=mask, gamma=2.0)
    assert_loss(logits, ab, reduction="weighted_mean", class_weight=weight, mask=mask, inplace=True)


@pytest.mark.parametrize(
    ("bins", "neighbours", "dtype"),
    [
        (8, 3, torch.float32),
        (100, 16, torch.bfloat16),
        (600, 5, torch.float32),  # NCHW: a tile beyond 48 KB, which has to be asked for
        (1024, 5, torch.float16),
        (1024, 8, torch.float32),  # NCHW: a tile too large to keep: logits are read twice
        (1024, 16, torch.float64),
    ],
)
@pytest.mark.parametrize("memory", LAYOUTS)
def test_loss_of_other_palettes(
    order: str, bins: int, neighbours: int, dtype: torch.dtype, memory: torch.memory_format
) -> None:
    palette = Palette(torch.randn(bins, 2) * 40)
    logits, ab = logits_of((3, 12), dtype, memory, bins, 1), torch.randn(1, 2, 3, 12) * 50
    options = {"palette": palette, "neighbours": neighbours, "sigma": 7.0, "inplace": True}
    assert_loss(logits, ab, **options, mask=torch.rand(1, 3, 12) > 0.2)
    if neighbours == 5:
        assert_loss(logits, ab, **options, reduction="weighted_mean", class_weight=torch.rand(bins))


@pytest.mark.parametrize("memory", LAYOUTS)
@pytest.mark.parametrize(("bins", "dtype"), [(313, torch.float32), (313, torch.bfloat16), (1024, torch.float64)])
def test_a_masked_pixel_counts_for_nothing_whatever_it_holds(
    bins: int, dtype: torch.dtype, memory: torch.memory_format
) -> None:
    palette = Palette.grid() if bins == 313 else Palette(torch.randn(bins, 2) * 40)
    logits, ab = logits_of((4, 10), dtype, memory, bins, 1), torch.randn(1, 2, 4, 10) * 40
    mask = torch.ones(1, 4, 10)
    mask[0, 1, 2] = mask[0, 3, 4] = 0
    clean, clean_grad = gradient(ops.rebalanced_cross_entropy, logits, ab=ab, mask=mask, palette=palette)
    logits[0, :, 1, 2], ab[0, :, 3, 4], logits[0, 7, 3, 4] = float("nan"), float("nan"), float("inf")
    total, grad = gradient(ops.rebalanced_cross_entropy, logits, ab=ab, mask=mask, palette=palette)
    assert torch.equal(total, clean) and torch.equal(grad, clean_grad)
    assert not grad[0, :, 1, 2].any() and not grad[0, :, 3, 4].any()


@pytest.mark.parametrize("memory", LAYOUTS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_values_give_a_non_finite_loss(memory: torch.memory_format, value: float) -> None:
    logits, ab = logits_of((3, 3), torch.float32, memory), torch.randn(2, 2, 3, 3) * 40
    spoilt = logits.clone()
    spoilt[1, 5, 0, 0] = value
    assert not ops.rebalanced_cross_entropy(spoilt, ab).isfinite()
    ab[0, 1, 2, 2] = value
    assert not ops.rebalanced_cross_entropy(logits, ab).isfinite()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory", LAYOUTS)
@pytest.mark.parametrize("offset", [0, 1])
def test_scale_grad(dtype: torch.dtype, memory: torch.memory_format, offset: int) -> None:
    shape = (2, 313, 3, 7)
    store = torch.randn(2 * 313 * 21 + offset, dtype=torch.float64).to(dtype)  # offset 1: not aligned to 16 bytes
    for factor in (torch.tensor(0.7, dtype=torch.float64), torch.rand(2, 3, 7, dtype=torch.float64)):
        grad = store.clone()[offset:]
        grad = grad.view(shape) if memory == torch.contiguous_format else grad.view(2, 3, 7, 313).permute(0, 3, 1, 2)
        factor = factor.to(loss.compute_dtype(grad))
        expected = (grad.double() * (factor.double()[:, None] if factor.dim() else factor.double())).to(dtype)
        loss.scale_grad_op(grad, factor)
        assert torch.allclose(grad.double(), expected.double(), rtol=2 * torch.finfo(dtype).eps)


def test_a_factor_of_one_touches_nothing() -> None:
    """A signalling NaN that had been read and written would have become a quiet one."""
    bits = torch.full((1, 8, 4, 4), 0x7F81, dtype=torch.int16)
    loss.scale_grad_op(bits.view(torch.bfloat16), torch.tensor(1.0))
    assert bits.eq(0x7F81).all()


# ---- decode ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_annealed_mean(order: str, dtype: torch.dtype, memory: torch.memory_format, shape: tuple[int, int]) -> None:
    logits = logits_of(shape, dtype, memory)
    for temperature in (0, 0.38, 3.0):
        ab, grad = gradient(ops.annealed_mean, logits, temperature=temperature)
        exact, exact_grad = gradient(reference.annealed_mean, logits.double(), temperature=temperature)
        assert torch.allclose(ab.double(), exact, rtol=0, atol=1e-9 if dtype == torch.float64 else 1e-3)
        atol = 3 * GRADIENT_STEP[dtype] * float(exact_grad.abs().max())
        assert torch.allclose(grad.double(), exact_grad, rtol=0, atol=atol)


@pytest.mark.parametrize("memory", LAYOUTS)
@pytest.mark.parametrize("bins", [8, 13, 1024])
def test_annealed_mean_of_other_palettes(memory: torch.memory_format, bins: int) -> None:
    palette, logits = Palette(torch.randn(bins, 2) * 40), logits_of((3, 11), torch.float32, memory, bins)
    for temperature in (0, 0.38):
        ab = ops.annealed_mean(logits, palette=palette, temperature=temperature)
        exact = reference.annealed_mean(logits.double(), palette=palette, temperature=temperature)
        assert torch.allclose(ab.double(), exact, atol=1e-3)


@pytest.mark.parametrize("memory", LAYOUTS)
def test_annealed_mean_at_the_edges(order: str, memory: torch.memory_format) -> None:
    points = Palette.grid().points
    logits = torch.zeros(1, 313, 1, 6)
    logits[0, [17, 200], 0, 1] = 4
    logits[0, 299, 0, 2], logits[0, 9, 0, 3] = 1e30, float("nan")
    logits[0, :, 0, 4] = float("-inf")
    logits[0, 11, 0, 4] = 0
    logits[0, :, 0, 5] = float("nan")
    logits = logits.contiguous(memory_format=memory)
    mode = ops.annealed_mean(logits, temperature=0)[0, :, 0].T
    assert torch.equal(mode[[0, 1, 2, 4]], points[[0, 17, 299, 11]]) and mode[[3, 5]].isnan().all()
    mean = ops.annealed_mean(logits, temperature=0.38)[0, :, 0].T
    assert torch.equal(mean[2], points[299]) and mean[[3, 5]].isnan().all() and mean[[0, 1, 2, 4]].isfinite().all()
    assert torch.allclose(mean[4], points[11], atol=1e-4)


@pytest.mark.parametrize("memory", LAYOUTS)
@pytest.mark.parametrize(("dtype", "level", "error"), [
    (torch.float64, -1e39, 1e-9), (torch.float64, -1e300, 1e-9), (torch.float64, -6e307, 1e-9),
    (torch.float32, -3.4e38, 1e-4), (torch.float32, 3.4e38, 1e-4), (torch.float32, -2e38, 1e-4),
    (torch.float32, 7e8, 1e-4), (torch.float32, -1e6, 1e-4),
])  # fmt: skip
def test_logits_far_from_zero(memory: torch.memory_format, dtype: torch.dtype, level: float, error: float) -> None:
    """The largest logit of a pixel is found among doubles that no float reaches; and where a logit's product with
    log2 e is infinite, as a mask's lowest number has it, or rounded by more than logits differ, gradients hold."""
    logits = torch.full((1, 313, 3, 13), level, dtype=dtype)
    logits[0, 17, 0, 1], logits[0, :, 0, 2], logits[0, 11, 0, 2] = 0.9 * level, float("-inf"), level
    if abs(level) < 1e9:
        logits[:, :, 1:] += torch.randn(1, 313, 2, 13) * (3 if abs(level) < 1e7 else 100)
    logits = logits.contiguous(memory_format=memory)
    assert_loss(logits, torch.randn(1, 2, 3, 13) * 40, reduction="none", mask=~logits[:, 0].isinf())
    (ab, grad), (exact, exact_grad) = (
        gradient(f.annealed_mean, z) for f, z in ((ops, logits), (reference, logits.double()))
    )
    assert torch.allclose(ab.double(), exact, rtol=0, atol=error)
    assert torch.allclose(grad.double(), exact_grad, rtol=0, atol=error)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory", LAYOUTS)
def test_infinite_logits(dtype: torch.dtype, memory: torch.memory_format) -> None:
    """A pixel whose logits are all -infinity, and one that holds NaN or infinity, has no colour; one -infinity is fine.
    No other pixel is touched."""
    nan, inf = float("nan"), float("inf")
    logits, ab = logits_of((2, 20), dtype, memory), torch.randn(2, 2, 2, 20) * 40
    logits[0, :, 0, 0], logits[0, :, 0, 3], logits[0, :, 0, 5] = -inf, nan, inf
    logits[1, 5, 1, 1], logits[1, 200, 1, 2], logits[1, 312, 1, 4] = nan, inf, -inf
    for name, options in (("annealed_mean", {}), ("rebalanced_cross_entropy", {"ab": ab, "reduction": "none"})):
        result, grad = gradient(getattr(ops, name), logits, **options)
        exact, exact_grad = gradient(getattr(reference, name), logits.double(), **options)
        assert torch.equal(result.isfinite(), exact.isfinite()) and 0 < int(exact.isfinite().sum()) < exact.numel()
        assert torch.equal(grad.isnan(), exact_grad.isnan())
        largest = float(exact_grad.nan_to_num(0).abs().max())
        assert torch.allclose(grad.nan_to_num(0).double(), exact_grad.nan_to_num(0), rtol=0,
                              atol=3 * GRADIENT_STEP[dtype] * largest)  # fmt: skip


# ---- encode ----


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


# ---- color ----


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


# ---- pictures and film ----

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


# ---- launches ----


def launches(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTCOLOR_EMULATION_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def run_everything(size: tuple[int, int], n: int = 2) -> None:
    """Every op, forward and backward, every dtype and layout."""
    ab, luma = torch.randn(n, 2, *size) * 40, plane(*size, 8)[:n]
    for dtype in DTYPES:
        for memory in LAYOUTS:
            logits = logits_of(size, dtype, memory, n=n).requires_grad_()
            for reduction in ("weighted_mean", "none"):
                per_pixel = ops.rebalanced_cross_entropy(logits, ab, reduction=reduction)
                (per_pixel.sum() * 2).backward()
            for temperature in (0, 0.38):
                ops.annealed_mean(logits, temperature=temperature).sum().backward()
    for dtype in (torch.uint8, torch.float32, torch.float64):
        image = torch.rand(n, 3, *size) if dtype != torch.uint8 else torch.zeros(n, 3, *size)
        image = image.to(dtype).requires_grad_(dtype != torch.uint8)
        lab = ops.rgb_to_lab(image)
        rgb = ops.lab_to_rgb(lab, dtype=dtype)
        if dtype != torch.uint8:
            rgb.sum().backward()
    ops.encode_bins(ab)
    small = ab[..., :1, :1]
    for guide in (None, small[:, :1]):
        for source in (ab[:, :1] + 50, luma[..., None].expand(-1, -1, -1, 3), luma, luma.to(torch.uint16)):
            ops.paint_rgb(small, source, guide=guide)
        for film in (luma, luma.to(torch.uint16)):
            ops.paint_chroma(small, film, subsampling="420", matrix="bt709", full_range=False, guide=guide)
    for film in (luma, luma.to(torch.uint16)):
        ops.luma_to_input(film, (3, 4))
    motion, _ = ops.block_motion(luma, luma, radius=2)
    ops.temporal_average(ab, luma, ab, luma, motion)


def test_every_kernel_and_every_instance_of_it_runs(
    extension: ModuleType, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_everything((3, 5))
    run_everything((2, 4))
    monkeypatch.setenv("FASTCOLOR_EMULATION_SHARED", str(16 << 10))  # too little to keep a tile of logits
    run_everything((3, 5))
    run_everything((2, 4))
    run = {int(line.split()[1], 16) for line in launches(log) if line.startswith("launch")}
    symbols = subprocess.run(["nm", "-C", extension.__file__], capture_output=True, text=True, check=True).stdout
    kernels = {}
    for line in symbols.splitlines():
        match = re.match(r"([0-9a-f]+) \w (?:void )?fastcolor::cuda::\(anonymous namespace\)::(\w+_kernel\b.*)", line)
        if match and "lambda" not in line and "[clone" not in line:
            kernels[int(match[1], 16)] = match[2]
    assert len(kernels) > 60
    assert not {name for address, name in kernels.items() if address not in run}


def test_empty_inputs_launch_nothing(log: Path) -> None:
    run_everything((3, 5), n=0)
    logits = torch.zeros(2, 313, 0, 4, requires_grad=True)
    ab = ops.annealed_mean(logits)
    (ops.rebalanced_cross_entropy(logits, ab.detach(), reduction="none") * 2).sum().backward()
    ops.encode_bins(ab.detach())
    ops.lab_to_rgb(ops.rgb_to_lab(torch.zeros(3, 5, 0)))
    assert launches(log) == []


def test_stream_and_device(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launch goes to its tensor's device and the current stream, and leaves the current device as it was."""
    for module in (color, encode, loss, decode, paint, temporal):
        monkeypatch.setattr(module, "target", lambda tensor: (1, 0x5EED, 1))
    run_everything((2, 4))
    lines = [line for line in launches(log) if not line.startswith("most shared memory")]
    assert len(lines) > 60 and len(lines) % 3 == 0
    for before, launch, after in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        assert before == "device 1" and launch.endswith("device 1 stream 5eed") and after == "device 0"


def test_an_op_runs_with_its_own_gpu_current(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's guard stands around it, which opens no context where there was none; the library's own has nothing to
    restore. Torch is stood in for by what notes who comes and goes."""
    seen: list[object] = []

    @contextmanager
    def device(which: torch.device) -> Iterator[None]:
        seen.append(which)
        yield
        seen.append("left")

    monkeypatch.setattr(torch.cuda, "device", device)
    run = on_device_of_tensors(lambda palette, x: seen.append("run") or x + 1)
    assert float(run("key", torch.zeros(()))) == 1
    assert seen == [torch.device("cpu"), "run", "left"]


def test_no_launch_lowers_what_another_needs(log: Path) -> None:
    """The limit of shared memory is the kernel's: launches of two threads, with palettes of two sizes, share it."""
    for bins in (600, 440):
        palette = Palette(torch.randn(bins, 2) * 40)
        ops.rebalanced_cross_entropy(torch.randn(1, bins, 1, 32), torch.randn(1, 2, 1, 32) * 40, palette=palette)
    limits = [int(line.split()[-1]) for line in launches(log) if line.startswith("most shared memory")]
    assert limits == [227 << 10] * 2


def test_a_failed_launch_throws_where_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "target", lambda tensor: (7, 0, 1))
    with pytest.raises(RuntimeError, match=r"encode\.cu:\d+: emulation: no such device"):
        ops.encode_bins(torch.zeros(1, 2, 4, 4))


@pytest.mark.builds("sanitized extension")
@pytest.mark.skipif(build.SANITIZE in os.environ, reason="all of this run is sanitized")
def test_no_kernel_leaves_its_memory(pytestconfig: pytest.Config) -> None:
    """Every instance of every kernel once more, under AddressSanitizer and UBSan. .ci/sanitize runs all tests so."""
    runtimes = build.sanitizer_runtimes()
    if runtimes is None:
        pytest.skip(f"{build.COMPILER} has no sanitizers")
    environment = {
        **os.environ,
        build.SANITIZE: build.SANITIZERS,
        "LD_PRELOAD": runtimes,
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "halt_on_error=1",
    }
    command = [sys.executable, "-m", "pytest", "-q", f"{__file__}::test_every_kernel_and_every_instance_of_it_runs"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=pytestconfig.rootpath
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]


# ---- the emulation itself ----

FAULTS = {
    "none": "right",
    "missing_barrier": "NaN",
    "race_in_one_order": "NaN",
    "divergent_barrier": r"faults\.cu:\d+: .*threads wait at different barriers or shuffles, block 0",
    "return_before_barrier": "a barrier that threads which have returned never reach",
    "divergent_shuffle": "threads wait at different barriers or shuffles",
    "shared_overrun": "shared memory was written out of bounds",
    "uninitialised": "NaN",
}
SANITIZED_FAULTS = {
    "none": "right",
    "race_in_one_order": "NaN",
    "shared_overrun": "AddressSanitizer: use-after-poison",
    "global_overrun": "AddressSanitizer: heap-buffer-overflow",
}


@pytest.mark.parametrize(
    "sanitize",
    [
        pytest.param(False, marks=pytest.mark.builds("faults")),
        pytest.param(True, marks=pytest.mark.builds("sanitized faults")),
    ],
)
def test_planted_faults_are_caught(sanitize: bool) -> None:
    program = build.faults(build.SANITIZERS if sanitize else "")

    def words(fault: str, seed: str) -> str:
        environment = {**os.environ, "FASTCOLOR_EMULATION_SEED": seed}
        done = subprocess.run([program, fault], capture_output=True, text=True, check=False, env=environment)
        assert (done.returncode == 0) == ("right" in done.stdout)
        return done.stdout + done.stderr

    for fault, expected in (SANITIZED_FAULTS if sanitize else FAULTS).items():
        for seed in ("1", "2"):
            assert re.search(expected, words(fault, seed)), fault
    assert "right" in words("race_in_one_order", "")  # one order of threads hides it: why the order is shuffled
