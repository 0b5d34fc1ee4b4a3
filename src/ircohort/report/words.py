"""How the report puts its numbers into words. Numbers are formatted here and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from ircohort.normalisation import RULES
from ircohort.report.facts import Account, Course, Estimate, Facts, Individuals, Model, Person, Share, Window
from ircohort.report.meanings import NAMES

NARROW = "\N{NARROW NO-BREAK SPACE}"
UNKNOWN = "–"


def name(key: str) -> str:
    """Name a marker, an outcome or a verdict; any other key is written with spaces."""
    return NAMES.get(key, key.replace("_", " "))


def number(value: float | None, digits: int = 1) -> str:
    """Write a number, with a true minus sign and commas between thousands; a dash where it is not known.

    Examples
    --------
    >>> number(-1234.56), number(None), number(-0.04), number(float("nan"))
    ('−1,234.6', '–', '0.0', '–')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    written = f"{value:,.{digits}f}"
    return (written if float(written.replace(",", "")) else f"{0:.{digits}f}").replace("-", "\N{MINUS SIGN}")


def count(value: int | None) -> str:
    """Write a count.

    Examples
    --------
    >>> count(12345)
    '12,345'
    """
    return number(value, 0)


def counted(value: int, one: str, many: str = "") -> str:
    """Write a count with its noun.

    Examples
    --------
    >>> counted(1, "person", "people"), counted(0, "visit")
    ('1 person', '0 visits')
    """
    return f"{count(value)} {one if value == 1 else many or one + 's'}"


def percent(value: float | None) -> str:
    """Write a percentage: one decimal below 10, none from there on.

    Examples
    --------
    >>> percent(5.61).replace(NARROW, " "), percent(34.4).replace(NARROW, " "), percent(None)
    ('5.6 %', '34 %', '–')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{number(value, 1 if abs(value) < 9.95 else 0)}{NARROW}%"


def share(of: Share) -> str:
    """Write a share as a percentage; a dash where the whole is nobody."""
    return percent(100 * of.part / of.whole) if of.whole else UNKNOWN


def interval(low: float | None, high: float | None, digits: int = 1) -> str:
    """Write an interval; with a negative end the dash becomes ``to``, and an unknown end is left open.

    Examples
    --------
    >>> interval(4.3, 7.1), interval(-3, 0.42), interval(4.3, None), interval(None, None)
    ('4.3–7.1', '−3.0 to 0.4', '4.3 or more', '')
    """
    bottom, top = number(low, digits), number(high, digits)
    if UNKNOWN not in (bottom, top):
        return f"{bottom} to {top}" if "\N{MINUS SIGN}" in bottom + top else f"{bottom}–{top}"
    if bottom != UNKNOWN:
        return f"{bottom} or more"
    return f"{top} or less" if top != UNKNOWN else ""


def probability(value: float | None) -> str:
    """Write a probability with two decimals; certainty is never claimed.

    Examples
    --------
    >>> probability(0.876), probability(0.9999), probability(0.001), probability(None)
    ('0.88', '> 0.99', '< 0.01', '–')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value > 0.99:
        return "> 0.99"
    return "< 0.01" if value < 0.01 else number(value, 2)


def in_years(estimate: Estimate, n_refits: int) -> str:
    """Write years with their interval, such as ``6.5 years (95 % interval 4.3–7.1)``."""
    return f"{number(estimate.value)} years{_between(estimate.low, estimate.high, n_refits)}"


def _between(low: float | None, high: float | None, n_refits: int) -> str:
    """Write an interval in brackets; one that is open at both ends is the widest, not none."""
    if not n_refits:
        return ""
    return f" (95{NARROW}% interval {interval(low, high) or 'beyond the data at both ends'})"


def rise(estimate: Estimate) -> str:
    """Write a rise in whole % with its interval."""
    between = interval(estimate.low, estimate.high, 0)
    if estimate.value is None:
        return UNKNOWN
    return f"{number(estimate.value, 0)}{NARROW}%" + (f" ({between})" if between else "")


def span(window: Window) -> str:
    """Write a window in years since the first visit, and its dates where the record holds them."""
    words = f"{interval(window.start, window.end) or UNKNOWN}"
    if window.start_date is None and window.end_date is None:
        return words
    return f"{words} ({_day(window.start_date)} to {_day(window.end_date)})"


def _day(day: date | None) -> str:
    return UNKNOWN if day is None else day.isoformat()


def edges(window: Window) -> str:
    """Say in words what opened and what closed a window."""
    return f"{name(window.opened_by or UNKNOWN)} → {name(window.closed_by or UNKNOWN)}"


