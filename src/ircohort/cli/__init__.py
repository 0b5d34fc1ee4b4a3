"""The command line: parse, call, print."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

import click

from ircohort.cli import cohort, evaluated, simulated
from ircohort.cli.writing import say
from ircohort.errors import FileError, IrcohortError, UsageError

EXIT_FAULT = 70
EXIT_INTERRUPTED = 130
INTERRUPTED = "Interrupted; nothing was left behind."


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nFor example:\n"
    "  ircohort check labs.csv           what was recognised, what is open\n"
    "  ircohort run labs.csv -o results  the main job",
)
@click.version_option(package_name="ircohort", message="%(package)s %(version)s")
def cli() -> None:
    """Longitudinal laboratory results: HOMA-IR, TG:HDL, and the hidden window.

    The hidden window is the time in which insulin markers rise while fasting
    glucose still reads normal. ircohort describes; it does not diagnose.
    """


for _command in (
    cohort.run,
    cohort.check,
    cohort.init,
    cohort.markers,
    cohort.detect,
    cohort.model,
    cohort.report,
    simulated.simulate,
    evaluated.evaluate,
    simulated.verify,
):
    cli.add_command(_command)


def exit_code(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code."""
    try:
        answer = cli.main(
            args=None if arguments is None else list(arguments), prog_name="ircohort", standalone_mode=False
        )
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say(INTERRUPTED)
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        return UsageError.exit_code
    except IrcohortError as error:
        say(f"Error: {error}")
        return error.exit_code
    except SystemExit:  # click ends so when nobody reads standard output any more
        return FileError.exit_code
    except OSError as error:
        _close_standard_output()
        say(f"Error: reading or writing failed: {error.strerror}.")
        return FileError.exit_code
    except Exception as error:
        say(f"Error: a fault of ircohort ({type(error).__name__}); details: {_trace(error)}")
        return EXIT_FAULT
    return answer if isinstance(answer, int) else 0


def _close_standard_output() -> None:
    """Stop Python from complaining again, when it ends, of a standard output that cannot be written."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _trace(error: BaseException) -> str:
    """Write where a fault happened into a file; without messages, which could hold values."""
    frames = traceback.format_list(traceback.extract_tb(error.__traceback__))
    with tempfile.NamedTemporaryFile("w", prefix="ircohort-fault-", suffix=".txt", delete=False) as file:
        file.write("".join(frames) + type(error).__name__ + "\n")
    return file.name
