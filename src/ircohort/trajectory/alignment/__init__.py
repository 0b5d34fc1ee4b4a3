"""Time axes of a cohort: who has an event and when, whom cases are compared with, and the time of each visit.

``rules`` holds the settings, ``events``, ``crossing`` and ``glucose`` find events, ``comparison`` and ``matching``
choose the comparison group, ``backward``, ``forward`` and ``interventions`` set visits on time, ``counting``
says how many people each year rests on.
"""

from ircohort.trajectory.alignment.backward import align, align_on_age, align_to_event, align_visits
from ircohort.trajectory.alignment.counting import GROUPS, count_people_by_year, supported_years
from ircohort.trajectory.alignment.events import find_events
from ircohort.trajectory.alignment.forward import align_from_start
from ircohort.trajectory.alignment.glucose import StillBelow, share_still_below
from ircohort.trajectory.alignment.interventions import align_to_intervention
from ircohort.trajectory.alignment.record import Alignment
from ircohort.trajectory.alignment.rules import Comparison, EventRule

__all__ = [
    "GROUPS",
    "Alignment",
    "Comparison",
    "EventRule",
    "StillBelow",
    "align",
    "align_from_start",
    "align_on_age",
    "align_to_event",
    "align_to_intervention",
    "align_visits",
    "count_people_by_year",
    "find_events",
    "share_still_below",
    "supported_years",
]
