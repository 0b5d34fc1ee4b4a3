"""The main job: the one module that knows the order of the rooms."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from os import PathLike
from typing import TYPE_CHECKING, Any

from ircohort import detection, trajectory
from ircohort.configuration import Settings, overlay, read_configuration, settings_from
from ircohort.errors import ModelError, UsageError
from ircohort.export import Export
from ircohort.indices import markers
from ircohort.intake import read_export
from ircohort.normalisation import Normalised, normalise
from ircohort.states import describe_states

if TYPE_CHECKING:
    from ircohort.detection import Detection
    from ircohort.states import States
    from ircohort.trajectory import Trajectory

PACKAGES = (
    "ircohort",
    "formulaic",
    "jinja2",
    "matplotlib",
    "narwhals",
    "numpy",
    "pandas",
    "polars",
    "scipy",
    "seaborn",
    "statsmodels",
)


@dataclass(frozen=True)
class Analysis:
    """The whole result of the main job, before anything is written.

    ``cohort`` is what was read; ``visits`` its visits with markers; ``states`` how their states follow each other;
    ``detection`` the individual findings; ``trajectory`` the cohort's course, None where no model could be fitted
    (``warnings`` says why); ``versions`` of Python and the packages that made the numbers.
    """

    cohort: Normalised
    visits: Any
    states: States
    detection: Detection
    trajectory: Trajectory | None
    settings: Settings
    warnings: tuple[str, ...]
    versions: Mapping[str, str]


def settings_of(
    config: Any = None, options: Mapping[str, Any] | None = None, usual: Mapping[str, Any] | None = None
) -> Settings:
    """Build settings from a configuration file (or a dictionary of the same shape).

    ``options`` are laid over it; it is laid over what is ``usual``.

    Raises
    ------
    UsageError
        If ``config`` is none of these.

    Examples
    --------
    >>> settings_of({"units": {"glucose": "mmol/L"}}).columns.units["glucose"].unit
    'mmol/L'
    """
    if isinstance(config, Settings):
        return config
    if not isinstance(config, Mapping | str | PathLike | None):
        raise UsageError(
            f"A configuration was given as {type(config).__name__}.",
            expected="A path, a dictionary of the same shape, or Settings is expected.",
        )
    said = config if isinstance(config, Mapping) else read_configuration(config) if config else {}
    return settings_from(overlay(overlay(usual or {}, said), options or {}))


def read_inputs(inputs: Any, settings: Settings, on_progress: Callable[[int, int], None] | None = None) -> Export:
    """Read the laboratory files (``inputs`` replace those of the configuration) and the tables joined to them.

    ``on_progress`` is told how many bytes of how many were read.

    Raises
    ------
    UsageError
        If no file is named, or one is not there.
    """
    listed = [inputs] if isinstance(inputs, str | PathLike) else inputs
    if not isinstance(listed, list | tuple) or not all(isinstance(given, str | PathLike) for given in listed):
        raise UsageError(
            f"The inputs were given as {type(inputs).__name__}.",
            expected="A path or a list of paths is expected; a data frame goes to ircohort.markers.",
        )
    files = tuple(str(given) for given in listed)
    labs = replace(settings.labs, files=files) if files else settings.labs
    if not labs.files:
        raise UsageError(
            "No input was given.",
            next_step="Name the export: ircohort run labs.csv -o results, or a configuration that does.",
        )
    return read_export(labs, settings.joined, on_progress)


def read(inputs: Any = (), *, config: Any = None) -> Normalised:
    """Read an export and turn it into clean visits, with an account of every row.

    Parameters
    ----------
    inputs
        A file, glob or directory, or several; empty to take those of the configuration.
    config
        Path of a TOML configuration, or a dictionary of the same shape.

    Returns
    -------
    Normalised
        ``visits``, ``rejected`` and ``columns`` (polars frames), ``ledger``, ``notes``.

    Raises
    ------
    RefusedError
        If a column or unit is an open question.
    FileError, UsageError
        If a file cannot be read, or is not there.

    Examples
    --------
    >>> cohort = read("data/sample/labs.csv")
    >>> cohort.ledger.rows["labs.csv"]["rejected"]
    0
    """
    settings = settings_of(config)
    return normalise(read_inputs(inputs, settings), settings.columns, settings.policy)


STAGES = ("reading", "individuals", "cohort")
"""The stages of the main job, in their order."""


def analyse(inputs: Any = (), *, config: Any = None, on_stage: Callable[[str], None] | None = None) -> Analysis:
    """Do the main job: read, compute markers, describe states, find individuals, model the cohort.

    Parameters
    ----------
    inputs
        A file, glob or directory, or several; empty to take those of the configuration.
    config
        Path of a TOML configuration, a dictionary of the same shape, or :class:`Settings`.
    on_stage
        Called with the name of each of :data:`STAGES` as it begins.

    Returns
    -------
    Analysis
        Give it to :func:`ircohort.save` to write tables, figures and the report.

    Raises
    ------
    RefusedError
        If a column or unit is an open question.
    FileError, UsageError
        If a file cannot be read, or is not there.
    """
    settings, tell = settings_of(config), on_stage or (lambda _: None)
    tell("reading")
    cohort, visits = visits_of(settings, inputs)
    tell("individuals")
    found = detection.detect(visits, settings.detect, seed=settings.seed)
    tell("cohort")
    course, warnings = _trajectory(visits, settings)
    return Analysis(cohort, visits, _states(visits), found, course, settings, warnings, versions())


def visits_of(
    settings: Settings, inputs: Any = (), on_progress: Callable[[int, int], None] | None = None
) -> tuple[Normalised, Any]:
    """Read an export, and give what was read and its visits with markers."""
    export = read_inputs(inputs, settings, on_progress)
    cohort = normalise(export, settings.columns, settings.policy)
    return cohort, markers(cohort.visits, cut_offs=settings.policy.cut_offs)


def _states(visits: Any) -> States:
    """Describe states over time; persistence is that of insulin, of TG:HDL where insulin was never measured."""
    measured = "insulin_uiu_ml" in visits.columns and visits["insulin_uiu_ml"].null_count() < visits.height
    return describe_states(visits, marker="insulin_uiu_ml" if measured else "tg_hdl_mg")


def _trajectory(visits: Any, settings: Settings) -> tuple[Trajectory | None, tuple[str, ...]]:
    """Model the cohort; data that allow no model are a warning here, not an error."""
    try:
        return trajectory.hidden_window(visits, settings.model, seed=settings.seed), ()
    except ModelError as error:
        return None, (f"No trajectory: {' '.join(str(error).split())}",)


def versions() -> dict[str, str]:
    """Give the versions of Python and of the packages that make the numbers."""
    return {"python": ".".join(map(str, sys.version_info[:3])), **{name: version(name) for name in PACKAGES}}
