"""Several networks as one: what is mixed, what names and shares mean, pictures and films, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from film_clips import clip, frames_of, plane, random_net
from PIL import Image

import fastcolor
from fastcolor.evaluation.evaluate import evaluate_each
from fastcolor.film import resume
from fastcolor.film.video import _made_from
from fastcolor.models import named, weights
from fastcolor.models.mixing import mix
from fastcolor.options.film import VideoOptions
from fastcolor.pictures.colorize import Colorizer
from fastcolor.predictor import Predictor

RED, BLUE = (40.0, 20.0), (0.0, -20.0)


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two networks, each of which paints everything in its colour."""
    one, other = (random_net(tmp_path_factory.mktemp("net"), paints=color) for color in (RED, BLUE))
    return one, other


def of(color: tuple[float, float], *size: int) -> torch.Tensor:
    return torch.tensor(color).view(1, 2, 1, 1).expand(1, 2, *size)


def test_shares_are_to_each_other() -> None:
    lightness = torch.rand(1, 1, 32, 32) * 100
    mixed = mix([of(RED, 8, 8), of(BLUE, 16, 16)], (1, 3), lightness)
    assert mixed.shape == (1, 2, 16, 16)
    torch.testing.assert_close(mixed, (of(RED, 16, 16) + 3 * of(BLUE, 16, 16)) / 4)
    torch.testing.assert_close(mix([of(RED, 8, 8), of(BLUE, 16, 16)], (2, 6), lightness), mixed)


def test_what_sees_colour_counts_for_more_there() -> None:
    """Where both see as much, and where both see nothing, shares decide."""
    left, right = of((30.0, 0.0), 2, 3).clone(), of((0.0, 30.0), 2, 3).clone()
    left[..., 0], right[..., 1] = 0, 0
    left[..., 2], right[..., 2] = 0, 0
    mixed = mix([left, right], (1, 1), torch.full((1, 1, 2, 3), 50.0), "confidence")
    assert (mixed[0, 1, :, 0] > 26).all() and (mixed[0, 0, :, 1] > 26).all() and (mixed[..., 2] == 0).all()
    torch.testing.assert_close(
        mix([of(RED, 2, 2), of((-RED[0], RED[1]), 2, 2)], (1, 3), torch.zeros(1, 1, 2, 2), "confidence"),
        of((-RED[0] / 2, RED[1]), 2, 2).contiguous(),
    )


def test_by_luma_the_first_colours_the_dark_and_the_last_the_light() -> None:
    lightness = torch.tensor([0.0, 30.0, 50.0, 70.0, 100.0]).view(1, 1, 1, 5)
    mixed = mix([of(RED, 1, 5), of(BLUE, 1, 5)], (1, 1), lightness, "luma")
    share = torch.tensor([1.0, 1.0, 0.5, 0.0, 0.0])
    torch.testing.assert_close(mixed, of(RED, 1, 5) * share + of(BLUE, 1, 5) * (1 - share))
    three = mix([of(RED, 1, 5), of((0.0, 0.0), 1, 5), of(BLUE, 1, 5)], (1, 1, 1), lightness, "luma")
    torch.testing.assert_close(three[..., 2], torch.zeros(1, 2, 1))
    torch.testing.assert_close(three[..., [0, 4]], mixed[..., [0, 4]])


