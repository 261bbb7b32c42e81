"""The medium of an attention call's positions (text, image, sound), by the inputs of the modules around it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

Medium = Literal["text", "image", "sound", "mixed"]
"""Tokens of a text (possibly with images and sounds among them), patches, frames, or an undetermined mixture."""

_IDS = ("input_ids", "decoder_input_ids")
_VECTORS = ("inputs_embeds", "decoder_inputs_embeds")
_IMAGE = ("pixel", "grid_thw", "image_grid", "spatial_shapes")
_SOUND = ("input_features", "input_values", "audio_values", "audio_features")


def medium_of(inputs: Iterable[Collection[str]]) -> Medium:
    """The medium of an attention call.

    Parameters
    ----------
    inputs
        The names of each running module's tensor arguments, innermost module first. The first module that takes ids, pixels
        or sound decides. If it takes several of these, attention in a submodule that takes embeddings is over text.
    """
    from_vectors = False
    for names in inputs:
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
