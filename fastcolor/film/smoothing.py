"""Colours that hold still: every frame's colours averaged with its neighbours' along the motion of the luma.

A network that sees one frame at a time changes its mind from frame to frame, which is seen as flicker. Here its ab at
network size is followed over time: the frames before (and with `flow` the frames after) are brought into place by the
motion found on luma, trusted where lumas and colours agree, and forgotten at scene cuts. The ops are
`ops.block_motion` and `ops.temporal_average`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import ops
from .change import Change, change_of, codes_of
from .motion import Seen

Mode = Literal["off", "fast", "flow"]
MODES: tuple[str, ...] = ("off", "fast", "flow")

# Shares of what was before. Backward and forward averages are averaged themselves, so `flow` needs less memory of each.
KEEP = {"fast": 0.9, "flow": 0.8}
TOLERANCE = 12.0  # codes of 255: luma noise and grain lie below, other things above
TOLERANCE_AB = 16.0  # Lab units: flicker lies below, and a thing's colour on the ground it has left above
LOOKAHEAD = 8  # frames that `flow` looks ahead: 0.8^8 is 0.17


def _kept(change: Change, keep: float) -> Tensor:
    """(N,) share of the frame before: `keep`, or 0 behind a scene cut."""
    return torch.where(change.cut, 0.0, keep).to(torch.float32)


def followed(lightness: Tensor, mode: Mode, *, coarse: bool) -> Tensor:
    """The lightness on which colours are followed: at half the network's size where it answers no finer (`coarse`),
    which is quicker, and edges of blocks are not seen to move."""
    if not coarse or mode == "flow":
        return lightness
    # Half-way between four pixels this is their mean, for which torch's pooling takes five times as long.
    return F.interpolate(lightness, scale_factor=0.5, mode="bilinear")


class Smoother:
    """Smooths one film's colours, batch by batch in order.

    Args:
        mode: "off" passes colours through; "fast" follows blocks of the frame before; "flow" follows dense motion of
            the frames before and after, and so holds back some frames (needs OpenCV).
        chunk: frames that `flow` finishes at a time; states are exact where a multiple of it is finished.

    Raises:
        ValueError: an unknown mode. ImportError: `flow` without OpenCV.

    Example:
        >>> smoother = Smoother("fast")
        >>> smoother.push(torch.full((2, 1, 64, 64), 50.0), torch.zeros(2, 2, 16, 16)).shape
        torch.Size([2, 2, 64, 64])
    """

    def __init__(self, mode: Mode = "fast", *, chunk: int = 8) -> None:
        if mode not in MODES:
            raise ValueError(f"temporal must be one of {', '.join(MODES)}, got {mode!r}")
        self.mode, self.chunk = mode, chunk
        self._luma: Tensor | None = None  # (1, h, w) of the frame before, and its ab (1, 2, h, w)
        self._ab: Tensor | None = None
        self._waiting: deque[tuple[Tensor, Tensor]] = deque()  # flow: luma and ab of frames not yet finished
        self._flow = _DenseMotion() if mode == "flow" else None

    def push(self, lightness: Tensor, ab: Tensor, seen: Seen | None = None) -> Tensor:
        """Take the next frames; give those that are finished, in order.

        Args:
            lightness: (N, 1, h, w) as the network saw it, N at most `chunk`. ab: (N, 2, h', w') as it answered.
            seen: in these frames, if they were looked at before, which then is not done again.

        Returns:
            (M, 2, h, w) colours of the oldest frames not yet given back: with "fast" of these; with "flow" of `chunk`
            frames, or of none; with "off" ab as it is.
        """
        if self.mode == "off":
            return ab
        if ab.shape[-2:] != lightness.shape[-2:]:
            ab = F.interpolate(ab.float(), lightness.shape[-2:], mode="bilinear", align_corners=False)
        luma, change = (codes_of(lightness), None) if seen is None else (seen.luma, seen.change)
        if self.mode == "fast":
            return self._fast(luma, ab, change)
        self._waiting.extend(zip(luma.split(1), ab.split(1), strict=True))
        if len(self._waiting) < self.chunk + LOOKAHEAD:
            return ab[:0]
        return self._both_ways(self.chunk, self.chunk + LOOKAHEAD)

    def finish(self) -> Iterator[Tensor]:
        """The frames still held back at the end of the film, `chunk` at a time as `push` gives them."""
        while self._waiting:
            yield self._both_ways(min(self.chunk, len(self._waiting)), len(self._waiting))

    def state(self) -> dict[str, Tensor]:
        """What the next frame needs of those before: to go on later from here."""
        if self._luma is None or self._ab is None:
            return {}
        return {"luma": self._luma.cpu().clone(), "ab": self._ab.cpu().clone()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state()`, which lies on the device where colours are smoothed."""
        if state:
            self._luma, self._ab = state["luma"], state["ab"]

    def _fast(self, luma: Tensor, ab: Tensor, change: Change | None) -> Tensor:
        if luma.shape[0] == 0:
            return ab
        first = self._luma if self._luma is not None else luma[:1]
        before = torch.cat((first, luma[:-1]))
        change = change or change_of(luma, before)
        keep = _kept(change, KEEP["fast"])
        done = []
        for i in range(luma.shape[0]):
            now = slice(i, i + 1)
            own = ab[now]
            if self._ab is not None:
                own = ops.temporal_average(
                    own,
                    luma[now],
                    self._ab,
                    before[now],
                    change.motion[now],
                    keep=keep[now],
                    tolerance=TOLERANCE,
                    tolerance_ab=TOLERANCE_AB,
                )
            self._ab = own
            done.append(own)
        self._luma = luma[-1:]
        return torch.cat(done)

    def _both_ways(self, count: int, seen: int) -> Tensor:
        """Finish the `count` oldest frames, looking ahead as far as frame `seen`."""
        frames = [self._waiting[i] for i in range(seen)]
        ahead: list[Tensor] = []
        luma = ab = None
        for now, own in reversed(frames):
            ab = self._step(now, own, luma, ab)
            luma = now
            ahead.append(ab)
        ahead.reverse()
        done = []
        for (now, own), later in zip(frames[:count], ahead, strict=False):
            self._ab = self._step(now, own, self._luma, self._ab)
            self._luma = now
            done.append((self._ab + later) / 2)
            self._waiting.popleft()
        return torch.cat(done)

    def _step(self, luma: Tensor, ab: Tensor, other_luma: Tensor | None, other_ab: Tensor | None) -> Tensor:
        """One frame averaged with its neighbour, which dense motion brings into place."""
        if other_luma is None or other_ab is None or self._flow is None:
            return ab
        moved_luma, moved_ab = self._flow.bring(other_luma, other_ab, luma)
        change = change_of(luma, moved_luma, radius=0)
        keep = _kept(change, KEEP["flow"])
        return ops.temporal_average(
            ab, luma, moved_ab, moved_luma, keep=keep, tolerance=TOLERANCE, tolerance_ab=TOLERANCE_AB
        )