def summary(facts: Facts) -> str:
    """Say in one sentence what was found in people, and in one what was found in the cohort."""
    found = facts.individuals
    if not found.n_assessable:
        first = "No participant has data that can be judged one by one"
    elif not found.n_flagged:
        first = f"Of {counted(found.n_assessable, 'person', 'people')} whose data can be judged, nobody is flagged"
    else:
        part = share(Share(found.n_flagged, found.n_assessable))
        first = (
            f"{count(found.n_flagged)} of {counted(found.n_assessable, 'person', 'people')} whose data can be judged "
            f"({part}) {'is' if found.n_flagged == 1 else 'are'} flagged as showing {_risen(found.flagged)} while "
            f"their fitted glucose was normal{_of_these_false(found)}"
        )
    return f"{first}; {_cohort_clause(facts.course)}."


def _of_these_false(found: Individuals) -> str:
    if found.expected_false.value is None:
        return ""
    return f", of these {false_flags(found)} expected to be false"


def _risen(people: Sequence[Person]) -> str:
    markers = {person.marker for person in people}
    only = next(iter(markers)) if len(markers) == 1 else None
    return {"insulin": "insulin rising", "tg_hdl": "TG:HDL rising"}.get(only or "", "an insulin marker rising")


def _cohort_clause(course: Course | None) -> str:
    if course is None:
        return "the course of the cohort as a whole could not be modelled"
    if course.window_status == "none" or course.window.value is None:
        return "no hidden window could be dated in the cohort as a whole"
    length = in_years(course.window, course.n_refits)
    if not course.firm:
        return (
            f"in the cohort as a whole the hidden window before {course.event} is estimated at {length}, which does "
            "not exclude that there is none"
        )
    return {
        "closed": f"in the cohort as a whole the hidden window before {course.event} lasted {length}",
        "at_least": f"in the cohort as a whole the hidden window before {course.event} lasted at least {length}",
        "open_at_event": f"in the cohort as a whole the hidden window had lasted {length} by {course.event}",
    }[course.window_status]


def window_tile(course: Course | None) -> str:
    """Write the length of the cohort's window for the strip of key numbers, with its interval."""
    if course is None or course.window.value is None or course.window_status == "none":
        return "not dated"
    between = interval(course.window.low, course.window.high) if course.n_refits else ""
    least = "≥ " if course.window_status == "at_least" else ""
    return f"{least}{number(course.window.value)} years" + (f" ({between})" if between else "")


def course_sentences(course: Course) -> list[str]:
    """Say in plain sentences what the first figure shows."""
    marker, cases, others = name(course.marker), course.counts.get("cases"), course.counts.get("comparison")
    people = (
        ""
        if cases is None or others is None
        else f" ({counted(cases, 'person', 'people')}, compared with {count(others)} without that event)"
    )
    sentences = [f"Followed back from {course.event}{people}:"]
    if course.onset_status == "dated" and course.onset.value is not None:
        between = _between(_minus(course.onset.high), _minus(course.onset.low), course.n_refits)
        sentences[0] += f" {marker} was raised from {number(-course.onset.value)} years before{between}."
    elif course.onset_status == "before_support":
        sentences[0] += f" {marker} was raised already in the earliest year that the data support."
    else:
        sentences[0] += f" {marker} was not raised by the stated size at any time that the data support."
    sentences.append(_glucose_sentence(course))
    if course.lead.value is not None:
        sentences.append(_lead_sentence(course, marker))
    if course.n_refits:
        sentences.append(_refits_sentence(course))
    if course.variants and course.window.value is not None and course.window_status != "none":
        sentences.append(_variants_sentence(course))
    return [sentence for sentence in sentences if sentence]


def _refits_sentence(course: Course) -> str:
    words = f"Intervals come from {counted(course.n_refits, 'refit')} of the models"
    if not course.n_refits_without_onset:
        return f"{words}."
    return (
        f"{words}; in {count(course.n_refits_without_onset)} of them no onset was found, which counts as beyond the "
        "edge of the data."
    )


def _variants_sentence(course: Course) -> str:
    """Say how far the window moves when one choice is made otherwise."""
    least, most = (pick(course.variants, key=lambda each: each[1]) for pick in (min, max))
    bound = "at least " if most[2] else ""
    return (
        f"Analysed otherwise, one choice at a time ({counted(len(course.variants), 'way')}), the window comes to "
        f"between {number(least[1])} years ({least[0]}) and {bound}{number(most[1])} years ({most[0]})."
    )


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _glucose_sentence(course: Course) -> str:
    if course.window.value is None or course.window_status == "none":
        return ""
    length = in_years(course.window, course.n_refits)
    doubt = "" if course.firm else " The interval does not exclude that there is no window."
    if course.window_status == "open_at_event":
        return (
            f"Their fitted glucose had not reached the cut-off by the event, a hidden window of {length}; the last "
            f"year is extrapolated from the years before.{doubt}"
        )
    least = "at least " if course.window_status == "at_least" else ""
    return f"Their fitted glucose read normal for {least}{length} from then on: the hidden window.{doubt}"


