"""The folder of a training: what it was begun with, so that only the same training resumes in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from normlens.errors import InvalidInput, NormLensError
from normlens.files.atomic import is_temporary, reason, write_atomically

STATE = "training"
"""The folder of everything that resuming needs; it may be deleted once the models are finished."""

_CHECKPOINT_BYTES = 12  # of a parameter: itself and two moments of the optimizer, in single precision
_MODEL_BYTES = 2


class RunFolder:
    """Folder of a training and the paths in it.

    Parameters
    ----------
    path
        The folder; created by `begin`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.state = self.path / STATE

    def model(self, source: str, target: str) -> Path:
        """Folder of the finished model of a direction."""
        return self.path / f"{source}-{target}"

    def course(self, source: str, target: str) -> Path:
        """Folder of a direction in training: checkpoints, log, snapshots."""
        return self.state / f"{source}-{target}"

    def check(self, facts: Mapping[str, Any]) -> None:
        """Refuse a folder that holds something else, before anything is computed.

        Raises
        ------
        InvalidInput
            If it holds other files, or a training that was begun with other facts.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InvalidInput(f"{self.path} is a file; expected a folder for the training. Choose another name.")
        if (self.state / "run.json").exists():
            keep(self.state / "run.json", facts, self.path)
            return
        strange = sorted(entry.name for entry in self._entries() if not is_temporary(entry.name))
        if strange and strange != [STATE]:
            raise InvalidInput(
                f"The folder {self.path} holds {strange[0]}, and no training that could be resumed. Choose another folder."
            )

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Create the folder and keep the facts, or compare them with those kept.

        Raises
        ------
        InvalidInput
            As :meth:`check`.
        NormLensError
            If the folder can't be written.
        """
        self.check(facts)
        with writing(self.path):
            self.state.mkdir(parents=True, exist_ok=True)
        keep(self.state / "run.json", facts, self.path)

    def require_space(self, parameters: int) -> None:
        """Refuse to begin where two checkpoints and the finished models don't fit on the disk.

        Parameters
        ----------
        parameters
            Number of the model's parameters.

        Raises
        ------
        NormLensError
            Naming what is needed and what is left.
        """
        needed = parameters * (2 * _CHECKPOINT_BYTES + 2 * _MODEL_BYTES)
        left = shutil.disk_usage(self.state).free
        if left < needed:
            raise NormLensError(
                f"The disk of {self.path} has {left / 1e6:,.0f} MB left, but training needs about {needed / 1e6:,.0f} MB "
                "for its checkpoints. Make room and repeat the command, or choose another folder."
            )

    def _entries(self) -> list[Path]:
        return list(self.path.iterdir()) if self.path.is_dir() else []


def keep(path: Path, facts: Mapping[str, Any], folder: Path) -> None:
    """Write facts into a file, or compare them with those that it holds.

    Parameters
    ----------
    path
        The file.
    facts
        Plain data by name.
    folder
        The training's folder, for the message.

    Raises
    ------
    InvalidInput
        If they differ; the message says in what.
    """
    plain = json.loads(json.dumps(facts))
    if not path.exists():
        write_atomically(path, json.dumps(plain, indent=1, ensure_ascii=False) + "\n")
        return
    try:
        kept = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(f"{path} can't be read: {error}. Choose another folder.") from error
    differing = [
        f"{name} was {kept.get(name)!r} and is now {plain.get(name)!r}"
        for name in {**kept, **plain}
        if kept.get(name) != plain.get(name)
    ]
    if differing:
        raise InvalidInput(
            f"{folder} holds another training: {'; '.join(differing)}. Repeat the command that began it, or choose another "
            "folder."
        )


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Explain failures to write into a training's folder, whichever library reports them.

    Raises
    ------
    NormLensError
        In place of the library's error.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError):
            cause = reason(error)
        elif "write" in str(error) or "Error saving" in str(error):  # torch's archives
            cause = str(error).splitlines()[0]
        else:
            raise
        raise _unwritable(folder, cause) from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":
            raise
        raise _unwritable(folder, str(error)) from error


def _unwritable(folder: Path, cause: str) -> NormLensError:
    return NormLensError(
        f"{folder} could not be written: {cause}. Check that it is writable and that there is space on the disk; the same "
        "command resumes at the last checkpoint."
    )


def last_checkpoint(course: Path) -> Path | None:
    """The latest complete checkpoint of a direction."""
    complete = [path.parent for path in course.glob("checkpoint-*/trainer_state.json") if _is_whole(path)]
    return max(complete, key=lambda path: int(path.name.split("-")[1]), default=None)


def _is_whole(path: Path) -> bool:
    """Whether a checkpoint's last file was written to its end."""
    try:
        return "global_step" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
