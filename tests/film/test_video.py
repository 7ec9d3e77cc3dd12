"""Film in, film out, with real codecs: clips are made here, painted by a small seeded network, and read back."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from film_clips import clip, frames_of, packets_of, plane, random_net, rich_film, same_luma, times_of

import fastcolor
from fastcolor import ops, reference
from fastcolor.film.probe import probe
from fastcolor.film.shot_list import find_shots
from fastcolor.models import weights
from fastcolor.pictures.colorize import Colorizer

av = pytest.importorskip("av")
pytestmark = pytest.mark.usefixtures("one_thread")
RED = (20.0, 20.0)  # a point of the grid palette that most lightnesses can show


@pytest.fixture(scope="session")
def red_net(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights that paint everything in the colour of one bin."""
    return random_net(tmp_path_factory.mktemp("weights"), paints=RED)


@pytest.mark.parametrize(
    ("pixel_format", "written"),
    [
        ("yuv420p", "yuv420p"),
        ("yuv422p", "yuv422p"),
        ("yuv444p", "yuv444p"),
        ("yuvj420p", "yuvj420p"),
        ("yuv420p10le", "yuv420p10le"),
        ("yuv422p10le", "yuv422p10le"),
        ("gray", "yuv420p"),
        ("gray10le", "yuv420p10le"),
    ],
)
def test_luma_passes_bit_for_bit_and_the_pixel_format_stays(net: str, tmp_path: Path, pixel_format: str, written: str):
    src = clip(tmp_path / "gray.mp4", pixel_format)
    report = fastcolor.video(src, tmp_path / "colour.mp4", weights=net, lossless=True)
    painted = frames_of(tmp_path / "colour.mp4")
    assert painted[0].format.name == written
    assert report.frames == len(painted) == 12
    assert same_luma(src, tmp_path / "colour.mp4")
    neutral = 2 ** (painted[0].format.components[0].bits - 1)
    assert any(np.abs(plane(frame, 1).astype(int) - neutral).mean() > 1 for frame in painted), "no colour was painted"


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
@pytest.mark.parametrize("size", [(95, 64), (96, 63), (95, 63)])
def test_odd_sizes(net: str, tmp_path: Path, size: tuple[int, int], ending: str):
    src = clip(tmp_path / "odd.mkv", size=size, codec="ffv1", frames=4, time_base=Fraction(1, 1000))
    dst = tmp_path / f"colour{ending}"
    report = fastcolor.video(src, dst, weights=net, lossless=True)
    assert (report.width, report.height) == size == (frames_of(dst)[0].width, frames_of(dst)[0].height)
    assert same_luma(src, dst)
    assert (ending == ".mkv") or "takes no 4:2:0" in report.notes[0]


def test_chroma_is_what_the_reference_paints(net: str, tmp_path: Path):
    src = clip(tmp_path / "gray.mp4", frames=3, tags=(1, 1, 1))
    fastcolor.video(src, tmp_path / "colour.mp4", weights=net, lossless=True, saturation=1.5, temporal="off")
    luma = torch.from_numpy(np.stack([plane(frame, 0) for frame in frames_of(src)]))
    colorizer = Colorizer(weights=net)
    size = colorizer.input_size(*luma.shape[1:])
    ab = colorizer.predict_ab(ops.luma_to_input(luma, size, full_range=False))
    wanted = reference.paint_chroma(ab, luma, subsampling="420", matrix="bt709", full_range=False, saturation=1.5)
    for index in (1, 2):
        got = np.stack([plane(frame, index) for frame in frames_of(tmp_path / "colour.mp4")]).astype(int)
        error = np.abs(got - wanted[index - 1].numpy().astype(int))
        assert error.mean() < 0.5 and error.max() <= 4


