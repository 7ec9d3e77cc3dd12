"""Memory, constants, shuffles and moves."""

from __future__ import annotations

import re

import numpy as np

from .block import SHARED, SHARED_WINDOW, WARP, Array, Block, Instruction, Run
from .operands import Read, integer, integer64, put, put64, put_predicate, words


def address_of(text: str) -> Read:
    """[R2.64+0x10], [R2+UR4+0x10], [UR4], desc[UR4][R2.64]: 64 bits."""
    inner = re.findall(r"\[([^\]]*)\]", text)[-1]
    total: list[Read] = []
    for part in re.sub(r"\+-", "+~", inner).split("+"):
        if re.fullmatch(r"~?0x[0-9a-f]+", part):
            value = np.int64(int(part.lstrip("~"), 16) * (-1 if part[0] == "~" else 1))
            total.append(lambda b, v=value: v)
        elif ".64" in part:
            read64 = integer64(part)
            total.append(lambda b, r=read64: np.asarray(r(b)).view(np.int64))
        else:
            scale = int(match[1]) if (match := re.search(r"\.X(\d+)", part)) else 1
            read = integer(part)
            total.append(lambda b, r=read, s=scale: np.asarray(r(b), np.uint32).astype(np.int64) * s)

    def address(b: Block) -> Array:
        result = total[0](b)
        for term in total[1:]:
            result = result + term(b)
        return np.broadcast_to(result, (b.threads,))

    return address


def places(b: Block, kind: str, address: Array, size: int) -> tuple[Array, Array]:
    """(memory as elements of `size` bytes, the elements' numbers in it) of addresses."""
    shared = kind in ("LDS", "STS")
    if shared:
        address = address & 0xFFFFFFFF
    if kind in ("LD", "ST"):
        inside = address >> 32 == SHARED_WINDOW
        assert inside.all() or not inside.any(), "a generic access to both kinds of memory"
        shared = bool(inside.all())
        address = address & 0xFFFFFFFF if shared else address
    if not shared:
        return b.memory.views[size], b.memory.index(address, size) // size
    if (address < SHARED).any() or (address + size > b.shared_end).any():
        raise IndexError(f"shared memory has {b.shared_end - SHARED} bytes, not {int(address.max()) - SHARED + size}")
    if (address % size).any():
        raise IndexError(f"shared memory: not aligned for {size} bytes")
    return b.shared.view({1: "u1", 2: "u2", 4: "u4"}[size]), address // size


def width_of(mods: list[str]) -> tuple[int, int, bool]:
    """(bytes of an element, elements, signed)"""
    for mod, size in (("U8", 1), ("S8", 1), ("U16", 2), ("S16", 2)):
        if mod in mods:
            return size, 1, mod[0] == "S"
    return 4, 4 if "128" in mods else 2 if "64" in mods else 1, False


def check_aligned(address: Array, size: int) -> None:
    if (address % size).any():
        raise IndexError(f"not aligned for {size} bytes: {int(address[0]):#x}")


def load(one: Instruction) -> Run:
    size, count, sign = width_of(one.modifiers)
    match = re.fullmatch(r"R(\d+|Z)", one.operands[0])
    assert match
    address = address_of(one.operands[1])

    def run(b: Block, mask: Array, whole: bool) -> None:
        at = address(b)[mask]
        check_aligned(at, size * count)
        for i in range(count):
            memory, index = places(b, one.name, at + 4 * i, size)
            value = memory[index].astype(np.uint32)
            if sign:
                value = (value << np.uint32(32 - 8 * size)).view(np.int32) >> (32 - 8 * size)
            if match[1] != "Z":
                b.r[int(match[1]) + i][mask] = value.view(np.uint32)

    return run


def store(one: Instruction) -> Run:
    size, count, _ = width_of(one.modifiers)
    address, values = address_of(one.operands[0]), words(one.operands[1], count)

    def run(b: Block, mask: Array, whole: bool) -> None:
        at = address(b)[mask]
        check_aligned(at, size * count)
        for i, value in enumerate(values):
            memory, index = places(b, one.name, at + 4 * i, size)
            memory[index] = np.broadcast_to(value(b), (b.threads,))[mask].astype(memory.dtype)

    return run


