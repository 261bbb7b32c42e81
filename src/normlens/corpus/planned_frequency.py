"""Token frequencies of a run: fixed before it begins, beside the plan, which holds their SHA-256."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from normlens.errors import InvalidInput
from normlens.files.atomic import write_atomically
from normlens.statistics import TokenFrequency

FREQUENCY = "frequency.parquet"
"""The file with token ids and their ranks, in the folder of a run."""


def frequency_identity(frequency: TokenFrequency | None) -> dict[str, str]:
    """Source and SHA-256 of frequencies; empty without any."""
    if frequency is None:
        return {}
    digest = hashlib.sha256(frequency.ids.astype("<i8").tobytes() + frequency.rank.astype("<i8").tobytes())
    return {"source": frequency.source, "sha256": digest.hexdigest()}


def write_frequency(folder: Path, frequency: TokenFrequency) -> None:
    """Write the frequencies into the folder of a run."""
    buffer = io.BytesIO()
    pq.write_table(pa.table({"id": frequency.ids, "rank": frequency.rank}), buffer, compression="zstd")
    write_atomically(folder / FREQUENCY, buffer.getbuffer())


def read_frequency(folder: Path, identity: Mapping[str, str]) -> TokenFrequency | None:
    """The frequencies of a run.

    Parameters
    ----------
    folder
        The folder of the run.
    identity
        What its plan says of them.

    Returns
    -------
    TokenFrequency or None
        None if the plan has none.

    Raises
    ------
    InvalidInput
        If they can't be read, or aren't those of the plan.
    """
    if not identity:
        return None
    path = folder / FREQUENCY
    again = "Plan the run again, in another folder."
    try:
        table = pq.read_table(path)
        frequency = TokenFrequency(table["id"].to_numpy(), table["rank"].to_numpy(), identity["source"])
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise InvalidInput(f"The token frequencies {path} can't be read: {error}. {again}") from error
    if frequency_identity(frequency) != identity:
        raise InvalidInput(f"The token frequencies {path} have changed since the run was planned. {again}")
    return frequency
