"""Films of particular kinds: HDR, interlaced, damaged, in colour here and there; and ways to look at the result."""

from __future__ import annotations

import logging
import os
import struct
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import av.logging
import numpy as np
import pytest
import torch
from film_clips import (
    clip,
    frames_of,
    in_process,
    packets_of,
    pattern,
    plane,
    random_net,
    rich_film,
    same_luma,
    times_of,
)

import fastcolor
from fastcolor import reference
from fastcolor.commands import cli
from fastcolor.film import hdr
from fastcolor.film import write as writing
from fastcolor.film.missing import missing_bytes
from fastcolor.film.probe import probe
from fastcolor.film.video import _previewed
from fastcolor.film.write import PartWriter
from fastcolor.formats import spaces
from fastcolor.options.film import VideoOptions
from fastcolor.predictor import Predictor


@pytest.fixture(scope="session")
def red_net(tmp_path_factory: pytest.TempPathFactory) -> str:
    return random_net(tmp_path_factory.mktemp("weights"), paints=(20.0, 20.0))


# ---- high dynamic range ----

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
    light = torch.from_numpy(spaces._light(codes.numpy(), spaces.Space(transfer=hdr.PQ)))
    srgb = torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)
    ab = reference.rgb_to_lab(srgb)[0, 1:].mean((1, 2))
    assert (ab - 20).abs().max() < 6, f"a, b should be near 20, 20: {ab.tolist()}"


# ---- interlaced ----


@pytest.mark.parametrize(("order", "ending"), [("tff", ".mp4"), ("bff", ".mkv")])
def test_interlaced_flags_stay(net: str, tmp_path: Path, order: str, ending: str):
    src = clip(tmp_path / "fields.mp4", size=(96, 96), frames=8, options={"x264-params": f"{order}=1"}, interlaced=True)
    assert all(frame.interlaced_frame for frame in frames_of(src))
    dst = tmp_path / f"colour{ending}"
    fastcolor.video(src, dst, weights=net, adaptive="on")
    assert [frame.interlaced_frame for frame in frames_of(dst)] == [True] * 8
    with av.open(str(src)) as before, av.open(str(dst)) as after:
        orders = [next(f.decode(video=0)) and f.streams.video[0].codec_context.field_order for f in (before, after)]
        assert orders[0] == orders[1] != 0
    report = fastcolor.video(src, tmp_path / "c.mkv", weights=net, codec="av1")
    assert "av1 is written without the mark of an interlaced film" in report.notes


# ---- damage ----


def whole_and(path: Path, **options: object) -> tuple[Path, bytearray]:
    src = clip(path, size=(160, 120), frames=60, audio=("aac",), **options)
    return src, bytearray(src.read_bytes())


def faststart(src: Path, dst: Path) -> Path:
    """The same film with its index in front, as it comes over the net."""
    with av.open(str(src)) as source, av.open(str(dst), "w", container_options={"movflags": "faststart"}) as output:
        copies = {s.index: output.add_stream_from_template(s, opaque=True) for s in source.streams}
        for packet in source.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
    return dst


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_truncated_film_is_painted_as_far_as_it_goes_and_says_so(
    net: str, tmp_path: Path, ending: str, capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
):
    src, _ = whole_and(tmp_path / f"film{ending}", time_base=Fraction(1, 30000 if ending == ".mp4" else 1000))
    if ending == ".mp4":
        src = faststart(src, tmp_path / "fast.mp4")
    assert missing_bytes(src) == 0
    cut = tmp_path / f"cut{ending}"
    cut.write_bytes(src.read_bytes()[: src.stat().st_size * 2 // 3])
    dst = tmp_path / "colour.mkv"
    with pytest.raises(SystemExit) as stop:
        cli.main_video([str(cut), str(dst), "--weights", net, "--engine", "torch"])
    assert stop.value.code == 3
    assert f"{cut} is cut off: {src.stat().st_size - cut.stat().st_size} bytes are missing" in caplog.text
    assert 10 < len(frames_of(dst)) < 60
    assert times_of(dst)[:10] == pytest.approx([float(t) for t in times_of(src)[:10]], abs=0.001)
    with pytest.raises(SystemExit) as stop:  # and the whole film passes without a word
        caplog.clear()
        cli.main_video([str(src), str(tmp_path / "whole.mkv"), "--weights", net, "--engine", "torch"])
    assert stop.value.code == 0 and caplog.text == ""


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("film.mp4", {}),
        ("film.mkv", {"time_base": Fraction(1, 1000)}),
        ("film.ts", {"time_base": Fraction(1, 90000)}),
        ("mpeg4.mp4", {"codec": "mpeg4"}),
    ],
)
def test_damage_in_the_middle_is_survived_with_a_warning(net: str, tmp_path: Path, name: str, options: dict):
    src, data = whole_and(tmp_path / name, **options)
    middle = len(data) // 2
    data[middle : middle + 2000] = np.random.default_rng(1).bytes(2000)
    src.write_bytes(data)
    dst = tmp_path / "colour.mkv"
    report = fastcolor.video(src, dst, weights=net)
    assert report.warnings and all(str(src) in warning for warning in report.warnings)
    assert 10 < report.frames == len(frames_of(dst)) <= 60


