"""The kernels as a GPU gets them: nvcc's machine code for sm_90, run instruction by instruction on a CPU.

What tests/emulation cannot see is seen here: the device's branches of csrc/math, approximate functions, conversions of
16-bit floats, what the compiler made of it all. And what bench/sass.py counts is confirmed by counting another way.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from emulation import build
from machine_code import launches
from machine_code.block import Kernel
from machine_code.launches import Launched

from fastcolor import ops, reference
from fastcolor.ops import color, decode, encode, loss, paint, temporal

pytestmark = [
    pytest.mark.skipif(bool(launches.missing()), reason=f"not here: {launches.missing()}"),
    pytest.mark.builds("extension"),
    pytest.mark.usefixtures("one_thread"),
]

INF, NAN = float("inf"), float("nan")
FLOATS = [torch.float32, torch.bfloat16, torch.float16]
LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.fixture(scope="module")
def extension() -> ModuleType:
    return build.load()


@pytest.fixture
def launched(extension: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Launched]]:
    """CPU tensors go to the machine code; holds what was launched."""
    for module in (color, encode, loss, decode, paint, temporal):
        monkeypatch.setattr(module, "_C", extension)
        monkeypatch.setattr(module, "target", lambda tensor: (0, 0, 1))
    with launches.launches(extension) as done:
        yield done


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("memory", LAYOUTS)
def test_logits(launched: list[Launched], dtype: torch.dtype, memory: torch.memory_format) -> None:
    """Decoding, the loss and both gradients; an odd number of pixels beyond a tile, and pixels without a colour."""
    logits = (torch.randn(1, 313, 3, 13) * 3).to(dtype).contiguous(memory_format=memory)
    logits[0, :, 0, 1], logits[0, 7, 0, 2], logits[0, 5, 0, 3], logits[0, 9, 0, 4] = -INF, NAN, INF, -INF
    ab, upstream = torch.randn(1, 2, 3, 13) * 20, torch.linspace(0.5, 1.5, 39).view(1, 3, 13)
    error = {torch.float32: 4e-6, torch.bfloat16: 8e-3, torch.float16: 1e-3}[dtype]
    for name, options in (("annealed_mean", {}), ("rebalanced_cross_entropy", {"ab": ab, "reduction": "none"})):
        ours = logits.clone(memory_format=torch.preserve_format).requires_grad_()
        exact = logits.double().requires_grad_()
        result = getattr(ops, name)(ours, **options)
        wanted = getattr(reference, name)(exact, **options)
        (result * upstream).sum().backward()
        (wanted * upstream.double()).sum().backward()
        assert torch.equal(result.isfinite(), wanted.isfinite()) and 0 < int(wanted.isfinite().sum()) < wanted.numel()
        assert torch.allclose(result.double(), wanted, rtol=3e-6, atol=6e-5, equal_nan=True)
        assert torch.equal(ours.grad.isnan(), exact.grad.isnan())
        largest = float(exact.grad.nan_to_num(0).abs().max())
        assert torch.allclose(ours.grad.double(), exact.grad, rtol=0, atol=3 * error * largest, equal_nan=True)
    assert {launch.spills for launch in launched} == {0}


def test_all_nan_and_the_mode(launched: list[Launched]) -> None:
    logits = torch.randn(1, 313, 1, 34)
    logits[0, :, 0, 0] = NAN
    logits[0, [40, 90], 0, 1] = 50.0  # a tie: the lower bin
    for memory in LAYOUTS:
        ab = ops.annealed_mean(logits.contiguous(memory_format=memory), temperature=0)
        assert torch.equal(ab.isnan(), torch.arange(34).expand(1, 2, 1, 34) == 0)
        assert torch.equal(ab[..., 1:].double(), reference.annealed_mean(logits.double(), temperature=0)[..., 1:])


def test_pictures(launched: list[Launched]) -> None:
    """Bytes to Lab and back to themselves; painted pixels and chroma, at widths that packs do and do not divide."""
    rgb = torch.randint(0, 256, (1, 20, 24, 3), dtype=torch.uint8)
    lab = ops.rgb_to_lab(rgb, layout="hwc")
    assert torch.allclose(lab.double(), reference.rgb_to_lab(rgb.double() / 255, layout="hwc"), atol=2e-3)
    assert torch.equal(ops.lab_to_rgb(lab, layout="hwc"), rgb)
    ab, film = torch.randn(1, 2, 3, 5) * 30, {"subsampling": "420", "matrix": "bt709", "full_range": False}
    ab[0, 0, 0, 0] = NAN
    guide = torch.rand(1, 1, 3, 5) * 100
    for width in (16, 19):
        luma = torch.randint(0, 256, (1, 7, width), dtype=torch.uint8)
        for ours, exact in zip(
            ops.paint_chroma(ab, luma, **film), reference.paint_chroma(ab, luma, **film), strict=True
        ):
            assert int((ours.int() - exact.int()).abs().max()) <= 1
        for ours, exact in zip(*(f.paint_chroma(ab, luma, **film, guide=guide) for f in (ops, reference)), strict=True):
            assert int((ours.int() - exact.int()).abs().max()) <= 1
        sources = (
            luma,
            luma.to(torch.uint16) * 257,
            luma[..., None].repeat(1, 1, 1, 3),
            torch.rand(1, 1, 7, width) * 100,
        )
        for source, gamut in zip(sources, ("chroma", "clip", "clip", "clip"), strict=True):
            for given in (None, guide):
                options = {"gamut": gamut, "guide": given}
                ours, exact = (f.paint_rgb(ab.nan_to_num(9), source, **options) for f in (ops, reference))
                assert int((ours.int() - exact.int()).abs().max()) <= (1 if gamut == "clip" else 3)
        small, exact = (f.luma_to_input(luma, (3, 4)) for f in (ops, reference))
        assert torch.allclose(small, exact, atol=2e-3)


def test_bins_and_motion(launched: list[Launched]) -> None:
    """Distances that tie, where a fused multiply-add would part them; NaN; motion and its average."""
    side = torch.arange(-48, 49, 9) * 2.5
    ab = torch.stack(torch.meshgrid(side, side, indexing="ij"))[None].contiguous()
    ab[0, 0, 0, 0] = NAN
    index, weight = ops.encode_bins(ab)
    exact_index, exact_weight = reference.encode_bins(ab.double())
    assert torch.equal(index.flatten()[1:], exact_index.flatten()[1:])
    assert torch.allclose(weight.double(), exact_weight, atol=1e-6, equal_nan=True)
    luma = torch.randint(0, 256, (1, 19, 29), dtype=torch.uint8)
    previous = luma.roll((1, -2), (1, 2))
    ours, exact = (f.block_motion(luma, previous, radius=3) for f in (ops, reference))
    assert all(torch.equal(a, b) for a, b in zip(ours, exact, strict=True))
    now, before, keep = torch.randn(1, 2, 19, 29), torch.randn(1, 2, 19, 29), torch.tensor([0.9])
    out, exact_out = (f.temporal_average(now, luma, before, previous, exact[0], keep=keep) for f in (ops, reference))
    assert torch.allclose(out, exact_out, atol=1e-5)


# ---- the count itself ----


def loop_around(code: Kernel, names: set[str]) -> range:
    """The shortest loop of a kernel that issues all of `names`: from a branch's target to the branch."""
    loops = []
    for end, one in enumerate(code.code):
        start = code.labels.get(one.operands[-1].strip("`()"), end) if one.name == "BRA" and one.operands else end
        if start < end and names <= {other.name for other in code.code[start:end]}:
            loops.append(range(start, end + 1))
    return min(loops, key=len)


def test_a_loop_issues_its_length_times_its_rounds(launched: list[Launched]) -> None:
    """By hand: three warps take 80 of 313 bins in rounds of 8, the last one the 73 that are left, a rest of one among
    them."""
    ops.annealed_mean(torch.randn(1, 313, 1, 32))
    (launch,) = launched
    code = launches.kernel_of(launch.name).kernel
    loop = loop_around(code, {"LDG", "MUFU"})
    assert {launch.at[i] for i in loop} == {3 * 10 + 9}
    assert 0.6 < len(loop) * 39 / sum(launch.issued.values()) < 0.9  # most of what the launch issues


def test_straight_code_issues_its_length(launched: list[Launched]) -> None:
    """By hand: rgb_to_lab of aligned floats has no loop; every warp issues each instruction once but those of other
    layouts, which it jumps over."""
    picture = torch.rand(1, 3, 32, 32)
    ops.rgb_to_lab(picture)
    (launch,) = launched
    code = launches.kernel_of(launch.name).kernel.code
    assert set(launch.at.values()) == {launch.threads // 32}
    skipped = len([i for i in range(len(code)) if i not in launch.at])
    assert sum(launch.issued.values()) == (len(code) - skipped) * launch.threads // 32
