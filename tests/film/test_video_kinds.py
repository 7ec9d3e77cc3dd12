"""Films of particular kinds: interlaced, in colour here and there; ways to look at the result; memory."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import av
import av.logging
import numpy as np
import pytest
import torch
from film_clips import clip, frames_of, in_process, packets_of, pattern, plane, rich_film, same_luma
from PIL import Image

import fastcolor
from fastcolor.commands import cli
from fastcolor.film import write as writing
from fastcolor.film.by_time import stamped
from fastcolor.film.frames import upright_gray
from fastcolor.film.probe import probe
from fastcolor.film.shot_list import find_shots
from fastcolor.film.video import _previewed
from fastcolor.film.write import PartWriter
from fastcolor.options.film import VideoOptions
from fastcolor.predictor import Predictor

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
        ("nv12", "rawvideo"),
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


@pytest.mark.parametrize("color_range", [0, 1, 2])
def test_gray_brought_to_fewer_bits_keeps_its_range(net: str, tmp_path: Path, color_range: int):
    """As scans are archived; a gray sample of which nothing is said spans all its bits."""
    src = clip(tmp_path / "gray.mkv", "gray12le", codec="ffv1", frames=2, color_range=color_range)
    fastcolor.video(src, tmp_path / "colour.mp4", weights=net, engine="torch", codec="h264", lossless=True)
    for before, after in zip(frames_of(src), frames_of(tmp_path / "colour.mp4"), strict=True):
        assert after.color_range == (color_range or 2)
        assert np.abs(plane(after, 0) / 1023 - plane(before, 0) / 4095).max() <= 1 / 1023


def test_what_changes_on_the_way_is_brought_back_or_said(net: str, tmp_path: Path):
    """Recordings joined: first one of limited range and progressive, then one of full range and interlaced."""
    fields = {"qp": "0", "x264-params": "tff=1"}
    first = clip(tmp_path / "first.ts", color_range=1, options={"qp": "0"})
    second = clip(tmp_path / "second.ts", color_range=2, options=fields, interlaced=True)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    report = fastcolor.video(joined, tmp_path / "colour.mp4", weights=net, engine="torch", lossless=True)
    assert any("changes the range of its codes" in sentence for sentence in report.warnings), report.warnings
    assert any("is interlaced from second 0.4 on" in note for note in report.notes), report.notes
    painted = [plane(frame, 0).astype(float) for frame in frames_of(tmp_path / "colour.mp4")]
    assert len(painted) == 24
    given = frames_of(first) + frames_of(second)
    for index, luma in enumerate(painted):
        source = plane(given[index], 0).astype(float)
        assert np.abs(luma - (source if index < 12 else 16 + source * 219 / 255)).max() <= 1, index


def test_gray_films_that_change_their_range_or_become_luma_and_chroma_keep_their_luma(net: str, tmp_path: Path):
    """libswscale takes all gray for full range, and makes no other."""
    kinds = {"limited": ("gray", 1), "full": ("gray", 2), "luma and chroma": ("yuv420p", 1)}
    made = {
        name: clip(
            tmp_path / f"{name}.ts",
            kind,
            codec="libx265",
            color_range=code,
            frames=4,
            options={"x265-params": "lossless=1:log-level=none"},
        )
        for name, (kind, code) in kinds.items()
    }
    for first in ("limited", "full"):
        order = [first, *(name for name in made if name != first)]
        joined = tmp_path / f"{first} first.ts"
        joined.write_bytes(b"".join(made[name].read_bytes() for name in order))
        fastcolor.video(joined, tmp_path / f"{first}.mkv", weights=net, engine="torch", lossless=True)
        painted = frames_of(tmp_path / f"{first}.mkv")
        given = [(plane(frame, 0).astype(float), name == "full") for name in order for frame in frames_of(made[name])]
        assert len(painted) == len(given) == 12
        for frame, (luma, full) in zip(painted, given, strict=True):
            light = luma / 255 if full else (luma - 16) / 219
            wanted = 255 * light if first == "full" else 16 + 219 * light
            assert np.abs(plane(frame, 0) - wanted.clip(0, 255)).max() <= 1.5, (first, full)


def test_a_gray_frame_of_limited_range_is_shown_in_full(tmp_path: Path):
    shown, listed = [], []
    for kind in ("gray", "yuv420p"):
        film = probe(clip(tmp_path / f"{kind}.mkv", kind, codec="ffv1", color_range=1, frames=1))
        _, frame = next(stamped(film))
        shown.append(upright_gray(frame, film.codec, 0).astype(int))
        listed.append(np.asarray(find_shots(film.path)[0].picture).astype(int))
    assert np.abs(shown[0] - shown[1]).max() <= 1
    assert 0.97 < listed[0].std() / listed[1].std() < 1.03


def test_motion_jpeg_with_exif_in_every_picture_is_a_film(net: str, tmp_path: Path):
    """As cameras write it: PyAV gives nothing of what comes with such a frame."""
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    src = tmp_path / "camera.avi"
    with av.open(str(src), "w") as output:
        stream = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        for index in range(3):
            jpeg = BytesIO()
            Image.fromarray(pattern(index, 64, 96, 8)).save(jpeg, "JPEG", exif=exif)
            packet = av.Packet(jpeg.getvalue())
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), True
            packet.pts = packet.dts = index
            output.mux(packet)
    report = fastcolor.video(src, tmp_path / "colour.mp4", weights=net, engine="torch", lossless=True)
    assert report.frames == 3 and not report.warnings and same_luma(src, tmp_path / "colour.mp4")


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


def test_encoders_leave_the_machine_to_others(tmp_path: Path, net: str) -> None:
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
        fastcolor.video(film, tmp_path / "out.mkv", weights=net, codec="av1", device="cpu", engine="torch")
    assert seen and looks and set(seen.values()) == {before}
