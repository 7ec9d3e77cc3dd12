"""Chroma films: a film's colours written apart, and taken from another version of it."""

from __future__ import annotations

import io
import shutil
import signal
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from film_clips import clip, frames_of, in_process, plane, same_luma, times_of
from PIL import Image

import fastcolor
from fastcolor.batch.batch import batch
from fastcolor.film import chroma_film, network
from fastcolor.options.batch import BatchOptions

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE, FRAMES = (192, 128), 24
EXACT = {"qp": "0", "preset": "ultrafast"}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A film in colour, and the same luma in gray."""
    folder = tmp_path_factory.mktemp("films")
    truth = clip(folder / "truth.mp4", size=SIZE, frames=FRAMES, options=EXACT, colored=range(FRAMES))
    return truth, clip(folder / "gray.mp4", size=SIZE, frames=FRAMES, options=EXACT)


def paint(src: Path, dst: Path, net: str, **options: object) -> fastcolor.film.video.VideoReport:
    return fastcolor.video(src, dst, weights=net, engine="torch", lossless=True, **options)


def chroma_of(path: Path) -> np.ndarray:
    """(frames, 2, h, w), in codes of 8 bits."""
    frames = frames_of(path)
    step = 2.0 ** (frames[0].format.components[0].bits - 8)
    return np.stack([[plane(frame, index) / step for index in (1, 2)] for frame in frames])


def chroma_error(path: Path, truth: Path, margin: int = 4) -> float:
    difference = np.abs(chroma_of(path) - chroma_of(truth))
    return float(difference[:, :, margin:-margin, margin:-margin].mean())


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on making a network is a failure."""

    def of(*_: object, **__: object) -> None:
        raise AssertionError("a network was made")

    monkeypatch.setattr(network.Colorizer, "of", of)


@pytest.mark.parametrize(
    ("pixel_format", "temporal", "edges"), [("yuv420p", "fast", "auto"), ("yuv422p10le", "flow", "on")]
)
def test_painting_from_ones_own_chroma_film_is_the_film_again(
    net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixel_format: str, temporal: str, edges: str
) -> None:
    pts = np.cumsum(np.random.default_rng(0).integers(800, 1500, FRAMES)).tolist()  # of a varying rate
    src = clip(tmp_path / "gray.mp4", pixel_format, size=SIZE, frames=FRAMES, pts=pts)
    paint(src, tmp_path / "direct.mp4", net, chroma_to=tmp_path / "new" / "c.mkv", temporal=temporal, edges=edges)
    colours = frames_of(tmp_path / "new" / "c.mkv")
    shape = "yuv420p10le" if temporal == "fast" else "yuv444p10le"
    assert len(colours) == FRAMES and {frame.format.name for frame in colours} == {shape}
    apart = [abs(a - b) for a, b in zip(times_of(tmp_path / "new" / "c.mkv"), times_of(src), strict=True)]
    assert max(apart) <= Fraction(1, 1000)
    no_network(monkeypatch)
    told = {"chroma_from": tmp_path / "new" / "c.mkv", "temporal": temporal, "edges": edges}
    report = paint(src, tmp_path / "from.mp4", net, **told)
    assert report.notes == () and same_luma(src, tmp_path / "from.mp4")
    difference = np.abs(chroma_of(tmp_path / "from.mp4") - chroma_of(tmp_path / "direct.mp4"))
    assert difference.mean() < 0.25 and difference.max() <= 1
    assert [frame.pts for frame in frames_of(tmp_path / "from.mp4")] == [frame.pts for frame in frames_of(src)]


