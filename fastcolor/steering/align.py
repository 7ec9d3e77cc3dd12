"""Where another version of a picture shows what the picture shows: a similarity transform, and how sure it is.

Coloured versions are a little larger, shifted, turned, of another size or cut. Both lumas are compared after local
contrast is made alike everywhere, so that another grading, or what a network did to the tones, costs little. Phase
correlation finds the shift, for a few sizes and turns if need be; least squares on the pixels makes it exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

COARSE, FINE = 160, 400  # longer side in pixels of what is searched, and of what the result is refined on
SURE = 0.35  # confidence from which two pictures show the same; of unrelated photographs none of 60 pairs came to 0.2
_CALM = 0.02  # of luma in 0..1: contrast below is noise
_DETAIL = 0.003  # mean local contrast from which something can be aligned; rounding to 8 bits makes 0.001
# Of what the first try does not find.
_SCALES, _TURNS = (0.86, 0.9, 0.94, 0.97, 1.0, 1.03, 1.06, 1.1, 1.15), (-2.0, 0.0, 2.0)
_SAME = 0.004  # of confidence: if no transform at all is within it, there is none


@dataclass(frozen=True)
class Alignment:
    """How a picture lies in another version of it.

    Attributes:
        matrix: (2, 3): places (x, y, 1) of the picture, -1 to 1 from edge to edge, to places of the version.
        confidence: correlation of what both show, at most 1; see `SURE`. NaN: there was too little to see.
    """

    matrix: Tensor
    confidence: float

    @property
    def blind(self) -> bool:
        """Whether there was too little to see."""
        return math.isnan(self.confidence)

    @property
    def sure(self) -> bool:
        """Whether both show the same."""
        return self.confidence >= SURE

    @staticmethod
    def none() -> Alignment:
        """Both lie alike."""
        return Alignment(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), 1.0)

    def grid(self, size: tuple[int, int]) -> Tensor:
        """(1, h, w, 2): for every pixel of the picture at a size the place in the version, as `F.grid_sample` takes
        it with align_corners=False."""
        return F.affine_grid(self.matrix[None], [1, 1, *size], align_corners=False)

    def brought(self, planes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """A version's planes where the picture has them.

        Args:
            planes: (1, C, h, w). size: (H, W) of the result.

        Returns:
            (1, C, H, W), edges repeated; and (H, W) whether the version reaches there.
        """
        grid = self.grid(size)
        if torch.equal(self.matrix, Alignment.none().matrix) and planes.shape[-2:] == size:
            return planes, torch.ones(size, dtype=torch.bool)
        planes = _shrunk(planes, size)
        moved = F.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)
        half = 1 + 1 / torch.tensor([size[1], size[0]])  # half a pixel over the edge
        return moved, (grid[0].abs() <= half).all(-1)


def _shrunk(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Planes no larger than they are needed, so that reading them at places skips nothing."""
    wanted = tuple(min(have, want) for have, want in zip(planes.shape[-2:], size, strict=True))
    if wanted == tuple(planes.shape[-2:]):
        return planes
    return F.interpolate(planes, wanted, mode="bilinear", antialias=True, align_corners=False)


