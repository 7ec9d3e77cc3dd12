"""Hints, key frames and references in films: carried through their shots, stopped by cuts."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from film_clips import clip, frames_of, plane, same_luma
from PIL import Image

import fastcolor
from fastcolor import Hint
from fastcolor.commands.shots import run_shots
from fastcolor.film.anchor import Anchor
from fastcolor.film.probe import probe
from fastcolor.film.shot_list import Found, contact_sheet
from fastcolor.film.told import Told
from fastcolor.film.video import _made_from
from fastcolor.options.film import VideoOptions
from fastcolor.options.key_frames import KeyFrame, key_frames_of
from fastcolor.options.project import Shot, read_project
from fastcolor.options.shots import ShotsOptions

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE, SHOT = (160, 112), 10  # frames a shot
LOOK = {"device": "cpu", "engine": "torch", "size": 96, "codec": "ffv1", "overwrite": True}


def scene(seed: int) -> np.ndarray:
    """(150, 220, 3) RGB of coloured discs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:150, :220]
    pixels = np.full((150, 220, 3), 128.0)
    for _ in range(60):
        inside = 1 / (1 + np.exp(np.hypot(y - rng.uniform(0, 150), x - rng.uniform(0, 220)) - rng.uniform(4, 24)))
        pixels += inside[..., None] * (rng.uniform(50, 205, 3) - pixels)
    return pixels


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two shots in colour through which the camera moves, and the same in gray."""
    folder = tmp_path_factory.mktemp("films")
    paths = folder / "truth.mkv", folder / "gray.mkv"
    outputs = [av.open(str(path), "w") for path in paths]
    streams = [output.add_stream("ffv1", rate=10) for output in outputs]
    for stream in streams:
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv444p"
    shots = scene(0), 0.5 * scene(1)
    for number in range(2 * SHOT):
        left, top = 2 + 3 * (number % SHOT), 3 + number % SHOT
        pixels = shots[number // SHOT][top : top + SIZE[1], left : left + SIZE[0]].round().astype(np.uint8)
        for gray, (output, stream) in enumerate(zip(outputs, streams, strict=True)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv444p")
            if gray:
                for index in (1, 2):
                    plane(frame, index)[:] = 128
            frame.pts, frame.time_base = number, Fraction(1, 10)
            output.mux(stream.encode(frame))
    for output, stream in zip(outputs, streams, strict=True):
        output.mux(stream.encode(None))
        output.close()
    return paths


@pytest.fixture(scope="module")
def auto(films: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The film as the network alone colours it."""
    path = tmp_path_factory.mktemp("auto") / "auto.mkv"
    fastcolor.video(films[1], path, **LOOK)
    return chroma_of(path)


def chroma_of(path: Path) -> np.ndarray:
    """(frames, 2, h, w)."""
    return np.stack([[plane(frame, index).astype(float) for index in (1, 2)] for frame in frames_of(path)])


def picture(films: tuple[Path, Path], number: int) -> Image.Image:
    return frames_of(films[0])[number].to_image()


def test_key_frames_are_carried_both_ways_and_cuts_stop_them(
    films: tuple[Path, Path], auto: np.ndarray, tmp_path: Path
) -> None:
    truth, src = films
    known = chroma_of(truth)
    (tmp_path / "keys").mkdir()
    picture(films, 0).save(tmp_path / "keys" / "00-00-00.000.png")
    picture(films, SHOT - 1).resize((80, 56)).save(tmp_path / "last.png")  # of another size
    fastcolor.video(src, tmp_path / "c.mkv", key_frames=[tmp_path / "keys", f"0.9={tmp_path / 'last.png'}"], **LOOK)
    told = chroma_of(tmp_path / "c.mkv")
    assert same_luma(src, tmp_path / "c.mkv")
    before, after = (np.abs(one - known).mean((1, 2, 3)) for one in (auto, told))
    assert (after[:SHOT] < 0.5 * before[:SHOT]).all(), (before, after)
    assert np.abs(told[SHOT:] - auto[SHOT:]).max() <= 1
    # Backwards from the shot's last frame; and only what its alpha shows.
    half = picture(films, SHOT - 1).convert("RGBA")
    half.putalpha(Image.fromarray(np.where(np.arange(SIZE[0]) < 80, 255, 0).astype(np.uint8)[None].repeat(SIZE[1], 0)))
    fastcolor.video(src, tmp_path / "half.mkv", key_frames=[(0.9, half)], **LOOK)
    told = np.abs(chroma_of(tmp_path / "half.mkv") - known)
    # At the first frame, what the key frame shows in its left half lies up to 27 pixels further right.
    assert told[0, :, 12:, 30:100].mean() < 0.6 * np.abs(auto - known)[0, :, 12:, 30:100].mean()
    assert told[SHOT - 1, :, :, :72].mean() < 0.5 * np.abs(auto - known)[SHOT - 1, :, :, :72].mean()


