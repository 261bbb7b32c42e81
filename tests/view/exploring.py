"""An explorer's service on small models, and waiting for its runs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import normlens
from normlens.figures.explorer_page.binary_message import Message, decoded
from normlens.view import OfferedModel, ViewService

TEXT = "the cat sat here, the dog ran. Paris is unhappiness"


def service_of(lens: normlens.Lens, **options: Any) -> ViewService:
    """A service that offers one model, by the name "tiny"."""
    return ViewService([OfferedModel("tiny", lambda: lens)], **options)


def finished(service: ViewService, run: str) -> dict[str, Any]:
    """The last state of a run."""
    for _ in range(3000):
        facts = service.progress(run)
        if facts["state"] in ("done", "failed", "cancelled"):
            return facts
        time.sleep(0.01)
    raise AssertionError(f"{run} didn't end: {facts}")


def explored(service: ViewService, text: str = TEXT, target_text: str = "", model: str = "tiny") -> str:
    """The name of a run that has ended well."""
    run: str = service.run(model, text, target_text)["run"]
    facts = finished(service, run)
    assert facts["state"] == "done", facts
    return run


def opened(message: Message) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The facts and arrays of a message, as a page reads them."""
    return decoded(message.encoded())
