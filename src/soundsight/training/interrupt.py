"""Stopping a training from outside without losing a step."""

import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any


class Interrupted(Exception):  # noqa: N818 - it is no error.
    """The training was asked to stop (SIGINT or SIGTERM) and has saved its state.

    Attributes:
        state: folder of the state; training again with `resume=True` goes on from there.
    """

    def __init__(self, state: Path) -> None:
        super().__init__(f"interrupted; the state is saved in {state}")
        self.state = state


class StopSignals:
    """Turns SIGINT and SIGTERM into a wish, `requested`, while it is entered.

    A SIGINT after that raises KeyboardInterrupt at once. Does nothing outside the main thread,
    which alone may set handlers.

    Args:
        lasting: leave SIGTERM without effect afterwards, if there was a request. A launcher of
            several processes sends it to those that are not the first to end.
    """

    def __init__(self, *, lasting: bool = False) -> None:
        self.requested, self._lasting = False, lasting
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            deaf = number == signal.SIGTERM and self._lasting and self.requested
            signal.signal(number, signal.SIG_IGN if deaf else handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.requested:
            # No print: a handler may run in the middle of another one.
            os.write(2, b"\nstopping after this step; Ctrl-C again to leave at once\n")
        self.requested = True
