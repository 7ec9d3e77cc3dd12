"""What a process beside the server can be asked for in tests: to wait, to fail, to die."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable


class Worker:
    def wait(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    def pid(self) -> int:
        return os.getpid()

    def refuse(self) -> None:
        raise ValueError("colour: must be one, got none")

    def full(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def count(self, to: int, tell: Callable[[int], None]) -> str:
        for number in range(to):
            tell(number)
        return "done"
