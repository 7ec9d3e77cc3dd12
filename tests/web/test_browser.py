"""The page in Chromium, as a person uses it: files dropped, colours looked at and corrected, files exported."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from film_clips import frames_of, packets_of, two_shots
from page_server import Server, serving
from PIL import Image
from test_study import material

import fastcolor
from fastcolor.engines.files import kept_path, shipped_path
from fastcolor.models import weights
from fastcolor.options.pictures import ColorizeOptions
from fastcolor.pictures.files import colorize_files

playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser (fastcolor[test] has it)")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium, in which the page is tried, is not installed (apt-get install chromium)"
)
DEMO = Path(__file__).parents[2] / "bench" / "demo"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving("serve", "--engine", "torch", temporary=tmp_path_factory.mktemp("browser") / "tmp") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        options = ["--no-sandbox"] if os.getuid() == 0 else []
        found = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        yield found
        found.close()


@pytest.fixture
def page(server: Server, browser: playwright.Browser) -> Iterator[playwright.Page]:
    """A fresh page on the server; whatever it complains of or asks of other hosts fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 860}, accept_downloads=True)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("request", lambda asked: None if asked.url.startswith((server.base, "blob:")) else wrong.append(asked.url))
    page.goto(server.address)
    yield page
    context.close()
    assert not wrong


_DROP = """files => {
  const held = new DataTransfer();
  for (const [name, text] of files) {
    held.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
  }
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: held, bubbles: true, cancelable: true }));
  }
}"""


def drop(page: playwright.Page, paths: list[Path]) -> None:
    """Let go of files over the page."""
    page.evaluate(_DROP, [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths])


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def seen(page: playwright.Page) -> np.ndarray:
    """What the stage shows."""
    page.wait_for_timeout(100)
    return np.asarray(Image.open(io.BytesIO(page.locator("#stage").screenshot())).convert("RGB")).astype(int)


def color(pixels: np.ndarray) -> float:
    return float(np.ptp(pixels, axis=2).mean())


def painted(page: playwright.Page, act: Callable[[], None]) -> None:
    """Do something that paints, and wait until it is shown."""
    stage = page.locator("#stage")
    before = stage.get_attribute("data-painted")
    act()
    until(lambda: stage.get_attribute("data-painted") != before)


def download_of(page: playwright.Page) -> Path:
    """What the export of the opened picture gives."""
    with page.expect_download() as download:
        page.locator("#export").click()
    return Path(download.value.path())


def slide(page: playwright.Page, control: str, value: float) -> None:
    page.locator(control).fill(str(value))


