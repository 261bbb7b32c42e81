"""The command ``align`` walks through few rooms; docs/rooms.md describes the walk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from typer.testing import Result
from walk import walk


def test_align_walks_through_fourteen_rooms_at_most(
    run: Callable[..., Result], texts: tuple[Path, Path], marian_folder: Path
) -> None:
    walked = walk(lambda: run("align", *texts, "--model", marian_folder))
    assert len(walked.rooms) <= 14, walked.rooms
    assert walked.rooms[0] == "cli" and {"alignment", "engine/contributions"} <= set(walked.rooms)
