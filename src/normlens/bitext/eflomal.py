"""Links of eflomal, a statistical aligner, in both directions; its program is installed separately, being under the GPL."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

from normlens.errors import InvalidInput, NormLensError

PROGRAM = "eflomal-align"
SCRIPTS = sysconfig.get_path("scripts")
"""Where pip puts programs; not on the search path while the environment isn't activated."""


def eflomal_program() -> str:
    """The path of eflomal's program, on the search path or beside the Python that runs.

    Raises
    ------
    InvalidInput
        If it isn't installed.
    """
    program = shutil.which(PROGRAM) or shutil.which(PROGRAM, path=SCRIPTS)
    if program is None:
        raise InvalidInput(
            f"The program {PROGRAM} isn't installed. Install it (pip install eflomal; it is under the GPL), or do without "
            "its links (--guide none)."
        )
    return program


def link_files(source: Path, target: Path, ahead: Path, back: Path) -> None:
    """Have eflomal link two parallel files; the links of both directions appear only when complete.

    Parameters
    ----------
    source, target
        One sentence per line, words separated by spaces.
    ahead, back
        Files of the links, both with the source first: at most one per target word, and at most one per source word.

    Raises
    ------
    NormLensError
        If the program isn't installed, or fails.
    """
    unfinished = [path.with_name(path.name + ".unfinished") for path in (ahead, back)]
    command = [
        eflomal_program(), "--overwrite", "-s", source, "-t", target, "-f", unfinished[0], "-r", unfinished[1],
    ]  # fmt: skip
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise NormLensError(
            f"{PROGRAM} failed: {done.stderr.strip()[-300:]}. Check that there is memory and space on the disk, and repeat "
            "the command."
        )
    for path, final in zip(unfinished, (ahead, back), strict=True):
        path.replace(final)
