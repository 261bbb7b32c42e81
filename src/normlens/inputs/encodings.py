"""What a tokenizer or processor returned, row by row: tensors by the names of the model's inputs, padding removed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import tokenizers
import torch
from torch import Tensor

from normlens.errors import InvalidInput
from normlens.inputs.kinds import LEADING, as_array

PER_TOKEN = frozenset(
    f"{side}{name}"
    for side in ("", "decoder_")
    for name in (
        "input_ids", "inputs_embeds", "attention_mask", "token_type_ids", "position_ids", "global_attention_mask",
        "mm_token_type_ids", "bbox", "langs",
    )
)  # fmt: skip
"""Model inputs that hold something for each token that is read, along their first axis."""

_MEDIA = ("pixel", "input_features", "input_values", "image", "audio", "video", "feature", "spatial")
_NOT_READ = ("special_tokens_mask", "offset_mapping", "length", "overflow_to_sample_mapping", "num_truncated_tokens")
_PACKED = ("cu_seq", "max_length_", "max_seqlen", "seq_idx", "sequence_ids")
_UNBATCHED = {"input_ids": 1, "inputs_embeds": 2, "input_features": 2, "input_values": 1, "pixel_values": 3}
_IGNORED_LABEL = -100


@dataclass(frozen=True)
class EncodedRow:
    """One row of what a tokenizer or processor returned.

    Attributes
    ----------
    tensors
        Model inputs without a batch axis.
    whole
        Model inputs that have no batch axis (patches of all images, end to end), as they were given.
    """

    tensors: dict[str, Tensor]
    whole: dict[str, Tensor] = field(default_factory=dict)

    def cut(self, kept: slice, side: str = "") -> EncodedRow:
        """The same row with some of its tokens.

        Raises
        ------
        InvalidInput
            If something belongs to tokens, and it isn't known how.
        """
        n = _tokens(self.tensors, side)
        if kept == slice(0, n):
            return self
        names = [name for name in self.tensors if name in PER_TOKEN and name.startswith("decoder_") == bool(side)]
        for name, x in {**self.tensors, **self.whole}.items():
            alone = name in PER_TOKEN and name in self.tensors
            if not alone and not is_medium(name) and name != "labels" and not side and n in x.shape:
                raise InvalidInput(
                    f"{name} has shape {tuple(x.shape)} beside {n} tokens, of which {n - (kept.stop - kept.start)} are "
                    "padding; it isn't known which of its entries belong to them. Give the text without padding."
                )
        return replace(self, tensors={**self.tensors, **{name: self.tensors[name][kept] for name in names}})


def is_medium(name: str) -> bool:
    """Whether a model input is (of) an image, a video or a sound, by its name."""
    return name.startswith(_MEDIA)


def encoded_rows(given: Any, accepted: Collection[str]) -> list[EncodedRow]:
    """The rows of what a tokenizer or processor returned, each without its padding.

    Parameters
    ----------
    given
        A ``BatchEncoding``, a ``BatchFeature``, a mapping of the same names, or a row of it.
    accepted
        The names of the inputs that the model takes. Others are left out where they change nothing.

    Raises
    ------
    InvalidInput
        If its parts don't belong together, or hold what can't be honored: masks that aren't of one number per token,
        packed sequences, cached states, tensors that this model doesn't take.
    """
    if isinstance(given, EncodedRow):
        return [given]
    values = _values(given, accepted)
    lead = next((name for name in (*LEADING, "decoder_input_ids") if name in values), None)
    if lead is None:
        raise InvalidInput(
            f"{type(given).__name__} holds {', '.join(map(str, given)) or 'nothing'}; expected one of {', '.join(LEADING)}."
        )
    rows = list(_split(values, lead))
    if not rows:
        raise InvalidInput(f"{lead} has no rows; expected at least one.")
    return [_read(row, accepted, number, len(rows)) for number, row in enumerate(rows)]


def _read(row: EncodedRow, accepted: Collection[str], number: int, rows: int) -> EncodedRow:
    try:
        return _taken(_stripped(row), accepted)
    except InvalidInput as reason:
        if rows == 1:
            raise
        raise InvalidInput(f"Row {number}, counted from 0: {reason}") from reason


def carries_target(given: Any) -> bool:
    """Whether this is tokenizer output that says what a decoder reads, or a list of such."""
    if isinstance(given, (list, tuple)):
        return bool(given) and all(map(carries_target, given))
    if isinstance(given, EncodedRow):
        return "labels" in given.tensors or "decoder_input_ids" in given.tensors
    return isinstance(given, Mapping) and any(given.get(name) is not None for name in ("labels", "decoder_input_ids"))


def labels_of(row: EncodedRow) -> Tensor | None:
    """The target's ids among a row's labels, None without labels.

    Raises
    ------
    InvalidInput
        If labels are left out in the middle.
    """
    labels = row.tensors.get("labels")
    if labels is None or not labels.ndim:
        return None
    kept = _real(labels != _IGNORED_LABEL, "labels")
    if bool((labels[kept] == _IGNORED_LABEL).any()):
        raise InvalidInput(
            "labels hold -100 in the middle; expected the target's ids, with -100 at their ends at most."
        )
    return labels[kept]


def _values(given: Any, accepted: Collection[str]) -> dict[str, Any]:
    """What there is to be read, by name."""
    if isinstance(given, tokenizers.Encoding):
        given = {"input_ids": given.ids, "attention_mask": given.attention_mask, "token_type_ids": given.type_ids}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or name in _NOT_READ or isinstance(value, (str, bool, int, float)):
            continue
        _refuse_what_is_not_honored(str(name), value)
        if name in accepted or name in PER_TOKEN or name == "labels" or is_medium(str(name)):
            values[str(name)] = value
    return values


def _taken(row: EncodedRow, accepted: Collection[str]) -> EncodedRow:
    """A row without what the model doesn't take and wouldn't miss."""
    for name, x in {**row.tensors, **row.whole}.items():
        if name in accepted or name == "labels" or name.endswith("token_type_ids"):
            continue
        plain = torch.arange(len(x)) if name.endswith("position_ids") else torch.ones_like(x)
        if not name.endswith(("position_ids", "attention_mask")) or not torch.equal(x, plain.to(x)):
            raise InvalidInput(f"The input holds {name}, which this model doesn't take; it takes {_listed(accepted)}.")
    kept = {name: x for name, x in row.tensors.items() if name in accepted or name == "labels"}
    return EncodedRow(kept, {name: x for name, x in row.whole.items() if name in accepted})


def _listed(accepted: Collection[str]) -> str:
    return ", ".join(name for name in accepted if name in PER_TOKEN or is_medium(name))


def _refuse_what_is_not_honored(name: str, value: Any) -> None:
    if name.startswith(_PACKED):
        raise InvalidInput(
            f"{name} says that several texts are packed into one row; expected one text per row. Give the texts one by one."
        )
    if name == "past_key_values":
        raise InvalidInput("past_key_values were given; expected the whole text in one run. Give all of its tokens.")
    if isinstance(value, Mapping):
        raise InvalidInput(
            f"{name} is a {type(value).__name__} with {', '.join(map(str, value))}; expected one tensor with a number per "
            "token."
        )


def _split(values: Mapping[str, Any], lead: str) -> Iterator[EncodedRow]:
    """The rows, before anything is removed from them."""
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
            f"{' with a vector for each' if lead == 'inputs_embeds' else ''}. Give one text per row."
        )
    if isinstance(first, Tensor) and depth < 1 + unbatched:  # patches of all images, end to end
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
    """One tensor, or a list of them where the rows differ in length."""
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], (list, tuple)):
        if len({len(row) for row in value}) > 1:
            return [as_array(row, name) for row in value]
    elif isinstance(value, (list, tuple)) and value and isinstance(value[0], (Tensor, np.ndarray)) and value[0].ndim:
        parts = [as_array(row, name) for row in value]
        return torch.stack(parts) if len({part.shape for part in parts}) == 1 else parts
    array = as_array(value, name)
    if not array.ndim:
        raise InvalidInput(f"{name} is one number; expected one per token or row.")
    return array


def _stripped(row: EncodedRow) -> EncodedRow:
    """A row without its padding; where its mask leaves out tokens in the middle, with its mask."""
    for side in ("", "decoder_"):
        mask = row.tensors.get(f"{side}attention_mask", row.whole.get(f"{side}attention_mask"))
        count = _tokens(row.tensors, side)
        _check_per_token(row, side, count)
        if mask is None or not count:
            continue
        row = row.cut(_real(mask != 0, f"{side}attention_mask"), side)
    return row


def _check_per_token(row: EncodedRow, side: str, count: int) -> None:
    """Refuse masks, types and positions that don't say one number per token."""
    if not count:
        return
    mask = row.tensors.get(f"{side}attention_mask", row.whole.get(f"{side}attention_mask"))
    if mask is not None and mask.ndim != 1:
        raise InvalidInput(
            f"{side}attention_mask has {mask.ndim + 1} dimensions; expected two, (row, token), with 1 where a token is "
            "read and 0 where it is padding. Which source each target sees is the model's to say."
        )
    if mask is not None and not bool(((mask == 0) | (mask == 1)).all()):
        raise InvalidInput(f"{side}attention_mask holds {mask.unique().tolist()[:4]}; expected 0 and 1 only.")
    for name in ("attention_mask", "token_type_ids", "position_ids"):
        x = row.tensors.get(f"{side}{name}")
        if x is not None and x.ndim == 1 and len(x) != count:
            raise InvalidInput(f"{side}{name} has {len(x)} entries for {count} tokens; expected one for each.")
    positions = row.tensors.get(f"{side}position_ids")
    if positions is not None and positions.ndim == 1:
        real = slice(0, count) if mask is None else _real(mask != 0, f"{side}attention_mask")
        _refuse_packed(positions[real], f"{side}position_ids", masked=mask is not None)