@pytest.mark.usefixtures("one_thread")  # as the server has: bits depend on it
def test_ten_pictures_are_coloured_compared_corrected_and_exported(page: playwright.Page, tmp_path: Path) -> None:
    files = []
    for name in ("coffee", "astronaut", "chelsea", "rocket"):
        Image.open(DEMO / f"{name}.jpg").convert("L").save(tmp_path / f"{name}.png")
        files.append(tmp_path / f"{name}.png")
    for number in range(6):
        part = Image.open(files[0]).crop((20 * number, 0, 200 + 20 * number, 120))
        part.save(tmp_path / f"part-{number}.png")
        files.append(tmp_path / f"part-{number}.png")
    drop(page, files)
    ready = page.locator("#grid li.ready")
    until(lambda: page.evaluate("fetch('api/items').then(r => r.json()).then(items => items.length)") == 10, 60)
    page.reload()  # in the midst of it, when all have been sent
    until(lambda: ready.count() == 10, 60)
    names = page.locator("#grid .name").all_inner_texts()
    assert sorted(names) == sorted(path.name for path in files)
    for card in ready.all():
        until(lambda card=card: card.locator("img").evaluate("image => image.complete && image.naturalWidth") > 0)
        card.scroll_into_view_if_needed()
        shown = Image.open(io.BytesIO(card.locator("img").screenshot())).convert("RGB")
        assert color(np.asarray(shown).astype(int)) > 4, card.inner_text()
    assert page.locator("#count").inner_text() == "10 in colour"

    page.get_by_role("button", name="coffee.png", exact=False).click()
    slide(page, "#split", 100)
    gray = seen(page)
    slide(page, "#split", 0)
    colour = seen(page)
    assert color(gray) < 1 < 10 < color(colour)
    slide(page, "#split", 50)
    half = seen(page)
    middle = half.shape[1] // 2
    assert (half[:, : middle - 4] == gray[:, : middle - 4]).all()
    assert (half[:, middle + 4 :] == colour[:, middle + 4 :]).all()
    slide(page, "#split", 0)

    painted(page, lambda: slide(page, "#saturation", 0))
    assert color(seen(page)) < 2
    painted(page, lambda: page.get_by_role("button", name="As the network likes it").click())
    assert np.abs(seen(page) - colour).mean() < 0.5

    page.get_by_role("button", name="Set colours").click()
    slide(page, "#color", "#1040e0")
    box = page.locator("#stage").bounding_box()
    assert box is not None
    x, y = 0.7 * box["width"], 0.25 * box["height"]
    painted(page, lambda: page.mouse.click(box["x"] + x, box["y"] + y))
    around = (slice(int(y) + 14, int(y) + 30), slice(int(x) - 10, int(x) + 10))
    blue = (seen(page) - colour)[around].mean((0, 1))
    assert blue[2] - blue[0] > 20
    swatches = page.locator("#swatches button")
    until(lambda: swatches.count() >= 2)
    painted(page, swatches.first.click)
    assert page.locator("#marks ellipse").get_attribute("fill") != "#1040e0"
    painted(page, lambda: page.keyboard.press("Control+z"))
    painted(page, lambda: page.get_by_role("button", name="Undo").click())
    assert page.locator("#marks ellipse").count() == 0 and np.abs(seen(page) - colour).mean() < 1
    painted(page, lambda: page.get_by_role("button", name="Redo").click())
    page.reload()  # hints stay
    page.get_by_role("button", name="coffee.png", exact=False).click()
    until(lambda: page.locator("#marks ellipse").count() == 1)
    painted(page, lambda: page.get_by_role("button", name="Remove all").click())
    slide(page, "#split", 0)
    assert np.abs(seen(page) - colour).mean() < 1

    Image.merge("RGB", Image.open(download_of(page)).split()[::-1]).save(tmp_path / "blue.png")
    page.locator("#guide-file").set_input_files(str(tmp_path / "blue.png"))
    until(page.get_by_text("It shows the same").is_visible)
    page.wait_for_timeout(300)
    assert np.abs(seen(page) - colour).mean() > 5
    painted(page, page.locator("#guide-off").click)
    assert np.abs(seen(page) - colour).mean() < 1

    slide(page, "#saturation", 1.5)
    with page.expect_download() as download:  # at once, before it is painted
        page.locator("#export").click()
    assert download.value.suggested_filename == "coffee.png"
    options = ColorizeOptions(inputs=(files[0],), output=str(tmp_path / "ours.png"), engine="torch", saturation=1.5)
    colorize_files(options)
    assert Path(download.value.path()).read_bytes() == (tmp_path / "ours.png").read_bytes()

    page.get_by_role("button", name="Again").click()
    page.locator("#order").select_option("again")
    until(lambda: page.locator("#grid .name").first.inner_text() == "coffee.png")
    assert page.locator("#csv").is_visible()

    page.set_viewport_size({"width": 390, "height": 844})  # a phone
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()
    assert page.evaluate("document.activeElement.className") == "open"  # back on the picture's card
    page.keyboard.press("Enter")  # which the keyboard opens
    assert page.locator("#viewer").is_visible()
    painted(page, lambda: [page.locator("#hint-mode").press("Enter"), page.locator("#stage").press("Enter")])
    assert page.locator("#marks ellipse").count() == 1
    page.locator("#remove").click()
    until(lambda: page.locator("#grid li").count() == 9)


