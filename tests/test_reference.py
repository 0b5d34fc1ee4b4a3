"""The committed reference values are what the committed script makes, where R is there to say so."""

import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from wanted import want, want_program

REFERENCE = Path(__file__).parent / "reference"
KEY = ["dataset", "formula", "engine", "reml", "quantity", "term"]


def table(path):
    return pl.read_csv(path, infer_schema_length=None, schema_overrides={"reml": pl.String})


def test_the_script_makes_the_reference_values_again(tmp_path):
    rscript = want_program("Rscript")
    libraries = subprocess.run([rscript, "-e", "library(lme4); library(nlme)"], capture_output=True, check=False)
    want(libraries.returncode == 0, "the R packages lme4 and nlme")
    shutil.copy(REFERENCE / "lme4_reference.R", tmp_path)
    subprocess.run([rscript, "lme4_reference.R"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "lmm_data.csv").read_text() == (REFERENCE / "lmm_data.csv").read_text()
    made, written = table(tmp_path / "lmm_reference.csv"), table(REFERENCE / "lmm_reference.csv")
    both = written.join(made, on=KEY, suffix="_made", nulls_equal=True)
    assert both.height == written.height == made.height
    # Other versions of R and BLAS end the search a little elsewhere on the same flat top.
    likelihood = both.filter(pl.col("quantity") == "log_likelihood")
    assert likelihood["value_made"].to_list() == pytest.approx(likelihood["value"].to_list(), rel=1e-6)
    estimates = both.filter(pl.col("quantity") == "estimate")
    assert estimates["value_made"].to_list() == pytest.approx(estimates["value"].to_list(), abs=1e-3)
