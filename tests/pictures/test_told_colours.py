"""Hints: what somebody says about colours, how it is read, and that the picture follows."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fastcolor
from fastcolor import Colorizer, Hint, models, ops
from fastcolor.batch.batch import batch
from fastcolor.evaluation.color_errors import near_edges
from fastcolor.formats.reading import of_image
from fastcolor.models import weights
from fastcolor.options.batch import BatchOptions
from fastcolor.options.pictures import ColorizeOptions
from fastcolor.palette import Palette
from fastcolor.pictures.canvas import Canvas
from fastcolor.pictures.colorize import Told
from fastcolor.pictures.files import colorize_files
from fastcolor.pictures.targets import Conversion, told
from fastcolor.steering.planes import planes

RED = (192, 48, 32)


@pytest.fixture(scope="module")
def obedient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that paint gray, but what a hint says where it lies: logits are set by hand."""
    torch.manual_seed(0)
    model, palette = models.build("default"), Palette.grid()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        middle = int(palette.points.norm(dim=1).argmin())
        model.head.bias[middle] = 5.0
        model.hints.say[-1].bias[0] = 1.0  # what is told of a cell is trusted, and goes to the nearest bin's logit
        a, b = palette.points.T / 50
        model.hints.classes.weight[:, :, 0, 0] = torch.stack([400 * a, 400 * b, -200 * (a**2 + b**2)], 1)
        for parameter in model.encoder.modules():
            if isinstance(parameter, torch.nn.BatchNorm2d):
                parameter.weight.fill_(1.0)
    path = tmp_path_factory.mktemp("weights") / "obedient.safetensors"
    weights.save(path, model, name="default", options={}, palette=palette, temperature=0.1, size=128)
    return path


def noise(height: int = 96, width: int = 160) -> np.ndarray:
    return np.random.default_rng(0).integers(60, 200, (height, width), dtype=np.uint8)


def ab_of(image: Image.Image) -> np.ndarray:
    lab = ops.rgb_to_lab(torch.from_numpy(np.array(image.convert("RGB")))[None], layout="hwc")
    return lab[0, 1:].numpy()