def test_a_film_is_shown_its_shots_edited_and_exported(page: playwright.Page, tmp_path: Path) -> None:
    src = two_shots(tmp_path / "family.mp4")
    Image.open(DEMO / "coffee.jpg").resize((120, 80)).save(tmp_path / "still.png")
    drop(page, [src, tmp_path / "still.png"])
    card = page.locator("#grid li.ready", has_text="family.mp4")
    until(lambda: card.count() == 1, 60)
    card.locator("button").click()
    screen = page.locator("#screen")
    until(lambda: screen.evaluate("screen => screen.width") == 96)

    def shown() -> np.ndarray:
        page.wait_for_timeout(100)
        return np.asarray(Image.open(io.BytesIO(screen.screenshot())).convert("RGB")).astype(int)

    slide(page, "#split", 100)
    gray = shown()
    slide(page, "#split", 0)
    colour = shown()
    assert color(gray[:, :-12]) < 4 and color(colour[:, 12:]) > color(gray[:, :-12]) + 2
    page.get_by_role("button", name="Play").click()
    until(lambda: float(page.locator("#time").input_value()) > 0.3)
    page.reload()
    page.get_by_role("button", name="family.mp4").click()
    page.get_by_role("button", name="Find its shots").click()
    shots = page.locator("#shots button")
    until(lambda: shots.count() == 3, 60)  # the whole film, and two
    shots.nth(2).click()
    slide(page, "#saturation", 0)
    until(lambda: "own colours" in shots.nth(2).inner_text())
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as project").click()
    project = json.loads(Path(download.value.path()).read_text())
    assert [shot["saturation"] for shot in project["shots"]] == [1, 0]
    shots.nth(1).click()
    page.get_by_role("button", name="Set colours").click()
    slide(page, "#color", "#1040e0")
    slide(page, "#radius", 0.12)
    marks = page.locator("#film-marks ellipse")

    def marked() -> bool:  # it is clicked in vain until this shot is shown
        if marks.count() == 0:
            screen.click(position={"x": 40, "y": 30})
        return marks.count() == 1

    until(marked)
    until(lambda: "hints 1" in shots.nth(1).inner_text())
    page.get_by_role("button", name="Undo").click()
    assert marks.count() == 0 and "hints" not in shots.nth(1).inner_text()
    page.keyboard.press("Control+Shift+z")
    assert marks.count() == 1
    save = page.get_by_role("button", name="Save this frame")

    def frame() -> Path | None:
        try:
            with page.expect_download(timeout=1000) as download:
                save.click()
        except playwright.TimeoutError:
            return None
        return Path(download.value.path())

    found = [None]
    until(lambda: [found.append(frame()), found[-1] is not None][1])
    halves = np.stack([np.asarray(Image.open(found[-1])) // 2] * 3, -1)
    halves[:, :48, 2] += 127  # blue on the left
    halves[:, 48:, 0] += 60
    Image.fromarray(halves).save(tmp_path / "k.png")
    page.locator("#key-file").set_input_files(str(tmp_path / "k.png"))
    until(lambda: "key frames 1" in shots.nth(1).inner_text())
    until(lambda: page.locator("#facts").inner_text().find("preview") < 0)
    page.reload()
    page.get_by_role("button", name="family.mp4").click()
    shots.nth(1).click()
    until(lambda: marks.count() == 1 and page.locator("#key-frames li").count() == 1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as project").click()
    assert download.value.suggested_filename == "family.zip"
    page.locator("#open-project").set_input_files(
        {"name": "family.zip", "mimeType": "application/zip", "buffer": Path(download.value.path()).read_bytes()}
    )
    until(lambda: not page.locator("#hints").is_visible())  # the whole film is shown again
    assert "hints 1" in shots.nth(1).inner_text() and "key frames 1" in shots.nth(1).inner_text()
    shots.nth(2).click()
    came: dict[str, Path] = {}
    page.on("download", lambda found: came.update({found.suggested_filename: Path(found.path())}))
    slide(page, "#saturation", 0.05)
    slide(page, "#saturation", 0)
    page.locator("#export").click()  # at once, before its preview begins
    until(lambda: page.locator("#progress").is_visible())
    page.get_by_role("button", name="still.png").click()
    page.locator("#export").click()  # the second while the first is at work
    until(lambda: [page.wait_for_timeout(20), len(came) == 2][1], 60)
    assert set(came) == {"family.mp4", "still.png"}
    colours = [color(frame.to_ndarray(format="rgb24").astype(int)) for frame in frames_of(came["family.mp4"])]
    left = frames_of(came["family.mp4"])[6].to_ndarray(format="rgb24").astype(int)[:, :44]
    assert (left[..., 2] - left[..., 0]).mean() > 40  # as the key frame says
    assert len(colours) == 24 and min(colours[2:10]) > 3 > max(colours[14:22])
    assert packets_of(came["family.mp4"])[1] == packets_of(src)[1]
    until(lambda: not page.locator("#progress").is_visible())


def test_a_study_from_the_first_pair_to_the_result(browser: playwright.Browser, tmp_path: Path) -> None:
    material(tmp_path)
    arguments = ["study", tmp_path / "photographs", tmp_path / "dull", "--database", tmp_path / "s.sqlite"]
    with serving(*arguments, "--trials", 4, "--practice", 1, temporary=tmp_path / "tmp") as server:
        server.client()  # it is up
        page = browser.new_page()
        page.goto(server.address)
        page.get_by_role("button", name="Begin").click()
        for number in range(5):
            if number == 3:
                page.reload()  # a closed tab loses nothing
            show = page.get_by_role("button", name="Show the pair")
            until(show.is_enabled)
            show.press("Enter")
            if number == 3:  # in the midst of it too, but then it was seen twice
                page.locator("#pair.shown").wait_for()
                page.reload()
                until(show.is_enabled)
                show.press("Enter")
            left = page.get_by_role("button", name="The left one is recoloured")
            until(left.is_visible)
            assert page.locator("#pair img").first.evaluate("image => getComputedStyle(image).visibility") == "hidden"
            page.keyboard.press("ArrowLeft")
            if number == 0:
                until(lambda: page.locator("#told").inner_text() != "")
        until(page.get_by_text("Thank you").is_visible)
        page.get_by_role("link", name="What came of it so far").click()
        until(page.locator("svg.plot").is_visible)
        page.get_by_text("1 person, 4 answers that count, 1 left out").wait_for()
        page.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "s.sqlite")) as answers:
        times = [ms for (ms,) in answers.execute("SELECT ms FROM display WHERE ms IS NOT NULL")]
        assert answers.execute("SELECT number FROM display WHERE ms IS NULL").fetchall() == [(3,)]
        assert answers.execute("SELECT count(*) FROM trial WHERE answer = 'left'").fetchone() == (5,)
    assert len(times) == 5 and 950 <= min(times) and np.median(times) < 1300


@pytest.fixture(scope="module")
def portable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Callable[[], None]]]:
    """An exported page on a plain web server: its address, and what switches the server off."""
    from fastcolor.options.portable import PortableOptions
    from fastcolor.web.export import web_export

    folder = tmp_path_factory.mktemp("portable")
    try:
        files = web_export(PortableOptions(out=folder / "int8", hints=True))
        web_export(PortableOptions(out=folder / "fp32", precision="fp32"))
    except ValueError as error:
        pytest.skip(f"ONNX Runtime Web cannot be had here: {error}")
    assert sum(files.values()) < 25e6 and not (folder / "fp32" / "features.onnx").exists()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    host = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=host.serve_forever)
    thread.start()

    def off() -> None:
        host.shutdown()
        host.server_close()

    yield f"http://127.0.0.1:{host.server_port}/", off
    off()
    thread.join()


