"""The page on the claims of the source articles says what its code says, and leaves no claim out."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "claims.md"


@pytest.fixture
def page():
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture
def written():
    code = {"__file__": str(ROOT / "docs" / "claims_output.py"), "__name__": "claims_output"}
    exec((ROOT / "docs" / "claims_output.py").read_text(encoding="utf-8"), code)
    return code["written"]


def numbers(rows):
    return sorted(int(number) for row in rows for number in re.findall(r"\d+", row))


def taken(page):
    return numbers(re.findall(r"^\*\*([\d, ]+)\. ", page, flags=re.MULTILINE))


def listed(page, heading):
    """Give the claims in the first column of the table under a heading."""
    section = page.split(f"## {heading}")[1].split("\n## ")[0]
    return numbers(re.findall(r"^\| (\d+(?:, \d+)*) ", section, flags=re.MULTILINE))


def test_every_number_in_a_box_is_what_the_code_above_it_prints(page, written, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert page.count("```text\n") > 10
    assert written(page) == page, "run `python docs/claims_output.py`"


def test_a_box_that_is_not_what_the_code_prints_is_written_anew(written):
    drifted = "Text.\n\n```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n\nMore.\n"
    assert written(drifted) == drifted.replace("3\n", "2\n")
    assert written("```python\nx = 1\n```\n\nMore.\n") == "```python\nx = 1\n```\n\nMore.\n"


def test_each_claim_is_taken_once_or_left_out_with_a_reason(page):
    assert sorted(taken(page) + listed(page, "Left out")) == list(range(1, 32))


def test_the_table_of_verdicts_names_each_claim_that_is_taken(page):
    assert listed(page, "In short") == taken(page)
