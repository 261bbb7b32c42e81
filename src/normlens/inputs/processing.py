"""Images and sounds as people have them, with or without a text, through the model's processor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.io import wavfile
from transformers import BatchFeature, ProcessorMixin

from normlens.errors import InvalidInput
from normlens.loading.companions import feature_extractor_of, image_processor_of
from normlens.loading.load import LoadedModel


def holds_media(messages: Any) -> bool:
    """Whether chat messages hold more than text."""
    contents = [message.get("content") for message in messages if isinstance(message, Mapping)]
    parts = [part for content in contents if isinstance(content, (list, tuple)) for part in content]
    return any(isinstance(part, Mapping) and part.get("type", "text") != "text" for part in parts)


def read_media(given: Any, loaded: LoadedModel, generation_prompt: bool = False) -> BatchFeature:
    """What the processor makes of images or sounds by name, or of chat messages that hold some."""
    return processed(given, loaded) if isinstance(given, Mapping) else processed_chat(given, loaded, generation_prompt)


def processed(given: Mapping[str, Any], loaded: LoadedModel) -> BatchFeature:
    """What the processor makes of an image or a sound, and the text that goes with it.

    Parameters
    ----------
    given
        ``image`` (or ``images``, a list): pictures, arrays or files; ``audio``: a waveform ``(sample,)`` with its
        ``sampling_rate``, or a WAV file; ``text``: as the processor wants it, with its marks for images.
    loaded
        The model, with its processor.

    Raises
    ------
    InvalidInput
        If the model came without such a processor, or that refuses what it is given.
    """
    if {"image", "images"} <= set(given):
        raise InvalidInput("image and images were given; expected one of them.")
    arguments: dict[str, Any] = {"text": given["text"]} if "text" in given else {}
    if "audio" in given:
        samples, rate = _waveform(given)
        _require_rate(rate, loaded)
        arguments |= {"audio": samples, "sampling_rate": rate}
    if image := {"image", "images"} & set(given):
        images = given[image.pop()]
        arguments["images"] = [_picture(x) for x in images] if isinstance(images, (list, tuple)) else _picture(images)
    return _run(_processor_for(arguments, loaded), arguments)


def processed_chat(messages: Any, loaded: LoadedModel, generation_prompt: bool) -> BatchFeature:
    """What the processor's chat template makes of messages with images or sounds.

    Raises
    ------
    InvalidInput
        If the model came without such a processor, or that refuses the messages.
    """
    if not isinstance(loaded.processor, ProcessorMixin):
        raise InvalidInput(
            f"The messages hold images or sounds, and {loaded.name} came without a processor that reads them. Load it as "
            "(model, processor)."
        )
    template = loaded.processor.apply_chat_template
    try:
        made: BatchFeature = template(
            list(messages),
            add_generation_prompt=generation_prompt,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
    except Exception as error:
        raise InvalidInput(f"The processor refused the messages: {error}") from error
    return made


def _processor_for(arguments: dict[str, Any], loaded: LoadedModel) -> Any:
    """The processor, or the part of it that reads what is given."""
    if "text" in arguments or ("images" in arguments and "audio" in arguments):
        if isinstance(loaded.processor, ProcessorMixin):
            return loaded.processor
        raise InvalidInput(
            f"{' and '.join(name for name in arguments if name != 'sampling_rate')} were given together; {loaded.name} came "
            "without a processor for both. Load it as (model, processor), with AutoProcessor's."
        )
    part = feature_extractor_of(loaded.processor) if "audio" in arguments else image_processor_of(loaded.processor)
    if part is None:
        kind = "feature extractor" if "audio" in arguments else "image processor"
        raise InvalidInput(f"{loaded.name} came without its {kind}. Load it as (model, processor).")
    return part


def _run(processor: Any, arguments: dict[str, Any]) -> BatchFeature:
    alone = "audio" in arguments and not isinstance(processor, ProcessorMixin)
    given = {("raw_speech" if name == "audio" and alone else name): x for name, x in arguments.items()}
    try:
        if alone:
            made: BatchFeature = processor(given.pop("raw_speech"), **given, return_tensors="pt")
        else:
            made = processor(**given, return_tensors="pt")
    except Exception as error:
        raise InvalidInput(f"{type(processor).__name__} refused {', '.join(arguments)}: {error}") from error
    return made


def _waveform(given: Mapping[str, Any]) -> tuple[NDArray[np.float32], int]:
    """Samples from -1 to 1 of one channel, and how many there are in a second."""
    audio: Any = given["audio"]
    rate = given.get("sampling_rate")
    if isinstance(audio, Mapping):  # as the datasets library gives it
        audio, rate = audio.get("array"), audio.get("sampling_rate", rate)
    if isinstance(audio, (str, Path)):
        rate, samples = _read_wave(Path(audio))
    else:
        samples = np.asarray(audio.detach().cpu() if isinstance(audio, torch.Tensor) else audio)
        if samples.dtype.kind != "f" or samples.ndim != 1 or not samples.size:
            raise InvalidInput(
                f"audio is an array of {samples.dtype} with shape {samples.shape}; expected a waveform of one channel, "
                "(sample,), in floating point."
            )
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)) or rate < 1:
        raise InvalidInput(f"sampling_rate is {rate!r}; expected how many samples the sound has in a second.")
    if not np.isfinite(samples).all():
        raise InvalidInput("audio holds values that are not finite.")
    return samples.astype(np.float32), int(rate)


def _read_wave(path: Path) -> tuple[int, NDArray[Any]]:
    try:
        rate, samples = wavfile.read(path)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInput(f"{path} can't be read as a WAV file: {error}") from error
    if samples.dtype.kind in "iu":
        middle = 128 if samples.dtype == np.uint8 else 0
        samples = (samples.astype(np.float64) - middle) / (128 if middle else -float(np.iinfo(samples.dtype).min))
    if samples.ndim > 1:
        if samples.shape[1] > 1:
            raise InvalidInput(f"{path} has {samples.shape[1]} channels; expected one. Mix them down first.")
        samples = samples[:, 0]
    return rate, samples


def _require_rate(rate: int, loaded: LoadedModel) -> None:
    extractor = feature_extractor_of(loaded.processor)
    expected = getattr(extractor, "sampling_rate", rate)
    if rate != expected:
        raise InvalidInput(
            f"The sound has {rate} samples in a second; {loaded.name} hears {expected}. Resample it first (as "
            "scipy.signal.resample_poly does)."
        )


def _picture(image: Any) -> Any:
    """A picture as it is, or from its file."""
    if not isinstance(image, (str, Path)):
        return image
    try:
        from PIL import Image
    except ImportError as error:
        raise InvalidInput(
            f"Reading {image} needs Pillow, which is not installed. Run `pip install normlens[vision]`, or pass an array."
        ) from error
    try:
        with Image.open(image) as opened:
            return opened.convert("RGB")
    except Exception as error:  # Pillow's decoders raise whatever they like
        raise InvalidInput(f"{image} can't be read as an image: {error}") from error