def test_the_saturation_that_weights_ask_for_counts_once(net: str, tmp_path: Path):
    src = clip(tmp_path / "gray.mp4", frames=2)
    loaded = weights.load(net)
    strong = tmp_path / "strong.safetensors"
    weights.save(
        strong,
        loaded.model,
        name="default",
        options={},
        palette=loaded.palette,
        temperature=0.25,
        saturation=1.5,
        size=64,
    )
    asked, given = tmp_path / "asked.mp4", tmp_path / "given.mp4"
    fastcolor.video(src, asked, weights=strong, lossless=True, temporal="off")
    fastcolor.video(src, given, weights=net, lossless=True, saturation=1.5, temporal="off")
    for one, other in zip(frames_of(asked), frames_of(given), strict=True):
        assert np.abs(plane(one, 1).astype(int) - plane(other, 1)).max() <= 2


@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize("tags", [(1, 1, 1), (6, 6, 6), (9, 9, 14)])
def test_a_player_that_heeds_the_tags_shows_the_colour_meant(
    red_net: str, tmp_path: Path, tags: tuple[int, int, int], color_range: int
):
    matrix = {1: 1, 6: 5, 9: 9}[tags[0]]  # as libswscale numbers them
    src = clip(tmp_path / "gray.mp4", "yuv444p", frames=1, tags=tags, color_range=color_range)
    fastcolor.video(src, tmp_path / "colour.mp4", weights=red_net, lossless=True)
    frame = frames_of(tmp_path / "colour.mp4")[0]
    rgb = frame.reformat(
        format="rgb24", src_colorspace=matrix, src_color_range=color_range, dst_color_range=2
    ).to_ndarray()
    lab = reference.rgb_to_lab(torch.from_numpy(rgb.copy()), layout="hwc")
    inside = ((rgb > 4) & (rgb < 251)).all(-1)
    assert inside.mean() > 0.7
    error = (lab[1:] - torch.tensor(RED)[:, None, None])[:, torch.from_numpy(inside)]
    assert error.mean(1).abs().max() < 0.7, "the colours are shifted"


def test_time_stamps_and_sound_are_exact(net: str, tmp_path: Path):
    pts = np.cumsum(np.random.default_rng(0).integers(300, 3000, 40)).tolist()
    src = clip(tmp_path / "vfr.mp4", frames=40, pts=pts, audio=("aac", "flac"), options={"bf": "3"})
    before = packets_of(src)
    fastcolor.video(src, tmp_path / "colour.mp4", weights=net, adaptive="on")
    after = packets_of(tmp_path / "colour.mp4")
    assert times_of(tmp_path / "colour.mp4") == times_of(src)
    assert before[1] == after[1] and before[2] == after[2] and len(after) == 3
    with av.open(str(tmp_path / "colour.mp4")) as output:
        assert [stream.metadata.get("language") for stream in output.streams.audio] == ["ger", "fre"]
    # Matroska counts milliseconds.
    fastcolor.video(src, tmp_path / "colour.mkv", weights=net)
    moved = [abs(a - b) for a, b in zip(times_of(tmp_path / "colour.mkv"), times_of(src), strict=True)]
    assert max(moved) <= Fraction(1, 2000)
    assert [content for _, content in packets_of(tmp_path / "colour.mkv")[1]] == [content for _, content in before[1]]


def test_constant_rate_and_start_offset(net: str, tmp_path: Path):
    src = clip(tmp_path / "late.mp4", pts=[45045 + 1001 * index for index in range(12)])
    fastcolor.video(src, tmp_path / "colour.mp4", weights=net)
    assert times_of(tmp_path / "colour.mp4") == times_of(src)
    assert times_of(src)[0] > Fraction(3, 2)


def test_hours_into_a_film_times_are_still_exact(net: str, tmp_path: Path):
    hours = [3 * 3600 * 30000 + 1001 * index for index in range(300)]
    src = clip(tmp_path / "late.mp4", frames=300, pts=hours, options={"preset": "ultrafast"})
    fastcolor.video(src, tmp_path / "colour.mp4", weights=net)
    assert times_of(tmp_path / "colour.mp4") == times_of(src)
    assert times_of(src)[0] == 3 * 3600


