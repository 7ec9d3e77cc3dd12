"""Reports: a page that needs nothing else, a picture, nothing half-written."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fastcolor
from fastcolor.evaluation.evaluate import _title
from fastcolor.evaluation.options import EvaluateOptions
from fastcolor.evaluation.report import Line, Report, Shown

NASTY = '<script>alert("x")</script> & ümläut \udcff\n2.png'


class Page(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.images: list[Image.Image] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href"):
                kind, _, data = (value or "").partition(",")
                assert kind == "data:image/jpeg;base64"
                self.images.append(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(name: str, level: int) -> Shown:
    triple = tuple(Image.new("RGB", (64, 48), (level, 10 * i, 200)) for i in range(3))
    return Shown(name, "+1.00 dB", triple)


@pytest.fixture
def report() -> Report:
    lines = [Line("auc", (91.25,), "%", "AuC & <b>more</b>"), Line("pictures", (2,), "", "counted")]
    return Report(f"of {NASTY}", lines, {"Worst": [shown(NASTY, 0), shown("b", 90)], "Best": [shown("c", 250)]})


def test_the_page(report: Report, tmp_path: Path) -> None:
    report.save(tmp_path / "r.html")
    page = Page()
    page.feed((tmp_path / "r.html").read_text(encoding="utf-8"))
    page.close()
    assert not page.open and "script" not in page.tags and "b" not in page.tags
    assert '<script>alert("x")</script> & ümläut' in page.text and "AuC & <b>more</b>" in page.text
    assert "91.250" in page.text and page.text.index("Worst") < page.text.index("Best")
    assert [image.size for image in page.images] == [(64, 48)] * 9
    expected = [(level, 10 * i, 200) for level in (0, 90, 250) for i in range(3)]
    assert all(
        np.abs(np.array(image)[20, 20].astype(int) - color).max() < 6
        for image, color in zip(page.images, expected, strict=True)
    )
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_the_picture(report: Report, tmp_path: Path) -> None:
    report.save(tmp_path / "r.png")
    sheet = np.array(Image.open(tmp_path / "r.png"))
    for level in (0, 90, 250):
        for i in range(3):
            assert (sheet == (level, 10 * i, 200)).all(2).sum() == 64 * 48
    assert (sheet[:140] == 0).all(2).sum() > 200  # words


def test_a_report_replaces_another_or_nothing(report: Report, tmp_path: Path) -> None:
    (tmp_path / "r.html").write_text("old")
    broken = Report("x", [Line("auc", None, "", "")], {})  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        broken.save(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text() == "old"
    report.save(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_pictures_stand_from_best_to_worst(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty pictures, all of them and as if they were too many; the true colours of one are sure to be far off."""
    for i in range(20):
        gray = np.tile(np.linspace(60, 200, 48, dtype=np.uint8), (32, 1))
        rgb = np.stack([gray, gray, gray], axis=2)
        if i == 13:  # no network paints a ramp in pure magenta: gray is nearer to it than green or blue
            rgb[..., 1] = 0
        Image.fromarray(rgb).save(tmp_path / f"{i:02}.png")

    def sections(name: str) -> dict[str, list[tuple[str, float]]]:
        fastcolor.evaluate("default", tmp_path, report=tmp_path / "out" / name, device="cpu")
        parts = (tmp_path / "out" / name).read_text(encoding="utf-8").split("<h2>")[1:]
        found = {}
        for part in parts:
            captions = [caption.split("</figcaption>")[0] for caption in part.split("<figcaption>")[1:]]
            found[part.split(":")[0]] = [
                (caption.split("<br>")[0], float(caption.split("<br>")[1].removesuffix(" dB"))) for caption in captions
            ]
        return found

    ((heading, whole),) = sections("whole.html").items()
    assert heading.startswith("Pictures from best to worst") and len({name for name, _ in whole}) == 20
    gains = [gain for _, gain in whole]
    assert gains == sorted(gains, reverse=True)
    monkeypatch.setattr("fastcolor.evaluation.meter._MANY", 6)
    best, worst = sections("parts.html").values()
    assert [gain for _, gain in best] == gains[:6] and [gain for _, gain in worst] == gains[-6:]


def test_the_title_is_the_command_that_measures_the_same() -> None:
    options = EvaluateOptions("net.pth", "a.zip", saturation=0.5, size=128, limit=1, prior="imagenet", probes=True)
    assert _title(options, ["net.pth"], "torch cpu float32") == (
        "fastcolor evaluate net.pth a.zip --saturation 0.5 --detail 128 --limit 1 --prior imagenet --probes "
        "(torch cpu float32)"
    )


def test_from_the_command_line(tmp_path: Path) -> None:
    patches = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    Image.fromarray(patches).save(tmp_path / "a.png")
    command = [sys.executable, "-m", "fastcolor", "evaluate", "default", str(tmp_path), "--report"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(tmp_path / "r.html")], capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and not done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "dB   PSNR of 8-bit sRGB, peak 255" in lines["psnr_rgb"] and "%    AuC: share of pixels" in lines["auc"]
    assert (tmp_path / "r.html").stat().st_size > 2000
    wrong = subprocess.run([*command, "r.pdf"], capture_output=True, text=True, env=environment)
    assert wrong.returncode == 2 and wrong.stderr.startswith("fastcolor: report: must end in one of")