def load_constant(one: Instruction) -> Run:
    size, count, _ = width_of(one.modifiers)
    if size != 4:
        match = re.fullmatch(r"c\[0x0\]\[(0x[0-9a-f]+)\]", one.operands[1])
        assert match, one
        offset = int(match[1], 16)
        write = put(one.operands[0])
        kind = {1: np.uint8, 2: np.uint16}[size]
        return lambda b, mask, whole: write(b, mask, whole, np.uint32(b.constant.view(kind)[offset // size]))
    names = [re.sub(r"\d+", lambda m, i=i: str(int(m[0]) + i), one.operands[0]) for i in range(count)]
    writes, reads = [put(name) for name in names], words(one.operands[1], count)

    def run(b: Block, mask: Array, whole: bool) -> None:
        for write, read in zip(writes, reads, strict=True):
            write(b, mask, whole, read(b))

    return run


def shuffle(one: Instruction) -> Run:
    assert one.modifiers == ["BFLY"], one
    write, value, by = put(one.operands[1]), integer(one.operands[2]), integer(one.operands[3])

    def run(b: Block, mask: Array, whole: bool) -> None:
        if not (b.full_warps(mask) | ~mask).all():
            raise RuntimeError(f"{one}: a shuffle that not every lane reaches")
        lanes = np.arange(b.threads)
        write(b, mask, whole, np.broadcast_to(value(b), (b.threads,))[lanes ^ int(by(b))])

    return run


def special_register(one: Instruction) -> Run:
    write, name = put(one.operands[0]), one.operands[1]

    def run(b: Block, mask: Array, whole: bool) -> None:
        value = {
            "SR_TID.X": np.arange(b.threads, dtype=np.uint32),
            "SR_CTAID.X": np.uint32(b.block),
            "SR_CgaCtaId": np.uint32(0),
            "SR_SWINHI": np.uint32(SHARED_WINDOW),
            "SR_LANEID": np.arange(b.threads, dtype=np.uint32) % np.uint32(WARP),
        }[name]
        write(b, mask, whole, value)

    return run


def to_uniform(one: Instruction) -> Run:
    write, read = put(one.operands[-2]), integer(one.operands[-1])

    def run(b: Block, mask: Array, whole: bool) -> None:
        value = np.broadcast_to(read(b), (b.threads,)).reshape(-1, WARP)
        first = mask.reshape(-1, WARP).argmax(1)
        write(b, mask, whole, np.repeat(value[np.arange(len(first)), first], WARP))

    return run


def vote(one: Instruction) -> Run:
    """VOTE, VOTEU: does a predicate hold for any active lane of a warp, or for all?"""
    write, asked = put_predicate(one.operands[-2]), one.operands[-1]
    everyone = "ALL" in one.modifiers

    def run(b: Block, mask: Array, whole: bool) -> None:
        value = b.predicate(asked)
        held = (value | ~mask) if everyone else (value & mask)
        of_warp = held.reshape(-1, WARP).all(1) if everyone else held.reshape(-1, WARP).any(1)
        write(b, mask, np.repeat(of_warp, WARP))

    return run


def predicates_to_register(one: Instruction) -> Run:
    write, kept = put(one.operands[0]), int(one.operands[-1], 16)

    def run(b: Block, mask: Array, whole: bool) -> None:
        value = np.zeros(b.threads, np.uint32)
        for i in range(7):
            value |= b.p[i].astype(np.uint32) << np.uint32(i)
        write(b, mask, whole, value & np.uint32(kept))

    return run


def move(one: Instruction) -> Run:
    write, read = put(one.operands[0]), integer(one.operands[1])
    return lambda b, mask, whole: write(b, mask, whole, read(b))


def clear(one: Instruction) -> Run:
    assert one.operands[1] == "SRZ", one
    write = put64(one.operands[0]) if "32" not in one.modifiers else put(one.operands[0])
    return lambda b, mask, whole: write(b, mask, whole, np.uint32(0))


def nothing(one: Instruction) -> Run:
    return lambda b, mask, whole: None