def test_a_transport_stream_keeps_its_clock(net: str, tmp_path: Path):
    src = clip(tmp_path / "film.ts", frames=20, time_base=Fraction(1, 90000), audio=("aac",))
    fastcolor.video(src, tmp_path / "colour.mp4", weights=net)
    assert times_of(tmp_path / "colour.mp4") == times_of(src)


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
@pytest.mark.parametrize("rotation", [90, -90, -180])
def test_rotation_and_sample_aspect_stay(net: str, tmp_path: Path, rotation: int, ending: str):
    src = clip(tmp_path / "turned.mp4", frames=3, rotation=rotation, sample_aspect=Fraction(16, 11))
    dst = tmp_path / f"colour{ending}"
    fastcolor.video(src, dst, weights=net)
    assert frames_of(dst)[0].rotation == frames_of(src)[0].rotation == rotation
    with av.open(str(dst)) as output:
        assert output.streams.video[0].sample_aspect_ratio == Fraction(16, 11)


ONE = 1 << 16
MIRRORED = (-ONE, 0, 0, 0, ONE, 0, 96 * ONE, 0, 1 << 30)
UPSIDE_DOWN = (ONE, 0, 0, 0, -ONE, 0, 0, 64 * ONE, 1 << 30)  # and mirrored, beside one that is turned by a half


@pytest.mark.parametrize(
    ("turns", "matrix"), [(1, ()), (-1, ()), (2, ()), (0, MIRRORED), (2, UPSIDE_DOWN)],
    ids=["left", "right", "half", "mirrored", "upside down"],
)  # fmt: skip
def test_a_turned_film_is_painted_upright(net: str, tmp_path: Path, turns: int, matrix: tuple[int, ...]):
    upright = clip(tmp_path / "upright.mp4", "yuv444p", frames=2, options={"qp": "0"})
    turned = tmp_path / "turned.mp4"
    clip(
        turned,
        "yuv444p",
        options={"qp": "0"},
        size=(64, 96) if turns % 2 else (96, 64),
        frames=2,
        rotation=0 if matrix else 90 * turns,
        matrix=matrix,
        turns=-turns,
    )
    for src in (upright, turned):
        report = fastcolor.video(src, src.with_suffix(".colour.mp4"), weights=net, lossless=True)
    assert any("mirrored" in note for note in report.notes) == bool(matrix)
    assert probe(turned.with_suffix(".colour.mp4")).display_matrix == probe(turned).display_matrix
    wanted = [plane(frame, 1) for frame in frames_of(upright.with_suffix(".colour.mp4"))]
    got = [np.rot90(plane(frame, 1), turns) for frame in frames_of(turned.with_suffix(".colour.mp4"))]
    error = np.abs(np.stack(got).astype(int) - np.stack(wanted)).mean()
    assert error < 0.2 * np.std(wanted), "the network saw the film on its side"


def test_a_film_of_a_matrix_that_is_not_converted_is_painted_as_of_another(net: str, tmp_path: Path):
    """ICtCp, which libswscale refuses."""
    src = clip(tmp_path / "ictcp.mkv", "yuv420p10le", tags=(14, 9, 16), color_range=1, frames=2, options={"qp": "0"})
    assert len(find_shots(src)) == 1
    said = {"hints": [fastcolor.Hint(0.5, 0.5, "#d02040", time=0)]}  # followed by frames that are read beside painting
    report = fastcolor.video(src, tmp_path / "colour.mkv", weights=net, engine="torch", lossless=True, **said)
    assert "colour matrix 14 is not supported, painted and tagged as bt2020" in report.notes
    assert frames_of(tmp_path / "colour.mkv")[0].colorspace == 9 and same_luma(src, tmp_path / "colour.mkv")


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("height", "tags", "color_range", "written"),
    [
        (64, (1, 1, 13), 2, (1, 1, 13, 2)),
        (64, (9, 9, 16), 1, (9, 9, 16, 1)),
        (576, (2, 2, 2), 0, (6, 2, 2, 1)),
        (720, (2, 2, 2), 0, (1, 2, 2, 1)),
    ],
)
def test_colour_tags_are_kept_and_a_missing_matrix_is_named(
    net: str,
    tmp_path: Path,
    height: int,
    tags: tuple[int, ...],
    color_range: int,
    written: tuple[int, ...],
    ending: str,
):
    src = clip(tmp_path / "gray.mp4", size=(64, height), frames=2, tags=tags, color_range=color_range)
    dst = tmp_path / f"colour{ending}"
    fastcolor.video(src, dst, weights=net)
    with av.open(str(dst)) as output:
        next(output.decode(video=0))
        context = output.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == written


