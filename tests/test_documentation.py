"""Everything that is shown is executed: README, documents, notebooks, and the two commands."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from ircohort.configuration import settings_from

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "data" / "sample").glob("*.md")])
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
IN_ITS_OWN_TEST = ("make ", "python -m venv", ".venv/bin/")


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def clone(tmp_path):
    """A place that looks like a clone to a command that is run in it."""
    for name in ("data", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def environment():
    """The environment in which these tests run, first on the path."""
    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def test_the_commands_of_the_readme_run(clone, environment):
    lines = [
        line
        for block in blocks(ROOT / "README.md", "sh")
        for line in block.splitlines()
        if line and not line.startswith(IN_ITS_OWN_TEST)
    ]
    assert lines
    for line in lines:
        done = subprocess.run(line, shell=True, cwd=clone, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if blocks(path, "python")], ids=lambda path: path.name)
def test_the_python_of_the_documents_runs(path, clone, environment):
    script = "\n".join(blocks(path, "python"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.toml")), ids=lambda path: path.name)
def test_the_configurations_in_the_documentation_are_accepted(path):
    assert settings_from(tomllib.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_the_notebooks_run(path, clone, monkeypatch):
    monkeypatch.chdir(clone)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(clone)}}).execute()
    shown = [kind for cell in notebook.cells for output in cell.get("outputs", []) for kind in output.get("data", {})]
    assert "image/png" in shown


def test_there_is_a_first_look_with_pandas_and_with_polars():
    text = (ROOT / "notebooks" / "first_look.ipynb").read_text(encoding="utf-8")
    assert "to_pandas" in text
    assert "polars" in text


def test_links_between_documents_lead_somewhere():
    for path in DOCUMENTS:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_commands_shown_in_full_are_those_that_make_runs():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(BIN)", ".venv/bin")
    shown = [
        line
        for block in blocks(ROOT / "README.md", "sh")
        for line in block.splitlines()
        if line.startswith(".venv/bin/")
    ]
    assert len(shown) == 3
    for line in shown:
        assert line in makefile


def test_make_demo_says_where_the_report_lies():
    if not (ROOT / ".venv" / ".runtime").exists():
        pytest.skip("the environment was not made by make")
    done = subprocess.run(["make", "demo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    named = re.search(r"Open (.*report\.html)", done.stdout)
    assert named
    assert Path(named[1]).exists()


def test_every_command_is_named_in_the_readme():
    from ircohort.cli import cli

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in cli.commands)


def test_the_tables_of_the_page_on_input_are_those_of_the_registries():
    code = {"__file__": str(ROOT / "docs" / "input_tables.py"), "__name__": "input_tables"}
    exec((ROOT / "docs" / "input_tables.py").read_text(encoding="utf-8"), code)
    page = (ROOT / "docs" / "input.md").read_text(encoding="utf-8")
    assert page.count("<!-- end -->") == len(code["SECTIONS"])
    assert code["written"](page) == page, "run `make docs`"


def test_every_configuration_on_the_page_on_input_is_accepted():
    from ircohort.configuration import settings_from

    page = (ROOT / "docs" / "input.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        settings_from(tomllib.loads(block))


def test_the_page_on_tables_lists_every_column_as_it_is():
    from ircohort.schema import PARTICIPANTS, REJECTED, VISITS, WINDOWS

    page = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    for table in (VISITS, PARTICIPANTS, WINDOWS, REJECTED):
        section = page.split(f"## `{table.name}`")[1].split("\n## ")[0]
        listed = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", section, flags=re.MULTILINE)
        assert listed == [(column.name, column.unit, column.meaning) for column in table.columns]
