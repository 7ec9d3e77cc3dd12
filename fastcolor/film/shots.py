"""Where a film's shots begin: frames that the motion of blocks does not explain from the one before."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import ops
from .motion import is_cut


class Cuts:
    """Looks at one frame after the other.

    Example:
        >>> cuts = Cuts()
        >>> [cuts.is_cut(luma) for luma in (torch.zeros(32, 32), torch.zeros(32, 32), torch.ones(32, 32))]
        [True, False, True]
    """

    def __init__(self) -> None:
        self._before: Tensor | None = None

    def is_cut(self, luma: Tensor) -> bool:
        """Whether a shot begins with the next frame. luma: (h, w) in 0..1, small."""
        now = (luma * 255).round().clamp(0, 255).to(torch.uint8)[None]
        before, self._before = self._before, now
        if before is None or before.shape != now.shape:
            return True
        _, error = ops.block_motion(now, before)
        return bool(is_cut(error))

    def state(self) -> dict[str, Tensor]:
        """What the next frame needs of those before."""
        return {} if self._before is None else {"before": self._before.clone()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state()`."""
        self._before = state.get("before")
