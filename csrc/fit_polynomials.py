"""The fitted numbers of csrc/math/scalar.h and color.h: minimax polynomials, and the first guesses of the roots.

    python csrc/fit_polynomials.py

prints each as it stands in the sources, highest power first, with its largest error in exact arithmetic. Needs numpy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def minimax(target: Callable, weight: Callable, powers: range, low: float, high: float) -> tuple[np.ndarray, float]:
    """Coefficients of x^powers that make the largest |weight * (sum - target)| on [low, high] smallest, and that.

    Remez' exchange on a fine grid: solve for equal errors of alternating sign at as many points as there are unknowns,
    move the points to the extremes of the error, until these no longer move.
    """
    x = (low + high) / 2 - (high - low) / 2 * np.cos(np.linspace(0, np.pi, 200_001))
    basis = np.stack([x**k for k in powers], axis=1) * weight(x)[:, None]
    goal = target(x) * weight(x)
    count = len(powers) + 1
    at = np.linspace(0, len(x) - 1, count).astype(int)
    for _ in range(100):
        system = np.concatenate([basis[at], (-1.0) ** np.arange(count)[:, None]], axis=1)
        solution = np.linalg.solve(system, goal[at])
        error = basis @ solution[:-1] - goal
        # One extreme between two changes of sign each.
        edges = [0, *(np.flatnonzero(np.sign(error[1:]) != np.sign(error[:-1])) + 1), len(x)]
        extremes = [a + int(np.abs(error[a:b]).argmax()) for a, b in zip(edges, edges[1:], strict=False)]
        while len(extremes) > count:  # too many: an end goes, the smaller
            del extremes[0 if abs(error[extremes[0]]) < abs(error[extremes[-1]]) else -1]
        if len(extremes) < count or list(at) == extremes:
            break
        at = np.array(extremes)
    return solution[:-1][::-1], float(np.abs(error).max())


def guess(multiply: int, root: int) -> tuple[int, float]:
    """The constant c of the first guess r = bits^-1(c - bits(x) * multiply / root) of x^(-multiply / root), for which
    e = 1 - x^multiply r^root reaches equally far to both sides, and how far. One period of exponents is tried."""
    x = np.exp2(np.linspace(0, root, 400_001)).astype(np.float32)
    slope = x.view(np.uint32).astype(np.float64) * multiply / root

    def extremes(constant: float) -> tuple[float, float]:
        r = np.rint(constant - slope).astype(np.uint32).view(np.float32).astype(np.float64)
        e = 1 - x.astype(np.float64) ** multiply * r**root
        return float(e.min()), float(e.max())

    low, high = 0x3F800000 * 1.2, 0x3F800000 * 1.5
    while high - low > 0.5:  # a larger constant makes every r larger and e smaller
        middle = (low + high) / 2
        smallest, largest = extremes(middle)
        low, high = (middle, high) if largest > -smallest else (low, middle)
    return round(high), max(abs(v) for v in extremes(round(high)))


def show(name: str, coefficients: np.ndarray, error: float, digits: int = 10) -> None:
    print(f"{name}: error {error:.2g}")
    print("   ", ", ".join(f"{c:.{digits}g}f" for c in coefficients))


def main() -> None:
    # 2^f = 1 + f p(f): exact at 0.
    show("exp2_polynomial, [-0.5, 0.5]",
         *minimax(lambda f: np.expm1(f * np.log(2)) / np.where(f == 0, 1, f) + (f == 0) * np.log(2),
                  lambda f: np.abs(f) * np.exp2(-f) + 1e-30, range(6), -0.5, 0.5))  # fmt: skip
    # y (1 - e)^-s = y + y e p(e), for the e that a guess leaves.
    for name, root, multiply, power, degree in (
        ("cbrt_polynomial", 3, 1, 2 / 3, 4), ("fourth_root_polynomial", 4, 1, 3 / 4, 3),
    ):  # fmt: skip
        constant, reach = guess(multiply, root)
        print(f"{name}: guess {constant}, |e| <= {reach:.4f}")
        reach = np.ceil(reach * 1e4) / 1e4
        show(name,
             *minimax(lambda e, s=power: np.where(e == 0, s, np.expm1(-s * np.log1p(-e)) / np.where(e == 0, 1, e)),
                      lambda e, s=power: np.abs(e) * (1 - e) ** s + 1e-30, range(degree + 1), -reach, reach))  # fmt: skip
    # 255 * sRGB of the linear light q^4, above the toe; the error is in levels.
    show("srgb_255_from_root",
         *minimax(lambda q: 255 * (1.055 * q ** (4 / 2.4) - 0.055), np.ones_like, range(6), 0.0031308**0.25, 1.0))  # fmt: skip


if __name__ == "__main__":
    main()