def test_errors_that_only_the_log_tells_of(net: str, tmp_path: Path):
    """A decoder hides small damage: some bits amount to a frame that looks whole and is not."""
    src = clip(tmp_path / "film.mp4", size=(320, 240), frames=40)
    data, reports = src.read_bytes(), []
    for at in (len(data) // 3, len(data) // 3 + 1000, len(data) // 2, len(data) // 2 + 1000):
        broken = bytearray(data)
        broken[at] ^= 0x55
        src.write_bytes(broken)
        reports.append(fastcolor.video(src, tmp_path / "c.mp4", weights=net, overwrite=True, temporal="off"))
    told = [report.warnings for report in reports]
    assert all(report.frames == 40 for report in reports)
    assert any("errors reported, the first" in warnings[0] for warnings in told if warnings)
    src.write_bytes(data)
    assert not fastcolor.video(src, tmp_path / "c.mp4", weights=net, overwrite=True).warnings
    assert av.logging.get_level() is None


def test_a_last_frame_that_stands_long_is_no_damage(net: str, tmp_path: Path):
    """Slides: the file ends seconds after its last time stamp."""
    src, slides = clip(tmp_path / "film.mp4", frames=5), tmp_path / "slides.mkv"
    with av.open(str(src)) as source, av.open(str(slides), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0], opaque=True)
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for packet in packets:
            packet.stream, packet.duration = stream, 1001 if packet is not packets[-1] else 150_000
            output.mux(packet)
    assert not fastcolor.video(slides, tmp_path / "c.mkv", weights=net).warnings


