"""From facts to one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ircohort.report import meanings, pictures, words
from ircohort.report.facts import CLASSES, Person, gather

MOST_PEOPLE = 20
"""Rows of the table of flagged people; beyond this the most probable are shown, and the page says so."""

FILTERS = {
    function.__name__: function
    for function in (
        pictures.alternative,
        words.boundary,
        pictures.caption,
        words.certainty_sentences,
        words.convergence,
        words.count,
        words.course_sentences,
        pictures.data_uri,
        words.edges,
        words.false_flags,
        words.interval,
        words.name,
        words.number,
        words.percent,
        words.probability,
        words.reason_of_rule,
        words.rise,
        words.setting_lines,
        words.share,
        words.shortened,
        words.shown_reasons,
        words.span,
        words.summary,
        words.window_tile,
    )
}
"""What the template may call, by name."""


def render(analysis: Any, figures: Mapping[str, bytes | str], *, identifiers: bool = False) -> str:
    """Render the report: one HTML page that needs no network, no script and no other file.

    Parameters
    ----------
    analysis
        An ``Analysis``.
    figures
        Pictures by name (``hidden_window``, ``trajectories``, ``plane``, ``distributions``): PNG as bytes, SVG as
        bytes or text. One that is not there is left out.
    identifiers
        Whether participants' identifiers and calendar dates are shown. Otherwise flagged people are numbered from 1,
        in the order of the table of participants.

    Returns
    -------
    str
        The page; the same analysis gives the same text.
    """
    facts = gather(analysis, identifiers=identifiers)
    shown = _shown(facts.individuals.flagged)
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            facts=facts,
            figures=figures,
            further=[name for name in figures if name != "hidden_window"],
            people=shown,
            with_marker=any(person.marker != "insulin" for person in shown),
            with_tg_hdl=any(person.without_tg_hdl is not None for person in shown),
            beyond_expected=any(person.beyond_expected is not None for person in shown),
            classes=CLASSES,
            files=meanings.FILES,
            meanings={**meanings.VERDICT_MEANING, **meanings.COURSE_MEANING},
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ircohort", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(FILTERS)
    return environment


def _shown(people: tuple[Person, ...]) -> list[Person]:
    """Choose the most probable, and give them in the order of their numbers."""
    surest = sorted(people, key=lambda person: (-(person.probability or 0.0), person.number))[:MOST_PEOPLE]
    return sorted(surest, key=lambda person: person.number)
