"""The type of the fixture that runs a command."""

from collections.abc import Callable

from typer.testing import Result

Run = Callable[..., Result]
"""Takes the arguments, and ``stdin`` by name; gives exit code, standard output and standard error."""
