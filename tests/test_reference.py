"""The committed reference values are what the committed scripts make, where R is there to say so."""

import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from random_designs import lme4_answers, random_designs
from wanted import want, want_program

REFERENCE = Path(__file__).parent / "reference"
MEASURED = ("value", "version", "lme4", "singular")
"""Columns that another version of R and its packages may fill differently; the others say what the number is of."""
MODEL = ["dataset", "model", "reml", "formula", "visits"]

# Other versions of R, of lme4 and of BLAS end a search a little elsewhere on the same flat top: the log-likelihood
# there is the same, and what is estimated differs by a share of what the search could tell apart. A test of the engine
# that is stricter than these holds for the committed values only.
FLAT_TOP = {"rel": 1e-4, "abs": 1e-3}
SAME_HEIGHT = {"rel": 1e-6}


def table(path):
    return pl.read_csv(path, infer_schema_length=None, schema_overrides={"reml": pl.String})


def rscript_with(*packages):
    rscript = want_program("Rscript")
    libraries = "; ".join(f"library({name})" for name in packages)
    found = subprocess.run([rscript, "-e", libraries], capture_output=True, check=False)
    want(found.returncode == 0, f"the R packages {', '.join(packages)}")
    return rscript


def run(directory, script, packages, inputs=(), arguments=()):
    rscript = rscript_with(*packages)
    for name in (script, *inputs):
        shutil.copy(REFERENCE / name, directory)
    subprocess.run([rscript, script, *arguments], cwd=directory, check=True, capture_output=True)


def compare(made, written, tolerances):
    """Hold the values of two tables against each other, each quantity with its tolerance, else that of a flat top."""
    key = [name for name in written.columns if name not in MEASURED]
    both = written.join(made, on=key, suffix="_made", nulls_equal=True)
    assert both.height == written.height == made.height > 0
    for (quantity,), rows in both.group_by("quantity"):
        tolerance = tolerances.get(quantity, FLAT_TOP)
        assert rows["value_made"].to_list() == pytest.approx(rows["value"].to_list(), nan_ok=True, **tolerance)


def test_the_fits_of_lme4_and_nlme_are_made_again(tmp_path):
    run(tmp_path, "lme4_reference.R", ["lme4", "nlme"])
    assert (tmp_path / "lmm_data.csv").read_text() == (REFERENCE / "lmm_data.csv").read_text()
    made, written = (table(place / "lmm_reference.csv") for place in (tmp_path, REFERENCE))
    # Whether lme4 calls a fit singular depends on which side of its limit the search ended.
    told = pl.col("quantity") != "singular"
    compare(made.filter(told), written.filter(told), {"log_likelihood": SAME_HEIGHT})


def test_the_degrees_of_freedom_are_made_again(tmp_path):
    run(tmp_path, "satterthwaite_reference.R", ["lme4", "numDeriv"], inputs=["lmm_data.csv"])
    made, written = (table(place / "satterthwaite_reference.csv") for place in (tmp_path, REFERENCE))
    # At the boundary the Hessian by differences is that of a kink, where rounding decides.
    inside = pl.col("singular").cast(pl.String).str.to_uppercase() == "FALSE"
    compare(made.filter(inside), written.filter(inside), {"df": {"rel": 1e-3}, "df2": {"rel": 1e-3}})


def test_the_predictions_of_lme4_are_made_again(tmp_path):
    run(tmp_path, "prediction_reference.R", ["lme4"], inputs=["lmm_data.csv"])
    made, written = (table(place / "prediction_reference.csv") for place in (tmp_path, REFERENCE))
    compare(made, written, {})


def test_the_joint_fits_of_nlme_are_made_again(tmp_path):
    run(tmp_path, "joint_reference.R", ["nlme"])
    assert (tmp_path / "joint_data.csv").read_text() == (REFERENCE / "joint_data.csv").read_text()
    made, written = (table(place / "joint_reference.csv") for place in (tmp_path, REFERENCE))
    compare(made, written, {"log_likelihood": SAME_HEIGHT})


def test_the_profiles_of_one_data_set_are_made_again(tmp_path):
    dataset = "nobody_differs"  # at the boundary, and by far the quickest to profile
    run(tmp_path, "profile_reference.R", ["lme4"], inputs=["lmm_data.csv"], arguments=[dataset])
    made, written = (table(place / "profile_reference.csv") for place in (tmp_path, REFERENCE))
    compare(made, written.filter(dataset=dataset), {"AIC": SAME_HEIGHT, "BIC": SAME_HEIGHT})


def test_the_textbook_tables_and_fits_are_made_again(tmp_path):
    chosen = ["sleepstudy", "dyestuff2", "igf"]
    run(tmp_path, "textbook_reference.R", ["lme4", "nlme"], inputs=["by_lme4.R"], arguments=chosen)
    written = sorted(path.name for path in (REFERENCE / "textbook").iterdir())
    assert written == sorted(path.name for path in (tmp_path / "textbook").iterdir())
    for name in written:
        assert (tmp_path / "textbook" / name).read_bytes() == (REFERENCE / "textbook" / name).read_bytes()
    made, expected = (table(place / "textbook_fits.csv") for place in (tmp_path, REFERENCE))
    expected = expected.filter(pl.col("dataset").is_in(chosen))
    assert made.select(MODEL).equals(expected.select(MODEL))
    assert made["log_likelihood"].to_list() == pytest.approx(expected["log_likelihood"].to_list(), **SAME_HEIGHT)


def test_the_fits_of_random_designs_are_made_again(tmp_path):
    expected = table(REFERENCE / "random_designs_fits.csv")[2:4]
    made, _ = lme4_answers(list(random_designs(4))[2:], tmp_path, rscript_with("lme4"))
    assert made["dataset"].to_list() == expected["dataset"].to_list()
    assert made["log_likelihood"].to_list() == pytest.approx(expected["log_likelihood"].to_list(), **SAME_HEIGHT)
    # The table that lme4 was given; sums over rows differ by their order.
    assert made["sum_of_y"].to_list() == pytest.approx(expected["sum_of_y"].to_list(), rel=1e-12)
