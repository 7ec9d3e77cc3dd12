"""What comes with a picture: sound, timecodes, covers, fields, captions, the shape of samples. All of it is proven
before the work to be kept, rewritten, or left out and named. ffprobe looks at what comes out."""

from __future__ import annotations

import gc
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from film_clips import clip, frames_of, pattern, plane
from PIL import Image
from witness import look, make, needed, picture, samples, tone

import fastcolor
from fastcolor.film.clock import Cut
from fastcolor.film.encoding import choose_encoding
from fastcolor.film.frames import has_captions
from fastcolor.film.probe import probe
from fastcolor.film.proof import choose_streams
from fastcolor.film.shape import write_shape

pytestmark = [pytest.mark.usefixtures("one_thread"), needed]


def paint(src: Path, dst: Path, net: str, **options: object) -> fastcolor.film.video.VideoReport:
    return fastcolor.video(src, dst, weights=net, engine="torch", device="cpu", **options)


def with_sound(path: Path, *arguments: str, rate: int = 48000) -> Path:
    return make(path, *picture()[:4], *tone(1.2, rate), *picture()[4:], *arguments)


# ---- the proof ----


def test_what_cannot_be_written_is_said_before_a_frame_is_painted(
    net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from fastcolor.film import proof, video

    src = clip(tmp_path / "gray.mp4", audio=("aac",))
    film = probe(src)
    encoding = choose_encoding(film, tmp_path / "c.mp4", codec=None, crf=None, fast=False, lossless=False)
    begun = time.process_time()
    assert [one.how for one in choose_streams(film, encoding, tmp_path / "c.mp4", Cut.of(film, None, None)).kept] == [
        "copy"
    ]
    assert time.process_time() - begun < 1
    monkeypatch.setattr(proof, "FRAMES", 0)  # an encoder that gives nothing
    monkeypatch.setattr("fastcolor.film.job.FilmJob.run", lambda *_: pytest.fail("it was painted"))
    with pytest.raises(OSError, match=r"cannot write .*c\.mp4"):
        video.video(src, tmp_path / "new" / "c.mp4", weights=net)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("ending", [".mov", ".mp4", ".mkv"])
@pytest.mark.parametrize("source", ["track", "tag"])
def test_timecodes_are_kept(net: str, tmp_path: Path, source: str, ending: str):
    code = ("-timecode", "01:00:00:00")
    src = make(tmp_path / "film.mov", *picture(rate="24", seconds=1), *code)
    if source == "tag":
        src = make(tmp_path / "film.mkv", "-i", src, "-map", "0:v", "-c", "copy", *code)
    dst = tmp_path / f"colour{ending}"
    report = paint(src, dst, net, fast=True)
    seen = look(dst)
    assert report.frames == 24 and not report.left_out
    tags = {name.lower(): value for name, value in seen.of("video")[0]["tags"].items()}
    assert tags["timecode"] == "01:00:00:00"
    assert [s["codec_tag_string"] for s in seen.of("data")] == ([] if ending == ".mkv" else ["tmcd"])
    report = paint(src, tmp_path / f"cut{ending}", net, fast=True, start=0.5)
    assert "the timecode is left out, since the cut begins at another" in report.notes
    assert not look(tmp_path / f"cut{ending}").of("data")


# ---- sound ----


def test_sound_without_a_named_layout_goes_into_mp4(net: str, tmp_path: Path):
    src = with_sound(tmp_path / "pcm.avi", "-c:v", "mjpeg", "-c:a", "pcm_s16le", "-ac", "2")
    paint(src, tmp_path / "c.mp4", net, fast=True)
    (sound,) = look(tmp_path / "c.mp4").of("audio")
    assert (sound["channels"], samples(tmp_path / "c.mp4")) == (2, samples(src))


@pytest.mark.parametrize(
    ("name", "arguments", "ending", "written"),
    [
        ("wma.wmv", ("-c:v", "wmv2", "-c:a", "wmav2"), ".mkv", "flac"),
        ("adpcm.avi", ("-c:v", "msmpeg4v2", "-c:a", "adpcm_ms"), ".mkv", "flac"),
        ("adpcm.avi", ("-c:v", "msmpeg4v2", "-c:a", "adpcm_ms"), ".mov", "pcm_s16le"),
        ("camera.mov", ("-c:v", "mjpeg", "-c:a", "pcm_s24be", "-ac", "6"), ".mp4", "flac"),
        ("disc.vob", ("-c:v", "mpeg2video", "-c:a", "pcm_dvd", "-ac", "2", "-f", "vob"), ".mp4", "flac"),
        ("disc.m2ts", ("-c:v", "mpeg2video", "-c:a", "pcm_bluray", "-ac", "2", "-f", "mpegts"), ".mkv", "flac"),
        ("surround.mkv", ("-c:v", "mpeg4", "-c:a", "pcm_s24le", "-ac", "6"), ".webm", "opus"),
        ("broadcast.mkv", ("-c:v", "mpeg4", "-c:a", "eac3", "-ac", "6"), ".webm", "opus"),
    ],
)
def test_sound_that_a_container_does_not_take_is_rewritten(
    net: str, tmp_path: Path, name: str, arguments: tuple[str, ...], ending: str, written: str
):
    src, dst = with_sound(tmp_path / name, *arguments), tmp_path / f"colour{ending}"
    report = paint(src, dst, net, fast=True)
    (sound,) = look(dst).of("audio")
    assert sound["codec_name"] == written and not report.left_out and not report.warnings
    assert any(note.endswith(f"is written as {'libopus' if written == 'opus' else written}") for note in report.notes)
    heard, wanted = samples(dst), samples(src)
    assert abs(heard - wanted) <= (700 if written == "opus" else 0)


def test_sound_in_packets_shorter_than_a_tick_keeps_its_length(net: str, tmp_path: Path):
    """TrueHD has 1,200 packets a second, and Matroska counts thousandths."""
    src = with_sound(tmp_path / "film.mkv", "-c:a", "truehd", "-strict", "-2")
    before, dst = look(src), tmp_path / "c.mkv"
    paint(src, dst, net)
    after = look(dst)
    assert after.streams[1]["codec_name"] == "truehd" and len(after.packets[1]) == len(before.packets[1]) > 700
    moved = [abs(a - b) for (a, _), (b, _) in zip(after.packets[1], before.packets[1], strict=True)]
    assert max(moved) < 0.0015


def test_sound_whose_length_its_container_does_not_know_is_rewritten(net: str, tmp_path: Path):
    src = with_sound(tmp_path / "film.mkv", "-c:a", "tta")
    report = paint(src, tmp_path / "c.mkv", net)
    assert "stream 1 (audio, tta) is written as flac" in report.notes
    assert samples(tmp_path / "c.mkv") == samples(src) > 28800


@pytest.mark.parametrize("kind", ["mpegts", "vob"])
def test_sound_that_begins_late_is_kept(net: str, tmp_path: Path, kind: str):
    """Behind the five megabytes that libav looks at for a film's streams."""
    src = tmp_path / f"late.{kind}"
    random = np.random.default_rng(0)
    with av.open(str(src), "w", format=kind) as output:
        video, audio = output.add_stream("mpeg2video", rate=25), output.add_stream("mp2", rate=48000)
        video.width, video.height, video.pix_fmt, video.bit_rate = 160, 120, "yuv420p", 6_000_000
        audio.layout = "stereo"
        for index in range(225):
            noise = random.integers(0, 255, (120, 160), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(noise, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(video.encode(frame))
            if index >= 200:
                made = av.AudioFrame.from_ndarray(np.zeros((1, 3840), np.int16), format="s16", layout="stereo")
                made.sample_rate, made.pts, made.time_base = 48000, index * 1920, Fraction(1, 48000)
                output.mux(audio.encode(made))
        output.mux(video.encode(None))
        output.mux(audio.encode(None))
    assert src.stat().st_size > 5_000_000
    report = paint(src, tmp_path / "c.mkv", net, fast=True)
    seen = look(tmp_path / "c.mkv")
    assert not report.left_out and samples(tmp_path / "c.mkv") == samples(src) >= 48000
    assert seen.packets[1][0][0] - seen.times[0] == pytest.approx(8, abs=0.05)


# ---- covers, stills, alpha ----


@pytest.fixture
def covered(tmp_path: Path) -> Path:
    film = with_sound(tmp_path / "film.mp4", "-c:v", "libx264", "-g", "10", "-c:a", "aac")
    Image.new("RGB", (120, 120), "red").save(tmp_path / "cover.jpg")
    return film


@pytest.mark.parametrize("cut", [{}, {"start": 0.4, "end": 1.0}])
@pytest.mark.parametrize(("source", "ending"), [("mkv", ".mkv"), ("mp4", ".mkv"), ("mp4", ".mp4"), ("mkv", ".mp4")])
def test_covers_stay_covers(net: str, tmp_path: Path, covered: Path, source: str, ending: str, cut: dict):
    picture_file = tmp_path / "cover.jpg"
    if source == "mkv":
        marks = ("-metadata:s:t", "mimetype=image/jpeg", "-metadata:s:t", "filename=cover.jpg")
        src = make(tmp_path / "in.mkv", "-i", covered, "-c", "copy", "-attach", picture_file, *marks)
    else:
        both = ("-i", covered, "-i", picture_file, "-map", "0", "-map", "1", "-c", "copy")
        src = make(tmp_path / "in.mp4", *both, "-disposition:v:1", "attached_pic")
    dst = tmp_path / f"colour{ending}"
    report = paint(src, dst, net, fast=True, **cut)
    seen = look(dst)
    assert [s["disposition"]["attached_pic"] for s in seen.of("video")] == [0, 1] and not report.left_out
    with av.open(str(dst)) as film:
        packet = next(p for p in film.demux(film.streams.video[1]) if p.size)
        assert bytes(packet) == picture_file.read_bytes()
    assert len(seen.times) == (15 if cut else 30)


def test_a_cover_that_cannot_be_kept_is_named(net: str, tmp_path: Path, covered: Path):
    both = ("-i", covered, "-i", tmp_path / "cover.jpg", "-map", "0", "-map", "1", "-c", "copy")
    src = make(tmp_path / "in.mp4", *both, "-disposition:v:1", "attached_pic")
    report = paint(src, tmp_path / "c.webm", net, fast=True)
    assert report.left_out == ("stream 2 (video, mjpeg)",) and len(look(tmp_path / "c.webm").of("video")) == 1


def test_of_an_avif_sequence_the_moving_pictures_are_painted(net: str, tmp_path: Path):
    pictures = [Image.fromarray(pattern(3 * index, 64, 96, 8)).convert("RGB") for index in range(8)]
    src = tmp_path / "sequence.avif"
    pictures[0].save(src, save_all=True, append_images=pictures[1:], duration=100)
    report = paint(src, tmp_path / "c.mp4", net)
    assert report.frames == 8 == len(frames_of(tmp_path / "c.mp4"))
    assert report.left_out == ("stream 0 (video, av1)",) and any("still picture" in note for note in report.notes)


def test_alpha_that_is_lost_is_said_and_not_claimed(net: str, tmp_path: Path):
    src = make(tmp_path / "alpha.webm", *picture(form="yuva420p", seconds=0.4), "-c:v", "libvpx-vp9")
    assert look(src).streams[0]["tags"]["alpha_mode"] == "1"
    report = paint(src, tmp_path / "c.webm", net)
    assert "vp9: the alpha plane was left out" in report.notes
    assert "alpha_mode" not in {name.lower() for name in look(tmp_path / "c.webm").streams[0]["tags"]}


@pytest.mark.parametrize(("form", "depth"), [("rgba", 8), ("ya8", 8), ("rgba64be", 16), ("ya16be", 16)])
def test_alpha_of_pictures_in_a_film_is_said_to_be_lost(net: str, tmp_path: Path, form: str, depth: int):
    src = make(tmp_path / "alpha.mov", *picture(form=form, seconds=0.2), "-c:v", "png")
    notes = " ".join(paint(src, tmp_path / "c.mp4", net).notes)
    assert "the alpha plane was left out" in notes
    assert ("luma of 16 bits was brought to 12" in notes) == (depth == 16)


def test_a_codec_that_nobody_knows_is_said_to_be_one(net: str, tmp_path: Path):
    unknown = ("-c:v", "rawvideo", "-strict", "-2")  # then it is tagged as nothing that is read again
    src = make(tmp_path / "raw.avi", *picture(form="rgb555le", seconds=0.2), *unknown)
    with pytest.raises(ValueError, match="has a moving picture, but of a codec that is not known here"):
        paint(src, tmp_path / "c.mp4", net)


# ---- fields, shape, tags ----


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize(
    ("form", "arguments", "options"),
    [
        ("gray", ("-c:v", "ffv1", "-flags", "+ildct"), {}),
        ("gray", ("-c:v", "ffv1", "-flags", "+ildct"), {"codec": "h264"}),
        ("yuv411p", ("-c:v", "ffv1"), {"codec": "h264"}),
        ("yuv420p", ("-c:v", "mpeg4", "-flags", "+ildct+ilme"), {}),
        ("yuv420p", ("-c:v", "libx264", "-flags", "+ildct"), {"compare": True}),
        ("yuvj422p", ("-c:v", "mjpeg"), {}),
    ],
)
def test_fields_keep_their_order(
    net: str, tmp_path: Path, form: str, arguments: tuple[str, ...], options: dict, order: str
):
    fields = [*picture("96x96", "25", 0.3)[:5], f"format={form},setfield={order}", *arguments]
    if "libx264" in arguments:
        fields += ["-x264-params", f"{order}=1"]
    src = make(tmp_path / "fields.mkv", *fields, "-field_order", "tt" if order == "tff" else "bb")
    paint(src, tmp_path / "c.mkv", net, **options)
    assert look(tmp_path / "c.mkv").fields == {(1, int(order == "tff"))}
    assert look(tmp_path / "c.mkv").streams[0]["field_order"] in (("tt", "tb") if order == "tff" else ("bb", "bt"))


def test_dv_comes_with_its_bottom_field_first(net: str, tmp_path: Path):
    src = make(tmp_path / "film.avi", *picture("720x576", "25", 0.2), "-c:v", "dvvideo", "-aspect", "16:9")
    paint(src, tmp_path / "c.mp4", net, fast=True)
    assert look(tmp_path / "c.mp4").fields == {(1, 0)}
    assert look(tmp_path / "c.mp4").streams[0]["sample_aspect_ratio"] == "64:45"


@pytest.mark.parametrize(("codec", "arguments"), [("mpeg2video", ("-flags", "+ildct+ilme")), ("ffv1", ())])
def test_interlaced_pictures_of_486_lines(net: str, tmp_path: Path, codec: str, arguments: tuple[str, ...]):
    """A field of 243 lines has no whole rows of chroma in 4:2:0."""
    form = "gray" if codec == "ffv1" else "yuv420p"
    fields = [*picture("720x486", "30000/1001", 0.2)[:5], f"format={form},setfield=bff", "-c:v", codec, *arguments]
    src = make(tmp_path / "fields.mkv", *fields)
    report = paint(src, tmp_path / "c.mp4", net, fast=True)
    assert report.height == 486 and "422p" in report.pixel_format and look(tmp_path / "c.mp4").fields == {(1, 0)}
    assert "takes no 4:2:0" in report.notes[0]


@pytest.mark.parametrize(
    ("codec", "ending"), [("ffv1", ".mkv"), ("vp9", ".mkv"), ("vp9", ".webm"), ("av1", ".mkv"), ("av1", ".mp4")]
)
@pytest.mark.parametrize("aspect", [Fraction(64, 45), Fraction(8, 9), Fraction(32, 27)])
def test_the_shape_of_samples_is_kept(net: str, tmp_path: Path, codec: str, ending: str, aspect: Fraction):
    src = clip(tmp_path / "gray.mkv", size=(720, 96), frames=2, sample_aspect=aspect, time_base=Fraction(1, 1000))
    dst = tmp_path / f"colour{ending}"
    report = paint(src, dst, net, codec=codec)
    # Matroska counts whole pixels of the picture as it is shown.
    written = Fraction(look(dst).streams[0]["sample_aspect_ratio"].replace(":", "/"))
    assert written == aspect or abs(written - aspect) <= Fraction(1, 2 * 720)
    assert "title" not in look(dst).streams[0].get("tags", {}) and not report.warnings
    assert len(frames_of(dst)) == 2


def test_a_file_of_another_make_is_left_as_it_was(tmp_path: Path):
    src = clip(tmp_path / "gray.mp4", frames=2)
    content = src.read_bytes()
    with pytest.raises(ValueError, match="no element 18538067"):
        write_shape(src, 0, (96, 64), Fraction(2))
    assert src.read_bytes() == content


@pytest.mark.parametrize("ending", [".mp4", ".mov"])
def test_hevc_bears_the_tag_that_players_take(net: str, tmp_path: Path, ending: str):
    src = clip(tmp_path / "gray.mp4", frames=3)
    paint(src, tmp_path / f"c{ending}", net, codec="hevc", fast=True)
    assert look(tmp_path / f"c{ending}").streams[0]["codec_tag_string"] == "hvc1"


@pytest.mark.parametrize(("codec", "size"), [("hevc", (62, 48)), ("av1", (32, 32))])
def test_below_an_encoders_least_size_another_is_taken_and_said(
    net: str, tmp_path: Path, codec: str, size: tuple[int, int]
):
    src = clip(tmp_path / "small.mp4", size=size, frames=3)
    report = paint(src, tmp_path / "c.mp4", net, codec=codec)
    assert (report.width, report.height) == size and report.codec == "libx264" and report.frames == 3
    assert f"{codec} is not written at {size[0]}x{size[1]}, below 64 pixels, but as h264" in report.notes


# ---- languages, titles, marks ----


def test_languages_and_titles_of_sound_are_kept_or_said_to_be_lost(net: str, tmp_path: Path):
    languages = ("fre", "swe", "mri")
    told = [f"-metadata:s:a:{i} language={code}" for i, code in enumerate(languages)]
    told += ["-map 0:v -map 1:a -map 1:a -map 1:a -c:a aac -metadata:s:a:0 title=Regie -disposition:a:0 comment"]
    src = with_sound(tmp_path / "film.mkv", *" ".join(told).split())

    def tags(path: Path) -> list[tuple[str | None, str | None]]:
        with av.open(str(path)) as film:
            tags = [stream.metadata for stream in film.streams.audio]
            return [(one.get("language"), one.get("title", one.get("name"))) for one in tags]

    report = paint(src, tmp_path / "colour.mov", net, fast=True)
    # QuickTime knows the first two by other codes, and no Maori.
    assert tags(tmp_path / "colour.mov") == [("fra", "Regie"), ("sve", None), (None, None)]
    assert "stream 1 (audio, aac): .mov keeps no mark 'comment'" in report.notes
    assert "stream 3 (audio, aac): .mov keeps no language 'mri'" in report.notes
    report = paint(tmp_path / "colour.mov", tmp_path / "again.mkv", net, fast=True)
    assert tags(tmp_path / "again.mkv") == [("fra", "Regie"), ("swe", None), (None, None)]
    with av.open(str(tmp_path / "again.mkv")) as film:
        assert film.streams.audio[0].metadata["title"] == "Regie"
    assert not any("keeps no" in note for note in report.notes)


# ---- captions, a shape that changes ----


def captioned(path: Path, aspects: tuple[str, ...] = ("1/1",), captions: bool = True) -> Path:
    """H.264 with closed captions (ATSC A/53) in front of every picture, in one or more pieces."""
    pieces = []
    message = bytes.fromhex("b50031474139340341fffc9420ff")
    sei = b"\0\0\0\1\6\4" + bytes([len(message)]) + message + b"\x80"
    for aspect in aspects:
        context = av.CodecContext.create("libx264", "w")
        context.width, context.height, context.pix_fmt = 96, 64, "yuv420p"
        context.time_base, context.framerate = Fraction(1, 25), 25
        context.sample_aspect_ratio = Fraction(aspect)
        context.options = {"bf": "0", "x264-params": "log-level=none:slices=1"}
        packets = []
        for index in range(10):
            frame = av.VideoFrame.from_ndarray(pattern(index, 64, 96, 8), format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            packets += context.encode(frame)
        for packet in packets + context.encode(None):
            data = bytes(packet)
            picture_at = next(
                at for at in range(len(data)) if data[at : at + 3] == b"\0\0\1" and data[at + 3] & 31 in (1, 5)
            )
            pieces.append(data[:picture_at] + (sei[1:] if captions else b"") + data[picture_at:])
    path.write_bytes(b"".join(pieces))
    return path


@pytest.mark.parametrize("options", [{}, {"codec": "hevc"}, {"compare": True}, {"codec": "hevc", "compare": True}])
def test_closed_captions_are_kept(net: str, tmp_path: Path, options: dict):
    src = captioned(tmp_path / "film.h264")
    assert all(map(has_captions, frames_of(src)))
    report = paint(src, tmp_path / "c.mkv", net, **options)
    assert [has_captions(frame) for frame in frames_of(tmp_path / "c.mkv")] == [True] * 10
    assert not any("captions" in note for note in report.notes)


def test_asking_for_captions_holds_no_frame(tmp_path: Path):
    """What PyAV says of side data would, until garbage is collected."""
    src = captioned(tmp_path / "film.h264")
    gc.collect()
    gc.disable()
    try:
        with av.open(str(src)) as container:
            for frame in container.decode(video=0):
                assert has_captions(frame)
        del frame
        assert not any(type(one) is av.VideoFrame for one in gc.get_objects())
    finally:
        gc.enable()


def test_closed_captions_that_are_lost_are_said(net: str, tmp_path: Path):
    report = paint(captioned(tmp_path / "film.h264"), tmp_path / "c.mkv", net, codec="ffv1")
    assert sum("has closed captions, which this codec is written without" in note for note in report.notes) == 1


def test_what_comes_with_frames_is_not_asked_of_pyav(net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It keeps pointers to what is gone once a frame was made writable, and the frame until garbage is collected."""
    looked: list[object] = []
    monkeypatch.setattr("fastcolor.film.frames.side_data_of", lambda frame: looked.append(frame) or [])
    paint(captioned(tmp_path / "film.h264"), tmp_path / "c.mkv", net, codec="ffv1", compare=True)
    assert not looked


def test_captions_of_a_frame_on_a_gpu_are_looked_for_without_filters():
    class Surface:  # as NVDEC gives it, of which there is none without a GPU: filters would need its frames context
        sw_format, side_data = object(), []

    assert not has_captions(Surface())


def test_a_shape_that_changes_on_the_way_is_said(net: str, tmp_path: Path):
    src = captioned(tmp_path / "film.h264", ("1/1", "16/11"), captions=False)
    report = paint(src, tmp_path / "c.mkv", net)
    assert report.frames == 20
    assert [w for w in report.warnings if "aspect" in w] == [
        f"{src} changes its sample aspect at second 0.4; written with the first, 1"
    ]


# ---- counts, colour that is there already ----


def test_frames_that_are_counted_and_not_there_are_no_damage(net: str, tmp_path: Path):
    """Recorders count one too many; and AVI counts the times at which the picture stands still."""
    src = clip(tmp_path / "film.avi", codec="mpeg4", time_base=Fraction(1001, 30000))
    data = bytearray(src.read_bytes())
    length = data.index(b"strh") + 8 + 32
    data[length : length + 4] = (13).to_bytes(4, "little")
    src.write_bytes(data)
    gaps = clip(
        tmp_path / "gaps.avi", codec="mpeg4", frames=6, time_base=Fraction(1001, 30000), pts=[0, 1, 2, 5, 6, 12]
    )
    for film, frames in ((src, 12), (gaps, 6)):
        report = paint(film, tmp_path / "c.mp4", net, fast=True, overwrite=True)
        assert not report.warnings and report.frames == frames
    assert look(tmp_path / "c.mp4").steps == pytest.approx([s * 1001 / 30000 for s in (1, 1, 3, 1, 6)], abs=1e-3)


def test_a_film_in_colour_is_said_to_be(net: str, tmp_path: Path):
    src = clip(tmp_path / "colour.mp4", frames=60, colored=range(60))
    already = f"{src} is in colour already, and painted anew; --skip-colored (skip_colored=True) keeps its colours"
    assert already in paint(src, tmp_path / "a.mp4", net, fast=True).notes
    kept = f"{src} has 60 frames in colour already: they keep their colours, and are encoded anew"
    assert kept in paint(src, tmp_path / "b.mp4", net, fast=True, skip_colored=True).notes
    gray = clip(tmp_path / "gray.mp4", frames=60, colored=range(20))
    assert not any("colour already" in note for note in paint(gray, tmp_path / "c.mp4", net, fast=True).notes)


def test_luma_of_fields_and_captions_passes_bit_for_bit(net: str, tmp_path: Path):
    src = make(tmp_path / "gray.mkv", *picture("96x96", "25", 0.3)[:5], "format=gray,setfield=tff", "-c:v", "ffv1")
    paint(src, tmp_path / "c.mp4", net, codec="h264", lossless=True)
    pairs = zip(frames_of(src), frames_of(tmp_path / "c.mp4"), strict=True)
    assert all(np.array_equal(plane(a, 0), plane(b, 0)) for a, b in pairs)
