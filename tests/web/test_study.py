"""The study: what people see, that no answer is lost, and what is concluded from them."""

from __future__ import annotations

import io
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from page_server import Server, serving
from PIL import Image, ImageEnhance

from fastcolor.options.study import StudyOptions
from fastcolor.web.study.pairs import Material, prepare
from fastcolor.web.study.plan import plan
from fastcolor.web.study.result import interval, results
from fastcolor.web.study.serve import study
from fastcolor.web.study.store import Store

FACTS = {"pictures": ["a.png", "-b.png"], "digests": [["1"], ["2"]], "methods": ["m"], "colours": {"saturation": 1}}
FACTS |= {"trials": 4, "practice": 1, "seed": 0}


def test_the_plan_is_balanced_and_comes_from_its_seed() -> None:
    methods = ("a", "b", "c")
    made = plan(7, 3, 60, methods, 40, 10)
    assert made == plan(7, 3, 60, methods, 40, 10)
    assert made != plan(8, 3, 60, methods, 40, 10) and made != plan(7, 4, 60, methods, 40, 10)
    assert [trial.practice for trial in made] == [True] * 10 + [False] * 40
    counted = Counter((trial.kind, trial.method) for trial in made[10:])
    assert counted["random", None] == counted["true", None] == 4
    assert sorted(counted["method", name] for name in methods) == [10, 11, 11]
    assert {trial.fake for trial in made} == {"left", "right"}
    assert abs(sum(trial.fake == "left" for trial in made) - 25) <= 1
    assert len({trial.picture for trial in made}) == 50  # each picture once
    assert all((trial.colours is not None) == (trial.kind == "random") for trial in made)
    assert all(trial.colours != trial.picture for trial in made)
    few = plan(0, 1, 4, ("a",), 40, 10)
    assert max(Counter(trial.picture for trial in few).values()) == 13
    over_people = Counter(trial.method for person in range(3) for trial in plan(0, person, 60, methods, 40, 0))
    assert over_people["a"] == over_people["b"] == over_people["c"] == 32


def test_the_interval_covers_the_rate_that_made_the_answers() -> None:
    """People and pictures both differ; of 60 made-up studies about 95 % are to hold the true rate, 0.3."""
    draw = np.random.default_rng(1)
    person, picture = (one.ravel() for one in np.mgrid[:20, :30])
    held, widths = 0, []
    for number in range(60):
        by_person, by_picture = draw.normal(0, 0.1, 20), draw.normal(0, 0.1, 30)
        chance = np.clip(0.3 + by_person[person] + by_picture[picture], 0, 1)
        fooled = (draw.random(600) < chance).astype(float)
        low, high = interval(fooled, person, picture, seed=number, draws=500)
        held += low <= 0.3 <= high
        widths.append(high - low)
    assert held >= 53
    naive = 2 * 1.96 * np.sqrt(0.3 * 0.7 / 600)
    assert np.mean(widths) > 1.3 * naive  # answers of one person are not 30 people's


def answer(**of: Any) -> dict[str, Any]:
    usual = {"person": 1, "practice": 0, "kind": "method", "method": "m", "picture": "a", "fake": "left"}
    return {**usual, "answer": "left", "displays": 1, "shown_ms": 1000.0, **of}


def test_what_counts() -> None:
    rows = [
        answer(answer="right", picture="a"),
        answer(picture="b"),
        answer(practice=1, answer="right"),
        answer(displays=2, answer="right"),
        answer(shown_ms=1200.0, answer="right"),
        answer(kind="random", method=None),
        answer(kind="true", method=None),
        answer(kind="true", method=None, answer="right", person=2),
    ]
    told = results(rows, ["m", "unseen"])
    method, unseen = told["methods"]
    assert (method["answers"], method["fooled"], method["rate"]) == (2, 1, 0.5)
    assert unseen["rate"] is None and unseen["answers"] == 0
    assert told["random"]["rate"] == 0 and told["true"] == {"answers": 2, "left": 1}
    assert (told["people"], told["answers"], told["left_out"]) == (2, 7, 2)
    assert told["pictures"] == [{"name": "a", "methods": {"m": [1, 1]}}, {"name": "b", "methods": {"m": [0, 1]}}]
    assert results([], ["m"])["methods"][0]["rate"] is None


