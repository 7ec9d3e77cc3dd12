"""What the answers say: how often each method fooled people, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

SHOWN, TOLERANCE = 1000.0, 100.0  # milliseconds that a pair is to be seen, and how far it may be off
DRAWS = 4000


def interval(
    fooled: np.ndarray, person: np.ndarray, picture: np.ndarray, *, seed: int = 0, draws: int = DRAWS
) -> tuple[float, float]:
    """A 95 % interval of a fooling rate over people and pictures.

    Both are drawn anew with replacement, and an answer counts as often as its person times its picture was drawn
    (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007): people differ, and so do pictures, and the
    study had some of each.

    Args:
        fooled: (n,) 0 or 1. person, picture: (n,) whole numbers from 0.

    Returns:
        The 2.5 % and 97.5 % points.

    Example:
        >>> one = np.zeros(40, int)
        >>> low, high = interval(np.arange(40) % 4 == 0, np.arange(40) % 10, np.arange(40) // 10)
        >>> 0 <= low < 0.25 < high <= 1
        True
    """
    draw = np.random.default_rng(seed)
    people, pictures = int(person.max()) + 1, int(picture.max()) + 1
    rates = []
    for first in range(0, draws, 500):
        some = min(500, draws - first)
        of_people = draw.multinomial(people, np.full(people, 1 / people), some)
        of_pictures = draw.multinomial(pictures, np.full(pictures, 1 / pictures), some)
        weight = of_people[:, person] * of_pictures[:, picture]
        total = weight.sum(1)
        rates.append((weight @ fooled)[total > 0] / total[total > 0])
    found = np.concatenate(rates)
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def results(answers: Sequence[dict[str, Any]], methods: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """All that the result page tells.

    Args:
        answers: of `Store.answers`. methods: the study's. seed: of the bootstrap.
    """
    counted = [one for one in answers if not one["practice"]]
    valid = [one for one in counted if one["displays"] == 1 and abs(one["shown_ms"] - SHOWN) <= TOLERANCE]
    times = [one["shown_ms"] for one in counted]
    of_method = {name: [one for one in valid if one["method"] == name] for name in methods}
    random = [one for one in valid if one["kind"] == "random"]
    twice = [one for one in valid if one["kind"] == "true"]
    return {
        "people": len({one["person"] for one in counted}),
        "answers": len(counted),
        "left_out": len(counted) - len(valid),
        "shown_ms": None if not times else {"median": float(np.median(times)), "from": min(times), "to": max(times)},
        "methods": [{"name": name, **_rate(rows, seed)} for name, rows in of_method.items()],
        "random": _rate(random, seed),
        "true": {"answers": len(twice), "left": sum(one["answer"] == "left" for one in twice)},
        "pictures": _pictures(of_method),
    }


def _rate(rows: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    fooled = np.array([one["answer"] != one["fake"] for one in rows], float)
    told = {"answers": len(rows), "fooled": int(fooled.sum()), "rate": None, "low": None, "high": None}
    if not rows:
        return told
    person = np.unique([one["person"] for one in rows], return_inverse=True)[1]
    picture = np.unique([one["picture"] for one in rows], return_inverse=True)[1]
    low, high = interval(fooled, person, picture, seed=seed)
    return {**told, "rate": float(fooled.mean()), "low": low, "high": high}


def _pictures(of_method: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Each picture's counts by method, those first that fooled most."""
    found: dict[str, dict[str, list[int]]] = {}
    for method, rows in of_method.items():
        for one in rows:
            counts = found.setdefault(one["picture"], {}).setdefault(method, [0, 0])
            counts[0] += one["answer"] != one["fake"]
            counts[1] += 1

    def share(counts: dict[str, list[int]]) -> float:
        fooled, total = (sum(column) for column in zip(*counts.values(), strict=True))
        return -fooled / total

    return [{"name": name, "methods": found[name]} for name in sorted(found, key=lambda one: (share(found[one]), one))]
