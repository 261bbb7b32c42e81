"""The form of a condition under which an option has an effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Values = Mapping[str, Any]
"""The values of a command's parameters by name, including defaults, and facts about the loaded model."""


@dataclass(frozen=True)
class Requirement:
    """When an option has an effect.

    Attributes
    ----------
    option
        Name of the parameter.
    holds
        Whether it has an effect, by the values of all parameters.
    reason
        Why it has none, and what to do; completes the message.
    needs
        The fact about the model that `holds` reads; the requirement is checked once it is available.
    """

    option: str
    holds: Callable[[Values], bool]
    reason: str
    needs: str | None = None
