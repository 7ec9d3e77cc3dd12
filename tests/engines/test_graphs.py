"""Which work is captured in a CUDA graph: traces of shapes, without a GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from contextlib import nullcontext
from unittest.mock import MagicMock

import pytest
import torch

from fastcolor.engines.graphs import ENOUGH, Graphs, Policy
from fastcolor.engines.timings import warm_runs


def played(trace: Iterable[Hashable], most: int = 8) -> Counter[str]:
    """How often each action was taken; a graph is replayed only while it is there."""
    policy, graphs, taken = Policy(most), set(), Counter()
    for key in trace:
        action, other = policy.ask(key)
        if other is not None:
            graphs.remove(other)
        if action == "capture":
            graphs.add(key)
        assert (key in graphs) == (action != "run") and len(graphs) <= most
        taken[action] += 1
    return taken


def test_nine_shapes_in_turn_keep_the_graphs_of_eight() -> None:
    taken = played(list(range(9)) * 50)
    assert taken["capture"] == 8
    assert taken["replay"] == 8 * (50 - ENOUGH - 1)


def test_a_film_of_two_shapes() -> None:
    assert played([*["film"] * 300, *["last batch"] * 1]) == {"run": ENOUGH + 1, "capture": 1, "replay": 296}
    taken = played([shape for _ in range(150) for shape in ("wide", "high")])
    assert taken == {"run": 2 * ENOUGH, "capture": 2, "replay": 300 - 2 * ENOUGH - 2}


def test_a_folder_of_a_hundred_shapes_captures_nothing() -> None:
    assert played(range(100)) == {"run": 100}
    assert played([shape for shape in range(100) for _ in range(2)]) == {"run": 200}


def test_what_nobody_asks_for_any_more_makes_room() -> None:
    """Film after film, each of its own shape: every one gets a graph, in the end that of a film long past."""
    taken = played([film for film in range(20) for _ in range(400)])
    assert taken["capture"] == 20
    assert taken["replay"] > 0.85 * 20 * 400


def test_a_shape_is_remembered_between_others() -> None:
    """What comes back now and then among ever new shapes is counted on."""
    trace = [key for i in range(200) for key in (("new", i), "again")]
    taken = played(trace)
    assert taken["capture"] == 1 and taken["replay"] == 200 - ENOUGH - 1


def test_timings_begin_with_the_first_replay() -> None:
    policy = Policy()
    warm_up = [policy.ask("timing")[0] for _ in range(warm_runs(torch.device("cuda")))]
    assert warm_up[-1] == "capture" and policy.ask("timing")[0] == "replay"
    assert warm_runs(torch.device("cpu")) == 1


@pytest.mark.parametrize("error", [RuntimeError("not in a capture"), torch.cuda.OutOfMemoryError("full")])
def test_a_capture_that_fails_leaves_no_graph_behind(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """CUDA's events and streams are stood in for; the capture fails before it would need more of them."""
    for name in ("Event", "current_stream", "empty_cache"):
        monkeypatch.setattr(torch.cuda, name, MagicMock())
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())

    def fail(*_: object) -> None:
        raise error

    graphs, x = Graphs(), torch.ones(2)
    monkeypatch.setattr(graphs, "_capture", fail)
    for turn in range(3 * (ENOUGH + 1)):
        captures = turn % (ENOUGH + 1) == ENOUGH
        if captures and not isinstance(error, torch.cuda.OutOfMemoryError):
            with pytest.raises(RuntimeError, match="not in a capture"):
                graphs("net", torch.neg, x)
        else:
            assert torch.equal(graphs("net", torch.neg, x), -x)
