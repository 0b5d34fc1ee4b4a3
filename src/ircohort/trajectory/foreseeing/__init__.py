"""What a normal glucose hides: how well markers tell, while glycaemia reads normal, who will have the event.

``following`` says what became of people after each visit that read normal, ``scoring`` how well a score ranks them,
``finding`` makes the table.
"""

from ircohort.trajectory.foreseeing.finding import LAGS, MARKERS, foresee

__all__ = ["LAGS", "MARKERS", "foresee"]
