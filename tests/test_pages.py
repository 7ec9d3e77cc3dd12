"""README.md, CONTRIBUTING.md and docs/: what they lead to is there, what they show runs, what they list is whole."""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex
from pathlib import Path
from typing import get_type_hints

import pytest
import torch
from test_house import ROOMS
from test_house import ROOT as PACKAGE

import fastcolor
from fastcolor import commands
from fastcolor.commands.arguments import parse

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bench/results/*.md"), ROOT / "csrc" / "README.md"]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def links(page: Path) -> set[Path]:
    return {(page.parent / link).resolve() for link in LINK.findall(page.read_text()) if "://" not in link}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    assert not [str(path) for path in links(page) if not path.exists()]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_named_in_pages_are_there(page: Path) -> None:
    named = set(re.findall(r"`([\w./]+/[\w.]+\.(?:py|pyi|cpp|cu|cuh|h|md|json|safetensors))`", page.read_text()))
    folders = [ROOT, page.parent, PACKAGE, ROOT / "csrc"]
    assert not [path for path in named if not any((folder / path).exists() for folder in folders)]


def test_every_page_is_found_from_the_first() -> None:
    found, new = set(), {ROOT / "README.md"}
    while new:
        found |= new
        new = {path for page in new if page.suffix == ".md" for path in links(page)} - found
    assert not [name(page) for page in PAGES if page not in found]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_in_pages_is_python(page: Path) -> None:
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        ast.parse(code)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_in_pages_are_understood(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = {f"fastcolor {command}": kind for command, (kind, _) in commands.table().items()}
    kinds["fastcolor-video"] = kinds["fastcolor video"]
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.splitlines():
            for program, kind in kinds.items():
                if line.startswith(f"{program} ") or line == program:
                    parse(kind, shlex.split(line.removeprefix(program), comments=True), program)


def test_options_in_pages_are_options_of_some_command() -> None:
    known = set()
    for kind, _ in commands.table().values():
        hints = get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):
            notes = getattr(hints[field.name], "__metadata__", ())
            other = [note.name for note in notes if getattr(note, "name", None)]  # tyro's, in place of the field's
            known.add("--" + (other[0] if other else field.name).replace("_", "-"))
    known |= {"--help", "--version", "--nproc-per-node"}  # the last is torchrun's
    known |= {"--device", "--count", "--rounds"}  # what bench/ takes
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]:
        text = re.sub(r"<!-- (\w+): written.*?<!-- end of \1 -->", "", page.read_text(), flags=re.DOTALL)
        assert not set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - known, page


def test_the_librarys_example_runs() -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text(), re.DOTALL)
    assert code is not None
    names: dict = {}
    exec(compile(code[1], "docs/library.md", "exec"), names)
    assert names["picture"].shape == (8, 64, 64, 3) and names["logits"].grad is not None


def test_the_map_has_every_room_from_the_top_down_and_every_flat_file() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    shown = re.search(r"downward only.*?```\n(.*?)```(.*?)\n## ", text, re.DOTALL)
    assert shown is not None
    assert re.findall(r"^(\w+)/", shown[1], re.MULTILINE) == list(reversed(ROOMS))
    flat = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert set(re.findall(r"`(\w+\.py)`", shown[2])) == flat


def test_the_preset_of_ones_own_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastcolor.training.losses import Objective
    from fastcolor.training.preset_checks import fit

    text = (ROOT / "docs" / "training.md").read_text()
    module = next(code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "SMOOTH" in code)
    (tmp_path / "my_colours.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    preset = fit("my_colours:SMOOTH", None, None, None)
    assert [stage.losses for stage in preset.stages] == [preset.stages[0].losses] * len(preset.stages)
    made = torch.ones(1, 2, 8, 8).requires_grad_()
    terms = preset.stages[0].losses[1:]  # without the cross entropy, which needs logits
    total, parts = Objective(terms, fastcolor.Palette.grid(), None, torch.device("cpu"))(
        made, None, torch.zeros(1, 2, 8, 8), lightness=torch.ones(1, 1, 8, 8)
    )
    assert total.item() == 0 and parts["smoothness"].item() == 0
