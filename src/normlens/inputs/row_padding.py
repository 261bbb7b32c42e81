"""Removal of padding from an encoded row, and refusal of masks and positions that can't be honored."""

from __future__ import annotations

from torch import Tensor

from normlens.errors import InvalidInput
from normlens.inputs.encoded_row import EncodedRow, span_of, token_count


def without_padding(row: EncodedRow) -> EncodedRow:
    """A row without its padding; if its mask excludes tokens between others, the mask stays.

    Raises
    ------
    InvalidInput
        If a mask, token types or positions don't have one number per token, or positions restart or jump.
    """
    for side in ("", "decoder_"):
        mask = row.tensors.get(f"{side}attention_mask", row.whole.get(f"{side}attention_mask"))
        count = token_count(row.tensors, side)
        _check_per_token(row, side, count)
        if mask is None or not count:
            continue
        row = row.cut(span_of(mask != 0, f"{side}attention_mask"), side)
    return row


def _check_per_token(row: EncodedRow, side: str, count: int) -> None:
    """Refuse masks, token types and positions that don't have one number per token."""
    if not count:
        return
    mask = row.tensors.get(f"{side}attention_mask", row.whole.get(f"{side}attention_mask"))
    if mask is not None and mask.ndim != 1:
        raise InvalidInput(
            f"{side}attention_mask has {mask.ndim + 1} dimensions; expected two, (row, token), with 1 for tokens and 0 for "
            "padding. A mask can't choose the sources that each target sees: the model does."
        )
    if mask is not None and not bool(((mask == 0) | (mask == 1)).all()):
        raise InvalidInput(f"{side}attention_mask has the values {mask.unique().tolist()[:4]}; expected 0 and 1 only.")
    for name in ("attention_mask", "token_type_ids", "position_ids"):
        x = row.tensors.get(f"{side}{name}")
        if x is not None and x.ndim == 1 and len(x) != count:
            raise InvalidInput(f"{side}{name} has {len(x)} entries for {count} tokens; expected one for each.")
    positions = row.tensors.get(f"{side}position_ids")
    if positions is not None and positions.ndim == 1:
        real = slice(0, count) if mask is None else span_of(mask != 0, f"{side}attention_mask")
        _refuse_packed(positions[real], f"{side}position_ids", masked=mask is not None)


def _refuse_packed(positions: Tensor, name: str, *, masked: bool) -> None:
    """Refuse positions from which a model may infer several texts: without a mask, transformers does so at every jump."""
    steps = positions.diff()
    jumps = (steps < 0 if masked else steps != 1).nonzero()
    if len(jumps):
        at = int(jumps[0]) + 1
        advice = "" if bool((steps < 0).any()) else " If it is one text, pass its attention_mask as well."
        raise InvalidInput(
            f"{name} {'start again' if steps[at - 1] < 0 else 'jump'} at token {at}, as if several texts were packed into "
            f"one row; expected one text per row. Pass the texts one by one.{advice}"
        )
