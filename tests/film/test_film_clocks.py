"""Clocks as people's films have them: joined, wrapped, below zero, in coding order, none at all. ffprobe sees the right
times in what comes out."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from film_clips import clip, frames_of, pattern, plane, rich_film
from witness import look, make, needed, picture, samples, tick, tone

import fastcolor

pytestmark = [pytest.mark.usefixtures("one_thread"), needed]
MPEG2 = ("-c:v", "mpeg2video", "-b:v", "1M", "-c:a", "mp2")


def paint(src: Path, dst: Path, net: str, **options: object) -> fastcolor.film.video.VideoReport:
    return fastcolor.video(src, dst, weights=net, engine="torch", device="cpu", fast="codec" not in options, **options)


def even(steps: list[float], step: float, tick: float = 0.001) -> bool:
    return len(steps) > 0 and max(abs(one - step) for one in steps) <= tick + 1e-6


# ---- joined ----


def joined(path: Path) -> Path:
    """Two recordings, one behind the other, as `cat` joins them and DVDs hold them."""
    parts = []
    for name, extra in (("a", ""), ("b", ",negate")):
        part = path.with_name(name + path.suffix)
        sound = [*picture("192x144", "25", 4), *tone(4, 44100)]
        sound[5] += extra
        source = [*sound[:4], *tone(4, 44100), "-vf", sound[5]]
        parts.append(make(part, *source, *MPEG2, "-f", {".ts": "mpegts", ".vob": "vob"}[path.suffix]).read_bytes())
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize(("ending", "out"), [(".ts", ".mp4"), (".vob", ".mkv")])
def test_joined_recordings_follow_each_other(net: str, tmp_path: Path, ending: str, out: str):
    src, dst = joined(tmp_path / f"joined{ending}"), tmp_path / f"colour{out}"
    report = paint(src, dst, net)
    seen = look(dst)
    assert report.frames == len(seen.times) == 200 and even(seen.steps, 0.04)
    assert not report.warnings and not report.left_out
    assert samples(dst) == 2 * 154 * 1152  # all of the sound, 354,816 samples
    ahead = seen.packets[0][100][0] - seen.packets[1][154][0]  # of the second part's picture over its sound
    assert abs(ahead - (seen.packets[0][0][0] - seen.packets[1][0][0])) < 0.002
    # A cut in the second part shows what the whole film shows there.
    paint(src, tmp_path / f"cut{out}", net, start=5.0, end=6.0)
    whole, cut = (frames_of(path)[first : first + 3] for path, first in ((dst, 125), (tmp_path / f"cut{out}", 0)))
    assert len(look(tmp_path / f"cut{out}").times) == 25
    for a, b in zip(whole, cut, strict=True):
        assert np.abs(plane(a, 0).astype(int) - plane(b, 0)).mean() < 2
    # The count of packets that breaks off at the seam is no damage to a cut that begins soon behind it.
    report = paint(src, tmp_path / f"behind{out}", net, start=4.3, end=4.7)
    assert report.frames == 10 and not report.warnings


@pytest.mark.parametrize("offset", ["95443.2", "50000"])
@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_broadcasts_begin_at_zero_and_wrapped_clocks_go_on(net: str, tmp_path: Path, ending: str, offset: str):
    """A clock of 33 bits wraps after 26 hours and a half; libav then reads the film's beginning below zero."""
    arguments = [*picture()[:4], *tone(), "-vf", picture()[5], *MPEG2, "-output_ts_offset", offset, "-muxdelay", "0"]
    src, dst = make(tmp_path / "wrap.ts", *arguments), tmp_path / f"colour{ending}"
    report = paint(src, dst, net)
    before, after = look(src), look(dst)
    assert len(after.times) == len(before.times) == 30 and even(after.steps, 0.04) and not report.warnings
    assert 0 <= min(after.times[0], after.packets[1][0][0]) < 0.002
    assert abs((after.times[0] - after.packets[1][0][0]) - (before.times[0] - before.packets[1][0][0])) < 0.002
    assert samples(dst) == samples(src)


