"""Integers, bits, comparisons and choices."""

from __future__ import annotations

import numpy as np

from .block import Array, Block, Instruction, Run
from .operands import (
    Read,
    integer,
    integer64,
    is_predicate,
    put,
    put64,
    put_predicate,
    put_real,
    real,
    real64,
    strip,
    wide,
    words,
)


def compare(kind: str, a: Array, b: Array) -> Array:
    """A third letter, U: true where either is NaN."""
    if kind == "ET":  # what is left of EQ where the upper halves differ
        return np.zeros(np.broadcast(a, b).shape, bool)
    if kind in ("NUM", "NAN"):
        return (np.isnan(a) | np.isnan(b)) == (kind == "NAN")
    plain = kind[:2] if len(kind) == 3 else kind
    result = {"LT": np.less, "LE": np.less_equal, "GT": np.greater, "GE": np.greater_equal, "EQ": np.equal,
              "NE": np.not_equal}[plain](a, b)  # fmt: skip
    if a.dtype.kind != "f":
        return result
    unordered = np.isnan(a) | np.isnan(b)
    return result | unordered if kind.endswith("U") and len(kind) == 3 else result & ~unordered


def joined(modifiers: list[str], a: Array, b: Array) -> Array:
    return a & b if "AND" in modifiers else a | b if "OR" in modifiers else a ^ b


def set_predicate(one: Instruction) -> Run:
    """ISETP, FSETP, DSETP: P, Q, a, b, C [, of the lower halves]: P = (a ? b) op C and Q = !(a ? b) op C."""
    mods, operands = one.modifiers, one.operands
    first, second = put_predicate(operands[0]), put_predicate(operands[1])
    kind = mods[0]
    if "EX" in mods or one.name in ("ISETP", "UISETP"):
        reads = [integer(text) for text in operands[2:4]]
        if "U32" not in mods:
            reads = [lambda b, r=r: np.asarray(r(b), np.uint32).view(np.int32) for r in reads]
    else:
        reads = [(real if one.name == "FSETP" else real64)(text) for text in operands[2:4]]
    if kind in ("MAX", "MIN"):  # of doubles: P says which one it is, Q that it is NaN

        def extreme_of(b: Block, mask: Array, whole: bool) -> None:
            x, y = (np.broadcast_to(read(b), (b.threads,)) for read in reads)
            first(b, mask, (x > y if kind == "MAX" else x < y) | np.isnan(y))
            second(b, mask, np.isnan(x) & np.isnan(y))

        return extreme_of
    joint, lower = operands[4], operands[5] if len(operands) > 5 else ""

    def run(b: Block, mask: Array, whole: bool) -> None:
        x, y = np.asarray(reads[0](b)), np.asarray(reads[1](b))
        result = compare(kind, x, y)
        if lower:
            low = b.predicate(lower)
            result = result | low if kind == "NE" else compare(kind[0] + "T", x, y) | ((x == y) & low)
        with_predicate = b.predicate(joint)
        first(b, mask, joined(mods, result, with_predicate))
        second(b, mask, joined(mods, ~result, with_predicate))

    return run


def lut(table: int, a: Array, b: Array, c: Array, ones: Array) -> Array:
    result = ones ^ ones
    for i in range(8):
        if table >> i & 1:
            result = result | ((a if i & 4 else a ^ ones) & (b if i & 2 else b ^ ones) & (c if i & 1 else c ^ ones))
    return result


def logic(one: Instruction) -> Run:
    operands = list(one.operands)
    flag = put_predicate(operands.pop(0)) if is_predicate(operands[0]) else None
    write, (a, b, c) = put(operands[0]), (integer(text) for text in operands[1:4])
    table = int(operands[4], 16)
    ones = np.uint32(0xFFFFFFFF)

    def run(block: Block, mask: Array, whole: bool) -> None:
        value = lut(table, a(block), b(block), c(block), ones)
        write(block, mask, whole, value)
        if flag:
            flag(block, mask, np.broadcast_to(value != 0, (block.threads,)))

    return run


