"""What the positions of an attention call stand for, by what the modules around it were given."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

Medium = Literal["text", "image", "sound", "mixed"]
"""Tokens of a text (images and sounds may stand among them), patches, frames, or what nobody says."""

_IDS = ("input_ids", "decoder_input_ids")
_VECTORS = ("inputs_embeds", "decoder_inputs_embeds")
_IMAGE = ("pixel", "grid_thw", "image_grid", "spatial_shapes")
_SOUND = ("input_features", "input_values", "audio_values", "audio_features")


def medium_of(given: Iterable[Collection[str]]) -> Medium:
    """The medium of an attention call.

    Parameters
    ----------
    given
        Names of the tensors that each running module was given, innermost first. The first module that is given ids, pixels
        or sound decides; where it is given several of these, what goes on inside it from vectors is a text.
    """
    from_vectors = False
    for names in given:
        kinds: set[Medium] = set()
        if any(name in _IDS for name in names):
            kinds.add("text")
        if any(name.startswith(_IMAGE) for name in names):
            kinds.add("image")
        if any(name.startswith(_SOUND) for name in names):
            kinds.add("sound")
        if len(kinds) > 1:
            return "text" if from_vectors else "mixed"
        if kinds:
            return kinds.pop()
        from_vectors = from_vectors or any(name in _VECTORS for name in names)
    return "text"
