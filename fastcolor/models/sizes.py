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


def at_once(most: int, height: int, width: int) -> int:
    """How many pictures of a size go through a network together on a CPU: `most` of about 256 x 256 pixels, fewer of
    larger ones, since what lies between the layers of a large network takes gigabytes.

    Example:
        >>> at_once(8, 192, 344), at_once(8, 560, 560)
        (8, 2)
    """
    return max(1, min(most, most * 5 * 2**14 // (height * width)))


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


def memory(network: str, size: int) -> int:
    """Bytes that a network takes beyond itself while it runs on the CPU on one picture, about; 0 for small networks.

    Args:
        network: its name, as `models.build` takes it. size: side of the square with as many pixels as it sees.
    """
    if network not in _HELD:
        return 0
    constant, each = _HELD[network]
    return int(constant + each * size**2)


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
