"""Open a model without the progress bars and warnings of transformers on the terminal."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING

from normlens.cli.terminal import waiting

if TYPE_CHECKING:
    from normlens import Lens
    from normlens.loading.outline import Outline


def open_lens(
    model: str,
    *,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    task: str | None = None,
    check: Callable[[Outline], None] | None = None,
) -> Lens:
    """Load a model, with a message on standard error.

    Parameters
    ----------
    model, device, dtype, revision, trust_remote_code, task, check
        As in :func:`normlens.load`.

    Returns
    -------
    Lens

    Raises
    ------
    NormLensError
        As :func:`normlens.load`.
    """
    with waiting(f"Loading {model}"), _quiet_loading(may_download=not _is_local(model)):
        import normlens

        return normlens.load(
            model,
            device=device,
            dtype=dtype,
            revision=revision,
            trust_remote_code=trust_remote_code,
            task=task,
            check=check,
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars and log of transformers and Python's warnings, and restore the earlier settings."""
    from transformers.utils import logging

    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()


@contextmanager
def _quiet_loading(may_download: bool) -> Iterator[None]:
    """Be quiet. Without a download, drop all of standard error, since the GGUF loader has a progress bar of its own."""
    with quiet(), nullcontext() if may_download else redirect_stderr(io.StringIO()):
        yield


def _is_local(model: str) -> bool:
    from normlens.loading import NAMED

    return model in NAMED or Path(model).exists()
