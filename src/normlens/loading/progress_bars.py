"""Progress bars: where ours are drawn, and those of transformers, left out where a model is read from this machine."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from rich.console import Console
from transformers.utils import logging

_LOCK = threading.Lock()
_SILENT = [0]
"""Number of models that are being read without bars, in any thread."""


def bars_console() -> Console:
    """Where progress bars are drawn: on stderr; in a notebook as a widget, or not at all without ipywidgets.

    Rich would print a warning into the notebook instead.
    """
    if "ipykernel" in sys.modules and not find_spec("ipywidgets"):
        return Console(stderr=True, force_jupyter=False, quiet=True)
    return Console(stderr=True)


@contextmanager
def without_bars(is_download: bool) -> Iterator[None]:
    """Show no progress bar of transformers inside the block, unless files may be downloaded, which takes time.

    Parameters
    ----------
    is_download
        Whether the model comes from the Hub.
    """
    if is_download or not _begin():
        yield
        return
    try:
        yield
    finally:
        with _LOCK:
            _SILENT[0] -= 1
            if not _SILENT[0]:
                logging.enable_progress_bar()


def _begin() -> bool:
    """Switch bars off; False if the caller has switched them off already, and they stay so."""
    with _LOCK:
        if not _SILENT[0] and not logging.is_progress_bar_enabled():
            return False
        _SILENT[0] += 1
        logging.disable_progress_bar()
        return True
