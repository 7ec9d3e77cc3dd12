"""The page in Chromium, as a person uses it: files dropped, colours looked at and corrected, files exported."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
import zipfile
from pathlib import Path

import numpy as np
import pytest
from film_clips import frames_of, packets_of, two_shots
from page_browser import color, download_of, drop, drop_on, painted, seen, slide, until
from page_server import Server, serving
from PIL import Image
from test_study import material

from fastcolor.options.pictures import ColorizeOptions
from fastcolor.pictures.files import colorize_files
from fastcolor.web.study.result import SHOWN, TOLERANCE

playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser (fastcolor[test] has it)")
DEMO = Path(__file__).parents[2] / "bench" / "demo"


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
    until(lambda: page.evaluate("fetch('api/items').then(r => r.json()).then(items => items.length)") == 10)
    page.reload()  # in the midst of it, when all have been sent
    until(lambda: ready.count() == 10)
    names = page.locator("#grid .name").all_inner_texts()
    assert sorted(names) == sorted(path.name for path in files)
    page.locator("#order").select_option("name")
    by_name = page.locator("#grid .name").all_inner_texts()
    assert by_name == sorted(names, key=str.casefold)
    page.locator("#order").select_option("came")
    assert page.locator("#grid .name").all_inner_texts() == names
    for card in ready.all():
        until(lambda card=card: card.locator("img").evaluate("image => image.complete && image.naturalWidth") > 0)
        card.scroll_into_view_if_needed()
        shown = Image.open(io.BytesIO(card.locator("img").screenshot())).convert("RGB")
        assert color(np.asarray(shown).astype(int)) > 4, card.inner_text()
    assert page.locator("#count").inner_text() == "10 in colour"

    page.get_by_role("button", name="coffee.png", exact=False).click()
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")  # each column scrolls by itself
    for part in ("#stage", "#close", '#grid [aria-current="true"]'):
        box = page.locator(part).bounding_box()
        assert box is not None and 0 <= box["y"] < box["y"] + min(box["height"], 100) <= 860, part
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
    page.evaluate(
        "() => { window.fetch = () => Promise.reject(new TypeError('Failed to fetch')); }"
    )  # the server is gone
    painted(page, lambda: slide(page, "#saturation", 1.2))
    assert "The server does not answer" in page.locator("#status").inner_text()
    page.reload()  # hints stay
    page.get_by_role("button", name="coffee.png", exact=False).click()
    until(lambda: page.locator("#marks ellipse").count() == 1)
    other = {"name": "other.json", "mimeType": "application/json", "buffer": b'{"version": 1, "hints": []}'}
    page.locator("#open-project").set_input_files(other)
    until(lambda: page.locator("#marks ellipse").count() == 0)
    painted(page, lambda: page.get_by_role("button", name="Undo").click())  # what a project replaced is not lost
    assert page.locator("#marks ellipse").count() == 1
    painted(page, lambda: page.get_by_role("button", name="Remove all").click())
    slide(page, "#split", 0)
    assert np.abs(seen(page) - colour).mean() < 1

    Image.merge("RGB", Image.open(download_of(page)).split()[::-1]).save(tmp_path / "blue.png")
    for act in (  # dropped on the picture, and chosen
        lambda: drop_on(page.locator("#stage"), tmp_path / "blue.png"),
        lambda: page.locator("#guide-file").set_input_files(str(tmp_path / "blue.png")),
    ):
        act()
        until(page.get_by_text("It shows the same").is_visible)
        page.wait_for_timeout(300)
        assert np.abs(seen(page) - colour).mean() > 5
        page.get_by_role("button", name="Set colours").click()
        page.locator("#stage").click(position={"x": x, "y": y})
        page.get_by_role("button", name="Set colours").click()
        page.get_by_text("without hints beside them").wait_for()
        painted(page, lambda: page.get_by_role("button", name="Undo").click())  # as all that is said
        assert np.abs(seen(page) - colour).mean() < 1 and not page.locator("#guide-off").is_visible()
        painted(page, lambda: page.get_by_role("button", name="Redo").click())
        assert np.abs(seen(page) - colour).mean() > 5
        page.get_by_role("button", name="Save as project").click()
        page.get_by_text("the other picture's colours are not in it").wait_for()
        painted(page, page.locator("#guide-off").click)
        assert np.abs(seen(page) - colour).mean() < 1
    assert page.locator("#grid li").count() == 10

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
    until(page.locator("#csv").is_visible)

    assert page.locator("#previous").is_disabled()
    page.locator("#next").press("Enter")  # by the keyboard from one to the next
    assert page.locator("#viewer-name").inner_text() != "coffee.png"
    assert page.evaluate("document.activeElement.id") == "next"
    page.locator("#previous").press("Enter")
    assert page.locator("#viewer-name").inner_text() == "coffee.png"

    page.set_viewport_size({"width": 390, "height": 844})  # a phone
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()
    assert page.evaluate("document.activeElement.className") == "open"  # back on the picture's card
    page.keyboard.press("Enter")  # which the keyboard opens
    assert page.locator("#viewer").is_visible()
    painted(page, lambda: [page.locator("#hint-mode").press("Enter"), page.locator("#stage").press("Enter")])
    assert page.locator("#marks ellipse").count() == 1
    asked: list[str] = []
    page.once("dialog", lambda dialog: [asked.append(dialog.message), dialog.dismiss()])
    page.locator("#remove").click()
    assert asked == ["Remove coffee.png, and what you said of it?"] and page.locator("#viewer").is_visible()
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#remove").click()
    until(lambda: page.locator("#grid li").count() == 9)


def test_a_slider_that_moves_while_another_picture_is_looked_at_leaves_its_colours(
    page: playwright.Page, tmp_path: Path
) -> None:
    Image.open(DEMO / "coffee.jpg").convert("L").save(tmp_path / "coffee.png")
    drop(page, [tmp_path / "coffee.png"])
    until(lambda: page.locator("#grid li.ready").count() == 1)
    page.get_by_role("button", name="coffee.png", exact=False).click()
    Image.merge("RGB", Image.open(download_of(page)).split()[::-1]).save(tmp_path / "blue.png")
    page.evaluate(
        """() => {
          const send = window.fetch;
          window.fetch = async (to, how) => {
            const there = !String(to).includes("/guide?") || await new Promise((go) => { window.arrive = go; });
            if (!there) throw new TypeError("Failed to fetch");
            return send(to, how);
          };
        }"""
    )  # a large picture, long on its way

    def choose(saturation: float, *, arrives: bool) -> None:
        page.locator("#guide-file").set_input_files(str(tmp_path / "blue.png"))
        slide(page, "#saturation", saturation)
        page.wait_for_timeout(300)
        painted(page, lambda: page.evaluate("arrives => window.arrive(arrives)", arrives))

    choose(0.8, arrives=False)
    assert "The server does not answer" in page.locator("#status").inner_text()  # which painting does not wipe away
    choose(0.5, arrives=True)
    until(page.locator("#guide-off").is_visible)

    def look() -> dict[str, object]:
        found: dict[str, object] = page.evaluate("fetch('api/items').then(r => r.json())")[0]["look"]
        return found

    until(lambda: look()["saturation"] == 0.5)
    guide = look()["guide"]
    assert guide and page.locator("#saturation").input_value() == "0.5"
    painted(page, lambda: slide(page, "#saturation", 0.6))
    assert (look()["guide"], look()["saturation"]) == (guide, 0.6)


def test_what_is_not_sent_yet_is_asked_for_before_the_page_goes(page: playwright.Page, tmp_path: Path) -> None:
    held: list[playwright.Route] = []
    page.route("**/api/items?name=*", lambda route: held.append(route))
    Image.new("L", (40, 30), 90).save(tmp_path / "a.png")
    leaves = "dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    assert page.evaluate(leaves)
    drop(page, [tmp_path / "a.png"])
    until(lambda: [page.wait_for_timeout(20), len(held) == 1][1])
    assert not page.evaluate(leaves)
    held[0].continue_()
    page.locator("#grid li").wait_for()
    until(lambda: page.evaluate(leaves))


_FIND_AND_SLIDE = """() => {
  const slider = document.querySelector("#saturation");
  document.querySelector("#find-shots").click();
  slider.value = 0.9;
  slider.dispatchEvent(new Event("input"));
}"""
_LOOKS = (
    "fetch('api/items').then((r) => r.json()).then((all) => all.filter((i) => i.kind === 'film').map((i) => i.look))"
)


def with_twenty(project: Path, target: Path) -> None:
    """A saved project whose last shot has twenty references instead of one."""
    with zipfile.ZipFile(project) as archive, zipfile.ZipFile(target, "w") as other:
        for name in archive.namelist():
            content = archive.read(name)
            if name.endswith(".json"):
                told = json.loads(content)
                told["shots"][-1]["references"] *= 20
                content = json.dumps(told).encode()
            other.writestr(name, content)


def test_a_film_is_shown_its_shots_edited_and_exported(page: playwright.Page, server: Server, tmp_path: Path) -> None:
    src = two_shots(tmp_path / "family.mp4")
    Image.open(DEMO / "coffee.jpg").resize((120, 80)).save(tmp_path / "still.png")
    drop(page, [src, tmp_path / "still.png"])
    card = page.locator("#grid li.ready", has_text="family.mp4")
    until(lambda: card.count() == 1)
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
    page.get_by_role("button", name="Find its shots").wait_for()
    page.evaluate(_FIND_AND_SLIDE)  # what is said while they are found is kept, and so are they
    shots = page.locator("#shots button")
    until(lambda: page.evaluate(f"{_LOOKS}.then(([look]) => [look.saturation, look.shots.length].join())") == "0.9,2")
    until(lambda: shots.count() == 3)  # the whole film, and two
    slide(page, "#saturation", 1)
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
    page.get_by_role("button", name="Remove the frame at").click()
    assert "key frames" not in shots.nth(1).inner_text()
    drop_on(page.locator("#frame"), tmp_path / "k.png")
    until(lambda: "key frames 1" in shots.nth(1).inner_text())
    Image.effect_noise((90, 60), 90).convert("RGB").point([*range(256), *[90] * 512]).save(tmp_path / "other.png")
    drop_on(shots.nth(2), tmp_path / "other.png")  # which does not show that shot: what looks alike gets its colours
    until(lambda: "references 1" in shots.nth(2).inner_text() and shots.nth(2).get_attribute("aria-pressed") == "true")
    assert "other.png does not show this frame" in page.locator("#status").inner_text()
    page.get_by_role("button", name="Remove the other picture").click()
    assert "references" not in shots.nth(2).inner_text()
    page.get_by_role("button", name="Undo").click()
    assert "references 1" in shots.nth(2).inner_text() and page.locator("#grid li").count() == 2
    until(lambda: page.locator("#preview-told").inner_text() == "")
    page.reload()
    page.get_by_role("button", name="family.mp4").click()
    shots.nth(1).click()
    until(lambda: marks.count() == 1 and page.locator("#key-frames li").count() == 1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as project").click()
    assert download.value.suggested_filename == "family.zip"
    given: list[str] = []
    page.on("request", lambda asked: given.append(asked.url) if "/references?" in asked.url else None)
    with_twenty(Path(download.value.path()), tmp_path / "twenty.zip")
    page.locator("#open-project").set_input_files(str(tmp_path / "twenty.zip"))
    until(lambda: "references 20" in shots.nth(2).inner_text())
    shots.nth(2).click()

    def kept_references() -> list[Path]:
        return sorted(server.temporary.rglob("reference-*"))

    before = kept_references()
    for send, sent in (
        (lambda: page.locator("#reference-file").set_input_files(str(tmp_path / "other.png")), 0),
        (lambda: drop_on(shots.nth(2), tmp_path / "other.png"), 1),  # it might be a frame of the shot
    ):
        page.evaluate("document.querySelector('#status').textContent = ''")
        send()
        page.get_by_text("20 other pictures in colour are the most that a shot takes").wait_for()
        until(lambda: kept_references() == before)  # nothing is kept of what was refused
        assert "references 20" in shots.nth(2).inner_text() and len(given) == sent
    page.locator("#open-project").set_input_files(
        {"name": "family.zip", "mimeType": "application/zip", "buffer": Path(download.value.path()).read_bytes()}
    )
    until(lambda: not page.locator("#hints").is_visible())  # the whole film is shown again
    assert "hints 1" in shots.nth(1).inner_text() and "key frames 1" in shots.nth(1).inner_text()
    assert "references 1" in shots.nth(2).inner_text()
    shots.nth(2).click()
    came: dict[str, Path] = {}
    page.on("download", lambda found: came.update({found.suggested_filename: Path(found.path())}))
    slide(page, "#saturation", 0.05)
    slide(page, "#saturation", 0)
    page.locator("#export").click()  # at once, before its preview begins
    until(lambda: page.locator("#progress").is_visible())
    page.get_by_role("button", name="still.png").click()
    page.locator("#export").click()  # the second while the first is at work
    until(lambda: [page.wait_for_timeout(20), len(came) == 2][1])
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
        with contextlib.closing(sqlite3.connect(tmp_path / "s.sqlite")) as answers:
            times = [ms for (ms,) in answers.execute("SELECT ms FROM display WHERE ms IS NOT NULL ORDER BY number")]
        # That of the pair that was seen twice, and those that a busy machine showed for too long or too short a time.
        left_out = sum(number == 3 or abs(ms - SHOWN) > TOLERANCE for number, ms in enumerate(times) if number)
        page.get_by_text(f"1 person, 4 answers, {left_out} left out").wait_for()
        page.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "s.sqlite")) as answers:
        assert answers.execute("SELECT number FROM display WHERE ms IS NULL").fetchall() == [(3,)]
        assert answers.execute("SELECT count(*) FROM trial WHERE answer = 'left'").fetchone() == (5,)
    assert len(times) == 5 and 950 <= min(times) < 1300  # a busy machine shows some for longer
