"""What a run has finished: results of shards that appear whole, once, and never change.

An attempt writes its results under a name of its own, and makes sure that they are on the disk and can be read. Then it
creates the commit record of the shard, which only one attempt can. Readers take what the records name, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from normlens.corpus.fault_points import fault_point
from normlens.corpus.merged_numbers import MergedNumbers
from normlens.corpus.run_plan import ASIDE, COMMITS, SHARDS, Shard
from normlens.corpus.shard_results import Commit, ShardResult, SkippedRow
from normlens.errors import InvalidInput, NormLensError
from normlens.files.atomic import reason, write_atomically

COMPRESSION = "zstd"


class ResultsNotWritten(NormLensError):
    """Results can't be written to the folder of a run; no other shard could be."""


class CommitFolder:
    """The folder of a run.

    Parameters
    ----------
    path
        The folder, with its plan.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._shards, self._commits, self._poisoned = (path / name for name in (SHARDS, COMMITS, ASIDE))

    def commit(self, shard: Shard, result: ShardResult) -> bool:
        """Write a shard's results, and commit them unless another attempt has.

        Returns
        -------
        bool
            Whether these results were committed; if not, they are removed again.

        Raises
        ------
        ResultsNotWritten
            If they can't be written; what was committed before stays.
        """
        name = f"{shard.number:06d}-{uuid4().hex}"
        results, statistics = self._shards / f"{name}.parquet", self._shards / f"{name}.npz"
        with self._writing():
            _written(results, lambda file: pq.write_table(result.table, file, compression=COMPRESSION))
            fault_point("results written")
            if pq.read_metadata(results).num_rows != result.table.num_rows:
                raise ResultsNotWritten(
                    f"{results} has lost rows while it was written. Check the disk; run again to go on."
                )
            arrays = {
                f"{kind}/{key}": value
                for kind, numbers in result.numbers.items()
                for key, value in numbers.arrays().items()
            }
            _written(statistics, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
            fault_point("statistics written")
            _sync_folder(self._shards)
            fault_point("folder synced")
            record = Commit(
                shard.number, results.name, _sha256(results), statistics.name, _sha256(statistics), result.table.num_rows,
                result.texts, result.tokens, result.blank, result.truncated, result.halved, round(result.seconds, 3),
                round(time.time(), 3), result.skipped,
            )  # fmt: skip
            if self._record(record):
                return True
            for file in (results, statistics):
                file.unlink(missing_ok=True)
        return False

    def committed(self) -> dict[int, Commit]:
        """The records of all finished shards, by number.

        Raises
        ------
        InvalidInput
            If one can't be read.
        """
        return {int(path.stem): _read_record(path) for path in sorted(self._commits.glob("[0-9]*.json"))}

    def record(self, number: int) -> Commit:
        """The record of one finished shard.

        Raises
        ------
        InvalidInput
            If it can't be read.
        """
        return _read_record(self._record_path(number))

    def table(self, commit: Commit) -> pa.Table:
        """The results of a shard.

        Raises
        ------
        InvalidInput
            If the file isn't the one that was committed.
        """
        return pq.read_table(self._checked(commit, commit.results, commit.results_sha256))

    def numbers(self, commit: Commit) -> dict[str, MergedNumbers]:
        """The statistics of a shard, by kind of attention.

        Raises
        ------
        InvalidInput
            If the file isn't the one that was committed.
        """
        by_kind: dict[str, dict[str, Any]] = {}
        with np.load(self._checked(commit, commit.statistics, commit.statistics_sha256)) as arrays:
            for name in arrays.files:
                kind, _, key = name.partition("/")
                by_kind.setdefault(kind, {})[key] = arrays[name]
        return {kind: MergedNumbers.of_arrays(own) for kind, own in by_kind.items()}

    def set_aside(self, shard: Shard, why: str) -> None:
        """Note that a shard failed too often; later runs leave it out."""
        with self._writing():
            text = json.dumps({"shard": asdict(shard), "reason": why}, ensure_ascii=False, indent=1)
            write_atomically(self._poisoned / f"{shard.number:06d}.json", text)

    def set_aside_shards(self) -> dict[int, str]:
        """Why shards were set aside, by number."""
        reasons = {}
        for path in sorted(self._poisoned.glob("*.json")):
            with suppress(OSError, ValueError, KeyError):
                reasons[int(path.stem)] = str(json.loads(path.read_text(encoding="utf-8"))["reason"])
        return reasons

    def retry(self) -> None:
        """Forget that shards were set aside."""
        for path in self._poisoned.glob("*.json"):
            path.unlink(missing_ok=True)

    def remove_leftovers(self) -> int:
        """Remove results of attempts that committed nothing; only when no run is under way. Their number."""
        named = {name for commit in self.committed().values() for name in (commit.results, commit.statistics)}
        leftovers = [path for path in self._shards.glob("*") if path.name not in named]
        leftovers += list(self._commits.glob(".*"))
        for path in leftovers:
            path.unlink(missing_ok=True)
        return len(leftovers)

    def _record_path(self, number: int) -> Path:
        return self._commits / f"{number:06d}.json"

    def _record(self, commit: Commit) -> bool:
        """Create the record under its final name, which works once."""
        final = self._record_path(commit.shard)
        temporary = self._commits / f".{commit.results}.json"
        text = json.dumps(asdict(commit), ensure_ascii=False, indent=1)
        _written(temporary, lambda file: file.write(text.encode("utf-8", "backslashreplace")))
        fault_point("record written")
        try:
            os.link(temporary, final)
        except FileExistsError:
            return False
        except OSError as error:
            raise ResultsNotWritten(
                f"{final} can't be created: {reason(error)}. Commits need a file system with hard links; choose a folder on "
                "another one."
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        fault_point("linked")
        _sync_folder(self._commits)
        fault_point("committed")
        return True

    def _checked(self, commit: Commit, name: str, sha256: str) -> Path:
        path = self._shards / name
        try:
            same = _sha256(path) == sha256
        except OSError as error:
            raise InvalidInput(
                f"{path} can't be read: {reason(error)}. Remove commits/{commit.shard:06d}.json, and run again."
            ) from error
        if not same:
            raise InvalidInput(
                f"{path} has changed since it was committed. Remove commits/{commit.shard:06d}.json, and run again to "
                "compute its shard."
            )
        return path

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            for folder in (self._shards, self._commits, self._poisoned):
                folder.mkdir(exist_ok=True)
            yield
        except OSError as error:
            raise ResultsNotWritten(
                f"{self.path} can't be written: {reason(error)}. What was committed is kept; make space or mend the "
                "permissions, and run again to go on."
            ) from error


def _read_record(path: Path) -> Commit:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        skipped = tuple(SkippedRow(**row) for row in values.pop("skipped"))
        return Commit(**values, skipped=skipped)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InvalidInput(f"{path} can't be read: {error}. Remove it, and run again to compute its shard.") from error


def _written(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a new file, and wait until it is on the disk; a failure leaves nothing behind."""
    try:
        with path.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
