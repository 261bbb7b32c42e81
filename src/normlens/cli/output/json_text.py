"""JSON as every command prints and writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def json_text(answer: Any) -> str:
    """Write an answer as JSON on one line: letters as they are, and null where a number doesn't exist (NaN).

    Parameters
    ----------
    answer
        Mappings, sequences, strings and numbers.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If a number is infinite, which JSON can't hold.

    Examples
    --------
    >>> json_text({"word": "für", "share": float("nan"), "layers": (0, 1)})
    '{"word": "für", "share": null, "layers": [0, 1]}'
    """
    return json.dumps(_without_nan(answer), ensure_ascii=False, allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(inside) for key, inside in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_nan(inside) for inside in value]
    return None if isinstance(value, float) and value != value else value
