"""Reading and writing the operands of an instruction, as nvdisasm prints them, for all lanes of a block."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from .block import Array, Block, NotRead

Read = Callable[[Block], Array]

FLOATS = {"QNAN": 0x7FC00000, "SNAN": 0x7FA00000, "INF": 0x7F800000}


def strip(text: str) -> tuple[str, str]:
    """(operand without signs and notes, its signs: of - ~ | !)"""
    text = text.replace(".reuse", "")
    signs = ""
    while text and text[0] in "-~!+|":
        signs += text[0]
        text = text[1:]
    return text.rstrip("|"), signs.replace("+", "")


def float_bits(text: str, kind: str = "f4") -> int:
    sign = text.startswith("-")
    word = text.lstrip("+-")
    if word in FLOATS:
        bits = FLOATS[word] if kind == "f4" else FLOATS[word] >> 16 if kind == "f2" else FLOATS[word] << 32
        if kind == "f2":
            bits = {"QNAN": 0x7E00, "SNAN": 0x7D00, "INF": 0x7C00}[word]
        if kind == "f8":
            bits = {"QNAN": 0x7FF8 << 48, "SNAN": 0x7FF4 << 48, "INF": 0x7FF0 << 48}[word]
        return bits | (sign << {"f2": 15, "f4": 31, "f8": 63}[kind])
    with np.errstate(over="ignore"):
        value = np.array(float(text), dtype=kind)
    return int(value.view({"f2": "u2", "f4": "u4", "f8": "u8"}[kind]))


def words(text: str, count: int) -> list[Read]:
    """The 32-bit words of an operand without its signs, lowest first: registers, constants, integers."""
    text, _ = strip(text)
    text = re.sub(r"\.(64|H0_H0|H1_H1|B\d|U8|U16|X\d+)$", "", text)
    if match := re.fullmatch(r"(U?)R(\d+|Z)", text):
        if match[2] == "Z":
            return [lambda b: np.uint32(0)] * count
        first = int(match[2])
        if match[1]:
            return [lambda b, i=first + i: b.ur[i] for i in range(count)]
        return [lambda b, i=first + i: b.r[i] for i in range(count)]
    if match := re.fullmatch(r"c\[0x0\]\[(?:RZ\+?)?(0x[0-9a-f]+)?\]", text):
        first = int(match[1] or "0", 16)
        assert first % 4 == 0, text
        return [lambda b, i=first // 4 + i: b.constant[i] for i in range(count)]
    if re.fullmatch(r"0x[0-9a-f]+", text):
        values = [np.uint32((int(text, 16) >> 32 * i) & 0xFFFFFFFF) for i in range(count)]
        return [lambda b, v=value: v for value in values]
    raise NotRead(f"operand {text}")


def integer(text: str) -> Read:
    """As 32 bits. A minus is two's complement, ~ complements the bits."""
    _, signs = strip(text)
    (read,) = words(text, 1)
    if "-" in signs:
        return lambda b: np.uint32(0) - read(b)
    if "~" in signs:
        return lambda b: ~read(b)
    if "|" in signs:
        return lambda b: np.abs(np.asarray(read(b)).astype(np.int32)).astype(np.uint32)
    return read


def integer64(text: str) -> Read:
    low, high = words(text, 2)
    if "-" in strip(text)[1]:
        return lambda b: np.uint64(0) - wide(low(b), high(b))
    return lambda b: wide(low(b), high(b))


def wide(low: Array, high: Array) -> Array:
    return np.asarray(low).astype(np.uint64) | (np.asarray(high).astype(np.uint64) << np.uint64(32))


def real(text: str) -> Read:
    """As a float."""
    plain, signs = strip(text)
    if not re.match(r"U?R(\d|Z)|c\[", plain):
        bits = int(plain, 16) if plain.startswith("0x") else float_bits(text.replace(".reuse", ""))
        value = np.array(bits, np.uint32).view(np.float32)[()]
        return lambda b: value
    (read,) = words(text, 1)
    as_float: Read = lambda b: np.asarray(read(b), np.uint32).view(np.float32)  # noqa: E731
    return with_signs(as_float, signs)


def with_signs(read: Read, signs: str) -> Read:
    if "|" in signs:
        return (lambda b: -np.abs(read(b))) if "-" in signs.split("|")[0] else (lambda b: np.abs(read(b)))
    return (lambda b: -read(b)) if "-" in signs else read


def real64(text: str) -> Read:
    plain, signs = strip(text)
    if not re.match(r"U?R(\d|Z)|c\[", plain):
        value = np.array(float_bits(text, "f8"), np.uint64).view(np.float64)[()]
        return lambda b: value
    low, high = words(text, 2)
    return with_signs(lambda b: wide(low(b), high(b)).view(np.float64), signs)


def put(text: str) -> Callable[[Block, Array, bool, Array], None]:
    """Writes a register for the lanes of a mask."""
    match = re.fullmatch(r"(U?)R(\d+|Z)", strip(text)[0])
    assert match, text
    if match[2] == "Z":
        return lambda b, mask, whole, value: None
    i = int(match[2])
    if match[1]:  # of a warp, whoever of it is active

        def uniform(b: Block, mask: Array, whole: bool, value: Array) -> None:
            np.copyto(b.ur[i], value, where=b.whole_warps(mask), casting="unsafe")

        return uniform

    def vector(b: Block, mask: Array, whole: bool, value: Array) -> None:
        if whole:
            b.r[i] = value
        else:
            np.copyto(b.r[i], value, where=mask, casting="unsafe")

    return vector


def put64(text: str) -> Callable[[Block, Array, bool, Array], None]:
    match = re.fullmatch(r"(U?R)(\d+|Z)", strip(text)[0])
    assert match, text
    if match[2] == "Z":
        return lambda b, mask, whole, value: None
    low, high = put(text), put(f"{match[1]}{int(match[2]) + 1}")

    def both(b: Block, mask: Array, whole: bool, value: Array) -> None:
        value = np.asarray(value, np.uint64)
        low(b, mask, whole, (value & np.uint64(0xFFFFFFFF)).astype(np.uint32))
        high(b, mask, whole, (value >> np.uint64(32)).astype(np.uint32))

    return both


def put_real(text: str) -> Callable[[Block, Array, bool, Array], None]:
    write = put(text)
    return lambda b, mask, whole, value: write(b, mask, whole, np.asarray(value, np.float32).view(np.uint32))


def put_predicate(text: str) -> Callable[[Block, Array, Array], None]:
    match = re.fullmatch(r"(U?)P(\d|T)", text)
    assert match, text
    if match[2] == "T":
        return lambda b, mask, value: None
    i = int(match[2])
    if match[1]:
        return lambda b, mask, value: np.copyto(b.up[i], value, where=b.whole_warps(mask))
    return lambda b, mask, value: np.copyto(b.p[i], value, where=mask)


def is_predicate(text: str) -> bool:
    return re.fullmatch(r"!?U?P[\dT]", text) is not None
