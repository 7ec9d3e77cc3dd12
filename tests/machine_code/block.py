"""Runs the machine code of a CUDA kernel (sm_90, as nvdisasm prints it) on a CPU, a block at a time.

What it shows is what the code computes and how many instructions each warp issues for it; no time. The lanes of a
block are the columns of arrays of numpy. Lanes with one program counter run together, those furthest behind first, and
wait for each other where the code says so (BSYNC, WARPSYNC, BAR), so that each branch is decided by the data.
ex2, lg2, rcp, rsq give the nearest float, where a GPU may be off by 2^-22; denormals are kept throughout.
"""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

WARP = 32
PARAMETERS = 0x210  # of the constant bank, where a kernel's parameters begin on sm_90
SHARED = 0x400  # of a block's shared memory, where its own begins: the first KB is CUDA's
SHARED_WINDOW = 0x7F7F0000  # high half of the address of shared memory among all memory: no address of a process

Array = Any  # of numpy
Run = Callable[["Block", Array, bool], None]  # carries out one instruction for the lanes of a mask; True: for all lanes


class NotRead(Exception):
    """An instruction, or a way to write one, that this machine does not know."""


@dataclass(frozen=True)
class Instruction:
    """`opcode` with its modifiers, and its operands, as printed. guard: the predicate it stands under."""

    address: int
    guard: str
    opcode: str
    operands: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.opcode.split(".")[0]

    @property
    def modifiers(self) -> list[str]:
        return self.opcode.split(".")[1:]


@dataclass
class Kernel:
    code: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)  # index into code

    def index_at(self, address: int) -> int:
        return address // 16


LINE = re.compile(r"\s+/\*([0-9a-f]{4,})\*/\s+(?:@(!?U?P\w+)\s+)?([A-Z][A-Z0-9_.]*)\s*(.*?)\s*;")


def read_kernels(text: str) -> dict[str, Kernel]:
    """Mangled name -> kernel, of `nvdisasm -c`."""
    kernels: dict[str, Kernel] = {}
    kernel = None
    for line in text.splitlines():
        if match := re.match(r"\s*\.section\s+(\.text\.)?(\w[\w$]*)?", line):
            kernel = kernels.setdefault(match[2], Kernel()) if match[1] else None
        elif kernel is None:
            continue
        elif match := re.match(r"([.$\w]+):\s*$", line):
            kernel.labels[match[1]] = len(kernel.code)
        elif match := LINE.match(line):
            operands = tuple(part.strip() for part in re.split(r",(?![^\[]*\])", match[4])) if match[4] else ()
            kernel.code.append(Instruction(int(match[1], 16), match[2] or "PT", match[3], operands))
            assert kernel.code[-1].address == 16 * (len(kernel.code) - 1)
    return kernels


class Memory:
    """This process's memory, by address: arrays of 1, 2 and 4 bytes that begin near address 0."""

    def __init__(self) -> None:
        start, end = 1 << 16, 1 << 47
        every = (ctypes.c_ubyte * (end - start)).from_address(start)
        self.bytes = np.frombuffer(every, dtype=np.uint8)
        self.start = start
        self.views = {size: self.bytes.view(kind) for size, kind in ((1, "u1"), (2, "u2"), (4, "u4"))}
        with open("/proc/self/maps") as maps:
            spans = [[int(word, 16) for word in line.split()[0].split("-")] for line in maps]
        spans = [span for span in spans if span[1] <= end]
        self.first, self.last = (np.array(column, dtype=np.int64) for column in zip(*spans, strict=True))

    def index(self, address: Array, size: int) -> Array:
        at = np.searchsorted(self.first, address, side="right") - 1
        if (at < 0).any() or (address + size > self.last[at]).any():
            raise IndexError(f"no memory at {int(address[0]):#x}")
        if (address % size).any():
            raise IndexError(f"not aligned for {size} bytes: {int(address[0]):#x}")
        return address - self.start


