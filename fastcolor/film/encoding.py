"""How a film will be written: container, encoder, pixel format, nearest to the input's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from .probe import Film

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Encoder:
    """An encoder of PyAV's wheels, with options for visually lossless, for fast and for lossless work."""

    name: str
    good: dict[str, str]
    fast: dict[str, str]
    lossless: dict[str, str] | None
    crf: int | None
    crf_most: int
    even: bool  # subsampled planes need even sizes
    least: int = 1  # pixels that a side must have
    captions: bool = False  # it writes closed captions
    fast_qp: int | None = None  # for fast work at one quantiser, of 8 bits, in place of a crf


# x264's ultrafast encodes 2.4 times as many frames a second as SVT-AV1's preset 12 (2 cores, 360p and 720p), into files
# about three times the size. At quantiser 18 it takes 0.6 to 0.75 of crf 18's time, which looks at frames twice, for
# files 0.4 to 0.95 times as large. In decibels of luma (usual, fast crf 18, fast quantiser 18), three clips and two
# grainy pans: 45.2 47.6 46.1, 43.8 46.8 45.7, 50.1 55.2 49.5; 47.8 44.9 44.9, 47.0 44.3 44.4.
ENCODERS = {
    "h264": Encoder("libx264", {"preset": "veryfast"}, {"preset": "ultrafast"}, {"qp": "0"}, 18, 51, True,
                    captions=True, fast_qp=18),
    "hevc": Encoder("libx265", {"preset": "veryfast"}, {"preset": "ultrafast"}, {"x265-params": "lossless=1"}, 20, 51,
                    True, least=64, captions=True),
    "av1": Encoder("libsvtav1", {"preset": "8"}, {"preset": "12"}, None, 24, 63, False,
                   least=64),
    "vp9": Encoder("libvpx-vp9", {"deadline": "good", "cpu-used": "5", "row-mt": "1", "b": "0"},
                   {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "b": "0"}, {"lossless": "1"}, 24, 63,
                   False),
    "ffv1": Encoder("ffv1", {}, {}, {}, None, 0, False),
}  # fmt: skip
# Marks fields in its stream: of the others none does.
INTERLACED = ("h264", "ffv1")
# Planes, and the same samples as a surface of luma and, by turns, Cb and Cr: what NVDEC gives and NVENC takes here.
SURFACES = {"yuv420p": "nv12", "yuvj420p": "nv12", "yuv420p10le": "p010le"}
CONTAINERS = {
    ".mp4": ("mp4", ("h264", "hevc", "av1", "vp9")),
    ".m4v": ("mp4", ("h264", "hevc", "av1", "vp9")),
    ".mov": ("mov", ("h264", "hevc")),
    ".mkv": ("matroska", ("h264", "hevc", "av1", "vp9", "ffv1")),
    ".webm": ("webm", ("vp9", "av1")),
}


Subsampling = Literal["420", "422", "444"]


@dataclass(frozen=True)
class Layout:
    """From decoded to encoded planes. `convert`: a format to bring decoded frames to first, None where the luma plane
    can be taken as it is."""

    convert: str | None
    output: str
    subsampling: Subsampling
    bits: int
    note: str | None

    @property
    def dtype(self) -> type:
        """Of the planes, in numpy."""
        return np.uint8 if self.bits == 8 else np.uint16


@dataclass(frozen=True)
class Encoding:
    """How the painted stream is written."""

    container: str  # libav's name of the format
    family: str
    encoder: str  # libav's name of it
    options: dict[str, str]
    layout: Layout
    pictures: int  # side by side: 1, or 2 with the gray film on the left
    interlaced: bool  # fields are coded as such
    captions: bool  # closed captions are kept
    notes: tuple[str, ...]
    surfaces: torch.device | None = None  # where its frames are surfaces; None: planes on the host

    @property
    def takes(self) -> str:
        """The pixel format of the frames that the encoder is given."""
        if self.surfaces is None:
            return self.layout.output
        return "cuda" if self.surfaces.type == "cuda" else SURFACES[self.layout.output]


def _suffix(bits: int) -> str:
    return "" if bits == 8 else f"{bits}le"


