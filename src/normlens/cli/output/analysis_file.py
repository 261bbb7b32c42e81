"""Output of ``normlens analyze``: a file whose suffix selects the format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from normlens.cli.destinations import PICTURES

if TYPE_CHECKING:
    from normlens import Analysis
    from normlens.cli.choices import Scope


def write(analysis: Analysis, path: Path, *, layer: int, head: int | None, group: str, scope: Scope) -> None:
    """Write an analysis in the format of the file's suffix; the file appears whole or not at all.

    Parameters
    ----------
    analysis
        The analysis.
    path
        The file, with one of :data:`normlens.cli.destinations.SUFFIXES`.
    layer, head, group, scope
        What a picture shows; other formats hold everything.

    Raises
    ------
    NormLensError
        If it can't be written.
    """
    suffix = path.suffix.lower()
    if suffix in PICTURES:
        from normlens.figures import save

        save(analysis.plot(layer, head, group=group, scope=scope.value), path)  # type: ignore[arg-type]
    elif suffix == ".nc":
        analysis.save(path)
    elif suffix == ".html":
        analysis.to_html(path)
    elif suffix == ".parquet":
        analysis.to_parquet(path)
    else:
        analysis.to_json(path)
