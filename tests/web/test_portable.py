"""The page without a server, in Chromium: `fastcolor web-export` on a plain web server."""

from __future__ import annotations

import base64
import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest
from page_browser import color, launched, painted, slide, until
from PIL import Image

import fastcolor
from fastcolor.engines.files import kept_path, shipped_path
from fastcolor.models import weights

playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser (fastcolor[test] has it)")
DEMO = Path(__file__).parents[2] / "bench" / "demo"
SIDE = 96  # of what the network sees on a graphics processor, which is slow in software
ADAPTER = "(async () => Boolean(await navigator.gpu?.requestAdapter()))()"

# How often networks are asked about a gray picture, which proves nothing, while its colours are changed three times.
PROVING = """async () => {
  const { WebGpu } = await import(new URL("webgpu.js", location.href).href);
  const gray = { output: new Float32Array(128), shape: [8, 8], took: 1 };
  const gpu = new WebGpu({ kind: "regressor", saturation: 1 }, "", false);
  const one = { lightness: [], size: [8, 8], answer: gray };
  let asked = 0;
  const network = async () => ((asked += 1), gray);
  gpu.ask = network;
  for (let i = 0; i < 3; i += 1) await gpu.prove(network, one);
  return asked;
}"""


@pytest.fixture(scope="module")
def portable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Callable[[], None]]]:
    """An exported page on a plain web server: its address, and what switches the server off."""
    from fastcolor.options.portable import PortableOptions
    from fastcolor.web.export import web_export

    folder = tmp_path_factory.mktemp("portable")
    try:
        files = web_export(PortableOptions(out=folder / "int8", hints=True))
        web_export(PortableOptions(out=folder / "fp32", precision="fp32"))
        web_export(PortableOptions(out=folder / "gpu", webgpu=True))
        facts = json.loads((folder / "gpu" / "net.json").read_text())
        (folder / "gpu" / "net.json").write_text(json.dumps({**facts, "size": SIDE}))
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


def saved(page: playwright.Page, path: Path) -> np.ndarray:
    """What comes of a picture."""
    cards = page.locator("#grid li.ready")
    card = cards.nth(cards.count())
    page.locator("#files").set_input_files(str(path))
    card.wait_for(timeout=240_000)
    card.locator("button").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as PNG").click()
    assert download.value.suggested_filename == f"{path.stem}-coloured.png"
    return np.asarray(Image.open(download.value.path()).convert("RGB")).astype(int)


def test_who_has_no_graphics_processor_fetches_nothing_for_one(
    browser: playwright.Browser, portable: tuple[str, Callable[[], None]], tmp_path: Path
) -> None:
    address = f"{portable[0]}gpu/"
    Image.open(DEMO / "coffee.jpg").convert("L").resize((300, 200)).save(tmp_path / "coffee.png")
    page = browser.new_page(service_workers="block")  # which would keep the files
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.goto(address)
    if page.evaluate(ADAPTER):
        page.goto(f"{address}?engine=wasm")  # who does not want it has none
    for _ in range(2):
        assert color(saved(page, tmp_path / "coffee.png")) > 5
    assert page.evaluate(PROVING) == 3  # both twice, but for the answer that is there
    page.close()
    assert "webgpu.js" in asked and not {"webgpu.onnx", "ort.webgpu.min.mjs"} & set(asked), asked
    listed, later = httpx.get(f"{address}sw.js").text.split("const LATER")
    for name in ("webgpu.onnx", "asyncify.wasm"):  # nobody keeps what he has no use for
        assert name in later.split(";")[0] and name not in listed


@pytest.mark.skipif(os.environ.get("FASTCOLOR_LARGE") != "1", reason="half a minute in software (FASTCOLOR_LARGE=1)")
def test_a_graphics_processor_answers_as_the_package_does(
    browser: playwright.Browser, portable: tuple[str, Callable[[], None]], tmp_path: Path
) -> None:
    image = Image.open(DEMO / "coffee.jpg").convert("L").resize((300, 200))
    image.save(tmp_path / "coffee.png")
    software = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
    other = launched(browser.browser_type, *software)
    page = other.new_page(service_workers="block")
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{portable[0]}gpu/?engine=webgpu")  # even where it is slower, as in software
    if not page.evaluate(ADAPTER):
        other.close()
        pytest.skip("this Chromium has no WebGPU, not even in software")

    def used() -> bool:
        theirs.append(saved(page, tmp_path / "coffee.png"))
        page.wait_for_timeout(500)
        return "WebGPU" in page.locator("#engine").inner_text() or any("not used" in words for words in said)

    theirs: list[np.ndarray] = []
    until(used, 240)
    assert "WebGPU" in page.locator("#engine").inner_text(), said
    other.close()
    exact = np.asarray(fastcolor.Colorizer(kept_path(weights.load("default"), "fp32"), engine="onnx").at(SIDE)(image))
    assert color(exact.astype(int)) > 5 and np.abs(theirs[-1] - exact).max() <= 2


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
        return saved(page, tmp_path / f"{name}.png")

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
