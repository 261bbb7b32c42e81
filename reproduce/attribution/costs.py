"""The cost of an explanation: processor time relative to a forward pass, and the peak rise of resident memory."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from normlens import Lens
from normlens.faithfulness import LensClassifier
from reproduce.attribution.candidates import Candidate, Predictions, scores

REPEATS = 2
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def costs(
    lens: Lens, texts: Sequence[str], predictions: Predictions, candidates: Sequence[Candidate]
) -> dict[str, Any]:
    """Measure every candidate on the same texts, one by one as a user would call it.

    Parameters
    ----------
    lens
        The model.
    texts
        A few texts of ordinary length.
    predictions
        Probabilities of the classes of the texts.
    candidates
        The candidates to measure.

    Returns
    -------
    dict
        "forward" and every candidate's name to milliseconds of processor time per text ("milliseconds", minimum of the
        repeats) and the peak above what was resident before ("mebibytes", None where the system doesn't report it).
    """
    classifier = LensClassifier(lens, batch_size=1)
    encoded = [classifier.encode(text).ids for text in texts]
    measured = {"forward": _measured(lambda: classifier.probabilities(encoded), len(texts))}
    for candidate in candidates:
        measured[candidate.name] = _measured(partial(scores, lens, texts, predictions, candidate, 1), len(texts))
    return measured


def _measured(run: Callable[[], object], texts: int) -> dict[str, float | None]:
    peak = _peak_of(run)
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return {"milliseconds": round(1000 * min(times) / texts, 2), "mebibytes": peak}


def _peak_of(run: Callable[[], object]) -> float | None:
    """Peak rise of resident memory during a run, in mebibytes; freed memory is returned to the system first."""
    if not _RESET.exists():
        return None
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    _RESET.write_text("5")  # the peak counts from here
    before = _resident("VmRSS")
    run()
    return round((_resident("VmHWM") - before) / 2**20, 1)


def _resident(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])
