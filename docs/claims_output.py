"""Write the output of the code on the page of claims into the page: ``python docs/claims_output.py``."""

from __future__ import annotations

import re
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path

PAGE = Path(__file__).with_name("claims.md")

CODE = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n.*?^```\n)?", flags=re.MULTILINE | re.DOTALL)
"""A block of code, and the box of its output if there is one."""


def written(page: str) -> str:
    """Give the page with the output of its code as it is now; the blocks run in order and share their names."""
    names: dict[str, object] = {}

    def with_output(block: re.Match[str]) -> str:
        said = StringIO()
        with redirect_stdout(said):
            exec(block[1], names)
        box = f"\n```text\n{said.getvalue()}```\n" if said.getvalue() else ""
        return f"```python\n{block[1]}```\n{box}"

    return CODE.sub(with_output, page)


if __name__ == "__main__":
    with chdir(PAGE.parents[1]):
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
