"""The output directory: whole or not at all, with a manifest by which it can be verified."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from ircohort import plot
from ircohort.analysis import Analysis
from ircohort.errors import FileError, UsageError
from ircohort.frames import to_polars, without_formulas
from ircohort.report import person_numbers, render

MANIFEST = "manifest.json"
MADE_BY = "ircohort"
VISITS_CSV_LIMIT = 5_000_000
"""Above this many visits ``visits.csv`` is left out unless asked for; ``visits.parquet`` is always there."""

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_ROW_GROUP = 250_000  # fixed, so that the bytes do not depend on the number of threads


@dataclass(frozen=True)
class Verified:
    """What ``verify`` found: files that are as they were written, changed, missing, or not of this output."""

    unchanged: tuple[str, ...]
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """All files are there, as they were written, and no others."""
        return not (self.changed or self.missing or self.foreign)


def save(
    analysis: Analysis, out: str | Path, *, overwrite: bool = False, visits_csv: bool | None = None, started: Any = None
) -> Path:
    """Write tables, figures, report and manifest into a new directory, whole or not at all.

    Parameters
    ----------
    analysis
        What :func:`ircohort.analyse` gave.
    out
        The directory; it must be absent or empty.
    overwrite
        Replace ``out`` if its manifest says that ircohort made it and it holds no other files.
    visits_csv
        Write ``visits.csv`` too; by default where there are at most five million visits.
    started
        When the work began (timezone-aware ``datetime``), for the manifest.

    Returns
    -------
    pathlib.Path
        The directory.

    Raises
    ------
    UsageError
        If ``out`` is there and may not be replaced.
    FileError
        If something cannot be written; ``out`` is then as it was.
    """
    target = Path(out)
    check_target(target, overwrite=overwrite)
    with _new_directory(target) as new:
        _write_tables(analysis, new, visits_csv)
        _write_figures_and_report(analysis, new)
        _write_manifest(analysis, new, started or datetime.now(UTC), target)
    return target


def check_target(target: Path, *, overwrite: bool) -> None:
    """Refuse a target that is there and may not be replaced; called before work begins, and again before writing."""
    if str(target) == "-":
        raise UsageError("The output is a directory, not standard output.", next_step="Name it with -o.")
    if target.absolute() in (Path.cwd(), *Path.cwd().parents):
        raise UsageError(f"{target} holds the working directory.", next_step="Choose a directory of its own with -o.")
    if not target.exists() and not target.is_symlink():
        return
    if not target.is_dir() or target.is_symlink():
        raise UsageError(f"{target} is there and is not a directory.", next_step="Choose another name with -o.")
    if not any(target.iterdir()):
        return
    if not overwrite:
        raise UsageError(
            f"{target} is not empty.",
            next_step="Choose another name with -o, or add --overwrite to replace an earlier output of ircohort.",
        )
    found = _own_manifest(target)
    foreign = sorted(_files(target) - set(found["outputs"]) - {MANIFEST}) if found else []
    if found is None or foreign:
        reason = f"it also holds {foreign[0]}" if foreign else f"its {MANIFEST} does not say that ircohort made it"
        raise UsageError(f"{target} is not replaced: {reason}.", next_step="Choose another name with -o.")


def verify(out: str | Path) -> Verified:
    """Compare an output directory with its manifest.

    Raises
    ------
    UsageError
        If there is no manifest of ircohort in ``out``.
    """
    target = Path(out)
    found = _own_manifest(target)
    if found is None:
        raise UsageError(f"{target} holds no {MANIFEST} of ircohort.", next_step="Name a directory that `run` made.")
    present = _files(target)
    stated: dict[str, str] = found["outputs"]
    here = [name for name in stated if name in present]
    same = {name: (target / name).is_file() and _sha256(target / name) == stated[name] for name in here}
    return Verified(
        tuple(name for name in here if same[name]),
        tuple(name for name in here if not same[name]),
        tuple(name for name in stated if name not in present),
        tuple(sorted(present - set(stated) - {MANIFEST})),
    )


def _own_manifest(target: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    is_ours = isinstance(found, dict) and found.get("made_by") == MADE_BY and isinstance(found.get("outputs"), dict)
    return found if is_ours else None


def _files(target: Path) -> set[str]:
    return {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_symlink() or not path.is_dir()}


@contextmanager
def _new_directory(target: Path) -> Iterator[Path]:
    """Give a directory beside ``target`` that takes its place when all went well, and is removed when not."""
    try:
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.absolute().parent))
    except OSError as error:
        raise FileError(f"{target} cannot be made: {error.strerror}.") from error
    try:
        yield new
        new.chmod(0o777 & ~_umask())
        _move_in(new, target)
    except OSError as error:
        raise FileError(
            f"{target} could not be written: {error.strerror}.", next_step="What was there is as it was."
        ) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _move_in(new: Path, target: Path) -> None:
    """Put the new directory in place by one exchange where the system offers it, else by two renames."""
    if not target.exists():
        new.rename(target)
    elif not _exchange(new, target):
        aside = new.with_name(f"{new.name}-old")
        target.rename(aside)
        try:
            new.rename(target)
        except OSError:
            aside.rename(target)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(new: Path, target: Path) -> bool:
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    return bool(
        renameat2(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(target.absolute()), _RENAME_EXCHANGE) == 0
    )


def write_table(frame: Any, path: Path) -> None:
    """Write a table as CSV or Parquet by its suffix; floats are written so that they read back the same."""
    table = to_polars(frame)
    if path.suffix == ".parquet":
        table.write_parquet(path, row_group_size=_ROW_GROUP)
    else:
        without_formulas(table).write_csv(path)


def model_tables(analysis_trajectory: Any) -> Mapping[str, Any]:
    """Give the tables of a trajectory by the name of their file."""
    names = ("fixed", "random", "curves", "onset", "sensitivity", "people_by_year")
    return {f"{name}.csv": getattr(analysis_trajectory, name) for name in names}


def state_tables(states: Any) -> Mapping[str, Any]:
    """Give the tables of a description of states by the name of their file; the state of a visit stands in visits."""
    names = ("transitions", "person_years", "recovery", "persistence", "contrasts", "tracking", "secretion")
    return {f"{name}.csv": getattr(states, name) for name in names}


def save_model(trajectory: Any, out: str | Path, more: Mapping[str, Any] | None = None) -> Path:
    """Write the tables of a trajectory, and ``more`` by the name of their file, whole or not at all."""
    target = Path(out)
    check_target(target, overwrite=False)
    with _new_directory(target) as new:
        _write_all({**model_tables(trajectory), **(more or {})}, new)
    return target


def _write_all(tables: Mapping[str, Any], directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    for name, table in tables.items():
        write_table(table, directory / name)


def _write_tables(analysis: Analysis, new: Path, visits_csv: bool | None) -> None:
    write_table(analysis.visits, new / "visits.parquet")
    small = to_polars(analysis.visits).height <= VISITS_CSV_LIMIT
    if small if visits_csv is None else visits_csv:
        write_table(analysis.visits, new / "visits.csv")
    write_table(with_person_numbers(analysis.detection.participants), new / "participants.csv")
    write_table(analysis.detection.windows, new / "windows.csv")
    write_table(analysis.cohort.rejected, new / "rejected.csv")
    _write_all(state_tables(analysis.states), new / "states")
    if analysis.trajectory is not None:
        _write_all(model_tables(analysis.trajectory), new / "model")


def with_person_numbers(participants: Any) -> pl.DataFrame:
    """Add the number under which a flagged person stands in the report: the key between the two."""
    table = to_polars(participants)
    numbers = person_numbers(table)
    number = pl.col("participant_id").replace_strict(numbers, default=None, return_dtype=pl.Int64)
    return table.with_columns(number.alias("report_number"))


def figures(analysis: Analysis) -> dict[str, Any]:
    """Draw the figures that the data allow, by name."""
    identifiers = analysis.settings.report.identifiers
    numbers = person_numbers(to_polars(analysis.detection.participants))
    labels = {person: person if identifiers else f"Person {number}" for person, number in numbers.items()}
    drawn = {} if analysis.trajectory is None else {"hidden_window": plot.hidden_window(analysis.trajectory)}
    return {
        **drawn,
        "trajectories": plot.trajectories(analysis.detection, analysis.visits, labels=labels),
        "plane": plot.plane(analysis.visits, analysis.detection),
        "distributions": plot.distributions(analysis.visits),
    }


def page(analysis: Analysis, drawn: Mapping[str, Any]) -> str:
    """Render the report with its figures inside."""
    pictures = {name: plot.to_svg(figure) for name, figure in drawn.items()}
    return render(analysis, pictures, identifiers=analysis.settings.report.identifiers)


def _write_figures_and_report(analysis: Analysis, new: Path) -> None:
    (new / "figures").mkdir()
    drawn = figures(analysis)
    for name, figure in drawn.items():
        plot.save_figure(figure, new / "figures" / name)
    (new / "report.html").write_text(page(analysis, drawn), encoding="utf-8", newline="\n")


def _write_manifest(analysis: Analysis, new: Path, started: datetime, target: Path) -> None:
    """Write what was done; all that differs between two runs of the same input stands under ``run``."""
    finished = datetime.now(UTC)
    said = {
        "made_by": MADE_BY,
        "inputs": [
            {key: value for key, value in asdict(file).items() if key != "path"} for file in analysis.cohort.files
        ],
        "ledger": analysis.cohort.ledger.as_dict(),
        "notes": list(analysis.cohort.notes),
        "warnings": list(analysis.warnings),
        "settings": analysis.settings.as_dict(),
        "seed": analysis.settings.seed,
        "versions": dict(analysis.versions),
        "outputs": {name: _sha256(new / name) for name in sorted(_files(new))},
        "run": {
            "started": started.isoformat(timespec="seconds"),
            "finished": finished.isoformat(timespec="seconds"),
            "seconds": round((finished - started).total_seconds(), 1),
            "directory": str(target.absolute()),
            "inputs": [file.path for file in analysis.cohort.files],
        },
    }
    text = json.dumps(said, indent=2, ensure_ascii=False, default=str)
    (new / MANIFEST).write_text(text + "\n", encoding="utf-8", newline="\n")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