def _lead_sentence(course: Course, marker: str) -> str:
    lead = course.lead.value or 0.0
    when = "before" if lead >= 0 else "after"
    least = "at least " if course.lead_censored else ""
    between = _between(course.lead.low, course.lead.high, course.n_refits)
    return (
        f"By the same measure {marker} was raised {least}{number(abs(lead))} years {when} glucose itself, a signed "
        f"lead of {number(lead)} years{between}."
    )


def false_flags(found: Individuals) -> str:
    """Write how many flags are expected to be false, with the interval, for the strip of key numbers."""
    between = interval(found.expected_false.low, found.expected_false.high, 0)
    return number(found.expected_false.value) + (f" ({between})" if between else "")


def certainty_sentences(facts: Facts) -> list[str]:
    """Say how many flags are expected to be false, how many who progress are flagged, and what detection says."""
    found = facts.individuals
    sentences = []
    if found.n_flagged and found.expected_false.value is not None:
        verb = "is" if found.n_flagged == 1 else "are"
        between = interval(found.expected_false.low, found.expected_false.high, 0)
        within = f"; 95{NARROW}% interval of their number: {between}" if between else ""
        sentences.append(
            f"Of {counted(found.n_flagged, 'flag')}, {number(found.expected_false.value)} {verb} expected to be false "
            f"(the sum of one minus each probability{within})."
        )
    elif not found.n_flagged:
        sentences.append("With no flag, no false flag is expected; people with a hidden window may have been missed.")
    if found.later is not None and found.later.whole:
        sentences.append(_flagged_among(found.later, "reached confirmed prediabetes after their first visit"))
    return [*sentences, *found.notes]


def _flagged_among(of: Share, whom: str) -> str:
    people = counted(of.whole, "assessable person", "assessable people")
    return f"Of {people} who {whom}, {count(of.part)} ({share(of)}) {'is' if of.part == 1 else 'are'} flagged."


def shown_reasons(reasons: Sequence[tuple[str, str, int]], most: int = 4) -> list[tuple[str, str, int]]:
    """Keep the most frequent reasons of each verdict, and add up the rest of each.

    Examples
    --------
    >>> shown_reasons([("not_shown", "a", 5), ("not_shown", "b", 2), ("not_shown", "c", 1)], most=1)
    [('not_shown', 'a', 5), ('not_shown', 'other reasons', 3)]
    """
    lines = []
    for verdict in dict.fromkeys(verdict for verdict, _, _ in reasons):
        own = [line for line in reasons if line[0] == verdict]
        kept = own if len(own) <= most + 1 else own[:most]
        rest = sum(people for _, _, people in own[len(kept) :])
        lines += [*kept, *([(verdict, "other reasons", rest)] if rest else [])]
    return lines


def reason_of_rule(rule: str) -> str:
    """Say what a rule of normalisation says; a rule that is not known by its name."""
    return RULES[rule].reason if rule in RULES else rule.replace("_", " ")


def convergence(model: Model) -> str:
    """Say in words how a fit ended."""
    return "converged" if model.converged else "did not converge: do not rely on it"


def boundary(model: Model) -> str:
    """Say in words whether a variance is at the edge of what it can be."""
    if not model.at_boundary:
        return "no"
    return f"yes{f': {model.boundary_direction}' if model.boundary_direction else ''}"


def shortened(accounts: Sequence[Account], most: int = 10) -> list[Account]:
    """Keep the largest lines of a ledger, in their order, and add up the rest; a line of totals comes last."""
    if len(accounts) <= 1:
        return list(accounts)
    largest = sorted(range(len(accounts)), key=lambda place: (-accounts[place].counts["read"], place))[:most]
    kept = [accounts[place] for place in sorted(largest)]
    rest = [account for place, account in enumerate(accounts) if place not in largest]
    lines = [*kept, _sum(f"{len(rest)} others", rest)] if rest else kept
    return [*lines, _sum("all", accounts)]


def _sum(title: str, accounts: Sequence[Account]) -> Account:
    return Account(title, {key: sum(account.counts[key] for account in accounts) for key in accounts[0].counts})


def setting_lines(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Write settings section by section; values outside a section stand under ``general``; empty sections are left out.

    Examples
    --------
    >>> setting_lines({"seed": 1, "detect": {"min_rise": 0.25, "strict": True, "sites": ()}, "long": {}})
    [('general', 'seed 1'), ('detect', 'min_rise 0.25; strict yes; sites none')]
    """
    loose = {key: value for key, value in settings.items() if not isinstance(value, Mapping)}
    sections = {**({"general": loose} if loose else {}), **{k: v for k, v in settings.items() if k not in loose}}
    return [
        (section, "; ".join(f"{key} {_plain(value)}" for key, value in rows.items()))
        for section, rows in sections.items()
        if rows
    ]


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) or "none"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(_plain(item) for item in value) or "none"
    return str(value)
