"""The process: signals in, exit code out. ``ircohort`` and ``python -m ircohort`` both begin here."""

import os
import signal
import sys
import threading
from types import FrameType

LATER_S = 0.05


def main() -> None:
    """Run the command line and end with the code of the contract."""
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)  # what is half written is cleared away
    from ircohort.cli import EXIT_INTERRUPTED, exit_code

    code = exit_code()
    if code == EXIT_INTERRUPTED:  # Python would end itself by the signal if that went through an ``eval`` on its way
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; later amid an import, where compiled modules make other errors of it; and only once."""
    if isinstance(sys.exception(), KeyboardInterrupt):
        return
    if _importing(frame):
        threading.Timer(LATER_S, signal.raise_signal, [number]).start()
    else:
        raise KeyboardInterrupt


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


if __name__ == "__main__":
    main()
