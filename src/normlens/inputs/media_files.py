"""Images and sounds in files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from normlens.errors import InvalidInput, install_command
from normlens.files.reading import refuse_unreadable
from normlens.memory import is_out_of_memory

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""Pillow's names of formats that hold pixels; others, such as EPS, would start a program."""
_LARGEST_SOUND = 2**30  # bytes; nine hours of speech


def read_image_file(path: Path) -> Image:
    """An image in three colors.

    Raises
    ------
    InvalidInput
        If Pillow is not installed, or the file can't be read as an image.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise InvalidInput(
            f"Reading {path} needs Pillow, which is not installed. Run `{install_command('vision')}`, or pass an array."
        ) from error
    try:
        refuse_unreadable(path)
        with Image.open(path, formats=_FORMATS) as opened:
            return opened.convert("RGB")
    except InvalidInput:
        raise
    except Exception as error:  # Pillow's decoders raise errors of any class
        if is_out_of_memory(error):
            raise
        raise InvalidInput(
            f"{path} can't be read as an image: {error}. Check the path; the formats are {', '.join(_FORMATS)}."
        ) from error


def read_sound(path: Path) -> tuple[NDArray[Any], int]:
    """Samples of one channel, integers scaled to between -1 and 1, and the number of samples in a second.

    Raises
    ------
    InvalidInput
        If the file isn't a WAV file with one channel, or is larger than 1 GiB.
    """
    try:
        refuse_unreadable(path)
        if path.stat().st_size > _LARGEST_SOUND:
            raise InvalidInput(f"{path} has {path.stat().st_size:,} bytes; expected at most 1 GiB. Cut the sound.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks that aren't understood hold no sound
            rate, samples = wavfile.read(path)
    except InvalidInput:
        raise
    except Exception as error:  # scipy raises errors of any class on broken headers
        if is_out_of_memory(error):
            raise
        raise InvalidInput(
            f"{path} can't be read as a WAV file: {error}. Check the path, or convert the sound."
        ) from error
    if samples.dtype.kind in "iu":
        middle = 128 if samples.dtype == np.uint8 else 0
        samples = (samples.astype(np.float64) - middle) / (128 if middle else -float(np.iinfo(samples.dtype).min))
    if samples.ndim > 1:
        if samples.shape[1] > 1:
            raise InvalidInput(f"{path} has {samples.shape[1]} channels; expected one. Mix it down to mono first.")
        samples = samples[:, 0]
    if not samples.size:
        raise InvalidInput(f"{path} holds no samples. Record the sound again.")
    return samples, int(rate)
