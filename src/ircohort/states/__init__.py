"""States of a cohort over time: transitions both ways, time in each, who stays high, secretion against clearance.

Reference: ``docs/states.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ircohort.lazily import loader

if TYPE_CHECKING:
    from ircohort.states.compensated import CompensatedTime, compensated_time
    from ircohort.states.finding import States, describe_states

__all__ = ["CompensatedTime", "States", "compensated_time", "describe_states"]

__getattr__ = loader(
    __name__,
    {
        "CompensatedTime": "compensated",
        "States": "finding",
        "compensated_time": "compensated",
        "describe_states": "finding",
    },
)
