"""Films of high dynamic range: what they say of themselves, what the network sees of them, how strong colours are."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import av.logging
import numpy as np
import pytest
import torch
from film_clips import clip, frames_of, plane, random_net

import fastcolor
from fastcolor import reference
from fastcolor.film import hdr
from fastcolor.formats import spaces


@pytest.fixture(scope="session")
def red_net(tmp_path_factory: pytest.TempPathFactory) -> str:
    return random_net(tmp_path_factory.mktemp("weights"), paints=(20.0, 20.0))


MASTER = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


def hdr_film(path: Path, transfer: int = 16, codec: str = "libx265", **options: object) -> Path:
    params = f"log-level=error:master-display={MASTER}:max-cll=1000,400" if codec == "libx265" else ""
    return clip(
        path, "yuv420p10le", frames=6, codec=codec, options={"x265-params": params} if params else {},
        tags=(9, 9, transfer), color_range=1, **options,
    )  # fmt: skip


def hdr_of(path: Path) -> tuple:
    data = {item.type.name: bytes(item) for item in frames_of(path)[0].side_data}
    numbers = struct.unpack_from("=22i", data["MASTERING_DISPLAY_METADATA"])
    ratios = [round(a / b, 5) for a, b in zip(numbers[0:20:2], numbers[1:20:2], strict=True)]
    return ratios, numbers[20:], struct.unpack_from("=2I", data["CONTENT_LIGHT_LEVEL"])


@pytest.mark.parametrize(("ending", "codec"), [(".mp4", None), (".mkv", None), (".mkv", "av1"), (".mp4", "h264")])
def test_mastering_display_and_light_level_are_restored(net: str, tmp_path: Path, ending: str, codec: str | None):
    src, dst = hdr_film(tmp_path / "hdr.mp4"), tmp_path / f"colour{ending}"
    assert hdr_of(src)[2] == (1000, 400)
    fastcolor.video(src, dst, weights=net, codec=codec)
    (ours, flags, light), (wanted, wanted_flags, wanted_light) = hdr_of(dst), hdr_of(src)
    assert ours == pytest.approx(wanted, abs=1e-4) and flags == wanted_flags and light == wanted_light
    assert frames_of(dst)[0].format.name == "yuv420p10le"
    with av.open(str(dst)) as output:
        context = output.streams.video[0].codec_context
        next(output.decode(video=0))
        assert (context.colorspace, context.color_primaries, context.color_trc) == (9, 9, 16)


def test_what_a_codec_cannot_say_is_said(net: str, tmp_path: Path):
    report = fastcolor.video(hdr_film(tmp_path / "hdr.mp4"), tmp_path / "c.mkv", weights=net, codec="ffv1")
    assert "ffv1 is written without the film's mastering display and light level" in report.notes


def pq(nits: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084, from light to code."""
    power = (np.maximum(nits, 0) / 10000) ** (1305 / 8192)
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** (2523 / 32)


def hlg(scene: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100, from scene light to code."""
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


@pytest.mark.parametrize("transfer", [hdr.PQ, hdr.HLG])
def test_the_network_sees_an_hdr_film_as_an_ordinary_one(transfer: int):
    light = np.linspace(0.001, 0.5, 200)  # up to middle tones, 1 is diffuse white
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    # Diffuse white is of 203 nits on a display of 1,000, whose light is HLG's scene light to the power of 1.2.
    codes = pq(light * 203) if transfer == hdr.PQ else hlg((light * 0.203) ** (1 / 1.2))
    space, peak = spaces.Space(transfer=transfer), hdr.PEAKS[transfer]
    assert np.abs(spaces.ordinary_codes(codes, space, peak) - srgb).max() < 1e-3
    lightness = {
        name: reference.luma_to_input(torch.from_numpy((x * 65535).round().astype(np.uint16))[None, None], (1, 200))
        for name, x in (("hdr", codes), ("sdr", srgb))
    }
    seen = hdr.eyes(lightness["hdr"], transfer)
    assert (seen - lightness["sdr"]).abs().max() < 0.2
    assert (lightness["hdr"] - lightness["sdr"]).abs().max() > 9, "there was nothing to map"
    whole = spaces.ordinary_codes(np.linspace(0, 1, 1000), space, peak)
    assert (
        (np.diff(whole) >= 0).all()
        and whole[-1] == pytest.approx(1)
        and peak == pytest.approx(pq(np.array([1000.0]))[0] if transfer == hdr.PQ else 1, abs=1e-4)
    )


def test_colours_of_a_pq_film_are_as_strong_as_meant(red_net: str, tmp_path: Path):
    src = hdr_film(tmp_path / "hdr.mp4")
    fastcolor.video(src, tmp_path / "colour.mp4", weights=red_net, lossless=True)
    frame = frames_of(tmp_path / "colour.mp4")[0]
    y, cb, cr = (plane(frame, index).astype(float) for index in range(3))
    y = (y[::2, ::2] / 4 - 16) / 219
    cb, cr = (cb / 4 - 128) / 224, (cr / 4 - 128) / 224
    red, blue = y + 2 * (1 - 0.2627) * cr, y + 2 * (1 - 0.0593) * cb
    green = (y - 0.2627 * red - 0.0593 * blue) / (1 - 0.2627 - 0.0593)
    middle = (y > 0.45) & (y < 0.55)
    codes = torch.from_numpy(np.stack([red[middle], green[middle], blue[middle]])[None, :, None])
    light = torch.from_numpy(spaces.light_of(codes.numpy(), spaces.Space(transfer=hdr.PQ)))
    srgb = torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)
    ab = reference.rgb_to_lab(srgb)[0, 1:].mean((1, 2))
    assert (ab - 20).abs().max() < 6, f"a, b should be near 20, 20: {ab.tolist()}"