def test_names_and_shares(tmp_path: Path) -> None:
    assert named.members("a+b") == [("a", 1.0), ("b", 1.0)]
    assert named.members(" a*.4 + b * 2 ") == [("a", 0.4), ("b", 2.0)]
    odd = tmp_path / "a+b*2.pth"
    odd.write_text("")
    assert named.members(odd) == [(str(odd), 1.0)]
    for given, words in [
        ("default+", "weights: must name a network on both sides of ., got 'default.'"),
        ("default*0+eccv16*1", "weights: must give shares above 0 as in NAME.0.4.NAME.0.6, got '0' in "),
        (f"default*{400 * '9'}+eccv16*1", "weights: must give shares above 0 .* got '999"),
        ("default*x+eccv16*1", "weights: must give shares above 0 .* got 'x' in "),
        ("default*0.5+eccv16", "weights: must give every network a share or none, got "),
        ("default+default", "weights: must be merged from different networks, got "),
        ("default+eccv17", "weights: must be a file or one of .* got 'eccv17'; did you mean 'eccv16'"),
        (f"default+{tmp_path}/no.pth", "weights: no such file: .*no.pth"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            named.check(given)
    with pytest.raises(ValueError, match=r"weights: must be one network here, got the merge 'default\+eccv16'"):
        fastcolor.export("default+eccv16", tmp_path / "net.onnx")
    gray = np.full((64, 64), 99, np.uint8)
    with pytest.raises(ValueError, match=r"merge: must come with several networks joined by .* got weights 'default'"):
        fastcolor.colorize(gray, weights="default", merge="luma")
    with pytest.raises(ValueError, match="merge: must be one of share, confidence, luma, got 'mean'"):
        fastcolor.colorize(gray, weights="default+eccv16", merge="mean")  # type: ignore[arg-type]


def test_a_picture_and_every_members_own_size(nets: tuple[str, str], tmp_path: Path) -> None:
    red, blue = nets
    merged = Predictor(f"{red}*1+{blue}*3", "cpu", "torch")
    assert merged.engine.count("torch cpu") == 2
    ab = merged.predict_ab(torch.rand(2, 1, 64, 64) * 100)
    expected = torch.tensor([(r + 3 * b) / 4 for r, b in zip(RED, BLUE, strict=True)]).view(1, 2, 1, 1)
    torch.testing.assert_close(ab, expected.expand_as(ab), atol=0.2, rtol=0)  # of bfloat16
    # The packaged network wants 256 pixels, the other 64: each sees its own.
    net = random_net(tmp_path)
    alone = [Predictor(one, "cpu", "torch") for one in ("default", net)]
    both = Predictor(f"{net}+default", "cpu", "torch")
    size = both.input_size(480, 640)
    assert size == alone[0].input_size(480, 640) and both.size == 256
    lightness = torch.rand(1, 1, *size) * 100
    small = torch.nn.functional.interpolate(
        lightness, alone[1].input_size(*size), mode="bilinear", align_corners=False, antialias=True
    )
    wanted = mix([alone[0].predict_ab(lightness), alone[1].predict_ab(small)], (1, 1), lightness)
    torch.testing.assert_close(both.predict_ab(lightness), wanted)
    rgb = np.array(Colorizer(f"{red}+{blue}", "cpu", "torch")(Image.linear_gradient("L").resize((96, 64))))
    only = [np.array(Colorizer(one, "cpu", "torch")(Image.linear_gradient("L").resize((96, 64)))) for one in nets]
    assert rgb.shape == (64, 96, 3) and all(np.abs(rgb.astype(int) - one).mean() > 8 for one in only)
    with pytest.raises(ValueError, match="hints: need one network that follows them, got a merge of 2"):
        both.see(lightness)


def test_a_film_in_one_pass(nets: tuple[str, str], tmp_path: Path) -> None:
    red, blue = nets
    src = clip(tmp_path / "gray.mp4", frames=5, audio=("aac",), options={"preset": "ultrafast"})

    def chroma(name: str, **options: object) -> np.ndarray:
        fixed = {"overwrite": True, "lossless": True, "device": "cpu", "engine": "torch"}
        fastcolor.video(src, tmp_path / "out.mkv", weights=name, **fixed, **options)  # type: ignore[arg-type]
        frames = list(frames_of(tmp_path / "out.mkv"))
        assert len(frames) == 5
        return np.stack([[plane(frame, index).astype(float) for index in (1, 2)] for frame in frames])

    between = chroma(random_net(tmp_path, paints=((RED[0] + BLUE[0]) / 2, (RED[1] + BLUE[1]) / 2)))
    assert np.ptp(between) > 10 and np.abs(chroma(f"{red}*2+{blue}*2") - between).max() <= 1
    assert np.abs(chroma(f"{red}+{blue}", merge="luma", temporal="off") - between).max() > 4

    def job(name: str, **options: object) -> resume.Job:
        return _made_from(src, VideoOptions(src, tmp_path / "o.mkv", weights=name, **options), "libx264")  # type: ignore[arg-type]

    resume.Parts(tmp_path / "o.mkv", job(f"{red}*1+{blue}*3"), resume=False, overwrite=False).close()
    resume.Parts(tmp_path / "o.mkv", job(f"{red}*1+{blue}*3"), resume=True, overwrite=False).close()
    for changed in (job(f"{red}*2+{blue}*3"), job(f"{blue}*3+{red}*1"), job(f"{red}*1+{blue}*3", merge="luma")):
        with pytest.raises(ValueError, match="cannot be resumed, since this changed: "):
            resume.Parts(tmp_path / "o.mkv", changed, resume=True, overwrite=False)


def test_a_merge_is_measured_beside_its_parts(nets: tuple[str, str], tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    merge = "+".join(nets)
    found = evaluate_each([*nets, merge], tmp_path, device="cpu", engine="torch", merge="luma")
    assert set(found) == {*nets, merge} and len({one["psnr_ab"] for one in found.values()}) == 3
    with pytest.raises(ValueError, match="must be one network here"):
        weights.load(merge)
