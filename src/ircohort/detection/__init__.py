"""Individual findings: hidden windows with dates, a probability, and a reason for everyone who cannot be judged.

Reference: ``docs/detection.md``; the statistics: ``docs/detection-method.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ircohort.detection.settings import SETTING_NAMES, Detection, DetectSettings
from ircohort.lazily import loader

if TYPE_CHECKING:
    from ircohort.detection.finding import detect

__all__ = ["SETTING_NAMES", "DetectSettings", "Detection", "detect"]

__getattr__ = loader(__name__, {"detect": "finding"})
