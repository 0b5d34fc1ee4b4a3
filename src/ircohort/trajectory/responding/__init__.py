"""What follows a stated intervention: early and late changes, spread between people, weight, stage, recovery.

``layout`` sets the visits of an outcome in phases, ``fitting`` fits them, ``quantities`` reads slopes and changes off a
fit, ``beyond`` sets them against a comparison group, ``spread``, ``weight``, ``stages`` and ``recovery`` hold one
question each, ``narrative`` says the findings, ``finding`` puts them together.
"""

from typing import TYPE_CHECKING

from ircohort.lazily import loader
from ircohort.trajectory.responding.record import InterventionResponse, ResponseSettings

if TYPE_CHECKING:
    from ircohort.trajectory.responding.finding import intervention_response

__all__ = ["InterventionResponse", "ResponseSettings", "intervention_response"]

__getattr__ = loader(__name__, {"intervention_response": "finding"})
