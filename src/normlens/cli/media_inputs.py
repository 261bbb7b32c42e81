"""The inputs of a command: a text, or images and a sound with or without a text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from normlens.cli.terminal import waiting
from normlens.cli.text_files import read_input
from normlens.errors import InvalidInput

Read = str | dict[str, Any]
"""A text, its words, or images and a sound by name, as :meth:`normlens.Lens.analyze` takes them."""


def read_inputs(text: str | None, file: Path | None, images: Sequence[Path] | None, audio: Path | None) -> Read:
    """Read the text to analyze as :func:`normlens.cli.text_files.read_input` does, or images and a sound.

    Parameters
    ----------
    text, file
        The text itself, "-" for standard input, or a file that holds it. With images or a sound, None for both means no
        text.
    images, audio
        Files of images, and a file of a sound.

    Raises
    ------
    InvalidInput
        If a file can't be read as text, image or sound.
    """
    if not images and audio is None:
        return read_input(text, file)
    inputs: dict[str, Any] = {}
    if text is not None or file is not None:
        read = read_input(text, file)
        if not isinstance(read, str):
            raise InvalidInput(f"{file} is a treebank; with --image or --audio, pass its sentence as TEXT.")
        inputs["text"] = read
    from normlens.inputs.media_files import read_image_file, read_sound

    with waiting(f"Reading {', '.join(str(path) for path in [*(images or ()), audio] if path is not None)}"):
        opened = [read_image_file(path) for path in images or ()]
        if opened:
            inputs |= {"image": opened[0]} if len(opened) == 1 else {"images": opened}
        if audio is not None:
            samples, rate = read_sound(audio)
            inputs |= {"audio": samples, "sampling_rate": rate}
    return inputs


def holds_media(read: Read) -> bool:
    """Whether the inputs hold an image or a sound."""
    return isinstance(read, dict) and bool({"image", "images", "audio"} & set(read))


def media_named(read: Read) -> dict[str, bool]:
    """Whether the inputs hold a text, an image and a sound, as the keywords of :meth:`Outline.check_media`."""
    names = set(read) if isinstance(read, dict) else {"text"}
    return {
        "text": bool({"text", "words"} & names),
        "image": bool({"image", "images"} & names),
        "audio": "audio" in names,
    }
