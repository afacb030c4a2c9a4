"""A limit on how long code of others may take, by an alarm: only in the main thread, where signals arrive, and where
there is SIGALRM.

What hangs inside compiled code that never returns to Python cannot be interrupted. An alarm that someone else has set
goes on afterwards.
"""

import signal
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any


class Stalled(BaseException):
    """Not an ``Exception``: the code that is interrupted may catch those."""


class TimeLimit:
    """``with limit: limit.call(f, x)`` raises ``Stalled`` where f takes longer than the limit."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._armed, self._depth = False, 0

    def __enter__(self) -> "TimeLimit":
        self._depth += 1
        if self._depth > 1:
            return self
        self._armed = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
        if self._armed:
            self._entered_at = time.monotonic()
            self._other_alarm = signal.setitimer(signal.ITIMER_REAL, 0.0)
            self._other_handler = signal.signal(signal.SIGALRM, _stalled)
        return self

    def call(self, function: Callable[..., Any], *values: Any, **named: Any) -> Any:
        """What the function returns, within the limit."""
        if not self._armed:
            return function(*values, **named)
        try:
            signal.setitimer(signal.ITIMER_REAL, self.seconds)
            return function(*values, **named)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def __exit__(
        self, exception_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth:
            return
        if self._armed:
            signal.signal(signal.SIGALRM, self._other_handler)
            seconds_left, interval = self._other_alarm
            if seconds_left > 0:
                # an alarm that fell due meanwhile goes off at once: 0 would switch it off
                passed = time.monotonic() - self._entered_at
                signal.setitimer(signal.ITIMER_REAL, max(seconds_left - passed, 1e-3), interval)
        self._armed = False


def _stalled(number: int, frame: Any) -> None:
    raise Stalled