def test_an_answer_is_on_the_disk_at_once_and_only_once(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    store = Store(path, FACTS)
    code = store.begin("800x600@1")
    with pytest.raises(ValueError, match="after the pair was shown"):
        store.answer(code, 0, "left", 10)
    with pytest.raises(ValueError, match="after the pair's beginning"):
        store.shown(code, 0, 1001.5)
    store.begun(code, 0)
    with pytest.raises(ValueError, match="after the pair was shown"):
        store.answer(code, 0, "left", 10)
    store.shown(code, 0, 1001.5)
    assert isinstance(store.answer(code, 0, "left", 500), bool)  # practice
    with pytest.raises(LookupError, match="another pair is next"):
        store.answer(code, 0, "right", 5)
    store.begun(code, 1)  # and the page is reloaded
    store.begun(code, 1)
    store.shown(code, 1, 999)
    assert store.answer(code, 1, "right", 400) is None
    with closing(sqlite3.connect(path)) as other:  # as after a power cut: another process sees all
        assert other.execute("SELECT count(*) FROM trial WHERE answer IS NOT NULL").fetchone() == (2,)
    assert [one["displays"] for one in store.answers()] == [1, 2]
    assert any(",'-b.png," in line for line in store.csv().splitlines()[1:])
    again = Store(path, FACTS)
    assert again.state(code) == {"total": 5, "practice": 1, "done": 2}
    with pytest.raises(LookupError, match="no such person"):
        again.state("nobody")
    with pytest.raises(ValueError, match="with other seed"):
        Store(path, {**FACTS, "seed": 1})
    with pytest.raises(ValueError, match="with other colours"):
        Store(path, {**FACTS, "colours": {"saturation": 0}})
    (tmp_path / "text").write_text("no database, but long enough to be looked at" * 30)
    with pytest.raises(ValueError, match="cannot be used"):
        Store(tmp_path / "text", FACTS)
    store.close()
    again.close()
    assert [one.name for one in tmp_path.glob("s.sqlite*")] == ["s.sqlite"]


def test_refusals(tmp_path: Path) -> None:
    for name in ("true", "a", "b"):
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="must be folders"):
        study(StudyOptions(folders=(tmp_path / "no",)))
    with pytest.raises(ValueError, match="told apart by their folders' names"):
        study(StudyOptions(folders=(tmp_path / "true", tmp_path / "a", tmp_path / "a")))
    with pytest.raises(ValueError, match="two pictures in colour or more, got 0"):
        study(StudyOptions(folders=(tmp_path / "true", tmp_path / "a"), database=tmp_path / "s.sqlite"))
    assert not (tmp_path / "s.sqlite").exists()
    with pytest.raises(ValueError, match="database: must be a file, got the folder"):
        study(StudyOptions(folders=(tmp_path / "true", tmp_path / "a"), database=tmp_path))
    (tmp_path / "text").write_text("x")
    with pytest.raises(ValueError, match="database: must lie in a folder"):
        study(StudyOptions(folders=(tmp_path / "true", tmp_path / "a"), database=tmp_path / "text" / "s.sqlite"))


