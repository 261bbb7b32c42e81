"""Images and sounds as files, arrays or chat messages, with or without a text, through the model's processor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import BatchFeature, ProcessorMixin

from normlens.errors import InvalidInput
from normlens.inputs.media_files import read_image_file, read_sound
from normlens.loading.companions import feature_extractor_of, image_processor_of
from normlens.loading.load import LoadedModel


def holds_media(messages: Any) -> bool:
    """Whether chat messages contain images or sounds."""
    contents = [message.get("content") for message in messages if isinstance(message, Mapping)]
    blocks = [block for content in contents if isinstance(content, (list, tuple)) for block in content]
    return any(isinstance(block, Mapping) and block.get("type", "text") != "text" for block in blocks)


def read_media(media: Any, loaded: LoadedModel, generation_prompt: bool = False) -> BatchFeature:
    """The processor's output for images or sounds by name, or for chat messages that contain some."""
    return processed(media, loaded) if isinstance(media, Mapping) else processed_chat(media, loaded, generation_prompt)


def processed(media: Mapping[str, Any], loaded: LoadedModel) -> BatchFeature:
    """The processor's output for an image or a sound, with or without a text.

    Parameters
    ----------
    media
        ``image`` (or ``images``, a list): PIL images, arrays or files; ``audio``: a waveform ``(sample,)`` with its
        ``sampling_rate``, or a WAV file; ``text``: in the processor's format, with its placeholders for images.
    loaded
        The model, with its processor.

    Raises
    ------
    InvalidInput
        If the model was loaded without such a processor, or the processor rejects the input.
    """
    if {"image", "images"} <= set(media):
        raise InvalidInput("The input has both image and images; expected one of them.")
    arguments: dict[str, Any] = {"text": media["text"]} if "text" in media else {}
    if "audio" in media:
        samples, rate = _waveform(media)
        _require_rate(rate, loaded)
        arguments |= {"audio": samples, "sampling_rate": rate}
    if image := {"image", "images"} & set(media):
        images = media[image.pop()]
        arguments["images"] = [_image(x) for x in images] if isinstance(images, (list, tuple)) else _image(images)
    return _run(_processor_for(arguments, loaded), arguments)


def processed_chat(messages: Any, loaded: LoadedModel, generation_prompt: bool) -> BatchFeature:
    """The output of the processor's chat template for messages with images or sounds.

    Raises
    ------
    InvalidInput
        If the model was loaded without such a processor, or the processor rejects the messages.
    """
    if not isinstance(loaded.processor, ProcessorMixin):
        raise InvalidInput(
            f"The messages contain images or sounds, but {loaded.name} was loaded without a processor that reads them. Load "
            "it as (model, processor)."
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
        raise InvalidInput(f"The processor rejects the messages: {error}") from error
    return made


def _processor_for(arguments: dict[str, Any], loaded: LoadedModel) -> Any:
    """The processor, or its component that reads these arguments."""
    if "text" in arguments or ("images" in arguments and "audio" in arguments):
        if isinstance(loaded.processor, ProcessorMixin):
            return loaded.processor
        raise InvalidInput(
            f"The input has {' and '.join(name for name in arguments if name != 'sampling_rate')}, but {loaded.name} was "
            "loaded without a processor for both. Load it as (model, processor), with the processor from AutoProcessor."
        )
    component = feature_extractor_of(loaded.processor) if "audio" in arguments else image_processor_of(loaded.processor)
    if component is None:
        kind = "feature extractor" if "audio" in arguments else "image processor"
        raise InvalidInput(f"{loaded.name} was loaded without its {kind}. Load it as (model, processor).")
    return component


def _run(processor: Any, arguments: dict[str, Any]) -> BatchFeature:
    alone = "audio" in arguments and not isinstance(processor, ProcessorMixin)
    named = {name: x for name, x in arguments.items() if name != "audio"} if alone else arguments
    try:
        if alone:
            made: BatchFeature = processor(arguments["audio"], **named, return_tensors="pt")
        else:
            made = processor(**named, return_tensors="pt")
    except Exception as error:
        raise InvalidInput(f"{type(processor).__name__} rejects {', '.join(arguments)}: {error}") from error
    return made


def _waveform(media: Mapping[str, Any]) -> tuple[NDArray[np.float32], int]:
    """Samples of one channel, from -1 to 1, and the sampling rate."""
    audio: Any = media["audio"]
    rate = media.get("sampling_rate")
    if isinstance(audio, Mapping):  # as in the datasets library
        audio, rate = audio.get("array"), audio.get("sampling_rate", rate)
    if isinstance(audio, (str, Path)):
        samples, rate = read_sound(Path(audio))
    else:
        samples = np.asarray(audio.detach().cpu() if isinstance(audio, torch.Tensor) else audio)
        if samples.dtype.kind != "f" or samples.ndim != 1 or not samples.size:
            raise InvalidInput(
                f"audio is an array of {samples.dtype} with shape {samples.shape}; expected a waveform of one channel, "
                "(sample,), in floating point."
            )
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)) or rate < 1:
        raise InvalidInput(f"sampling_rate is {rate!r}; expected the number of samples per second, a positive integer.")
    if not np.isfinite(samples).all():
        raise InvalidInput("audio has values that are not finite; expected samples from -1 to 1. Check the recording.")
    return samples.astype(np.float32), int(rate)


def _require_rate(rate: int, loaded: LoadedModel) -> None:
    extractor = feature_extractor_of(loaded.processor)
    expected = getattr(extractor, "sampling_rate", rate)
    if rate != expected:
        raise InvalidInput(
            f"The sound has {rate} samples per second; {loaded.name} expects {expected}. Resample it first, for example "
            "with scipy.signal.resample_poly."
        )


def _image(image: Any) -> Any:
    """An image, read from its file if it is a path."""
    return read_image_file(Path(image)) if isinstance(image, (str, Path)) else image
