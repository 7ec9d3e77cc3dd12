"""luma_to_input, paint_rgb and paint_chroma against the reference; what film needs of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from op_results import levels_apart, plane

import fastcolor
from fastcolor import ops, reference

SIZES = [(90, 161, 32, 64), (33, 17, 64, 64), (1, 1, 8, 8), (7, 1, 3, 1), (1, 9, 2, 5), (540, 960, 144, 256)]


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
        for guide in (None, torch.rand(2, 1, h, w, device=device) * 100, torch.rand(2, 1, 9, 11, device=device) * 100):
            ours = ops.paint_rgb(ab, source, saturation=1.3, gamut=gamut, guide=guide)
            exact = reference.paint_rgb(ab, source, saturation=1.3, gamut=gamut, guide=guide)
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
        for guide in (None, torch.rand(2, 1, h, w, device=device) * 100):
            ours = ops.paint_chroma(ab, luma, **options, saturation=0.8, bits=bits, guide=guide)
            exact = reference.paint_chroma(ab, luma, **options, saturation=0.8, bits=bits, guide=guide)
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


# ---- sharp edges ----


def test_colours_end_at_edges(device: torch.device) -> None:
    """Two halves of a picture, an edge within a cell: with a guide colours keep to their sides, and do no more."""
    luma = torch.full((1, 64, 64), 60, dtype=torch.uint8, device=device)
    luma[..., 36:] = 190
    left = torch.tensor([30.0, -20.0], device=device).view(1, 2, 1, 1).expand(1, 2, 64, 64)
    truth = torch.where(luma[:, None] < 100, left, -left)
    ab = F.interpolate(truth, (8, 8), mode="area")

    def error(guide: torch.Tensor | None) -> torch.Tensor:
        painted = ops.rgb_to_lab(ops.paint_rgb(ab, luma, guide=guide), layout="hwc")[:, 1:]
        exact = ops.rgb_to_lab(ops.paint_rgb(truth.contiguous(), luma), layout="hwc")[:, 1:]
        return (painted - exact).norm(dim=1).mean((0, 1))

    plain, sharp = error(None), error(ops.luma_to_input(luma, (8, 8)))
    assert sharp[24:48].mean() < 0.6 * plain[24:48].mean()
    assert sharp[:20].max() < 1 and sharp[52:].max() < 1


def test_grain_makes_no_colours(device: torch.device) -> None:
    """Noise of lightness in one colour: slopes are found in it by chance, and stay small."""
    generator = torch.Generator().manual_seed(0)
    luma = (128 + 8 * torch.randn(1, 256, 256, generator=generator)).round().to(torch.uint8).to(device)
    ab = torch.tensor([25.0, 15.0], device=device).view(1, 2, 1, 1) + torch.randn(1, 2, 64, 64, device=device)
    film = {"subsampling": "444", "matrix": "bt709", "full_range": True}
    plain, sharp = (
        ops.paint_chroma(ab, luma, **film, guide=guide) for guide in (None, ops.luma_to_input(luma, (64, 64)))
    )
    for one, other in zip(plain, sharp, strict=True):
        assert (one.float() - other.float()).std() < 0.5


def test_a_guide_that_says_nothing_changes_nothing(device: torch.device) -> None:
    ab, luma = torch.randn(1, 2, 5, 7, device=device) * 30, plane(40, 56, 8, device)[:1]
    flat = torch.full((1, 1, 5, 7), 50.0, device=device)
    assert torch.equal(ops.paint_rgb(ab, luma, guide=flat), ops.paint_rgb(ab, luma))


# ---- black and white have no colour ----


def vivid(device: torch.device, n: int = 1) -> torch.Tensor:
    return torch.tensor([60.0, -80.0], device=device).view(1, 2, 1, 1).expand(n, 2, 3, 3)


@pytest.mark.parametrize(
    ("bits", "full_range", "black", "white"),
    [(8, True, (0, 3), (250, 255)), (8, False, (0, 19), (231, 255)), (10, True, (0, 13), (1003, 1023)),
     (10, False, (0, 76), (924, 1023)), (12, False, (0, 304), (3696, 4095)), (16, True, (0, 900), (64260, 65535))],
)  # fmt: skip
def test_black_and_white_of_a_film_are_neutral(
    device: torch.device, bits: int, full_range: bool, black: tuple, white: tuple
) -> None:
    for low, high in (black, white):
        codes = np.linspace(low, high, 16).round().astype(np.uint8 if bits == 8 else np.uint16)
        luma = torch.from_numpy(codes).view(1, 16, 1).expand(1, 16, 16).contiguous().to(device)
        for subsampling in ("420", "422", "444"):
            options = {"subsampling": subsampling, "matrix": "bt709", "full_range": full_range, "bits": bits}
            gray = ops.paint_chroma(torch.zeros_like(vivid(device)), luma, **options)
            for chroma, neutral in zip(ops.paint_chroma(vivid(device), luma, **options), gray, strict=True):
                assert torch.equal(chroma, neutral)
                # sRGB's published matrix and white differ in the fifth digit, which 16 bits show.
                assert levels_apart(chroma, torch.full_like(chroma.int(), 2 ** (bits - 1))) <= (bits == 16)
    middle = torch.full_like(luma, (black[1] + white[0]) // 2)
    for chroma in ops.paint_chroma(vivid(device), middle, **options):
        assert int((chroma.int() - 2 ** (bits - 1)).abs().min()) > 2 ** (bits - 5)


@pytest.mark.parametrize("gamut", ["clip", "chroma"])
def test_black_and_white_of_a_picture_are_neutral(device: torch.device, gamut: str) -> None:
    codes = torch.tensor([0, 1, 2, 3, 250, 251, 252, 253, 254, 255], device=device).view(1, 1, 10)
    lightness = ops.rgb_to_lab(codes.to(torch.uint8).expand(1, 3, 1, 10).contiguous().view(1, 3, 1, 10))[:, :1]
    for source in (codes.to(torch.uint8), (codes * 257).to(torch.uint16), lightness):
        rgb = ops.paint_rgb(vivid(device), source, saturation=1.5, gamut=gamut)
        assert torch.equal(rgb, codes.to(torch.uint8)[..., None].expand(1, 1, 10, 3))


def test_shadows_and_highlights_keep_their_color(device: torch.device) -> None:
    """From L = 6 to 97.75 nothing changes; beyond, chroma falls to both ends and never rises again."""
    lightness = torch.linspace(6, 97.75, 500, device=device).view(1, 1, 1, 500)
    ab = torch.tensor([12.0, 9.0], device=device).view(1, 2, 1, 1)
    lab = torch.cat([lightness, ab.expand(1, 2, 1, 500)], 1)
    assert levels_apart(ops.paint_rgb(ab, lightness), ops.lab_to_rgb(lab, layout="hwc")) == 0
    for low, high in ((1, 6), (98.25, 97.75)):
        share = reference.chroma_share(torch.linspace(low, high, 100, dtype=torch.float64))
        assert share[0] == 0 and share[-1] == 1 and bool((share.diff() > 0).all())


def test_bars_and_margins_of_a_real_run_are_gray() -> None:
    rows, columns = np.mgrid[:160, :240]
    scene = (150 + 60 * np.sin(columns / 31 + np.sin(rows / 23) * 2)).astype(np.uint8)
    for frame in (0, 2, 250, 255):
        picture = np.full((260, 320), frame, dtype=np.uint8)
        picture[50:210, 40:280] = scene
        colored = np.asarray(fastcolor.colorize(picture))
        edge = np.ones_like(picture, dtype=bool)
        edge[50:210, 40:280] = False
        assert (colored[edge] == frame).all()
        assert np.ptp(colored[50:210, 40:280].astype(int), axis=-1).mean() > 2


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
        (lambda a, y: ops.paint_rgb(a, y, guide=a), ValueError, r"guide: must have shape \(N, 1, h, w\), got"),
        (
            lambda a, y: ops.paint_rgb(a, y, guide=a[:1, :1]),
            ValueError,
            "guide: must hold as many images as ab, 2, got",
        ),
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
