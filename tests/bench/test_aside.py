"""Ways that are measured beside each other have a process each."""

from __future__ import annotations

import os

import pytest
import torch

from bench.aside import Aside


class Way:
    def __init__(self, name: str) -> None:
        self.name = name

    def told(self, more: str) -> tuple[str, int, int]:
        return self.name + more, os.getpid(), torch.get_num_threads()

    def fails(self) -> None:
        raise ValueError(f"{self.name} failed")


def test_a_way_lives_in_a_process_of_its_own() -> None:
    way = Aside(Way, "one", threads=2)
    try:
        said, process, threads = way.call("told", " more")
        assert (said, threads) == ("one more", 2)  # where conftest lets everybody have one
        assert process != os.getpid()
        assert way.call("told", "")[1] == process  # which stays
        with pytest.raises(ValueError, match="one failed"):
            way.call("fails")
    finally:
        way.close()
