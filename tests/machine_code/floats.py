"""Arithmetic of floats, doubles and pairs of 16-bit floats, and conversions."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from .block import Array, Block, Instruction, Run
from .operands import (
    Read,
    float_bits,
    integer,
    integer64,
    put,
    put64,
    put_predicate,
    put_real,
    real,
    real64,
    strip,
    words,
)


def arithmetic(one: Instruction) -> Run:
    """FADD, FMUL, FFMA and their doubles: one rounding, to nearest. Other ways to round only correct a quotient's last
    bit."""
    double = one.name[0] == "D"
    read, write = (real64, put64) if double else (real, put_real)
    target, terms = write(one.operands[0]), [read(text) for text in one.operands[1:]]
    kind, saturate = one.name[1:], "SAT" in one.modifiers

    def run(b: Block, mask: Array, whole: bool) -> None:
        values = [np.asarray(term(b)) for term in terms]
        if not double:
            values = [value.astype(np.float64) for value in values]
        if kind == "ADD":
            result = values[0] + values[1]
        elif kind == "MUL":
            result = values[0] * values[1]
        elif double:
            exact = values[0].astype(np.longdouble) * values[1].astype(np.longdouble) + values[2].astype(np.longdouble)
            result = exact.astype(np.float64)
        else:
            result = values[0] * values[1] + values[2]
        if saturate:
            result = np.where(result > 0, np.minimum(result, 1.0), 0.0)
        if double:
            result = np.asarray(result, np.float64).view(np.uint64)
        target(b, mask, whole, result)

    return run


def special(one: Instruction) -> Run:
    kind = one.modifiers[0]
    if kind == "RCP64H":
        write, (high,) = put(one.operands[0]), words(one.operands[1], 1)

        def half(b: Block, mask: Array, whole: bool) -> None:
            value = (np.asarray(high(b), np.uint32).astype(np.uint64) << np.uint64(32)).view(np.float64)
            write(b, mask, whole, ((1 / value).view(np.uint64) >> np.uint64(32)).astype(np.uint32))

        return half
    function = {
        "EX2": np.exp2,
        "LG2": np.log2,
        "RCP": lambda x: 1 / x,
        "RSQ": lambda x: 1 / np.sqrt(x),
        "SQRT": np.sqrt,
    }[kind]
    target, read = put_real(one.operands[0]), real(one.operands[1])
    return lambda b, mask, whole: target(b, mask, whole, function(np.asarray(read(b)).astype(np.float64)))


def part_of(text: str, named: list[str]) -> Callable[[Array], Array]:
    """Takes the byte or half of a word that an operand names, by default the lowest."""
    bits = 8 if "U8" in named else 16 if "U16" in named else 32
    match = re.search(r"\.[BH](\d)", text)
    shift = np.uint32(bits * int(match[1])) if match else np.uint32(0)
    return lambda value: (value >> shift) & np.uint32((1 << bits) - 1)


def rounding_of(mods: list[str]) -> Callable[[Array], Array]:
    named = {"TRUNC": np.trunc, "FLOOR": np.floor, "CEIL": np.ceil}
    return next((named[mod] for mod in mods if mod in named), np.rint)


def convert(one: Instruction) -> Run:
    """I2F, I2FP, F2I, F2F, FRND."""
    mods, (target, source) = one.modifiers, one.operands
    sizes = {"F64": np.float64, "F32": np.float32, "S64": np.int64, "U64": np.uint64, "U32": np.uint32, "S32": np.int32,
             "U16": np.uint32, "U8": np.uint32}  # fmt: skip
    named = [mod for mod in mods if mod in sizes]
    if one.name in ("I2F", "I2FP"):
        to = np.float64 if "F64" in named else np.float32
        kind = next((sizes[mod] for mod in named if mod[0] in "SU"), np.int32)
        if kind in (np.int64, np.uint64):
            read64 = integer64(source)
            read: Read = lambda b: np.asarray(read64(b)).view(kind)  # noqa: E731
        else:
            read32, part = integer(source), part_of(source, named)
            read = lambda b: part(np.asarray(read32(b), np.uint32)).view(kind)  # noqa: E731
        up, down = "RP" in mods, "RM" in mods

        def to_float(b: Block, value: Array) -> Array:
            exact = value.astype(np.longdouble)
            rounded = exact.astype(to)
            if up:
                rounded = np.where(rounded.astype(np.longdouble) < exact, np.nextafter(rounded, to(np.inf)), rounded)
            if down:
                rounded = np.where(rounded.astype(np.longdouble) > exact, np.nextafter(rounded, to(-np.inf)), rounded)
            return rounded

        result = to_float
    elif one.name == "F2I":
        read = real64(source) if "F64" in named else real(source)
        kind = next((sizes[mod] for mod in named if mod[0] in "SU"), np.int32)
        rounding = rounding_of(mods)
        limits = np.iinfo({"U8": np.uint8, "U16": np.uint16}.get(next((m for m in named if m[0] in "SU"), ""), kind))
        least, most = np.longdouble(limits.min), np.longdouble(limits.max)

        def to_integer(b: Block, value: Array) -> Array:
            value = np.nan_to_num(rounding(value.astype(np.longdouble)), nan=0.0, posinf=most, neginf=least)
            return np.clip(value, least, most).astype(kind)

        result, to = to_integer, kind
    else:
        to, frm = (sizes[mod] for mod in named[:2]) if one.name == "F2F" else (sizes[named[0]],) * 2
        read = real64(source) if frm == np.float64 else real(source)
        rounding = rounding_of(mods)

        def to_other(b: Block, value: Array) -> Array:
            return (rounding(value) if one.name == "FRND" else value).astype(to)

        result = to_other
    eight = np.dtype(to).itemsize == 8
    write = put64(target) if eight else put(target)

    def run(b: Block, mask: Array, whole: bool) -> None:
        value = np.ascontiguousarray(np.broadcast_to(result(b, np.asarray(read(b))), (b.threads,)).astype(to))
        write(b, mask, whole, value.view(np.uint64 if eight else np.uint32))

    return run


def halves_of(text: str, bf16: bool) -> Callable[[Block], tuple[Array, Array]]:
    """The two 16-bit floats of an operand, as floats, lowest first."""
    plain, signs = strip(text)
    half = re.search(r"\.H(\d)_H(\d)", plain)
    order = (int(half[1]), int(half[2])) if half else (0, 1)
    (read,) = words(re.sub(r"\.H\d_H\d", "", plain), 1)

    def values(b: Block) -> tuple[Array, Array]:
        word = np.asarray(read(b), np.uint32)
        parts = [(word >> np.uint32(16 * i)) & np.uint32(0xFFFF) for i in order]
        if bf16:
            both = [(part << np.uint32(16)).view(np.float32) for part in parts]
        else:
            both = [part.astype(np.uint16).view(np.float16).astype(np.float32) for part in parts]
        both = [np.abs(x) for x in both] if "|" in signs else both
        both = [-x for x in both] if "-" in signs else both
        return both[0], both[1]

    return values


def to_half_bits(x: Array, bf16: bool) -> Array:
    """Rounded to nearest even."""
    x = np.asarray(x, np.float32)
    if not bf16:
        with np.errstate(over="ignore"):
            return x.astype(np.float16).view(np.uint16).astype(np.uint32)
    bits = x.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(x), np.uint32(0x7FFF), rounded).astype(np.uint32)


def packed(one: Instruction) -> Run:
    """HADD2, HMUL2, HFMA2, HMNMX2: two 16-bit floats a word. An immediate stands as two numbers."""
    mods, operands = one.modifiers, list(one.operands)
    bf16 = any(mod.startswith("BF16") for mod in mods)
    if "F32" in mods:  # HADD2.F32 d, -RZ, h: a 16-bit float widened
        write, term = put_real(operands[0]), halves_of(operands[2], bf16)
        return lambda b, mask, whole: write(b, mask, whole, np.broadcast_to(term(b)[0], (b.threads,)))
    terms: list[Callable[[Block], tuple[Array, Array]]] = []
    rest = operands[1:]
    condition = rest.pop() if one.name == "HMNMX2" else ""
    while rest:
        text = rest.pop(0)
        if re.match(r"[-|~]*(U?R(\d|Z)|c\[)", text):
            terms.append(halves_of(text, bf16))
        else:  # printed high half first
            pair = [text, rest.pop(0)] if rest and not re.match(r"[-|~]*U?R", rest[0]) else [text, text]
            bits = [float_bits(number, "f4") for number in pair]
            values = [np.array(x, np.uint32).view(np.float32) for x in bits]
            terms.append(lambda b, v=(values[1], values[0]): v)
    write = put(operands[0])

    def run(b: Block, mask: Array, whole: bool) -> None:
        found = [term(b) for term in terms]
        result = np.zeros(b.threads, np.uint32)
        for i in range(2):
            x = [np.asarray(term[i]).astype(np.float64) for term in found]
            if one.name == "HADD2":
                y = x[0] + x[1]
            elif one.name == "HMUL2":
                y = x[0] * x[1]
            elif one.name == "HFMA2":
                y = x[0] * x[1] + x[2]
            elif "NAN" in mods:
                y = np.where(b.predicate(condition), np.minimum(x[0], x[1]), np.maximum(x[0], x[1]))
            else:
                y = np.where(b.predicate(condition), np.fmin(x[0], x[1]), np.fmax(x[0], x[1]))
            result |= to_half_bits(y, bf16) << np.uint32(16 * i)
        write(b, mask, whole, result)

    return run


def pack_halves(one: Instruction) -> Run:
    """F2FP.F16.F32.PACK_AB d, high, low."""
    bf16 = "BF16" in one.modifiers
    write, high, low = put(one.operands[0]), *(real(text) for text in one.operands[1:3])
    return lambda b, mask, whole: write(
        b, mask, whole, to_half_bits(low(b), bf16) | to_half_bits(high(b), bf16) << np.uint32(16)
    )


def pack_bytes(one: Instruction) -> Run:
    """F2IP.U8.F32.TRUNC d, high, low, rest: two floats to bytes, saturated, below the lower half of `rest`."""
    assert one.modifiers[:3] == ["U8", "F32", "TRUNC"], one
    write, high, low, rest = put(one.operands[0]), *(real(text) for text in one.operands[1:3]), integer(one.operands[3])

    def byte(x: Array) -> Array:
        return np.clip(np.trunc(np.nan_to_num(x, nan=0.0)), 0, 255).astype(np.uint32)

    return lambda b, mask, whole: write(
        b, mask, whole, np.uint32(rest(b)) << np.uint32(16) | byte(high(b)) << np.uint32(8) | byte(low(b))
    )


def needs_slow_division(one: Instruction) -> Run:
    """FCHK: a quotient whose exponents leave the range that its short sequence is exact in."""
    write, a, b_ = put_predicate(one.operands[0]), *(real(text) for text in one.operands[1:3])

    def run(b: Block, mask: Array, whole: bool) -> None:
        x, y = (np.broadcast_to(np.abs(read(b)).astype(np.float64), (b.threads,)) for read in (a, b_))
        fine = (x < 2.0**127) & (y < 2.0**126) & (y > 2.0**-126) & ((x == 0) | (x > 2.0**-100)) & (x / y < 2.0**126)
        fine &= (x == 0) | (x / y > 2.0**-100)
        write(b, mask, ~fine)

    return run
