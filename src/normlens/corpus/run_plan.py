"""The plan of a run over a corpus: what is computed, of which rows, by which model; immutable and fingerprinted."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from normlens.corpus.corpus_row import Columns
from normlens.corpus.planned_files import CorpusFile
from normlens.corpus.planned_frequency import FREQUENCY, write_frequency
from normlens.errors import InvalidInput, NormLensError
from normlens.files.atomic import is_temporary, write_atomically
from normlens.statistics import TokenFrequency

_LARGEST_SHARD, _SMALLEST_SHARD = 8192, 64
PLAN = "plan.json"
SHARDS, COMMITS, ASIDE, FINAL = FOLDERS = "shards", "commits", "set-aside", "final"
"""The plan in the folder of a run, and its folders."""

_WORK = 2e11  # parameters × texts of a shard: minutes on a CPU


class AnotherRun(InvalidInput):
    """A folder holds a run with another plan."""


@dataclass(frozen=True)
class Shard:
    """A range of rows of one file.

    Attributes
    ----------
    number
        Its number in the plan.
    file
        The number of its file.
    start, stop
        The first row, and the first row behind it.
    """

    number: int
    file: int
    start: int
    stop: int


@dataclass(frozen=True)
class CorpusPlan:
    """What a run over a corpus computes; two plans with one fingerprint give the same bytes.

    Attributes
    ----------
    files
        The input files, in order.
    columns
        Where the texts stand.
    rows_per_shard
        Largest number of rows of a shard. It depends on the model and never on the workers.
    source
        The model's name, or the absolute path of its folder.
    model
        Revision, dtype and number of parameters of the model, and the SHA-256 of its config, vocabulary and weights.
    loading
        Options of :func:`normlens.load`, without the device.
    job
        What is computed: "kind", and its options.
    batch_tokens, batch_pairs, batch_texts
        Budget of a batch: tokens, padding included, pairs of tokens, and texts (None: as many as fit).
    threads
        Threads of each worker; another number rounds differently.
    versions
        Versions of normlens, torch, transformers and tokenizers.
    frequency
        Source and SHA-256 of the token frequencies beside the plan; empty: there are none.
    statistics
        Edges of histograms and of the rank grid, and sizes of bootstrap and sample.
    """

    files: tuple[CorpusFile, ...]
    columns: Columns
    rows_per_shard: int
    source: str
    model: Mapping[str, Any]
    loading: Mapping[str, Any]
    job: Mapping[str, Any]
    batch_tokens: int
    batch_pairs: int
    threads: int
    versions: Mapping[str, str] = field(default_factory=dict)
    batch_texts: int | None = None
    frequency: Mapping[str, str] = field(default_factory=dict)
    statistics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything in the plan."""
        return hashlib.sha256(self.as_json().encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def shards(self) -> list[Shard]:
        """All shards, in order."""
        return list(self._shards())

    @property
    def rows(self) -> int:
        """Number of rows in all files."""
        return sum(file.rows for file in self.files)

    def as_json(self) -> str:
        """The plan as JSON, which `of_json` reads."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1, sort_keys=True)

    @classmethod
    def of_json(cls, text: str) -> CorpusPlan:
        """The plan that `as_json` wrote."""
        values = json.loads(text)
        files = tuple(CorpusFile.of_plain(file) for file in values.pop("files"))
        return cls(files=files, columns=Columns(**values.pop("columns")), **values)

    def _shards(self) -> Iterator[Shard]:
        number = 0
        for place, file in enumerate(self.files):
            for start in range(0, file.rows, self.rows_per_shard):
                yield Shard(number, place, start, min(start + self.rows_per_shard, file.rows))
                number += 1


def rows_per_shard(parameters: int) -> int:
    """A power of two of texts, such that a shard takes minutes; fewer for a larger model.

    Examples
    --------
    >>> rows_per_shard(22_000_000), rows_per_shard(135_000_000), rows_per_shard(7_000_000_000)
    (8192, 1024, 64)
    """
    texts = int(_WORK / max(parameters, 1))
    return min(max(1 << max(texts.bit_length() - 1, 0), _SMALLEST_SHARD), _LARGEST_SHARD)


def write_plan(
    folder: Path, plan: CorpusPlan, frequency: TokenFrequency | None = None, *, replace: bool = False
) -> bool:
    """Write the plan into a new folder, after its token frequencies; nothing if the same plan is there already.

    Parameters
    ----------
    folder, plan, frequency
        What is written, and where.
    replace
        Whether another run in the folder is removed first.

    Returns
    -------
    bool
        Whether it was written now.

    Raises
    ------
    InvalidInput
        If the folder holds another plan (saying what differs), or other files.
    """
    path = folder / PLAN
    if path.exists():
        differing = difference(read_plan(folder), plan)
        if not differing:
            return False
        if not replace:
            raise AnotherRun(
                f"{folder} holds another run: {differing}. Choose another folder, or repeat the run with its settings."
            )
        remove_run(folder, keep_folder=True)
    refuse_foreign(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NormLensError(f"{folder} can't be created: {error.strerror}. Choose another folder.") from error
    if frequency is not None:
        write_frequency(folder, frequency)
    write_atomically(path, plan.as_json())
    return True


def remove_run(folder: Path, *, keep_folder: bool = False) -> None:
    """Remove a run with its results; other files in its folder stay. A kill in the middle leaves a run that goes on.

    Parameters
    ----------
    folder
        The folder of the run.
    keep_folder
        Whether the folder itself stays. Default: it is removed if it is empty.

    Raises
    ------
    NormLensError
        If something can't be removed.
    """
    try:
        for name in reversed(FOLDERS):  # records before what they name
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in (PLAN, FREQUENCY):
            (folder / name).unlink(missing_ok=True)
        if not keep_folder:
            with suppress(OSError):
                folder.rmdir()  # if it is empty
    except OSError as error:
        raise NormLensError(f"{folder} can't be removed: {error.strerror}. Remove it by hand.") from error


def run_beside(output: Path) -> Path:
    """The folder of the run that ends as this file or folder, beside it.

    Examples
    --------
    >>> run_beside(Path("pages/report")).name
    'report.run'
    """
    place = output.parent.resolve() / output.name if output.name else output.resolve()
    return place.with_name(f"{place.name}.run")


def refuse_foreign(folder: Path) -> None:
    """Refuse a folder that holds something other than a run, or what a kill leaves of an unfinished plan.

    Raises
    ------
    InvalidInput
        If it is a file, or has other files.
    """
    if (folder / PLAN).exists() or not folder.exists():
        return
    if not folder.is_dir() or any(map(_is_foreign, folder.iterdir())):
        raise InvalidInput(f"{folder} isn't an empty folder, and holds no run. Choose another folder.")


def _is_foreign(path: Path) -> bool:
    """Whether a file is something other than what a kill leaves of an unfinished plan."""
    return path.name != FREQUENCY and not is_temporary(path.name)


def read_plan(folder: Path) -> CorpusPlan:
    """The plan of a run's folder.

    Raises
    ------
    InvalidInput
        If there is none, or it can't be read.
    """
    path = folder / PLAN
    try:
        return CorpusPlan.of_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidInput(
            f"{folder} holds no run: there is no plan.json. Make a plan first: "
            "normlens corpus plan MODEL FILE --output FOLDER."
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InvalidInput(f"{path} can't be read: {error}. Plan the run again, in another folder.") from error


def difference(before: CorpusPlan, now: CorpusPlan) -> str:
    """The first thing in which two plans differ, as a clause; empty if there is none."""
    one, other = (_flat(json.loads(plan.as_json())) for plan in (before, now))
    for name in sorted({**one, **other}, key=lambda name: ("offsets" in name, name)):  # what a reader knows first
        if one.get(name) != other.get(name):
            return f"{name} was {one.get(name)!r} and is now {other.get(name)!r}"
    return ""


def _flat(values: Any, name: str = "") -> dict[str, Any]:
    """Nested values by their dotted names."""
    entries = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    flat: dict[str, Any] = {}
    for key, value in entries:
        inner = f"{name}.{key}" if name else str(key)
        flat |= _flat(value, inner) if isinstance(value, dict | list) else {inner: value}
    return flat