def _luma_source(name: str) -> tuple[str | None, Subsampling, int, str | None]:
    """(convert, subsampling, bits, note) that give a luma plane for a pixel format."""
    import av

    shape = av.VideoFormat(name, 16, 16)
    parts = [c for c in shape.components if not c.is_alpha]
    bits = parts[0].bits
    lost = None if len(parts) == len(shape.components) else "the alpha plane was left out"
    note = lost and f"{name}: {lost}"
    if shape.is_rgb or shape.has_palette or shape.is_bayer or name.startswith("xyz"):
        bits = min(b for b in (8, 10, 12, 16) if b >= min(bits, 16))
        told = f"{name} has no luma plane and was converted to 4:4:4"
        return f"yuv444p{_suffix(bits)}", "444", bits, f"{told}; {lost}" if lost else told
    if len(parts) == 1:
        whole = min(b for b in (8, 10, 12, 16) if b >= min(bits, 16))
        plain = f"gray{_suffix(whole)}"
        return None if name == plain else plain, "420", whole, note
    ratio = (shape.chroma_width(16), shape.chroma_height(16))
    known: dict[tuple[int, int], Subsampling] = {(8, 8): "420", (4, 4): "420", (8, 16): "422", (4, 16): "422"}
    subsampling = known.get(ratio, "444")
    planar = shape.is_planar and len({c.plane for c in parts}) == 3 and not (shape.is_big_endian and bits > 8)
    return None if planar else f"yuv{subsampling}p{_suffix(bits)}", subsampling, bits, note


_NEAREST: dict[Subsampling, tuple[Subsampling, ...]] = {
    "420": ("420", "422", "444"),
    "422": ("422", "444", "420"),
    "444": ("444", "422", "420"),
}


def _is_odd(film: Film, family: str, subsampling: str) -> bool:
    """Whether a chroma sample would hang over the edge; each field of an interlaced picture has its own."""
    rows = (2 if subsampling == "420" else 1) * (2 if film.field_order and family == "h264" else 1)
    return bool(film.width % 2 and subsampling != "444") or bool(film.height % rows)


def _fit(film: Film, family: str, wanted: Subsampling, bits: int) -> tuple[str, Subsampling] | None:
    """(pixel format, subsampling) nearest to `wanted` that an encoder takes at this depth and the film's size."""
    import av

    encoder = ENCODERS[family]
    if min(film.width, film.height) < encoder.least:
        return None
    taken = {f.name for f in av.codec.Codec(encoder.name, "w").video_formats or ()}
    for subsampling in _NEAREST[wanted]:
        if encoder.even and _is_odd(film, family, subsampling):
            continue
        for name in (f"yuvj{subsampling}p", f"yuv{subsampling}p{_suffix(bits)}"):
            if name in taken and (not name.startswith("yuvj") or (film.full_range and bits == 8)):
                return name, subsampling
    return None