def test_a_hint_holds_still_on_what_moves(films: tuple[Path, Path], auto: np.ndarray, tmp_path: Path) -> None:
    _, src = films
    hint = Hint(0.7, 0.6, "#d02040", radius=0.12, time=0.0)
    fastcolor.video(src, tmp_path / "c.mkv", hints=[hint], **LOOK)
    told = chroma_of(tmp_path / "c.mkv")
    for number in (0, SHOT // 2, SHOT - 1):  # the camera moves by (3, 1) pixels a frame
        x, y = round(0.7 * SIZE[0]) - 3 * number, round(0.6 * SIZE[1]) - number
        inside = (slice(y - 4, y + 5), slice(x - 4, x + 5))
        assert told[number, 1][inside].mean() > 150, number
    assert np.abs(told[SHOT:] - auto[SHOT:]).max() <= 1
    # What a resumed run compares is the same after it was written and read.
    asked = VideoOptions(src, tmp_path / "c.mkv", hints=[hint], key_frames=((0.0, picture(films, 0)),))
    job = _made_from(src, asked, "ffv1")
    assert json.loads(json.dumps(job)) == job and "'color': '#d02040'" in str(job)


def test_what_is_said_of_a_shot_stays_in_it_and_is_followed_where_it_is_needed(
    films: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def of(start: float) -> Shot:  # two halves of one take: no cut ends what is said of one
        return Shot(start, start + 0.5, hints=(Hint(0.7, 0.6, "#d02040", radius=0.12, time=start + 0.2),))

    halves, size = [of(0.0), of(0.5)], (64, 96)
    film, colorizer = probe(films[1]), fastcolor.Colorizer(device="cpu", engine="torch")
    told, gray = Told(film, colorizer, size, project=halves, given=halves[1:]), torch.full((1, 1, *size), 50.0)

    def followed() -> list[list[Fraction]]:
        return [sorted(one.frames) for one in told._followed]

    first, second = ([Fraction(half + number, 10) for number in range(5)] for half in (0, 5))
    assert not followed()
    told.ab(gray, first[1:2], None)
    assert followed() == [first]
    told.ab(gray, second[1:2], None)  # which was not given after all
    assert followed() == [first, second]
    # What painting has left far behind is forgotten.
    monkeypatch.setattr("fastcolor.film.told.REACH", 3)
    told = Told(film, colorizer, size, hints=[Hint(0.7, 0.6, "#d02040", time=one) for one in (0.0, 0.5, 0.9)])
    told.ab(gray, [Fraction(3, 10)], None)
    assert followed() == [first[:3], [*first[2:], *second[:3]]]
    told.ab(gray, [Fraction(7, 10)], None)
    assert followed() == [[*first[2:], *second[:3]], second[1:]]


def test_no_more_frames_are_followed_where_they_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in recordings of a screen, whose mean rate says nothing of a stretch."""
    monkeypatch.setattr("fastcolor.film.told.REACH", 3)
    film = probe(clip(tmp_path / "screen.mkv", frames=20, pts=list(range(20)), time_base=Fraction(1, 25)))
    colorizer = fastcolor.Colorizer(device="cpu", engine="torch")
    told = Told(replace(film, rate=Fraction(5)), colorizer, (64, 96), hints=[Hint(0.5, 0.5, "#d02040", time=0.76)])
    told.ab(torch.full((1, 1, 64, 96), 50.0), [Fraction(19, 25)], None)
    assert len(told._followed[0].frames) == 4


def test_a_shot_is_got_ready_before_anybody_paints_a_frame_of_it(
    films: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shot = Shot(0.0, 1.0, hints=(Hint(0.7, 0.6, "#d02040", radius=0.12, time=0.0),))
    size, follow = (64, 96), Told._follow
    colorizer = fastcolor.Colorizer(device="cpu", engine="torch")
    told = Told(probe(films[1]), colorizer, size, project=[shot], given=[shot])
    lightness, painted = torch.full((1, 1, *size), 50.0), [torch.empty(0), torch.empty(0)]

    def paint(number: int) -> None:
        painted[number] = told.ab(lightness, [Fraction(3, 10)], None)

    other = threading.Thread(target=paint, args=(1,))

    def slowly(self: Told, anchor: Anchor) -> Any:
        other.start()  # another painter comes while the hint is followed, and must wait for that
        other.join(0.3)
        return follow(self, anchor)

    monkeypatch.setattr(Told, "_follow", slowly)
    paint(0)
    other.join()
    assert torch.equal(*painted) and len(told._followed) == 1


def test_a_resumed_run_sees_that_pictures_changed_places(tmp_path: Path) -> None:
    """The same files, shown at another time or counted otherwise, make another film."""
    src = tmp_path / "gray.mkv"
    src.write_bytes(b"any film")
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8), {"a.png": "red", "b.png": "blue"}[name]).save(tmp_path / name)
    one, other = tmp_path / "a.png", tmp_path / "b.png"

    def job(**told: object) -> object:
        return _made_from(src, VideoOptions(src, tmp_path / "c.mkv", **told), "ffv1")["option"]

    assert job(key_frames=(f"1={one}", f"5={other}")) != job(key_frames=(f"1={other}", f"5={one}"))
    assert job(key_frames=(f"1={one}",)) != job(key_frames=(f"2={one}",))
    assert job(references=(f"0.5={one}", other)) != job(references=(one, f"0.5={other}"))
    held = [(1.0, Image.open(path)) for path in (one, other)]  # that lie nowhere
    assert job(key_frames=(held[0],)) != job(key_frames=(held[1],))
    assert job(key_frames=(held[0],)) == job(key_frames=((1.0, Image.open(one)),))


def test_references_are_taken_and_told(films: tuple[Path, Path], auto: np.ndarray, tmp_path: Path) -> None:
    truth, src = films
    report = fastcolor.video(src, tmp_path / "c.mkv", references=[picture(films, 4)], **LOOK)
    assert any("% of the pictures found something alike, on average" in note for note in report.notes)
    known, told = chroma_of(truth), chroma_of(tmp_path / "c.mkv")
    assert np.abs(told - known)[:SHOT].mean() < 0.8 * np.abs(auto - known)[:SHOT].mean()


def test_key_frames_are_found_again_in_later_shots(tmp_path: Path) -> None:
    """Photographs panned over: the third shot shows what the first one showed, from nearer, the second does not."""
    data = pytest.importorskip("skimage.data")
    shown, other = (Image.fromarray(one()) for one in (data.coffee, data.astronaut))
    shots = [(shown, (0, 0, 500, 350)), (other, (0, 0, 500, 350)), (shown, (60, 0, 440, 266))]
    paths = tmp_path / "truth.mkv", tmp_path / "gray.mkv"
    for path in paths:
        with av.open(str(path), "w") as output:
            stream = output.add_stream("ffv1", rate=10)
            stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv444p"
            for number in range(12):
                picture, (left, top, right, bottom) = shots[number // 4]
                box = (left + number % 4, top, right + number % 4, bottom)
                image = picture.resize(SIZE, Image.Resampling.BICUBIC, box=box)
                frame = av.VideoFrame.from_image(image).reformat(format="yuv444p")
                for index in (1, 2) if path == paths[1] else ():
                    plane(frame, index)[:] = 128
                frame.pts, frame.time_base = number, Fraction(1, 10)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    known = chroma_of(paths[0])
    key = frames_of(paths[0])[0].to_image()
    errors, colours = [], []
    for carry in (False, True):
        report = fastcolor.video(paths[1], tmp_path / f"{carry}.mkv", key_frames=[(0.0, key)], carry=carry, **LOOK)
        words = "key frames: found again in 1 of the 2 shots without one"
        assert any(words in note for note in report.notes) == carry
        colours.append(chroma_of(tmp_path / f"{carry}.mkv"))
        errors.append(np.abs(colours[-1] - known).mean((1, 2, 3)))
    assert np.abs(colours[1][:8] - colours[0][:8]).max() <= 1  # shots that show other things stay as they were
    assert (errors[1][8:] < 0.7 * errors[0][8:]).all(), errors
    with pytest.raises(ValueError, match="carry: must come with key frames, got none"):
        fastcolor.video(paths[1], tmp_path / "no.mkv", carry=True, **LOOK)


def test_what_cannot_be_is_one_sentence_before_there_is_work(
    films: tuple[Path, Path], net: str, tmp_path: Path
) -> None:
    _, src = films
    good, strange = picture(films, 0), picture(films, SHOT)

    def refused(words: str, **options: object) -> None:
        with pytest.raises((ValueError, FileNotFoundError), match=words) as error:
            fastcolor.video(src, tmp_path / "c.mkv", **{**LOOK, **options})
        assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []

    refused("key_frames: must be TIME=PICTURE or a folder, got 'a.png'", key_frames=["a.png"])
    refused("key_frames: must name a time in seconds or .*, got 'soon=a.png'", key_frames=["soon=a.png"])
    refused("key_frames: no such file: a=b.png", key_frames=["1=a=b.png"])
    refused("key_frames: must be one at a time, got two at 0.5 s", key_frames=[(0.5, good), (0.5, good)])
    refused(r"key_frames: must lie in the film, which ends at 2\.00 s, got 7", key_frames=[(7, good)])
    refused("key_frames: must show the film's frame at 0.2 s, got a picture of likeness", key_frames=[(0.2, strange)])
    refused("key_frames: must be in colour, got a gray picture for 0 s", key_frames=[(0, good.convert("L"))])
    refused("hints: of films need a time in seconds, hint 1 has none", hints=[Hint(0.5, 0.5, "#ffffff")])
    refused("hints: time: must lie in the film", hints=[Hint(0.5, 0.5, "#ffffff", time=9.0)])


def test_a_project_says_what_is_known_of_each_shot(
    films: tuple[Path, Path], auto: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, src = films
    file = tmp_path / "new" / "project.json"
    assert run_shots(ShotsOptions(src, output=file)) == 0
    listed = capsys.readouterr().out
    assert "1  0:00:00.000 to 0:00:01.000  10 frames" in listed and "2  0:00:01.000 to 0:00:02.000" in listed
    sheet = Image.open(file.with_suffix(".jpg"))
    assert sheet.size == (2 * 248 + 8, 168 + 28 + 8)
    for picture, number in (((8, 8, 248, 176), 5), ((256, 8, 496, 176), 15)):
        shown = np.asarray(sheet.crop(picture).convert("L").resize(SIZE)).astype(float)
        assert np.corrcoef(shown.ravel(), plane(frames_of(src)[number], 0).ravel())[0, 1] > 0.97
    with pytest.raises(FileExistsError, match=r"project\.json exists already"):
        run_shots(ShotsOptions(src, output=file))
    project = json.loads(file.read_text())
    assert (file.parent / project["film"]).resolve() == src
    first, second = project["shots"]
    first["hints"] = [{"x": 0.7, "y": 0.6, "color": "#d02040", "radius": 0.12}]  # at the shot's beginning
    second["saturation"] = 0
    file.write_text(json.dumps(project))
    fastcolor.video(src, tmp_path / "a.mkv", project=file, chroma_to=tmp_path / "colours.mkv", **LOOK)
    told = chroma_of(tmp_path / "a.mkv")
    assert told[0, 1, 63:72, 108:117].mean() > 150
    assert np.abs(told[SHOT:] - 128).max() <= 1
    # One shot is changed, and painted anew; the other keeps what the chroma film has.
    second["saturation"] = 1.0
    file.write_text(json.dumps(project))
    report = fastcolor.video(src, tmp_path / "b.mkv", project=file, chroma_from=tmp_path / "colours.mkv", **LOOK)
    assert any("1 of 2 shots are painted anew, the others are as in" in note for note in report.notes)
    again = chroma_of(tmp_path / "b.mkv")
    assert np.abs(again[:SHOT] - told[:SHOT]).mean() < 0.5
    # Beside a chroma film the network runs on every frame, so that it differs a little.
    assert np.abs(again[SHOT:] - auto[SHOT:]).mean() < 0.2 * np.abs(auto[SHOT:] - 128).mean()

    def refused(words: str, change: dict[str, object]) -> None:
        wrong = tmp_path / "wrong.json"
        wrong.write_text(json.dumps({**project, **change}))
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            fastcolor.video(src, tmp_path / "c.mkv", project=wrong, **LOOK)

    refused("project: .* must be of version 1, got 2; a newer fastcolor reads it", {"version": 2})
    refused("project: .* holds unknown title", {"title": "x"})
    refused("shot 1: has unknown color; known are", {"shots": [{**first, "color": 1}]})
    refused("shot 1: hints: its hints, hint 1: must have either", {"shots": [{**first, "hints": [{"x": 1, "y": 1}]}]})
    refused("shot 2: must start at 1 s or later, got 0.5", {"shots": [first, {**second, "start": 0.5}]})
    refused(
        "shot 1: a hint must lie in the shot, 0 to 1 s",
        {"shots": [{**first, "hints": [{**first["hints"][0], "time": 5}]}]},
    )
    refused("shot 1: references: no such file", {"shots": [{**first, "references": ["none.jpg"]}]})
    refused("shot 1: saturation: must lie in 0..10, got 11", {"shots": [{**first, "saturation": 11}]})


def test_the_sheet_of_any_number_of_shots_is_a_jpeg() -> None:
    sheet = contact_sheet([Found(0, 1, 24, Image.new("RGB", (2, 2000), "red"), 0.5)] * 200)
    assert sheet.height < 65_500 and sheet.width == 7 * 10 + 8  # in 29 rows of 32
    assert [sheet.getpixel((8 + 10 * (i % 7), 8 + 2028 * (i // 7))) for i in (0, 6, 7, 199)] == [(255, 0, 0)] * 4


def test_a_project_loses_nothing_that_it_says(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    text = '{"version": 1, "film": "a.mp4", "shots": [{"start": 0, "end": 1, "saturation": 1.5}]}'
    file.write_text("\ufeff" + text)  # as Windows' editors write it
    assert [shot.saturation for shot in read_project(file)] == [1.5]
    for content, words in [
        (text.replace('"end": 1', '"end": 1, "end": 2'), "project: .* is no JSON .end stands twice in one object"),
        ('{"version": 1, "film": "a.mp4", "shots": []}', "project: .* must be .* with a shot at least"),
    ]:
        file.write_text(content)
        with pytest.raises(ValueError, match=words):
            read_project(file)


def test_times_of_key_frames(tmp_path: Path) -> None:
    for name in ("00-01-23.400.png", "7.5.jpg", "a note.txt"):
        (tmp_path / name).touch()
    found = key_frames_of([tmp_path, f"1:02={tmp_path / '7.5.jpg'}", (90, "x")][:2])
    assert [one.seconds for one in found] == [7.5, 62.0, 83.4]
    for time in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="key_frames: time must be at least 0 seconds, got"):
            key_frames_of([(time, tmp_path / "7.5.jpg")])
    assert key_frames_of([f"01:00:00.040={tmp_path / '7.5.jpg'}"]) == [KeyFrame(3600.04, tmp_path / "7.5.jpg")]
