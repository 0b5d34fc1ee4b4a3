"""The process: signals in, exit code out. ``ircohort`` and ``python -m ircohort`` both begin here."""

import os
import signal
import sys
import threading
from types import FrameType

LATER_S, AGAIN_S = 0.05, 1.0
_taken = threading.Event()


def main() -> None:
    """Run the command line and end with the code of the contract."""
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)  # what is half written is cleared away
    from ircohort.cli import EXIT_FAULT, EXIT_INTERRUPTED, INTERRUPTED, exit_code
    from ircohort.cli.writing import say

    try:
        code = exit_code()
    except BaseException:  # as the panic of a compiled library
        if not _taken.is_set():
            raise
        code = EXIT_FAULT
    if code == EXIT_INTERRUPTED or (code and _taken.is_set()):
        if code != EXIT_INTERRUPTED:  # compiled code made another error of it
            say(INTERRUPTED)
        sys.stderr.flush()
        os._exit(EXIT_INTERRUPTED)  # Python would end itself by the signal if that went through an ``eval`` on its way
    sys.exit(code)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but not amid an import nor while one is on its way; again, if compiled code ate it."""
    if isinstance(sys.exception(), KeyboardInterrupt):
        return
    importing = _importing(frame)
    again = threading.Timer(LATER_S if importing else AGAIN_S, signal.raise_signal, [number])
    again.daemon = True
    again.start()
    if not importing:
        _taken.set()
        raise KeyboardInterrupt


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


if __name__ == "__main__":
    main()
