"""Random longitudinal designs, awkward ones among them, and the answers of lme4 to hold a fit against.

For tests and benchmarks. Every design is made by its own number: the first k are the same however many are asked for.
Run as a program, it lets R fit 50 of them, and writes the answers to reference/random_designs_*.csv (two minutes).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

REFERENCE = Path(__file__).parent / "reference"
ANSWERS = ("fits", "estimates")

RANDOM_PARTS = {
    "(1 | id)": 1,
    "(1 + years | id)": 2,
    "(0 + years | id)": 1,
    "(1 + years || id)": 2,
    "(1 + years + x | id)": 3,
    "(1 + years + x || id)": 3,
    "(1 + years + x + w | id)": 4,
}
FIXED_PARTS = (
    "1",
    "years",
    "years * arm + age",
    "years + x + w + sex",
    "poly(years, 2) + age * sex",
    "0 + sex + years",
)
SPREADS = ("full", "full", "no slopes", "nobody differs", "correlation one", "tiny")
"""How people differ: twice as often ordinarily as in any single awkward way."""


@dataclass(frozen=True, eq=False)
class RandomDesign:
    """A table and a formula; ``spread`` says how the people of the table truly differ."""

    name: str
    formula: str
    reml: bool
    spread: str
    frame: pl.DataFrame


def random_designs(count: int, seed: int = 1) -> Iterator[RandomDesign]:
    """Make ``count`` designs of 10 to 60 people with 1 to 10 visits each."""
    for number in range(count):
        yield _design(number, np.random.default_rng([seed, number]))


def _design(number: int, draw: np.random.Generator) -> RandomDesign:
    # By turns, so that every random part and every spread is there, and by chance how they meet.
    random_part = list(RANDOM_PARTS)[number % len(RANDOM_PARTS)]
    spread = SPREADS[draw.integers(len(SPREADS))]
    q = RANDOM_PARTS[random_part]
    people = int(draw.integers(10 + 5 * q, 61))
    visits = np.full(people, draw.integers(q + 2, 11)) if draw.random() < 0.3 else draw.integers(1, 11, people)
    visits[: 3 * q] = np.maximum(visits[: 3 * q], q + 3)
    person = np.repeat(np.arange(people), visits)
    rows = len(person)
    start = draw.choice([0.0, 0.0, 40.0, 2010.0])
    years = start + (np.concatenate([np.arange(k) for k in visits]) + draw.uniform(-0.4, 0.4, rows)).round(2)
    arm = draw.integers(0, 2, people)
    age = draw.uniform(25, 75, people).round(1)
    sex = np.where(draw.random(people) < 0.5, "f", "m")
    x, w = draw.normal(size=(2, rows)).round(3)
    Z = np.column_stack([np.ones(rows), years - start, x, w])
    effects = draw.normal(size=(people, 4)) @ _factor(spread, draw).T
    mean = 2 + 0.1 * (years - start) * (1 + arm[person]) + 0.01 * age[person] + 0.2 * x
    y = mean + (Z * effects[person]).sum(axis=1) + draw.normal(0, 0.4, rows)
    unit = draw.choice([1e-3, 1.0, 1.0, 1e3])
    columns = {"years": years, "age": age[person], "arm": arm[person], "sex": sex[person], "x": x, "w": w}
    frame = pl.DataFrame({"id": [f"p{k:02d}" for k in person], **columns, "y": (unit * y).round(9)})
    fixed = str(draw.choice(FIXED_PARTS))
    return RandomDesign(f"design{number:02d}", f"y ~ {fixed} + {random_part}", bool(draw.integers(2)), spread, frame)


def _factor(spread: str, draw: np.random.Generator) -> np.ndarray:
    """Draw a factor (4, 4) of the covariance of level, slope and the effects of ``x`` and ``w``."""
    factor = np.tril(draw.normal(size=(4, 4)) * 0.3) + np.diag([0.6, 0.15, 0.3, 0.3])
    factor[1] *= 0.4
    if spread == "no slopes":
        factor[1:] = 0
    elif spread == "nobody differs":
        factor[:] = 0
    elif spread == "correlation one":
        factor[:, 1:] = 0
    elif spread == "tiny":
        factor *= 0.1
    return factor


def lme4_answers(designs: list[RandomDesign], directory: Path, rscript: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Let lme4 fit the designs, in one run of R, and give its fits and estimates as by_lme4.R writes them.

    The fits hold the sum of the response besides, by which a table is known again.
    """
    asked = [{"dataset": each.name, "model": 1, "reml": int(each.reml), "formula": each.formula} for each in designs]
    pl.DataFrame(asked).write_csv(directory / "designs.csv")
    for each in designs:
        each.frame.write_csv(directory / f"{each.name}.csv")
    command = [rscript, "random_designs.R", str(directory.resolve())]
    subprocess.run(command, cwd=REFERENCE, check=True, capture_output=True)
    sums = pl.Series("sum_of_y", [each.frame["y"].sum() for each in designs])
    fits, estimates = (
        pl.read_csv(directory / f"{name}.csv", infer_schema_length=None) for name in ("fits", "estimates")
    )
    return fits.with_columns(sums), estimates


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        answers = lme4_answers(list(random_designs(50)), Path(place), "Rscript")
        for kind, table in zip(ANSWERS, answers, strict=True):
            table.write_csv(REFERENCE / f"random_designs_{kind}.csv")
