"""The picture of the house, held against the house."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ircohort

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "ircohort").rglob("*.py"))
HEAVY = (
    "polars",
    "numpy",
    "narwhals",
    "pandas",
    "scipy",
    "statsmodels",
    "seaborn",
    "matplotlib",
    "formulaic",
    "jinja2",
)

PUBLIC = [
    "CUT_OFFS", "DESIGNS", "MARKERS", "Analysis", "Design", "Detection", "Fit", "IrcohortError", "Landmark",
    "Normalised", "Settings", "States", "Trajectory", "align", "analyse", "compare_cohort", "compensated_time",
    "describe_states", "detect", "evaluate", "fit", "fit_specification", "foresee", "hidden_window",
    "intervention_response", "landmark", "markers", "plot", "read", "save", "simulate", "verify",
]  # fmt: skip


def test_the_public_names_are_these():
    assert ircohort.__all__ == PUBLIC
    assert sorted(ircohort.__all__) == dir(ircohort)


def test_every_public_name_is_there_and_stays_the_same():
    for _ in range(2):
        for name in PUBLIC:
            assert getattr(ircohort, name) is getattr(ircohort, name)


def test_no_public_name_is_also_a_module_but_plot():
    modules = {path.stem for path in (ROOT / "src" / "ircohort").iterdir()}
    assert set(PUBLIC) & modules == {"plot"}


def test_every_public_function_and_record_says_what_it_is():
    assert not [name for name in PUBLIC if callable(getattr(ircohort, name)) and not getattr(ircohort, name).__doc__]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing"):
        _ = ircohort.nothing


@pytest.mark.parametrize(
    "code", ["import ircohort", "import sys; sys.argv = ['ircohort', '--help']; import ircohort.cli"]
)
def test_the_door_opens_without_anything_heavier_than_click(code):
    script = f"{code}; import sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_help_loads_nothing_heavier_than_click():
    script = (
        "import sys, ircohort.cli as c\n"
        "code = c.exit_code(['run', '--help'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], code, file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stderr.strip() == "[] 0"


def test_every_name_leads_to_the_room_that_is_stated():
    for name, home in ircohort._HOMES.items():
        module = importlib.import_module(f"ircohort.{home}")
        assert hasattr(module, name) or home == name


def test_no_room_is_called_by_what_it_is_not():
    names = {path.stem for path in SOURCES} | {path.parent.name for path in SOURCES}
    assert not names & {"utils", "helpers", "common", "core", "base", "misc"}


def test_nothing_is_left_for_later_in_code():
    words = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")
    assert not [path.name for path in SOURCES if words.search(path.read_text(encoding="utf-8"))]


def test_nothing_is_printed_below_the_command_line():
    def calls_print(path):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        return any(isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print" for node in ast.walk(tree))

    assert not [path.name for path in SOURCES if calls_print(path)]


def test_the_lock_files_name_no_registry():
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text
        assert "--hash=sha256:" in text
