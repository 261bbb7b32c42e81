"""The normalization maps of a tokenizer's SentencePiece models, read from their serialized form (protocol buffers)."""

from __future__ import annotations

from collections.abc import Iterator

from transformers import PreTrainedTokenizerBase

_NORMALIZERS = (3, 5)  # fields of ModelProto: normalizer_spec and denormalizer_spec
_CHARSMAP = 2  # field of NormalizerSpec: precompiled_charsmap
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5  # wire types


def charsmaps_of(tokenizer: PreTrainedTokenizerBase) -> Iterator[bytes]:
    """The maps by which the tokenizer's SentencePiece models replace characters; none for other tokenizers."""
    for model in vars(tokenizer).values():
        if hasattr(model, "serialized_model_proto"):
            for specification in _fields(model.serialized_model_proto(), _NORMALIZERS):
                yield from _fields(specification, (_CHARSMAP,))


def _fields(message: bytes, numbers: tuple[int, ...]) -> Iterator[bytes]:
    """The fields with these numbers in a serialized message, as far as they hold bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        if key % 8 == _VARINT:
            _, place = _varint(message, place)
        elif key % 8 == _BYTES:
            length, place = _varint(message, place)
            if key // 8 in numbers:
                yield message[place : place + length]
            place += length
        else:
            place += {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}[key % 8]


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """An integer in seven-bit groups, the lowest first, one per byte; and the position after it."""
    number = shift = 0
    while message[place] >= 128:
        number |= (message[place] & 127) << shift
        shift, place = shift + 7, place + 1
    return number | message[place] << shift, place + 1
