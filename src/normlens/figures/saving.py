"""Write a figure to a file, as pixels or vectors; a failure leaves no incomplete file."""

from io import BytesIO
from os import PathLike
from pathlib import Path

from matplotlib.figure import Figure

from normlens.errors import InvalidInput
from normlens.figures.glyphs import missing_reported_once
from normlens.figures.panels import AxesLike, figure_of
from normlens.figures.style import drawing_style, make_readable
from normlens.files.atomic import write_atomically

SUFFIXES = (".png", ".svg", ".pdf")
_DOTS_PER_INCH = 200


def save(drawn: Figure | AxesLike, path: str | PathLike[str]) -> Path:
    """Write a figure as PNG, SVG or PDF, by the suffix of `path`.

    SVG and PDF contain vectors, with text as text. The file appears only when it is complete: it is written under a
    temporary name in the same folder and renamed. The same figure always gives the same SVG or PDF file.

    Parameters
    ----------
    drawn
        Axes, as the figure functions return them (their whole figure is written), or a matplotlib figure.
    path
        The file to write; an existing file is replaced.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    InvalidInput
        If the suffix is none of ``.png``, ``.svg``, ``.pdf``, or `drawn` belongs to no figure.
    NormLensError
        If the file can't be written; nothing is left behind.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidInput(
            f"A figure can't be saved as '{path.name}': its suffix is '{path.suffix}', expected one of "
            f"{', '.join(SUFFIXES)}. Rename it, for instance to '{path.stem or 'figure'}.svg'."
        )
    return write_atomically(path, _rendered(figure_of(drawn), suffix))


def _rendered(figure: Figure, suffix: str) -> bytes:
    buffer = BytesIO()
    metadata = {".png": None, ".svg": {"Date": None}, ".pdf": {"CreationDate": None, "ModDate": None}}[suffix]
    make_readable(figure)
    with missing_reported_once(suffix[1:]), drawing_style():
        figure.savefig(buffer, format=suffix[1:], dpi=_DOTS_PER_INCH, metadata=metadata)
    return buffer.getvalue()