def test_without_x264_a_chroma_film_is_ffv1(
    net: str, films: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, src = films
    formats = chroma_film._formats_of
    monkeypatch.setattr(chroma_film, "_formats_of", lambda codec: [] if codec == "libx264" else formats(codec))
    paint(src, tmp_path / "direct.mkv", net, chroma_to=tmp_path / "c.mkv")
    with av.open(str(tmp_path / "c.mkv")) as container:
        assert container.streams.video[0].codec_context.name == "ffv1"
    paint(src, tmp_path / "from.mkv", net, chroma_from=tmp_path / "c.mkv")
    assert np.abs(chroma_of(tmp_path / "from.mkv") - chroma_of(tmp_path / "direct.mkv")).max() <= 1


def test_a_version_of_the_same_size_gives_its_chroma_bit_for_bit(
    net: str, films: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, src = films
    no_network(monkeypatch)
    report = paint(src, tmp_path / "c.mkv", net, chroma_from=truth, chroma_to=None)
    assert np.array_equal(chroma_of(tmp_path / "c.mkv"), chroma_of(truth)) and same_luma(src, tmp_path / "c.mkv")
    assert report.notes == ()
    # Weights that are not here are not needed either.
    paint(src, tmp_path / "less.mkv", "ddcolor", chroma_from=truth, saturation=0.5)
    half = (chroma_of(truth) - 128) / 2 + 128
    assert np.abs(chroma_of(tmp_path / "less.mkv") - half).max() <= 0.5


def rewritten(
    src: Path, dst: Path, size: tuple[int, int], *, box: tuple[int, ...] | None = None, late: int = 0
) -> Path:
    """A version as other programs write them: scaled, cut to a box, through JPEG, in 4:2:0, some frames late."""
    with av.open(str(dst), "w") as output:
        stream = output.add_stream("libx264", rate=Fraction(30000, 1001), options={"crf": "12", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        frames = [frame.to_image() for frame in frames_of(src)]
        for image in [frames[0]] * late + frames[: len(frames) - late]:
            small = image.resize(size, Image.Resampling.BICUBIC, box=box)
            small.save(held := io.BytesIO(), "JPEG", quality=85)
            output.mux(stream.encode(av.VideoFrame.from_image(Image.open(held))))
        output.mux(stream.encode(None))
    return dst


def test_a_version_enlarged_moved_small_and_noisy_is_aligned(
    net: str, films: tuple[Path, Path], tmp_path: Path
) -> None:
    truth, src = films
    half = SIZE[0] // 2, SIZE[1] // 2
    box = (1.5, 1.0, 1.5 + SIZE[0] / 1.02, 1.0 + SIZE[1] / 1.02)  # 2 % larger, and three pixels aside
    still = rewritten(truth, tmp_path / "still.mp4", half)
    moved = rewritten(truth, tmp_path / "moved.mp4", half, box=box)
    for name, version in (("a", still), ("b", moved)):
        paint(src, tmp_path / f"{name}.mkv", net, chroma_from=version)
    assert chroma_error(tmp_path / "b.mkv", truth) <= 1.3 * chroma_error(tmp_path / "a.mkv", truth)


def test_a_version_that_runs_late_is_made_up_for(net: str, films: tuple[Path, Path], tmp_path: Path) -> None:
    truth, src = films
    late = rewritten(truth, tmp_path / "late.mp4", SIZE, late=3)
    report = paint(src, tmp_path / "c.mkv", net, chroma_from=late)
    assert any("runs +0.100 s beside the film, which is made up for" in note for note in report.notes)
    assert any(f"gives colours for {FRAMES - 3} of {FRAMES} frames" in note for note in report.notes)
    still = rewritten(truth, tmp_path / "still.mp4", SIZE)
    paint(src, tmp_path / "still.mkv", net, chroma_from=still)
    given = np.abs(chroma_of(tmp_path / "c.mkv") - chroma_of(truth))[: FRAMES - 3].mean()
    assert given < 1.5 * np.abs(chroma_of(tmp_path / "still.mkv") - chroma_of(truth)).mean()


def test_what_a_version_does_not_cover_is_automatic(net: str, films: tuple[Path, Path], tmp_path: Path) -> None:
    truth, src = films
    paint(truth, tmp_path / "part.mkv", net, chroma_to=tmp_path / "part_c.mkv", start=0.2, end=0.5)
    paint(src, tmp_path / "auto.mkv", net, temporal="off")
    report = paint(src, tmp_path / "c.mkv", net, chroma_from=tmp_path / "part_c.mkv", temporal="off")
    assert any("gives colours for 9 of 24 frames; the others are automatic" in note for note in report.notes)
    painted, auto = chroma_of(tmp_path / "c.mkv"), chroma_of(tmp_path / "auto.mkv")
    given = [i for i, at in enumerate(times_of(src)) if Fraction(1, 5) <= at < Fraction(1, 2)]
    others = [i for i in range(FRAMES) if i not in given]
    assert np.abs(painted[others] - auto[others]).max() <= 1
    assert np.abs(painted[given] - chroma_of(tmp_path / "part.mkv")).mean() < 0.5
    # A shot that shows something else keeps out too, and a chroma film of all this holds both.
    strange = tmp_path / "strange.mp4"
    with av.open(str(strange), "w") as output:
        stream = output.add_stream("libx264", rate=Fraction(30000, 1001), options=EXACT)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for index, frame in enumerate(frames_of(truth)):
            if index >= 16:
                plane(frame, 0)[:] = plane(frame, 0)[::-1, ::-1].T[: SIZE[1]].repeat(2, 1)[:, : SIZE[0]]
            frame.pict_type = 0
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    options = {"chroma_from": strange, "chroma_to": tmp_path / "both_c.mkv", "temporal": "off"}
    report = paint(src, tmp_path / "both.mkv", net, **options)
    assert any("shows something else at 0.5 to 0.8 s" in note for note in report.notes)
    both = chroma_of(tmp_path / "both.mkv")
    assert np.array_equal(both[:16], chroma_of(truth)[:16]) and np.abs(both[16:] - auto[16:]).max() <= 1
    paint(src, tmp_path / "again.mkv", net, chroma_from=tmp_path / "both_c.mkv")
    again = chroma_of(tmp_path / "again.mkv")
    assert np.abs(again[16:] - both[16:]).mean() < 0.5
    assert np.corrcoef(again[:16].ravel(), both[:16].ravel())[0, 1] > 0.9  # but for what no screen shows


def test_what_a_version_does_not_cover_is_seen_where_it_is_new(
    net: str, films: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adaptive runs beside a partial chroma film: none on what is given, some on the rest, and nothing of the one
    in the other."""
    truth, src = films
    paint(truth, tmp_path / "part.mkv", net, chroma_to=tmp_path / "part_c.mkv", start=0.2, end=0.5)
    given = [i for i, at in enumerate(times_of(src)) if Fraction(1, 5) <= at < Fraction(1, 2)]
    before, after = range(given[0]), range(given[-1] + 1, FRAMES)
    seen: list[int] = []
    predict = network.Colorizer.predict_ab

    def counted(self: network.Colorizer, lightness: torch.Tensor, **named: object) -> torch.Tensor:
        seen.append(len(lightness))
        return predict(self, lightness, **named)

    monkeypatch.setattr(network.Colorizer, "predict_ab", counted)
    colours = {}
    for adaptive in ("off", "on"):
        seen.clear()
        path, told = tmp_path / f"{adaptive}.mkv", {"chroma_from": tmp_path / "part_c.mkv"}
        # At the usual size of this network, 32 pixels, so small a film's waves are finer than motion is followed.
        report = paint(src, path, net, temporal="fast", adaptive=adaptive, size=128, **told)
        assert any("gives colours for 9 of 24 frames; the others are automatic" in note for note in report.notes)
        colours[adaptive] = chroma_of(path)
        runs = sum(seen)
        assert runs >= FRAMES - len(given) if adaptive == "off" else 2 <= runs < 12, runs
    assert np.abs(colours["on"][given] - colours["off"][given]).max() <= 1
    # The automatic frames are those of the parts alone: behind what is given smoothing begins anew.
    times = [float(at) for at in times_of(src)]
    paint(src, tmp_path / "tail.mkv", net, temporal="fast", adaptive="on", size=128, start=times[after[0]] - 0.001)
    assert np.abs(colours["on"][list(after)] - chroma_of(tmp_path / "tail.mkv")).max() <= 1
    paint(src, tmp_path / "head.mkv", net, temporal="fast", adaptive="on", size=128, end=times[given[0]] - 0.001)
    assert np.abs(colours["on"][list(before)] - chroma_of(tmp_path / "head.mkv")).max() <= 1


def test_what_cannot_be_is_one_sentence_before_there_is_work(
    net: str, films: tuple[Path, Path], tmp_path: Path
) -> None:
    truth, src = films
    dst = tmp_path / "c.mp4"
    other = clip(tmp_path / "other.mp4", size=(128, 96), frames=12, turns=1, colored=range(12))
    hdr = clip(tmp_path / "hdr.mp4", "yuv420p10le", frames=2, tags=(9, 9, 16), colored=range(2))
    (tmp_path / "text.mkv").write_text("no film")
    shutil.copy(truth, tmp_path / "there.mkv")

    def refused(words: str, **options: object) -> None:
        with pytest.raises((ValueError, OSError), match=words) as error:
            paint(src, dst, net, **options)
        assert "\n" not in str(error.value)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["hdr.mp4", "other.mp4", "text.mkv", "there.mkv"]

    refused("chroma_from: no such file", chroma_from=tmp_path / "none.mkv")
    refused("chroma_from: .*text.mkv is not a film", chroma_from=tmp_path / "text.mkv")
    refused("chroma_from: must be a coloured version, got the gray film", chroma_from=src)
    refused("chroma_from: must show the same film at the same time, got .*other.mp4 of likeness", chroma_from=other)
    refused("chroma_from: must be of the film's dynamic range, ordinary, got .*, which is PQ", chroma_from=hdr)
    with pytest.raises(ValueError, match=r"chroma_from: must not be the output, got .*there\.mkv"):
        paint(src, tmp_path / "there.mkv", net, chroma_from=tmp_path / "there.mkv", overwrite=True)
    refused("chroma_to: must end in .mkv, got", chroma_to=tmp_path / "c.mov")
    refused("chroma_to: .*there.mkv exists already", chroma_to=tmp_path / "there.mkv")
    refused(
        "chroma_to: must be a file of its own", chroma_from=tmp_path / "there.mkv", chroma_to=tmp_path / "there.mkv"
    )


def test_a_run_that_was_killed_goes_on_with_both(net: str, tmp_path: Path) -> None:
    count = 64
    truth = clip(tmp_path / "truth.mp4", frames=count, colored=range(count), options=EXACT)
    src = clip(tmp_path / "gray.mp4", frames=count, options=EXACT)
    version = rewritten(truth, tmp_path / "version.mp4", (80, 52))  # not quite as it lies
    options = f"weights={net!r}, engine='torch', lossless=True, resume=True, chroma_from={str(version)!r}"

    def start(name: str):
        target = f"{str(tmp_path / name)!r}, chroma_to={str(tmp_path / name) + '_c.mkv'!r}"
        return in_process(
            f"import fastcolor; from fastcolor.film import resume; resume.FRAMES = 16\n"
            f"fastcolor.video({str(src)!r}, {target}, {options})"
        )

    process = start("whole.mkv")
    assert process.wait(100) == 0, process.stderr.read()
    process, folder = start("killed.mkv"), tmp_path / "killed.mkv.part"
    while len(list(folder.glob("0*.safetensors"))) < 3:
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    assert not (tmp_path / "killed.mkv_c.mkv").exists()
    process = start("killed.mkv")
    assert process.wait(100) == 0, process.stderr.read()
    for name in ("{}.mkv", "{}.mkv_c.mkv"):
        whole, killed = tmp_path / name.format("whole"), tmp_path / name.format("killed")
        assert len(frames_of(killed)) == count and same_luma(whole, killed)
        assert np.array_equal(chroma_of(whole), chroma_of(killed)) and times_of(whole) == times_of(killed)
    assert not folder.exists()
    with pytest.raises(ValueError, match="of version 9; a newer fastcolor reads it"):
        with av.open(str(tmp_path / "whole.mkv_c.mkv")) as old, av.open(str(tmp_path / "new.mkv"), "w") as output:
            output.metadata["FASTCOLOR_CHROMA"] = "9"
            stream = output.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(old.streams.video[0]):
                if packet.size:
                    packet.stream = stream
                    output.mux(packet)
        paint(src, tmp_path / "never.mkv", net, chroma_from=tmp_path / "new.mkv")


def test_batches_have_folders_of_them(net: str, films: tuple[Path, Path], tmp_path: Path) -> None:
    truth, src = films
    for name in ("in/deep/a.mp4", "in/b.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(src, tmp_path / name)
    (tmp_path / "from" / "deep").mkdir(parents=True)
    shutil.copy(truth, tmp_path / "from" / "deep" / "a.mkv")
    keys = tmp_path / "keys" / "b"
    keys.mkdir(parents=True)
    frames_of(truth)[3].to_image().save(keys / "0.1.png")
    (tmp_path / "twin" / "in").mkdir(parents=True)
    for name in ("a.mp4", "a.mov"):
        shutil.copy(src, tmp_path / "twin" / "in" / name)
    for folder, words in (("to", "would be one file for both"), ("in/to", "must lie outside the input")):
        twin = BatchOptions(tmp_path / "twin/in", tmp_path / "twin/out", chroma_to=tmp_path / "twin" / folder)
        with pytest.raises(ValueError, match=f"chroma_to: {words}"):
            batch(twin)
    options = BatchOptions(
        tmp_path / "in", tmp_path / "out", weights=net, engine="torch", chroma_from=tmp_path / "from",
        chroma_to=tmp_path / "to", key_frames=(keys.parent,), codec="ffv1", film_format="mkv", temporal="off",
    )  # fmt: skip
    batch(options)
    assert np.array_equal(chroma_of(tmp_path / "out" / "deep" / "a.mkv"), chroma_of(truth))
    error = np.abs(chroma_of(tmp_path / "out" / "b.mkv") - chroma_of(truth)).mean((1, 2, 3))
    assert error[3] < 0.7 * np.abs(chroma_of(truth)[3] - 128).mean()  # the key frame's colours
    assert len(frames_of(tmp_path / "to" / "b.mkv")) == len(frames_of(tmp_path / "to" / "deep" / "a.mkv")) == FRAMES
