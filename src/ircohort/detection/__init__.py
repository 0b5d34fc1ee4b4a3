"""Individual findings: hidden windows with dates, a probability, and a reason for everyone who cannot be judged.

Reference: ``docs/detection.md``.
"""

from __future__ import annotations

from ircohort.detection.finding import detect
from ircohort.detection.settings import SETTING_NAMES, Detection, DetectSettings

__all__ = ["SETTING_NAMES", "DetectSettings", "Detection", "detect"]