def predicate_logic(one: Instruction) -> Run:
    first, second = put_predicate(one.operands[0]), put_predicate(one.operands[1])
    tables = [int(text, 16) for text in one.operands[5:7]]

    def run(b: Block, mask: Array, whole: bool) -> None:
        values = [b.predicate(text) for text in one.operands[2:5]]
        results = [lut(table, *values, np.ones(b.threads, bool)) for table in tables]
        first(b, mask, results[0])
        second(b, mask, results[1])

    return run


def add(one: Instruction) -> Run:
    """IADD3: sums with carries. A minus adds the complement and one, whose carry says that nothing was borrowed."""
    operands = list(one.operands)
    if one.name in ("VIADD",):
        operands.append("RZ")
    write = put(operands.pop(0))
    carries = []
    while is_predicate(operands[0]):
        carries.append(put_predicate(operands.pop(0)))
    terms = []
    for text in operands[:3]:
        (read,) = words(text, 1)
        signs = strip(text)[1]
        terms.append((read, "-" in signs and not strip(text)[0].endswith("RZ"), "~" in signs))
    carry_in = operands[3:]

    def run(b: Block, mask: Array, whole: bool) -> None:
        total = np.zeros(b.threads, np.uint64)
        for read, negative, inverted in terms:
            value = np.asarray(read(b), np.uint32)
            total += (~value if negative or inverted else value).astype(np.uint64) + np.uint64(negative)
        for name in carry_in:
            total += b.predicate(name)
        write(b, mask, whole, (total & np.uint64(0xFFFFFFFF)).astype(np.uint32))
        for i, carry in enumerate(carries):
            carry(b, mask, (total >> np.uint64(32)) > i)

    return run


def multiply(one: Instruction) -> Run:
    """IMAD in its forms."""
    mods, operands = one.modifiers, list(one.operands)
    target = operands.pop(0)
    carry = put_predicate(operands.pop(0)) if is_predicate(operands[0]) else None
    unsigned = "U32" in mods

    def widened(text: str) -> Read:
        read = integer(text)
        if unsigned:
            return lambda b: np.asarray(read(b), np.uint32).astype(np.uint64)
        return lambda b: np.asarray(read(b), np.uint32).view(np.int32).astype(np.int64).view(np.uint64)

    a, b_ = widened(operands[0]), widened(operands[1])
    if "WIDE" in mods or "HI" in mods:
        c = integer64(operands[2])
        write = put64(target) if "WIDE" in mods else put(target)

        def run(b: Block, mask: Array, whole: bool) -> None:
            product, more = a(b) * b_(b), c(b)
            total = product + more
            write(b, mask, whole, total if "WIDE" in mods else (total >> np.uint64(32)).astype(np.uint32))
            if carry:
                carry(b, mask, np.broadcast_to(total < product, (b.threads,)))

        return run
    c32, write32 = integer(operands[2]), put(target)
    carry_in = operands[3] if "X" in mods else ""

    def run32(b: Block, mask: Array, whole: bool) -> None:
        total = a(b) * b_(b) + np.asarray(c32(b), np.uint32).astype(np.uint64)
        if carry_in:
            total = total + b.predicate(carry_in)
        write32(b, mask, whole, (total & np.uint64(0xFFFFFFFF)).astype(np.uint32))

    return run32


def shifted_add(one: Instruction) -> Run:
    """LEA: (a << s) + b; LEA.HI: the high word of (c:a << s), plus b."""
    mods, operands = one.modifiers, list(one.operands)
    write = put(operands.pop(0))
    carry = put_predicate(operands.pop(0)) if is_predicate(operands[0]) else None
    carry_in = operands.pop() if "X" in mods else ""
    shift = np.uint64(int(operands.pop(), 16))
    a, (plus_read,) = integer(operands[0]), words(operands[1], 1)
    plus_signs = strip(operands[1])[1]
    high = integer(operands[2]) if "HI" in mods and "SX32" not in mods else None

    def run(b: Block, mask: Array, whole: bool) -> None:
        low = np.asarray(a(b), np.uint32)
        if "HI" in mods:
            top = np.asarray(high(b), np.uint32) if high else (low.view(np.int32) >> 31).view(np.uint32)
            value = ((wide(low, top) << shift) >> np.uint64(32)) & np.uint64(0xFFFFFFFF)
        else:
            value = (low.astype(np.uint64) << shift) & np.uint64(0xFFFFFFFF)
        plus = np.asarray(plus_read(b), np.uint32)
        negative = "-" in plus_signs
        total = value + (~plus if negative or "~" in plus_signs else plus).astype(np.uint64) + np.uint64(negative)
        if carry_in:
            total = total + b.predicate(carry_in)
        write(b, mask, whole, (total & np.uint64(0xFFFFFFFF)).astype(np.uint32))
        if carry:
            carry(b, mask, np.broadcast_to((total >> np.uint64(32)) > 0, (b.threads,)))

    return run


