"""Does the flag mean anything? Flags made up to a landmark, against what became of the people afterwards.

Reference: ``docs/landmark.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ircohort.lazily import loader
from ircohort.prognosis.record import Landmark, LandmarkSettings

if TYPE_CHECKING:
    from ircohort.prognosis.finding import follow, landmark

__all__ = ["Landmark", "LandmarkSettings", "follow", "landmark"]

__getattr__ = loader(__name__, {"landmark": "finding", "follow": "finding"})
