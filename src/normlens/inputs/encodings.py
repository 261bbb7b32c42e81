"""The output of a tokenizer or processor, split into rows without padding."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import tokenizers
import torch
from torch import Tensor

from normlens.errors import InvalidInput
from normlens.inputs.encoded_row import PER_TOKEN, EncodedRow, is_medium, span_of
from normlens.inputs.kinds import LEADING, as_array
from normlens.inputs.row_padding import without_padding

_NOT_READ = ("special_tokens_mask", "offset_mapping", "length", "overflow_to_sample_mapping", "num_truncated_tokens")
_PACKED = ("cu_seq", "max_length_", "max_seqlen", "seq_idx", "sequence_ids")
_UNBATCHED = {"input_ids": 1, "inputs_embeds": 2, "input_features": 2, "input_values": 1, "pixel_values": 3}
_IGNORED_LABEL = -100


def encoded_rows(encoding: Any, accepted: Collection[str]) -> list[EncodedRow]:
    """The rows of a tokenizer's or processor's output, each without its padding.

    Parameters
    ----------
    encoding
        A ``BatchEncoding``, a ``BatchFeature``, a mapping with the same names, or one of its rows.
    accepted
        The names of the inputs that the model takes. Others are dropped if they have no effect.

    Raises
    ------
    InvalidInput
        If lengths don't match, or something can't be honored: masks without one number per token, packed sequences,
        cached states, tensors that this model doesn't take.
    """
    if isinstance(encoding, EncodedRow):
        return [encoding]
    values = _values(encoding, accepted)
    lead = next((name for name in (*LEADING, "decoder_input_ids") if name in values), None)
    if lead is None:
        raise InvalidInput(
            f"{type(encoding).__name__} has {', '.join(map(str, encoding)) or 'no entries'}; expected one of "
            f"{', '.join(LEADING)}."
        )
    rows = list(_split(values, lead))
    if not rows:
        raise InvalidInput(f"{lead} has no rows; expected at least one.")
    return [_read(row, accepted, number, len(rows)) for number, row in enumerate(rows)]


def _read(row: EncodedRow, accepted: Collection[str], number: int, rows: int) -> EncodedRow:
    try:
        return _accepted_inputs(without_padding(row), accepted)
    except InvalidInput as reason:
        if rows == 1:
            raise
        raise InvalidInput(f"Row {number}, counted from 0: {reason}") from reason


def has_target(value: Any) -> bool:
    """Whether this is tokenizer output with the decoder's input or labels, or a list of such outputs."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(map(has_target, value))
    if isinstance(value, EncodedRow):
        return "labels" in value.tensors or "decoder_input_ids" in value.tensors
    return isinstance(value, Mapping) and any(value.get(name) is not None for name in ("labels", "decoder_input_ids"))


def labels_of(row: EncodedRow) -> Tensor | None:
    """The target's ids in a row's labels, without ignored ones; None without labels.

    Raises
    ------
    InvalidInput
        If labels between others are ignored.
    """
    labels = row.tensors.get("labels")
    if labels is None or not labels.ndim:
        return None
    kept = span_of(labels != _IGNORED_LABEL, "labels")
    if bool((labels[kept] == _IGNORED_LABEL).any()):
        raise InvalidInput("labels has -100 between other ids; expected the target's ids, with -100 only at the ends.")
    return labels[kept]


def _values(encoding: Any, accepted: Collection[str]) -> dict[str, Any]:
    """The entries that are read, by name."""
    if isinstance(encoding, tokenizers.Encoding):
        encoding = {
            "input_ids": encoding.ids, "attention_mask": encoding.attention_mask, "token_type_ids": encoding.type_ids
        }  # fmt: skip
    values: dict[str, Any] = {}
    for name, value in encoding.items():
        if value is None or name in _NOT_READ or isinstance(value, (str, bool, int, float)):
            continue
        _refuse_unsupported(str(name), value)
        if name in accepted or name in PER_TOKEN or name == "labels" or is_medium(str(name)):
            values[str(name)] = value
    return values


