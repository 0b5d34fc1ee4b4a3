"""What a test wants of its surroundings: skipped aloud where it is absent, a failure where all must be there."""

import os
import shutil
from pathlib import Path

import pytest


def want(present: bool, what: str) -> None:
    if present:
        return
    if os.environ.get("IRCOHORT_REQUIRE_ALL"):
        pytest.fail(f"{what} is not here, and IRCOHORT_REQUIRE_ALL is set")
    pytest.skip(f"{what} is not here")


def want_program(name: str) -> str:
    found = shutil.which(name)
    want(found is not None, f"the program {name}")
    return str(found)


def ipop() -> Path:
    """The real cohort, which is not part of the project (IRCOHORT_IPOP names its directory).

    It is never demanded: it lies beside the project in some places only.
    """
    named = os.environ.get("IRCOHORT_IPOP", "")
    if not named:
        pytest.skip("the iPOP cohort is not here (IRCOHORT_IPOP names its directory)")
    return Path(named)
