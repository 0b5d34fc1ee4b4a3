"""Figures as bytes and as files: the same figure gives the same bytes, in any process."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.figure import Figure

from ircohort.errors import FileError
from ircohort.plot.style import drawing

PNG_DPI = 160


def to_png(figure: Figure) -> bytes:
    r"""Give a figure as PNG, at 160 dots per inch, without date or software name.

    Examples
    --------
    >>> to_png(Figure(figsize=(1, 1)))[:4]
    b'\x89PNG'
    """
    buffer = io.BytesIO()
    with drawing():
        figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()


def to_svg(figure: Figure) -> bytes:
    """Give a figure as SVG, its letters as paths (no font is needed to show it), without date or software name.

    Examples
    --------
    >>> b"dc:date" in to_svg(Figure(figsize=(1, 1)))
    False
    """
    buffer = io.BytesIO()
    with drawing():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return buffer.getvalue()


def save_figure(figure: Figure, path_without_suffix: str | Path) -> None:
    """Write a figure as ``.png`` (160 dots per inch) and as ``.svg``.

    Parameters
    ----------
    figure
        Any matplotlib figure.
    path_without_suffix
        ``figures/plane`` writes ``figures/plane.png`` and ``figures/plane.svg``; the directory must be there.

    Raises
    ------
    FileError
        If a file cannot be written.
    """
    stem = Path(path_without_suffix)
    for suffix, content in ((".png", to_png(figure)), (".svg", to_svg(figure))):
        path = stem.with_name(stem.name + suffix)
        try:
            path.write_bytes(content)
        except OSError as error:
            raise FileError(
                f"The figure {path} could not be written.",
                expected=f"The system says: {error.strerror}.",
                next_step="Choose a directory that exists and that you may write to.",
            ) from error
