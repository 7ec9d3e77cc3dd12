"""Motion of blocks, the average along it, and what both do to flicker that is injected into a moving scene."""

from __future__ import annotations

import sys
import time

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fastcolor import ops, reference
from fastcolor.evaluation.measures import colorfulness
from fastcolor.film.smoothing import Smoother, distribution_change, masked_warp_error, warp_error

SIZES = [(64, 64), (37, 45), (3, 5), (8, 16), (1, 1)]


def lumas(height: int, width: int) -> tuple[Tensor, Tensor]:
    """A frame and one like it before, and two that have nothing in common."""
    luma, previous = torch.randint(0, 256, (2, 2, height, width), dtype=torch.uint8)
    previous[0] = (luma[0].roll((2, -3), (0, 1)) * 0.9).to(torch.uint8)
    return luma, previous


@pytest.mark.parametrize("radius", [0, 1, 6, 15])
@pytest.mark.parametrize("size", SIZES)
def test_motion_is_what_full_search_finds(device: torch.device, size: tuple[int, int], radius: int):
    luma, previous = (plane.to(device) for plane in lumas(*size))
    for ours, exact in zip(
        ops.block_motion(luma, previous, radius=radius),
        reference.block_motion(luma, previous, radius=radius),
        strict=True,
    ):
        assert ours.dtype == torch.int32 and torch.equal(ours, exact)


def test_motion_of_a_moved_picture_and_of_noise():
    frame = torch.randint(0, 256, (1, 64, 64), dtype=torch.uint8)
    motion, error = ops.block_motion(frame.roll((2, -3), (1, 2)), frame)
    assert motion[0, :, 2:6, 2:6].flatten(1).unique(dim=1).tolist() == [[-2], [3]]
    assert error[0, 2:6, 2:6].abs().max() == 0
    flat = (128 + torch.randn(2, 64, 64)).round().to(torch.uint8)
    moved, _ = ops.block_motion(flat[:1], flat[1:])
    assert moved.abs().sum(1).count_nonzero() <= 6 and moved.abs().max() == 1, "noise moved a flat picture"


@pytest.mark.parametrize("size", SIZES)
def test_average(device: torch.device, size: tuple[int, int]):
    luma, previous = (plane.to(device) for plane in lumas(*size))
    ab, before = torch.randn(2, 2, *size, device=device) * 40, torch.randn(2, 2, *size, device=device) * 40
    motion, _ = ops.block_motion(luma, previous)
    for keep in (0.9, torch.tensor([0.3, 0.0], device=device)):
        options = {"keep": keep, "tolerance": 20.0, "tolerance_ab": 50.0}
        ours = ops.temporal_average(ab, luma, before, previous, motion, **options)
        exact = reference.temporal_average(ab.double(), luma, before.double(), previous, motion, **options)
        assert torch.allclose(ours.double(), exact, atol=1e-4)
    assert torch.equal(ours[1], ab[1]), "behind a cut nothing is kept"
    still = ops.temporal_average(ab, luma, before, previous)
    assert torch.allclose(still, reference.temporal_average(ab, luma, before, previous), atol=1e-4)


def test_ops_compile_take_strides_and_empty_batches():
    luma, previous = (torch.randint(0, 256, (2, 16, 24), dtype=torch.uint8).transpose(1, 2) for _ in range(2))
    ab = torch.randn(2, 24, 16, 2).permute(0, 3, 1, 2)
    motion, error = ops.block_motion(luma, previous)
    assert torch.equal(motion, ops.block_motion(luma.contiguous(), previous.contiguous())[0])
    ours = ops.temporal_average(ab, luma, ab.half(), previous, motion)
    assert torch.allclose(ours, reference.temporal_average(ab, luma, ab.half().float(), previous, motion), atol=1e-4)
    empty = ops.block_motion(luma[:0], previous[:0])
    assert [tuple(t.shape) for t in empty] == [(0, 2, 3, 2), (0, 3, 2)]
    assert ops.temporal_average(ab[:0], luma[:0], ab[:0], luma[:0]).shape == (0, 2, 24, 16)
    torch.library.opcheck(torch.ops.fastcolor.block_motion, (luma, previous, 3))
    torch.library.opcheck(
        torch.ops.fastcolor.temporal_average, (ab, luma, ab + 1, previous, motion, torch.ones(2), 12.0, 16.0)
    )
    assert error.shape == (2, 3, 2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda u, f: ops.block_motion(f, u), "luma: must be one of uint8"),
        (lambda u, f: ops.block_motion(u, u[:, :8]), "previous: must have luma's shape"),
        (lambda u, f: ops.block_motion(u, u, radius=16), r"radius: must be in 0\.\.15, got 16"),
        (lambda u, f: ops.temporal_average(f, u, f, u), r"ab: must have shape \(N, 2, H, W\)"),
        (lambda u, f: ops.temporal_average(f[:, None].expand(-1, 2, -1, -1), u, u, u), "previous_ab: must be one of"),
    ],
)
def test_wrong_arguments_are_named(call: object, words: str):
    with pytest.raises((TypeError, ValueError), match=words):
        call(torch.zeros(1, 16, 16, dtype=torch.uint8), torch.zeros(1, 16, 16))


