"""How large a network sees a picture, and how many of them at once: plain numbers, without torch."""

from __future__ import annotations

import math


def input_size(height: int, width: int, size: int, stride: int) -> tuple[int, int]:
    """(h, w) that a network sees of a picture: its shape, about `size` x `size` pixels in all, each side a multiple of
    the network's stride. A very long side is capped at four times `size`.

    Example:
        >>> input_size(480, 640, 256, 32)
        (224, 288)
    """
    scale = size / math.sqrt(height * width)

    def side(length: int) -> int:
        return max(round(min(length * scale, 4 * size) / stride), 2) * stride

    return side(height), side(width)


def at_once(most: int, height: int, width: int, network: str = "default") -> int:
    """How many pictures of a size go through a network together on a CPU: `most` of about 256 x 256 pixels, fewer of
    larger ones, and of a large network no more than half a gigabyte holds: with more it is no faster.

    Example:
        >>> at_once(8, 192, 344), at_once(8, 560, 560), at_once(8, 192, 344, "ddcolor")
        (8, 2, 1)
    """
    held = max(_memory(network, height * width), 1)
    return max(1, min(most, most * 5 * 2**14 // (height * width), _ENOUGH // held))


# Of networks that take gigabytes: c and a of the c + a p bytes that are held beyond the loaded network while it runs in
# float32 on a picture of p pixels, as bench/bench_memory.py found them.
_HELD = {
    "ddcolor": (4.4e7, 3570.0),
    "ddcolor-tiny": (0.0, 3630.0),
    "deoldify": (6e7, 6450.0),
    "deoldify-wide": (3e8, 4840.0),
    "siggraph17": (3.5e7, 2090.0),
}
SMALLEST = 64  # of the sizes that can be asked for
_ENOUGH = 2**29  # bytes that pictures which go through a network together take


def memory(network: str, size: int) -> int:
    """Bytes that a network takes beyond itself while it runs on the CPU on one picture, about; 0 for small networks.

    Args:
        network: its name, as `models.build` takes it. size: side of the square with as many pixels as it sees.
    """
    return _memory(network, size**2)


def _memory(network: str, pixels: int) -> int:
    constant, each = _HELD.get(network, (0.0, 0.0))
    return int(constant + each * pixels)


def check_loading(weights: str, size: int, free: int | None) -> None:
    """Find out whether weights can be loaded, before that is tried: the network and its engine each are about as large
    as their file.

    Args:
        weights: their name or path. size: of their file in bytes. free: bytes; None: nobody knows.

    Raises:
        ValueError: they would not fit.
    """
    if free is not None and 2 * size > free:
        amounts = f"takes about {2 * size / 1e9:.1f} GB of memory to load, of which {free / 1e9:.1f} are free"
        raise ValueError(f"weights: {weights} {amounts}; --weights default needs the least")


def check_memory(network: str, size: int, free: int | None) -> None:
    """Find out whether a network can run, before it is tried: a system whose memory ends ends the process.

    Args:
        network, size: as `memory` takes them. free: bytes; None: nobody knows.

    Raises:
        ValueError: it would not fit; the message says which size does.
    """
    need = memory(network, size)
    if free is None or need <= free:
        return
    fits = next((side for side in range(size // 16 * 16, SMALLEST - 1, -16) if memory(network, side) <= free), None)
    amounts = f"takes about {need / 1e9:.1f} GB of memory, of which {free / 1e9:.1f} are free"
    if fits is None:
        raise ValueError(f"weights: {network} {amounts}, and more than that at any size")
    raise ValueError(f"size: must be at most {fits} for {network} here (--detail {fits}), got {size}, which {amounts}")
