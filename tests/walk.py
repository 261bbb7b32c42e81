"""Counts the rooms that a call walks through: those of docs/rooms.md.

A room is a folder of the package with everything in it, such as ``cli``; in ``engine`` each inner folder is a room of its
own. The modules beside the rooms are one room together: ``lens.py`` and ``errors.py`` are in ``normlens``,
``engine/precision.py`` and ``engine/locks.py`` in ``engine``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import normlens

PACKAGE = Path(normlens.__file__).parent


@dataclass
class Walk:
    """The rooms of a call in the order of first entry, and how often one function call after another changed the room."""

    rooms: list[str] = field(default_factory=list)
    changes: int = 0


def walk(call: Callable[[], object]) -> Walk:
    """The walk of a call. Only functions count, not modules that are imported meanwhile."""
    walked, here, rooms = Walk(), "", dict[str, str]()

    def enter(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal here
        code = frame.f_code
        if event != "call" or code.co_name == "<module>":
            return
        if code.co_filename not in rooms:
            rooms[code.co_filename] = _room(Path(code.co_filename))
        room = rooms[code.co_filename]
        if not room:
            return
        if room not in walked.rooms:
            walked.rooms.append(room)
        walked.changes += bool(here) and room != here
        here = room

    before = sys.getprofile()
    sys.setprofile(enter)
    try:
        call()
    finally:
        sys.setprofile(before)
    return walked


def _room(file: Path) -> str:
    """The room of a file; empty if it isn't in the package."""
    if not file.is_relative_to(PACKAGE):
        return ""
    folders = ("normlens", *file.relative_to(PACKAGE).parent.parts)
    return "/".join(folders[1:3] if folders[1:2] == ("engine",) else folders[1:2]) or folders[0]
