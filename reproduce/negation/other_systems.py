"""Scopes that another system predicted, as files of the shared task, scored as ours are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from normlens.errors import InvalidInput
from normlens.negation import read_annotated, scope_counts
from reproduce.negation.annotated_cues import CueTable
from reproduce.negation.detection import estimated


def scored_system(path: Path, table: CueTable) -> dict[str, Any]:
    """Token and scope F1 of a system, with 95 % intervals over sentences.

    Parameters
    ----------
    path
        Its output for a split: the annotated cues, each with the predicted scope.
    table
        The cues of the split.

    Raises
    ------
    InvalidInput
        If the file isn't in the format, or its sentences or cues are others.
    """
    sentences = [sentence for sentence in read_annotated(path) if sentence.negations]
    if [one.words for one in sentences] != [one.words for one in table.sentences]:
        raise InvalidInput(
            f"{path} has {len(sentences)} sentences with a cue, which are not the {len(table.sentences)} of the annotation; "
            "expected the same words in the same order."
        )
    negations = [negation for sentence in sentences for negation in sentence.negations]
    if [one.cue for one in negations] != [own.cue for _, own in table.cues]:
        raise InvalidInput(f"{path} has other cues than the annotation; expected a system that was told the cues.")
    counts = [
        scope_counts(table.sentences[number], own, [mark.word for mark in negation.scope])
        for (number, own), negation in zip(table.cues, negations, strict=True)
    ]
    return {name: [round(float(x), 4) for x in value] for name, value in estimated(np.stack(counts), table).items()}