def test_the_page_without_a_server_follows_a_hint(
    browser: playwright.Browser, portable: tuple[str, Callable[[], None]], tmp_path: Path
) -> None:
    image = Image.open(DEMO / "coffee.jpg").convert("L")
    image.save(tmp_path / "coffee.png")
    context = browser.new_context(service_workers="block")  # which would fetch all files beforehand
    page = context.new_page()
    wrong: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.goto(f"{portable[0]}int8/")
    page.locator("#files").set_input_files(str(tmp_path / "coffee.png"))
    page.locator("#grid li.ready button").click(timeout=60000)
    stage, marks = page.locator("#stage"), page.locator("#marks span:not(.cross)")

    def shown() -> np.ndarray:
        data = page.evaluate("document.getElementById('after').toDataURL().split(',')[1]")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)

    before = shown()
    page.get_by_role("button", name="Set colours").click()
    slide(page, "#color", "#1040e0")
    slide(page, "#radius", 0.05)
    assert "net.onnx" in asked and "features.onnx" not in asked  # what nobody needs is not fetched
    box = stage.bounding_box()
    x, y = 0.8, 0.3  # of the picture, which is as high as the stage and lies in its middle
    left = (box["width"] - box["height"] * 1.5) / 2
    painted(page, lambda: stage.click(position={"x": left + x * box["height"] * 1.5, "y": y * box["height"]}))
    hinted = shown()
    blue = [(one[110:130, 470:490, 2] - one[110:130, 470:490, 0]).mean() for one in (before, hinted)]
    assert blue[1] > max(blue[0], 0) + 60, blue
    colorizer = fastcolor.Colorizer(engine="torch")
    told = [fastcolor.Hint(x, y, "#1040e0", radius=0.05)]
    difference = np.abs(hinted - np.asarray(colorizer.colours(colorizer.features(image), told)))
    assert difference.mean() < 2 < np.abs(hinted - before).mean()
    assert marks.count() == 1 and page.locator("#status").inner_text() == "" and "colours.onnx" in asked
    painted(page, page.get_by_role("button", name="Undo").click)
    assert marks.count() == 0 and np.array_equal(shown(), before)
    painted(page, lambda: page.keyboard.press("Control+Shift+z"))
    assert np.array_equal(shown(), hinted)
    stage.press("ArrowRight")
    painted(page, lambda: stage.press("Enter"))  # at the cross
    assert marks.count() == 2
    context.close()
    assert not wrong


