"""What the command line writes: messages to standard error, data to files or standard output."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import click

from ircohort.cli.options import FORMATS
from ircohort.errors import FileError, UsageError


def say(text: str, quiet: bool = False) -> None:
    """Tell the user something, on standard error."""
    if not quiet:
        click.echo(text, err=True)


def table_text(frame: Any) -> str:
    """Lay out a small table for a terminal."""
    rows = [frame.columns, *([("" if cell is None else str(cell)) for cell in row] for row in frame.iter_rows())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(frame.columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def write_bytes(content: bytes, out: str, *, exclusive: bool = False) -> None:
    """Write to a file, or to standard output for ``-``; a file is there whole or not at all."""
    if out == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    target = Path(out)
    if exclusive and target.exists():
        raise UsageError(f"{out} is there already.", next_step="Choose another name with -o.")
    try:
        beside = target.with_name(f".{target.name}.part")
        beside.write_bytes(content)
        beside.replace(target)
    except OSError as error:
        raise FileError(f"{out} could not be written: {error.strerror}.") from error


def write_frame(frame: Any, out: str, form: str | None) -> None:
    """Write a table in the stated form, else by the name of the file, else as CSV."""
    suffix = Path(out).suffix.removeprefix(".")
    chosen = form or (suffix if suffix in FORMATS else "csv")
    buffer = io.BytesIO()
    {"csv": frame.write_csv, "parquet": frame.write_parquet, "json": frame.write_json}[chosen](buffer)
    write_bytes(buffer.getvalue(), out)