@pytest.mark.parametrize("keep", [-0.1, 1.1, float("nan")])
def test_a_wrong_share_is_named(keep: float):
    luma, ab = torch.zeros(1, 8, 8, dtype=torch.uint8), torch.zeros(1, 2, 8, 8)
    with pytest.raises(ValueError, match=r"keep: must be in 0\.\.1"):
        ops.temporal_average(ab, luma, ab, luma, keep=keep)


# ---- flicker ----


def smooth_noise(channels: int, side: int, grain: int) -> Tensor:
    return F.interpolate(torch.randn(1, channels, side // grain, side // grain), (side, side), mode="bicubic")[0]


def scene(frames: int, side: int = 128) -> tuple[Tensor, Tensor, Tensor]:
    """A pan over a textured ground, with a disk that moves another way: L (T, 1, h, w), true ab (T, 2, h, w), and the
    motion from each frame to the next (T - 1, h, w, 2)."""
    large = 2 * side
    ground = torch.cat([55 + 12 * smooth_noise(1, large, 4) + 8 * smooth_noise(1, large, 16),
                        15 * smooth_noise(2, large, 32)])  # fmt: skip
    disk = torch.cat([40 + 10 * smooth_noise(1, large, 4), 8 * smooth_noise(2, large, 32) + 25])
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    pictures, ways = [], []
    for t in range(frames):
        pan, shift = (2 * t, t), (-3 * t, 2 * t)  # (x, y) of the camera and of the disk
        base = ground[:, pan[1] : pan[1] + side, pan[0] : pan[0] + side]
        inside = (x - 100 - shift[0]) ** 2 + (y - 40 - shift[1]) ** 2 < (side // 5) ** 2
        moving = disk.roll((shift[1], shift[0]), (1, 2))[:, :side, :side]
        pictures.append(torch.where(inside, moving, base))
        ways.append(torch.where(inside[..., None], torch.tensor([-3.0, 2.0]), torch.tensor([-2.0, -1.0])))
    film = torch.stack(pictures)
    lightness = (film[:, :1] + 0.4 * torch.randn(frames, 1, side, side)).clamp(2, 98)  # a code of grain
    return lightness, film[:, 1:], torch.stack(ways)


def with_flicker(ab: Tensor) -> Tensor:
    """What a network that sees frames one by one does: its saturation, its tint and its regions' colours change."""
    frames, _, side, _ = ab.shape
    saturation = 1 + 0.1 * torch.randn(frames, 1, 1, 1)
    regions = torch.stack([smooth_noise(2, side, 32) for _ in range(frames)])
    return ab * saturation + 2 * torch.randn(frames, 2, 1, 1) + 4 * regions


def psnr(ab: Tensor, truth: Tensor) -> float:
    return float(10 * torch.log10(255**2 / ((ab - truth) ** 2).mean()))


def rgb_of(lightness: Tensor, ab: Tensor) -> Tensor:
    return ops.lab_to_rgb(torch.cat([lightness, ab], 1), dtype=torch.uint8)


def mean_colorfulness(rgb: Tensor) -> float:
    pictures = [colorfulness(frame.permute(1, 2, 0).numpy()) for frame in rgb]
    return sum(pictures) / len(pictures)


def smoothed(mode: str, lightness: Tensor, ab: Tensor, chunk: int = 4) -> Tensor:
    smoother = Smoother(mode, chunk=chunk)
    done = [smoother.push(*pair) for pair in zip(lightness.split(chunk), ab.split(chunk), strict=True)]
    return torch.cat([*done, *smoother.finish()])


@pytest.mark.parametrize("mode", ["fast", "flow"])
def test_injected_flicker_goes_and_colour_stays(mode: str):
    lightness, truth, ways = scene(32)
    flickering = with_flicker(truth)
    calm = smoothed(mode, lightness, flickering)
    assert calm.shape == truth.shape

    def error(ab: Tensor) -> float:
        rgb = ops.lab_to_rgb(torch.cat([torch.full_like(lightness, 60), ab], 1), dtype=torch.float32)
        pairs = zip(rgb[4:-1], rgb[5:], ways[4:-1], ways[5:], strict=True)
        return sum(masked_warp_error(now, later, there, -back) for now, later, there, back in pairs) / (len(rgb) - 5)

    before, after = error(flickering), error(calm)
    gain = psnr(calm[4:], truth[4:]) - psnr(flickering[4:], truth[4:])
    colours = [mean_colorfulness(rgb_of(lightness, ab)) for ab in (flickering, calm)]
    print(f"{mode}: E_warp {before * 1e3:.3f} -> {after * 1e3:.3f} (truth {error(truth) * 1e3:.3f}), "
          f"ab-PSNR {gain:+.2f} dB, colourfulness {colours[0]:.1f} -> {colours[1]:.1f}")  # fmt: skip
    assert after < before / 5
    assert gain > 2
    assert colours[1] > 0.95 * colours[0]


@pytest.mark.parametrize("mode", ["fast", "flow"])
def test_a_cut_starts_anew(mode: str):
    (one, blue, _), (other, red, _) = scene(12), scene(12)
    lightness = torch.cat([one, 100 - other])
    ab = torch.cat([torch.full_like(blue, -30.0), torch.full_like(red, 40.0)])
    calm = smoothed(mode, lightness, ab)
    assert torch.allclose(calm[:12], ab[:12], atol=1e-3) and torch.allclose(calm[12:], ab[12:], atol=1e-3)


@pytest.mark.parametrize("mode", ["fast", "flow"])
def test_a_thing_as_bright_as_its_ground_leaves_no_trail(mode: str):
    frames, side = 20, 64
    lightness = 60 + 0.4 * torch.randn(frames, 1, side, side)
    ab = torch.zeros(frames, 2, side, side)
    for t in range(frames):
        ab[t, 1, 20:44, 2 * t : 2 * t + 20] = 30  # a yellow thing that moves two pixels a frame
    calm = smoothed(mode, lightness, ab)
    passed = calm[-1, 1, 20:44, : 2 * 19 - 8]  # four frames behind it and more
    assert passed.max() < 6, f"{passed.max():.1f} of 30 are left"


@pytest.mark.parametrize("mode", ["fast", "flow"])
def test_a_later_start_from_a_state_goes_on_exactly(mode: str):
    lightness, truth, _ = scene(28, 64)
    ab = with_flicker(truth)
    whole = smoothed(mode, lightness, ab)
    first = Smoother(mode, chunk=4)
    done: list[Tensor] = []
    for start in range(0, 28, 4):
        done.append(first.push(lightness[start : start + 4], ab[start : start + 4]))
        if sum(map(len, done)) == 12:
            break
    state = first.state()
    again = Smoother(mode, chunk=4)
    again.restore(state)
    rest = [again.push(lightness[start : start + 4], ab[start : start + 4]) for start in range(12, 28, 4)]
    rest += again.finish()
    assert torch.equal(torch.cat(done), whole[:12]) and torch.equal(torch.cat(rest), whole[12:])


def test_dense_motion_without_opencv_names_the_remedy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r"needs OpenCV: pip install 'fastcolor\[opencv\]'"):
        Smoother("flow")


def test_off_changes_nothing_and_unknown_modes_are_named():
    ab = torch.randn(3, 2, 8, 8)
    assert Smoother("off").push(torch.rand(3, 1, 32, 32) * 100, ab) is ab
    with pytest.raises(ValueError, match="temporal must be one of off, fast, flow, got 'always'"):
        Smoother("always")


def test_a_frame_costs_little():
    """At network size, on one core: far below what the network takes. Its own time, also where others have the core."""
    luma = torch.randint(0, 256, (1, 256, 256), dtype=torch.uint8)
    previous, ab = luma.roll(2, 2), torch.randn(1, 2, 256, 256)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times = []
    for _ in range(30):
        start = time.thread_time()
        motion, _ = ops.block_motion(luma, previous)
        ops.temporal_average(ab, luma, ab, previous, motion)
        times.append(time.thread_time() - start)
    torch.set_num_threads(threads)
    assert min(times) < 2e-3


# ---- measures ----


def test_measures_know_a_still_film_from_a_flickering_one():
    lightness, truth, _ = scene(8, 64)
    luma = (lightness[:, 0] * 2.55).round().to(torch.uint8)
    calm, restless = rgb_of(lightness, truth), rgb_of(lightness, with_flicker(truth))
    assert warp_error(restless / 255, luma) > 2 * warp_error(calm / 255, luma)
    assert distribution_change(restless) > 2 * distribution_change(calm)


def test_distribution_change_of_two_colours_is_log_2():
    frames = torch.zeros(9, 3, 4, 4, dtype=torch.uint8)
    frames[1::2] = 255  # over 1 frame everything changes, over 2 and 4 nothing
    assert distribution_change(frames) == pytest.approx(torch.tensor(2.0).log().item() / 3)
