"""Mixed models of readings that are partly known by bounds only, such as those below a limit of detection."""

from ircohort.lmm.censored.fitting import fit_censored
from ircohort.lmm.censored.record import CensoredFit

__all__ = ["CensoredFit", "fit_censored"]
