"""How fast a network learns: Adam, and learning rates over the steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Optimiser:
    """Adam. "adamw" decays weights apart from the gradient; "adam" adds `weight_decay` to it (coupled L2), as published
    settings have it. encoder_learning_rate: of the encoder's own parameters; None: the same.

    schedule, over the stages that share this optimiser: "constant"; "cosine": linear warm-up, then half a cosine down
    to 0.5 %; "linear": constant up to the share `marks[0]`, then a line to zero; "step": times `factor` at every share
    in `marks`.
    """

    learning_rate: float
    kind: Literal["adam", "adamw"] = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    encoder_learning_rate: float | None = None
    schedule: Literal["constant", "cosine", "linear", "step"] = "constant"
    warmup: int = 0
    factor: float = 1.0
    marks: tuple[float, ...] = ()
    clip: float | None = None

    def factor_at(self, step: int, steps: int) -> float:
        """Factor on the learning rates at a step (from 0) of all that share this optimiser."""
        warm = min(1.0, (step + 1) / max(min(self.warmup, max(steps // 20, 1)), 1))  # short runs warm up sooner
        share = step / steps
        if self.schedule == "cosine":
            return warm * (0.5 * (1 + math.cos(math.pi * share)) * 0.995 + 0.005)
        if self.schedule == "linear":
            return warm * min(1.0, (1 - share) / (1 - self.marks[0]))
        if self.schedule == "step":
            return warm * self.factor ** sum(share >= mark for mark in self.marks)
        return warm
