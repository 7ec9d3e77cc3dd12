"""Pictures in, coloured pictures out."""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .. import ops
from ..formats.picture import Picture, compose
from ..formats.pixels import eight_bit
from ..models import named
from ..models.hints import reached
from ..options.base import takes
from ..options.hints import Hint
from ..options.look import Edges, Merge, check_look
from ..options.references import reference_of
from ..options.steering import Steering, check_tone, hints_from
from ..predictor import Predictor
from ..steering.planes import planes
from ..steering.references import Reference, looks_of, matched, toned
from .colored import lacks_color
from .opening import ImageLike, opened
from .told import Told
from .trust import trust
from .version import Version, colours_of

_REFERENCES = 8  # that are kept
_looking = threading.Lock()  # at references: of several painters that want one, the first makes it
log = logging.getLogger("fastcolor")


@dataclass(frozen=True)
class Features:
    """A picture and what a network saw in it: `seen` in `lightness`, (1, 1, h, w) of `size` (h, w); and how much of its
    guesses to `trust`."""

    picture: Picture
    size: tuple[int, int]
    seen: tuple[torch.Tensor, ...]
    trust: float
    lightness: torch.Tensor


class Colorizer(Predictor):
    """A network that is loaded once and colours many pictures.

    Args:
        weights: a name ("default") or a file that `fastcolor.train` or `fastcolor.export` wrote; several joined by +,
            each with *SHARE or none, are merged.
        device: "auto" (the first GPU, else the CPU), "cpu", "cuda" or "cuda:N".
        engine: what runs the network: "torch", "onnx", "openvino", "tensorrt", or "auto", the fastest of those that
            are ready, measured once a machine (`fastcolor info`).
        as_published: squeeze pictures into a square and enlarge colours as the network's authors' demo does.
        edges: "on": colours end where lightness does, between the places where they are known; "auto": those of smaller
            versions, and of pictures most of which lies near hints or matches; a network's guesses err by more than
            that.
        trust_first: download weights of which nobody states a SHA-256, and keep the one that they have.
        merge: how several networks, joined by + in `weights`, are mixed: "share", "confidence" or "luma".
        size: side of the square with as many pixels as the network sees of a picture, 64 to 1024; more shows it smaller
            things and less of the whole. None: the weights' own.

    Raises:
        ValueError, FileNotFoundError: unknown or damaged weights, a device or engine that is not there.

    Example:
        >>> colorizer = Colorizer()
        >>> colorizer(Image.new("L", (320, 240), 128)).size
        (320, 240)
    """

    @functools.cached_property
    def _references(self) -> dict[tuple[str, int, int], Reference]:
        return {}

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a str is a sequence of str too
        self,
        image: ImageLike,
        *,
        temperature: float | None = None,
        saturation: float = 1.0,
        hints: str | os.PathLike[str] | Sequence[Hint] | None = None,
        chroma_from: ImageLike | None = None,
        references: Sequence[ImageLike | tuple[ImageLike, float]] = (),
        reference_tone: str = "off",
    ) -> Image.Image: ...
    @overload
    def __call__(
        self,
        image: Sequence[ImageLike],
        *,
        temperature: float | None = None,
        saturation: float = 1.0,
        references: Sequence[ImageLike | tuple[ImageLike, float]] = (),
        reference_tone: str = "off",
    ) -> list[Image.Image]: ...

    def __call__(
        self,
        image: ImageLike | Sequence[ImageLike],
        temperature: float | None = None,
        saturation: float = 1.0,
        hints: str | os.PathLike[str] | Sequence[Hint] | None = None,
        chroma_from: ImageLike | None = None,
        references: Sequence[ImageLike | tuple[ImageLike, float]] = (),
        reference_tone: str = "off",
    ) -> Image.Image | list[Image.Image]:
        """Colour one picture or several.

        Args:
            image: a file, a PIL image, a uint8 array (H, W), (H, W, 3) or (H, W, 4), a uint16 array (H, W); or a list
                of these. Colour in it is replaced; its lightness is kept. Of a file with several pictures the first.
            temperature: lower is nearer to the likeliest colour and less even; 0 or 0.001 to 10; None: the weights'.
            saturation: factor, 0 (gray) to 10.
            hints: colours at places of one picture, or a file of them. chroma_from: a coloured version of it, whose
                colours are taken: of any size, a little larger, shifted or turned. One of both, for one picture.
            references: coloured pictures, whose colours are taken for what looks alike; or (picture, weight), a weight
                above 0 and at most 1. reference_tone: "on": and their tone, as a weak hint, for the rest.

        Returns:
            An sRGB image of the same size, or a list of them in order.

        Raises:
            ValueError, FileNotFoundError: not a readable picture, numbers out of range, a network that follows no
                hints, a version that is gray or shows something else.
        """
        check_tone(reference_tone, references)
        tone = reference_tone == "on"
        told = Told(tuple(hints_from(hints, film=False)), chroma_from, tuple(references), tone)
        if not isinstance(image, (list, tuple)):
            return self.paint([opened(image)], temperature=temperature, saturation=saturation, told=[told])[0]
        if told.hints or told.version is not None:
            raise ValueError(f"hints and chroma_from: are of one picture, got {len(image)} pictures")
        pictures = [opened(one) for one in image]
        return self.paint(pictures, temperature=temperature, saturation=saturation, told=[told] * len(pictures))

    def paint(
        self,
        pictures: list[Picture],
        *,
        temperature: float | None = None,
        saturation: float = 1.0,
        told: Sequence[Told] = (),
    ) -> list[Image.Image]:
        """Colour opened pictures; those of one shape go through the network eight at a time, fewer of large ones.

        Less colour goes where there is less to see: none into a flat picture or the missing part of a truncated one.

        Args:
            told: of each picture; none: nothing of any.
        """
        check_look(temperature, saturation)
        results: list[Image.Image | None] = [None] * len(pictures)
        groups: dict[tuple[int, int], list[int]] = {}
        for i, picture in enumerate(pictures):
            height, width = picture.pixels[picture.present].shape[:2]
            if height and width and told and told[i]:
                results[i] = self._told(picture, told[i], temperature, saturation)
            elif height and width:
                groups.setdefault(self.input_size(height, width), []).append(i)
            else:
                results[i] = compose(np.empty((height, width, 3), np.uint8), picture)
        for size, members in groups.items():
            count = self.at_once(8, size)
            for first in range(0, len(members), count):
                batch = members[first : first + count]
                grays = [pictures[i].gray[pictures[i].present] for i in batch]
                lightness = torch.cat([self.lightness(self._tensor(gray), size) for gray in grays])
                ab = self.predict_ab(lightness, temperature=temperature)
                for row, i in enumerate(batch):
                    believed = saturation * trust(lightness[row].cpu().numpy(), grays[row].shape)
                    rgb = self._paint_one(ab[row : row + 1], pictures[i], believed)
                    results[i] = compose(rgb, pictures[i])
        return [image for image in results if image is not None]

    def _told(self, picture: Picture, told: Told, temperature: float | None, saturation: float) -> Image.Image:
        if told.version is None:
            return self._steered(self._features(picture), told, temperature, saturation)
        ab = self.version_ab(told.version, picture, temperature)
        return compose(self._paint_one(ab, picture, saturation, known=True), picture)

    def _steered(self, features: Features, told: Told, temperature: float | None, saturation: float) -> Image.Image:
        """By hints and references."""
        known = [self.reference(one) for one in told.references]
        given = self._given(features, told.hints, known)
        return self._colours(features, given, temperature, saturation, tone=known if told.tone else ())

    def version_ab(self, version: ImageLike, picture: Picture, temperature: float | None) -> Tensor:
        """(1, 2, h, w): a picture's colours by a version of it; beyond its edges the network's.

        Raises:
            ValueError: the version is gray or shows something else.
        """
        found = colours_of(opened(version), picture)
        ab = found.ab if bool(found.reached.all()) else self._completed(found, picture, temperature)
        return ab.to(self.device)

    def _completed(self, found: Version, picture: Picture, temperature: float | None) -> Tensor:
        """A version's colours, and beyond its edges the network's."""
        gray = picture.gray[picture.present]
        lightness = self.lightness(self._tensor(gray), self.input_size(*gray.shape))
        own = self.predict_ab(lightness, temperature=temperature).cpu()
        own = F.interpolate(own, found.ab.shape[-2:], mode="bilinear", align_corners=False)
        log.warning("chroma_from: reaches %.0f %% of the picture", 100 * float(found.reached.float().mean()))
        return torch.where(found.reached, found.ab, own)

    def _paint_one(self, ab: Tensor, picture: Picture, saturation: float, *, known: bool = False) -> np.ndarray:
        """(H, W, 3) uint8 of the part that is present. known: the colours are no guess."""
        pixels = picture.pixels[picture.present]
        source = self._tensor(pixels)
        if pixels.ndim == 3 and pixels.dtype == np.uint16:
            planes = source.permute(0, 3, 1, 2).to(torch.float32) / 65535
            source = ops.rgb_to_lab(planes)[:, :1]
        ab = self.enlarged(ab, pixels.shape[:2])
        guide = None
        if self.is_sharp(known=known):
            guide = ops.luma_to_input(self._tensor(picture.gray[picture.present]), (ab.shape[2], ab.shape[3]))
        return ops.paint_rgb(ab, source, saturation=saturation, guide=guide)[0].cpu().numpy()

    def _tensor(self, pixels: np.ndarray) -> Tensor:
        pixels = pixels if pixels.flags.writeable else pixels.copy()  # torch warns of arrays it could write into
        return torch.from_numpy(pixels)[None].to(self.device)

    def features(self, image: ImageLike) -> Features:
        """Let the network look at one picture, once, for `colours`.

        Raises:
            ValueError, FileNotFoundError: not a readable picture, or a network that follows no hints.
        """
        return self._features(opened(image))

    def _features(self, picture: Picture) -> Features:
        gray = picture.gray[picture.present]
        if not all(gray.shape):
            raise ValueError(f"image: must hold pixels, got {picture.pixels.shape[1]} x {picture.pixels.shape[0]}")
        size = self.input_size(*gray.shape)
        lightness = self.lightness(self._tensor(gray), size)
        return Features(picture, size, self.see(lightness), trust(lightness.cpu().numpy(), gray.shape), lightness)

    def colours(
        self,
        features: Features,
        hints: Sequence[Hint] = (),
        *,
        temperature: float | None = None,
        saturation: float = 1.0,
    ) -> Image.Image:
        """Colour a picture by what the network saw and by hints, in a fraction of the time of a whole colouring.

        Args:
            features: of this colorizer's `features`. hints: what somebody knows; none: as a call, but in torch, whose
                rounding may be another.
            temperature, saturation: as for a call.

        Returns:
            An sRGB image of the picture's size.

        Raises:
            ValueError: numbers out of range, or more hints than the network has cells.

        Example:
            >>> colorizer = Colorizer(engine="torch")
            >>> features = colorizer.features(np.full((64, 96), 128, dtype=np.uint8))
            >>> colorizer.colours(features, [Hint(0.5, 0.5, "#c03020")]).size
            (96, 64)
        """
        check_look(temperature, saturation)
        return self._colours(features, planes(hints, features.size) if hints else None, temperature, saturation)

    def _given(
        self, features: Features, hints: Sequence[Hint], references: Sequence[Reference]
    ) -> tuple[Tensor, Tensor] | None:
        """Hints, and where there are none those of references, as `planes` gives them; None for neither."""
        if not references:
            return planes(hints, features.size) if hints else None
        found = matched(features.seen, features.lightness, references)
        share = float((found[1] > 0).float().mean())
        log.warning("references: %.0f %% of the picture found something alike", 100 * share)
        ab, mask = planes(hints, features.size)
        return torch.where(mask > 0, ab, found[0]), torch.where(mask > 0, mask, found[1])

    def reference(self, value: ImageLike | tuple[ImageLike, float]) -> Reference:
        """A reference as the network sees it; of files those used last are kept. value: as `reference_of` takes it."""
        image, weight = reference_of(value)
        if not isinstance(image, (str, os.PathLike)):
            return replace(self._reference(image), weight=weight)
        key = (os.fspath(image), os.stat(image).st_mtime_ns, self.size)
        with _looking:
            found = self._references.pop(key, None) or self._reference(image)
            while len(self._references) >= _REFERENCES:
                del self._references[next(iter(self._references))]
            self._references[key] = found
        return replace(found, weight=weight)

    def _reference(self, image: ImageLike) -> Reference:
        picture = opened(image)
        if lack := lacks_color(picture):
            name = f", {os.fspath(image)}" if isinstance(image, (str, os.PathLike)) else ""
            raise ValueError(f"references: must be in colour, got a {lack} picture{name}")
        features = self._features(picture)
        pixels = np.ascontiguousarray(eight_bit(picture.pixels))
        ab = ops.rgb_to_lab(torch.from_numpy(pixels)[None], layout="hwc")[:, 1:]
        ab = F.interpolate(ab, features.size, mode="bilinear", antialias=True, align_corners=False)
        return Reference(looks_of(features.seen), ab, features.lightness)

    def _colours(
        self,
        features: Features,
        given: tuple[Tensor, Tensor] | None,
        temperature: float | None,
        saturation: float,
        tone: Sequence[Reference] = (),
    ) -> Image.Image:
        if given is not None and not bool(given[1].any()):
            given = None
        ab = self.follow(features.seen, given, temperature=temperature)
        if tone:
            ab = toned(ab, features.lightness, tone)
        believed = max(features.trust, float(given is not None))  # what somebody says is no guess
        known = given is not None and float(reached(given[1])) >= 0.5  # about most of the picture
        painted = self._paint_one(ab, features.picture, saturation * believed, known=known)
        return compose(painted, features.picture)


