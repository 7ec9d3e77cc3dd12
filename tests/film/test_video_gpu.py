"""Film on a GPU's codecs: what refuses them says so once and changes nothing; surfaces carry the same samples.

A CPU has surfaces too, frames of nv12 and p010, which real decoders give and real encoders take: all between NVDEC and
NVENC runs here on those.
"""

# ruff: noqa: E402  (PyAV first: a GPU machine without it skips this file)

from __future__ import annotations

import gc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

av = pytest.importorskip("av")

from film_clips import clip, frames_of, packets_of, pattern, plane, same_luma, times_of

import fastcolor
from fastcolor.film import damage, gpu, read
from fastcolor.film.clock import Cut
from fastcolor.film.encoding import choose_encoding
from fastcolor.film.job import FilmJob
from fastcolor.film.network import Network
from fastcolor.film.probe import probe
from fastcolor.film.proof import choose_streams
from fastcolor.film.resume import Parts
from fastcolor.film.video import VideoReport, _made_from
from fastcolor.options.film import VideoOptions

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


def chips(notes: tuple[str, ...]) -> list[str]:
    return [note for note in notes if "NVDEC" in note or "NVENC" in note]


# ---- contexts ----


def test_ffmpeg_is_given_the_context_that_torch_has_made() -> None:
    """FFmpeg refuses a device's primary context once anybody else has made it, as torch has before the first frame."""
    device = torch.device("cuda", 0)
    assert gpu.nvdec(device).options == {"primary_ctx": "0", "current_ctx": "1"}
    context = gpu.Surfaces(device, layout=None).context
    assert context.current_ctx and not context.primary_ctx and context.device_id == 0


# ---- refusals ----


@pytest.mark.skipif(torch.cuda.is_available(), reason="here the GPU's codecs may well be taken")
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "yuv420p10le"])
def test_without_a_gpu_each_codec_refuses_once_and_the_film_is_the_same(
    net: str, tmp_path: Path, pixel_format: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
):
    src, off, on = clip(tmp_path / "gray.mp4", pixel_format), tmp_path / "off.mp4", tmp_path / "on.mp4"
    options = {"weights": net, "fast": True, "device": "cpu", "engine": "torch"}
    assert not chips(fastcolor.video(src, off, hardware="off", **options).notes)
    assert not chips(fastcolor.video(src, tmp_path / "auto.mp4", **options).notes) and caplog.text == ""
    for _ in range(2):  # libav says its words once a process, the notice comes with every film
        caplog.clear()
        report = fastcolor.video(src, on, hardware="on", overwrite=True, **options)
        decoding, encoding = chips(report.notes)
        assert decoding.startswith("decoded in software, not by NVDEC: ") and "CUDA" in decoding
        assert encoding.startswith("encoded in software, not by NVENC: ") and "cuda" in encoding
        assert [record.message for record in caplog.records] == [f"{src} is {decoding}", f"{src} is {encoding}"]
        assert packets_of(on) == packets_of(off) and report.codec == "libx264" and not report.warnings
    assert capfd.readouterr().err == "" and av.logging.get_level() is None


@pytest.mark.parametrize(
    ("kind", "options", "decoding", "encoding"),
    [
        ({"codec": "ffv1"}, {}, "FFmpeg's ffv1 has no way to it", None),
        ({"pixel_format": "yuv422p"}, {}, "yuv422p is no 4:2:0", "yuv422p is no 4:2:0"),
        ({"pixel_format": "gray", "codec": "ffv1"}, {}, "gray is no 4:2:0", "ffv1 is not one of"),
        ({"pixel_format": "yuv420p10le"}, {"codec": "vp9"}, None, "vp9 is not one of h264, hevc"),
        ({"interlaced": True, "options": {"x264-params": "tff=1"}}, {}, None, "the film is interlaced"),
        ({}, {"lossless": True}, None, "lossless was asked for"),
        ({}, {"crf": 20}, None, "crf 20 was asked for"),
        ({}, {"codec": "libx264"}, None, "codec libx264 was asked for"),
        ({}, {"compare": True}, None, "compare was asked for"),
        ({}, {"skip_colored": True}, "skip_colored looks at", "skip_colored keeps"),
    ],
)
def test_what_software_alone_gives_is_left_to_it(
    net: str, tmp_path: Path, kind: dict, options: dict, decoding: str | None, encoding: str | None
):
    src = clip(tmp_path / "gray.mkv", frames=3, size=(96, 96), time_base=Fraction(1, 1000), **kind)
    report = fastcolor.video(src, tmp_path / "c.mkv", weights=net, engine="torch", hardware="on", **options)
    notes = chips(report.notes)
    assert len(notes) == 2 and report.frames == 3
    assert decoding is None or decoding in notes[0]
    assert encoding is None or notes[1].startswith(f"encoded in software, not by NVENC: {encoding}")


