"""What the package's network in INT8 should answer to a photograph, kept in its file: so that a run that has no torch
to compare it with can see that it gives here what torch gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

_PHOTOGRAPHS = Path(__file__).parent.parent / "assets" / "photographs.jpg"
_SIDE, _CELLS = 128, 8  # pixels that are shown, cells whose mean colours are compared
# Mean distance of the cells' ab. Rounding to 8 bits moves them by 0.5; where products saturate, they move by ten.
_BOUND = 2.0

Run = Callable[[np.ndarray], np.ndarray]  # L (1, 1, h, w) float32 -> logits (1, Q, h/4, w/4) float32


def answer(run: Run, facts: Mapping[str, str]) -> list[float]:
    """The colours that a network gives to the first of the package's photographs: mean ab of 8 x 8 cells, in a row.

    Args:
        run: the network, a classifier. facts: of it, as exported files have them.
    """
    with Image.open(_PHOTOGRAPHS) as strip:
        gray = np.asarray(strip)[: 2 * _SIDE, : 2 * _SIDE].reshape(_SIDE, 2, _SIDE, 2).mean((1, 3), dtype=np.float32)
    logits = run(gray[None, None] * np.float32(100 / 255))[0]
    share = np.exp((logits - logits.max(0)) / np.float32(facts["temperature"]))
    ab = np.einsum("qhw,qc->chw", share / share.sum(0), np.array(json.loads(facts["palette"]), np.float32))
    wide = ab.shape[-1] // _CELLS
    cells = ab.reshape(2, _CELLS, wide, _CELLS, wide).mean((2, 4))
    return [round(float(value), 2) for value in cells.ravel()]


def holds(run: Run, facts: Mapping[str, str], weights: str) -> bool:
    """Whether a network answers as its file says that it should.

    Args:
        facts: the file's. weights: SHA-256 of the weights' file that it is to be of.
    """
    if facts.get("network_sha256") != weights or "answer" not in facts:
        return False
    due, got = (np.array(row).reshape(2, -1) for row in (json.loads(facts["answer"]), answer(run, facts)))
    return bool(np.hypot(*(got - due)).mean() <= _BOUND)  # NaN does not