def _refuse_packed(positions: Tensor, name: str, *, masked: bool) -> None:
    """Refuse positions by which a model may take a row for several texts: transformers does at every jump without a mask."""
    steps = positions.diff()
    jumps = (steps < 0 if masked else steps != 1).nonzero()
    if len(jumps):
        at = int(jumps[0]) + 1
        advice = "" if bool((steps < 0).any()) else " If it is one text, give its attention_mask as well."
        raise InvalidInput(
            f"{name} {'start again' if steps[at - 1] < 0 else 'jump'} at token {at}, as if several texts were packed into "
            f"one row; expected one text per row. Give the texts one by one.{advice}"
        )


def _tokens(tensors: Mapping[str, Tensor], side: str) -> int:
    """How many tokens one side of a row has; 0 where it isn't read as tokens."""
    given = (tensors.get(f"{side}{name}") for name in ("input_ids", "inputs_embeds"))
    return next((len(x) for x in given if x is not None), 0)


def _real(kept: Tensor, name: str) -> slice:
    """From the first to the last that is kept."""
    (places,) = kept.nonzero(as_tuple=True)
    if not len(places):
        raise InvalidInput(f"{name} leaves nothing of a row of {len(kept)} tokens; expected at least one that is read.")
    return slice(int(places[0]), int(places[-1]) + 1)
