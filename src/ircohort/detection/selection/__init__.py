"""Which visits of whom are judged, in which segments: all that is decided before any model is fitted."""

from ircohort.detection.selection.selecting import Series, select_series

__all__ = ["Series", "select_series"]
