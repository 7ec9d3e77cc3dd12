"""What a process beside the server can be asked for in tests: to wait, to fail, to die."""

from __future__ import annotations

import atexit
import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path


class Worker:
    def wait(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    def wait_for(self, sign: str) -> str:
        """Until a file is there."""
        while not Path(sign).exists():
            time.sleep(0.01)
        return sign

    def pid(self) -> int:
        return os.getpid()

    def refuse(self) -> None:
        raise ValueError("colour: must be one, got none")

    def full(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def end_late(self, sign: str) -> None:
        """Take a second to end, and leave a sign when that begins."""

        def end() -> None:
            Path(sign).touch()
            time.sleep(1)

        atexit.register(end)

    def count(self, to: int, tell: Callable[[int], None]) -> str:
        for number in range(to):
            tell(number)
        return "done"
