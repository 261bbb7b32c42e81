"""Letters that no installed font can draw: reported once, in one line."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)


@contextmanager
def missing_reported_once(form: str) -> Iterator[None]:
    """Report missing letters in one line instead of matplotlib's warnings; other warnings pass.

    Parameters
    ----------
    form
        "png", "svg", …; an SVG keeps its letters for the viewer's fonts, and nothing is reported.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    missing = set()
    for warning in caught:
        glyph = re.match(r"Glyph (\d+) .*missing from", str(warning.message))
        if glyph:
            missing.add(chr(int(glyph[1])))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if missing and form != "svg":
        _log.warning(
            "No installed font can draw %s; the picture shows boxes instead. Install a font for the script, "
            "such as Noto Sans CJK, or save as SVG, which keeps the letters.",
            " ".join(sorted(missing)),
        )
