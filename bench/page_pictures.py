"""Makes the pictures of docs/serve.md: the page in Chromium, with photographs and a film, on a desk and on a phone.

`python -m bench.page_pictures` writes docs/serve-desktop.jpg, docs/serve-film.jpg and docs/serve-phone.jpg. The
photographs are of bench/demo, the film is that of bench.steered_film. It needs fastcolor[web,bench], playwright and
Chromium.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from .steered_film import make_films

ROOT = Path(__file__).parent.parent
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
SUIT = ("#c8532b", 0.2, 0.72)  # a colour, and where it is set
SAUCER = (("#2a4fae", 0.22, 0.66), ("#2a4fae", 0.8, 0.7))
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def hint(page: Any, where: str, color: str, x: float, y: float) -> None:
    """Set a colour on a picture, by parts of an element's width and height."""
    page.locator("#color").fill(color)
    box = page.locator(where).bounding_box()
    page.locator(where).click(position={"x": x * box["width"], "y": y * box["height"]})
    page.locator("#swatches button").nth(1).wait_for()


def save(page: Any, name: str, quality: int = 78) -> None:
    """The page as it is seen, small."""
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(1500)
    path = ROOT / "docs" / f"{name}.jpg"
    page.screenshot(path=path.with_suffix(".png"))
    with Image.open(path.with_suffix(".png")) as shown:
        shown.convert("RGB").save(path, quality=quality, optimize=True)
    path.with_suffix(".png").unlink()
    print(path, path.stat().st_size)


def painted(page: Any) -> None:
    """Wait for a film's preview, which begins when the sliders have rested for a while."""
    page.wait_for_timeout(3000)
    while page.locator("#preview-told").inner_text():
        page.wait_for_timeout(200)


def pictures(page: Any, name: str) -> None:
    page.locator("#files").set_input_files([ROOT / "bench" / "demo" / f"{one}.jpg" for one in PHOTOGRAPHS])
    page.locator("#grid li.ready").nth(3).wait_for(timeout=60_000)
    page.get_by_role("button", name="astronaut.jpg").click()
    page.get_by_role("button", name="Set colours").click()
    hint(page, "#canvas", *SUIT)
    save(page, name)


def film(page: Any, folder: Path) -> None:
    page.locator("#files").set_input_files([folder / "holiday 1958.mkv"])
    card = page.locator("#grid li.ready", has_text="holiday")
    card.wait_for(timeout=120_000)
    card.locator("button").click()
    page.get_by_role("button", name="Find its shots").click()
    page.locator("#shots button").nth(2).click(timeout=60_000)
    painted(page)
    page.get_by_role("button", name="Set colours").click()
    page.wait_for_timeout(1000)
    for one in SAUCER:
        hint(page, "#screen", *one)
        painted(page)
    save(page, "serve-film")


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as driver:
        folder = Path(temporary)
        make_films(folder)
        (folder / "gray.mkv").rename(folder / "holiday 1958.mkv")
        command = [sys.executable, "-m", "fastcolor", "serve"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[1]
            options = ["--no-sandbox"] if os.getuid() == 0 else []
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=options)
            for name, screen in (("serve-desktop", DESK), ("serve-phone", PHONE)):
                context = browser.new_context(**screen)
                page = context.new_page()
                page.goto(address)
                for item in page.evaluate("fetch('api/items').then((reply) => reply.json())"):
                    page.evaluate(f"fetch('api/items/{item['id']}', {{ method: 'DELETE' }})")
                pictures(page, name)
                if name == "serve-desktop":
                    film(page, folder)
                context.close()
            browser.close()
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