class _DenseMotion:
    """Dense inverse search (Kroeger et al. 2016), as OpenCV has it."""

    def __init__(self, *, fine: bool = False) -> None:
        try:
            import cv2
        except ImportError:
            raise ImportError("dense motion (temporal='flow') needs OpenCV: pip install 'fastcolor[opencv]'") from None
        self._cv2 = cv2
        preset = cv2.DISOPTICAL_FLOW_PRESET_MEDIUM if fine else cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST
        self._dis = cv2.DISOpticalFlow_create(preset)

    def flow(self, luma: np.ndarray, other: np.ndarray) -> np.ndarray:
        """(h, w, 2) float32 (x, y) such that luma(x) is like other(x + flow)."""
        return self._dis.calc(luma, other, None)

    def bring(self, luma: Tensor, ab: Tensor, to: Tensor) -> tuple[Tensor, Tensor]:
        """A frame's luma (1, h, w) and ab (1, 2, h, w), moved to where the frame of luma `to` has them."""
        now, other = to[0].cpu().numpy(), luma[0].cpu().numpy()
        at = self.flow(now, other)
        h, w = now.shape
        at[..., 0] += np.arange(w, dtype=np.float32)
        at[..., 1] += np.arange(h, dtype=np.float32)[:, None]

        def moved(plane: Tensor) -> Tensor:
            remapped = self._cv2.remap(
                plane.cpu().numpy(), at, None, self._cv2.INTER_LINEAR, borderMode=self._cv2.BORDER_REPLICATE
            )
            return torch.from_numpy(remapped).to(plane.device)

        return moved(luma[0])[None], torch.stack([moved(ab[0, 0]), moved(ab[0, 1])])[None]


