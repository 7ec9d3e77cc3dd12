"""From colours to a batch's chroma planes, and to a chroma film's frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import ops
from ..options.look import is_sharp
from . import hdr
from .chroma_film import chroma_codes, chroma_frames, luma_codes
from .chroma_source import ChromaSource, Given
from .encoding import Layout
from .frames import plane_view
from .probe import Film
from .read import Batch

if TYPE_CHECKING:
    from ..options.film import VideoOptions


class ChromaPainter:
    """Paints one film's chroma. source: another version of it, whose colours some frames get."""

    def __init__(self, film: Film, layout: Layout, options: VideoOptions, source: ChromaSource | None) -> None:
        self.film, self.layout, self.options, self.source = film, layout, options, source
        self.factor = hdr.COLOUR_FACTOR.get(film.transfer, 1.0)

    def convert(self, given: list[Given | None], device: torch.device) -> list[Tensor | None]:
        """What a version's frames give: ab (2, h, w) of a small version, or else (2, h, w) codes of chroma planes."""
        source = self.source
        if source is None:
            return [None] * len(given)
        size = self.film.height, self.film.width
        if source.small():
            return [None if one is None else source.ab(one, size).to(device) for one in given]
        return [
            None if one is None else source.planes(one, self.layout, self._chroma_size()).to(device) for one in given
        ]

    def planes(self, batch: Batch, ab: Tensor | None, luma: Tensor) -> tuple[Tensor, Tensor]:
        """(Cb, Cr) of a batch. ab: of the network; None: every frame is given."""
        count = len(batch.frames)
        given = [i for i in range(count) if batch.given and batch.given[i] is not None]
        if ab is not None and not given:
            return self._painted(ab, luma, self.factor)
        shape = (count, *self._chroma_size())
        cb, cr = luma.new_empty(shape), luma.new_empty(shape)
        own = [i for i in range(count) if i not in given]
        parts: list[tuple[list[int], tuple[Tensor, Tensor]]] = []
        if ab is not None and own:
            parts.append((own, self._painted(ab[own], _rows(luma, own), self.factor)))
        if given and self.source is not None and self.source.small():
            told = torch.stack([batch.given[i] for i in given])
            # Another version has the film's dynamic range; a chroma film has what the network saw.
            factor = self.factor if self.source.ours else 1.0
            parts.append((given, self._painted(told, _rows(luma, given), factor, known=not self.source.ours)))
        elif given:
            told = torch.stack([self._saturated(batch.given[i]) for i in given])
            parts.append((given, (told[:, 0], told[:, 1])))
        for places, planes in parts:
            for row, place in enumerate(places):
                cb[place], cr[place] = planes[0][row], planes[1][row]
        return cb, cr

    def chroma_film(
        self,
        batch: Batch,
        ab: Tensor | None,
        luma: Tensor,
        planes: tuple[Tensor, Tensor],
        size: tuple[int, int],
        *,
        half: bool,
    ) -> list[Any]:
        """A batch's frames of the chroma film.

        Args:
            ab, luma: as for `planes`. planes: which it returned. size: (h, w) of the frames. half: of their colours.
        """
        film, layout = self.film, self.layout
        lightness = ops.luma_to_input(luma, size, full_range=film.full_range, bits=layout.bits)
        lightness = hdr.eyes(lightness, film.transfer)
        small = self.source is not None and self.source.small()
        gray = luma_codes(lightness)
        if half:
            size = size[0] // 2, size[1] // 2
        found = torch.empty(len(luma), 2, *size, device=luma.device)
        for i, frame in enumerate(batch.frames):
            now = slice(i, i + 1)
            given = batch.given[i] if batch.given else None
            if batch.colored[i]:
                kept = [torch.from_numpy(plane_view(frame, index, layout.dtype).copy()) for index in (1, 2)]
                found[i] = self._differences(torch.stack(kept), size)
            elif given is not None and not small:
                found[i] = self._differences(torch.stack([plane[i] for plane in planes]), size)
            else:
                source = given[None] if given is not None else ab[now]  # type: ignore[index]  # one of both is there
                found[i] = chroma_codes(source * self.options.saturation, gray[now], size, film)[0]
        return chroma_frames(gray, found)

    def _painted(self, ab: Tensor, luma: Tensor, factor: float, *, known: bool = False) -> tuple[Tensor, Tensor]:
        codes: dict[str, Any] = {"full_range": self.film.full_range, "bits": self.layout.bits}
        sharp = is_sharp(self.options.edges, known=known)
        return ops.paint_chroma(
            ab,
            luma,
            guide=ops.luma_to_input(luma, (ab.shape[2], ab.shape[3]), **codes) if sharp else None,
            subsampling=self.layout.subsampling,
            matrix=self.film.matrix,
            saturation=self.options.saturation * factor,
            **codes,
        )

    def _saturated(self, codes: Tensor) -> Tensor:
        """Codes of chroma planes, in their own type."""
        factor, middle = self.options.saturation, 2.0 ** (self.layout.bits - 1)
        if factor != 1:
            codes = (codes - middle) * factor + middle
        return (
            codes.round().clamp(0, 2**self.layout.bits - 1).to(torch.uint8 if self.layout.bits == 8 else torch.uint16)
        )

    def _differences(self, planes: Tensor, size: tuple[int, int]) -> Tensor:
        """(2, h, w) Cb and Cr of codes."""
        bits = self.layout.bits
        excursion = 2**bits - 1 if self.film.full_range else 224 * 2 ** (bits - 8)
        values = (planes.float() - 2 ** (bits - 1)) / excursion / self.factor
        return F.interpolate(values[None], size, mode="bilinear", antialias=True, align_corners=False)[0]

    def _chroma_size(self) -> tuple[int, int]:
        subsampling = self.layout.subsampling
        rows, columns = 2 if subsampling == "420" else 1, 1 if subsampling == "444" else 2
        return -(-self.film.height // rows), -(-self.film.width // columns)


def _rows(planes: Tensor, places: list[int]) -> Tensor:
    """Some of the planes; torch indexes no 16-bit codes."""
    return planes if len(places) == len(planes) else torch.cat([planes[i : i + 1] for i in places])
