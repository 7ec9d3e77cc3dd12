"""Decoded frames: their samples and range, fields, turns and order, and ways to make others of them that keep what else
they carry."""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np

REORDERED = 17  # frames among which those of one decoder change places at most, and one more

# Codecs whose luma is of limited range where nothing else is said, gray or not.
CODED_LIMITED = ("h264", "hevc", "av1", "vp9", "vp8", "mpeg2video", "mpeg4")


def plane_view(frame: Any, index: int, dtype: type) -> np.ndarray:
    """The samples of one plane, (rows, columns), without copying; writing to it writes to the frame."""
    plane = frame.planes[index]
    rows: np.ndarray = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // np.dtype(dtype).itemsize)
    return rows[: plane.height, : plane.width]


class Filter:
    """One of libav's filters for frames of one kind; what goes in comes out, or is dropped."""

    def __init__(self, name: str, arguments: str) -> None:
        self.name, self.arguments = name, arguments
        self._kind: tuple[int, int, str] | None = None
        self._graph: Any = None  # its filters do not keep it
        self._source: Any = None
        self._sink: Any = None

    def __call__(self, frame: Any) -> Any | None:
        import av
        from av.filter import Graph

        kind = (frame.width, frame.height, frame.format.name)
        if kind != self._kind:
            graph = Graph()
            size = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1000"
            chain = graph.add("buffer", size), graph.add(self.name, self.arguments), graph.add("buffersink")
            chain[0].link_to(chain[1])
            chain[1].link_to(chain[2])
            graph.configure()
            self._graph, self._source, self._sink, self._kind = graph, chain[0], chain[2], kind
        pts, time_base = frame.pts, frame.time_base
        frame.pts = 0  # of no account here, and filters drop frames without one
        self._source.push(frame)
        frame.pts = pts
        try:
            passed = self._sink.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return None
        passed.pts = pts
        if time_base is not None:
            passed.time_base = time_base
        return passed


def field_order_of(frame: Any, container: int) -> Literal["top", "bottom"] | None:
    """Which field of an interlaced frame comes first.

    Args:
        container: what the file says, as libav numbers it: 2 and 4 top field first, 3 and 5 bottom field first.
    """
    if frame.interlaced_frame:
        return "top" if Filter("select", "eq(interlace_type\\,TOPFIRST)")(frame) else "bottom"
    orders: dict[int, Literal["top", "bottom"]] = {2: "top", 4: "top", 3: "bottom", 5: "bottom"}
    return orders.get(container)


def as_interlaced(order: Literal["top", "bottom"]) -> Filter:
    """Marks frames as two fields, the top or the bottom one first."""
    return Filter("setfield", "tff" if order == "top" else "bff")


def is_gray(frame: Any) -> bool:
    """Whether a frame is stored without colours; libswscale takes any such for one of full range."""
    shape = frame.sw_format or frame.format  # the first is there if it lies on a GPU, where the second has no parts
    return len(shape.components) <= 2 and not shape.has_palette


def is_full_range(frame: Any, codec: str) -> bool:
    """Whether a frame's luma spans all its bits; RGB becomes luma of limited range. codec: its family."""
    shape = frame.sw_format or frame.format
    if shape.is_rgb or shape.has_palette:
        return False
    if frame.color_range == 0 and len(shape.components) <= 2:
        return codec not in CODED_LIMITED  # a bare gray sample does, unless its codec says otherwise
    return frame.color_range == 2 or shape.name.startswith("yuvj")


def turns_of(matrix: tuple[int, ...]) -> int:
    """Quarter turns counter-clockwise with which the top of a picture is that of what is shown.

    Not by the angle that libav makes of the matrix, which has a mirrored picture upside down, and a picture that is
    upside down upright.

    Args:
        matrix: nine numbers as in ISO 14496-12.

    Example:
        >>> one = 1 << 16
        >>> turns_of((-one, 0, 0, 0, one, 0, 0, 0, 1 << 30)), turns_of((0, one, 0, -one, 0, 0, 0, 0, 1 << 30))
        (0, 3)
    """
    across, down = matrix[1], matrix[4]  # how far down on the screen a step to the right leads, and one down
    if abs(down) >= abs(across):
        return 0 if down >= 0 else 2
    return 3 if across > 0 else 1


