"""The figures of the report: as addresses without network, with a caption, and in words for who cannot see them."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from ircohort.report.facts import Facts
from ircohort.report.words import NARROW, count, name, window_tile


def data_uri(picture: bytes | str) -> str:
    """Put a picture (PNG, or SVG as bytes or text) into an address that needs no network.

    Examples
    --------
    >>> data_uri("<svg/>")
    'data:image/svg+xml;base64,PHN2Zy8+'
    """
    content = picture.encode() if isinstance(picture, str) else picture
    kind = "png" if content.startswith(b"\x89PNG") else "svg+xml"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def alternative(figure: str, facts: Facts) -> str:
    """Describe a figure for those who cannot see it."""
    found = facts.individuals
    if figure == "hidden_window" and facts.course is not None:
        marker = name(facts.course.marker)
        return (
            f"{marker} and fasting glucose over the years before the event, future cases against a "
            f"comparison group. Hidden window: {window_tile(facts.course)}."
        )
    return {
        "hidden_window": "An insulin marker and fasting glucose over the years before the event.",
        "trajectories": f"Insulin marker and glucose over time in flagged people, at most twelve of "
        f"{count(found.n_flagged)}: readings, fitted course and dated window.",
        "plane": "HOMA-IR against fasting glucose at every visit, with cut-offs and the paths of flagged people.",
        "distributions": "Distribution of each marker over people at their first visit.",
    }.get(figure, f"Figure: {name(figure)}.")


CAPTIONS: Mapping[str, str] = {
    "hidden_window": f"Future cases (solid) and comparison group (dashed) with 95{NARROW}% intervals. Green: normal "
    "fasting glucose. Yellow: the hidden window. The bar with the dot: onset of the marker with its interval.",
    "trajectories": "The flagged people of highest probability, numbered as in the table of flags.",
    "plane": "HOMA-IR (logarithmic) against fasting glucose.",
    "distributions": "Markers at each person's first visit that has them.",
}


def caption(figure: str) -> str:
    """Give the caption of a figure."""
    return CAPTIONS.get(figure, name(figure).capitalize())
