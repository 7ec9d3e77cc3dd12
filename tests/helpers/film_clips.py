"""Small gray films with all that films come with, written by real encoders, and ways to look at what became of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.codec.context import Flags

import fastcolor
from fastcolor import models
from fastcolor.film.frames import as_interlaced
from fastcolor.models import weights
from fastcolor.palette import Palette

NTSC = Fraction(1, 30000)


def random_net(folder: Path, paints: tuple[float, float] | None = None) -> str:
    """Weights of a network that knows nothing, small enough to be quick; or that paints all in one bin's colour."""
    torch.manual_seed(0)
    model = models.build("default")
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.momentum = None  # statistics of this one batch, so that the signal reaches the end
    model(torch.rand(4, 1, 64, 64) * 100)
    with torch.no_grad():
        for parameter in model.hints.say[-1].parameters():  # zeros say that hints were never learnt
            torch.nn.init.normal_(parameter, std=0.01)
        if paints:
            model.head.weight.zero_()
            model.head.bias.zero_()
            model.head.bias[Palette.grid().points.tolist().index(list(paints))] = 100
    path = folder / f"{'one' if paints else 'random'}.safetensors"
    weights.save(path, model, name="default", options={}, palette=Palette.grid(), temperature=0.25, size=64)
    return str(path)