class Block:
    """Registers, predicates and shared memory of the threads of a block, and what they have issued."""

    def __init__(
        self, kernel: Kernel, runs: list[Run], block: int, threads: int, shared: int, parameters: bytes
    ) -> None:
        self.kernel, self.runs, self.block, self.threads = kernel, runs, block, threads
        self.r = np.zeros((256, threads), np.uint32)
        self.r[:] = 0x7FC0DEAD  # NaN until written
        self.r[255] = 0
        self.ur = np.zeros((64, threads), np.uint32)
        self.p = np.ones((8, threads), bool)
        self.up = np.ones((8, threads), bool)
        self.constant = np.zeros((PARAMETERS + len(parameters) + 7) // 4, np.uint32)
        self.constant[PARAMETERS // 4 : PARAMETERS // 4 + len(parameters) // 4] = np.frombuffer(parameters, np.uint32)
        self.constant[0], self.constant[0x28 // 4] = threads, 0
        self.shared = np.full((SHARED + shared + 15) // 16 * 4, 0xFFFFFFFF, np.uint32)
        self.shared_end = SHARED + shared
        self.memory = Memory()
        self.member = np.zeros((16, threads), bool)
        self.issued: Counter[int] = Counter()  # by index into the code: how many warps issued it
        self.ready: dict[int, Array] = {0: np.ones(threads, bool)}
        self.waiting: dict[tuple[int, str], Array] = {}
        self.alive = np.ones(threads, bool)

    def warps(self, mask: Array) -> Array:
        return mask.reshape(-1, WARP).any(1)

    def whole_warps(self, mask: Array) -> Array:
        return np.repeat(self.warps(mask), WARP)

    def go(self, at: int, mask: Array) -> None:
        if mask.any():
            other = self.ready.get(at)
            self.ready[at] = mask if other is None else other | mask

    def wait(self, at: int, kind: str, mask: Array) -> None:
        """Lanes of `mask` wait at `at` until all of those that they wait for do: kind names who that is."""
        mine = self.waiting.get((at, kind))
        self.waiting[at, kind] = mask if mine is None else mine | mask

    def release(self) -> None:
        for (at, kind), mask in list(self.waiting.items()):
            if kind == "block":
                held = np.zeros(self.threads, bool)
                for (_, other), more in self.waiting.items():
                    if other == "block":
                        held |= more
                free = mask if (held == self.alive).all() else np.zeros_like(mask)
            else:
                wanted = self.alive if kind == "warp" else self.member[int(kind)] & self.alive
                missing = self.warps(wanted & ~mask)
                free = mask & ~np.repeat(missing, WARP)
            if free.any():
                self.go(at + 1, free)
                rest = mask & ~free
                del self.waiting[at, kind]
                if rest.any():
                    self.waiting[at, kind] = rest

    def run(self) -> None:
        code, runs = self.kernel.code, self.runs
        while True:
            if self.waiting:
                self.release()
            if not self.ready:
                if self.waiting:
                    raise RuntimeError(f"threads wait for each other at {sorted(self.waiting)}")
                return
            at = min(self.ready)
            mask = self.ready.pop(at)
            warps = int(self.warps(mask).sum())
            whole = bool(mask.all())
            until = min(self.ready) if self.ready else len(code)
            while True:  # straight on, until lanes part or others stand where these are
                instruction = code[at]
                self.issued[at] += warps
                if instruction.name in CONTROL:
                    self.control(at, instruction, mask)
                    break
                run, guard = runs[at], instruction.guard
                if guard == "PT":
                    run(self, mask, whole)
                else:
                    active = mask & self.predicate(guard)
                    if active.any():
                        run(self, active, False)
                at += 1
                if at == until:
                    self.go(at, mask)
                    break

    def predicate(self, name: str) -> Array:
        negated, name = name.startswith("!"), name.lstrip("!")
        bank, number = (self.up, name[2:]) if name.startswith("U") else (self.p, name[1:])
        value = np.ones(self.threads, bool) if number == "T" else bank[int(number)]
        return ~value if negated else value

    def control(self, at: int, instruction: Instruction, mask: Array) -> None:
        name, operands = instruction.name, instruction.operands
        active = mask & self.predicate(instruction.guard)
        target = self.kernel.labels.get(operands[-1].strip("`()"), -1) if operands else -1
        if name == "BRA":
            if "DIV" in instruction.modifiers:  # away from a warp that is not whole
                active = mask & ~self.full_warps(mask)
            elif len(operands) == 2:
                active = active & self.predicate(operands[0])
            self.go(target, active)
            self.go(at + 1, mask & ~active)
        elif name == "EXIT":
            self.alive = self.alive & ~active
            self.go(at + 1, mask & ~active)
        elif name == "CALL":
            self.go(target, active)
            self.go(at + 1, mask & ~active)
        elif name == "RET":
            back = self.r[int(operands[0].split()[0][1:])]
            for address in np.unique(back[active]):
                self.go(self.kernel.index_at(int(address)), active & (back == address))
            self.go(at + 1, mask & ~active)
        elif name == "BSSY":
            member = self.member[int(operands[0][1:])]
            np.copyto(member, mask, where=self.whole_warps(mask))
            self.go(at + 1, mask)
        elif name == "BREAK":
            self.member[int(operands[0][1:])][active] = False
            self.go(at + 1, mask)
        elif name == "BSYNC":
            self.wait(at, operands[0][1:], active)
            self.go(at + 1, mask & ~active)
        elif name == "WARPSYNC" and "ALL" in instruction.modifiers:
            self.wait(at, "warp", mask)
        elif name == "BAR":
            self.wait(at, "block", mask)
        else:
            raise NotRead(f"{instruction}")

    def full_warps(self, mask: Array) -> Array:
        return np.repeat((mask == self.alive).reshape(-1, WARP).all(1), WARP)


CONTROL = {"BRA", "EXIT", "CALL", "RET", "BSSY", "BSYNC", "BREAK", "WARPSYNC", "BAR"}
