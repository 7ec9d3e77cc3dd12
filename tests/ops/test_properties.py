"""Every op against the float64 reference, over shapes, strides, dtypes and options that hypothesis draws.

The rule: off by no more than twice what plain torch is off by in the same dtype, or by the op's own stated bound. The
draws are the same in every run; FASTCOLOR_EXAMPLES=1000 draws that many, fresh each time.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from op_results import GRADIENT_STEP
from torch import Tensor

from fastcolor import Palette, ops, reference

EXAMPLES = os.environ.get("FASTCOLOR_EXAMPLES")
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def drawn(examples: int) -> Callable[..., Any]:
    """Hypothesis' settings: `examples` draws, for about three seconds."""
    return settings(
        max_examples=int(EXAMPLES or examples),
        derandomize=EXAMPLES is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


# Most tensors here are small; test_threads.py has the others.
pytestmark = pytest.mark.usefixtures("one_thread")

# ---- what is drawn ----

seeds = st.integers(0, 2**31 - 1).map(lambda seed: torch.Generator().manual_seed(seed))
# One pixel; less and more than any vector; a few rows; nothing at all.
sides = st.sampled_from((1, 2, 3, 5, 7, 8, 13, 16, 17, 24, 31, 33)) | st.integers(1, 40)
batches = st.sampled_from((1, 2, 3, 1, 2, 0))
planes = st.tuples(batches, sides, sides) | st.tuples(st.integers(1, 2), st.just(0), sides)
switches = st.booleans()


@st.composite
def views(draw: st.DrawFn) -> Callable[[Tensor], Tensor]:
    """A way to lay out a tensor in memory: same shape, other strides. All but "expanded" keep its values."""
    kind = draw(st.sampled_from(("plain", "offset", "sliced", "transposed", "channels_last", "expanded")))
    step, start, order = draw(st.integers(1, 3)), draw(st.integers(0, 3)), draw(st.integers(0, 23))
    along = draw(st.integers(0, 3))

    def lay_out(tensor: Tensor) -> Tensor:
        dims = tensor.dim()
        if kind == "offset":  # contiguous, but not where an allocation begins
            store = around(tensor.numel() + start, tensor)[start:]
            return store.view(tensor.shape).copy_(tensor)
        if kind == "sliced":
            shape = [*tensor.shape[:-2], *(start + step * size for size in tensor.shape[-2:])]
            return around(shape, tensor)[..., start::step, start::step].copy_(tensor)
        if kind == "transposed":
            rest, ways = list(range(dims)), order
            permutation = [rest.pop(ways // k % len(rest)) for k in range(1, dims + 1)]
            back = [permutation.index(dim) for dim in range(dims)]
            return tensor.permute(permutation).contiguous().permute(back)
        if kind == "channels_last" and dims == 4:
            return tensor.contiguous(memory_format=torch.channels_last)
        if kind == "expanded" and tensor.numel():
            return tensor.narrow(along % dims, 0, 1).expand(tensor.shape)
        return tensor

    return lay_out


def around(shape: Any, like: Tensor) -> Tensor:
    """Memory whose every value would be noticed in a result."""
    return torch.full([shape] if isinstance(shape, int) else shape, float("nan") if like.is_floating_point() else 255,
                      dtype=like.dtype, device=like.device)  # fmt: skip


@functools.cache
def palette_of(kind: str, bins: int) -> Palette:
    generator = torch.Generator().manual_seed(bins)
    if kind == "grid":
        return Palette.grid()
    if kind == "square":
        return Palette.square()
    if kind == "kmeans":
        ab = torch.randn(1, 2, 64, 64, generator=generator) * 35
        return Palette.kmeans(ab, bins=bins, seed=bins)
    # On whole multiples of 5, in no order: ties between many bins, and no lattice to tell them by.
    nodes = torch.cartesian_prod(*[torch.arange(-20, 21) * 5.0] * 2)
    return Palette(nodes[torch.randperm(len(nodes), generator=generator)[:bins]])


@st.composite
def palettes(draw: st.DrawFn) -> tuple[Palette, int]:
    """(palette, neighbours)."""
    kind = draw(st.sampled_from(("grid", "grid", "square", "kmeans", "kmeans", "shuffled")))
    palette = palette_of(kind, draw(st.sampled_from((8, 9, 16, 31, 100, 255, 512, 777, 1024))))
    return palette, draw(st.integers(1, min(16, len(palette))) | st.just(5))


@st.composite
def colors(draw: st.DrawFn) -> Callable[[tuple[int, ...], torch.Generator], Tensor]:
    """How to make ab: random, far outside any gamut, or on a raster where distances to bins are equal."""
    spacing = draw(st.sampled_from((None, None, 5.0, 2.5, 10.0)))
    scale = draw(st.sampled_from((1e-6, 40.0, 40.0, 120.0, 1e6)))

    def make(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        if spacing is None:
            return torch.randn(shape, generator=generator) * scale
        return torch.randint(-26, 27, shape, generator=generator) * spacing

    return make


# ---- how results are compared ----


def worst(ours: Tensor, exact: Tensor) -> float:
    """The largest difference; NaN must stand where NaN does."""
    assert ours.shape == exact.shape
    ours, exact = ours.double(), exact.double()
    assert torch.equal(ours.isnan(), exact.isnan())
    difference = torch.where(ours == exact, 0.0, ours - exact).nan_to_num(0.0, float("inf"), float("-inf"))
    return float(difference.abs().max()) if difference.numel() else 0.0


def largest(tensor: Tensor) -> float:
    return float(tensor.abs().nan_to_num().max()) if tensor.numel() else 0.0


def assert_as_good(ours: Tensor, own: Tensor, exact: Tensor, bound: float) -> None:
    """ours, own, exact: of the op, of plain torch in the same dtype, and of plain torch in float64."""
    assert worst(ours, exact) <= max(2 * worst(own, exact), bound), (worst(ours, exact), worst(own, exact), bound)


def with_gradient(function: Any, leaf: Tensor, upstream: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """(result, gradient). In place only what is no leaf can be written over."""
    leaf = leaf.detach().requires_grad_()
    result = function(leaf * 1 if options.get("inplace") else leaf, **options)
    grad = torch.autograd.grad(result, leaf, upstream.to(result.dtype).view(result.shape))[0]
    assert not grad.requires_grad and grad.shape == leaf.shape
    return result.detach(), grad


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


# ---- color ----


def images_of(shape: tuple[int, ...], layout: str, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    shape = (*shape[:-2], 3, *shape[-2:]) if layout == "chw" else (*shape, 3)
    codes = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return codes if dtype == torch.uint8 else (codes.double() / 255).to(dtype)


leading = st.lists(st.integers(0, 3), max_size=2).map(tuple)
layouts = st.sampled_from(("chw", "hwc"))


@drawn(80)
@given(seeds, leading, sides, sides, layouts, st.sampled_from((torch.uint8, *FLOATS)), views())
def test_rgb_to_lab(device: torch.device, generator, lead, height, width, layout, dtype, view) -> None:
    image = view(images_of((*lead, height, width), layout, dtype, generator).to(device))
    exact_image = image.double() / 255 if dtype == torch.uint8 else image.double()
    exact = reference.rgb_to_lab(exact_image, layout=layout)
    lab = ops.rgb_to_lab(image, layout=layout)
    assert lab.dtype == compute_dtype(dtype) and lab.is_contiguous()
    assert_as_good(lab, reference.rgb_to_lab(image, layout=layout), exact, 1e-11 if dtype == torch.float64 else 2e-3)
    if dtype != torch.uint8:
        upstream = torch.randn(exact.shape, generator=generator).to(device)
        grad = with_gradient(ops.rgb_to_lab, image, upstream, layout=layout)[1]
        own = with_gradient(reference.rgb_to_lab, image, upstream, layout=layout)[1]
        exact = with_gradient(reference.rgb_to_lab, exact_image, upstream, layout=layout)[1]
        assert grad.dtype == dtype
        assert_as_good(grad, own, exact, GRADIENT_STEP[dtype] * largest(exact))


@drawn(80)
@given(
    seeds, leading, sides, sides, layouts, st.sampled_from((torch.uint8, *FLOATS)), st.sampled_from(FLOATS), views(),
    st.sampled_from(("clip", "chroma")), st.sampled_from((0.0, 0.9, 1.0, 2.0)),
)  # fmt: skip
def test_lab_to_rgb(
    device: torch.device, generator, lead, height, width, layout, dtype, source, view, gamut, vivid
) -> None:
    image = images_of((*lead, height, width), "chw", torch.float64, generator)
    lab = reference.rgb_to_lab(image * 0.9 + 0.05)
    lab = view((lab * torch.tensor([1.0, vivid, vivid])[:, None, None]).to(device, source))
    rgb = ops.lab_to_rgb(lab, dtype=dtype, layout=layout, gamut=gamut)
    own = reference.lab_to_rgb(lab, dtype=dtype, layout=layout, gamut=gamut)
    assert rgb.dtype == dtype and rgb.is_contiguous()
    if dtype == torch.uint8:
        # At the gamut's edge sixteen halvings may end on either side: a level, more where a channel is steep near 0.
        assert worst(rgb, own) <= (1 if gamut == "clip" else 3)
        return
    exact = reference.lab_to_rgb(lab.double(), dtype=torch.float64, layout=layout, gamut=gamut)
    step = torch.finfo(dtype).eps
    bound = step if source == torch.float64 and dtype == torch.float64 else max(2e-5, step)
    if gamut == "chroma":
        bound += 3 / 255
    assert_as_good(rgb, own, exact, bound + 1e-9)
    # On the gamut's surface a rounding step decides whether the gradient is cut off: well inside alone.
    if gamut == "clip" and vivid <= 0.9:
        upstream = torch.randn(exact.shape, generator=generator).to(device)
        lab = lab.clone()
        options = {"layout": layout}
        grad = with_gradient(ops.lab_to_rgb, lab, upstream, dtype=compute_dtype(source), **options)[1]
        own = with_gradient(reference.lab_to_rgb, lab, upstream, dtype=compute_dtype(source), **options)[1]
        exact = with_gradient(reference.lab_to_rgb, lab.double(), upstream, dtype=torch.float64, **options)[1]
        assert grad.dtype == source
        assert_as_good(grad, own, exact, 4 * GRADIENT_STEP[source] * largest(exact))


# ---- encode ----


@drawn(60)
@given(seeds, planes, colors(), palettes(), st.sampled_from((0.5, 3.0, 5.0, 25.0)), st.sampled_from(FLOATS), views())
def test_encode_bins(device: torch.device, generator, shape, make, palette, sigma, dtype, view) -> None:
    palette, neighbours = palette
    n, height, width = shape
    ab = make((n, 2, height, width), generator)
    if dtype == torch.float16:
        ab = ab.clamp(-6e4, 6e4)
    ab = view(ab.to(device, dtype))
    options = {"neighbours": neighbours, "sigma": sigma}
    index, weight = ops.encode_bins(ab, palette, **options)
    exact_index, exact_weight = reference.encode_bins(ab.float().double(), palette, **options)
    assert index.dtype == torch.int32 and weight.dtype == torch.float32
    assert torch.equal(index, exact_index)
    assert worst(weight, exact_weight) <= 1e-6


# ---- loss ----


@drawn(90)
@given(
    seeds, planes, colors(), palettes(), st.sampled_from(FLOATS), st.sampled_from(FLOATS), views(), views(),
    st.sampled_from(("mean", "sum", "weighted_mean", "none")), st.sampled_from((0.0, 0.0, 0.5, 1.0, 2.0)),
    st.sampled_from((None, torch.bool, torch.uint8, torch.float32)), switches, switches, switches,
)  # fmt: skip
def test_rebalanced_cross_entropy(
    device: torch.device, generator, shape, make, palette, dtype, ab_dtype, view, ab_view, reduction, gamma, mask,
    weighted, inplace, factor,
) -> None:  # fmt: skip
    palette, neighbours = palette
    n, height, width = shape
    if n * height * width > 500:  # the reference makes volumes
        height, width = min(height, 16), min(width, 16)
    logits = torch.randn(n, len(palette), height, width, generator=generator) * 3
    logits = view(logits.to(device, dtype))
    ab = ab_view(make((n, 2, height, width), generator).clamp(-6e4, 6e4).to(device, ab_dtype))
    options: dict[str, Any] = {"palette": palette, "neighbours": neighbours, "reduction": reduction, "gamma": gamma}
    if mask is not None:
        options["mask"] = view((torch.rand(n, height, width, generator=generator) > 0.3).to(device, mask))
    if weighted:
        options["class_weight"] = (torch.rand(len(palette), generator=generator) + 0.5).to(device)
    scalar = reduction != "none"
    upstream = torch.ones(()) if scalar else torch.rand(n, height, width, generator=generator) + 0.5
    upstream = (upstream * 0.75 if factor else upstream).to(device)
    loss, grad = with_gradient(ops.rebalanced_cross_entropy, logits, upstream, ab=ab, inplace=inplace, **options)
    own, own_grad = with_gradient(reference.rebalanced_cross_entropy, logits, upstream, ab=ab.float(), **options)
    exact, exact_grad = with_gradient(
        reference.rebalanced_cross_entropy, logits.double(), upstream, ab=ab.float().double(), **options
    )
    assert loss.dtype == compute_dtype(dtype) and grad.dtype == dtype
    assert_as_good(loss, own, exact, 3e-6 * (1 + largest(exact)))
    assert_as_good(grad, own_grad, exact_grad, GRADIENT_STEP[dtype] * largest(exact_grad))
    with torch.no_grad():  # nothing but the loss is made then
        assert worst(ops.rebalanced_cross_entropy(logits, ab, **options), loss) <= 1e-6 * (1 + largest(loss))


@pytest.mark.parametrize(("dtype", "width"), [(torch.float32, 601), (torch.bfloat16, 1201)])
def test_a_gradient_too_large_for_the_caches(device: torch.device, dtype: torch.dtype, width: int) -> None:
    """Beyond 16 MB the CPU writes past them, in whole lines of 64 bytes: rows here begin and end between lines."""
    generator = torch.Generator().manual_seed(0)
    palette = palette_of("kmeans", 9)
    logits = (torch.randn(1, 9, 801, width, generator=generator) * 3).to(device, dtype)
    ab = (torch.randn(1, 2, 801, width, generator=generator) * 40).to(device)
    assert logits.numel() * logits.element_size() > 2**24
    options: dict[str, Any] = {"ab": ab, "palette": palette, "reduction": "sum"}
    grad = with_gradient(ops.rebalanced_cross_entropy, logits, torch.ones((), device=device), **options)[1]
    exact = with_gradient(
        reference.rebalanced_cross_entropy, logits.double(), torch.ones((), device=device), **options
    )[1]
    assert worst(grad, exact) <= GRADIENT_STEP[dtype] * largest(exact)


# ---- decode ----


@drawn(90)
@given(
    seeds, planes, palettes(), st.sampled_from(FLOATS), views(), st.sampled_from((0.0, 0.05, 0.38, 1.0, 3.0)), switches
)
def test_annealed_mean(device: torch.device, generator, shape, palette, dtype, view, temperature, ties) -> None:
    palette, _ = palette
    n, height, width = shape
    if n * height * width > 500:
        height, width = min(height, 16), min(width, 16)
    logits = torch.randn(n, len(palette), height, width, generator=generator) * 3
    logits = view((logits.round() if ties else logits).to(device, dtype))
    options = {"palette": palette, "temperature": temperature}
    upstream = torch.randn(n, 2, height, width, generator=generator).to(device)
    ab, grad = with_gradient(ops.annealed_mean, logits, upstream, **options)
    own, own_grad = with_gradient(reference.annealed_mean, logits, upstream, **options)
    exact, exact_grad = with_gradient(reference.annealed_mean, logits.double(), upstream, **options)
    assert ab.dtype == compute_dtype(dtype) and grad.dtype == dtype
    if temperature == 0:
        assert torch.equal(ab.double(), exact) and not grad.any()
        return
    assert_as_good(ab, own, exact, 1e-9 if dtype == torch.float64 else 1e-4)
    assert_as_good(grad, own_grad, exact_grad, 3 * GRADIENT_STEP[dtype] * largest(exact_grad))


# ---- pictures and film ----


@st.composite
def lumas(draw: st.DrawFn) -> tuple[int, torch.dtype]:
    """(bits, dtype)."""
    bits = draw(st.sampled_from((8, 8, 9, 10, 12, 16)))
    return bits, torch.uint8 if bits == 8 else torch.uint16


def luma_of(shape: tuple[int, ...], luma: tuple[int, torch.dtype], generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2 ** luma[0], shape, generator=generator, dtype=torch.int32).to(luma[1])


@drawn(60)
@given(seeds, batches, sides, sides, sides, sides, lumas(), switches, views())
def test_luma_to_input(device: torch.device, generator, n, height, width, h, w, kind, full_range, view) -> None:
    luma = view(luma_of((n, height, width), kind, generator).to(device))
    options = {"full_range": full_range, "bits": kind[0]}
    exact = reference.luma_to_input(luma, (h, w), **options)
    lightness = ops.luma_to_input(luma, (h, w), **options)
    assert lightness.dtype == torch.float32 and worst(lightness, exact) <= 2e-3


@drawn(60)
@given(
    seeds, batches, sides, sides, sides, sides, st.sampled_from(("lightness", "picture", "gray", "gray16")),
    st.sampled_from(FLOATS), st.sampled_from(("clip", "chroma")), st.sampled_from((0.0, 0.7, 1.0, 1.3)), views(),
    views(), switches,
)  # fmt: skip
def test_paint_rgb(
    device: torch.device, generator, n, height, width, h, w, kind, dtype, gamut, saturation, view, ab_view, sharp
) -> None:
    ab = ab_view((torch.randn(n, 2, h, w, generator=generator) * 30).to(device, dtype))
    source = {
        "lightness": lambda: (torch.rand(n, 1, height, width, generator=generator) * 100).to(dtype),
        "picture": lambda: luma_of((n, height, width, 3), (8, torch.uint8), generator),
        "gray": lambda: luma_of((n, height, width), (8, torch.uint8), generator),
        "gray16": lambda: luma_of((n, height, width), (16, torch.uint16), generator),
    }[kind]()
    source = view(source.to(device))
    guide = (torch.rand(n, 1, h, w, generator=generator) * 100).to(device, dtype) if sharp else None
    options = {"saturation": saturation, "gamut": gamut, "guide": guide}
    rgb, exact = ops.paint_rgb(ab, source, **options), reference.paint_rgb(ab, source, **options)
    assert rgb.dtype == torch.uint8 and worst(rgb, exact) <= (1 if gamut == "clip" else 3)


@drawn(60)
@given(
    seeds, batches, sides, sides, sides, sides, lumas(), st.sampled_from(FLOATS),
    st.sampled_from(("420", "422", "444")), st.sampled_from(("bt601", "bt709", "bt2020")), switches,
    st.sampled_from(("left", "center")), st.sampled_from((0.0, 0.8, 1.3)), views(), views(), switches,
)  # fmt: skip
def test_paint_chroma(
    device: torch.device, generator, n, height, width, h, w, kind, dtype, subsampling, matrix, full_range, siting,
    saturation, view, ab_view, sharp,
) -> None:  # fmt: skip
    ab = ab_view((torch.randn(n, 2, h, w, generator=generator) * 30).to(device, dtype))
    luma = view(luma_of((n, height, width), kind, generator).to(device))
    guide = (torch.rand(n, 1, h, w, generator=generator) * 100).to(device, dtype) if sharp else None
    options = {"subsampling": subsampling, "matrix": matrix, "full_range": full_range, "siting": siting, "guide": guide}
    ours = ops.paint_chroma(ab, luma, **options, saturation=saturation, bits=kind[0])
    exact = reference.paint_chroma(ab, luma, **options, saturation=saturation, bits=kind[0])
    # 8-bit output is a rounding step off; deeper output shows the 2e-5 that a colour may be off by.
    levels = max(1, 4e-5 * 2 ** kind[0])
    for plane, exact_plane in zip(ours, exact, strict=True):
        assert plane.dtype == luma.dtype and worst(plane, exact_plane) <= levels


@drawn(60)
@given(seeds, batches, sides, sides, st.integers(0, 15), switches, views(), views())
def test_block_motion(device: torch.device, generator, n, height, width, radius, flat, view, other_view) -> None:
    luma = luma_of((n, height, width), (8, torch.uint8), generator)
    previous = luma_of((n, height, width), (8, torch.uint8), generator)
    if flat:  # many ways fit equally well
        luma, previous = luma // 128 * 255, luma // 128 * 255
    luma, previous = view(luma.to(device)), other_view(previous.to(device))
    motion, error = ops.block_motion(luma, previous, radius=radius)
    exact_motion, exact_error = reference.block_motion(luma, previous, radius=radius)
    assert torch.equal(motion, exact_motion) and torch.equal(error, exact_error)


@drawn(60)
@given(
    seeds, batches, sides, sides, st.sampled_from(FLOATS), switches, switches, st.sampled_from((1.0, 12.0, 60.0)),
    views(), views(),
)  # fmt: skip
def test_temporal_average(
    device: torch.device, generator, n, height, width, dtype, still, shares, tolerance, view, other_view
) -> None:
    luma, previous = (view(luma_of((n, height, width), (8, torch.uint8), generator).to(device)) for _ in range(2))
    ab, before = (torch.randn(n, 2, height, width, generator=generator) * 30 for _ in range(2))
    ab, before = view(ab.to(device, dtype)), other_view(before.to(device, dtype))
    shape = (n, 2, -(-height // 8), -(-width // 8))
    motion = None if still else torch.randint(-40, 41, shape, generator=generator, dtype=torch.int32).to(device)
    keep = torch.rand(n, generator=generator).to(device) if shares else 0.9
    options = {"keep": keep, "tolerance": tolerance, "tolerance_ab": 2 * tolerance}
    ours = ops.temporal_average(ab, luma, before, previous, motion, **options)
    own = reference.temporal_average(ab.float(), luma, before.float(), previous, motion, **options)
    exact = reference.temporal_average(ab.double(), luma, before.double(), previous, motion, **options)
    assert ours.dtype == torch.float32
    assert_as_good(ours, own, exact, 1e-4)
