"""Shows the figures of reproduce/results in the docs, where they are kept once: as images/reproduced/STUDY/NAME.svg."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

RESULTS = Path(__file__).parents[2] / "reproduce" / "results"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every figure that a study kept to the site's files."""
    for figure in sorted(RESULTS.rglob("*.svg")):
        place = f"images/reproduced/{figure.relative_to(RESULTS).as_posix()}"
        files.append(File.generated(config, place, abs_src_path=str(figure)))
    return files
