"""One page about a whole analysis: facts first, words second, layout last."""

from ircohort.report.facts import Facts, gather, person_numbers
from ircohort.report.page import render
from ircohort.report.words import summary

__all__ = ["Facts", "gather", "person_numbers", "render", "summary"]
