"""The version, as the installed package says it; pyproject.toml is the one place where it is written."""

from importlib.metadata import version

__version__ = version("normlens")