def choose_encoding(
    film: Film, dst: Path, *, codec: str | None, crf: int | None, fast: bool, lossless: bool, compare: bool = False
) -> Encoding:
    """Choose container, encoder and pixel format: the input's own wherever the output can hold it.

    Raises:
        ValueError: unknown file name ending, codec or crf, or the container cannot hold the codec.
    """
    if dst.suffix.lower() not in CONTAINERS:
        ending = dst.suffix or "without an ending"
        raise ValueError(f"{dst}: films are written as {', '.join(CONTAINERS)}, not {ending}")
    container, held = CONTAINERS[dst.suffix.lower()]
    families = {**{name: name for name in ENCODERS}, **{e.name: name for name, e in ENCODERS.items()}}
    if codec is not None and codec not in families:
        raise ValueError(f"codec: must be one of {', '.join(ENCODERS)}, got {codec!r}")
    if codec is not None and families[codec] not in held:
        raise ValueError(f"codec: must be one that {dst.suffix} holds, {', '.join(held)}, got {codec!r}")
    first = film.codec if film.codec in ENCODERS and not fast else "h264"
    order = [families[codec]] if codec else [f for f in dict.fromkeys((first, *ENCODERS)) if f in held]
    refused = None
    if min(film.width, film.height) < ENCODERS[order[0]].least:
        refused = f"{order[0]} is not written at {film.width}x{film.height}, below {ENCODERS[order[0]].least} pixels"
        order = [f for f in dict.fromkeys((*order, "h264", *ENCODERS)) if f in held]
    if lossless:
        order = [f for f in order if ENCODERS[f].lossless is not None]
        if not order:
            raise ValueError(
                f"lossless: must come with h264, hevc, vp9 or ffv1 in a file that holds it, got {codec} in {dst}"
            )
    convert, wanted, bits, note = _luma_source(film.pixel_format)
    odd = any(_is_odd(film, family, wanted) for family in order)
    # The first encoder that keeps depth and subsampling wins, then one that keeps the depth, then the deepest left.
    for depth in (bits, *(d for d in (12, 10, 8) if d < bits)):
        for strict in (True, False):
            for family in order:
                fit = _fit(film, family, wanted, depth)
                if fit is None or (strict and fit[1] != wanted and not odd):
                    continue
                output, subsampling = fit
                less = None
                if depth < bits:
                    less = f"luma of {bits} bits was brought to {depth}, the most {dst.suffix} holds here"
                    convert = output
                elif subsampling != wanted:
                    who = f"{ENCODERS[family].name} at {film.width}x{film.height}"
                    less = f"written as {output}, since {who} takes no 4:{wanted[1]}:{wanted[2]}"
                layout = Layout(convert, output, subsampling, depth, less or note)
                options = _options(family, crf, fast, lossless, depth)
                notes = [text for text in (note, less, refused and f"{refused}, but as {family}") if text]
                notes += _tell_encoder(film, family, options)
                interlaced = film.field_order is not None and family in INTERLACED
                return Encoding(
                    container=container,
                    family=family,
                    encoder=ENCODERS[family].name,
                    options=options,
                    layout=layout,
                    pictures=2 if compare else 1,
                    interlaced=interlaced,
                    captions=ENCODERS[family].captions,
                    notes=tuple(notes),
                )
    raise ValueError(f"{' or '.join(order)} cannot hold {film.width}x{film.height} {film.pixel_format}")


def _tell_encoder(film: Film, family: str, options: dict[str, str]) -> list[str]:
    """Add to an encoder's options what it should write of the film's nature; say what it cannot."""
    lost = []
    if film.field_order and family == "h264":
        _add(options, "x264-params", "tff=1" if film.field_order == "top" else "bff=1")
    elif film.field_order and family not in INTERLACED:
        lost.append(f"{family} is written without the mark of an interlaced film")
    if film.mastering:
        told = film.mastering.options(family)
        for name, value in told.items():
            _add(options, name, value)
        if film.mastering.dynamic:
            lost.append("the HDR metadata that changes from scene to scene (HDR10+, Dolby Vision) is left out")
        if not told and (film.mastering.primaries or film.mastering.content_light):
            lost.append(f"{family} is written without the film's mastering display and light level")
    return lost


def _add(options: dict[str, str], name: str, value: str) -> None:
    options[name] = ":".join(filter(None, (options.get(name), value)))


def _options(family: str, crf: int | None, fast: bool, lossless: bool, bits: int) -> dict[str, str]:
    encoder = ENCODERS[family]
    options = dict(encoder.fast if fast else encoder.good)
    if crf is not None and (lossless or encoder.crf is None):
        raise ValueError(f"crf: must be left out where {family} is lossless, got {crf}")
    if crf is not None and not 0 <= crf <= encoder.crf_most:
        raise ValueError(f"crf: must lie in 0..{encoder.crf_most} for {family}, got {crf}")
    if lossless:
        options |= encoder.lossless or {}
    elif fast and crf is None and encoder.fast_qp is not None:
        options["qp"] = str(encoder.fast_qp + 6 * (bits - 8))  # x264 counts from below 0 where codes have more bits
    elif encoder.crf is not None:
        options["crf"] = str(encoder.crf if crf is None else crf)
    if family == "hevc":
        _add(options, "x265-params", "log-level=error")  # it writes to stderr by itself
        options["a53cc"] = "1"  # the other's default
    return options