def test_planes_are_discs_of_the_colour_and_the_later_one_counts() -> None:
    first = Hint(0.25, 0.5, "#c03020", radius=0.1)
    ab, mask = planes([first, Hint(0.75, 0.5, RED, radius=0.0, strength=0.5)], (64, 128))
    lab = ops.rgb_to_lab(torch.tensor(RED, dtype=torch.uint8)[None, :, None, None])[0, 1:, 0, 0]
    rows, columns = (mask[0, 0] == 1).nonzero().unbind(1)
    assert (rows.float().mean(), columns.float().mean()) == (32, 32) and int(rows.max() - rows.min()) == 12
    assert len(rows) == pytest.approx(math.pi * 6.4**2, rel=0.1)
    assert (mask == 0.5).nonzero().tolist() == [[0, 0, 32, 96]]
    assert torch.equal(ab[0, :, 32, 32], lab) and torch.equal(ab[0, :, 32, 96], lab)
    assert not bool(ab[(mask == 0).expand_as(ab)].any())
    ab, mask = planes([first, Hint(0.25, 0.5, "#00ff00", radius=0.02)], (64, 128))
    assert float(ab[0, 0, 32, 32]) < 0 < float(ab[0, 0, 32, 36])
    assert planes([Hint(1.0, 1.0, RED, radius=0.0)], (64, 128))[1][0, 0, 63, 127] == 1  # the corner is within


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"x": 1.2}, r"hint: x must lie in 0\.\.1, got 1\.2"),
        ({"y": -0.1}, r"hint: y must lie in 0\.\.1, got -0\.1"),
        ({"x": math.nan}, r"hint: x must lie in 0\.\.1, got nan"),
        ({"x": "half"}, r"hint: x must lie in 0\.\.1, got 'half'"),
        ({"radius": 2.0}, r"hint: radius must lie in 0\.\.1, got 2\.0"),
        ({"strength": 0.0}, r"hint: strength must be above 0, got 0"),
        ({"time": -1.0}, r"hint: time must be at least 0 seconds, got -1\.0"),
        ({"color": "red"}, r"hint: color must be #rrggbb or three numbers of 0 to 255, got 'red'"),
        ({"color": (1, 2, 300)}, r"hint: color must be #rrggbb or three numbers of 0 to 255, got \(1, 2, 300\)"),
    ],
)
def test_a_hint_that_cannot_be_is_one_sentence(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Hint(**{"x": 0.5, "y": 0.5, "color": "#c03020", **wrong})


def test_more_hints_than_cells() -> None:
    with pytest.raises(ValueError, match="hints: must be at most 256 for 64 x 64 pixels, got 257"):
        planes([Hint(0.5, 0.5, RED)] * 257, (64, 64))


def test_a_picture_follows_hints_where_they_lie_at_its_own_size(obedient: Path) -> None:
    colorizer = Colorizer(obedient, "cpu", "torch")
    features = colorizer.features(noise())
    plain = colorizer.colours(features)
    assert np.array_equal(np.array(plain), np.array(colorizer(noise())))  # no hints: as ever
    image = colorizer.colours(features, [Hint(0.25, 0.5, "#c03020", radius=0.1)])
    assert image.size == (160, 96) and np.abs(ab_of(plain)).max() < 6
    wanted = ops.rgb_to_lab(torch.tensor(RED, dtype=torch.uint8)[None, :, None, None])[0, 1:, 0, 0].numpy()
    inside = ab_of(image)[:, 46:50, 38:42].mean((1, 2))
    assert np.linalg.norm(inside - wanted) < 12 and np.abs(ab_of(image)[:, :, 100:]).max() < 6
    gray = np.array(image.convert("RGB")) @ [0.2126, 0.7152, 0.0722]
    assert np.corrcoef(gray[40:56, 30:50].ravel(), noise()[40:56, 30:50].ravel())[0, 1] > 0.98  # its lightness stays
    # Asked again, it begins anew; and the saturation that weights ask for is no factor on what a hint says.
    assert np.array_equal(np.array(colorizer.colours(features)), np.array(plain))
    colorizer.saturation = 0.8
    again = ab_of(colorizer.colours(features, [Hint(0.25, 0.5, "#c03020", radius=0.1)]))[:, 46:50, 38:42].mean((1, 2))
    assert np.linalg.norm(again - wanted) < 12


def test_hints_are_followed_in_flat_pictures_too(obedient: Path) -> None:
    colorizer = Colorizer(obedient, "cpu", "torch")
    features = colorizer.features(np.full((96, 160), 128, np.uint8))
    image = colorizer.colours(features, [Hint(0.5, 0.5, "#c03020", radius=0.3)])
    assert float(ab_of(image)[0, 44:52, 76:84].mean()) > 30


def test_networks_that_follow_no_hints_say_so(tmp_path: Path) -> None:
    model = models.build("default-mobilenet", bins=8)
    path = tmp_path / "old.safetensors"
    palette = Palette(torch.rand(8, 2) * 50)
    weights.save(path, model, name="default-mobilenet", options={"bins": 8}, palette=palette, temperature=1, size=64)
    with pytest.raises(ValueError, match="hints: need a network that follows them, got default-mobilenet"):
        Colorizer(path, "cpu", "torch").features(noise())
    for name in ("a", "b"):  # of a folder's pictures it is said once, not of each
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(noise()).save(tmp_path / "in" / f"{name}.png")
        hint_file(tmp_path / "hints" / f"{name}.json")
    options = ColorizeOptions((tmp_path / "in",), str(tmp_path / "out"), weights=path, hints=tmp_path / "hints")
    with pytest.raises(ValueError, match="hints: need a network that follows them, got default-mobilenet"):
        colorize_files(replace(options, device="cpu", engine="torch"))


def test_siggraph17_follows_hints_as_published(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = models.build("siggraph17").eval()
    path = tmp_path / "net.pth"
    torch.save(model.state_dict(), path)
    colorizer = Colorizer(path, "cpu", "torch", size=64)
    features = colorizer.features(noise(64, 64))
    hints = [Hint(0.5, 0.5, "#c03020", radius=0.2)]
    given = planes(hints, features.size)
    with torch.no_grad():
        expected = model(features.seen[0], given)
    assert torch.allclose(colorizer.follow(features.seen, given), expected, atol=2.0)
    assert not torch.allclose(colorizer.follow(features.seen, None), expected, atol=1e-3)


def test_an_exported_network_is_the_plain_one(obedient: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    path = tmp_path / "net.onnx"
    fastcolor.export(obedient, path)
    with pytest.raises(ValueError, match="hints: need the network in torch; an exported file is the plain network"):
        Colorizer(path).features(noise())


def test_size_is_how_much_the_network_sees(obedient: Path) -> None:
    sizes = [Colorizer(obedient, "cpu", "torch", size=size).input_size(480, 640) for size in (None, 128, 256, 512)]
    assert sizes[0] == sizes[1]
    assert sizes[2][0] * sizes[2][1] == pytest.approx(256**2, rel=0.15)
    assert sizes[3][0] * sizes[3][1] == pytest.approx(512**2, rel=0.15)
    for wrong in (32, 4096):
        with pytest.raises(ValueError, match=rf"size: must lie in 64\.\.1024, got {wrong}"):
            Colorizer(obedient, "cpu", "torch", size=wrong)


def photograph(seed: int = 0) -> Image.Image:
    """Soft coloured discs, 160 x 120."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:120, :160]
    pixels = np.full((120, 160, 3), 128.0)
    for _ in range(40):
        inside = 1 / (1 + np.exp(np.hypot(y - rng.uniform(0, 120), x - rng.uniform(0, 160)) - rng.uniform(4, 30)))
        pixels += inside[..., None] * (rng.uniform(40, 215, 3) - pixels)
    return Image.fromarray(pixels.round().astype(np.uint8))


def test_colours_come_from_another_version(obedient: Path, tmp_path: Path) -> None:
    truth = photograph()
    gray = truth.convert("L")
    colorizer = Colorizer(obedient, "cpu", "torch")
    same = colorizer(gray, chroma_from=truth)
    assert np.abs(ab_of(same) - ab_of(truth)).mean() < 1.5
    own = ops.rgb_to_lab(torch.from_numpy(np.array(gray.convert("RGB")))[None], layout="hwc")[0, 0]
    painted = ops.rgb_to_lab(torch.from_numpy(np.array(same))[None], layout="hwc")[0, 0]
    assert float((painted - own).abs().median()) < 0.5  # the lightness stays
    # Half the size, enlarged by 2 %, moved, turned into a JPEG: as good as the same unmoved.
    larger = truth.resize((163, 122), Image.Resampling.BICUBIC).crop((1, 2, 161, 122))

    def worse(image: Image.Image, path: Path) -> float:
        image.resize((80, 60), Image.Resampling.BILINEAR).save(path, quality=80)
        return float(np.abs(ab_of(colorizer(gray, chroma_from=path)) - ab_of(truth))[:, 4:-4, 4:-4].mean())

    assert worse(larger, tmp_path / "moved.jpg") < 1.3 * worse(truth, tmp_path / "still.jpg")
    # Where a version is clear it has no colour, whatever stands below; the network goes on, which here paints gray.
    clear = truth.convert("RGBA")
    clear.paste((0, 0, 255, 0), (80, 0, 160, 120))
    clear.save(tmp_path / "clear.png")
    half = ab_of(colorizer(gray, chroma_from=tmp_path / "clear.png"))
    assert np.abs(half[:, :, 90:]).mean() < 6 and np.abs(half - ab_of(truth))[:, :, :70].mean() < 3
    # Beyond a version's edges the network goes on, which here paints gray.
    part = colorizer(gray, chroma_from=truth.crop((0, 0, 130, 120)))
    assert np.abs(ab_of(part)[:, :, 140:]).mean() < 6 and np.abs(ab_of(part) - ab_of(truth))[:, :, :120].mean() < 3


def test_a_version_that_cannot_be_is_one_sentence(obedient: Path) -> None:
    colorizer, gray = Colorizer(obedient, "cpu", "torch"), photograph().convert("L")
    with pytest.raises(ValueError, match="chroma_from: must be a coloured version, got a gray picture"):
        colorizer(gray, chroma_from=gray)
    with pytest.raises(ValueError, match=r"chroma_from: must show the same picture, got one of likeness 0\.\d\d"):
        colorizer(gray, chroma_from=photograph(1))
    with pytest.raises(ValueError, match="hints and chroma_from exclude each other"):
        colorizer(gray, chroma_from=photograph(), hints=[Hint(0.5, 0.5, RED)])
    with pytest.raises(ValueError, match="are of one picture, got 2 pictures"):
        colorizer([gray, gray], chroma_from=photograph())


def hint_file(path: Path, color: str = "#c03020") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = {"x": 0.25, "y": 0.5, "color": color, "radius": 0.1}
    path.write_text(json.dumps({"version": 1, "hints": [entry]}))
    return path


def test_commands_follow_files_of_hints_and_versions(obedient: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "in" / "deep").mkdir(parents=True, exist_ok=True)
        photograph().convert("L").save(tmp_path / "in" / "deep" / f"{name}.png")
    look = {"weights": obedient, "device": "cpu", "engine": "torch"}
    one = tmp_path / "in" / "deep" / "a.png"
    told = hint_file(tmp_path / "hints" / "deep" / "b.json")
    colorize_files(ColorizeOptions((one,), str(tmp_path / "one.png"), hints=told, **look))
    expected = fastcolor.colorize(one, hints=told, **look)
    assert np.array_equal(np.array(Image.open(tmp_path / "one.png")), np.array(expected))
    # A folder has a folder of files under its own names; what has none is coloured as ever.
    folder = tmp_path / "in"
    colorize_files(ColorizeOptions((folder,), str(tmp_path / "out"), hints=tmp_path / "hints", **look))
    batch(BatchOptions(folder, tmp_path / "all", hints=tmp_path / "hints", **look))
    for out in ("out", "all"):
        a, b = (ab_of(Image.open(tmp_path / out / "deep" / f"{name}.png")) for name in ("a", "b"))
        assert np.abs(a).max() < 6 and np.array_equal(b, ab_of(expected))
    photograph().save(tmp_path / "deep_a.png")
    (tmp_path / "coloured" / "deep").mkdir(parents=True)
    photograph().save(tmp_path / "coloured" / "deep" / "a.jpg", quality=95)
    batch(BatchOptions(folder, tmp_path / "from", chroma_from=tmp_path / "coloured", **look))
    assert np.abs(ab_of(Image.open(tmp_path / "from" / "deep" / "a.png")) - ab_of(photograph())).mean() < 3


def test_files_that_cannot_be_are_told_before_there_is_work(obedient: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "in").mkdir(exist_ok=True)
        photograph().convert("L").save(tmp_path / "in" / f"{name}.png")

    def refused(words: str, *inputs: Path, **options: object) -> None:
        out = str(tmp_path / "out") if inputs[0].is_dir() else str(tmp_path / "out.png")
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            colorize_files(ColorizeOptions(inputs, out, weights=obedient, device="cpu", engine="torch", **options))
        assert not Path(out).exists()

    folder, one = tmp_path / "in", tmp_path / "in" / "a.png"
    refused("hints: no such file", one, hints=tmp_path / "none.json")
    refused("hints: .* is no JSON", one, hints=one)
    refused("hints: must be a file for one picture, got the folder", one, hints=folder)
    refused("hints: must be a folder of files named as the inputs", folder, hints=hint_file(tmp_path / "h.json"))
    refused(
        "hints: .* must hold files named as the inputs, got none",
        folder,
        hints=hint_file(tmp_path / "e" / "c.json").parent,
    )
    refused("hint 1: color must be #rrggbb", folder, hints=hint_file(tmp_path / "f" / "b.json", "red").parent)
    refused("hints: must be a folder of files .* got list", folder, hints=[Hint(0.5, 0.5, RED)])
    refused("chroma_from: must be a file, got Image", one, chroma_from=Image.new("RGB", (8, 8), "red"))
    refused("hints and chroma_from exclude", one, hints=hint_file(tmp_path / "h.json"), chroma_from=one)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "version.png")
    with pytest.raises(ValueError, match=r"chroma_from: must not be the output, got .*version\.png"):
        version = tmp_path / "version.png"
        colorize_files(ColorizeOptions((one,), str(version), chroma_from=version, overwrite=True, weights=obedient))
    assert Image.open(tmp_path / "version.png").size == (8, 8)


def test_colours_that_are_known_end_at_edges(obedient: str) -> None:
    """A version at an eighth of the size: its colours are nearer to the truth where lightness has edges. So do those of
    hints that lie all over a picture; the network's own, and what few hints say, are painted as ever."""
    data = pytest.importorskip("skimage.data")
    truth = Image.fromarray(data.coffee()).resize((384, 256))
    gray, small = truth.convert("L"), truth.resize((48, 32), Image.Resampling.BOX)
    lightness = ops.rgb_to_lab(torch.from_numpy(np.array(truth))[None], layout="hwc")[:, :1]
    edges = near_edges(lightness)[0].numpy()
    error = {}
    for which in ("off", "auto", "on"):
        painted = fastcolor.colorize(gray, chroma_from=small, weights=obedient, edges=which)
        error[which] = float(np.linalg.norm(ab_of(painted) - ab_of(truth), axis=0)[edges].mean())
    assert error["auto"] == error["on"] < 0.95 * error["off"], error
    own = [fastcolor.colorize(truth.convert("L"), weights=obedient, edges=edges) for edges in ("off", "auto")]
    assert own[0].tobytes() == own[1].tobytes()
    hints = [Hint(x / 4, y / 4, RED if (x + y) % 2 else "#2040c0", radius=0.06) for x in (1, 2, 3) for y in (1, 2, 3)]
    for some, sharp in ((hints, True), (hints[:2], False)):
        own = [fastcolor.colorize(gray, hints=some, weights=obedient, edges=edges) for edges in ("off", "auto", "on")]
        assert own[1].tobytes() == own[2 if sharp else 0].tobytes() and own[0].tobytes() != own[2].tobytes()
    with pytest.raises(ValueError, match="edges: must be one of auto, on, off, got 'hard'"):
        fastcolor.colorize(truth, edges="hard")


def test_a_folder_of_hints_is_listed_once_for_all_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [Path(f"{number}.png") for number in range(30)]
    for name in names:
        hint_file(tmp_path / "hints" / name.with_suffix(".json"))
    listed: list[Path] = []
    list_of = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: (listed.append(path), list_of(path))[1])
    options = ColorizeOptions((), "out", hints=tmp_path / "hints")
    found = told([Conversion(name, Path("out") / name) for name in names], options, Path("out"))
    assert [one.hints for one in found] == [tmp_path / "hints" / name.with_suffix(".json") for name in names]
    assert len(listed) == 1


def test_what_is_written_in_another_format_has_the_files_that_its_input_names(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "b.tif"):
        (tmp_path / name).touch()
    options = ColorizeOptions((), "out", chroma_from=tmp_path)
    found = told(
        [Conversion(Path(one), Path("out", one[0] + ".png")) for one in ("a.jpg", "b.jpg")], options, Path("out")
    )
    assert [one.chroma_from for one in found] == [tmp_path / "a.jpg", tmp_path / "b.tif"]


def test_warnings_stand_on_the_line_of_their_own_file(
    obedient: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """More files than are painted together, of several pages too; each version reaches less far than the one before."""
    truth = Image.fromarray(pytest.importorskip("skimage.data").coffee()).resize((160, 96))
    gray, colorizer, alone = truth.convert("L"), Colorizer(obedient, "cpu", "torch"), {}
    for folder in ("in", "versions"):
        (tmp_path / folder).mkdir()
    for number in range(6):
        path, version = tmp_path / "in" / f"{number}.tif", tmp_path / "versions" / f"{number}.png"
        gray.save(path, save_all=True, append_images=[gray] * (number == 3))
        truth.crop((0, 0, 152 - 5 * number, 96)).save(version)
        colorizer(gray, chroma_from=version)
        alone[path] = caplog.messages[-1]
    log = tmp_path / "log"
    caplog.clear()
    colorize_files(
        ColorizeOptions((tmp_path / "in",), f"{tmp_path}/out/", chroma_from=tmp_path / "versions", log=log), colorizer
    )
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [one["input"] for one in lines] == list(map(str, alone)) and len(set(alone.values())) == 6
    assert [one["warnings"] for one in lines] == [[f"{path}: {said}"] for path, said in alone.items()]
    assert sorted(caplog.messages) == sorted(f"{path}: {said}" for path, said in alone.items())


def test_references_colour_what_looks_alike_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With the package's own weights, which know what looks alike: a photograph's own half colours it again."""
    data = pytest.importorskip("skimage.data")
    truth, other = (Image.fromarray(one()).resize((224, 160)) for one in (data.coffee, data.rocket))
    gray, colorizer = truth.convert("L"), Colorizer("default", "cpu", "torch")
    flipped = truth.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    flipped.save(tmp_path / "flipped.png")

    def error(**options: object) -> float:
        return float(np.abs(ab_of(colorizer(gray, **options)) - ab_of(truth)).mean())

    auto = error()
    assert error(references=[tmp_path / "flipped.png"]) < 0.5 * auto
    assert "% of the picture found something alike" in caplog.messages[-1]
    assert abs(error(references=[other]) - auto) < 0.1 * auto  # an unlike picture changes next to nothing
    assert error(references=[other, flipped]) < 0.5 * auto  # of several the likest counts
    # With less weight it is followed less; and of two that are equally alike the weightier counts.
    assert error(references=["0.1=" + str(tmp_path / "flipped.png")]) > 1.05 * error(references=[flipped])
    green = Image.merge("RGB", [flipped.getchannel(one) for one in "GRB"])
    lots, little = (ab_of(colorizer(gray, references=[(flipped, w), (green, 1.1 - w)])) for w in (1.0, 0.1))
    assert little[0].mean() < lots[0].mean() - 10
    plain, toned = (ab_of(colorizer(gray, references=[other], reference_tone=one)) for one in ("off", "on"))
    means = [one.mean((1, 2)) for one in (plain, toned, ab_of(other))]
    assert np.linalg.norm(means[1] - means[2]) < np.linalg.norm(means[0] - means[2]) - 1
    hinted = colorizer(gray, references=[flipped], hints=[Hint(0.1, 0.1, "#2030c0", radius=0.05)])
    assert float(ab_of(hinted)[1, 10:22, 16:28].mean()) < -20  # a hint counts more than a reference
    canvas = Canvas(colorizer, of_image(gray), side=224)
    shown = canvas.paint(Told(references=(other,), tone=True), whole=lambda: of_image(gray))
    assert np.array_equal(ab_of(shown), toned)
    for tone, words in (("yes", "must be one of on, off, got 'yes'"), ("on", "must come with references, got none")):
        with pytest.raises(ValueError, match=f"reference_tone: {words}"):
            colorizer(gray, reference_tone=tone)
    with pytest.raises(ValueError, match="references: must be in colour, got a gray picture"):
        colorizer(gray, references=[gray])
    with pytest.raises(ValueError, match="references and chroma_from exclude each other"):
        colorizer(gray, references=[flipped], chroma_from=truth)
    for wrong in ("0=a.jpg", (truth, 2)):
        with pytest.raises(ValueError, match="references: weight must be above 0 and at most 1, got"):
            fastcolor.colorize(gray, references=[wrong])
    with pytest.raises(FileNotFoundError, match=r"reference: no such file: none\.png"):
        fastcolor.colorize(gray, references=["0.5=none.png"])
    with pytest.raises(FileNotFoundError, match="reference: no such file"):
        fastcolor.colorize(gray, references=["none.png"])
    options = ColorizeOptions((), "", references=(tmp_path / "flipped.png",))
    gray.save(tmp_path / "gray.png")
    colorize_files(replace(options, inputs=(tmp_path / "gray.png",), output=str(tmp_path / "c.png"), engine="torch"))
    assert np.abs(ab_of(Image.open(tmp_path / "c.png")) - ab_of(truth)).mean() < 0.5 * auto
    colorize_files(
        replace(options, inputs=(tmp_path / "gray.png",), output=str(tmp_path / "h.png"), references=(),
                hints=[Hint(0.5, 0.5, RED)], engine="torch")
    )  # fmt: skip
    assert (tmp_path / "h.png").exists()