def test_hdr_metadata_is_left_to_software(net: str, tmp_path: Path):
    params = "log-level=error:max-cll=1000,400"
    src = clip(tmp_path / "hdr.mp4", "yuv420p10le", codec="libx265", options={"x265-params": params}, frames=3)
    report = fastcolor.video(src, tmp_path / "c.mp4", weights=net, engine="torch", hardware="on")
    assert chips(report.notes)[1] == "encoded in software, not by NVENC: the film has HDR metadata"


def test_a_film_that_is_cut_off_is_left_to_software(net: str, tmp_path: Path):
    src = clip(tmp_path / "gray.mkv", frames=30, time_base=Fraction(1, 1000))
    src.write_bytes(src.read_bytes()[:-500])
    report = fastcolor.video(src, tmp_path / "c.mp4", weights=net, engine="torch", hardware="on")
    assert "the film is cut off" in chips(report.notes)[0] and report.warnings


def test_a_frame_that_dlpack_does_not_carry_is_a_refusal_in_words():
    big = av.VideoFrame(96, 64, "yuv420p10be")
    assert "big-endian" in damage.failure(lambda: gpu.luma_of(big))
    assert damage.failure(lambda: gpu.luma_of(av.VideoFrame(96, 64, "nv12"))) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="here a session may open")
@pytest.mark.parametrize("family", ["h264", "hevc"])
@pytest.mark.parametrize("fast", [False, True])
def test_nvenc_knows_its_options(tmp_path: Path, family: str, fast: bool):
    """It reads them before it looks for a GPU, and would name one that it does not understand."""
    film = probe(clip(tmp_path / "gray.mp4", frames=2))
    encoding = choose_encoding(film, Path("c.mp4"), codec=family, crf=None, fast=fast, lossless=False)
    nvenc = gpu._by_nvenc(encoding, VideoOptions("in", "out", fast=fast), torch.device("cuda", 0))
    assert gpu._encoding_fails(film, nvenc) == "Cannot load libcuda.so.1"
    wrong = replace(nvenc, options={**nvenc.options, "preset": "quickest"})
    assert "quickest" in gpu._encoding_fails(film, wrong)


def test_a_resume_with_another_encoder_refuses_and_one_without_hardware_goes_on(net: str, tmp_path: Path):
    src, dst = clip(tmp_path / "gray.mp4", frames=2), tmp_path / "c.mp4"
    options = VideoOptions("in", "out", weights=net)
    Parts(dst, _made_from(src, options, "h264_nvenc"), resume=False, overwrite=False).close()
    same = _made_from(src, replace(options, hardware="off"), "h264_nvenc")
    Parts(dst, same, resume=True, overwrite=False).close()
    with pytest.raises(ValueError, match=r"encoder name .*'h264_nvenc', now 'libx264'"):
        Parts(dst, _made_from(src, options, "libx264"), resume=True, overwrite=False)


# ---- surfaces ----


def samples(seed: int, dtype: torch.dtype, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256 if dtype == torch.uint8 else 1024, shape, generator=generator).to(dtype)


