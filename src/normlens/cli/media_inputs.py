"""What a command reads, where images and a sound may stand beside the text or in its place."""

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
    """The text to analyze, as :func:`normlens.cli.text_files.read_input`, or images and a sound, with a text or without.

    Parameters
    ----------
    text, file
        The text itself, "-" for standard input, or a file that holds it. Where there are images or a sound, None means
        that there is no text.
    images, audio
        Files.

    Raises
    ------
    InvalidInput
        If a file can't be read as what it should be.
    """
    if not images and audio is None:
        return read_input(text, file)
    inputs: dict[str, Any] = {}
    if text is not None or file is not None:
        read = read_input(text, file)
        if not isinstance(read, str):
            raise InvalidInput(f"{file} holds a text as its words; with --image or --audio, pass the text itself.")
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
    """Whether an image or a sound is read."""
    return isinstance(read, dict) and bool({"image", "images", "audio"} & set(read))


def media_named(read: Read) -> dict[str, bool]:
    """Whether there are a text, an image and a sound, by the names of :meth:`Outline.check_media`."""
    names = set(read) if isinstance(read, dict) else {"text"}
    return {
        "text": bool({"text", "words"} & names),
        "image": bool({"image", "images"} & names),
        "audio": "audio" in names,
    }
