"""Clusters of heads that `normlens cluster heads` found, as the explorer's page colors them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from normlens.errors import InvalidInput
from normlens.files.reading import refuse_unreadable

_HEAD = re.compile(r"\d+\.\d+")


def read_clusters(path: str | Path) -> dict[str, Any]:
    """The labels in a file that `normlens cluster heads -o` wrote, .json or .csv.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        ``heads``, such as "4.2" (layer and head); ``labels``, each one's cluster, numbered from 1; ``isGood``, whether they
        are a good clustering, or the nearest to one.

    Raises
    ------
    InvalidInput
        If the file can't be read, has other contents, or no clustering.
    """
    path = Path(path)
    try:
        refuse_unreadable(path)
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # a file in another encoding raises a ValueError
        reason = getattr(error, "strerror", None) or "it isn't UTF-8 text"
        raise InvalidInput(f"{path} can't be read: {reason}. {_EXPECTED}") from error
    heads, good, nearest = _of_json(path, text) if text.lstrip().startswith("{") else _of_table(path, text)
    labels = good or nearest
    if not labels:
        raise InvalidInput(
            f"{path} has no clustering: none is good enough, and none is nearest. Run `normlens cluster heads` with a "
            "smaller --alpha."
        )
    whole = all(type(label) is int and label > 0 for label in labels)
    if not whole or len(labels) != len(heads) or not all(_HEAD.fullmatch(str(head)) for head in heads):
        raise _other(path)
    return {"heads": list(map(str, heads)), "labels": list(labels), "isGood": bool(good)}


def _of_json(path: Path, text: str) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    """Heads, and the labels of the good and of the nearest clustering."""
    try:
        read = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{path} isn't JSON: {error}. {_EXPECTED}") from error
    heads = read.get("heads")
    if not isinstance(heads, list):
        raise _other(path)
    return heads, _labels(read.get("clustering")), _labels(read.get("nearest"))


def _labels(described: Any) -> Sequence[Any]:
    labels = described.get("labels") if isinstance(described, Mapping) else None
    return labels if isinstance(labels, list) else []


def _of_table(path: Path, text: str) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    rows = list(csv.DictReader(text.splitlines()))
    if not rows or not {"head", "cluster", "nearest_cluster"} <= rows[0].keys():
        raise _other(path)
    return [row["head"] for row in rows], _column(rows, "cluster"), _column(rows, "nearest_cluster")


def _column(rows: Sequence[Mapping[str, str | None]], name: str) -> Sequence[int]:
    """The numbers of a column, 0 for what isn't one; empty if the column is."""
    cells = [row[name] or "" for row in rows]
    return [int(cell) if cell.isdecimal() else 0 for cell in cells] if any(cells) else []


def _other(path: Path) -> InvalidInput:
    return InvalidInput(f"{path} isn't a file of clusters of heads. {_EXPECTED}")


_EXPECTED = "Expected what `normlens cluster heads MODEL FILE -o clusters.json` writes, or clusters.csv."
