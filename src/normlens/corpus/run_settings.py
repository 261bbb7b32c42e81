"""Whether a run that was begun has the settings of a command, before any model is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from normlens.corpus.run_plan import PLAN, AnotherRun, read_plan, refuse_foreign, run_beside


def check_settings(output: Path, settings: Mapping[str, Any]) -> None:
    """Refuse to go on with other settings; settings that are not decided yet may be missing.

    Parameters
    ----------
    output
        The file that the run becomes.
    settings
        What the lines depend on, as plain data.

    Raises
    ------
    InvalidInput
        If another run was begun, or the folder of the run holds something else.
    """
    folder = run_beside(output)
    refuse_foreign(folder)
    if not (folder / PLAN).exists():
        return
    before = read_plan(folder).job
    for name, value in json.loads(json.dumps(settings)).items():
        if before.get(name) != value:
            raise AnotherRun(
                f"{output} was started with other settings: {name} was {before.get(name)!r} and is now {value!r}. Repeat "
                "the same command, choose another name, or pass --overwrite."
            )
