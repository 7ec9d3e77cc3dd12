"""What results say of where they come from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench import timing


def test_a_commit_is_dirty_by_what_is_measured_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(variable, raising=False)

    def git(*arguments: str) -> None:
        told = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *told, *arguments], cwd=tmp_path, check=True, capture_output=True)

    files = [
        tmp_path / name for name in ("code.py", "docs/speed.md", "docs/sheet.jpg", "README.md", "bench/results/a.json")
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("before")
    git("init")
    git("add", ".")
    git("commit", "-m", "all")
    clean = timing.commit(tmp_path)
    assert len(clean) >= 7
    for file in files[1:]:
        file.write_text("after")
    assert timing.commit(tmp_path) == clean
    files[0].write_text("after")
    assert timing.commit(tmp_path) == f"{clean}-dirty"
