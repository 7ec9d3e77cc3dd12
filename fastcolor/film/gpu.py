"""A film on a GPU's own codecs: NVDEC decodes where its luma is the software decoder's, NVENC encodes where it opens.

Frames on the GPU are surfaces: a plane of luma, and one of Cb and Cr by turns. They become tensors and come from
tensors by DLPack, without a copy. What is refused is done in software, and told once a film.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .damage import failure
from .encoding import SURFACES, Encoding, Layout
from .probe import Film, first_frame
from .write import set_up

if TYPE_CHECKING:
    from ..options.film import VideoOptions

_SPARE = {"p010le": 6}  # bits of zeros below a sample
_PITCH = 256  # bytes of which a surface's row is a multiple


@dataclass(frozen=True)
class Nvenc:
    """An encoder of the chip, with options for visually lossless and for fast work."""

    name: str
    good: dict[str, str]
    fast: dict[str, str]


# Constant quantisers, at the numbers that are the software encoders' default crf, and x264's quantiser for fast work.
NVENC = {
    "h264": Nvenc("h264_nvenc", {"preset": "p5", "rc": "constqp", "qp": "18"},
                  {"preset": "p1", "rc": "constqp", "qp": "18"}),
    "hevc": Nvenc("hevc_nvenc", {"preset": "p5", "rc": "constqp", "qp": "20"},
                  {"preset": "p1", "rc": "constqp", "qp": "20"}),
}  # fmt: skip


@dataclass(frozen=True)
class Hardware:
    """What of a film's way the chip's codecs take."""

    decoder: torch.device | None  # whose NVDEC decodes; None: software
    encoding: Encoding  # NVENC's, or as it was planned
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def choose_hardware(film: Film, encoding: Encoding, options: VideoOptions, painter: torch.device) -> Hardware:
    """Try the chip's codecs on a film, unless it or the options need software's.

    Args:
        encoding: as planned in software. painter: the device that paints. Where that is no GPU, `hardware="on"` tries
            the first GPU's codecs, and "auto" none.
    """
    if options.hardware == "off" or (options.hardware == "auto" and painter.type == "cpu"):
        return Hardware(None, encoding)
    device = painter if painter.type == "cuda" else torch.device("cuda", 0)
    refused, notes = [], []
    decoder: torch.device | None = device
    if why := _undecodable(film, encoding, options) or _decoding_fails(film, device):
        decoder = None
        refused.append(f"decoded in software, not by NVDEC: {why}")
    else:
        notes.append("decoded by NVDEC, which does not tell of damage inside a frame")
    if why := _unencodable(film, encoding, options) or _encoding_fails(film, _by_nvenc(encoding, options, device)):
        refused.append(f"encoded in software, not by NVENC: {why}")
    else:
        encoding = _by_nvenc(encoding, options, device)
    return Hardware(decoder, encoding, tuple(refused), tuple(notes))


def _undecodable(film: Film, encoding: Encoding, options: VideoOptions) -> str | None:
    """Why a film's frames are needed as the software decoder gives them."""
    if film.pixel_format not in SURFACES:
        return f"{film.pixel_format} is no 4:2:0 of 8 or 10 bits"
    if film.missing:
        return "the film is cut off, and of damage software tells more"
    if encoding.layout.convert:
        return f"{film.pixel_format} is brought to {encoding.layout.convert} first"
    return "skip_colored looks at the film's own colours" if options.skip_colored else None


def _unencodable(film: Film, encoding: Encoding, options: VideoOptions) -> str | None:
    """What is to be kept, or was asked for, that only the software encoder is known to give."""
    reasons = {
        f"{encoding.family} is not one of {', '.join(NVENC)}": encoding.family not in NVENC,
        f"{encoding.layout.output} is no 4:2:0 of 8 or 10 bits": encoding.layout.output not in SURFACES,
        f"codec {options.codec} was asked for": options.codec not in (None, *NVENC),
        f"crf {options.crf} was asked for": options.crf is not None,
        "lossless was asked for": options.lossless,
        "compare was asked for": options.compare,
        "skip_colored keeps the film's own colours": options.skip_colored,
        "the film is interlaced": film.field_order is not None,
        "the film has HDR metadata": film.mastering is not None,
    }
    return next((why for why, holds in reasons.items() if holds), None)


# ---- decoding ----


# FFmpeg refuses a primary context that it has not made itself, and torch has made it: it takes what is current.
_CONTEXT = {"primary_ctx": False, "current_ctx": True}


def _enter(device: torch.device) -> None:
    """Make torch's context the one of this thread, which a new thread has none of until something is written."""
    if torch.cuda.is_available():
        torch.cuda.set_device(device)
        torch.zeros(1, device=device)


def nvdec(device: torch.device, *, or_software: bool = True) -> Any:
    """What `opened` takes to decode into a GPU's memory, in this thread. or_software: what NVDEC refuses is decoded as
    without it."""
    from av.codec.hwaccel import HWAccel

    _enter(device)
    options: dict[str, object] = {name: str(int(value)) for name, value in _CONTEXT.items()}
    return HWAccel("cuda", str(device.index), allow_software_fallback=or_software, is_hw_owned=True, options=options)


