"""The record of everything that decides a result, but the data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ircohort.detection import DetectSettings
from ircohort.export import TableSpec
from ircohort.normalisation import Choice, Columns, Policy, UnitSaid
from ircohort.normalisation.columns import Recognised
from ircohort.trajectory import ModelSettings

VERSION = 1
"""Of the configuration format."""

LABS = "labs"


@dataclass(frozen=True)
class ReportSettings:
    """What the report shows. ``identifiers``: participants' identifiers and calendar dates."""

    identifiers: bool = False


@dataclass(frozen=True)
class Settings:
    """Everything that decides a result, but the data."""

    labs: TableSpec = field(default_factory=lambda: TableSpec(LABS))
    joined: tuple[TableSpec, ...] = ()
    columns: Columns = field(default_factory=Columns)
    policy: Policy = field(default_factory=Policy)
    detect: DetectSettings = field(default_factory=DetectSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    report: ReportSettings = field(default_factory=ReportSettings)
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Give the settings as plain values by section, without file paths, for manifest and report."""
        plain = {name: list(getattr(self.columns, name)) for name in ("keep", "constant", "date_format")}
        policy = asdict(self.policy)
        as_of = policy["as_of"].isoformat() if policy["as_of"] else None
        return {
            "columns": {**{name: said_of(choice) for name, choice in self.columns.named.items()}, **plain},
            "units": {name: said_of(unit) for name, unit in self.columns.units.items()},
            "long": dict(self.columns.long),
            "policy": {**policy, "insulin_factor": str(self.policy.insulin_factor), "as_of": as_of},
            "detect": asdict(self.detect),
            "model": asdict(self.model),
            "report": asdict(self.report),
            "seed": self.seed,
        }


def said_of(said: Choice | UnitSaid | Recognised) -> Any:
    """Write what is said of a column or a unit as a configuration would."""
    if isinstance(said, UnitSaid) and not said.by:
        return said.unit
    if isinstance(said, UnitSaid):
        by = {"column": said.column, "units": dict(said.units)} if said.by == "column" else {said.by: dict(said.units)}
        return {key: value for key, value in {**by, "otherwise": said.unit}.items() if value}
    if said.tests and said.pattern:
        return {"tests": list(said.tests), "pattern": said.pattern}
    if said.tests:
        return list(said.tests)
    more = {
        **{key: list(words) for key, words in said.values.items()},
        **({"pattern": said.pattern} if said.pattern else {}),
    }
    return {"column": said.header, **more} if more else said.header
