"""The ellipse of skin in ab that `fastcolor.evaluation.color_errors` knows: fitted to faces, checked on other pictures.

`python -m bench.skin_locus FACES OTHERS` prints it and writes bench/results/skin-locus.json. FACES: aligned faces, each
filling its picture (UTKFace's, say); OTHERS: photographs of anything.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from fastcolor import ops
from fastcolor.data import pictures

from . import timing

RESULTS = Path(__file__).with_name("results")
REACH = 5.99  # squared Mahalanobis distance: 95 % of a normal distribution
FAR = 9.21  # 99 %: medians beyond are no faces in natural light
GRAY = 4.0  # chroma of a median below which the picture is gray


def nose_and_cheeks(lab: Tensor) -> Tensor:
    """ab (2, pixels) of an aligned face (3, H, W): where no hair, eyes or mouth are."""
    _, height, width = lab.shape
    return lab[1:, int(0.45 * height) : int(0.65 * height), int(0.3 * width) : int(0.7 * width)].flatten(1).double()


def distances(ab: Tensor, center: Tensor, covariance: Tensor) -> Tensor:
    """Squared Mahalanobis distances of ab (N, 2)."""
    off = ab - center
    return (off @ torch.linalg.inv(covariance) * off).sum(1)


def ellipse(medians: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (2,) and covariance (2, 2) of pictures' medians (N, 2), without the few that lie far off."""
    center, covariance = medians.mean(0), torch.cov(medians.T)
    for _ in range(4):
        medians = medians[distances(medians, center, covariance) < FAR]
        center, covariance = medians.mean(0), torch.cov(medians.T)
    return center, covariance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("others", type=Path)
    options = parser.parse_args()

    def labs(source: Path) -> list[Tensor]:
        return [ops.rgb_to_lab(torch.from_numpy(rgb)[None], layout="hwc")[0] for _, rgb in pictures(source)]

    faces = [nose_and_cheeks(lab) for lab in labs(options.faces)]
    medians = torch.stack([face.median(1).values for face in faces])
    center, covariance = ellipse(medians[medians.norm(dim=1) > GRAY])

    def share(pixels: list[Tensor]) -> float:
        return float((distances(torch.cat(pixels, 1).T, center, covariance) < REACH).double().mean())

    others = [lab[1:].flatten(1).double()[:, ::7] for lab in labs(options.others)]
    found = {
        "command": "python -m bench.skin_locus FACES OTHERS",
        "machine": timing.machine(),
        "faces": len(faces),
        "center": center.tolist(),
        "covariance": covariance.tolist(),
        "reach": REACH,
        "share of the faces' pixels": share(faces),
        "others": len(others),
        "share of the others' pixels": share(others),
    }
    print(json.dumps(found, indent=1))
    (RESULTS / "skin-locus.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