def luma_of(frame: Any) -> Tensor:
    """The luma of a surface or of a planar frame, without copying where the samples lie as the ops want them.

    Returns:
        (H, W) uint8 or uint16 codes, where the frame is. FFmpeg's work on a GPU comes before torch's on its default
        stream, since both use that one.
    """
    # As a capsule, because torch itself would ask the plane for a stream, which PyAV refuses.
    plane = torch.from_dlpack(frame.planes[0].__dlpack__())
    spare = _SPARE.get((frame.sw_format or frame.format).name)
    if spare is None:
        return plane
    # torch shifts no uint16; an int16 brings its sign along, which is masked away.
    return ((plane.view(torch.int16) >> spare) & (0xFFFF >> spare)).view(torch.uint16)


def _decoding_fails(film: Film, device: torch.device) -> str | None:
    """Why NVDEC does not give a film's first frame as software gives it."""

    def first_luma(hwaccel: Any = None) -> Tensor:
        with film.opened(hwaccel) as container:
            stream = container.streams[film.stream]
            stream.codec_context.thread_count = 1  # threads that log and are closed at once wait for each other
            codec = stream.codec_context.codec
            if all(config.device_type.name != "cuda" for config in codec.hardware_configs):
                raise ValueError(f"FFmpeg's {codec.name} has no way to it")
            return luma_of(first_frame(film.path, container, stream)).cpu()

    def compare() -> None:
        if not torch.equal(first_luma(), first_luma(nvdec(device, or_software=False))):
            raise ValueError("its first frame is another than software's")

    return failure(compare)


# ---- encoding ----


def _by_nvenc(encoding: Encoding, options: VideoOptions, device: torch.device) -> Encoding:
    nvenc = NVENC[encoding.family]
    return replace(encoding, encoder=nvenc.name, options=nvenc.fast if options.fast else nvenc.good, surfaces=device)


class Surfaces:
    """Makes surfaces of planes.

    Args:
        device: where: a GPU, or the CPU for a software encoder. layout: of the planes.
    """

    def __init__(self, device: torch.device, layout: Layout) -> None:
        self.device, self.layout, self.context = device, layout, None
        if device.type == "cuda":
            from av.video.frame import CudaContext

            self.context = CudaContext(device_id=device.index, **_CONTEXT)

    def __call__(self, frames: Iterable[Any], luma: Tensor, cb: Tensor, cr: Tensor) -> list[Any]:
        """Surfaces with the time stamps of some frames.

        Args:
            luma: (N, H, W) uint8 or uint16, H and W even. cb, cr: (N, H / 2, W / 2).
        """
        import av

        if self.context:  # which is that of the thread that makes the first surface
            _enter(self.device)
        name = SURFACES[self.layout.output]
        n, height, width = luma.shape
        step = _PITCH // luma.element_size()
        # NVENC reads chroma right behind luma and at the same pitch.
        shape = (n, height * 3 // 2, (width + step - 1) // step * step)
        made = torch.zeros(shape, dtype=luma.dtype, device=self.device)
        chroma = made[:, height:, :width]
        for part, plane in ((made[:, :height, :width], luma), (chroma[..., ::2], cb), (chroma[..., 1::2], cr)):
            if name in _SPARE:
                part.view(torch.int16).copy_(plane.view(torch.int16) << _SPARE[name])
            else:
                part.copy_(plane)
        if self.context:  # the encoder waits for none of torch's streams
            torch.cuda.current_stream(self.device).synchronize()
        surfaces = []
        for frame, planes in zip(frames, made, strict=True):
            both = planes[:height, :width], planes[height:, :width]
            surface = av.VideoFrame.from_dlpack(both, format=name, cuda_context=self.context)
            surface.pts, surface.time_base, surface.duration = frame.pts, frame.time_base, frame.duration
            surfaces.append(surface)
        return surfaces


def _encoding_fails(film: Film, encoding: Encoding) -> str | None:
    """Why no session opens with the film's settings, or why it makes nothing of a surface."""
    import av

    def context(encoding: Encoding) -> Any:
        made = av.CodecContext.create(encoding.encoder, "w")
        made.options = encoding.options
        set_up(made, film, encoding)
        return made

    def encode() -> None:
        assert encoding.surfaces is not None
        # Frames of the host first: without a GPU the encoder says so in its own words.
        context(replace(encoding, surfaces=torch.device("cpu"))).open()
        size, half = (1, film.height, film.width), (1, film.height // 2, film.width // 2)
        dtype = torch.uint8 if encoding.layout.bits == 8 else torch.uint16
        luma, cb, cr = (torch.zeros(shape, dtype=dtype, device=encoding.surfaces) for shape in (size, half, half))
        timed = av.VideoFrame(16, 16, "gray")
        timed.pts, timed.time_base = 0, film.time_base
        session = context(encoding)
        (surface,) = Surfaces(encoding.surfaces, encoding.layout)([timed], luma, cb, cr)
        if not session.encode(surface) + session.encode(None):
            raise ValueError("a frame went in and nothing came out")

    return failure(encode)
