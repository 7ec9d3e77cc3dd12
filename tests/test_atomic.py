"""A file is whole or not there, whoever writes it, whatever its name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import fastcolor
from fastcolor import atomic
from fastcolor.pictures import passage


def test_a_lock_whose_file_was_removed_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, left, taken = tmp_path / "lock", [True], atomic.lock

    def lock(file: IO[str], path: Path) -> bool:
        if left:  # as by a holder who ends between the opening and the locking
            left.clear()
            path.unlink()
        return taken(file, path)

    monkeypatch.setattr(atomic, "lock", lock)
    held = atomic.locked(path)
    assert held is not None and path.exists() and atomic.locked(path) is None
    held.close()
    again = atomic.locked(path)
    assert again is not None
    again.close()


def test_a_file_appears_whole_and_what_was_there_stays_until_then(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    with atomic.whole(path) as growing:
        growing.write_text("half")
        assert path.read_text() == "before" and growing.name.startswith(".a.txt.")
    assert path.read_text() == "half" and os.listdir(tmp_path) == ["a.txt"]
    with pytest.raises(ZeroDivisionError), atomic.whole(path) as growing:
        growing.write_text("other")
        1 / 0  # noqa: B018
    assert path.read_text() == "half" and os.listdir(tmp_path) == ["a.txt"]


def test_two_who_write_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic.whole(path) as one, atomic.whole(path) as two:
        one.write_text("one")
        two.write_text("two")
    assert path.read_text() == "one" and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="no umask")
def test_rights_are_the_masks_whoever_made_the_file(tmp_path: Path) -> None:
    source = tmp_path / "source.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(source)
    source.chmod(0o444)
    before = os.umask(0o027)
    try:
        atomic.write_tensors(tmp_path / "a.safetensors", {"a": torch.ones(3)}, {})
        atomic.write_bytes(tmp_path / "a.bin", b"a")
        passage._copy(source, tmp_path / "copy.png")
    finally:
        os.umask(before)
    assert load_file(tmp_path / "a.safetensors")["a"].tolist() == [1, 1, 1]
    for name in ("a.safetensors", "a.bin", "copy.png"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o640, name


@pytest.mark.parametrize("letter", ["a", "写", "é"])
def test_names_as_long_as_the_system_takes(letter: str, tmp_path: Path) -> None:
    name = letter * (251 // len(letter.encode())) + ".jpg"
    path, other = tmp_path / name, tmp_path / f"{name[:-5]}b.jpg"
    for one in (path, other):
        atomic.write_bytes(one, one.name.encode())
        assert one.read_bytes() == one.name.encode()
    with atomic.whole(path) as a, atomic.whole(other) as b:  # the same head, and yet not the same
        assert a != b
        atomic.clear(other)
        assert a.exists() and not b.exists()
        b.touch()
    assert len(os.fsencode(atomic.beside(path, "lock").name)) <= 143


def test_what_the_dead_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    for name in (".a.jpg.0123.tmp", ".a.jpg.lock", ".a.jpg", ".ab.jpg.0123.tmp", "a.jpg"):
        (tmp_path / name).touch()
    atomic.clear(tmp_path / "a.jpg")
    assert sorted(os.listdir(tmp_path)) == [".a.jpg", ".a.jpg.lock", ".ab.jpg.0123.tmp", "a.jpg"]


def test_there_is_one_way_to_rename_and_it_needs_no_torch() -> None:
    root = Path(fastcolor.__file__).parent
    renaming = re.compile(r"os\.(replace|rename)\(|\.rename\(|\.replace\([^\"',=]*\)|os\.umask")
    found = {
        path.name for path in root.rglob("*.py") if renaming.search(path.read_text()) and "bench" not in path.parts
    }
    assert found == {"atomic.py"}
    code = f"import runpy, sys; runpy.run_path({str(root / 'atomic.py')!r}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