# ---- below zero ----


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_film_that_begins_below_zero_is_shown_whole(net: str, tmp_path: Path, ending: str):
    src = tmp_path / "negative.mkv"
    with av.open(str(src), "w", container_options={"avoid_negative_ts": "disabled"}) as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.time_base = 96, 64, Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 25)
        packets = []
        for index in range(40):
            frame = av.VideoFrame.from_ndarray(pattern(index, 64, 96, 8), format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            packets += stream.encode(frame)
        for number, packet in enumerate(packets + stream.encode(None)):
            packet.pts = packet.dts = 40 * number - 480
            packet.time_base, packet.duration = Fraction(1, 1000), 40
            output.mux_one(packet)
    assert look(src).times[0] == -0.48
    report = paint(src, tmp_path / f"colour{ending}", net)
    seen = look(tmp_path / f"colour{ending}")
    assert report.frames == len(seen.times) == 40 and seen.times[0] == 0 and even(seen.steps, 0.04)


# ---- coding order ----


def coded(codec: str, options: dict[str, str], count: int = 50) -> list[tuple[bytes, bool]]:
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = 96, 64, "yuv420p"
    context.time_base, context.framerate, context.options = Fraction(1, 25), 25, options
    context.max_b_frames = int(options["bf"])
    packets = []
    for index in range(count):
        frame = av.VideoFrame.from_ndarray(pattern(index, 64, 96, 8), format="gray").reformat(format="yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, 25)
        packets += context.encode(frame)
    return [(bytes(packet), packet.is_keyframe) for packet in packets + context.encode(None)]


def packed(chunks: list[tuple[bytes, bool]]) -> list[tuple[bytes, bool]]:
    """A frame of two references goes into the chunk before it, and an empty one takes its place, as DivX 5 did."""
    start, empty, label = b"\0\0\1\xb6", b"\0\0\1\xb6\x50\x5f", b"\0\0\1\xb2DivX503b1393p"

    def kind(data: bytes) -> str:
        return "IPBS"[data[data.find(start) + 4] >> 6]

    out: list[tuple[bytes, bool]] = []
    for data, key in chunks:
        if kind(data) == "B":
            out[-1] = (out[-1][0] + data, out[-1][1])
            out.append((empty, False))
        else:
            out.append((data.replace(start, label + start, 1) if kind(data) == "I" else data, key))
    return out


def avi(path: Path, codec: str, tag: str, chunks: list[tuple[bytes, bool]]) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.codec_context.codec_tag = 96, 64, tag
        output.start_encoding()
        for index, (data, key) in enumerate(chunks):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, 25)
            packet.is_keyframe, packet.duration = key, 1
            output.mux_one(packet)
    return path


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_times_in_coding_order_become_times_of_showing(net: str, tmp_path: Path, codec: str, wrapped: bool):
    """Frames that refer to later ones, in AVI, and in Matroska that keeps AVI's way."""
    if codec == "mpeg4":
        src = avi(tmp_path / "film.avi", codec, "XVID", packed(coded(codec, {"bf": "1", "flags": "+bitexact"})))
    else:
        src = avi(tmp_path / "film.avi", codec, "H264", coded(codec, {"bf": "2", "x264-params": "log-level=none"}))
    if wrapped:
        src = make(tmp_path / "film.mkv", "-fflags", "+genpts", "-i", src, "-c", "copy", "-allow_raw_vfw", "1")
    dst = tmp_path / "colour.mkv"
    report = paint(src, dst, net)
    seen = look(dst)
    assert report.frames == len(seen.times) == 50 and not report.warnings
    assert seen.times[0] == (0.04 if wrapped else 0) and even(seen.steps, 0.04)  # ffmpeg counts from 1 there
    shown = [
        np.abs(plane(frame, 0).astype(int) - pattern(i, 64, 96, 8)).mean() for i, frame in enumerate(frames_of(dst))
    ]
    assert max(shown) < 12, "frames changed places"


def test_slots_that_an_encoder_left_empty_hold_nothing_up(net: str, tmp_path: Path):
    """Xvid with packed frames begins with a frame, some empty slots, and then a frame a slot."""
    xvid = ("-c:v", "libxvid", "-bf", "2", "-c:a", "mp3")
    video, sound = picture(seconds=0.8), tone(0.8)
    src = make(tmp_path / "packed.avi", *video[:4], *sound, *video[4:], *xvid)
    before = look(src)
    paint(src, tmp_path / "colour.mkv", net)
    seen = look(tmp_path / "colour.mkv")
    assert len(seen.times) == len(before.times) > 10 and even(seen.steps, 0.04)
    assert seen.times[0] == pytest.approx(0.12, abs=0.001), "those behind the first one are where they were"


# ---- no clock ----


@pytest.mark.parametrize(
    ("name", "rate", "arguments"),
    [
        ("raw.h264", "30000/1001", ()),
        ("raw.h264", "24", ()),
        ("raw.hevc", "50", ("-x265-params", "log-level=error")),
        ("raw.dv", "25", ("-f", "dv")),
        ("raw.mjpeg", "25", ()),
    ],
)
def test_streams_without_a_clock_play_at_their_codecs_rate(
    net: str, tmp_path: Path, name: str, rate: str, arguments: tuple[str, ...]
):
    size = "720x576" if name == "raw.dv" else "96x64"
    src, dst = make(tmp_path / name, *picture(size, rate), *arguments), tmp_path / "colour.mp4"
    report = paint(src, dst, net)
    seen, wanted = look(dst), Fraction(rate)
    assert report.frames == len(seen.times) == round(1.2 * wanted) and even(seen.steps, float(1 / wanted), 1e-5)
    assert Fraction(seen.streams[0]["avg_frame_rate"]) == wanted
    assert not report.warnings


def test_matroska_states_the_length_of_a_frame(net: str, tmp_path: Path):
    src = make(tmp_path / "gray.mkv", *picture("96x64", "25", 0.6))
    for codec in ("h264", "vp9", "ffv1"):
        paint(src, tmp_path / f"{codec}.mkv", net, codec=codec)
        assert look(tmp_path / f"{codec}.mkv").streams[0]["r_frame_rate"] == "25/1", codec
        assert b"\x23\xe3\x83\x84" + (40_000_000).to_bytes(4, "big") in (tmp_path / f"{codec}.mkv").read_bytes()[:4096]


# ---- the suite's own clips ----


def vfr(path: Path) -> Path:
    pts = np.cumsum(np.random.default_rng(0).integers(300, 3000, 40)).tolist()
    return clip(path, frames=40, pts=pts, audio=("aac", "flac"), options={"bf": "3"})


KINDS = {
    "plain.mp4": lambda path: clip(path, audio=("aac",)),
    "vfr.mp4": vfr,
    "late.mp4": lambda path: clip(path, pts=[45045 + 1001 * index for index in range(12)]),
    "film.ts": lambda path: clip(path, frames=20, time_base=Fraction(1, 90000), audio=("aac",)),
    "rich.mkv": rich_film,
    "turned.mp4": lambda path: clip(path, rotation=90, sample_aspect=Fraction(16, 11)),
    "fields.mp4": lambda path: clip(path, size=(96, 96), options={"x264-params": "tff=1"}, interlaced=True),
    "odd.mkv": lambda path: clip(path, size=(95, 63), codec="ffv1", time_base=Fraction(1, 1000)),
    "deep.mp4": lambda path: clip(path, "yuv422p10le"),
    "divx.avi": lambda path: clip(path, codec="mpeg4", time_base=Fraction(1001, 30000)),
    "web.webm": lambda path: clip(path, codec="libvpx-vp9", time_base=Fraction(1, 1000)),
}


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
@pytest.mark.parametrize("name", KINDS)
def test_ffprobe_sees_the_same_film(net: str, tmp_path: Path, name: str, ending: str):
    """Frames, their distances, what lies under what, durations, streams and tags."""
    src, dst = KINDS[name](tmp_path / name), tmp_path / f"colour{ending}"
    report = paint(src, dst, net)
    before, after, near = look(src), look(dst), max(tick(src), tick(dst)) + 1e-6
    assert len(after.times) == len(before.times) == report.frames
    assert max(abs(a - b) for a, b in zip(after.steps, before.steps, strict=True)) <= near
    gone = (
        {stream["index"] for stream in before.streams if stream["codec_type"] == "attachment"}
        if report.left_out
        else set()
    )
    kept = [stream for stream in before.streams if stream["index"] not in gone]
    after.streams = [s for s in after.streams if s["codec_type"] != "data"]  # chapters, in MP4
    assert [s["codec_type"] for s in after.streams] == [s["codec_type"] for s in kept]
    for old, new in zip(kept, after.streams, strict=True):
        if old["codec_type"] in ("video", "audio"):
            ours, theirs = after.packets[new["index"]], before.packets[old["index"]]
            assert len(ours) == len(theirs)
            shift = after.times[0] - before.times[0]
            assert abs(min(ours)[0] - min(theirs)[0] - shift) <= 2 * near, "it moved against the picture"
            lasts = [max(at + (long or 0) for at, long in some) - min(some)[0] for some in (ours, theirs)]
            assert abs(lasts[0] - lasts[1]) <= 0.05
        for tag in ("language", "title"):
            assert new.get("tags", {}).get(tag, "und") == old.get("tags", {}).get(tag, "und")
        if old["codec_type"] == "video":
            same = ("width", "height", "sample_aspect_ratio", "field_order")
            assert {k: new.get(k) for k in same if old.get(k, "unknown") not in ("unknown", "N/A")} == {
                k: old[k] for k in same if old.get(k, "unknown") not in ("unknown", "N/A")
            }
    assert after.fields == before.fields
    assert after.tags.get("title") == before.tags.get("title")
