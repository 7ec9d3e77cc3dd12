"""Files of hints: what they may hold, and what is said of those that hold something else."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from fastcolor import Hint
from fastcolor.options.hints import Lab, read_hints
from fastcolor.options.steering import hints_from
from fastcolor.steering.planes import planes

POINT = {"x": 0.5, "y": 0.25, "color": "#c03020"}


def written(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_file_is_the_hints_it_says(tmp_path: Path) -> None:
    entries = [
        POINT,
        {**POINT, "radius": 0.1, "strength": 0.5, "time": 3.2},
        {"points": [[0.1, 0.2], [0.3, 0.2], [0.3, 0.9]], "lab": [50, 40, -20.5]},
    ]
    hints = read_hints(written(tmp_path / "h.json", {"version": 1, "hints": entries}))
    assert hints == [
        Hint(0.5, 0.25, "#c03020"),
        Hint(0.5, 0.25, "#c03020", radius=0.1, strength=0.5, time=3.2),
        Hint(0.1, 0.2, Lab(50, 40, -20.5), points=((0.3, 0.2), (0.3, 0.9))),
    ]
    assert hints_from(hints[::2], film=False) == hints[::2]
    text = json.dumps({"version": 1, "hints": [POINT]})
    assert read_hints(written(tmp_path / "bom.json", "\ufeff" + text)) == hints[:1]  # as Windows' editors write it


def test_numbers_are_numbers_of_any_kind() -> None:
    assert Hint(np.float32(0.5), np.int64(1), tuple(np.array([1, 2, 3]))).rgb == (1, 2, 3)
    with pytest.raises(ValueError, match=r"time must be at least 0 seconds, got 10{79}\.\.\.$"):  # of no float's size
        Hint(0, 0, "#000000", time=10**400)
    with pytest.raises(ValueError, match="lab must be L in"):
        Hint(0, 0, Lab(50, "a", 0))
    for color in (None, (True, 0, 0)):
        with pytest.raises(ValueError, match=r"color must be #rrggbb or three numbers of 0 to 255, got (None|\(True)"):
            Hint(0, 0, color)
    half = Fraction(1, 2)
    assert torch.equal(*(planes([Hint(x, x, "#c03020", radius=x / 4)], (32, 32))[1] for x in (half, 0.5)))
    with pytest.raises(ValueError, match=r"points must be pairs that lie in 0\.\.1, got 5"):
        Hint(0, 0, "#000000", points=(5,))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "h.json is no JSON"),
        ([], 'must be {"version": 1, "hints": [...]}'),
        ({"hints": []}, "must be of version 1, got None"),
        ({"version": 2, "hints": []}, "must be of version 1, got 2; a newer fastcolor reads it"),
        ({"version": 1, "hints": [], "shots": []}, "holds unknown shots"),
        ({"version": 1, "hints": [POINT, 3]}, "h.json, hint 2: must be an object, got 3"),
        ({"version": 1, "hints": [{**POINT, "raduis": 1}]}, "hint 1: has unknown raduis; known are color, lab"),
        ({"version": 1, "hints": [{"y": 0.5, "color": "#c03020"}]}, "hint 1: x must lie in 0..1, got None"),
        ({"version": 1, "hints": [{**POINT, "points": [[0, 0]]}]}, "must have either x and y or points"),
        ({"version": 1, "hints": [{"points": [[0, 0, 0]], "color": "#c03020"}]}, "points must be [[x, y], ...]"),
        ({"version": 1, "hints": [{"points": [[0, 0], [0, 2]], "color": "#c03020"}]}, "pairs that lie in 0..1"),
        ({"version": 1, "hints": [{**POINT, "lab": [1, 2, 3]}]}, "must have either color or lab"),
        ({"version": 1, "hints": [{"x": 0, "y": 0, "lab": [1, 2]}]}, "lab must be [L, a, b], got [1, 2]"),
        ({"version": 1, "hints": [{"x": 0, "y": 0, "lab": [101, 2, 3]}]}, "lab must be L in 0..100"),
        ({"version": 1, "hints": [{**POINT, "x": True}]}, "x must lie in 0..1, got True"),
        ({"version": 1, "hints": [{**POINT, "color": "red"}]}, "color must be #rrggbb"),
        ({"version": 1, "hints": [{**POINT, "time": "soon"}]}, "time must be at least 0 seconds, got 'soon'"),
        (
            {"version": 1, "hints": [{**POINT, "time": 10**400}]},
            f"hint 1: time must be at least 0 seconds, got 1{79 * '0'}...",
        ),
        ('{"version": 1, "hints": ' + 90000 * "[" + 90000 * "]" + "}", "h.json is no JSON"),
        ('{"version": 1, "hints": [' + 400 * "[" + 400 * "]" + "]}", "hint 1: must be an object, got [[["),
        ('{"version": 1, "hints": [{"x": 1' + 5000 * "0" + "}]}", "h.json is no JSON"),
        ('{"version": 1, "hints": [{"x": 0, "x": 1, "y": 0, "color": "#c03020"}]}', "x stands twice in one object"),
    ],
)
def test_another_file_is_one_sentence(content: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as refused:
        read_hints(written(tmp_path / "h.json", content))
    assert words in str(refused.value) and str(refused.value).startswith("hints: ") and "\n" not in str(refused.value)
    with pytest.raises(FileNotFoundError, match="hints: no such file"):
        read_hints(tmp_path / "other.json")


def test_time_is_of_films() -> None:
    at = Hint(0.5, 0.5, "#c03020", time=1.5)
    assert hints_from([at], film=True) == [at]
    with pytest.raises(ValueError, match=r"time is of films alone, hint 2 has 1\.5"):
        hints_from([Hint(0, 0, "#000000"), at], film=False)
    with pytest.raises(ValueError, match="of films need a time in seconds, hint 1 has none"):
        hints_from([Hint(0, 0, "#000000")], film=True)


def test_a_stroke_covers_the_way_between_its_places() -> None:
    corner = ((0.75, 0.25), (0.75, 0.75))
    ab, mask = planes([Hint(0.25, 0.25, Lab(0, 30, -10), radius=0.03, points=corner)], (64, 64))
    rows, columns = (mask[0, 0] == 1).nonzero().unbind(1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (15, 49, 15, 49)
    assert mask[0, 0, 16, 16:49].all() and mask[0, 0, 16:49, 48].all() and not mask[0, 0, 32, 32]
    assert torch.equal(ab[0, :, 16, 30], torch.tensor([30.0, -10.0]))


def test_only_the_part_that_a_hint_reaches_is_looked_at_and_nothing_of_it_is_missed() -> None:
    random = np.random.default_rng(0)
    rows, columns = torch.arange(48)[:, None].float(), torch.arange(80)[None].float()
    for _ in range(40):
        (x, y), radius = random.random(2), float(random.random() ** 3)
        _, mask = planes([Hint(float(x), float(y), "#c03020", radius=radius)], (48, 80))
        distances = (rows - int(y * 48)) ** 2 + (columns - int(x * 80)) ** 2
        assert torch.equal(mask[0, 0] == 1, distances <= (radius * 48) ** 2)
