"""Films that are cut off or broken: painted as far as they decode, and told of."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import av.logging
import numpy as np
import pytest
from film_clips import clip, frames_of, times_of

import fastcolor
from fastcolor.commands import cli
from fastcolor.film.missing import missing_bytes


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