def align(
    picture: Tensor,
    version: Tensor,
    *,
    aspects: tuple[float, float] | None = None,
    near: Alignment | None = None,
    search: bool = True,
) -> Alignment:
    """Find a picture in another version of it.

    Args:
        picture: (H, W) luma in 0..1. version: (h, w) luma. aspects: width over height of both as they are shown; None:
            their pixels are square. near: where to begin. search: go on with other sizes and turns if that fails, which
            takes several times as long.

    Returns:
        The best alignment found, sure or not; of a picture without detail none, blind.
    """
    shown = aspects or (picture.shape[1] / picture.shape[0], version.shape[1] / version.shape[0])
    coarse = _normalised(_resized(picture, _side(shown[0], COARSE)))
    if coarse.detail < _DETAIL:
        return Alignment(Alignment.none().matrix, math.nan)
    seen = _normalised(_resized(version, _side(shown[1], COARSE)))
    starts = [near] if near else [Alignment(base, 0.0) for base in _bases(*shown)]
    best = max((_search(coarse, seen, start.matrix, shown[0]) for start in starts), key=lambda one: one.confidence)
    if not best.sure and search:
        tries = [_changed(start.matrix, shown[0], scale, turn, 0, 0)
                 for start in starts for scale in _SCALES for turn in _TURNS]  # fmt: skip
        shifted = sorted((_shifted(coarse, seen, one, shown[0]) for one in tries), key=lambda one: -one.confidence)
        best = max((best, *(_refined(coarse, seen, one.matrix, shown[0]) for one in shifted[:4])),
                   key=lambda one: one.confidence)  # fmt: skip
    if not best.sure:
        return best
    fine, seen = (_normalised(_resized(plane, _side(aspect, min(FINE, max(plane.shape)))))
                  for plane, aspect in zip((picture, version), shown, strict=True))  # fmt: skip
    best = _refined(fine, seen, best.matrix, shown[0])
    plain = _confidence(fine, seen, Alignment.none().matrix)
    return Alignment(Alignment.none().matrix, plain) if plain >= best.confidence - _SAME else best


def likeness(picture: Tensor, version: Tensor, alignment: Alignment) -> float | None:
    """The confidence of an alignment for other frames, (H, W) and (h, w) luma in 0..1; None if there is no detail."""
    now = _normalised(picture)
    return None if now.detail < _DETAIL else _confidence(now, _normalised(version), alignment.matrix)


@dataclass(frozen=True)
class _Seen:
    plane: Tensor  # (1, 1, h, w) of even contrast
    detail: float  # the mean local contrast it had


def _side(aspect: float, longer: int) -> tuple[int, int]:
    """(h, w) in square pixels."""
    return (max(round(longer / aspect), 8), longer) if aspect >= 1 else (longer, max(round(longer * aspect), 8))


