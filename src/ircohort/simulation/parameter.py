"""Parameters of a design: each says in one line its value, its range and what it means.

A record of parameters is a frozen dataclass whose fields are made by :func:`number`, :func:`whole`,
:func:`yes_or_no` or :func:`choice`, or hold a record of their own (:func:`group`). The ranges are checked when a record
is made, and listed by :func:`listed`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any

from ircohort.errors import UsageError

_WORDS = {"true": True, "yes": True, "false": False, "no": False, "none": None}


@dataclass(frozen=True)
class Expected:
    """What a parameter may be: the test, in words, and what it means."""

    allows: Callable[[Any], bool]
    words: str
    meaning: str


@dataclass(frozen=True)
class Parameter:
    """A parameter of a design as it is listed: its dotted name, value, range in words, and meaning."""

    name: str
    value: Any
    expected: str
    meaning: str


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _declared(default: Any, allows: Callable[[Any], bool], words: str, meaning: str) -> Any:
    return field(default=default, metadata={"expected": Expected(allows, words, meaning)})


def number(default: float, low: float, high: float, meaning: str) -> Any:
    """Declare a real parameter."""
    words = f"a number from {low:.4g} to {high:.4g}"
    return _declared(default, lambda value: _is_number(value) and low <= value <= high, words, meaning)


def number_or_none(default: float | None, low: float, high: float, meaning: str) -> Any:
    """Declare a real parameter that may be absent."""
    words = f"a number from {low:.4g} to {high:.4g}, or none"
    return _declared(
        default, lambda value: value is None or (_is_number(value) and low <= value <= high), words, meaning
    )


def share(default: float, meaning: str) -> Any:
    """Declare a probability, or a share of people or visits."""
    return number(default, 0.0, 1.0, meaning)


def whole(default: int, low: int, high: int, meaning: str) -> Any:
    """Declare a whole number."""

    def allows(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return _declared(default, allows, f"a whole number from {low} to {high}", meaning)


def yes_or_no(default: bool, meaning: str) -> Any:
    """Declare a switch."""
    return _declared(default, lambda value: isinstance(value, bool), "True or False", meaning)


def choice(default: str, choices: Sequence[str], meaning: str) -> Any:
    """Declare one of several words."""
    return _declared(default, lambda value: value in choices, f"one of {', '.join(choices)}", meaning)


def group(kind: type, meaning: str) -> dict[str, Expected]:
    """Describe a record of parameters within another: the metadata of its field."""
    return {"expected": Expected(lambda value: isinstance(value, kind), f"a {kind.__name__}", meaning)}


def refusal(name: str, value: Any, expected: str) -> UsageError:
    """Say that a parameter cannot be meant."""
    return UsageError(f"The design has {name} = {value!r}.", expected=f"Expected is {expected}.")


class Checked:
    """A record of parameters, checked when it is made."""

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]  # subclasses are dataclasses
            expected: Expected = each.metadata["expected"]
            value = getattr(self, each.name)
            if not expected.allows(value):
                raise refusal(each.name, value, expected.words)


def listed(record: Any, prefix: str = "") -> Iterator[Parameter]:
    """List the parameters of a record and of the records within it, by dotted name.

    Examples
    --------
    >>> from ircohort.simulation import Design
    >>> first = next(listed(Design()))
    >>> first.name, first.value, first.expected
    ('n_participants', 500, 'a whole number from 1 to 1000000')
    """
    for each in fields(record):
        value, expected = getattr(record, each.name), each.metadata["expected"]
        if isinstance(value, Checked):
            yield from listed(value, f"{prefix}{each.name}.")
        else:
            yield Parameter(f"{prefix}{each.name}", value, expected.words, expected.meaning)


def with_values(record: Any, values: Mapping[str, Any]) -> Any:
    """Give a record with parameters changed, all at once, named as :func:`listed` names them.

    Raises
    ------
    UsageError
        If there is no such parameter, or a value is outside its range.

    Examples
    --------
    >>> from ircohort.simulation import Design
    >>> changed = with_values(Design(), {"puberty.present": True, "puberty.depth": 0.3, "n_visits": 6})
    >>> changed.n_visits, changed.puberty.present, changed.puberty.depth
    (6, True, 0.3)
    """
    changes: dict[str, Any] = {}
    within: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        _require_known(record, name)
        first, _, rest = name.partition(".")
        if rest:
            within.setdefault(first, {})[rest] = value
        else:
            changes[first] = value
    changes |= {first: with_values(getattr(record, first), rest) for first, rest in within.items()}
    return replace(record, **changes)


def read_value(record: Any, name: str, text: str) -> Any:
    """Read the value of a parameter as written: a number, yes or no, none, or a word.

    Examples
    --------
    >>> from ircohort.simulation import Design
    >>> read_value(Design(), "n_visits", "6"), read_value(Design(), "until_diabetes", "yes")
    (6, True)
    """
    _require_known(record, name)
    if text.strip().lower() in _WORDS:
        return _WORDS[text.strip().lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _require_known(record: Any, name: str) -> None:
    known = [parameter.name for parameter in listed(record)]
    if name in known:
        return
    within = [each for each in known if each.startswith(f"{name}.")]
    near = within or get_close_matches(name, known, n=3, cutoff=0.5)
    raise UsageError(
        f"A design has no parameter {name!r}.",
        expected=f"Near to it: {', '.join(near)}." if near else "",
        next_step="ircohort simulate --list shows them all.",
    )