def test_what_is_shown_is_what_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own colours follow the options, and a study goes on only with the same pictures on both sides."""
    material(tmp_path)
    shown: list[Material] = []
    colours: list[float] = []

    def run(app: Any, *_: Any, **__: Any) -> None:
        found = shown[-1]
        colours.append(np.ptp(np.asarray(Image.open(found.path(0, found.methods[0]))).astype(int), axis=2).mean())

    def preparing(*arguments: Any) -> Material:
        shown.append(prepare(*arguments))
        return shown[-1]

    monkeypatch.setattr("fastcolor.web.study.serve.run", run)
    monkeypatch.setattr("fastcolor.web.study.pairs.prepare", preparing)
    own = {"folders": (tmp_path / "photographs",), "engine": "torch"}
    study(StudyOptions(**own, database=tmp_path / "own.sqlite"))
    study(StudyOptions(**own, database=tmp_path / "own.sqlite"))
    study(StudyOptions(**own, database=tmp_path / "gray.sqlite", saturation=0.0))
    assert colours[0] == colours[1] > 3 > colours[2]
    for changed in ({"saturation": 0.5}, {"size": 128}):
        with pytest.raises(ValueError, match="with other colours"):
            study(StudyOptions(**own, database=tmp_path / "own.sqlite", **changed))
    given = {"folders": (tmp_path / "photographs", tmp_path / "dull"), "database": tmp_path / "given.sqlite"}
    study(StudyOptions(**given))
    Image.open(tmp_path / "photographs" / "0.png").save(tmp_path / "dull" / "0.jpg")
    with pytest.raises(ValueError, match="with other digests"):
        study(StudyOptions(**given))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("study")
    material(root)
    arguments = ["study", root / "photographs", root / "dull", "--database", root / "s.sqlite"]
    with serving(*arguments, "--trials", 4, "--practice", 1, temporary=root / "tmp") as found:
        yield found


def material(root: Path) -> None:
    """Four colour pictures, and a method's results, which are dull."""
    for name in ("photographs", "dull"):
        (root / name).mkdir()
    y, x = np.mgrid[:48, :64] / 48
    for number in range(4):
        pixels = np.stack([np.sin(5 * x + number), np.cos(4 * y + number), np.sin(3 * (x + y) - number)], -1)
        image = Image.fromarray((127 + 120 * pixels).astype(np.uint8))
        image.save(root / "photographs" / f"{number}.png")
        ImageEnhance.Color(image.resize((128, 96))).enhance(0.3).save(root / "dull" / f"{number}.jpg")


def test_over_http(server: Server, tmp_path: Path) -> None:
    client = server.client()
    assert httpx.get(server.base + "api/results").status_code == 403
    person = client.post("api/people", json={"screen": "800x600@2"}).json()
    assert person["total"] == 5
    base = f"api/people/{person['code']}/pairs"
    with closing(sqlite3.connect(server.temporary.parent / "s.sqlite")) as answers:
        drawn = answers.execute("SELECT fake, kind FROM trial WHERE person = 1 ORDER BY number").fetchall()
    for number, (fake, kind) in enumerate(drawn):
        pair = {side: client.get(f"{base}/{number}/{side}.png") for side in ("left", "right")}
        left, right = (np.asarray(Image.open(io.BytesIO(pair[side].content))).astype(int) for side in pair)
        assert left.shape == right.shape == (48, 64, 3)
        other = {"left": "right", "right": "left"}[fake]
        colourfulness = {side: np.ptp(image, axis=2).mean() for side, image in (("left", left), ("right", right))}
        if kind == "method":
            assert colourfulness[fake] < 0.6 * colourfulness[other]
        assert (kind == "true") == bool((left == right).all())
        assert client.get(f"{base}/{number + 1}/left.png").status_code == 404
        assert client.post(f"{base}/{number}/answer", json={"side": fake, "ms": 1}).status_code == 422
        assert client.post(f"{base}/{number}/shown", json={"ms": 1003}).status_code == 422
        assert client.post(f"{base}/{number}/begun").status_code == 204
        assert client.post(f"{base}/{number}/shown", json={"ms": 1003}).status_code == 204
        told = client.post(f"{base}/{number}/answer", json={"side": fake, "ms": 300}).json()
        assert told["right"] is (True if number == 0 else None) and told["done"] == number + 1
    assert client.post(f"{base}/5/shown", json={"ms": 1}).status_code == 404
    result = client.get("api/results").json()
    assert result["methods"][0]["rate"] == 0 and result["random"]["rate"] == 0 and result["answers"] == 4
    table = client.get("api/answers.csv").text.splitlines()
    assert len(table) == 6 and table[0].startswith("person,number,practice,kind,method,picture,fake,answer")
    assert client.get("").status_code == client.get("results").status_code == client.get("study.js").status_code == 200