def _stamps(weights: str) -> tuple[tuple[int, ...], ...]:
    """What tells files of weights from those that bear their names later."""
    files = (named.check(name) for name, _ in named.members(weights))
    found = (file.stat() for file in files if file is not None)
    return tuple((one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns) for one in found)


@functools.lru_cache(maxsize=1)
def _shared(
    weights: str,
    stamps: tuple[tuple[int, ...], ...],
    device: str,
    engine: str,
    size: int | None,
    merge: Merge,
    trust_first: bool,
    as_published: bool,
    edges: Edges,
) -> Colorizer:
    return Colorizer(
        weights, device, engine, size=size, merge=merge, trust_first=trust_first, as_published=as_published, edges=edges
    )


@dataclass(frozen=True)
class _Picture(Steering):
    """A picture, and how it is to be coloured."""

    image: ImageLike
    """A file, a PIL image or a uint8 array."""


@takes(_Picture)
def colorize(options: _Picture) -> Image.Image:
    """Colour one picture. For many, make a `Colorizer`; this keeps the last one it used.

    Returns:
        An sRGB image of the same size.

    Raises:
        ValueError, FileNotFoundError: no picture, unknown or damaged weights, a device or engine that is not there, a
            number out of range.

    Example:
        >>> colorize(np.full((64, 96), 128, dtype=np.uint8)).size
        (96, 64)
    """
    options.check()
    weights = os.fspath(options.weights)
    colorizer = _shared(
        weights, _stamps(weights), options.device, options.engine, options.size, options.merge, options.trust_first,
        options.as_published, options.edges,
    )  # fmt: skip
    return colorizer(
        options.image,
        temperature=options.temperature,
        saturation=options.saturation,
        hints=options.hints,
        chroma_from=options.chroma_from,
        references=options.references,
        reference_tone=options.reference_tone,
    )
