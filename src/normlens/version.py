"""The version of the installed package; its only source is pyproject.toml."""

from importlib.metadata import version

__version__ = version("normlens")