@pytest.mark.parametrize("size", [(96, 64), (95, 63)])
@pytest.mark.parametrize(
    ("planar", "surface"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le"), ("yuvj420p", None), ("yuv420p10le", None)]
)
def test_luma_comes_out_of_a_surface_as_it_was(planar: str, surface: str | None, size: tuple[int, int]):
    frame = av.VideoFrame(*size, planar)
    bits = frame.format.components[0].bits
    plane(frame, 0)[:] = pattern(3, size[1], size[0], bits)
    plane(frame, 0)[0, :2] = 0, 2**bits - 1
    wanted = plane(frame, 0).copy()
    luma = gpu.luma_of(frame.reformat(format=surface) if surface else frame)
    del frame
    gc.collect()  # the tensor holds on to the frame
    assert luma.dtype == (torch.uint8 if bits == 8 else torch.uint16)
    assert np.array_equal(luma.numpy(), wanted)


@pytest.mark.parametrize("planar", ["yuv420p", "yuv420p10le"])
def test_planes_become_surfaces_as_nvenc_reads_them(tmp_path: Path, planar: str):
    film = probe(clip(tmp_path / "gray.mkv", planar, frames=1, codec="ffv1", time_base=Fraction(1, 1000)))
    layout = choose_encoding(film, Path("c.mp4"), codec="h264", crf=None, fast=True, lossless=False).layout
    dtype = torch.uint8 if planar == "yuv420p" else torch.uint16
    planes = samples(0, dtype, 3, 64, 96), samples(1, dtype, 3, 32, 48), samples(2, dtype, 3, 32, 48)
    timed = []
    for index in range(3):
        frame = av.VideoFrame(16, 16, "gray")
        frame.pts, frame.time_base, frame.duration = 7 * index, Fraction(1, 90), 7
        timed.append(frame)
    made = gpu.Surfaces(CPU, layout)(timed, *(part.clone() for part in planes))
    gc.collect()  # frames hold on to the tensors
    for index, surface in enumerate(made):
        luma, chroma = surface.planes
        assert luma.line_size == chroma.line_size and luma.line_size % 256 == 0
        assert chroma.buffer_ptr - luma.buffer_ptr == 64 * luma.line_size
        assert (surface.pts, surface.time_base, surface.duration) == (7 * index, Fraction(1, 90), 7)
        back = surface.reformat(format=planar)
        for number, part in enumerate(planes):
            assert np.array_equal(plane(back, number), part[index].numpy())


def test_a_film_encoded_from_surfaces_is_the_same(net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    src = clip(tmp_path / "gray.mp4", frames=20, audio=("aac",))
    options = {"weights": net, "engine": "torch", "device": "cpu", "fast": True}
    fastcolor.video(src, tmp_path / "planes.mp4", **options)
    found = gpu.Hardware
    monkeypatch.setattr(
        gpu, "choose_hardware", lambda film, encoding, *_: found(None, replace(encoding, surfaces=CPU), ("told",))
    )
    report = fastcolor.video(src, tmp_path / "surfaces.mp4", **options)
    assert "told" in report.notes
    assert packets_of(tmp_path / "surfaces.mp4") == packets_of(tmp_path / "planes.mp4")
    assert times_of(tmp_path / "surfaces.mp4") == times_of(src)


def paint(src: Path, dst: Path, net: str, **options: object) -> FilmJob:
    """Paint as where NVDEC decodes."""
    film = probe(src)
    options = VideoOptions("in", "out", weights=net, device="cpu", engine="torch", **options)
    encoding = choose_encoding(film, dst, codec="ffv1", crf=None, fast=False, lossless=False, compare=options.compare)
    parts = Parts(dst, {}, resume=False, overwrite=False)
    network = Network(options, 1, now=True)
    streams = choose_streams(film, encoding, dst, Cut.of(film, options.start, options.end))
    job = FilmJob(film, encoding, streams, network, options, parts, decoder=CPU)
    job.run(dst, False)
    parts.publish()
    return job


@pytest.mark.parametrize(("planar", "surface"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le")])
@pytest.mark.parametrize("options", [{}, {"compare": True}, {"start": 0.2, "end": 0.5}])
def test_a_film_decoded_to_surfaces_is_the_same(
    net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planar: str, surface: str, options: dict
):
    src = clip(tmp_path / "gray.mkv", planar, frames=20, codec="ffv1", time_base=Fraction(1, 1000))
    usual = tmp_path / "planes.mkv"
    fastcolor.video(src, usual, weights=net, device="cpu", engine="torch", codec="ffv1", **options)
    decoded = read.Reader._decoded
    monkeypatch.setattr(
        read.Reader, "_decoded", lambda *given: (frame.reformat(format=surface) for frame in decoded(*given))
    )
    monkeypatch.setattr(read, "nvdec", lambda device: None)
    job = paint(src, tmp_path / "surfaces.mkv", net, **options)
    assert not job.notes and not job.warnings
    assert times_of(tmp_path / "surfaces.mkv") == times_of(usual)
    for ours, wanted in zip(frames_of(tmp_path / "surfaces.mkv"), frames_of(usual), strict=True):
        assert ours.format.name == wanted.format.name == planar
        for index in range(3):
            assert np.array_equal(plane(ours, index), plane(wanted, index))


def test_frames_that_nvdec_hands_back_to_software_are_told_once(
    net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    src, usual = clip(tmp_path / "gray.mp4", frames=20), tmp_path / "usual.mkv"
    monkeypatch.setattr(read, "nvdec", lambda device: None)  # so that all of them are
    job = paint(src, tmp_path / "c.mkv", net)
    assert job.notes == [f"NVDEC refuses a part of {src}, which is decoded in software"] and not job.warnings
    fastcolor.video(src, usual, weights=net, device="cpu", engine="torch", codec="ffv1")
    assert [content for _, content in packets_of(tmp_path / "c.mkv")[0]] == [c for _, c in packets_of(usual)[0]]


# ---- a GPU ----


def taken(report: VideoReport, chip: str) -> None:
    refused = [note for note in report.notes if f"not by {chip}" in note]
    if refused:
        pytest.skip(refused[0])


@pytest.mark.parametrize(
    ("planar", "codec"), [("yuv420p", "libx264"), ("yuvj420p", "libx264"), ("yuv420p10le", "libx265")]
)
def test_nvdec_and_software_give_the_same_film(
    net: str, tmp_path: Path, cuda: torch.device, planar: str, codec: str, caplog: pytest.LogCaptureFixture
):
    """Long enough for surfaces to be used again and again while the network is behind."""
    quiet = {"x265-params": "log-level=error"} if codec == "libx265" else {}
    src = clip(tmp_path / "gray.mp4", planar, size=(640, 360), frames=200, codec=codec, options=quiet)
    options = {"weights": net, "device": str(cuda), "engine": "torch", "lossless": True}
    report = fastcolor.video(src, tmp_path / "nvdec.mp4", **options)
    taken(report, "NVDEC")
    fastcolor.video(src, tmp_path / "software.mp4", hardware="off", **options)
    assert same_luma(src, tmp_path / "nvdec.mp4") and times_of(tmp_path / "nvdec.mp4") == times_of(src)
    pairs = zip(frames_of(tmp_path / "nvdec.mp4"), frames_of(tmp_path / "software.mp4"), strict=True)
    assert max(np.abs(plane(a, i).astype(int) - plane(b, i)).max() for a, b in pairs for i in (1, 2)) <= 1


@pytest.mark.parametrize("family", ["h264", "hevc"])
@pytest.mark.parametrize("codec", ["libx264", "ffv1"])  # the second is decoded in software and uploaded
def test_nvenc_and_software_give_nearly_the_same_film(
    net: str, tmp_path: Path, cuda: torch.device, codec: str, family: str
):
    """More frames than a part, so that two sessions' packets are joined."""
    src = clip(
        tmp_path / "gray.mkv", size=(640, 360), frames=300, audio=("aac",), codec=codec, time_base=Fraction(1, 1000)
    )
    options = {"weights": net, "device": str(cuda), "engine": "torch", "codec": family}
    report = fastcolor.video(src, tmp_path / "nvenc.mp4", **options)
    taken(report, "NVENC")
    fastcolor.video(src, tmp_path / "software.mp4", hardware="off", **options)
    assert report.codec == f"{family}_nvenc"
    assert times_of(tmp_path / "nvenc.mp4") == times_of(tmp_path / "software.mp4")
    pairs = zip(frames_of(tmp_path / "nvenc.mp4"), frames_of(tmp_path / "software.mp4"), strict=True)
    for ours, wanted in pairs:
        for index in range(3):
            assert np.abs(plane(ours, index).astype(int) - plane(wanted, index)).mean() < 3