@pytest.mark.parametrize(
    ("codec", "ending", "options", "written"),
    [
        ("libx264", ".mp4", {}, "h264"),
        ("libx265", ".mp4", {}, "hevc"),
        ("libsvtav1", ".mkv", {}, "av1"),
        ("libvpx-vp9", ".webm", {}, "vp9"),
        ("mpeg4", ".mp4", {}, "h264"),
        ("libx264", ".webm", {"fast": True}, "av1"),
        ("libx264", ".mp4", {"codec": "hevc", "crf": 30}, "hevc"),
        ("libx264", ".mkv", {"codec": "ffv1"}, "ffv1"),
        ("libvpx-vp9", ".mp4", {"fast": True}, "h264"),
    ],
)
def test_the_codec_stays_in_its_family(net: str, tmp_path: Path, codec: str, ending: str, options: dict, written: str):
    quiet = {"x265-params": "log-level=error"} if codec == "libx265" else {}
    src = clip(tmp_path / "gray.mkv", frames=20, codec=codec, options=quiet, time_base=Fraction(1, 1000))
    dst = tmp_path / f"colour{ending}"
    fastcolor.video(src, dst, weights=net, **options)
    with av.open(str(dst)) as output:
        assert output.streams.video[0].codec_context.codec.canonical_name == written
    assert times_of(dst) == times_of(src)


@pytest.mark.parametrize(("pixel_format", "bits"), [("yuv420p", 8), ("yuv420p10le", 10)])
def test_fast_work_keeps_luma_to_the_eye(net: str, tmp_path: Path, pixel_format: str, bits: int):
    """At one quantiser, which x264 counts otherwise for more bits; an explicit crf stays one."""
    src = clip(tmp_path / "gray.mkv", pixel_format, codec="ffv1", frames=20, size=(192, 128))
    sizes = []
    for name, options in (("fast", {}), ("crf", {"crf": 18})):
        dst = tmp_path / f"{name}.mp4"
        fastcolor.video(src, dst, weights=net, fast=True, **options)
        sizes.append(sum(len(data) for _, data in packets_of(dst)[0]))
        errors = [
            (plane(ours, 0).astype(float) - plane(true, 0)) / (2**bits - 1)
            for ours, true in zip(frames_of(dst), frames_of(src), strict=True)
        ]
        assert 39 < -10 * np.log10(np.mean(np.square(errors))) < 50
    assert 0.7 < sizes[0] / sizes[1] < 1.4 and sizes[0] != sizes[1]


@pytest.mark.parametrize(("defaults", "painted"), [((True, True), 1), ((True, False), 0), ((False, True), 1)])
def test_of_several_picture_streams_the_largest_default_is_painted(
    net: str, tmp_path: Path, defaults: tuple[bool, bool], painted: int
):
    files = (clip(tmp_path / "small.mp4", size=(64, 48)), clip(tmp_path / "large.mp4", audio=("aac",)))
    both, dst = tmp_path / "both.mkv", tmp_path / "colour.mkv"
    with av.open(str(files[0])) as a, av.open(str(files[1])) as b, av.open(str(both), "w") as output:
        copies = {stream: output.add_stream_from_template(stream, opaque=True) for f in (a, b) for stream in f.streams}
        for stream, default in zip(output.streams.video, defaults, strict=True):
            stream.disposition = int(default)
        for packet in (packet for source in (a, b) for packet in source.demux() if packet.size):
            packet.stream = copies[packet.stream]
            output.mux(packet)
    report = fastcolor.video(both, dst, weights=net)
    before, after = packets_of(both), packets_of(dst)
    assert [before[index] == after[index] for index in range(3)] == [painted != 0, painted != 1, True]
    assert report.copied == 2 and (report.width, report.height) == [(64, 48), (96, 64)][painted]
    assert f"stream {painted} (" in report.notes[0] and f"stream {1 - painted} (" in report.notes[0]
    with av.open(str(dst)) as output:
        assert [bool(stream.disposition & 1) for stream in output.streams.video] == list(defaults)


