"""The chroma of a film's frames, whichever is asked for, in batches: what `fastcolor-video` does, without its files."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import ops
from ..film import hdr
from ..film.carry import Carrier
from ..film.encoding import Subsampling
from ..film.motion import Watcher
from ..film.probe import Matrix
from ..film.resume import part_of
from ..film.smoothing import Mode, Smoother, followed
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
        temporal, temperature, saturation: as for `fastcolor.video`. adaptive: the network runs where there is something
            new, and its colours are carried between.

    Called with a frame's number it returns its chroma planes. Frames in order give what `fastcolor-video` gives. After
    a jump all begins anew with the batch that the frame is in.
    """

    def __init__(
        self,
        predictor: Predictor,
        stream: Stream,
        luma: Callable[[int], np.ndarray],
        *,
        ahead: Callable[[range], None] = lambda frames: None,
        temporal: Mode = "fast",
        adaptive: bool = False,
        temperature: float | None = None,
        saturation: float = 1.0,
    ) -> None:
        self._predictor, self._stream, self._luma_of, self._tell_ahead = predictor, stream, luma, ahead
        self._temporal, self._adaptive, self._temperature = temporal, adaptive, temperature
        self._saturation = saturation * hdr.COLOUR_FACTOR.get(stream.transfer, 1.0)
        most = 8 if predictor.device.type == "cpu" else 16
        self._size = max(1, min(most, (1 << 24) // (stream.width * stream.height)))
        shown = stream.height, max(1, round(stream.width * stream.aspect))
        self._input_size = predictor.input_size(*shown)
        at_once = min(self._size, 4) if predictor.device.type == "cpu" else self._size
        self._at_once = predictor.at_once(at_once, self._input_size)
        self._lock = threading.Lock()
        self._done: OrderedDict[int, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._begin(0)

    def __call__(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """(Cb, Cr) of a frame, in the type of its luma. From any thread."""
        with self._lock:
            if frame not in self._done and not self._out <= frame < self._out + _AHEAD * self._size:
                self._begin(frame // self._size * self._size)
            while frame not in self._done:
                try:
                    self._advance()
                except Exception:  # what raised has ended; what failed before the frame's own batch is passed over
                    failed, own = self._out, frame // self._size * self._size
                    self._begin(own)
                    if failed >= own:
                        raise
            return self._done[frame]

    def _begin(self, frame: int) -> None:
        """Go on from a frame as if it were the first."""
        self._done_from = self._adaptive_from(frame) if self._adaptive else self._every_from(frame)
        self._out = frame

    def _batches(self, frame: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Luma of the frames from here on, batch by batch, and what the network may see of it."""
        codes = {"full_range": self._stream.full_range, "bits": self._stream.bits}
        for first in range(frame, self._stream.frames, self._size):
            batch = range(first, min(first + self._size, self._stream.frames))
            luma = torch.from_numpy(np.stack([self._luma_of(one) for one in batch])).to(self._predictor.device)
            self._tell_ahead(range(batch.stop, min(batch.stop + self._size, self._stream.frames)))
            lightness = self._predictor.lightness(luma, self._input_size, **codes)  # type: ignore[arg-type]
            yield luma, hdr.eyes(lightness, self._stream.transfer)

    def _ab(self, lightness: Tensor) -> Tensor:
        pieces = lightness.split(self._at_once)
        return torch.cat([self._predictor.predict_ab(one, temperature=self._temperature) for one in pieces])

    def _followed(self, lightness: Tensor) -> Tensor:
        return followed(lightness, self._temporal, coarse=self._predictor.coarse)

    def _every_from(self, frame: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches' luma and colours, the network run on every frame."""
        smoother, held = Smoother(self._temporal, chunk=self._size), deque[Tensor]()
        for luma, lightness in self._batches(frame):
            held.append(luma)
            done = smoother.push(self._followed(lightness), self._ab(lightness))
            if len(done):
                yield held.popleft(), done
        for done in smoother.finish():
            yield held.popleft(), done

    def _adaptive_from(self, frame: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The same with the network run where there is something new, and its colours carried between."""
        smoother, held = Smoother(self._temporal, chunk=self._size), deque[Tensor]()
        watcher, carrier = Watcher(part=part_of(self._size)), Carrier()
        batches = (((luma, lightness), self._followed(lightness)) for luma, lightness in self._batches(frame))
        for (luma, lightness), seen in watcher.watch(batches):
            held.append(luma)
            runs = lightness[seen.runs]
            for carried, ab in carrier.push(seen, self._ab(runs) if len(runs) else None):
                done = smoother.push(carried.lightness, ab, carried)
                if len(done):
                    yield held.popleft(), done
        for done in smoother.finish():
            yield held.popleft(), done

    @torch.inference_mode()
    def _advance(self) -> None:
        """Paint the next batch."""
        luma, ab = next(self._done_from)
        stream = self._stream
        codes: dict[str, Any] = {"full_range": stream.full_range, "bits": stream.bits}
        ab = self._predictor.enlarged(ab, (stream.height, stream.width))
        planes = ops.paint_chroma(
            ab,
            luma,
            guide=ops.luma_to_input(luma, (ab.shape[2], ab.shape[3]), **codes) if self._predictor.is_sharp() else None,
            subsampling=stream.subsampling,
            matrix=stream.matrix,
            saturation=self._saturation,
            **codes,
        )
        cb, cr = (plane.cpu().numpy() for plane in planes)
        for row in range(len(luma)):
            self._done[self._out + row] = cb[row], cr[row]
        self._out += len(luma)
        while len(self._done) > (_KEPT + _AHEAD) * self._size:
            self._done.popitem(last=False)
