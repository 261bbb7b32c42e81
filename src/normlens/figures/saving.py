"""Write a figure to a file: pixels or vectors, whole or not at all."""

import logging
import re
import warnings
from os import PathLike
from pathlib import Path

from matplotlib.figure import Figure

from normlens.errors import InvalidInput
from normlens.figures.style import drawing_style
from normlens.saving import written_whole

SUFFIXES = (".png", ".svg", ".pdf")
_DOTS_PER_INCH = 200
_log = logging.getLogger(__name__)


def save(figure: Figure, path: str | PathLike[str]) -> Path:
    """Write a figure as PNG, SVG or PDF, by the suffix of `path`.

    SVG and PDF hold vectors, with text kept as text. The file appears when it is complete: it is written under a
    temporary name in the same folder and renamed. The same figure always gives the same SVG or PDF file.

    Parameters
    ----------
    figure
        What one of this room's functions returned, or any other matplotlib figure.
    path
        Where to write; an existing file is replaced.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    InvalidInput
        If the suffix is none of ``.png``, ``.svg``, ``.pdf``.
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
    return written_whole(path, lambda partial: _draw(figure, partial, suffix))


def _draw(figure: Figure, file: Path, suffix: str) -> None:
    metadata = {".png": None, ".svg": {"Date": None}, ".pdf": {"CreationDate": None, "ModDate": None}}[suffix]
    with warnings.catch_warnings(record=True) as caught, drawing_style():
        warnings.simplefilter("always")
        figure.savefig(file, format=suffix[1:], dpi=_DOTS_PER_INCH, metadata=metadata)
    missing = set()
    for warning in caught:
        glyph = re.match(r"Glyph (\d+) .*missing from", str(warning.message))
        if glyph:
            missing.add(chr(int(glyph[1])))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if missing and suffix != ".svg":
        _log.warning(
            "No installed font can draw %s; the picture shows boxes in their place. Install a font for the script, "
            "such as Noto Sans CJK, or save as SVG, which keeps the letters.",
            " ".join(sorted(missing)),
        )