def test_subtitles_fonts_chapters_and_titles(net: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    src = rich_film(tmp_path / "rich.mkv")
    report = fastcolor.video(src, tmp_path / "colour.mkv", weights=net)
    before, after = packets_of(src), packets_of(tmp_path / "colour.mkv")
    assert before[1] == after[1] and before[2] == after[2] and len(after[2]) == 3 and not report.left_out
    with av.open(str(tmp_path / "colour.mkv")) as output:
        assert [stream.type for stream in output.streams] == ["video", "audio", "subtitle", "attachment"]
        assert output.streams[3].data[4:] == b"x" * 100
        assert output.metadata["title"] == "Grüße"
        assert [chapter["end"] / 10**6 for chapter in output.chapters()] in (
            [900 / 10**6, 2000 / 10**6],
            [900.0, 2000.0],
        )
    # What a container cannot hold is said before the work starts.
    report = fastcolor.video(src, tmp_path / "colour.mp4", weights=net)
    assert report.left_out == ("stream 3 (attachment, font.ttf)",) and "stream 3 (attachment" in caplog.text
    assert "stream 2 (subtitle, subrip) is written as mov_text" in report.notes
    with av.open(str(tmp_path / "colour.mp4")) as output:
        assert len(output.chapters()) == 2
    shown = [(at, text[2:].decode()) for at, text in packets_of(tmp_path / "colour.mp4")[2] if len(text) > 2]
    assert shown == [(at, text.decode()) for at, text in before[2]]
    # And back again.
    fastcolor.video(tmp_path / "colour.mp4", tmp_path / "again.mkv", weights=net)
    assert [(at, text) for at, text in packets_of(tmp_path / "again.mkv")[2]] == before[2]


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_cut_holds_what_lies_within_and_nothing_else(net: str, tmp_path: Path, ending: str):
    src = rich_film(tmp_path / "rich.mkv")
    dst = tmp_path / f"cut{ending}"
    fastcolor.video(src, dst, weights=net, start=0.7, end=1.5)
    inside = [at for at in times_of(src) if Fraction(7, 10) <= at < Fraction(3, 2)]
    assert times_of(dst) == [at - Fraction(7, 10) for at in inside]
    before = [content for at, content in packets_of(src)[1] if Fraction(7, 10) <= at < Fraction(3, 2)]
    assert [content for _, content in packets_of(dst)[1]] == before
    # What is read when the cut begins stays for the rest of its time.
    texts = [(at, text) for at, text in packets_of(dst)[2] if len(text) > 2]
    assert [at for at, _ in texts] == [0, Fraction(3, 10)]
    assert [text[-6:] for _, text in texts] == [b"line 1", b"line 2"]
    with av.open(str(dst)) as output:
        spans = [(float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"])) for c in output.chapters()]
        assert spans == [(0.0, pytest.approx(0.2)), (pytest.approx(0.2), pytest.approx(0.8))]
    with pytest.raises(ValueError, match=r"rich.mkv has no frame from second 100"):
        fastcolor.video(src, tmp_path / "late.mkv", weights=net, start=100)
    assert not (tmp_path / "late.mkv").exists()


def test_damaged_packets_of_a_copied_stream_are_dropped_with_a_warning(net: str, tmp_path: Path):
    src = clip(tmp_path / "film.ts", frames=30, audio=("aac",), time_base=Fraction(1, 90000))
    data = bytearray(src.read_bytes())
    sound_packets = [at for at in range(0, len(data), 188) if (data[at + 1] & 0x1F, data[at + 2]) == (1, 1)]
    data[sound_packets[len(sound_packets) // 2] + 1] |= 0x80  # transport_error_indicator
    src.write_bytes(data)
    lost = sum(packet.is_corrupt for packet in av.open(str(src)).demux(audio=0))
    assert lost > 0
    report = fastcolor.video(src, tmp_path / "colour.mp4", weights=net)
    assert report.frames == 30 and f"{lost} damaged packets of stream 1 were dropped" in report.warnings[0]
    assert len(packets_of(tmp_path / "colour.mp4")[1]) == len(packets_of(src)[1]) - lost
