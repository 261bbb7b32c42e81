"""What the common sizes of `sizes.py` get wrong, model type by model type: all subjects together."""

from __future__ import annotations

from typing import Any

from . import audio, text, vision

OVERRIDES: dict[str, dict[str, Any]] = {**text.SIZES, **vision.SIZES, **audio.SIZES}
"""Constructor arguments, by model type."""

SHAPES: dict[str, dict[str, Any]] = {**text.SHAPES, **vision.SHAPES, **audio.SHAPES}
"""Inputs by model type and name: a shape without the batch, a number of tokens, or "words" for the usual number."""

CLASSES: dict[str, str] = {
    "musicgen": "MusicgenForConditionalGeneration",
    "musicgen_melody": "MusicgenMelodyForConditionalGeneration",
}
"""Classes by model type, where the lookup finds another than the natural one."""