def warp_error(frames: Tensor, luma: Tensor) -> float:
    """How much a point's colour changes from frame to frame: E_warp.

    Args:
        frames: (T, 3, h, w) float RGB in [0, 1]. luma: (T, h, w) uint8 of the true film, on which motion is found.

    Returns:
        The mean over t of sum M |V_t - W(V_t+1)|^2 / sum M; M leaves out what is hidden in either frame, found by the
        forward-backward check. 0 is best, and a film without colour has it: read it beside `ab` error or colourfulness.

    Source: Lai et al. 2018, "Learning blind video temporal consistency".

    Example:
        >>> warp_error(torch.zeros(3, 3, 64, 64), torch.zeros(3, 64, 64, dtype=torch.uint8))  # doctest: +SKIP
        0.0
    """
    motion = _DenseMotion(fine=True)
    errors = []
    for t in range(len(frames) - 1):
        there = motion.flow(luma[t].numpy(), luma[t + 1].numpy())
        back = motion.flow(luma[t + 1].numpy(), luma[t].numpy())
        errors.append(masked_warp_error(frames[t], frames[t + 1], torch.from_numpy(there), torch.from_numpy(back)))
    return float(np.mean(errors))


def _warped(image: Tensor, flow: Tensor) -> Tensor:
    """image (C, h, w) read at x + flow, flow (h, w, 2) in pixels, edges repeated."""
    h, w = flow.shape[:2]
    grid = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy"), -1) + flow
    grid = (grid + 0.5) * 2 / torch.tensor([w, h]) - 1
    return F.grid_sample(image[None], grid[None], padding_mode="border", align_corners=False)[0]


def masked_warp_error(now: Tensor, later: Tensor, there: Tensor, back: Tensor) -> float:
    """One frame's part of `warp_error`. now, later: (3, h, w); there: (h, w, 2) motion from now to later; back."""
    returned = _warped(back.permute(2, 0, 1), there).permute(1, 2, 0)
    squares = (there**2).sum(-1) + (returned**2).sum(-1)
    mask = ((there + returned) ** 2).sum(-1) <= 0.01 * squares + 0.5
    wrong = ((now - _warped(later, there)) ** 2).sum(0)
    return float((wrong * mask).sum() / mask.sum().clamp(min=1))


def distribution_change(frames: Tensor) -> float:
    """How much the histograms of the colours change over 1, 2 and 4 frames: CDC.

    Args:
        frames: (T, 3, h, w) uint8, five frames or more.

    Returns:
        Mean Jensen-Shannon divergence (natural logarithm) of the channels' 256-bin histograms. Films change: the
        number to come near to is the true film's own, not 0.

    Source: Liu et al. 2021, "Temporally consistent video colorization with deep feature propagation".

    Example:
        >>> distribution_change(torch.zeros(5, 3, 8, 8, dtype=torch.uint8))
        0.0
    """
    flat = frames.flatten(2).long()
    p = torch.stack([torch.stack([torch.bincount(c, minlength=256) for c in frame]) for frame in flat]).double()
    p = p / p.sum(-1, keepdim=True)

    def entropy_part(x: Tensor, middle: Tensor) -> Tensor:
        return torch.where(x > 0, x * (x / middle.clamp(min=1e-300)).clamp(min=1e-300).log(), 0.0).sum(-1)

    spans = []
    for step in (1, 2, 4):
        a, b = p[:-step], p[step:]
        middle = (a + b) / 2
        spans.append(float((entropy_part(a, middle) + entropy_part(b, middle)).mean()) / 2)
    return float(np.mean(spans))