def test_an_index_that_lists_more_than_there_is(net: str, tmp_path: Path):
    src, _ = whole_and(tmp_path / "film.mp4")
    fast = faststart(src, tmp_path / "fast.mp4")
    fast.write_bytes(fast.read_bytes()[: fast.stat().st_size // 2])
    report = fastcolor.video(fast, tmp_path / "colour.mp4", weights=net)
    assert any("of 60 frames could not be read" in warning for warning in report.warnings)


def test_bytes_missing_are_counted(tmp_path: Path):
    for name in ("a.mp4", "a.mkv", "a.avi", "a.webm"):
        codec = {"webm": "libvpx-vp9", "avi": "mpeg4"}.get(name[2:], "libx264")
        src = clip(tmp_path / name, codec=codec, time_base=Fraction(1, 1000) if name != "a.avi" else Fraction(1, 30))
        assert missing_bytes(src) == 0
        src.write_bytes(src.read_bytes()[:-100])
        assert missing_bytes(src) == 100
    (tmp_path / "text").write_bytes(b"no film at all" * 9)
    assert missing_bytes(tmp_path / "text") == 0


# ---- colour that is there already ----


def chroma(path: Path) -> list[np.ndarray]:
    return [np.stack([plane(frame, 1), plane(frame, 2)]) for frame in frames_of(path)]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le"])
def test_coloured_stretches_are_left_alone(net: str, tmp_path: Path, pixel_format: str):
    src = clip(tmp_path / "mixed.mp4", pixel_format, frames=36, options={"qp": "0"}, colored=range(12, 24))
    options = {"weights": net, "lossless": True, "adaptive": "on"}
    fastcolor.video(src, tmp_path / "colour.mp4", skip_colored=True, **options)
    fastcolor.video(src, tmp_path / "all.mp4", **options)
    before, after, everywhere = chroma(src), chroma(tmp_path / "colour.mp4"), chroma(tmp_path / "all.mp4")
    same = [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert same == [False] * 12 + [True] * 12 + [False] * 12
    assert not any(np.array_equal(a, b) for a, b in zip(before, everywhere, strict=True))
    assert same_luma(src, tmp_path / "colour.mp4")


def test_a_tint_is_no_colour(net: str, tmp_path: Path):
    src = clip(tmp_path / "sepia.mp4", frames=6, options={"qp": "0"}, tint=(110, 150))
    fastcolor.video(src, tmp_path / "colour.mp4", weights=net, lossless=True, skip_colored=True)
    pairs = zip(chroma(src), chroma(tmp_path / "colour.mp4"), strict=True)
    assert not any(np.array_equal(a, b) for a, b in pairs)


# ---- looking at it ----


@pytest.mark.parametrize("size", [(96, 64), (95, 63)])
def test_compare_shows_gray_and_painted_side_by_side(net: str, tmp_path: Path, size: tuple[int, int]):
    src = clip(tmp_path / "gray.mkv", size=size, frames=5, codec="ffv1", time_base=Fraction(1, 1000))
    fastcolor.video(src, tmp_path / "painted.mkv", weights=net, codec="ffv1")
    report = fastcolor.video(src, tmp_path / "both.mkv", weights=net, codec="ffv1", compare=True)
    assert (report.width, report.height) == (2 * size[0], size[1])
    for both, painted in zip(frames_of(tmp_path / "both.mkv"), frames_of(tmp_path / "painted.mkv"), strict=True):
        for index in range(3):
            wide, right = plane(both, index), plane(painted, index)
            left = wide[:, : wide.shape[1] - right.shape[1]]
            assert np.array_equal(wide[:, -right.shape[1] :], right)
            assert np.array_equal(left, right[:, : left.shape[1]]) if index == 0 else (left == 128).all()


class Pipe:
    """A file that can only be written on, as a recorder's output."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write


def test_preview_paints_ten_seconds_from_the_middle(net: str, tmp_path: Path):
    src = clip(tmp_path / "gray.mp4", frames=900, options={"preset": "ultrafast"})  # 30 s
    report = fastcolor.video(src, tmp_path / "colour.mp4", weights=net, preview=True)
    assert report.frames == pytest.approx(300, abs=1) and "libx264" in report.codec
    shown = plane(frames_of(tmp_path / "colour.mp4")[0], 0).astype(int)
    apart = [np.abs(shown - pattern(index, 64, 96, 8)).mean() for index in range(296, 306)]
    assert 296 + np.argmin(apart) == 301, "it does not begin after ten seconds"
    film, live = probe(src), tmp_path / "live.mkv"  # written while it was recorded: nothing in it says how long it is
    with live.open("wb") as file, av.open(src) as given, av.open(Pipe(file), "w", format="matroska") as recorded:
        stream = recorded.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                recorded.mux(packet)
    asked = VideoOptions(live, tmp_path / "d.mp4", preview=True)
    assert film.frames == 900 and probe(live).frames is None
    assert _previewed(probe(live), asked) == _previewed(film, asked)
    with pytest.raises(ValueError, match=r"start: must be left out with preview, .* got 1"):
        fastcolor.video(src, tmp_path / "c.mp4", weights=net, preview=True, start=1)


def test_the_command_line_knows_every_option(net: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    src = rich_film(tmp_path / "rich.mkv")
    words = "--temporal off --codec hevc --crf 25 --fast --resume --skip-colored --compare --start 0.5 --end 1.5"
    words += " --hardware off"
    with pytest.raises(SystemExit) as stop:
        cli.main_video([str(src), str(tmp_path / "c.mp4"), "--weights", net, *words.split()])
    said = capsys.readouterr().out
    assert stop.value.code == 0 and "192x64" in said and "libx265" in said and "mov_text" in said
    with pytest.raises(SystemExit) as stop:
        cli.main_video([str(src), str(tmp_path / "d.mp4"), "--temporal", "always"])
    assert stop.value.code == 2 and len(capsys.readouterr().err.splitlines()) == 1


def test_gray_formats_of_other_kinds(net: str, tmp_path: Path):
    """4:4:4 and packed formats, RGB, and gray of more bits than the encoder takes."""
    for pixel_format, codec in (
        ("gray12le", "ffv1"),
        ("rgb24", "rawvideo"),
        ("yuyv422", "rawvideo"),
        ("yuv440p", "ffv1"),
    ):
        path = tmp_path / f"{pixel_format}.{'nut' if codec == 'rawvideo' else 'mkv'}"
        with av.open(str(path), "w") as output:
            stream = output.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 64, pixel_format
            for index in range(3):
                gray = av.VideoFrame.from_ndarray(pattern(index, 64, 96, 8), format="gray")
                frame = gray.reformat(format=pixel_format)
                frame.pts, frame.time_base = index, Fraction(1, 25)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        report = fastcolor.video(path, tmp_path / f"{pixel_format}.mp4", weights=net)
        assert report.frames == 3 == len(packets_of(tmp_path / f"{pixel_format}.mp4")[0]), pixel_format


# ---- memory ----


def test_a_batch_too_large_for_the_device_is_halved(
    net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    src = clip(tmp_path / "gray.mp4", frames=20)
    fastcolor.video(src, tmp_path / "whole.mp4", weights=net, lossless=True, adaptive="off")
    predict = Predictor.predict_ab

    def short_of_memory(self: Predictor, lightness: torch.Tensor, **options: object) -> torch.Tensor:
        if len(lightness) > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return predict(self, lightness, **options)

    monkeypatch.setattr(Predictor, "predict_ab", short_of_memory)
    report = fastcolor.video(src, tmp_path / "colour.mp4", weights=net, lossless=True, adaptive="off")
    assert [note for note in report.notes if "memory" in note] == [
        f"out of GPU memory: {n} frames at once go through the network from here on" for n in (2, 1)
    ]
    assert not report.warnings and caplog.text.count("out of GPU memory") == 2
    for a, b in zip(chroma(tmp_path / "whole.mp4"), chroma(tmp_path / "colour.mp4"), strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1


def test_memory_does_not_grow_with_the_film(net: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """A looped clip of many frames: the most memory it ever takes is what a tenth of it takes."""
    caplog.set_level(logging.ERROR)
    clip(tmp_path / "short.mp4", size=(320, 240), frames=250, audio=("aac",), options={"preset": "ultrafast"})
    lengths = {}
    for times in (1, 10):
        looped = tmp_path / f"{times}.mkv"
        with av.open(str(looped), "w") as output:
            copies, shift = {}, 0
            for _ in range(times):
                with av.open(str(tmp_path / "short.mp4")) as source:
                    for stream in source.streams:
                        if stream.index not in copies:
                            copies[stream.index] = output.add_stream_from_template(stream, opaque=True)
                    for packet in source.demux():
                        if packet.size:
                            ticks = round(shift * Fraction(85, 10) / Fraction(packet.time_base))
                            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                            packet.stream = copies[packet.stream.index]
                            output.mux(packet)
                shift += 1
        code = (
            "import fastcolor, resource, torch; torch.set_num_threads(1); "
            f"r = fastcolor.video({str(looped)!r}, {str(tmp_path / f'c{times}.mkv')!r}, weights={net!r}, fast=True); "
            "print(r.frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=__import__('sys').stderr)"
        )
        process = in_process(code)
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said
        frames, most = said.split()[-2:]
        assert int(frames) == 250 * times
        lengths[times] = int(most) / 1024
    print(f"peak memory: {lengths[1]:.0f} MiB for 250 frames, {lengths[10]:.0f} MiB for 2500")
    assert lengths[10] < lengths[1] + 40


def test_encoders_leave_the_machine_to_others(tmp_path: Path, red_net: str) -> None:
    # SVT-AV1, run by root, makes the thread that opens it and its own real-time ones of the highest priority.
    film = clip(tmp_path / "in.mkv", frames=6)
    seen: dict[str, int] = {}
    policy, threads, looks = getattr(os, "sched_getscheduler", lambda _: 0), writing._threads, 0

    def lacking() -> list[str]:
        """As the system lists them where others end meanwhile."""
        nonlocal looks
        looks += 1
        return threads()[: -1 if looks == 1 else None]

    def look(*_: object) -> None:
        for thread in threads():
            with suppress(ProcessLookupError):  # it has ended
                seen[thread] = policy(int(thread))

    write = PartWriter.write

    def watched(self: PartWriter, frames: list) -> None:
        write(self, frames)
        look()

    before = policy(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartWriter, "write", watched)
        patch.setattr(writing, "_threads", lacking)
        fastcolor.video(film, tmp_path / "out.mkv", weights=red_net, codec="av1", device="cpu", engine="torch")
    assert seen and looks and set(seen.values()) == {before}