def test_the_page_without_a_server_paints_as_the_package_does_and_offline(
    browser: playwright.Browser, portable: tuple[str, Callable[[], None]], tmp_path: Path
) -> None:
    address, off = portable
    pictures = {}
    for name in ("coffee", "chelsea"):
        pictures[name] = Image.open(DEMO / f"{name}.jpg").convert("L")
    odd = np.tile(np.arange(200, dtype=np.uint8)[:, None, None], (1, 331, 1)) + np.array([0, 12, 40], np.uint8)
    pictures["odd"] = Image.fromarray(odd)  # of an odd size, and tinted
    for name, image in pictures.items():
        image.save(tmp_path / f"{name}.png")
    page = browser.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith((address, "blob:")) else wrong.append(asked.url))

    def coloured(name: str) -> np.ndarray:
        page.locator("#files").set_input_files(str(tmp_path / f"{name}.png"))
        page.locator("#grid li.ready", has_text=f"{name}.png").last.locator("button").click(timeout=60000)
        with page.expect_download() as download:
            page.get_by_role("button", name="Save as PNG").click()
        assert download.value.suggested_filename == f"{name}-coloured.png"
        return np.asarray(Image.open(download.value.path()).convert("RGB")).astype(int)

    page.goto(f"{address}fp32/")
    exact = fastcolor.Colorizer(kept_path(weights.load("default"), "fp32"), engine="onnx")
    for name, image in pictures.items():
        theirs = coloured(name)
        assert color(theirs) > 5 and np.abs(theirs - np.asarray(exact(image))).max() <= 2, name
    assert not page.locator("#hints").is_visible()  # nobody asked for them there
    painted(page, lambda: slide(page, "#saturation", 0))
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as PNG").click()
    assert color(np.asarray(Image.open(download.value.path()).convert("RGB")).astype(int)) < 0.1

    # INT8 rounds: of L that differs by 1e-5 the package itself makes colours that differ by 3 here and there.
    page.goto(f"{address}int8/")
    rounded = fastcolor.Colorizer(shipped_path(weights.load("default")), engine="onnx")
    difference = np.abs(coloured("coffee") - np.asarray(rounded(pictures["coffee"])))
    assert difference.max() <= 4 and (difference > 2).mean() < 1e-3

    until(lambda: len(page.evaluate("navigator.serviceWorker.ready.then(() => caches.keys())")) == 2)
    off()  # no network from here on
    page.reload()
    assert color(coloured("chelsea")) > 5
    page.close()
    assert not wrong
