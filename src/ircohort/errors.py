"""Every way in which ircohort refuses, and the exit code that goes with it.

The wording of an error says what is wrong, where, what was expected, and what to do next. It never holds a
participant's value: it names the file, the line and the column instead.
"""

from __future__ import annotations


class IrcohortError(Exception):
    """The root of all errors that ircohort raises on purpose.

    Parameters
    ----------
    what
        What is wrong and where, in one sentence.
    expected
        What was expected, or the evidence (optional).
    next_step
        What the reader can do about it (optional).
    """

    exit_code = 70

    def __init__(self, what: str, *, expected: str = "", next_step: str = "") -> None:
        self.what = what
        self.expected = expected
        self.next_step = next_step
        super().__init__("\n".join(part for part in (what, expected, next_step) if part))


class UsageError(IrcohortError):
    """A command or an argument that cannot be meant, or an input that is not there."""

    exit_code = 2


class RefusedError(IrcohortError):
    """Units, columns or configuration that ircohort will not guess at."""

    exit_code = 3


class ConfigurationError(RefusedError):
    """A configuration that cannot be used as it stands."""


class ColumnError(RefusedError):
    """A column that is missing, or claimed twice."""


class UnitError(RefusedError):
    """A unit that is not stated, not known, or contradicted by the values."""


class FormulaError(RefusedError):
    """A model formula that is malformed, or that asks for more than the named transforms."""


class ModelError(IrcohortError):
    """A model that cannot be fitted to these data."""

    exit_code = 4


class ThresholdError(IrcohortError):
    """The data fell below a limit that the user set with ``--fail-on``; all outputs were written."""

    exit_code = 5


class FileError(IrcohortError):
    """A file that could not be read or written."""

    exit_code = 6
