"""The models that align when none is named."""

DEFAULT_MODEL: str | None = "de-en"
"""From source to target, by a name that :func:`normlens.load` takes; None for none."""

DEFAULT_REVERSE_MODEL: str | None = "en-de"
"""From target to source."""

GUIDED_LAYER = 0
"""The layer of both whose cross-attention was taught to align."""
