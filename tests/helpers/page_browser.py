"""A page in Chromium: what a person does on it, and sees."""

from __future__ import annotations

import base64
import io
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from page_server import PATIENCE
from PIL import Image

if TYPE_CHECKING:
    from playwright import sync_api as playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def launched(kind: playwright.BrowserType, *arguments: str) -> playwright.Browser:
    """Chromium, as it is installed here."""
    options = ["--no-sandbox"] if os.getuid() == 0 else []
    return kind.launch(executable_path=CHROMIUM, args=[*options, *arguments])


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


def drop_on(target: playwright.Locator, path: Path) -> None:
    """Let go of a file over an element, as the browser itself does it."""
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    assert box is not None
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    session = target.page.context.new_cdp_session(target.page)
    for kind in ("dragEnter", "dragOver", "drop"):
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        session.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})
    session.detach()


def until(true: Callable[[], bool], seconds: float = PATIENCE) -> None:
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
