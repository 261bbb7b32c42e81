"""The default models; importing them doesn't import torch."""

DEFAULT_MODEL: str | None = "de-en"
"""The default model from source to target, by a name that :func:`normlens.load` accepts; None if there is none."""

DEFAULT_REVERSE_MODEL: str | None = "en-de"
"""The default model from target to source."""
