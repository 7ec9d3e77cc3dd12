"""How far an engine's results are from those of the network in torch, float32: on photographs, and with a bound."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from .. import ops
from ..models.generator import Generator

DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# Highest relative error (root mean square over that of the output) and mean dE that rounding alone explains: several
# times what the networks were measured at; of INT8, which not all bear, twice what the default one was.
BOUNDS = {"fp32": (1e-4, 0.02), "fp16": (1e-2, 0.5), "bf16": (6e-2, 3.0), "int8": (0.1, 3.0)}
_PHOTOGRAPHS = Path(__file__).parent.parent / "assets" / "photographs.jpg"


@dataclass(frozen=True)
class Parity:
    """Differences between two ways to run one network, over all pictures.

    Attributes:
        relative: root mean square of the output's error over that of the output. output_max, output_mean: of its
        absolute error, in logits or Lab units. ab_max, ab_mean: distance of the decoded colours, in Lab units. de_max,
        de_mean: dE (CIE 1976) of the painted 8-bit pictures.
    """

    relative: float
    output_max: float
    output_mean: float
    ab_max: float
    ab_mean: float
    de_max: float
    de_mean: float

    def __str__(self) -> str:
        return (
            f"output {self.output_max:.2g} (mean {self.output_mean:.2g}, relative {self.relative:.2g}), "
            f"ab {self.ab_max:.2g} (mean {self.ab_mean:.2g}), dE {self.de_max:.2g} (mean {self.de_mean:.2g})"
        )

    def problem(self, precision: str) -> str | None:
        """What lies beyond the precision's bound, or None. NaN lies beyond."""
        relative, de_mean = BOUNDS[precision]
        if not self.relative <= relative:
            return f"relative error of the output {self.relative:.2g}, more than {precision}'s bound of {relative:g}"
        if not self.de_mean <= de_mean:
            return f"mean dE {self.de_mean:.2g}, more than {precision}'s bound of {de_mean:g}"
        return None


@dataclass(frozen=True)
class _Answer:
    """What a network gives for some pictures, and what is compared of it."""

    picture: Tensor
    lightness: Tensor
    output: Tensor
    ab: Tensor
    lab: Tensor


def photographs() -> Tensor:
    """(4, 256, 256) uint8, gray: the ones that come with the package."""
    with Image.open(_PHOTOGRAPHS) as strip:
        return torch.from_numpy(np.array(strip)).unflatten(1, (4, 256)).movedim(1, 0).contiguous()


def read_pictures(source: str | Path, side: int, limit: int = 16) -> Tensor:
    """(N, side, side) uint8, gray: the middles of a source's first pictures (as `fastcolor.train` takes sources)."""
    from ..data import pictures

    rows = []
    for _, rgb in pictures(source):
        rows.append(np.array(ImageOps.fit(Image.fromarray(rgb).convert("L"), (side, side))))
        if len(rows) == limit:
            break
    return torch.from_numpy(np.stack(rows))


class Trial:
    """Pictures through a generator's own network on the CPU, run when first asked for and once for all engines that are
    compared with it.

    Args:
        generator: see `Generator`. gray: (N, H, W) uint8; None: `photographs()`.
    """

    def __init__(self, generator: Generator, gray: Tensor | None = None) -> None:
        self._generator, self._gray = generator, gray

    @functools.cached_property
    def _answers(self) -> list[_Answer]:
        side = self._generator.trial_side
        gray = photographs() if self._gray is None else self._gray
        answers = []
        for picture in gray.split(1 if self._generator.large else 4):
            lightness = ops.luma_to_input(picture, (side, side))
            output = self._generator.model(lightness).float()
            answers.append(_Answer(picture, lightness, output, *self._colors(output, picture)))
        return answers

    def _colors(self, output: Tensor, picture: Tensor) -> tuple[Tensor, Tensor]:
        """An output as ab, and as Lab of the painted 8-bit pictures."""
        ab = self._generator.ab_of(output)
        return ab, ops.rgb_to_lab(ops.paint_rgb(ab.nan_to_num(), picture), layout="hwc")

    @torch.inference_mode()
    def compare(self, run: Callable[[Tensor], Tensor]) -> Parity:
        """Run the pictures through an engine.

        Args:
            run: L (N, 1, H, W) in, the network's output out.

        Returns:
            How far it is from the network; NaN where the engine gave NaN or infinity.

        Raises:
            ValueError: the output has another shape.

        Example:
            >>> Trial(generator).compare(generator.model).de_mean  # doctest: +SKIP
            0.0
        """
        rows = []
        for truth in self._answers:
            output = run(truth.lightness).float().cpu()
            if output.shape != truth.output.shape:
                raise ValueError(
                    f"the engine's output must have shape {tuple(truth.output.shape)}, got {tuple(output.shape)}"
                )
            ab, lab = self._colors(output, truth.picture)
            error, distance = output - truth.output, (ab - truth.ab).norm(dim=1)
            de = (lab - truth.lab).norm(dim=1)
            means = [error.square(), truth.output.square(), error.abs(), distance, de]
            rows.append([of.mean() for of in means] + [error.abs().max(), distance.max(), de.max()])
        table = torch.tensor(rows, dtype=torch.float64)
        error_2, truth_2, output_mean, ab_mean, de_mean = table[:, :5].mean(0).tolist()
        output_max, ab_max, de_max = table[:, 5:].amax(0).tolist()
        relative = (error_2 / max(truth_2, 1e-12)) ** 0.5
        return Parity(relative, output_max, output_mean, ab_max, ab_mean, de_max, de_mean)
