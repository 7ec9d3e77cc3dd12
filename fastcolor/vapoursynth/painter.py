"""The chroma of a film's frames, whichever is asked for, in batches: what `fastcolor-video` does, without its files."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import ops
from ..film import hdr
from ..film.encoding import Subsampling
from ..film.probe import Matrix
from ..film.smoothing import Mode, Smoother, followed
from ..models.sizes import at_once
from ..predictor import Predictor

_KEPT = 4  # batches whose chroma is kept for frames that are asked for again
_AHEAD = 4  # batches: a frame so far ahead is come to by way of those before it; farther is a jump


@dataclass(frozen=True)
class Stream:
    """What is known of a film. width, height: of its luma, in samples. aspect: of a sample. transfer: as ITU-T H.273
    numbers it."""

    frames: int
    width: int
    height: int
    bits: int
    subsampling: Subsampling
    matrix: Matrix
    full_range: bool
    transfer: int = 2
    aspect: float = 1.0


class StreamPainter:
    """Paints a film's frames.

    Args:
        predictor: the network. stream: the film. luma: a frame's luma plane (height, width), uint8 or uint16, by its
            number. ahead: told the numbers of the frames that will be asked for next.
        temporal, temperature, saturation: as for `fastcolor.video`.

    Called with a frame's number it returns its chroma planes. Frames in order give what `fastcolor-video` gives with
    `--adaptive off`. After a jump smoothing begins anew with the batch that the frame is in.
    """

    def __init__(
        self,
        predictor: Predictor,
        stream: Stream,
        luma: Callable[[int], np.ndarray],
        *,
        ahead: Callable[[range], None] = lambda frames: None,
        temporal: Mode = "fast",
        temperature: float | None = None,
        saturation: float = 1.0,
    ) -> None:
        self._predictor, self._stream, self._luma_of, self._tell_ahead = predictor, stream, luma, ahead
        self._temporal, self._temperature = temporal, temperature
        self._saturation = saturation * hdr.COLOUR_FACTOR.get(stream.transfer, 1.0)
        most = 8 if predictor.device.type == "cpu" else 16
        self._size = max(1, min(most, (1 << 24) // (stream.width * stream.height)))
        shown = stream.height, max(1, round(stream.width * stream.aspect))
        self._input_size = predictor.input_size(*shown)
        on_cpu = predictor.device.type == "cpu"
        self._at_once = at_once(min(self._size, 4), *self._input_size) if on_cpu else self._size
        self._lock = threading.Lock()
        self._done: OrderedDict[int, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._begin(0)

    def __call__(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """(Cb, Cr) of a frame, in the type of its luma. From any thread."""
        with self._lock:
            if frame not in self._done and not self._out <= frame < self._out + _AHEAD * self._size:
                self._begin(frame // self._size * self._size)
            while frame not in self._done:
                self._advance()
            return self._done[frame]

    def _begin(self, frame: int) -> None:
        """Go on from a frame as if it were the first."""
        self._smoother = Smoother(self._temporal, chunk=self._size)
        self._held: deque[Tensor] = deque()  # luma of the batches whose colours are still being smoothed
        self._read = self._out = frame

    def _advance(self) -> None:
        """Take one batch more in, or at the film's end give out what is held."""
        if self._read >= self._stream.frames:
            for ab in self._smoother.finish():
                self._paint(ab)
            return
        batch = range(self._read, min(self._read + self._size, self._stream.frames))
        luma = torch.from_numpy(np.stack([self._luma_of(frame) for frame in batch])).to(self._predictor.device)
        self._read = batch.stop
        self._tell_ahead(range(batch.stop, min(batch.stop + self._size, self._stream.frames)))
        with torch.inference_mode():
            codes = {"full_range": self._stream.full_range, "bits": self._stream.bits}
            lightness = self._predictor.lightness(luma, self._input_size, **codes)  # type: ignore[arg-type]
            lightness = hdr.eyes(lightness, self._stream.transfer)
            pieces = lightness.split(self._at_once)
            ab = torch.cat([self._predictor.predict_ab(one, temperature=self._temperature) for one in pieces])
            self._held.append(luma)
            done = self._smoother.push(followed(lightness, self._temporal, coarse=self._predictor.coarse), ab)
        if len(done):
            self._paint(done)

    @torch.inference_mode()
    def _paint(self, ab: Tensor) -> None:
        """Chroma of the batch that has been held longest."""
        luma, stream = self._held.popleft(), self._stream
        codes = {"full_range": stream.full_range, "bits": stream.bits}
        ab = self._predictor.enlarged(ab, (stream.height, stream.width))
        planes = ops.paint_chroma(
            ab,
            luma,
            guide=self._predictor.guide(luma, (ab.shape[2], ab.shape[3]), **codes),  # type: ignore[arg-type]
            subsampling=stream.subsampling,
            matrix=stream.matrix,
            full_range=stream.full_range,
            saturation=self._saturation,
            bits=stream.bits,
        )
        cb, cr = (plane.cpu().numpy() for plane in planes)
        for row in range(len(luma)):
            self._done[self._out + row] = cb[row], cr[row]
        self._out += len(luma)
        while len(self._done) > (_KEPT + _AHEAD) * self._size:
            self._done.popitem(last=False)
