"""On which frames of a film the network runs, and the colours of those on which it does not."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from film_clips import frames_of, plane, times_of
from PIL import Image
from test_smoothing import scene

import fastcolor
from fastcolor.film.carry import Carrier
from fastcolor.film.motion import EVERY, Seen, Watcher
from fastcolor.predictor import Predictor

SIDE = 64


def seen_in(lightness: torch.Tensor, batch: int, **options: int) -> list[tuple[int, Seen]]:
    """What is seen in a film that comes in batches, each with the number of its first frame."""
    watcher = Watcher(**{"part": 240, **options})
    starts = range(0, len(lightness), batch)
    return list(watcher.watch(zip(starts, lightness.split(batch), strict=True)))


def runs_of(lightness: torch.Tensor, batch: int = 8, **options: int) -> list[int]:
    """The frames on which the network runs."""
    return [first + i for first, seen in seen_in(lightness, batch, **options) for i, run in enumerate(seen.runs) if run]


def carried(lightness: torch.Tensor, ab: torch.Tensor, batch: int = 8) -> torch.Tensor:
    """Colours for all frames from those of ab that the network would have been asked for."""
    carrier, done = Carrier(), []
    for first, seen in seen_in(lightness, batch):
        asked = ab[first : first + batch][seen.runs]
        done += [colours for _, colours in carrier.push(seen, asked if len(asked) else None)]
    return torch.cat(done)


def still(frames: int, grain: float = 0.4, side: int = SIDE) -> torch.Tensor:
    ground = 50 + 15 * torch.randn(side, side)
    return (ground + grain * torch.randn(frames, 1, side, side)).clamp(2, 98)


@pytest.mark.parametrize("grain", [0.0, 0.4, 3.0])
def test_a_still_picture_is_looked_at_every_so_often_however_grainy(grain: float):
    assert runs_of(still(50, grain)) == [*range(0, 50, EVERY), 49]


def test_light_that_flickers_is_nothing_new():
    lightness = still(40) + 0.7 * torch.randn(40, 1, 1, 1)
    assert runs_of(lightness) == [*range(0, 40, EVERY), 39]


def test_both_sides_of_a_cut_and_the_first_frame_of_a_part_are_looked_at():
    lightness = torch.cat([still(13), still(20)])
    assert runs_of(lightness) == runs_of(lightness, batch=13) == [0, 8, 12, 13, 21, 29, 32]
    assert runs_of(still(30), part=10) == [0, 8, 10, 18, 20, 28, 29]


def shots_of(count: int, long: int, side: int = SIDE) -> torch.Tensor:
    """Unlike pictures of full contrast, each slowly moving, as L."""
    frames = []
    for _ in range(count):
        coarse = torch.rand(1, 1, 12, 12) * 90 + 5
        ground = torch.nn.functional.interpolate(coarse, (side + 16, side + 16), mode="bicubic").clamp(2, 98)
        frames += [ground[..., t // 4 : t // 4 + side, :side] for t in range(long)]
    return torch.cat(frames)


def barred(lightness: torch.Tensor) -> torch.Tensor:
    """With black bars all around, which leave four tenths of the picture."""
    bars = torch.zeros_like(lightness)
    bars[..., 12:-12, 12:-12] = lightness[..., 12:-12, 12:-12]
    return bars


@pytest.mark.parametrize(
    "shown",
    [barred, lambda x: 0.1 * x, lambda x: 60 + 0.12 * x, lambda x: barred(60 + 0.12 * x)],
    ids=["between black bars", "by night", "in fog", "in fog between black bars"],
)
def test_cuts_are_seen_however_little_they_change(shown: Callable[[torch.Tensor], torch.Tensor]):
    lightness = shown(shots_of(4, 10) + 0.3 * torch.randn(40, 1, SIDE, SIDE))
    assert {0, 9, 10, 19, 20, 29, 30, 39} <= {*runs_of(lightness)}
    cuts = [first + i for first, seen in seen_in(lightness, 8) for i, cut in enumerate(seen.cuts) if cut]
    assert cuts == [10, 20, 30]


@pytest.mark.parametrize("seen", [lambda x: x, lambda x: 45 + 0.2 * x], ids=["fresh", "washed out"])
def test_light_that_flickers_strongly_is_no_cut(seen: Callable[[torch.Tensor], torch.Tensor]):
    """As in film of a hundred years ago: a tenth up and down from frame to frame."""
    flicker = 1 + 0.1 * torch.randn(24, 1, 1, 1).clamp(-1.5, 1.5)
    lightness = seen(0.7 * shots_of(1, 24)) * flicker + torch.randn(24, 1, SIDE, SIDE)
    assert not any(cut for _, watched in seen_in(lightness, 8) for cut in watched.cuts)


def test_a_dissolve_and_a_fade_are_looked_at_on_the_way():
    first, second = shots_of(2, 24).split(24)
    share = torch.linspace(0, 1, 24)[:, None, None, None]
    assert len(runs_of(first + share * (second - first))) > 6
    assert len(runs_of(first * share.flip(0))) > 4
    assert len(runs_of(first)) < 5


def test_a_slow_dissolve_and_a_slow_fade_from_black_are_looked_at_on_the_way():
    """From frame to frame they change by a code or two of 255."""
    first, second = shots_of(2, 1).split(1)
    share = torch.linspace(0, 1, 49)[:, None, None, None]
    assert len(runs_of(first.expand(49, -1, -1, -1))) == 7
    assert len(runs_of(first + share * (second - first))) >= 10
    fade = runs_of(0.5 * first * share)
    assert len(fade) >= 12 and sum(frame < 16 for frame in fade) >= 6, fade


def test_dust_on_black_and_black_alone_are_no_cuts():
    lightness = torch.zeros(24, 1, 128, 128)
    for t in range(4, 12):
        lightness[t, :, 8 * t % 50 : 8 * t % 50 + 5, 5 * t % 40 : 5 * t % 40 + 5] = 90
    assert not any(cut for _, watched in seen_in(lightness, 8) for cut in watched.cuts)


def test_what_comes_into_view_is_looked_at_soon():
    lightness = still(24)
    for t in range(10, 24):  # something large comes in from the left, ten pixels a frame
        lightness[t, :, 8:56, : 10 * (t - 9)] = 85 + 5 * torch.randn(1)
    assert len({*runs_of(lightness)} & {*range(10, 16)}) >= 2


def test_a_fast_pan_is_looked_at_more_often_than_a_slow_one():
    ground = still(1, 0, side=400)[0]
    slow, fast = (
        torch.stack([ground[:, 100 : 100 + SIDE, step * t : step * t + SIDE] for t in range(33)]) for step in (1, 6)
    )
    assert len(runs_of(still(33))) <= len(runs_of(slow)) < len(runs_of(fast)) / 2


def test_texture_that_moves_slowly_does_not_add_up_to_something_new():
    """By a quarter of a pixel a frame: whole pixels of motion leave some of it in every frame, and no more of it beside
    the last run."""
    ground = torch.nn.functional.interpolate(torch.rand(1, 1, 40, 40) * 80 + 10, (288, 288), mode="bicubic")
    down = torch.arange(128.0) + 20
    frames = []
    for t in range(33):
        x, y = torch.meshgrid(down - 10 + 0.25 * t, down, indexing="xy")
        places = torch.stack([x, y], -1)[None] * 2 / 287 - 1
        frames.append(torch.nn.functional.grid_sample(ground, places, align_corners=True))
    assert runs_of(torch.cat(frames)) == [*range(0, 33, EVERY)]


def test_batches_of_any_size_give_the_same():
    lightness, ab, _ = scene(30, 128)
    assert runs_of(lightness) == runs_of(lightness, 3) == runs_of(lightness, 30)
    assert torch.equal(carried(lightness, ab), carried(lightness, ab, 4))


def test_where_the_network_runs_its_colours_stay_and_elsewhere_they_follow_the_motion():
    lightness, truth, _ = scene(33, 128)
    colours, runs = carried(lightness, truth), runs_of(lightness)
    assert len(runs) < 20
    assert torch.equal(colours[runs], truth[runs])
    # A network that was asked once in eight frames and whose colours then stood still:
    stood = truth[[i // EVERY * EVERY for i in range(33)]]
    error, standing = ((one - truth).norm(dim=1).mean((1, 2)) for one in (colours, stood))
    print(f"{error.mean():.2f}, at most {error.max():.2f}; standing still {standing.mean():.2f}")
    assert error.mean() < standing.mean() / 4 and error.max() < 2


def test_what_comes_into_view_between_two_runs_has_its_colours_at_once():
    frames = 17
    lightness, ab = still(frames, side=128), torch.zeros(frames, 2, 128, 128)
    thing = 40 + 10 * torch.randn(40, 40)
    for t in range(frames):  # a yellow thing comes in, three pixels a frame
        width = min(40, 3 * t)
        lightness[t, 0, 12:52, :width], ab[t, 1, 12:52, :width] = thing[:, 40 - width :], 40
    colours = carried(lightness, ab)
    assert len(runs_of(lightness)) < 9
    for t in range(3, frames):
        inside = colours[t, 1, 16:48, : min(40, 3 * t) - 2]
        assert inside.mean() > 34 and (inside > 20).float().mean() > 0.9, f"frame {t}: {inside.mean():.1f} of 40"
        assert colours[t, 1, :, 50:].abs().max() < 2


def test_nothing_is_carried_over_a_cut():
    lightness = torch.cat([still(13), still(12)])
    ab = torch.cat([torch.full((13, 2, SIDE, SIDE), -30.0), torch.full((12, 2, SIDE, SIDE), 40.0)])
    assert torch.allclose(carried(lightness, ab), ab, atol=1e-3)


# ---- films ----


def part_of(name: str, left: int, top: int) -> np.ndarray:
    """128 x 96 pixels of one of the package's photographs, made small, in gray."""
    photograph = Image.open(Path(__file__).parents[2] / f"bench/demo/{name}.jpg").convert("L").resize((200, 150))
    return np.ascontiguousarray(np.asarray(photograph)[top : top + 96, left : left + 128])


