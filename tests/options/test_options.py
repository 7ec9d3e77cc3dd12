"""Options: each defined once, and the same on the command line, as a keyword argument and in its check."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch

import fastcolor
from fastcolor.models import named
from fastcolor.options.base import meanings, seconds
from fastcolor.options.batch import BatchOptions
from fastcolor.options.film import Films, VideoOptions
from fastcolor.options.look import Look
from fastcolor.options.pictures import ColorizeOptions, Pictures
from fastcolor.options.project import shots_of

ROOM = Path(fastcolor.__file__).parent
FILM = VideoOptions("gray.mp4", "colour.mp4")


@pytest.mark.parametrize(("function", "options"), [("video", VideoOptions), ("colorize", Look)])
def test_a_function_takes_the_fields_as_arguments(function: str, options: type) -> None:
    called = getattr(fastcolor, function)
    found = inspect.signature(called).parameters
    for field in fields(options):
        assert found[field.name].default == field.default or field.name in ("src", "dst")
        assert found[field.name].annotation == get_type_hints(options)[field.name]
        assert f"    {field.name}: {meanings(options)[field.name]}" in called.__doc__
    assert "Example:" in called.__doc__
    with pytest.raises(TypeError, match="colour_it"):
        called("a.png", "b.png", colour_it=True)


def test_each_field_is_written_once() -> None:
    sources = {path: path.read_text() for path in ROOM.rglob("*.py") if "bench" not in path.parts}
    for definition in ("hardware: Literal", "class VideoOptions", "temporal: Literal", "film_format: str"):
        holders = [str(path.relative_to(ROOM)) for path, text in sources.items() for _ in range(text.count(definition))]
        assert len(holders) == 1 and holders[0].startswith("options/"), (definition, holders)
    for kind in (VideoOptions, ColorizeOptions, BatchOptions):
        assert issubclass(kind, Look)
    assert issubclass(BatchOptions, Films) and issubclass(BatchOptions, Pictures)


@pytest.mark.parametrize("kind", [VideoOptions, ColorizeOptions, BatchOptions])
def test_every_field_says_what_it_means_on_one_line(kind: type) -> None:
    assert set(meanings(kind)) == {field.name for field in fields(kind)}
    for name, said in meanings(kind).items():
        if name == "weights":  # which lists all names there are
            said = said.replace(", ".join(named.names()[:-1]), "")
        assert len(said) <= 130 and said.endswith("."), said


def test_the_names_of_weights_in_help_are_all_there_are() -> None:
    said = meanings(Look)["weights"]
    assert all(name in said for name in named.names())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"temperature": 11.0}, "temperature: must be 0 or lie in 0.001..10, got 11"),
        ({"temperature": float("nan")}, "temperature: must be 0 or lie in 0.001..10, got nan"),
        ({"saturation": -1}, "saturation: must lie in 0..10, got -1"),
        ({"engine": "fast"}, "engine: must be one of auto, torch, onnx, openvino, tensorrt, got 'fast'"),
        ({"temporal": "x"}, "temporal: must be one of off, fast, flow, got 'x'"),
        ({"start": -1.0}, "start: must be seconds, 0 or more, got -1"),
        ({"end": float("inf")}, "end: must be seconds, 0 or more, got inf"),
        ({"start": 2.0, "end": 1.0}, "end: must come after start, got 2 to 1"),
        ({"preview": True, "end": 3.0}, "end: must be left out with preview, which takes ten seconds from the middle"),
        ({"fast": True, "lossless": True}, "fast and lossless exclude each other"),
        ({"saturation": "2"}, "saturation: must be a number, got '2'"),
        ({"saturation": None}, "saturation: must be a number, got None"),
        ({"saturation": True}, "saturation: must be a number, got True"),
        ({"start": 10**400}, f"start: must be a number, got 1{79 * '0'}..."),
        ({"temperature": 10**5000}, "temperature: must be a number, got a value too long to be shown"),
        ({"size": 256.0}, "size: must be a whole number, got 256.0"),
        ({"size": "256"}, "size: must be a whole number, got '256'"),
        ({"crf": 10**30}, f"crf: must be a whole number, got 1{30 * '0'}"),
        ({"resume": "no"}, "resume: must be True or False, got 'no'"),
        ({"overwrite": None}, "overwrite: must be True or False, got None"),
        ({"overwrite": torch.ones(2)}, "overwrite: must be True or False, got tensor([1., 1.])"),
        ({"temporal": torch.ones(2)}, "temporal: must be one of off, fast, flow, got tensor([1., 1.])"),
        ({"temporal": np.array(["off"])}, "temporal: must be one of off, fast, flow, got array(['off']"),
        ({"saturation": torch.ones(2)}, "saturation: must be a number, got tensor([1., 1.])"),
    ],
)
def test_what_is_out_of_range_is_one_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        replace(FILM, **change).check()
    assert str(refused.value).startswith(sentence)
    FILM.check()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"start": 10**400}, "start must be seconds, 0 or more, got 1000"),
        ({"end": True}, "end must be seconds, 0 or more, got True"),
        ({"saturation": 10**400}, "saturation: must be a number, got 1000"),
        ({"saturation": None}, "saturation: must be a number, got None"),
        ({"temperature": "warm"}, "temperature: must be a number, got 'warm'"),
        ({"references": [["a.jpg", 10**400]]}, "references: weight must be above 0 and at most 1, got 1000"),
        ({"key_frames": {"1_05": "a.jpg"}}, "key_frames: must name a time in seconds or [HH:]MM:SS, got '1_05="),
    ],
)
def test_what_a_project_says_is_checked_as_options_are(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as refused:
        shots_of([{"start": 0, "end": 100, **change}], tmp_path, "project: p.json")
    assert str(refused.value).startswith(f"project: p.json, shot 1: {sentence}")


@pytest.mark.parametrize(
    ("words", "value"),
    [("2.5", 2.5), ("0:02", 2), ("1:30", 90), ("1:02:03.5", 3723.5), ("90:00", 5400), ("-3", -3), ("00:00:07", 7)],
)
def test_times_as_film_people_write_them(words: str, value: float) -> None:
    assert seconds(words) == value


@pytest.mark.parametrize(
    "words", ["", "x", "1:2", "1_05", 400 * "9" + ":00", "1:60", "1:2:03:04", "-1:00", "1.5:00", "1:99:00", "1::00"]
)
def test_other_times_are_refused(words: str) -> None:
    with pytest.raises(ValueError):
        seconds(words)
