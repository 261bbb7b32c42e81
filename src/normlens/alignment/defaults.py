"""The models that align when none is named."""

DEFAULT_MODEL: str | None = None
"""From source to target, by a name that :func:`normlens.load` takes; None while no model comes with the package."""

DEFAULT_REVERSE_MODEL: str | None = None
"""From target to source."""
