"""A limit on how long foreign code may take, by an alarm: only in the main thread, where signals arrive, and where there is SIGALRM.

What hangs inside compiled code that never returns to Python cannot be interrupted. An alarm that someone else has set goes on afterwards.
"""

import signal
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any


class Stalled(BaseException):
    """Not an ``Exception``: the code that is interrupted may catch those."""


class Watch:
    """``with watch: watch.call(f, x)`` raises ``Stalled`` where f takes longer than the limit."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._armed, self._depth = False, 0

    def __enter__(self) -> "Watch":
        self._depth += 1
        if self._depth > 1:
            return self
        self._armed = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
        if self._armed:
            self._began = time.monotonic()
            self._left = signal.setitimer(signal.ITIMER_REAL, 0.0)
            self._handler = signal.signal(signal.SIGALRM, _stalled)
        return self

    def call(self, function: Callable[..., Any], *values: Any, **named: Any) -> Any:
        if not self._armed:
            return function(*values, **named)
        try:
            signal.setitimer(signal.ITIMER_REAL, self.seconds)
            return function(*values, **named)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth:
            return
        if self._armed:
            signal.signal(signal.SIGALRM, self._handler)
            if self._left[0] > 0:
                signal.setitimer(
                    signal.ITIMER_REAL, max(self._left[0] - (time.monotonic() - self._began), 1e-3), self._left[1]
                )
        self._armed = False


def _stalled(number: int, frame: Any) -> None:
    raise Stalled
