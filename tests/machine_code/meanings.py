"""Every instruction that is known, by name, and a whole block of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from .block import CONTROL, Array, Block, Instruction, Kernel, NotRead, Run
from .floats import arithmetic, convert, needs_slow_division, pack_bytes, pack_halves, packed, special
from .integers import (
    add,
    extreme,
    funnel,
    logic,
    magnitude,
    multiply,
    permute,
    predicate_logic,
    select,
    set_predicate,
    shifted_add,
)
from .memory import (
    clear,
    load,
    load_constant,
    move,
    nothing,
    predicates_to_register,
    shuffle,
    special_register,
    store,
    to_uniform,
    vote,
)

MEANINGS: dict[str, Callable[[Instruction], Run]] = {
    **dict.fromkeys(("ISETP", "UISETP", "FSETP", "DSETP"), set_predicate),
    **dict.fromkeys(("LOP3", "ULOP3"), logic),
    **dict.fromkeys(("PLOP3", "UPLOP3"), predicate_logic),
    **dict.fromkeys(("IADD3", "UIADD3", "VIADD"), add),
    **dict.fromkeys(("IMAD", "UIMAD"), multiply),
    **dict.fromkeys(("LEA", "ULEA"), shifted_add),
    **dict.fromkeys(("SHF", "USHF"), funnel),
    **dict.fromkeys(("PRMT", "UPRMT"), permute),
    **dict.fromkeys(("FADD", "FMUL", "FFMA", "DADD", "DMUL", "DFMA"), arithmetic),
    **dict.fromkeys(("SEL", "USEL", "FSEL"), select),
    **dict.fromkeys(("FMNMX", "VIMNMX", "VIADDMNMX"), extreme),
    **dict.fromkeys(("I2F", "I2FP", "F2I", "F2F", "FRND"), convert),
    **dict.fromkeys(("HADD2", "HMUL2", "HFMA2", "HMNMX2"), packed),
    **dict.fromkeys(("LDG", "LDS", "LD"), load),
    **dict.fromkeys(("STG", "STS", "ST"), store),
    **dict.fromkeys(("LDC", "ULDC"), load_constant),
    **dict.fromkeys(("MOV", "UMOV"), move),
    **dict.fromkeys(("S2R", "S2UR"), special_register),
    **dict.fromkeys(("VOTE", "VOTEU"), vote),
    **dict.fromkeys(("NOP", "YIELD", "ENDCOLLECTIVE", "DEPBAR", "MEMBAR"), nothing),
    "MUFU": special,
    "F2FP": pack_halves,
    "F2IP": pack_bytes,
    "SHFL": shuffle,
    "R2UR": to_uniform,
    "P2R": predicates_to_register,
    "FCHK": needs_slow_division,
    "CS2R": clear,
    "IABS": magnitude,
}  # fmt: skip


def unread(one: Instruction, why: str) -> Run:
    """What only matters when it is reached."""

    def run(b: Block, mask: Array, whole: bool) -> None:
        raise NotRead(f"{why}: {one}")

    return run


def decode(kernel: Kernel) -> list[Run]:
    runs: list[Run] = []
    for one in kernel.code:
        if one.name in CONTROL:
            runs.append(nothing(one))
            continue
        try:
            runs.append(MEANINGS[one.name](one))
        except (NotRead, KeyError, AssertionError, ValueError) as error:
            runs.append(unread(one, repr(error)))
    return runs


def run_block(
    kernel: Kernel, runs: list[Run], block: int, threads: int, shared: int, parameters: bytes
) -> Counter[int]:
    """Carries out one block. Returns how many warps issued each instruction."""
    machine = Block(kernel, runs, block, threads, shared, parameters)
    with np.errstate(all="ignore"):
        machine.run()
    return machine.issued