def film_of(path: Path, pictures: list[np.ndarray], times: list[int] | None = None, rate: int = 25) -> Path:
    """A film without loss. times: of its frames, in 1 / rate seconds, if they do not follow each other evenly."""
    with av.open(str(path), "w") as film:
        stream = film.add_stream("ffv1", rate=rate)
        stream.height, stream.width = pictures[0].shape
        stream.pix_fmt = "gray"
        for at, picture in zip(times or range(len(pictures)), pictures, strict=False):
            frame = av.VideoFrame.from_ndarray(picture, "gray")
            frame.pts, frame.time_base = at, Fraction(1, rate)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    return path


def painted(src: Path, **options: object) -> np.ndarray:
    """(frames, 2, h, w): the chroma planes of a painted film, whose frames keep their times."""
    dst = src.with_name("colour.mkv")
    fastcolor.video(src, dst, engine="onnx", device="cpu", lossless=True, size=128, overwrite=True, **options)
    assert times_of(dst) == times_of(src)
    return np.stack([np.stack([plane(frame, index) for index in (1, 2)]) for frame in frames_of(dst)]).astype(float)


def apart(some: np.ndarray, every: np.ndarray) -> np.ndarray:
    """(frames, h, w): how far colours are apart, in codes."""
    return np.hypot(*(some - every).swapaxes(0, 1))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames the network was given, call by call."""
    seen: list[int] = []
    predict = Predictor.predict_ab

    def counting(self: Predictor, lightness: torch.Tensor, **options: object) -> torch.Tensor:
        seen.append(len(lightness))
        return predict(self, lightness, **options)

    monkeypatch.setattr(Predictor, "predict_ab", counting)
    return seen


def test_a_film_is_painted_as_if_the_network_saw_every_frame(tmp_path: Path, asked: list[int]):
    """Over a photograph, and back to its beginning at once."""
    pan = film_of(tmp_path / "pan.mkv", [part_of("coffee", t % 25, t % 25 // 2) for t in range(37)])
    some = painted(pan, adaptive="on")
    runs = sum(asked)
    assert 37 / EVERY <= runs < 15
    every = painted(pan, adaptive="off")
    gap, gray = apart(some, every), np.hypot(*(every - 128).swapaxes(0, 1)).mean()
    print(f"{runs} of 37 frames; {gap.mean():.2f} codes apart, in one frame {gap.mean((1, 2)).max():.2f} of {gray:.2f}")
    assert gap.mean() < 2.5 and gap.mean((1, 2)).max() < 5 and gray > 12
    assert np.array_equal(painted(pan), some), "a CPU chooses it for itself"


def test_cuts_every_five_frames_are_seen(tmp_path: Path, asked: list[int]):
    pictures = [part_of(("coffee", "chelsea")[t // 5 % 2], 20 + t % 5, 3 * (t // 5)) for t in range(30)]
    cuts = film_of(tmp_path / "cuts.mkv", pictures)
    some = painted(cuts, adaptive="on")
    runs = sum(asked)
    every = painted(cuts, adaptive="off")
    gap, shots = apart(some, every), apart(every[5::5], every[4:-1:5]).mean()
    print(f"{runs} of 30 frames; {gap.mean():.2f} codes apart, {gap.mean((1, 2)).max():.2f} in one; shots {shots:.2f}")
    assert 12 <= runs < 15, "the network runs on the first and the last frame of a shot, and hardly on others"
    assert gap[::5].max() <= 1, "a shot begins with its own colours"
    assert gap.mean() < 2.5 and gap.mean((1, 2)).max() < shots / 3


def test_no_colours_of_the_shot_before_are_left_where_little_is_seen(tmp_path: Path, asked: list[int]):
    """A wide picture between bars, in the dark: each shot is coloured as where the network sees every frame."""
    pictures = []
    for t in range(24):
        dim = part_of(("coffee", "chelsea")[t // 12], 20 + t % 12, 10) // 4
        dim[:22], dim[-22:] = 0, 0
        pictures.append(dim)
    dark = film_of(tmp_path / "dark.mkv", pictures)
    some = painted(dark, adaptive="on")
    runs = sum(asked)
    every = painted(dark, adaptive="off", temporal="off")
    gap, shots = apart(some, every).mean((1, 2)), apart(every[12:13], every[11:12]).mean()
    print(f"{runs} of 24 frames; {gap.max():.2f} codes apart at most, {gap[12]:.2f} behind the cut; shots {shots:.2f}")
    assert gap[12] < 0.5 < shots and gap.max() < shots and runs < 14


def test_a_still_picture_keeps_its_colours_for_a_minute(tmp_path: Path, asked: list[int]):
    still = film_of(tmp_path / "still.mkv", [part_of("chelsea", 30, 20)] * 300, rate=5)
    colours = painted(still, adaptive="on")
    assert sum(asked) == len(range(0, 299, EVERY)) + 1  # the last frame, too
    assert np.abs(colours - colours[0]).max() <= 1 and np.abs(colours[0] - 128).max() > 10


def test_one_frame_and_one_that_stands_for_a_minute(tmp_path: Path):
    one = painted(film_of(tmp_path / "one.mkv", [part_of("chelsea", 30, 20)]), adaptive="on")
    assert len(one) == 1 and np.abs(one - 128).max() > 10
    times = [*range(9), 9 + 1500, *range(1510, 1516)]  # the ninth frame stands
    long = film_of(tmp_path / "long.mkv", [part_of("chelsea", 30, 20)] * len(times), times)
    assert np.abs(painted(long, adaptive="on") - one).max() <= 1