def pattern(index: int, height: int, width: int, bits: int) -> np.ndarray:
    """A luma plane that changes from frame to frame and stays inside the limited range."""
    y, x = np.mgrid[:height, :width]
    wave = np.sin(x / 7 + index / 5) + np.cos(y / 5 - index / 9) + 0.2 * np.sin(x * y / 3)
    return ((0.5 + 0.18 * wave) * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def plane(frame: av.VideoFrame, index: int) -> np.ndarray:
    kind = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
    samples = np.frombuffer(frame.planes[index], kind)
    return samples.reshape(frame.planes[index].height, -1)[:, : frame.planes[index].width]


def add_sound(output, codecs: tuple[str, ...]) -> list:
    tracks = []
    for number, codec in enumerate(codecs):
        stream = output.add_stream(codec, rate=48000)
        stream.layout = "stereo" if number else "mono"
        stream.metadata["language"] = ("ger", "fre", "eng")[number]
        tracks.append(stream)
    return tracks


def sound(output, tracks: list, seconds: float) -> None:
    for number, stream in enumerate(tracks):
        for at in range(0, int(seconds * 48000), 1024):
            time = np.arange(at, at + 1024) / 48000
            wave = np.sin(2 * np.pi * 440 * (number + 1) * time).astype(np.float32) * 0.3
            frame = av.AudioFrame.from_ndarray(
                np.stack([wave] * stream.codec_context.channels), format="fltp", layout=stream.codec_context.layout.name
            )
            frame.sample_rate, frame.pts, frame.time_base = 48000, at, Fraction(1, 48000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def clip(
    path: Path,
    pixel_format: str = "yuv420p",
    size: tuple[int, int] = (96, 64),
    frames: int = 12,
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    time_base: Fraction = NTSC,
    pts: list[int] | None = None,
    audio: tuple[str, ...] = (),
    tags: tuple[int, int, int] | None = None,
    color_range: int = 0,
    rotation: int = 0,
    matrix: tuple[int, ...] = (),
    turns: int = 0,
    sample_aspect: Fraction | None = None,
    interlaced: bool = False,
    colored: Collection[int] = (),
    tint: tuple[int, int] = (128, 128),
) -> Path:
    """Write a gray film."""
    width, height = size
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=Fraction(30000, 1001), options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        context = stream.codec_context
        context.time_base = stream.time_base = time_base
        if tags:
            context.colorspace, context.color_primaries, context.color_trc = tags
        if color_range:
            context.color_range = color_range
        if interlaced:
            context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        if sample_aspect:
            context.sample_aspect_ratio = sample_aspect
        if rotation:
            stream.set_display_rotation(rotation)
        if matrix:
            stream.set_display_matrix(matrix)
        tracks = add_sound(output, audio)
        for index in range(frames):
            frame = av.VideoFrame(width, height, pixel_format)
            bits = frame.format.components[0].bits
            shape = (width, height) if turns % 2 else (height, width)
            plane(frame, 0)[:] = np.rot90(pattern(index, *shape, bits), turns)
            for chroma in range(1, len(frame.planes)):
                samples = plane(frame, chroma)
                samples[:] = tint[chroma - 1] * 2 ** (bits - 8)
                if index in colored:
                    samples[:] = pattern(index + chroma, *samples.shape, bits)
            if interlaced:  # encoders heed the frames' own marks
                frame = as_interlaced("top" if "tff=1" in (options or {}).get("x264-params", "") else "bottom")(frame)
            frame.pts = pts[index] if pts else round(index * Fraction(1001, 30000) / time_base)
            frame.time_base = time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        sound(output, tracks, frames * 1001 / 30000)
    return path


def two_shots(path: Path, frames: int = 24) -> Path:
    """A gray film with sound, which cuts in its middle from one picture to quite another."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=Fraction(24))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        tracks = add_sound(output, ("aac",))
        for index in range(frames):
            frame = av.VideoFrame(96, 64, "yuv420p")
            luma = pattern(index, 64, 96, 8)
            plane(frame, 0)[:] = luma if index < frames // 2 else 255 - luma[::-1] // 2
            for chroma in (1, 2):
                plane(frame, chroma)[:] = 128
            frame.pts, frame.time_base = index, Fraction(1, 24)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        sound(output, tracks, frames / 24)
    return path


def frames_of(path: Path, stream: int = 0) -> list[av.VideoFrame]:
    with av.open(str(path)) as source:
        return list(source.decode(source.streams[stream]))


def times_of(path: Path, stream: int = 0) -> list[Fraction]:
    return [frame.pts * Fraction(frame.time_base) for frame in frames_of(path, stream)]


def packets_of(path: Path) -> dict[int, list[tuple[Fraction, bytes]]]:
    """Time stamps and content of every packet, by stream."""
    with av.open(str(path)) as source:
        found: dict[int, list[tuple[Fraction, bytes]]] = {stream.index: [] for stream in source.streams}
        for packet in source.demux():
            if packet.size:
                found[packet.stream.index].append((packet.pts * Fraction(packet.time_base), bytes(packet)))
    return found


def same_luma(left: Path, right: Path) -> bool:
    pairs = list(zip(frames_of(left), frames_of(right), strict=True))
    return all(np.array_equal(plane(a, 0), plane(b, 0)) for a, b in pairs)


def rich_film(path: Path) -> Path:
    """A Matroska film with sound, subtitles, a font, chapters and a title."""
    base = clip(path.with_name("base.mkv"), frames=60, audio=("aac",), time_base=Fraction(1, 1000))
    with av.open(str(base)) as source, av.open(str(path), "w") as output:
        copies = {stream.index: output.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        text = output.add_mux_stream("subrip")
        output.add_attachment("font.ttf", "application/x-truetype-font", b"\0\1\0\0" + b"x" * 100)
        output.metadata["title"] = "Grüße"
        chapter = {"time_base": Fraction(1, 1000), "metadata": {"title": "one"}}
        output.set_chapters(
            [{"id": 1, "start": 0, "end": 900, **chapter}, {"id": 2, "start": 900, "end": 2000, **chapter}]
        )
        for packet in source.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
        for index in range(3):
            packet = av.Packet(f"line {index}".encode())
            packet.stream, packet.time_base, packet.duration = text, Fraction(1, 1000), 300
            packet.pts = packet.dts = index * 500
            output.mux(packet)
    return path


def in_process(code: str, **options) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(Path(fastcolor.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=environment, **options)
