"""Tables by which the kernels find the nearest bins of a palette (csrc/math/encode.h).

Points on the published lattice are found by arithmetic alone where the lattice is whole; all others among the few
candidates of the cell that they lie in.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# The cells of the candidate table: 2.5 ab units over [-120, 120), as csrc/math/encode.h has it.
_CELL, _CELLS, _ORIGIN = 2.5, 96, -120.0
# The lattice table has 32 x 32 nodes of spacing 10; node (16, 16) is ab = (0, 0).
_LATTICE = 32


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