def is_mirrored(matrix: tuple[int, ...]) -> bool:
    """Whether a display matrix shows a picture mirrored."""
    return matrix[0] * matrix[4] < matrix[1] * matrix[3]


def side_data_of(frame: Any) -> list[Any]:
    """What a frame's side data says, each of its `type`; without what PyAV does not know, such as EXIF."""
    while True:
        try:
            found = frame.side_data
            break
        except ValueError as error:  # "31 is not a valid Type", and none of the others is given
            unknown = str(error).split()[0]
            if not unknown.isdigit():
                raise
            frame = Filter("sidedata", f"delete:type={unknown}")(frame)
    # Its iterator gives the data in PyAV up to 18, and their types from 19 on.
    return [one if hasattr(one, "type") else found[one] for one in found]


class _Captioned(threading.local):
    """A filter that passes frames with closed captions, of each thread."""

    def __init__(self) -> None:
        self.passes = Filter("sidedata", "select:type=A53_CC")


_captioned = _Captioned()


def has_captions(frame: Any) -> bool:
    """Whether closed captions come with a frame (ATSC A/53).

    Every frame of a film is asked. What PyAV (18.1) says of a frame's side data holds the frame, and the frame that: it
    would stay until Python collects its garbage, some hundred frames later, which in 4K is a gigabyte.
    """
    if frame.sw_format:  # on a GPU, where filters take other ways
        return any(data.type.name == "A53_CC" for data in side_data_of(frame))
    return _captioned.passes(frame) is not None


def like(frame: Any, width: int, height: int, pixel_format: str, *, captions: bool) -> Any:
    """A new frame to be written to, with the marks of fields and the captions that another carries.

    captions: whether they are wanted.
    """
    import av
    from av.video.reformatter import Interpolation

    if frame.interlaced_frame or (captions and has_captions(frame)):  # PyAV copies those only together with the picture
        return frame.reformat(width, height, pixel_format, interpolation=Interpolation.POINT)
    return av.VideoFrame(width, height, pixel_format)


def beside_gray(frame: Any, bits: int, dtype: type, *, captions: bool) -> Any:
    """A frame twice as wide: the gray picture on the left, the painted one on the right."""
    wide = like(frame, 2 * frame.width, frame.height, frame.format.name, captions=captions)
    for index in range(3):
        painted, both = plane_view(frame, index, dtype), plane_view(wide, index, dtype)
        right = both.shape[1] - painted.shape[1]
        both[:, :right] = painted[:, :right] if index == 0 else 2 ** (bits - 1)
        both[:, right:] = painted
    wide.pts, wide.time_base, wide.duration = frame.pts, frame.time_base, frame.duration
    return wide


def in_shown_order(frames: Iterable[Any]) -> Iterator[Any]:
    """Frames in the order in which they are shown, but with the times of their decoding: each gets its own time."""
    waiting: deque[Any] = deque()
    times: list[int] = []
    for frame in frames:
        if frame.pts is None:  # damage
            continue
        waiting.append(frame)
        heapq.heappush(times, frame.pts)
        if len(waiting) == REORDERED:
            first = waiting.popleft()
            first.pts = heapq.heappop(times)
            yield first
    for frame in waiting:
        frame.pts = heapq.heappop(times)
        yield frame


def gray_of(frame: Any, codec: str) -> np.ndarray:
    """A frame's luma as (H, W) uint8 that spans all codes. codec: its family."""
    gray = plane_view(frame.reformat(format="gray"), 0, np.uint8)
    if is_gray(frame) and not is_full_range(frame, codec):
        return ((gray.astype(np.float32) - 16) * (255 / 219)).round().clip(0, 255).astype(np.uint8)
    return gray.copy()


def upright_gray(frame: Any, codec: str, turns: int) -> np.ndarray:
    """The same as it is shown. turns: of the film, counter-clockwise quarters."""
    return np.rot90(gray_of(frame, codec), turns).copy()
