"""Errors by kind of pixel, casts, bleeding and skin, against sums by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor

from fastcolor.evaluation.color_errors import ColorErrors, kinds, near_edges, skin
from fastcolor.evaluation.protocols import PROTOCOLS


def flat(lightness: float, a: float, b: float, height: int = 20, width: int = 20) -> Tensor:
    return torch.tensor([lightness, a, b], dtype=torch.float32).view(1, 3, 1, 1).repeat(1, 1, height, width)


def measured(*pairs: tuple[Tensor, Tensor]) -> dict[str, float]:
    errors = ColorErrors()
    for ab, lab in pairs:
        errors.add(ab, lab, kinds(lab))
    return errors.result()


def test_every_kind_of_pixel_is_counted_where_it_belongs() -> None:
    """One picture of each kind, with an error of its own."""
    pictures = {
        ("dark", "neutral"): flat(20, 0, 4.9),
        ("medium", "red"): flat(33, 40, -20),
        ("light", "orange"): flat(67, 10, 30),
        ("medium", "yellow"): flat(50, 0, 30),
        ("medium", "green"): flat(50, -30, 20),
        ("dark", "blue"): flat(32.9, -10, -30),
    }
    pairs = []
    for error, lab in enumerate(pictures.values(), 1):
        pairs.append((lab[:, 1:] + torch.tensor([0.6, 0.8]).view(1, 2, 1, 1) * error, lab))
    found = measured(*pairs)
    for part in ("dark", "medium", "light", "neutral", "red", "orange", "yellow", "green", "blue"):
        expected = [error for error, names in enumerate(pictures, 1) if part in names]
        assert found[f"ab_error_{part}"] == pytest.approx(np.mean(expected), rel=1e-5), part
    assert found["ab_error"] == pytest.approx(3.5, rel=1e-5)
    lab = torch.cat([torch.rand(1, 1, 40, 40) * 100, torch.randn(1, 2, 40, 40) * 30], 1)
    masks = kinds(lab)
    for parts in (
        ("dark", "medium", "light"),
        ("neutral", "red", "orange", "yellow", "green", "blue"),
        ("edges", "flat"),
    ):
        assert torch.equal(sum(masks[part].int() for part in parts), torch.ones(1, 40, 40, dtype=torch.int32))


def test_pixels_count_alike_whatever_picture_they_are_of() -> None:
    small, large = flat(50, 10, 10, 2, 2), flat(50, 10, 10, 4, 3)
    found = measured((small[:, 1:] + torch.tensor([3.0, 4.0]).view(1, 2, 1, 1), small), (large[:, 1:], large))
    assert found["ab_error"] == pytest.approx(5 * 4 / 16)
    assert "ab_error_dark" not in found and "cast_neutral" not in found


def test_casts() -> None:
    """Errors within a picture cancel out, those of pictures only in the mean of a and b. A picture with too few neutral
    pixels has no say about these."""
    lab = flat(50, 0, 0)
    warm, cold = torch.full((1, 2, 20, 20), 6.0), torch.full((1, 2, 20, 20), -6.0)
    noisy = warm.clone()
    noisy[..., :10] = -6.0
    found = measured((warm, lab), (cold, lab), (noisy, lab))
    assert found["cast"] == pytest.approx(2 * 6 * math.sqrt(2) / 3) == pytest.approx(found["cast_neutral"])
    assert found["cast_a"] == pytest.approx(0) == pytest.approx(found["cast_b"])
    coloured = flat(50, 30, 30)
    coloured[..., :9, :] = 0  # 180 pixels
    found = measured((warm, lab), (coloured[:, 1:] + 12, coloured))
    assert found["cast_neutral"] == pytest.approx(6 * math.sqrt(2)) and found["cast_b"] == pytest.approx(9)
    tinted = flat(50, 3, 0)  # its own colour is no reason not to be gray: what people see there is colour
    assert measured((tinted[:, 1:], tinted))["cast_neutral"] == pytest.approx(3)


def test_edges_of_lightness() -> None:
    lightness = torch.rand(1, 1, 50, 60) * 8 + 40
    lightness[..., 30:] += 35
    lightness[..., 20:, :] += 3  # too small a step
    gradient = np.hypot(
        *(scipy.ndimage.sobel(lightness[0, 0].double().numpy(), axis, mode="nearest") / 8 for axis in (0, 1))
    )
    expected = scipy.ndimage.maximum_filter(gradient > 5, size=9)
    found = near_edges(lightness)[0].numpy()
    assert np.array_equal(found, expected) and found[:, 25:35].all() and not found[:, :20].any()


def test_colours_that_run_over_an_edge_show_as_bleeding() -> None:
    lab = torch.cat([flat(30, 30, 0, 40, 30), flat(70, -30, 0, 40, 30)], 3)
    shifted = lab[:, 1:].roll(3, 3)
    shifted[..., :3] = lab[:, 1:, :, :3]
    found = measured((shifted + 1, lab))
    assert found["bleeding"] == found["ab_error_edges"] / found["ab_error_flat"] > 10
    assert measured((lab[:, 1:] + 1, lab))["bleeding"] == pytest.approx(1)


def test_skin() -> None:
    """Its hue and chroma, of ours over pixels that are skin in truth."""
    faces = torch.tensor([[9.0, 12.0], [17.0, 20.0], [24.0, 30.0]]).view(3, 2, 1, 1)
    others = torch.tensor([[0.0, 0.0], [-20.0, 25.0], [60.0, 40.0], [-10.0, -30.0], [0.0, 40.0]]).view(5, 2, 1, 1)
    assert bool(skin(faces).all()) and not bool(skin(others).any())
    lab = torch.cat([flat(60, 17, 20), flat(60, -20, 25)], 3)
    ours = lab[:, 1:].clone()
    ours[..., :20] = torch.tensor([5.0, 12.0]).view(1, 2, 1, 1)
    ours[..., 20:] = 99.0
    found = measured((ours, lab))
    assert found["skin_hue"] == pytest.approx(math.degrees(math.atan2(12, 5))) and found[
        "skin_chroma"
    ] == pytest.approx(13)
    assert found["ab_error_skin"] == pytest.approx(math.hypot(12, 8))
    gray = measured((torch.zeros_like(ours), lab))
    assert gray["skin_chroma"] == 0 and "skin_hue" not in gray


def test_every_measure_has_its_protocol() -> None:
    lab = torch.cat([torch.linspace(0, 100, 4000).view(1, 1, 50, 80), torch.randn(1, 2, 50, 80) * 20 + 5], 1)
    lab[:, 0, 20:, 40:] = 10.0
    lab[:, 1:, :10] = 0.0
    found = measured((lab[:, 1:] + 1, lab))
    ours = [name for name in PROTOCOLS if name.startswith(("ab_error", "bleeding", "cast", "skin"))]
    assert set(found) == {name for name in ours if not name.endswith("_truth")}
