"""SIGTERM and Ctrl-C: stop at the end of the step with everything saved; a second one stops at once."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from peftsearch import processes

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """Stop of a run that was asked for by a signal; the run can be resumed.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class _Requests:
    """Signal handler that remembers the signal, and whether it may wait for the end of a step."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.can_wait = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        is_second, self.number = self.number is not None, number
        if is_second or not self.can_wait:
            raise Interrupted(number)
        logger.warning("Stopping after this step, with everything saved. Once more stops at once.")


_requests = _Requests()


@contextmanager
def handle_signals() -> Iterator[None]:
    """Handle SIGTERM and SIGINT inside of the context; outside of the main thread nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _requests.number = None
    before = {number: signal.signal(number, _requests) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _requests.number = None


@contextmanager
def defer_to_step_end() -> Iterator[None]:
    """Defer stop requests: inside of the context they take effect at the next `stop_if_asked`."""
    _requests.can_wait = True
    try:
        yield
    finally:
        _requests.can_wait = False


def is_asked() -> bool:
    """Whether the run has been asked to stop, in this process or in another one that works with it."""
    if asked := processes.largest(_requests.number or 0):
        _requests.number = asked
    return asked > 0


def stop_if_asked() -> None:
    """Stop the run here if a signal has asked for it.

    Raises:
        Interrupted: to be let through to the command line.
    """
    if is_asked() and _requests.number is not None:
        raise Interrupted(_requests.number)