def funnel(one: Instruction) -> Run:
    """SHF d, low, shift, high."""
    mods, operands = one.modifiers, one.operands
    write, low, by, high = put(operands[0]), *(integer(text) for text in operands[1:4])

    def run(b: Block, mask: Array, whole: bool) -> None:
        value, n = wide(low(b), high(b)), np.asarray(by(b), np.uint32)
        n = np.minimum(n, 63).astype(np.uint64) if "64" in mods[1] else (n & np.uint32(31)).astype(np.uint64)
        if mods[0] == "L":
            value = value << n
        elif mods[1].startswith("S"):
            value = (value.view(np.int64) >> n.astype(np.int64)).view(np.uint64)
        else:
            value = value >> n
        result = value >> np.uint64(32) if "HI" in mods else value
        if mods[0] == "L" and mods[1] in ("U32", "S32") and "HI" not in mods:
            result = value
        write(b, mask, whole, (result & np.uint64(0xFFFFFFFF)).astype(np.uint32))

    return run


def permute(one: Instruction) -> Run:
    write, a, selector, b_ = put(one.operands[0]), *(integer(text) for text in one.operands[1:4])

    def run(b: Block, mask: Array, whole: bool) -> None:
        pair, how = wide(a(b), b_(b)), np.asarray(selector(b), np.uint32)
        result = np.zeros(b.threads, np.uint32)
        for i in range(4):
            nibble = (how >> np.uint32(4 * i)) & np.uint32(15)
            shift = (nibble & np.uint32(7)).astype(np.uint64) * np.uint64(8)
            byte = (pair >> shift).astype(np.uint32) & np.uint32(255)
            byte = np.where(nibble >= 8, np.where(byte >= 128, 255, 0), byte).astype(np.uint32)
            result |= byte << np.uint32(8 * i)
        write(b, mask, whole, result)

    return run


def select(one: Instruction) -> Run:
    condition = one.operands[3]
    if one.name == "FSEL":
        write, a, b_ = put_real(one.operands[0]), *(real(text) for text in one.operands[1:3])
    else:
        write, a, b_ = put(one.operands[0]), *(integer(text) for text in one.operands[1:3])
    return lambda b, mask, whole: write(b, mask, whole, np.where(b.predicate(condition), a(b), b_(b)))


def extreme(one: Instruction) -> Run:
    """FMNMX, VIMNMX, VIADDMNMX: the smaller where the predicate holds, else the larger."""
    condition = one.operands[-1]
    if one.name == "FMNMX":
        write, a, b_ = put_real(one.operands[0]), *(real(text) for text in one.operands[1:3])
        low, high = (np.minimum, np.maximum) if "NAN" in one.modifiers else (np.fmin, np.fmax)
        return lambda b, mask, whole: write(
            b, mask, whole, np.where(b.predicate(condition), low(a(b), b_(b)), high(a(b), b_(b)))
        )
    write, reads = put(one.operands[0]), [integer(text) for text in one.operands[1:-1]]
    view = np.uint32 if "U32" in one.modifiers else np.int32

    def run(b: Block, mask: Array, whole: bool) -> None:
        values = [np.asarray(read(b), np.uint32) for read in reads]
        if one.name == "VIADDMNMX":
            values = [values[0] + values[1], values[2]]
        x, y = (value.view(view) for value in values)
        result = np.where(b.predicate(condition), np.minimum(x, y), np.maximum(x, y))
        write(b, mask, whole, result.astype(view).view(np.uint32))

    return run


def magnitude(one: Instruction) -> Run:
    write, read = put(one.operands[0]), integer(one.operands[1])
    return lambda b, mask, whole: write(
        b, mask, whole, np.abs(np.asarray(read(b), np.uint32).view(np.int32)).view(np.uint32)
    )
