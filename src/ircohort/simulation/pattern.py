"""The visits of other people: when they came, and what was measured then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import shake_256

import numpy as np
from numpy.typing import NDArray

from ircohort.chance import Floats
from ircohort.errors import UsageError

DAYS_PER_YEAR = 365.25

_MOST_VISITS = 1000
_LONGEST_YEARS = 60.0


@dataclass(frozen=True)
class VisitPattern:
    """The visits of ``p`` pattern people, one after the other: ``m`` visits in all.

    Each simulated person takes the visits of one of them, by a hash of seed and identifier.

    Parameters
    ----------
    n_visits
        (p,) visits of each pattern person, 1 or more; their visits follow each other in the other fields.
    years
        (m,) time of each visit in years. Per person increasing, by a day or more; counted from the person's first.
    glucose, insulin, lipids
        (m,) bool: whether glucose, insulin, and triglycerides with HDL were measured.

    Raises
    ------
    UsageError
        If the fields do not fit together, a time is missing, two visits of a person fall on one day, or a
        person's visits span more than 60 years.

    Examples
    --------
    Two people: three visits and one; at the second visit of the first, insulin was not measured.

    >>> pattern = VisitPattern([3, 1], [0.0, 1.1, 2.0, 0.0], [True] * 4, [True, False, True, True], [True] * 4)
    >>> pattern.n_people, pattern.most_visits
    (2, 3)
    """

    n_visits: NDArray[np.int64]
    years: Floats
    glucose: NDArray[np.bool_]
    insulin: NDArray[np.bool_]
    lipids: NDArray[np.bool_]

    def __post_init__(self) -> None:
        kinds = {"n_visits": np.int64, "years": np.float64, "glucose": bool, "insulin": bool, "lipids": bool}
        for name, kind in kinds.items():
            object.__setattr__(self, name, np.atleast_1d(np.asarray(getattr(self, name), dtype=kind)))
        _check_shape(self)
        _check_times(self)

    @property
    def n_people(self) -> int:
        """People whose visits these are."""
        return self.n_visits.size

    @property
    def most_visits(self) -> int:
        """Visits of the person who came most often."""
        return int(self.n_visits.max())

    @property
    def offsets(self) -> NDArray[np.int64]:
        """(p,) where the visits of each person begin."""
        begins: NDArray[np.int64] = np.cumsum(self.n_visits) - self.n_visits
        return begins

    @property
    def days(self) -> NDArray[np.int64]:
        """(m,) whole days of each visit since the person's first."""
        first = np.repeat(self.years[self.offsets], self.n_visits)
        return np.rint((self.years - first) * DAYS_PER_YEAR).astype(np.int64)

    def assigned(self, participants: Sequence[str], *, seed: int) -> NDArray[np.int64]:
        """Give each simulated person one of the pattern people, by row."""
        words = (shake_256(f"pattern:{seed}:{name}".encode()).digest(8) for name in participants)
        return np.array([int.from_bytes(word, "little") % self.n_people for word in words], dtype=np.int64)


def _check_shape(pattern: VisitPattern) -> None:
    counts = pattern.n_visits
    if counts.ndim != 1 or counts.size == 0 or counts.min() < 1 or counts.max() > _MOST_VISITS:
        raise UsageError("The pattern has no people, or a number of visits that is not from 1 to 1000.")
    for name in ("years", "glucose", "insulin", "lipids"):
        if getattr(pattern, name).shape != (int(counts.sum()),):
            raise UsageError(
                f"The pattern has {getattr(pattern, name).size} entries of {name}.",
                expected=f"Expected is one for each of its {int(counts.sum())} visits.",
            )


def _check_times(pattern: VisitPattern) -> None:
    if not np.isfinite(pattern.years).all():
        raise UsageError("A visit of the pattern has no time.", next_step="Leave visits without a time out.")
    days = pattern.days
    first = np.zeros(days.size, dtype=bool)
    first[pattern.offsets] = True
    if (np.diff(days, prepend=0)[~first] < 1).any():
        raise UsageError("A person of the pattern has visits that do not follow each other by a day or more.")
    if days.max() > _LONGEST_YEARS * DAYS_PER_YEAR:
        raise UsageError(f"A person of the pattern was followed for more than {_LONGEST_YEARS:.0f} years.")
