"""A list of ab bins, and the tables by which the kernels find the nearest of them (csrc/math/encode.h).

Bins on the published lattice are found by arithmetic alone where the lattice is whole; all others among the few
candidates of the cell that they lie in.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

# The in-gamut grid: for a = -90, -80, ..., 100 one contiguous run of b (first, last), spacing 10. 313 points.
_GRID_RUNS = (
    (50, 90),
    (20, 90),
    (0, 90),
    (-20, 90),
    (-30, 100),
    (-40, 100),
    (-50, 100),
    (-50, 100),
    (-60, 100),
    (-70, 100),
    (-80, 90),
    (-80, 90),
    (-90, 90),
    (-100, 90),
    (-100, 80),
    (-110, 80),
    (-110, 80),
    (-110, 70),
    (-110, 70),
    (-90, 0),
)
# The cells of the candidate table: 2.5 ab units over [-120, 120), as csrc/math/encode.h has it.
_CELL, _CELLS, _ORIGIN = 2.5, 96, -120.0
# The lattice table has 32 x 32 nodes of spacing 10; node (16, 16) is ab = (0, 0).
_LATTICE = 32

# All bins ever made, by key: ops name theirs by a string, which torch.compile takes for a constant.
_MADE: dict[str, Bins] = {}


class Bins:
    """ab colours that a classifier chooses among; `fastcolor.Palette` adds where they come from and go to.

    Args:
        points: (Q, 2) a and b of every bin in Lab units, 8 <= Q <= 1024, all finite and distinct.

    Example:
        >>> Bins.grid().points.shape
        torch.Size([313, 2])
    """

    def __init__(self, points: Tensor | np.ndarray) -> None:
        points = torch.as_tensor(points).detach().to("cpu", torch.float32)
        if points.dim() != 2 or points.shape[1] != 2 or not 8 <= points.shape[0] <= 1024:
            raise ValueError(f"palette: points must have shape (Q, 2) with 8 <= Q <= 1024, got {tuple(points.shape)}")
        if not bool(torch.isfinite(points).all()):
            raise ValueError("palette: points must be finite, got NaN or infinity")
        if torch.unique(points, dim=0).shape[0] != points.shape[0]:
            raise ValueError("palette: points must be distinct, got a colour twice")
        self.points = points.contiguous()
        self.key = hashlib.sha256(self.points.numpy().tobytes()).hexdigest()
        _MADE.setdefault(self.key, self)
        self._points: dict[torch.device, Tensor] = {}
        self._tables: dict[tuple[int, torch.device], tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return self.points.shape[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bins) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} bins{', the published grid' if self == _GRID else ''})"

    @staticmethod
    def grid() -> Bins:
        """The 313 bins of the published `pts_in_hull.npy`: spacing 10, a ascending, then b ascending."""
        return _GRID

    def points_on(self, device: torch.device) -> Tensor:
        """(2, Q) float32 on `device`, as the kernels read them."""
        if device not in self._points:
            self._points[device] = self.points.t().contiguous().to(device)
        return self._points[device]

    def search_tables(self, neighbours: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the nearest-bin search of the kernels reads (csrc/math/encode.h): (points (2, Q) float32, lattice
        int32, start of each cell's candidates int32, candidates int32), on `device`. Made once and kept."""
        key = (neighbours, device)
        if key not in self._tables:
            start, candidates = candidate_table(self.points.double().numpy(), neighbours)
            lattice = lattice_table(self.points).to(device)
            self._tables[key] = (self.points_on(device), lattice, start.to(device), candidates.to(device))
        return self._tables[key]


def of_key(key: str) -> Bins:
    """The bins whose `.key` this is."""
    return _MADE[key]


def lattice_table(points: Tensor) -> Tensor:
    """The table of csrc/math/encode.h for a palette on the square lattice of spacing 10; empty for any other palette.

    (5 * 32,) int32: for every row of nodes the index that its node at b = 0 has or would have, then for each quadrant
    and row a word with a bit for every node: set when the node, its four neighbours and its diagonal neighbour in that
    quadrant are all bins. So small that wide registers hold it.
    """
    none = torch.empty(0, dtype=torch.int32)
    nodes = points / 10
    # Bins end at node 11: the search clips colours to 115, whose node, 12, must never be one.
    if not torch.equal(nodes, nodes.round()) or bool((nodes.abs() > _LATTICE // 2 - 5).any()):
        return none
    rows, columns = (nodes.long() + _LATTICE // 2).unbind(1)
    index = torch.arange(len(points))
    row_start = torch.zeros(_LATTICE, dtype=torch.long).scatter_(0, rows, index - (columns - _LATTICE // 2))
    in_order = torch.equal(torch.argsort(rows * _LATTICE + columns), index)  # ties are broken by (a, b)
    if not in_order or not torch.equal(row_start[rows] + columns - _LATTICE // 2, index):
        return none
    exists = torch.zeros(_LATTICE, _LATTICE, dtype=torch.bool)
    exists[rows, columns] = True

    def neighbour(da: int, db: int) -> Tensor:
        return exists.roll((-da, -db), (0, 1))

    cross = exists & neighbour(1, 0) & neighbour(-1, 0) & neighbour(0, 1) & neighbour(0, -1)
    quadrants = [(1, 1), (-1, 1), (1, -1), (-1, -1)]
    words = [((cross & neighbour(*q)).long() << torch.arange(_LATTICE)).sum(1) for q in quadrants]
    return torch.cat([row_start, *words]).to(torch.int32)


def candidate_table(points: np.ndarray, neighbours: int) -> tuple[Tensor, Tensor]:
    """For every cell, the bins that can be among the `neighbours` nearest of some point in it, ascending.

    A bin is left out when `neighbours` others are nearer even at their farthest corner than it is at its nearest
    point. Cells are taken 1e-4 wider on every side, since a colour up to 1e-5 beyond an edge is rounded into the cell,
    and the margin of 1e-3 squared units covers the rounding of distances.
    """
    low, side = _ORIGIN + _CELL * np.arange(_CELLS) - 1e-4, _CELL + 2e-4
    nearest = np.maximum(np.maximum(low[:, None, None] - points, points - low[:, None, None] - side), 0) ** 2
    farthest = np.maximum(np.abs(low[:, None, None] - points), np.abs(low[:, None, None] + side - points)) ** 2
    starts, ids = [0], []
    for row in range(_CELLS):
        near = nearest[row, :, 0] + nearest[:, :, 1]  # (_CELLS, Q) for every cell of this row
        far = farthest[row, :, 0] + farthest[:, :, 1]
        limit = np.partition(far, neighbours - 1, axis=1)[:, neighbours - 1] + 1e-3
        cell, bin_index = np.nonzero(near <= limit[:, None])
        ids.append(bin_index)
        starts.extend(starts[-1] + np.cumsum(np.bincount(cell, minlength=_CELLS)))
    return torch.tensor(starts, dtype=torch.int32), torch.from_numpy(np.concatenate(ids)).to(torch.int32)


_GRID = Bins(
    torch.tensor(
        [
            (a, b)
            for a, (low, high) in zip(range(-90, 101, 10), _GRID_RUNS, strict=True)
            for b in range(low, high + 1, 10)
        ]
    )
)
