"""How `make test` runs the tests: one that ends its process, or hangs, fails by name and costs no other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLANTED = """
import os, signal, time
import pytest

@pytest.mark.parametrize("i", range(8))
def test_one(i):
    if i == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if i == 4:
        time.sleep(600)
    if i == 6:  # no signal is heeded here, as in a library's long call
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        time.sleep(700)
"""


def test_a_worker_that_dies_or_hangs_names_its_test_and_costs_no_other(tmp_path: Path) -> None:
    (tmp_path / "test_planted.py").write_text(PLANTED)
    (tmp_path / "test_sound.py").write_text("def test_a(): pass\ndef test_b(): pass\n")
    options = re.search(r"-m pytest (.*)", (ROOT / "Makefile").read_text())
    assert options is not None
    command = [sys.executable, "-m", "pytest", *options[1].split(), "-p", "no:cacheprovider"]
    command += ["-o", "timeout=5", "-o", "faulthandler_timeout=10", "--rootdir", str(tmp_path)]
    command += ["-c", str(ROOT / "pyproject.toml"), str(tmp_path)]
    # What this run's own worker has in its environment would make theirs take it for their controller.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=110)
    failed = dict(re.findall(r"^FAILED .*::(test_\w+\[\d\]) - (.*)", done.stdout, re.MULTILINE))
    assert sorted(failed) == ["test_one[2]", "test_one[4]", "test_one[6]"], done.stdout + done.stderr
    assert "3 failed, 7 passed" in done.stdout
    assert "Timeout" in failed["test_one[4]"] and "time.sleep(600)" in done.stdout
    assert "Timeout" in done.stderr and 'test_planted.py", line 13 in test_one' in done.stderr
