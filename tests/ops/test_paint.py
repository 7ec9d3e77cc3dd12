"""luma_to_input, paint_rgb and paint_chroma against the reference; what film needs of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fastcolor import ops, reference

SIZES = [(90, 161, 32, 64), (33, 17, 64, 64), (1, 1, 8, 8), (7, 1, 3, 1), (1, 9, 2, 5), (540, 960, 144, 256)]


def plane(height: int, width: int, bits: int, device: torch.device) -> torch.Tensor:
    codes = np.random.default_rng(0).integers(0, 2**bits, (2, height, width))
    return torch.from_numpy(codes.astype(np.uint8 if bits == 8 else np.uint16)).to(device)


def levels_apart(a: torch.Tensor, b: torch.Tensor) -> int:
    return int((a.int() - b.int()).abs().max())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("bits", "full_range"), [(8, True), (8, False), (10, False), (16, True)])
def test_luma_to_input(device: torch.device, size: tuple, bits: int, full_range: bool) -> None:
    height, width, h, w = size
    luma = plane(height, width, bits, device)
    options = {"full_range": full_range, "bits": bits}
    lightness = ops.luma_to_input(luma, (h, w), **options)
    assert lightness.shape == (2, 1, h, w) and lightness.dtype == torch.float32
    assert torch.allclose(lightness, reference.luma_to_input(luma, (h, w), **options), atol=2e-3)


def test_luma_to_input_is_torchs_antialiased_resize(device: torch.device) -> None:
    luma = plane(300, 200, 8, device)
    resized = F.interpolate(luma[:, None].float() / 255, (64, 48), mode="bilinear", antialias=True)
    expected = ops.rgb_to_lab(resized.clamp(0, 1).expand(-1, 3, -1, -1))[:, :1]
    assert torch.allclose(ops.luma_to_input(luma, (64, 48)), expected, atol=5e-3)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("gamut", ["clip", "chroma"])
def test_paint_rgb(device: torch.device, size: tuple, gamut: str) -> None:
    height, width, h, w = size
    ab = torch.randn(2, 2, h, w, device=device) * 30
    rgb = torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8, device=device)
    sources = {
        "lightness": torch.rand(2, 1, height, width, device=device) * 100,
        "picture": rgb,
        "gray": plane(height, width, 8, device),
        "gray16": plane(height, width, 16, device),
    }
    for name, source in sources.items():
        ours = ops.paint_rgb(ab, source, saturation=1.3, gamut=gamut)
        exact = reference.paint_rgb(ab, source, saturation=1.3, gamut=gamut)
        assert ours.shape == (2, height, width, 3) and ours.dtype == torch.uint8
        # Halving steps may land on either side of the gamut's edge: one level, more where a steep channel is at 0.
        assert levels_apart(ours, exact) <= (1 if gamut == "clip" else 3), name


def test_no_color_gives_the_gray_picture_back(device: torch.device) -> None:
    gray = torch.arange(256, dtype=torch.uint8, device=device).view(1, 16, 16)
    painted = ops.paint_rgb(torch.zeros(1, 2, 4, 4, device=device), gray)
    assert torch.equal(painted, gray[..., None].expand(-1, -1, -1, 3))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("subsampling", ["420", "422", "444"])
def test_paint_chroma(device: torch.device, size: tuple, subsampling: str) -> None:
    height, width, h, w = size
    ab = torch.randn(2, 2, h, w, device=device) * 30
    for bits, matrix, full_range, siting in [
        (8, "bt601", True, "center"),
        (8, "bt709", False, "left"),
        (10, "bt2020", False, "left"),
    ]:
        luma = plane(height, width, bits, device)
        options = {"subsampling": subsampling, "matrix": matrix, "full_range": full_range, "siting": siting}
        ours = ops.paint_chroma(ab, luma, **options, saturation=0.8, bits=bits)
        exact = reference.paint_chroma(ab, luma, **options, saturation=0.8, bits=bits)
        for a, b in zip(ours, exact, strict=True):
            assert a.shape == b.shape and a.dtype == luma.dtype and levels_apart(a, b) <= 1


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("full_range", [True, False])
def test_chroma_shows_the_color_it_was_made_from(device: torch.device, matrix: str, full_range: bool) -> None:
    """Decode luma and chroma as a player does: the colour that comes out has the ab that went in."""
    ab = torch.tensor([[20.0, 30.0], [-25.0, 15.0], [5.0, -30.0]], device=device).view(3, 2, 1, 1)
    luma = torch.full((3, 8, 8), 128, dtype=torch.uint8, device=device)
    cb, cr = ops.paint_chroma(ab, luma, subsampling="444", matrix=matrix, full_range=full_range)
    k_red, k_blue = reference.LUMA_WEIGHTS[matrix]
    unit = (cb.double() - 128) / (255 if full_range else 224), (cr.double() - 128) / (255 if full_range else 224)
    lightness = 116 * reference._lightness(reference._srgb_to_linear(
        torch.tensor(128 / 255 if full_range else (128 - 16) / 219, dtype=torch.float64))) - 16  # fmt: skip
    rgb = reference.lab_to_rgb(
        torch.cat([lightness.to(device).expand(3, 1, 8, 8), ab.double().expand(3, 2, 8, 8)], 1), dtype=torch.float64
    )
    red, green, blue = rgb.unbind(1)
    y = k_red * red + (1 - k_red - k_blue) * green + k_blue * blue
    assert torch.allclose(unit[0] * 2 * (1 - k_blue), blue - y, atol=5e-3)
    assert torch.allclose(unit[1] * 2 * (1 - k_red), red - y, atol=5e-3)


def test_gray_film_stays_gray(device: torch.device) -> None:
    luma = plane(35, 37, 10, device)
    for chroma in ops.paint_chroma(
        torch.zeros(2, 2, 8, 8, device=device), luma, subsampling="420", matrix="bt709", full_range=False, bits=10
    ):
        assert chroma.int().unique().tolist() == [512]


def test_strides_and_empty(device: torch.device) -> None:
    ab, luma = torch.randn(2, 2, 8, 8, device=device) * 20, plane(64, 96, 8, device)
    view = luma[:, ::2, 1::3]
    options = {"subsampling": "420", "matrix": "bt709", "full_range": True}
    assert torch.equal(ops.paint_rgb(ab, view), ops.paint_rgb(ab, view.contiguous()))
    assert torch.equal(ops.luma_to_input(view, (9, 9)), ops.luma_to_input(view.contiguous(), (9, 9)))
    assert torch.equal(*(ops.paint_chroma(ab, v, **options)[0] for v in (view, view.contiguous())))
    assert ops.paint_rgb(ab[:0], luma[:0]).shape == (0, 64, 96, 3)
    assert ops.luma_to_input(luma[:0], (4, 4)).shape == (0, 1, 4, 4)
    assert ops.paint_chroma(ab[:0], luma[:0], **options)[0].shape == (0, 32, 48)


def test_compiles_whole(device: torch.device) -> None:
    ab, luma = torch.randn(1, 2, 8, 8, device=device) * 20, plane(20, 24, 8, device)[:1]

    def road(luma: torch.Tensor, ab: torch.Tensor) -> torch.Tensor:
        return ops.paint_rgb(ab + ops.luma_to_input(luma, (8, 8)) * 0, luma)

    assert torch.equal(torch.compile(road, fullgraph=True, backend="aot_eager")(luma, ab), road(luma, ab))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda a, y: ops.luma_to_input(y.float(), (8, 8)),
            TypeError,
            "luma: must be one of uint8, uint16, got float32",
        ),
        (lambda a, y: ops.luma_to_input(y, (8, 0)), ValueError, "size: must be two positive integers"),
        (lambda a, y: ops.luma_to_input(y, (8, 8), bits=10), ValueError, "bits: must be 8 for uint8"),
        (lambda a, y: ops.luma_to_input(y[:, :0], (8, 8)), ValueError, "luma: must have at least one pixel"),
        (lambda a, y: ops.paint_rgb(a[:1], y), ValueError, "ab: must hold as many images as the picture, 2, got 1"),
        (lambda a, y: ops.paint_rgb(a, y, saturation=-1), ValueError, "saturation: must be finite and not negative"),
        (lambda a, y: ops.paint_rgb(a, y[..., None]), ValueError, "l_or_rgb: must be uint8 of shape"),
        (
            lambda a, y: ops.paint_chroma(a, y, subsampling="411", matrix="bt709", full_range=True),
            ValueError,
            "subsampling: must be '420', '422' or '444', got '411'",
        ),
        (
            lambda a, y: ops.paint_chroma(a, y, subsampling="420", matrix="bt1", full_range=True),
            ValueError,
            "matrix: must be one of bt601, bt709, bt2020, got 'bt1'",
        ),
    ],
)
def test_bad_input(call: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call(torch.zeros(2, 2, 4, 4), torch.zeros(2, 9, 9, dtype=torch.uint8))