def _accepted_inputs(row: EncodedRow, accepted: Collection[str]) -> EncodedRow:
    """A row without the inputs that the model doesn't take, if they have no effect."""
    for name, x in {**row.tensors, **row.whole}.items():
        if name in accepted or name == "labels" or name.endswith("token_type_ids"):
            continue
        plain = torch.arange(len(x)) if name.endswith("position_ids") else torch.ones_like(x)
        if not name.endswith(("position_ids", "attention_mask")) or not torch.equal(x, plain.to(x)):
            raise InvalidInput(f"The input has {name}, which this model doesn't take; it takes {_listed(accepted)}.")
    kept = {name: x for name, x in row.tensors.items() if name in accepted or name == "labels"}
    return EncodedRow(kept, {name: x for name, x in row.whole.items() if name in accepted})


def _listed(accepted: Collection[str]) -> str:
    return ", ".join(sorted(name for name in accepted if name in PER_TOKEN or is_medium(name)))


def _refuse_unsupported(name: str, value: Any) -> None:
    if name.startswith(_PACKED):
        raise InvalidInput(
            f"{name} says that several texts are packed into one row; expected one text per row. Pass the texts one by one."
        )
    if name == "past_key_values":
        raise InvalidInput(
            "The input has past_key_values; expected the whole text in one run. Pass all of its tokens, without a cache."
        )
    if isinstance(value, Mapping):
        raise InvalidInput(
            f"{name} is a {type(value).__name__} with {', '.join(map(str, value))}; expected one tensor with a number per "
            "token."
        )


def _split(values: Mapping[str, Any], lead: str) -> Iterator[EncodedRow]:
    """The rows with their padding."""
    columns = {name: _column(name, value) for name, value in values.items()}
    first = columns[lead]
    unbatched = 2 if "spatial_shapes" in columns and lead == "pixel_values" else _UNBATCHED.get(lead, 1)
    depth = first.ndim if isinstance(first, Tensor) else 1 + unbatched
    if depth == unbatched:
        yield EncodedRow({name: x for name, x in columns.items() if isinstance(x, Tensor)})
        return
    if lead in ("input_ids", "inputs_embeds", "decoder_input_ids") and depth != 1 + unbatched:
        raise InvalidInput(
            f"{lead} has {depth} dimensions; expected (token,) or (row, token)"
            f"{', with a vector for each' if lead == 'inputs_embeds' else ''}. Pass one text per row."
        )
    if isinstance(first, Tensor) and depth < 1 + unbatched:  # patches of all images, concatenated
        columns[lead] = first
        yield EncodedRow({}, {name: x for name, x in columns.items() if isinstance(x, Tensor)})
        return
    for k in range(len(first)):
        yield _row(columns, lead, k, len(first))


def _row(columns: Mapping[str, Tensor | list[Tensor]], lead: str, k: int, rows: int) -> EncodedRow:
    tensors: dict[str, Tensor] = {}
    whole: dict[str, Tensor] = {}
    for name, x in columns.items():
        if len(x) == rows and not (name == "position_ids" and isinstance(x, Tensor) and x.ndim > 2):
            tensors[name] = x[k]
        elif isinstance(x, Tensor) and len(x) == 1 and name in PER_TOKEN:
            tensors[name] = x[0]
        elif rows == 1 and isinstance(x, Tensor) and (name not in PER_TOKEN or x.ndim > 2):
            whole[name] = x
        else:
            raise InvalidInput(
                f"{name} has length {len(x)}, {lead} has length {rows}; expected one entry of each per input. Repeat the "
                "shorter one, or pass the inputs one by one."
            )
    return EncodedRow(tensors, whole)


def _column(name: str, value: Any) -> Tensor | list[Tensor]:
    """One tensor, or a list of tensors if the rows differ in length."""
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], (list, tuple)):
        if len({len(row) for row in value}) > 1:
            return [as_array(row, name) for row in value]
    elif isinstance(value, (list, tuple)) and value and isinstance(value[0], (Tensor, np.ndarray)) and value[0].ndim:
        rows = [as_array(row, name) for row in value]
        return torch.stack(rows) if len({row.shape for row in rows}) == 1 else rows
    array = as_array(value, name)
    if not array.ndim:
        raise InvalidInput(f"{name} is a single number; expected one per token or row.")
    return array
