"""Labels of a sound's frames by time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel

from normlens.inputs.grid_labels import number_positions
from normlens.inputs.tokens import Tokens
from normlens.loading.configs import configs_of


def frame_labels(sound: Tensor, model: PreTrainedModel, extractor: Any) -> Callable[[int], Tokens]:
    """The function that labels the positions of a sound: by time in seconds if the feature extractor gives their rate.

    Parameters
    ----------
    sound
        The model's input: a waveform ``(sample,)``, or a spectrogram.
    model
        The model.
    extractor
        Its feature extractor, or None.
    """
    rate = getattr(extractor, "sampling_rate", None)
    if not rate or sound.ndim > 2:
        return number_positions
    if sound.ndim == 1:
        ratio = next(
            (r for c in configs_of(model) if isinstance(r := getattr(c, "inputs_to_logits_ratio", None), int)), None
        )
        return number_positions if ratio is None else partial(label_frames, seconds=ratio / rate)
    hop, bands = getattr(extractor, "hop_length", None), getattr(extractor, "feature_size", None)
    if not hop or bands not in sound.shape:
        return number_positions
    length = sound.shape[0] if sound.shape[1] == bands else sound.shape[1]
    return lambda positions: label_frames(positions, _evenly(length, positions, hop / rate))


def label_frames(positions: int, seconds: float | None) -> Tokens:
    """Label frames by their start times.

    Parameters
    ----------
    positions
        Number of frames.
    seconds
        Time from the start of one frame to the start of the next; None to number the frames.
    """
    tokens = number_positions(positions)
    if seconds is None:
        return tokens
    digits = next(d for d in range(1, 7) if d == 6 or abs(round(seconds, d) - seconds) < 1e-9)
    labels = np.asarray([f"{k * seconds:.{digits}f}s" for k in range(positions)])
    return Tokens(tokens.ids, "", labels, tokens.special, tokens.offsets, tokens.words, tokens.categories)


def _evenly(length: int, positions: int, seconds: float) -> float | None:
    """Seconds from one position to the next, if each covers the same number of a spectrogram's frames."""
    return seconds * length / positions if length % positions == 0 else None
