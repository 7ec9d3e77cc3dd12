"""rgb_to_lab and lab_to_rgb on a 1080p picture and on batches, against torch, kornia, OpenCV and scikit-image."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from fastcolor import ops

from . import baselines, timing
from .timing import Row, Work

FILM = (1, 1080, 1920)
BATCH = (32, 256, 256)
LARGE = (16, 1080, 1920)  # beyond a GPU's cache
SMALL = (1, 256, 256)  # over before the next one is launched


def _picture(shape: tuple[int, int, int], device: str) -> Tensor:
    """uint8 (N, H, W, 3); smooth with noise, so that every part of each curve is met."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand((shape[0], 3, 9, 16), generator=generator)
    smooth = torch.nn.functional.interpolate(small, shape[1:], mode="bilinear")
    noisy = smooth + 0.05 * torch.randn((shape[0], 3, *shape[1:]), generator=generator)
    return (noisy.clamp(0, 1) * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().to(device)


def _same_lab(ours: Tensor, other: Tensor) -> None:
    # OpenCV's float Lab differs from CIE by up to 0.45; kornia's matrix is rounded to six digits.
    assert ours.shape == other.shape and (ours.cpu() - other.cpu()).abs().max() < 0.6


def _same_rgb(ours: Tensor, other: Tensor) -> None:
    difference = (ours.cpu().int() - other.cpu().int()).abs()
    assert ours.shape == other.shape and difference.max() <= 3 and difference.float().mean() < 0.3


def _title(shape: tuple[int, int, int]) -> str:
    return "1080p" if shape == FILM else "x".join(map(str, shape))


def _cuda_must(shape: tuple[int, int, int]) -> dict[str, float]:
    return {"eager": 18} if shape in (FILM, BATCH) else {}


def rgb_to_lab(device: str, *, shape: tuple[int, int, int] = FILM) -> Row:
    image = _picture(shape, device)
    matrix = baselines.TO_XYZ.to(device)

    def with_kornia() -> Work:
        import kornia

        return lambda: kornia.color.rgb_to_lab(image.permute(0, 3, 1, 2).float() / 255)

    def with_opencv() -> Work:
        import cv2

        cv2.setNumThreads(torch.get_num_threads())
        pixels = image[0].numpy()

        def work() -> Tensor:
            lab = cv2.cvtColor(pixels.astype("float32") * (1 / 255), cv2.COLOR_RGB2Lab)
            return torch.from_numpy(lab).permute(2, 0, 1)[None].contiguous()

        return work

    def with_skimage() -> Work:
        from skimage.color import rgb2lab

        pixels = image[0].numpy()
        return lambda: torch.from_numpy(rgb2lab(pixels).astype("float32")).permute(2, 0, 1)[None].contiguous()

    others = {"eager": lambda: lambda: baselines.rgb_to_lab(image, matrix), "kornia": with_kornia}
    if shape in (FILM, BATCH):
        others["compile"] = lambda: timing.compiled(baselines.rgb_to_lab, image, matrix)
    if device == "cpu":
        others |= {"opencv": with_opencv, "skimage": with_skimage}
    return Row(
        name=f"color: rgb_to_lab {_title(shape)}, u8 HWC -> f32 planar",
        ours=lambda: ops.rgb_to_lab(image, layout="hwc"),
        others=others,
        bytes=image.numel() * 5,
        same=_same_lab,
        must={"eager": 14, "kornia": 14, "compile": 7.5, "opencv": 4.5} if device == "cpu" else _cuda_must(shape),
        stretch={"eager": 20, "kornia": 20, "compile": 11, "opencv": 7} if device == "cpu" else {},
        graph=shape == SMALL,
    )


def lab_to_rgb(device: str, *, shape: tuple[int, int, int] = FILM) -> Row:
    lab = ops.rgb_to_lab(_picture(shape, device), layout="hwc")
    matrix = baselines.FROM_XYZ.to(device)

    def with_kornia() -> Work:
        import kornia

        return lambda: (kornia.color.lab_to_rgb(lab) * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def with_opencv() -> Work:
        import cv2

        cv2.setNumThreads(torch.get_num_threads())

        def work() -> Tensor:
            planes = lab[0].permute(1, 2, 0).contiguous().numpy()
            rgb = cv2.cvtColor(planes, cv2.COLOR_Lab2RGB)
            return torch.from_numpy(cv2.convertScaleAbs(rgb, alpha=255))[None]

        return work

    def with_skimage() -> Work:
        from skimage.color import lab2rgb

        planes = lab[0].permute(1, 2, 0).contiguous().numpy()
        return lambda: torch.from_numpy((lab2rgb(planes) * 255 + 0.5).astype("uint8"))[None]

    others = {"eager": lambda: lambda: baselines.lab_to_rgb(lab, matrix), "kornia": with_kornia}
    if shape in (FILM, BATCH):
        others["compile"] = lambda: timing.compiled(baselines.lab_to_rgb, lab, matrix)
    if device == "cpu":
        others |= {"opencv": with_opencv, "skimage": with_skimage}
    return Row(
        name=f"color: lab_to_rgb {_title(shape)}, f32 planar -> u8 HWC",
        ours=lambda: ops.lab_to_rgb(lab, layout="hwc"),
        others=others,
        bytes=lab.numel() * 5,
        same=_same_rgb,
        must={"eager": 25, "kornia": 27, "compile": 11, "opencv": 5} if device == "cpu" else _cuda_must(shape),
        stretch={"eager": 32, "kornia": 35, "compile": 15, "opencv": 6} if device == "cpu" else {},
        graph=shape == SMALL,
    )


ROWS = [rgb_to_lab, lab_to_rgb]
CUDA_ROWS = [functools.partial(op, shape=shape) for shape in (BATCH, LARGE, SMALL) for op in (rgb_to_lab, lab_to_rgb)]
test_color = timing.suite(ROWS)