def _resized(plane: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(plane[None, None].float(), size, mode="bilinear", antialias=True, align_corners=False)[0, 0]


def _blurred(plane: Tensor, side: int) -> Tensor:
    """A triangle filter, edges repeated: twice the mean of a window, from sums that run on."""
    for dim in (2, 3, 2, 3):
        margin = (0, 0, side // 2 + 1, side // 2) if dim == 2 else (side // 2 + 1, side // 2, 0, 0)
        sums = F.pad(plane, margin, mode="replicate").cumsum(dim)
        count = plane.shape[dim]
        plane = (sums.narrow(dim, side, count) - sums.narrow(dim, 0, count)) / side
    return plane


def _normalised(plane: Tensor) -> _Seen:
    x = plane[None, None].float()
    side = max(3, min(max(plane.shape) // 24, min(plane.shape) - 1) | 1)
    high = x - _blurred(x, side)
    contrast = _blurred(high.square(), side).clamp(min=0).sqrt()
    return _Seen(high / (contrast + _CALM), float(contrast.mean()))


def _bases(picture: float, version: float) -> list[Tensor]:
    """Edges on edges; and, of other shapes, in one's width or height."""
    plain = Alignment.none().matrix
    ratio = picture / version
    if abs(math.log(ratio)) < 0.01:
        return [plain]
    wide, high = plain.clone(), plain.clone()
    wide[1, 1] /= ratio  # the same width
    high[0, 0] *= ratio  # the same height
    return [plain, wide, high]


def _changed(matrix: Tensor, aspect: float, scale: float, turn: float, right: float, down: float) -> Tensor:
    """A matrix after the picture was scaled, turned by degrees and moved, in units of half its height."""
    cos, sin = scale * math.cos(math.radians(turn)), scale * math.sin(math.radians(turn))
    change = torch.tensor([[cos, -sin / aspect, right / aspect], [sin * aspect, cos, down], [0, 0, 1]])
    return matrix @ change


def _moved(seen: _Seen, matrix: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The version where the picture has it, and whether it reaches there, both (h, w)."""
    moved, reached = Alignment(matrix, 0.0).brought(seen.plane, size)
    return moved[0, 0], reached.float()


def _confidence(picture: _Seen, version: _Seen, matrix: Tensor) -> float:
    """Correlation where both are, less where they hardly overlap."""
    own = picture.plane[0, 0]
    moved, reached = _moved(version, matrix, (own.shape[0], own.shape[1]))
    covered = float(reached.mean())
    if covered < 0.1:
        return 0.0
    both = (own * moved * reached).sum()
    norm = ((own.square() * reached).sum() * (moved.square() * reached).sum()).sqrt()
    return float(both / norm.clamp(min=1e-6)) * min(1.0, covered / 0.5)


def _shifted(picture: _Seen, version: _Seen, matrix: Tensor, aspect: float) -> Alignment:
    """The matrix and the best shift by phase correlation; confidence is the height of its peak."""
    own = picture.plane[0, 0]
    h, w = own.shape
    moved, reached = _moved(version, matrix, (h, w))
    window = torch.hann_window(h)[:, None] * torch.hann_window(w)[None]
    product = torch.fft.rfft2(own * window).conj() * torch.fft.rfft2(moved * reached * window)
    peaks = torch.fft.irfft2(product / product.abs().clamp(min=1e-6), s=(h, w))
    peaks = _blurred(peaks[None, None], 3)[0, 0]
    at = int(peaks.argmax())
    down, right = at // w, at % w
    down, right = down - h * (down > h // 2), right - w * (right > w // 2)
    return Alignment(_changed(matrix, aspect, 1, 0, right * 2 / h, down * 2 / h), float(peaks.max()))


def _search(picture: _Seen, version: _Seen, matrix: Tensor, aspect: float) -> Alignment:
    """Refined from a matrix as it is, and from the best shift of it; the better one."""
    found = _refined(picture, version, matrix, aspect)
    if found.sure:
        return found
    shifted = _refined(picture, version, _shifted(picture, version, matrix, aspect).matrix, aspect)
    return max(found, shifted, key=lambda one: one.confidence)


def _refined(picture: _Seen, version: _Seen, matrix: Tensor, aspect: float) -> Alignment:
    """Gauss and Newton's least squares over scale, turn and shift, first on blurred pictures."""
    best = Alignment(matrix, _confidence(picture, version, matrix))
    for blur in (5, 3, 1):
        own, other = (_Seen(_blurred(one.plane, blur) if blur > 1 else one.plane, one.detail)
                      for one in (picture, version))  # fmt: skip
        at = best.matrix
        for _ in range(8):
            step = _step(own, other, at, aspect)
            at = _changed(at, aspect, 1 + step[0], math.degrees(step[1]), step[2], step[3])
            if max(map(abs, step)) < 1e-4:
                break
        found = Alignment(at, _confidence(picture, version, at))
        if found.confidence > best.confidence:
            best = found
    return best


def _step(picture: _Seen, version: _Seen, matrix: Tensor, aspect: float) -> list[float]:
    """Change of (scale, turn in radians, right, down) that makes the version most like the picture."""
    own = picture.plane[0, 0]
    h, w = own.shape
    moved, reached = _moved(version, matrix, (h, w))
    # In units of half the height.
    along_y, along_x = torch.gradient(moved, spacing=2 / h)
    y = (torch.arange(h) + 0.5)[:, None] * 2 / h - 1
    x = ((torch.arange(w) + 0.5)[None] * 2 / w - 1) * aspect
    slopes = torch.stack([along_x * x + along_y * y, along_y * x - along_x * y, along_x, along_y]) * reached
    slopes = slopes.flatten(1).double()
    wrong = ((own - moved) * reached).flatten().double()
    normal = slopes @ slopes.T
    normal += 1e-6 * normal.diagonal().mean() * torch.eye(4, dtype=torch.float64)
    if not bool(torch.isfinite(normal).all()) or float(normal.diagonal().min()) <= 0:
        return [0.0] * 4
    step = torch.linalg.solve(normal, slopes @ wrong)
    return step.clamp(-0.1, 0.1).tolist()
