"""The models that can be chosen in the explorer, and the names of runs on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from normlens.lens import Lens


@dataclass(frozen=True)
class OfferedModel:
    """A model that can be chosen in the explorer.

    Attributes
    ----------
    name
        Its name, as on the command line.
    open
        Opens it; called when it is first chosen.
    revision
        The revision that was asked for.
    """

    name: str
    open: Callable[[], Lens]
    revision: str | None = None


def run_name(model: OfferedModel, text: str, target_text: str) -> str:
    """The name of a run: a hash of model, revision and texts."""
    facts = json.dumps([model.name, model.revision, text, target_text])
    return hashlib.sha256(facts.encode("utf-8", "surrogatepass")).hexdigest()[:24]
