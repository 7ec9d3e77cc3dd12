"""encode_bins on 32x64x64 ab values, against torch.cdist + topk and scikit-learn's nearest neighbours."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from fastcolor import ops
from fastcolor.palette import Palette

from . import baselines, timing
from .timing import Row, Work


def random_ab(images: int, height: int, width: int, device: str) -> Tensor:
    """Mean chroma 19, as photographs have (18.2 over the training pictures)."""
    generator = torch.Generator().manual_seed(0)
    return (torch.randn((images, 2, height, width), generator=generator) * 15).to(device)


def _same(ours: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> None:
    """The same weights on the same bins; where two bins are equally far, to rounding, they may change places."""
    (index, weight), (other_index, other_weight) = ours, other
    dense = [torch.zeros(313, index.shape[0] * index.shape[2] * index.shape[3]) for _ in range(2)]
    for volume, i, w in ((dense[0], index, weight), (dense[1], other_index, other_weight)):
        volume.scatter_(0, i.cpu().long().transpose(0, 1).flatten(1), w.cpu().float().transpose(0, 1).flatten(1))
    far = (dense[0] - dense[1]).abs().amax(0) > 1e-3
    assert far.float().mean() < 1e-4


def encode(device: str, *, graph: bool = False) -> Row:
    ab = random_ab(32, 64, 64, device)
    points = Palette.grid().points.to(device)

    def with_sklearn() -> Work:
        from sklearn.neighbors import NearestNeighbors

        search = NearestNeighbors(n_neighbors=5, algorithm="ball_tree").fit(points.numpy())

        def work() -> tuple[Tensor, Tensor]:
            distance, index = search.kneighbors(ab.permute(0, 2, 3, 1).reshape(-1, 2).numpy())
            weight = torch.softmax(-(torch.from_numpy(distance) ** 2) / 50, 1)
            index, weight = (
                t.view(32, 64, 64, 5).permute(0, 3, 1, 2).contiguous()
                for t in (torch.from_numpy(index), weight.float())
            )
            return index, weight

        return work

    return Row(
        name="encode: encode_bins 32x64x64" + (", graph" if graph else ""),
        ours=lambda: ops.encode_bins(ab),
        others={"eager": lambda: lambda: baselines.encode(ab, points)}
        | ({"sklearn": with_sklearn} if device == "cpu" else {}),
        bytes=ab.numel() // 2 * 48,
        same=_same,
        must={"eager": 400, "sklearn": 100} if device == "cpu" else {"eager": 30},
        stretch={"eager": 600, "sklearn": 150} if device == "cpu" else {},
        graph=graph,
    )


ROWS = [encode]
CUDA_ROWS = [functools.partial(encode, graph=True)]
test_encode = timing.suite(ROWS)
